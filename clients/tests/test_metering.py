"""examples/metering as it stands: readings over MQTT by real clients become transfers, exactly once, over kills and power cuts."""

import collections
import json
import os
import random
import threading
import unittest
from decimal import ROUND_HALF_UP, Decimal

from paho.mqtt import client as paho

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import mosquitto_pub, mosquitto_sub

SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, os.pardir, os.pardir, "examples", "metering", "heptane.toml")
TARIFF = Decimal("28.75")
UTILITY = 900
METERS = (1001, 1002, 1003)
LIMITED = 1004


def cents(kwh):
    return int((Decimal(kwh) * TARIFF).quantize(Decimal(1), ROUND_HALF_UP))


def open_accounts(server):
    status, answer = http.call(server, "POST", "/api/v1/ledger/assets", {"code": "EUR", "ledger": 978, "scale": 2})
    assert status in (200, 201), answer
    accounts = [{"id": str(UTILITY), "asset": "EUR", "code": 1}]
    accounts += [{"id": str(meter), "asset": "EUR", "code": 1, "flags": ["debits_must_not_exceed_credits"]}
                 for meter in METERS + (LIMITED,)]
    status, answer = http.call(server, "POST", "/api/v1/ledger/accounts", {"accounts": accounts})
    assert status in (200, 201), answer
    top_up = [{"id": str(1000 + meter), "debit_account_id": str(UTILITY), "credit_account_id": str(meter),
               "amount": "1.00" if meter == LIMITED else "1000000.00", "asset": "EUR", "code": 2}
              for meter in METERS + (LIMITED,)]
    status, answer = http.call(server, "POST", "/api/v1/ledger/transfers", {"transfers": top_up})
    assert status in (200, 201) and all(one["status"] == "created" for one in answer["results"]), answer


def rule(server):
    status, answer = http.call(server, "GET", "/api/v1/rules/metering")
    assert status == 200, answer
    return answer


def caught_up(server):
    return sum(part["lag"] for part in rule(server)["partitions"]) == 0


def receipts(server, kind="transfer"):
    lines = kafka.kcat_consume(server.kafka, "iot.rules", "-f", "%k %s\\n")
    parts = [line.partition(" ") for line in lines]
    return [json.loads(value) for topic, _, value in parts if topic == f"$rules/metering/{kind}"]


def debited(server, meter):
    status, answer = http.call(server, "GET", f"/api/v1/ledger/accounts/{meter}")
    assert status == 200, answer
    return Decimal(answer["debits_posted"])


def bills(server, meter):
    """Amounts of all transfers that the meter was debited, in cents."""
    found, after = [], ""
    while True:
        status, page = http.call(server, "GET", f"/api/v1/ledger/accounts/{meter}/transfers?debits=true&limit=1000{after}")
        assert status == 200, page
        found += [int(Decimal(one["amount"]) * 100) for one in page["transfers"] if str(one["debit_account_id"]) == str(meter)]
        if "next" not in page:
            return found
        after = f"&after={page['next']}"


class Meter:
    """Readings at QoS 1 by Paho; those whose PUBACK did not come are sent again after the next connection, as meters do."""

    def __init__(self, server, meter):
        self.server, self.meter = server, meter
        self.seq = 0
        self.readings = {}  # seq: kwh
        self.known = set()  # those that were acknowledged on earlier connections
        self.sent = {}  # of this connection, packet identifier: seq
        self.published = set()  # likewise, packet identifiers
        self.client = None

    @property
    def acknowledged(self):
        return self.known | {self.sent[identifier] for identifier in list(self.published) if identifier in self.sent}

    def connect(self):
        self.known = self.acknowledged
        self.sent, self.published = {}, set()
        self.client = paho.Client(f"meter-{self.meter}")
        self.client.on_publish = lambda _client, _data, identifier, noted=self.published: noted.add(identifier)
        self.client.connect(*self.server.address("mqtt"))
        self.client.loop_start()
        for seq in sorted(set(self.readings) - self.known):
            self.publish(seq)

    def publish(self, seq):
        payload = json.dumps({"seq": seq, "kwh": float(self.readings[seq])})
        self.sent[self.client.publish(f"meters/{self.meter}/reading", payload, qos=1).mid] = seq

    def read(self, choice):
        self.seq += 1
        self.readings[self.seq] = f"{choice.randint(1, 99_999) / 1000:.3f}"
        self.publish(self.seq)

    def done(self):
        return len(self.acknowledged) == len(self.readings)

    def close(self):
        if self.client is not None:
            self.client.loop_stop()
            self.client = None


class Metering(unittest.TestCase):
    def setUp(self):
        self.server = self.make()
        self.addCleanup(self.server.close)
        self.server.start()
        open_accounts(self.server)

    def make(self):
        return Server(args=("--config", EXAMPLE))

    def assert_owed_once(self, server, meter):
        """Every acknowledged reading is owed exactly once; one that was not may be owed, once."""
        owed = collections.Counter(bills(server, meter.meter))
        must = collections.Counter(cents(meter.readings[seq]) for seq in meter.acknowledged)
        may = collections.Counter(cents(kwh) for kwh in meter.readings.values())
        self.assertEqual(must - owed, collections.Counter(), "acknowledged and not owed")
        self.assertEqual(owed - may, collections.Counter(), "owed more than once, or never read")
        self.assertEqual(debited(server, meter.meter) * 100, sum(owed.elements()))


class Journey(Metering):
    def pub(self, meter, payload, *more):
        text = payload if isinstance(payload, str) else json.dumps(payload)
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", f"meters/{meter}/reading", "-m", text, *more)

    def wait_inputs(self, count):
        wait_until(lambda: rule(self.server)["inputs"] == count, f"{count} readings", 30)

    def test_a_reading_is_owed_and_explained(self):
        self.pub(1001, {"seq": 1, "kwh": 12.5})
        self.wait_inputs(1)
        self.assertEqual(debited(self.server, 1001), Decimal("3.59"))
        receipt, = receipts(self.server)
        self.assertEqual(receipt["payload"], {"seq": 1, "kwh": 12.5})
        self.assertEqual((receipt["event"], receipt["topic"], receipt["amount"]), ("transfer", "meters/1001/reading", "359"))
        # The entry of the transfer shows the reading and names its position; that one shows who sent it.
        told = self.server.run("ledger", "explain", receipt["transfer"], "--data", self.server.data, "--server", self.server.admin)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn('"kwh": 12.5', told.stdout)
        self.assertIn(receipt["transfer"], told.stdout)
        self.assertIn(receipt["position"], told.stdout)
        self.assertIn("rules: a run of a rule", told.stdout.splitlines()[0])
        self.assertRegex(told.stdout, r"payload: rule \w+ version \d+: offsets from 0 to before 1 of partition 0, 1 with effects; "
                         r"offset 0 moves 359 from 1001 to \d+")
        told = self.server.run("explain", receipt["position"], "--data", self.server.data, "--server", self.server.admin)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn('"kwh": 12.5', told.stdout)

    def test_a_reading_that_is_sent_again_is_owed_once(self):
        for _ in range(3):
            self.pub(1001, {"seq": 7, "kwh": 2})
        self.pub(1001, {"seq": 7, "kwh": 3})
        self.wait_inputs(4)
        self.assertEqual(bills(self.server, 1001), [cents(2)])
        self.assertEqual([one["event"] for one in receipts(self.server)], ["transfer", "repeated", "repeated"])
        letter, = receipts(self.server, "dead_letter")
        self.assertEqual(letter["why"], "exists_with_different_amount")

    def test_above_the_limit_and_wrong_readings_are_dead_letters(self):
        self.pub(LIMITED, {"seq": 1, "kwh": 3})
        self.pub(LIMITED, {"seq": 2, "kwh": 30})
        self.pub(LIMITED, {"seq": 3})
        self.pub(LIMITED, {"kwh": 1})
        self.pub(LIMITED, "no json")
        self.pub(LIMITED, {"seq": 4, "kwh": "1"})
        self.pub(5555, {"seq": 1, "kwh": 1})
        self.pub(LIMITED, {"seq": 5, "kwh": 0.1})
        self.wait_inputs(8)
        self.assertEqual(bills(self.server, LIMITED), [cents(3), cents("0.1")])
        why = {json.dumps(one["payload"]): one["why"] for one in receipts(self.server, "dead_letter")}
        self.assertEqual(why['{"seq": 2, "kwh": 30}'], "exceeds_credits")
        self.assertEqual(why['{"seq": 1, "kwh": 1}'], "debit_account_not_found")
        self.assertIn("a field that it names is missing", why['{"seq": 3}'])
        self.assertIn("transfer.id is NULL", why['{"kwh": 1}'])
        self.assertIn("no JSON", why['"no json"'])
        self.assertEqual(len(why), 6)
        self.assertEqual(rule(self.server)["dead_letters"], 6)

    def test_bills_and_receipts_are_messages(self):
        heard = []
        ready = threading.Event()

        def listen():
            heard.extend(mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "office", "-q", 1, "-t", "meters/+/bill",
                                       "-t", "$rules/metering/#", "-C", 2, "-F", "%t %p"))
            ready.set()

        # A durable subscriber that is away gets them later.
        mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "office", "-q", 1, "-t", "meters/+/bill", "-t", "$rules/metering/#", "-E")
        self.pub(1002, {"seq": 1, "kwh": 4})
        self.wait_inputs(1)
        threading.Thread(target=listen).start()
        self.assertTrue(ready.wait(30))
        told = dict(line.partition(" ")[::2] for line in heard)
        self.assertEqual(json.loads(told["meters/1002/bill"]), {"meter": "1002", "seq": 1, "kwh": 4, "cents": 115})
        self.assertEqual(json.loads(told["$rules/metering/transfer"])["amount"], "115")


class Kills(Metering):
    def test_every_acknowledged_reading_is_owed_once_over_kills(self):
        choice = random.Random(5)
        meters = [Meter(self.server, meter) for meter in METERS]
        for round_ in range(max(2, round(6 * SCALE))):
            for meter in meters:
                meter.connect()
            for _ in range(60):
                for meter in meters:
                    meter.read(choice)
            # Some are acknowledged, some are under way, and the rule is somewhere between.
            wait_until(lambda: sum(len(meter.acknowledged) for meter in meters) > round_ * 180 + 30,
                       "acknowledgements", 60)
            self.server.kill()
            for meter in meters:
                meter.close()
            self.server.start()
        for meter in meters:
            meter.connect()
        wait_until(lambda: all(meter.done() for meter in meters), "all acknowledgements", 60)
        wait_until(lambda: caught_up(self.server), "the rule", 60)
        for meter in meters:
            self.assert_owed_once(self.server, meter)
            self.assertEqual(len(bills(self.server, meter.meter)), len(meter.readings))
            meter.close()
        counted = rule(self.server)
        self.assertEqual(counted["transfers"], sum(len(meter.readings) for meter in meters))
        self.assertEqual(counted["dead_letters"], 0)
        self.assertEqual(self.server.run("ledger", "verify", "--server", self.server.admin).returncode, 0)
        self.assertEqual(self.server.stop(), 0)


class PowerCuts(Metering):
    def make(self):
        return Server.with_powercut(args=("--config", EXAMPLE, "--segment-mib", 16, "--snapshot-log-mib", 1))

    def test_every_acknowledged_reading_is_owed_once_over_power_cuts(self):
        choice = random.Random(9)
        meter = Meter(self.server, 1001)
        meter.connect()
        notes = []
        for _ in range(30):
            for _ in range(choice.randint(1, 12)):
                meter.read(choice)
            wait_until(meter.done, "acknowledgements", 60)
            notes.append((self.server.position(), set(meter.acknowledged)))
        meter.close()
        self.server.kill()
        for seed in range(max(2, round(6 * SCALE))):
            position, acknowledged = choice.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = self.server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    wait_until(lambda: caught_up(after), "the rule", 60)
                    at_cut = Meter(after, 1001)
                    at_cut.readings, at_cut.known = meter.readings, acknowledged
                    self.assert_owed_once(after, at_cut)
                    self.assertEqual(after.stop(), 0)
                finally:
                    after.close()


if __name__ == "__main__":
    unittest.main()
