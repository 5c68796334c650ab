"""The profiles of a live server, read by gperftools' google-pprof, which knows nothing but the address."""

import os
import re
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from heptane_testkit import Server, http

SECONDS = 120
LOAD = "x" * 100


def fetch(server, page, data=None):
    """(status, body) of a page of /debug/pprof."""
    request = urllib.request.Request(f"http://{server.admin}/debug/pprof/{page}", data)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def pprof(server, page, *options):
    """google-pprof's report of a page as text."""
    done = subprocess.run(
        ["google-pprof", "--text", *options, f"http://{server.admin}/debug/pprof/{page}"], capture_output=True, text=True,
        timeout=SECONDS, stdin=subprocess.DEVNULL, env={**os.environ, "PPROF_TMPDIR": server.work, "HOME": server.work})
    return done.returncode, done.stdout, done.stderr


class Pprof(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        http.create(cls.server, "load")

    def load(self, stop):
        values = [LOAD] * 100
        while not stop.is_set():
            http.transact(self.server, http.append("load", *values))

    def under_load(self, work):
        stop = threading.Event()
        thread = threading.Thread(target=self.load, args=(stop,))
        thread.start()
        try:
            return work()
        finally:
            stop.set()
            thread.join()

    def test_google_pprof_names_where_the_processor_was(self):
        code, report, errors = self.under_load(lambda: pprof(self.server, "profile", "--seconds=2"))
        self.assertEqual(code, 0, errors)
        self.assertRegex(report, r"Total: [1-9]\d* samples")
        self.assertRegex(report, r"heptane::|simdjson", report)

    def test_threads_beside_the_first_are_in_it(self):
        status, profile = self.under_load(lambda: fetch(self.server, "profile?seconds=2"))
        self.assertEqual(status, 200)
        self.assertIn(b"heptane", profile[profile.rindex(b"r-xp") - 4096 :])  # the mappings at its end
        code, report, errors = self.under_load(lambda: pprof(self.server, "profile", "--seconds=3"))
        self.assertEqual(code, 0, errors)
        self.assertRegex(report, r"fdatasync|pwrite|Committer|SystemDisk", report)

    def test_google_pprof_names_where_memory_was_asked_for(self):
        code, report, errors = self.under_load(lambda: pprof(self.server, "heap"))
        self.assertEqual(code, 0, errors)
        self.assertRegex(report, r"Total: \d+\.\d MB")
        self.assertRegex(report, r"heptane::", report)

    def test_the_heap_says_what_it_lacks(self):
        status, profile = fetch(self.server, "heap")
        self.assertEqual(status, 200)
        self.assertRegex(profile.decode(errors="replace").split("\n")[1], r"^# \d+ more had no room among the samples")

    def test_names_longer_than_an_answer(self):
        _, profile = fetch(self.server, "heap")
        addresses = sorted(set(re.findall(rb"0x[0-9a-f]+", profile[: profile.index(b"MAPPED_LIBRARIES")])))
        _, names = fetch(self.server, "symbol", b"+".join(addresses))
        address = max(names.split(b"\n"), key=len).split(b"\t")[0]
        status, answer = fetch(self.server, "symbol", b"+".join([address] * 100_000))
        self.assertEqual(status, 413, answer[:200])
        self.assertIn(b"fewer addresses", answer)

    def test_one_profile_at_a_time(self):
        first = []
        thread = threading.Thread(target=lambda: first.append(fetch(self.server, "profile?seconds=3")[0]))
        thread.start()
        statuses = set()
        while thread.is_alive():
            statuses.add(fetch(self.server, "profile?seconds=1")[0])
        thread.join()
        self.assertIn(409, statuses | set(first))
        self.assertIn(200, statuses | set(first))
        self.assertEqual(fetch(self.server, "profile?seconds=1")[0], 200)  # the profiler has been given back

    def test_bad_input(self):
        for page in ("profile?seconds=0", "profile?seconds=61", "profile?seconds=x", "profile?rate=3"):
            self.assertEqual(fetch(self.server, page)[0], 400, page)
        for addresses in (b"0xzz", b"1+", b"1++2", b"-1", b"0x11111111111111111"):
            status = fetch(self.server, "symbol", addresses)[0]
            self.assertEqual(status, 400 if addresses != b"1+" else 200, addresses)

    def test_symbols(self):
        status, text = fetch(self.server, "symbol")
        self.assertEqual(status, 200)
        self.assertGreater(int(re.fullmatch(r"num_symbols: (\d+)\n", text.decode())[1]), 1000)
        self.assertEqual(fetch(self.server, "symbol", b"0x1"), (200, b"0x1\t0x1\n"))

    def test_command_line(self):
        status, text = fetch(self.server, "cmdline")
        self.assertEqual(status, 200)
        self.assertIn("serve", text.decode().split("\n"))


class WhoMay(unittest.TestCase):
    def test_administrators_alone(self):
        server = Server(args=["--auth"])
        self.addCleanup(server.close)
        server.start()
        for page in ("profile?seconds=1", "heap", "cmdline", "symbol"):
            self.assertEqual(fetch(server, page)[0], 401, page)


if __name__ == "__main__":
    unittest.main()
