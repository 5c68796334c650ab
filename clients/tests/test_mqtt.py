"""MQTT with the clients that people have: mosquitto's, Paho, mqtt.js; what they were told is synced, and reads as a stream."""

import json
import os
import random
import ssl
import subprocess
import tempfile
import threading
import unittest

from test_auth import PASSWORD, Guarded

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.certificates import Authority
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub, mosquitto_sub, packet, string

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 120
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))


def records(server):
    """Key, value, headers of all that was logged."""
    lines = kafka.kcat_consume(server.kafka, "iot.messages", "-f", "%k\t%s\t%h\n", seconds=SECONDS)
    return [tuple(line.split("\t")) for line in lines]


class Mosquitto(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.address = self.server.address("mqtt")

    def test_every_qos_and_version(self):
        for version in ("mqttv31", "mqttv311", "mqttv5"):
            for qos in (0, 1, 2):
                topic = f"m/{version}/{qos}"
                subscriber = Subscriber(self.address, "-V", version, "-q", qos, "-t", topic, "-C", 100, "-v")
                self.addCleanup(subscriber.close)
                lines = [f"line {i}" for i in range(100)]
                mosquitto_pub(self.address, "-V", version, "-q", qos, "-t", topic, "-l", text_in="\n".join(lines) + "\n")
                self.assertEqual(subscriber.lines(), [f"{topic} {line}" for line in lines])
        logged = [value for key, value, _ in records(self.server) if key == "m/mqttv5/1"]
        self.assertEqual(logged, [f"line {i}" for i in range(100)])
        # QoS 0 passes neither the log nor the shard.
        self.assertFalse([key for key, *_ in records(self.server) if key.endswith("/0")])

    def test_retained_messages_outlive_the_server(self):
        for i in range(20):
            mosquitto_pub(self.address, "-r", "-q", i % 3, "-t", f"r/{i}", "-m", f"kept {i}")
        mosquitto_pub(self.address, "-r", "-n", "-q", 1, "-t", "r/7")
        wanted = sorted(f"r/{i} kept {i}" for i in range(20) if i != 7)
        for again in range(2):
            got = mosquitto_sub(self.address, "-t", "r/#", "-v", "-q", 1, "-C", 19, "--retained-only")
            self.assertEqual(sorted(got), wanted)
            if not again:
                self.server.crash_restart()
        self.server.restart()
        self.assertEqual(len(mosquitto_sub(self.address, "-t", "r/+", "-C", 19)), 19)
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_record_says_what_the_message_said(self):
        mosquitto_pub(self.address, "-V", "mqttv5", "-i", "sensor", "-q", 1, "-r", "-t", "plant/1/temp", "-m", "293.15",
                      "-D", "publish", "message-expiry-interval", 3600, "-D", "publish", "content-type", "text/plain",
                      "-D", "publish", "user-property", "unit", "K",
                      "-D", "publish", "response-topic", "plant/1/answer", "-D", "publish", "correlation-data", "c7")
        (key, value, headers), = records(self.server)
        self.assertEqual((key, value), ("plant/1/temp", "293.15"))
        position, rest = headers.split(",", 1)
        self.assertRegex(position, "^heptane.position=0:[0-9]+$")
        self.assertEqual(rest, "mqtt.qos=1,mqtt.retain=1,mqtt.message_expiry=3600,mqtt.content_type=text/plain,"
                               "mqtt.response_topic=plant/1/answer,mqtt.correlation_data=c7,mqtt.client=sensor,unit=K")

    def test_a_will_when_the_client_is_killed(self):
        subscriber = Subscriber(self.address, "-t", "will/#", "-q", 1, "-C", 1, "-v")
        self.addCleanup(subscriber.close)
        client = Subscriber(self.address, "-t", "nothing", "-i", "mortal", "--will-topic", "will/mortal",
                            "--will-payload", "gone", "--will-qos", "1")
        client.close()  # SIGKILL
        self.assertEqual(subscriber.lines(), ["will/mortal gone"])

    def test_a_large_message_and_one_too_large(self):
        subscriber = Subscriber(self.address, "-t", "large", "-q", 1, "-C", 1, "-F", "%l")
        self.addCleanup(subscriber.close)
        mosquitto_pub(self.address, "-q", 1, "-t", "large", "-s", text_in="x" * 1_000_000)
        self.assertEqual(subscriber.lines(), ["1000000"])
        with Connection(self.address).open("large", 5) as connection:
            connection.send(b"\x30" + b"\xff\xff\xff\x7f" + b"x")
            self.assertEqual(connection.read(), packet(0xE0, b"\x95"))
            self.assertIsNone(connection.read())


class Clients(unittest.TestCase):
    def test_mqtt_js(self):
        self.talk_mqtt_js(lambda server: f"mqtt://{server.endpoints['mqtt']}")

    def test_mqtt_js_over_websocket(self):
        self.talk_mqtt_js(lambda server: f"ws://{server.admin}/mqtt")

    def talk_mqtt_js(self, url):
        with Server() as server:
            done = subprocess.run(["node", os.path.join(HERE, "mqtt_client.js"), url(server)], capture_output=True,
                                  text=True, timeout=SECONDS)
            self.assertEqual(done.returncode, 0, done.stderr)
            said = json.loads(done.stdout.splitlines()[-1])
            for version, user in (("four", None), ("five", {"unit": "K"})):
                got = said[version]
                self.assertEqual([(m["payload"], m["qos"], m["retain"]) for m in got],
                                 [("retained", 1, True), ("at 0", 0, False), ("at 1", 1, False), ("at 2", 2, False)])
                self.assertEqual([m["user"] for m in got], [None, user, user, user])

    def test_paho(self):
        from paho.mqtt import client as paho

        for protocol in (paho.MQTTv311, paho.MQTTv5):
            with Server() as server:
                host, port = server.address("mqtt")
                got, subscribed, done = [], threading.Event(), threading.Event()
                subscriber = paho.Client("paho-s", protocol=protocol)
                subscriber.on_subscribe = lambda *_: subscribed.set()

                def on_message(_client, _userdata, message):
                    got.append((message.topic, message.payload, message.qos))
                    if len(got) == 300:
                        done.set()

                subscriber.on_message = on_message
                subscriber.connect(host, port)
                subscriber.loop_start()
                subscriber.subscribe([("p/+", 2)])
                self.assertTrue(subscribed.wait(SECONDS))
                publisher = paho.Client("paho-p", protocol=protocol)
                publisher.connect(host, port)
                publisher.loop_start()
                sent = [publisher.publish(f"p/{i % 3}", str(i), qos=i % 3) for i in range(300)]
                for info in sent:
                    info.wait_for_publish(SECONDS)
                self.assertTrue(done.wait(SECONDS))
                for client in (publisher, subscriber):
                    client.disconnect()
                    client.loop_stop()
                for qos in range(3):
                    self.assertEqual([payload for topic, payload, at in got if at == qos],
                                     [str(i).encode() for i in range(qos, 300, 3)])


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def log_in(self, connection, user):
        """CONNECT of MQTT 5 with the client identifier c; the reason code."""
        connection.send(packet(0x10, string("MQTT") + b"\x05\xc2\0\x3c\0" + string("c") + string(user) + string(PASSWORD)))
        return connection.read()[3]

    def test_who_may_publish_and_subscribe(self):
        address = self.server.address("mqtt")
        self.admin("POST", "/api/v1/roles", {"name": "plant", "permissions": [
            {"module": "mqtt", "pattern": "plant/*", "verbs": ["read", "write"]}]})
        self.add_user("alice", "plant")
        self.add_user("bob")
        alice = ("-u", "alice", "-P", PASSWORD)
        for wrong in ((), ("-u", "alice", "-P", "another password"), ("-u", "nobody", "-P", PASSWORD)):
            with self.assertRaisesRegex(AssertionError, "not authorised|Not authorized|Bad user|bad user"):
                mosquitto_pub(address, *wrong, "-t", "plant/1", "-m", "x", "-q", 1)
        subscriber = Subscriber(address, *alice, "-t", "plant/#", "-q", 1, "-C", 1, "-v")
        self.addCleanup(subscriber.close)
        mosquitto_pub(address, *alice, "-V", "mqttv5", "-t", "plant/1", "-m", "x", "-q", 1)
        self.assertEqual(subscriber.lines(), ["plant/1 x"])
        with Connection(address) as connection:
            self.assertEqual(self.log_in(connection, "alice"), 0)
            connection.send(packet(0x32, string("other/1") + b"\0\x07\0x"))
            self.assertEqual(connection.read(), packet(0x40, b"\0\x07\x87"))
            connection.send(packet(0x82, b"\0\x08\0" + string("#") + b"\1" + string("plant/+/t") + b"\1"))
            self.assertEqual(connection.read(), packet(0x90, b"\0\x08\0\x87\x01"))
            # Another user does not get its identifier.
            with Connection(address) as thief:
                self.assertEqual(self.log_in(thief, "bob"), 0x87)
            connection.send(packet(0xC0))
            self.assertEqual(connection.read(), packet(0xD0))
        # A token is a password of the user `token`.
        mosquitto_pub(address, "-u", "token", "-P", self.token, "-t", "any/thing", "-m", "x", "-q", 2)


    def test_a_revoked_user_gets_nothing_more(self):
        address = self.server.address("mqtt")
        self.admin("POST", "/api/v1/roles", {"name": "plant", "permissions": [
            {"module": "mqtt", "pattern": "plant/*", "verbs": ["read", "write"]}]})
        self.add_user("alice", "plant")
        with Connection(address) as connection:
            self.assertEqual(self.log_in(connection, "alice"), 0)
            connection.send(packet(0x82, b"\0\x08\0" + string("plant/#") + b"\1"))
            self.assertEqual(connection.read(), packet(0x90, b"\0\x08\0\x01"))
            self.admin("DELETE", "/api/v1/users/alice", {})
            mosquitto_pub(address, "-u", "token", "-P", self.token, "-t", "plant/1", "-m", "secret", "-q", 1)
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
            self.assertIsNone(connection.read())
            with Connection(address) as again:
                self.assertEqual(self.log_in(again, "alice"), 0x86)

    def test_a_revoked_user_who_does_nothing_is_told(self):
        address = self.server.address("mqtt")
        self.admin("POST", "/api/v1/roles", {"name": "plant", "permissions": [
            {"module": "mqtt", "pattern": "plant/*", "verbs": ["read", "write"]}]})
        self.add_user("al", "plant")
        with Connection(address) as connection:
            connection.send(packet(0x10, string("MQTT") + b"\x05\xc2\0\0\0" + string("c") + string("al") + string(PASSWORD)))
            self.assertEqual(connection.read()[3], 0)
            connection.send(packet(0x82, b"\0\x08\0" + string("plant/#") + b"\1"))
            self.assertEqual(connection.read(), packet(0x90, b"\0\x08\0\x01"))
            self.admin("DELETE", "/api/v1/users/al", {})
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
            self.assertIsNone(connection.read())
        for path in ("clients", "subscriptions"):
            self.assertEqual(self.admin("GET", "/api/v1/mqtt/" + path)[path], [])


class Encrypted(unittest.TestCase):
    def test_over_tls(self):
        authority = Authority()
        self.addCleanup(authority.close)
        authority.issue("server")
        with Server(args=("--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key"),
                          "--tls-listener", "mqtt")) as server:
            address = ("localhost", server.address("mqtt")[1])
            subscriber = Subscriber(address, "--cafile", authority.ca, "-t", "t", "-q", 1, "-C", 1, "-v")
            self.addCleanup(subscriber.close)
            mosquitto_pub(address, "--cafile", authority.ca, "-t", "t", "-m", "x", "-q", 1)
            self.assertEqual(subscriber.lines(), ["t x"])
            self.talk_paho(address, authority)

    def talk_paho(self, address, authority):
        from paho.mqtt import client as paho

        got, subscribed, done = [], threading.Event(), threading.Event()
        client = paho.Client("paho-tls")
        client.tls_set(ca_certs=authority.ca)
        client.on_subscribe = lambda *_: subscribed.set()

        def on_message(_client, _userdata, message):
            got.append((message.payload, message.qos))
            if len(got) == 3:
                done.set()

        client.on_message = on_message
        client.connect(*address)
        client.loop_start()
        client.subscribe("paho", 2)
        self.assertTrue(subscribed.wait(SECONDS))
        for qos in range(3):
            client.publish("paho", str(qos), qos=qos).wait_for_publish(SECONDS)
        self.assertTrue(done.wait(SECONDS))
        client.disconnect()
        client.loop_stop()
        self.assertEqual(sorted(got), [(b"0", 0), (b"1", 1), (b"2", 2)])
        other = Authority()
        self.addCleanup(other.close)
        stranger = paho.Client("stranger")
        stranger.tls_set(ca_certs=other.ca)
        with self.assertRaises(ssl.SSLCertVerificationError):
            stranger.connect(*address)


class Room(unittest.TestCase):
    def test_who_finds_no_room_is_closed_and_comes_in_when_there_is_some(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="ascii") as config:
            config.write("[listen.mqtt]\nconnections = 3\n")
            config.flush()
            with Server(args=("--config", config.name)) as server:
                address = server.address("mqtt")
                inside = [Connection(address).open(f"c{number}") for number in range(3)]
                for _ in range(5):
                    with Connection(address) as outside:
                        self.assertIsNone(outside.read(), "there are no words for it before CONNECT")
                # Those inside go on.
                for connection in inside:
                    connection.send(packet(0xC0))
                    self.assertEqual(connection.read(), packet(0xD0))
                self.assertIn("heptane_connections_refused_total 5", http.text(server, "/metrics"))
                # Who tries again, as clients do, is in when one of those leaves.
                inside[0].send(packet(0xE0))
                wait_until(lambda: self.is_in(address), "the room", SECONDS)
                for connection in inside:
                    connection.socket.close()

    def is_in(self, address):
        with Connection(address) as connection:
            try:
                connection.send(packet(0x10, string("MQTT") + b"\x04\x02\0\0" + string("late")))
                return connection.read() == packet(0x20, b"\0\0")
            except OSError:
                return False


class MosquittoUnderKills(unittest.TestCase):
    """mosquitto_pub -l while the server is killed under it: it connects again by itself, and sends again what it has no answer to."""

    LINES = 3_000
    WINDOW = 100  # lines ahead of what is acknowledged, so that each kill meets some

    def setUp(self):
        self.server = Server().use_stable_port("mqtt")
        self.addCleanup(self.server.close)
        self.server.start()

    def feed(self, process):
        try:
            for number in range(self.LINES):
                self.room.acquire(timeout=SECONDS)
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
            process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass  # it ended

    def publish(self, topic, last_word, *arguments):
        """Numbers of the lines of which mosquitto_pub was told that they are taken."""
        host, port = self.server.address("mqtt")
        self.room = threading.Semaphore(self.WINDOW)
        acknowledged = []
        process = subprocess.Popen(["stdbuf", "-oL", "mosquitto_pub", "-h", host, "-p", str(port), "-d", "-t", topic, "-l", *arguments],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        watch = threading.Timer(SECONDS, process.kill)
        watch.start()
        feeder = threading.Thread(target=self.feed, args=(process,))
        feeder.start()
        kills = {self.LINES // 5, self.LINES // 2}
        for line in process.stdout:
            if f"received {last_word} " not in line:
                continue
            acknowledged.append(int(line.split("Mid: ")[1].split(",")[0].rstrip(")\n")) - 1)
            self.room.release()
            if len(acknowledged) in kills:
                self.server.kill()
                self.server.start()
        ended = process.wait(SECONDS)
        watch.cancel()
        feeder.join(SECONDS)
        process.stdout.close()
        return acknowledged, ended

    def stream(self, topic):
        return [int(value) for key, value, _ in records(self.server) if key == topic]

    def test_at_qos_1_every_message_that_was_acknowledged_is_there(self):
        acknowledged, ended = self.publish("one", "PUBACK", "-q", "1")
        self.assertEqual(ended, 0)
        there = self.stream("one")
        self.assertEqual(set(acknowledged) - set(there), set())
        self.assertEqual(list(dict.fromkeys(there)), list(range(self.LINES)), "in order, at least once")

    def test_at_qos_2_with_a_session_that_both_keep_every_message_is_there_once(self):
        acknowledged, ended = self.publish("two", "PUBCOMP", "-q", "2", "-c", "-i", "twice")
        self.assertEqual(ended, 0)
        there = self.stream("two")
        self.assertEqual(set(acknowledged) - set(there), set())
        self.assertEqual(there, list(range(self.LINES)), "in order, exactly once")


class Kills(unittest.TestCase):
    """kill -9 while clients publish: what was acknowledged is in the stream afterwards."""

    def publish_until_killed(self, number, kill_at):
        acknowledged = 0
        with Connection(self.server.address("mqtt")).open(f"k{number}") as connection:
            window, sent = 50, 0
            while True:
                while sent < acknowledged + window:
                    sent += 1
                    identifier = (1 + sent % 60_000).to_bytes(2, "big")
                    body = string(f"kill/{number}") + identifier + f"{self.round}:{sent}".encode()
                    try:
                        connection.send(packet(0x32, body))
                    except OSError:
                        return acknowledged
                try:
                    answer = connection.read()
                except OSError:
                    return acknowledged
                if answer is None:
                    return acknowledged
                self.assertEqual(answer, packet(0x40, (1 + (acknowledged + 1) % 60_000).to_bytes(2, "big")))
                acknowledged += 1
                if acknowledged == kill_at:
                    self.reached.release()

    def test_every_acknowledged_message_is_there(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        acknowledged = {}
        for self.round in range(3):
            self.reached = threading.Semaphore(0)

            def run(number):
                acknowledged[self.round, number] = self.publish_until_killed(number, 300)

            threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            self.assertTrue(self.reached.acquire(timeout=SECONDS))
            self.server.kill()
            for thread in threads:
                thread.join(SECONDS)
            self.server.start()
        found = {}
        for key, value, _ in records(self.server):
            round_of, number = value.split(":")
            found.setdefault((int(round_of), int(key.split("/")[1])), []).append(int(number))
        for (round_of, number), count in acknowledged.items():
            there = found.get((round_of, number), [])
            self.assertGreaterEqual(len(there), count)
            self.assertEqual(there, list(range(1, len(there) + 1)), (round_of, number))
        self.assertGreaterEqual(sum(acknowledged.values()), 900)


class PowerCuts(unittest.TestCase):
    """Paho publishes at QoS 1 and 2 above the power-cut layer: what it was told of before a cut is there after it."""

    def test_acknowledged_messages_survive_cuts(self):
        from paho.mqtt import client as paho

        server = Server.with_powercut(args=("--segment-mib", 16, "--snapshot-log-mib", 1))
        self.addCleanup(server.close)
        server.start()
        client = paho.Client("cuts")
        client.connect(*server.address("mqtt"))
        client.loop_start()
        notes, count, text = [], 0, "x" * 2000
        for step in range(60):
            sent = []
            for _ in range(1 + step % 40):
                count += 1
                sent.append(client.publish("cut", f"{count} {text}", qos=1 + count % 2, retain=count % 10 == 0))
            for info in sent:
                info.wait_for_publish(SECONDS)
            if count >= 10:
                notes.append((server.position(), count))
        client.loop_stop()
        server.kill()
        choice = random.Random(7)
        for seed in range(max(1, round(4 * SCALE))):
            position, acknowledged = choice.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    there = [int(value.split()[0]) for _, value, _ in records(after)]
                    self.assertGreaterEqual(len(there), acknowledged)
                    self.assertEqual(there, list(range(1, len(there) + 1)), "in order, once")
                    kept, = mosquitto_sub(after.address("mqtt"), "-t", "cut", "-C", 1, "--retained-only")
                    self.assertEqual(int(kept.split()[0]), len(there) // 10 * 10)
                    self.assertEqual(after.stop(), 0)
                finally:
                    after.close()


class BadInput(unittest.TestCase):
    def test_a_flood_at_qos_2_without_pubrel_ends(self):
        with Server() as server, Connection(server.address("mqtt")).open("flood", 5) as connection:
            for identifier in range(1, 1026):  # one above Receive Maximum
                connection.send(packet(0x34, string("t") + identifier.to_bytes(2, "big") + b"\0x"))
            answers = []
            while (answer := connection.read()) is not None:
                answers.append(answer)
            self.assertEqual(answers[-1], packet(0xE0, b"\x93"))
            self.assertLessEqual(len(answers), 1025)

    def test_a_stranger_gets_nothing(self):
        with Server() as server:
            address = server.address("mqtt")
            for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00", b"\x30\x03\x00\x01t", b"\x10\xff\xff\xff\xff\x7f",
                         packet(0x10, b"\x00\x04MQTX\x04\x02\x00\x00\x00\x01a")):
                with Connection(address) as connection:
                    connection.send(data)
                    self.assertIsNone(connection.read(), data)
            # It goes on.
            with Connection(address).open("x") as connection:
                connection.send(packet(0xC0))
                self.assertEqual(connection.read(), packet(0xD0))
            said = 'heptane_mqtt_closed_total{reason="malformed"} 5\n'
            wait_until(lambda: said in http.text(server, "/metrics"), "five were counted")


if __name__ == "__main__":
    unittest.main()
