"""Tails as Server-Sent Events: curl reads them, a client that comes back goes on behind the last id it saw."""

import json
import subprocess
import unittest
import urllib.error
import urllib.request

from heptane_testkit import Server, http

SECONDS = 30


class Events:
    """What an EventSource does with a response: ids and data, comments passed over."""

    def __init__(self, server, stream, query="", last=None):
        request = urllib.request.Request(
            f"http://{server.admin}/api/v1/streams/{stream}/tail{query}", headers={"Accept": "text/event-stream"})
        if last is not None:
            request.add_header("Last-Event-ID", str(last))
        self.answer = urllib.request.urlopen(request, timeout=SECONDS)

    def next(self):
        """(id, name, data), or None at the end."""
        fields = {}
        for line in self.answer:
            text = line.decode().rstrip("\n")
            if not text:
                if fields:
                    return fields.get("id"), fields.get("event", "message"), json.loads(fields["data"])
                continue
            name, _, value = text.partition(": ")
            if name:
                fields[name] = value
        return None

    def close(self):
        self.answer.close()


class TailEvents(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        http.create(self.server, "sales")

    def append(self, *values):
        status, _ = http.transact(self.server, http.append("sales", *values))
        self.assertEqual(status, 200)

    def open(self, *arguments, **more):
        events = Events(self.server, "sales", *arguments, **more)
        self.addCleanup(events.close)
        return events

    def test_what_is_there_and_then_what_comes(self):
        self.append("a", "b")
        events = self.open("?from=start")
        self.assertEqual(events.answer.headers["Content-Type"], "text/event-stream")
        first, second = events.next(), events.next()
        self.assertEqual((first[0], first[2]["value"], second[0]), ("0", "a", "1"))
        self.append("c")
        self.assertEqual(events.next()[2]["value"], "c")

    def test_the_last_id_goes_on_behind_it(self):
        self.append("a", "b", "c")
        events = self.open("?from=start", last=0)
        self.assertEqual([events.next()[2]["value"] for _ in range(2)], ["b", "c"])

    def test_a_limit_ends_it(self):
        self.append(*"abcde")
        events = self.open("?offset=1&limit=2")
        self.assertEqual([events.next()[0], events.next()[0], events.next()], ["1", "2", None])

    def test_it_goes_on_over_a_kill(self):
        self.append("a")
        events = self.open("?from=start")
        seen = events.next()[0]
        self.server.kill()
        self.server.start()
        self.append("b")
        self.assertEqual(self.open(last=seen).next()[2]["value"], "b")

    def test_a_deleted_stream_says_so(self):
        self.append("a")
        events = self.open("?from=start")
        events.next()
        http.call(self.server, "DELETE", "/api/v1/streams/sales")
        self.assertEqual(events.next()[1:], ("error", {"message": "the stream was deleted"}))
        self.assertIsNone(events.next())

    def test_more_than_one_piece(self):
        large = "x" * 10_000
        for _ in range(30):
            self.append(*[large] * 10)
        events = self.open("?from=start&limit=300")
        self.assertEqual([events.next()[0] for _ in range(300)], [str(n) for n in range(300)])

    def test_bad_input(self):
        for last in ("x", "-1", "1.5", "9223372036854775807", "99"):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.open(last=last)
            self.assertIn(refused.exception.code, (400, 416), last)
            refused.exception.close()

    def test_curl_reads_it(self):
        self.append("a", "b")
        done = subprocess.run(
            ["curl", "--silent", "--no-buffer", "--compressed", "--header", "Accept: text/event-stream",
             f"http://{self.server.admin}/api/v1/streams/sales/tail?from=start&limit=2"],
            capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0)
        self.assertEqual([line for line in done.stdout.split("\n") if line.startswith("id:")], ["id: 0", "id: 1"])


if __name__ == "__main__":
    unittest.main()
