"""Trades that are busted and corrected, over HTTP and on the command line: once, over kill -9 and with a lost answer; what a firm owes
blocks it until it is cleared; the house's fees; the right that all of it needs."""

import json
import subprocess
import unittest

from heptane_testkit import Server, http
from test_auth import Guarded, PASSWORD, ask, basic
from test_exchange import ROOT, open_market, order

SECONDS = 60


class Corrections(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        open_market(lambda method, path, body: http.call(self.server, method, path, body))
        self.enter("beta", order("s1", "sell", "2.00", "100.00"))
        self.enter("alpha", order("b1", "buy", "2.00", "100.00"))

    def call(self, method, path, body=None, expect=200, key=None):
        status, answer = http.call(self.server, method, ROOT + path, body, key=key)
        self.assertEqual(status, expect, answer)
        return answer

    def enter(self, firm, body, expect=201):
        return self.call("POST", f"firms/{firm}/orders", body, expect)

    def available(self, firm):
        account = self.call("GET", f"firms/{firm}/accounts/main")
        return {row["asset"]: row["available"] for row in account["balances"]}

    def records(self, stream):
        _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000")
        return [record["value"] for record in answer["records"]]

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, *arguments, "--server", self.server.admin], capture_output=True,
                              text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout

    def test_a_trade_is_busted_once_whatever_happens(self):
        trade = self.call("GET", "trades/1")
        self.assertEqual((trade["price"], trade["quantity"], trade["buyer"]["firm"], trade["buyer"]["fee"],
                          trade["seller"]["fee"], trade["busted"]),
                         ("100.00", "2.00", "alpha", "0.40", "0.20", False))
        self.call("GET", "trades/2", expect=404)
        self.call("POST", "trades/1/bust", {}, 400)
        busted = self.call("POST", "trades/1/bust", {"reason": "fat finger"})
        self.assertFalse(busted["owes"])
        self.server.crash_restart()
        self.assertTrue(self.call("GET", "trades/1")["busted"])
        self.assertEqual(self.call("POST", "trades/1/bust", {"reason": "again"}, 409)["error"]["code"], "exists")
        self.assertEqual(self.available("alpha"), {"USD": "10000.00", "BTC": "0.00000000"})
        self.assertEqual(self.available("beta"), {"USD": "0.00", "BTC": "10.00000000"})
        self.assertEqual([row["event"] for row in self.records("fintech.trades")], ["trade", "busted"])
        self.assertEqual([row["event"] for row in self.records("fintech.orders")][-2:], ["trade_busted"] * 2)
        self.assertEqual([row["on"] for row in self.records("audit") if row["action"] == "exchange.bust"], ["trade 1"])
        self.assertIn("0 of", self.heptane("ledger", "verify"))

    def test_a_trade_is_corrected(self):
        shown = json.loads(self.heptane("fintech", "correct", "1", "--price", "90.00", "--quantity", "1.00", "--reason", "agreed"))
        self.assertEqual(shown["trade_id"], "2")
        self.server.restart()
        self.assertEqual(self.call("GET", "trades/1")["corrected_by"], "2")
        self.assertEqual(self.available("alpha"), {"USD": "9909.82", "BTC": "1.00000000"})
        self.assertEqual(self.available("beta"), {"USD": "89.91", "BTC": "9.00000000"})
        self.assertEqual(self.call("GET", "instruments/BTC%2FUSD/book")["last_price"], "90.00")
        told = self.records("fintech.trades")[-1]
        self.assertEqual((told["event"], told["trade_id"], told["corrects"], told["price"]), ("corrected", "2", "1", "90.00"))
        self.call("POST", "trades/2/correct", {"price": "90.00", "quantity": "1.01", "reason": "more"}, 409)
        self.heptane("fintech", "bust", "2", "--reason", "both want out")
        self.assertTrue(json.loads(self.heptane("fintech", "trade", "2"))["busted"])
        self.assertEqual(self.available("beta")["BTC"], "10.00000000")

    def test_what_is_owed_blocks_until_it_is_cleared(self):
        moved = {"firm": "beta", "account": "main", "asset": "USD"}
        self.call("POST", "withdrawals", {**moved, "amount": "199.80"})
        self.assertTrue(self.call("POST", "trades/1/bust", {"reason": "fat finger"})["owes"])
        self.server.crash_restart()
        owed = self.call("GET", "firms/beta/receivables")["receivables"]
        self.assertEqual([(row["asset"], row["owed"]) for row in owed], [("USD", "199.80")])
        refused = self.enter("beta", order("s2", "sell", "1.00", "100.00"), 409)
        self.assertIn("owes money", refused["error"]["message"])
        self.call("POST", "withdrawals", {**moved, "asset": "BTC", "amount": "1"}, 409)
        self.call("POST", "deposits", {**moved, "amount": "100.00"})
        self.call("POST", "clearings", {**moved, "amount": "99.80", "reason": "none there"}, 409)
        self.call("POST", "firms/beta/accounts", {"name": "other"}, 201)
        self.call("POST", "deposits", {**moved, "account": "other", "amount": "99.00"})
        self.assertIn("0.80", self.heptane("fintech", "receivables", "beta"))
        self.call("POST", "deposits", {**moved, "amount": "1.00"})
        self.assertEqual(self.call("GET", "firms/beta/receivables")["receivables"], [])
        self.assertEqual(self.available("beta")["USD"], "0.20")
        self.enter("beta", order("s3", "sell", "1.00", "100.00"))
        self.assertIn("0 of", self.heptane("ledger", "verify"))

    def test_fees_are_withdrawn_once_for_a_key(self):
        for _ in range(2):
            self.call("POST", "fee-withdrawals", {"asset": "USD", "amount": "0.50", "reason": "month"}, key="one")
        refused = self.call("POST", "fee-withdrawals", {"asset": "USD", "amount": "0.50", "reason": "month"}, 409)
        self.assertIn("the house has 0.10 USD of fees", refused["error"]["message"])
        self.heptane("fintech", "withdraw-fees", "0.10", "USD", "--reason", "rest")


class Rights(Guarded):
    def test_who_lists_instruments_need_not_be_who_busts(self):
        open_market(self.admin)
        for name, permission in (("lister", "exchange"), ("ops", "market_ops")):
            self.admin("POST", "/api/v1/roles", {"name": name, "permissions": [
                {"module": "admin", "pattern": permission, "verbs": ["create", "alter", "delete", "read"]}]})
            self.admin("POST", "/api/v1/users", {"name": name, "password": PASSWORD, "roles": [name]})
        for path, body in (("trades/1/bust", {"reason": "r"}), ("fee-withdrawals", {"asset": "USD", "amount": "1", "reason": "r"}),
                           ("clearings", {})):
            self.assertEqual(ask(self.server, "POST", ROOT + path, body, basic("lister", PASSWORD))[0], 403, path)
            self.assertIn(ask(self.server, "POST", ROOT + path, body, basic("ops", PASSWORD))[0], (400, 404, 409), path)
        self.assertEqual(ask(self.server, "GET", ROOT + "trades/1", None, basic("ops", PASSWORD))[0], 404)


if __name__ == "__main__":
    unittest.main()
