"""The command line beside a running server: streams, snapshots, backups, explanations; with people's output and with --json."""

import datetime
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from heptane_testkit import Server, default_binary, http, kafka

REFUSED = 3


class Cli(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.close)
        self.directory = tempfile.mkdtemp(prefix="heptane-cli-")
        self.addCleanup(shutil.rmtree, self.directory)

    def run_heptane(self, *arguments, text=None):
        return subprocess.run([default_binary(), *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120)

    def good(self, *arguments, text=None):
        done = self.run_heptane(*arguments, text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def at_server(self, *arguments, text=None):
        return self.good(*arguments, "--server", self.server.admin, text=text)

    def streams(self):
        return {stream["name"]: stream for stream in json.loads(self.at_server("stream", "ls", "--json"))["streams"]}

    def end_of(self, name):
        return sum(part["end_offset"] for part in self.streams()[name]["partitions"])


class Streams(Cli):
    def test_from_creation_to_deletion(self):
        self.at_server("stream", "create", "orders", "--partitions", 2, "--retention-ms", 3_600_000)
        orders = self.streams()["orders"]
        self.assertEqual(len(orders["partitions"]), 2)
        self.assertEqual(orders["retention_ms"], 3_600_000)
        self.at_server("stream", "append", "orders", "--key", "k", text="one\ntwo\nthr\u00e9e\n")
        self.at_server("stream", "append", "orders", "--partition", 1, "--json", text='{"value":{"n":1}}\n\n{"key":"b","value":"x"}\n')
        lines = self.at_server("stream", "tail", "orders", "--from", "start", "--stop-at-end").splitlines()
        self.assertEqual(lines, ["0\tk\tone", "1\tk\ttwo", "2\tk\tthr\u00e9e"])
        found = self.at_server("stream", "tail", "orders", "--partition", 1, "--offset", 1, "--limit", 1, "--json")
        self.assertEqual(json.loads(found)["key"], "b")
        described = self.at_server("stream", "describe", "orders")
        self.assertIn("orders", described)
        self.assertIn("3600000 ms", described)
        self.at_server("stream", "alter", "orders", "--retention-bytes", 1 << 30)
        self.assertEqual(self.streams()["orders"]["retention_bytes"], 1 << 30)
        self.at_server("stream", "delete", "orders")
        self.assertNotIn("orders", self.streams())

    def test_what_is_appended_is_read_by_a_kafka_client_and_the_other_way_round(self):
        self.at_server("stream", "create", "mixed")
        self.at_server("stream", "append", "mixed", text="".join(f"line {n}\n" for n in range(2500)))
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "mixed"), [f"line {n}" for n in range(2500)])
        subprocess.run(kafka.kcat_command(self.server.kafka, "-P", "-t", "mixed"), input="from kcat\n", text=True, check=True)
        self.assertEqual(self.at_server("stream", "tail", "mixed", "--offset", 2500, "--limit", 1), "2500\t\tfrom kcat\n")

    def test_a_tail_waits_for_what_comes(self):
        self.at_server("stream", "create", "live")
        command = [default_binary(), "stream", "tail", "live", "--from", "start", "--limit", "3", "--server",
                   self.server.admin]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
            for n in range(3):
                self.at_server("stream", "append", "live", text=f"{n}\n")
                self.assertEqual(tail.stdout.readline(), f"{n}\t\t{n}\n")
            self.assertEqual(tail.wait(60), 0)

    def test_an_append_goes_on_over_a_kill(self):
        self.at_server("stream", "create", "kept")
        self.server.close()
        self.server = Server().use_stable_port()
        self.server.start()
        self.addCleanup(self.server.close)
        self.at_server("stream", "create", "kept")
        command = [default_binary(), "stream", "append", "kept", "--server", self.server.admin]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as append:
            for n in range(40_000):
                append.stdin.write(f"{n}\n")
                if n % 10_000 == 5_000:
                    append.stdin.flush()
                    self.server.crash_restart()
            _, said = append.communicate(timeout=120)
            self.assertEqual(append.returncode, 0, said)
        self.assertIn("40000 records appended and synced", said)
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "kept"), [str(n) for n in range(40_000)])

    def test_errors_say_what_to_do(self):
        nobody = self.run_heptane("stream", "ls", "--server", "127.0.0.1:1")
        self.assertEqual(nobody.returncode, REFUSED)
        self.assertIn("--server", nobody.stderr)
        for arguments, told in ((("describe", "missing"), "missing"), (("create", "no/slash"), "name"),
                                (("tail", "missing", "--from", "start"), "missing")):
            done = self.run_heptane("stream", *arguments, "--server", self.server.admin)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(told, done.stderr)
        self.assertEqual(self.run_heptane("stream").returncode, 2)


class Explain(Cli):
    def test_a_position_leads_to_what_it_made(self):
        body = {"operations": [{"append": {"stream": "orders", "records": [{"key": "k", "value": {"id": 7}}]}},
                               {"append": {"stream": "payments", "records": [{"value": "paid"}]}}]}
        self.at_server("stream", "create", "orders")
        self.at_server("stream", "create", "payments")
        status, answer = http.call(self.server, "POST", "/api/v1/transact", body)
        self.assertEqual(status, 200, answer)
        position = answer["position"]
        text = self.at_server("explain", position, "--data", self.server.data)
        self.assertIn("transaction", text)
        self.assertIn('orders/0 offset 0  k = {"id":7}', text.replace(": 7", ":7"))
        self.assertIn("payments/0 offset 0  paid", text)
        found = json.loads(self.at_server("explain", position, "--data", self.server.data, "--json"))
        self.assertEqual(found["position"], position)
        self.assertEqual([record["stream"] for record in found["records"]], ["orders", "payments"])

    def test_a_produced_batch(self):
        one_batch = ("-X", "linger.ms=1000")
        subprocess.run(kafka.kcat_command(self.server.kafka, "-P", "-t", "t", *one_batch), input="a\nb\n", text=True, check=True)
        for sequence in range(1, 10):
            found = json.loads(self.at_server("explain", f"0:{sequence}", "--data", self.server.data, "--json"))
            if "record batch" in found["what"]:
                break
        self.assertEqual([record["text"] for record in found["records"]], ["a", "b"])
        self.assertIn("origin", found)
        listed = json.loads(self.at_server("stream", "tail", "t", "--from", "start", "--limit", "1", "--json"))
        self.assertLess(abs(listed["timestamp"] - 1000 * datetime.datetime.fromisoformat(found["time"][:26]).replace(
            tzinfo=datetime.timezone.utc).timestamp()), 60_000)

    def test_commands_of_blobs(self):
        path = os.path.join(self.server.work, "content")
        with open(path, "wb") as out:
            out.write(b"some content")
        digest = json.loads(self.at_server("blob", "put", path, "--json"))["sha256"]
        self.at_server("blob", "rm", digest)
        told = {}
        for sequence in range(1, 10):
            done = self.run_heptane("explain", f"0:{sequence}", "--data", self.server.data, "--json")
            if done.returncode == 0 and "blob" in json.loads(done.stdout):
                told[json.loads(done.stdout)["what"]] = json.loads(done.stdout)
        kept, deleted = told["keep a blob, whose bytes are a file already"], told["delete a blob: it stays only for machines that refer to it"]
        self.assertEqual((kept["blob"], kept["blob_bytes"]), (digest, "12"))
        self.assertEqual(deleted["blob"], digest)

    def test_what_is_no_position(self):
        for position, code in (("x", 2), ("0:", 2), ("0:999", 1)):
            done = self.run_heptane("explain", position, "--data", self.server.data)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(position, done.stderr)


class At(Cli):
    def ends(self, moment):
        found = json.loads(self.good("at", moment, "streams", "--data", self.server.data, "--json"))
        return found["position"], {stream["name"]: [part["end_offset"] for part in stream["partitions"]]
                                   for stream in found["streams"]}

    def test_the_state_behind_any_command_with_and_without_snapshots(self):
        http.create(self.server, "a", 2)
        http.create(self.server, "b")
        seen = []
        for n in range(30):
            values = [str(i) for i in range(n % 4 + 1)]
            status, answer = http.transact(self.server, http.append("a", *values), http.append("b", "x"))
            self.assertEqual(status, 200, answer)
            seen.append((answer["position"], sum(i % 4 + 1 for i in range(n + 1)), n + 1))
            if n in (10, 20):
                self.at_server("snapshot")
        for position, a, b in seen:
            if self.run_heptane("at", position, "hash", "--data", self.server.data).returncode == 0:
                self.assertEqual(self.ends(position), (position, {"a": [a, 0], "b": [b]}))
        # All of them: the first segment is still there.
        self.assertEqual(self.ends(seen[0][0])[1], {"a": [1, 0], "b": [1]})

    def test_by_time(self):
        http.create(self.server, "a")
        status, first = http.transact(self.server, http.append("a", "1"))
        self.assertEqual(status, 200)
        time = json.loads(self.at_server("explain", first["position"], "--data", self.server.data, "--json"))["time"]
        http.transact(self.server, http.append("a", "2"))
        self.assertEqual(self.ends(time), (first["position"], {"a": [1]}))

    def test_the_newest_snapshot_is_what_replay_makes(self):
        http.create(self.server, "a")
        hashes = []
        for n in range(3):
            status, answer = http.transact(self.server, http.append("a", str(n)))
            self.assertEqual(status, 200)
            self.at_server("snapshot")
            hashes.append(json.loads(self.good("at", answer["position"], "hash", "--data", self.server.data, "--json"))["state_hash"])
        self.assertEqual(len(set(hashes)), 3)
        said = self.good("log", "verify", "--state", "--data", self.server.data)
        self.assertIn(hashes[2], said)

    def test_what_is_no_moment_and_what_is_not_there(self):
        for moment, code in (("x", 2), ("2026-11-28", 2), ("1:5", 2), ("0:99", 1)):
            done = self.run_heptane("at", moment, "hash", "--data", self.server.data)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(moment, done.stderr)
        self.assertEqual(self.run_heptane("at", "0:1", "hash", "--data", "/nowhere").returncode, 1)


class Snapshots(Cli):
    def test_on_command(self):
        self.at_server("stream", "create", "s")
        taken = json.loads(self.at_server("snapshot", "--json"))
        self.assertEqual(taken["position"].split(":")[0], "0")
        self.assertGreater(int(taken["position"].split(":")[1]), 0)
        self.assertGreater(taken["bytes"], 0)


class Backups(Cli):
    def restored(self, backup):
        data = os.path.join(self.directory, "restored")
        said = json.loads(self.good("restore", backup, "--data", data, "--json"))
        server = Server(data=data)
        server.start()
        self.addCleanup(server.close)
        return server, said

    def test_under_load_everything_acknowledged_before_it_is_in_it(self):
        recorder = kafka.Recorder(self.server.kafka, "orders")
        recorder.send(2000)
        recorder.flush()
        acknowledged = dict(recorder.acknowledged)
        recorder.send(20_000)  # is under way during the backup
        backup = os.path.join(self.directory, "backup")
        made = json.loads(self.good("backup", backup, "--data", self.server.data, "--json"))
        recorder.flush()
        self.good("restore", backup, "--check")
        server, _ = self.restored(backup)
        self.assertEqual(kafka.check_recovered(acknowledged, kafka.read_numbers(server.kafka, "orders")), [])
        checked = server.log_verify()
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        # What the original gave out after the backup never comes back.
        status, answer = http.call(server, "POST", "/api/v1/streams", {"name": "after"})
        self.assertEqual(status, 201, answer)
        status, answer = http.call(server, "POST", "/api/v1/transact",
                                     {"operations": [{"append": {"stream": "after", "records": [{"value": 1}]}}]})
        self.assertEqual(status, 200, answer)
        made_at = int(made["position"].split(":")[1])
        self.assertGreater(int(answer["position"].split(":")[1]), made_at + 900_000_000)

    def test_of_a_server_that_has_ended_with_snapshots_and_history(self):
        self.at_server("stream", "create", "s")
        self.at_server("stream", "append", "s", text="a\nb\n")
        self.at_server("snapshot")
        self.at_server("stream", "append", "s", text="c\n")
        self.server.stop()
        backup = os.path.join(self.directory, "backup")
        self.assertIn("Backed up", self.good("backup", backup, "--data", self.server.data))
        server, _ = self.restored(backup)
        self.assertEqual(kafka.kcat_consume(server.kafka, "s"), ["a", "b", "c"])

    def test_damage_is_named_and_nothing_is_restored(self):
        backup = os.path.join(self.directory, "backup")
        self.good("backup", backup, "--data", self.server.data)
        log = os.path.join(backup, "data", "shard-0", "log")
        victim = os.path.join(log, os.listdir(log)[0])
        with open(victim, "r+b") as file:
            file.seek(100)
            byte = file.read(1)
            file.seek(100)
            file.write(bytes([byte[0] ^ 1]))
        data = os.path.join(self.directory, "restored")
        done = self.run_heptane("restore", backup, "--data", data)
        self.assertEqual(done.returncode, 1)
        self.assertIn(os.path.basename(victim), done.stderr)
        self.assertFalse(os.path.exists(data))

    def test_refusals(self):
        backup = os.path.join(self.directory, "backup")
        self.good("backup", backup, "--data", self.server.data)
        for arguments in (("backup", backup, "--data", self.server.data), ("restore", backup, "--data", self.server.data),
                          ("backup", backup + "2", "--data", "/nowhere"), ("restore", self.directory, "--data", backup + "3")):
            done = self.run_heptane(*arguments)
            self.assertEqual(done.returncode, REFUSED, done.stderr)
            self.assertRegex(done.stderr, "empty|no log|no backup")


if __name__ == "__main__":
    unittest.main()
