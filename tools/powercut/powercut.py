"""Run a program above the power-cut layer and look at what a power cut would have left.

    layer = powercut.Layer(build_dir)            # where libpowercut.so and powercut lie
    layer.prepare(root, state)                   # what is in root now counts as durable
    process = subprocess.Popen(cmd, env=layer.environment(state))
    ...                                          # collect acknowledgements, kill -9
    layer.materialise(state, out, seed=7)        # the disk after the cut; start the program on `out`

`build_dir` defaults to $POWERCUT_BUILD, then build*/tools/powercut of the source tree.
"""

import glob
import json
import os
import subprocess

MODES = ("lose", "keep", "reorder", "tear")


def default_build_dir():
    if "POWERCUT_BUILD" in os.environ:
        return os.environ["POWERCUT_BUILD"]
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = sorted(glob.glob(os.path.join(top, "build*", "**", "libpowercut.so"), recursive=True), key=os.path.getmtime)
    if not found:
        raise FileNotFoundError("libpowercut.so is not built; set POWERCUT_BUILD to its directory")
    return os.path.dirname(found[-1])


class Layer:
    def __init__(self, build_dir=None):
        self.build_dir = build_dir or default_build_dir()
        self.command = os.path.join(self.build_dir, "powercut")
        self.library = os.path.join(self.build_dir, "libpowercut.so")

    def _run(self, *arguments, accept=(0,)):
        done = subprocess.run([self.command, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode not in accept:
            raise RuntimeError(f"powercut {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def prepare(self, root, state, fsync_persists_name=False):
        """Begins a journal: root as it is now is durable. state must be absent or empty; put it on a tmpfs for speed."""
        self._run("prepare", "--root", root, "--state", state, *(["--fsync-persists-name"] if fsync_persists_name else []))

    def environment(self, state, base=None, real_sync=True, lie_sync=None, fail_sync=None):
        """The environment for the program. lie_sync: "N", "N-M" or "N-" (1-based) syncs that return 0 and do nothing;
        fail_sync: the number of one that returns EIO."""
        env = dict(os.environ if base is None else base)
        env["POWERCUT_STATE"] = os.path.abspath(state)
        env["POWERCUT_REAL_SYNC"] = "1" if real_sync else "0"
        env["LD_PRELOAD"] = ":".join(filter(None, [self.library, env.get("LD_PRELOAD")]))
        # A sanitizer's runtime wants to come first; behind this layer it works as well.
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        if lie_sync is not None:
            env["POWERCUT_LIE_SYNC"] = str(lie_sync)
        if fail_sync is not None:
            env["POWERCUT_FAIL_SYNC"] = str(fail_sync)
        return env

    def materialise(self, state, out, seed=1, mode="reorder", entries="prefix", at=None):
        """Builds in `out` (absent or empty) what the disk holds after the cut. at: a position, to cut earlier than now.
        Returns how much was pending."""
        extra = [] if at is None else ["--at", at]
        text = self._run("materialise", "--state", state, "--out", out, "--seed", seed, "--mode", mode,
                         "--entries", entries, *extra)
        return json.loads(text)

    def position(self, state):
        """The journal's end now. What was acknowledged before this call must survive every cut `at` it or later."""
        return int(self._run("position", "--state", state))

    def check(self, state, root=None):
        """What the layer has not seen (a list of lines): static binaries, io_uring, stores never flushed."""
        extra = [] if root is None else ["--root", root]
        return self._run("check", "--state", state, *extra, accept=(0, 1)).splitlines()


def prepare(root, state, **options):
    Layer().prepare(root, state, **options)


def environment(root, state, **options):
    """Prepares the state when there is none yet and returns the environment for the program."""
    layer = Layer()
    if not os.path.exists(os.path.join(state, "control")):
        layer.prepare(root, state)
    return layer.environment(state, **options)


def materialise(state, out, seed=1, mode="reorder", **options):
    return Layer().materialise(state, out, seed, mode, **options)
