"""Snapshots of the real server: at every so many starts two of them are compared by replay, in the background."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, SnapshotsDiffer, default_binary, wait_until
from heptane_testkit import http, kafka


class Comparison(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="heptane-compare-")
        self.addCleanup(shutil.rmtree, self.directory)
        config = os.path.join(self.directory, "heptane.toml")
        with open(config, "w", encoding="utf-8") as text:
            text.write("[snapshot]\ncompare_starts = 2\n")
        self.server = self.make(os.path.join(self.directory, "data"), config)

    def make(self, data, config):
        server = Server(data=data, args=("--config", config))
        self.addCleanup(server.close)
        return server

    def append(self, server, value):
        status, answer = http.transact(server, http.append("s", value))
        self.assertEqual(status, 200, answer)

    def compare(self, data):
        return subprocess.run([default_binary(), "log", "compare", "--data", data], capture_output=True, text=True,
                              timeout=120)

    def compared(self, server, result):
        line = f'heptane_snapshot_comparisons_total{{result="{result}"}} 1\n'
        wait_until(lambda: line in http.text(server, "/metrics"), "a comparison", seconds=60)

    def events(self, server):
        return [event for event in map(json.loads, kafka.kcat_consume(server.kafka, "audit"))
                if event["action"] == "snapshot.compare"]

    def snapshots(self, data):
        directory = os.path.join(data, "shard-0", "snapshots")
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(".snap")]

    def two_snapshots(self):
        """Two of a stopped server; in between and behind them, commands."""
        self.server.start()
        http.create(self.server, "s")
        self.append(self.server, "one")
        self.assertEqual(http.call(self.server, "POST", "/api/v1/snapshot", {})[0], 202)
        wait_until(lambda: len(self.snapshots(self.server.data)) == 1, "the first snapshot")
        self.append(self.server, "two")

    def test_a_second_request_finds_nothing_new(self):
        """It ends all the same, with what is there."""
        self.server.start()
        http.create(self.server, "s")
        first = self.server.run("snapshot", "--server", self.server.admin)
        second = self.server.run("snapshot", "--server", self.server.admin)
        self.assertEqual((first.returncode, second.returncode), (0, 0), first.stderr + second.stderr)
        self.assertEqual(first.stdout, second.stdout)

    def test_every_second_start_compares(self):
        self.two_snapshots()
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(len(self.snapshots(self.server.data)), 2)
        self.server.start()  # the second one
        self.compared(self.server, "same")
        self.assertIn("the snapshots were compared: replay from the snapshot at", self.server.stderr())
        wait_until(lambda: http.call(self.server, "GET", "/api/v1/streams/audit")[0] == 200, "the event")
        event, = self.events(self.server)
        self.assertEqual((event["by"], event["on"], event["outcome"]), ("local", "snapshots", "done"))
        self.server.restart()  # the third one
        self.assertIn('heptane_snapshot_comparisons_total{result="same"} 0\n', http.text(self.server, "/metrics"))
        self.assertEqual(self.server.stop(), 0)
        same = self.compare(self.server.data)
        self.assertEqual(same.returncode, 0, same.stderr)

    def test_a_difference_is_an_alarm(self):
        self.two_snapshots()
        self.server.kill()
        other = os.path.join(self.directory, "other")
        shutil.copytree(self.server.data, other)
        twin = self.make(other, self.server.args[1])
        # As many commands in both, and not the same ones: a snapshot that fits the log and is not what the log makes.
        for server, value in ((self.server, ["three"]), (twin, ["three", "four"])):
            server.start()
            status, answer = http.transact(server, http.append("s", *value))
            self.assertEqual(status, 200, answer)
            self.assertEqual(server.stop(), 0)
        false, true = self.snapshots(other)[-1], self.snapshots(self.server.data)[-1]
        self.assertEqual(os.path.basename(false), os.path.basename(true))
        shutil.copy(false, true)
        said = self.compare(self.server.data)
        self.assertEqual(said.returncode, 1, said.stdout + said.stderr)
        self.assertIn("is not what replay makes", said.stderr)

        self.server.start()  # the third one
        self.server.kill()
        self.server.start()
        self.compared(self.server, "different")
        self.assertIn("THE SNAPSHOTS DIFFER", self.server.stderr())
        self.assertEqual(http.call(self.server, "GET", "/readyz")[0], 200)
        self.assertEqual(http.create(self.server, "more")[0], 201)
        self.assertEqual(self.events(self.server)[-1]["outcome"], "failed")
        with self.assertRaises(SnapshotsDiffer):  # as at the end of every test
            self.server.close()

    def test_nothing_to_compare_and_no_data(self):
        self.server.start()
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.compare(self.server.data).returncode, 3)
        self.assertEqual(self.compare("/nowhere").returncode, 3)


if __name__ == "__main__":
    unittest.main()
