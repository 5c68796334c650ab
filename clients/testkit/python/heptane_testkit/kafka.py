"""Kafka from outside: kcat, the confluent-kafka client, and requests as bytes for what no client would send.

confluent_kafka is imported where it is used; the rest needs Python alone.
"""

import json
import os
import socket
import struct
import subprocess

from .wait import Deadline

KCAT_SECONDS = 60
FAST_RECONNECT = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
UNKNOWN_TOPIC = 3
PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 2, 3, 18, 22


# ---- kcat ----


def kcat_command(address, *arguments):
    fast = [part for name, value in FAST_RECONNECT.items() for part in ("-X", f"{name}={value}")]
    return ["kcat", "-b", address, *fast, *map(str, arguments)]


def kcat(address, *arguments, text_in=None, seconds=KCAT_SECONDS, accept=(0,)):
    """The finished process; output as text."""
    done = subprocess.run(kcat_command(address, *arguments), capture_output=True, text=True, errors="backslashreplace",
                          timeout=seconds, **({"stdin": subprocess.DEVNULL} if text_in is None else {"input": text_in}))
    if accept is not None and done.returncode not in accept:
        raise AssertionError(f"kcat {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done


def kcat_produce(address, topic, *arguments, **options):
    """-E: go on when the broker goes away; idempotent: a retry does not double."""
    return kcat(address, "-P", "-E", "-X", "enable.idempotence=true", "-t", topic, *arguments, **options)


def kcat_consume(address, topic, *arguments, offset="beginning", **options):
    """Lines from the offset to the end."""
    return kcat(address, "-C", "-t", topic, "-o", offset, "-e", "-q", *arguments, **options).stdout.splitlines()


# ---- confluent-kafka ----


class Recorder:
    """A producer of numbered records {"n": N}, one stream, that notes each acknowledgement when it arrives."""

    def __init__(self, address, topic, on_acknowledged=None, pad=0, **config):
        from confluent_kafka import Producer

        settings = {"bootstrap.servers": address, "enable.idempotence": True, "acks": "all", "linger.ms": 2,
                    "log_level": 0, "message.timeout.ms": 60_000, **FAST_RECONNECT, **config}
        self.producer = Producer(settings)
        self.topic = topic
        self.pad = "x" * pad
        self.next_n = 0
        self.acknowledged = {}  # n -> offset, in order of arrival
        self.failed = {}  # n -> error
        self.on_acknowledged = on_acknowledged

    def send(self, count=1):
        for _ in range(count):
            n = self.next_n
            value = json.dumps({"n": n, "pad": self.pad}) if self.pad else json.dumps({"n": n})
            while True:
                try:
                    self.producer.produce(self.topic, value=value, on_delivery=lambda e, m, n=n: self._delivered(n, e, m))
                    break
                except BufferError:
                    self.poll(0.1)
            self.next_n += 1

    def poll(self, seconds=0.0):
        """Serves the callbacks; how many acknowledgements came."""
        before = len(self.acknowledged)
        self.producer.poll(seconds)
        return len(self.acknowledged) - before

    def flush(self, seconds=60.0):
        left = self.producer.flush(seconds)
        if left:
            raise AssertionError(f"{left} of {self.next_n} records unanswered after {seconds:g} s; failed: {self.failed}")

    def wait_acknowledged(self, count, seconds=60.0):
        deadline = Deadline(seconds)
        while len(self.acknowledged) < count:
            if deadline.over():
                done = len(self.acknowledged)
                raise AssertionError(f"{done} of {count} acknowledged after {seconds:g} s; failed: {self.failed}")
            self.poll(0.01)

    def drop(self):
        """Forgets what is under way: for a server that does not come back."""
        self.producer.purge()
        self.producer.flush(5)

    def _delivered(self, n, error, message):
        if error is not None:
            self.failed[n] = str(error)
            return
        self.acknowledged[n] = message.offset()
        if self.on_acknowledged:
            self.on_acknowledged(n, message.offset())


def make_consumer(address, **config):
    from confluent_kafka import Consumer

    return Consumer({"bootstrap.servers": address, "group.id": "none", "enable.auto.commit": False, "log_level": 0,
                     "auto.offset.reset": "error", "enable.partition.eof": True, "check.crcs": True,
                     "fetch.wait.max.ms": 100, **FAST_RECONNECT, **config})


def read_messages(address, topic, offset=0, count=None, partition=0, seconds=30.0, **config):
    """Messages from `offset` to the end of the partition, or the first `count`. Raises KafkaException on an error."""
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    consumer = make_consumer(address, **config)
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        deadline = Deadline(seconds)
        messages = []
        while count is None or len(messages) < count:
            if deadline.over():
                raise AssertionError(f"{len(messages)} messages of {topic} after {seconds:g} s, the end is not reached")
            for message in consumer.consume(500, 0.1):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    if count is None:
                        return messages
                elif not error.retriable():
                    raise KafkaException(error)
        return messages[:count]
    finally:
        consumer.close()


def watermarks(address, topic, partition=0, seconds=20.0):
    """(first offset, offset behind the last record)"""
    from confluent_kafka import TopicPartition

    consumer = make_consumer(address)
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=seconds)
    finally:
        consumer.close()


def topics(address, seconds=20.0):
    """Names, without creating any."""
    consumer = make_consumer(address)
    try:
        return set(consumer.list_topics(timeout=seconds).topics)
    finally:
        consumer.close()


def read_numbers(address, topic, **options):
    """[(offset, n)] of a stream written by Recorder; a stream that does not exist counts as empty."""
    if topic not in topics(address):
        return []
    return [(m.offset(), json.loads(m.value())["n"]) for m in read_messages(address, topic, **options)]


def check_recovered(acknowledged, recovered):
    """What is wrong, as lines: acknowledged {n: offset} must all be in recovered [(offset, n)], every number once and in
    order, offsets dense from 0."""
    problems = []
    if [offset for offset, _ in recovered] != list(range(len(recovered))):
        problems.append("offsets are not dense from 0")
    numbers = [n for _, n in recovered]
    if len(set(numbers)) != len(numbers):
        problems.append(f"{len(numbers) - len(set(numbers))} records are there twice")
    if numbers != sorted(numbers):
        problems.append("the order is not the producer's")
    at = {n: offset for offset, n in recovered}
    lost = [n for n in acknowledged if n not in at]
    if lost:
        problems.append(f"{len(lost)} acknowledged records are lost, the first is n={lost[0]}")
    moved = [n for n, offset in acknowledged.items() if n in at and offset >= 0 and at[n] != offset]
    if moved:
        problems.append(f"{len(moved)} records have another offset than acknowledged, the first is n={moved[0]}")
    return problems


# ---- bytes ----


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def request(api, version, body=b"", correlation=1, client="raw", flexible=False):
    """With its length."""
    head = struct.pack(">hhi", api, version, correlation) + string(client) + (b"\0" if flexible else b"")
    return struct.pack(">i", len(head) + len(body)) + head + body


def connect(address, seconds=20.0, receive_buffer=None):
    host, port = address.rsplit(":", 1)
    link = socket.socket()
    if receive_buffer:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    link.settimeout(seconds)
    link.connect((host, int(port)))
    return link


def receive_exactly(link, count):
    data = bytearray()
    while len(data) < count:
        piece = link.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise ConnectionError(f"closed after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


def receive_response(link):
    """(correlation id, body)"""
    length = struct.unpack(">i", receive_exactly(link, 4))[0]
    frame = receive_exactly(link, length)
    return struct.unpack(">i", frame[:4])[0], frame[4:]


def answer_or_close(link):
    """A response's body, or None when the server closed the connection."""
    try:
        return receive_response(link)[1]
    except (ConnectionError, BrokenPipeError):
        return None


def stream_end(address, topic):
    """The offset behind the last record, asked without any library; 0 while there is no such stream."""
    body = struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">iiq", 1, 0, -1)
    with connect(address) as link:
        link.sendall(request(LIST_OFFSETS, 1, body))
        answer = receive_response(link)[1]
    error, _, offset = struct.unpack(">hqq", answer[-18:])
    if error == UNKNOWN_TOPIC:
        return 0
    if error != 0:
        raise RuntimeError(f"ListOffsets of {topic}: error {error}")
    return offset


def write_lines(path, count, extra=""):
    """JSON lines {"n": N} in a file; its path."""
    with open(path, "w", encoding="utf-8") as out:
        for n in range(count):
            out.write(json.dumps({"n": n, "name": f"record {n}{extra}"}) + "\n")
    return os.fspath(path)
