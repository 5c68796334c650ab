"""The ledger with TigerBeetle's own client for Node.js, unmodified: it asserts on every field of a reply and takes its process
down when one is wrong. Over kill -9, restarts and power cuts.

HEPTANE_TEST_SCALE multiplies the number of cuts.
"""

import json
import os
import random
import socket
import subprocess
import unittest

from heptane_testkit import Server

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "tigerbeetle_client.js")
SMALL_SEGMENTS = ("--segment-mib", 16, "--snapshot-log-mib", 1)
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
SECONDS = 120


def command(server, script, arguments):
    return ["node", SCRIPT, server.endpoints["tigerbeetle"], script, json.dumps(arguments)]


def run(server, script, **arguments):
    """The script's last line; what it printed when it failed."""
    done = subprocess.run(command(server, script, arguments), capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class OneServer(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=SMALL_SEGMENTS).use_stable_port("tigerbeetle")
        self.addCleanup(self.server.close)
        self.server.start()

    def assert_sound_end(self):
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)


class Operations(OneServer):
    def test_everything_a_client_asks(self):
        run(self.server, "everything")
        self.assert_sound_end()

    def test_imported_events(self):
        run(self.server, "imported")

    def test_full_batches(self):
        self.assertEqual(run(self.server, "batches", first=1, count=6), {"debits": 6 * 8189})
        self.server.restart()
        self.assertEqual(run(self.server, "batches", first=100_000, count=2), {"debits": 8 * 8189})

    def test_requests_at_once_share_a_message(self):
        run(self.server, "concurrent", first=1, count=500)
        self.assertEqual(run(self.server, "count", first=1, last=500), {"found": 500, "debits": 500, "credits": 500})

    def test_time_outs_over_a_restart(self):
        run(self.server, "pending", timeout=1)
        self.server.crash_restart()
        run(self.server, "expired")

    def test_the_session_used_longest_ago_is_evicted(self):
        run(self.server, "crowd", clients=64)

    def test_what_is_no_message_closes(self):
        with socket.create_connection(self.server.address("tigerbeetle")) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(300))
            self.assertEqual(connection.recv(1000), b"")
        run(self.server, "everything")


class Kill(OneServer):
    def test_everything_is_there_after_kills(self):
        run(self.server, "everything")
        before = run(self.server, "count", first=1, last=100)
        for _ in range(2):
            self.server.crash_restart()
            self.assertEqual(run(self.server, "count", first=1, last=100), before)

    def test_a_session_goes_on_over_a_kill(self):
        client = subprocess.Popen(command(self.server, "over", {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), "ready\n")
        self.server.crash_restart()
        out, err = client.communicate("go on\n", timeout=SECONDS)
        self.assertEqual((client.returncode, out), (0, "{}\n"), err)

    def test_acknowledged_transfers_survive_kills_once(self):
        pour = Pour(self.server)
        self.addCleanup(pour.close)
        for target in (50, 100, 150):
            pour.until(target)
            self.server.crash_restart()
        pour.until(200)
        pour.close()
        found = run(self.server, "count", first=1, last=pour.last + 1)
        self.assertGreaterEqual(found["found"], pour.last)
        self.assertEqual((found["debits"], found["credits"]), (found["found"], found["found"]))
        self.assert_sound_end()


class Pour:
    """A client that makes transfers one after another, numbered from 1."""

    def __init__(self, server):
        self.process = subprocess.Popen(command(server, "pour", {"first": 1}), stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.last = 0

    def until(self, number):
        while self.last < number:
            line = self.process.stdout.readline()
            assert line, "the client ended"
            assert int(line) == self.last + 1, line
            self.last += 1

    def close(self):
        if self.process.stdout.closed:
            return
        self.process.kill()
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.last = int(line)
        self.process.stdout.close()
        self.process.wait()


class PowerCut(unittest.TestCase):
    def test_acknowledged_transfers_survive_cuts(self):
        server = Server.with_powercut(args=SMALL_SEGMENTS).use_stable_port("tigerbeetle")
        self.addCleanup(server.close)
        server.start()
        pour = Pour(server)
        self.addCleanup(pour.close)
        notes = []  # (position, acknowledged before it was taken)
        for number in range(5, 125, 3):
            pour.until(number)
            notes.append((server.position(), number))
        pour.close()
        server.kill()
        rng = random.Random(4)
        for seed in range(max(1, round(6 * SCALE))):
            position, acknowledged = rng.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    found = run(after, "count", first=1, last=50_000)  # the client is ahead of what was read of it
                    self.assertGreaterEqual(found["found"], acknowledged)
                    self.assertEqual((found["debits"], found["credits"]), (found["found"], found["found"]))
                    self.assertEqual(run(after, "batches", first=1_000_000, count=1)["debits"], found["found"] + 8189)
                    self.assertEqual(after.stop(), 0)
                finally:
                    after.close()


if __name__ == "__main__":
    unittest.main()
