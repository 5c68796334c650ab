"""What rules post over HTTP: at least once, in order, under keys that stay the same, over kills; what is refused, and where they may
not post."""

import json
import os
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import mosquitto_pub


class Quiet(ThreadingHTTPServer):
    """Clients that are killed are no news."""

    def handle_error(self, request, client_address):
        pass


class Hook:
    """An endpoint that notes what comes and answers what it is told."""

    def __init__(self):
        self.seen = []  # (key, body)
        self.answer = lambda body: 204
        self.lock = threading.Lock()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hook.lock:
                    hook.seen.append((self.headers["Idempotency-Key"], body))
                    status = hook.answer(body)
                if status is None:  # the connection ends without an answer
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self):
        """Of each key once, in the order in which they came first."""
        with self.lock:
            return [body["n"] for body in dict((key, body) for key, body in self.seen).values()]


class Posting(unittest.TestCase):
    def setUp(self):
        self.hook = Hook()
        self.addCleanup(self.hook.close)
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.config = os.path.join(home.name, "heptane.toml")
        self.allow(f'"127.0.0.1:{self.hook.port}"')
        self.server = Server(args=("--config", self.config))
        self.addCleanup(self.server.close)
        self.server.start()

    def allow(self, *entries):
        with open(self.config, "w") as file:
            file.write(f"[iot]\nhttp_allow = [{', '.join(entries)}]\n")

    def put(self, url=None):
        url = url or f"http://127.0.0.1:{self.hook.port}/hook?a=b"
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/hook",
                                   {"sql": "SELECT n FROM 'in' WHERE n >= 0", "http": {"url": url}})
        self.assertIn(status, (200, 201), answer)

    def rule(self):
        return http.call(self.server, "GET", "/api/v1/rules/hook")[1]

    def wait(self, **wanted):
        wait_until(lambda: all(self.rule()[key] == value for key, value in wanted.items()), f"the rule to have {wanted}", 30)

    def pub(self, *numbers):
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", "in", "-l",
                      text_in="".join(f'{{"n":{n}}}\n' for n in numbers))

    def test_in_order_with_keys_that_stay_over_kills(self):
        self.put()
        count = 300
        self.pub(*range(count))
        for reached in (50, 120, 200):
            wait_until(lambda: len(self.hook.bodies()) >= reached, f"{reached} posts", 30)
            self.server.crash_restart()
        self.wait(posts=count, posted=count)
        self.assertEqual(self.hook.bodies(), list(range(count)))
        by_key = {}
        for key, body in self.hook.seen:
            self.assertEqual(by_key.setdefault(key, body), body, "a key is one body for ever")
        self.assertEqual(len(by_key), count)
        version = self.rule()["version"]
        keys = [key for key, _ in self.hook.seen]
        self.assertTrue(all(key.startswith(f"hook/{version}/0:") for key in keys), keys[:3])
        # What comes a second time comes where it was, not before what is ahead of it.
        records = kafka.kcat_consume(self.server.kafka, "iot.outbox", "-f", "%k\\n")
        self.assertEqual(records, list(by_key))

    def test_what_fails_is_tried_again_and_holds_what_is_behind_it(self):
        tries = {}

        def answer(body):
            tries[body["n"]] = tries.get(body["n"], 0) + 1
            if body["n"] == 1 and tries[1] < 4:
                return (500, None, 429)[tries[1] - 1]
            return 200

        self.hook.answer = answer
        self.put()
        self.pub(0, 1, 2)
        self.wait(posted=3, dead_letters=0)
        self.assertEqual([body["n"] for _, body in self.hook.seen], [0, 1, 1, 1, 1, 2])
        self.assertEqual(len({key for key, _ in self.hook.seen}), 3)

    def test_what_is_refused_so_often_is_a_dead_letter(self):
        self.hook.answer = lambda body: 410 if body["n"] == 1 else 200
        self.put()
        self.pub(0, 1, 2)
        self.wait(posted=2, dead_letters=1)
        self.assertEqual([body["n"] for _, body in self.hook.seen], [0, 1, 1, 1, 1, 1, 2])
        records = kafka.kcat_consume(self.server.kafka, "iot.rules", "-f", "%k|%s\\n")
        letter = json.loads(next(line.split("|", 1)[1] for line in records if line.startswith("$rules/hook/dead_letter")))
        self.assertEqual((letter["why"], letter["offset"]), ("refused 5 times, at last answered with 410", 1))
        self.assertEqual(letter["idempotency_key"], self.hook.seen[1][0])

    def test_where_it_may_not_post_it_waits_until_the_list_says_so(self):
        self.allow('"hooks.example.com"', '"localhost"')
        self.server.restart()
        self.put(f"http://localhost:{self.hook.port}/")  # the name is listed, the address that it leads to is not
        self.pub(0)
        wait_until(lambda: "leads to no address" in self.server.stderr(), "the address to be refused", 30)
        self.assertEqual(self.hook.seen, [])
        self.put()  # an address that is not listed; what is in the outbox keeps its URL
        self.pub(1)
        self.wait(posts=2)
        self.allow('"localhost"', f'"127.0.0.1:{self.hook.port}"')
        self.server.restart()
        self.wait(posted=2)
        self.assertEqual([body["n"] for _, body in self.hook.seen], [0, 1])

    def test_wrong_urls_and_lists(self):
        for url, what in (("ftp://a/", "http.url: a URL begins with"), ("http://u@a/", "no user"), ("", "http.url is an expression")):
            status, answer = http.call(self.server, "PUT", "/api/v1/rules/hook",
                                       {"sql": "SELECT n FROM 'in'", "http": {"url": url}})
            self.assertEqual(status, 400, answer)
            self.assertIn(what, answer["error"]["message"])


if __name__ == "__main__":
    unittest.main()
