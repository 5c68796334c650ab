"""The ledger with TigerBeetle's own client for Node.js, unmodified: it asserts on every field of a reply and takes its process
down when one is wrong. Over kill -9, restarts and power cuts.

HEPTANE_TEST_SCALE multiplies the number of cuts.
"""

import json
import os
import queue
import random
import re
import shlex
import socket
import subprocess
import threading
import unittest

from heptane_testkit import Server, http, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "tigerbeetle_client.js")
SMALL_SEGMENTS = ("--segment-mib", 16, "--snapshot-log-mib", 1)
SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
SECONDS = 120


def command(server, script, arguments):
    return ["node", SCRIPT, server.endpoints["tigerbeetle"], script, json.dumps(arguments)]


def run(server, script, **arguments):
    """The script's last line; what it printed when it failed."""
    done = subprocess.run(command(server, script, arguments), capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def counted(server):
    """What the server says of its listener for these clients."""
    rows = re.findall(r"^heptane_tigerbeetle_(\w+)_total (\d+)$", http.text(server, "/metrics"), re.M)
    return {name: int(value) for name, value in rows}


CREATE_TRANSFERS = 147


class LosesAReply:
    """Between a client and the server: the first reply to create_transfers is lost, and the line with it. Lines come through
    again from go_on() on. What its client must do about it, it does by itself."""

    def __init__(self, server):
        self.upstream = server.address("tigerbeetle")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoints = {"tigerbeetle": "127.0.0.1:%d" % self.listener.getsockname()[1]}
        self.lost = threading.Event()
        self.open = threading.Event()
        self.lines = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.line, args=(client,), daemon=True).start()

    def line(self, client):
        if self.lost.is_set():
            self.open.wait()
        server = socket.create_connection(self.upstream)
        self.lines += [client, server]
        threading.Thread(target=self.pump, args=(client, server, None), daemon=True).start()
        self.pump(server, client, self.is_lost)

    def pump(self, source, target, loses):
        try:
            while message := self.message(source):
                if loses is not None and loses(message):
                    break
                target.sendall(message)
        except OSError:
            pass
        self.cut(source, target)

    @staticmethod
    def cut(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
            except OSError:
                pass
            end.close()

    @staticmethod
    def message(source):
        def take(size):
            taken = b""
            while len(taken) < size and (piece := source.recv(size - len(taken))):
                taken += piece
            return taken

        header = take(256)
        return header + take(int.from_bytes(header[96:100], "little") - 256) if len(header) == 256 else b""

    def is_lost(self, message):
        reply = message[114] == 8 and message[236] == CREATE_TRANSFERS
        if not reply or self.lost.is_set():
            return False
        self.lost.set()
        return True

    def go_on(self):
        self.open.set()

    def close(self):
        self.open.set()
        self.cut(self.listener, *self.lines)


class OneServer(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=SMALL_SEGMENTS).use_stable_port("tigerbeetle")
        self.addCleanup(self.server.close)
        self.server.start()

    def assert_sound_end(self):
        self.assertEqual(self.server.stop(), 0)
        verified = self.server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)


class Readme(OneServer):
    def test_its_client_does_what_it_says(self):
        with open(os.path.join(HERE, "../../modules/fintech/README.md"), encoding="utf-8") as readme:
            (line,) = [line for line in readme if line.startswith("node -e ")]
        program = shlex.split(line)[2]
        self.assertIn("['3001']", program)
        port = self.server.endpoints["tigerbeetle"].rpartition(":")[2]
        done = subprocess.run(["node", "-e", program.replace("3001", port)], cwd=os.path.dirname(HERE),
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("debits_posted: 10n", done.stdout)
        self.assertIn("credits_posted: 10n", done.stdout)


class OlderClients(OneServer):
    def test_one_from_before_0_17_is_told_that_it_is_too_old(self):
        program = ("const tb=require('tigerbeetle-node-0.16'), c=tb.createClient({cluster_id:0n,replica_addresses:[process.argv[1]]});"
                   "c.lookupAccounts([1n]).then(()=>process.exit(3),e=>{console.log(e.message);c.destroy()})")
        done = subprocess.run(["node", "-e", program, self.server.endpoints["tigerbeetle"]], cwd=os.path.dirname(HERE),
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), "Client was evicted: release too old.")
        run(self.server, "everything")  # nothing of it stays


class Operations(OneServer):
    def test_everything_a_client_asks(self):
        run(self.server, "everything")
        self.assert_sound_end()

    def test_imported_events(self):
        run(self.server, "imported")

    def test_full_batches(self):
        self.assertEqual(run(self.server, "batches", first=1, count=6), {"debits": 6 * 8189})
        self.server.restart()
        self.assertEqual(run(self.server, "batches", first=100_000, count=2), {"debits": 8 * 8189})

    def test_requests_at_once_share_a_message(self):
        run(self.server, "concurrent", first=1, count=500)
        self.assertEqual(run(self.server, "count", first=1, last=500), {"found": 500, "debits": 500, "credits": 500})

    def test_time_outs_over_a_restart(self):
        run(self.server, "pending", timeout=1)
        self.server.crash_restart()
        run(self.server, "expired")

    def test_the_session_used_longest_ago_is_evicted(self):
        run(self.server, "crowd", clients=64)
        self.assertEqual(counted(self.server)["evictions"], 1)

    def test_a_reply_that_was_lost_is_given_again(self):
        proxy = LosesAReply(self.server)
        self.addCleanup(proxy.close)
        proxy.go_on()
        run(proxy, "concurrent", first=1, count=500)
        self.assertTrue(proxy.lost.is_set())
        self.assertEqual(run(self.server, "count", first=1, last=500), {"found": 500, "debits": 500, "credits": 500})

    def test_what_is_no_message_closes(self):
        with socket.create_connection(self.server.address("tigerbeetle")) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(300))
            self.assertEqual(connection.recv(1000), b"")
        self.assertEqual(counted(self.server)["malformed"], 1)
        run(self.server, "everything")
        after = counted(self.server)
        self.assertEqual(set(after), {"requests", "replies", "evictions", "malformed", "dropped"})
        self.assertGreater(after["replies"], 10)
        self.assertEqual(after["requests"], after["replies"] + after["evictions"] + after["dropped"])


class Kill(OneServer):
    def test_everything_is_there_after_kills(self):
        run(self.server, "everything")
        before = run(self.server, "count", first=1, last=100)
        for _ in range(2):
            self.server.crash_restart()
            self.assertEqual(run(self.server, "count", first=1, last=100), before)

    def test_a_session_goes_on_over_a_kill(self):
        client = subprocess.Popen(command(self.server, "over", {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), "ready\n")
        self.server.crash_restart()
        out, err = client.communicate("go on\n", timeout=SECONDS)
        self.assertEqual((client.returncode, out), (0, "{}\n"), err)

    def test_acknowledged_transfers_survive_kills_once(self):
        pour = Pour(self.server)
        self.addCleanup(pour.close)
        for target in (50, 100, 150):
            pour.until(target)
            self.server.crash_restart()
        pour.until(200)
        pour.close()
        found = run(self.server, "count", first=1, last=pour.last + 1)
        self.assertGreaterEqual(found["found"], pour.last)
        self.assertEqual((found["debits"], found["credits"]), (found["found"], found["found"]))
        self.assert_sound_end()


class Lines:
    """What a process prints, read as it comes: what waits for a full pipe when the process is killed is lost."""

    def __init__(self, process):
        self.process = process
        self.read = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.take_all, daemon=True)
        self.thread.start()

    def take_all(self):
        for line in self.process.stdout:
            self.read.put(line)
        self.read.put("")

    def next(self):
        """Empty: it has ended."""
        return self.read.get()


class Pour:
    """A client that makes transfers one after another, numbered from 1."""

    def __init__(self, server):
        self.process = subprocess.Popen(command(server, "pour", {"first": 1}), stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.lines = Lines(self.process)
        self.last = 0

    def until(self, number):
        while self.last < number:
            line = self.lines.next()
            assert line, "the client ended"
            assert int(line) == self.last + 1, line
            self.take(line)

    def take(self, line):
        self.last = int(line)

    def close(self):
        if self.process.stdout.closed:
            return
        self.process.kill()
        while line := self.lines.next():
            if line.endswith("\n"):
                self.take(line)
        self.lines.thread.join()
        self.process.stdout.close()
        self.process.wait()


class PowerCut(unittest.TestCase):
    def test_acknowledged_transfers_survive_cuts(self):
        server = Server.with_powercut(args=SMALL_SEGMENTS).use_stable_port("tigerbeetle")
        self.addCleanup(server.close)
        server.start()
        pour = Pour(server)
        self.addCleanup(pour.close)
        notes = []  # (position, acknowledged before it was taken)
        for number in range(5, 125, 3):
            pour.until(number)
            notes.append((server.position(), number))
        pour.close()
        server.kill()
        rng = random.Random(4)
        for seed in range(max(1, round(6 * SCALE))):
            position, acknowledged = rng.choice(notes)
            mode = ("reorder", "lose", "tear", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    found = run(after, "count", first=1, last=50_000)  # the client is ahead of what was read of it
                    self.assertGreaterEqual(found["found"], acknowledged)
                    self.assertEqual((found["debits"], found["credits"]), (found["found"], found["found"]))
                    self.assertEqual(run(after, "batches", first=1_000_000, count=1)["debits"], found["found"] + 8189)
                    self.assertEqual(after.stop(), 0)
                finally:
                    after.close()


class Mix:
    """A client with pending transfers, time-outs and chains in flight; what it sent, and what was acknowledged of it."""

    def __init__(self, server, seed):
        self.process = subprocess.Popen(command(server, "mix", {"seed": seed}), stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.lines = Lines(self.process)
        self.sent = []
        self.acknowledged = []  # results of each request; the last one sent may have none

    def take(self, text):
        row = json.loads(text)
        if "sent" in row:
            self.sent.append(row["sent"])
        else:
            self.acknowledged.append(row["acknowledged"])

    def until(self, requests):
        while len(self.acknowledged) < requests:
            text = self.lines.next()
            assert text, "the client ended"
            self.take(text)

    close = Pour.close


LINKED, PENDING, POST, VOID = 1, 2, 4, 8
SIDES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


def balances_of(transfers):
    """What these transfers, in their order, make of every account once all time-outs have come: the model."""
    balances = {}
    pendings = {}

    def move(transfer, side, amount):
        for account, key in ((transfer["debit_account_id"], "debits_"), (transfer["credit_account_id"], "credits_")):
            row = balances.setdefault(account, dict.fromkeys(SIDES, 0))
            row[key + side] += amount

    for transfer in transfers:
        amount = int(transfer["amount"])
        if transfer["flags"] & (POST | VOID):
            move(transfer, "pending", -int(pendings.pop(transfer["pending_id"])["amount"]))
        if transfer["flags"] & PENDING:
            pendings[transfer["id"]] = transfer
            move(transfer, "pending", amount)
        elif not transfer["flags"] & VOID:
            move(transfer, "posted", amount)
    for transfer in pendings.values():
        if transfer["timeout"]:
            move(transfer, "pending", -int(transfer["amount"]))
    return balances


class MixedCut(unittest.TestCase):
    """Pending transfers, chains and time-outs in flight when the power goes."""

    def setUp(self):
        self.server = Server.with_powercut(args=SMALL_SEGMENTS).use_stable_port("tigerbeetle")
        self.addCleanup(self.server.close)
        self.server.start()

    def poured(self, seed):
        """A client over a kill; and (position, requests acknowledged before it was taken)."""
        mix = Mix(self.server, seed)
        self.addCleanup(mix.close)
        notes = []
        for number in range(4, 140, 4):
            mix.until(number)
            notes.append((self.server.position(), number))
            if number == 60:
                self.server.crash_restart()
        mix.close()
        self.server.kill()
        return mix, notes

    def assert_kept(self, after, mix, requests):
        """Of what was sent a beginning is there, whole requests, and all that was acknowledged, each as it was."""
        found = run(after, "dump")
        transfers = found["transfers"]
        by_id = {transfer["id"]: transfer for transfer in transfers}
        self.assertEqual(len(by_id), len(transfers), "once each")
        there = set()
        for at, (events, results) in enumerate(zip(mix.sent, mix.acknowledged)):
            made = {event["id"]: result[1] for event, result in zip(events, results) if result[0] == "created"}
            kept = {key: by_id[key]["timestamp"] for key in made if key in by_id}
            if at < requests or kept:
                self.assertEqual(kept, made, f"request {at} of {requests} acknowledged")
            self.assertFalse({event["id"] for event in events if event["id"] not in made} & by_id.keys(), "refused, and there")
            there |= kept.keys()
        if len(mix.sent) > len(mix.acknowledged):  # under way when the client was ended
            there |= self.assert_chains_whole(mix.sent[-1], by_id)
        self.assertEqual(by_id.keys(), there, "nothing that was not sent")
        return found

    def assert_chains_whole(self, events, by_id):
        kept = {event["id"] for event in events if event["id"] in by_id}
        for event, following in zip(events, events[1:]):
            if event["flags"] & LINKED:
                self.assertEqual(event["id"] in kept, following["id"] in kept, "a chain is whole or not there")
        return kept

    def assert_balances(self, after):
        """Time-outs that were in flight give back what they held, once; then the model agrees."""
        def differences():
            found = run(after, "dump")
            model = balances_of(found["transfers"])
            zero = dict.fromkeys(SIDES, 0)
            return {a["id"]: a for a in found["accounts"] if {k: int(a[k]) for k in SIDES} != model.get(a["id"], zero)}

        wait_until(lambda: not differences(), "every time-out to give back what it held", 60)
        verified = after.run("ledger", "verify", "--server", after.admin)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def assert_asked_again(self, after, mix, found):
        """The same events again are the same transfers, and used-up ids stay so."""
        by_id = {transfer["id"]: transfer for transfer in found["transfers"]}
        events, want = [], []
        for sent, results in zip(mix.sent, mix.acknowledged):
            if not any(event["id"] in by_id for event in sent):
                continue
            for event, (status, timestamp) in zip(sent, results):
                if status == "created" and not event["flags"] & LINKED:
                    events.append(event)
                    want.append(["exists", timestamp])
                elif status == "credit_account_not_found" and not event["flags"] & LINKED:
                    events.append(event)
                    want.append(["id_already_failed", None])
        results = run(after, "again", events=events)["results"]
        self.assertEqual([[s, t if s == "exists" else None] for s, t in results], want)

    def test_what_was_in_flight_is_whole_after_cuts(self):
        mix, notes = self.poured(seed=1)
        statuses = {status for results in mix.acknowledged for status, _ in results}
        self.assertLessEqual({"created", "linked_event_failed", "pending_transfer_already_posted", "credit_account_not_found"},
                             statuses)
        rng = random.Random(5)
        with_timeout = 0
        for seed in range(max(1, round(6 * SCALE))):
            position, requests = rng.choice(notes)
            mode = ("reorder", "tear", "lose", "keep")[seed % 4]
            with self.subTest(seed=seed, mode=mode, position=position):
                after = self.server.after_cut(seed, mode, at=position)
                try:
                    after.start()
                    found = self.assert_kept(after, mix, requests)
                    resolved = {transfer["pending_id"] for transfer in found["transfers"]}
                    with_timeout += sum(t["timeout"] > 0 and t["id"] not in resolved for t in found["transfers"])
                    self.assert_balances(after)
                    self.assert_asked_again(after, mix, found)
                    self.assertEqual(after.stop(), 0)
                    verified = after.log_verify()
                    self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
                finally:
                    after.close()
        self.assertGreater(with_timeout, 0)


if __name__ == "__main__":
    unittest.main()
