#!/usr/bin/env bash
# Builds the console into a C++ source: console/build.sh FILE. What npm brings is installed first, when the lock file has changed.
# Builds of several presets may run at once: one at a time uses node_modules.
set -euo pipefail

target=$1
cd "$(dirname "${BASH_SOURCE[0]}")"
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  echo "console: node and npm are missing: tools/setup run installs them" >&2
  exit 1
fi

exec 9<package-lock.json
flock 9
stamp=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
fi
dist=$(dirname "$target")/dist
node node_modules/vite/bin/vite.js build --outDir "$dist" --emptyOutDir --logLevel warn
/usr/bin/python3 embed.py "$dist" "$target"
