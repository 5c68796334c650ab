#!/usr/bin/python3
"""The built console as a C++ source: console/embed.py DIST FILE.

Files are compressed here, once, and the same input gives the same source. `index.html` is the page; every other file has a hash of
what is in it in its name.
"""

import gzip
import os
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}
PAGE = "index.html"
HEAD = """// Made by console/embed.py out of console/src; not written by hand. Constants; any thread.
#include <array>

#include "console/asset.h"

namespace heptane::console {

namespace {

"""


def paths(dist):
    found = [os.path.relpath(os.path.join(where, name), dist) for where, _, names in os.walk(dist) for name in names]
    return sorted(found, key=lambda path: (path != PAGE, path))


def rows(data, width=24):
    return ",\n".join(",".join(map(str, data[at:at + width])) for at in range(0, len(data), width))


def source(dist):
    out, table = [HEAD], []
    for number, path in enumerate(paths(dist)):
        with open(os.path.join(dist, path), "rb") as file:
            plain = file.read()
        data = gzip.compress(plain, 9, mtime=0)
        kind = TYPES[os.path.splitext(path)[1]]
        out.append(f"constexpr unsigned char kBytes{number}[] = {{\n{rows(data)}}};\n\n")
        served = "/" if path == PAGE else "/" + path
        table.append(f'    Asset{{"{served}", "{kind}", std::as_bytes(std::span(kBytes{number})), {len(plain)}}},\n')
    out.append(f"const std::array<Asset, {len(table)}> kAssets{{\n{''.join(table)}}};\n\n}}  // namespace\n\n")
    out.append("std::span<const Asset> assets() { return kAssets; }\n\n}  // namespace heptane::console\n")
    return "".join(out)


def main():
    dist, target = sys.argv[1:]
    text = source(dist)
    with open(target, "w", encoding="ascii") as file:
        file.write(text)


main()
