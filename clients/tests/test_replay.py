"""test/replay_modules/ keeps a small log of the machines of each module, as this very server wrote it, and the hash of the state
that it led to. Every build replays them: what a log means never changes. (test/replay/ has those of the kernel's formats.)

HEPTANE_WRITE_REPLAY=v2-ledger records a new one, whenever a module has a new logic version, once.
"""

import json
import lzma
import os
import shutil
import tempfile
import unittest

import test_tigerbeetle
from heptane_testkit import ROOT, Server, wait_until
from heptane_testkit import http
from heptane_testkit.mqtt import mosquitto_pub, mosquitto_sub

KEPT = os.path.join(ROOT, "test", "replay_modules")
SEGMENT = os.path.join("shard-0", "log", "0000000001.seg")  # kept compressed: most of it is zeros
ARGS = ("--segment-mib", 16)


class Recorder:
    """A server with a log of one small segment, and nothing beside it."""

    def __init__(self, test):
        self.server = Server(args=ARGS)
        test.addCleanup(self.server.close)
        self.server.start()

    def call(self, method, path, body=None, expect=(200, 201)):
        status, answer = http.call(self.server, method, "/api/v1/" + path, body)
        if status not in expect:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer

    def keep(self, directory):
        self.server.kill()  # a clean stop would leave a snapshot, from which a replay would begin
        os.makedirs(directory)
        report = verify(self.server, self.server.data)
        assert report["segments"] == 1 and report["archive_segments"] + report["snapshots"] == 0, report
        with open(os.path.join(self.server.data, SEGMENT), "rb") as segment:
            with lzma.open(os.path.join(directory, "log.xz"), "wb") as out:
                shutil.copyfileobj(segment, out)
        with open(os.path.join(directory, "STATE"), "w", encoding="utf-8") as out:
            out.write(state_of(self.server, self.server.data))


def unpack(path, data):
    segment = os.path.join(data, SEGMENT)
    os.makedirs(os.path.dirname(segment), mode=0o700)
    with lzma.open(path) as packed, open(segment, "wb") as out:
        shutil.copyfileobj(packed, out)
    os.chmod(data, 0o700)


def verify(server, data):
    done = server.run("log", "verify", "--data", data, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def state_of(server, data):
    """Position and hash behind the last command, made again from the first one on."""
    done = server.run("at", f"0:{verify(server, data)['last_sequence']}", "hash", "--data", data, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record_ledger(recorder):
    # Registration, pending transfers, one of which expires, a settlement, a session that reads; what clients are refused.
    test_tigerbeetle.run(recorder.server, "pending", timeout=1)
    test_tigerbeetle.run(recorder.server, "expired")
    test_tigerbeetle.run(recorder.server, "reserved")
    recorder.call("POST", "ledger/assets", {"code": "USD", "ledger": 840, "scale": 2})
    recorder.call("POST", "ledger/accounts", {"accounts": [
        {"id": "101", "asset": "USD", "code": 1, "flags": ["history"]}, {"id": "102", "asset": "USD", "code": 1},
        {"id": "103", "asset": "USD", "code": 1, "flags": ["debits_must_not_exceed_credits"]}]})
    record_refused_machine(recorder)

    def transfer(number, amount, expect=(200,), **more):
        row = {"id": str(number), "debit_account_id": "101", "credit_account_id": "102", "amount": amount, "asset": "USD", "code": 1}
        recorder.call("POST", "ledger/transfers", {"transfers": [{**row, **more}]}, expect)

    transfer(10, "12.50")
    transfer(11, "4.00", flags=["pending"], timeout=3600)
    transfer(12, "5.00", flags=["pending"])
    transfer(15, "1.00", (409,), debit_account_id="103")
    for number, pending, flag in ((13, 11, "post_pending_transfer"), (14, 12, "void_pending_transfer")):
        recorder.call("POST", "ledger/transfers", {"transfers": [{"id": str(number), "pending_id": str(pending), "flags": [flag]}]})


def record_refused_machine(recorder):
    """A rule that would pay into an account of the exchange, which is nobody else's."""
    recorder.call("POST", "exchange/firms", {"name": "alpha"})
    recorder.call("POST", "exchange/firms/alpha/accounts", {"name": "main"})
    recorder.call("POST", "exchange/deposits", {"firm": "alpha", "account": "main", "asset": "USD", "amount": "5.00"})
    rows = recorder.call("GET", "ledger/accounts?ledger=840")["accounts"]
    owned = next(row["id"] for row in rows if "owner" in row)
    recorder.call("PUT", "rules/greedy", {"sql": "SELECT n FROM 'till/#'", "transfer": {
        "ledger": 840, "code": 1, "debit": "101", "credit": f"'{owned}'", "amount": "n"}})
    mosquitto_pub(recorder.server.address("mqtt"), "-q", 1, "-t", "till/a", "-m", json.dumps({"n": 5}))
    wait_until(lambda: recorder.call("GET", "rules/greedy")["dead_letters"] == 1, "the rule to be refused")


def record_exchange(recorder):
    for code, ledger, scale in (("USD", 840, 2), ("BTC", 1, 8)):
        recorder.call("POST", "ledger/assets", {"code": code, "ledger": ledger, "scale": scale})
    recorder.call("POST", "exchange/instruments", {
        "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "price_scale": 2, "quantity_scale": 2, "tick": "1.00", "lot": "0.01",
        "quantity_max": "1000", "price_max": "1000000", "fees": [{"maker_ppm": 1000, "taker_ppm": 2000}]})
    for firm, asset, amount in (("alpha", "USD", "10000.00"), ("beta", "BTC", "10")):
        recorder.call("POST", "exchange/firms", {"name": firm})
        recorder.call("POST", f"exchange/firms/{firm}/accounts", {"name": "main"})
        recorder.call("POST", "exchange/deposits", {"firm": firm, "account": "main", "asset": asset, "amount": amount})
    recorder.call("POST", "exchange/instruments/BTC%2FUSD/phase", {"phase": "continuous"})

    def order(firm, name, side, quantity, price, expect=(201,), **more):
        recorder.call("POST", f"exchange/firms/{firm}/orders", {
            "account": "main", "cl_ord_id": name, "symbol": "BTC/USD", "side": side, "quantity": quantity, "price": price,
            "time_in_force": "gtc", **more}, expect)

    order("beta", "s1", "sell", "2.00", "100.00")
    order("beta", "s2", "sell", "1.00", "120.00")
    order("alpha", "b1", "buy", "3.00", "110.00")
    order("alpha", "b2", "buy", "5.00", "115.00", time_in_force="ioc")


def record_iot(recorder):
    recorder.call("POST", "streams", {"name": "hot", "partitions": 1})
    for name in ("pump-1", "pump-2"):
        recorder.call("POST", "devices", {"name": name, "type": "pump", "attributes": {"site": "north"}, "groups": ["plant"]})
    recorder.call("PATCH", "devices/pump-2", {"tags": ["new"]})
    recorder.call("POST", "jobs", {"id": "fw", "groups": ["plant"], "document": {"operation": "install"}})
    recorder.call("PUT", "rules/hot", {"sql": "SELECT t FROM 'plant/+/temp' WHERE t > 100", "append": {"stream": "hot"}})
    address = recorder.server.address("mqtt")
    mosquitto_sub(address, "-c", "-i", "desk", "-q", 1, "-t", "plant/#", "-E")
    for value in (99, 101):
        mosquitto_pub(address, "-q", 1, "-t", "plant/a/temp", "-m", json.dumps({"t": value}))
    mosquitto_pub(address, "-q", 1, "-r", "-t", "plant/a/state", "-m", "on")
    wait_until(lambda: recorder.call("GET", "rules/hot")["inputs"] == 2, "the rule to have read")


# Whose newest logic must be among the kept logs of that name.
NEWEST = {"ledger": "ledger"}
RECORDINGS = {"ledger": record_ledger, "exchange": record_exchange, "iot": record_iot}


class Replay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="heptane-replay-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)

    @classmethod
    def versions(cls, server):
        """(in force in the log, known to the program) of each machine."""
        done = server.run("upgrade", "status", "--server", server.admin, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return {row["name"]: (row["active"], row["newest"]) for row in json.loads(done.stdout)["machines"]}

    def record(self, name):
        what = name.partition("-")[2]
        recorder = Recorder(self)
        RECORDINGS[what](recorder)
        recorder.keep(os.path.join(KEPT, name))

    def test_every_kept_log_still_means_the_same(self):
        if name := os.environ.get("HEPTANE_WRITE_REPLAY"):
            self.record(name)
        kept = sorted(os.listdir(KEPT))
        self.assertGreaterEqual(len(kept), len(RECORDINGS))
        active = {}
        for name in kept:
            with self.subTest(log=name):
                data = os.path.join(self.directory, name)
                unpack(os.path.join(KEPT, name, "log.xz"), data)
                server = Server(data=data, args=ARGS)
                self.addCleanup(server.close)
                with open(os.path.join(KEPT, name, "STATE"), encoding="utf-8") as text:
                    self.assertEqual(state_of(server, data), text.read())
                server.start()  # and a server goes on with it
                server.restart()
                active[name] = self.versions(server)
        for machine, what in NEWEST.items():
            found = [versions[machine] for name, versions in active.items() if name.endswith("-" + what)]
            self.assertTrue(any(now == newest for now, newest in found),
                            f"record a log of the newest logic of {machine}: {found}")


if __name__ == "__main__":
    unittest.main()
