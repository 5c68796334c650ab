"""Orders over a WebSocket by a client that was not written for it (websocket-client): the bodies and answers of HTTP, reports of the
firm's orders on the same connection, over kill -9; what is asked again is not done again; rights that are lost."""

import json
import random
import struct
import unittest

import websocket
from heptane_testkit import http, wait_until
from test_auth import Guarded, PASSWORD, basic
from test_exchange import Market, ROOT, open_market, order

SECONDS = 60
OUTSTANDING = 64


class Trader:
    def __init__(self, server, firm="alpha", **options):
        self.socket = websocket.create_connection(f"ws://{server.admin}{ROOT}firms/{firm}/trading", timeout=SECONDS, **options)
        self.reports = []
        self.answers = {}

    def say(self, **message):
        self.socket.send(json.dumps(message))

    def read(self):
        message = json.loads(self.socket.recv())
        if message["type"] == "report":
            self.reports.append(message)
        elif message["type"] == "answer":
            self.answers[message.get("id")] = (message["status"], message["body"])
        return message

    def until(self, done, what):
        while not done():
            self.read()
        return what

    def ask(self, op, name, **more):
        self.say(op=op, id=name, **more)
        self.until(lambda: name in self.answers, name)
        return self.answers.pop(name)

    def follow(self, **more):
        self.say(op="reports", id="reports", **more)
        while True:
            message = self.read()
            if message["type"] == "reports" or message.get("id") == "reports":
                return message

    def close(self):
        self.socket.shutdown()


class OrderSocket(Market):
    def open(self, firm="alpha", **options):
        trader = Trader(self.server, firm, **options)
        self.addCleanup(trader.close)
        return trader

    def test_orders_are_placed_replaced_cancelled_and_reported(self):
        trader = self.open()
        trader.say(op="reports", id="r")
        status, made = trader.ask("place", 1, order=order("b1", "buy", "1.00", "100.00"))
        self.assertEqual((status, made["status"], made["leaves"]), (201, "open", "1.00"))
        self.assertEqual(self.call("GET", f"firms/alpha/orders/{made['order_id']}")["cl_ord_id"], "b1")
        status, changed = trader.ask("replace", "two", order_id=made["order_id"], order={"cl_ord_id": "b2", "quantity": "2.00"})
        self.assertEqual((status, changed["quantity"], changed["cl_ord_id"]), (200, "2.00", "b2"))
        self.enter("beta", order("s1", "sell", "0.50", "100.00"))
        status, gone = trader.ask("cancel", 3, order_id=made["order_id"])
        self.assertEqual((status, gone["status"], gone["filled"]), (200, "cancelled", "0.50"))
        trader.until(lambda: trader.reports and trader.reports[-1]["record"]["event"] == "ended", "its reports")
        self.assertEqual([report["record"]["event"] for report in trader.reports], ["new", "replaced", "trade", "ended"])
        self.assertEqual({report["record"]["firm"] for report in trader.reports}, {"alpha"})
        stored = self.records("fintech.orders")
        for report in trader.reports:
            self.assertEqual(report["record"], stored[report["offset"]])

    def test_what_is_wrong_is_answered_as_over_http(self):
        trader = self.open()
        same = [(order("x", "buy", "1.00", "100.00", account="none"), 404), (order("x", "buy", "1.005", "100.00"), 409),
                ({**order("x", "buy", "1.00", "100.00"), "side": "both"}, 400), (order("x", "buy", "9999.00", "100.00"), 409), ({}, 400)]
        for number, (body, expect) in enumerate(same):
            status, answer = trader.ask("place", number, order=body)
            self.assertEqual(status, expect, answer)
            self.assertEqual(answer, self.call("POST", "firms/alpha/orders", body, expect))
        for message, expect in (({"op": "buy"}, "op is one of"), ({"op": "place"}, "order is missing"), ({"op": "cancel"}, "order_id"),
                                ({"op": "cancel", "order_id": "7"}, "no order 7"), ({"op": "cancel", "order_id": "x"}, "order_id"),
                                ({"op": "place", "order": {}, "more": 1}, "more")):
            trader.say(**message)
            answer = trader.read()
            self.assertIn(expect, answer["body"]["error"]["message"], message)
        trader.socket.send("no JSON")
        self.assertEqual(trader.read()["status"], 400)
        trader.say(op="cancel", order_id="7", id=["x"])
        self.assertIn("id is a text", trader.read()["body"]["error"]["message"])
        trader.socket.send_binary(b"x")
        opcode, data = trader.socket.recv_data()
        self.assertEqual((opcode, struct.unpack(">H", data[:2])[0]), (websocket.ABNF.OPCODE_CLOSE, 1003))

    def test_what_was_not_answered_is_sent_again_over_kills(self):
        """Orders by the hundred, with kills between: each is in the stream once, and the reports go on where they were."""
        choice = random.Random(4)
        names, seen, next_offset = [], [], 0
        for round_ in range(3):
            trader = self.open()
            trader.follow(**{"from": next_offset})
            for name in names:  # whatever became of them
                trader.say(op="place", id=name, order=order(name, "buy", "0.01", "90.00"))
            fresh = [f"r{round_}-{n}" for n in range(150)]
            for name in fresh:
                trader.say(op="place", id=name, order=order(name, "buy", "0.01", "90.00"))
            names += fresh
            stop = len(names) if round_ == 2 else len(names) - choice.randint(20, 120)
            trader.until(lambda: len(trader.answers) >= stop, "answers")
            self.assertEqual({status for status, _ in trader.answers.values()} - {200, 201}, set())
            if round_ == 2:
                trader.until(lambda: len(seen) + len(trader.reports) >= len(names), "reports")
            seen += [report["record"]["cl_ord_id"] for report in trader.reports]
            if trader.reports:
                next_offset = trader.reports[-1]["offset"] + 1
            trader.close()
            if round_ != 2:
                self.server.crash_restart()
        self.assertEqual(sorted(seen), sorted(names), "each reported once")
        entered = [row["cl_ord_id"] for row in self.pages("fintech.orders") if row["event"] == "new"]
        self.assertEqual(sorted(entered), sorted(names), "each entered once")

    def pages(self, stream):
        rows, at = [], 0
        while True:
            _, answer = http.call(self.server, "GET", f"/api/v1/streams/{stream}/records?limit=1000&offset={at}")
            if not answer["records"]:
                return rows
            rows += [record["value"] for record in answer["records"]]
            at = answer["records"][-1]["offset"] + 1

    def test_many_at_once_are_all_answered(self):
        trader = self.open()
        count = 5 * OUTSTANDING
        for n in range(count):
            trader.say(op="place", id=n, order=order(f"m{n}", "buy", "0.01", "90.00"))
        trader.until(lambda: len(trader.answers) == count, "answers")
        self.assertEqual({status for status, _ in trader.answers.values()}, {201})
        # A repeat says how it stands, as over HTTP.
        status, answer = trader.ask("place", "again", order=order("m0", "buy", "0.01", "90.00"))
        self.assertEqual((status, answer["repeated"]), (200, True))
        self.assertEqual(trader.follow()["from"], count)
        trader.say(op="reports", id="more")
        self.assertEqual(trader.read()["status"], 409)


class Rights(Guarded):
    def test_rights_are_those_of_now(self):
        open_market(self.admin)
        self.admin("POST", "/api/v1/roles", {"name": "looks", "permissions": [{"module": "exchange", "pattern": "alpha", "verbs": ["read"]}]})
        self.admin("POST", "/api/v1/roles", {"name": "trades", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["read", "create", "delete"]}]})
        self.add_user("lea", "looks")
        self.add_user("tom", "trades")
        with self.assertRaises(websocket.WebSocketBadStatusException):
            Trader(self.server, "beta", header={"Authorization": basic("tom", PASSWORD)})
        lea = Trader(self.server, header={"Authorization": basic("lea", PASSWORD)})
        self.addCleanup(lea.close)
        self.assertEqual(lea.ask("place", 1, order=order("l1", "buy", "1.00", "100.00"))[0], 403)
        self.assertIn(lea.follow()["type"], ("reports",))
        tom = Trader(self.server, header={"Authorization": basic("tom", PASSWORD)})
        self.addCleanup(tom.close)
        status, made = tom.ask("place", 1, order=order("t1", "buy", "1.00", "100.00"))
        self.assertEqual(status, 201, made)
        self.assertEqual(tom.ask("replace", 2, order_id=made["order_id"], order={"cl_ord_id": "t2", "quantity": "2.00"})[0], 403)
        lea.until(lambda: lea.reports, "the report")
        self.assertEqual(lea.reports[0]["record"]["cl_ord_id"], "t1")
        self.admin("DELETE", "/api/v1/users/tom", expect=200)
        while True:
            opcode, data = tom.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
        self.assertEqual(struct.unpack(">H", data[:2])[0], 4403)


if __name__ == "__main__":
    unittest.main()
