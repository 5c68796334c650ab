"""Waiting for what can be seen, with a deadline: the one place where a test's process waits by polling."""

import random
import select
import socket
import time

POLL_SECONDS = 0.005


class Deadline:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def over(self):
        return self.left() == 0.0


def pause(seconds):
    """Lets time pass between two polls."""
    select.select([], [], [], seconds)


def wait_until(predicate, what, seconds=20.0):
    """The first true value of predicate(); AssertionError naming `what` when there is none in time."""
    deadline = Deadline(seconds)
    while True:
        value = predicate()
        if value:
            return value
        if deadline.over():
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        pause(POLL_SECONDS)


def free_port():
    """A port below those that the system hands out by itself. A client that reconnects to a port of that range while the
    server is down can be given it as its own end and be connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
        top = min(int(text.read().split()[0]), 32768)
    for _ in range(1000):
        port = random.randrange(10_000, top) if top > 10_100 else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise RuntimeError("no free port on 127.0.0.1")
