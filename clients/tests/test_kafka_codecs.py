"""The four codecs: what a client compresses is kept as it came, and read by other clients."""

import json
import struct
import unittest

from confluent_kafka import Producer, TopicPartition

from heptane_testkit import Server
from heptane_testkit import kafka

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ATTRIBUTES_AT = 21  # in a record batch
COUNT = 400
START_MS = 1_700_000_000_000


def fetched_batches(address, topic):
    """Record batches as they lie on the wire."""
    body = struct.pack(">iiiibii", -1, 0, 1, 16 << 20, 0, 0, -1)
    body += struct.pack(">i", 1) + kafka.string(topic) + struct.pack(">i", 1)
    body += struct.pack(">iiqqi", 0, -1, 0, -1, 16 << 20)
    body += struct.pack(">i", 0) + kafka.string("")
    with kafka.connect(address) as link:
        link.sendall(kafka.request(kafka.FETCH, 11, body))
        answer = kafka.receive_response(link)[1]
    # throttle, error, session, topics, name, partitions, then one partition's numbers before its records
    at = 4 + 2 + 4 + 4 + len(kafka.string(topic)) + 4 + 4 + 2 + 8 + 8 + 8 + 4 + 4
    length = struct.unpack_from(">i", answer, at)[0]
    records = answer[at + 4 : at + 4 + length]
    batches = []
    while records:
        size = 12 + struct.unpack_from(">i", records, 8)[0]
        batches.append(records[:size])
        records = records[size:]
    return batches


class Codecs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--segment-mib", 16))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.lines = [json.dumps({"n": n, "same": "text " * 20}) for n in range(COUNT)]
        for codec in CODECS:
            cls.produce(codec)

    @classmethod
    def produce(cls, codec):
        errors = []
        producer = Producer({"bootstrap.servers": cls.server.kafka, "compression.type": codec, "linger.ms": 50,
                             "enable.idempotence": True, "log_level": 0})
        for n, line in enumerate(cls.lines):
            producer.produce(codec, line, key=str(n), timestamp=START_MS + n, on_delivery=lambda e, m: errors.append(e))
        if producer.flush(20) or any(errors):
            raise AssertionError(f"{codec}: {errors}")

    def test_batches_are_kept_as_the_client_compressed_them(self):
        plain = sum(map(len, fetched_batches(self.server.kafka, "none")))
        for codec, number in CODECS.items():
            with self.subTest(codec=codec):
                batches = fetched_batches(self.server.kafka, codec)
                kinds = {struct.unpack_from(">h", batch, ATTRIBUTES_AT)[0] & 7 for batch in batches}
                self.assertEqual(kinds, {number})
                if number:
                    self.assertLess(sum(map(len, batches)), plain / 2)

    def test_read_back_by_confluent_and_kcat(self):
        for codec in CODECS:
            with self.subTest(codec=codec):
                messages = kafka.read_messages(self.server.kafka, codec)
                self.assertEqual([m.value().decode() for m in messages], self.lines)
                self.assertEqual([m.timestamp()[1] for m in messages], [START_MS + n for n in range(COUNT)])
                self.assertEqual(kafka.kcat_consume(self.server.kafka, codec), self.lines)

    def test_offsets_by_time_inside_compressed_batches(self):
        consumer = kafka.make_consumer(self.server.kafka)
        self.addCleanup(consumer.close)
        for codec in CODECS:
            for n in (0, 1, COUNT // 2, COUNT - 1):
                with self.subTest(codec=codec, n=n):
                    (found,) = consumer.offsets_for_times([TopicPartition(codec, 0, START_MS + n)], timeout=20)
                    self.assertEqual((found.error, found.offset), (None, n))

    def test_a_consumer_starts_inside_a_compressed_batch(self):
        for codec in CODECS:
            with self.subTest(codec=codec):
                messages = kafka.read_messages(self.server.kafka, codec, offset=COUNT - 3)
                self.assertEqual([m.offset() for m in messages], [COUNT - 3, COUNT - 2, COUNT - 1])


if __name__ == "__main__":
    unittest.main()
