"""Readings over MQTT that become orders on the exchange: each acknowledged one exactly once over kills, held for, matched and settled
in the rule's entry; what is refused is a dead letter with the reason; who may declare such a rule."""

import json
import os
import random
import unittest

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import mosquitto_pub
from test_auth import Guarded, PASSWORD, ask, basic
from test_exchange import ROOT, open_market, order
from test_metering import Meter

SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
SQL = "SELECT topic(2) AS meter, seq, kwh FROM 'meters/+/reading'"
ORDER = {"firm": "alpha", "account": "main", "symbol": "'BTC/USD'", "side": "'buy'", "quantity": "0.01", "price": "100",
         "id": "meter || ':' || seq"}


class RuleOrders(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        open_market(lambda method, path, body: http.call(self.server, method, path, body))

    def put(self, want=201, **rule):
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/hedge", {"sql": SQL, **rule})
        self.assertEqual(status, want, answer)
        return answer

    def rule(self):
        status, answer = http.call(self.server, "GET", "/api/v1/rules/hedge")
        self.assertEqual(status, 200, answer)
        return answer

    def pub(self, payload):
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", "meters/7/reading", "-m", json.dumps(payload))

    def wait_inputs(self, count):
        wait_until(lambda: self.rule()["inputs"] == count, f"{count} readings", 30)

    def told(self, kind):
        lines = kafka.kcat_consume(self.server.kafka, "iot.rules", "-f", "%k %s\\n")
        parts = [line.partition(" ") for line in lines]
        return [json.loads(value) for topic, _, value in parts if topic == f"$rules/hedge/{kind}"]

    def records(self, stream):
        return [json.loads(value) for value in kafka.kcat_consume(self.server.kafka, stream, "-f", "%s\\n")]

    def balances(self, firm):
        status, account = http.call(self.server, "GET", f"{ROOT}firms/{firm}/accounts/main")
        self.assertEqual(status, 200, account)
        return {row["asset"]: (row["available"], row["held"]) for row in account["balances"]}

    def enter(self, firm, body, want=201):
        status, answer = http.call(self.server, "POST", f"{ROOT}firms/{firm}/orders", body)
        self.assertEqual(status, want, answer)
        return answer


class Journey(RuleOrders):
    def test_a_reading_is_an_order_and_is_explained(self):
        self.enter("beta", order("ask", "sell", "0.01", "100.00"))
        self.put(order={**ORDER, "id": ""})
        self.pub({"seq": 1, "kwh": 2})
        self.wait_inputs(1)
        receipt, = self.told("order")
        version = self.rule()["version"]
        self.assertTrue(receipt["cl_ord_id"].startswith(f"hedge/{version}/0:"), receipt)
        self.assertEqual((receipt["event"], receipt["status"], receipt["filled"], receipt["payload"]),
                         ("order", "filled", "0.01", {"seq": 1, "kwh": 2}))
        trade, = self.records("fintech.trades")
        self.assertEqual((trade["buy_order_id"], trade["price"]), (receipt["order_id"], "100.00"))
        self.assertEqual(self.rule()["orders"], 1)
        # One entry: the trade is in the one that the ClOrdID names, beside the reading.
        position = receipt["cl_ord_id"].split("/")[2]
        told = self.server.run("explain", position, "--data", self.server.data, "--server", self.server.admin)
        self.assertEqual(told.returncode, 0, told.stderr)
        for part in ('"kwh": 2', "fintech.trades", receipt["cl_ord_id"]):
            self.assertIn(part, told.stdout)
        told = self.server.run("fintech", "explain", trade["trade_id"], "--data", self.server.data, "--server", self.server.admin)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn(receipt["cl_ord_id"], told.stdout)

    def test_what_is_refused_is_a_dead_letter(self):
        self.put(order={**ORDER, "quantity": "kwh"}, publish={"topic": "'hedged'"})
        for kwh in (1, 1000, 0.001, "x", None):
            self.pub({"seq": str(kwh), "kwh": kwh})
        self.wait_inputs(5)
        why = [letter["why"] for letter in self.told("dead_letter")]
        self.assertEqual(why[0], "the order needs 100200.00 USD, available is 9899.80")
        self.assertIn("has more than 2 decimals", why[1])
        self.assertIn("order.quantity is a text that is no number", why[2])
        self.assertIn("order.quantity is NULL", why[3])
        self.assertEqual((self.rule()["orders"], self.rule()["published"], self.rule()["dead_letters"]), (1, 1, 4))
        http.call(self.server, "POST", ROOT + "switches", {"whose": "firm", "firm": "alpha", "reason": "runaway"})
        self.pub({"seq": "k", "kwh": 1})
        self.wait_inputs(6)
        self.assertEqual(self.told("dead_letter")[-1]["why"], "the kill switch of firm alpha is on: runaway")

    def test_the_command_line_and_a_dry_run(self):
        done = self.server.run("rules", "put", "hedge", "--sql", SQL, "--order", "alpha/main", "--symbol", "'BTC/USD'", "--side", "'buy'",
                               "--quantity", "0.01", "--time-in-force", "fok", "--server", self.server.admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.rule()["order"], {"firm": "alpha", "account": "main", "symbol": "'BTC/USD'", "side": "'buy'",
                                                "quantity": "0.01", "time_in_force": "fok"})
        self.pub({"seq": 1, "kwh": 1})
        self.wait_inputs(1)
        self.assertEqual([letter["why"] for letter in self.told("dead_letter")],
                         ["a market order needs a price on the other side, a last trade or a reference price"])
        status, tried = http.call(self.server, "POST", "/api/v1/rules/test",
                                  {"sql": SQL, "order": {**ORDER, "quantity": "kwh * 0.5"}, "topic": "meters/7/reading",
                                   "payload": '{"seq":3,"kwh":2.5}'})
        self.assertEqual(status, 200, tried)
        self.assertEqual(tried["order"], {"firm": "alpha", "account": "main", "symbol": "BTC/USD", "side": "buy", "quantity": "1.25",
                                          "price": "100", "cl_ord_id": "7:3"})
        answer = self.put(400, order=ORDER, transfer={"ledger": 1, "code": 1, "debit": "1", "credit": "2", "amount": "3"})
        self.assertIn("a rule that enters orders makes no transfers", answer["error"]["message"])
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/circle", {"sql": 'SELECT price FROM STREAM "fintech.orders"', "order": ORDER})
        self.assertIn(status, (404, 409), answer)


class Kills(RuleOrders):
    def test_every_acknowledged_reading_is_one_order_over_kills(self):
        self.enter("beta", order("ask", "sell", "8.00", "100.00"))
        self.put(order=ORDER)
        choice = random.Random(3)
        meters = [Meter(self.server, meter) for meter in (1, 2)]
        for round_ in range(max(2, round(5 * SCALE))):
            for meter in meters:
                meter.connect()
            for _ in range(30):
                for meter in meters:
                    meter.read(choice)
            wait_until(lambda: sum(len(meter.acknowledged) for meter in meters) > round_ * 60 + 10, "acknowledgements", 60)
            self.server.kill()
            for meter in meters:
                meter.close()
            self.server.start()
        for meter in meters:
            meter.connect()
        wait_until(lambda: all(meter.done() for meter in meters), "all acknowledgements", 60)
        wait_until(lambda: sum(part["lag"] for part in self.rule()["partitions"]) == 0, "the rule", 60)
        names = sorted(f"{meter.meter}:{seq}" for meter in meters for seq in meter.readings)
        entered = sorted(record["cl_ord_id"] for record in self.records("fintech.orders")
                         if record["event"] == "new" and record["firm"] == "alpha")
        self.assertEqual(entered, names, "each reading once")
        counted = self.rule()
        self.assertEqual((counted["orders"], counted["dead_letters"]), (len(names), 0))
        self.assertEqual(len(self.records("fintech.trades")), len(names))
        bought = f"{len(names) / 100:.8f}"
        self.assertEqual(self.balances("alpha")["BTC"], (bought, "0.00000000"))
        self.assertEqual(self.balances("alpha")["USD"][1], "0.00")
        for meter in meters:
            meter.close()
        self.assertEqual(self.server.run("ledger", "verify", "--server", self.server.admin).returncode, 0)
        self.assertEqual(self.server.stop(), 0)


class Rights(Guarded):
    def test_who_declares_may_trade_for_the_firm(self):
        open_market(self.admin)
        for name, firm in (("a", "alpha"), ("b", "beta")):
            self.admin("POST", "/api/v1/roles", {"name": name, "permissions": [
                {"module": "admin", "pattern": "rules", "verbs": ["read", "write"]}, {"module": "streams", "pattern": "*", "verbs": ["read", "create"]},
                {"module": "mqtt", "pattern": "*", "verbs": ["read"]}, {"module": "exchange", "pattern": firm, "verbs": ["create"]}]})
            self.add_user(name, name)
        rule = {"sql": SQL, "order": ORDER}
        self.assertEqual(ask(self.server, "PUT", "/api/v1/rules/hedge", rule, basic("b", PASSWORD))[0], 403)
        self.assertEqual(ask(self.server, "PUT", "/api/v1/rules/hedge", rule, basic("a", PASSWORD))[0], 201)
        other = {"sql": SQL, "order": {**ORDER, "firm": "beta"}}
        self.assertEqual(ask(self.server, "PUT", "/api/v1/rules/hedge", other, basic("b", PASSWORD))[0], 403, "nor replace it")
        self.assertEqual(ask(self.server, "POST", "/api/v1/rules/hedge/pause", None, basic("b", PASSWORD))[0], 403)


if __name__ == "__main__":
    unittest.main()
