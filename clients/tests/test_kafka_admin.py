"""Administration with confluent-kafka's AdminClient; with kafkajs it is in kafkajs.test.js."""

import unittest

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from heptane_testkit import Server
from heptane_testkit import kafka

SMALL_SEGMENTS = ("--segment-mib", 16)
SECONDS = 20


def outcome(future):
    """None, or the name of the error."""
    try:
        future.result(SECONDS)
        return None
    except KafkaException as refused:
        return refused.args[0].name()


class OneServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=SMALL_SEGMENTS)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def setUp(self):
        self.topic = self.id().rsplit(".", 1)[1]
        self.admin = AdminClient({"bootstrap.servers": self.server.kafka, "log_level": 0})

    def create(self, *topics, **options):
        return {name: outcome(future) for name, future in self.admin.create_topics(list(topics), **options).items()}

    def delete(self, *names):
        return {name: outcome(future) for name, future in self.admin.delete_topics(list(names)).items()}

    def config(self, kind, name):
        (future,) = self.admin.describe_configs([ConfigResource(kind, name)]).values()
        return future.result(SECONDS)

    def produce(self, *values, partition=0, start_ms=1_700_000_000_000, **config):
        errors = []
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, **config})
        for n, value in enumerate(values):
            producer.produce(self.topic, value, partition=partition, timestamp=start_ms + n,
                             on_delivery=lambda e, m: errors.append(e))
        self.assertEqual(producer.flush(SECONDS), 0)
        return errors


class Topics(OneServer):
    def test_partitions_are_there_and_apart(self):
        self.assertEqual(self.create(NewTopic(self.topic, 3, 1)), {self.topic: None})
        partitions = self.admin.list_topics(self.topic, timeout=SECONDS).topics[self.topic].partitions
        self.assertEqual({p: (m.leader, m.replicas, m.isrs) for p, m in partitions.items()},
                         {p: (1, [1], [1]) for p in range(3)})
        for partition in range(3):
            self.assertEqual(self.produce(*[f"{partition}/{n}" for n in range(partition + 1)], partition=partition),
                             [None] * (partition + 1))
        for partition in range(3):
            messages = kafka.read_messages(self.server.kafka, self.topic, partition=partition)
            self.assertEqual([m.value().decode() for m in messages], [f"{partition}/{n}" for n in range(partition + 1)])
        self.assertEqual(self.produce("x", partition=3), [KafkaError(KafkaError._UNKNOWN_PARTITION)])

    def test_refusals(self):
        self.assertEqual(self.create(NewTopic(self.topic, 1, 1)), {self.topic: None})
        self.assertEqual(
            self.create(NewTopic(self.topic, 1, 1), NewTopic("replicas", 1, 3), NewTopic("no spaces", 1, 1),
                        NewTopic("many", 1025, 1), NewTopic("unknown", 1, 1, config={"no.such": "1"}),
                        NewTopic("compacted", 1, 1, config={"cleanup.policy": "compact"}),
                        NewTopic("elsewhere", 1, replica_assignment=[[2]])),
            {self.topic: "TOPIC_ALREADY_EXISTS", "replicas": "INVALID_REPLICATION_FACTOR",
             "no spaces": "TOPIC_EXCEPTION", "many": "INVALID_PARTITIONS", "unknown": "INVALID_CONFIG",
             "compacted": "INVALID_CONFIG", "elsewhere": "INVALID_REPLICA_ASSIGNMENT"})
        self.assertFalse({"replicas", "many", "unknown", "compacted", "elsewhere"} & kafka.topics(self.server.kafka))

    def test_validate_only_makes_nothing(self):
        self.assertEqual(self.create(NewTopic(self.topic, 2, 1), validate_only=True), {self.topic: None})
        self.assertNotIn(self.topic, kafka.topics(self.server.kafka))

    def test_assignment_makes_partitions(self):
        self.assertEqual(self.create(NewTopic(self.topic, 2, replica_assignment=[[1], [1]])), {self.topic: None})
        self.assertEqual(len(self.admin.list_topics(self.topic, timeout=SECONDS).topics[self.topic].partitions), 2)

    def test_deleted_topics_are_gone_and_a_new_one_begins_empty(self):
        self.create(NewTopic(self.topic, 1, 1))
        self.produce("a", "b")
        self.assertEqual(self.delete(self.topic, "never-there"),
                         {self.topic: None, "never-there": "UNKNOWN_TOPIC_OR_PART"})
        self.assertNotIn(self.topic, kafka.topics(self.server.kafka))
        self.create(NewTopic(self.topic, 1, 1))
        self.assertEqual(kafka.watermarks(self.server.kafka, self.topic), (0, 0))
        self.assertEqual(self.produce("c"), [None])
        self.assertEqual([m.value() for m in kafka.read_messages(self.server.kafka, self.topic)], [b"c"])

    def test_a_producer_goes_on_after_its_topic_was_made_anew(self):
        self.create(NewTopic(self.topic, 1, 1))
        results = []
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, "message.timeout.ms": 20_000})
        for _ in range(3):
            producer.produce(self.topic, b"x", on_delivery=lambda e, m: results.append((e, m.offset())))
            self.assertEqual(producer.flush(SECONDS + 5), 0)
            self.assertEqual(self.delete(self.topic), {self.topic: None})
            self.assertEqual(self.create(NewTopic(self.topic, 1, 1)), {self.topic: None})
        self.assertEqual(results, [(None, 0)] * 3)

    def test_everything_survives_a_restart(self):
        with Server(args=SMALL_SEGMENTS) as server:
            admin = AdminClient({"bootstrap.servers": server.kafka, "log_level": 0})
            made = admin.create_topics([NewTopic("kept", 4, 1, config={"retention.ms": "86400000"}), NewTopic("gone", 1, 1)])
            self.assertEqual([outcome(future) for future in made.values()], [None, None])
            self.assertEqual([outcome(f) for f in admin.delete_topics(["gone"]).values()], [None])
            for again in (server.crash_restart, server.restart):
                again()
                admin = AdminClient({"bootstrap.servers": server.kafka, "log_level": 0})
                self.assertEqual(kafka.topics(server.kafka), {"kept"})
                self.assertEqual(len(admin.list_topics("kept", timeout=SECONDS).topics["kept"].partitions), 4)
                (future,) = admin.describe_configs([ConfigResource("topic", "kept")]).values()
                self.assertEqual(future.result(SECONDS)["retention.ms"].value, "86400000")


class Configs(OneServer):
    def test_what_was_given_and_what_is_fixed(self):
        self.create(NewTopic(self.topic, 1, 1, config={"retention.ms": "1000000", "cleanup.policy": "delete"}))
        config = self.config("topic", self.topic)
        self.assertEqual((config["retention.ms"].value, config["retention.ms"].is_default), ("1000000", False))
        self.assertEqual((config["retention.bytes"].value, config["retention.bytes"].is_default), ("-1", True))
        self.assertTrue(config["cleanup.policy"].is_read_only)
        self.assertEqual(self.config("broker", "1")["broker.id"].value, "1")
        with self.assertRaises(KafkaException) as raised:
            self.config("topic", "never-there")
        self.assertEqual(raised.exception.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART)

    def test_alter_replaces_what_was_given(self):
        self.create(NewTopic(self.topic, 1, 1, config={"retention.ms": "1000000"}))
        altered = self.admin.alter_configs([ConfigResource("topic", self.topic, set_config={"retention.bytes": "5000000"})])
        self.assertEqual([outcome(future) for future in altered.values()], [None])
        config = self.config("topic", self.topic)
        self.assertEqual((config["retention.ms"].value, config["retention.bytes"].value), ("-1", "5000000"))
        refused = self.admin.alter_configs([ConfigResource("topic", self.topic, set_config={"retention.bytes": "some"})])
        self.assertEqual([outcome(future) for future in refused.values()], ["INVALID_CONFIG"])


if __name__ == "__main__":
    unittest.main()
