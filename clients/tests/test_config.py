"""The configuration from outside: a file and its mistakes, what is refused as unsafe, SIGHUP, readiness during a replay."""

import json
import os
import signal
import socket
import unittest

from heptane_testkit import ROOT, Refused, Server, free_port, http, kafka, wait_until

EXAMPLE = os.path.join(ROOT, "docs", "heptane.example.toml")


class Configured(unittest.TestCase):
    def server(self, text="", **options):
        """A Server, not started, with a file of that text."""
        args = options.pop("args", ())
        server = Server(args=args, **options)
        self.addCleanup(server.close)
        self.path = os.path.join(server.work, "heptane.toml")
        server.args += ["--config", self.path]
        self.write(text)
        return server

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(text)

    def reload(self, server, until):
        """SIGHUP, and what was printed about it once `until` is in there."""
        before = len(server.stderr())
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: until in server.stderr()[before:], f"{until!r} after SIGHUP; stderr: {server.stderr()}")
        return server.stderr()[before:]


class Listeners(Configured):
    def test_one_may_have_several_addresses(self):
        one, other = free_port(), free_port()
        server = self.server(f'[listen]\nkafka = ["127.0.0.1:{one}", "127.0.0.2:{other}"]\n').start()
        self.assertEqual(server.kafka, f"127.0.0.1:{one}")
        for address in (f"127.0.0.1:{one}", f"127.0.0.2:{other}"):
            kafka.kcat_produce(address, "t", text_in="x\n")
        self.assertEqual(kafka.watermarks(server.kafka, "t")[1], 2)
        self.assertIn(f"127.0.0.1:{one}, 127.0.0.2:{other}", server.stdout())

    def test_all_of_them_are_checked(self):
        for addresses, why in (('[]', "at least one"), ('["127.0.0.1:1", "off"]', '"off"'), ('["127.0.0.1:1", "127.0.0.1:1"]', "twice"),
                               ('["127.0.0.1:1", "0.0.0.0:1"]', "beyond loopback")):
            with self.assertRaises(Refused) as refused:
                self.server(f"[listen]\nkafka = {addresses}\n").start()
            self.assertIn(why, refused.exception.stderr)


class Parts(Configured):
    def test_modules_that_are_off_have_no_listener_and_keep_their_state(self):
        server = self.server("readers = 2\n").start()
        self.assertIn("tigerbeetle", server.endpoints)
        kafka.kcat_produce(server.kafka, "t", text_in="x\n")
        self.write('modules = ["fintech"]\n')
        server.restart()
        self.assertNotIn("kafka", server.endpoints)
        self.assertIn("tigerbeetle", server.endpoints)
        self.assertEqual(len(http.call(server, "GET", "/api/v1/streams/t/records")[1]["records"]), 1)
        self.write("")
        server.restart()
        self.assertEqual(kafka.watermarks(server.kafka, "t")[1], 1)

    def test_unknown_modules_are_named(self):
        with self.assertRaises(Refused) as refused:
            self.server('modules = ["date"]\n').start()
        self.assertIn('"date" is not known here', refused.exception.stderr)

    def test_new_streams_have_the_configured_retention(self):
        server = self.server("").start()
        described = lambda name: http.call(server, "GET", f"/api/v1/streams/{name}")[1]
        http.create(server, "before")
        self.write('[streams]\nretention_ms = 3600000\nretention_bytes = "1GiB"\n')
        self.reload(server, "streams.retention_ms = 3600000")
        http.create(server, "after")
        http.call(server, "POST", "/api/v1/streams", {"name": "own", "retention_ms": 5})
        kafka.kcat_produce(server.kafka, "made", text_in="x\n")
        for _ in range(2):
            self.assertNotIn("retention_ms", described("before"))
            for name in ("after", "made"):
                self.assertEqual((described(name)["retention_ms"], described(name)["retention_bytes"]), (3_600_000, 1 << 30))
            self.assertEqual((described("own")["retention_ms"], described("own")["retention_bytes"]), (5, 1 << 30))
            server.crash_restart()  # by replay, of what the log says
        self.write("")
        server.restart()
        http.create(server, "forever")
        self.assertNotIn("retention_ms", described("forever"))
        self.assertEqual(described("after")["retention_ms"], 3_600_000)


class File(Configured):
    def test_values_hold_and_the_command_line_goes_before_them(self):
        port = free_port()
        server = self.server(f'data = "not here"\nlisten.kafka = "127.0.0.1:{port}"\n[kafka]\nauto_create = false\n'
                             '[http]\nbody_bytes = 2048\n').start()
        self.assertEqual(server.kafka, f"127.0.0.1:{port}")
        self.assertTrue(os.path.isdir(os.path.join(server.data, "shard-0")))
        self.assertEqual(kafka.topics(server.kafka), set())
        done = kafka.kcat(server.kafka, "-P", "-X", "topic.metadata.propagation.max.ms=0", "-t", "unknown", text_in="x\n", accept=None)
        self.assertNotEqual(done.returncode, 0)
        status, answer = http.transact(server, http.append("a", "x" * 4000))
        self.assertEqual((status, answer["error"]["code"]), (413, answer["error"]["code"]))

    def test_a_listener_can_be_off(self):
        server = self.server('[listen]\nkafka = "off"\n').start()
        self.assertIn("admin", server.endpoints)
        self.assertNotIn("kafka", server.endpoints)

    def test_every_mistake_is_told_with_its_place(self):
        server = self.server('[kafka]\nauto_crate = true\nmax_fetch_bytes = "7 bananas"\n[limits]\nconnections = 0\n')
        with self.assertRaises(Refused) as refused:
            server.start()
        self.assertEqual(refused.exception.code, 3)
        told = refused.exception.stderr.replace(self.path, "FILE").splitlines()
        self.assertEqual(told[0], "FILE:2:14: kafka.auto_crate: there is no such key: did you mean kafka.auto_create?")
        self.assertTrue(told[1].startswith('FILE:3:19: kafka.max_fetch_bytes: "7 bananas" is no size: say a size'), told)
        self.assertEqual(told[2], "FILE:5:15: limits.connections: 0 is out of range: say an integer from 1 to 1000000")
        self.assertEqual(len(told), 3, told)
        self.assertFalse(os.path.exists(server.data), "nothing was made")

    def test_check_config(self):
        server = self.server("kafka.auto_create = true\n")
        good = server.run("check-config", self.path)
        self.assertEqual((good.returncode, good.stderr), (0, ""))
        self.write('kafka.auto_create = 1\nlisten.kafka = "0.0.0.0:9092"\n')
        bad = server.run("check-config", "--json", self.path)
        self.assertEqual(bad.returncode, 1)
        answer = json.loads(bad.stdout)
        self.assertEqual([(m["key"], m["line"], m["column"]) for m in answer["mistakes"]], [("kafka.auto_create", 1, 21)])
        self.write('\nlisten.kafka = "0.0.0.0:9092"\n')
        unsafe = json.loads(server.run("check-config", "--json", self.path).stdout)["mistakes"]
        self.assertEqual([(m["key"], m["line"]) for m in unsafe], [("listen.kafka.address", 2)])
        self.write("a = [\n")
        self.assertEqual(server.run("check-config", self.path).returncode, 1)
        self.assertEqual(server.run("check-config", "/does/not/exist").returncode, 1)
        self.assertIn("is no file", server.run("check-config", server.work).stderr)

    def test_what_is_printed_starts_a_server(self):
        server = self.server()
        printed = server.run("config", "print", "--set", "kafka.auto_create=false")
        self.assertEqual(printed.returncode, 0, printed.stderr)
        self.write(printed.stdout)
        self.assertFalse(json.loads(server.run("config", "print", "--config", self.path, "--json").stdout)["kafka.auto_create"])
        server.start()
        self.assertEqual(server.stop(), 0)

    def test_the_example_file_is_the_table(self):
        printed = Server().run("config", "print", "--example")
        with open(EXAMPLE, encoding="utf-8") as text:
            self.assertEqual(text.read(), printed.stdout, "make it again: build/heptane config print --example")


class Unsafe(Configured):
    def refused(self, server, *parts):
        with self.assertRaises(Refused) as refused:
            server.start()
        self.assertEqual(refused.exception.code, 3)
        for part in parts:
            self.assertIn(part, refused.exception.stderr)

    def test_an_address_beyond_loopback(self):
        self.refused(self.server('[listen.kafka]\naddress = "0.0.0.0:9092"\n'), "listen.kafka.address: 0.0.0.0",
                     "listen.kafka.insecure = true")

    def test_what_is_missing_is_named(self):
        self.refused(self.server('auth.enabled = true\n[listen.kafka]\naddress = "0.0.0.0:9092"\n'),
                     'set tls.certificate, tls.key and tls.listeners = ["kafka"], or listen.kafka.insecure')

    def test_a_private_key_that_everybody_may_read(self):
        server = self.server()
        key = os.path.join(server.work, "server.key")
        with open(key, "w", encoding="ascii") as out:
            out.write("none")
        os.chmod(key, 0o644)
        self.write(f'[tls]\ncertificate = "{key}"\nkey = "{key}"\nlisteners = ["kafka"]\n')
        self.refused(server, f"tls.key: {key} is open to every user of this machine (mode 644): chmod 640 {key}")
        os.chmod(key, 0o600)
        self.refused(server, "listen.kafka: TLS")
        checked = server.run("check-config", self.path)
        self.assertEqual(checked.returncode, 1)
        self.assertIn(f"{self.path}:2:15: tls.certificate: ", checked.stderr)

    def test_unless_it_is_said_to_be_meant(self):
        server = self.server('[listen.kafka]\naddress = "0.0.0.0:0"\ninsecure = true\n').start()
        self.assertIn("INSECURE", server.stdout())
        metrics = http.text(server, "/metrics")
        self.assertIn('heptane_listener_insecure{listener="kafka"} 1\n', metrics)
        self.assertIn('heptane_listener_insecure{listener="admin"} 0\n', metrics)

    def test_a_data_directory_that_everybody_may_read(self):
        server = self.server()
        os.mkdir(server.data, 0o755)
        self.refused(server, f"data: {server.data} is open to every user of this machine", f"chmod 750 {server.data}")
        os.chmod(server.data, 0o750)
        server.start()


class Reload(Configured):
    def test_reloadable_keys_change_and_others_are_named(self):
        server = self.server("[kafka]\nauto_create = false\n").start()
        kafka.kcat(server.kafka, "-P", "-X", "topic.metadata.propagation.max.ms=0", "-t", "first", text_in="x\n", accept=None)
        self.assertEqual(kafka.topics(server.kafka), set())
        self.write('[kafka]\nauto_create = true\n[log]\nsegment_bytes = "32MiB"\n')
        told = self.reload(server, "segment_bytes")
        self.assertIn("kafka.auto_create = true, was false", told)
        self.assertIn('log.segment_bytes needs a restart: it stays "64MiB", the file says "32MiB"', told)
        kafka.kcat_produce(server.kafka, "second", text_in="x\n")
        self.assertEqual(kafka.topics(server.kafka), {"second"})
        self.assertIn("needs a restart", self.reload(server, "needs a restart"), "it is told each time")

    def test_a_broken_file_changes_nothing(self):
        server = self.server("[kafka]\nauto_create = true\n").start()
        self.write("[kafka]\nauto_create = false\nmax_fetch_bytes = 1\n")
        told = self.reload(server, "max_fetch_bytes")
        self.assertIn("nothing was changed", told)
        kafka.kcat_produce(server.kafka, "made", text_in="x\n")
        self.assertEqual(kafka.topics(server.kafka), {"made"})
        os.unlink(self.path)
        self.assertIn("nothing was changed", self.reload(server, "cannot be opened"))

    def test_without_a_file_there_is_nothing_to_read(self):
        with Server() as server:
            self.assertIn("without --config", self.reload(server, "--config"))
            self.assertEqual(server.stop(), 0)


class Readiness(Configured):
    def ready(self, server):
        """(status, answer) of /readyz; None while nobody listens."""
        try:
            return http.call(server, "GET", "/readyz")
        except OSError:
            return None

    def test_admin_answers_while_the_log_is_replayed(self):
        server = self.server(args=("--segment-mib", 16)).use_stable_port("admin").use_stable_port("kafka").start()
        for _ in range(4):
            kafka.kcat_produce(server.kafka, "big", "-z", "none", text_in=("y" * 1000 + "\n") * 40_000)
        server.kill()
        # Every read of the log takes a little: the replay lasts as long as the questions.
        server.prefix = ["strace", "-f", "-o", os.path.join(server.work, "strace"), "-e",
                         "inject=pread64,preadv2:delay_exit=20000", "-e", "trace=pread64,preadv2"]
        server.endpoints = {"admin": server.listen["admin"]}
        server.launch()
        status, answer = wait_until(lambda: self.ready(server), "an answer of /readyz")
        self.assertEqual(status, 503)
        self.assertFalse(answer["ready"])
        self.assertIn(answer["phase"], ("restore", "replay"))
        status, _ = http.call(server, "GET", "/livez")
        self.assertEqual(status, 200)
        self.assertIn("\nheptane_ready 0\n", http.text(server, "/metrics"))
        status, answer = http.call(server, "GET", "/api/v1/streams")
        self.assertEqual((status, answer["error"]["code"]), (503, "starting"))
        host, port = server.listen["kafka"].rsplit(":", 1)
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex((host, int(port))), 0, "Kafka opens after recovery")
        seen = []
        while (answer := self.ready(server)) and answer[0] == 503:
            seen.append(answer[1])
        self.assertTrue(any(0 < one["done"] <= one["total"] for one in seen), seen[:3])
        self.assertEqual(answer[0], 200)
        server.wait_ready()
        self.assertEqual(kafka.stream_end(server.kafka, "big"), 160_000)
        self.assertIn("\nheptane_ready 1\n", http.text(server, "/metrics"))

    def test_a_stop_during_the_replay_is_clean(self):
        server = self.server(args=("--segment-mib", 16)).use_stable_port("admin").start()
        kafka.kcat_produce(server.kafka, "big", "-z", "none", text_in=("y" * 1000 + "\n") * 60_000)
        server.kill()
        server.prefix = ["strace", "-f", "-o", os.path.join(server.work, "strace"), "-e",
                         "inject=pread64,preadv2:delay_exit=20000", "-e", "trace=pread64,preadv2"]
        server.endpoints = {"admin": server.listen["admin"]}
        server.launch()
        wait_until(lambda: self.ready(server), "an answer of /readyz")
        self.assertEqual(server.stop(), 0)
        self.assertIn("stopped before it was ready", server.stderr())
        server.prefix = []
        server.start()
        self.assertEqual(kafka.stream_end(server.kafka, "big"), 60_000)


if __name__ == "__main__":
    unittest.main()
