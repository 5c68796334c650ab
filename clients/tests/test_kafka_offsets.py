"""Offsets: by time, committed by consumers without a group's membership, and what a member of a group is told."""

import unittest

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from heptane_testkit import Server, wait_until
from heptane_testkit import kafka

SMALL_SEGMENTS = ("--segment-mib", 16)
SECONDS = 20
NO_OFFSET = -1001  # librdkafka's name for: nothing committed
AT_END = -1


def commit(address, group, *offsets):
    consumer = kafka.make_consumer(address, **{"group.id": group})
    try:
        return consumer.commit(offsets=[TopicPartition(*offset) for offset in offsets], asynchronous=False)
    finally:
        consumer.close()


def committed(address, group, topic, partitions):
    consumer = kafka.make_consumer(address, **{"group.id": group})
    try:
        found = consumer.committed([TopicPartition(topic, p) for p in range(partitions)], timeout=SECONDS)
        return [part.offset for part in found]
    finally:
        consumer.close()


class OneServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=SMALL_SEGMENTS)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def setUp(self):
        self.topic = self.id().rsplit(".", 1)[1]
        self.admin = AdminClient({"bootstrap.servers": self.server.kafka, "log_level": 0})

    def create(self, partitions=1):
        (future,) = self.admin.create_topics([NewTopic(self.topic, partitions, 1)]).values()
        future.result(SECONDS)

    def delete(self):
        (future,) = self.admin.delete_topics([self.topic]).values()
        future.result(SECONDS)

    def produce(self, times_ms, **config):
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, **config})
        for time_ms in times_ms:
            producer.produce(self.topic, str(time_ms), partition=0, timestamp=time_ms)
        self.assertEqual(producer.flush(SECONDS), 0)


class ByTime(OneServer):
    def offset_at(self, time_ms):
        consumer = kafka.make_consumer(self.server.kafka)
        try:
            (found,) = consumer.offsets_for_times([TopicPartition(self.topic, 0, time_ms)], timeout=SECONDS)
            self.assertIsNone(found.error)
            return found.offset
        finally:
            consumer.close()

    def test_first_record_from_a_time_on(self):
        self.create()
        for first in (10_000, 20_000, 15_000):  # batches out of the order of their times
            self.produce(range(first, first + 1000, 100))
        self.assertEqual([self.offset_at(t) for t in (1, 10_000, 10_050, 10_900, 10_901, 20_900)], [0, 0, 1, 9, 10, 19])
        self.assertEqual(self.offset_at(20_901), AT_END)

    def test_an_empty_topic(self):
        self.create()
        self.assertEqual(self.offset_at(1), AT_END)

    def test_an_unknown_topic(self):
        consumer = kafka.make_consumer(self.server.kafka, **{"allow.auto.create.topics": False})
        self.addCleanup(consumer.close)
        with self.assertRaises(KafkaException):
            consumer.offsets_for_times([TopicPartition("never-there", 0, 1)], timeout=5)

    def test_kcat_starts_at_a_time(self):
        self.create()
        self.produce(range(1000, 2000, 100))
        self.assertEqual(kafka.kcat_consume(self.server.kafka, self.topic, offset="s@1750"), ["1800", "1900"])


class Committed(OneServer):
    def test_come_back_by_group_and_partition(self):
        self.create(3)
        commit(self.server.kafka, "g", (self.topic, 0, 5), (self.topic, 2, 7))
        commit(self.server.kafka, "h", (self.topic, 0, 1))
        self.assertEqual(committed(self.server.kafka, "g", self.topic, 3), [5, NO_OFFSET, 7])
        commit(self.server.kafka, "g", (self.topic, 0, 4))
        self.assertEqual(committed(self.server.kafka, "g", self.topic, 3), [4, NO_OFFSET, 7])
        self.assertEqual(committed(self.server.kafka, "h", self.topic, 3), [1, NO_OFFSET, NO_OFFSET])
        self.assertLessEqual({"g", "h"}, {group.id for group in self.admin.list_groups(timeout=SECONDS)})

    def test_a_consumer_goes_on_where_its_group_stopped(self):
        self.create()
        self.produce(range(10))
        seen = []
        for _ in range(2):
            consumer = kafka.make_consumer(self.server.kafka, **{"group.id": self.topic, "auto.offset.reset": "earliest"})
            try:
                consumer.assign([TopicPartition(self.topic, 0)])  # at the committed offset
                for _ in range(5):
                    message = consumer.poll(SECONDS)
                    self.assertIsNone(message.error())
                    seen.append(message.offset())
                consumer.commit(message=message, asynchronous=False)
            finally:
                consumer.close()
        self.assertEqual(seen, list(range(10)))

    def test_survive_a_crash_and_a_restart(self):
        with Server(args=SMALL_SEGMENTS) as server:
            kafka.kcat_produce(server.kafka, "t", text_in="a\nb\n")
            commit(server.kafka, "g", ("t", 0, 2))
            server.crash_restart()
            self.assertEqual(committed(server.kafka, "g", "t", 1), [2])
            server.restart()
            self.assertEqual(committed(server.kafka, "g", "t", 1), [2])

    def test_those_of_a_deleted_topic_are_not_those_of_the_next(self):
        self.create()
        commit(self.server.kafka, self.topic, (self.topic, 0, 5))
        self.delete()
        self.create()
        self.assertEqual(committed(self.server.kafka, self.topic, self.topic, 1), [NO_OFFSET])

    def test_of_what_is_not_there_are_refused(self):
        self.create()
        with self.assertRaises(KafkaException) as raised:
            commit(self.server.kafka, "g", (self.topic, 7, 1))
        self.assertEqual(raised.exception.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART)


class Groups(OneServer):
    def test_a_member_is_told_that_groups_are_not_served(self):
        self.create()
        consumer = kafka.make_consumer(self.server.kafka, **{"group.id": "wants-members"})
        self.addCleanup(consumer.close)
        consumer.subscribe([self.topic])
        errors = []

        def told():
            message = consumer.poll(0.1)
            if message is not None and message.error() is not None:
                errors.append(message.error())
            return bool(errors)

        wait_until(told, "an error that names the reason", SECONDS)
        self.assertEqual(errors[0].code(), KafkaError.UNSUPPORTED_VERSION)
        self.assertIn("JoinGroup", errors[0].str())


if __name__ == "__main__":
    unittest.main()
