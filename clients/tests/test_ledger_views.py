"""The ledger's streams as other clients read them: kcat, HTTP, WebSocket, explain. Nobody writes them; they are what
TigerBeetle's client made, over restarts, kills and the archive."""

import base64
import json
import os
import struct
import subprocess
import tempfile
import time
import unittest

import websocket
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource
from heptane_testkit import Server, pause
from heptane_testkit import http, kafka

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 120
BATCH = 8189
POLICY_VIOLATION = 44
TRANSFERS, ACCOUNTS = "fintech.transfers", "fintech.accounts"
SMALL = ("--segment-mib", 16, "--snapshot-log-mib", 1, "--archive-mib", 16)


def node(server, script, *arguments):
    done = subprocess.run(["node", os.path.join(HERE, script), server.endpoints["tigerbeetle"], *arguments],
                          capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class LedgerViews(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=SMALL)
        self.addCleanup(self.server.close)
        self.server.start()

    def records(self, topic, offset="beginning"):
        """Offset, key, position, value."""
        lines = kafka.kcat_consume(self.server.kafka, topic, "-f", "%o|%k|%h|%s\n", offset=offset, seconds=SECONDS)
        return [(int(at), key, position, json.loads(value))
                for at, key, position, value in (line.split("|", 3) for line in lines)]

    def expect(self, known):
        found = self.records(TRANSFERS)
        self.assertEqual([at for at, *_ in found], list(range(len(known))))
        self.assertEqual([key for _, key, *_ in found], [transfer["id"] for transfer in known])
        self.assertEqual([value for *_, value in found], known)
        return found

    def test_no_retention_trims_them(self):
        known = node(self.server, "ledger_views_client.js")
        admin = AdminClient({"bootstrap.servers": self.server.kafka})
        http.create(self.server, "beside")
        for stream in (TRANSFERS, ACCOUNTS):
            path = "/api/v1/streams/" + stream
            status, answer = http.call(self.server, "PUT", path, {"retention_ms": 1})
            self.assertEqual((status, answer["error"]["code"]), (409, "refused"), answer)
            wish = ConfigResource("topic", stream, set_config={"retention.ms": "1"})
            (altered,) = admin.alter_configs([wish], request_timeout=SECONDS).values()
            with self.assertRaises(KafkaException) as refused:
                altered.result(SECONDS)
            self.assertEqual(refused.exception.args[0].name(), "POLICY_VIOLATION")
            alter = struct.pack("<H", len(stream)) + stream.encode() + struct.pack("<qq", 1, -1)
            raw = {"machine": 1, "type": 6, "payload_base64": base64.b64encode(alter).decode()}
            status, answer = http.transact(self.server, http.append("beside", 1), raw)
            self.assertEqual(status, 409, answer)
            self.assertIn("kept for ever", answer["error"]["message"])
            self.assertNotIn("retention_ms", http.call(self.server, "GET", path)[1])
            self.assertEqual(self.delete_records(stream, 1), (POLICY_VIOLATION, 0))
        self.server.crash_restart()
        self.assertEqual(http.call(self.server, "PUT", "/api/v1/streams/" + TRANSFERS, {"retention_bytes": 1})[0], 409)
        self.assertEqual(self.delete_records(TRANSFERS, -1), (POLICY_VIOLATION, 0))
        self.expect(known)

    def delete_records(self, stream, before):
        """(error, first offset that is still there)."""
        body = b"".join([(1).to_bytes(4, "big"), kafka.string(stream), (1).to_bytes(4, "big"), (0).to_bytes(4, "big"),
                         before.to_bytes(8, "big", signed=True), (10_000).to_bytes(4, "big")])
        with kafka.connect(self.server.kafka) as link:
            link.sendall(kafka.request(21, 0, body))
            _, answer = kafka.receive_response(link)
        (partition,) = http.call(self.server, "GET", "/api/v1/streams/" + stream)[1]["partitions"]
        return int.from_bytes(answer[-2:], "big"), partition["first_offset"]

    def test_every_field_of_every_transfer(self):
        known = node(self.server, "ledger_views_client.js")
        self.assertEqual(len(known), 6)
        found = self.expect(known)
        position = found[0][2].removeprefix("heptane.position=")
        self.assertRegex(position, "^0:[0-9]+$")
        accounts = self.records(ACCOUNTS)
        self.assertEqual([(value["event"], value["id"]) for *_, value in accounts],
                         [("created", "1"), ("created", "2"), ("created", "3"), ("created", str(2**127)),
                          ("closed", "3"), ("reopened", "3")])
        self.assertEqual(accounts[3][3]["user_data_128"], str(2**100))

        # The command that a record names says so too.
        explained = self.server.run("explain", position, "--data", self.server.data, "--server", self.server.admin, "--json")
        self.assertEqual(explained.returncode, 0, explained.stderr)
        made = json.loads(explained.stdout)["records"]
        self.assertEqual([record["offset"] for record in made if record["stream"] == TRANSFERS], list(range(6)))
        self.assertEqual([record["stream"] for record in made].count(ACCOUNTS), 2)
        self.assertIn('10 = {"id":"10"', [record["text"] for record in made if record["stream"] == TRANSFERS][-1])

        for how in (self.server.restart, self.server.crash_restart):
            how()
            self.expect(known)
        dumped = self.server.run("log", "dump", "--data", self.server.data)
        self.assertEqual(dumped.returncode, 0, dumped.stderr)
        self.assertRegex(dumped.stdout, "view [0-9]+ offset 0 records 6")
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_over_http_and_websocket(self):
        known = node(self.server, "ledger_views_client.js")
        status, answer = http.call(self.server, "GET", f"/api/v1/streams/{TRANSFERS}/records?offset=2&limit=3")
        self.assertEqual(status, 200, answer)
        self.assertEqual([record["value"] for record in answer["records"]], known[2:5])
        streams = {stream["name"]: stream for stream in http.call(self.server, "GET", "/api/v1/streams")[1]["streams"]}
        self.assertTrue(streams[TRANSFERS]["view"])
        link = websocket.create_connection(f"ws://{self.server.admin}/api/v1/streams/{TRANSFERS}/tail?from=start",
                                           timeout=SECONDS)
        self.addCleanup(link.shutdown)
        self.assertEqual([json.loads(link.recv())["value"] for _ in known], known)
        node(self.server, "tigerbeetle_client.js", "batches", json.dumps({"first": 1000, "count": 1}))
        self.assertEqual(json.loads(json.loads(link.recv())["value"]["amount"]), 1)

    def test_nobody_else_writes(self):
        node(self.server, "ledger_views_client.js")
        refused = kafka.kcat(self.server.kafka, "-P", "-t", TRANSFERS, text_in="mine\n", accept=None)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("policy", refused.stderr.lower())
        body = {"records": [{"value": "mine"}]}
        status, answer = http.call(self.server, "POST", f"/api/v1/streams/{TRANSFERS}/records", body)
        self.assertEqual((status, answer["error"]["code"]), (409, "refused"))
        self.assertIn("view", answer["error"]["message"])
        status, answer = http.call(self.server, "DELETE", f"/api/v1/streams/{TRANSFERS}")
        self.assertEqual(status, 409, answer)
        self.assertEqual(len(self.records(TRANSFERS)), 6)

    def test_a_consumer_that_was_first(self):
        """Its topic has no records yet, and becomes the ledger's."""
        http.create(self.server, TRANSFERS)
        self.assertEqual(self.records(TRANSFERS), [])
        self.expect(node(self.server, "ledger_views_client.js"))

    def test_by_time(self):
        node(self.server, "ledger_views_client.js")
        middle = 1000 * time.time()
        while 1000 * time.time() < middle + 20:
            pause(0.005)
        node(self.server, "tigerbeetle_client.js", "batches", json.dumps({"first": 1000, "count": 1}))
        later = self.records(TRANSFERS, offset=f"s@{int(middle) + 10}")
        self.assertEqual((later[0][0], len(later)), (6, BATCH))

    def test_much_of_it_out_of_the_archive_and_a_backup(self):
        first, total = 1000, 0
        directory = os.path.join(self.server.data, "shard-0", "archive")
        deadline = time.monotonic() + SECONDS
        while not any(name.endswith(".archive") for name in os.listdir(directory)):
            self.assertLess(time.monotonic(), deadline, "nothing was archived")
            node(self.server, "tigerbeetle_client.js", "batches", json.dumps({"first": first, "count": 4}))
            first += 4 * BATCH
            total += 4 * BATCH
            self.assertEqual(self.server.run("snapshot", "--server", self.server.admin).returncode, 0)
        self.expect_batches(total)
        self.server.crash_restart()
        self.expect_batches(total)
        self.assertEqual(self.server.stop(), 0)
        with tempfile.TemporaryDirectory() as elsewhere:
            for arguments in (("backup", "--data", self.server.data, os.path.join(elsewhere, "copy")),
                              ("restore", os.path.join(elsewhere, "copy"), "--data", os.path.join(elsewhere, "data"))):
                done = self.server.run(*arguments)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with Server(data=os.path.join(elsewhere, "data"), args=SMALL) as self.server:
                self.expect_batches(total)

    def expect_batches(self, total):
        found = self.records(TRANSFERS)
        self.assertEqual([at for at, *_ in found], list(range(total)))
        self.assertTrue(all(key == value["id"] for _, key, _, value in found))
        stamps = [int(value["timestamp"]) for *_, value in found]
        self.assertEqual(stamps, sorted(set(stamps)))


if __name__ == "__main__":
    unittest.main()
