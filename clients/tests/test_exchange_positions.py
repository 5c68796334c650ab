"""Positions, profit and loss, and marks, over HTTP and on the command line: to the cent, beside the list of trades that stand, over
kill -9 and snapshots; the right that a mark needs."""

import random
import unittest
from decimal import Decimal

from test_auth import Guarded, PASSWORD, ask, basic
from test_exchange import Market, ROOT, open_market, order

MARK = "instruments/BTC%2FUSD/mark"


class Positions(Market):
    def position(self, firm):
        (account,) = self.call("GET", f"firms/{firm}/positions?account=main")["accounts"]
        (row,) = account["positions"]
        (total,) = account["totals"]
        return row, total

    def trade(self, number, quantity, price, buyer="alpha", seller="beta"):
        self.enter(seller, order(f"s{number}", "sell", quantity, price))
        self.enter(buyer, order(f"b{number}", "buy", quantity, price))

    def test_what_was_gained_to_the_cent(self):
        self.trade(1, "2.00", "100.00")
        self.trade(2, "1.00", "130.00")
        self.trade(3, "1.00", "150.00", buyer="beta", seller="alpha")
        row, total = self.position("alpha")
        self.assertEqual([row[name] for name in ("position", "average_cost", "open_for", "realised", "unrealised", "mark",
                                                 "mark_source", "value")],
                         ["2.00", "110.000000", "220.00", "40.00", "80.00", "150.00", "last_trade", "300.00"])
        self.assertEqual(row["fees"], "0.81")  # 0.40 and 0.26 as the taker, 0.15 as the maker
        self.assertEqual((total["asset"], total["net"]), ("USD", "119.19"))
        self.assertEqual(self.position("beta")[0]["realised"], "-40.00")
        self.call("PUT", MARK, {"price": "99.99", "reason": "the close elsewhere"})
        self.server.crash_restart()
        row, _ = self.position("alpha")
        self.assertEqual((row["unrealised"], row["mark_source"]), ("-20.02", "mark"))
        self.call("POST", "trades/2/bust", {"reason": "fat finger"})
        row, _ = self.position("alpha")
        self.assertEqual([row[name] for name in ("position", "average_cost", "realised", "unrealised", "fees")],
                         ["1.00", "100.000000", "50.00", "-0.01", "0.55"])
        shown = self.heptane("fintech", "positions", "alpha")
        self.assertIn("100.000000", shown)
        self.assertIn("all in USD", shown)
        self.call("GET", "firms/alpha/positions?account=nobody", expect=404)
        self.call("GET", "firms/nobody/positions", expect=404)

    def test_a_mark_is_set_shown_and_removed(self):
        self.assertEqual(self.call("GET", MARK), {"symbol": "BTC/USD"})
        self.heptane("fintech", "mark", "BTC/USD", "120.07", "--reason", "agreed")
        self.server.restart()
        self.assertEqual(self.call("GET", MARK)["mark"]["price"], "120.07")
        self.assertIn("agreed", self.heptane("fintech", "mark", "BTC/USD"))
        for body in ({"price": "-1", "reason": "r"}, {"price": "1.001", "reason": "r"}, {"price": "1"}, {"reason": "r"}):
            self.call("PUT", MARK, body, 400)
        self.call("PUT", "instruments/NONE/mark", {"price": "1", "reason": "r"}, 404)
        self.heptane("fintech", "mark", "BTC/USD", "--remove", "--reason", "open again")
        self.assertNotIn("mark", self.call("GET", MARK))
        done = self.records("audit")
        self.assertEqual([row["detail"] for row in done if row["action"] in ("exchange.mark", "exchange.unmark")],
                         ["120.07: agreed", "open again"])

    def test_the_sums_are_those_of_the_trades_that_stand(self):
        for firm, asset, amount in (("alpha", "BTC", "50"), ("beta", "USD", "10000.00")):
            self.call("POST", "deposits", {"firm": firm, "account": "main", "asset": asset, "amount": amount})
        picks = random.Random(7)
        standing = []
        for number in range(1, 61):
            buyer, seller = picks.sample(("alpha", "beta"), 2)
            price, quantity = picks.randrange(95, 106), Decimal(picks.randrange(1, 30)) / 100
            self.trade(number, f"{quantity:.2f}", f"{price}.00", buyer, seller)
            standing.append((number, buyer, quantity, price))
            if number % 6 == 5:
                busted, *_ = standing.pop(picks.randrange(len(standing)))
                self.call("POST", f"trades/{busted}/bust", {"reason": "drill"})
            if number % 20 == 10:
                self.server.crash_restart()
            for firm in ("alpha", "beta"):
                row, _ = self.position(firm)
                mine = sum(quantity if buyer == firm else -quantity for _, buyer, quantity, _ in standing)
                cash = sum((-1 if buyer == firm else 1) * quantity * price for _, buyer, quantity, price in standing)
                self.assertEqual(Decimal(row["position"]), mine)
                self.assertEqual(Decimal(row["realised"]) + Decimal(row["unrealised"]), cash + mine * Decimal(row["mark"]))


class Rights(Guarded):
    def test_who_lists_instruments_need_not_be_who_marks(self):
        open_market(self.admin)
        for name, permission in (("lister", "exchange"), ("ops", "market_ops")):
            self.admin("POST", "/api/v1/roles", {"name": name, "permissions": [
                {"module": "admin", "pattern": permission, "verbs": ["create", "alter", "delete", "read"]}]})
            self.admin("POST", "/api/v1/users", {"name": name, "password": PASSWORD, "roles": [name]})
        body = {"price": "1", "reason": "r"}
        self.assertEqual(ask(self.server, "PUT", ROOT + MARK, body, basic("lister", PASSWORD))[0], 403)
        self.assertEqual(ask(self.server, "PUT", ROOT + MARK, body, basic("ops", PASSWORD))[0], 200)
        self.assertEqual(ask(self.server, "GET", ROOT + "firms/alpha/positions", None, basic("ops", PASSWORD))[0], 403)


if __name__ == "__main__":
    unittest.main()
