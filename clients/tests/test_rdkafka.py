"""An application in C on librdkafka (rdkafka/rdkafka_client.c): producer, consumer, offsets, administration, over kills."""

import os
import subprocess
import unittest

from heptane_testkit import ROOT, Server, wait_until
from heptane_testkit import kafka

PROGRAM = os.environ.get("RDKAFKA_CLIENT") or os.path.join(ROOT, "build", "release", "tests", "rdkafka_client")
SECONDS = 90
NO_OFFSET = "-1001"  # librdkafka's name for: nothing committed
AT_END = "-1"


@unittest.skipUnless(os.path.exists(PROGRAM), "rdkafka_client is not built: librdkafka-dev was not there")
class Rdkafka(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=("--segment-mib", 16)).use_stable_port()
        self.addCleanup(self.server.close)
        self.server.start()

    def client(self, *arguments):
        """(lines of stdout, stderr)"""
        done = subprocess.run([PROGRAM, self.server.kafka, *map(str, arguments)], capture_output=True, text=True,
                              timeout=SECONDS, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0 if not done.stderr else 1, done.stdout + done.stderr)
        return done.stdout.splitlines(), done.stderr.strip()

    def run_client(self, *arguments):
        lines, error = self.client(*arguments)
        self.assertEqual(error, "")
        return lines

    def test_every_acknowledged_record_survives_kills_once_and_in_order(self):
        total = 60_000
        out_path = os.path.join(self.server.work, "acknowledged")
        with open(out_path, "wb") as out:
            producer = subprocess.Popen([PROGRAM, self.server.kafka, "produce", "t", str(total)], stdout=out,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(producer.stderr.close)
        self.addCleanup(producer.wait)
        self.addCleanup(producer.kill)
        for part in (2_000, 15_000, 30_000):
            wait_until(lambda part=part: kafka.stream_end(self.server.kafka, "t") >= part, f"record {part}", 60)
            self.assertIsNone(producer.poll(), "the producer is done before the kill: more records are needed")
            self.server.crash_restart()
        self.assertEqual(producer.wait(SECONDS), 0, producer.stderr.read())
        with open(out_path, encoding="ascii") as out:
            acknowledged = {int(n): int(offset) for n, offset in (line.split() for line in out)}
        self.assertEqual(len(acknowledged), total)
        recovered = [tuple(map(int, line.split())) for line in self.run_client("consume", "t", 0, 0)]
        self.assertEqual(kafka.check_recovered(acknowledged, recovered), [])
        self.assertEqual([n for _, n in recovered], list(range(total)))

    def test_assign_seek_and_offsets_by_time(self):
        self.run_client("produce", "t", 10, "compression.type=lz4")
        lines = self.run_client("consume", "t", 0, 4, 7)
        self.assertEqual(lines, [f"{n} {n}" for n in (4, 5, 6, 7, 8, 9, 7, 8, 9)])
        # Record n has the time 1000 (n + 1).
        self.assertEqual(self.run_client("times", "t", 0, 1, 1000, 1001, 9999, 10000, 10001),
                         ["1 0", "1000 0", "1001 1", "9999 9", "10000 9", f"10001 {AT_END}"])
        self.server.crash_restart()
        self.assertEqual(self.run_client("times", "t", 0, 5500), ["5500 5"])
        self.assertEqual(self.run_client("consume", "t", 0, 9), ["9 9"])
        _, error = self.client("consume", "t", 0, 11)
        self.assertIn("_AUTO_OFFSET_RESET", error)

    def test_administration(self):
        self.run_client("create", "t", 3, "retention.ms=3600000")
        self.assertEqual(self.run_client("describe", "t", "retention.ms", "retention.bytes", "cleanup.policy"),
                         ["cleanup.policy delete", "retention.bytes -1", "retention.ms 3600000"])
        self.assertEqual(self.client("create", "t", 1)[1], "create: TOPIC_ALREADY_EXISTS")
        self.assertEqual(self.client("create", "u", 1, "no.such=1")[1], "create: INVALID_CONFIG")
        self.assertEqual(self.client("create", "u", 1025)[1], "create: INVALID_PARTITIONS")
        self.server.crash_restart()
        self.assertEqual(self.run_client("describe", "t", "retention.ms"), ["retention.ms 3600000"])
        self.assertEqual(self.run_client("delete", "t"), [])
        self.assertEqual(self.client("delete", "t")[1], "delete: UNKNOWN_TOPIC_OR_PART")
        self.assertEqual(self.client("describe", "t", "retention.ms")[1], "describe: UNKNOWN_TOPIC_OR_PART")

    def test_committed_offsets(self):
        self.run_client("produce", "t", 5)
        self.assertEqual(self.run_client("committed", "g", "t", 0), [NO_OFFSET])
        self.run_client("commit", "g", "t", 0, 3)
        self.assertEqual(self.run_client("committed", "g", "t", 0), ["3"])
        self.server.crash_restart()
        self.assertEqual(self.run_client("committed", "g", "t", 0), ["3"])
        self.assertEqual(self.run_client("committed", "h", "t", 0), [NO_OFFSET])
        _, error = self.client("commit", "g", "t", 7, 1)
        self.assertEqual(error, "commit: UNKNOWN_TOPIC_OR_PART")


if __name__ == "__main__":
    unittest.main()
