"""The ledger over HTTP and on the command line; transfers in transactions, over kill -9; who may do what.

HEPTANE_TEST_SCALE multiplies the number of kills.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from http import server as http_server

import test_tigerbeetle
from heptane_testkit import Refused, Server, http, wait_until
from test_auth import Guarded, ask

SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
SMALL_SEGMENTS = ("--segment-mib", 16, "--snapshot-log-mib", 1)
USD = {"code": "USD", "ledger": 840, "scale": 2}


class OneServer(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=SMALL_SEGMENTS)
        self.addCleanup(self.server.close)
        self.server.start()

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, "/api/v1/ledger/" + path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def get(self, path, expect=200):
        return self.call("GET", path, expect=expect)

    def create(self, what, *rows, expect=200):
        return self.call("POST", what, {what: list(rows)}, expect)

    def bank(self, *accounts):
        """Dollars, and accounts 1 to 3 or those that are named."""
        self.call("POST", "assets", USD, expect=201)
        rows = accounts or [{"id": str(n), "flags": ["history"]} for n in (1, 2, 3)]
        self.create("accounts", *({"asset": "USD", "code": 1, **row} for row in rows))

    def transfer(self, number, amount, **more):
        return {"id": str(number), "debit_account_id": "1", "credit_account_id": "2", "amount": amount, "asset": "USD",
                "code": 1, **more}

    def balance(self, account):
        row = self.get(f"accounts/{account}")
        return row["debits_posted"], row["credits_posted"]


class OverHttp(OneServer):
    def test_money_moves_with_the_scale_of_its_asset(self):
        self.bank()
        done = self.create("transfers", self.transfer(10, "12.5"), self.transfer(11, "0.01"))
        self.assertEqual([result["status"] for result in done["results"]], ["created", "created"])
        row = self.get("accounts/2")
        self.assertEqual((row["credits_posted"], row["credits_posted_raw"], row["asset"]), ("12.51", "1251", "USD"))
        one = self.get("transfers/10")
        self.assertEqual((one["amount"], one["amount_raw"], one["debit_account_id"]), ("12.50", "1250", "1"))
        self.assertEqual([t["id"] for t in self.get("accounts/1/transfers?reversed=true")["transfers"]], ["11", "10"])
        self.assertEqual([t["id"] for t in self.get("transfers?ledger=840&limit=1")["transfers"]], ["10"])
        self.assertEqual([a["id"] for a in self.get("accounts?code=1")["accounts"]], ["1", "2", "3"])
        balances = self.get("accounts/2/balances")["balances"]
        self.assertEqual([(b["credits_posted"], b["credits_posted_raw"]) for b in balances], [("12.50", "1250"), ("12.51", "1251")])
        self.assertEqual(self.get("accounts/77/balances"), {"balances": []})
        (ledger,) = self.get("totals")["ledgers"]
        self.assertEqual((ledger["accounts"], ledger["debits_posted"], ledger["credits_posted"]), (3, "12.51", "12.51"))
        for path in ("totals", "recount", "assets"):
            self.assertIn("legder", json.dumps(self.get(path + "?legder=1", expect=400)))

    def test_what_is_wrong_is_named(self):
        self.bank({"id": "1", "flags": ["debits_must_not_exceed_credits"]}, {"id": "2"})
        refused = self.create("transfers", self.transfer(10, "1"), expect=409)
        self.assertEqual((refused["error"]["code"], refused["error"]["index"]), ("exceeds_credits", 0))
        self.assertEqual(refused["results"][0]["status"], "exceeds_credits")
        self.assertEqual(self.create("transfers", self.transfer(10, "1"), expect=409)["error"]["code"], "id_already_failed")
        back = {"debit_account_id": "2", "credit_account_id": "1"}
        chain = self.create("transfers", self.transfer(11, "5", flags=["linked"], **back), self.transfer(12, "6"), expect=409)
        self.assertEqual([r["status"] for r in chain["results"]], ["linked_event_failed", "exceeds_credits"])
        self.assertEqual(chain["error"]["index"], 1)
        self.assertEqual(self.balance(1), ("0.00", "0.00"))
        for row, why in [(self.transfer(13, "1.234"), "at most 2 decimals"),
                         (self.transfer(13, 5), "transfers[0].amount must be a text"),
                         (self.transfer(13, "1", asset="EUR"), "there is no asset EUR"),
                         (self.transfer(13, "1", amount_raw="1"), "exclude each other"),
                         (self.transfer(13, "1", flags=["odd"]), "post_pending_transfer"),
                         (self.transfer("x", "1"), "transfers[0].id must be a whole number"),
                         (self.transfer(13, "1", colour="red"), "transfers[0].colour is not known here"),
                         ({"id": "13", "code": 1}, "transfers[0].amount or amount_raw is missing"),
                         ({"id": "13", "code": 1, "amount": "1"}, "transfers[0].amount needs an asset or a ledger"),
                         ({"id": "13", "pending_id": "77", "flags": ["post_pending_transfer"], "amount": "1"},
                          "transfers[0].amount: there is no transfer 77 to say its decimals")]:
            self.assertIn(why, self.create("transfers", row, expect=400)["error"]["message"])
        self.assertIn("no account 77", self.get("accounts/77", expect=404)["error"]["message"])
        self.assertIn("no transfer 77", self.get("transfers/77", expect=404)["error"]["message"])
        self.get("accounts/minus", expect=400)
        self.get("accounts?limit=0", expect=400)
        self.get("accounts?colour=red", expect=400)
        self.call("POST", "assets", {**USD, "scale": 3}, expect=409)
        self.call("POST", "assets", USD, expect=201)

    def test_pending_money(self):
        self.bank()
        self.create("transfers", self.transfer(10, "8", flags=["pending"], timeout=3600))
        self.assertEqual(self.get("accounts/1")["debits_pending"], "8.00")
        post = {"id": "11", "pending_id": "10", "flags": ["post_pending_transfer"]}
        self.create("transfers", {**post, "amount": "3"})
        self.assertEqual(self.balance(1), ("3.00", "0.00"))
        self.create("transfers", self.transfer(12, "4", flags=["pending"]))
        self.create("transfers", {"id": "13", "pending_id": "12", "flags": ["post_pending_transfer"]})
        self.create("transfers", self.transfer(14, "5", flags=["pending"]))
        self.create("transfers", {"id": "15", "pending_id": "14", "flags": ["void_pending_transfer"]})
        row = self.get("accounts/1")
        self.assertEqual((row["debits_posted"], row["debits_pending"]), ("7.00", "0.00"))
        # Pending and posted in one request.
        self.create("transfers", self.transfer(16, "2", flags=["pending"]), {**post, "id": "17", "pending_id": "16", "amount": "1.5"})
        self.assertEqual(self.balance(1), ("8.50", "0.00"))
        status, refused = http.transact(self.server, {"transfer": {**post, "id": "18", "amount": "1"}})
        self.assertEqual(status, 400)
        self.assertIn("amount needs the ledger that it is of", refused["error"]["message"])

    def test_balancing_moves_what_there_is(self):
        self.bank({"id": "1", "flags": ["debits_must_not_exceed_credits"]}, {"id": "2"},
                  {"id": "3", "flags": ["credits_must_not_exceed_debits"]})
        self.create("transfers", self.transfer(1, "10.00", debit_account_id="2", credit_account_id="1"),
                    self.transfer(2, "4.00", debit_account_id="3", credit_account_id="2"))
        self.create("transfers", self.transfer(10, "25.00", flags=["balancing_debit"]))
        self.assertEqual(self.get("transfers/10")["amount"], "10.00")
        self.create("transfers", self.transfer(11, "25.00", debit_account_id="2", credit_account_id="3",
                                               flags=["balancing_credit"]))
        self.assertEqual(self.get("transfers/11")["amount"], "4.00")
        self.assertEqual((self.balance(1), self.balance(3)), (("10.00", "10.00"), ("4.00", "4.00")))
        # Nothing is left to move, which is no failure; the bound is what the same id is compared by.
        self.create("transfers", self.transfer(12, "1.00", flags=["balancing_debit"]))
        self.assertEqual(self.get("transfers/12")["amount"], "0.00")
        self.create("transfers", self.transfer(10, "12.00", flags=["balancing_debit"]))
        other = self.create("transfers", self.transfer(10, "9.00", flags=["balancing_debit"]), expect=409)
        self.assertEqual(other["error"]["code"], "exists_with_different_amount")

    def test_an_account_closes_and_opens_again(self):
        self.bank()
        wrong = self.create("transfers", self.transfer(9, "0.00", flags=["closing_debit"]), expect=409)
        self.assertEqual(wrong["error"]["code"], "closing_transfer_must_be_pending")
        self.create("transfers", self.transfer(10, "0.00", flags=["pending", "closing_debit"]))
        self.assertEqual(self.get("accounts/1")["flags"], ["history", "closed"])
        for number, flags in ((11, []), (12, ["pending"])):
            refused = self.create("transfers", self.transfer(number, "1.00", flags=flags), expect=409)
            self.assertEqual(refused["error"]["code"], "debit_account_already_closed")
        self.server.crash_restart()
        back = self.transfer(13, "1.00", debit_account_id="2", credit_account_id="1")
        self.assertEqual(self.create("transfers", back, expect=409)["error"]["code"], "credit_account_already_closed")
        self.create("transfers", {"id": "14", "pending_id": "10", "flags": ["void_pending_transfer"]})
        self.assertEqual(self.get("accounts/1")["flags"], ["history"])
        self.create("transfers", self.transfer(15, "1.00"))
        self.assertEqual(self.balance(1), ("1.00", "0.00"))

    def test_imported_events_bring_their_times(self):
        self.bank()
        past = 1_000_000_000
        accounts = [{"id": str(n), "asset": "USD", "code": 1, "flags": ["imported"], "timestamp": str(past + n)} for n in (4, 5)]
        # Times go up on one axis, so those of before there was anything do not come behind it.
        late = self.create("accounts", *accounts, expect=409)
        self.assertEqual(late["error"]["code"], "imported_event_timestamp_must_not_regress")
        newest = int(self.get("accounts/3")["timestamp"])
        for at, row in enumerate(accounts):
            row["timestamp"] = str(newest + 1 + at)
        self.assertEqual([r["timestamp"] for r in self.create("accounts", *accounts)["results"]],
                         [row["timestamp"] for row in accounts])
        moved = self.transfer(20, "2.00", debit_account_id="4", credit_account_id="5", flags=["imported"],
                              timestamp=str(newest + 3))
        self.create("transfers", moved)
        self.assertEqual(self.get("transfers/20")["timestamp"], str(newest + 3))
        self.create("transfers", moved)  # as it is
        for number, change, why in [
                (21, {"timestamp": str(newest + 3)}, "imported_event_timestamp_must_not_regress"),
                (22, {"timestamp": "0"}, "imported_event_timestamp_out_of_range"),
                (23, {"timestamp": str(1 << 62)}, "imported_event_timestamp_must_not_advance"),
                (24, {"flags": []}, "timestamp_must_be_zero")]:
            refused = self.create("transfers", {**moved, "id": str(number), **change}, expect=409)
            self.assertEqual(refused["error"]["code"], why)
        mixed = self.create("transfers", {**moved, "id": "25", "timestamp": str(newest + 4)}, self.transfer(26, "1.00"), expect=409)
        self.assertEqual([r["status"] for r in mixed["results"]], ["created", "imported_event_expected"])
        self.server.crash_restart()
        self.assertEqual([t["id"] for t in self.get(f"transfers?timestamp_min={newest + 3}")["transfers"]], ["20", "25"])

    def test_a_statement_page_by_page(self):
        self.bank()
        for number in range(1, 8):
            self.create("transfers", self.transfer(number, f"{number}.00"))
        rows, page = [], ""
        while True:
            part = self.get("accounts/1/statement?limit=3" + page)
            rows += part["rows"]
            if "next_page" not in part:
                break
            page = "&page=" + part["next_page"]
            self.create("transfers", self.transfer(100 + len(rows), "50.00"))  # newer: stands in no later page
        self.assertEqual([row["transfer"]["id"] for row in rows], list("7654321"))
        self.assertEqual([row["debits_posted"] for row in rows],
                         ["28.00", "21.00", "15.00", "10.00", "6.00", "3.00", "1.00"])
        self.get("accounts/1/statement?page=1-2", expect=400)
        self.get("accounts/9/statement", expect=404)

    def test_a_repeat_with_a_key_gives_the_first_result(self):
        self.bank()
        def send(amount):
            body = json.dumps({"transfers": [self.transfer(10, amount)]}).encode()
            request = urllib.request.Request(f"http://{self.server.admin}/api/v1/ledger/transfers", body,
                                             {"Content-Type": "application/json", "Idempotency-Key": "k"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())
        first = send("1.00")
        self.server.crash_restart()
        again = send("1.00")
        self.assertTrue(again.pop("repeated"))
        self.assertEqual(again, first)
        with self.assertRaises(urllib.error.HTTPError) as other:
            send("2.00")
        self.assertEqual(other.exception.code, 422)
        self.assertEqual(self.balance(1), ("1.00", "0.00"))

    def test_a_repeat_fails_as_the_first_one_did_though_its_results_are_not_kept(self):
        self.bank()
        def send(key, rows):
            return http.call(self.server, "POST", "/api/v1/ledger/transfers", {"transfers": rows}, key=key)
        good = [self.transfer(number, "1.00") for number in range(1, 17)]
        bad = [self.transfer(number, "1.00") for number in range(21, 37)]
        bad[5]["credit_account_id"] = "99"
        bad[9]["amount"] = "0.00"
        bad[9]["debit_account_id"] = "99"
        first = {"good": send("good", good), "bad": send("bad", bad)}
        self.assertEqual((first["good"][0], first["bad"][0]), (200, 409))
        self.assertEqual(first["bad"][1]["error"]["index"], 5)
        for again in (None, self.server.crash_restart, self.server.restart):
            if again:
                again()
            for key, rows in (("good", good), ("bad", bad)):
                status, whole = first[key]
                self.assertEqual(send(key, rows), (status, {**whole, "repeated": True, "results": None}))
        self.assertEqual(self.balance(1), ("30.00", "0.00"))

    def test_everything_is_there_after_a_restart(self):
        self.bank()
        self.create("transfers", *(self.transfer(number, "1.00") for number in range(1, 1001)))
        before = [self.get("assets"), self.get("totals"), self.get("accounts/1")]
        for again in (self.server.crash_restart, self.server.restart):
            again()
            self.assertEqual([self.get("assets"), self.get("totals"), self.get("accounts/1")], before)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)


class Transactions(OneServer):
    def transact(self, number, amount="1.00", guards=(), key=None):
        body = {"guards": list(guards), "operations": [
            {"transfer": {"id": str(number), "debit_account_id": "1", "credit_account_id": "2", "amount": amount,
                          "ledger": 840, "code": 1}},
            http.append("paid", number)]}
        if key:
            body["idempotency_key"] = key
        return http.call(self.server, "POST", "/api/v1/transact", body)

    def records(self):
        return http.call(self.server, "GET", "/api/v1/streams/paid")[1]["partitions"][0]["end_offset"]

    def test_both_or_neither(self):
        self.bank({"id": "1", "flags": ["debits_must_not_exceed_credits"]}, {"id": "2"}, {"id": "3"})
        http.create(self.server, "paid")
        status, refused = self.transact(10)
        self.assertEqual((status, refused["error"]["operation"]), (409, 0))
        self.assertIn("exceeds_credits", refused["error"]["message"])
        self.assertEqual(self.records(), 0)
        self.create("transfers", self.transfer(1, "10.00", debit_account_id="3", credit_account_id="1"))
        status, done = self.transact(10)  # the id is not used up
        self.assertEqual((status, done["results"][0]["transfers"]), (200, 1))
        self.assertEqual((self.records(), self.balance(2)), (1, ("0.00", "1.00")))
        enough = {"balance": {"account_id": "1", "at_least": "9.00"}}
        self.assertEqual(self.transact(11, guards=[enough])[0], 200)
        status, refused = self.transact(12, guards=[enough])
        self.assertEqual((status, refused["error"]["guard"]), (409, 0))
        self.assertIn("the balance of account 1 is 8.00 USD, below", refused["error"]["message"])
        most = {"balance": {"account_id": "2", "at_most_raw": "200"}}
        self.assertEqual(self.transact(12, guards=[most])[0], 200)
        self.assertEqual(self.transact(13, guards=[most])[0], 409)
        self.assertEqual(self.records(), 3)
        for guard, why in [({"balance": {"account_id": "1"}}, "needs at_least, at_most or both"),
                           ({"balance": {"account_id": "1", "at_least": 1}}, "guards[0].balance.at_least must be a text"),
                           ({"balance": {"account_id": "1", "side": "left", "at_least": "1"}}, "credit or debit")]:
            status, refused = self.transact(14, guards=[guard])
            self.assertEqual(status, 400)
            self.assertIn(why, refused["error"]["message"])

    def test_both_or_neither_over_kills(self):
        self.server.use_stable_port("admin")
        self.server.restart()
        self.bank()
        http.create(self.server, "paid")
        number, acknowledged = 0, 0
        for _ in range(max(1, int(3 * SCALE))):
            stop = threading.Event()
            enough = threading.Event()

            def send():
                nonlocal number, acknowledged
                sent = 0
                while not stop.is_set():
                    number += 1
                    try:
                        done = self.transact(number)[0] == 200
                    except OSError:
                        return
                    acknowledged += done
                    sent += 1
                    if sent == 50:
                        enough.set()

            sender = threading.Thread(target=send)
            sender.start()
            self.assertTrue(enough.wait(60))
            self.server.kill()
            stop.set()
            sender.join()
            self.server.start()
            moved = int(self.get("accounts/2")["credits_posted_raw"]) // 100
            self.assertEqual(moved, self.records())
            self.assertGreaterEqual(moved, acknowledged)


class NearItsMemory(OneServer):
    """New money is refused, what is pending is settled all the same, and what was done is answered whoever lost the answer."""

    def setUp(self):
        directory = tempfile.mkdtemp(prefix="heptane-ledger-")
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "heptane.toml")
        with open(path, "w", encoding="utf-8") as text:
            text.write('[limits]\nmachine_memory = "64MiB"\n')  # an empty ledger counts 28 MB
        self.server = Server(args=("--config", path))
        self.addCleanup(self.server.close)
        self.server.start()

    def fill(self):
        """Accounts, until there is no room for more."""
        taken = 0
        for first in range(1000, 2_000_000, 8000):
            rows = [{"id": str(number), "ledger": 1, "code": 1} for number in range(first, first + 8000)]
            status, answer = http.call(self.server, "POST", "/api/v1/ledger/accounts", {"accounts": rows})
            if status != 200:
                break
            taken += len(rows)
        self.assertEqual((status, answer["error"]["code"]), (503, "overloaded"), answer)
        self.assertGreater(taken, 50_000, "it was near its limit from the start")

    def test_settlements_go_on(self):
        self.bank()
        self.create("transfers", *(self.transfer(number, "2.00", flags=["pending"]) for number in range(10, 14)))
        self.fill()

        def settle(number, pending, what, **more):
            return {"id": str(number), "pending_id": str(pending), "flags": [what + "_pending_transfer"], **more}
        self.create("transfers", self.transfer(20, "1.00"), expect=503)
        self.create("transfers", settle(20, 10, "post"), self.transfer(21, "1.00"), expect=503)
        self.create("transfers", settle(20, 10, "post", amount="1.50"), settle(21, 11, "void"))
        test_tigerbeetle.run(self.server, "settle", post="12", void="13")
        row = self.get("accounts/1")
        self.assertEqual((row["debits_posted"], row["debits_pending"]), ("3.50", "0.00"))

    def loses_a_reply(self):
        proxy = test_tigerbeetle.LosesAReply(self.server)
        self.addCleanup(proxy.close)
        return proxy

    def test_a_settlement_whose_reply_was_lost_is_answered(self):
        self.bank()
        self.create("transfers", *(self.transfer(number, "2.00", flags=["pending"]) for number in range(12, 14)))
        self.fill()
        proxy = self.loses_a_reply()
        proxy.go_on()
        test_tigerbeetle.run(proxy, "settle", post="12", void="13")
        self.assertTrue(proxy.lost.is_set())
        row = self.get("accounts/1")
        self.assertEqual((row["debits_posted"], row["debits_pending"]), ("2.00", "0.00"))

    def test_new_money_whose_reply_was_lost_is_answered_when_there_is_no_room_any_more(self):
        proxy = self.loses_a_reply()
        client = subprocess.Popen(test_tigerbeetle.command(proxy, "concurrent", {"first": 1, "count": 1}),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        self.assertTrue(proxy.lost.wait(test_tigerbeetle.SECONDS))
        self.fill()
        proxy.go_on()
        out, err = client.communicate(timeout=test_tigerbeetle.SECONDS)
        self.assertEqual((client.returncode, out), (0, "{}\n"), err)
        self.assertEqual(self.get("accounts/1")["debits_posted"], "1")


class CountedWrong(http_server.BaseHTTPRequestHandler):
    """A server whose books do not balance: what no test can make a real one do from outside."""
    answers = [{"done": False, "counted": 2},
               {"done": True, "counted": 3, "agrees": False, "transfers": 3, "accounts": 2, "differing_accounts": 1,
                "differing_ledgers": 1, "first_differing": ["2"]}]

    def do_GET(self):
        body = json.dumps(self.answers[self.server.asked % 2]).encode()
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class CommandLine(OneServer):
    def good(self, *arguments):
        done = self.server.run("ledger", *arguments, "--server", self.server.admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_verify_fails_when_something_disagrees(self):
        with http_server.HTTPServer(("127.0.0.1", 0), CountedWrong) as wrong:
            wrong.asked = 0
            thread = threading.Thread(target=wrong.serve_forever)
            thread.start()
            try:
                for arguments, text in (((), "3 transfers counted again: 1 of 2 accounts and 1 ledgers differ"),
                                        (("--json",), '"first_differing": ["2"]')):
                    done = self.server.run("ledger", "verify", *arguments, "--server", f"127.0.0.1:{wrong.server_port}")
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn(text, done.stdout)
            finally:
                wrong.shutdown()
                thread.join()

    def test_pending_money(self):
        self.good("asset", "add", "USD", 840, 2)
        for account in (1, 2):
            self.good("account", "create", account, "--asset", "USD")
        create = ("transfer", "create")
        def pending(number):
            self.assertIn("created", self.good(*create, number, "--debit", 1, "--credit", 2, "--amount", "8.00", "--asset",
                                               "USD", "--code", 7, "--flag", "pending", "--timeout", 3600))
        def account():
            row = json.loads(self.good("account", "show", 1, "--json"))
            return row["debits_pending"], row["debits_posted"]
        pending(10)
        self.assertEqual(account(), ("8.00", "0.00"))
        post, void = ("--flag", "post_pending_transfer"), ("--flag", "void_pending_transfer")
        self.assertIn("created", self.good(*create, 11, "--pending-id", 10, *post, "--amount", "3.00", "--asset", "USD"))
        self.assertEqual(account(), ("0.00", "3.00"))
        pending(12)
        self.assertIn("created", self.good(*create, 13, "--pending-id", 12, *post))  # all of it
        pending(14)
        self.assertIn("created", self.good(*create, 15, "--pending-id", 14, *void))
        self.assertEqual(account(), ("0.00", "11.00"))
        again = self.server.run("ledger", *create, 16, "--pending-id", 14, *void, "--server", self.server.admin)
        self.assertEqual(again.returncode, 1)
        self.assertIn("pending_transfer_already_voided", again.stderr)
        self.assertIn("post_pending_transfer", self.good("transfer", "show", 13))

    def test_a_small_bank(self):
        self.assertIn("USD is ledger 840, 2 decimals", self.good("asset", "add", "USD", 840, 2))
        self.assertIn("840", self.good("asset", "ls"))
        for account in (1, 2):
            self.assertIn("created", self.good("account", "create", account, "--asset", "USD", "--flag", "history"))
        self.assertIn("created", self.good("transfer", "create", 10, "--debit", 1, "--credit", 2, "--amount", "12.50",
                                           "--asset", "USD"))
        self.assertIn("12.50", self.good("account", "show", 2))
        self.assertEqual(len(self.good("account", "ls").splitlines()), 3)
        self.assertIn("12.50 USD", self.good("transfer", "show", 10).replace("USD  ", "USD"))
        self.assertIn("12.50", self.good("transfer", "ls"))
        self.assertIn("12.50", self.good("statement", 1))
        self.assertIn("12.50", self.good("totals"))
        self.assertEqual(json.loads(self.good("transfer", "show", 10, "--json"))["amount_raw"], "1250")
        self.assertIn("1 transfers counted again: 0 of 2 accounts and 0 ledgers differ", self.good("verify"))
        self.assertTrue(json.loads(self.good("verify", "--json"))["agrees"])
        refused = self.server.run("ledger", "transfer", "create", 11, "--debit", 1, "--credit", 9, "--amount", "1.00",
                                  "--asset", "USD", "--server", self.server.admin)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("credit_account_not_found", refused.stderr)


    def test_an_amount_is_what_the_pending_transfer_is_of(self):
        self.bank()
        self.create("accounts", *({"id": n, "ledger": 7, "code": 1} for n in (71, 72)))
        create, post = ("transfer", "create"), ("--flag", "post_pending_transfer")
        def pending(number, debit, *what):
            self.good(*create, number, "--debit", debit, "--credit", debit + 1, *what, "--flag", "pending")
        def amount(number):
            return json.loads(self.good("transfer", "show", number, "--json"))["amount"]
        pending(5000, 1, "--amount", "8.00", "--asset", "USD")
        self.assertIn("created", self.good(*create, 5001, "--pending-id", 5000, *post, "--amount", "3"))
        pending(5002, 1, "--amount", 8, "--ledger", 840)
        self.assertIn("created", self.good(*create, 5003, "--pending-id", 5002, *post, "--amount", "3.50"))
        pending(5004, 71, "--amount", 8, "--ledger", 7)  # no asset: smallest units
        self.assertIn("created", self.good(*create, 5005, "--pending-id", 5004, *post, "--amount", 3))
        self.assertEqual([amount(n) for n in range(5000, 5006)], ["8.00", "3.00", "8.00", "3.50", "8", "3"])
        for arguments, why in ((("--debit", 1, "--credit", 2), "an amount needs --asset or --ledger"),
                               (("--pending-id", 77, *post), "there is no transfer 77")):
            refused = self.server.run("ledger", *create, 5006, *arguments, "--amount", 3, "--server", self.server.admin)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(why, refused.stderr)

    def test_user_data_history_and_filters(self):
        self.bank()
        create = ("transfer", "create")
        for number, data in ((10, 7), (11, 8), (12, 7)):
            self.good(*create, number, "--debit", 1, "--credit", 2, "--amount", "1.50", "--asset", "USD", "--user-data-64", data,
                      "--code", data)
        def listed(*arguments):
            return [row["id"] for row in json.loads(self.good(*arguments, "--json"))["transfers"]]
        self.assertEqual(listed("transfer", "ls", "--user-data-64", 7), ["10", "12"])
        self.assertEqual(listed("transfer", "ls", "--code", 8), ["11"])
        self.assertEqual(listed("account", "transfers", 2, "--reversed", "--limit", 2), ["12", "11"])
        middle = json.loads(self.good("transfer", "show", 11, "--json"))["timestamp"]
        self.assertEqual(listed("transfer", "ls", "--from", middle, "--to", middle), ["11"])
        self.good(*create, 13, "--debit", 2, "--credit", 1, "--amount", "0.50", "--asset", "USD")
        self.assertEqual(listed("account", "transfers", 2, "--debits"), ["13"])
        self.assertEqual(listed("account", "transfers", 2, "--credits"), ["10", "11", "12"])
        self.assertEqual(listed("account", "transfers", 2, "--debits", "--credits"), ["10", "11", "12", "13"])
        self.assertEqual([line.split()[1] for line in self.good("account", "balances", 2, "--debits").splitlines()[1:]], ["0.50"])
        self.assertEqual([line.split()[3] for line in self.good("account", "balances", 2).splitlines()[1:]],
                         ["1.50", "3.00", "4.50", "4.50"])

    def test_a_statement_page_by_page(self):
        self.bank()
        for number in range(10, 15):
            self.create("transfers", self.transfer(number, "1.00"))
        rows, page = [], ()
        for _ in range(3):
            *lines, last = self.good("statement", 1, "--limit", 2, *page).splitlines()[1:]
            more = last.startswith("more: --page ")
            rows += [line.split()[1] for line in (lines if more else lines + [last])]
            page = last.split()[1:]
        self.assertFalse(more)
        self.assertEqual(rows, ["14", "13", "12", "11", "10"])

    def test_balances_as_they_were(self):
        self.bank()
        positions = [self.create("transfers", self.transfer(number, "1.25"))["position"] for number in (1, 2)]
        for position, amount in zip(positions, ("1.25", "2.50")):
            done = self.server.run("at", position, "ledger", "balances", "--data", self.server.data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.splitlines()[1].split()[:3], ["1", "USD", amount])
            done = self.server.run("at", position, "ledger", "balances", "--data", self.server.data, "--json")
            self.assertEqual(json.loads(done.stdout)["accounts"][1]["credits_posted"], amount)


class Loopback(unittest.TestCase):
    def test_the_protocol_without_names_is_for_this_machine(self):
        server = Server(listen={"tigerbeetle": "0.0.0.0:0"})
        self.addCleanup(server.close)
        with self.assertRaises(Refused) as refused:
            server.start()
        self.assertEqual(refused.exception.code, 3)
        self.assertIn("listen.tigerbeetle.address: 0.0.0.0 is beyond loopback, and the protocol cannot say who",
                      refused.exception.stderr)


class Rights(Guarded):
    def test_roles(self):
        self.admin("POST", "/api/v1/ledger/assets", USD)
        self.admin("POST", "/api/v1/ledger/accounts", {"accounts": [{"id": n, "asset": "USD", "code": 1} for n in (1, 2)]})
        http_role = {"name": "teller", "permissions": [{"module": "ledger", "pattern": "transfers", "verbs": ["create", "read"]}]}
        self.admin("POST", "/api/v1/roles", http_role)
        self.add_user("tess", "teller")
        token = self.admin("POST", "/api/v1/tokens", {"name": "t", "owner": "tess"})["token"]
        def as_tess(method, path, body=None):
            return ask(self.server, method, path, body, "Bearer " + token)[0]
        move = {"id": "10", "debit_account_id": "1", "credit_account_id": "2", "amount_raw": "5", "ledger": 840, "code": 1}
        self.assertEqual(as_tess("POST", "/api/v1/ledger/transfers", {"transfers": [move]}), 200)
        self.assertEqual(as_tess("GET", "/api/v1/ledger/transfers/10"), 200)
        self.assertEqual(as_tess("GET", "/api/v1/ledger/accounts/1"), 403)
        self.assertEqual(as_tess("POST", "/api/v1/ledger/accounts", {"accounts": []}), 403)
        self.assertEqual(as_tess("POST", "/api/v1/ledger/assets", USD), 403)
        self.assertEqual(as_tess("GET", "/api/v1/ledger/totals"), 403)
        second = {"transfer": {**move, "id": "11"}}
        self.assertEqual(as_tess("POST", "/api/v1/transact", {"operations": [second]}), 200)
        guarded = {"guards": [{"balance": {"account_id": "2", "at_least_raw": "1"}}], "operations": [second]}
        self.assertEqual(as_tess("POST", "/api/v1/transact", guarded), 403)
        by_number = {"operations": [{"machine": 17, "type": 4, "payload_base64": ""}]}
        self.assertEqual(as_tess("POST", "/api/v1/transact", by_number), 403)
        wait_until(lambda: self.in_trail(by="tess", outcome="denied"), "the refusals in the audit trail")


class ActingUser(Guarded):
    """The listener of the protocol without names acts as the user that the configuration names."""

    def make_server(self):
        directory = tempfile.mkdtemp(prefix="heptane-ledger-")
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "heptane.toml")
        with open(path, "w", encoding="utf-8") as text:
            text.write('[fintech.tigerbeetle]\nuser = "teller"\n')
        return Server(args=("--auth", "--config", path))

    def test_it_may_what_its_user_may(self):
        self.add_user("teller")
        client = subprocess.Popen(test_tigerbeetle.command(self.server, "everything", {}), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: self.in_trail(by="teller", outcome="denied"), "the refusal in the audit trail")
        finally:
            client.kill()
            client.wait()
        self.assertEqual(self.admin("GET", "/api/v1/ledger/accounts")["accounts"], [])
        self.admin("POST", "/api/v1/roles", {"name": "teller", "permissions": [
            {"module": "ledger", "pattern": "*", "verbs": ["create", "read"]}]})
        self.admin("POST", "/api/v1/users/teller/roles", {"role": "teller"})
        test_tigerbeetle.run(self.server, "everything")


if __name__ == "__main__":
    unittest.main()
