"""Trading calendars over HTTP and on the command line: what is declared holds over kill -9, brings phases by itself, and is refused with
the reason; the keeper extends what runs short."""

import datetime
import json
import os
import subprocess
import tempfile
import unittest
import zoneinfo

from heptane_testkit import Server, http, wait_until
from test_exchange import BOOK, ROOT, open_market, order

SECONDS = 60
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
BERLIN = {"time_zone": "Europe/Berlin", "sessions": [{"days": DAYS[:5], "phases": [
    {"from": "08:55", "phase": "opening_call"}, {"from": "09:00", "phase": "continuous"},
    {"from": "17:25", "phase": "closing_call"}, {"from": "17:30", "phase": "closed"}]}],
    "holidays": ["2026-12-25", "2027-01-01"],
    "dates": [{"date": "2026-12-30", "phases": [{"from": "09:00", "phase": "continuous"}, {"from": "14:00", "phase": "closed"}]}]}


class Calendars(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        open_market(lambda method, path, body: http.call(self.server, method, path, body))

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, ROOT + path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "fintech", *arguments, "--server", self.server.admin], capture_output=True,
                              text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout

    def phase(self):
        return self.call("GET", BOOK + "/book")["phase"]

    def until_phase(self, phase):
        wait_until(lambda: self.phase() == phase, f"phase {phase}")

    def test_what_is_declared_is_shown_in_utc_and_survives(self):
        self.assertEqual(self.call("PUT", "calendars/xetra", BERLIN)["revision"], 1)
        self.call("PUT", BOOK + "/calendar", {"calendar": "xetra"})
        self.server.crash_restart()
        shown = self.call("GET", "calendars/xetra")
        for name in ("time_zone", "sessions", "holidays", "dates"):
            self.assertEqual(shown[name], BERLIN[name])
        self.assertEqual(shown["instruments"], ["BTC/USD"])
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        opens = [row for row in shown["next"] if row["phase"] == "opening_call"]
        self.assertTrue(opens)
        for row in opens:
            at = datetime.datetime.fromisoformat(row["at"].replace("Z", "+00:00")).astimezone(zone)
            self.assertEqual((at.hour, at.minute, at.date().isoformat()), (8, 55, row["trade_date"]))
        self.assertEqual(self.call("PUT", "calendars/xetra", BERLIN)["revision"], 2)
        actions = [record["value"]["action"] for record in
                   http.call(self.server, "GET", "/api/v1/streams/audit/records?limit=1000")[1]["records"]]
        for action in ("exchange.calendar", "exchange.calendar_of", "exchange.calendar_change"):
            self.assertIn(action, actions)

    def test_what_is_wrong_is_refused_with_the_reason(self):
        refused = self.call("PUT", "calendars/x", {**BERLIN, "time_zone": "Europe/Nowhere"}, 400)
        self.assertIn("Europe/Nowhere", refused["error"]["message"])
        for change in ({"time_zone": "../../../etc/passwd"}, {"sessions": []}, {"holidays": ["2026-02-30"]}, {"colour": "red"},
                       {"sessions": [{"days": ["someday"], "phases": BERLIN["sessions"][0]["phases"]}]},
                       {"sessions": [{"days": DAYS, "phases": [{"from": "25:00", "phase": "continuous"}]}]},
                       {"sessions": [{"days": DAYS, "phases": [{"from": "09:00", "phase": "halted"}, {"from": "10:00", "phase": "closed"}]}]}):
            self.call("PUT", "calendars/x", {**BERLIN, **change}, 400)
        self.call("GET", "calendars/x", expect=404)
        self.call("PUT", BOOK + "/calendar", {"calendar": "x"}, 404)
        self.call("PUT", BOOK + "/calendar", {}, 400)

    def test_phases_come_by_themselves_also_after_a_start_that_was_late(self):
        """A call that ends in seconds, and a server that is down when it does."""
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
        if ends.time() > datetime.time(23, 59, 40) or ends.time() < datetime.time(0, 0, 10):
            self.skipTest("midnight in UTC")
        session = {"days": DAYS, "phases": [{"from": "00:00", "phase": "opening_call"},
                                            {"from": ends.strftime("%H:%M:%S"), "phase": "continuous"},
                                            {"from": "24:00", "phase": "closed"}]}
        self.call("POST", BOOK + "/phase", {"phase": "closed"})
        self.call("PUT", "calendars/utc", {"time_zone": "UTC", "sessions": [session]})
        self.call("PUT", BOOK + "/calendar", {"calendar": "utc"})
        self.until_phase("opening_call")
        for firm, side in (("alpha", "buy"), ("beta", "sell")):
            self.call("POST", f"firms/{firm}/orders", order(side, side, "1.00", "100.00"), 201)
        self.server.kill()
        wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) >= ends, "the call's end")
        self.server.start()
        self.until_phase("continuous")
        self.assertEqual(self.call("GET", BOOK + "/book")["last_price"], "100.00")
        # Operators override, what is halted stays so when another calendar comes.
        self.call("POST", BOOK + "/phase", {"phase": "halted"})
        self.call("PUT", "calendars/utc", {"time_zone": "UTC", "sessions": [session], "extension_s": 60})
        self.assertEqual(self.phase(), "halted")

    def test_the_command_line(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(BERLIN, file)
        self.addCleanup(os.unlink, file.name)
        self.assertEqual(json.loads(self.heptane("calendar", "put", "xetra", file.name))["revision"], 1)
        self.heptane("calendar", "set", "BTC/USD", "xetra")
        self.assertEqual(json.loads(self.heptane("calendar", "show", "xetra"))["instruments"], ["BTC/USD"])
        self.heptane("calendar", "set", "BTC/USD", "none")
        self.assertEqual(json.loads(self.heptane("calendar", "ls"))["calendars"][0]["instruments"], [])
        self.heptane("calendar", "show", "no-such", code=1)


if __name__ == "__main__":
    unittest.main()
