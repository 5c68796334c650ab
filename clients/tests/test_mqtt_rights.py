"""Rights that name the user and the client, and deliveries that are filtered one by one, with mosquitto's clients; what `iot.events`
tells of what was denied."""

import json
import unittest

from test_auth import PASSWORD, Guarded

from heptane_testkit import Server, wait_until
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub, mosquitto_sub, packet, string


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def setUp(self):
        super().setUp()
        self.address = self.server.address("mqtt")

    def add_role(self, name, *lines):
        self.admin("POST", "/api/v1/roles", {"name": name, "permissions": [
            {"module": "mqtt", "pattern": pattern, "verbs": list(verbs)} for pattern, *verbs in lines]})

    def events(self, kind):
        """Of `iot.events`, as far as it is there."""
        try:
            answer = self.admin("GET", "/api/v1/streams/iot.events/records?limit=1000")
        except AssertionError:
            return []
        return [record["value"] for record in answer["records"] if record["value"]["event"] == kind]

    def denied(self, **wanted):
        wait_until(lambda: any(all(event.get(name) == value for name, value in wanted.items())
                               for event in self.events("denied")), f"it is told that {wanted} was denied")

    def log_in(self, connection, user, client):
        connection.send(packet(0x10, string("MQTT") + b"\x05\xc2\0\x3c\0" + string(client) + string(user) + string(PASSWORD)))
        return connection.read()[3]


class Names(Rights):
    def test_each_user_and_client_has_its_topics(self):
        self.add_role("meter", ("up/%u/%c/*", "write"), ("down/%c", "read"))
        for user in ("al", "bo"):
            self.add_user(user, "meter")
        al = ("-u", "al", "-P", PASSWORD, "-i", "m1", "-V", "mqttv5")
        watcher = Subscriber(self.address, "-u", "token", "-P", self.token, "-t", "up/#", "-q", 1, "-C", 1, "-v")
        self.addCleanup(watcher.close)
        subscriber = Subscriber(self.address, "-u", "bo", "-P", PASSWORD, "-i", "m2", "-t", "down/m2", "-q", 1, "-C", 1, "-v")
        self.addCleanup(subscriber.close)
        for topic in ("up/bo/m1/t", "up/al/m2/t"):
            refused = mosquitto_pub(self.address, *al, "-t", topic, "-m", "x", "-q", 1)
            self.assertIn("not authorized", refused.stderr.lower())
        mosquitto_pub(self.address, *al, "-t", "up/al/m1/t", "-m", "1", "-q", 1)
        self.assertEqual(watcher.lines(), ["up/al/m1/t 1"])
        mosquitto_pub(self.address, "-u", "token", "-P", self.token, "-t", "down/m2", "-m", "2", "-q", 1)
        self.assertEqual(subscriber.lines(), ["down/m2 2"])
        with Connection(self.address) as connection:
            self.assertEqual(self.log_in(connection, "al", "+"), 0)
            connection.send(packet(0x82, b"\0\x08\0" + string("down/+") + b"\1" + string("down/m2") + b"\1"))
            self.assertEqual(connection.read(), packet(0x90, b"\0\x08\0\x87\x87"))
        self.denied(action="publish", client="m1", user="al", topic="up/bo/m1/t", reason="not_authorised")
        self.denied(action="subscribe", client="+", filter="down/+")

    def test_a_role_that_changes_counts_at_once(self):
        self.add_role("meter", ("up/%u/*", "read", "write"))
        self.add_user("al", "meter")
        with Connection(self.address) as connection:
            self.assertEqual(self.log_in(connection, "al", "c"), 0)
            connection.send(packet(0x82, b"\0\x08\0" + string("up/al/#") + b"\1"))
            self.assertEqual(connection.read(), packet(0x90, b"\0\x08\0\x01"))
            mosquitto_pub(self.address, "-u", "token", "-P", self.token, "-t", "up/al/1", "-m", "x")
            self.assertEqual(connection.read(), packet(0x30, string("up/al/1") + b"\0x"))
            self.admin("DELETE", "/api/v1/users/al/roles/meter", {})
            mosquitto_pub(self.address, "-u", "token", "-P", self.token, "-t", "up/al/1", "-m", "secret", "-q", 1)
            connection.send(packet(0xC0, b""))
            self.assertEqual(connection.read(), packet(0xD0, b""))
            self.denied(action="subscribe", client="c", user="al", filter="up/al/#", reason="not_authorised")
            self.assertEqual(self.admin("GET", "/api/v1/mqtt/subscriptions?client=c")["subscriptions"], [])
            self.admin("DELETE", "/api/v1/users/al", {})
            connection.send(packet(0xC0, b""))
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
            self.assertIsNone(connection.read())

    def test_a_durable_session_goes_on_without_what_it_may_not_read(self):
        self.add_role("meter", ("up/%u/*", "read"))
        self.add_role("more", ("more/*", "read"))
        self.add_user("al", "meter", "more")
        al = ("-u", "al", "-P", PASSWORD, "-i", "d", "-c", "-x", 3600, "-V", "mqttv5", "-q", 1, "-v")
        root = ("-u", "token", "-P", self.token, "-q", 1)
        subscriber = Subscriber(self.address, *al, "-t", "up/al/#", "-t", "more/#", "-C", 1)
        self.addCleanup(subscriber.close)
        self.admin("DELETE", "/api/v1/users/al/roles/meter", {})
        mosquitto_pub(self.address, *root, "-t", "up/al/1", "-m", "secret")
        mosquitto_pub(self.address, *root, "-t", "more/1", "-m", "1")
        self.assertEqual(subscriber.lines(), ["more/1 1"])
        self.admin("POST", "/api/v1/users/al/roles", {"role": "meter"})
        self.server.kill()
        self.server.start()
        mosquitto_pub(self.address, *root, "-t", "up/al/1", "-m", "secret")
        mosquitto_pub(self.address, *root, "-t", "more/1", "-m", "2")
        self.assertEqual(mosquitto_sub(self.address, *al, "-t", "more/#", "-C", 1), ["more/1 2"])


class Retained(Rights):
    def test_who_may_not_publish_any_more_is_not_heard(self):
        self.add_role("meter", ("up/%u/*", "write"))
        self.add_user("al", "meter")
        al = ("-u", "al", "-P", PASSWORD, "-q", 1, "-r")
        root = ("-u", "token", "-P", self.token, "-q", 1)
        mosquitto_pub(self.address, *al, "-t", "up/al/t", "-m", "1")
        mosquitto_pub(self.address, *root, "-t", "up/z", "-m", "2", "-r")
        both = ["up/al/t 1", "up/z 2"]
        everything = (*root, "-t", "up/#", "-v")
        self.assertEqual(mosquitto_sub(self.address, *everything, "-C", 2), both)
        self.admin("DELETE", "/api/v1/users/al/roles/meter", {})
        self.assertEqual(mosquitto_sub(self.address, *everything, "-C", 1), both[1:])
        self.server.kill()
        self.server.start()
        self.assertEqual(mosquitto_sub(self.address, *everything, "-C", 1), both[1:])
        shown = self.admin("GET", "/api/v1/mqtt/retained?filter=up/%23")["retained"]
        self.assertEqual([(one["topic"], one.get("user") == "al") for one in shown], [("up/al/t", True), ("up/z", False)])
        self.admin("POST", "/api/v1/users/al/roles", {"role": "meter"})
        self.assertEqual(mosquitto_sub(self.address, *everything, "-C", 2), both)
        self.admin("DELETE", "/api/v1/users/al", {})
        self.assertEqual(mosquitto_sub(self.address, *everything, "-C", 1), both[1:])


class Filtered(Rights):
    def make_server(self):
        return Server(args=("--auth", *self.args, "--set", "mqtt.filter_deliveries=true"))

    def test_what_is_not_a_clients_is_passed_over(self):
        self.add_role("plant", ("plant/*", "read"))
        self.add_user("al", "plant")
        al = ("-u", "al", "-P", PASSWORD)
        root = ("-u", "token", "-P", self.token, "-q", 1)
        for topic in ("other/r", "plant/r"):
            mosquitto_pub(self.address, *root, "-t", topic, "-m", "kept", "-r")
        live = Subscriber(self.address, *al, "-t", "#", "-q", 1, "-C", 4, "-v")
        self.addCleanup(live.close)
        durable = ("-i", "away", "-c", "-x", 3600, "-V", "mqttv5")
        Subscriber(self.address, *al, *durable, "-t", "+/d", "-q", 1).close()
        for n in range(3):
            mosquitto_pub(self.address, *root, "-t", "other/d", "-m", n)
            mosquitto_pub(self.address, *root, "-t", "plant/d", "-m", n)
        self.assertEqual(sorted(live.lines()), sorted(["plant/r kept"] + [f"plant/d {n}" for n in range(3)]))
        back = mosquitto_sub(self.address, *al, *durable, "-t", "+/d", "-q", 1, "-C", 3, "-v")
        self.assertEqual(back, [f"plant/d {n}" for n in range(3)])
        # The queue is empty: what was passed over does not stay in it.
        wait_until(lambda: self.admin("GET", "/api/v1/mqtt/sessions/away")["session"]["queued"] == 0, "its queue is empty")
        self.assertEqual(self.admin("GET", "/api/v1/mqtt/sessions/away")["session"]["lost"], 0)

    def test_of_a_group_it_goes_to_another_member(self):
        self.add_role("plant", ("plant/*", "read"))
        self.add_user("al", "plant")
        shared = ("-t", "$share/g/#", "-q", 1, "-v")
        few = Subscriber(self.address, "-u", "al", "-P", PASSWORD, *shared, "-C", 1)
        self.addCleanup(few.close)
        all_of_it = Subscriber(self.address, "-u", "token", "-P", self.token, *shared, "-C", 6)
        self.addCleanup(all_of_it.close)
        for n in range(6):
            mosquitto_pub(self.address, "-u", "token", "-P", self.token, "-q", 1, "-t", f"other/{n}", "-m", n)
        self.assertEqual(sorted(all_of_it.lines()), [f"other/{n} {n}" for n in range(6)])
        mosquitto_pub(self.address, "-u", "token", "-P", self.token, "-q", 1, "-t", "plant/1", "-m", "x")
        self.assertEqual(few.lines(), ["plant/1 x"])


if __name__ == "__main__":
    unittest.main()
