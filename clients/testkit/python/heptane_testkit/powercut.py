"""Heptane above the power-cut layer (tools/powercut): what a disk holds after the plug was pulled, and a server on that.

    with Server.with_powercut() as server:
        ...                                   # server.position() after what was acknowledged
        with server.cut(seed=7) as after:     # kill -9, then a Server on what the disk kept
            ...
"""

import importlib.util
import os
import shutil
import tempfile

from .server import ROOT, Server

STATE_BYTES_MIN = 1 << 30


def powercut_module():
    path = os.path.join(ROOT, "tools", "powercut", "powercut.py")
    spec = importlib.util.spec_from_file_location("heptane_powercut_layer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _state_parent():
    """A tmpfs if there is one with room: the journal keeps every byte that was written."""
    try:
        fs = os.statvfs("/dev/shm")
        return "/dev/shm" if fs.f_bavail * fs.f_frsize >= STATE_BYTES_MIN else None
    except OSError:
        return None


class PowercutServer(Server):
    def __init__(self, real_sync=False, lie_sync=None, fail_sync=None, fsync_persists_name=False, **options):
        """real_sync=False: no sync reaches the real disk, which changes nothing but the speed. lie_sync "N", "N-M" or "N-":
        syncs that do nothing. fail_sync: the number of one that returns EIO."""
        super().__init__(**options)
        self.layer = powercut_module().Layer()
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        self.state_parent = tempfile.mkdtemp(prefix="heptane-powercut-", dir=_state_parent())
        self.state = os.path.join(self.state_parent, "state")
        self.layer.prepare(self.data, self.state, fsync_persists_name=fsync_persists_name)
        self._plain_env = self.env
        self.env = self.layer.environment(self.state, base=self.env, real_sync=real_sync, lie_sync=lie_sync,
                                          fail_sync=fail_sync)

    def command_environment(self):
        return self._plain_env

    def position(self):
        """The journal's end. What was acknowledged before this call must survive every cut at it or later."""
        return self.layer.position(self.state)

    def check(self):
        """Raises when anything was written past the layer: then a cut would prove nothing.

        The layer notes a change of a name behind the system call that makes it. A kill can fall between the two, once:
        that one removal or renaming is taken as not done, which a power cut at that moment may leave as well. The page that
        remembers the command at work is mapped memory, which the layer does not see and a cut loses: a kill in the middle of
        a command leaves a word in it."""
        mapped = "other content: " + os.path.join(self.data, "applying")
        unseen = [line for line in self.layer.check(self.state) if line != mapped]
        removed = [line for line in unseen if line.startswith("removed unseen: ")]
        came = [line for line in unseen if line.startswith("never recorded: ")]
        interrupted = len(removed) <= 1 and len(came) <= 1 and len(removed) + len(came) == len(unseen)
        if unseen and not interrupted:
            raise AssertionError("written past the power-cut layer:\n" + "\n".join(unseen))

    def after_cut(self, seed=1, mode="reorder", entries="prefix", at=None, **options):
        """A Server, not started, on what the disk held had the power been cut (at a position: earlier than now). Its data
        directory is removed with it. Call it as often as there are seeds."""
        if not self.running():
            self.check()
        server = Server(binary=self.binary, args=self.args, env=self._plain_env, **options)
        self.last_cut = self.layer.materialise(self.state, server.data, seed=seed, mode=mode, entries=entries, at=at)
        os.chmod(server.data, 0o700)  # it was there before the layer was
        return server

    def cut(self, seed=1, mode="reorder", **options):
        """kill -9 and the cut; the Server on what is left, started."""
        self.kill()
        return self.after_cut(seed, mode, **options).start()

    def close(self, compare=True):
        try:
            super().close(compare)
        finally:
            shutil.rmtree(self.state_parent, ignore_errors=True)
