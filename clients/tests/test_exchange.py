"""The exchange over HTTP and on the command line: orders, fills to the cent, refusals, repeats, rights, kill switches; over kill -9,
snapshots and power cuts, with nothing but requests that curl can send."""

import json
import os
import random
import subprocess
import threading
import unittest
from decimal import Decimal

from heptane_testkit import Server, http
from test_auth import Guarded, PASSWORD, ask, basic

SECONDS = 60
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))  # multiplies the number of power cuts
SMALL_SEGMENTS = ("--segment-mib", 16, "--snapshot-log-mib", 1)
PRINCIPAL, BASE = 5, 6  # codes of postings
ROOT = "/api/v1/exchange/"
BOOK = "instruments/BTC%2FUSD"
ASSETS = ({"code": "USD", "ledger": 840, "scale": 2}, {"code": "BTC", "ledger": 1, "scale": 8})
INSTRUMENT = {"symbol": "BTC/USD", "base": "BTC", "quote": "USD", "price_scale": 2, "quantity_scale": 2, "tick": "1.00",
              "lot": "0.01", "quantity_max": "1000", "price_max": "1000000",
              "fees": [{"maker_ppm": 1000, "taker_ppm": 2000}]}


def open_market(call):
    """`call(method, path, body)` for an operator."""
    for asset in ASSETS:
        call("POST", "/api/v1/ledger/assets", asset)
    call("POST", ROOT + "instruments", INSTRUMENT)
    for firm in ("alpha", "beta"):
        call("POST", ROOT + "firms", {"name": firm})
        call("POST", ROOT + f"firms/{firm}/accounts", {"name": "main"})
    call("POST", ROOT + "deposits", {"firm": "alpha", "account": "main", "asset": "USD", "amount": "10000.00"})
    call("POST", ROOT + "deposits", {"firm": "beta", "account": "main", "asset": "BTC", "amount": "10"})
    call("POST", ROOT + BOOK + "/phase", {"phase": "continuous"})


def order(name, side, quantity, price, **more):
    return {"account": "main", "cl_ord_id": name, "symbol": "BTC/USD", "side": side, "quantity": quantity, "price": price,
            "time_in_force": "gtc", **more}


class Market(unittest.TestCase):
    def make_server(self):
        return Server()

    def setUp(self):
        self.server = self.make_server()
        self.addCleanup(self.server.close)
        self.server.start()
        open_market(lambda method, path, body: self.good(http.call(self.server, method, path, body)))

    def good(self, answer):
        self.assertIn(answer[0], (200, 201), answer[1])
        return answer[1]

    def call(self, method, path, body=None, expect=200, key=None):
        status, answer = http.call(self.server, method, ROOT + path, body, key=key)
        self.assertEqual(status, expect, answer)
        return answer

    def enter(self, firm, body, expect=201):
        return self.call("POST", f"firms/{firm}/orders", body, expect)

    def balances(self, firm):
        account = self.call("GET", f"firms/{firm}/accounts/main")
        return {row["asset"]: (row["available"], row["held"]) for row in account["balances"]}

    def records(self, stream):
        _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000")
        return [record["value"] for record in answer["records"]]

    def assert_held(self, firm, asset):
        held, page = Decimal(0), ""
        while page is not None:
            answer = self.call("GET", f"firms/{firm}/orders{page}")
            held += sum(Decimal(row["held"]) for row in answer["orders"])
            page = "?page=" + answer["next"] if "next" in answer else None
        self.assertEqual(Decimal(self.balances(firm)[asset][1]), held)

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, *arguments, "--server", self.server.admin], capture_output=True, text=True,
                              timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout


class Trading(Market):
    def test_a_fill_is_settled_and_survives_a_kill(self):
        sell = self.enter("beta", order("s1", "sell", "2.00", "100.00"))
        self.assertEqual((sell["status"], sell["held"]), ("open", "2.00000000"))
        buy = self.enter("alpha", order("b1", "buy", "3.00", "110.00"))
        self.assertEqual((buy["status"], buy["filled"], buy["leaves"], buy["average_price"]),
                         ("open", "2.00", "1.00", "100.000000"))
        # 2 x 100.00 and 0.40 of fees are gone; 1 x 110.00 and its fee are held.
        self.assertEqual(self.balances("alpha"), {"USD": ("9689.38", "110.22"), "BTC": ("2.00000000", "0.00000000")})
        self.assertEqual(self.balances("beta"), {"USD": ("199.80", "0.00"), "BTC": ("8.00000000", "0.00000000")})
        book = self.call("GET", BOOK + "/book")
        self.assertEqual((book["bids"], book["asks"], book["last_price"]),
                         ([{"price": "110.00", "quantity": "1.00", "orders": 1}], [], "100.00"))
        before = self.balances("alpha"), self.balances("beta"), book
        for restart in (self.server.crash_restart, self.server.restart):
            restart()
            self.assertEqual((self.balances("alpha"), self.balances("beta"), self.call("GET", BOOK + "/book")), before)
        (trade,) = self.records("fintech.trades")
        self.assertEqual((trade["price"], trade["quantity"], trade["notional"], trade["aggressor"]),
                         ("100.00", "2.00", "200.00", "buy"))
        self.assertEqual([row["event"] for row in self.records("fintech.orders")], ["new", "new", "trade", "trade"])
        cancelled = self.call("DELETE", f"firms/alpha/orders/{buy['order_id']}", {})
        self.assertEqual((cancelled["status"], cancelled["held"]), ("cancelled", "0.00"))
        self.assertEqual(self.balances("alpha")["USD"], ("9799.60", "0.00"))
        self.call("DELETE", f"firms/alpha/orders/{buy['order_id']}", {}, 409)
        self.assertIn("0 of", self.heptane("ledger", "verify"))

    def test_the_same_order_again_is_the_same_order(self):
        body = order("b1", "buy", "1.00", "100.00")
        first = self.enter("alpha", body)
        self.server.crash_restart()
        again = self.enter("alpha", body, 200)
        self.assertEqual((again["order_id"], again["repeated"], again["status"]), (first["order_id"], True, "open"))
        self.assertEqual(self.enter("alpha", {**body, "quantity": "2.00"}, 409)["error"]["code"], "exists")
        self.assertEqual(len(self.call("GET", "firms/alpha/orders")["orders"]), 1)
        self.assertEqual(self.call("GET", "firms/alpha/orders?cl_ord_id=b1")["orders"][0]["order_id"], first["order_id"])
        paid = {"firm": "alpha", "account": "main", "asset": "USD", "amount": "5.00"}
        for _ in range(2):
            self.call("POST", "deposits", paid, key="one")
        # The same bytes and key, another command: an error, not a withdrawal that only looks done.
        self.call("POST", "withdrawals", paid, expect=400, key="one")
        self.assertEqual(self.balances("alpha")["USD"], ("9904.80", "100.20"))

    def test_replace_and_refusals_that_name_the_limit(self):
        made = self.enter("alpha", order("b1", "buy", "1.00", "100.00"))
        path = f"firms/alpha/orders/{made['order_id']}"
        changed = self.call("PUT", path, {"cl_ord_id": "b2", "quantity": "2.00", "price": "90.00"})
        self.assertEqual((changed["cl_ord_id"], changed["quantity"], changed["held"]), ("b2", "2.00", "180.36"))
        refused = self.call("PUT", path, {"cl_ord_id": "b3", "quantity": "999.00"}, 409)
        self.assertEqual(refused["error"]["message"], "the order needs 89909.46 USD, available is 9819.64")
        refused = self.enter("alpha", order("b4", "buy", "1.00", "100.50"), 409)
        self.assertEqual((refused["error"]["message"], refused["error"]["detail"]),
                         ("price 100.50 is not on the tick 1.00", 1003))
        self.enter("alpha", order("b5", "buy", "1.00", "100.00", account="other"), 404)
        self.enter("alpha", order("b6", "buy", "1.00", "100.00", colour="red"), 400)
        self.enter("alpha", order("b7", "buy", "much", "100.00"), 400)
        self.call("GET", "firms/beta/orders/" + made["order_id"], expect=404)
        self.assertEqual(self.balances("alpha")["USD"], ("9819.64", "180.36"))

    def test_kill_switch_phases_and_mass_cancel(self):
        for n in range(3):
            self.enter("alpha", order(f"b{n}", "buy", "1.00", "100.00"))
        gone = self.call("POST", "firms/alpha/mass-cancel", {"side": "buy"})
        self.assertEqual(gone["cancelled_by_now"], 3)
        self.enter("alpha", order("b9", "buy", "1.00", "100.00"))
        self.assertIn("1 orders", self.heptane("fintech", "kill", "firm", "--firm", "alpha", "--reason", "runaway"))
        self.server.crash_restart()
        refused = self.enter("alpha", order("b10", "buy", "1.00", "100.00"), 409)
        self.assertEqual(refused["error"]["message"], "the kill switch of firm alpha is on: runaway")
        self.assertEqual(self.call("GET", "firms")["firms"][0]["killed"]["reason"], "runaway")
        self.heptane("fintech", "lift", "firm", "--firm", "alpha", "--reason", "repaired")
        self.enter("alpha", order("b11", "buy", "1.00", "100.00"))
        self.call("POST", BOOK + "/phase", {"phase": "halted"})
        self.enter("alpha", order("b12", "buy", "1.00", "100.00"), 409)
        self.call("POST", BOOK + "/phase", {"phase": "auction_call"})
        self.enter("beta", order("s1", "sell", "1.00", "90.00"))
        self.assertEqual(self.call("GET", BOOK + "/book")["call"]["volume"], "1.00")
        self.call("POST", BOOK + "/phase", {"phase": "continuous", "uncross": True})
        self.assertEqual(len(self.records("fintech.trades")), 1)
        self.assertEqual([row["event"] for row in self.records("fintech.risk")],
                         ["mass_cancelled", "killed", "mass_cancelled", "lifted"])
        actions = [row["action"] for row in self.records("audit")]
        for action in ("exchange.instrument", "exchange.deposit", "exchange.kill", "exchange.lift", "exchange.uncross"):
            self.assertIn(action, actions)


class Killed(Market):
    """Orders from both sides while the server is killed: what was acknowledged is there, what was not can be sent again, and is
    there once; the money adds up."""

    def test_nothing_is_lost_and_nothing_is_there_twice(self):
        acknowledged, unsure, stop = {}, [], threading.Event()

        def trade(firm, side, prices):
            for n in range(100_000):
                body = order(f"{side}{n}", side, "0.01", prices[n % len(prices)])
                try:
                    status, answer = http.call(self.server, "POST", ROOT + f"firms/{firm}/orders", body)
                except OSError:
                    status, answer = None, None
                if status == 201:
                    acknowledged[firm, body["cl_ord_id"]] = answer["order_id"]
                else:
                    unsure.append((firm, body))
                if stop.is_set() or status is None:
                    return

        threads = [threading.Thread(target=trade, args=("alpha", "buy", ("100.00", "101.00", "99.00"))),
                   threading.Thread(target=trade, args=("beta", "sell", ("101.00", "100.00", "102.00")))]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 60 and any(thread.is_alive() for thread in threads):
            threads[0].join(0.01)
        self.server.kill()
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
        self.server.start()
        self.assertGreaterEqual(len(acknowledged), 60)
        for (firm, name), number in acknowledged.items():
            shown = self.call("GET", f"firms/{firm}/orders/{number}")
            self.assertEqual(shown["cl_ord_id"], name)
        for firm, body in unsure:
            self.assertIn(http.call(self.server, "POST", ROOT + f"firms/{firm}/orders", body)[0], (200, 201))
        names = [(row["firm"], row["cl_ord_id"]) for row in self.records("fintech.orders") if row["event"] == "new"]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names), set(acknowledged) | {(firm, body["cl_ord_id"]) for firm, body in unsure})
        self.assert_held("alpha", "USD")
        self.assert_held("beta", "BTC")
        self.assertIn("0 of", self.heptane("ledger", "verify"))


class PowerCut(Market):
    """Orders of two firms, replaced and cancelled, when the power goes at any time: what was acknowledged is there, each trade has
    its postings and each posting its trade, and what was in flight can be sent again."""

    def make_server(self):
        return Server.with_powercut(args=SMALL_SEGMENTS)

    def trade(self, rng, acknowledged, sent):
        """One request, and what it was answered."""
        firm, side = rng.choice((("alpha", "buy"), ("beta", "sell")))
        orders = f"firms/{firm}/orders"
        mine = [number for (of, _), number in acknowledged.items() if of == firm]
        what = rng.randrange(10) if mine else 0
        if what == 9:
            http.call(self.server, "DELETE", f"{ROOT}{orders}/{rng.choice(mine)}", {})
            return
        name = f"{side}{len(sent)}"
        price = f"{rng.randrange(97, 104)}.00"
        if what == 8:
            path, method, body = f"{orders}/{rng.choice(mine)}", "PUT", {"cl_ord_id": name, "quantity": "0.30", "price": price}
        else:
            path, method, body = orders, "POST", order(name, side, f"0.{rng.randrange(10, 60)}", price)
        sent.append((firm, method, path, body))
        status, answer = http.call(self.server, method, ROOT + path, body)
        if status in (200, 201):
            acknowledged[firm, name] = answer["order_id"]
        else:
            self.assertEqual(status, 409, answer)

    def test_orders_trades_and_postings_survive_cuts(self):
        rng, acknowledged, sent, notes = random.Random(9), {}, [], []
        for _ in range(120):
            self.trade(rng, acknowledged, sent)
            notes.append((self.server.position(), dict(acknowledged), len(sent)))
        self.server.kill()
        for seed in range(max(1, round(6 * SCALE))):
            position, known, requests = rng.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                with self.server.after_cut(seed, mode, at=position) as after:
                    before, self.server = self.server, after
                    try:
                        self.assert_kept(known)
                        self.assert_asked_again(sent[:requests], known)
                        self.assertEqual(after.stop(), 0)
                    finally:
                        self.server = before

    def assert_kept(self, known):
        told = {(row["firm"], row["cl_ord_id"], row["order_id"]) for row in self.records("fintech.orders")}
        for (firm, name), number in known.items():
            self.assertIn((firm, name, number), told)
            self.call("GET", f"firms/{firm}/orders/{number}")
        self.assert_sound()

    def assert_sound(self):
        entered = [(row["firm"], row["cl_ord_id"]) for row in self.records("fintech.orders") if row["event"] == "new"]
        self.assertEqual(len(entered), len(set(entered)), "entered twice")
        trades = {row["trade_id"] for row in self.records("fintech.trades")}
        posted = [row for row in self.records("fintech.transfers") if row["code"] in (PRINCIPAL, BASE)]
        for code in (PRINCIPAL, BASE):
            self.assertEqual(sorted(row["user_data_64"] for row in posted if row["code"] == code), sorted(trades))
        self.assert_held("alpha", "USD")
        self.assert_held("beta", "BTC")
        self.assertIn("0 of", self.heptane("ledger", "verify"))

    def assert_asked_again(self, sent, known):
        """The requests again, in their order: what is there is that order, and nothing is done twice."""
        for firm, method, path, body in sent:
            status, answer = http.call(self.server, method, ROOT + path, body)
            if (firm, body["cl_ord_id"]) in known:
                self.assertEqual((status, answer["order_id"]), (200, known[firm, body["cl_ord_id"]]), body)
            else:
                self.assertIn(status, (200, 201, 404, 409), answer)
        self.assert_sound()


class CommandLine(unittest.TestCase):
    def test_the_demonstration_runs_twice(self):
        with Server() as server:
            for _ in range(2):
                done = subprocess.run([server.binary, "fintech", "demo", "--server", server.admin], capture_output=True,
                                      text=True, timeout=SECONDS)
                self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            self.assertIn("BTC-USD, continuous, last price", done.stdout)

            def heptane(*arguments, code=0):
                done = subprocess.run([server.binary, "fintech", *arguments, "--server", server.admin], capture_output=True,
                                      text=True, timeout=SECONDS)
                self.assertEqual(done.returncode, code, done.stderr + done.stdout)
                return done.stdout

            self.assertIn("BTC-USD", heptane("instruments"))
            made = json.loads(heptane("order", "alpha", "x1", "buy", "0.10", "BTC-USD", "--price", "100.00", "--json"))
            self.assertIn("cancelled", heptane("cancel", "alpha", made["order_id"]))
            self.assertIn("main", heptane("accounts", "alpha"))
            heptane("order", "alpha", "x2", "buy", "0.10", "NO-SUCH", "--price", "100.00", code=1)


class Rights(Guarded):
    def test_a_trader_is_of_its_firm_alone(self):
        open_market(self.admin)
        self.admin("POST", "/api/v1/roles", {"name": "trader", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["create", "alter", "delete", "read"]},
            {"module": "exchange", "pattern": "market", "verbs": ["read"]}]})
        self.admin("POST", "/api/v1/users", {"name": "tess", "password": PASSWORD, "roles": ["trader"]})

        def tess(method, path, body=None):
            return ask(self.server, method, ROOT + path, body, basic("tess", PASSWORD))[0]

        self.assertEqual(tess("POST", "firms/alpha/orders", order("b1", "buy", "1.00", "100.00")), 201)
        self.assertEqual(tess("POST", "firms/beta/orders", order("b1", "sell", "1.00", "100.00")), 403)
        self.assertEqual(tess("GET", "firms/beta/accounts"), 403)
        self.assertEqual(tess("GET", "firms/alpha/accounts/main"), 200)
        self.assertEqual(tess("GET", BOOK + "/book"), 200)
        self.assertEqual(tess("DELETE", "firms/alpha/orders/1", {}), 200)
        for path, body in (("deposits", {}), ("switches", {}), ("firms", {"name": "gamma"}), (BOOK + "/phase", {})):
            self.assertEqual(tess("POST", path, body), 403, path)


if __name__ == "__main__":
    unittest.main()
