"""HTTP/1.1 as curl and raw bytes speak it: codings, chunks, pipelines, old versions; and requests that are refused."""

import gzip
import json
import os
import socket
import subprocess
import tempfile
import unittest
import zlib

from heptane_testkit import Server
from heptane_testkit import http

SECONDS = 60
MEMORY_BOUND_BYTES = 512 << 20
JSON = ("-H", "Content-Type: application/json")
LINES = ("-H", "Content-Type: application/x-ndjson")


class HttpProtocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--segment-mib", 16))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        for stream in ("a", "many"):
            assert http.create(cls.server, stream)[0] == 201
        for first in range(0, 20_000, 4000):
            lines = "".join(json.dumps({"value": {"n": n, "pad": "x" * 100}}) + "\n" for n in range(first, first + 4000))
            answer = cls.curl_of(cls.server, *LINES, "--data-binary", "@-", path="/api/v1/streams/many/records",
                                 text_in=lines.encode())
            assert json.loads(answer)["offset"] == first, answer

    @staticmethod
    def curl_of(server, *arguments, path, text_in=None):
        done = subprocess.run(["curl", "-s", "--max-time", str(SECONDS), *arguments, f"http://{server.admin}{path}"],
                              input=text_in, capture_output=True)
        if done.returncode != 0:
            raise AssertionError(f"curl ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def curl(self, *arguments, path="/api/v1/streams/a/records", text_in=None):
        return self.curl_of(self.server, *arguments, path=path, text_in=text_in)

    def status(self, *arguments, **options):
        return int(self.curl("-o", "/dev/null", "-w", "%{http_code}", *arguments, **options))

    def connect(self):
        link = socket.create_connection(self.server.address("admin"), timeout=SECONDS)
        self.addCleanup(link.close)
        return link

    def raw(self, data, half=False):
        """All that comes back until the close."""
        link = self.connect()
        link.sendall(data)
        if not half:
            link.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while part := link.recv(65536):
            answer += part
        return bytes(answer)

    def end(self):
        return http.call(self.server, "GET", "/api/v1/streams/a")[1]["partitions"][0]["end_offset"]

    def test_compressed_bodies(self):
        body = json.dumps({"records": [{"value": "x" * 1000}]}).encode()
        for coding, data in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body)):
            offset = self.end()
            answer = self.curl(*JSON, "-H", f"Content-Encoding: {coding}", "--data-binary", "@-", text_in=data)
            self.assertEqual(json.loads(answer)["offset"], offset)
        self.assertEqual(self.status(*JSON, "-H", "Content-Encoding: br", "--data-binary", "@-", text_in=body), 415)
        self.assertEqual(self.status(*JSON, "-H", "Content-Encoding: gzip", "--data-binary", "@-", text_in=body), 400)

    def test_a_bomb_is_refused_in_bounded_memory(self):
        bomb = gzip.compress(b" " * (400 << 20), 9)
        self.assertLess(len(bomb), 1 << 20)
        self.assertEqual(self.status(*JSON, "-H", "Content-Encoding: gzip", "--data-binary", "@-", text_in=bomb), 413)
        self.assertLess(self.server.memory_bytes("VmHWM"), MEMORY_BOUND_BYTES)

    def test_the_limit_of_a_body_is_exact(self):
        for size, status in ((4_000_000, 413), (4_000_001, 413), (900_000, 200)):
            body = json.dumps({"records": [{"value": ""}]}).replace('""', '"' + "x" * (size - 30) + '"').encode()
            sent = gzip.compress(body.ljust(size))
            self.assertEqual(self.status(*JSON, "-H", "Content-Encoding: gzip", "--data-binary", "@-", text_in=sent), status)
        # Spaces count as sent, not as kept.
        body = json.dumps({"records": [{"value": 1}]}).encode()
        for size, status in ((4_000_000, 200), (4_000_001, 413)):
            self.assertEqual(self.status(*JSON, "--data-binary", "@-", text_in=body.ljust(size)), status)
            self.assertEqual(self.status(*JSON, "-H", "Transfer-Encoding: chunked", "--data-binary", "@-",
                                         text_in=body.ljust(size)), status)

    def test_compressed_answers(self):
        path = "/api/v1/streams/many/records?limit=1000"
        plain = self.curl(path=path)
        with tempfile.NamedTemporaryFile() as head:
            self.assertEqual(self.curl("--compressed", "-D", head.name, path=path), plain)
            self.assertIn(b"Content-Encoding: gzip\r\n", head.read())
        self.assertLess(len(self.curl("-H", "Accept-Encoding: gzip", path=path)), len(plain) / 5)
        self.assertEqual(self.curl("-H", "Accept-Encoding: gzip;q=0", path=path), plain)

    def test_lines_of_any_number(self):
        path = "/api/v1/streams/many/records?limit=1000000000"
        for arguments in ((), ("--compressed",), ("--http1.0",)):
            text = self.curl("-H", "Accept: application/x-ndjson", *arguments, path=path)
            self.assertEqual([json.loads(line)["value"]["n"] for line in text.splitlines()], list(range(20_000)))
        head = self.curl("-H", "Accept: application/x-ndjson", "-I", path=path)
        self.assertIn(b"Transfer-Encoding: chunked", head)

    def test_a_bad_line_is_named_and_nothing_is_kept(self):
        before = self.end()
        for lines, said in ((b'{"value":1}\n{"value":\n', "line 2"), (b'{"value":1}\n\n{"valu":2}\n', "line 3"),
                            (b'{"value":1}\n{"key":1,"value":2}', "line 2.key"), (b"\n", "no record")):
            answer = json.loads(self.curl(*LINES, "--data-binary", "@-", text_in=lines))
            self.assertIn(said, answer["error"]["message"])
        self.assertEqual(self.end(), before)

    def test_repeats_of_lines(self):
        keyed = (*LINES, "-H", "Idempotency-Key: lines-1", "--data-binary", "@-")
        first = json.loads(self.curl(*keyed, text_in=b'{"value":1}\n{"value":2}\n'))
        again = json.loads(self.curl(*keyed, text_in=b'{"value":1}\n{"value":2}\n'))
        self.assertEqual(again, {**first, "repeated": True})
        self.assertEqual(self.status(*keyed, text_in=b'{"value":3}\n'), 422)

    def test_old_clients_and_heads(self):
        self.assertEqual(json.loads(self.curl("--http1.0", path="/livez")), {"live": True})
        answer = self.raw(b"GET /livez HTTP/1.0\r\n\r\n", half=True)
        self.assertTrue(answer.endswith(b'\r\n\r\n{"live":true}\n'))
        self.assertIn(b"Content-Length: 14\r\n", self.curl("-I", path="/livez"))
        options = self.curl("-X", "OPTIONS", "-i", path="/api/v1/streams/a")
        self.assertTrue(options.startswith(b"HTTP/1.1 204 "))
        self.assertIn(b"Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n", options)
        self.assertNotIn(b"Access-Control", options)

    def test_a_pipeline_is_answered_in_order(self):
        # Its answers are larger than a connection's output may grow; they come as they are read.
        request = b"GET /api/v1/streams/many/records?offset=%d&limit=2000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        data = b"".join(request % (n * 100) for n in range(60))
        answers = self.raw(data + b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual(answers.count(b"HTTP/1.1 200 OK\r\n"), 61)
        places = [answers.index(b'"records":[{"offset":%d,' % (n * 100)) for n in range(60)]
        self.assertEqual(places, sorted(places))
        self.assertTrue(answers.endswith(b'{"live":true}\n'))

    def test_large_answers_on_one_connection(self):
        urls = [f"http://{self.server.admin}/{path}" for path in ("api/v1/streams/many/records?limit=3000",) * 2 + ("livez",)]
        done = subprocess.run(["curl", "-s", "--max-time", str(SECONDS), "-w", "%{num_connects} %{size_download}\n",
                               *[part for url in urls for part in ("-o", os.devnull, url)]], capture_output=True, text=True)
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual([line[0] for line in lines], ["1", "0", "0"], done)
        self.assertGreater(int(lines[0][1]), 256 << 10)

    def test_requests_that_two_readers_could_read_differently(self):
        good = b"POST /api/v1/streams/a/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        before = self.end()
        for headers in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 2\r\nContent-Length: 2\r\n",
                        b"Content-Length: 2, 2\r\n", b"Content-Length: +2\r\n", b"Transfer-Encoding: x, chunked\r\n",
                        b"Transfer-Encoding : chunked\r\n", b"X: a\r\n b\r\nContent-Length: 2\r\n",
                        b"X: a\rContent-Length: 2\r\n", b"X: a\nContent-Length: 2\r\n", b"Host: localhost\r\nContent-Length: 2\r\n"):
            with self.subTest(headers=headers):
                answer = self.raw(good + headers + b"\r\n{}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", half=True)
                self.assertIn(answer.split()[1], (b"400", b"501"))
                self.assertEqual(answer.count(b"\r\nDate: "), 1)
        for chunks in (b"0x2\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2 \r\n{}\r\n0\r\n\r\n", b"1\r\n{}\r\n0\r\n\r\n",
                       b"ffffffffffffffff2\r\n{}\r\n0\r\n\r\n"):
            with self.subTest(chunks=chunks):
                answer = self.raw(good + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, half=True)
                self.assertEqual(answer.split()[1], b"400")
        self.assertEqual(self.end(), before)

    def test_names_and_pages_from_elsewhere(self):
        for headers, status in ((("Host: evil.example",), 421), (("Host: 127.0.0.1.evil.example",), 421),
                                (("Origin: https://evil.example",), 403), (("Origin: null",), 403),
                                (("Host: localhost:7070", "Origin: http://localhost:7070"), 200),
                                (("Host: localhost:7070", "Origin: http://localhost:3000"), 403),
                                (("Sec-Fetch-Site: same-origin",), 200), (("Sec-Fetch-Site: none",), 200),
                                (("Sec-Fetch-Site: same-site",), 403), (("Sec-Fetch-Site: cross-site",), 403)):
            arguments = [part for header in headers for part in ("-H", header)]
            self.assertEqual(self.status(*arguments), status, headers)
        self.assertEqual(self.status("-X", "OPTIONS", "-H", "Origin: https://evil.example",
                                     "-H", "Access-Control-Request-Method: POST"), 403)
        self.assertEqual(self.status("-H", "Content-Type: text/plain", "-d", '{"records":[{"value":1}]}'), 415)

    def test_heads_that_are_slow_or_huge(self):
        self.assertTrue(self.raw(b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n", half=True).startswith(b"HTTP/1.1 414 "))
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, half=True).startswith(b"HTTP/1.1 431 "))
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n", half=True).startswith(b"HTTP/1.1 431 "))
        # Its deadline is 10 seconds from its first byte.
        self.assertTrue(self.raw(b"GET /livez HTTP/1.1\r\nHost:", half=True).startswith(b"HTTP/1.1 408 "))

    def test_half_a_body_changes_nothing(self):
        before = self.end()
        self.assertEqual(self.raw(b"POST /api/v1/streams/a/records HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
                                  b'{"records":[{"value":1}]}'), b"")
        self.assertEqual(self.end(), before)


if __name__ == "__main__":
    unittest.main()
