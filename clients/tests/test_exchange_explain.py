"""`heptane fintech explain` of a trade between an order over FIX and one over HTTP: both orders and who sent them, what they held, every
posting to the cent, and each message that was sent, with its session and number; also of one that was busted."""

import json
import unittest
from decimal import Decimal

from test_exchange import order
from test_fix_exchange import EXCHANGE, Talk

USD, BTC = Decimal("0.01"), Decimal("0.00000001")


class Explain(Talk):
    def setUp(self):
        super().setUp()
        self.session("DROP", "beta", role="drop_copy")
        self.connection = self.log_on()
        self.assertEqual(self.read(self.connection)["35"], "A")
        self.admin("POST", EXCHANGE + "firms/beta/orders", order("s1", "sell", "3.00", "100.00"))
        self.say(self.connection, "ALPHA",
                 "35=D|34=2|11=b1|1=main|55=BTC/USD|54=1|60=<TIME>|38=2.00|40=2|44=110.00|59=1")
        self.reports = [self.read(self.connection) for _ in range(2)]
        self.assertEqual([report["150"] for report in self.reports], ["0", "F"])

    def explain(self, *more):
        done = self.cli("fintech", "explain", "1", "--data", self.server.data, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_every_posting_order_and_message(self):
        said = json.loads(self.explain("--json"))
        self.assertEqual((said["trade"]["price"], said["trade"]["quantity"]), ("100.00", "2.00"))
        self.assertEqual([(row["what"], row["amount"], row["asset"], row["debit"], row["credit"]) for row in said["postings"]],
                         [("principal", "200.00", "USD", "alpha/main held", "beta/main available"),
                          ("base", "2.00000000", "BTC", "beta/main held", "alpha/main available"),
                          ("fee", "0.40", "USD", "alpha/main held", "house fees"),
                          ("fee", "0.20", "USD", "beta/main available", "house fees"),
                          ("improvement", "20.04", "USD", "alpha/main held", "alpha/main available")])
        buyer, seller = said["buyer"], said["seller"]
        self.assertEqual((buyer["order_id"], buyer["whose"], buyer["verdict"]), ("2", "alpha/main", "accepted"))
        # It traded as it came; the other order was there before.
        self.assertEqual(buyer["entered"]["position"], said["settled"]["position"])
        self.assertNotEqual(seller["entered"]["position"], said["settled"]["position"])
        self.assertEqual([(row["what"], row["amount"]) for row in buyer["holds"]], [("hold", "220.44")])
        self.assertEqual([(row["what"], row["amount"]) for row in seller["holds"]], [("hold", "3.00000000")])
        self.assertEqual([event["record"]["event"] for event in buyer["events"]], ["new", "trade"])
        self.assertEqual([event["record"]["event"] for event in seller["events"]], ["new", "trade"])
        self.assertIn("session", buyer["entered"]["origin"])
        self.assertNotEqual(buyer["entered"]["principal"], seller["entered"]["principal"])
        # What the trader got, number for number, and the drop copy of the other firm, which is not there.
        mine = [row for row in said["fix"] if row["session"] == "ALPHA"]
        self.assertEqual([(row["number"], f"|17={report['17']}|" in row["message"]) for row, report in zip(mine, self.reports)],
                         [(report["34"], True) for report in self.reports])
        self.assertEqual(len(mine), len(self.reports))
        self.assertEqual(["150=0" in row["message"] for row in said["fix"] if row["session"] == "DROP"], [True, False])
        self.assertNotIn("busted", said)

    def test_other_trades_of_its_orders_are_left_out(self):
        self.say(self.connection, "ALPHA",
                 "35=D|34=3|11=b2|1=main|55=BTC/USD|54=1|60=<TIME>|38=1.00|40=2|44=100.00|59=1")
        self.assertEqual([self.read(self.connection)["150"] for _ in range(2)], ["0", "F"])
        said = json.loads(self.explain("--json"))
        self.assertEqual([event["record"].get("trade_id") for event in said["seller"]["events"]], [None, "1"])
        self.assertTrue(all("|527=2|" not in row["message"] for row in said["fix"]))

    def test_a_busted_one_and_as_text(self):
        self.admin("POST", EXCHANGE + "trades/1/bust", {"reason": "fat finger"})
        self.server.crash_restart()
        said = json.loads(self.explain("--json"))
        self.assertTrue(said["trade"]["busted"])
        self.assertEqual(sum(Decimal(row["amount"]) for row in said["reversals"] if row["what"] == "reversal" and row["asset"] == "USD"),
                         Decimal("200.60"))
        self.assertEqual([event["record"]["event"] for event in said["buyer"]["events"]], ["new", "trade", "trade_busted"])
        self.assertIn("|150=H|", said["fix"][-1]["message"])
        text = self.explain()
        for part in ("trade 1", "alpha/main held -> beta/main available", "busted at " + said["busted"]["position"],
                     "ALPHA number " + self.reports[1]["34"]):
            self.assertIn(part, text)

    def test_what_is_not_there(self):
        self.assertIn("there is no trade 9", self.cli("fintech", "explain", "9", "--data", self.server.data).stderr)


if __name__ == "__main__":
    unittest.main()
