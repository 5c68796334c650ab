"""Series: InfluxDB's write and query API by plain HTTP, curl and the influx command line; limits; who may; over kills."""

import gzip
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

from test_auth import Guarded, PASSWORD

from heptane_testkit import Server, default_binary, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import mosquitto_pub

SECONDS = 60


def request(server, path, body=None, headers=None, method=None):
    """(status, body as text, headers)"""
    made = urllib.request.Request(f"http://{server.endpoints['series']}{path}", body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(made, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(), refused.headers


class Series(unittest.TestCase):
    args = ()

    def setUp(self):
        self.server = Server(args=self.args)
        self.addCleanup(self.server.close)
        self.server.start()
        self.query("CREATE DATABASE db", method="POST")

    def query(self, text, method="GET", **parameters):
        """The results; each an object of the API."""
        path = "/query?" + urllib.parse.urlencode({"q": text, "db": "db", "epoch": "ns", **parameters})
        status, body, _ = request(self.server, path, b"" if method == "POST" else None, method=method)
        self.assertEqual(status, 200, body)
        return json.loads(body)["results"]

    def rows(self, text, **parameters):
        """The values of the one series answered; none: []."""
        (result,) = self.query(text, **parameters)
        self.assertNotIn("error", result)
        series = result.get("series", [])
        self.assertLessEqual(len(series), 1)
        return series[0]["values"] if series else []

    def error(self, text, **parameters):
        return self.query(text, **parameters)[0]["error"]

    def write(self, lines, expect=204, path="/write?db=db", **headers):
        status, body, _ = request(self.server, path, lines.encode() if isinstance(lines, str) else lines, headers)
        self.assertEqual(status, expect, body)
        return json.loads(body) if body else None


class Api(Series):
    def test_writes_are_there_at_once(self):
        self.write('cpu,host=a,zone=x idle=1.5,busy=2i,on=true,name="x y" 1000\ncpu,host=b idle=2.5 2000')
        (result,) = self.query("SELECT * FROM cpu")
        self.assertEqual(result["series"], [{"name": "cpu", "columns": ["time", "busy", "host", "idle", "name", "on", "zone"],
                                             "values": [[1000, 2, "a", 1.5, "x y", True, "x"],
                                                        [2000, None, "b", 2.5, None, None, None]]}])
        self.assertEqual(self.rows("SELECT mean(idle) FROM cpu"), [[0, 2.0]])
        (result,) = self.query("SELECT last(idle) FROM cpu GROUP BY host")
        self.assertEqual([(one["tags"], one["values"]) for one in result["series"]],
                         [({"host": "a"}, [[1000, 1.5]]), ({"host": "b"}, [[2000, 2.5]])])

    def test_the_same_point_merges(self):
        self.write("m,a=1 v=1,w=1 5")
        self.write("m,a=1 v=2,x=3 5")
        self.assertEqual(self.rows("SELECT v,w,x FROM m"), [[5, 2, 1, 3]])

    def test_precision_of_both_versions(self):
        self.write("m v=1 1", path="/write?db=db&precision=s")
        self.write("m v=2 2000", path="/api/v2/write?org=o&bucket=db&precision=ms")
        self.write("m v=3 3000000", path="/api/v2/write?bucket=db/autogen&precision=us")
        self.assertEqual(self.rows("SELECT v FROM m", epoch="ms"), [[1000, 1], [2000, 2], [3000, 3]])
        (result,) = self.query("SELECT v FROM m LIMIT 1", epoch="")
        self.assertEqual(result["series"][0]["values"], [["1970-01-01T00:00:01Z", 1]])
        self.assertIn("invalid precision", self.write("m v=1", 400, "/write?db=db&precision=y")["error"])

    def test_windows_and_fill(self):
        self.write("\n".join(f"m,h={i % 2} v={i} {i}" for i in range(10)), path="/write?db=db&precision=s")
        self.assertEqual(self.rows("SELECT sum(v) FROM m WHERE time >= 0s AND time < 15s GROUP BY time(5s) fill(0)", epoch="s"),
                         [[0, 10], [5, 35], [10, 0]])
        self.assertEqual(self.rows("SELECT v FROM m WHERE h = '1' ORDER BY time DESC LIMIT 2", epoch="s"), [[9, 9], [7, 7]])
        self.assertEqual(self.rows("SELECT derivative(v) FROM m WHERE h =~ /0/ LIMIT 2", epoch="s"), [[2, 1], [4, 1]])

    def test_show(self):
        self.write("cpu,host=a,zone=x v=1 1\ncpu,host=b v=1 1\nmem,host=a s=\"t\",n=1i 1")
        self.assertEqual(self.rows("SHOW DATABASES"), [["db"]])
        self.assertEqual(self.rows("SHOW RETENTION POLICIES ON db"), [["autogen", "0s", "168h0m0s", 1, True]])
        self.assertEqual(self.rows("SHOW MEASUREMENTS"), [["cpu"], ["mem"]])
        self.assertEqual(self.rows("SHOW MEASUREMENTS WITH MEASUREMENT = mem"), [["mem"]])
        self.assertEqual(self.rows("SHOW MEASUREMENTS WITH MEASUREMENT =~ /(?i)^CP|em/ LIMIT 100"), [["cpu"], ["mem"]])
        self.assertEqual(self.rows("SHOW MEASUREMENTS WITH MEASUREMENT =~ /e/ WHERE host = 'a'"), [["mem"]])
        self.assertEqual(self.rows("SHOW MEASUREMENTS WITH MEASUREMENT =~ /m/ WHERE zone = 'x'"), [])
        self.assertEqual(self.rows("SHOW SERIES"), [["cpu,host=a,zone=x"], ["cpu,host=b"], ["mem,host=a"]])
        self.assertEqual(self.rows("SHOW TAG KEYS FROM cpu"), [["host"], ["zone"]])
        self.assertEqual(self.rows("SHOW TAG VALUES FROM cpu WITH KEY = host"), [["host", "a"], ["host", "b"]])
        self.assertEqual(self.rows("SHOW FIELD KEYS FROM mem"), [["n", "integer"], ["s", "string"]])

    def test_databases_come_and_go(self):
        self.write("m v=1 1")
        self.assertEqual(self.error("DROP DATABASE db"), "what changes something needs POST")
        self.query("DROP DATABASE db", method="POST")
        self.assertEqual(self.rows("SHOW DATABASES"), [])
        self.assertIn("database not found", self.write("m v=1 1", 404)["error"])
        self.assertEqual(self.error("SELECT v FROM m"), "database not found: db")
        self.query("CREATE DATABASE db", method="POST")
        self.write("m v=7i 2")
        self.assertEqual(self.rows("SELECT v FROM m"), [[2, 7]])

    def test_chunked(self):
        self.write("\n".join(f"m v={i} {i}" for i in range(25)))
        path = "/query?" + urllib.parse.urlencode({"q": "SELECT v FROM m; SHOW DATABASES", "db": "db", "epoch": "ns",
                                                   "chunked": "true", "chunk_size": "10"})
        _, body, _ = request(self.server, path)
        chunks = [json.loads(line)["results"][0] for line in body.splitlines()]
        self.assertEqual([(len(chunk["series"][0]["values"]), chunk.get("partial", False)) for chunk in chunks],
                         [(10, True), (10, True), (5, False), (1, False)])
        self.assertEqual([chunk["series"][0].get("partial", False) for chunk in chunks], [True, True, False, False])

    def test_long_answers_are_whole(self):
        self.write("\n".join(f"m v={i} {i}" for i in range(12_000)))
        self.assertEqual(self.rows("SELECT v FROM m"), [[i, i] for i in range(12_000)])

    def test_a_query_in_a_form(self):
        self.write("m v=1 1")
        body = urllib.parse.urlencode({"q": "SELECT v FROM m", "db": "db"}).encode()
        _, text, _ = request(self.server, "/query", body, {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(json.loads(text)["results"][0]["series"][0]["values"], [["1970-01-01T00:00:00.000000001Z", 1]])

    def test_what_is_not_served_is_named(self):
        for text, word in (("SELECT median(v) FROM m", "median()"), ("DELETE FROM m", "DELETE"), ("SELECT v FROM m SLIMIT 1", "SLIMIT")):
            status, body, _ = request(self.server, "/query?" + urllib.parse.urlencode({"q": text, "db": "db"}))
            self.assertEqual(status, 400)
            self.assertIn(word, json.loads(body)["error"])
        self.assertEqual(self.query("SELECT v FROM nothing; SELECT mean(v) FROM x.autogen.y; SHOW DATABASES")[1:],
                         [{"statement_id": 1, "error": "database not found: x"}, {"statement_id": 2, "error": "not executed"}])

    def test_ping_and_health(self):
        for path, status in (("/ping", 204), ("/health", 200)):
            found, body, headers = request(self.server, path)
            self.assertEqual(found, status)
            self.assertIn("heptane", headers["X-Influxdb-Version"])
        self.assertEqual(json.loads(body)["status"], "pass")


class BadInput(Series):
    args = ("--set", "series.max_series=3")

    def test_a_bad_line_is_named_and_the_others_are_kept(self):
        answer = self.write("m v=1 1\nbad\n\nm v=2 2\nm v= 3", 400)
        self.assertEqual(answer["error"], "partial write: line 2: unable to parse 'bad': fields are missing dropped=2")
        self.assertEqual(self.rows("SELECT v FROM m"), [[1, 1], [2, 2]])
        answer = self.write("bad", 400, "/api/v2/write?bucket=db")
        self.assertEqual((answer["code"], answer["message"]),
                         ("invalid", "partial write: line 1: unable to parse 'bad': fields are missing dropped=1"))

    def test_a_conflict_of_types_is_a_partial_write(self):
        self.write("m v=1 1")
        answer = self.write("# comment\nm v=2 2\nm v=3i 3", 400)
        self.assertEqual(answer["error"], 'partial write: line 3: field type conflict: input field "v" on measurement "m" is '
                                          "type integer, already exists as type float dropped=1")
        self.assertEqual(self.rows("SELECT v FROM m"), [[1, 1], [2, 2]])
        self.assertIn("line 1: field type conflict", self.write('m v="x" 4', 400)["error"])

    def test_the_series_limit(self):
        answer = self.write("\n".join(f"m,h={i} v=1 1" for i in range(5)), 422)
        self.assertIn("line 4: max series exceeded", answer["error"])
        self.assertIn("dropped=2", answer["error"])
        self.assertEqual(len(self.rows("SHOW SERIES")), 3)

    def test_too_much(self):
        line = b"m v=1 1\n"
        self.assertEqual(request(self.server, "/write?db=db", line * (4_000_000 // len(line)))[0], 204)
        self.assertEqual(request(self.server, "/write?db=db", line * (4_000_000 // len(line) + 1))[0], 413)
        bomb = gzip.compress(b"\n" * 200_000_000, 1)
        self.assertEqual(request(self.server, "/write?db=db", bomb, {"Content-Encoding": "gzip"})[0], 413)
        self.assertEqual(request(self.server, "/write?db=db", b"\x1f\x8bxx", {"Content-Encoding": "gzip"})[0], 400)
        self.assertEqual(request(self.server, "/write?db=db", gzip.compress(line), {"Content-Encoding": "gzip"})[0], 204)
        self.assertEqual(self.rows("SELECT v FROM m"), [[1, 1]])

    def test_what_is_missing_is_said(self):
        self.assertEqual(self.write("m v=1", 400, "/write")["error"], "database is required")
        self.assertEqual(request(self.server, "/query?db=db")[0], 400)
        self.assertEqual(self.write("", 204), None)


class Limits(Series):
    args = ("--set", "series.memory_bytes=1MiB")

    def test_a_full_memory_is_said_and_a_drop_helps(self):
        self.write("\n".join(f"m,h={i} v=1 1" for i in range(2_000)))
        self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, 2_000]])
        self.assertIn("series.memory_bytes", self.write("m,h=1 v=1 2", 503)["error"])
        self.query("DROP DATABASE db", method="POST")
        self.query("CREATE DATABASE db", method="POST")
        wait_until(lambda: request(self.server, "/write?db=db", b"m v=1 1")[0] == 204, "room", seconds=SECONDS)

    def test_a_request_that_names_too_much(self):
        lines = "\n".join(f"m,h={i} v=1 1" for i in range(25_000))
        self.assertIn("21,845 series", self.write(lines, 413)["error"])
        self.assertEqual(self.rows("SHOW SERIES"), [])

    def test_the_fields_of_a_measurement(self):
        self.write("m " + ",".join(f"f{i}=1" for i in range(1_024)) + " 1")
        answer = self.write("m f7=2 2\nm other=1 2\nn other=1 2", 422)
        self.assertEqual(answer["error"], 'partial write: line 2: max fields exceeded: measurement "m" may have 1024 dropped=1')
        self.assertEqual(self.rows("SELECT f7 FROM m"), [[1, 1], [2, 2]])
        self.assertEqual(self.rows("SELECT other FROM n"), [[2, 1]])


class Slow(Series):
    args = ("--set", "series.query_seconds=1")

    def test_a_query_that_takes_too_long_says_so(self):
        for part in range(6):
            self.write("\n".join(f"m v={i} {part * 150_000 + i}" for i in range(150_000)))
        answer = self.query("; ".join(["SELECT percentile(v, 50) FROM m"] * 64))
        self.assertIn("series.query_seconds", " ".join(result.get("error", "") for result in answer))


class Damage(Series):
    args = ("--set", "series.head_bytes=1MiB")

    def test_health_tells_that_points_are_not_shown(self):
        self.write("\n".join(f"m,h={i % 10} v={i} {i}" for i in range(80_000)))
        path = os.path.join(self.server.data, "series", "MANIFEST")
        wait_until(lambda: os.path.exists(path), "a file", seconds=SECONDS)
        self.server.stop()
        with open(path, "r+b") as file:
            file.seek(20)
            file.write(b"\xff")
        self.server.start()
        wait_until(lambda: request(self.server, "/health")[0] == 503, "the damage is found", seconds=SECONDS)
        self.assertEqual(json.loads(request(self.server, "/health")[1])["status"], "fail")
        self.assertIn("MANIFEST is damaged", self.error("SELECT count(v) FROM m"))
        self.write("m v=1 1")


class Durability(Series):
    args = ("--set", "series.head_bytes=1MiB")

    def test_acknowledged_points_outlive_kills(self):
        known = set()
        for round in range(3):
            stop = threading.Event()

            def writer(number):
                at = 0
                while not stop.is_set():
                    times = [(number * 1_000_000 + at + i) * 10 + round for i in range(100)]
                    at += 100
                    try:
                        if request(self.server, "/write?db=db",
                                   "\n".join(f"m,w={number} v={time} {time}" for time in times).encode())[0] == 204:
                            known.update(times)
                    except OSError:
                        return

            threads = [threading.Thread(target=writer, args=(number,)) for number in range(3)]
            before = len(known)
            for thread in threads:
                thread.start()
            wait_until(lambda: len(known) > before + 40_000, "writes", seconds=SECONDS)
            self.server.kill()
            stop.set()
            for thread in threads:
                thread.join()
            self.server.start()
            wait_until(lambda: "error" not in self.query("SELECT count(v) FROM m")[0], "the points are shown", seconds=SECONDS)
            shown = dict(map(tuple, self.rows("SELECT v FROM m")))
            self.assertLessEqual(known, set(shown))
            self.assertTrue(all(time == value for time, value in shown.items()))
        files = [name for name in os.listdir(os.path.join(self.server.data, "series")) if name.endswith(".chunks")]
        self.assertTrue(files, "the head was written to files")

    def test_small_files_become_one_over_kills(self):
        def merges():
            lines = http.text(self.server, "/metrics").splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith("heptane_series_merges_total"))

        def files():
            return [name for name in os.listdir(os.path.join(self.server.data, "series")) if name.endswith(".chunks")]

        total = 0
        for round in range(3):
            for part in range(8):
                self.write("\n".join(f"m,h={i % 10} v={i} {total + i}" for i in range(70_000)))
                total += 70_000
                self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, total]])
            self.server.kill()
            self.server.start()
            wait_until(lambda: "error" not in self.query("SELECT count(v) FROM m")[0], "the points are shown", seconds=SECONDS)
            self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, total]])
        wait_until(lambda: merges() > 0 or len(files()) < 10, "files become one", seconds=SECONDS)
        wait_until(lambda: len(files()) < 16, "the old ones go", seconds=SECONDS)
        self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, total]])

    def test_the_projection_is_built_again(self):
        self.write("\n".join(f"m,h={i % 10} v={i} {i}" for i in range(80_000)))
        wait_until(lambda: os.path.exists(os.path.join(self.server.data, "series", "MANIFEST")), "a file", seconds=SECONDS)
        self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, 80_000]])
        self.server.stop()
        shutil.rmtree(os.path.join(self.server.data, "series"))
        self.server.start()
        wait_until(lambda: "error" not in self.query("SELECT count(v) FROM m")[0], "the points are shown", seconds=SECONDS)
        self.assertEqual(self.rows("SELECT count(v) FROM m"), [[0, 80_000]])


class Mapping(Series):
    """Messages become points by a rule: each once, whatever happens to the server."""

    RULE = {"sql": "SELECT topic(2) AS site, topic(3) AS device, value, state.on AS \"on\" FROM 'plant/+/+/meter'",
            "series": {"database": "db", "measurement": "'meter'", "tags": "site, device"}}

    def publish(self, topic, payloads):
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", topic, "-l", text_in="".join(payload + "\n" for payload in payloads))

    def rule(self):
        status, answer = http.call(self.server, "GET", "/api/v1/rules/meters")
        self.assertEqual(status, 200, answer)
        return answer

    def test_messages_become_points_once(self):
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/meters", self.RULE)
        self.assertEqual(status, 201, answer)
        sent = 0
        for round in range(3):
            self.publish(f"plant/north/p{round}/meter",
                         [json.dumps({"value": sent + i, "state": {"on": i % 2 == 0}}) for i in range(200)])
            sent += 200
            self.server.kill()
            self.server.start()
        self.publish("plant/north/p0/meter", ["no json", '{"value": {"a": 1}}', '{"value": "text"}'])
        wait_until(lambda: self.rule()["dead_letters"] == 3, "dead letters", seconds=SECONDS)
        wait_until(lambda: self.rule()["appended"] == sent, "points", seconds=SECONDS)
        self.assertEqual(sorted(value for _, value in self.rows("SELECT value FROM meter")), list(range(sent)))
        self.assertEqual(self.rows("SHOW SERIES"), [[f"meter,device=p{i},site=north"] for i in range(3)])
        self.assertEqual(self.rows('SELECT count("on") FROM meter WHERE device = \'p1\''), [[0, 200]])

    def test_what_it_would_write_is_shown(self):
        body = {**self.RULE, "topic": "plant/north hall/p,1/meter", "payload": '{"value":1.50}', "timestamp_ms": 5}
        status, answer = http.call(self.server, "POST", "/api/v1/rules/test", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["series"]["line"], "meter,device=p\\,1,site=north\\ hall value=1.5 5000000")
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/x", {**self.RULE, "series": {"database": "a/b", "measurement": "1"}})
        self.assertEqual(status, 400, answer)


class MappingByOthers(Series):
    def point(self, topic, payload, measurement, expected):
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", topic, "-m", payload)
        wait_until(lambda: self.rows(f"SELECT * FROM {measurement}") == expected, "the point", seconds=SECONDS)

    def test_by_configuration(self):
        path = os.path.join(self.server.work, "mapping.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("""[[iot.rules]]
name = "temps"
sql = "SELECT topic(1) AS room, t, at FROM '+/temp'"
series_database = "db"
series_measurement = "'temp'"
series_tags = "room"
series_time = "at"
""")
        self.server.stop()
        self.server.args = ["--config", path]
        self.server.start()
        wait_until(lambda: http.call(self.server, "GET", "/api/v1/rules/temps")[0] == 200, "the rule", seconds=SECONDS)
        self.point("hall/temp", '{"t":21.5,"at":1000}', "temp", [[1_000_000_000, 1_000, "hall", 21.5]])

    def test_by_the_command_line(self):
        done = subprocess.run([default_binary(), "rules", "put", "pumps", "--server", f"http://{self.server.admin}", "--sql",
                               "SELECT topic(2) AS pump, flow FROM 'pump/+'", "--series", "db", "--measurement", "'pump'", "--tags",
                               "pump", "--time", "1000 + 500"], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.point("pump/7", '{"flow":2}', "pump", [[1_500_000_000, 2, "7"]])


class Backups(Series):
    args = ("--set", "series.head_bytes=1MiB")

    def test_points_that_the_log_has_not_any_more_are_in_a_backup(self):
        """Taken while others write, the log trimmed: all that was acknowledged before it is there."""
        self.write("\n".join(f"m,h={i % 10} v={i} {i}" for i in range(80_000)))
        wait_until(lambda: os.path.exists(os.path.join(self.server.data, "series", "MANIFEST")), "a file", seconds=SECONDS)
        self.delete_records("iot.lines", 1)
        known = set(range(80_000))
        stop = threading.Event()

        def writer():
            at = 100_000
            while not stop.is_set():
                times = range(at, at + 500)
                self.write("\n".join(f"m,h={i % 10} v={i} {i}" for i in times))
                known.update(times)
                at += 500

        thread = threading.Thread(target=writer)
        thread.start()
        try:
            wait_until(lambda: len(known) > 200_000, "writes", seconds=SECONDS)
            before = set(known)
            directory = tempfile.mkdtemp(prefix="heptane-series-")
            self.addCleanup(shutil.rmtree, directory)
            self.heptane("backup", os.path.join(directory, "backup"), "--data", self.server.data)
        finally:
            stop.set()
            thread.join()
        self.heptane("restore", os.path.join(directory, "backup"), "--data", os.path.join(directory, "data"))
        restored = Server(data=os.path.join(directory, "data"), args=self.args)
        self.addCleanup(restored.close)
        restored.start()
        original, self.server = self.server, restored
        self.addCleanup(setattr, self, "server", original)
        wait_until(lambda: "error" not in self.query("SELECT count(v) FROM m")[0], "the points are shown", seconds=SECONDS)
        shown = {time for time, _ in self.rows("SELECT v FROM m")}
        self.assertLessEqual(before, shown)
        self.assertNotIn("messages", self.query("SELECT count(v) FROM m")[0])

    def delete_records(self, stream, before):
        body = b"".join([(1).to_bytes(4, "big"), kafka.string(stream), (1).to_bytes(4, "big"), (0).to_bytes(4, "big"),
                         before.to_bytes(8, "big"), (10_000).to_bytes(4, "big")])
        with kafka.connect(self.server.kafka) as link:
            link.sendall(kafka.request(21, 0, body))
            _, answer = kafka.receive_response(link)
        self.assertEqual(answer[-2:], b"\0\0", answer)

    def heptane(self, *arguments):
        done = subprocess.run([default_binary(), *arguments], capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)


class Clients(Series):
    def influx(self, *arguments):
        host, port = self.server.endpoints["series"].rsplit(":", 1)
        done = subprocess.run(["influx", "-host", host, "-port", port, *arguments], capture_output=True, text=True,
                              timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    @unittest.skipUnless(shutil.which("influx"), "the influx command line is not here")
    def test_influx(self):
        self.influx("-execute", "CREATE DATABASE plant")
        self.influx("-database", "plant", "-execute", "INSERT pump,site=north flow=1.5 1000")
        self.influx("-database", "plant", "-execute", "INSERT pump,site=south flow=2.5 2000")
        shown = self.influx("-database", "plant", "-format", "csv", "-execute", "SELECT flow, site FROM pump")
        self.assertEqual(shown.splitlines(), ["name,time,flow,site", "pump,1000,1.5,north", "pump,2000,2.5,south"])
        self.assertIn("pump", self.influx("-database", "plant", "-execute", "SHOW MEASUREMENTS"))
        self.assertIn("plant", self.influx("-execute", "SHOW DATABASES"))

    def test_curl(self):
        base = f"http://{self.server.endpoints['series']}"
        done = subprocess.run(["curl", "-sS", "-i", "-XPOST", f"{base}/write?db=db", "--data-binary", "m,a=b v=1 1"],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertIn("204 No Content", done.stdout)
        done = subprocess.run(["curl", "-sS", "-G", f"{base}/query?db=db", "--data-urlencode", "q=SELECT v FROM m"],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(json.loads(done.stdout)["results"][0]["series"][0]["values"], [["1970-01-01T00:00:00.000000001Z", 1]])

    def test_lines_are_a_stream(self):
        self.write("m,b=1,a=2 v=1 5\n")
        _, answer = http.call(self.server, "GET", "/api/v1/streams/iot.lines/records")
        self.assertEqual([(record["key"], record["value"]) for record in answer["records"]], [("db", "m,a=2,b=1 v=1 5\n")])


class Rights(Guarded):
    def series(self, path, authorization, body=None, method=None):
        headers = {"Authorization": authorization} if authorization else {}
        return request(self.server, path, body, headers, method)

    def test_rights_on_a_database(self):
        create = "/query?" + urllib.parse.urlencode({"q": "CREATE DATABASE db"})
        self.assertEqual(self.series(create, None, b"")[0], 401)
        self.assertEqual(self.series(create, "Token " + self.token, b"")[0], 200)
        self.assertEqual(self.series("/ping", None)[0], 204)
        self.admin("POST", "/api/v1/roles", {"name": "meter", "permissions": [
            {"module": "admin", "pattern": "series/db", "verbs": ["write"]}]})
        self.add_user("meter", "meter")
        self.assertEqual(self.series("/write?db=db", f"Token meter:{PASSWORD}", b"m v=1 1")[0], 204)
        self.assertEqual(self.series("/write?db=other", f"Token meter:{PASSWORD}", b"m v=1 1")[0], 403)
        ask = "/query?" + urllib.parse.urlencode({"q": "SELECT v FROM m", "db": "db"})
        _, body, _ = self.series(ask, f"Token meter:{PASSWORD}")
        self.assertEqual(json.loads(body)["results"][0]["error"], "not allowed to read db")
        self.assertEqual(self.series("/write?db=db", "Token no:body", b"m v=1 1")[0], 401)


if __name__ == "__main__":
    unittest.main()
