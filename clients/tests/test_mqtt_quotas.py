"""Quotas of users over MQTT by mosquitto's clients: what version 5 is told, that version 3.1.1 loses nothing, what a subscriber gets
that owes for what it got, and that one user's debts are not another's."""

import unittest

from test_auth import PASSWORD, Guarded

from heptane_testkit import Server, http, wait_until
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub

LINES = [f"{n:04}" + "x" * 996 for n in range(60)]
TEXT = "\n".join(LINES) + "\n"


def metric(server, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in http.text(server, "/metrics").splitlines()
               if line.startswith((name + " ", name + "{")))


class Quotas(unittest.TestCase):
    def server(self, *settings):
        server = Server(args=[part for setting in settings for part in ("--set", setting)])
        self.addCleanup(server.close)
        return server.start()

    def subscriber(self, server, *arguments):
        subscriber = Subscriber(server.address("mqtt"), "-q", 1, *arguments)
        self.addCleanup(subscriber.close)
        return subscriber

    def test_version_5_is_told_which_messages_were_not_taken(self):
        server = self.server("listen.mqtt.bytes_in=20KiB")
        subscriber = self.subscriber(server, "-t", "m", "-V", "mqttv5")
        done = mosquitto_pub(server.address("mqtt"), "-V", "mqttv5", "-q", 1, "-t", "m", "-l", text_in=TEXT)
        refused = done.stderr.lower().count("quota exceeded")
        self.assertGreater(refused, 0, done.stderr)
        self.assertEqual(metric(server, "heptane_mqtt_refused_total"), refused)
        self.assertEqual(metric(server, "heptane_mqtt_logged_total"), len(LINES) - refused)
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)
        subscriber.close()

    def test_version_3_waits_and_loses_nothing(self):
        server = self.server("listen.mqtt.bytes_in=30KiB")
        subscriber = self.subscriber(server, "-t", "m", "-C", len(LINES))
        bystander = Connection(server.address("mqtt")).open("bystander", 5)
        self.addCleanup(bystander.socket.close)
        mosquitto_pub(server.address("mqtt"), "-q", 1, "-t", "m", "-l", text_in=TEXT)
        self.assertEqual(subscriber.lines(), LINES)
        self.assertEqual(metric(server, "heptane_mqtt_refused_total"), 0)
        self.assertGreater(metric(server, "heptane_mqtt_slowed_total"), 0)
        self.assertGreater(metric(server, "heptane_throttled_seconds_total"), 0)
        bystander.send(b"\xc0\0")
        self.assertEqual(bystander.read(), b"\xd0\0")

    def test_a_subscriber_gets_what_it_waits_for(self):
        server = self.server("listen.mqtt.bytes_out=30KiB")
        subscribers = [self.subscriber(server, "-t", "m", "-C", len(LINES), *more)
                       for more in ((), ("-V", "mqttv5", "-i", "kept", "-c", "-x", 3600))]
        mosquitto_pub(server.address("mqtt"), "-q", 1, "-t", "m", "-l", text_in=TEXT)
        for subscriber in subscribers:
            self.assertEqual(subscriber.lines(), LINES)
        self.assertGreater(metric(server, "heptane_throttled_total"), 0)


class Users(Guarded):
    args = ("--plain-on-loopback", "--set", "quotas.users=busy requests=5")

    def test_ones_debts_are_not_anothers(self):
        self.admin("POST", "/api/v1/roles", {"name": "meter", "permissions": [
            {"module": "mqtt", "pattern": "*", "verbs": ["read", "write"]}]})
        refused = {}
        for user in ("busy", "calm"):
            self.add_user(user, "meter")
            done = mosquitto_pub(self.server.address("mqtt"), "-u", user, "-P", PASSWORD, "-V", "mqttv5", "-q", 1, "-t", user, "-l",
                                 text_in="\n".join(map(str, range(50))) + "\n")
            refused[user] = done.stderr.lower().count("quota exceeded")
        self.assertGreater(refused["busy"], 0)
        self.assertEqual(refused["calm"], 0)
        # Later it may again.
        wait_until(lambda: "quota" not in mosquitto_pub(
            self.server.address("mqtt"), "-u", "busy", "-P", PASSWORD, "-V", "mqttv5", "-q", 1, "-t", "t", "-m", "x").stderr.lower(),
            "its debts are paid")


if __name__ == "__main__":
    unittest.main()
