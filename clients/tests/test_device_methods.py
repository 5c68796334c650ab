"""Direct methods with Paho as the device (MQTT 3.1.1 and 5), HTTP and the command line as who calls; rights; kill -9."""

import json
import socket
import subprocess
import threading
import unittest

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from test_auth import Guarded, PASSWORD, ask, basic

from heptane_testkit import Server, wait_until
from heptane_testkit import http
from heptane_testkit.mqtt import Connection, packet, string

SECONDS = 60
ASKED = "$iothub/methods/POST/"


class Device:
    """Answers `add` with the sum of what it is given, `fail` with 500 and no text, and keeps what it is asked of the others."""

    def __init__(self, server, name, protocol=paho.MQTTv311, user=None, qos=1):
        self.asked = []
        self.ready = threading.Event()
        self.protocol, self.qos = protocol, qos
        self.client = paho.Client(name, protocol=protocol)
        if user:
            self.client.username_pw_set(user, PASSWORD)
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self.on_message
        self.client.reconnect_delay_set(1, 1)
        host, port = server.address("mqtt")
        self.client.connect(host, port)
        self.client.loop_start()

    def on_connect(self, *_):
        self.client.subscribe(ASKED + "#", self.qos)

    def on_message(self, _client, _data, message):
        method, _, rest = message.topic.removeprefix(ASKED).partition("/")
        request = rest.removeprefix("?$rid=")
        if method == "add":
            self.answer(message, request, 200, json.dumps({"sum": sum(json.loads(message.payload))}))
        elif method == "fail":
            self.answer(message, request, 500, "")
        else:
            self.asked.append((method, request))

    def answer(self, message, request, status, payload):
        if self.protocol != paho.MQTTv5 or status != 200:
            self.client.publish(f"$iothub/methods/res/{status}/?$rid={request}", payload, self.qos)
            return
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = message.properties.CorrelationData
        self.client.publish(message.properties.ResponseTopic, payload, self.qos, properties=properties)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Methods(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.use_stable_port("mqtt").start()
        for name in ("pump-1", "pump-2"):
            status, made = http.call(self.server, "POST", "/api/v1/devices", {"name": name})
            self.assertEqual(status, 201, made)

    def device(self, *of, **more):
        device = Device(self.server, *of, **more)
        self.addCleanup(device.close)
        self.assertTrue(device.ready.wait(SECONDS))
        return device

    def call(self, thing, method, body=None):
        return http.call(self.server, "POST", f"/api/v1/devices/{thing}/methods/{method}", body or {}, seconds=SECONDS)

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "devices", "call", *arguments, "--server", self.server.admin],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def test_what_the_device_says_is_the_answer(self):
        for protocol in (paho.MQTTv311, paho.MQTTv5):
            for qos in (0, 1):
                with self.subTest(protocol=protocol, qos=qos):
                    device = self.device("pump-1", protocol=protocol, qos=qos)
                    self.assertEqual(self.call("pump-1", "add", {"payload": [1, 2, 3]}),
                                     (200, {"status": 200, "payload": {"sum": 6}}))
                    self.assertEqual(self.call("pump-1", "fail"), (200, {"status": 500, "payload": None}))
                    device.close()
        _, trail = http.call(self.server, "GET", "/api/v1/streams/audit/records?limit=1000")
        calls = [(one["value"]["on"], one["value"]["detail"]) for one in trail["records"]
                 if one["value"]["action"] == "devices.call"]
        self.assertEqual(calls, [("pump-1", "add"), ("pump-1", "fail")] * 4)

    def test_the_command_line(self):
        self.device("pump-1")
        self.assertEqual(json.loads(self.heptane("pump-1", "add", "--payload", "[4, 5]").stdout),
                         {"status": 200, "payload": {"sum": 9}})
        self.heptane("pump-1", "fail", code=1)
        self.assertIn("is not connected", self.heptane("pump-2", "add", code=1).stderr)
        self.assertIn("did not answer in 1 s", self.heptane("pump-1", "sleep", "--timeout", "1", code=1).stderr)

    def test_who_is_away_and_who_is_waited_for(self):
        self.assertEqual(self.call("pump-9", "add")[0], 404)
        self.assertEqual(self.call("pump-1", "add")[0], 409)
        answers = []
        body = {"payload": [1], "connect_timeout_seconds": 30}
        waiting = threading.Thread(target=lambda: answers.append(self.call("pump-1", "add", body)))
        waiting.start()
        self.device("pump-1")
        waiting.join(SECONDS)
        self.assertEqual(answers, [(200, {"status": 200, "payload": {"sum": 1}})])

    def test_a_late_answer_is_counted_and_another_devices_is_none(self):
        device = self.device("pump-1")
        other = self.device("pump-2")
        answers = []
        body = {"timeout_seconds": 3}
        waiting = threading.Thread(target=lambda: answers.append(self.call("pump-1", "sleep", body)))
        waiting.start()
        wait_until(lambda: device.asked, "the device is asked")
        topic = f"$iothub/methods/res/200/?$rid={device.asked[0][1]}"
        other.client.publish(topic, "{}", 0).wait_for_publish(SECONDS)
        waiting.join(SECONDS)
        self.assertEqual([status for status, _ in answers], [504])
        device.client.publish(topic, "{}", 1).wait_for_publish(SECONDS)
        wait_until(lambda: "heptane_device_methods_late_total 1" in http.text(self.server, "/metrics"), "it is counted")
        self.assertIn("heptane_device_methods_unanswered_total 1", http.text(self.server, "/metrics"))

    def test_who_gives_up_leaves_his_place(self):
        device = self.device("pump-1")
        for number in range(1, 13):  # more than may wait at once
            address = self.server.endpoints["admin"].rsplit(":", 1)
            caller = socket.create_connection((address[0], int(address[1])), timeout=SECONDS)
            caller.sendall(self.post("pump-1", "sleep", {"timeout_seconds": 60}))
            wait_until(lambda: len(device.asked) == number, "the device is asked")
            caller.close()
            wait_until(lambda: f"heptane_device_methods_unanswered_total {number}" in http.text(self.server, "/metrics"), "given up")

    @staticmethod
    def post(thing, method, body):
        text = json.dumps(body).encode()
        return (f"POST /api/v1/devices/{thing}/methods/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n").encode() + text

    def test_what_is_sent_behind_a_call_waits_for_it(self):
        device = self.device("pump-1")
        host, port = self.server.endpoints["admin"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=SECONDS) as caller:
            caller.sendall(self.post("pump-1", "sleep", {"timeout_seconds": 60}))
            wait_until(lambda: device.asked, "the device is asked")
            caller.sendall(self.post("pump-1", "add", {"payload": [1]}) + self.post("pump-1", "add", {"payload": [2]}))
            topic = f"$iothub/methods/res/201/?$rid={device.asked[0][1]}"
            device.client.publish(topic, "{}", 1).wait_for_publish(SECONDS)
            heard = b""
            while b'"sum": 2' not in heard:
                piece = caller.recv(65536)
                self.assertTrue(piece, heard)
                heard += piece
        self.assertLess(heard.index(b"201"), heard.index(b'"sum": 1'))
        self.assertLess(heard.index(b'"sum": 1'), heard.index(b'"sum": 2'))

    def test_a_kill_forgets_calls_and_devices_come_back(self):
        device = self.device("pump-1")
        outcome = []

        def call():
            try:
                outcome.append(self.call("pump-1", "sleep"))
            except OSError as broken:
                outcome.append(broken)

        waiting = threading.Thread(target=call)
        waiting.start()
        wait_until(lambda: device.asked, "the device is asked")
        device.ready.clear()
        self.server.crash_restart()
        waiting.join(SECONDS)
        self.assertIsInstance(outcome[0], OSError)
        self.assertTrue(device.ready.wait(SECONDS), "the device is connected again")
        # What it was asked before is nobody's question any more.
        device.client.publish(f"$iothub/methods/res/200/?$rid={device.asked[0][1]}", "{}", 1).wait_for_publish(SECONDS)
        self.assertEqual(self.call("pump-1", "add", {"payload": [2]}), (200, {"status": 200, "payload": {"sum": 2}}))
        self.assertIn("heptane_device_methods_late_total 1", http.text(self.server, "/metrics"))
        _, trail = http.call(self.server, "GET", "/api/v1/streams/audit/records?limit=1000")
        self.assertEqual([one["value"]["detail"] for one in trail["records"]
                          if one["value"]["action"] == "devices.call"], ["sleep", "add"])

    def test_nobody_publishes_there(self):
        listener = Connection(self.server.address("mqtt")).open("listener")
        self.addCleanup(listener.socket.close)
        listener.send(packet(0x32, string(ASKED + "open/?$rid=1") + b"\0\1{}"))
        self.assertIsNone(listener.read())


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def setUp(self):
        super().setUp()
        for name in ("pump-1", "pump-2"):
            self.admin("POST", "/api/v1/devices", {"name": name})
            self.add_user(name)
        self.admin("POST", "/api/v1/roles", {"name": "caller", "permissions": [
            {"module": "admin", "pattern": "devices", "verbs": ["write"]}]})
        self.admin("POST", "/api/v1/roles", {"name": "looker", "permissions": [
            {"module": "admin", "pattern": "devices", "verbs": ["read"]}]})

    def device(self, name, user):
        device = Device(self.server, name, user=user)
        self.addCleanup(device.close)
        self.assertTrue(device.ready.wait(SECONDS))
        return device

    def test_a_device_is_who_proved_it(self):
        # A client identifier is anybody's: the calls of pump-1 go to its user, whatever it is called.
        self.device("pump-1", "pump-2")
        self.assertIn("not_connected", str(self.call("pump-1", 409)))
        self.device("anything", "pump-1")
        self.assertEqual(self.call("pump-1", 200), {"status": 200, "payload": {"sum": 3}})
        self.assertEqual(self.in_trail(action="devices.call", on="pump-1")[0]["detail"], "add")

    def call(self, thing, expect, who=None):
        status, answer, _ = ask(self.server, "POST", f"/api/v1/devices/{thing}/methods/add", {"payload": [1, 2]},
                                who or "Bearer " + self.token)
        self.assertEqual(status, expect, answer)
        return answer

    def test_who_may_call(self):
        self.device("pump-1", "pump-1")
        for role, status in (("caller", 200), ("looker", 403)):
            self.add_user(role, role)
            self.call("pump-1", status, basic(role, PASSWORD))


if __name__ == "__main__":
    unittest.main()
