"""The real server above the power-cut layer with a real client: after every cut, all that was acknowledged is there. And
a disk that says no: EIO and ENOSPC injected with strace.

HEPTANE_TEST_SCALE multiplies the number of cuts.
"""

import os
import random
import subprocess
import unittest

from heptane_testkit import Refused, Server, wait_until
from heptane_testkit import kafka

SCALE = float(os.environ.get("HEPTANE_TEST_SCALE", "1"))
# Snapshots come often, so that cuts fall before, within and behind them too.
SMALL_SEGMENTS = ("--segment-mib", 16, "--snapshot-log-mib", 1)
MODES = ("reorder", "lose", "tear", "keep")


class Witness:
    """A producer whose acknowledgements are noted with the journal's position when they arrive."""

    def __init__(self, server, topic="t", **config):
        self.server = server
        self.topic = topic
        self.recorder = kafka.Recorder(server.kafka, topic, **{"queue.buffering.max.messages": 2000, **config})
        self.notes = [(server.position(), {})]  # (position, acknowledged before it was taken)

    def produce(self, records, step):
        """Sends, and after each answer notes the position."""
        recorder = self.recorder
        target = recorder.next_n + records
        while len(recorder.acknowledged) < target:
            if recorder.next_n < target:
                recorder.send(min(step, target - recorder.next_n))
            if recorder.poll(0.005):
                acknowledged = dict(recorder.acknowledged)
                self.notes.append((self.server.position(), acknowledged))
            assert not recorder.failed, recorder.failed
            assert self.server.running(), self.server.stderr()

    def acknowledged_by(self, position):
        return max((acknowledged for at, acknowledged in self.notes if at <= position), key=len, default={})

    def moments(self, count, rng):
        """Positions to cut at: at an acknowledgement, or anywhere between two, and the end."""
        last = self.notes[-1][0]
        chosen = [last]
        while len(chosen) < count:
            at = rng.randrange(len(self.notes))
            low, high = self.notes[at][0], self.notes[min(at + 1, len(self.notes) - 1)][0]
            chosen.append(rng.choice([low, rng.randint(low, high)]))
        return chosen[:count]


def problems_after(server, witness, seed, mode, entries="prefix", at=None, verify=True):
    """What a start on the disk after the cut gets wrong, as lines."""
    acknowledged = witness.recorder.acknowledged if at is None else witness.acknowledged_by(at)
    with_log = f"seed={seed} mode={mode} entries={entries} at={at}"
    after = server.after_cut(seed, mode, entries=entries, at=at)
    try:
        try:
            after.start()
        except Refused as refusal:
            return [f"{with_log}: {refusal}"]
        recovered = kafka.read_numbers(after.kafka, witness.topic)
        problems = kafka.check_recovered(acknowledged, recovered)
        # It must go on from there: a new record follows the last one that survived.
        kafka.kcat_produce(after.kafka, witness.topic, text_in='{"n": -1}\n')
        if kafka.watermarks(after.kafka, witness.topic)[1] != len(recovered) + 1:
            problems.append("a new record does not follow the recovered ones")
        if after.stop() != 0:
            problems.append(f"clean stop: {after.exit_code}, {after.stderr()}")
        if verify:
            done = after.log_verify()
            if done.returncode != 0:
                problems.append(f"log verify: {done.returncode}: {done.stdout} {done.stderr}")
        return [f"{with_log}: {problem}" for problem in problems]
    finally:
        after.close(compare=verify)


class PowerCut(unittest.TestCase):
    def powered(self, **options):
        server = Server.with_powercut(args=SMALL_SEGMENTS, **options)
        self.addCleanup(server.close)
        server.use_stable_port()
        return server.start()

    def assert_survives(self, server, witness, cuts, salt):
        server.kill()
        rng = random.Random(salt)
        problems = []
        for number, at in enumerate(witness.moments(max(1, round(cuts * SCALE)), rng)):
            mode = "reorder" if number % 2 == 0 else MODES[(number // 2) % len(MODES)]
            entries = "any" if number % 3 == 2 else "prefix"
            problems += problems_after(server, witness, salt * 1000 + number, mode, entries, at)
        self.assertEqual(problems, [])

    def test_steady_production(self):
        server = self.powered()
        witness = Witness(server, pad=200)
        witness.produce(6000, 100)
        self.assert_survives(server, witness, 12, salt=1)

    def test_small_requests_one_after_another(self):
        server = self.powered()
        witness = Witness(server, **{"linger.ms": 0, "batch.num.messages": 1})
        witness.produce(150, 3)
        self.assert_survives(server, witness, 12, salt=2)

    def test_over_segments(self):
        # 40 MiB of what does not compress, in segments of 16 MiB: names, sizes and headers of new files are cut too.
        server = self.powered()
        witness = Witness(server, pad=20_000, **{"batch.size": 400_000})
        witness.produce(2000, 100)
        segments = sum(name.endswith(".seg") for _, _, names in os.walk(server.data) for name in names)
        self.assertGreaterEqual(segments, 2)
        self.assert_survives(server, witness, 8, salt=3)

    def test_first_moments_of_a_new_log(self):
        server = self.powered()
        end = server.position()
        witness = Witness(server)
        witness.produce(20, 5)
        server.kill()
        rng = random.Random(4)
        problems = []
        for number in range(max(1, round(10 * SCALE))):
            at = rng.randint(0, end) if number else 0
            problems += problems_after(server, witness, 4000 + number, "reorder", rng.choice(["prefix", "any"]), at)
        self.assertEqual(problems, [])

    def test_kills_then_a_cut(self):
        # What recovery itself writes is cut too.
        server = self.powered()
        witness = Witness(server, pad=100)
        for _ in range(3):
            witness.produce(1000, 100)
            witness.recorder.send(300)
            witness.recorder.poll(0)
            server.kill()
            server.start()
            witness.produce(100, 20)
        self.assert_survives(server, witness, 10, salt=5)

    def test_cut_after_cut(self):
        server = self.powered()
        witness = Witness(server)
        witness.produce(300, 20)
        server.kill()
        for seed in range(max(1, round(4 * SCALE))):
            after = server.after_cut(seed=seed)
            self.addCleanup(after.close)
            # The disk after the cut goes beneath a layer of its own.
            acknowledged = dict(witness.recorder.acknowledged)
            server = Server.with_powercut(args=SMALL_SEGMENTS, data=after.data)
            self.addCleanup(server.close)
            server.start()
            recovered = kafka.read_numbers(server.kafka, "t")
            self.assertEqual(kafka.check_recovered(acknowledged, recovered), [], f"seed {seed}")
            witness = Witness(server)
            witness.recorder.next_n = len(recovered)
            witness.recorder.acknowledged = {n: offset for offset, n in recovered}
            witness.produce(100, 10)
            server.kill()
        self.assertEqual(problems_after(server, witness, 9, "reorder"), [])

    def test_clean_stop_then_a_cut_loses_nothing(self):
        server = self.powered()
        witness = Witness(server)
        witness.produce(500, 50)
        self.assertEqual(server.stop(), 0)
        for mode in MODES:
            after = server.after_cut(6, mode)
            self.addCleanup(after.close)
            verified = after.log_verify()
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
            after.start()
            self.assertEqual(kafka.check_recovered(witness.recorder.acknowledged, kafka.read_numbers(after.kafka, "t")), [])


class PlantedFaults(unittest.TestCase):
    """The same checks with a disk that lies must fail: else they prove nothing."""

    def test_sync_that_does_nothing_is_found(self):
        with Server.with_powercut(args=SMALL_SEGMENTS) as honest:
            syncs_of_a_start = count_syncs(honest)
        server = Server.with_powercut(args=SMALL_SEGMENTS, lie_sync=f"{syncs_of_a_start + 1}-")
        self.addCleanup(server.close)
        server.use_stable_port().start()
        witness = Witness(server)
        witness.produce(500, 50)
        server.kill()
        found = []
        for seed in range(20):
            found = problems_after(server, witness, seed, "reorder", verify=False)
            if found:
                break
        self.assertTrue(any("lost" in problem or "acknowledged data is corrupt" in problem for problem in found), found)

    def test_failed_sync_of_the_layer_stops_the_server(self):
        with Server.with_powercut(args=SMALL_SEGMENTS) as honest:
            syncs_of_a_start = count_syncs(honest)
        server = Server.with_powercut(args=SMALL_SEGMENTS, fail_sync=syncs_of_a_start + 20)
        self.addCleanup(server.close)
        server.use_stable_port().start()
        recorder = kafka.Recorder(server.kafka, "t", **{"linger.ms": 0})
        produce_until_it_stops(server, recorder)
        self.assertEqual(server.exit_code, 74, server.stderr())
        after = server.after_cut(1, "lose")
        self.addCleanup(after.close)
        after.start()
        self.assertEqual(kafka.check_recovered(recorder.acknowledged, kafka.read_numbers(after.kafka, "t")), [])
        recorder.drop()


def count_syncs(server):
    """Syncs so far in the layer's journal."""
    dump = subprocess.run([server.layer.command, "dump", "--state", server.state], capture_output=True, text=True, check=True)
    return sum(line.split()[1] in ("sync", "sync_all") for line in dump.stdout.splitlines())


def produce_until_it_stops(server, recorder):
    def stopped():
        if recorder.next_n - len(recorder.acknowledged) < 200:
            recorder.send(20)
        recorder.poll(0.01)
        return not server.running()

    wait_until(stopped, "the server to stop at a failed write or sync", 30)
    server.wait()


class DiskErrors(unittest.TestCase):
    def failing(self, injection, *watched):
        trace = ",".join({injection.split(":")[0], *watched})
        prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={trace}", "-e", f"inject={injection}"]
        server = Server(args=SMALL_SEGMENTS, prefix=prefix)
        self.addCleanup(server.close)
        return server.use_stable_port()

    def assert_stops_and_starts_again(self, injection, pad=0):
        server = self.failing(injection)
        server.start()
        recorder = kafka.Recorder(server.kafka, "t", pad=pad, **{"linger.ms": 0})
        produce_until_it_stops(server, recorder)
        self.assertEqual(server.exit_code, 74, server.stderr())
        self.assertTrue(server.stderr().strip(), "it says why")
        acknowledged_then = dict(recorder.acknowledged)
        server.prefix = []
        server.start()  # the disk is well again; the producer never stopped
        recorder.flush()
        recovered = kafka.read_numbers(server.kafka, "t")
        self.assertEqual(kafka.check_recovered(recorder.acknowledged, recovered), [])
        self.assertEqual([n for _, n in recovered], list(range(recorder.next_n)))
        self.assertLess(len(acknowledged_then), recorder.next_n)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(server.log_verify().returncode, 0)

    def test_sync_error_while_running(self):
        # Counted for each thread by itself: the one that commits is the first to come so far.
        self.assert_stops_and_starts_again("fdatasync:error=EIO:when=40+")

    def test_write_error_while_running(self):
        self.assert_stops_and_starts_again("pwrite64:error=EIO:when=60+")

    def test_no_space_while_running(self):
        self.assert_stops_and_starts_again("pwrite64:error=ENOSPC:when=60+")

    def test_no_space_for_a_segment_while_running(self):
        # Whoever prepares segments goes without; the commit makes one itself, and has no room for the next.
        self.assert_stops_and_starts_again("fallocate:error=ENOSPC:when=2+", pad=50_000)

    def test_sync_error_at_the_start_is_a_refusal(self):
        server = self.failing("fdatasync:error=EIO:when=1+", "fsync")
        with self.assertRaises(Refused) as raised:
            server.start()
            recorder = kafka.Recorder(server.kafka, "t", **{"linger.ms": 0})
            self.addCleanup(recorder.drop)
            produce_until_it_stops(server, recorder)
            self.assertEqual(recorder.acknowledged, {})
            raise Refused(server.exit_code, server.stderr())
        self.assertIn(raised.exception.code, (3, 74))
        self.assertTrue(raised.exception.stderr.strip())


if __name__ == "__main__":
    unittest.main()
