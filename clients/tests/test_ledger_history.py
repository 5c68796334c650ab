"""The ledger's history in row files: over kill -9, snapshots and restarts, in backups and in looks at the past; what a missing
or damaged file costs.
"""

import os
import shutil
import tempfile
import unittest

from heptane_testkit import Refused, Server, http, wait_until

BATCH = 8189
BATCHES = 9  # 73,701: one file of transfers is full, two of balances
SEGMENTS = ("--segment-mib", 16)


class History(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """One server stores them; each test goes on from a copy of its directory."""
        cls.server = Server(args=SEGMENTS)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        rows = [{"id": str(n), "ledger": 1, "code": 1, "flags": ["history"]} for n in (1, 2)]
        cls.post(cls.server, "accounts", rows)
        cls.last = 0
        for _ in range(BATCHES):
            cls.store(cls.server, BATCH)
        done = cls.server.run("snapshot", "--server", cls.server.admin)
        assert done.returncode == 0, done.stderr
        cls.store(cls.server, 100)  # behind the snapshot
        cls.server.kill()

    @classmethod
    def post(cls, server, what, rows):
        status, answer = http.call(server, "POST", "/api/v1/ledger/" + what, {what: rows}, seconds=60)
        assert status == 200, answer

    @classmethod
    def store(cls, server, count):
        cls.post(server, "transfers", cls.transfers(cls.last + 1, count))
        cls.last += count

    @classmethod
    def transfers(cls, first, count):
        return [{"id": str(n), "debit_account_id": "1", "credit_account_id": "2", "amount_raw": str(n), "ledger": 1, "code": 1,
                 **cls.marks(n)} for n in range(first, first + count)]

    @staticmethod
    def marks(number):
        """Few have each of the first, one each of the second; the file of transfers ends between the first two of the third."""
        return {"user_data_64": str(number // 3 + 1), "user_data_128": str(number << 80),
                "user_data_32": "77" if number in (5, 65_536, 65_537, 73_800) else "0"}

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.data = os.path.join(self.directory, "data")
        shutil.copytree(self.server.data, self.data)
        self.rows = os.path.join(self.data, "shard-0", "rows")

    def open(self, data=None):
        server = Server(data=data or self.data, args=SEGMENTS)
        self.addCleanup(server.close)
        server.start()
        return server

    def get(self, server, path, expect=200):
        status, answer = http.call(server, "GET", "/api/v1/ledger/" + path, seconds=60)
        self.assertEqual(status, expect, answer)
        return answer

    @staticmethod
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    @staticmethod
    def write(path, content):
        with open(path, "wb") as file:
            file.write(content)

    def check_all(self, server):
        for number in (1, 2, 40_000, 65_536, 65_537, self.last):
            self.assertEqual(self.get(server, f"transfers/{number}")["amount_raw"], str(number))
        oldest = self.get(server, "accounts/1/transfers?limit=3")["transfers"]
        self.assertEqual([row["id"] for row in oldest], ["1", "2", "3"])
        newest = self.get(server, "accounts/2/transfers?limit=2&reversed=true")["transfers"]
        self.assertEqual([row["id"] for row in newest], [str(self.last), str(self.last - 1)])
        balances = self.get(server, "accounts/2/balances?limit=3")["balances"]
        self.assertEqual([row["credits_posted_raw"] for row in balances], ["1", "3", "6"])
        self.assertEqual([t["id"] for t in self.get(server, "transfers?ledger=1&limit=1")["transfers"]], ["1"])
        self.check_queries(server)
        wait_until(lambda: os.path.exists(self.runs(server)), "the sorted runs", 60)
        self.check_queries(server)
        wait_until(lambda: "heptane_ledger_recounts_total 1\n" in http.text(server, "/metrics"), "the recount", 60)
        self.assertIn("heptane_ledger_recount_differences 0\n", http.text(server, "/metrics"))

    @staticmethod
    def runs(server):
        return os.path.join(server.data, "shard-0", "rows", "ledger-transfers-0000000000.runs")

    def check_queries(self, server):
        def ids(query):
            return [int(row["id"]) for row in self.get(server, "transfers?limit=100&" + query)["transfers"]]

        self.assertEqual(ids("user_data_64=1001"), [3000, 3001, 3002])
        self.assertEqual(ids("user_data_64=21846"), [65_535, 65_536, 65_537])
        self.assertEqual(ids("user_data_64=21846&reversed=true"), [65_537, 65_536, 65_535])
        self.assertEqual(ids(f"user_data_128={65_536 << 80}"), [65_536])
        self.assertEqual(ids("user_data_32=77"), [5, 65_536, 65_537, 73_800])
        self.assertEqual(ids("user_data_32=77&user_data_64=21846&code=1&ledger=1"), [65_536, 65_537])
        self.assertEqual(ids("user_data_64=99999999"), [])
        self.assertEqual(ids("code=2"), [])

    def test_damaged_runs_cost_no_answer_and_are_made_again(self):
        server = self.open()
        wait_until(lambda: os.path.exists(self.runs(server)), "the sorted runs", 60)
        server.stop()
        sound = self.read(self.runs(server))
        self.assertGreater(len(sound), 500_000)
        self.write(self.runs(server), sound[:4096 + 300] + b"rot" + sound[4096 + 303:-300] + b"rot" + sound[-297:])
        verified = server.log_verify()
        self.assertEqual(verified.returncode, 1, verified.stdout)
        self.assertIn("ledger-transfers-0000000000.runs is damaged", verified.stdout)
        server.start()
        self.check_all(server)
        for number in range(1, 65_536, 400):  # one of them meets the damaged blocks
            found = self.get(server, f"transfers?user_data_64={number // 3 + 1}&user_data_128={number << 80}")["transfers"]
            self.assertEqual([row["id"] for row in found], [str(number)])
            found = self.get(server, f"transfers?user_data_64={number // 3 + 1}")["transfers"]
            self.assertIn(str(number), [row["id"] for row in found])
        wait_until(lambda: self.read(self.runs(server)) == sound, "the runs to be made again", 60)

    def test_a_start_behind_kill_9_finds_the_oldest_and_the_newest(self):
        names = sorted(name.rsplit("-", 1)[0] for name in os.listdir(self.rows) if name.endswith(".rows"))
        self.assertEqual(names, ["ledger-balances"] * 2 + ["ledger-keys", "ledger-transfers"])
        (snapshot,) = [name for name in os.listdir(os.path.join(self.data, "shard-0", "snapshots"))]
        size = os.path.getsize(os.path.join(self.data, "shard-0", "snapshots", snapshot))
        self.assertLess(size, 4 << 20)  # the rows are 25 MB
        server = self.open()
        self.check_all(server)
        # An id that exists, in a file and in memory.
        again = {"id": "5", "debit_account_id": "1", "credit_account_id": "2", "amount_raw": "6", "ledger": 1, "code": 1,
                 **self.marks(5)}
        status, answer = http.call(server, "POST", "/api/v1/ledger/transfers", {"transfers": [again]})
        self.assertEqual((status, answer["error"]["code"]), (409, "exists_with_different_amount"))
        status, answer = http.call(server, "POST", "/api/v1/ledger/transfers", {"transfers": [{**again, "amount_raw": "5"}]})
        self.assertEqual((status, answer["results"][0]["status"]), (200, "exists"))
        server.stop()
        verified = server.log_verify()
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("sound: 4 row files", verified.stdout)
        compared = server.run("log", "compare", "--data", self.data)
        self.assertEqual(compared.returncode, 0, compared.stdout + compared.stderr)
        past = server.run("at", "0:3", "ledger", "balances", "--data", self.data)
        self.assertEqual(past.returncode, 0, past.stderr)

    def test_old_ids_are_fetched_before_a_command_is_applied(self):
        server = self.open()
        wait_until(lambda: "heptane_ledger_recounts_total 1\n" in http.text(server, "/metrics"), "the recount", 60)
        for name in os.listdir(self.rows):
            with open(os.path.join(self.rows, name), "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for first in (1, 30_000, 65_530):
            self.post(server, "transfers", self.transfers(first, BATCH if first < 60_000 else 10))
        wrong = {**self.transfers(40_000, 1)[0], "amount_raw": "1"}
        status, answer = http.call(server, "POST", "/api/v1/transact", {"operations": [{"transfer": wrong}]})
        self.assertEqual(status, 409)
        self.assertIn("exists_with_different_amount", answer["error"]["message"])
        metrics = http.text(server, "/metrics")
        self.assertIn("heptane_ledger_reads_in_apply_total 0\n", metrics)
        self.assertIn("heptane_commands_held 0\n", metrics)
        self.check_all(server)

    def test_a_backup_takes_them_along(self):
        server = self.open()
        backup = os.path.join(self.directory, "backup")
        done = server.run("backup", backup, "--data", self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        server.stop()
        restored = os.path.join(self.directory, "restored")
        done = server.run("restore", backup, "--data", restored)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_all(self.open(restored))

    def test_a_missing_file_refuses_the_start_and_names_the_way_out(self):
        path = os.path.join(self.rows, "ledger-keys-0000000000.rows")
        kept = path + ".kept"
        os.rename(path, kept)
        with self.assertRaises(Refused) as refused:
            self.open()
        self.assertIn("ledger-keys-0000000000.rows is missing", refused.exception.stderr)
        self.assertIn("backup", refused.exception.stderr)
        # The other way out: the log reaches back to its first command.
        shutil.rmtree(os.path.join(self.data, "shard-0", "snapshots"))
        self.check_all(self.open())

    def test_a_file_that_only_the_newest_snapshot_names_is_made_again(self):
        server = self.open()
        self.addCleanup(setattr, History, "last", self.last)
        for _ in range(8):  # 139,313: two files of transfers
            self.store(server, BATCH)
        done = server.run("snapshot", "--server", server.admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.store(server, 100)
        server.kill()
        path = os.path.join(self.rows, "ledger-keys-0000000001.rows")
        sound = self.read(path)
        for spoil in (os.remove, lambda there: self.write(there, sound[:8192 + 300] + b"rot" + sound[8192 + 303:])):
            spoil(path)
            server.start()
            self.assertIn("the snapshot before this one is used", server.stdout())
            self.assertIn("ledger-keys-0000000001.rows", server.stdout())
            self.assertEqual(self.read(path), sound)
            self.check_all(server)
            server.kill()
        # What both name is needed.
        os.remove(os.path.join(self.rows, "ledger-keys-0000000000.rows"))
        with self.assertRaises(Refused) as refused:
            server.start()
        self.assertIn("ledger-keys-0000000000.rows is missing", refused.exception.stderr)

    def test_rot_is_no_answer_and_verify_names_it(self):
        path = os.path.join(self.rows, "ledger-transfers-0000000000.rows")
        sound = self.read(path)
        self.write(path, sound[:4096 + 300] + b"rot" + sound[4096 + 303:])
        server = self.open()
        status, answer = http.call(server, "GET", "/api/v1/ledger/transfers/3")
        self.assertNotEqual(status, 200)
        self.assertIn("block 0 is damaged", answer["error"]["message"])
        self.assertEqual(self.get(server, f"transfers/{self.last}")["amount_raw"], str(self.last))
        server.stop()
        verified = server.log_verify()
        self.assertEqual(verified.returncode, 1, verified.stdout)
        self.assertIn("ledger-transfers-0000000000.rows: block 0 is damaged", verified.stdout)
        # A command that needs it ends the server before anything is logged, and is not held responsible.
        server.start()
        again = {"id": "3", "debit_account_id": "1", "credit_account_id": "2", "amount_raw": "3", "ledger": 1, "code": 1,
                 **self.marks(3)}
        with self.assertRaises(OSError):
            http.call(server, "POST", "/api/v1/ledger/transfers", {"transfers": [again]})
        self.assertEqual(server.wait(), 74)
        self.assertIn("ledger-transfers-0000000000.rows", server.stderr())
        self.write(path, sound)
        server.start()
        status, answer = http.call(server, "POST", "/api/v1/ledger/transfers", {"transfers": [again]})
        self.assertEqual((status, answer["results"][0]["status"]), (200, "exists"))


if __name__ == "__main__":
    unittest.main()
