"""SQL over every stream, with curl: live rows, joins over modules, positions, limits, rights, a kill, a file that is deleted."""

import csv
import io
import json
import os
import shutil
import subprocess
import unittest
import urllib.parse

from heptane_testkit import ROOT, Server, wait_until
from heptane_testkit import http, kafka
from test_auth import Guarded

SECONDS = 60.0


def has_library():
    return os.path.exists(os.path.join(ROOT, "build", "lib", "libduckdb.so"))


class Curl:
    """One statement after the other over HTTP; `token`: who asks."""

    def __init__(self, server, token=None):
        self.server = server
        self.token = token

    def ask(self, statement, **parameters):
        """(status, headers, body)"""
        query = urllib.parse.urlencode({"q": statement, **parameters})
        command = ["curl", "-s", "-i", "--max-time", str(SECONDS), f"http://{self.server.admin}/api/v1/sql?{query}"]
        if self.token:
            command += ["-H", "Authorization: Bearer " + self.token]
        answer = subprocess.run(command, capture_output=True, timeout=SECONDS + 10, stdin=subprocess.DEVNULL, check=True)
        head, _, body = answer.stdout.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    def rows(self, statement, **parameters):
        status, _, body = self.ask(statement, **parameters)
        assert status == 200, body
        return json.loads(body)["rows"]

    def code(self, statement, **parameters):
        status, _, body = self.ask(statement, **parameters)
        return status, json.loads(body)["error"]["code"]


@unittest.skipUnless(has_library(), "DuckDB's library is not in build/lib: tools/setup run")
class WithServer(unittest.TestCase):
    arguments = ()

    def setUp(self):
        self.server = Server(args=self.arguments)
        self.addCleanup(self.server.close)
        self.server.start()
        self.sql = Curl(self.server)

    def produce(self, topic, *values):
        kafka.kcat_produce(self.server.kafka, topic, text_in="".join(json.dumps(value) + "\n" for value in values))

    def wait_rows(self, statement, wanted):
        wait_until(lambda: self.sql.ask(statement)[0] == 200 and self.sql.rows(statement) == wanted, statement, SECONDS)

class Sql(WithServer):
    def test_what_is_produced_is_a_table(self):
        self.produce("iot.meters", {"meter": "m1", "kwh": 1.5}, {"meter": "m2", "kwh": 2})
        self.produce("prices", {"meter": "m1", "cents": 30})
        self.wait_rows("SELECT count(*) FROM iot.meters", [[2]])
        self.wait_rows("SELECT count(*) FROM prices", [[1]])
        self.assertEqual(self.sql.rows("SELECT meter, kwh * cents FROM iot.meters JOIN prices USING (meter)"), [["m1", 45.0]])
        self.produce("iot.meters", {"meter": "m3", "kwh": 4, "new": True})
        self.wait_rows("SELECT new FROM iot.meters WHERE new", [[True]])
        status, headers, body = self.sql.ask("SELECT meter, kwh FROM iot.meters ORDER BY 1", format="csv")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/csv; charset=utf-8"))
        self.assertEqual(list(csv.reader(io.StringIO(body))), [["meter", "kwh"], ["m1", "1.5"], ["m2", "2"], ["m3", "4"]])

    def test_a_position_shows_what_was_there_then(self):
        self.produce("t", {"n": 1})
        self.wait_rows("SELECT count(*) FROM t", [[1]])
        position = self.sql.rows("SELECT position FROM t")[0][0]
        self.produce("t", {"n": 2})
        self.wait_rows("SELECT count(*) FROM t", [[2]])
        status, headers, body = self.sql.ask("SELECT n FROM t", as_of=position)
        self.assertEqual((status, json.loads(body)["rows"], headers["Heptane-Position"]), (200, [[1]], position))
        self.assertEqual(self.sql.code("SELECT 1", as_of="0:999999999"), (400, "22023"))
        self.assertEqual(self.sql.ask("SELECT 1", as_of="yesterday")[0], 400)

    def test_killed_under_load_it_shows_every_record_once(self):
        recorder = kafka.Recorder(self.server.kafka, "t", pad=100)
        self.sql.ask("SELECT 1")  # begins it
        for _ in range(4):
            recorder.send(5000)
            recorder.poll(0)
            wait_until(lambda: self.sql.ask("SELECT count(*) FROM t")[0] == 200, "the table", SECONDS)
            self.server.crash_restart()
        recorder.flush()
        end = kafka.stream_end(self.server.kafka, "t")
        self.wait_rows('SELECT count(*), count(DISTINCT "offset"), max("offset") FROM t', [[end, end, end - 1]])

    def test_without_its_file_it_comes_back(self):
        self.produce("t", *({"n": n} for n in range(100)))
        self.wait_rows("SELECT sum(n) FROM t", [["4950"]])
        self.server.stop()
        shutil.rmtree(os.path.join(self.server.data, "sql"))
        self.server.start()
        self.wait_rows("SELECT sum(n) FROM t", [["4950"]])
        self.server.stop()
        with open(os.path.join(self.server.data, "sql", "heptane.duckdb"), "r+b") as file:
            file.write(b"no database at all" * 1000)
        self.server.start()
        self.wait_rows("SELECT sum(n) FROM t", [["4950"]])
        self.assertIn("moved aside", self.server.stderr())
        self.assertIn("heptane_sql_rebuilds_total 1", http.text(self.server, "/metrics"))

    def test_a_stream_that_is_deleted_takes_its_table_along(self):
        self.produce("t", {"n": 1})
        self.wait_rows("SELECT n FROM t", [[1]])
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/streams/t")[0], 200)
        wait_until(lambda: self.sql.ask("SELECT n FROM t")[0] == 400, "the table is gone", SECONDS)
        self.produce("t", {"m": 2})
        self.wait_rows("SELECT m FROM t", [[2]])

    def test_a_large_answer_is_read_at_leisure(self):
        query = urllib.parse.urlencode({"q": "SELECT i, repeat('x', 100) AS pad FROM range(500000) r(i)", "format": "csv"})
        command = ["curl", "-s", "--limit-rate", "20M", f"http://{self.server.admin}/api/v1/sql?{query}"]
        self.sql.ask("SELECT 1")
        before = self.server.memory_bytes()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as curl:
            lines = sum(1 for _ in curl.stdout)
            self.assertEqual(curl.wait(), 0)
        self.assertEqual(lines, 500_001)
        self.assertLess(self.server.memory_bytes("VmHWM") - before, 200 << 20)

    def test_nothing_of_the_machine_can_be_read(self):
        for statement in ("SELECT * FROM '/etc/passwd'", "SELECT * FROM read_text('/etc/passwd')", "COPY (SELECT 1) TO '/tmp/x'",
                          "INSTALL httpfs", "ATTACH 'x'", "SET memory_limit = '1TB'", "SELECT * FROM glob('/*')",
                          "SELECT * FROM heptane_storage.applied"):
            status, code = self.sql.code(statement)
            self.assertEqual(status, 400, statement)
            self.assertIn(code, ("42P01", "0A000", "25006"), statement)

    def test_errors_are_postgresqls(self):
        self.produce("t", {"n": 1})
        self.wait_rows("SELECT n FROM t", [[1]])
        status, _, body = self.sql.ask("SELECT nosuch FROM t")
        error = json.loads(body)["error"]
        self.assertEqual((status, error["code"], error["position"]), (400, "42703", 8))
        self.assertEqual(self.sql.code("SELECT FROM"), (400, "42601"))
        self.assertEqual(self.sql.code("DELETE FROM t"), (400, "25006"))
        self.assertEqual(self.sql.ask("")[0], 400)


class SqlLimits(WithServer):
    arguments = ("--set", "sql.statement_timeout=1s", "--set", "sql.rows_max=100")

    def test_time_and_rows_have_limits(self):
        self.assertEqual(self.sql.code("SELECT count(*) FROM range(1000000) a, range(1000000) b"), (504, "57014"))
        self.assertEqual(self.sql.code("SELECT * FROM range(101)"), (400, "54000"))
        self.assertEqual(len(self.sql.rows("SELECT * FROM range(100)")), 100)


@unittest.skipUnless(has_library(), "DuckDB's library is not in build/lib: tools/setup run")
class SqlRights(Guarded):
    def test_what_may_not_be_read_does_not_exist(self):
        for stream in ("open", "secret"):
            self.admin("POST", "/api/v1/streams", {"name": stream})
            self.admin("POST", f"/api/v1/streams/{stream}/records", {"records": [{"value": {"pin": 1234}}]})
        self.admin("POST", "/api/v1/roles", {"name": "some-reader", "permissions": [
            {"module": "streams", "pattern": "open", "verbs": ["read"]}]})
        self.add_user("rita", "some-reader")
        token = self.admin("POST", "/api/v1/tokens", {"name": "rita", "owner": "rita"})["token"]
        everything, some = Curl(self.server, self.token), Curl(self.server, token)
        wait_until(lambda: everything.ask("SELECT * FROM secret")[0] == 200 and
                   everything.rows("SELECT pin FROM secret") == [[1234]], "the rows", SECONDS)
        self.assertEqual(some.rows("SELECT pin FROM open"), [[1234]])
        for statement in ("SELECT * FROM secret", "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
                          "SELECT (SELECT max(pin) FROM public.secret)", "SELECT * FROM heptane_storage.s2"):
            self.assertEqual(some.code(statement), (400, "42P01"), statement)
        self.assertEqual(some.code("SELECT * FROM information_schema.tables"), (403, "42501"))
        self.assertEqual(some.rows("SELECT name FROM heptane_catalog.tables"), [["open"]])
        self.assertEqual(Curl(self.server).ask("SELECT 1")[0], 401)


class SqlWithoutLibrary(unittest.TestCase):
    def test_it_says_what_to_do_and_the_rest_runs(self):
        with Server(args=("--set", "sql.library=/nowhere/libduckdb.so")) as server:
            status, _, body = Curl(server).ask("SELECT 1")
            error = json.loads(body)["error"]
            self.assertEqual((status, error["code"]), (503, "58030"))
            self.assertIn("/nowhere/libduckdb.so", error["message"])
            self.assertEqual(http.create(server, "t")[0], 201)


if __name__ == "__main__":
    unittest.main()
