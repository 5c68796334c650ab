"""A log of an older program under this one: it goes on as it was until an operator activates the newer logic."""

import json
import subprocess
import unittest

from heptane_testkit import Server, default_binary, http, kafka
from heptane_testkit.mqtt import mosquitto_pub, mosquitto_sub
from test_exchange import ROOT, open_market, order


def run_heptane(*arguments):
    return subprocess.run([default_binary(), *map(str, arguments)], capture_output=True, text=True, timeout=120)


class Upgrade(unittest.TestCase):
    def old_log(self, *args):
        """A log in which nothing was ever activated: a new one, cut before its first command."""
        server = Server(args=args)
        self.addCleanup(server.close)
        server.start()
        server.kill()
        cut = run_heptane("log", "repair", "--data", server.data, "--cut-at", 1)
        self.assertEqual(cut.returncode, 0, cut.stderr)
        return server

    def good(self, server, *arguments):
        done = run_heptane(*arguments, "--server", server.admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def versions(self, server):
        status = json.loads(self.good(server, "upgrade", "status", "--json"))
        return {row["name"]: (row["active"], row["newest"]) for row in status["machines"]}, status["available"]

    def transact(self, server, first, second):
        appends = [http.append("s", 1, expected_offset=offset) for offset in (first, second)]
        return http.transact(server, *appends)

    def audit(self, server):
        return [event for event in map(json.loads, kafka.kcat_consume(server.kafka, "audit"))
                if event["action"] == "upgrade.activate"]

    def test_a_new_log_follows_the_newest_logic(self):
        with Server() as server:
            versions, available = self.versions(server)
            self.assertEqual(versions["streams"], (2, 2))
            self.assertEqual(available, 0)
            self.assertIn("active already", self.good(server, "upgrade", "activate"))
            self.assertNotIn("newer logic", server.stdout())

    def test_an_old_log_waits_for_its_operator(self):
        server = self.old_log().start()
        self.assertIn("There is a newer logic of streams, version 2: heptane upgrade status.", server.stdout())
        self.assertEqual(self.versions(server)[0]["streams"], (1, 2))
        self.good(server, "stream", "create", "s")
        self.assertEqual(self.transact(server, 0, 0)[0], 200)
        self.assertEqual(self.transact(server, 2, 3)[0], 409)
        self.assertRegex(http.text(server, "/metrics"), r"(?m)^heptane_upgrades_available [1-9]")

        missing = run_heptane("upgrade", "activate", "nowhere", "--server", server.admin)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("there is no machine nowhere", missing.stderr)
        self.assertIn("streams: logic version 2, was 1", self.good(server, "upgrade", "activate", "streams"))
        # Answered when synced: a kill loses nothing of it.
        server.kill()
        server.start()
        self.assertEqual(self.versions(server)[0]["streams"], (2, 2))
        self.assertEqual(self.transact(server, 2, 3)[0], 200)
        self.assertEqual(self.transact(server, 4, 4)[0], 409)
        event, = self.audit(server)
        self.assertEqual((event["by"], event["on"], event["detail"]), ("local", "streams", "logic version 1 to 2"))
        self.good(server, "upgrade", "activate")
        self.assertEqual(self.versions(server)[1], 0)
        self.assertRegex(http.text(server, "/metrics"), r"(?m)^heptane_upgrades_available 0$")

    def test_a_broker_of_before_tells_and_queues_when_it_is_activated(self):
        server = self.old_log("--set", "mqtt.queue_max=2").start()
        self.assertEqual(self.versions(server)[0]["broker"], (1, 8))

        def member(client, topic, *arguments):
            return mosquitto_sub(server.address("mqtt"), "-c", "-i", client, "-q", 1, "-t", topic, *arguments)

        def publish(*texts):
            for text in texts:
                mosquitto_pub(server.address("mqtt"), "-q", 1, "-t", "t", "-m", text)

        member("alone", "t", "-E")
        member("crew", "$share/crew/t", "-E")
        publish(1, 2, 3)
        server.crash_restart()
        self.assertNotIn("iot.events", self.good(server, "stream", "ls"))
        self.assertIn("broker: logic version 8, was 1", self.good(server, "upgrade", "activate", "broker"))
        publish(4)
        gap, = map(json.loads, kafka.kcat_consume(server.kafka, "iot.events"))
        self.assertEqual((gap["client"], gap["reason"], gap["count"]), ("alone", "drop_oldest", 1))
        # The group's queue begins when its member is back.
        member("crew", "$share/crew/t", "-E")
        publish(5)
        server.crash_restart()
        self.assertEqual(member("crew", "$share/crew/t", "-C", 1), ["5"])
        self.assertEqual(member("alone", "t", "-C", 2), ["4", "5"])

    def test_a_ledger_of_before_does_not_know_what_failed_first(self):
        server = self.old_log().start()

        def create(ledger, key):
            rows = [{"id": str(number), "ledger": ledger, "code": 1} for number in range(1, 17)]
            return http.call(server, "POST", "/api/v1/ledger/accounts", {"accounts": rows}, key=key)

        self.assertEqual(create(1, "before")[0], 200)
        self.assertIn("ledger: logic version 4, was 1", self.good(server, "upgrade", "activate", "ledger"))
        server.crash_restart()
        status, unknown = create(1, "before")
        self.assertEqual((status, unknown["error"]["code"]), (409, "results_not_kept"))
        self.assertEqual(create(2, "behind")[0], 409)
        status, again = create(2, "behind")
        self.assertEqual((status, again["error"]["code"], again["error"]["index"], again["repeated"], again["results"]),
                         (409, "exists_with_different_ledger", 0, True, None))

    def test_trades_of_before_are_not_busted(self):
        server = self.old_log().start()
        open_market(lambda method, path, body: http.call(server, method, path, body))

        def trade(number):
            for firm, side in (("beta", "sell"), ("alpha", "buy")):
                body = order(f"{side}{number}", side, "1.00", "100.00")
                self.assertEqual(http.call(server, "POST", ROOT + f"firms/{firm}/orders", body)[0], 201)

        def bust(number):
            return http.call(server, "POST", ROOT + f"trades/{number}/bust", {"reason": "drill"})

        trade(1)
        status, refused = bust(1)
        self.assertEqual(status, 501, refused)
        self.assertIn("before version 2 of the exchange's logic", refused["error"]["message"])
        self.assertIn("exchange: logic version 4, was 1", self.good(server, "upgrade", "activate", "exchange"))
        trade(2)
        server.crash_restart()
        (account,) = http.call(server, "GET", ROOT + "firms/alpha/positions")[1]["accounts"]
        (position,) = account["positions"]
        self.assertEqual([position[name] for name in ("position", "uncounted", "open_for")], ["2.00", "1.00", "100.00"])
        self.assertEqual((bust(1)[0], bust(2)[0]), (501, 200))

    def test_rules_of_before_do_not_post(self):
        server = self.old_log().start()
        self.good(server, "stream", "create", "s")
        rule = {"sql": 'SELECT n FROM STREAM "s"', "http": {"url": "https://hooks.example.com/"}}
        status, refused = http.call(server, "PUT", "/api/v1/rules/hook", rule)
        self.assertEqual(status, 400, refused)
        self.assertIn("the rules' logic 2", refused["error"]["message"])
        self.assertIn("rules: logic version 5, was 1", self.good(server, "upgrade", "activate", "rules"))
        server.crash_restart()
        self.assertEqual(http.call(server, "PUT", "/api/v1/rules/hook", rule)[0], 201)

    def test_a_start_activates_when_it_is_told_to(self):
        server = self.old_log()
        config = server.data + ".toml"
        with open(config, "w", encoding="utf-8") as text:
            text.write("[upgrade]\nauto_activate = true\n")
        server.args = ["--config", config]
        server.start()
        self.assertIn("There is a newer logic of streams, version 2: it is active from now on.", server.stdout())
        self.assertEqual(self.versions(server), (self.versions(server)[0], 0))
        self.assertIn("upgrade.auto_activate", self.audit(server)[0]["detail"])
        server.restart()
        self.assertEqual(len([event for event in self.audit(server) if event["on"] == "streams"]), 1)


if __name__ == "__main__":
    unittest.main()
