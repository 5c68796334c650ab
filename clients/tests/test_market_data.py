"""Market data from outside: books, trades and candles over a WebSocket by a client that was not written for it (websocket-client), over
FIX by libquickfix; rebuilt of what is told while orders come and the server is killed, and compared with what it says over HTTP."""

import base64
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import unittest

import websocket
from heptane_testkit import http
from heptane_testkit.wait import wait_until
from test_auth import PASSWORD, Guarded
from test_exchange import BOOK, Market, open_market, order
from test_fix import DICTIONARY, SETTINGS
from test_fix_exchange import EXCHANGE, PROGRAMS, SECONDS

WATCHER = os.path.join(PROGRAMS, "quickfix_watcher")
SYMBOL = "BTC/USD"


class Link:
    """A WebSocket on which a client subscribes; what comes is read by the caller."""

    def __init__(self, server, **options):
        self.socket = websocket.create_connection(f"ws://{server.admin}/api/v1/exchange/market-data", timeout=SECONDS, **options)

    def say(self, **message):
        self.socket.send(json.dumps(message))

    def read(self):
        return json.loads(self.socket.recv())

    def ask(self, channel, op="subscribe", **more):
        """The answer; what comes before it is dropped."""
        self.say(op=op, channel=channel, symbol=more.pop("symbol", SYMBOL), id="ask", **more)
        while True:
            answer = self.read()
            if answer.get("id") == "ask":
                return answer


class Book:
    """The levels of a book, made of a snapshot and increments."""

    def __init__(self):
        self.sequence, self.buy, self.sell = None, {}, {}

    def take(self, message):
        if message["type"] == "snapshot":
            self.buy, self.sell = ({row["price"]: row for row in message[side]} for side in ("bids", "asks"))
        else:
            assert message["from_sequence"] == self.sequence, (message, self.sequence)
            for change in message["changes"]:
                side = self.buy if change["side"] == "buy" else self.sell
                assert (change["price"] in side) == (change["action"] != "new"), change
                if change["action"] == "delete":
                    del side[change["price"]]
                else:
                    side[change["price"]] = {name: change[name] for name in ("price", "quantity", "orders")}
        self.sequence = message["sequence"]

    def sides(self):
        ordered = [sorted(side.values(), key=lambda row: float(row["price"])) for side in (self.buy, self.sell)]
        return ordered[0][::-1], ordered[1]


class Follower(threading.Thread):
    """Keeps books, trades and candles up to date, and connects again when the server is gone."""

    LEVELS = (1, 10, 1000)

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.stopped, self.connections, self.fault = server, False, 0, None
        self.books, self.trades, self.candles = {}, [], {}
        self.gone = threading.Event()  # nobody sets it: so long it waits for the server to come back
        self.start()

    def run(self):
        while not self.stopped:
            try:
                self.follow()
            except (OSError, websocket.WebSocketException):
                self.gone.wait(0.05)
            except Exception as fault:  # said by the test
                self.fault = fault
                return

    def follow(self):
        link = Link(self.server)
        try:
            self.listen(link)
        finally:
            link.socket.shutdown()

    def listen(self, link):
        self.books = {levels: Book() for levels in self.LEVELS}
        for levels in self.LEVELS:
            link.say(op="subscribe", channel="book", symbol=SYMBOL, levels=levels)
        link.say(op="subscribe", channel="candles", symbol=SYMBOL, width="1d")
        link.say(op="subscribe", channel="trades", symbol=SYMBOL, **{"from": self.trades[-1]["offset"] + 1 if self.trades else 0})
        self.connections += 1
        while not self.stopped:
            message = link.read()
            if message["type"] in ("snapshot", "increment"):
                self.books[message["levels"]].take(message)
            elif message["type"] == "trade":
                self.trades.append(message)
            elif message["type"] == "candle":
                self.candles[message["start_ms"]] = message
            else:
                assert message["type"] == "subscribed", message


class OverWebSocket(Market):
    def link(self):
        link = Link(self.server)
        self.addCleanup(link.socket.shutdown)
        return link

    def trade(self, name, price, quantity="1.00"):
        self.enter("beta", order("s" + name, "sell", quantity, price))
        self.enter("alpha", order("b" + name, "buy", quantity, price))

    def test_books_trades_and_candles(self):
        link = self.link()
        self.assertEqual(link.ask("book", levels=10)["type"], "subscribed")
        first = link.read()
        self.assertEqual((first["type"], first["bids"], first["asks"], first["phase"]), ("snapshot", [], [], "continuous"))
        self.enter("alpha", order("b1", "buy", "1.00", "99.00"))
        more = link.read()
        self.assertEqual(more["changes"], [{"action": "new", "side": "buy", "price": "99.00", "quantity": "1.00", "orders": 1}])
        self.assertEqual(more["from_sequence"], first["sequence"])
        self.assertEqual(more["sequence"], self.call("GET", BOOK + "/book")["sequence"])
        self.assertEqual(link.ask("book", "unsubscribe", levels=10)["type"], "unsubscribed")
        self.assertEqual(link.ask("trades")["from"], 0)
        self.assertEqual(link.ask("candles", width="1h")["type"], "subscribed")
        self.trade("2", "100.00")
        seen = {message["type"]: message for message in (link.read(), link.read())}
        trade, candle = seen["trade"], seen["candle"]
        self.assertEqual((trade["price"], trade["quantity"], trade["aggressor"], trade["offset"]), ("100.00", "1.00", "buy", 0))
        self.assertNotIn("buy_order_id", trade)
        self.assertEqual((candle["open"], candle["volume"], candle["notional"], candle["trades"], candle["closed"]),
                         ("100.00", "1.00", "100.00", 1, False))

    def test_candles_over_http_survive_a_kill(self):
        for n, price in enumerate(("100.00", "104.00", "98.00")):
            self.trade(str(n), price)
        def answer():
            rows = self.call("GET", BOOK + "/candles?width=1d")["candles"]
            return [{name: row[name] for name in ("open", "high", "low", "close", "volume", "notional", "trades")} for row in rows]
        # A day that ends meanwhile makes two of them.
        before = answer()
        self.assertEqual(sum(row["trades"] for row in before), 3)
        self.assertEqual((before[0]["open"], before[-1]["close"]), ("100.00", "98.00"))
        self.assertEqual((max(row["high"] for row in before), min(row["low"] for row in before)), ("104.00", "98.00"))
        for restart in (self.server.crash_restart, self.server.restart):
            restart()
            self.assertEqual(answer(), before)
        self.assertIn("104.00", self.heptane("fintech", "candles", "BTC/USD", "--width", "1d"))
        seconds = self.call("GET", BOOK + "/candles?width=1s&limit=1&from=0")
        self.assertEqual(len(seconds["candles"]), 1)
        self.assertEqual(self.call("GET", BOOK + f"/candles?width=1s&to={seconds['next_ms']}")["candles"][0]["open"], "100.00")
        self.call("GET", BOOK + "/candles?width=2m", expect=400)
        self.call("GET", "instruments/NO-SUCH/candles", expect=404)

    def test_what_is_wrong_is_said_and_the_connection_goes_on(self):
        link = self.link()
        for message, code in (("no json", "invalid_argument"), ('{"op":"subscribe"}', "invalid_argument"),
                              ('{"op":"subscribe","channel":"book","symbol":"BTC/USD","levels":7}', "invalid_argument"),
                              ('{"op":"subscribe","channel":"candles","symbol":"BTC/USD","width":"2m"}', "invalid_argument"),
                              ('{"op":"subscribe","channel":"book","symbol":"BTC/USD","colour":"red"}', "invalid_argument"),
                              ('{"op":"unsubscribe","channel":"book","symbol":"BTC/USD"}', "not_found")):
            link.socket.send(message)
            self.assertEqual((link.read()["error"]["code"]), code, message)
        self.assertEqual(link.ask("book", symbol="NO/SUCH")["type"], "subscribed")
        self.assertEqual(link.read()["error"]["code"], "not_found")
        self.assertEqual(link.ask("book")["type"], "subscribed")
        self.assertEqual(link.ask("book")["error"]["code"], "exists")
        for n in range(255):
            link.say(op="subscribe", channel="trades", symbol=f"S{n}")
        self.assertEqual(link.ask("candles", width="1m")["error"]["code"], "refused")
        self.assertEqual(link.ask("book", "unsubscribe")["type"], "unsubscribed")

    def test_what_a_client_rebuilds_is_the_book_over_kill_9(self):
        follower = Follower(self.server)
        self.addCleanup(setattr, follower, "stopped", True)
        dice, made = random.Random(7), []
        for step in range(400):
            side, firm = dice.choice((("buy", "alpha"), ("sell", "beta")))
            if made and dice.random() < 0.3:
                firm, number = made.pop(dice.randrange(len(made)))
                self.server_call("DELETE", f"firms/{firm}/orders/{number}", {})
            else:
                status, answer = self.server_call("POST", f"firms/{firm}/orders", order(
                    f"{side}{step}", side, f"0.{dice.randrange(1, 9)}0", f"{dice.randrange(95, 106)}.00"))
                if status == 201:
                    made.append((firm, answer["order_id"]))
            if step in (130, 260):
                self.server.crash_restart()
        wait_until(lambda: follower.fault is not None or self.agrees(follower), "the book", SECONDS)
        self.assertIsNone(follower.fault)
        trades = self.records("fintech.trades")
        self.assertGreater(len(trades), 20)
        self.assertEqual([trade["trade_id"] for trade in follower.trades], [trade["trade_id"] for trade in trades])
        self.assertEqual(sum(candle["trades"] for candle in follower.candles.values()), len(trades))
        self.assertGreaterEqual(follower.connections, 3)

    def server_call(self, method, path, body):
        return http.call(self.server, method, EXCHANGE + path, body)

    def agrees(self, follower):
        book = self.call("GET", BOOK + "/book?levels=1000")
        trades = len(self.records("fintech.trades"))
        for levels in Follower.LEVELS:
            sides = follower.books[levels].sides() if levels in follower.books else None
            if sides != (book["bids"][:levels], book["asks"][:levels]):
                return False
        return len(follower.trades) == trades and sum(row["trades"] for row in follower.candles.values()) == trades


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def test_who_may_not_read_market_data_is_closed(self):
        open_market(self.admin)
        self.admin("POST", "/api/v1/roles", {"name": "onlooker", "permissions": [
            {"module": "exchange", "pattern": "market", "verbs": ["read"]}]})
        self.add_user("carol", "onlooker")
        self.add_user("dave")
        with self.assertRaises(websocket.WebSocketBadStatusException) as refused:
            self.link("dave")
        self.assertEqual(refused.exception.status_code, 403)
        link = self.link("carol")
        self.assertEqual(link.ask("book")["type"], "subscribed")
        self.admin("DELETE", "/api/v1/users/carol", {})
        while True:
            opcode, data = link.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
        self.assertEqual(int.from_bytes(data[:2], "big"), 4403)

    def link(self, user):
        proof = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        link = Link(self.server, header=["Authorization: Basic " + proof])
        self.addCleanup(link.socket.shutdown)
        return link


@unittest.skipUnless(os.path.exists(WATCHER) and os.path.exists(DICTIONARY), "libquickfix-dev or its dictionary was not there")
class OverFix(Market):
    def make_server(self):
        return super().make_server().use_stable_port("fix")

    def setUp(self):
        super().setUp()
        self.call("POST", "fix-sessions", {"name": "WATCH", "firm": "alpha", "role": "market_data"})
        self.work = tempfile.mkdtemp(prefix="heptane-market-")
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        path = os.path.join(self.work, "settings")
        with open(path, "w", encoding="ascii") as settings:
            text = SETTINGS.format(port=self.server.address("fix")[1], store=self.work, heartbeat=1, name="WATCH", target="HEPTANE",
                                   dictionary=f"UseDataDictionary=Y\nDataDictionary={DICTIONARY}")
            settings.write(text.replace("ResetOnLogon=N", "ResetOnLogon=Y"))
        self.process = subprocess.Popen([WATCHER, path, SYMBOL, "local", "none"], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.addCleanup(self.close)

    def read(self):
        for line in self.process.stdout:
            self.said.append(line.split())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def of(self, *kinds):
        return [line for line in list(self.said) if line[0] in kinds]

    def agrees(self):
        book = self.call("GET", BOOK + "/book?levels=1000")
        texts = [[f"{row['price']}:{row['quantity']}:{row['orders']}" for row in book[side]] for side in ("bids", "asks")]
        told = self.of("whole", "more")
        return bool(told) and told[-1][1:] == texts[0] + ["/"] + texts[1]

    def test_what_libquickfix_rebuilds_is_the_book_over_kill_9(self):
        wait_until(lambda: self.of("whole"), "the book", SECONDS)
        dice = random.Random(11)
        for step in range(240):
            side, firm = dice.choice((("buy", "alpha"), ("sell", "beta")))
            self.enter(firm, order(f"{side}{step}", side, "0.05", f"{dice.randrange(95, 106)}.00"))
            if step == 120:
                wait_until(self.agrees, "the book", SECONDS)
                trades = self.trades()
                wait_until(lambda: len(self.of("trade")) == trades, "the trades", SECONDS)
                self.server.crash_restart()
                wait_until(lambda: len(self.of("whole")) > 1, "the book anew", SECONDS)
        wait_until(self.agrees, "the book", SECONDS)
        wait_until(lambda: len(self.of("trade")) == self.trades(), "the trades", SECONDS)
        self.assertEqual([line[1] for line in self.of("trade")], [row["trade_id"] for row in self.records("fintech.trades")])
        self.assertGreater(self.trades(), 20)
        self.assertEqual(self.of("fault", "reject"), [])
        self.assertEqual(len(self.of("logon")), 2)

    def test_phases_as_libquickfix_hears_them(self):
        wait_until(lambda: self.of("security") and self.of("session"), "the phases", SECONDS)
        for phase in ("halted", "auction_call"):
            count = len(self.of("session"))
            self.call("POST", BOOK + "/phase", {"phase": phase})
            wait_until(lambda: len(self.of("security")) > count and len(self.of("session")) > count, phase, SECONDS)
        self.assertEqual([line[1] for line in self.of("security")], ["17", "2", "21"])
        self.assertEqual([line[1] for line in self.of("session")], ["2", "1", "4"])
        self.assertEqual(self.of("fault", "reject"), [])

    def trades(self):
        return len(self.records("fintech.trades"))


if __name__ == "__main__":
    unittest.main()
