"""Sparkplug B with Eclipse's sparkplug-client as the edge node and mosquitto's clients as hosts: births over kills, deaths, gaps,
metrics into series."""

import json
import os
import queue
import subprocess
import threading
import time
import unittest
import urllib.parse

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import Connection, packet, string

SECONDS = 60
HERE = os.path.dirname(os.path.abspath(__file__))
CERTIFICATES = "$sparkplug/certificates/"
BIRTH = "spBv1.0/plant/NBIRTH/edge"


def subscribe(topic):
    return packet(0x82, b"\0\1" + string(topic) + b"\0")


def topic_and_payload(whole):
    at = 1
    while whole[at] & 0x80:
        at += 1
    body = whole[at + 1:]
    size = int.from_bytes(body[:2], "big")
    return body[2:2 + size].decode(), body[2 + size:]


def number_at(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def timestamp_of(payload):
    assert payload[0] == 0x08, payload  # field 1
    return number_at(payload, 1)[0]


@unittest.skipUnless(os.path.isdir(os.path.join(HERE, os.pardir, "node_modules", "sparkplug-client")), "make data")
class Sparkplug(unittest.TestCase):
    args = ("--set", "sparkplug.enabled=true", "--set", "sparkplug.metrics=true", "--set", "sparkplug.rebirth_seconds=1")

    def setUp(self):
        self.server = Server(args=self.args)
        self.addCleanup(self.server.close)
        self.server.use_stable_port("mqtt").start()

    def edge(self):
        edge = subprocess.Popen(["node", os.path.join(HERE, "sparkplug_edge.js"), str(self.server.address("mqtt")[1]), "edge"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for end in (edge.stdin.close, edge.stdout.close, edge.wait, edge.kill):
            self.addCleanup(end)
        self.heard = queue.Queue()
        threading.Thread(target=lambda: [self.heard.put(json.loads(line)) for line in edge.stdout], daemon=True).start()
        self.until({"born": "connected"})
        return edge

    def until(self, what):
        while True:
            said = self.heard.get(timeout=SECONDS)
            self.assertNotIn("failure", said)
            if said == what:
                return

    @staticmethod
    def tell(edge, **wish):
        edge.stdin.write(json.dumps(wish) + "\n")
        edge.stdin.flush()

    def listen(self, *topics):
        connection = Connection(self.server.address("mqtt")).open("host")
        self.addCleanup(connection.socket.close)
        for topic in topics:
            connection.send(subscribe(topic))
            self.assertEqual(connection.read()[0], 0x90)
        return connection

    def metric(self, name):
        return float(next(line.split()[1] for line in http.text(self.server, "/metrics").splitlines()
                          if line.startswith(name + " ")))

    def metrics(self):
        lines = kafka.kcat_consume(self.server.kafka, "iot.messages", "-f", "%k %s\\n", seconds=SECONDS)
        rows = [line.partition(" ") for line in lines if line.startswith("$sparkplug/metrics/")]
        return [(key.removeprefix("$sparkplug/metrics/plant/"), json.loads(value)) for key, _, value in rows]

    def births(self):
        listener = Connection(self.server.address("mqtt")).open("births")
        with listener:
            listener.send(subscribe(CERTIFICATES + "#"))
            self.assertEqual(listener.read()[0], 0x90)
            listener.send(packet(0xC0))
            kept = []
            while (whole := listener.read())[0] != 0xD0:
                self.assertEqual(whole[0], 0x31, "retained")
                kept.append(topic_and_payload(whole)[0].removeprefix(CERTIFICATES))
            return kept

    def test_births_are_kept_over_kills(self):
        edge = self.edge()
        both = ["spBv1.0/plant/DBIRTH/edge/pump", BIRTH]
        wait_until(lambda: sorted(self.births()) == both, "both are kept")
        edge.kill()
        edge.wait()
        self.server.crash_restart()
        self.assertEqual(sorted(self.births()), both)

    def test_a_death_says_when_it_is(self):
        host = self.listen("spBv1.0/plant/NDEATH/edge")
        edge = self.edge()
        before = int(time.time() * 1000)
        edge.kill()
        topic, payload = topic_and_payload(host.read())
        self.assertEqual(topic, "spBv1.0/plant/NDEATH/edge")
        self.assertGreaterEqual(timestamp_of(payload), before - 1000)
        self.assertIn(b"bdSeq", payload)

    def test_names_are_those_of_the_births(self):
        edge = self.edge()
        for value in (21.25, -0.5):
            self.tell(edge, data=value)
        self.tell(edge, device=2 ** 53)
        wait_until(lambda: self.metric("heptane_sparkplug_metrics_total") >= 6, "all are told")
        wanted = [("edge", {"name": "Temp", "value": 20.5, "timestamp": 1000, "type": "Double"}),
                  ("edge", {"name": "Level", "value": -3, "timestamp": 1000, "type": "Int32"}),
                  ("edge/pump", {"name": "Speed", "value": 7, "timestamp": 1000, "type": "UInt64"}),
                  ("edge", {"name": "Temp", "value": 21.25, "timestamp": 2000, "type": "Double"}),
                  ("edge", {"name": "Temp", "value": -0.5, "timestamp": 2000, "type": "Double"}),
                  ("edge/pump", {"name": "Speed", "value": 2 ** 53, "timestamp": 2000, "type": "UInt64"})]
        wait_until(lambda: self.metrics() == wanted, "they are in the log")
        self.assertEqual(self.metric("heptane_sparkplug_gaps_total"), 0)

    def test_a_gap_and_a_kill_bring_births(self):
        edge = self.edge()
        self.tell(edge, skip=True)
        self.tell(edge, data=1)
        self.until({"born": "told"})
        self.tell(edge, data=2)
        wait_until(lambda: ("edge", {"name": "Temp", "value": 2, "timestamp": 2000, "type": "Double"}) in self.metrics(),
                   "it goes on")
        self.server.crash_restart()
        self.until({"born": "connected"})
        self.tell(edge, data=3)
        wait_until(lambda: ("edge", {"name": "Temp", "value": 3, "timestamp": 2000, "type": "Double"}) in self.metrics(),
                   "its aliases are known again")
        self.assertEqual(self.metric("heptane_sparkplug_gaps_total"), 0)

    def test_metrics_become_series(self):
        series = self.server.endpoints["series"]
        done = subprocess.run(["curl", "-sS", "-XPOST", f"http://{series}/query", "--data-urlencode", "q=CREATE DATABASE plant"],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertNotIn("error", done.stdout, done.stderr)
        status, made = http.call(self.server, "POST", "/api/v1/mqtt/streams", {"name": "metrics", "filter": "$sparkplug/metrics/#"})
        self.assertIn(status, (200, 201), made)
        rule = {"sql": "SELECT topic(3) AS site, topic(4) AS node, topic(5) AS device, value FROM STREAM \"metrics\" "
                       "WHERE value IS NOT NULL",
                "series": {"database": "plant", "measurement": "name", "tags": "site, node, device", "time": "timestamp"}}
        status, made = http.call(self.server, "PUT", "/api/v1/rules/metrics", rule)
        self.assertIn(status, (200, 201), made)
        edge = self.edge()
        self.tell(edge, data=21.25)
        self.tell(edge, device=9)

        def points(measurement, where):
            query = urllib.parse.urlencode({"db": "plant", "q": f'SELECT value FROM "{measurement}" WHERE {where}', "epoch": "ms"})
            answer = subprocess.run(["curl", "-sS", f"http://{series}/query?{query}"], capture_output=True, text=True,
                                    timeout=SECONDS)
            result = json.loads(answer.stdout)["results"][0]
            return result.get("series", [{}])[0].get("values")

        wait_until(lambda: points("Temp", "node = 'edge'") == [[1000, 20.5], [2000, 21.25]], "the node's points are there")
        wait_until(lambda: points("Speed", "device = 'pump'") == [[1000, 7], [2000, 9]], "the device's are, too")

    def test_state_is_a_retained_message(self):
        host = Connection(self.server.address("mqtt")).open("primary")
        with host:
            host.send(packet(0x33, string("spBv1.0/STATE/scada") + b"\0\1" + b'{"online":true,"timestamp":1}'))
            self.assertEqual(host.read()[0], 0x40)
        self.server.crash_restart()
        later = self.listen("spBv1.0/STATE/scada")
        self.assertEqual(topic_and_payload(later.read()), ("spBv1.0/STATE/scada", b'{"online":true,"timestamp":1}'))

    def test_certificates_are_the_servers(self):
        forger = self.listen()
        forger.send(packet(0x33, string(CERTIFICATES + BIRTH) + b"\0\1x"))
        self.assertIsNone(forger.read())
        self.assertEqual(self.births(), [])


if __name__ == "__main__":
    unittest.main()
