"""A disk that really fills: new records are refused in the protocol's words while reads go on; deleting a stream makes room
without a restart. Needs root for a small tmpfs; skipped without."""

import json
import os
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import test_tigerbeetle
from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import Connection, mosquitto_sub, packet, string

@unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
class Filled(unittest.TestCase):
    disk_size, pad = "400m", 1000

    def setUp(self):
        self.disk = tempfile.mkdtemp(prefix="heptane-disk-")
        self.addCleanup(os.rmdir, self.disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.disk_size}", "tmpfs", self.disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.server = Server(data=os.path.join(self.disk, "data"), args=("--segment-mib", 16, "--snapshot-log-mib", 32))
        self.addCleanup(self.server.close)
        self.server.start()

    def fill(self, stream):
        """Produces until it is refused; the number of records acknowledged."""
        recorder = kafka.Recorder(self.server.kafka, stream, pad=self.pad,
                                  **{"message.timeout.ms": 4000, "enable.idempotence": False, "acks": "all"})
        while not recorder.failed:
            if recorder.next_n - len(recorder.acknowledged) < 5_000_000 // self.pad:
                recorder.send(500_000 // self.pad)
            recorder.poll(0.01)
        recorder.drop()
        return len(recorder.acknowledged)


class DiskFull(Filled):
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

    def test_a_settlement_whose_reply_was_lost_is_answered(self):
        test_tigerbeetle.run(self.server, "pending", timeout=0)
        self.fill("big")
        rows = [{"id": "9", "debit_account_id": "1", "credit_account_id": "2", "amount_raw": "1", "ledger": 1, "code": 1}]
        self.assertEqual(http.call(self.server, "POST", "/api/v1/ledger/transfers", {"transfers": rows})[0], 507)
        proxy = test_tigerbeetle.LosesAReply(self.server)
        self.addCleanup(proxy.close)
        proxy.go_on()
        test_tigerbeetle.run(proxy, "settle", post="1", void="2")
        self.assertTrue(proxy.lost.is_set())
        self.assertEqual(test_tigerbeetle.run(self.server, "count", first=1, last=2), {"found": 2, "debits": 10, "credits": 10})

    def publish(self, text):
        """To `kept` at QoS 1, MQTT 5; the reason in its PUBACK."""
        with Connection(self.server.address("mqtt")).open("p", 5) as connection:
            connection.send(packet(0x32, string("kept") + b"\0\1\0" + text.encode()))
            answer = connection.read()
            self.assertEqual(answer[:1] + answer[2:4], b"\x40\0\1")
            return answer[4:5] or b"\0"

    def test_mqtt_3_waits_for_room(self):
        self.fill("big")
        with Connection(self.server.address("mqtt")).open("p", 4) as connection:
            for number in (1, 2, 3):
                connection.send(packet(0x32, string("kept") + bytes([0, number]) + str(number).encode()))
            self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/big")[0], 200)
            self.assertEqual([connection.read() for _ in range(3)], [bytes([0x40, 2, 0, n]) for n in (1, 2, 3)])
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "iot.messages"), ["1", "2", "3"])

    def test_mqtt_refuses_and_keeps_what_it_acknowledged(self):
        subscriber = ("-c", "-i", "s", "-q", 1, "-t", "kept")
        mosquitto_sub(self.server.address("mqtt"), *subscriber, "-E")
        self.assertEqual([self.publish(f"before {i}") for i in range(5)], [b"\0"] * 5)
        self.fill("big")
        self.assertEqual([self.publish(f"full {i}") for i in range(5)], [b"\x97"] * 5)
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/big")[0], 200)
        wait_until(lambda: self.publish("after") == b"\0", "room for a message", seconds=60)
        self.server.crash_restart()
        got = mosquitto_sub(self.server.address("mqtt"), *subscriber, "-C", 6)
        self.assertEqual(got, [f"before {i}" for i in range(5)] + ["after"])


class Devices(Filled):
    """Shadows, jobs and points are refused as their protocols have it, what is there is read, and what things must finish they can."""

    pad = 20_000

    def call(self, method, path, body=None):
        return http.call(self.server, method, "/api/v1" + path, body)

    def ask(self, topic, text):
        """Of pump-1, at QoS 1; the reason in its PUBACK."""
        with Connection(self.server.address("mqtt")).open("pump-1", 5) as connection:
            connection.send(packet(0x32, string("$aws/things/pump-1/" + topic) + b"\0\1\0" + text.encode()))
            return connection.read()[4:5] or b"\0"

    def shadow(self):
        status, answer = self.call("GET", "/devices/pump-1/shadow")
        self.assertEqual(status, 200, answer)
        return answer["state"]["reported"]["n"]

    def update(self, n):
        return self.ask("shadow/update", json.dumps({"state": {"reported": {"n": n}}}))

    def job(self, name):
        return self.call("POST", "/jobs", {"id": name, "things": ["pump-1"], "document": {"do": "it"}})[0]

    def influx(self, path, body=b""):
        host, port = self.server.address("series")
        request = urllib.request.Request(f"http://{host}:{port}{path}", data=body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def count(self):
        status, body = self.influx("/query?db=plant&q=SELECT+count(v)+FROM+m")
        self.assertEqual(status, 200, body)
        return json.loads(body)["results"][0]["series"][0]["values"][0][1]

    def test_shadows_jobs_and_series(self):
        self.assertEqual(self.call("POST", "/devices", {"name": "pump-1"})[0], 201)
        self.assertEqual((self.update(1), self.job("first")), (b"\0", 201))
        self.assertEqual(self.influx("/query?q=CREATE+DATABASE+plant")[0], 200)
        self.assertEqual(self.influx("/write?db=plant", b"m v=1 1")[0], 204)
        self.fill("big")
        self.assertEqual((self.update(2), self.job("second")), (b"\x97", 507))
        status, body = self.influx("/write?db=plant", b"m v=1 2")
        self.assertEqual(status, 507, body)
        self.assertIn("the disk is nearly full", json.loads(body)["error"])
        self.assertEqual(self.call("POST", "/devices", {"name": "pump-2"})[0], 507)
        self.assertEqual(self.call("POST", "/devices/pump-1/shadow", {"state": {"desired": {"n": 1}}})[0], 507)
        self.assertEqual((self.shadow(), self.count()), (1, 1))
        # What was begun comes to its end.
        self.assertEqual(self.ask("jobs/first/update", json.dumps({"status": "SUCCEEDED"})), b"\0")
        status, job = self.call("GET", "/jobs/first")
        self.assertEqual((status, job["counts"]["SUCCEEDED"]), (200, 1), job)
        self.assertEqual(self.call("DELETE", "/streams/big")[0], 200)
        wait_until(lambda: self.update(3) == b"\0", "room for a shadow", seconds=60)
        self.assertEqual(self.job("second"), 201)
        self.assertEqual(self.influx("/write?db=plant", b"m v=1 3")[0], 204)
        self.server.crash_restart()
        self.assertEqual((self.shadow(), self.count()), (3, 2))
        self.assertEqual([job["id"] for job in self.call("GET", "/jobs")[1]["jobs"]], ["first", "second"])
