"""Streams over HTTP with a client that was not written for them: create, append, read, wait, change, delete."""

import json
import threading
import unittest
import urllib.error
import urllib.request

import confluent_kafka
import confluent_kafka.admin
from heptane_testkit import Server
from heptane_testkit import http, kafka


class HttpStreams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def call(self, method, path, body=None, headers=None, raw=None):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.server.admin}{path}", data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    def json(self, *arguments, **named):
        status, body = self.call(*arguments, **named)
        return status, json.loads(body)

    def create(self, name, **options):
        status, answer = self.json("POST", "/api/v1/streams", {"name": name, **options})
        self.assertEqual(status, 201, answer)

    def test_what_is_appended_is_read_over_http_and_kafka(self):
        self.create("readings", partitions=2)
        records = [{"key": "m1", "value": {"kwh": 1.25}}, {"value": "text"}, {"value_base64": "AP8="}]
        path = "/api/v1/streams/readings/records"
        status, first = self.json("POST", path, {"records": records}, headers={"Idempotency-Key": "one"})
        self.assertEqual((status, first["offset"], first["count"]), (200, 0, 3))
        status, again = self.json("POST", path, {"records": records}, headers={"Idempotency-Key": "one"})
        self.assertEqual((again["offset"], again["position"], again["repeated"]), (0, first["position"], True))
        status, other = self.json("POST", path, {"records": records[:1]}, headers={"Idempotency-Key": "one"})
        self.assertEqual(status, 422, other)
        self.assertIn("another request", other["error"]["message"])

        status, read = self.json("GET", path + "?offset=0")
        self.assertEqual([record["offset"] for record in read["records"]], [0, 1, 2])
        self.assertEqual(read["records"][0]["value"], {"kwh": 1.25})
        self.assertEqual(read["records"][1]["value"], "text")
        self.assertEqual(read["records"][2]["value_base64"], "AP8=")
        self.assertEqual((read["next_offset"], read["end_offset"]), (3, 3))
        self.assertEqual(json.loads(kafka.kcat_consume(self.server.kafka, "readings", "-p", "0")[0]), {"kwh": 1.25})

        lines = b'{"value":{"n":1}}\n{"value":{"n":2}}\n'
        status, answer = self.json("POST", path + "?partition=1", raw=lines,
                                   headers={"Content-Type": "application/x-ndjson"})
        self.assertEqual((status, answer["count"]), (200, 2))
        status, text = self.call("GET", path + "?partition=1", headers={"Accept": "application/x-ndjson"})
        self.assertEqual([json.loads(line)["value"] for line in text.splitlines()], [{"n": 1}, {"n": 2}])

    def test_a_list_holds_every_one_of_twelve_thousand_streams(self):
        names = {f"many-{n}" for n in range(12_000)}
        with Server() as server:
            ordered = sorted(names)
            for at in range(0, len(ordered), 1000):
                status, answer = http.transact(server, *({"create_stream": {"name": name}} for name in ordered[at:at + 1000]))
                self.assertEqual(status, 200, answer)
            status, answer = http.call(server, "GET", "/api/v1/streams", seconds=60)
            self.assertEqual(status, 200)
            listed = [stream["name"] for stream in answer["streams"]]
            self.assertEqual(len(listed), len(set(listed)))
            self.assertLessEqual(names, set(listed))
            admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": server.kafka})
            self.assertLessEqual(names, set(admin.list_topics(timeout=60).topics))

    def test_a_reader_at_the_end_waits_for_the_next_record(self):
        self.create("late")
        path = "/api/v1/streams/late/records"
        answers = []
        reader = threading.Thread(target=lambda: answers.append(self.json("GET", path + "?offset=0&wait_ms=20000")))
        reader.start()
        self.json("POST", path, {"records": [{"value": "now"}]})
        reader.join(60)
        self.assertEqual(answers[0][1]["records"][0]["value"], "now")
        # Nothing comes: an empty answer, in time.
        status, empty = self.json("GET", path + "?offset=1&wait_ms=1")
        self.assertEqual((status, empty["records"], empty["next_offset"]), (200, [], 1))

    def test_times_lead_to_records_and_codecs_are_undone(self):
        self.create("times")
        producer = confluent_kafka.Producer({"bootstrap.servers": self.server.kafka, "compression.type": "zstd"})
        for i in range(50):
            producer.produce("times", f"r{i}".encode() * 20, timestamp=1_000_000 + i * 1000)
        producer.flush(60)
        status, read = self.json("GET", f"/api/v1/streams/times/records?time={1_000_000 + 30_500}&limit=1")
        self.assertEqual(read["records"][0]["offset"], 31)
        self.assertEqual(read["records"][0]["value"], "r31" * 20)

    def test_bad_requests_name_what_is_wrong(self):
        self.create("strict")
        path = "/api/v1/streams/strict/records"
        for method, target, body, word in [
            ("GET", path + "?offset=-1", None, "offset"),
            ("GET", path + "?ofset=1", None, "ofset"),
            ("GET", path + "?offset=9", None, "offsets"),
            ("GET", path + "?offset=1&time=1", None, "exclude"),
            ("POST", path, {"records": []}, "records"),
            ("POST", path, {"records": [{"valu": 1}]}, "records[0]"),
            ("POST", path, {"records": [{"value": 1, "value_base64": "AA=="}]}, "value"),
            ("PUT", "/api/v1/streams/strict", {"retention_ms": -2}, "retention_ms"),
        ]:
            status, answer = self.json(method, target, body)
            self.assertEqual(status, 400, (target, answer))
            self.assertIn(word, answer["error"]["message"])
        for method, target, body in [
            ("GET", "/api/v1/streams/absent/records", None),
            ("GET", "/api/v1/streams/absent", None),
            ("GET", path + "?partition=1", None),
            ("POST", path + "?partition=1", {"records": [{"value": 1}]}),
            ("DELETE", "/api/v1/streams/absent", {}),
        ]:
            self.assertEqual(self.call(method, target, body)[0], 404, target)

    def test_partitions_are_added_and_keep_their_records(self):
        self.create("growing", partitions=2)
        path = "/api/v1/streams/growing"
        self.json("POST", path + "/records?partition=1", {"records": [{"value": "old"}]})
        status, grown = self.json("PUT", path + "/partitions", {"count": 4})
        self.assertEqual((status, grown["partitions"]), (200, 4), grown)
        status, there = self.json("GET", path)
        self.assertEqual([partition["end_offset"] for partition in there["partitions"]], [0, 1, 0, 0])
        status, appended = self.json("POST", path + "/records?partition=3", {"records": [{"value": "new"}]})
        self.assertEqual((status, appended["offset"]), (200, 0), appended)
        self.assertEqual([m.value() for m in kafka.read_messages(self.server.kafka, "growing", partition=3)], [b"new"])
        self.assertEqual([m.value() for m in kafka.read_messages(self.server.kafka, "growing", partition=1)], [b"old"])
        for count, status in ((4, 400), (3, 400), (0, 400), (1025, 400)):
            self.assertEqual(self.json("PUT", path + "/partitions", {"count": count})[0], status)
        self.assertEqual(self.json("PUT", "/api/v1/streams/none/partitions", {"count": 4})[0], 404)

    def test_a_configuration_is_changed_and_seen(self):
        self.create("kept", retention_ms=86_400_000)
        self.assertEqual(self.json("GET", "/api/v1/streams/kept")[1]["retention_ms"], 86_400_000)
        self.assertEqual(self.call("PUT", "/api/v1/streams/kept", {"retention_bytes": 1 << 30})[0], 200)
        seen = self.json("GET", "/api/v1/streams/kept")[1]
        self.assertEqual(seen["retention_bytes"], 1 << 30)
        self.assertNotIn("retention_ms", seen)


if __name__ == "__main__":
    unittest.main()
