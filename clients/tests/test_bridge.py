"""The bridge to other MQTT brokers, end to end: over cut networks and kill -9 of either side nothing that was acknowledged is lost,
order holds, and QoS 2 is exactly once where both sides keep their session."""

import json
import os
import random
import subprocess
import threading
import unittest

from test_auth import Guarded, ask

from heptane_testkit import Server, http, kafka, wait_until
from heptane_testkit.certificates import Authority
from heptane_testkit.mosquitto import Mosquitto
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub, mosquitto_sub, packet, string
from heptane_testkit.proxy import Proxy
from heptane_testkit.server import ROOT
from heptane_testkit.wait import free_port, pause

SECONDS = 120
EXAMPLE = os.path.join(ROOT, "examples", "edge", "heptane.toml")
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))


class Publisher:
    """A Paho client with a session of its own, which reconnects by itself; which numbers were acknowledged."""

    def __init__(self, address, client, qos):
        from paho.mqtt import client as paho

        self.qos, self.last, self.numbers, self.acknowledged = qos, 0, {}, set()
        self.more = threading.Condition()
        self.client = paho.Client(client, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.max_inflight_messages_set(20)
        self.client.max_queued_messages_set(0)
        self.client.on_publish = self._published
        self.client.connect(*address)
        self.client.loop_start()

    def _published(self, _client, _userdata, identifier):
        with self.more:
            self.acknowledged.add(identifier)

    def publish(self, topic, count):
        for _ in range(count):
            self.last += 1
            self.numbers[self.client.publish(topic, str(self.last), qos=self.qos).mid] = self.last

    def all_acknowledged(self):
        with self.more:
            return len(self.acknowledged) >= self.last

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Reader:
    """A Paho client with a session of its own; the numbers it got, in order."""

    def __init__(self, address, client, topic, qos):
        from paho.mqtt import client as paho

        self.got, self.qos, self.subscribed = [], [], threading.Event()
        self.client = paho.Client(client, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda _client, _userdata, message: self._take(message)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect(*address)
        self.client.loop_start()
        self.client.subscribe(topic, qos)
        assert self.subscribed.wait(SECONDS)

    def _take(self, message):
        self.got.append(int(message.payload))
        self.qos.append(message.qos)

    def has(self, count):
        return len(set(self.got)) >= count

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def logged(server, stream, topic):
    """The numbers that a broker has, in its order. Paho publishes again at QoS 2 what it should release, where it tried to
    connect twice in vain: those are other messages to a broker."""
    lines = kafka.kcat_consume(server.kafka, stream, "-f", "%k %s\n", seconds=SECONDS)
    return [int(line.split()[1]) for line in lines if line.split()[0] == topic]


def firsts(numbers):
    return list(dict.fromkeys(numbers))


def bridge_server(test, text, make=Server):
    server = make()
    test.addCleanup(server.close)
    path = os.path.join(server.work, "heptane.toml")
    with open(path, "w", encoding="ascii") as out:
        out.write(text)
    server.args = [*server.args, "--config", path]
    return server


def get(server, path):
    status, answer = http.call(server, "GET", path)
    assert status == 200, answer
    return answer


def bridges(server):
    return {bridge["name"]: bridge for bridge in get(server, "/api/v1/bridges")["bridges"]}


def wait_connected(server, name="hub"):
    wait_until(lambda: bridges(server).get(name, {}).get("state") == "connected", f"bridge {name}", SECONDS)


def events(server):
    lines = kafka.kcat_consume(server.kafka, "iot.events", "-f", "%s\n", seconds=SECONDS)
    return [json.loads(line) for line in lines]


OUT = """
[[bridge]]
name = "hub"
address = "{address}"
{more}

[[bridge]]
name = "hub"
direction = "out"
filter = "plant/#"
remote_prefix = "site/"
qos = {qos}
"""

IN = """
[[bridge]]
name = "hub"
direction = "in"
filter = "commands/#"
local_prefix = "from/"
qos = {qos}
"""


class Drained(unittest.TestCase):
    def test_a_gap_is_drained_at_its_rate(self):
        """By the hub's own clock, of the log: 1,000 messages at 200 a second take more than four seconds, however slow a machine is."""
        hub = Server()
        self.addCleanup(hub.close)
        hub.start()
        host, port = hub.address("mqtt")
        proxy = Proxy((host, port)).mend()
        self.addCleanup(proxy.close)
        server = bridge_server(self, OUT.format(address=proxy.address, more="messages_per_second = 200", qos=1)).start()
        wait_connected(server)
        proxy.cut()
        wait_until(lambda: bridges(server)["hub"]["state"] != "connected", "the cut", SECONDS)
        publisher = Publisher(server.address("mqtt"), "publisher", 1)
        self.addCleanup(publisher.close)
        publisher.publish("plant/t", 1000)
        wait_until(publisher.all_acknowledged, "PUBACK", SECONDS)
        self.assertNotIn("iot.messages", kafka.topics(hub.kafka), "the network is cut")
        proxy.mend()
        wait_until(lambda: bridges(server)["hub"]["acknowledged"] == 1000, "the drain", SECONDS)
        rows = [line.split() for line in kafka.kcat_consume(hub.kafka, "iot.messages", "-f", "%T %s\n", seconds=SECONDS)]
        self.assertEqual([int(number) for _, number in rows], list(range(1, 1001)))
        times = [int(time) for time, _ in rows]
        self.assertGreaterEqual(times[-1] - times[0], 4000)


class ToMosquitto(unittest.TestCase):
    def start(self, more="", qos=2, extra=""):
        broker = Mosquitto().start()
        self.addCleanup(broker.kill)
        proxy = Proxy(broker.address).mend()
        self.addCleanup(proxy.close)
        server = bridge_server(self, OUT.format(address=proxy.address, more=more, qos=qos) + extra)
        server.use_stable_port("mqtt").start()
        return broker, proxy, server

    def check_out(self, more=""):
        broker, proxy, server = self.start(more)
        wait_connected(server)
        reader = Reader(broker.address, "reader", "site/plant/#", 2)
        self.addCleanup(reader.close)
        publisher = Publisher(server.address("mqtt"), "publisher", 1)
        self.addCleanup(publisher.close)
        rounds, each = 4, int(300 * SCALE)
        for _ in range(rounds):
            publisher.publish("plant/t", each // 2)
            proxy.cut()
            publisher.publish("plant/t", each - each // 2)
            wait_until(publisher.all_acknowledged, "PUBACK", SECONDS)
            server.kill()
            proxy.mend()
            server.start()
        wait_until(lambda: reader.has(publisher.last), "all messages", SECONDS)
        self.assertEqual(firsts(reader.got), list(range(1, publisher.last + 1)), "lost, or out of order")
        told = {event["event"] for event in events(server)}
        self.assertIn("bridge_connected", told)
        self.assertFalse({"gap", "bridge_dead_letter"} & told)
        print(f"  out{' ' + more if more else ''}: {publisher.last} acknowledged, 0 lost, {len(reader.got) - publisher.last} doubled")

    def test_nothing_is_lost_over_cuts_and_kills(self):
        self.check_out()

    def test_nothing_is_lost_in_mqtt_3(self):
        self.check_out('protocol = "3.1.1"')

    def test_qos_2_is_exactly_once(self):
        broker, proxy, server = self.start()
        wait_connected(server)
        reader = Reader(broker.address, "reader", "site/plant/#", 2)
        self.addCleanup(reader.close)
        publisher = Publisher(server.address("mqtt"), "publisher", 2)
        self.addCleanup(publisher.close)
        rng = random.Random(7)
        for _ in range(4):
            publisher.publish("plant/t", int(200 * SCALE))
            pause(rng.uniform(0, 0.2))
            proxy.cut()
            pause(rng.uniform(0, 0.2))
            if rng.random() < 0.5:
                server.kill()
                server.start()
            proxy.mend()
        wait_until(publisher.all_acknowledged, "PUBCOMP", SECONDS)
        sent = logged(server, "bridge.hub.1", "plant/t")
        wait_until(lambda: len(reader.got) >= len(sent), "all messages", SECONDS)
        self.assertEqual(reader.got, sent, "lost, doubled or out of order")
        self.assertEqual(firsts(sent), list(range(1, publisher.last + 1)))

    def test_qos_0_is_kept_while_the_network_is_cut(self):
        broker, proxy, server = self.start()
        wait_connected(server)
        reader = Reader(broker.address, "reader", "site/plant/#", 2)
        self.addCleanup(reader.close)
        proxy.cut()
        wait_until(lambda: bridges(server)["hub"]["state"] != "connected", "the cut", SECONDS)
        mosquitto_pub(server.address("mqtt"), "-t", "plant/zero", "-q", "0", "-l", text_in="1\n2\n3\n")
        mosquitto_pub(server.address("mqtt"), "-t", "plant/zero", "-q", "1", "-m", "4")
        proxy.mend()
        wait_until(lambda: reader.has(4), "all messages", SECONDS)
        self.assertEqual(firsts(reader.got), [1, 2, 3, 4])
        wait_until(lambda: "bridge_disconnected" in {event["event"] for event in events(server)}, "the event", SECONDS)

    def test_what_is_too_large_for_the_remote_is_a_dead_letter(self):
        broker = Mosquitto("max_packet_size 200").start()
        self.addCleanup(broker.kill)
        server = bridge_server(self, OUT.format(address=f"127.0.0.1:{broker.port}", more="", qos=1)).start()
        wait_connected(server)
        for payload in ("1", "x" * 300, "2"):
            mosquitto_pub(server.address("mqtt"), "-t", "plant/t", "-q", "1", "-m", payload)
        wait_until(lambda: bridges(server)["hub"]["acknowledged"] == 2, "what fits", SECONDS)
        wait_until(lambda: bridges(server)["hub"]["dead_letters"] == 1, "the dead letter", SECONDS)
        (letter,) = kafka.kcat_consume(server.kafka, "iot.messages", "-f", "%k %s %h\n", seconds=SECONDS)
        self.assertTrue(letter.startswith("$bridge/hub/dead_letter " + "x" * 300 + " "), letter)
        self.assertIn("reason=0x95", letter)

    def test_beyond_its_limit_there_is_a_gap_that_is_told(self):
        broker = Mosquitto().start()
        self.addCleanup(broker.kill)
        proxy = Proxy(broker.address)
        self.addCleanup(proxy.close)
        text = OUT.format(address=proxy.address, more='max_bytes = "20KB"', qos=1)
        server = bridge_server(self, text, lambda: Server(args=["--set", "archive.look_interval=1s"])).start()
        reader = Reader(broker.address, "reader", "site/plant/#", 1)
        self.addCleanup(reader.close)
        wait_until(lambda: "bridge.hub.1" in kafka.topics(server.kafka), "the stream", SECONDS)
        publisher = Publisher(server.address("mqtt"), "publisher", 1)
        publisher.publish("plant/t", 1500)
        wait_until(publisher.all_acknowledged, "PUBACK", SECONDS)
        wait_until(lambda: kafka.watermarks(server.kafka, "bridge.hub.1")[0] > 0, "the limit", SECONDS)
        publisher.close()
        server.crash_restart()  # what is in memory reaches further back
        proxy.mend()
        wait_until(lambda: 1500 in reader.got, "the newest", SECONDS)
        got = firsts(reader.got)
        self.assertEqual(got, list(range(got[0], 1501)), "what is there is all there, in order")
        self.assertGreater(got[0], 1)

        def gaps():
            return [event for event in events(server) if event["event"] == "gap"]

        wait_until(lambda: sum(event["count"] for event in gaps()) == got[0] - 1, "the gap", SECONDS)
        self.assertEqual({(event["client"], event["reason"]) for event in gaps()}, {("$bridge/hub", "trimmed")})

    def test_what_is_published_before_the_remote_was_ever_reached_is_kept(self):
        port = free_port()
        server = bridge_server(self, OUT.format(address=f"127.0.0.1:{port}", more="", qos=1)).start()
        wait_until(lambda: bridges(server)["hub"]["state"] == "connecting", "the session here", SECONDS)
        mosquitto_pub(server.address("mqtt"), "-t", "plant/t", "-q", "1", "-m", "1")
        broker = Mosquitto()
        broker.port = port
        broker.start()
        self.addCleanup(broker.kill)
        reader = Reader(broker.address, "reader", "site/plant/#", 1)
        self.addCleanup(reader.close)
        wait_until(lambda: reader.has(1) or not mosquitto_pub(server.address("mqtt"), "-t", "plant/t", "-q", "1", "-m", "2"),
                   "the message", SECONDS)
        mosquitto_pub(server.address("mqtt"), "-t", "plant/t", "-q", "1", "-m", "3")
        wait_until(lambda: 3 in reader.got, "what came later", SECONDS)

    def test_retained_stays_retained_both_ways(self):
        broker, _, server = self.start(extra=IN.format(qos=1))
        wait_connected(server)
        mosquitto_pub(server.address("mqtt"), "-t", "plant/kept", "-q", "1", "-r", "-m", "7")
        wait_until(lambda: mosquitto_sub(broker.address, "-t", "site/plant/kept", "-W", "1", "-F", "%r %p",
                                         "--retained-only", "-C", "1") == ["1 7"] if bridges(server)["hub"]["acknowledged"]
                   else False, "the retained message", SECONDS)
        mosquitto_pub(broker.address, "-t", "commands/kept", "-q", "1", "-r", "-m", "8")
        got = mosquitto_sub(server.address("mqtt"), "-t", "from/commands/kept", "-F", "%p", "-C", "1")
        self.assertEqual(got, ["8"])
        retained = get(server, "/api/v1/mqtt/retained?filter=from/%23")["retained"]
        self.assertEqual([row["topic"] for row in retained], ["from/commands/kept"])

    def test_in_is_acknowledged_when_it_is_durable_here(self):
        broker, proxy, server = self.start(extra=IN.format(qos=2))
        wait_connected(server)
        reader = Reader(server.address("mqtt"), "reader", "from/commands/#", 2)
        self.addCleanup(reader.close)
        publisher = Publisher(broker.address, "publisher", 2)
        self.addCleanup(publisher.close)
        for turn in range(4):
            publisher.publish("commands/t", int(150 * SCALE))
            proxy.cut()
            if turn % 2:
                server.kill()
                server.start()
            publisher.publish("commands/t", int(50 * SCALE))
            proxy.mend()
        wait_until(publisher.all_acknowledged, "PUBCOMP", SECONDS)
        wait_until(lambda: reader.has(publisher.last), "all messages", SECONDS)
        self.assertEqual(reader.got, list(range(1, publisher.last + 1)), "lost, doubled or out of order")

    def test_overlapping_mappings_do_not_loop(self):
        for more in ("", 'protocol = "3.1.1-bridge"'):
            with self.subTest(more):
                broker = Mosquitto().start()
                self.addCleanup(broker.kill)
                text = OUT.format(address="127.0.0.1:%d" % broker.port, more=more, qos=1).replace("site/", "")
                server = bridge_server(self, text + text.split("\n\n")[1].replace('"out"', '"in"')).start()
                wait_connected(server)
                mosquitto_pub(server.address("mqtt"), "-t", "plant/here", "-q", "1", "-m", "1")
                mosquitto_pub(broker.address, "-t", "plant/there", "-q", "1", "-m", "2")
                wait_until(lambda: bridges(server)["hub"]["received"] == 1 and bridges(server)["hub"]["acknowledged"] == 1,
                           "one each way", SECONDS)
                mosquitto_pub(server.address("mqtt"), "-t", "plant/here", "-q", "1", "-m", "3")
                wait_until(lambda: bridges(server)["hub"]["acknowledged"] == 2, "the last", SECONDS)
                self.assertEqual((bridges(server)["hub"]["received"], bridges(server)["hub"]["sent"]), (1, 2))

    def test_a_reload_changes_bridges(self):
        broker, _, server = self.start()
        wait_connected(server)
        with open(server.args[-1], "a", encoding="ascii") as out:
            out.write('\n[[bridge]]\nname = "hub"\ndirection = "out"\nfilter = "more/#"\n')
        os.kill(server.pid, 1)
        reader = Reader(broker.address, "reader", "more/#", 1)
        self.addCleanup(reader.close)
        number = iter(range(1, 10_000))

        def arrived():
            mosquitto_pub(server.address("mqtt"), "-t", "more/t", "-q", "1", "-m", str(next(number)))
            return reader.got

        wait_until(arrived, "a message of the new mapping", SECONDS)

    def test_check_config_refuses_loops(self):
        server = bridge_server(self, OUT.format(address="hub", more='protocol = "3.1.1"', qos=1)
                               + IN.format(qos=1).replace("commands/#", "#"))
        done = server.run("check-config", server.args[-1])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("would come back", done.stderr + done.stdout)

    def test_nobody_else_is_a_bridge(self):
        _, _, server = self.start()
        with self.assertRaises(AssertionError) as refused:
            mosquitto_pub(server.address("mqtt"), "-i", "$bridge/hub", "-t", "a", "-m", "x")
        self.assertIn("identifier", str(refused.exception).lower())


class TooLarge(unittest.TestCase):
    """MQTT 3.1.1 has no Maximum Packet Size: what is too large for here comes all the same, and what is behind it goes on."""

    def test_what_is_too_large_is_passed_over(self):
        broker = Mosquitto().start()
        self.addCleanup(broker.kill)
        text = OUT.format(address=f"127.0.0.1:{broker.port}", more='protocol = "3.1.1"', qos=1) + IN.format(qos=1)
        server = bridge_server(self, '[mqtt]\nmaximum_packet_size = "4KiB"\n' + text).start()
        wait_connected(server)
        here = Subscriber(server.address("mqtt"), "-t", "from/#", "-q", "1", "-v", "-C", "3", seconds=SECONDS)
        self.addCleanup(here.close)
        for number in range(3):
            for size in (5_000, 100_000):
                mosquitto_pub(broker.address, "-q", "1", "-t", "commands/large", "-m", "x" * size)
            mosquitto_pub(broker.address, "-q", "1", "-t", "commands/small", "-m", number)
        self.assertEqual(here.lines(), [f"from/commands/small {number}" for number in range(3)])
        facts = bridges(server)["hub"]
        self.assertEqual((facts["refused"], facts["connects"], facts["received"]), (6, 1, 3))
        told = [event for event in events(server) if event["event"] == "bridge_refused"]
        self.assertEqual({(event["topic"], event["reason"]) for event in told}, {("commands/large", "0x95")})


class Example(unittest.TestCase):
    def test_the_edge_node_works_while_the_network_is_cut(self):
        broker = Mosquitto().start()
        self.addCleanup(broker.kill)
        proxy = Proxy(broker.address)
        self.addCleanup(proxy.close)
        with open(EXAMPLE, encoding="ascii") as text:
            server = bridge_server(self, text.read().replace("127.0.0.1:1884", proxy.address)).start()
        hub = Subscriber(broker.address, "-t", "site-7/#", "-q", "2", "-v", "-C", "5", seconds=SECONDS)
        self.addCleanup(hub.close)
        here = Subscriber(server.address("mqtt"), "-t", "alarm/#", "-q", "1", "-v", "-C", "2", seconds=SECONDS)
        self.addCleanup(here.close)
        for temperature in (20, 121, 122):
            mosquitto_pub(server.address("mqtt"), "-q", "1", "-t", "plant/a/temp", "-m", json.dumps({"t": temperature}))
        alarms = ['alarm/a {"sensor":"a","t":121}', 'alarm/a {"sensor":"a","t":122}']
        self.assertEqual(here.lines(), alarms)
        proxy.mend()
        got = hub.lines()
        readings = [f'site-7/plant/a/temp {{"t": {temperature}}}' for temperature in (20, 121, 122)]
        self.assertEqual([line for line in got if "plant" in line], readings)
        self.assertEqual([line for line in got if "alarm" in line], ["site-7/" + alarm for alarm in alarms])
        wait_connected(server)
        commands = Subscriber(server.address("mqtt"), "-t", "commands/#", "-v", "-C", "1", seconds=SECONDS)
        self.addCleanup(commands.close)
        mosquitto_pub(broker.address, "-q", "1", "-t", "site-7/commands/reboot", "-m", "now")
        self.assertEqual(commands.lines(), ["commands/reboot now"])


class OverTls(unittest.TestCase):
    """The remote asks who is there, and lets the bridge publish to some topics alone; so does the broker here."""

    def test_a_refused_message_is_a_dead_letter(self):
        authority = Authority()
        self.addCleanup(authority.close)
        authority.issue("localhost")
        for name, text in (("acl", "user edge\ntopic write site/plant/good/#\n"), ("password", "secret\n")):
            with open(authority.path(name), "w", encoding="ascii") as out:
                out.write(text)
        subprocess.run(["mosquitto_passwd", "-b", "-c", authority.path("users"), "edge", "secret"], check=True,
                       capture_output=True)
        subprocess.run(["mosquitto_passwd", "-b", authority.path("users"), "reader", "secret"], check=True,
                       capture_output=True)
        with open(authority.path("acl"), "a", encoding="ascii") as out:
            out.write("user reader\ntopic read #\n")
        for name in os.listdir(authority.directory):
            os.chmod(authority.path(name), 0o644)  # mosquitto gives up its rights
        os.chmod(authority.directory, 0o755)
        broker = Mosquitto(f"cafile {authority.ca}", f"certfile {authority.path('localhost.pem')}",
                           f"keyfile {authority.path('localhost.key')}", f"password_file {authority.path('users')}",
                           f"acl_file {authority.path('acl')}", anonymous=False).start()
        self.addCleanup(broker.kill)
        more = f'tls = true\nca_file = "{authority.ca}"\nuser = "edge"\npassword_file = "{authority.path("password")}"'
        server = bridge_server(self, OUT.format(address=f"localhost:{broker.port}", more=more, qos=1)).start()
        wait_connected(server)
        for number, topic in enumerate(("good/1", "bad", "good/2")):
            mosquitto_pub(server.address("mqtt"), "-t", f"plant/{topic}", "-q", "1", "-m", number)
        wait_until(lambda: bridges(server)["hub"]["acknowledged"] == 2, "what is taken", SECONDS)
        wait_until(lambda: bridges(server)["hub"]["dead_letters"] == 1, "the dead letter", SECONDS)
        letters = kafka.kcat_consume(server.kafka, "iot.messages", "-f", "%k %s %h\n", seconds=SECONDS)
        self.assertIn(len(letters), (1, 2))  # mosquitto closes the connection behind its refusal
        self.assertTrue(letters[0].startswith("$bridge/hub/dead_letter 1 "), letters)
        for header in ("topic=plant/bad", "remote_topic=site/plant/bad", "reason=0x87"):
            self.assertIn(header, letters[0])
        wait_until(lambda: "bridge_dead_letter" in {event["event"] for event in events(server)}, "the event", SECONDS)
        with Connection(server.address("mqtt")) as client:
            client.open("c", version=5)
            client.send(packet(0x32, string("$bridge/hub/dead_letter") + b"\0\1\0x"))
            self.assertEqual(client.read(), b"\x40\x03\0\1\x87", "it is the server's own topic")
        printed = server.run("mqtt", "bridges", "--server", server.admin).stdout
        self.assertIn("connected", printed)

    def test_a_wrong_certificate_is_no_remote(self):
        authority, other = Authority(), Authority()
        self.addCleanup(authority.close)
        self.addCleanup(other.close)
        authority.issue("localhost")
        for name in os.listdir(authority.directory):
            os.chmod(authority.path(name), 0o644)
        os.chmod(authority.directory, 0o755)
        broker = Mosquitto(f"certfile {authority.path('localhost.pem')}", f"keyfile {authority.path('localhost.key')}").start()
        self.addCleanup(broker.kill)
        more = f'tls = true\nca_file = "{other.ca}"'
        server = bridge_server(self, OUT.format(address=f"localhost:{broker.port}", more=more, qos=1)).start()
        wait_until(lambda: "certificate" in bridges(server)["hub"].get("last_error", ""), "the refusal", SECONDS)
        self.assertEqual(bridges(server)["hub"]["connects"], 0)


class WithAuthentication(Guarded):
    def make_server(self):
        self.broker = Mosquitto().start()
        self.addCleanup(self.broker.kill)
        text = OUT.format(address="127.0.0.1:%d" % self.broker.port, more="", qos=1) + IN.format(qos=1)
        return bridge_server(self, text, lambda: Server(args=["--auth", "--plain-on-loopback"]))

    def bridge(self):
        status, answer, _ = ask(self.server, "GET", "/api/v1/bridges", authorization=f"Bearer {self.token}")
        self.assertEqual(status, 200)
        return answer["bridges"][0] if answer["bridges"] else {}

    def test_a_bridge_needs_no_user_here(self):
        wait_until(lambda: self.bridge().get("state") == "connected", "the bridge", SECONDS)
        self.assertEqual(ask(self.server, "GET", "/api/v1/bridges")[0], 401)
        mosquitto_pub(self.broker.address, "-t", "commands/x", "-q", "1", "-m", "1")
        wait_until(lambda: self.bridge()["received"] == 1, "the message", SECONDS)
        mosquitto_pub(self.server.address("mqtt"), "-u", "token", "-P", self.token, "-t", "plant/x", "-q", "1", "-m", "2")
        wait_until(lambda: self.bridge()["acknowledged"] == 1, "the message", SECONDS)


class PowerCuts(unittest.TestCase):
    def test_nothing_is_lost_over_power_cuts(self):
        broker = Mosquitto().start()
        self.addCleanup(broker.kill)
        proxy = Proxy(broker.address).mend()
        self.addCleanup(proxy.close)
        server = bridge_server(self, OUT.format(address=proxy.address, more="", qos=1), Server.with_powercut).start()
        wait_connected(server)
        reader = Reader(broker.address, "reader", "site/plant/#", 1)
        self.addCleanup(reader.close)
        for number in range(1, 41):
            if number == 20:
                proxy.cut()
            mosquitto_pub(server.address("mqtt"), "-t", "plant/t", "-q", "1", "-m", number)
        server.kill()
        proxy.mend()
        for seed, mode in enumerate(("reorder", "lose", "tear")):
            reader.got.clear()
            with self.subTest(mode):
                after = server.after_cut(seed, mode)
                self.addCleanup(after.close)
                after.start()
                wait_until(lambda: reader.has(21), "what waited", SECONDS)
                self.assertEqual([number for number in firsts(reader.got) if number >= 20], list(range(20, 41)))
                self.assertEqual(after.stop(), 0)


class EdgeAndHub(unittest.TestCase):
    def test_exactly_once_over_kills_of_both(self):
        hub = Server().use_stable_port("mqtt").start()
        self.addCleanup(hub.close)
        edge = bridge_server(self, OUT.format(address=hub.endpoints["mqtt"], more="", qos=2) + IN.format(qos=2))
        edge.use_stable_port("mqtt").start()
        wait_connected(edge)
        up = Reader(hub.address("mqtt"), "up", "site/plant/#", 2)
        down = Reader(edge.address("mqtt"), "down", "from/commands/#", 2)
        readings = Publisher(edge.address("mqtt"), "readings", 2)
        commands = Publisher(hub.address("mqtt"), "commands", 2)
        for client in (up, down, readings, commands):
            self.addCleanup(client.close)
        rng = random.Random(11)
        for turn in range(8):
            readings.publish("plant/t", int(100 * SCALE))
            commands.publish("commands/t", int(60 * SCALE))
            pause(rng.uniform(0, 0.3))
            server = hub if turn % 2 else edge
            server.restart() if turn > 3 else server.crash_restart()
        for what in (readings, commands):
            wait_until(what.all_acknowledged, "PUBCOMP", SECONDS)
        for reader, source, stream, topic, last in ((up, edge, "bridge.hub.1", "plant/t", readings.last),
                                                    (down, hub, "iot.messages", "commands/t", commands.last)):
            with self.subTest(topic):
                sent = logged(source, stream, topic)
                wait_until(lambda got=reader.got, count=len(sent): len(got) >= count, "all messages", SECONDS)
                self.assertEqual(reader.got, sent, "lost, doubled or out of order")
                self.assertEqual(firsts(sent), list(range(1, last + 1)))


class RulesInACircle(unittest.TestCase):
    """What a rule of the one server publishes is what a rule of the other reads, and the other way round."""

    def test_what_goes_round_over_a_bridge_ends_as_a_dead_letter(self):
        far = Server().use_stable_port("mqtt").start()
        self.addCleanup(far.close)
        text = OUT.format(address=far.endpoints["mqtt"], more="", qos=1) + IN.format(qos=1).replace('"from/"', '""')
        near = bridge_server(self, text).start()
        wait_connected(near)
        for server, name, source, topic in ((far, "there", "site/plant/+", "commands/x"), (near, "here", "commands/+", "plant/x")):
            rule = {"sql": f"SELECT n FROM '{source}'", "publish": {"topic": f"'{topic}'"}}
            self.assertEqual(http.call(server, "PUT", f"/api/v1/rules/{name}", rule)[0], 201)
        mosquitto_pub(near.address("mqtt"), "-t", "plant/x", "-q", "1", "-m", '{"n":1}')

        def rule(server, name):
            return get(server, f"/api/v1/rules/{name}")

        wait_until(lambda: rule(far, "there")["dead_letters"] == 1, "the end of it", SECONDS)
        self.assertEqual((rule(far, "there")["published"], rule(near, "here")["published"]), (4, 4))
        self.assertEqual(rule(near, "here")["dead_letters"], 0)
        hops = kafka.kcat_consume(near.kafka, "iot.rules", "-f", "%k %h\n", seconds=SECONDS)
        self.assertEqual([line.rsplit("heptane-hops=", 1)[1] for line in hops], ["2", "4", "6", "8"])
        why = kafka.kcat_consume(far.kafka, "iot.rules", "-f", "%k %s\n", seconds=SECONDS)[-1]
        self.assertTrue(why.startswith("$rules/there/dead_letter ") and "in a circle" in why, why)


if __name__ == "__main__":
    unittest.main()
