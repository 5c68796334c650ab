"""Ten thousand topics: made, listed, described, written to, kept over a restart, deleted, over Kafka and HTTP.

HEPTANE_TEST_SCALE multiplies their number.
"""

import json
import os
import time
import unittest
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from heptane_testkit import Server
from heptane_testkit import kafka

SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
TOPICS = max(100, int(9_990 * SCALE))
TOGETHER = 1000
PATIENCE_SECONDS = 120
WRITTEN = 50
CONSUMED = 4_500  # by one consumer: it asks for the epoch of each in turn, which takes its time


def name_of(number):
    return f"topic-{number:05}"


class ManyStreams(unittest.TestCase):
    def admin(self, server):
        return AdminClient({"bootstrap.servers": server.kafka})

    def names_over_kafka(self, server):
        return sorted(self.admin(server).list_topics(timeout=PATIENCE_SECONDS).topics)

    def names_over_http(self, server):
        with urllib.request.urlopen(f"http://{server.admin}/api/v1/streams", timeout=PATIENCE_SECONDS) as answer:
            return [stream["name"] for stream in json.load(answer)["streams"]]

    def create(self, server):
        admin = self.admin(server)
        for first in range(0, TOPICS, TOGETHER):
            topics = [NewTopic(name_of(n), num_partitions=1) for n in range(first, min(first + TOGETHER, TOPICS))]
            for future in admin.create_topics(topics, operation_timeout=PATIENCE_SECONDS).values():
                future.result(PATIENCE_SECONDS)

    def delete(self, server):
        admin = self.admin(server)
        for first in range(0, TOPICS, TOGETHER):
            names = [name_of(n) for n in range(first, min(first + TOGETHER, TOPICS))]
            for future in admin.delete_topics(names, operation_timeout=PATIENCE_SECONDS).values():
                future.result(PATIENCE_SECONDS)

    def produce(self, server):
        producer = Producer({"bootstrap.servers": server.kafka, "acks": "all", "linger.ms": 5})
        for n in range(0, TOPICS, TOPICS // WRITTEN):
            producer.produce(name_of(n), name_of(n).encode())
        self.assertEqual(producer.flush(PATIENCE_SECONDS), 0)

    def expect_records(self, server):
        for n in range(0, TOPICS, TOPICS // WRITTEN):
            messages = kafka.read_messages(server.kafka, name_of(n), count=1, seconds=PATIENCE_SECONDS)
            self.assertEqual([m.value() for m in messages], [name_of(n).encode()])

    def expect_one_consumer_of_many(self, server):
        topics = min(TOPICS, CONSUMED)
        expected = sorted(name_of(n).encode() for n in range(0, topics, TOPICS // WRITTEN))
        consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "all", "enable.auto.commit": False})
        consumer.assign([TopicPartition(name_of(n), 0, 0) for n in range(topics)])
        seen = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(seen) < len(expected):
            self.assertLess(time.monotonic(), deadline, f"{len(seen)} of {len(expected)} records came")
            for message in consumer.consume(num_messages=100, timeout=1):
                self.assertIsNone(message.error())
                seen.append(message.value())
        consumer.close()
        self.assertEqual(sorted(seen), expected)

    def test_ten_thousand_are_ordinary(self):
        expected = [name_of(n) for n in range(TOPICS)]
        with Server() as server:
            self.create(server)
            self.assertEqual(self.names_over_kafka(server), expected)
            self.assertEqual(self.names_over_http(server), expected)
            self.produce(server)
            self.expect_records(server)
            self.expect_one_consumer_of_many(server)
            server.crash_restart()
            self.assertEqual(self.names_over_kafka(server), expected)
            server.restart()  # by way of a snapshot
            self.assertEqual(self.names_over_http(server), expected)
            self.expect_records(server)
            self.delete(server)
            self.assertEqual(self.names_over_kafka(server), [])


if __name__ == "__main__":
    unittest.main()
