"""Tailing a stream over a WebSocket with a client that was not written for it (websocket-client), and with bytes that no
client would send."""

import json
import socket
import struct
import unittest

import confluent_kafka
import websocket
from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka

SECONDS = 60
MEMORY_BOUND_BYTES = 512 << 20
HANDSHAKE = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


class Tail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--segment-mib", 16)).use_stable_port("admin")
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def open(self, stream, query="from=start", **options):
        link = websocket.create_connection(f"ws://{self.server.admin}/api/v1/streams/{stream}/tail?{query}",
                                           timeout=SECONDS, **options)
        self.addCleanup(link.shutdown)
        return link

    def create(self, stream, **options):
        self.assertEqual(http.call(self.server, "POST", "/api/v1/streams", {"name": stream, **options})[0], 201)

    def append(self, stream, *values):
        body = {"records": [{"value": value} for value in values]}
        status, answer = http.call(self.server, "POST", f"/api/v1/streams/{stream}/records", body)
        self.assertEqual(status, 200, answer)
        return answer["offset"]

    def values(self, link, count):
        return [json.loads(link.recv())["value"] for _ in range(count)]

    def closed(self, link):
        """The code and the reason of the close that comes next."""
        opcode, data = link.recv_data()
        self.assertEqual(opcode, websocket.ABNF.OPCODE_CLOSE)
        return struct.unpack(">H", data[:2])[0], data[2:].decode()

    def test_what_was_there_and_what_comes(self):
        self.create("follow")
        kafka.kcat_produce(self.server.kafka, "follow", text_in='{"n":0}\n{"n":1}\n')
        link = self.open("follow")
        self.assertEqual(self.values(link, 2), [{"n": 0}, {"n": 1}])
        late = self.open("follow", "from=end")
        self.append("follow", {"n": 2}, "text")
        for each in (link, late):
            self.assertEqual(self.values(each, 2), [{"n": 2}, "text"])
        kafka.kcat_produce(self.server.kafka, "follow", text_in="3\n")
        self.assertEqual(self.values(late, 1), ["3"])

    def test_the_form_is_that_of_the_records_route(self):
        self.create("form")
        records = [{"key": "k", "value": {"a": [1, None]}}, {"key_base64": "AP8=", "value_base64": "/wA="}, {"value": ""}]
        self.assertEqual(http.call(self.server, "POST", "/api/v1/streams/form/records", {"records": records})[0], 200)
        link = self.open("form", "from=start&limit=3")
        tailed = [json.loads(link.recv()) for _ in records]
        self.assertEqual(tailed, http.call(self.server, "GET", "/api/v1/streams/form/records")[1]["records"])
        self.assertEqual(self.closed(link)[0], 1000)

    def test_it_begins_at_an_offset_or_a_time(self):
        self.create("places", partitions=2)
        producer = confluent_kafka.Producer({"bootstrap.servers": self.server.kafka, "compression.type": "zstd"})
        for n in range(100):
            producer.produce("places", str(n), partition=1, timestamp=1_000_000 + n * 1000)
        self.assertEqual(producer.flush(SECONDS), 0)
        self.assertEqual(self.values(self.open("places", "partition=1&offset=97"), 3), ["97", "98", "99"])
        self.assertEqual(self.values(self.open("places", f"partition=1&time={1_000_000 + 41_500}"), 2), ["42", "43"])

    def test_a_reader_resumes_over_a_kill(self):
        self.create("resume")
        seen = []
        for round_number in range(3):
            acknowledged = (round_number + 1) * 50
            for n in range(round_number * 50, acknowledged):
                self.append("resume", n)
            link = self.open("resume", f"offset={len(seen)}")
            seen += self.values(link, acknowledged - len(seen) - 10)
            self.server.crash_restart()
        seen += self.values(self.open("resume", f"offset={len(seen)}"), 150 - len(seen))
        self.assertEqual(seen, [str(n) for n in range(150)])

    def test_deleting_the_stream_closes_it(self):
        self.create("gone")
        self.append("gone", 1)
        link = self.open("gone")
        self.values(link, 1)
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/gone")[0], 200)
        self.assertEqual(self.closed(link), (4404, "the stream was deleted"))

    def test_many_follow_one_stream(self):
        self.create("many")
        links = [self.open("many") for _ in range(200)]
        self.append("many", *range(10))
        for link in links:
            self.assertEqual(self.values(link, 10), [str(n) for n in range(10)])

    def test_a_reader_that_does_not_read_costs_little(self):
        self.create("slow")
        link = self.open("slow", sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),))
        text = "x" * 1000
        for _ in range(20):
            self.append("slow", *[text] * 500)
        self.assertLess(self.server.memory_bytes("VmHWM"), MEMORY_BOUND_BYTES)
        fast = self.open("slow")
        self.assertEqual(self.values(fast, 10_000)[-1], text)
        # It has lost nothing, now that it reads.
        self.assertEqual([json.loads(link.recv())["offset"] for _ in range(10_000)], list(range(10_000)))

    def test_pings_are_answered(self):
        self.create("pinged")
        link = self.open("pinged")
        link.ping("are you there")
        self.assertEqual(link.recv_data(control_frame=True), (websocket.ABNF.OPCODE_PONG, b"are you there"))
        link.close(status=1000, timeout=SECONDS)

    def test_what_a_client_may_not_send(self):
        self.create("strict")
        link = self.open("strict")
        link.send("hello")
        self.assertEqual(self.closed(link), (1003, "records only go out here"))
        link = self.open("strict")
        link.send_binary(b"x" * 2000)
        self.assertEqual(self.closed(link)[0], 1009)
        for frame in (b"\x81\x02hi", b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x09\x80\0\0\0\0", b"\x80\x80\0\0\0\0"):
            with self.subTest(frame=frame):
                link = self.open("strict")
                link.sock.sendall(frame)
                self.assertEqual(self.closed(link)[0], 1002)

    def handshake(self, target, headers):
        """The status of the answer."""
        with socket.create_connection(self.server.address("admin"), timeout=SECONDS) as link:
            link.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
            return int(link.makefile("rb").readline().split()[1])

    def test_handshakes_that_are_refused(self):
        self.create("door")
        target = "/api/v1/streams/door/tail"
        self.assertEqual(self.handshake(target, HANDSHAKE), 101)
        self.assertEqual(self.handshake(target, HANDSHAKE + "Origin: http://localhost\r\n"), 101)
        self.assertEqual(self.handshake(target, HANDSHAKE + "Origin: http://localhost:3000\r\n"), 403)
        self.assertEqual(self.handshake(target, HANDSHAKE + "Origin: https://evil.example\r\n"), 403)
        self.assertEqual(self.handshake(target, ""), 426)
        self.assertEqual(self.handshake(target, HANDSHAKE.replace("13", "8")), 426)
        self.assertEqual(self.handshake(target, HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl")), 400)
        self.assertEqual(self.handshake(target + "?offset=1", HANDSHAKE), 400)
        self.assertEqual(self.handshake("/api/v1/streams/absent/tail", HANDSHAKE), 404)

    def test_connections_that_end_leave_nothing(self):
        self.create("left")
        before = self.server.open_files()
        for _ in range(100):
            self.open("left").shutdown()
        wait_until(lambda: self.server.open_files() <= before, "the sockets to be closed", SECONDS)
        link = self.open("left")
        self.append("left", 1)
        self.assertEqual(self.values(link, 1), ["1"])


if __name__ == "__main__":
    unittest.main()
