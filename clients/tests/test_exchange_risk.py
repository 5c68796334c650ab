"""Risk rules over HTTP and on the command line: what is wrong is named with its path, what rules refuse is refused again, over kill -9;
windows count on after it; what they said of each order is in fintech.risk, and another set of rules can be tried on that."""

import json
import os
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, http
from test_auth import Guarded, PASSWORD, ask, basic
from test_exchange import ROOT, open_market, order

SECONDS = 60
FAST = {"windows": {"orders": {"key": ["account"], "seconds": 86400}},
        "rules": [{"name": "fast", "then": "deny", "when": {">": [{"window": "orders"}, 3]}},
                  {"name": "blocked", "then": "deny", "when": {"in": ["account", "blocked"]}}]}


class RiskRules(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        open_market(lambda method, path, body: http.call(self.server, method, path, body))

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, ROOT + path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def enter(self, name, expect=201, **more):
        return self.call("POST", "firms/alpha/orders", order(name, "buy", "1.00", "100.00", **more), expect)

    def records(self, stream):
        _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000")
        return [record["value"] for record in answer["records"]]

    def file(self, value):
        path = os.path.join(self.folder.name, "input.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(value, out)
        return path

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "fintech", *arguments, "--server", self.server.admin], capture_output=True,
                              text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout

    def put_fast(self):
        self.heptane("risk-rules", "put-list", "blocked", self.file({"items": ["beta/main"]}))
        return json.loads(self.heptane("risk-rules", "put", self.file(FAST)))["version"]

    def test_what_is_put_is_shown_and_survives(self):
        refused = self.call("PUT", "risk-rules", FAST, 400)
        self.assertEqual(refused["error"]["message"], "rules[1].when.in: there is no list blocked: put it first")
        self.assertEqual(self.put_fast(), 2)
        self.server.crash_restart()
        shown = json.loads(self.heptane("risk-rules", "show"))
        self.assertEqual((shown["on"], shown["version"], shown["rules"]), (True, 2, FAST))
        self.assertEqual(shown["windows"], [{"name": "orders", "keys": 0, "keys_max": 65536}])
        self.assertEqual(json.loads(self.heptane("risk-rules", "lists"))["lists"],
                         [{"name": "blocked", "kind": "texts", "items": 1}])
        self.assertEqual(json.loads(self.heptane("risk-rules", "list", "blocked"))["items"], ["beta/main"])
        self.call("DELETE", "risk-lists/blocked", expect=409)
        self.heptane("risk-rules", "off")
        self.heptane("risk-rules", "remove-list", "blocked")
        self.call("GET", "risk-lists/blocked", expect=404)
        self.assertFalse(self.call("GET", "risk-rules")["on"])
        actions = [row["action"] for row in self.records("audit")]
        for action in ("exchange.risk_rules", "exchange.risk_list", "exchange.risk_list_remove"):
            self.assertIn(action, actions)

    def test_what_is_denied_stays_denied_over_kill_9(self):
        self.put_fast()
        for n in range(3):
            self.enter(f"b{n}")
        denied = self.enter("b3", 409)["error"]
        self.assertEqual((denied["code"], denied["detail"], denied["message"]),
                         ("refused", 1099, "denied by rule fast: orders is 4, its limit is 3"))
        self.server.crash_restart()
        again = self.enter("b3", 409)["error"]
        self.assertIn("version 2 of the risk rules did not let it through", again["message"])
        self.assertEqual(self.enter("b4", 409)["error"]["message"], "denied by rule fast: orders is 4, its limit is 3")
        blocked = self.call("POST", "firms/beta/orders", order("s1", "sell", "1.00", "120.00"), 409)
        self.assertIn("in the list blocked", blocked["error"]["message"])
        self.assertEqual(len(self.call("GET", "firms/alpha/orders")["orders"]), 3)
        verdicts = [row for row in self.records("fintech.risk") if row["event"] == "verdict"]
        self.assertEqual([row["verdict"] for row in verdicts], ["allow"] * 3 + ["deny"] * 3)
        self.assertEqual({row["version"] for row in verdicts}, {"2"})
        self.assertEqual((verdicts[3]["rule"], verdicts[5]["rule"]), ("fast", "blocked"))

    def test_other_rules_are_tried_on_what_was_judged(self):
        self.heptane("backtest", "--rules", self.file({"rules": []}), code=1)  # nothing was ever judged
        self.put_fast()
        for n in range(4):
            self.enter(f"b{n}", 201 if n < 3 else 409)
        begin = max(int(record["heptane.position"].split(":")[1].split("/")[0]) for record in self.positions("fintech.risk"))
        self.server.crash_restart()
        same = self.backtest(FAST)
        self.assertEqual((same[-1]["judged"], same[-1]["differ"], same[-1]["allow"], same[-1]["deny"]), (4, 0, 3, 1))
        self.assertIn("book and balances are not run again", same[-1]["note"])
        stricter = json.loads(json.dumps(FAST))
        stricter["rules"][0]["when"][">"][1] = 1
        lines = self.backtest(stricter)
        self.assertEqual([(row["cl_ord_id"], row["was"], row["would_be"]) for row in lines[:-1]],
                         [("b1", "allow", "deny"), ("b2", "allow", "deny")])
        self.assertEqual(lines[0]["why"], "rule fast: orders is 2, its limit is 1")
        self.assertEqual(self.backtest(FAST, "--from", f"0:{begin}")[-1]["judged"], 1)
        wrong = self.call("POST", "risk-rules/backtest", {"rules": {"rules": [{"name": "r", "then": "deny", "when": {"in": ["firm", "x"]}}]}}, 400)
        self.assertIn("rules[0].when.in: there is no list x", wrong["error"]["message"])

    def positions(self, stream):
        _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000")
        return [{header["name"]: header["value"] for header in record["headers"]} for record in answer["records"]]

    def backtest(self, rules, *more):
        return [json.loads(line) for line in self.heptane("backtest", "--rules", self.file(rules), *more).splitlines()]


class Rights(Guarded):
    def test_rules_are_the_operators_alone(self):
        open_market(self.admin)
        self.admin("POST", "/api/v1/roles", {"name": "trader", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["create", "alter", "delete", "read"]}]})
        self.add_user("ada", "trader")
        for method, path, body in (("PUT", "risk-rules", {"rules": []}), ("GET", "risk-rules", None), ("DELETE", "risk-rules", None),
                                   ("PUT", "risk-lists/l", {"items": []}), ("GET", "risk-lists", None),
                                   ("POST", "risk-rules/backtest", {"rules": {"rules": []}})):
            self.assertEqual(ask(self.server, method, ROOT + path, body, basic("ada", PASSWORD))[0], 403, path)
        self.admin("PUT", ROOT + "risk-rules", {"rules": []})


if __name__ == "__main__":
    unittest.main()
