"""Orders that a risk rule holds for a review, over HTTP and on the command line: held for, in no book, decided by an operator or by the
deadline, over kill -9; who may decide; what the streams and the audit trail say."""

import json
import os
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, http, wait_until
from test_auth import Guarded, PASSWORD, ask, basic
from test_exchange import BOOK, ROOT, open_market, order

SECONDS = 60


def rules(seconds, otherwise="deny"):
    return {"rules": [{"name": "large", "then": "review", "when": {">=": [{"field": "quantity"}, 500]},
                       "review": {"seconds": seconds, "otherwise": otherwise}}]}


class Reviews(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        open_market(lambda method, path, body: http.call(self.server, method, path, body))

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, ROOT + path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "fintech", *arguments, "--server", self.server.admin], capture_output=True,
                              text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout

    def put(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rules.json")
            with open(path, "w", encoding="utf-8") as out:
                json.dump(rules(*arguments), out)
            self.heptane("risk-rules", "put", path)

    def enter(self, name, firm="alpha", side="buy", quantity="5.00"):
        return self.call("POST", f"firms/{firm}/orders", order(name, side, quantity, "100.00"), 201)

    def records(self, stream):
        _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000")
        return [record["value"] for record in answer["records"]]

    def usd(self):
        account = self.call("GET", "firms/alpha/accounts/main")
        return next((row["available"], row["held"]) for row in account["balances"] if row["asset"] == "USD")

    def waiting(self):
        return json.loads(self.heptane("review", "ls"))["reviews"]

    def test_what_waits_is_allowed_or_denied_over_kill_9(self):
        self.put(3600)
        self.enter("ask", "beta", "sell", "1.00")
        first = self.enter("b1")
        self.assertEqual((first["status"], first["filled"], first["held"]), ("in_review", "0.00", "501.00"))
        second = self.enter("b2")
        self.assertEqual(self.usd(), ("8998.00", "1002.00"))
        self.assertEqual(self.enter_again("b1")["status"], "in_review")
        self.assertEqual(self.call("GET", f"{BOOK}/book")["bids"], [])
        self.server.crash_restart()
        row, other = self.waiting()
        self.assertEqual((row["order_id"], row["rule"], row["why"], row["otherwise"]),
                         (first["order_id"], "large", "rule large: quantity is 500, its limit is 500", "deny"))
        self.assertEqual(row["deadline_ms"] - row["entered_ms"], 3_600_000)
        self.call("PUT", f"firms/alpha/orders/{first['order_id']}", {"cl_ord_id": "r", "quantity": "6.00"}, 409)
        self.call("POST", f"reviews/{first['order_id']}", {"decision": "maybe", "reason": "x"}, 400)
        self.call("POST", f"reviews/{first['order_id']}", {"decision": "allow", "reason": ""}, 400)
        self.call("POST", "reviews/999", {"decision": "allow", "reason": "x"}, 404)
        allowed = json.loads(self.heptane("review", "allow", first["order_id"], "--reason", "known to us"))
        self.assertEqual((allowed["status"], allowed["filled"]), ("open", "1.00"))
        denied = json.loads(self.heptane("review", "deny", other["order_id"], "--reason", "twice the same"))
        self.assertEqual((denied["status"], denied["held"]), ("cancelled", "0.00"))
        self.server.crash_restart()
        self.assertEqual(self.waiting(), [])
        self.call("POST", f"reviews/{second['order_id']}", {"decision": "allow", "reason": "x"}, 404)
        events = [(row["event"], row["order_id"]) for row in self.records("fintech.orders") if row["firm"] == "alpha"]
        self.assertEqual(events, [("in_review", "2"), ("in_review", "3"), ("new", "2"), ("trade", "2"), ("ended", "3")])
        decided = [(row["order_id"], row["decision"], row["reason"]) for row in self.records("fintech.risk") if row["event"] == "reviewed"]
        self.assertEqual(decided, [("2", "allow", "known to us"), ("3", "deny", "twice the same")])
        actions = [row["action"] for row in self.records("audit")]
        self.assertIn("exchange.review_allow", actions)
        self.assertIn("exchange.review_deny", actions)
        self.assertEqual(self.server.run("ledger", "verify", "--server", self.server.admin).returncode, 0)

    def enter_again(self, name):
        return self.call("POST", "firms/alpha/orders", order(name, "buy", "5.00", "100.00"), 200)

    def test_the_deadline_decides_also_over_kill_9(self):
        self.put(1, "deny")
        denied = self.enter("b1")
        self.put(1, "allow")
        allowed = self.enter("b2")
        self.server.crash_restart()
        wait_until(lambda: self.waiting() == [], "the deadlines", 30)
        show = lambda made: self.call("GET", f"firms/alpha/orders/{made['order_id']}")["status"]
        self.assertEqual((show(denied), show(allowed)), ("cancelled", "open"))
        self.assertEqual(self.usd(), ("9499.00", "501.00"))

    def test_what_ends_open_orders_ends_it(self):
        self.put(3600)
        made = self.enter("b1")
        self.assertEqual(self.call("DELETE", f"firms/alpha/orders/{made['order_id']}")["status"], "cancelled")
        self.enter("b2")
        self.call("POST", "firms/alpha/mass-cancel", {})
        self.enter("b3")
        self.heptane("kill", "firm", "--firm", "alpha", "--reason", "runaway")
        wait_until(lambda: self.waiting() == [], "the kill switch", 30)
        self.assertEqual(self.usd(), ("10000.00", "0.00"))


class Rights(Guarded):
    def test_operators_decide(self):
        open_market(self.admin)
        self.admin("PUT", ROOT + "risk-rules", rules(3600))
        self.admin("POST", "/api/v1/roles", {"name": "trader", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["create", "read", "alter", "delete"]}]})
        self.add_user("anna", "trader")
        who = basic("anna", PASSWORD)
        status, made, _ = ask(self.server, "POST", ROOT + "firms/alpha/orders", order("b", "buy", "5.00", "100.00"), who)
        self.assertEqual((status, made["status"]), (201, "in_review"))
        decision = {"decision": "allow", "reason": "mine"}
        self.assertEqual(ask(self.server, "POST", ROOT + f"reviews/{made['order_id']}", decision, who)[0], 403)
        self.assertEqual(ask(self.server, "GET", ROOT + "reviews", None, who)[0], 403)
        self.assertEqual(self.admin("POST", ROOT + f"reviews/{made['order_id']}", decision)["status"], "open")


if __name__ == "__main__":
    unittest.main()
