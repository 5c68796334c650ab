"""Shadows with mosquitto's clients, Paho, bytes on a socket, HTTP and the AWS IoT device SDK for JavaScript; over kills."""

import json
import os
import socket
import ssl
import subprocess
import unittest

from test_auth import PASSWORD, Guarded, ask, one_time_tokens

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.certificates import Authority
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub, mosquitto_sub, packet, string

SECONDS = 60
HERE = os.path.dirname(os.path.abspath(__file__))
SHADOW = "$aws/things/pump-1/shadow/"


def subscribe(topic, qos=1, number=1):
    return packet(0x82, number.to_bytes(2, "big") + string(topic) + bytes([qos]))


def publish(topic, payload, qos=1, number=1):
    identifier = number.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, string(topic) + identifier + payload.encode())


def parsed(whole):
    """(topic, the JSON) of a PUBLISH."""
    assert whole is not None and whole[0] & 0xF0 == 0x30, whole
    at = 1
    while whole[at] & 0x80:
        at += 1
    body = whole[at + 1:]
    size = int.from_bytes(body[:2], "big")
    rest = body[2 + size + (2 if whole[0] & 6 else 0):]
    return body[2:2 + size].decode(), json.loads(rest)


class Shadowed(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        status, made = http.call(self.server, "POST", "/api/v1/devices", {"name": "pump-1"})
        self.assertEqual(status, 201, made)

    def connect(self, client, *topics, qos=1):
        connection = Connection(self.server.address("mqtt")).open(client)
        self.addCleanup(connection.socket.close)
        for topic in topics:
            connection.send(subscribe(topic, qos))
            self.assertEqual(connection.read()[0], 0x90)
        return connection

    def http(self, method, path, body=None):
        return http.call(self.server, method, "/api/v1/devices/pump-1/shadow" + path, body)

    def pub(self, operation, payload, *more):
        mosquitto_pub(self.server.address("mqtt"), "-t", SHADOW + operation, "-m", json.dumps(payload), *more)

    def records(self, stream="iot.shadows"):
        lines = kafka.kcat_consume(self.server.kafka, stream, "-f", "%k %s\\n", seconds=SECONDS)
        return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]


class Requests(Shadowed):
    def test_delta_comes_before_accepted_and_before_the_acknowledgement(self):
        device = self.connect("pump-1", SHADOW + "#")
        device.send(publish(SHADOW + "update", '{"state":{"desired":{"on":true}},"clientToken":"c1"}'))
        heard = [device.read() for _ in range(4)]
        topics = [parsed(whole)[0].removeprefix(SHADOW) for whole in heard[:3]]
        self.assertEqual(topics, ["update/delta", "update/documents", "update/accepted"])
        self.assertEqual(heard[3][0], 0x40)  # PUBACK
        delta, accepted = parsed(heard[0])[1], parsed(heard[2])[1]
        self.assertEqual((delta["state"], delta["version"], delta["clientToken"]), ({"on": True}, 1, "c1"))
        self.assertEqual(accepted["metadata"]["desired"]["on"], {"timestamp": accepted["timestamp"]})

    def test_every_quality_of_service_is_a_command(self):
        device = self.connect("pump-1", SHADOW + "update/accepted")
        for number, qos in enumerate((0, 1, 2), 1):
            device.send(publish(SHADOW + "update", '{"state":{"reported":{"n":%d}}}' % number, qos, number))
            seen = []
            while len(seen) < (1 if qos == 0 else 2):
                seen.append(device.read())
            self.assertIn(number, [parsed(whole)[1]["version"] for whole in seen if whole[0] & 0xF0 == 0x30])
            if qos == 2:
                device.send(packet(0x62, number.to_bytes(2, "big")))
                self.assertEqual(device.read()[0], 0x70)
            for whole in seen:
                if whole[0] & 0xF6 == 0x32:
                    device.send(packet(0x40, whole[2 + 2 + len(SHADOW + "update/accepted"):][:2]))
        # Requests are no messages: nobody who listens there hears them, nothing of them is in iot.messages.
        status, streams = http.call(self.server, "GET", "/api/v1/streams?limit=1000")
        self.assertEqual(status, 200)
        self.assertNotIn("iot.messages", [stream["name"] for stream in streams["streams"]])
        self.assertEqual([topic.removeprefix(SHADOW) for topic, _ in self.records()],
                         ["update/documents", "update/accepted"] * 3)

    def test_faults(self):
        listener = self.connect("listener", SHADOW + "+/rejected", SHADOW + "name/+/+/rejected")
        for topic, payload, code, message in (
                ("update", "{", 400, "Invalid JSON"),
                ("update", "{}", 400, "Missing required node: state"),
                ("get", "", 404, "No shadow exists with name: 'pump-1'"),
                ("name/n/get", "", 404, "No shadow exists with name: 'pump-1~n'"),
                ("update", '{"state":{"desired":{}},"version":3}', 409, "Version conflict"),
                ("update", '{"state":{"desired":{"a":"%s"}}}' % ("x" * 9000), 413,
                 "The payload exceeds the maximum size allowed")):
            listener.send(publish(SHADOW + topic, payload, 0))
            heard, answer = parsed(listener.read())
            self.assertTrue(heard.endswith(topic + "/rejected"), heard)
            self.assertEqual((answer["code"], answer["message"]), (code, message))

    def test_eleven_at_once_are_too_many(self):
        device = self.connect("pump-1", SHADOW + "get/+", qos=0)
        count = 20  # what comes beyond ten rejections that are not answered is dropped at QoS 0
        device.send(b"".join(publish(SHADOW + "get", json.dumps({"clientToken": str(n)}), 0) for n in range(count)))
        answers = [parsed(device.read())[1] for _ in range(count)]
        codes = [answer["code"] for answer in answers]
        self.assertEqual([answer["clientToken"] for answer in answers], [str(n) for n in range(count)])
        self.assertEqual(codes[:10], [404] * 10)
        self.assertIn(429, codes)
        self.assertLessEqual(set(codes), {404, 429})

    def test_other_topics_of_the_service_are_refused(self):
        device = self.connect("pump-1")
        device.send(publish("$aws/things/pump-1/tunnels/notify", "{}"))
        self.assertIsNone(device.read())
        device = self.connect("pump-1")
        device.send(publish(SHADOW + "update/accepted", "{}"))
        self.assertIsNone(device.read())

    def test_who_subscribes_to_everything_hears_nothing_of_it(self):
        everything = self.connect("everything", "#")
        self.pub("update", {"state": {"desired": {"a": 1}}}, "-q", 1)
        mosquitto_pub(self.server.address("mqtt"), "-t", "last", "-m", "1", "-q", 1)
        self.assertEqual(parsed(everything.read())[0], "last")


class Kept(Shadowed):
    def test_acknowledged_is_kept_over_a_kill(self):
        for n in range(1, 6):
            self.pub("update", {"state": {"reported": {"n": n}}}, "-q", 1)
            self.server.crash_restart()
        status, document = self.http("GET", "")
        self.assertEqual((status, document["version"], document["state"]), (200, 5, {"reported": {"n": 5}}))
        self.pub("delete", {}, "-q", 1)
        self.server.restart()
        self.assertEqual(self.http("GET", "")[0], 404)
        self.pub("update", {"state": {"reported": {"n": 6}}}, "-q", 1)
        self.assertEqual(self.http("GET", "")[1]["version"], 6)

    def test_a_durable_session_gets_what_it_missed(self):
        address = self.server.address("mqtt")
        durable = ("-i", "device", "-c", "-q", 1, "-t", SHADOW + "update/delta")
        mosquitto_sub(address, *durable, "-E")
        for n in range(3):
            self.pub("update", {"state": {"desired": {"n": n}}}, "-q", 1)
        self.server.crash_restart()
        lines = mosquitto_sub(self.server.address("mqtt"), *durable, "-C", 3)
        self.assertEqual([json.loads(line)["version"] for line in lines], [1, 2, 3])
        self.assertEqual([json.loads(line)["state"]["n"] for line in lines], [0, 1, 2])

    def test_a_named_shadow_is_another(self):
        self.pub("name/firmware/update", {"state": {"reported": {"v": "1.2"}}}, "-q", 1)
        self.assertEqual(self.http("GET", "")[0], 404)
        self.assertEqual(self.http("GET", "?name=firmware")[1]["state"], {"reported": {"v": "1.2"}})
        self.assertEqual(self.http("GET", "s")[1], {"classic": False, "names": ["firmware"]})
        done = subprocess.run([self.server.binary, "devices", "shadow", "pump-1", "--name", "firmware", "--server",
                               self.server.admin], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(json.loads(done.stdout)["version"], 1, done.stderr)


class Past(Shadowed):
    def test_a_twin_as_it_was(self):
        positions = []
        for pressure in (1, 2):
            self.assertEqual(self.http("POST", "", {"state": {"reported": {"bar": pressure}}})[0], 200)
            status, made = http.call(self.server, "POST", "/api/v1/devices", {"name": f"later-{pressure}"})
            self.assertEqual(status, 201, made)
            positions.append(made["position"])
        self.assertEqual(self.http("DELETE", "")[0], 200)
        for pressure, position in enumerate(positions, 1):
            done = self.server.run("at", position, "devices", "shadows", "--data", self.server.data, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            shadow, = json.loads(done.stdout)["shadows"]
            self.assertEqual((shadow["thing"], shadow["name"]), ("pump-1", ""))
            self.assertEqual(shadow["document"]["state"], {"reported": {"bar": pressure}})
            self.assertEqual(shadow["document"]["version"], pressure)
            done = self.server.run("at", position, "devices", "things", "--data", self.server.data)
            names = [line.split()[0] for line in done.stdout.splitlines()]
            self.assertEqual(names, [f"later-{i}" for i in range(1, pressure + 1)] + ["pump-1"])


class Http(Shadowed):
    def test_what_http_changes_subscribers_hear(self):
        device = self.connect("pump-1", SHADOW + "#")
        status, accepted = self.http("POST", "", {"state": {"desired": {"on": True}}, "clientToken": "h"})
        self.assertEqual((status, accepted["version"], accepted["clientToken"]), (200, 1, "h"))
        heard = [parsed(device.read()) for _ in range(3)]
        self.assertEqual([topic.removeprefix(SHADOW) for topic, _ in heard],
                         ["update/delta", "update/documents", "update/accepted"])
        self.assertEqual(heard[2][1], accepted)
        self.assertEqual(self.http("POST", "", {"state": {}, "version": 7})[0], 409)
        self.assertEqual(self.http("POST", "", {"status": {}})[1]["message"], "Missing required node: state")
        self.assertEqual(self.http("GET", "")[1]["state"], {"desired": {"on": True}, "delta": {"on": True}})
        self.assertEqual(self.http("DELETE", "", {})[0], 200)
        self.assertEqual(self.http("GET", "")[0], 404)
        self.assertEqual(http.call(self.server, "GET", "/api/v1/devices/other/shadow")[1]["message"], "Thing not found")


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def setUp(self):
        super().setUp()
        for name in ("pump-1", "pump-2"):
            self.admin("POST", "/api/v1/devices", {"name": name})
            self.add_user(name)
        self.admin("POST", "/api/v1/roles", {"name": "fleet", "permissions": [
            {"module": "mqtt", "pattern": "$aws/things/*", "verbs": ["read", "write"]}]})
        self.add_user("backend", "fleet")

    def pub(self, user, thing, code=0):
        done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.server.address("mqtt")[1]), "-q", "1", "-V",
                               "mqttv5", "-d", "-u", user, "-P", PASSWORD, "-t", f"$aws/things/{thing}/shadow/update", "-m",
                               '{"state":{"reported":{"by":"%s"}}}' % user.partition("?")[0]], capture_output=True, text=True,
                              timeout=SECONDS)
        return done.stdout + done.stderr

    def by(self, thing):
        status, document, _ = ask(self.server, "GET", f"/api/v1/devices/{thing}/shadow", None, "Bearer " + self.token)
        return document["state"]["reported"]["by"] if status == 200 else status

    def test_a_device_has_its_own_thing(self):
        self.pub("pump-1", "pump-1")
        self.assertEqual(self.by("pump-1"), "pump-1")
        self.pub("pump-2?SDK=JavaScript&Version=2.2.16", "pump-2")
        self.assertEqual(self.by("pump-2"), "pump-2")
        self.assertIn("RC:135", self.pub("pump-1", "pump-2"))  # 0x87
        self.assertEqual(self.by("pump-2"), "pump-2")
        self.pub("backend", "pump-2")
        self.assertEqual(self.by("pump-2"), "backend")

    def connected(self):
        status, answer, _ = ask(self.server, "GET", "/api/v1/devices?connected=true", None, "Bearer " + self.token)
        return [device["name"] for device in answer["devices"]] if status == 200 else status

    def test_who_is_connected_is_who_proved_it(self):
        listener = Subscriber(self.server.address("mqtt"), "-i", "pump-2", "-u", "pump-1", "-P", PASSWORD, "-t", SHADOW + "#")
        self.addCleanup(listener.close)
        wait_until(lambda: self.connected() == ["pump-1"], "the user's thing is connected, not the one he is called like")
        listener.close()
        wait_until(lambda: self.connected() == [], "nobody is connected")
        # Who may speak for a thing by his role is it under its name.
        backend = Subscriber(self.server.address("mqtt"), "-i", "pump-2", "-u", "backend", "-P", PASSWORD, "-t", SHADOW + "#")
        self.addCleanup(backend.close)
        wait_until(lambda: self.connected() == ["pump-2"], "the client's thing is connected")

    def test_who_may_listen(self):
        def granted(user, topic):
            done = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.server.address("mqtt")[1]), "-d", "-u",
                                   user, "-P", PASSWORD, "-t", topic, "-E"], capture_output=True, text=True, timeout=SECONDS)
            return "Subscribed (mid: 1): 0" in done.stdout + done.stderr

        self.assertTrue(granted("pump-1", "$aws/things/pump-1/shadow/#"))
        self.assertTrue(granted("backend", "$aws/things/+/shadow/update/delta"))
        self.assertFalse(granted("pump-1", "$aws/things/pump-2/shadow/#"))
        self.assertFalse(granted("pump-1", "$aws/things/+/shadow/#"))


class Tls(unittest.TestCase):
    def test_protocols_that_clients_offer(self):
        authority = Authority()
        self.addCleanup(authority.close)
        authority.issue("server")
        server = Server(args=("--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key"),
                              "--tls-listener", "mqtt"))
        self.addCleanup(server.close)
        server.start()

        def agreed(*protocols):
            context = ssl.create_default_context(cafile=authority.ca)
            if protocols:
                context.set_alpn_protocols(list(protocols))
            with socket.create_connection(server.address("mqtt"), timeout=SECONDS) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as link:
                    link.sendall(packet(0x10, string("MQTT") + b"\4\2\0\0" + string("c")))
                    self.assertEqual(link.recv(4), b"\x20\2\0\0")
                    return link.selected_alpn_protocol()

        self.assertEqual(agreed("x-amzn-mqtt-ca"), "x-amzn-mqtt-ca")
        self.assertEqual(agreed("mqtt"), "mqtt")
        self.assertIsNone(agreed())
        with self.assertRaises(ssl.SSLError):
            agreed("h2")


@unittest.skipUnless(os.path.isdir(os.path.join(HERE, os.pardir, "node_modules", "aws-iot-device-sdk")), "make data")
class Sdk(unittest.TestCase):
    def test_the_device_sdk_for_javascript(self):
        authority = Authority()
        self.addCleanup(authority.close)
        for name in ("server", "pump-1", "backend"):
            authority.issue(name)
        server = Server(args=("--auth", "--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key"),
                              "--tls-listener", "mqtt", "--tls-client-ca", authority.ca))
        self.addCleanup(server.close)
        server.start()
        wait_until(lambda: one_time_tokens(server), "the one-time token")
        bearer = "Bearer " + one_time_tokens(server)[0]

        def admin(path, body):
            status, answer, _ = ask(server, "POST", path, body, bearer)
            self.assertIn(status, (200, 201), answer)

        admin("/api/v1/devices", {"name": "pump-1"})
        admin("/api/v1/roles", {"name": "fleet", "permissions": [
            {"module": "mqtt", "pattern": "$aws/things/*", "verbs": ["read", "write"]}]})
        admin("/api/v1/users", {"name": "pump-1", "certificate": True, "roles": []})
        admin("/api/v1/users", {"name": "backend", "certificate": True, "roles": ["fleet"]})
        done = subprocess.run(["node", os.path.join(HERE, "aws_iot_shadow.js"), str(server.address("mqtt")[1]), authority.ca,
                               authority.directory], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        heard = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual([(one["operation"], one["status"]) for one in heard["said"]],
                         [("get", "rejected"), ("update", "accepted"), ("update", "accepted"), ("update", "accepted"),
                          ("get", "accepted"), ("delete", "accepted")])
        self.assertEqual(heard["said"][0]["state"]["code"], 404)
        self.assertEqual(heard["delta"]["state"], {"on": True})
        self.assertEqual(heard["foreign"], "update")
        self.assertEqual(heard["said"][4]["state"]["state"],
                         {"desired": {"on": True, "level": 3}, "reported": {"on": True, "level": 3}})


if __name__ == "__main__":
    unittest.main()
