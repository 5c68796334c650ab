"""A revocation cuts what was let in before it: an open tail, a read that waits, and no record leaves after it."""

import json
import struct
import threading
import unittest

import websocket
from heptane_testkit import wait_until

from test_auth import SECONDS, Guarded, ask


class Cut(Guarded):
    def setUp(self):
        super().setUp()
        self.admin("POST", "/api/v1/streams", {"name": "s"})
        self.admin("POST", "/api/v1/roles", {"name": "reads-s", "permissions": [
            {"module": "streams", "pattern": "s", "verbs": ["read"]}]})

    def user(self, name):
        self.admin("POST", "/api/v1/users", {"name": name, "roles": ["reads-s"]})
        return self.admin("POST", "/api/v1/tokens", {"name": "t-" + name, "owner": name})

    def tail(self, token):
        link = websocket.create_connection(f"ws://{self.server.admin}/api/v1/streams/s/tail?from=start", timeout=SECONDS,
                                           header=["Authorization: Bearer " + token])
        self.addCleanup(link.shutdown)
        return link

    def append(self, value):
        self.admin("POST", "/api/v1/streams/s/records", {"records": [{"value": value}]})

    def closed_with(self, link):
        opcode, data = link.recv_data()
        self.assertEqual(opcode, websocket.ABNF.OPCODE_CLOSE, data)
        return struct.unpack(">H", data[:2])[0]

    def test_an_open_tail(self):
        revocations = {
            "token": lambda made, name: self.admin("DELETE", f"/api/v1/tokens/{made['id']}"),
            "role": lambda made, name: self.admin("DELETE", f"/api/v1/users/{name}/roles/reads-s"),
            "user": lambda made, name: self.admin("DELETE", f"/api/v1/users/{name}"),
        }
        for revoked, revoke in revocations.items():
            name = "of-" + revoked
            with self.subTest(revoked=revoked):
                made = self.user(name)
                link = self.tail(made["token"])
                self.append({"before": name})
                values = []
                while {"before": name} not in values:
                    values.append(json.loads(link.recv())["value"])
                revoke(made, name)
                self.append({"after": name})
                # Not even what was synced right behind it comes any more.
                self.assertEqual(self.closed_with(link), 4403)

    def test_a_tail_on_which_nothing_happens(self):
        made = self.user("idle")
        link = self.tail(made["token"])
        self.admin("DELETE", f"/api/v1/tokens/{made['id']}")
        self.assertEqual(self.closed_with(link), 4403)

    def test_a_read_that_waits(self):
        made = self.user("waiting")
        answers = []

        def wait():
            answers.append(ask(self.server, "GET", "/api/v1/streams/s/records?offset=0&wait_ms=25000", None,
                               "Bearer " + made["token"]))
        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: self.reads() > 0, "the read to wait")
        self.admin("DELETE", f"/api/v1/tokens/{made['id']}")
        self.append({"secret": 1})
        waiting.join(SECONDS)
        self.assertEqual(answers[0][0], 403, answers)
        self.assertNotIn("secret", json.dumps(answers[0][1]))

    def test_a_read_that_waits_and_may(self):
        made = self.user("patient")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(ask(
            self.server, "GET", "/api/v1/streams/s/records?offset=0&wait_ms=25000", None, "Bearer " + made["token"])))
        waiting.start()
        wait_until(lambda: self.reads() > 0, "the read to wait")
        self.append({"n": 1})
        waiting.join(SECONDS)
        self.assertEqual(answers[0][0], 200)
        self.assertEqual([record["value"] for record in answers[0][1]["records"]], [{"n": 1}])

    def reads(self):
        text = ask(self.server, "GET", "/metrics", None, "Bearer " + self.token)[1]
        return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("heptane_reads_total"))


del Guarded

if __name__ == "__main__":
    unittest.main()
