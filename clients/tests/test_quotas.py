"""Quotas by real clients: Kafka's throttle time as confluent-kafka tells it, 429 with Retry-After over HTTP, records over a
WebSocket, TigerBeetle's own client, connections of a user, limits of a listener, and a reload that changes them."""

import http.client
import json
import os
import signal
import subprocess
import unittest
import urllib.error
import urllib.request

import websocket
from confluent_kafka import Consumer, Producer, TopicPartition

from heptane_testkit import Server, wait_until
from heptane_testkit import http as admin

SECONDS = 60
TIGERBEETLE_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tigerbeetle_client.js")


def metric(server, name):
    """The quotas hold for who asks this, too: it waits its turn."""
    texts = []

    def asked():
        try:
            texts.append(admin.text(server, "/metrics"))
        except urllib.error.HTTPError as refused:
            if refused.code != 429:
                raise
        return texts
    wait_until(asked, "the metrics", SECONDS)
    return sum(float(line.rsplit(" ", 1)[1]) for line in texts[0].splitlines() if line.startswith((name + " ", name + "{")))


def statuses(server, count, path="/api/v1/streams"):
    """Of so many requests, one after another on one connection, with the last answer's headers."""
    connection = http.client.HTTPConnection(*server.address("admin"), timeout=SECONDS)
    found = []
    for _ in range(count):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    connection.close()
    return found, answer.headers


class Quotas(unittest.TestCase):
    def server(self, *settings, config=None):
        server = Server(args=[part for setting in settings for part in ("--set", setting)])
        self.addCleanup(server.close)
        if config is not None:
            self.path = os.path.join(server.work, "heptane.toml")
            self.write(config)
            server.args += ["--config", self.path]
        return server.start()

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(text)

    def produce(self, server, records, size):
        """What the broker told about throttling while everything was delivered."""
        told, failed = [], []
        producer = Producer({"bootstrap.servers": server.kafka, "throttle_cb": told.append, "linger.ms": 0,
                             "batch.num.messages": 1})
        for number in range(records):
            producer.produce("t", value=b"x" * size, on_delivery=lambda error, _: failed.append(error) if error else None)
            producer.flush(SECONDS)
        self.assertEqual(failed, [])
        producer.poll(0.2)
        return told

    def test_a_kafka_producer_is_told_to_wait(self):
        server = self.server("quotas.bytes_in=100KiB")
        told = self.produce(server, 12, 30_000)
        self.assertTrue(told, "throttle_cb was never called")
        self.assertGreater(max(event.throttle_time for event in told), 0)
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)
        self.assertGreater(metric(server, "heptane_throttled_seconds_total"), 0)

    def test_a_kafka_consumer_is_told_to_wait(self):
        server = self.server("listen.kafka.bytes_out=200KiB")
        self.produce(server, 30, 30_000)
        told = []
        consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "g", "auto.offset.reset": "earliest",
                             "throttle_cb": told.append, "fetch.message.max.bytes": 200_000})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition("t", 0, 0)])
        values = [consumer.poll(SECONDS) for _ in range(30)]
        self.assertTrue(all(value is not None and value.error() is None for value in values))
        self.assertTrue(told, "throttle_cb was never called")

    def test_without_a_quota_nobody_is(self):
        server = self.server()
        self.assertEqual([event.throttle_time for event in self.produce(server, 10, 30_000) if event.throttle_time], [])
        self.assertEqual(metric(server, "heptane_throttled_total"), 0)

    def test_http_says_429_and_when_to_come_back(self):
        server = self.server("quotas.requests=20")
        found, headers = statuses(server, 60)
        self.assertEqual(found[0], 200)
        self.assertIn(429, found)
        refused = None
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{server.admin}/api/v1/streams", timeout=SECONDS).close()
            except urllib.error.HTTPError as error:
                refused = error
                break
        self.assertEqual(refused.code, 429)
        self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
        self.assertIn(b"quota", refused.read())
        # Health is nobody's quota.
        self.assertEqual(set(statuses(server, 50, "/livez")[0]), {200})

    def test_curl_waits_and_comes_back(self):
        server = self.server("listen.admin.requests=5")
        statuses(server, 12)
        done = subprocess.run(["curl", "-sS", "--retry", "5", "--max-time", str(SECONDS), "-w", "\\n%{http_code}",
                               f"http://{server.admin}/api/v1/streams"], capture_output=True, text=True)
        self.assertEqual(done.stdout[-3:], "200", done)

    def test_a_large_answer_is_slowed_down_and_whole(self):
        server = self.server("listen.admin.bytes_out=2MiB")
        data = os.urandom(3 << 20)
        request = urllib.request.Request(f"http://{server.admin}/api/v1/blobs", data, method="PUT")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            path = answer.headers["Location"]
        with urllib.request.urlopen(f"http://{server.admin}{path}", timeout=SECONDS) as answer:
            self.assertEqual(answer.read(), data)
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)

    def test_records_over_a_websocket_are_slowed_down_and_all_come(self):
        server = self.server("listen.admin.bytes_out=300KiB")
        self.produce(server, 40, 30_000)
        link = websocket.create_connection(f"ws://{server.admin}/api/v1/streams/t/tail?from=start&limit=40", timeout=SECONDS)
        self.addCleanup(link.shutdown)
        self.assertEqual([json.loads(link.recv())["offset"] for _ in range(40)], list(range(40)))
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)

    def test_tigerbeetles_client_is_slowed_down_and_served(self):
        server = self.server("listen.tigerbeetle.bytes_in=3MiB")
        done = subprocess.run(["node", TIGERBEETLE_SCRIPT, server.endpoints["tigerbeetle"], "batches",
                               json.dumps({"first": 1, "count": 5})], capture_output=True, text=True, timeout=2 * SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout.splitlines()[-1]), {"debits": 5 * 8189})
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)

    def test_connections_of_a_user_are_counted(self):
        server = self.server("quotas.connections=2")
        open_ones = []
        for _ in range(2):
            connection = http.client.HTTPConnection(*server.address("admin"), timeout=SECONDS)
            connection.request("GET", "/api/v1/streams")
            self.assertEqual(connection.getresponse().read()[:1], b"{")
            open_ones.append(connection)
        third = http.client.HTTPConnection(*server.address("admin"), timeout=SECONDS)
        third.request("GET", "/api/v1/streams")
        answer = third.getresponse()
        self.assertEqual(answer.status, 429)
        self.assertIn(b"quotas.connections", answer.read())
        open_ones[0].close()

        def admitted():
            again = http.client.HTTPConnection(*server.address("admin"), timeout=SECONDS)
            again.request("GET", "/api/v1/streams")
            status = again.getresponse().status
            again.close()
            return status == 200
        wait_until(admitted, "the place that was left")

    def test_a_reload_changes_them(self):
        server = self.server(config="[quotas]\nrequests = 1\n")
        self.assertIn(429, statuses(server, 10)[0])
        self.write('[quotas]\nrequests = 1\nusers = ["local requests=1000000"]\n')
        before = len(server.stderr())
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "quotas.users" in server.stderr()[before:], "the reload")
        self.assertEqual(set(statuses(server, 50)[0]), {200})
        self.write('[quotas]\nusers = ["local requests=many"]\n')
        before = len(server.stderr())
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "requests=many" in server.stderr()[before:], "the mistake")
        self.assertEqual(set(statuses(server, 50)[0]), {200})

    def test_limits_are_a_users_own(self):
        server = Server(args=("--auth", "--set", "quotas.users=busy requests=3,calm requests=100000"))
        self.addCleanup(server.close)
        server.start()
        wait_until(lambda: "HEPTANE_TOKEN=" in server.stdout(), "the one-time token")
        administrator = server.stdout().split("HEPTANE_TOKEN=")[1].split()[0]

        def ask(token, method, path, body=None):
            request = urllib.request.Request(f"http://{server.admin}{path}", body, {
                "Content-Type": "application/json", "Authorization": f"Bearer {token}"}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read()
        tokens = {}
        for user in ("busy", "calm"):
            self.assertEqual(ask(administrator, "POST", "/api/v1/users", b'{"name":"%s","roles":["reader"]}' % user.encode())[0], 201)
            text = ask(administrator, "POST", "/api/v1/tokens", b'{"name":"t-%s","owner":"%s"}' % (user.encode(), user.encode()))[1]
            tokens[user] = text.decode().split('"token":"')[1].split('"')[0]
        self.assertIn(429, [ask(tokens["busy"], "GET", "/api/v1/streams")[0] for _ in range(20)])
        self.assertEqual({ask(tokens["calm"], "GET", "/api/v1/streams")[0] for _ in range(20)}, {200})


if __name__ == "__main__":
    unittest.main()
