"""Programs of a side: started, killed, given the disk of a power cut, as a supervisor and an unlucky machine room would."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile

from heptane_testkit import Deadline, pause, powercut_module

START_SECONDS = 30.0
END_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.002
TICKS = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)


class WrittenPast(AssertionError):
    """Something was written past the power-cut layer: then a cut proves nothing."""


def end_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid):
    """A process and all that it started, as far as they are there."""
    found = [pid]
    for at in found:
        try:
            with open(f"/proc/{at}/task/{at}/children", encoding="ascii") as text:
                found += map(int, text.read().split())
        except OSError:
            continue
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid):
    """Of the process and of the children that it waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            fields = text.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def memory_bytes(pid):
    """(resident, proportional): what several processes share counts in the second once."""
    resident = proportional = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
            for line in text:
                name, _, rest = line.partition(":")
                if name in ("Rss", "Pss"):
                    kib = int(rest.split()[0])
                    resident, proportional = (kib, proportional) if name == "Rss" else (resident, kib)
    except (OSError, ProcessLookupError):
        pass
    return resident * 1024, proportional * 1024


class Program:
    """One program with at most one directory of data. `ready` says when it does its work. `layered`: the directory lies above
    tools/powercut, so that cut() can say what a disk would have kept. end: the signal of the last stop, where what it shares
    with its processes lies outside of them."""

    def __init__(self, name, command, work, ready, data=None, env=None, user=None, layered=False, end=signal.SIGKILL):
        self.name, self.command, self.ready, self.data, self.user, self.end = name, command, ready, data, user, end
        self.env = dict(os.environ, **(env or {}))
        self.log = os.path.join(work, f"{name}.log")
        self.process = None
        self.struck = []  # killed and perhaps not gone yet
        self.unseen = []  # what was written past the layer
        self.layer = powercut_module().Layer() if layered and data else None
        self.state = None

    def start(self):
        env = self.env
        if self.layer:
            if self.state is None:
                self._begin_journal()
            env = self.layer.environment(self.state, base=self.env)
        who = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                            preexec_fn=end_with_parent, **who)
        return self

    def wait_ready(self):
        deadline = Deadline(START_SECONDS)
        while not self.ready():
            if self.process.poll() is not None or deadline.over():
                raise RuntimeError(f"{self.name} does not start: see its log:\n{self.tail()}")
            pause(POLL_SECONDS)

    def tail(self, lines=15):
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return "".join(text.readlines()[-lines:])

    def pids(self):
        return descendants(self.process.pid) if self.process and self.process.poll() is None else []

    def strike(self):
        """SIGKILL to every process of it."""
        fresh = [pid for pid in self.pids() if pid not in self.struck]
        self.struck += fresh
        for pid in fresh:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill(self):
        """strike(), and returns when all are gone."""
        self.strike()
        if self.process is not None:
            self.process.wait()
        deadline = Deadline(START_SECONDS)
        while any(map(alive, self.struck)):
            if deadline.over():
                raise RuntimeError(f"{self.name}: its processes do not end")
            pause(POLL_SECONDS)
        self.struck = []

    def cut(self, seed, mode):
        """After kill(): the data directory becomes what a disk that lost power would hold."""
        if self.layer is None:
            return
        self._check_layer()
        kept = f"{self.data}.kept"
        stat = os.stat(self.data)
        self.layer.materialise(self.state, kept, seed=seed, mode=mode)
        shutil.rmtree(self.data)
        os.rename(kept, self.data)
        os.chmod(self.data, stat.st_mode & 0o777)
        if self.user is not None:
            self._give_away(self.data)
        self._end_journal()

    def _check_layer(self):
        """As the testkit: a kill can fall between the change of a name and its note, once; and of Heptane's page of the command
        at work the layer sees nothing."""
        mapped = "other content: " + os.path.join(self.data, "applying")
        unseen = [line for line in self.layer.check(self.state) if line != mapped]
        self.unseen += unseen
        removed = sum(line.startswith("removed unseen: ") for line in unseen)
        came = sum(line.startswith("never recorded: ") for line in unseen)
        if removed > 1 or came > 1 or removed + came != len(unseen):
            raise WrittenPast(f"{self.name} wrote past the power-cut layer: {'; '.join(unseen)}")

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.end)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                pass  # kill() ends it
        self.kill()
        self._end_journal()

    def _begin_journal(self):
        self.journal = tempfile.mkdtemp(prefix="heptane-powercut-", dir="/dev/shm")
        os.chmod(self.journal, 0o711)
        self.state = os.path.join(self.journal, "state")
        # As ext4 does: syncing a new file also persists its name.
        self.layer.prepare(self.data, self.state, fsync_persists_name=True)
        if self.user is not None:
            self._give_away(self.state)

    def _end_journal(self):
        if self.state is not None:
            shutil.rmtree(self.journal, ignore_errors=True)
        self.state = None

    def _give_away(self, top):
        for directory, _, files in os.walk(top):
            shutil.chown(directory, self.user, self.user)
            for name in files:
                shutil.chown(os.path.join(directory, name), self.user, self.user)
