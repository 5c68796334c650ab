"""`heptane fintech audit`: a day as CSV files, beside what a client did and was answered: every order, trade, refusal, limit, kill and
bust is there once, nothing else, and the same day is the same bytes; the manifest's digests and the log's chain at both ends."""

import csv
import datetime
import hashlib
import json
import os
import shutil
import tempfile
import unittest

from test_exchange import BOOK, order
from test_fix_exchange import EXCHANGE, Talk

STREAMS = ("fintech.orders", "fintech.trades", "fintech.risk")
OF_STREAM = {"fintech.orders": ("orders", "busts"), "fintech.trades": ("trades",), "fintech.risk": ("limits", "kills", "risk")}


def today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


class Audit(Talk):
    def setUp(self):
        super().setUp()
        self.work = tempfile.mkdtemp(prefix="heptane-audit-")
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)

    def audit(self, name, *more, day=None):
        path = os.path.join(self.work, name)
        done = self.cli("fintech", "audit", "--day", day or today(), "--out", path, "--data", self.server.data, *more)
        return path, done

    def exported(self, name, *more):
        path, done = self.audit(name, "--so-far", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    @staticmethod
    def rows(path, file):
        with open(os.path.join(path, file + ".csv"), newline="", encoding="utf-8") as text:
            return list(csv.DictReader(text))

    def enter(self, firm, body, expect=201):
        return self.admin("POST", EXCHANGE + f"firms/{firm}/orders", body, expect)

    def do_a_day(self):
        self.enter("beta", order("s1", "sell", "3.00", "100.00"))
        self.enter("alpha", order("b,1", "buy", "1.00", "100.00"))
        self.enter("alpha", order("b2", "buy", "1.00", "100.00"))
        self.admin("POST", EXCHANGE + "limits", {"firm": "alpha", "symbol": "BTC/USD", "order_quantity_max_raw": "500"})
        connection = self.log_on()
        self.assertEqual(self.read(connection)["35"], "A")
        self.say(connection, "ALPHA", "35=D|34=2|11=f1|1=main|55=BTC/USD|54=1|60=<TIME>|38=9.00|40=2|44=100.00|59=1")
        refused = self.read(connection)
        self.assertEqual((refused["35"], refused["150"]), ("8", "8"))
        self.say(connection, "ALPHA", "35=F|34=3|11=f2|41=none|55=BTC/USD|54=1|60=<TIME>")
        too_late = self.read(connection)
        self.assertEqual(too_late["35"], "9")
        self.say(connection, "ALPHA", "35=5|34=4")  # no heartbeat comes in between
        self.assertEqual(self.read(connection)["35"], "5")
        self.admin("POST", EXCHANGE + "trades/2/bust", {"reason": 'fat "finger", he said'})
        self.admin("PUT", EXCHANGE + BOOK + "/mark", {"price": "101.00", "reason": "close"})
        self.admin("POST", EXCHANGE + "switches", {"whose": "firm", "firm": "beta", "reason": "drill"})
        self.admin("POST", EXCHANGE + "switches", {"whose": "firm", "firm": "beta", "reason": "over", "lift": True})
        return refused, too_late

    def test_what_was_done_is_there_once(self):
        refused, too_late = self.do_a_day()
        path = self.exported("one")
        orders = self.rows(path, "orders")
        self.assertEqual([(row["event"], row["cl_ord_id"], row["firm"]) for row in orders],
                         [("new", "s1", "beta"), ("new", "b,1", "alpha"), ("trade", "b,1", "alpha"), ("trade", "s1", "beta"),
                          ("new", "b2", "alpha"), ("trade", "b2", "alpha"), ("trade", "s1", "beta"), ("ended", "s1", "beta")])
        self.assertEqual((orders[2]["last_price"], orders[2]["fee"], orders[-1]["reason"]), ("100.00", "0.20", "cancelled"))
        self.assertEqual([(row["event"], row["trade_id"], row["quantity"]) for row in self.rows(path, "trades")],
                         [("trade", "1", "1.00"), ("trade", "2", "1.00"), ("busted", "2", "1.00")])
        busts = self.rows(path, "busts")
        self.assertEqual([(row["event"], row["firm"], row["reason"]) for row in busts],
                         [("trade_busted", firm, 'fat "finger", he said') for firm in ("alpha", "beta")])
        self.assertEqual([(row["msg_type"], row["msg_seq_num"], row["cl_ord_id"], row["reason_code"], row["reason"])
                          for row in self.rows(path, "refusals")],
                         [("8", refused["34"], "f1", "3", refused["58"]), ("9", too_late["34"], "f2", "1", too_late["58"])])
        (limit,) = self.rows(path, "limits")
        self.assertEqual((limit["firm"], limit["order_quantity_max"]), ("alpha", "500"))
        self.assertEqual([(row["event"], row["reason"], row["orders"]) for row in self.rows(path, "kills")],
                         [("killed", "drill", ""), ("mass_cancelled", "", "1"), ("lifted", "over", "")])
        self.assertEqual([row["event"] for row in self.rows(path, "risk")], ["marked"])
        operators = [(row["action"], row["on"]) for row in self.rows(path, "operators")]
        for done in (("exchange.limits", "alpha/"), ("exchange.bust", "trade 2"), ("exchange.mark", "BTC/USD")):
            self.assertEqual(operators.count(done), 1, operators)

    def test_nothing_is_taken_out_and_the_same_day_is_the_same_bytes(self):
        self.do_a_day()
        one, two = self.exported("one"), self.exported("two")
        self.assertEqual(sorted(os.listdir(one)), sorted(os.listdir(two)))
        for file in os.listdir(one):
            with open(os.path.join(one, file), "rb") as first, open(os.path.join(two, file), "rb") as second:
                self.assertEqual(first.read(), second.read(), file)
        with open(os.path.join(one, "manifest.json"), encoding="utf-8") as text:
            manifest = json.load(text)
        self.assertFalse(manifest["complete"])
        for entry in manifest["files"]:
            with open(os.path.join(one, entry["file"]), "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), entry["sha256"], entry)
            self.assertEqual(len(self.rows(one, entry["file"].removesuffix(".csv"))), entry["rows"])
        streams = {entry["stream"]: entry for entry in manifest["streams"]}
        for stream in STREAMS:
            rows = [row for file in OF_STREAM[stream] for row in self.rows(one, file)]
            offsets = sorted(int(row["offset"]) for row in rows)
            self.assertEqual(offsets, list(range(len(rows))), stream)
            self.assertEqual((streams[stream]["records"], int(streams[stream]["last_offset"])), (len(rows), len(rows) - 1))
        for end in ("first", "last"):
            said = json.loads(self.cli("explain", manifest["log"][end]["position"], "--data", self.server.data, "--json").stdout)
            self.assertEqual((said["chain"], said["batch"]), (manifest["log"][end]["chain"], manifest["log"][end]["batch"]))
            self.assertRegex(said["chain"], "^[0-9a-f]{8}$")
        self.server.crash_restart()
        self.enter("alpha", order("later", "buy", "1.00", "90.00"))
        later = self.rows(self.exported("three"), "orders")
        self.assertEqual(later[:-1], self.rows(one, "orders"))

    def test_other_days_and_what_cannot_be(self):
        self.enter("beta", order("s1", "sell", "3.00", "100.00"))
        _, done = self.audit("open")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not over yet", done.stderr)
        path, done = self.audit("before", day="2020-02-29")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.rows(path, "orders"), [])
        with open(os.path.join(path, "manifest.json"), encoding="utf-8") as text:
            manifest = json.load(text)
        self.assertEqual((manifest["complete"], manifest["log"], manifest["streams"]), (True, {}, []))
        self.assertIn("is not empty", self.audit("before", day="2020-02-29")[1].stderr)
        self.assertIn("--day is a date", self.audit("none", day="yesterday")[1].stderr)


if __name__ == "__main__":
    unittest.main()
