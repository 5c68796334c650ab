"""Transactions over HTTP, read back over Kafka: all operations happen or none, before and after a kill."""

import json
import subprocess
import unittest

from heptane_testkit import Server
from heptane_testkit import http, kafka


class Transact(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=("--segment-mib", 16))
        self.addCleanup(self.server.close)
        self.server.start()
        for stream in ("orders", "payments"):
            self.assertEqual(http.create(self.server, stream)[0], 201)

    def values(self, stream):
        return [json.loads(line) for line in kafka.kcat_consume(self.server.kafka, stream)]

    def test_all_or_none(self):
        status, answer = http.transact(self.server, http.append("orders", {"id": 1}), http.append("payments", {"order": 1}))
        self.assertEqual(status, 200)
        self.assertEqual(answer["results"], [{"offset": 0, "count": 1}, {"offset": 0, "count": 1}])
        status, answer = http.transact(self.server, http.append("orders", {"id": 2}), http.append("missing", {"order": 2}))
        self.assertEqual(status, 404)
        self.assertEqual(answer["error"]["operation"], 1)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.values("orders"), [{"id": 1}])
        self.assertEqual(self.values("payments"), [{"order": 1}])

    def test_guard_on_the_position(self):
        self.assertEqual(http.transact(self.server, http.append("orders", 1, expected_offset=0))[0], 200)
        status, answer = http.transact(self.server, http.append("payments", 1), http.append("orders", 2, expected_offset=0))
        self.assertEqual(status, 409, answer)
        self.assertEqual(self.values("orders"), [1])
        self.assertEqual(self.values("payments"), [])

    def test_a_repeat_gets_the_first_result(self):
        first = http.transact(self.server, http.append("orders", {"id": 7}), key="order-7")
        self.assertEqual(first[0], 200)
        self.server.kill()
        self.server.start()
        again = http.transact(self.server, http.append("orders", {"id": 7}), key="order-7")
        self.assertEqual(again[0], 200)
        self.assertTrue(again[1]["repeated"])
        self.assertEqual(again[1]["position"], first[1]["position"])
        self.assertEqual(http.transact(self.server, http.append("orders", {"id": 8}), key="order-7")[0], 422)
        self.assertEqual(self.values("orders"), [{"id": 7}])

    def test_streams_of_both_protocols_are_the_same(self):
        kafka.kcat_produce(self.server.kafka, "orders", text_in="1\n2\n")
        self.assertEqual(http.transact(self.server, http.append("orders", 3))[0], 200)
        kafka.kcat_produce(self.server.kafka, "orders", text_in="4\n")
        self.assertEqual(self.values("orders"), [1, 2, 3, 4])
        status, answer = http.call(self.server, "GET", "/api/v1/streams")
        self.assertEqual(status, 200)
        ends = {stream["name"]: stream["partitions"][0]["end_offset"] for stream in answer["streams"]}
        self.assertEqual(ends, {"orders": 4, "payments": 0})

    def test_deleting_a_stream(self):
        self.assertEqual(http.transact(self.server, http.append("orders", 1))[0], 200)
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/orders")[0], 200)
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/orders")[0], 404)
        self.assertEqual(http.transact(self.server, http.append("orders", 1))[0], 404)
        self.server.kill()
        self.server.start()
        self.assertEqual(http.create(self.server, "orders")[0], 201)
        self.assertEqual(self.values("orders"), [])

    def test_curl_and_promtool_understand_it(self):
        curl = subprocess.run(["curl", "-sf", f"http://{self.server.endpoints['admin']}/readyz"], capture_output=True)
        self.assertEqual(curl.returncode, 0)
        metrics = http.text(self.server, "/metrics")
        self.assertIn("\nheptane_watermark_sequence ", metrics)

    def test_a_page_from_elsewhere_is_refused(self):
        for header in ("Host: evil.example", "Origin: http://evil.example"):
            curl = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header,
                                   f"http://{self.server.endpoints['admin']}/api/v1/streams"], capture_output=True, text=True)
            self.assertIn(curl.stdout, ("403", "421"))
