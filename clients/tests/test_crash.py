"""kill -9 in the middle of production, on one port, with producers that go on: every acknowledged record is there, in order,
once. The page cache survives this; what does not is in test_powercut.py."""

import json
import os
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, pause, wait_until
from heptane_testkit import kafka

SMALL_SEGMENTS = ("--segment-mib", 16)
MOST_UNDER_WAY = 3000  # the producers hold more: sending never waits for a server that is down


class Crash(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=SMALL_SEGMENTS).use_stable_port()
        self.addCleanup(self.server.close)
        self.server.start()

    def kill_under_load(self, recorder, after, most=MOST_UNDER_WAY):
        """Sends until `after` more records are acknowledged and some are not, then kills the server."""
        target = len(recorder.acknowledged) + after
        while len(recorder.acknowledged) < target or len(recorder.acknowledged) == recorder.next_n:
            if recorder.next_n - len(recorder.acknowledged) < most:
                recorder.send(min(100, most))
            recorder.poll(0.001)
        self.server.kill()

    def assert_recovered(self, recorder, topic, complete=True):
        self.assertEqual(recorder.failed, {})
        recovered = kafka.read_numbers(self.server.kafka, topic)
        self.assertEqual(kafka.check_recovered(recorder.acknowledged, recovered), [])
        if complete:
            self.assertEqual([n for _, n in recovered], list(range(recorder.next_n)))

    def test_producer_goes_on_over_kills(self):
        recorder = kafka.Recorder(self.server.kafka, "t", pad=100, **{"batch.num.messages": 200})
        for _ in range(5):
            self.kill_under_load(recorder, 3000)
            recorder.send(200)  # the producer does not know yet, or tries again in vain
            self.server.start()
            self.assert_recovered(recorder, "t", complete=False)
        recorder.flush()
        self.assert_recovered(recorder, "t")
        self.assertEqual(len(recorder.acknowledged), recorder.next_n)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.log_verify().returncode, 0)

    def test_records_one_at_a_time(self):
        # A batch for each record, one request after another: kills land between write, sync and answer.
        recorder = kafka.Recorder(self.server.kafka, "t", **{"linger.ms": 0, "batch.num.messages": 1})
        for _ in range(6):
            self.kill_under_load(recorder, 25, most=50)
            self.server.start()
        recorder.flush()
        self.assert_recovered(recorder, "t")

    def test_several_producers_and_codecs(self):
        recorders = {codec: kafka.Recorder(self.server.kafka, codec, pad=200,
                                           **{"compression.type": codec})
                     for codec in ("none", "gzip", "lz4", "zstd")}
        for _ in range(3):
            for recorder in recorders.values():
                recorder.send(1000)
                recorder.poll(0)
            self.kill_under_load(recorders["lz4"], 500)
            self.server.start()
        for codec, recorder in recorders.items():
            recorder.flush()
            self.assert_recovered(recorder, codec)

    def test_killed_while_it_starts(self):
        recorder = kafka.Recorder(self.server.kafka, "t", pad=500)
        self.kill_under_load(recorder, 20_000)
        for step in range(8):
            self.server.launch()
            pause(0.002 * step)  # whatever it has come to by then
            self.server.kill()
        self.server.start()
        recorder.flush()
        self.assert_recovered(recorder, "t")

    def test_killed_and_restarted_without_new_records(self):
        recorder = kafka.Recorder(self.server.kafka, "t")
        recorder.send(1000)
        recorder.flush()
        for _ in range(4):
            self.server.crash_restart()
            self.assert_recovered(recorder, "t")

    def test_kcat_goes_on_over_a_kill(self):
        total = 100_000
        with tempfile.TemporaryDirectory() as directory:
            path = kafka.write_lines(os.path.join(directory, "lines.jsonl"), total)
            command = kafka.kcat_command(self.server.kafka, "-P", "-E", "-X", "enable.idempotence=true", "-t", "t", "-X",
                                         "batch.num.messages=100", "-X", "linger.ms=0", "-l", path)
            producer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
            self.addCleanup(producer.wait)
            self.addCleanup(producer.kill)
            for part in (1000, 20_000, 50_000):
                wait_until(lambda: kafka.stream_end(self.server.kafka, "t") >= part, f"record {part}", 20)
                self.assertIsNone(producer.poll(), "kcat is done before the kill: more records are needed")
                self.server.crash_restart()
            self.assertEqual(producer.wait(60), 0)
        numbers = [json.loads(line)["n"] for line in kafka.kcat_consume(self.server.kafka, "t")]
        self.assertEqual(numbers, list(range(total)))


if __name__ == "__main__":
    unittest.main()
