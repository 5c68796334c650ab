"""Durable MQTT sessions with the clients that people have: what got a PUBACK reaches the durable subscriber, whatever is killed or
cut; QoS 2 exactly once where both sides keep their session."""

import json
import os
import random
import threading
import unittest

from heptane_testkit import Server, kafka, wait_until
from heptane_testkit.mqtt import Connection, mosquitto_pub, mosquitto_sub, packet, string

SECONDS = 120
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))


def subscribe_durably(address, client, *arguments):
    """A session that is subscribed, and left."""
    mosquitto_sub(address, "-c", "-i", client, "-E", *arguments)


CONNECTIONS = []


def tearDownModule():
    for connection in CONNECTIONS:
        connection.socket.close()


def open_session(address, client, expiry=3600, clean=False):
    """CONNECT of MQTT 5; the connection and CONNACK."""
    connection = Connection(address)
    CONNECTIONS.append(connection)
    flags = b"\x02" if clean else b"\x00"
    connection.send(packet(0x10, string("MQTT") + b"\x05" + flags + b"\0\x3c\x05\x11" + expiry.to_bytes(4, "big")
                           + string(client)))
    return connection, connection.read()


def events(server):
    """Keys and values of `iot.events`."""
    lines = kafka.kcat_consume(server.kafka, "iot.events", "-f", "%k\t%s\n", seconds=SECONDS)
    return [(key, json.loads(value)) for key, value in (line.split("\t") for line in lines)]


class Paho:
    """A Paho client with a session of its own, which reconnects by itself; what it got, in order."""

    def __init__(self, address, client, topic=None, qos=2):
        from paho.mqtt import client as paho

        self.got, self.subscribed, self.more = [], threading.Event(), threading.Condition()
        self.published = set()  # message identifiers
        self.client = paho.Client(client, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.max_inflight_messages_set(50)
        self.client.max_queued_messages_set(0)
        self.client.on_message = self.on_message
        self.client.on_publish = self.on_publish
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect(*address)
        self.client.loop_start()
        if topic is not None:
            self.client.subscribe(topic, qos)
            assert self.subscribed.wait(SECONDS)

    def on_message(self, _client, _userdata, message):
        with self.more:
            self.got.append((message.topic, int(message.payload.split()[0]), message.qos))
            self.more.notify_all()

    def on_publish(self, _client, _userdata, identifier):
        with self.more:
            self.published.add(identifier)
            self.more.notify_all()

    def publish(self, topic, text, qos):
        """Whether it is connected or not; the message's identifier."""
        return self.client.publish(topic, text, qos=qos).mid

    def wait_for_acknowledgements(self, identifiers):
        self.wait_for(lambda: self.published.issuperset(identifiers))

    def wait_for(self, done):
        with self.more:
            assert self.more.wait_for(done, SECONDS), f"{len(self.got)} came, {len(self.published)} were published"

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Sessions(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.address = self.server.address("mqtt")

    def test_mosquitto_gets_what_came_while_it_was_away(self):
        for version in ("mqttv311", "mqttv5"):
            for qos in (1, 2):
                client, topic = f"{version}-{qos}", f"away/{version}/{qos}"
                more = ("-x", 3600) if version == "mqttv5" else ()
                subscribe_durably(self.address, client, "-V", version, "-q", qos, "-t", topic, *more)
                lines = [f"line {i}" for i in range(200)]
                mosquitto_pub(self.address, "-q", qos, "-t", topic, "-l", text_in="\n".join(lines) + "\n")
                self.server.crash_restart()
                self.address = self.server.address("mqtt")
                got = mosquitto_sub(self.address, "-c", "-i", client, "-V", version, "-q", qos, "-t", topic, "-C", 200,
                                    *more)
                self.assertEqual(got, lines)
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_stop_is_told_and_loses_no_acknowledgement(self):
        connection, _ = open_session(self.address, "s")
        connection.send(packet(0x82, b"\0\1\0" + string("stop") + b"\1"))
        self.assertEqual(connection.read()[0], 0x90)
        mosquitto_pub(self.address, "-q", 1, "-t", "stop", "-m", "once")
        publish = connection.read()
        self.assertEqual(publish[0], 0x32)
        at = 2 + 2 + len("stop")  # the packet identifier
        connection.send(packet(0x40, publish[at:at + 2]) + b"\xc0\0")
        self.assertEqual(connection.read(), b"\xd0\0")  # what stands before the ping is read
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(connection.read(), b"\xe0\1\x8b")
        self.server.start()
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", "stop", "-m", "twice")
        connection, connack = open_session(self.server.address("mqtt"), "s")
        self.assertEqual(connack[2], 1, "the session goes on")
        self.assertTrue(connection.read().endswith(b"twice"), "what was acknowledged comes again")

    def test_a_session_is_its_clients_and_ends_in_time(self):
        connection, answer = open_session(self.address, "s")
        self.assertEqual(answer[2:4], b"\0\0")
        connection.send(packet(0x82, b"\0\1\0" + string("t/#") + b"\1"))
        self.assertEqual(connection.read(), packet(0x90, b"\0\1\0\1"))
        # Taken over: the older connection is told.
        other, answer = open_session(self.address, "s")
        self.assertEqual(answer[2:4], b"\1\0")
        self.assertEqual(connection.read(), packet(0xE0, b"\x8e"))
        self.assertIsNone(connection.read())
        mosquitto_pub(self.address, "-q", 1, "-t", "t/1", "-m", "x")
        self.assertEqual(other.read(), packet(0x32, string("t/1") + b"\0\1\0x"))
        other.send(packet(0xE0, b"\0\x05\x11\0\0\0\0"))  # no expiry any more
        self.assertIsNone(other.read())
        _, answer = open_session(self.address, "s")
        self.assertEqual(answer[2:4], b"\0\0")
        # More than the cap is told.
        _, answer = open_session(self.address, "t", expiry=0xFFFFFFFF)
        self.assertIn(b"\x11" + (7 * 86400).to_bytes(4, "big"), answer)

    def test_a_slow_reader_of_a_long_queue_reads_the_log(self):
        self.server.stop()
        server = Server(args=("--set", "mqtt.queue_max=20000"))
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        subscribe_durably(address, "slow", "-q", 1, "-t", "slow")
        lines = [f"{i} {'x' * 400}" for i in range(15_000)]
        mosquitto_pub(address, "-q", 1, "-t", "slow", "-l", text_in="\n".join(lines) + "\n")
        server.restart()
        got = mosquitto_sub(server.address("mqtt"), "-c", "-i", "slow", "-q", 1, "-t", "slow", "-C", 15_000)
        self.assertEqual(got, lines)

    def test_what_a_full_queue_loses(self):
        for policy, kept in (("drop_oldest", list(range(10, 20))), ("drop_newest", list(range(10)))):
            with Server(args=("--set", "mqtt.queue_max=10", "--set", f"mqtt.queue_full={policy}")) as server:
                address = server.address("mqtt")
                subscribe_durably(address, "full", "-q", 1, "-t", "full")
                for i in range(20):
                    mosquitto_pub(address, "-q", 1, "-t", "full", "-m", i)
                got = mosquitto_sub(address, "-c", "-i", "full", "-q", 1, "-t", "full", "-C", 10)
                self.assertEqual([int(line) for line in got], kept)
                self.check_events(server, policy)
        with Server(args=("--set", "mqtt.queue_max=1", "--set", "mqtt.queue_full=refuse")) as server:
            address = server.address("mqtt")
            subscribe_durably(address, "full", "-q", 1, "-t", "full")
            with Connection(address).open("p", 5) as connection:
                for identifier, reason in ((1, b""), (2, b"\x97")):
                    connection.send(packet(0x32, string("full") + bytes([0, identifier]) + b"\0x"))
                    self.assertEqual(connection.read(), packet(0x40, bytes([0, identifier]) + reason))
            # A client of MQTT 3 cannot be told: it waits until there is room.
            waits = threading.Thread(target=mosquitto_pub, args=(address, "-V", "mqttv311", "-q", 1, "-t", "full", "-m", "later"))
            waits.start()
            got = mosquitto_sub(address, "-c", "-i", "full", "-q", 1, "-t", "full", "-C", 2)
            self.assertEqual(got, ["x", "later"])
            waits.join(SECONDS)
            self.assertFalse(waits.is_alive())

    def check_events(self, server, policy):
        """`iot.events` tells what the queue of `full` lost, before and after a kill."""
        for _ in range(2):
            told = events(server)
            self.assertEqual({key for key, _ in told}, {"full"})
            subscribed = [event for _, event in told if event["event"] == "subscribed"]
            self.assertEqual({(event["filter"], event["qos"]) for event in subscribed}, {("full", 1)})
            gaps = [event for _, event in told if event["event"] == "gap"]
            self.assertEqual({event["reason"] for event in gaps}, {policy})
            self.assertEqual(sum(event["count"] for event in gaps), 10)
            if policy == "drop_oldest":
                self.assertEqual([int(event["first"]) for event in gaps], list(range(10)))
            else:
                self.assertEqual({event["before"] for event in gaps}, {"10"})
            server.crash_restart()


class Kills(unittest.TestCase):
    """kill -9 while a durable subscriber and publishers are connected."""

    def test_every_acknowledged_message_is_delivered(self):
        server = Server().use_stable_port("mqtt")
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        subscriber = Paho(address, "durable", "k/#", qos=1)
        publishers = [Paho(address, f"publisher-{i}") for i in range(3)]
        sent = {number: [] for number in range(3)}
        for step in range(180):
            for number, publisher in enumerate(publishers):
                sent[number].append(publisher.publish(f"k/{number}", str(step), 1))
            if step % 60 == 30:
                server.kill()
                server.start()
        for number, publisher in enumerate(publishers):
            publisher.wait_for_acknowledgements(sent[number])

        def all_there():
            return len({(topic, value) for topic, value, _ in subscriber.got}) == 3 * 180

        subscriber.wait_for(all_there)
        for client in (subscriber, *publishers):
            client.close()

    def test_qos_2_is_exactly_once(self):
        server = Server().use_stable_port("mqtt")
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        subscriber = Paho(address, "durable", "once", qos=2)
        publisher = Paho(address, "publisher")
        count, sent = 200, []
        for step in range(count):
            sent.append(publisher.publish("once", str(step), 2))
            if step % 50 == 25:
                server.kill()
                server.start()
        publisher.wait_for_acknowledgements(sent)
        subscriber.wait_for(lambda: len(subscriber.got) >= count)
        # Whatever would come again is before this.
        publisher.publish("once", "-1", 2)
        subscriber.wait_for(lambda: subscriber.got[-1][1] == -1)
        for client in (subscriber, publisher):
            client.close()
        # Paho sends what it publishes while it reconnects in no promised order.
        self.assertEqual(sorted(value for _, value, _ in subscriber.got), [-1, *range(count)])

    def test_wills_of_sessions_that_end_with_their_connection(self):
        for end in (Server.kill, Server.stop):
            server = Server(args=["--set", "mqtt.restart_grace_seconds=1"]).use_stable_port("mqtt")
            self.addCleanup(server.close)
            server.start()
            watcher = Paho(server.address("mqtt"), "watcher", "will/#", qos=1)
            for client, version in (("three", b"\x04"), ("five", b"\x05")):
                connection = Connection(server.address("mqtt"))
                CONNECTIONS.append(connection)
                none = b"\0" if version == b"\x05" else b""  # properties
                connection.send(packet(0x10, string("MQTT") + version + b"\x0e\0\0" + none + string(client) + none
                                       + string("will/" + client) + string("7")))
                connection.read()
            end(server)
            server.start()
            watcher.wait_for(lambda: {topic for topic, _, _ in watcher.got} == {"will/three", "will/five"})
            watcher.close()

    def test_what_a_subscribe_brings_goes_on_after_a_kill(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        topics = [f"r/{i:03}" for i in range(600)]
        with Connection(server.address("mqtt")).open("p") as publisher:
            for identifier, topic in enumerate(topics, 1):
                publisher.send(packet(0x33, string(topic) + identifier.to_bytes(2, "big") + b"x"))
            for identifier in range(1, len(topics) + 1):
                self.assertEqual(publisher.read(), packet(0x40, identifier.to_bytes(2, "big")))
        connection, _ = open_session(server.address("mqtt"), "s")
        connection.send(packet(0x82, b"\0\1\0" + string("r/#") + b"\1"))
        self.assertEqual(connection.read(), packet(0x90, b"\0\1\0\1"))

        def take(count):
            """Acknowledges so many; their topics."""
            got = []
            for _ in range(count):
                message = connection.read()
                got.append(message[4:9].decode())
                connection.send(packet(0x40, message[9:11]))
            return got

        got = take(300)
        server.kill()
        server.start()
        connection, answer = open_session(server.address("mqtt"), "s")
        self.assertEqual(answer[2:4], b"\1\0")
        while got[-1] != topics[-1]:
            got += take(1)
        self.assertEqual(sorted(set(got)), topics)

    def test_an_absent_subscriber(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        subscribe_durably(server.address("mqtt"), "absent", "-q", 1, "-t", "absent")
        acknowledged = 0
        for round_of in range(3):
            with Connection(server.address("mqtt")).open("p") as connection:
                for sent in range(1, 201):
                    body = string("absent") + sent.to_bytes(2, "big") + f"{round_of}:{sent}".encode()
                    connection.send(packet(0x32, body))
                for sent in range(1, 151):
                    self.assertEqual(connection.read(), packet(0x40, sent.to_bytes(2, "big")))
                    acknowledged += 1
                server.kill()
            server.start()
        got = mosquitto_sub(server.address("mqtt"), "-c", "-i", "absent", "-q", 1, "-t", "absent", "-C", acknowledged)
        there = [tuple(map(int, line.split(":"))) for line in got]
        self.assertEqual(there, sorted(there))
        for round_of in range(2):
            self.assertGreaterEqual(sum(1 for at, _ in there if at == round_of), 150)


class SharedGroups(unittest.TestCase):
    """Groups with durable members: what got a PUBACK reaches one of them, whoever is there and whatever is killed."""

    def test_mosquitto_members_find_what_came_while_nobody_was_there(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        for version in ("mqttv311", "mqttv5"):
            more = ("-x", 3600) if version == "mqttv5" else ()
            for qos in (1, 2):
                topic = f"away/{version}/{qos}"
                member = ("-V", version, "-q", qos, "-t", f"$share/crew/{topic}", *more)
                for client in ("one", "two"):
                    subscribe_durably(server.address("mqtt"), f"{client}-{version}-{qos}", *member)
                lines = [f"line {i}" for i in range(200)]
                mosquitto_pub(server.address("mqtt"), "-q", qos, "-t", topic, "-l", text_in="\n".join(lines) + "\n")
                server.crash_restart()
                got = mosquitto_sub(server.address("mqtt"), "-c", "-i", f"two-{version}-{qos}", *member, "-C", 200)
                self.assertEqual(sorted(got), sorted(lines))
        self.assertEqual(server.stop(), 0)
        verified = server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def run_crew(self, qos, count):
        """Three durable members and a publisher over two kills; what the members got."""
        server = Server().use_stable_port("mqtt")
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        crew = [Paho(address, f"member-{i}", "$share/crew/work/#", qos) for i in range(3)]
        publisher = Paho(address, "publisher")
        sent = []
        for step in range(count):
            sent.append(publisher.publish(f"work/{step % 7}", str(step), qos))
            if step % (count // 2) == count // 4:
                server.kill()
                server.start()
        publisher.wait_for_acknowledgements(sent)
        return server, crew, publisher

    def wait_for_all(self, crew, count):
        """Until together they have `count` different messages."""
        for turn in range(SECONDS):
            missing = set(range(count)) - {value for member in crew for _, value, _ in list(member.got)}
            if not missing:
                return
            with crew[turn % 3].more:
                crew[turn % 3].more.wait(1)
        self.fail(f"{len(missing)} messages came to nobody: {sorted(missing)[:10]}")

    def test_every_acknowledged_message_comes_to_a_member_over_kills(self):
        _, crew, publisher = self.run_crew(1, 240)
        self.wait_for_all(crew, 240)
        for client in (*crew, publisher):
            client.close()

    def test_qos_2_comes_to_one_member_once_over_kills(self):
        server, crew, publisher = self.run_crew(2, 240)
        self.wait_for_all(crew, 240)
        # Whatever would come again comes before they have acknowledged what was sent last.
        server.kill()
        server.start()
        last = [publisher.publish("work/last", str(1000 + i), 2) for i in range(9)]
        publisher.wait_for_acknowledgements(last)
        self.wait_for_all(crew, 240)
        for member in crew:
            member.close()
        publisher.close()
        got = sorted(value for member in crew for _, value, _ in member.got if value < 1000)
        self.assertEqual(got, list(range(240)))

    def test_what_a_member_did_not_acknowledge_goes_to_another(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        subscribe_durably(address, "durable", "-q", 1, "-t", "$share/crew/t")
        silent = Connection(address).open("silent")
        CONNECTIONS.append(silent)
        silent.send(packet(0x82, b"\0\1" + string("$share/crew/t") + b"\1"))
        self.assertEqual(silent.read(), packet(0x90, b"\0\1\1"))
        mosquitto_pub(address, "-q", 1, "-t", "t", "-m", "x")
        self.assertEqual(silent.read()[-1:], b"x")
        silent.socket.close()
        self.assertEqual(mosquitto_sub(address, "-c", "-i", "durable", "-q", 1, "-t", "$share/crew/t", "-C", 1), ["x"])


    def test_qos_2_that_left_for_a_member_who_is_gone_is_told(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        subscribe_durably(address, "durable", "-q", 2, "-t", "$share/crew/t")
        silent = Connection(address).open("silent")
        silent.send(packet(0x82, b"\0\1" + string("$share/crew/t") + b"\2"))
        self.assertEqual(silent.read(), packet(0x90, b"\0\1\2"))
        mosquitto_pub(address, "-q", 2, "-t", "t", "-m", "x")
        self.assertEqual(silent.read()[-1:], b"x")
        silent.socket.close()
        wait_until(lambda: [event["reason"] for _, event in events(server) if event["event"] == "gap"] == ["member_gone"],
                   "the loss is told", SECONDS)
        # Nobody else may get it (MQTT 5, 4.8.2); what comes then is theirs.
        mosquitto_pub(address, "-q", 2, "-t", "t", "-m", "y")
        self.assertEqual(mosquitto_sub(address, "-c", "-i", "durable", "-q", 2, "-t", "$share/crew/t", "-C", 1), ["y"])

    def test_by_topic_each_member_has_its_topics_in_order(self):
        server = Server(args=["--set", "mqtt.shared=by_topic"]).use_stable_port("mqtt")
        self.addCleanup(server.close)
        server.start()
        address = server.address("mqtt")
        crew = [Paho(address, f"member-{i}", "$share/crew/work/#", 1) for i in range(3)]
        publisher = Paho(address, "publisher")
        sent = [publisher.publish(f"work/{i % 20}", str(i), 1) for i in range(400)]
        publisher.wait_for_acknowledgements(sent)
        self.wait_for_all(crew, 400)
        owners = {}
        for member in crew:
            for topic, value, _ in list(member.got):
                owners.setdefault(topic, {}).setdefault(member, []).append(value)
        for topic, members in owners.items():
            self.assertEqual(len(members), 1, topic)
            for values in members.values():
                self.assertEqual(values, sorted(values), topic)
        self.assertGreater(len({member for members in owners.values() for member in members}), 1)
        for client in (*crew, publisher):
            client.close()


class PowerCuts(unittest.TestCase):
    """Above the power-cut layer: what Paho was told of before a cut is in the durable subscriber's queue after it."""

    def test_queues_survive_cuts(self):
        server = Server.with_powercut(args=("--segment-mib", 16, "--snapshot-log-mib", 1,
                                            "--set", "mqtt.queue_max=5000"))
        self.addCleanup(server.close)
        server.start()
        subscribe_durably(server.address("mqtt"), "cut", "-q", 2, "-t", "cut")
        subscribe_durably(server.address("mqtt"), "member", "-q", 2, "-t", "$share/crew/cut")
        client = Paho(server.address("mqtt"), "cuts")
        notes, count, text = [], 0, "x" * 2000
        for step in range(40):
            sent = []
            for _ in range(1 + step % 40):
                count += 1
                sent.append(client.publish("cut", f"{count} {text}", 2))
            client.wait_for_acknowledgements(sent)
            if count >= 10:
                notes.append((server.position(), count))
        client.client.loop_stop()
        server.kill()
        choice = random.Random(11)
        for seed in range(max(1, round(4 * SCALE))):
            position, acknowledged = choice.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    for client, topic in (("cut", "cut"), ("member", "$share/crew/cut")):
                        got = mosquitto_sub(after.address("mqtt"), "-c", "-i", client, "-q", 2, "-t", topic, "-C", acknowledged)
                        self.assertEqual([int(line.split()[0]) for line in got], list(range(1, acknowledged + 1)))
                    self.assertEqual(after.stop(), 0)
                finally:
                    after.close()


if __name__ == "__main__":
    unittest.main()
