"""Streams over topic filters: declared in the configuration or over HTTP, read with kcat and over HTTP, key = topic; what was
acknowledged is in them after kill -9, and reaches durable sessions."""

import json
import os
import signal
import socket
import subprocess
import unittest

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource
from test_auth import Guarded, ask

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import Subscriber, mosquitto_pub, mosquitto_sub

SECONDS = 120
STREAMS = "/api/v1/mqtt/streams"
TOML = """
[[mqtt.streams]]
name = "plant-temp"
filter = "plant/+/temp"
retention_ms = "7d"
"""


def read(server, stream, form="%k %s"):
    return kafka.kcat_consume(server.kafka, stream, "-f", form + "\n")


def declare(server, name, topic_filter, **more):
    status, answer = http.call(server, "POST", STREAMS, {"name": name, "filter": topic_filter, **more})
    assert status in (200, 201), answer
    return status


class Streams(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)

    def start(self, config=None):
        if config is not None:
            self.path = os.path.join(self.server.work, "heptane.toml")
            self.write(config)
            self.server.args += ["--config", self.path]
        self.server.start()

    def write(self, config):
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(config)

    def pub(self, topic, text, *more, qos=1):
        mosquitto_pub(self.server.address("mqtt"), "-q", qos, "-t", topic, "-m", text, *more)

    def audit(self):
        return [json.loads(line) for line in kafka.kcat_consume(self.server.kafka, "audit", "-f", "%s\n")]

    def test_declared_in_the_configuration(self):
        self.start(TOML)
        self.pub("plant/a/temp", "21")
        self.pub("plant/a/rpm", "900")
        self.pub("plant/b/temp", "22", "-i", "sensor", qos=2)
        self.pub("plant/c/temp", "0", qos=0)
        self.assertEqual(read(self.server, "plant-temp"), ["plant/a/temp 21", "plant/b/temp 22"])
        self.assertEqual(read(self.server, "iot.messages"), ["plant/a/rpm 900"])
        self.assertIn("mqtt.qos=2,mqtt.client=sensor", read(self.server, "plant-temp", "%h")[1])
        self.server.crash_restart()
        self.pub("plant/a/temp", "23")
        self.assertEqual(read(self.server, "plant-temp"), ["plant/a/temp 21", "plant/b/temp 22", "plant/a/temp 23"])
        _, records = http.call(self.server, "GET", "/api/v1/streams/plant-temp/records")
        self.assertEqual([(one["key"], one["value"]) for one in records["records"]][:1], [("plant/a/temp", "21")])
        _, listed = http.call(self.server, "GET", STREAMS)
        self.assertEqual(listed["streams"], [{"name": "plant-temp", "filter": "plant/+/temp", "partitions": 1,
                                              "retention_ms": 7 * 86_400_000, "qos0": False, "publish": False,
                                              "relaxed": False}])
        # What the configuration says again is nothing new; a change is, without a restart.
        self.assertEqual([event["action"] for event in self.audit()].count("mqtt.stream.declare"), 1)
        self.write(TOML.replace("plant/+/temp", "plant/+/rpm") + '[[mqtt.streams]]\nname = "all"\nfilter = "#"\n')
        os.kill(self.server.pid, signal.SIGHUP)
        wait_until(lambda: len(http.call(self.server, "GET", STREAMS)[1]["streams"]) == 2, "SIGHUP declares")
        self.pub("plant/a/rpm", "901")
        self.assertEqual(read(self.server, "plant-temp")[3:], ["plant/a/rpm 901"])
        self.assertEqual(read(self.server, "all"), ["plant/a/rpm 901"])
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_check_config(self):
        self.start(TOML)
        self.write(TOML + '[[mqtt.streams]]\nname = "plant"\nfilter = "plant/#"\n')
        checked = self.server.run("check-config", self.path)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("warning: the filters of plant-temp (plant/+/temp) and plant (plant/#) overlap", checked.stderr)
        for wrong, told in (('name = "iot.x"\nfilter = "a"', "server's own"), ('name = "x"', "topic filter"),
                            ('name = "x"\nfilter = "a/#/b"', "topic filter"), ('name = "x"\nfilter = "a"\nqos = 1', "keys of a"),
                            ('name = "plant-temp"\nfilter = "a"', "there twice")):
            self.write(TOML + "[[mqtt.streams]]\n" + wrong + "\n")
            checked = self.server.run("check-config", self.path)
            self.assertEqual(checked.returncode, 1)
            self.assertIn("mqtt.streams: ", checked.stderr)
            self.assertIn(told, checked.stderr)

    def test_declared_and_dropped_while_messages_come(self):
        self.start()
        total = 4000
        host, port = self.server.address("mqtt")
        publisher = subprocess.Popen(["mosquitto_pub", "-h", host, "-p", str(port), "-q", "1", "-t", "p/1", "-l"],
                                     stdin=subprocess.PIPE, text=True)
        self.addCleanup(publisher.kill)
        publisher.stdin.write("".join(f"{i}\n" for i in range(total // 2)))
        publisher.stdin.flush()
        wait_until(lambda: kafka.stream_end(self.server.kafka, "iot.messages") > 100, "messages come")
        self.assertEqual(declare(self.server, "p", "p/+", partitions=3), 201)
        publisher.stdin.write("".join(f"{i}\n" for i in range(total // 2, total)))
        publisher.stdin.close()
        self.assertEqual(publisher.wait(SECONDS), 0)
        self.assertEqual(declare(self.server, "p", "p/+", partitions=3), 200)
        first = [int(text) for text in read(self.server, "iot.messages", "%s")]
        later = [int(text) for text in read(self.server, "p", "%s")]
        self.assertEqual(first + later, list(range(total)))
        self.assertGreaterEqual(len(later), total // 2)
        self.assertEqual(len(set(read(self.server, "p", "%p"))), 1)
        status, _ = http.call(self.server, "DELETE", STREAMS + "/p", {})
        self.assertEqual(status, 200)
        self.assertNotIn("p", kafka.topics(self.server.kafka))
        self.pub("p/1", "last")
        self.assertEqual(read(self.server, "iot.messages", "%s")[-1], "last")
        self.assertEqual([event["action"] for event in self.audit()], ["mqtt.stream.declare", "mqtt.stream.drop"])
        # Of another filter, under the same name.
        declare(self.server, "p", "q/#")
        self.server.crash_restart()
        self.pub("q", "new")
        self.assertEqual(read(self.server, "p"), ["q new"])

    def test_a_durable_session_gets_what_lives_in_streams(self):
        self.start(TOML)
        address = self.server.address("mqtt")
        mosquitto_sub(address, "-c", "-i", "durable", "-E", "-q", 1, "-t", "plant/#")
        for i in range(50):
            self.pub(f"plant/{i % 3}/" + ("temp" if i % 2 else "rpm"), i)
        self.server.crash_restart()
        got = mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "durable", "-q", 1, "-t", "plant/#", "-C", 50)
        self.assertEqual([int(text) for text in got], list(range(50)))
        # The messages of a stream that is dropped are lost to a session, and it goes on.
        mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "late", "-E", "-q", 1, "-t", "plant/#")
        for i in range(4):
            self.pub("plant/1/temp", f"gone {i}")
        self.pub("plant/1/rpm", "kept")
        self.assertEqual(http.call(self.server, "DELETE", STREAMS + "/plant-temp", {})[0], 200)
        self.server.crash_restart()  # else the broker may have them in memory
        got = mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "late", "-q", 1, "-t", "plant/#", "-C", 1)
        self.assertEqual(got, ["kept"])

    def test_qos_zero_where_a_stream_wants_it(self):
        self.start()
        subscriber = Subscriber(self.server.address("mqtt"), "-t", "fast/#", "-C", 21, "-v")
        self.addCleanup(subscriber.close)
        self.pub("fast/1", "before", qos=0)
        declare(self.server, "fast", "fast/#", qos0=True)
        for i in range(20):
            self.pub("fast/1", i, qos=0)
        self.assertEqual(subscriber.lines(), ["fast/1 before"] + [f"fast/1 {i}" for i in range(20)])
        # What a subscriber saw is synced.
        self.server.crash_restart()
        self.assertEqual(read(self.server, "fast"), [f"fast/1 {i}" for i in range(20)])
        self.pub("fast/2", "after", qos=0)
        wait_until(lambda: read(self.server, "fast")[-1] == "fast/2 after", "the stream is known after a start")
        declare(self.server, "fast", "fast/#", qos0=False)
        self.pub("fast/2", "not", qos=0)
        self.pub("fast/2", "last", qos=1)
        self.assertEqual(read(self.server, "fast")[-2:], ["fast/2 after", "fast/2 last"])
        self.assertEqual(kafka.stream_end(self.server.kafka, "iot.messages"), 0)

    def test_qos_zero_of_a_relaxed_stream(self):
        self.start(TOML + '[[mqtt.streams]]\nname = "fast"\nfilter = "fast/#"\nqos0 = true\nrelaxed = true\n')
        subscriber = Subscriber(self.server.address("mqtt"), "-t", "fast/#", "-C", 20, "-v")
        self.addCleanup(subscriber.close)
        wanted = [f"fast/1 {i}" for i in range(20)]
        for i in range(20):
            self.pub("fast/1", i, qos=0)
        self.assertEqual(subscriber.lines(), wanted)
        wait_until(lambda: read(self.server, "fast") == wanted, "they are records")
        self.assertEqual([one["relaxed"] for one in http.call(self.server, "GET", STREAMS)[1]["streams"]], [True, False])
        self.assertEqual(http.call(self.server, "POST", STREAMS, {"name": "x", "filter": "x", "relaxed": True})[0], 400)

    def test_published_from_kafka_and_http(self):
        self.start(TOML + '[[mqtt.streams]]\nname = "commands"\nfilter = "cmd/#"\npublish = true\n')
        address = self.server.address("mqtt")
        mosquitto_sub(address, "-c", "-i", "durable", "-E", "-q", 1, "-t", "cmd/+")
        subscriber = Subscriber(address, "-V", "mqttv5", "-q", 1, "-t", "cmd/#", "-C", 5, "-F", "%t %q %p %P")
        self.addCleanup(subscriber.close)
        kafka.kcat_produce(self.server.kafka, "commands", "-K", " ", "-H", "unit=K", text_in="cmd/a on\ncmd/b off\n")
        status, answer = http.call(self.server, "POST", "/api/v1/streams/commands/records",
                                   {"records": [{"key": "cmd/r/1", "value": "http", "headers": {"mqtt.qos": "0", "mqtt.retain": "1"}},
                                                {"key": "cmd/c", "value": "more"}]})
        self.assertEqual((status, answer["offset"], answer["count"]), (200, 2, 2), answer)
        self.pub("cmd/a", "mqtt")
        wanted = ["cmd/a 1 on unit:K", "cmd/b 1 off unit:K", "cmd/r/1 0 http ", "cmd/c 1 more ", "cmd/a 1 mqtt "]
        self.assertEqual([line.rstrip() for line in subscriber.lines()], [line.rstrip() for line in wanted])
        self.server.crash_restart()
        self.assertEqual(read(self.server, "commands"), ["cmd/a on", "cmd/b off", "cmd/r/1 http", "cmd/c more", "cmd/a mqtt"])
        address = self.server.address("mqtt")
        self.assertEqual(mosquitto_sub(address, "-c", "-i", "durable", "-q", 1, "-t", "cmd/+", "-C", 4), ["on", "off", "more", "mqtt"])
        self.assertEqual(mosquitto_sub(address, "-t", "cmd/r/1", "-C", 1, "--retained-only"), ["http"])
        # What is none of its messages, and a stream that does not publish.
        for topic, key, error in (("commands", "other", "INVALID_RECORD"), ("commands", "cmd/#", "INVALID_RECORD"),
                                  ("plant-temp", "plant/a/temp", "POLICY_VIOLATION")):
            self.assertEqual(self.produce(topic, key), error)
        for key, status in (("other", 400), (None, 400)):
            body = {"records": [{"key": key, "value": "x"}]}
            self.assertEqual(http.call(self.server, "POST", "/api/v1/streams/commands/records", body)[0], status)
        body = {"records": [{"key": "cmd/a", "value": "x"}]}
        self.assertEqual(http.call(self.server, "POST", "/api/v1/streams/commands/records?partition=1", body)[0], 404)
        body = {"records": [{"key": "plant/a/temp", "value": "x"}]}
        self.assertEqual(http.call(self.server, "POST", "/api/v1/streams/plant-temp/records", body)[0], 409)
        self.assertEqual(len(read(self.server, "commands")), 5)
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def produce(self, topic, key, **more):
        errors = []
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, "message.timeout.ms": 20_000})
        producer.produce(topic, key=key, value="x", on_delivery=lambda error, _: errors.append(error), **more)
        producer.flush(SECONDS)
        return errors[0].name() if errors[0] is not None else None

    def test_published_into_several_partitions(self):
        self.start()
        declare(self.server, "commands", "cmd/#", publish=True, partitions=3)
        subscriber = Subscriber(self.server.address("mqtt"), "-q", 1, "-t", "cmd/#", "-C", 83, "-F", "%t %p")
        self.addCleanup(subscriber.close)
        lines = [f"cmd/{i % 8} {i}" for i in range(80)]
        kafka.kcat_produce(self.server.kafka, "commands", "-K", " ", "-X", "topic.partitioner=murmur2",
                           text_in="".join(line + "\n" for line in lines))
        self.pub("cmd/1", "mqtt")
        records = "/api/v1/streams/commands/records"
        body = {"records": [{"key": "cmd/1", "value": "http"}, {"key": "cmd/1", "value": "more"}]}
        status, answer = http.call(self.server, "POST", records, body)
        self.assertEqual(status, 200, answer)
        homes, wanted = {}, {}
        for line in lines + ["cmd/1 mqtt", "cmd/1 http", "cmd/1 more"]:
            wanted.setdefault(line.split()[0], []).append(line)
        got = {}
        for line in read(self.server, "commands", "%p %o %k %s"):
            partition, offset, topic, text = line.split()
            homes.setdefault(topic, set()).add(int(partition))
            got.setdefault(topic, []).append(f"{topic} {text}")
            if text == "http":
                self.assertEqual(int(offset), answer["offset"])
        self.assertEqual(got, wanted)
        self.assertEqual({len(home) for home in homes.values()}, {1}, "a topic has one partition")
        heard = {}
        for line in subscriber.lines():
            heard.setdefault(line.split()[0], []).append(line)
        self.assertEqual(heard, wanted)
        # One that is sent elsewhere is refused, with what came along.
        home, = homes["cmd/1"]
        for partition, expected in ((home, 200), ((home + 1) % 3, 400), (3, 404)):
            status, answer = http.call(self.server, "POST", f"{records}?partition={partition}", body)
            self.assertEqual(status, expected, answer)
        self.assertEqual(self.produce("commands", "cmd/1", partition=(home + 1) % 3), "INVALID_RECORD")
        self.assertIsNone(self.produce("commands", "cmd/1", partition=home))

    def test_the_retention_is_the_declarations(self):
        self.start()
        declare(self.server, "plant", "plant/#", retention_ms=60_000)
        status, answer = http.call(self.server, "PUT", "/api/v1/streams/plant", {"retention_ms": 1})
        self.assertEqual(status, 409)
        self.assertIn("the retention of plant is its declaration's", answer["error"]["message"])
        admin = AdminClient({"bootstrap.servers": self.server.kafka})
        wish = ConfigResource("topic", "plant", set_config={"retention.ms": "1"})
        (altered,) = admin.alter_configs([wish], request_timeout=SECONDS).values()
        with self.assertRaises(KafkaException) as refused:
            altered.result(SECONDS)
        self.assertEqual(refused.exception.args[0].name(), "POLICY_VIOLATION")
        self.assertEqual(http.call(self.server, "GET", "/api/v1/streams/plant")[1]["retention_ms"], 60_000)
        self.assertEqual(declare(self.server, "plant", "plant/#", retention_ms=120_000), 200)
        self.assertEqual(http.call(self.server, "GET", "/api/v1/streams/plant")[1]["retention_ms"], 120_000)

    def test_batches_as_large_as_a_producer_makes_them(self):
        self.start()
        declare(self.server, "commands", "cmd/#", publish=True)
        mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "away", "-E", "-q", 1, "-t", "cmd/#")
        lines = [str(i) for i in range(25_000)]
        kafka.kcat_produce(self.server.kafka, "commands", "-K", ":", "-X", "linger.ms=500",
                           text_in="".join(f"cmd/a:{line}\n" for line in lines))
        self.assertEqual(read(self.server, "commands", "%s"), lines)
        got = mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "away", "-q", 1, "-t", "cmd/#", "-C", 1000)
        self.assertEqual(got, lines[-1000:])

    def test_a_client_that_is_gone_before_the_answer(self):
        self.start()
        host, port = self.server.admin.rsplit("//", 1)[-1].rsplit(":", 1)

        def leave(method, path, body):
            text = json.dumps(body)
            with socket.create_connection((host, int(port))) as gone:
                gone.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(text)}\r\n\r\n{text}".encode())

        def names():
            return [one["name"] for one in http.call(self.server, "GET", STREAMS)[1]["streams"]]

        leave("POST", STREAMS, {"name": "fast", "filter": "fast/#", "qos0": True})
        wait_until(lambda: names() == ["fast"], "the stream is declared")
        self.pub("fast/1", "x", qos=0)
        self.pub("fast/1", "y")
        self.assertEqual(read(self.server, "fast"), ["fast/1 x", "fast/1 y"])
        leave("DELETE", STREAMS + "/fast", {})
        wait_until(lambda: names() == [], "the stream is dropped")
        self.pub("fast/1", "gone", qos=0)
        self.pub("fast/1", "last")
        self.assertEqual(read(self.server, "iot.messages"), ["fast/1 last"])

    def test_what_cannot_be_declared(self):
        self.start()
        for body, status in (({"name": "x"}, 400), ({"name": "x", "filter": "a/#/b"}, 400),
                             ({"name": "x", "filter": "$SYS/#"}, 400), ({"name": "iot.x", "filter": "a"}, 400), ({"name": "x", "filter": "a", "qos0": 1}, 400),
                             ({"name": "x", "filter": "a", "partitions": 65}, 400), ({"name": "used", "filter": "a"}, 409)):
            if status == 409:
                kafka.kcat_produce(self.server.kafka, "used", text_in="x\n")
            self.assertEqual(http.call(self.server, "POST", STREAMS, body)[0], status, body)
        self.assertEqual(http.call(self.server, "DELETE", STREAMS + "/none", {})[0], 404)
        declare(self.server, "x", "a")
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/x", {})[0], 409)


class Rights(Guarded):
    def test_who_may_declare(self):
        self.admin("POST", "/api/v1/roles", {"name": "maker", "permissions": [
            {"module": "streams", "pattern": "mine-*", "verbs": ["create", "delete"]},
            {"module": "mqtt", "pattern": "plant/*", "verbs": ["read"]}]})
        self.add_user("maria", "maker")
        token = self.admin("POST", "/api/v1/tokens", {"name": "maria-1", "owner": "maria"})["token"]

        def call(method, path, body=None):
            return ask(self.server, method, path, body, "Bearer " + token)[0]

        self.assertEqual(call("POST", STREAMS, {"name": "mine-1", "filter": "plant/+/temp"}), 201)
        self.assertEqual(call("POST", STREAMS, {"name": "yours", "filter": "plant/+/temp"}), 403)
        self.assertEqual(call("POST", STREAMS, {"name": "mine-2", "filter": "other/#"}), 403)
        self.admin("POST", STREAMS, {"name": "yours", "filter": "other/#"})
        self.assertEqual(ask(self.server, "GET", STREAMS, None, "Bearer " + token)[1]["streams"][0]["name"], "mine-1")
        # To make one is not to change one.
        self.assertEqual(call("POST", STREAMS, {"name": "mine-1", "filter": "plant/+/temp"}), 200)
        self.assertEqual(call("POST", STREAMS, {"name": "mine-1", "filter": "plant/#"}), 403)
        self.admin("POST", STREAMS, {"name": "mine-1", "filter": "plant/a/temp", "retention_ms": -2})
        self.assertEqual(call("DELETE", STREAMS + "/yours", {}), 403)
        self.assertEqual(call("DELETE", STREAMS + "/mine-1", {}), 200)
        self.assertEqual(self.in_trail(action="mqtt.stream.declare", by="maria", outcome="done")[0]["on"], "mine-1")


if __name__ == "__main__":
    unittest.main()
