"""Rules over HTTP, the command line and the configuration: declared, tried, paused, changed, dropped; streams of Kafka's as their
input; what they lose and say."""

import json
import os
import signal
import tempfile
import unittest

from test_auth import PASSWORD, Guarded, ask, basic

from heptane_testkit import Refused, Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.mqtt import mosquitto_pub, mosquitto_sub


class Rules(unittest.TestCase):
    args = ()

    def setUp(self):
        self.server = Server(args=self.args)
        self.addCleanup(self.server.close)
        self.server.start()

    def put(self, name, want=201, **rule):
        status, answer = http.call(self.server, "PUT", f"/api/v1/rules/{name}", rule)
        self.assertEqual(status, want, answer)
        return answer

    def rule(self, name):
        status, answer = http.call(self.server, "GET", f"/api/v1/rules/{name}")
        self.assertEqual(status, 200, answer)
        return answer

    def wait(self, name, **wanted):
        wait_until(lambda: all(self.rule(name)[key] == value for key, value in wanted.items()),
                   f"rule {name} to have {wanted}", 30)

    def records(self, stream):
        lines = kafka.kcat_consume(self.server.kafka, stream, "-f", "%k|%s\\n")
        return [tuple(line.split("|", 1)) for line in lines]

    def pub(self, topic, payload):
        mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", topic, "-m", payload)

    def cli(self, *arguments, code=0):
        done = self.server.run("rules", *arguments, "--server", self.server.admin)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr


class Running(Rules):
    def test_topics_to_a_stream_and_a_topic(self):
        http.create(self.server, "hot", 3)
        self.put("hot", sql="SELECT topic(2) AS sensor, t FROM 'plant/+/temp' WHERE t > 100",
                 append={"stream": "hot", "key": "sensor"}, publish={"topic": "'alarm/' || sensor"})
        mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "desk", "-q", 1, "-t", "alarm/#", "-E")
        for sensor, t in (("a", 20), ("a", 120.50), ("b", 99), ("b", 101)):
            self.pub(f"plant/{sensor}/temp", json.dumps({"t": t}))
        self.wait("hot", inputs=4, appended=2, published=2)
        self.assertEqual(sorted((key, json.loads(value)) for key, value in self.records("hot")),
                         [("a", {"sensor": "a", "t": 120.5}), ("b", {"sensor": "b", "t": 101})])
        heard = mosquitto_sub(self.server.address("mqtt"), "-c", "-i", "desk", "-q", 1, "-t", "alarm/#", "-C", 2, "-F", "%t")
        self.assertEqual(heard, ["alarm/a", "alarm/b"])
        # What it reads is a stream like any.
        self.assertEqual(len(self.records("rule.hot")), 4)
        self.server.crash_restart()
        self.pub("plant/c/temp", '{"t":1000}')
        self.wait("hot", inputs=5, appended=3)
        self.assertEqual(len(self.records("hot")), 3)

    def test_a_topic_as_long_and_deep_as_they_get(self):
        """1,024 bytes and 32 levels through topic(), ||, a row, what is published, a receipt and a dead letter; none of it is cut."""
        http.create(self.server, "seen")
        levels = ["deep"] + [f"l{n:02}" for n in range(2, 32)]
        topic = "/".join(levels + ["x" * (1024 - len("/".join(levels)) - 1)])
        self.assertEqual((len(topic), topic.count("/")), (1024, 31))
        self.put("deep", sql="SELECT topic() || '|' || topic() AS twice, topic(1) || topic(31) AS ends, topic(33) AS none, n FROM 'deep/#' WHERE n > 0",
                 append={"stream": "seen", "key": "topic()"}, publish={"topic": "CASE WHEN n = 1 THEN topic() ELSE topic() || 'x' END"})
        with_quotes = "deep/" + "a'b\\\"" * 100 + "/'); DROP TABLE x; --"
        for where, payload in ((topic, '{"n":1}'), (topic, '{"n":2}'), (topic, "{}"), (with_quotes, '{"n":1}')):
            self.pub(where, payload)
        self.wait("deep", inputs=4, dead_letters=2)
        records = self.records("seen")
        self.assertEqual([key for key, _ in records][0], topic)
        row = json.loads(records[0][1])
        self.assertEqual(row, {"twice": topic + "|" + topic, "ends": "deepl31", "none": None, "n": 1})
        self.assertEqual(json.loads(records[-1][1])["twice"], with_quotes + "|" + with_quotes)
        told = self.records("iot.rules")
        self.assertIn((topic, records[0][1]), told, "it is published where it came from")
        letters = [json.loads(value) for key, value in told if key == "$rules/deep/dead_letter"]
        self.assertEqual([letter["topic"] for letter in letters], [topic, topic])
        self.assertEqual(self.rule("deep")["state"], "running")

    def test_records_of_kafka_in_compressed_batches_and_a_chain(self):
        for name in ("raw", "middle", "end"):
            http.create(self.server, name, 2 if name == "raw" else 1)
        lines = "".join(f'{{"n":{n}}}\n' for n in range(500))
        kafka.kcat_produce(self.server.kafka, "raw", "-z", "gzip", text_in=lines)
        self.put("first", sql='SELECT n, n * 2 AS m FROM STREAM "raw" WHERE n % 5 = 0', start="earliest", append={"stream": "middle"})
        self.put("second", sql='SELECT m + 1 AS k FROM STREAM middle', start="earliest", append={"stream": "end"})
        self.wait("second", appended=100)
        self.assertEqual(sorted(json.loads(value)["k"] for _, value in self.records("end")), [n * 10 + 1 for n in range(100)])
        self.wait("first", inputs=500)
        self.assertEqual([part["lag"] for part in self.rule("first")["partitions"]], [0, 0])
        answer = self.put("back", 409, sql='SELECT k FROM STREAM "end"', append={"stream": "raw"})
        self.assertIn("circle", answer["error"]["message"])

    def test_rows_update_shadows_and_shadows_are_read(self):
        http.create(self.server, "seen")
        self.assertEqual(http.call(self.server, "POST", "/api/v1/devices", {"name": "pump-1"})[0], 201)
        self.put("shade", sql="SELECT t, parse_time('yyyy-MM-dd', timestamp()) AS day FROM 'plant/+/temp'", shadow={"thing": "topic(2)"})
        for topic, t in (("pump-1", 20), ("pump-1", 20.50), ("pump-9", 1)):
            self.pub(f"plant/{topic}/temp", json.dumps({"t": t}))
        self.wait("shade", inputs=3, shadows=2, dead_letters=1)
        letters = [json.loads(value) for key, value in self.records("iot.rules") if key == "$rules/shade/dead_letter"]
        self.assertEqual([letter["why"] for letter in letters], ["the shadow: 404 Thing not found"])
        self.server.crash_restart()
        shadow = http.call(self.server, "GET", "/api/v1/devices/pump-1/shadow")[1]
        self.assertEqual((shadow["version"], shadow["state"]["reported"]["t"]), (2, 20.5))
        self.put("watch", sql="SELECT current.state.reported.t AS t FROM '$aws/things/+/shadow/update/documents'", start="earliest",
                 append={"stream": "seen"})
        self.wait("watch", appended=2, dead_letters=0)
        self.assertEqual([json.loads(value)["t"] for _, value in self.records("seen")], [20, 20.5])
        answer = self.put("back", 409, sql="SELECT current FROM '$aws/things/+/shadow/update/documents'", shadow={"thing": "'pump-1'"})
        self.assertIn("circle", answer["error"]["message"])

    def test_dead_letters_do_not_stop_it(self):
        http.create(self.server, "out")
        self.put("r", sql="SELECT a / b AS q FROM 'in'", append={"stream": "out"})
        for payload in ('{"a":6,"b":3}', '{"a":1,"b":0}', "nonsense", '{"a":"x","b":1}', '{"a":1,"b":4}'):
            self.pub("in", payload)
        self.wait("r", inputs=5, appended=2, dead_letters=3)
        self.assertEqual([value for _, value in self.records("out")], ['{"q":2}', '{"q":0.25}'])
        letters = [json.loads(value) for key, value in self.records("iot.rules") if key == "$rules/r/dead_letter"]
        self.assertEqual(["division by 0" in letters[0]["why"], letters[1]["payload"], letters[2]["offset"]], [True, "nonsense", 3])

    def test_pause_resume_change_and_drop(self):
        http.create(self.server, "out")
        rule = {"sql": "SELECT n FROM 'in'", "append": {"stream": "out"}}
        self.put("r", **rule)
        self.assertNotIn("position", self.put("r", 200, **rule))
        self.pub("in", '{"n":1}')
        self.wait("r", inputs=1)
        self.cli("pause", "r")
        self.pub("in", '{"n":2}')
        self.assertEqual([self.rule("r")["state"], self.rule("r")["partitions"][0]["lag"]], ["paused", 1])
        self.put("r", 200, sql="SELECT n * 10 AS n FROM 'in'", append={"stream": "out"})
        self.cli("resume", "r")
        self.wait("r", inputs=2, state="running")
        self.assertEqual([json.loads(value)["n"] for _, value in self.records("out")], [1, 20])
        self.cli("drop", "r")
        self.assertIn("there is no", self.cli("show", "r", code=1))
        events = [json.loads(value)["action"] for _, value in self.records("audit") if '"rules.' in value]
        self.assertEqual(events, ["rules.put", "rules.pause", "rules.put", "rules.resume", "rules.drop"])

    def test_a_resumed_rule_passes_over_what_is_gone_and_nothing_else(self):
        http.create(self.server, "raw")
        http.create(self.server, "out")
        self.put("r", sql="SELECT n FROM STREAM raw", append={"stream": "out"})
        self.cli("pause", "r")
        kafka.kcat_produce(self.server.kafka, "raw", text_in="".join(f'{{"n":{n}}}\n' for n in range(10)))
        # As an operator would who changes the rule while records go: it is where it was, and they are not.
        self.delete_records("raw", 6)
        self.assertEqual(self.rule("r")["partitions"][0]["lag"], 10)
        self.server.crash_restart()
        self.cli("resume", "r")
        self.wait("r", inputs=4, lost=6, appended=4)
        self.cli("pause", "r")
        kafka.kcat_produce(self.server.kafka, "raw", text_in='{"n":10}\n{"n":11}\n')
        self.cli("resume", "r")
        self.wait("r", inputs=6, lost=6, appended=6)
        # Those who did not say so are told.
        self.put("s", sql="SELECT n FROM STREAM raw", append={"stream": "out"})
        self.assertEqual(self.rule("s")["partitions"][0]["lag"], 0)

    def streams(self):
        status, answer = http.call(self.server, "GET", "/api/v1/mqtt/streams")
        self.assertEqual(status, 200, answer)
        return {stream["name"]: stream for stream in answer["streams"]}

    def test_its_stream_stays_as_it_was_declared(self):
        http.create(self.server, "out")
        said = {"name": "rule.r", "filter": "in/#", "partitions": 3, "retention_ms": 3_600_000, "qos0": True}
        self.assertEqual(http.call(self.server, "POST", "/api/v1/mqtt/streams", said)[0], 201)
        before = self.streams()["rule.r"]
        self.put("r", sql="SELECT n FROM 'in/#'", append={"stream": "out"})
        self.assertEqual(self.streams()["rule.r"], before)
        self.put("r", 200, sql="SELECT n FROM 'other/#'", append={"stream": "out"})
        self.assertEqual(self.streams()["rule.r"], {**before, "filter": "other/#"})
        # A refused rule leaves no stream, nor another filter.
        self.put("a", sql='SELECT n FROM STREAM out', append={"stream": "rule.x"}, want=404)
        http.create(self.server, "end")
        self.put("a", sql="SELECT n FROM STREAM out", append={"stream": "end"})
        for number in range(62):
            self.put(f"a{number}", sql="SELECT n FROM STREAM out", append={"stream": "end"})
        self.put("last", 409, sql="SELECT n FROM 'more/#'", append={"stream": "out"})
        self.assertEqual(sorted(name for name in self.streams() if name.startswith("rule.")), ["rule.r"])

    def delete_records(self, stream, before):
        name = kafka.string(stream)
        body = b"".join([(1).to_bytes(4, "big"), name, (1).to_bytes(4, "big"), (0).to_bytes(4, "big"), before.to_bytes(8, "big"),
                         (10_000).to_bytes(4, "big")])
        with kafka.connect(self.server.kafka) as link:
            link.sendall(kafka.request(21, 0, body))
            _, answer = kafka.receive_response(link)
        self.assertEqual(answer[-2:], b"\0\0", answer)

    def test_a_producer_writes_what_it_likes(self):
        http.create(self.server, "raw")
        http.create(self.server, "out")
        self.put("r", sql="SELECT n FROM STREAM raw", append={"stream": "out"})
        for position in ("0:1", "\x01" * 60_000):
            kafka.kcat_produce(self.server.kafka, "raw", "-H", f"heptane.position={position}", text_in='{"m":1}\nno json\n{"n":1}\n')
        self.wait("r", inputs=6, dead_letters=2)
        letters = [json.loads(value) for key, value in self.records("iot.rules") if key == "$rules/r/dead_letter"]
        self.assertEqual([letter.get("position") for letter in letters], [None, None])

    def test_names_and_wrong_words(self):
        for path, body, what in (
                ("a", {"sql": "SELECT a FRM 'x'", "publish": {"topic": "'b'"}}, "at 10, near 'FRM'"),
                ("a", {"sql": "SELECT a FROM 'x'"}, "does something"),
                ("a", {"sql": "SELECT a FROM 'x'", "publish": {"topic": "nofun(1)"}}, "publish.topic: at 1, near 'nofun'"),
                ("a.b", {"sql": "SELECT a FROM 'x'", "publish": {"topic": "'b'"}}, "a rule's name"),
                ("a", {"sql": "SELECT a FROM 'x'", "shadow": {}}, "shadow"),
                ("a", {"sql": "SELECT a FROM 'x'", "transfer": {"ledger": 0, "code": 1, "debit": "1", "credit": "2", "amount": "3"}}, "transfer.ledger"),
        ):
            with self.subTest(what=what):
                status, answer = http.call(self.server, "PUT", f"/api/v1/rules/{path}", body)
                self.assertEqual(status, 400, answer)
                self.assertIn(what, answer["error"]["message"])
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/a", {"sql": "SELECT a FROM STREAM nowhere", "publish": {"topic": "'b'"}})
        self.assertEqual(status, 404, answer)

    def test_a_dry_run_keeps_nothing(self):
        told = json.loads(self.cli("test", "--sql", "SELECT topic(2) AS m, round(kwh * 28.75) AS cents FROM 'x'", "--topic", "meters/7/r",
                                   "--payload", '{"kwh": 0.1}', "--ledger", "978", "--debit", "m", "--credit", "900",
                                   "--amount", "cents", "--id", "m || ':1'"))
        self.assertEqual((told["row"], told["transfer"]["amount"], told["transfer"]["debit"], told["transfer"]["id_of"]),
                         ({"m": "7", "cents": 3}, "3", "7", "7:1"))
        told = json.loads(self.cli("test", "--sql", "SELECT a FROM 'x' WHERE b > 1", "--payload", "{}"))
        self.assertIn("missing", told["dead_letter"])
        self.assertEqual(self.cli("list", "--json"), "")


class Windows(Rules):
    BASE = 1_700_000_000_000

    def read(self, sensor, second, value):
        self.pub(f"plant/{sensor}/temp", json.dumps({"at": self.BASE + second * 1000, "t": value}))

    def rows(self):
        return [json.loads(value) for _, value in self.records("means")]

    def test_event_time_over_kills(self):
        http.create(self.server, "means", 1)
        self.put("means", append={"stream": "means"},
                 sql="SELECT topic(2) AS s, avg(t) AS mean, count(*) AS n, (WINDOWSTART - 1700000000000) / 1000 AS w "
                     "FROM 'plant/+/temp' TIMESTAMP BY at "
                     "WINDOW TUMBLING (SIZE 10 SECONDS, GRACE PERIOD 5 SECONDS, LATE DEAD_LETTER) "
                     "GROUP BY topic(2) HAVING count(*) > 1")
        for sensor, second, value in (("a", 1, 0.1), ("b", 2, 5), ("a", 9, 0.2)):
            self.read(sensor, second, value)
        self.wait("means", inputs=3)
        self.assertEqual(self.rule("means")["partitions"][0]["windows_from"], 0)
        self.server.crash_restart()
        # The watermark is at 7: the window is open, and what is behind it closes it.
        for sensor, second, value in (("a", 12, 3), ("b", 8, 6), ("a", 13, 4)):
            self.read(sensor, second, value)
        self.wait("means", inputs=6)
        self.assertEqual(self.rows(), [])
        self.server.crash_restart()
        self.read("a", 15, 5)
        self.wait("means", inputs=7, windows=2)
        first = [{"s": "a", "mean": 0.15, "n": 2, "w": 0}, {"s": "b", "mean": 5.5, "n": 2, "w": 0}]
        self.assertEqual(self.rows(), first)
        self.read("a", 3, 100)
        self.wait("means", late=1, dead_letters=1)
        self.server.crash_restart()
        self.read("c", 40, 1)
        self.wait("means", windows=3)
        self.assertEqual(self.rows(), first + [{"s": "a", "mean": 4, "n": 3, "w": 10}])
        letters = [json.loads(value) for key, value in self.records("iot.rules") if key == "$rules/means/dead_letter"]
        self.assertEqual([letter["why"] for letter in letters], ["it is late: its window is closed"])

    def test_the_clock_closes_what_no_record_does(self):
        http.create(self.server, "means", 1)
        self.put("means", append={"stream": "means"},
                 sql="SELECT sum(t) AS s FROM 'plant/+/temp' WINDOW TUMBLING (SIZE 100 MILLISECONDS, TIMEOUT 200 MILLISECONDS)")
        self.read("a", 0, 7)
        self.wait("means", windows=1)
        self.server.crash_restart()
        self.read("a", 0, 8)
        self.wait("means", windows=2)
        self.assertEqual(self.rows(), [{"s": 7}, {"s": 8}])

    def test_what_a_window_owes_it_owes_once(self):
        accounts = [{"id": str(number), "ledger": 7, "code": 1} for number in (1, 2)]
        self.assertEqual(http.call(self.server, "POST", "/api/v1/ledger/accounts", {"accounts": accounts})[0], 200)
        rule = {"sql": "SELECT sum(t) AS cents FROM 'plant/+/temp' TIMESTAMP BY at WINDOW TUMBLING (SIZE 10 SECONDS)",
                "transfer": {"ledger": 7, "code": 1, "debit": "1", "credit": "2", "amount": "cents"}}
        self.put("bill", **rule)
        for second in (1, 2, 11):
            self.read("a", second, 5)
        self.wait("bill", transfers=1)
        # Read again from the beginning it finds the debt there.
        self.assertEqual(http.call(self.server, "DELETE", "/api/v1/rules/bill")[0], 200)
        self.put("bill", start="earliest", **rule)
        self.wait("bill", repeats=1)
        receipt = [json.loads(value) for key, value in self.records("iot.rules") if key == "$rules/bill/transfer"][0]
        self.assertEqual(receipt["amount"], "10")
        self.assertEqual(receipt["payload"], {"window_start": self.BASE, "window_end": self.BASE + 10_000, "group": [],
                                              "records": 2, "first_offset": 0, "last_offset": 1})

    def test_wrong_words_and_a_dry_run(self):
        status, answer = http.call(self.server, "PUT", "/api/v1/rules/r",
                                   {"sql": "SELECT sum(t) AS s FROM 'x'", "publish": {"topic": "'a'"}})
        self.assertEqual(status, 400)
        self.assertIn("at 8, near 'sum'", answer["error"]["message"])
        http.create(self.server, "many", 2)
        answer = self.put("r", want=409, sql='SELECT count(*) AS n FROM STREAM "many" WINDOW TUMBLING (SIZE 1 SECOND)',
                          publish={"topic": "'a'"})
        self.assertIn("one partition", answer["error"]["message"])
        tried = json.loads(self.cli("test", "--sql",
                                    "SELECT sum(t) AS s, WINDOWEND AS e FROM 'x' WINDOW TUMBLING (SIZE 1 DAY) HAVING sum(t) > 1",
                                    "--payload", '{"t":2}'))
        self.assertEqual((tried["matches"], tried["row"]["s"], tried["row"]["e"] % 86_400_000), (True, 2, 0))


class Lua(Rules):
    """Rows by way of a function, in a process of its own."""

    def workers(self):
        found = []
        for process in os.listdir("/proc"):
            try:
                with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{process}/cmdline", encoding="utf-8") as line:
                    if parent == self.server.pid and "lua-worker" in line.read():
                        found.append(int(process))
            except (OSError, ValueError):
                continue
        return found

    def test_rows_are_what_it_gives_once_over_kills(self):
        http.create(self.server, "out", 1)
        self.put("twice", sql="SELECT topic(2) AS who, n FROM 'in/+'", append={"stream": "out", "key": "who"},
                 publish={"topic": "'told/' || who"},
                 lua="return function(row, message) if row.n % 3 == 0 then return nil end "
                     "return {who = row.who, twice = row.n * 2, topic = message.topic} end")
        numbers = list(range(200))
        wanted = [{"who": "a", "twice": n * 2, "topic": "in/a"} for n in numbers if n % 3]
        for begin in range(0, 200, 50):
            mosquitto_pub(self.server.address("mqtt"), "-q", 1, "-t", "in/a", "-l",
                          text_in="".join(f'{{"n":{n}}}\n' for n in numbers[begin:begin + 50]))
            wait_until(lambda: self.rule("twice")["appended"] > begin // 2, "some rows", 30)
            worker = self.workers()[0]
            if begin == 100:
                os.kill(worker, signal.SIGKILL)
            else:
                self.server.crash_restart()
                wait_until(lambda: not os.path.exists(f"/proc/{worker}"), "the process to end with its server", 30)
        self.wait("twice", inputs=200, appended=len(wanted), published=len(wanted))
        self.assertEqual([json.loads(value) for _, value in self.records("out")], wanted)
        self.assertEqual(self.rule("twice")["dead_letters"], 0)

    def test_errors_are_dead_letters_and_a_rule_that_hangs_pauses(self):
        rule = {"sql": "SELECT n FROM 'in'", "publish": {"topic": "'out'"}}
        self.put("r", lua="return function(row) if row.n == 2 then error('two') end "
                          "if row.n == 4 then while true do end end return row end", **rule)
        for n in (1, 2, 3, 4, 5):
            self.pub("in", json.dumps({"n": n}))
        self.wait("r", inputs=5, published=3, dead_letters=2)
        letters = [json.loads(value)["why"] for key, value in self.records("iot.rules") if key == "$rules/r/dead_letter"]
        self.assertEqual(letters, ["lua: lua:1: two", "lua: the function ran more instructions than a call may"])
        self.put("r", want=200, lua="return function(row) if row.n == 7 then string.rep('', math.maxinteger) end return row end",
                 **rule)
        for n in (6, 7, 8):
            self.pub("in", json.dumps({"n": n}))
        self.wait("r", state="paused")
        self.assertIn("three times", self.rule("r")["reason"])
        self.assertEqual(self.workers(), [])
        self.put("r", want=200, lua="return function(row) return row end", **rule)
        self.cli("resume", "r")
        self.wait("r", inputs=8, published=6)

    def test_a_text_that_is_no_function_pauses(self):
        self.put("r", sql="SELECT n FROM 'in'", publish={"topic": "'out'"}, lua="retrun 1")
        self.pub("in", '{"n":1}')
        self.wait("r", state="paused")
        self.assertIn("lua:1:", self.rule("r")["reason"])
        answer = self.put("w", want=400, sql="SELECT count(*) AS n FROM 'in' WINDOW TUMBLING (SIZE 1 SECOND)",
                          publish={"topic": "'out'"}, lua="return print")
        self.assertIn("over windows has no lua", answer["error"]["message"])


class Configured(unittest.TestCase):
    TABLE = '[[iot.rules]]\nname = "r"\nsql = "{sql}"\npublish_topic = "\'out\'"\n'

    def test_rules_of_the_file_and_of_a_changed_file(self):
        with tempfile.TemporaryDirectory() as home:
            path = os.path.join(home, "heptane.toml")
            with open(path, "w") as file:
                file.write(self.TABLE.format(sql="SELECT n FROM 'in'"))
            server = Server(args=("--config", path))
            self.addCleanup(server.close)
            server.start()

            def rule():
                status, answer = http.call(server, "GET", "/api/v1/rules/r")
                return answer if status == 200 else {}

            wait_until(lambda: rule().get("state") == "running", "the rule", 30)
            mosquitto_pub(server.address("mqtt"), "-q", 1, "-t", "in", "-m", '{"n":1}')
            wait_until(lambda: rule()["published"] == 1, "its message", 30)
            self.assertEqual(server.restart() and rule()["published"], 1)
            with open(path, "w") as file:
                file.write(self.TABLE.format(sql="SELECT"))
            server.stop()
            with self.assertRaises(Refused) as refused:
                server.start()
            self.assertIn("rule r: sql: at 7", str(refused.exception))

    def test_a_signal_brings_a_stream_and_the_rule_over_it(self):
        with tempfile.TemporaryDirectory() as home:
            path = os.path.join(home, "heptane.toml")
            with open(path, "w"):
                pass
            server = Server(args=("--config", path))
            self.addCleanup(server.close)
            server.start()
            with open(path, "w") as file:
                file.write('[[mqtt.streams]]\nname = "line1"\nfilter = "line1/#"\n' + self.TABLE.format(sql="SELECT n FROM STREAM line1"))
            os.kill(server.pid, signal.SIGHUP)
            wait_until(lambda: http.call(server, "GET", "/api/v1/rules/r")[0] == 200, "the rule", 30)
            mosquitto_pub(server.address("mqtt"), "-q", 1, "-t", "line1/a", "-m", '{"n":1}')
            wait_until(lambda: http.call(server, "GET", "/api/v1/rules/r")[1]["published"] == 1, "its message", 30)


class Rights(Guarded):
    def put(self, name, of=None, **rule):
        return ask(self.server, "PUT", f"/api/v1/rules/{of or name}", rule, basic(name, PASSWORD))[0]

    def command(self, name, of, what):
        return ask(self.server, "POST", f"/api/v1/rules/{of}/{what}", None, basic(name, PASSWORD))[0]

    def test_who_declares_may_do_what_the_rule_does(self):
        rights = {"plain": [("admin", "rules", ["read", "write"]), ("streams", "*", ["read", "create", "write"]), ("mqtt", "*", ["read"])],
                  "speaks": [("admin", "rules", ["read", "write"]), ("streams", "*", ["read", "create"]), ("mqtt", "*", ["read", "write"])],
                  "pays": [("admin", "rules", ["read", "write"]), ("streams", "*", ["read", "create"]), ("mqtt", "*", ["read"]),
                           ("ledger", "transfers", ["create"])],
                  "shades": [("admin", "rules", ["read", "write"]), ("admin", "devices", ["write"]), ("streams", "*", ["read", "create"]),
                             ("mqtt", "*", ["read"])],
                  "posts": [("admin", "rules", ["read", "write"]), ("admin", "http:hooks.example.com:443", ["write"]),
                            ("streams", "*", ["read", "create"]), ("mqtt", "*", ["read"])],
                  "looks": [("admin", "rules", ["read"])]}
        for role, permissions in rights.items():
            self.admin("POST", "/api/v1/roles", {"name": role, "permissions": [
                {"module": module, "pattern": pattern, "verbs": verbs} for module, pattern, verbs in permissions]})
            self.add_user(role, role)
        self.admin("POST", "/api/v1/streams", {"name": "out"})
        sql = "SELECT n FROM 'in'"
        publish = {"sql": sql, "publish": {"topic": "'out'"}}
        transfer = {"sql": sql, "transfer": {"ledger": 1, "code": 1, "debit": "1", "credit": "2", "amount": "n"}}
        append = {"sql": sql, "append": {"stream": "out"}}
        shadow = {"sql": sql, "shadow": {"thing": "'pump'"}}
        post = {"sql": sql, "http": {"url": "https://hooks.example.com/"}}
        self.assertEqual([self.put("plain", **rule) for rule in (publish, transfer, append)], [403, 403, 201])
        self.assertEqual([self.put("speaks", **rule) for rule in (publish, transfer, append)], [201, 403, 403])
        self.assertEqual([self.put("pays", **rule) for rule in (publish, transfer, append)], [403, 201, 403])
        self.assertEqual([self.put("looks", **rule) for rule in (publish, transfer, append)], [403, 403, 403])
        self.assertEqual([self.put("shades", **rule) for rule in (shadow, post)], [201, 403])
        self.assertEqual([self.put("posts", **rule) for rule in (shadow, post)], [403, 201])
        # Nor does one put an end to what it could not begin.
        self.assertEqual([self.put("plain", "pays", **append), self.put("speaks", "plain", **publish)], [403, 403])
        self.assertEqual([self.command("plain", "pays", what) for what in ("pause", "resume")], [403, 403])
        self.assertEqual([self.command("pays", "pays", what) for what in ("pause", "resume")], [200, 200])
        # Its stream is changed by whom may alter it.
        self.assertEqual(self.put("plain", sql="SELECT n FROM 'other'", append={"stream": "out"}), 403)
        self.assertEqual(self.put("plain", sql="SELECT n + 1 AS n FROM 'in'", append={"stream": "out"}), 200)


if __name__ == "__main__":
    unittest.main()
