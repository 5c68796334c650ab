"""Starts the real Heptane for client tests and takes it down again: see clients/README.md.

    from heptane_testkit import Server
    with Server() as server:
        print(server.endpoints["kafka"])  # 127.0.0.1:40123
"""

from .powercut import PowercutServer, powercut_module
from .server import ROOT, Refused, Server, SnapshotsDiffer, default_binary
from .wait import Deadline, free_port, pause, wait_until

__all__ = [
    "Deadline", "PowercutServer", "ROOT", "Refused", "Server", "SnapshotsDiffer", "default_binary", "free_port", "pause",
    "powercut_module", "wait_until",
]
