"""Paho's client in C with its messages in files (paho_c_client.py): QoS 2 is exactly once while client and server are killed in turn."""

import os
import subprocess
import sys
import tempfile
import unittest

from heptane_testkit import Server, kafka
from heptane_testkit.mqtt import mosquitto_sub

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paho_c_client.py")
SECONDS = 120
IN_FLIGHT = 10  # Paho's own limit


class PahoC(unittest.TestCase):
    def setUp(self):
        # What Paho keeps it finds again by the server's address.
        self.server = Server().use_stable_port("mqtt")
        self.addCleanup(self.server.close)
        self.server.start()
        self.address = self.server.endpoints["mqtt"]
        directory = tempfile.TemporaryDirectory(prefix="heptane-paho-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def client(self, first, count, finished):
        return subprocess.Popen([sys.executable, CLIENT, self.address, self.directory, *map(str, (first, count, finished))],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kept(self):
        return [name for _, _, names in os.walk(self.directory) for name in names]

    def test_qos_2_is_exactly_once_whoever_is_killed(self):
        subscriber = ("-c", "-i", "subscriber", "-q", 2, "-t", "once")
        mosquitto_sub(self.server.address("mqtt"), *subscriber, "-E")
        sent = 0
        # (how many are finished, who is killed first)
        for finished, killed in ((0, "both"), (3, "client"), (9, "both"), (10, "client"), (0, "server"), (5, "both"), (0, "client")):
            with self.client(sent, IN_FLIGHT, finished) as client:
                try:
                    self.assertEqual(client.stdout.readline(), "published\n", client.stderr.read() if client.poll() else "")
                    sent += IN_FLIGHT
                    if killed != "client":
                        self.server.kill()
                finally:
                    client.kill()
            if killed != "client":
                self.server.start()
            if finished == 0:  # else Paho may have had what was left, too
                self.assertNotEqual(self.kept(), [], "what is owed is in its files")
        with self.client(sent, 0, 0) as client:
            out, err = client.communicate(timeout=SECONDS)
        self.assertEqual((client.returncode, out.splitlines()[-1]), (0, "owes nothing []"), err)
        numbers = list(range(sent))
        logged = kafka.kcat_consume(self.server.kafka, "iot.messages", "-f", "%s\n", seconds=SECONDS)
        self.assertEqual(sorted(map(int, logged)), numbers)
        self.server.crash_restart()
        got = mosquitto_sub(self.server.address("mqtt"), *subscriber, "-C", sent)
        self.assertEqual(sorted(map(int, got)), numbers)


if __name__ == "__main__":
    unittest.main()
