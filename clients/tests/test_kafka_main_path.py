"""The main path with clients that were not written here: kcat and confluent-kafka (librdkafka)."""

import json
import os
import signal
import socket
import tempfile
import unittest

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from heptane_testkit import Refused, Server, wait_until
from heptane_testkit import kafka

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SMALL_SEGMENTS = ("--segment-mib", 16)


class OneServer(unittest.TestCase):
    """One server for the class: every test has a stream of its own."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=SMALL_SEGMENTS)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def setUp(self):
        self.topic = self.id().rsplit(".", 1)[1]
        self.address = self.server.kafka

    def temporary_file(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return os.path.join(directory.name, "lines.jsonl")


class Kcat(OneServer):
    def test_lines_come_back_as_they_went(self):
        path = kafka.write_lines(self.temporary_file(), 20_000, extra=" é漢\t")
        kafka.kcat_produce(self.address, self.topic, "-l", path)
        with open(path, encoding="utf-8") as sent:
            self.assertEqual(kafka.kcat_consume(self.address, self.topic), sent.read().splitlines())

    def test_two_runs_append(self):
        for text in ("a\nb\n", "c\n"):
            kafka.kcat_produce(self.address, self.topic, text_in=text)
        self.assertEqual(kafka.kcat_consume(self.address, self.topic, "-f", "%o %s\n"), ["0 a", "1 b", "2 c"])

    def test_offsets_to_start_from(self):
        kafka.kcat_produce(self.address, self.topic, text_in="".join(f"{n}\n" for n in range(100)))
        self.assertEqual(kafka.kcat_consume(self.address, self.topic, offset="97"), ["97", "98", "99"])
        self.assertEqual(kafka.kcat_consume(self.address, self.topic, offset="-2"), ["98", "99"])
        self.assertEqual(kafka.kcat_consume(self.address, self.topic, offset="end"), [])

    def test_keys_and_headers(self):
        # A null header comes by kcat: the Python client of Debian 12 miscounts references on None there.
        kafka.kcat_produce(self.address, self.topic, "-K", ":", "-H", "a=1", "-H", "none", text_in="k:v\n:w\n")
        lines = kafka.kcat_consume(self.address, self.topic, "-f", "%k|%s|%h\n")
        self.assertEqual(lines, ["k|v|a=1,none=NULL", "|w|a=1,none=NULL"])

    def test_metadata(self):
        kafka.kcat_produce(self.address, self.topic, text_in="a\n")
        seen = json.loads(kafka.kcat(self.address, "-L", "-J").stdout)
        self.assertEqual([(b["id"], b["name"]) for b in seen["brokers"]], [(1, self.address)])
        topics = {topic["topic"]: topic for topic in seen["topics"]}
        self.assertEqual([p["partition"] for p in topics[self.topic]["partitions"]], [0])
        self.assertEqual(topics[self.topic]["partitions"][0]["leader"], 1)

    def test_each_codec(self):
        for codec in CODECS:
            with self.subTest(codec=codec):
                topic = f"{self.topic}-{codec}"
                lines = [json.dumps({"n": n, "same": "text " * 20}) for n in range(500)]
                kafka.kcat_produce(self.address, topic, "-z", codec, text_in="\n".join(lines) + "\n")
                self.assertEqual(kafka.kcat_consume(self.address, topic), lines)


class Confluent(OneServer):
    def producer(self, **config):
        return Producer({"bootstrap.servers": self.address, "log_level": 0, "linger.ms": 2, **config})

    def test_values_keys_headers_and_timestamps(self):
        delivered = []
        producer = self.producer(**{"acks": "all", "enable.idempotence": True})
        for n in range(1000):
            producer.produce(self.topic, key=f"k{n}", value=b"\x00\xff%d" % n, timestamp=1_700_000_000_000 + n,
                             headers=[("h", b"\x01"), ("h", b""), ("n", str(n))],
                             on_delivery=lambda e, m: delivered.append((e, m.offset())))
        producer.produce(self.topic, key=None, value=None, on_delivery=lambda e, m: delivered.append((e, m.offset())))
        self.assertEqual(producer.flush(20), 0)
        self.assertEqual(delivered, [(None, n) for n in range(1001)])
        messages = kafka.read_messages(self.address, self.topic)
        self.assertEqual([m.offset() for m in messages], list(range(1001)))
        for n, message in enumerate(messages[:-1]):
            self.assertEqual((message.key(), message.value()), (b"k%d" % n, b"\x00\xff%d" % n))
            self.assertEqual(message.headers(), [("h", b"\x01"), ("h", b""), ("n", str(n).encode())])
            self.assertEqual(message.timestamp()[1], 1_700_000_000_000 + n)
        self.assertEqual((messages[-1].key(), messages[-1].value()), (None, None))

    def test_each_codec(self):
        for codec in CODECS:
            with self.subTest(codec=codec):
                topic = f"{self.topic}-{codec}"
                recorder = kafka.Recorder(self.address, topic, pad=300, **{"compression.type": codec, "linger.ms": 20})
                recorder.send(2000)
                recorder.flush()
                self.assertEqual(kafka.check_recovered(recorder.acknowledged, kafka.read_numbers(self.address, topic)), [])
                self.assertEqual(len(recorder.acknowledged), 2000)

    def test_acks_of_every_kind(self):
        for acks in (0, 1, -1):
            with self.subTest(acks=acks):
                topic = f"{self.topic}{acks}"
                producer = self.producer(acks=acks)
                for n in range(100):
                    producer.produce(topic, str(n))
                self.assertEqual(producer.flush(20), 0)
                messages = kafka.read_messages(self.address, topic, count=100)
                self.assertEqual([m.value() for m in messages], [str(n).encode() for n in range(100)])

    def test_unknown_topic_is_not_made_by_a_consumer_that_forbids_it(self):
        consumer = kafka.make_consumer(self.address, **{"allow.auto.create.topics": False})
        self.addCleanup(consumer.close)
        for _ in range(2):
            answer = consumer.list_topics(self.topic, timeout=10).topics[self.topic]
            self.assertEqual(answer.error.code(), KafkaError.UNKNOWN_TOPIC_OR_PART)
        self.assertNotIn(self.topic, kafka.topics(self.address))
        kafka.kcat_produce(self.address, self.topic, text_in="a\n")
        self.assertIn(self.topic, kafka.topics(self.address))

    def test_invalid_topic_name(self):
        errors = []
        producer = self.producer(**{"message.timeout.ms": 5000})
        producer.produce("no spaces", b"x", on_delivery=lambda e, m: errors.append(e.code()))
        self.assertEqual(producer.flush(20), 0)
        self.assertIn(errors, ([KafkaError.TOPIC_EXCEPTION], [KafkaError._UNKNOWN_TOPIC]))

    def test_message_too_large(self):
        # The client's own limit is raised, so that it is the server that says no; what fits goes on.
        results = []
        producer = self.producer(**{"message.max.bytes": 5_000_000, "message.timeout.ms": 20_000})
        for size in (10, 1_100_000, 1_000_000):
            producer.produce(self.topic, os.urandom(size), on_delivery=lambda e, m: results.append(e and e.code()))
            self.assertEqual(producer.flush(25), 0)
        self.assertEqual(results, [None, KafkaError.MSG_SIZE_TOO_LARGE, None])
        self.assertEqual([len(m.value()) for m in kafka.read_messages(self.address, self.topic)], [10, 1_000_000])

    def test_two_producers_interleave_each_in_its_order(self):
        recorders = [kafka.Recorder(self.address, self.topic, **{"linger.ms": 0}) for _ in range(2)]
        for _ in range(100):
            for recorder in recorders:
                recorder.send(10)
                recorder.poll(0)
        for recorder in recorders:
            recorder.flush()
        values = dict(kafka.read_numbers(self.address, self.topic))
        self.assertEqual(sorted(values), list(range(2000)))
        self.assertFalse(set(recorders[0].acknowledged.values()) & set(recorders[1].acknowledged.values()))
        for recorder in recorders:
            self.assertEqual(len(recorder.acknowledged), 1000)
            for n, offset in recorder.acknowledged.items():
                self.assertEqual(values[offset], n)
            offsets = [recorder.acknowledged[n] for n in range(1000)]
            self.assertEqual(offsets, sorted(offsets))

    def test_waiting_consumer_is_woken(self):
        recorder = kafka.Recorder(self.address, self.topic)
        recorder.send()
        recorder.flush()
        # It waits 20 s for a record if the server lets it: what it sees sooner it was woken for.
        consumer = kafka.make_consumer(self.address, **{"fetch.wait.max.ms": 20_000, "socket.timeout.ms": 30_000})
        self.addCleanup(consumer.close)
        consumer.assign([TopicPartition(self.topic, 0, 0)])
        seen = []

        def consumed():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                seen.append(message.offset())
            return len(seen) == recorder.next_n

        wait_until(consumed, "the first record", 15)
        for _ in range(5):
            recorder.send()
            recorder.flush()
            wait_until(consumed, "a record sent while the consumer waits", 15)
        self.assertEqual(seen, list(range(6)))

    def test_offsets_outside_the_log(self):
        kafka.kcat_produce(self.address, self.topic, text_in="a\nb\n")
        self.assertEqual(kafka.watermarks(self.address, self.topic), (0, 2))
        for offset in (3, 1000, 1 << 40):
            with self.subTest(offset=offset), self.assertRaises(KafkaException) as raised:
                kafka.read_messages(self.address, self.topic, offset=offset, seconds=10)
            self.assertIn(raised.exception.args[0].code(), (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET))
        self.assertEqual(kafka.read_messages(self.address, self.topic, offset=2), [])


class Lifecycle(unittest.TestCase):
    def server(self, **options):
        server = Server(args=SMALL_SEGMENTS, **options)
        self.addCleanup(server.close)
        return server

    def test_clean_stop_and_restart_keep_records_and_offsets(self):
        server = self.server().start()
        recorder = kafka.Recorder(server.kafka, "t")
        for round_number in range(3):
            recorder.send(500)
            recorder.flush()
            self.assertEqual(server.stop(), 0, server.stderr())
            self.assertEqual(server.stderr(), "")
            server.start()
            recovered = kafka.read_numbers(server.kafka, "t")
            self.assertEqual(kafka.check_recovered(recorder.acknowledged, recovered), [])
            self.assertEqual(len(recovered), 500 * (round_number + 1))
        self.assertIn("kafka", server.stdout())
        self.assertIn(server.kafka, server.stdout())

    def test_the_id_of_the_cluster_is_the_id_of_the_log(self):
        server = self.server().start()

        def cluster_id():
            return Producer({"bootstrap.servers": server.kafka}).list_topics(timeout=20).cluster_id

        self.assertRegex(cluster_id(), "^[0-9a-f]{32}$")
        self.assertIn(f"log {cluster_id()},", server.stdout())
        before = cluster_id()
        server.kill()
        server.start()
        self.assertEqual(cluster_id(), before)
        self.assertNotEqual(Producer({"bootstrap.servers": self.server().start().kafka}).list_topics(timeout=20).cluster_id, before)

    def test_interrupt_is_a_clean_stop_too(self):
        server = self.server().start()
        os.kill(server.pid, signal.SIGINT)
        self.assertEqual(server.wait(), 0)

    def test_stop_while_clients_are_connected(self):
        server = self.server().start()
        recorder = kafka.Recorder(server.kafka, "t")
        recorder.send(2000)
        recorder.wait_acknowledged(1)
        idle = kafka.connect(server.kafka)
        self.addCleanup(idle.close)
        self.assertEqual(server.stop(), 0, server.stderr())
        server.start()
        recorder.flush()
        self.assertEqual(kafka.check_recovered(recorder.acknowledged, kafka.read_numbers(server.kafka, "t")), [])
        self.assertEqual(len(recorder.acknowledged), 2000)

    def test_clean_stop_leaves_a_log_that_verifies(self):
        server = self.server().start()
        kafka.kcat_produce(server.kafka, "t", text_in="a\nb\n")
        self.assertEqual(server.stop(), 0)
        verified = server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_port_in_use_is_said(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with self.assertRaises(Refused) as raised:
                self.server(listen={"kafka": f"127.0.0.1:{port}"}).start()
        self.assertEqual(raised.exception.code, 3)
        self.assertIn(str(port), raised.exception.stderr)

    def test_second_server_on_the_same_data_is_refused(self):
        first = self.server().start()
        with self.assertRaises(Refused) as raised:
            self.server(data=first.data).start()
        self.assertEqual(raised.exception.code, 3)
        self.assertIn(first.data, raised.exception.stderr)
        kafka.kcat_produce(first.kafka, "t", text_in="still here\n")
        self.assertEqual(kafka.kcat_consume(first.kafka, "t"), ["still here"])

    def test_listening_beyond_loopback_is_refused(self):
        with self.assertRaises(Refused) as raised:
            self.server(listen={"kafka": "0.0.0.0:0"}).start()
        self.assertEqual(raised.exception.code, 3)
        self.assertIn("0.0.0.0", raised.exception.stderr)


if __name__ == "__main__":
    unittest.main()
