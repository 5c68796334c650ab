"""Headers and timestamps in an HTTP append: what a Kafka consumer sees, what reads back, and what is refused."""

import json
import unittest
import urllib.error
import urllib.request

from confluent_kafka import Consumer, TopicPartition

from heptane_testkit import Server
from heptane_testkit import http

SECONDS = 60


class Headers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def append(self, stream, *records, key=None, **more):
        request = urllib.request.Request(f"http://{self.server.admin}/api/v1/streams/{stream}/records",
                                         json.dumps({"records": records, **more}).encode(),
                                         {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def consume(self, stream, count):
        consumer = Consumer({"bootstrap.servers": self.server.kafka, "group.id": "g", "enable.auto.commit": False})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition(stream, 0, 0)])
        messages = [consumer.poll(SECONDS) for _ in range(count)]
        self.assertTrue(all(message is not None and message.error() is None for message in messages))
        return messages

    def test_a_kafka_consumer_sees_them(self):
        http.create(self.server, "seen")
        status, answer = self.append(
            "seen", {"key": "k", "value": {"a": 1}, "headers": {"trace": "7", "none": None}, "timestamp": 1_600_000_000_123},
            {"value": "plain"}, {"value": "pairs", "headers": [["a", "1"], ["a", "2"]], "timestamp": 1_500_000_000_000})
        self.assertEqual((status, answer["offset"], answer["count"]), (200, 0, 3), answer)
        first, plain, pairs = self.consume("seen", 3)
        self.assertEqual(first.headers(), [("trace", b"7"), ("none", None)])
        self.assertEqual((first.key(), first.value(), first.timestamp()[1]), (b"k", b'{"a": 1}', 1_600_000_000_123))
        self.assertIsNone(plain.headers())
        self.assertGreater(plain.timestamp()[1], 1_600_000_000_123)
        self.assertEqual(pairs.headers(), [("a", b"1"), ("a", b"2")])
        self.assertEqual(pairs.timestamp()[1], 1_500_000_000_000)
        self.server.crash_restart()
        self.assertEqual(self.consume("seen", 3)[0].headers(), [("trace", b"7"), ("none", None)])

    def test_what_is_read_can_be_appended(self):
        for name in ("from", "to"):
            http.create(self.server, name)
        self.append("from", {"key": "k", "value": [1], "headers": [{"name": "b", "value_base64": "/w=="}, {"name": "n"}], "timestamp": 5})
        (read,) = http.call(self.server, "GET", "/api/v1/streams/from/records")[1]["records"]
        self.assertEqual(read["headers"], [{"name": "b", "value_base64": "/w=="}, {"name": "n", "value": None}])
        again = {name: value for name, value in read.items() if name != "offset"}
        self.assertEqual(self.append("to", again)[0], 200)
        self.assertEqual(http.call(self.server, "GET", "/api/v1/streams/to/records")[1]["records"], [read])

    def test_a_repeat_gives_the_first_answer(self):
        http.create(self.server, "once")
        record = {"value": 1, "headers": {"a": "b"}}
        first = self.append("once", record, {"value": 2}, key="k1")
        again = self.append("once", record, {"value": 2}, key="k1")
        self.assertEqual(first[0], 200)
        self.assertEqual(again, (200, {**first[1], "repeated": True}))
        self.assertEqual(self.append("once", record, key="k1")[0], 422)
        self.assertEqual(len(http.call(self.server, "GET", "/api/v1/streams/once/records")[1]["records"]), 2)

    def test_what_is_refused(self):
        http.create(self.server, "strict")
        for record, why in (({"timestamp": -1}, "timestamp"), ({"timestamp": "now"}, "timestamp"), ({"headers": "a"}, "headers"),
                            ({"headers": {"a": 1}}, "headers"), ({"headers": [["a"]]}, "headers"),
                            ({"headers": [{"name": "a", "value": "b", "value_base64": "AA=="}]}, "headers"),
                            ({"headers": [{"name": "a", "other": "b"}]}, "headers")):
            status, answer = self.append("strict", {"value": 1, **record})
            self.assertEqual(status, 400, (record, answer))
            self.assertIn("records[0]." + why, answer["error"]["message"])
        status, answer = self.append("strict", {"value": 1, "timestamp": 1}, expected_offset=0)
        self.assertEqual(status, 400, answer)
        self.assertEqual(self.append("absent", {"value": 1, "timestamp": 1})[0], 404)
        status, answer = self.append("strict", *({"value": "x" * 1000, "headers": {"h": "y" * 1000}} for _ in range(1000)))
        self.assertEqual(status, 413, answer)
        self.assertEqual(http.transact(self.server, {"append": {"stream": "strict", "records": [{"value": 1, "timestamp": 1}]}})[0], 400)
        self.assertEqual(http.call(self.server, "GET", "/api/v1/streams/strict/records")[1]["records"], [])

    def test_lines_take_them_too(self):
        http.create(self.server, "lines")
        body = b'{"value":1,"timestamp":7}\n{"value":2,"headers":{"a":"b"}}\n'
        request = urllib.request.Request(f"http://{self.server.admin}/api/v1/streams/lines/records", body,
                                         {"Content-Type": "application/x-ndjson"}, method="POST")
        urllib.request.urlopen(request, timeout=SECONDS).close()
        read = http.call(self.server, "GET", "/api/v1/streams/lines/records")[1]["records"]
        self.assertEqual((read[0]["timestamp"], read[1]["headers"]), (7, [{"name": "a", "value": "b"}]))


if __name__ == "__main__":
    unittest.main()
