"""History: log segments that no recovery needs become archive segments; real clients read on, over restarts and kills."""

import json
import os
import time
import unittest
import urllib.request

import confluent_kafka
from heptane_testkit import Server
from heptane_testkit import kafka

TOPICS = 8
ROUNDS = 2_500
PATIENCE_SECONDS = 120


class Archive(unittest.TestCase):
    def produce(self, server, rounds, size, config=None, first=0):
        producer = confluent_kafka.Producer({"bootstrap.servers": server.kafka, "acks": "all", "linger.ms": 5,
                                             **(config or {})})
        for n in range(first, first + rounds):
            for topic in range(TOPICS):
                while True:
                    try:
                        producer.produce(f"t{topic}", f"{n} ".encode() + os.urandom(size).hex().encode())
                        break
                    except BufferError:
                        producer.poll(0.1)
        self.assertEqual(producer.flush(PATIENCE_SECONDS), 0)

    def archived(self, server):
        directory = os.path.join(server.data, "shard-0", "archive")
        return [name for name in os.listdir(directory) if name.endswith(".archive")]

    def snapshots(self, server):
        directory = os.path.join(server.data, "shard-0", "snapshots")
        return sorted(int(name.split(".")[0]) for name in os.listdir(directory) if name.endswith(".snap"))

    def produce_until_archived(self, server):
        """Only what lies below the snapshot before the newest one is archived: recovery must do with that one, too."""
        rounds = 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.archived(server)) < 2:
            self.assertLess(time.monotonic(), deadline, "nothing was archived")
            self.produce(server, ROUNDS, 600, first=rounds)
            rounds += ROUNDS
        return rounds

    def expect_all(self, server, rounds):
        for topic in range(TOPICS):
            messages = kafka.read_messages(server.kafka, f"t{topic}", count=rounds, seconds=PATIENCE_SECONDS)
            self.assertEqual([int(message.value().split()[0]) for message in messages], list(range(rounds)))

    def at(self, server, moment, part):
        return server.run("at", moment, part, "--data", server.data, "--json")

    def expect_the_past(self, server):
        """Below the log: each state has as many records as the one before it, and those of the command between."""
        snapshots = self.snapshots(server)
        for sequence in (TOPICS + 12, snapshots[0] - 3, snapshots[0] + 3):
            ends = []
            for behind in (sequence - 1, sequence):
                done = self.at(server, f"0:{behind}", "streams")
                self.assertEqual(done.returncode, 0, done.stderr)
                found = json.loads(done.stdout)
                self.assertEqual(found["position"], f"0:{behind}")
                ends.append(sum(part["end_offset"] for stream in found["streams"] for part in stream["partitions"]))
            self.assertGreater(ends[1], ends[0])
        exact = self.at(server, f"0:{snapshots[0]}", "hash")
        self.assertEqual(exact.returncode, 0, exact.stderr)

    def test_history_is_read_from_archive_segments(self):
        args = ["--segment-mib", "16", "--snapshot-log-mib", "16", "--archive-mib", "16"]
        with Server(args=args) as server:
            rounds = self.produce_until_archived(server)
            self.expect_all(server, rounds)
            self.expect_the_past(server)
            server.crash_restart()
            self.expect_all(server, rounds)
            # Deleted streams free their archive segments, and the others are still whole.
            for topic in range(1, TOPICS):
                request = urllib.request.Request(f"http://{server.admin}/api/v1/streams/t{topic}", method="DELETE")
                request.add_header("Content-Type", "application/json")
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.assertEqual(answer.status, 200, json.load(answer))
            messages = kafka.read_messages(server.kafka, "t0", count=rounds, seconds=PATIENCE_SECONDS)
            self.assertEqual(len(messages), rounds)
            server.restart()
            messages = kafka.read_messages(server.kafka, "t0", count=rounds, seconds=PATIENCE_SECONDS)
            self.assertEqual(len(messages), rounds)
            server.stop()
            self.expect_damage_found(server)

    def expect_damage_found(self, server):
        """Of records and state that are not in the log any more: by `log verify`, with file and offset."""
        home = os.path.join(server.data, "shard-0")
        report = server.run("log", "verify", "--data", server.data, "--json")
        self.assertEqual(report.returncode, 0, report.stderr)
        sound = json.loads(report.stdout)
        self.assertEqual((sound["sound"], sound["snapshots"]), (True, len(server.snapshots())))
        self.assertEqual(sound["archive_segments"], len(self.archived(server)))
        for path in (os.path.join(home, "archive", self.archived(server)[0]), os.path.join(home, "snapshots", server.snapshots()[0])):
            middle = os.path.getsize(path) // 2
            self.flip(path, middle)
            done = server.log_verify()
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, os.path.basename(path) + r"[: ].*offset \d+: ")
            self.assertIn("\nNOT sound: ", done.stdout)
            self.flip(path, middle)
        self.assertEqual(server.log_verify().returncode, 0)

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1]))


if __name__ == "__main__":
    unittest.main()
