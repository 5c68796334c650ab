"""A mosquitto broker on loopback, ended by its id."""

import os
import shutil
import socket
import subprocess
import tempfile

from .wait import free_port, wait_until


class Mosquitto:
    def __init__(self, *lines, anonymous=True):
        """lines: of its configuration, of the listener."""
        self.work = tempfile.mkdtemp(prefix="mosquitto-test-")
        self.port = free_port()
        self.lines = [f"allow_anonymous {str(anonymous).lower()}", *lines]
        self.process = None

    @property
    def address(self):
        return "127.0.0.1", self.port

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self):
        path = os.path.join(self.work, "mosquitto.conf")
        with open(path, "w", encoding="ascii") as out:
            out.write("\n".join(["max_queued_messages 0", f"listener {self.port} 127.0.0.1", *self.lines, ""]))
        with open(os.path.join(self.work, "log"), "ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, "mosquitto", seconds=30)
        return self

    def _answers(self):
        try:
            socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self):
        with open(os.path.join(self.work, "log"), encoding="utf-8", errors="replace") as text:
            return text.read()
