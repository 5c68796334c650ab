"""Who is who and who may do what, with real clients: kcat, confluent-kafka, kafkajs, curl, the command line; on a restart, a
kill and a power cut."""

import base64
import json
import os
import re
import subprocess
import unittest
import urllib.error
import urllib.request

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from heptane_testkit import Server, wait_until
from heptane_testkit import kafka

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = "correct horse battery"
# The same password as it was typed (an accent behind its letter, a soft hyphen, a Roman numeral) and as SASLprep prepares it.
TYPED = "gro\u0308\u00dfer\u00ad \u2168 \u043f\u0430\u0440\u043e\u043b\u044c"
PREPARED = "gr\u00f6\u00dfer IX \u043f\u0430\u0440\u043e\u043b\u044c"
SECONDS = 20


def one_time_tokens(server):
    return re.findall(r"^  (hpt_[0-9a-f]{48})$", server.stdout(), re.M)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(server, method, path, body=None, authorization=None, headers=None):
    """(status, the JSON answered or None, headers)."""
    data = None if body is None else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", **(headers or {})}
    if authorization:
        fields["Authorization"] = authorization
    request = urllib.request.Request(f"http://{server.admin}{path}", data, fields, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            status, text, got = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        status, text, got = refused.code, refused.read(), refused.headers
    return status, json.loads(text) if text.startswith(b"{") else text.decode(), got


def sasl(user, password=PASSWORD, mechanism="SCRAM-SHA-256"):
    return {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.username": user,
            "sasl.password": password}


def kcat_sasl(*of):
    return [part for name, value in sasl(*of).items() for part in ("-X", f"{name}={value}")]


class Guarded(unittest.TestCase):
    """A server that asks who is there; `self.token` is its administrator's."""

    args = ()

    def make_server(self):
        return Server(args=("--auth", *self.args))

    def setUp(self):
        self.server = self.make_server()
        self.addCleanup(self.server.close)
        self.server.use_stable_port().start()
        wait_until(lambda: one_time_tokens(self.server), "the one-time token")
        (first,) = one_time_tokens(self.server)
        status, made, _ = ask(self.server, "POST", "/api/v1/tokens", {"name": "test"}, "Bearer " + first)
        self.assertEqual(status, 201, made)
        self.token = made["token"]

    def admin(self, method, path, body=None, expect=None):
        status, answer, _ = ask(self.server, method, path, body, "Bearer " + self.token)
        self.assertIn(status, (expect,) if expect else (200, 201), answer)
        return answer

    def add_user(self, name, *roles, password=PASSWORD):
        return self.admin("POST", "/api/v1/users", {"name": name, "password": password, "roles": list(roles)})

    def cli(self, *arguments, text=None, token=None):
        environment = {**os.environ, "HEPTANE_TOKEN": token or self.token}
        return subprocess.run([self.server.binary, *arguments, "--server", self.server.admin], input=text, text=True,
                              capture_output=True, timeout=60, env=environment)

    def produce(self, topic, values, **config):
        """None, or the name of the error."""
        errors = []
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, "message.timeout.ms": 8_000, **config})
        for value in values:
            producer.produce(topic, value=value, on_delivery=lambda error, _: errors.append(error))
        producer.flush(SECONDS)
        failures = [error.name() for error in errors if error is not None]
        return failures[0] if failures else None

    def read(self, topic, *of):
        return kafka.kcat_consume(self.server.kafka, topic, *kcat_sasl(*of))

    def trail(self):
        answer = self.admin("GET", "/api/v1/streams/audit/records?limit=1000")
        return [record["value"] for record in answer["records"]]

    def in_trail(self, **wanted):
        return [entry for entry in self.trail() if all(entry.get(name) == value for name, value in wanted.items())]


class FirstStart(unittest.TestCase):
    def setUp(self):
        self.server = Server(args=("--auth",))
        self.addCleanup(self.server.close)
        self.server.start()
        wait_until(lambda: one_time_tokens(self.server), "the one-time token")

    def test_one_time_token(self):
        (token,) = one_time_tokens(self.server)
        bearer = "Bearer " + token
        self.assertNotIn(token, self.server.stderr())
        self.assertEqual(ask(self.server, "GET", "/api/v1/users")[0], 401)
        status, me, _ = ask(self.server, "GET", "/api/v1/whoami", authorization=bearer)
        self.assertEqual((status, me["name"], me["roles"]), (200, "admin", ["admin"]))
        # A restart does not print it again; the first one goes on to hold.
        self.server.restart()
        self.assertEqual(one_time_tokens(self.server), [token])
        self.assertEqual(ask(self.server, "GET", "/api/v1/users", authorization=bearer)[0], 200)
        # A user who is no administrator does not end it, the administrator's password does.
        self.assertEqual(ask(self.server, "POST", "/api/v1/users", {"name": "bob", "password": PASSWORD}, bearer)[0], 201)
        environment = {**os.environ, "HEPTANE_TOKEN": token}
        set_it = subprocess.run([self.server.binary, "user", "passwd", "admin", "--server", self.server.admin],
                                input=PASSWORD + "\n", text=True, capture_output=True, timeout=60, env=environment)
        self.assertEqual(set_it.returncode, 0, set_it.stderr)
        self.assertEqual(ask(self.server, "GET", "/api/v1/users", authorization=bearer)[0], 401)
        self.assertEqual(ask(self.server, "GET", "/api/v1/users", authorization=basic("admin", PASSWORD))[0], 200)
        self.server.crash_restart()
        self.assertEqual(one_time_tokens(self.server), [token])
        self.assertEqual(ask(self.server, "GET", "/api/v1/users", authorization=basic("admin", PASSWORD))[0], 200)

    def test_turned_off_again(self):
        plain = Server(data=self.server.data)
        self.server.stop()
        self.addCleanup(plain.close)
        plain.start()
        self.assertIn("authentication is off", plain.stderr())
        status, me, _ = ask(plain, "GET", "/api/v1/whoami")
        self.assertEqual((status, me["name"], me["authentication"]), (200, "local", False))
        kafka.kcat_produce(plain.kafka, "t", text_in="1\n")
        # The way back in for whoever lost the token.
        self.assertEqual(ask(plain, "PUT", "/api/v1/users/admin/password", {"password": PASSWORD})[0], 200)
        self.assertEqual(plain.stop(), 0)
        self.server.start()
        self.assertEqual(ask(self.server, "GET", "/api/v1/users", authorization=basic("admin", PASSWORD))[0], 200)


class Http(Guarded):
    def test_what_is_open_and_what_is_not(self):
        self.add_user("alice", "reader")
        self.add_user("eve")
        alice, eve = basic("alice", PASSWORD), basic("eve", PASSWORD)
        self.admin("POST", "/api/v1/streams", {"name": "orders"})
        for path, who, expected in (("/livez", None, 200), ("/readyz", None, 200), ("/metrics", None, 401),
                                    ("/metrics", alice, 403), ("/metrics", "Bearer " + self.token, 200),
                                    ("/api/v1/users", alice, 403), ("/api/v1/users/alice", alice, 200),
                                    ("/api/v1/users/eve", alice, 403), ("/api/v1/streams/orders", alice, 200),
                                    ("/api/v1/streams/orders", eve, 403), ("/api/v1/streams/audit/records", alice, 403),
                                    ("/api/v1/whoami", eve, 200), ("/api/v1/whoami", basic("alice", "wrong password"), 401),
                                    ("/api/v1/whoami", "Bearer hpt_guess", 401), ("/api/v1/whoami", "Digest x", 401)):
            status, answer, headers = ask(self.server, "GET", path, authorization=who)
            self.assertEqual(status, expected, f"{path} as {who}: {answer}")
            if status == 401:
                self.assertIn("Bearer", headers["WWW-Authenticate"])
        _, listed, _ = ask(self.server, "GET", "/api/v1/streams", authorization=eve)
        self.assertEqual(listed["streams"], [])
        _, listed, _ = ask(self.server, "GET", "/api/v1/streams", authorization=alice)
        self.assertEqual([stream["name"] for stream in listed["streams"]], ["orders"], "not the audit trail")
        for method, path, body in (("POST", "/api/v1/streams", {"name": "mine"}),
                                   ("DELETE", "/api/v1/streams/orders", None),
                                   ("POST", "/api/v1/streams/orders/records", {"records": [{"value": 1}]}),
                                   ("POST", "/api/v1/users", {"name": "x"}),
                                   ("POST", "/api/v1/users/alice/roles", {"role": "admin"}),
                                   ("POST", "/api/v1/tokens", {"name": "x", "owner": "admin"}),
                                   ("PUT", "/api/v1/users/eve/password", {"password": PASSWORD})):
            status, answer, _ = ask(self.server, method, path, body, alice)
            self.assertEqual(status, 403, f"{method} {path}: {answer}")
            self.assertIn("alice may not", answer["error"]["message"])

    def test_a_transaction_needs_what_its_operations_need(self):
        self.admin("POST", "/api/v1/roles", {"name": "orders", "permissions": [
            {"module": "streams", "pattern": "orders*", "verbs": ["read", "write"]}]})
        self.add_user("alice", "orders")
        for name in ("orders", "payments"):
            self.admin("POST", "/api/v1/streams", {"name": name})
        alice = basic("alice", PASSWORD)
        append = lambda stream: {"append": {"stream": stream, "records": [{"value": 1}]}}
        for operations, expected in (([append("orders")], 200), ([append("orders"), append("payments")], 403),
                                     ([{"create_stream": {"name": "orders-2"}}], 403),
                                     ([{"machine": 2, "type": 3, "payload_base64": "BQBhZG1pbg=="}], 403)):
            status, answer, _ = ask(self.server, "POST", "/api/v1/transact", {"operations": operations}, alice)
            self.assertEqual(status, expected, f"{operations}: {answer}")
        _, info, _ = ask(self.server, "GET", "/api/v1/streams/orders", authorization=alice)
        self.assertEqual(info["partitions"][0]["end_offset"], 1)

    def test_tokens(self):
        self.add_user("alice", "reader")
        alice = basic("alice", PASSWORD)
        status, made, _ = ask(self.server, "POST", "/api/v1/tokens", {"name": "ci", "expires_in_s": 3600}, alice)
        self.assertEqual(status, 201, made)
        bearer = "Bearer " + made["token"]
        _, me, _ = ask(self.server, "GET", "/api/v1/whoami", authorization=bearer)
        self.assertEqual((me["name"], me["token"]), ("alice", made["id"]))
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization=basic("token", made["token"]))[0], 200)
        _, listed, _ = ask(self.server, "GET", "/api/v1/tokens", authorization=alice)
        self.assertEqual([token["name"] for token in listed["tokens"]], ["ci"], "one's own")
        self.assertNotIn(made["token"], json.dumps(self.admin("GET", "/api/v1/tokens")))
        status, short, _ = ask(self.server, "POST", "/api/v1/tokens", {"name": "short", "expires_in_s": 1}, alice)
        self.assertEqual(status, 201, short)
        wait_until(lambda: ask(self.server, "GET", "/api/v1/whoami", authorization="Bearer " + short["token"])[0] == 401,
                   "the token's end")
        self.assertEqual(ask(self.server, "DELETE", "/api/v1/tokens/" + made["id"], {}, alice)[0], 200)
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization=bearer)[0], 401)

    def test_curl(self):
        self.add_user("alice", "reader")
        url = f"http://{self.server.admin}/api/v1/whoami"
        for options, expected in ((["-u", f"alice:{PASSWORD}"], "alice"), (["-H", f"Authorization: Bearer {self.token}"], "admin"),
                                  (["-u", "alice:wrong password"], "unauthenticated"), ([], "unauthenticated")):
            done = subprocess.run(["curl", "-s", *options, url], capture_output=True, text=True, timeout=60)
            self.assertIn(f'"{expected}"', done.stdout)

    def test_the_last_administrator_stays(self):
        self.assertEqual(self.admin("DELETE", "/api/v1/users/admin", {}, expect=409)["error"]["code"], "refused")
        self.admin("DELETE", "/api/v1/users/admin/roles/admin", {}, expect=409)


class KafkaClients(Guarded):
    def test_scram(self):
        self.add_user("alice", "writer")
        for number, mechanism in enumerate(("SCRAM-SHA-256", "SCRAM-SHA-512")):
            self.assertIsNone(self.produce("t", [f"{number}"], **sasl("alice", mechanism=mechanism)))
        self.assertEqual(self.read("t", "alice"), ["0", "1"])
        self.assertEqual(self.read("t", "alice", PASSWORD, "SCRAM-SHA-512"), ["0", "1"])
        # Nobody listens in on what is not said: without TLS there is no PLAIN.
        for of in (("alice", "wrong password"), ("nobody", PASSWORD), ("alice", PASSWORD, "PLAIN")):
            done = kafka.kcat(self.server.kafka, "-L", "-m", 3, *kcat_sasl(*of), accept=None)
            self.assertNotEqual(done.returncode, 0, of)
        self.assertNotEqual(kafka.kcat(self.server.kafka, "-L", "-m", 3, accept=None).returncode, 0, "nobody at all")
        wait_until(lambda: self.in_trail(action="authenticate", by="alice", outcome="failed"), "the failure in the trail")
        self.assertTrue(self.in_trail(action="authenticate", by="nobody", outcome="failed"))

    def test_kafkajs(self):
        self.add_user("alice", "writer")

        def run(mechanism, user, password):
            command = ["node", os.path.join(HERE, "kafkajs_scram.js"), self.server.kafka, mechanism, user, password, "js"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            return json.loads(done.stdout.splitlines()[-1])

        self.admin("POST", "/api/v1/streams", {"name": "js"})
        self.assertEqual(run("scram-sha-256", "alice", PASSWORD), {"offset": "0", "end": "1"})
        self.assertEqual(run("scram-sha-512", "alice", PASSWORD), {"offset": "1", "end": "2"})
        self.assertIn("SASL", json.dumps(run("scram-sha-256", "alice", "wrong password")))
        self.admin("PUT", "/api/v1/users/alice/password", {"password": TYPED})
        self.assertEqual(run("scram-sha-256", "alice", PREPARED), {"offset": "2", "end": "3"})

    def test_a_password_beyond_ascii(self):
        """SASLprep: these clients do not prepare with SCRAM, so they say what is prepared already."""
        self.add_user("alice", "writer", password=TYPED)
        for number, mechanism in enumerate(("SCRAM-SHA-256", "SCRAM-SHA-512")):
            self.assertIsNone(self.produce("t", [f"{number}"], **sasl("alice", PREPARED, mechanism)))
        self.assertEqual(self.read("t", "alice", PREPARED), ["0", "1"])
        for said, status in ((TYPED, 200), (PREPARED, 200), (PREPARED.replace("\u00f6", "o"), 401), (PREPARED.upper(), 401)):
            self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization=basic("alice", said))[0], status, said)

    def test_denied_topics(self):
        self.admin("POST", "/api/v1/roles", {"name": "orders", "permissions": [
            {"module": "streams", "pattern": "orders*", "verbs": ["read", "write", "create"]},
            {"module": "groups", "pattern": "g", "verbs": ["read"]}]})
        self.add_user("alice", "orders")
        self.admin("POST", "/api/v1/streams", {"name": "secret"})
        self.assertIsNone(self.produce("orders-eu", ["1"], **sasl("alice")))
        self.assertEqual(self.produce("secret", ["1"], **sasl("alice")), "TOPIC_AUTHORIZATION_FAILED")
        listing = json.loads(kafka.kcat(self.server.kafka, "-L", "-J", *kcat_sasl("alice")).stdout)
        self.assertEqual([topic["topic"] for topic in listing["topics"]], ["orders-eu"])
        client = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, **sasl("alice")})
        secret = client.list_topics("secret", SECONDS).topics["secret"]
        self.assertEqual(secret.error.code(), KafkaError.TOPIC_AUTHORIZATION_FAILED)
        consumer = Consumer({"bootstrap.servers": self.server.kafka, "group.id": "g", "log_level": 0, **sasl("alice")})
        self.addCleanup(consumer.close)
        asked = [TopicPartition("orders-eu", 0, 1)]
        consumer.commit(offsets=asked, asynchronous=False)
        self.assertEqual(consumer.committed(asked, SECONDS)[0].offset, 1)
        # A group that is not hers has no coordinator for her, and tells nothing.
        stranger = Consumer({"bootstrap.servers": self.server.kafka, "group.id": "h", "log_level": 0, **sasl("alice")})
        self.addCleanup(stranger.close)
        with self.assertRaises(KafkaException):
            stranger.committed(asked, 3)
        wait_until(lambda: self.in_trail(action="request", by="alice", on="groups:h read", outcome="denied"),
                   "the denial of the group in the trail")
        wait_until(lambda: self.in_trail(action="request", by="alice", on="streams:secret read", outcome="denied"),
                   "the denial in the trail")
        # A grant counts at once, on the open connection.
        self.admin("POST", "/api/v1/users/alice/roles", {"role": "reader"})
        self.assertEqual(self.read("secret", "alice"), [])

    def test_a_revocation_meets_open_connections(self):
        self.add_user("alice", "writer")
        results = []
        producer = Producer({"bootstrap.servers": self.server.kafka, "log_level": 0, "message.timeout.ms": 5_000,
                             **sasl("alice")})

        def send():
            """None, or the name of the error."""
            results.clear()
            try:
                producer.produce("t", value="x", on_delivery=lambda error, _: results.append(error))
                producer.flush(SECONDS)
            except KafkaException as refused:  # what the client learned of the topic before
                return refused.args[0].name()
            return results[0] and results[0].name()

        def kept():
            return self.admin("GET", "/api/v1/streams/t")["partitions"][0]["end_offset"]

        self.assertIsNone(send())
        self.admin("DELETE", "/api/v1/users/alice/roles/writer", {})
        self.assertEqual(send(), "TOPIC_AUTHORIZATION_FAILED")
        self.assertEqual(kept(), 1)
        self.admin("POST", "/api/v1/users/alice/roles", {"role": "writer"})
        wait_until(lambda: send() is None, "the client to look at the topic again")
        self.assertEqual(kept(), 2)
        self.admin("DELETE", "/api/v1/users/alice", {})
        self.assertIsNotNone(send())
        self.assertEqual(kept(), 2)

    def test_flood_of_failures_is_a_few_entries(self):
        self.add_user("alice", "writer")
        for _ in range(200):
            ask(self.server, "GET", "/api/v1/whoami", authorization="Bearer hpt_guess")
        counted = lambda: sum(entry["count"] for entry in self.in_trail(action="authenticate", on="http token"))
        wait_until(lambda: counted() == 200, "all of them counted")
        self.assertLess(len(self.in_trail(action="authenticate", on="http token")), 30)


class PlainOnLoopback(Guarded):
    args = ("--plain-on-loopback",)

    def test_plain_and_tokens(self):
        self.add_user("alice", "writer")
        self.assertIsNone(self.produce("t", ["1"], **sasl("alice", PASSWORD, "PLAIN")))
        made = ask(self.server, "POST", "/api/v1/tokens", {"name": "kafka"}, basic("alice", PASSWORD))[1]
        self.assertIsNone(self.produce("t", ["2"], **sasl("token", made["token"], "PLAIN")))
        self.add_user("bob", "writer", password=TYPED)
        for said in (TYPED, PREPARED):
            self.assertIsNone(self.produce("u", ["1"], **sasl("bob", said, "PLAIN")))
        self.assertEqual(self.read("t", "alice", PASSWORD, "PLAIN"), ["1", "2"])
        done = kafka.kcat(self.server.kafka, "-L", "-m", 3, *kcat_sasl("alice", "wrong password", "PLAIN"), accept=None)
        self.assertNotEqual(done.returncode, 0)


class PlainOverTls(Guarded):
    def make_server(self):
        offered = subprocess.run([Server().binary, "serve", "--help"], capture_output=True, text=True, timeout=60).stdout
        if "--tls-cert" not in offered:
            self.skipTest("the server has no TLS option")
        self.work = Server().work
        for command in (["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                         f"{self.work}/key.pem", "-out", f"{self.work}/cert.pem"],):
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        return Server(args=("--auth", "--tls-cert", f"{self.work}/cert.pem", "--tls-key", f"{self.work}/key.pem", "--tls-listener", "kafka"))

    def test_plain(self):
        self.add_user("alice", "writer")
        secure = {**sasl("alice", PASSWORD, "PLAIN"), "security.protocol": "SASL_SSL", "ssl.ca.location": f"{self.work}/cert.pem"}
        self.assertIsNone(self.produce("t", ["1"], **secure))


class CommandLine(Guarded):
    def good(self, *arguments, text=None):
        done = self.cli(*arguments, text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_users_roles_tokens(self):
        self.good("role", "add", "orders", "--allow", "streams:orders-*=read,write")
        self.good("user", "add", "alice", "--role", "orders", text=PASSWORD + "\n")
        self.assertRegex(self.good("user", "ls"), r"alice +password +orders")
        self.good("user", "grant", "alice", "reader")
        self.good("user", "revoke", "alice", "orders")
        users = json.loads(self.good("user", "ls", "--json"))["users"]
        self.assertEqual({user["name"]: user["roles"] for user in users}, {"admin": ["admin"], "alice": ["reader"]})
        self.assertIn("orders", self.good("role", "ls"))
        self.good("role", "rm", "orders")
        self.assertEqual(self.cli("role", "rm", "orders").returncode, 1)
        self.good("user", "passwd", "alice", text="another good one\n")
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization=basic("alice", "another good one"))[0], 200)
        secret = self.good("token", "create", "ci", "--owner", "alice").strip()
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization="Bearer " + secret)[1]["name"], "alice")
        (token_id,) = [token["id"] for token in json.loads(self.good("token", "ls", "--json"))["tokens"] if token["name"] == "ci"]
        self.assertIn(token_id, self.good("token", "ls"))
        self.good("token", "rm", token_id)
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization="Bearer " + secret)[0], 401)
        self.good("user", "rm", "alice")
        denied = self.cli("user", "ls", token="hpt_wrong")
        self.assertEqual(denied.returncode, 1)
        self.assertIn("wrong user or password", denied.stderr)
        self.assertEqual(self.cli("user", "add", "bob", text="short\n").returncode, 1)
        self.good("user", "add", "carol", text=TYPED + "\n")
        self.assertEqual(ask(self.server, "GET", "/api/v1/whoami", authorization=basic("carol", PREPARED))[0], 200)
        for password, why in (("short", "8 characters at least"), ("with a bell \a", "must not hold"),
                              ("\u0627\u0628\u0629 mixed 1", "right to left"), ("later \u0221 letter", "Unicode 3.2")):
            refused = self.cli("user", "passwd", "carol", text=password + "\n")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("password ", refused.stderr)
            self.assertIn(why, refused.stderr)

    def test_the_log_gives_nothing_away(self):
        self.add_user("alice", "writer")
        self.good("user", "passwd", "alice", text="another good one\n")
        self.assertEqual(self.server.stop(), 0)
        dumped = self.server.run("log", "dump", "--payload", "--json", "--data", self.server.data)
        self.assertEqual(dumped.returncode, 0, dumped.stderr)
        secret = [json.loads(line) for line in dumped.stdout.splitlines()
                  if json.loads(line).get("machine") == 2 and json.loads(line)["type"] in (1, 4, 5, 11)]
        self.assertGreaterEqual(len(secret), 4)
        self.assertEqual({entry["payload"] for entry in secret}, {"redacted"})
        explained = [self.server.run("explain", entry["position"], "--data", self.server.data).stdout for entry in secret]
        self.assertTrue(all("not shown" in text for text in explained), explained)
        for name in os.listdir(os.path.join(self.server.data, "shard-0", "log")):
            with open(os.path.join(self.server.data, "shard-0", "log", name), "rb") as segment:
                content = segment.read()
            for word in (PASSWORD, "another good one", self.token):
                self.assertNotIn(word.encode(), content)


class Survival(Guarded):
    def test_users_survive_restart_and_kill(self):
        self.add_user("alice", "writer")
        self.assertIsNone(self.produce("t", ["1"], **sasl("alice")))
        for again in (self.server.restart, self.server.crash_restart):
            again()
            self.assertEqual(self.read("t", "alice"), ["1"])
            self.assertEqual(self.admin("GET", "/api/v1/whoami")["name"], "admin")
        self.assertEqual(len(one_time_tokens(self.server)), 1)

    def test_every_change_is_in_the_trail(self):
        self.add_user("alice", "writer")
        self.admin("PUT", "/api/v1/users/alice/password", {"password": "another good one"})
        self.admin("POST", "/api/v1/users/alice/roles", {"role": "reader"})
        self.admin("DELETE", "/api/v1/users/alice", {})
        actions = [(entry["action"], entry["by"], entry["on"]) for entry in self.trail() if entry.get("on") == "alice"]
        self.assertEqual(actions, [(action, "admin", "alice")
                                   for action in ("user.create", "user.password", "role.grant", "user.delete")])
        self.assertNotIn("another good one", json.dumps(self.trail()))


class PowerCut(Guarded):
    def make_server(self):
        return Server.with_powercut(args=("--auth", "--segment-mib", 16))

    def test_an_acknowledged_password_works_after_a_cut(self):
        self.add_user("alice", "writer")
        for number in range(10):
            self.admin("PUT", "/api/v1/users/alice/password", {"password": f"password number {number}"})
        self.admin("DELETE", "/api/v1/users/alice/roles/writer", {})
        self.server.kill()
        for seed in range(4):
            after = self.server.after_cut(seed=seed)
            self.addCleanup(after.close)
            after.start()
            status, me, _ = ask(after, "GET", "/api/v1/whoami", authorization=basic("alice", "password number 9"))
            self.assertEqual((status, me.get("roles")), (200, []), f"seed {seed}: {me}")
            self.assertEqual(ask(after, "GET", "/api/v1/whoami", authorization=basic("alice", "password number 8"))[0], 401)
            self.assertEqual(one_time_tokens(after), [])


if __name__ == "__main__":
    unittest.main()
