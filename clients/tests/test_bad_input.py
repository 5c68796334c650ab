"""Bytes that no client would send: answered as the protocol says or closed, in bounded memory, while others work on."""

import contextlib
import itertools
import os
import random
import re
import socket
import struct
import tempfile
import unittest

from heptane_testkit import Server, http, kafka, wait_until
from heptane_testkit.kafka import API_VERSIONS, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, METADATA, PRODUCE

MEMORY_BOUND_BYTES = 512 << 20
REQUEST_BYTES_MAX = 8 << 20
UNSUPPORTED_VERSION = 35
TOPICS = itertools.count()
PROTOCOL_ERRORS = 'heptane_connections_closed_total{reason="protocol_error"}'
DEADLINES = 'heptane_connections_closed_total{reason="deadline"}'
INPUT_STOPS = "heptane_input_stops_total"


def metric(server, sample):
    return int(float(re.search("^" + re.escape(sample) + r" (\S+)$", http.text(server, "/metrics"), re.M).group(1)))


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--segment-mib", 16))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        kafka.kcat_produce(cls.server.kafka, "present", text_in="a\nb\n")

    def setUp(self):
        self.addCleanup(self.assert_well)

    def assert_well(self):
        """The server is the same process, its memory is bounded, and a good client is served."""
        self.assertTrue(self.server.running(), self.server.stderr())
        self.assertLess(self.server.memory_bytes("VmHWM"), MEMORY_BOUND_BYTES)
        topic = f"well-{next(TOPICS)}"
        kafka.kcat_produce(self.server.kafka, topic, text_in="well\n")
        self.assertEqual(kafka.kcat_consume(self.server.kafka, topic), ["well"])
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "present"), ["a", "b"])

    def connect(self, **options):
        link = kafka.connect(self.server.kafka, **options)
        self.addCleanup(link.close)
        return link

    def send(self, data, **options):
        """What comes back: a body, or None for a close."""
        link = self.connect(**options)
        try:
            link.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return None
        return kafka.answer_or_close(link)

    @contextlib.contextmanager
    def counted(self, sample, times):
        """What happens inside is counted so often; times None: at least once."""
        before = metric(self.server, sample)
        yield
        grown = metric(self.server, sample) - before
        if times is None:
            self.assertGreaterEqual(grown, 1, sample)
        else:
            self.assertEqual(grown, times, sample)

    @contextlib.contextmanager
    def rejected(self, reason, times):
        """So many requests are counted under this reason, and as many connections as closed for their protocol."""
        with self.counted(f'heptane_kafka_requests_rejected_total{{reason="{reason}"}}', times):
            with self.counted(PROTOCOL_ERRORS, times):
                yield

    def test_lengths_out_of_range(self):
        with self.rejected("oversized", 8):
            for length in (-1, -(2**31), 2**31 - 1, REQUEST_BYTES_MAX + 1):
                with self.subTest(length=length):
                    self.assertIsNone(self.send(struct.pack(">i", length)))
                    self.assertIsNone(self.send(struct.pack(">i", length) + b"\0" * 100_000))

    def test_lengths_too_short_for_a_header(self):
        with self.rejected("malformed", 8):
            for length in range(0, 8):
                with self.subTest(length=length):
                    self.assertIsNone(self.send(struct.pack(">i", length) + b"\0" * length))

    def test_huge_counts(self):
        with self.rejected("malformed", 24):
            for count in (2**31 - 1, 10_000_000, 65_536):
                huge = struct.pack(">i", count)
                one_topic = struct.pack(">hhii", -1, -1, 1000, 1) + kafka.string("present")
                bodies = {
                    "metadata": kafka.request(METADATA, 1, huge),
                    "metadata with names": kafka.request(METADATA, 1, huge + kafka.string("a") * 1000),
                    "produce topics": kafka.request(PRODUCE, 7, struct.pack(">hhi", -1, -1, 1000) + huge),
                    "produce partitions": kafka.request(PRODUCE, 7, one_topic + huge),
                    "produce records": kafka.request(PRODUCE, 7, one_topic + struct.pack(">ii", 1, 0) + huge),
                    "fetch": kafka.request(FETCH, 4, struct.pack(">iiiib", -1, 100, 1, 1 << 20, 0) + huge),
                    "list offsets": kafka.request(LIST_OFFSETS, 1, struct.pack(">i", -1) + huge),
                    "client id": struct.pack(">ihhih", 14, METADATA, 1, 1, 32767) + b"\0" * 4,
                }
                for name, data in bodies.items():
                    with self.subTest(count=count, what=name):
                        self.assertIsNone(self.send(data))

    def test_huge_compact_counts_and_tags(self):
        with self.rejected("malformed", 8):
            varints = (b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x7f", b"\xff" * 12, b"\x80" * 40)
            for varint in varints:
                with self.subTest(varint=varint):
                    self.assertIsNone(self.send(kafka.request(INIT_PRODUCER_ID, 2, varint + b"\0" * 20, flexible=True)))
                    self.assertIsNone(self.send(kafka.request(API_VERSIONS, 3, b"\x02a\x02b" + varint, flexible=True)))

    def test_strings_with_bad_lengths(self):
        with self.rejected("malformed", 3):
            for length in (-2, -32768, 32767):
                with self.subTest(length=length):
                    body = struct.pack(">ih", 1, length) + b"abc"
                    self.assertIsNone(self.send(kafka.request(METADATA, 1, body)))

    def test_trailing_bytes(self):
        with self.rejected("malformed", 1):
            answer = self.send(kafka.request(METADATA, 1, struct.pack(">i", 0) + b"more than the request has"))
            self.assertIsNone(answer)

    def test_unknown_api(self):
        with self.rejected("unknown_api", 5):
            for api in (-1, 4, 9999, 32767, -32768):
                with self.subTest(api=api):
                    self.assertIsNone(self.send(kafka.request(api, 0, b"\0" * 50)))

    def test_unknown_version_of_api_versions_is_answered_in_version_0(self):
        for version in (4, 99, 32767):
            with self.subTest(version=version):
                body = self.send(kafka.request(API_VERSIONS, version, b"\x09whatever it says", flexible=True))
                error, count = struct.unpack(">hi", body[:6])
                self.assertEqual(error, UNSUPPORTED_VERSION)
                self.assertEqual(len(body), 6 + 6 * count)
                offered = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", body[6:])}
                self.assertIn(API_VERSIONS, offered)
                self.assertGreaterEqual(offered[PRODUCE][1], 3)

    def test_unknown_versions_of_others(self):
        with self.rejected("unsupported_version", 15):
            for api in (PRODUCE, FETCH, LIST_OFFSETS, METADATA, INIT_PRODUCER_ID):
                for version in (-1, 100, 32767):
                    with self.subTest(api=api, version=version):
                        self.assertIsNone(self.send(kafka.request(api, version, b"\0" * 60)))

    def test_requests_before_a_bad_one_are_answered(self):
        with self.rejected("unknown_api", 1):
            link = self.connect()
            link.sendall(kafka.request(API_VERSIONS, 0, correlation=7) + kafka.request(9999, 0))
            self.assertEqual(kafka.receive_response(link)[0], 7)
            self.assertIsNone(kafka.answer_or_close(link))

    def test_garbage(self):
        rng = random.Random(2026)
        for number in range(200):
            with self.subTest(number=number):
                link = self.connect(seconds=5)
                try:
                    link.sendall(rng.randbytes(rng.choice([1, 3, 10, 100, 5000])))
                    link.shutdown(socket.SHUT_WR)
                    while link.recv(65536):
                        pass
                except (ConnectionResetError, BrokenPipeError):
                    pass

    def test_garbage_behind_good_headers(self):
        rng = random.Random(47)
        offer = self.send(kafka.request(API_VERSIONS, 0))
        versions = {key: high for key, _, high in struct.iter_unpack(">hhh", offer[6:])}
        self.assertGreater(len(versions), 20)
        for number in range(600):
            api = rng.choice(list(versions))
            body = bytes(rng.choice([0, 0, 0, 1, 255, rng.randrange(256)]) for _ in range(rng.randrange(80)))
            with self.subTest(number=number, api=api):
                link = self.connect(seconds=40)
                try:
                    link.sendall(kafka.request(api, rng.randint(0, versions[api]), body))
                    link.shutdown(socket.SHUT_WR)
                    while link.recv(65536):
                        pass
                except (ConnectionResetError, BrokenPipeError):
                    pass

    def test_other_protocols(self):
        with self.rejected("oversized", 3):
            hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 510
            for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", hello, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"):
                with self.subTest(data=data[:8]):
                    link = self.connect()
                    link.sendall(data)
                    link.shutdown(socket.SHUT_WR)
                    self.assertIsNone(kafka.answer_or_close(link))

    def test_damaged_record_batches(self):
        batch = bytearray(record_batch(b"value"))
        spoilt = {"crc": (17, 0xFF), "magic": (16, 7), "length": (11, 1), "count": (60, 9), "last offset": (26, 3),
                  "body": (len(batch) - 2, 0x55)}
        for name, (at, change) in spoilt.items():
            with self.subTest(name=name):
                bad = bytearray(batch)
                bad[at] ^= change
                with self.counted("heptane_kafka_record_batches_refused_total", 1):
                    body = self.send(produce_request("damaged", bytes(bad)))
                if body is not None:
                    self.assertNotEqual(produce_error(body, "damaged"), 0)
        for cut in range(0, len(batch), 7):
            body = self.send(produce_request("damaged", bytes(batch[:cut])))
            if body is not None:
                self.assertNotEqual(produce_error(body, "damaged"), 0)
        self.assertEqual(self.stream_end("damaged"), 0)
        self.assertEqual(produce_error(self.send(produce_request("damaged", bytes(batch))), "damaged"), 0)
        self.assertEqual(self.stream_end("damaged"), 1)

    def stream_end(self, topic):
        self.send(kafka.request(METADATA, 1, struct.pack(">i", 1) + kafka.string(topic)))
        return kafka.watermarks(self.server.kafka, topic)[1]

    def test_half_requests_wait_and_harm_nobody(self):
        whole = kafka.request(METADATA, 1, struct.pack(">i", 0))
        links = [self.connect() for _ in whole]
        for cut, link in enumerate(links):
            link.sendall(whole[:cut])
        self.assert_well()
        for cut, link in enumerate(links):
            link.sendall(whole[cut:])
            self.assertEqual(kafka.receive_response(link)[0], 1)

    def test_a_half_request_ends_by_the_idle_limit(self):
        whole = kafka.request(METADATA, 1, struct.pack(">i", 0))
        with tempfile.TemporaryDirectory() as directory:
            config = os.path.join(directory, "heptane.toml")
            with open(config, "w", encoding="utf-8") as out:
                out.write('[kafka]\nidle_timeout = "1s"\n')
            with Server(args=("--config", config)) as server:
                before = metric(server, DEADLINES)
                links = [kafka.connect(server.kafka) for _ in range(3)]
                for link, cut in zip(links, (1, 6, len(whole) - 1)):
                    self.addCleanup(link.close)
                    link.sendall(whole[:cut])
                for link in links:
                    self.assertEqual(link.recv(1), b"")
                self.assertEqual(metric(server, DEADLINES) - before, 3)

    def test_one_byte_at_a_time(self):
        link = self.connect()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in kafka.request(API_VERSIONS, 0):
            link.sendall(bytes([byte]))
        self.assertEqual(kafka.receive_response(link)[0], 1)

    def test_many_half_requests_that_announce_the_maximum(self):
        links = [self.connect() for _ in range(200)]
        for link in links:
            link.sendall(struct.pack(">ihhi", REQUEST_BYTES_MAX - 4, PRODUCE, 7, 1) + b"\0" * 1000)
        self.assert_well()

    def test_many_idle_connections(self):
        before = self.server.memory_bytes()
        links = [self.connect() for _ in range(500)]
        for link in links:
            link.sendall(kafka.request(API_VERSIONS, 0))
        for link in links:
            kafka.receive_response(link)
        self.assert_well()
        self.assertLess(self.server.memory_bytes() - before, 64 << 20)
        open_then = self.server.open_files()
        for link in links:
            link.close()
        wait_until(lambda: self.server.open_files() <= open_then - 490, "closed connections to be given back")

    def test_slow_reader(self):
        """Asks for 64 MiB again and again without reading: what is held for it stays bounded, nothing more is read from it, and
        that is counted."""
        topic = "slow"
        recorder = kafka.Recorder(self.server.kafka, topic, pad=50_000, **{"linger.ms": 5})
        recorder.send(400)
        recorder.flush()
        fetch = kafka.request(FETCH, 4, struct.pack(">iiiib", -1, 0, 1, 64 << 20, 0) + struct.pack(">i", 1) +
                              kafka.string(topic) + struct.pack(">iiqi", 1, 0, 0, 64 << 20))
        links = [self.connect(receive_buffer=4096) for _ in range(10)]
        before = metric(self.server, INPUT_STOPS)
        for link in links:
            link.setblocking(False)
            sent = 0
            try:
                for _ in range(50):
                    sent += link.send(fetch)
            except BlockingIOError:
                pass
            self.assertGreaterEqual(sent, len(fetch))

        def stopped():  # each that goes on asking
            for link in links:
                with contextlib.suppress(BlockingIOError):
                    link.send(fetch)
            return metric(self.server, INPUT_STOPS) - before >= len(links)

        wait_until(stopped, "all of them to be stopped and counted")
        self.assert_well()
        # The one that reads after all gets whole answers in order.
        links[0].settimeout(20)
        self.assertGreater(len(kafka.receive_response(links[0])[1]), 1 << 20)

    def test_flood_without_reading(self):
        """Sends requests with large answers and never reads: the server stops taking input."""
        link = self.connect(receive_buffer=4096)
        link.settimeout(2)
        data = kafka.request(METADATA, 1, struct.pack(">i", -1)) * 2000
        with self.counted(INPUT_STOPS, None):
            try:
                for _ in range(400):
                    link.sendall(data)
            except (TimeoutError, ConnectionError):
                pass
        self.assert_well()

    def test_reset_in_the_middle(self):
        for _ in range(50):
            link = self.connect()
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.sendall(produce_request("present-not", record_batch(os.urandom(1000))) + b"\0\0")
            link.close()


# ---- a record batch by hand (magic 2) ----


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def zigzag(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def record_batch(value):
    record = b"\0" + zigzag(0) + zigzag(0) + zigzag(-1) + zigzag(len(value)) + value + zigzag(0)
    body = struct.pack(">hiqqqhii", 0, 0, 1_700_000_000_000, 1_700_000_000_000, -1, -1, -1, 1) + zigzag(len(record)) + record
    return struct.pack(">qiibI", 0, 4 + 1 + 4 + len(body), -1, 2, crc32c(body)) + body


def produce_request(topic, records):
    body = struct.pack(">hhii", -1, -1, 5000, 1) + kafka.string(topic) + struct.pack(">iii", 1, 0, len(records)) + records
    return kafka.request(PRODUCE, 7, body)


def produce_error(body, topic):
    at = 4 + len(kafka.string(topic)) + 4 + 4
    return struct.unpack(">h", body[at : at + 2])[0]


if __name__ == "__main__":
    unittest.main()
