"""Operating the broker: what is listed, ended, purged and watched over HTTP and by the command line, with mosquitto's clients and
Paho as those who are operated on; who may do it; what the audit trail says of it."""

import json
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

from test_auth import PASSWORD, Guarded, ask

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import Connection, Subscriber, mosquitto_pub, mosquitto_sub, packet, string, words
from heptane_testkit.server import default_binary

SECONDS = 60
ROOT = "/api/v1/mqtt/"


def connect(client_id, flags="02", more="", properties="00"):
    body = words(f"s4 'MQTT' 05 {flags} k60 {properties} s{len(client_id)} '{client_id}' {more}")
    return packet(0x10, body)


class Operated(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.address = self.server.address("mqtt")

    def get(self, path):
        status, answer = http.call(self.server, "GET", ROOT + path)
        self.assertEqual(status, 200, answer)
        return answer

    def delete(self, path, expect=200):
        status, answer = http.call(self.server, "DELETE", ROOT + path, {})
        self.assertEqual(status, expect, answer)
        return answer

    def heptane(self, *arguments, code=0):
        done = subprocess.run([default_binary(), "mqtt", *map(str, arguments), "--server", self.server.admin],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def audit(self):
        lines = kafka.kcat_consume(self.server.kafka, "audit", seconds=SECONDS)
        return [(event["action"], event["by"], event["on"]) for event in map(json.loads, lines)]


class Clients(Operated):
    def test_what_is_known_of_clients(self):
        subscriber = Subscriber(self.address, "-i", "sub/1", "-t", "m/#", "-q", 1, "-V", "mqttv5", "-k", 30)
        self.addCleanup(subscriber.close)
        for n in range(3):
            mosquitto_pub(self.address, "-q", 1, "-t", "m/1", "-m", "12345")
        row = wait_until(lambda: (found := self.get("clients/sub%2F1"))["messages_out"] == 3 and found["in_flight"] == 0
                         and found, "the messages are out")
        self.assertEqual((row["client"], row["user"], row["version"], row["keep_alive_s"], row["subscriptions"]),
                         ("sub/1", "local", "5.0", 30, 1))
        self.assertEqual((row["queued"], row["dropped"], row["lost"], row["durable"]), (0, 0, 0, False))
        self.assertGreaterEqual(row["bytes_out"], 3 * 12)
        self.assertTrue(row["address"].startswith("127.0.0.1:"))
        self.assertIn("sub/1", self.heptane("clients"))
        self.assertEqual(json.loads(self.heptane("clients", "--json"))["client"], "sub/1")
        self.assertEqual(http.call(self.server, "GET", ROOT + "clients/nobody")[0], 404)

    def test_a_client_that_is_away(self):
        mosquitto_pub(self.address, "-i", "p1", "-t", "a", "-m", "x", "-q", 1)
        row = wait_until(lambda: not (found := self.get("clients/p1"))["connected"] and found, "it is away")
        self.assertEqual([event["event"] for event in row["history"]], ["connected", "disconnected"])
        self.assertEqual(row["history"][1]["reason"], "the client said good-bye")
        self.assertLessEqual(row["history"][0]["at_ms"], row["last_seen_ms"])
        self.assertIn("the client said good-bye", self.heptane("clients", "p1"))
        self.assertEqual(json.loads(self.heptane("clients", "p1", "--json")), row)
        with Connection(self.address).open("p1"):
            row = self.get("clients/p1")
            self.assertTrue(row["connected"])
            self.assertEqual(len(row["history"]), 3)
        self.assertIn("nothing is known", self.heptane("clients", "nobody", code=1))

    def test_when_it_was_seen_is_known_behind_a_start(self):
        with Server(args=("--set", "mqtt.presence=all")) as server:
            mosquitto_pub(server.address("mqtt"), "-i", "p1", "-t", "a", "-m", "x", "-q", 1)
            row = wait_until(lambda: not (found := http.call(server, "GET", ROOT + "clients/p1")[1])["connected"] and found,
                             "it is away")
            server.restart()
            _, behind = http.call(server, "GET", ROOT + "clients/p1")
            self.assertEqual((behind["last_seen_ms"], behind["history"], behind["user"]), (row["last_seen_ms"], [], "local"))

    def test_pages(self):
        connections = [Connection(self.address).open(f"c{n:02}") for n in range(25)]
        seen, after = [], ""
        while True:
            page = self.get(f"clients?limit=10&after={after}")
            seen += [row["client"] for row in page["clients"]]
            after = page.get("next")
            if after is None:
                break
        self.assertEqual(seen, [f"c{n:02}" for n in range(25)])
        for connection in connections:
            connection.socket.close()
        self.assertEqual(http.call(self.server, "GET", ROOT + "clients?limit=0")[0], 400)
        self.assertEqual(http.call(self.server, "GET", ROOT + "clients?surprise=1")[0], 400)

    def test_subscriptions_of_one_and_by_topic(self):
        subscriber = Subscriber(self.address, "-i", "a", "-t", "plant/+/temp", "-t", "$share/g/plant/#", "-q", 1)
        self.addCleanup(subscriber.close)
        other = Subscriber(self.address, "-i", "b", "-t", "other")
        self.addCleanup(other.close)
        both = [(row["client"], row["filter"], row["qos"]) for row in self.get("subscriptions")["subscriptions"]]
        self.assertEqual(both, [("a", "$share/g/plant/#", 1), ("a", "plant/+/temp", 1), ("b", "other", 0)])
        of_topic = self.get("subscriptions?topic=plant/1/temp")["subscriptions"]
        self.assertEqual([row["client"] for row in of_topic], ["a", "a"])
        self.assertEqual([row["filter"] for row in self.get("subscriptions?client=b")["subscriptions"]], ["other"])
        self.assertIn("plant/+/temp", self.heptane("subscriptions", "--topic", "plant/7/temp"))
        self.assertEqual(http.call(self.server, "GET", ROOT + "subscriptions?topic=a/%23")[0], 400)

    def test_a_kick_says_why_and_lets_the_client_come_back(self):
        with Connection(self.address) as connection:
            connection.send(connect("k"))
            self.assertEqual(connection.read()[:1], b"\x20")
            self.delete("clients/k")
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
            self.assertIsNone(connection.read())
        with Connection(self.address) as connection:
            connection.send(connect("k"))
            self.assertEqual(connection.read()[:1], b"\x20")
            row = self.get("clients/k")
            self.assertEqual(row["last_error"], "an operator ended the connection")
            self.heptane("kick", "k")
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
        self.delete("clients/k", expect=404)
        self.assertIn("no client k", self.heptane("kick", "k", code=1))
        self.assertEqual([event for event in self.audit() if event[0] == "mqtt.kick"], [("mqtt.kick", "local", "k")] * 2)

    def test_a_kick_and_the_will(self):
        watcher = Subscriber(self.address, "-t", "will/#", "-C", 1, "-v")
        self.addCleanup(watcher.close)
        for parameter in ("?will=false", ""):
            client = Subscriber(self.address, "-t", "x", "-i", "w", "--will-topic", "will/w", "--will-payload",
                                "kept" if parameter else "gone", "-V", "mqttv5")
            self.addCleanup(client.close)
            self.delete("clients/w" + parameter)
            client.close()
        self.assertEqual(watcher.lines(), ["will/w gone"])

    def test_over_websocket_too(self):
        from paho.mqtt import client as paho
        host, port = self.server.admin.split(":")
        client = paho.Client("ws", transport="websockets")
        client.ws_set_options(path="/mqtt")
        gone = []
        client.on_disconnect = lambda *_: gone.append(True)
        client.connect(host, int(port))
        client.loop_start()
        self.addCleanup(client.loop_stop)
        wait_until(lambda: self.get("clients")["clients"], "the client is there")
        client.reconnect_delay_set(60, 60)
        self.delete("clients/ws")
        wait_until(lambda: gone, "it is told")


class Sessions(Operated):
    def make_away(self, client="away", will=None):
        more = ["--will-topic", "will/s", "--will-payload", "gone", "--will-qos", 1] if will else []
        Subscriber(self.address, "-i", client, "-c", "-q", 1, "-t", "q/#", "-x", 3600, "-V", "mqttv5", *more).close()

    def test_sessions_are_listed_shown_and_purged_while_away(self):
        self.make_away()
        for n in range(5):
            mosquitto_pub(self.address, "-q", 1, "-t", f"q/{n}", "-m", "x")
        wait_until(lambda: not self.get("sessions/away")["session"]["connected"], "it is away")
        (row,) = self.get("sessions")["sessions"]
        self.assertEqual((row["client"], row["user"], row["queued"], row["expiry_s"], row["subscriptions"], row["lost"]),
                         ("away", "local", 5, 3600, 1, 0))
        (one,) = self.get("sessions/away")["subscriptions"]
        self.assertEqual((one["filter"], one["qos"]), ("q/#", 1))
        self.assertEqual(self.get("subscriptions?client=away")["subscriptions"], [one])
        self.assertIn("away", self.heptane("sessions"))
        self.heptane("purge", "away")
        self.assertEqual(self.get("sessions")["sessions"], [])
        self.delete("sessions/away", expect=404)
        self.assertIn(("mqtt.purge_session", "local", "away"), self.audit())
        # For ever: also behind a kill.
        self.server.crash_restart()
        self.assertEqual(self.get("sessions")["sessions"], [])

    def test_a_connected_one_is_ended_with_it(self):
        with Connection(self.address) as connection:
            connection.send(connect("d", "00", "", "05 11 L3600"))
            self.assertEqual(connection.read()[:1], b"\x20")
            self.assertTrue(self.get("clients/d")["durable"])
            self.delete("sessions/d")
            self.assertEqual(connection.read(), packet(0xE0, b"\x98"))
            self.assertIsNone(connection.read())
        with Connection(self.address) as connection:
            connection.send(connect("d", "00", "", "05 11 L3600"))
            self.assertEqual(connection.read()[2:3], b"\0", "no session is present")

    def test_its_will_is_published(self):
        watcher = Subscriber(self.address, "-t", "will/#", "-C", 1, "-v", "-q", 1)
        self.addCleanup(watcher.close)
        with Connection(self.address) as connection:
            connection.send(connect("w", "0C", "05 18 L3600 s6 'will/s' s4 'gone'", "05 11 L3600"))
            self.assertEqual(connection.read()[:1], b"\x20")
        wait_until(lambda: not self.get("sessions/w")["session"]["connected"], "it is away")
        self.assertTrue(self.get("sessions/w")["session"]["will"])
        self.delete("sessions/w")
        self.assertEqual(watcher.lines(), ["will/s gone"])
        logged = kafka.kcat_consume(self.server.kafka, "iot.messages", "-f", "%k %s\n", seconds=SECONDS)
        self.assertEqual(logged, ["will/s gone"])
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)


class Groups(Operated):
    def test_groups_with_a_queue_are_listed(self):
        for group in ("crew", "other"):
            mosquitto_sub(self.address, "-c", "-i", "away", "-E", "-q", 1, "-t", f"$share/{group}/m/#")
        mosquitto_pub(self.address, "-q", 1, "-t", "m/1", "-m", "x")
        crew, other = self.get("groups")["groups"]
        self.assertEqual((crew["group"], crew["filter"], crew["durable_members"], crew["connected"], crew["queued"], crew["lost"]),
                         ("crew", "m/#", 1, 0, 1, 0))
        here = Subscriber(self.address, "-i", "here", "-t", "$share/crew/m/#", "-q", 1)
        self.addCleanup(here.close)
        (crew,) = self.get("groups?limit=1")["groups"]
        self.assertEqual((crew["connected"], crew["members"]), (1, ["here"]))
        following = urllib.parse.quote(self.get("groups?limit=1")["next"], safe="")
        self.assertEqual(self.get(f"groups?after={following}")["groups"], [other])
        self.assertIn("crew", self.heptane("groups"))


class Retained(Operated):
    def test_listed_by_filter_and_purged(self):
        for n in range(3):
            mosquitto_pub(self.address, "-r", "-q", 1, "-t", f"r/{n:03}", "-m", f"kept {n}", "-i", "giver")
        mosquitto_pub(self.address, "-r", "-q", 1, "-t", "other", "-m", "\u00e4")
        rows = self.get("retained?filter=r/%2B")["retained"]
        self.assertEqual([(row["topic"], row["payload_bytes"], row["client"]) for row in rows],
                         [(f"r/{n:03}", 6, "giver") for n in range(3)])
        self.assertNotIn("value", rows[0])
        (one,) = self.get("retained?filter=other&payload=true")["retained"]
        self.assertEqual(one["value"], "\u00e4")
        self.assertIn("kept 2", self.heptane("retained", "r/#", "--payload"))
        self.assertEqual(self.delete("retained/r%2F001")["removed"], 1)
        self.delete("retained/r%2F001", expect=404)
        self.assertEqual(self.delete("retained?filter=r/%23")["removed"], 2)
        self.assertEqual(self.delete("retained?filter=r/%23")["removed"], 0)
        self.assertEqual(mosquitto_sub(self.address, "-t", "#", "-v", "-C", 1, "--retained-only"), ["other \u00e4"])
        self.assertEqual(json.loads(self.heptane("purge", "--retained", "#"))["removed"], 1)
        self.server.crash_restart()
        self.assertEqual(self.get("retained")["retained"], [])
        self.delete("retained", expect=400)
        self.delete("retained/a%2F%23", expect=400)
        purged = [event for event in self.audit() if event[0] == "mqtt.purge_retained"]
        self.assertEqual([event[2] for event in purged], ["r/001", "r/#", "#"])

    def test_pages(self):
        with Connection(self.address).open("many") as connection:
            for n in range(700):
                connection.send(words(f"33 r11 s5 'p/{n:03}' m{n + 1} 'xy'"))
            for _ in range(700):
                self.assertEqual(connection.read()[:1], b"\x40")
        topics, after = [], ""
        while True:
            page = self.get(f"retained?filter=p/%23&after={urllib.parse.quote(after, safe='')}")
            topics += [row["topic"] for row in page["retained"]]
            after = page.get("next")
            if after is None:
                break
        self.assertEqual(topics, [f"p/{n:03}" for n in range(700)])
        self.assertEqual(self.delete("retained?filter=p/%23")["removed"], 700)


class Trace(Operated):
    def test_the_packets_of_a_client_without_their_payload(self):
        url = f"http://{self.server.admin}{ROOT}clients/t/trace?wait=true&limit=7"
        with urllib.request.urlopen(url, timeout=SECONDS) as trace:
            self.assertEqual(trace.readline(), b"\n", "the client is being watched")
            subscriber = Subscriber(self.address, "-i", "t", "-t", "a/b", "-q", 1, "-V", "mqttv5")
            self.addCleanup(subscriber.close)
            mosquitto_pub(self.address, "-i", "else", "-t", "a/b", "-q", 1, "-m", "secret")
            wait_until(lambda: (row := self.get("clients/t"))["messages_out"] and row["in_flight"] == 0, "taken")
            self.delete("clients/t")
            rows = [json.loads(line) for line in trace if line.strip()]
        self.assertEqual([row.get("packet", "closed") for row in rows],
                         ["CONNECT", "CONNACK", "SUBSCRIBE", "SUBACK", "PUBLISH", "PUBACK", "DISCONNECT"])
        self.assertEqual(rows[2]["filters"], ["a/b"])
        published = rows[4]
        self.assertEqual((published["direction"], published["topic"], published["payload_bytes"], published["qos"]),
                         ("out", "a/b", 6, 1))
        self.assertEqual(rows[6]["reason"], "0x98")
        self.assertNotIn("secret", json.dumps(rows))
        self.assertEqual([event for event in self.audit() if event[0] == "mqtt.trace"], [("mqtt.trace", "local", "t")])

    def test_from_the_command_line(self):
        command = [default_binary(), "mqtt", "trace", "p", "--limit", "2", "--server", self.server.admin]
        with Connection(self.address).open("p") as connection, \
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trace:
            def ends():
                connection.send(b"\xc0\0")
                self.assertEqual(connection.read(), b"\xd0\0")
                return trace.poll() is not None

            wait_until(ends, "two packets are seen", SECONDS)
            lines = trace.stdout.read().splitlines()
        self.assertEqual([line.split()[1:3] for line in lines], [["in", "PINGREQ"], ["out", "PINGRESP"]])
        self.assertEqual(trace.returncode, 0)

    def test_a_client_that_is_not_there(self):
        self.assertEqual(http.call(self.server, "GET", ROOT + "clients/none/trace")[0], 404)
        self.assertEqual(http.call(self.server, "GET", ROOT + "clients/none/trace?seconds=0")[0], 400)
        # It ends when its time is over.
        self.assertEqual(http.text(self.server, ROOT + "clients/none/trace?wait=true&seconds=1").strip(), "")


class Presence(unittest.TestCase):
    def told(self, server):
        lines = kafka.kcat_consume(server.kafka, "iot.presence", "-f", "%k %s\n", seconds=SECONDS)
        return [(line.split(" ", 1)[0], json.loads(line.split(" ", 1)[1])) for line in lines]

    def test_connections_are_a_stream(self):
        with Server(args=("--set", "mqtt.presence=all")) as server:
            address = server.address("mqtt")
            mosquitto_pub(address, "-i", "p1", "-t", "a", "-m", "x", "-k", 30)
            client = Subscriber(address, "-i", "s1", "-t", "x")
            self.addCleanup(client.close)
            client.close()  # SIGKILL
            wait_until(lambda: "iot.presence" in http.text(server, "/api/v1/streams"), "the stream")
            told = wait_until(lambda: len(found := self.told(server)) == 5 and found, "five are told")
            self.assertEqual([(key, event["event"]) for key, event in told],
                             [("", "started"), ("p1", "connected"), ("p1", "disconnected"), ("s1", "connected"),
                              ("s1", "disconnected")])
            self.assertEqual((told[1][1]["version"], told[1][1]["keep_alive_s"], told[1][1]["user"]), ("3.1.1", 30, "local"))
            self.assertEqual(told[2][1]["reason"], "the client said good-bye")
            self.assertEqual(told[4][1]["reason"], "the connection broke")
            # What is known at a stop is told.
            with Connection(address).open("s2"):
                server.restart()
            self.assertEqual([key for key, _ in self.told(server)][5:], ["s2"])
            self.assertEqual(server.stop(), 0)
            verified = server.log_verify()
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_by_default_of_users_alone(self):
        with Server() as server:
            mosquitto_pub(server.address("mqtt"), "-i", "p1", "-t", "a", "-m", "x", "-q", 1)
            self.assertEqual(server.stop(), 0)
            server.start()
            self.assertNotIn("iot.presence", http.text(server, "/api/v1/streams"))

    def test_by_default_of_registered_devices(self):
        with Server() as server:
            status, made = http.call(server, "POST", "/api/v1/devices", {"name": "pump-1"})
            self.assertEqual(status, 201, made)
            for client in ("stranger", "pump-1"):
                mosquitto_pub(server.address("mqtt"), "-i", client, "-t", "a", "-m", "x", "-q", 1)
            wait_until(lambda: "iot.presence" in http.text(server, "/api/v1/streams"), "the stream")
            told = wait_until(lambda: len(found := self.told(server)) == 3 and found, "three are told")
            self.assertEqual([(key, event["event"]) for key, event in told],
                             [("", "started"), ("pump-1", "connected"), ("pump-1", "disconnected")])


class Rates(unittest.TestCase):
    def test_a_client_over_its_rate_is_slowed_down_and_loses_nothing(self):
        with Server(args=("--set", "mqtt.max_messages_per_second=200")) as server:
            address = server.address("mqtt")
            subscriber = Subscriber(address, "-t", "fast", "-q", 1, "-C", 500)
            self.addCleanup(subscriber.close)
            bystander = Connection(address).open("bystander")
            lines = [str(n) for n in range(500)]
            mosquitto_pub(address, "-q", 1, "-t", "fast", "-l", text_in="\n".join(lines) + "\n")
            self.assertEqual(subscriber.lines(), lines)
            bystander.send(b"\xc0\0")
            self.assertEqual(bystander.read(), b"\xd0\0")
            bystander.socket.close()
            slowed = [line for line in http.text(server, "/metrics").splitlines()
                      if line.startswith("heptane_mqtt_slowed_total")]
            self.assertGreater(float(slowed[0].split()[-1]), 0)


# What mosquitto 2.0.11 publishes.
SYS = ({f"load/{what}/{span}min" for span in (1, 5, 15)
        for what in ("bytes/received", "bytes/sent", "connections", "messages/received", "messages/sent", "publish/dropped",
                     "publish/received", "publish/sent", "sockets")}
       | {f"{what}/{way}" for what in ("bytes", "messages", "publish/bytes", "publish/messages") for way in ("received", "sent")}
       | {f"clients/{what}" for what in ("active", "connected", "disconnected", "expired", "inactive", "maximum", "total")}
       | {"heap/current", "heap/maximum", "messages/stored", "publish/messages/dropped", "retained messages/count",
          "shared_subscriptions/count", "store/messages/bytes", "store/messages/count", "subscriptions/count", "uptime", "version"})


class Stalled(unittest.TestCase):
    def test_a_client_that_takes_nothing_is_told_behind_what_it_did_not_take(self):
        with Server(args=("--set", "mqtt.write_timeout_seconds=1")) as server:
            address = server.address("mqtt")
            with Connection(address) as slow, Connection(address).open("p", 5) as publisher:
                slow.open("slow", 5)
                slow.send(packet(0x82, b"\0\1\0" + string("t") + b"\0"))
                self.assertEqual(slow.read(), packet(0x90, b"\0\1\0\0"))
                # More than sockets hold; what the server has no room for beyond that is dropped.
                for _ in range(400):
                    publisher.send(packet(0x30, string("t") + b"\0" + b"x" * 65_000))
                publisher.send(packet(0xC0, b""))
                self.assertEqual(publisher.read(), packet(0xD0, b""))
                wait_until(lambda: not http.call(server, "GET", ROOT + "clients/slow")[1]["connected"], "its session is over")
                *messages, last = iter(slow.read, None)
                self.assertEqual(last, packet(0xE0, b"\x97"))
                self.assertTrue(messages and all(message[0] == 0x30 for message in messages))


class Sys(unittest.TestCase):
    def test_under_mosquittos_names(self):
        with Server(args=("--set", "mqtt.sys_interval_seconds=1")) as server:
            address = server.address("mqtt")
            mosquitto_pub(address, "-r", "-q", 1, "-t", "a", "-m", "kept")

            def all_of_it():
                lines = mosquitto_sub(address, "-t", "$SYS/#", "-v", "--retained-only", "-C", len(SYS), "-W", 20)
                return "$SYS/broker/retained messages/count 1" in lines and lines

            got = wait_until(all_of_it, "the retained message is counted")
            text = "\n".join(got)
            self.assertIn("$SYS/broker/version heptane version", text)
            self.assertIn("$SYS/broker/clients/connected ", text)
            self.assertIn("$SYS/broker/load/messages/received/1min ", text)
            self.assertEqual({line.split("$SYS/broker/")[1].rsplit(" ", 1)[0] for line in got if "version" not in line and "uptime" not in line},
                             SYS - {"version", "uptime"})
            says = dict(line.rsplit(" ", 1) for line in got)
            self.assertGreater(int(says["$SYS/broker/heap/current"]), 1 << 20)
            self.assertEqual(says["$SYS/broker/messages/stored"], "1")
            self.assertGreater(int(says["$SYS/broker/store/messages/bytes"]), 4)
            self.assertEqual(says["$SYS/broker/publish/bytes/received"], "4")
            # Then as it changes, to those who want it.
            uptime = mosquitto_sub(address, "-t", "$SYS/broker/uptime", "-C", 3, "-W", 20)
            self.assertTrue(all(line.endswith(" seconds") for line in uptime))
            self.assertEqual(len(set(uptime)), 3)


class Rights(Guarded):
    def test_a_role_says_who_may_look_and_who_may_end(self):
        self.admin("POST", "/api/v1/users", {"name": "looker", "password": PASSWORD})
        self.admin("POST", "/api/v1/roles", {"name": "looks", "permissions": [
            {"module": "admin", "pattern": "mqtt", "verbs": ["read"]}]})
        status, answer, _ = ask(self.server, "POST", "/api/v1/tokens", {"name": "t", "owner": "looker"},
                                "Bearer " + self.token)
        self.assertEqual(status, 201, answer)
        looker = "Bearer " + answer["token"]
        paths = ["clients", "sessions", "groups", "subscriptions", "retained"]
        for path in paths:
            self.assertEqual(ask(self.server, "GET", ROOT + path)[0], 401)
            self.assertEqual(ask(self.server, "GET", ROOT + path, None, looker)[0], 403)
        self.admin("POST", "/api/v1/users/looker/roles", {"role": "looks"})
        for path in paths:
            self.assertEqual(ask(self.server, "GET", ROOT + path, None, looker)[0], 200)
        for path in ("clients/a", "sessions/a", "retained/a", "retained?filter=a"):
            self.assertEqual(ask(self.server, "DELETE", ROOT + path, {}, looker)[0], 403)
        # What is in retained messages is for those who may subscribe to it.
        self.assertEqual(ask(self.server, "GET", ROOT + "retained?payload=true", None, looker)[0], 403)
        self.assertEqual(ask(self.server, "GET", ROOT + "clients/none/trace", None, looker)[0], 404)


class Passwords(Guarded):
    args = ("--plain-on-loopback",)

    def test_many_devices_come_at_once_with_passwords(self):
        """Each costs thousands of hashes, on a worker: all get in, where an I/O thread would compute fifty a second."""
        count = 150
        self.admin("POST", "/api/v1/roles", {"name": "device", "permissions": [
            {"module": "mqtt", "pattern": "*", "verbs": ["read", "write"]}]})
        for n in range(count):
            self.admin("POST", "/api/v1/users", {"name": f"d{n}", "password": f"{PASSWORD} {n}", "roles": ["device"]})
        address = self.server.address("mqtt")
        connections = [Connection(address) for _ in range(count)]
        for n, connection in enumerate(connections):
            connection.send(self.connect_packet(n) + b"\xc0\0")
        for connection in connections:
            answer = connection.read()
            self.assertEqual((answer[:1], answer[3:4]), (b"\x20", b"\0"))
            self.assertEqual(connection.read(), b"\xd0\0")
        for connection in connections:
            connection.socket.close()
        with Connection(address) as wrong:
            wrong.send(self.connect_packet(0, "wrong password"))
            self.assertEqual(wrong.read()[3:4], b"\x86")
            self.assertIsNone(wrong.read())

    @staticmethod
    def connect_packet(n, password=None):
        body = words("s4 'MQTT' 05 C2 k60 00")
        for text in (f"c{n}", f"d{n}", password or f"{PASSWORD} {n}"):
            body += len(text).to_bytes(2, "big") + text.encode()
        return packet(0x10, body)


if __name__ == "__main__":
    unittest.main()
