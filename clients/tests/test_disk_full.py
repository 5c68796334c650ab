"""A disk that really fills: new records are refused in the protocol's words while reads go on; deleting a stream makes room
without a restart. Needs root for a small tmpfs; skipped without."""

import os
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka

DISK = "400m"


@unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
class DiskFull(unittest.TestCase):
    def setUp(self):
        self.disk = tempfile.mkdtemp(prefix="heptane-disk-")
        self.addCleanup(os.rmdir, self.disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.server = Server(data=os.path.join(self.disk, "data"), args=("--segment-mib", 16, "--snapshot-log-mib", 32))
        self.addCleanup(self.server.close)
        self.server.start()

    def fill(self, stream):
        """Produces until it is refused; the number of records acknowledged."""
        recorder = kafka.Recorder(self.server.kafka, stream, pad=1000,
                                  **{"message.timeout.ms": 4000, "enable.idempotence": False, "acks": "all"})
        while not recorder.failed:
            if recorder.next_n - len(recorder.acknowledged) < 5000:
                recorder.send(500)
            recorder.poll(0.01)
        recorder.drop()
        return len(recorder.acknowledged)

    def test_refuse_read_delete_go_on(self):
        acknowledged = self.fill("big")
        self.assertGreater(acknowledged, 50_000)
        self.assertIsNone(self.server.process.poll(), "the server stopped on a full disk")
        self.assertEqual(http.create(self.server, "more")[0], 507)
        self.assertGreaterEqual(kafka.stream_end(self.server.kafka, "big"), acknowledged)
        self.assertEqual(len(kafka.read_messages(self.server.kafka, "big", count=1000)), 1000)
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/big")[0], 200)
        wait_until(lambda: http.create(self.server, "more")[0] == 201, "room for a new stream", seconds=60)
        kafka.kcat_produce(self.server.kafka, "more", text_in="it goes on\n")
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "more"), ["it goes on"])
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.log_verify().returncode, 0)
        self.server.start()
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "more"), ["it goes on"])
