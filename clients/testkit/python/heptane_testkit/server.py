"""One Heptane process on loopback: free ports, a data directory of its own, ended by its id.

Ports stay the same over restarts, so that clients find the server again. What it prints is kept over restarts too:
stdout(), stderr(). A start that is refused raises Refused with the exit code and the reason. At the end its two newest
snapshots are compared: replay of the log must lead from the older to the newer.
"""

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import weakref

from .wait import POLL_SECONDS, Deadline, free_port

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4))
START_SECONDS = 60.0
STOP_SECONDS = 60.0
NOTHING_COMPARED = 3  # exit code of `log compare`

_all = weakref.WeakSet()


@atexit.register
def _close_all():
    for server in list(_all):
        server.close(compare=False)


def default_binary():
    return os.environ.get("HEPTANE_BINARY") or os.path.join(ROOT, "build", "heptane")


class Refused(Exception):
    def __init__(self, code, stderr):
        super().__init__(f"the start ended with exit code {code}: {stderr.strip()}")
        self.code = code
        self.stderr = stderr


class SnapshotsDiffer(AssertionError):
    pass


class Server:
    def __init__(self, binary=None, data=None, args=(), env=None, listen=None, prefix=()):
        """data: kept at the end if given, else a temporary directory. listen: {name: "HOST:PORT"}; other listeners take
        free ports. prefix: a command that runs the server, such as strace with its options."""
        self.binary = binary or default_binary()
        self.work = tempfile.mkdtemp(prefix="heptane-test-")
        self.data = data or os.path.join(self.work, "data")
        self.args = [str(arg) for arg in args]
        self.env = dict(os.environ if env is None else env)
        self.listen = dict(listen or {})
        self.prefix = list(prefix)
        self.process = None
        self.endpoints = {}
        self.tls = {}  # listeners that speak TLS: {name: True}
        self.exit_code = None
        self._was_ready = False  # the last start; what was damaged since has not been seen by one
        self._endpoints_file = os.path.join(self.work, "endpoints.json")
        _all.add(self)

    @staticmethod
    def with_powercut(**options):
        """A Server above the power-cut layer; the options of both."""
        from .powercut import PowercutServer

        return PowercutServer(**options)

    def __enter__(self):
        return self if self.running() else self.start()

    def __exit__(self, failure, *_):
        self.close(compare=failure is None)

    def command(self):
        listen = [part for name, address in self.listen.items() for part in ("--listen", f"{name}={address}")]
        return [*self.prefix, self.binary, "serve", "--data", self.data, "--ephemeral-ports", "--endpoints-file",
                self._endpoints_file, *listen, *self.args]

    def start(self, seconds=START_SECONDS):
        """Starts and waits until it is ready."""
        self.launch()
        return self.wait_ready(seconds)

    def launch(self):
        """Starts and does not wait."""
        assert not self.running(), "it is running"
        if os.path.exists(self._endpoints_file):
            os.unlink(self._endpoints_file)
        self.exit_code = None
        self._was_ready = False
        with open(self._path("stdout"), "ab") as out, open(self._path("stderr"), "ab") as err:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env)
        return self

    def wait_ready(self, seconds=START_SECONDS):
        deadline = Deadline(seconds)
        with _ExitWatch(self.process.pid) as exit_watch:
            while not os.path.exists(self._endpoints_file):
                if exit_watch.ended_within(POLL_SECONDS):
                    code = self.wait(5)
                    raise Refused(code, self.stderr())
                if deadline.over():
                    self.kill()
                    raise AssertionError(f"not ready within {seconds:g} s; stderr: {self.stderr()}")
        with open(self._endpoints_file, encoding="utf-8") as text:
            self.endpoints = json.load(text)
        self.tls = self.endpoints.pop("tls", {})
        self.listen.update(self.endpoints)
        self._was_ready = True
        return self

    def address(self, name="kafka"):
        host, port = self.endpoints[name].rsplit(":", 1)
        return host.strip("[]"), int(port)

    @property
    def admin(self):
        """HOST:PORT of the admin listener."""
        return "%s:%d" % self.address("admin")

    @property
    def kafka(self):
        return self.endpoints["kafka"]

    @property
    def pid(self):
        """Of the server itself, also when `prefix` runs it."""
        if not self.prefix:
            return self.process.pid
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as text:
            return int(text.read().split()[0])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds=STOP_SECONDS):
        """Waits for its end; the exit code, negative for a signal."""
        self.exit_code = self.process.wait(seconds)
        return self.exit_code

    def kill(self):
        """SIGKILL: the process is gone, what it wrote stays in the page cache."""
        return self._signal(signal.SIGKILL)

    def stop(self):
        """SIGTERM; the exit code."""
        return self._signal(signal.SIGTERM)

    def restart(self):
        code = self.stop()
        assert code == 0, f"a clean stop ended with {code}: {self.stderr()}"
        return self.start()

    def crash_restart(self):
        self.kill()
        return self.start()

    def run(self, *arguments, seconds=120):
        """Another command of the same binary, for example run("log", "verify", "--data", server.data)."""
        return subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, env=self.command_environment())

    def command_environment(self):
        return self.env

    def log_verify(self):
        return self.run("log", "verify", "--data", self.data)

    def memory_bytes(self, field="VmRSS"):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as text:
            for line in text:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {field}: has the server ended?")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stdout(self):
        return self._text("stdout")

    def stderr(self):
        return self._text("stderr")

    def snapshots(self):
        """Their file names, the oldest first."""
        try:
            names = os.listdir(os.path.join(self.data, "shard-0", "snapshots"))
        except OSError:
            return []
        return sorted(name for name in names if name.endswith(".snap"))

    def close(self, compare=True):
        """Ends it if it runs, compares its two newest snapshots, and removes the temporary directory. compare=False: the
        test damaged the data on purpose."""
        if self.running():
            self.kill()
        try:
            if compare:
                self._compare_snapshots()
        finally:
            self._was_ready = False  # once
            shutil.rmtree(self.work, ignore_errors=True)

    def _compare_snapshots(self):
        if not self._was_ready or len(self.snapshots()) < 2:
            return
        done = self.run("log", "compare", "--data", self.data)
        if done.returncode not in (0, NOTHING_COMPARED):
            raise SnapshotsDiffer(f"log compare ended with {done.returncode}: {done.stdout}{done.stderr}")

    def use_stable_port(self, name="kafka"):
        """Before the first start: a port that clients can go on trying while nobody listens."""
        self.listen[name] = f"127.0.0.1:{free_port()}"
        return self

    def _signal(self, number):
        if self.running():
            try:
                os.kill(self.pid, number)
            except (ProcessLookupError, IndexError, FileNotFoundError):
                pass  # it ended by itself just now
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
                raise AssertionError(f"signal {number} did not end it within {STOP_SECONDS:g} s; {self.stderr()}") from None
        return self.exit_code if self.process is None or self.exit_code is not None else self.wait(0)

    def _path(self, stream):
        return os.path.join(self.work, stream)

    def _text(self, stream):
        if not os.path.exists(self._path(stream)):
            return ""
        with open(self._path(stream), encoding="utf-8", errors="replace") as text:
            return text.read()


class _ExitWatch:
    """Notices the end of a process at once, without taking its exit status."""

    def __init__(self, pid):
        self.fd = os.pidfd_open(pid)
        self.poll = select.poll()
        self.poll.register(self.fd, select.POLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def ended_within(self, seconds):
        return bool(self.poll.poll(seconds * 1000))
