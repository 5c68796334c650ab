"""The exchange over FIX from outside: libquickfix initiators that trade while the server is killed, a drop copy, credentials, and
sessions on the command line. The initiator is clients/tests/quickfix/quickfix_trader.cc."""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from collections import Counter
from decimal import Decimal

from heptane_testkit import ROOT, Server
from heptane_testkit.certificates import Authority
from heptane_testkit.wait import wait_until
from test_auth import PASSWORD, Guarded
from test_exchange import SMALL_SEGMENTS, open_market
from test_fix import DICTIONARY, SETTINGS, Connection, completed, fields_of, with_times

PROGRAMS = os.environ.get("FIX_PROGRAMS") or os.path.join(ROOT, "build", "release", "tests")
TRADER = os.path.join(PROGRAMS, "quickfix_trader")
EXCHANGE = "/api/v1/exchange/"
SECONDS = 180


class Trader:
    """A libquickfix initiator; what it says is read by a thread."""

    def __init__(self, port, name, user, count, side="1", window=50, password=PASSWORD, store=None):
        self.work = store or tempfile.mkdtemp(prefix="heptane-fix-")
        dictionary = f"UseDataDictionary=Y\nDataDictionary={DICTIONARY}" if os.path.exists(DICTIONARY) else "UseDataDictionary=N"
        path = os.path.join(self.work, "settings")
        with open(path, "w", encoding="ascii") as settings:
            settings.write(SETTINGS.format(port=port, store=self.work, dictionary=dictionary, heartbeat=1, name=name,
                                           target="HEPTANE"))
        self.process = subprocess.Popen([TRADER, path, str(count), str(window), side, "100", user, password], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.split())

    def of(self, what):
        return [line[1:] for line in list(self.said) if line[0] == what]

    def reports(self, kind):
        return [line[1:] for line in self.of("report") if line[0] == kind]

    def reports_of_fills(self):
        """In the order of their trades."""
        return sorted(self.reports("F"), key=lambda report: int(report[1]))

    def finish(self):
        try:
            code = self.process.wait(SECONDS)
        finally:
            self.close()
        return code

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        shutil.rmtree(self.work, ignore_errors=True)


class Venue(Guarded):
    args = ("--plain-on-loopback",)
    tls = None

    def make_server(self):
        return super().make_server().use_stable_port("fix")

    def setUp(self):
        super().setUp()
        open_market(self.admin)
        for firm in ("alpha", "beta"):
            self.admin("POST", "/api/v1/roles", {"name": f"trader-{firm}", "permissions": [
                {"module": "exchange", "pattern": firm, "verbs": ["create", "alter", "delete", "read"]}]})
            self.add_user(firm, f"trader-{firm}")
            self.session(firm.upper(), firm)
        self.port = self.server.address("fix")[1]

    def session(self, name, firm, **more):
        return self.admin("POST", EXCHANGE + "fix-sessions", {"name": name, "firm": firm, "user": firm, **more})

    def trader(self, *arguments, **more):
        trader = Trader(self.port, *arguments, **more)
        self.addCleanup(trader.close)
        return trader

    def numbers(self, name):
        (row,) = [row for row in self.admin("GET", EXCHANGE + "fix-sessions")["sessions"] if row["name"] == name]
        return row

    def position(self, firm):
        (row,) = self.admin("GET", EXCHANGE + f"firms/{firm}/accounts/main")["positions"]
        return Decimal(row["position"])


class Trading(Venue):
    def interrupt(self, number):
        """What happens to the server."""
        self.server.crash_restart()

    def trade(self, count, kills, drop=None):
        """Two firms trade with one another, a drop copy listens, the server is interrupted; every order is acknowledged and filled
        once."""
        drop = drop or self.listener()
        traders = [self.trader("ALPHA", "alpha", count, "1"), self.trader("BETA", "beta", count, "2")]
        for kill in range(1, kills + 1):
            wait_until(lambda: len(traders[0].reports("F")) >= count * kill // (kills + 1), "fills", SECONDS)
            self.interrupt(kill)
        for trader in traders:
            wait_until(lambda: trader.process.poll() is not None, "the last fill", SECONDS)
        fills = sum((Counter(id for id, _, _ in trader.reports("F")) for trader in traders), Counter())
        wait_until(lambda: len(drop.reports("F")) >= count, "the drop copy", SECONDS)
        for trader, side in zip(traders, "12"):
            self.assertEqual(trader.process.returncode, 0)
            self.assertEqual(Counter(id for id, _, _ in trader.reports("0")), Counter(f"{side}-{n}" for n in range(count)))
            self.assertEqual(sum(Decimal(quantity) for _, _, quantity in trader.reports("F")), count * Decimal("0.01"))
            executions = [execution for kind in "0F" for _, execution, _ in trader.reports(kind)]
            self.assertEqual(len(executions), len(set(executions)))
            self.assertEqual(trader.of("captured"), trader.reports_of_fills())
            self.assertEqual([text for text in trader.of("logout") if text], [])
            self.assertEqual(trader.of("reject"), [])
            self.assertGreater(len(trader.of("logon")), kills)
        self.assertEqual(len(fills), 2 * count)
        # The same executions, in the same order.
        self.assertEqual(drop.reports("F"), traders[0].reports("F"))
        self.assertEqual(drop.reports("0"), traders[0].reports("0"))
        self.assertEqual([text for text in drop.of("logout") if text], [])
        self.assertEqual((self.position("alpha"), self.position("beta")), (count * Decimal("0.01"), count * Decimal("-0.01")))
        drop.process.stdin.write("\n")
        drop.process.stdin.flush()
        self.assertEqual(drop.finish(), 0)

    def listener(self):
        self.session("DROP", "alpha", role="drop_copy")
        return self.trader("DROP", "alpha", 0)


@unittest.skipUnless(os.path.exists(TRADER), "quickfix_trader is not built: libquickfix-dev was not there")
class QuickFix(Trading):
    def test_every_order_is_acknowledged_and_filled_once(self):
        self.trade(500, 0)

    def test_and_over_kill_9(self):
        self.trade(900, 5)

    def test_a_wrong_password_is_not_admitted(self):
        stranger = self.trader("ALPHA", "alpha", 1, password="wrong horse battery")
        wait_until(lambda: self.refusals() > 0, "a refusal", SECONDS)
        self.assertEqual(stranger.of("logon"), [])
        self.assertEqual((self.numbers("ALPHA")["next_in"], self.numbers("ALPHA")["next_out"]), (1, 1))

    def refusals(self):
        done = subprocess.run(["curl", "-s", "-H", "Authorization: Bearer " + self.token, f"http://{self.server.admin}/metrics"],
                              capture_output=True, text=True, timeout=20)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("heptane_fix_refused_total")]
        return float(line.split()[1])


@unittest.skipUnless(os.path.exists(TRADER), "quickfix_trader is not built: libquickfix-dev was not there")
class PowerCuts(Trading):
    """The power goes while heartbeats, orders and resends are under way; the server comes back on what the disk kept, at its ports."""

    def make_server(self):
        return Server.with_powercut(args=("--auth", *self.args, *SMALL_SEGMENTS)).use_stable_port("fix")

    def cut(self, seed):
        before = self.server
        before.kill()
        after = before.after_cut(seed, ("reorder", "lose", "tear", "keep")[seed % 4])
        self.addCleanup(after.close)  # its data directory with it
        self.server = Server.with_powercut(args=before.args, data=after.data, listen=before.listen)
        self.addCleanup(self.server.close)
        before.close()
        self.server.start()

    def interrupt(self, number):
        """Two cuts: the second one as soon as somebody is back, and asks for what it missed."""
        logons = sum(len(trader.of("logon")) for trader in self.listeners)
        self.cut(2 * number)
        wait_until(lambda: sum(len(trader.of("logon")) for trader in self.listeners) > logons, "a logon", SECONDS)
        self.cut(2 * number + 1)

    def trader(self, *arguments, **more):
        trader = super().trader(*arguments, **more)
        self.listeners = [*getattr(self, "listeners", []), trader]
        return trader

    def test_no_logout_no_loss_no_double(self):
        drop = self.listener()
        for seed in range(2):  # heartbeats alone
            heard = self.numbers("DROP")["next_out"]
            wait_until(lambda: self.numbers("DROP")["next_out"] > heard + 1, "heartbeats", SECONDS)
            self.cut(seed)
        self.trade(600, 3, drop)


class Talk(Venue):
    """Messages written by hand."""

    def connect(self):
        connection = Connection(self.port)
        self.addCleanup(connection.close)
        if self.tls:
            connection.socket = self.tls.wrap_socket(connection.socket, server_hostname="localhost")
        return connection

    @staticmethod
    def say(connection, name, text):
        head, rest = text.split("|", 1)
        line = f"8=FIX.4.4|{head}|49={name}|56=HEPTANE|52=<TIME>|{rest}"
        connection.send(completed(with_times(line).replace("|", "\x01")))

    def log_on(self, name="ALPHA", user="alpha", number=1, password=PASSWORD, **more):
        connection = self.connect()
        extra = "".join(f"|{tag[1:]}={value}" for tag, value in more.items())
        self.say(connection, name, f"35=A|34={number}|98=0|108=30|553={user}|554={password}{extra}")
        return connection

    def read(self, connection):
        got = connection.read()
        return None if got is None else dict(field.split("=", 1) for field in fields_of(got))


class ByHand(Talk):
    def test_credentials(self):
        for name, user, password in (("ALPHA", "alpha", "wrong horse"), ("ALPHA", "beta", PASSWORD), ("NOBODY", "alpha", PASSWORD)):
            self.assertIsNone(self.read(self.log_on(name, user, password=password)))
        first = self.log_on()
        self.assertEqual(self.read(first)["35"], "A")
        # While it is there it has the session alone.
        self.assertIsNone(self.read(self.log_on(number=2)))
        self.say(first, "ALPHA", "35=1|34=2|112=still here")
        self.assertEqual(self.read(first)["112"], "still here")
        self.server.stop()
        said = self.server.stdout() + self.server.stderr()
        dump = self.server.run("log", "dump", "--data", self.server.data).stdout
        for text in (said, dump):
            self.assertNotIn(PASSWORD, text)
        for folder, _, files in os.walk(self.server.data):
            for file in files:
                with open(os.path.join(folder, file), "rb") as data:
                    self.assertNotIn(PASSWORD.encode(), data.read(), file)

    def test_what_the_user_may_not_do_is_not_authorised(self):
        self.admin("POST", "/api/v1/roles", {"name": "onlooker", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["read"]}]})
        self.add_user("carol", "onlooker")
        self.session("LOOK", "alpha", user="carol")
        connection = self.log_on("LOOK", "carol")
        self.assertEqual(self.read(connection)["35"], "A")
        self.say(connection, "LOOK", "35=D|34=2|11=a|1=main|55=BTC/USD|54=1|60=<TIME>|38=1.00|40=2|44=100.00")
        refused = self.read(connection)
        self.assertEqual((refused["35"], refused["380"]), ("j", "6"))

    def test_who_may_not_read_what_the_firm_does_does_not_log_on(self):
        self.admin("POST", "/api/v1/roles", {"name": "blind", "permissions": [
            {"module": "exchange", "pattern": "alpha", "verbs": ["create"]}]})
        self.add_user("dave", "blind")
        for name, role in (("BLIND", "orders"), ("COPY", "drop_copy")):
            self.session(name, "alpha", user="dave", role=role)
            self.assertIsNone(self.read(self.log_on(name, "dave")))

    def test_sessions_are_kept_set_and_audited(self):
        connection = self.log_on()
        self.read(connection)
        self.say(connection, "ALPHA", "35=D|34=2|11=a|1=main|55=BTC/USD|54=1|60=<TIME>|38=1.00|40=2|44=100.00|59=1")
        self.assertEqual(self.read(connection)["150"], "0")
        self.server.crash_restart()
        self.assertEqual((self.numbers("ALPHA")["next_in"], self.numbers("ALPHA")["next_out"]), (3, 3))
        self.assertIn("ALPHA", self.cli("fintech", "fix-session", "ls").stdout)
        self.assertEqual(self.cli("fintech", "fix-session", "reset", "ALPHA", "--next-in", "7", "--next-out", "9").returncode, 0)
        connection = self.log_on(number=7)
        self.assertEqual(self.read(connection)["34"], "9")
        done = self.cli("fintech", "fix-session", "add", "GAMMA", "--firm", "beta", "--user", "beta", "--cancel", "on_disconnect")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(json.loads(done.stdout)["created"])
        self.assertEqual(self.numbers("GAMMA")["cancel_on_disconnect"], "on_disconnect")
        self.admin("POST", EXCHANGE + "fix-sessions", {"name": "GAMMA", "firm": "alpha"}, 409)
        self.admin("POST", EXCHANGE + "fix-sessions", {"name": "X", "firm": "nobody"}, 404)
        records = self.admin("GET", "/api/v1/streams/audit/records?limit=1000")["records"]
        actions = [record["value"]["action"] for record in records]
        self.assertIn("exchange.fix_session", actions)
        self.assertIn("exchange.fix_reset", actions)

    def test_hours_addresses_and_a_rate(self):
        done = self.cli("fintech", "fix-session", "add", "ALPHA", "--firm", "alpha", "--user", "alpha", "--start-time", "09:00",
                        "--end-time", "17:30:15", "--start-day", "sunday", "--end-day", "friday", "--time-zone", "Europe/Berlin",
                        "--allow", "10.0.0.0/8", "--allow", "fd00::1", "--rate", "50")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.server.crash_restart()
        row = self.numbers("ALPHA")
        self.assertEqual([row[key] for key in ("non_stop_session", "start_time", "end_time", "start_day", "end_day", "time_zone")],
                         [False, "09:00", "17:30:15", "sunday", "friday", "Europe/Berlin"])
        self.assertEqual((row["allowed_addresses"], row["rate"]), (["10.0.0.0/8", "fd00::1"], 50))
        self.assertIsNone(self.read(self.log_on()))
        # An hour that is not now.
        now = time.gmtime()
        hours = {"start_time": f"{(now.tm_hour + 2) % 24:02}:00", "end_time": f"{(now.tm_hour + 3) % 24:02}:00"}
        self.session("ALPHA", "alpha", **hours)
        refused = self.read(self.log_on())
        self.assertEqual((refused["35"], refused["34"]), ("5", "1"))
        self.assertIn("the session is open from", refused["58"])
        for wrong in ({"start_time": "09:00"}, {"start_time": "09:00", "end_time": "25:00"}, {"start_day": "monday"},
                      {**hours, "start_day": "someday", "end_day": "monday"}, {**hours, "non_stop_session": True},
                      {**hours, "time_zone": "Atlantis/Deep"}, {"non_stop_session": False},
                      {"allowed_addresses": ["somewhere"]}, {"rate": -1}):
            self.admin("POST", EXCHANGE + "fix-sessions", {"name": "ALPHA", "firm": "alpha", **wrong}, 400)

    def test_what_was_said_is_a_stream(self):
        connection = self.log_on()
        self.read(connection)
        records = self.admin("GET", "/api/v1/streams/fintech.fix.ALPHA/records?limit=10")["records"]
        self.assertIn("35=A", str(records[0]["value"]))


class WithoutTls(Talk):
    args = ()

    def test_no_password_is_taken(self):
        self.assertIsNone(self.read(self.log_on()))


class OverTls(Talk):
    def make_server(self):
        authority = Authority()
        self.addCleanup(authority.close)
        for name in ("server", "alpha"):
            authority.issue(name)
        path = authority.path
        self.tls = ssl.create_default_context(cafile=authority.ca)
        self.certificate = path("alpha.pem"), path("alpha.key")
        self.args = ("--tls-cert", path("server.pem"), "--tls-key", path("server.key"), "--tls-listener", "fix",
                     "--tls-client-ca", authority.ca, "--tls-client-optional")
        return super().make_server()

    def test_a_password_is_taken_and_a_certificate_is(self):
        connection = self.log_on()
        self.assertEqual(self.read(connection)["35"], "A")
        self.say(connection, "ALPHA", "35=5|34=2")
        self.assertEqual(self.read(connection)["35"], "5")
        self.assertIsNone(self.read(connection))
        self.admin("PUT", "/api/v1/users/alpha", {"certificate": True})
        for expected in (None, "A"):
            connection = self.connect()
            self.say(connection, "ALPHA", "35=A|34=3|98=0|108=30")
            answer = self.read(connection)
            self.assertEqual(answer and answer["35"], expected)
            self.tls.load_cert_chain(*self.certificate)


if __name__ == "__main__":
    unittest.main()
