#!/usr/bin/env python3
"""The power-cut layer under a small program that is killed: what was synced is always there, what was not can be lost
in every way that the model knows, and a program that acknowledges before it syncs is found out."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import powercut  # noqa: E402

SEEDS = range(1, 41)


class PowerCut(unittest.TestCase):
    def setUp(self):
        self.layer = powercut.Layer()
        self.victim = os.path.join(self.layer.build_dir, "powercut_victim")
        self.directory = tempfile.mkdtemp(prefix="powercut.")
        self.addCleanup(shutil.rmtree, self.directory)
        self.cuts = 0
        self.root, self.state = self.path("root"), self.path("state")
        os.mkdir(self.root)

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, scenario, **options):
        if not os.path.exists(self.state):
            self.layer.prepare(self.root, self.state)
        process = subprocess.Popen([self.victim, scenario], cwd=self.root, stdout=subprocess.PIPE, text=True,
                                   env=self.layer.environment(self.state, real_sync=False, **options))
        self.addCleanup(process.stdout.close)
        return process

    def run_until_ready(self, scenario, **options):
        process = self.start(scenario, **options)
        lines = []
        for line in process.stdout:
            if line == "ready\n":
                break
            lines.append(line.strip())
        process.kill()
        process.wait()
        self.assertEqual(process.returncode, -9, f"{scenario} ended by itself: {lines}")
        return lines

    def cut(self, seed, mode="reorder", **options):
        self.cuts += 1
        out = self.path(f"out{self.cuts}")
        self.layer.materialise(self.state, out, seed, mode, **options)
        return Disk(out)

    def outcomes(self, look, mode="reorder", seeds=SEEDS, **options):
        return {look(self.cut(seed, mode, **options)) for seed in seeds}

    def test_synced_is_there_and_the_rest_is_not_promised(self):
        self.run_until_ready("files")
        self.assertEqual(self.layer.check(self.state), [])
        for mode in powercut.MODES:
            for seed in SEEDS:
                disk = self.cut(seed, mode)
                self.assertEqual(disk.read("synced"), b"s" * 10000)
                self.assertIn(disk.read("nameless"), (None, b"n" * 100))
                dirty = disk.read("dirty")
                self.assertGreaterEqual(len(dirty), 8192)
                for at in range(0, 8192, 512):
                    self.assertIn(dirty[at:at + 512], (b"a" * 512, b"b" * 512))
                for at in range(8192, len(dirty), 512):
                    self.assertIn(dirty[at:at + 512], (b"c" * 512, bytes(512)))

    def test_lose_and_keep_are_the_two_ends(self):
        self.run_until_ready("files")
        lost, kept = self.cut(1, "lose"), self.cut(1, "keep")
        self.assertEqual((lost.read("nameless"), lost.read("dirty")), (None, b"a" * 8192))
        self.assertEqual((kept.read("nameless"), kept.read("dirty")), (b"n" * 100, b"b" * 8192 + b"c" * 4096))

    def test_every_kind_of_loss_happens(self):
        self.run_until_ready("files")
        dirty = self.outcomes(lambda disk: disk.read("dirty"))
        self.assertIn(b"a" * 8192, dirty)
        self.assertIn(b"b" * 8192 + b"c" * 4096, dirty)
        self.assertTrue(any(b"ab" in data and b"ba" in data for data in dirty), "no mixture of old and new sectors")
        self.assertTrue(any(len(data) > 8192 and data.endswith(bytes(512)) for data in dirty), "no size without data")
        self.assertEqual(self.outcomes(lambda disk: disk.read("nameless") is None), {True, False})
        torn = self.outcomes(lambda disk: disk.read("dirty"), "tear")
        self.assertTrue(any(b"ba" in data or b"ab" in data for data in torn), "no torn write")

    def test_a_sector_holds_one_of_its_versions(self):
        self.run_until_ready("versions")
        written = b"".join(b"%d" % n * 64 for n in range(1, 9))
        appended, rewritten = set(), set()
        for seed in range(1, 201):
            data = self.cut(seed).read("file").ljust(1024, b"\0")
            kept = len(data[:512].rstrip(b"\0")) // 64
            self.assertEqual(data[:512], written[:kept * 64].ljust(512, b"\0"))
            self.assertIn(data[512:], [bytes(512)] + [b"%d" % n * 512 for n in range(1, 9)])
            appended.add(kept)
            rewritten.add(data[512:513])
        self.assertGreater(len(appended), 4)
        self.assertGreater(len(rewritten), 4)

    def test_one_seed_one_disk(self):
        self.run_until_ready("files")
        self.assertEqual(self.cut(5).everything(), self.cut(5).everything())
        self.assertGreater(len(self.outcomes(lambda disk: str(disk.everything()))), 5)

    def test_names_come_back_and_vanish_in_order(self):
        self.run_until_ready("names")
        self.assertEqual(self.layer.check(self.state), [])
        # rename, unlink, mkdir, link, in this order: every prefix and nothing else.
        prefixes = [("doomed", "old"), ("doomed", "new"), ("new",), ("new", "sub"), ("new", "sub", "twin")]
        self.assertEqual(self.outcomes(Disk.names), set(prefixes))
        self.assertGreater(len(self.outcomes(Disk.names, entries="any")), len(prefixes))
        self.assertEqual(self.cut(1, "lose").read("old"), b"x" * 1000)
        kept = self.cut(1, "keep")
        self.assertEqual(os.stat(kept.path("new")).st_nlink, 2)
        self.assertEqual(kept.read("sub/inner"), b"")

    def test_fsync_can_persist_the_name(self):
        self.layer.prepare(self.root, self.state, fsync_persists_name=True)
        self.run_until_ready("files")
        self.assertEqual(self.outcomes(lambda disk: disk.read("nameless")), {b"n" * 100})

    def acknowledgements_of(self, scenario, kill_after):
        process = self.start(scenario)
        seen = [int(process.stdout.readline()) for _ in range(kill_after)]
        process.kill()
        seen += [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        return seen

    def missing(self, acknowledged, disk):
        log = disk.read("log") or b""
        lines = [log[at:at + 100] for at in range(0, len(log), 100)]
        return [n for n in acknowledged if n >= len(lines) or lines[n] != b"%08d%092d" % (n, n)]

    def test_honest_acknowledgements_survive_every_cut(self):
        for kill_after in (1, 37, 400):
            shutil.rmtree(self.state, ignore_errors=True)
            shutil.rmtree(self.root)
            os.mkdir(self.root)
            acknowledged = self.acknowledgements_of("honest", kill_after)
            self.assertGreaterEqual(len(acknowledged), kill_after)
            for mode in powercut.MODES:
                for seed in range(1, 11):
                    self.assertEqual(self.missing(acknowledged, self.cut(seed, mode)), [], (mode, seed))

    def test_acknowledging_before_the_sync_is_found(self):
        for attempt in range(1, 41):
            shutil.rmtree(self.state, ignore_errors=True)
            shutil.rmtree(self.root)
            os.mkdir(self.root)
            acknowledged = self.acknowledgements_of("hasty", attempt)
            if self.missing(acknowledged, self.cut(attempt, "lose")):
                return
        self.fail("a program that acknowledges before it syncs was not found in 40 cuts")

    def test_a_sync_that_does_nothing_is_found(self):
        process = self.start("honest", lie_sync="4-")
        acknowledged = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        process.wait()
        self.assertEqual(self.missing(acknowledged[:2], self.cut(1, "lose")), [])
        self.assertNotEqual(self.missing(acknowledged, self.cut(1, "lose")), [])

    def test_cuts_at_earlier_positions(self):
        process = self.start("honest")
        seen = []
        for _ in range(8):
            seen.append((int(process.stdout.readline()), self.layer.position(self.state)))
        process.kill()
        process.wait()
        sizes = set()
        for acknowledged, position in seen:
            disk = self.cut(acknowledged, at=position)
            self.assertEqual(self.missing(range(acknowledged + 1), disk), [])
            sizes.add(len(disk.read("log")))
        self.assertGreater(len(sizes), 3, "the cuts were not earlier than the end")

    def test_a_failed_sync_is_not_made_good_by_the_next(self):
        self.assertEqual(self.run_until_ready("failed_sync", fail_sync=2), ["failed"])
        self.assertEqual(self.layer.check(self.state), [])  # still readable in the page cache
        self.assertEqual(self.cut(1, "lose").read("file"), bytes(4096) + b"b" * 4096)

    def test_the_state_outlives_the_process(self):
        with open(os.path.join(self.root, "before"), "wb") as file:
            file.write(b"there from the start")
        self.run_until_ready("files")
        self.run_until_ready("names")
        disk = self.cut(3)
        self.assertEqual(disk.read("before"), b"there from the start")
        self.assertEqual(disk.read("synced"), b"s" * 10000)
        # The directory sync of the second process persisted the name that the first one had left pending.
        self.assertEqual(disk.read("nameless"), b"n" * 100)

    def test_other_ways_to_write(self):
        self.run_until_ready("ways")
        disk = self.cut(1, "lose")
        self.assertEqual(disk.read("stream"), b"")
        self.assertEqual(disk.read("mapped"), b"m" * 5000 + bytes(3192))
        self.assertEqual(disk.read("dsync"), b"d" * 3000)
        self.assertEqual(disk.read("allocated"), bytes(1024) + b"f" * 512 + bytes(64000))
        self.assertEqual(disk.read("copy"), bytes(1024) + b"f" * 512 + bytes(2560))
        self.assertEqual(disk.read("child"), b"k" * 100000)
        self.assertIsNone(disk.read("child.tmp"))
        self.assertEqual(self.cut(1, "keep").read("stream"), b"hello 42\n")
        # The ten bytes stored after msync went through no call at all: the check says so.
        self.assertEqual(self.layer.check(self.state), ["other content: " + os.path.join(self.root, "mapped")])

    def test_refusals(self):
        with self.assertRaises(RuntimeError):
            self.layer.prepare(self.root, os.path.join(self.root, "inside"))
        done = subprocess.run(["true"], env=self.layer.environment(self.path("absent")), capture_output=True)
        self.assertEqual(done.returncode, 97)


class Disk:
    def __init__(self, root):
        self.root = root

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self):
        return tuple(sorted(os.listdir(self.root)))

    def everything(self):
        return {name: self.read(name) for name in self.names() if not os.path.isdir(self.path(name))}


if __name__ == "__main__":
    unittest.main()
