"""PostgreSQL's protocol with real clients: psql, psycopg2, pg (Node) and raw bytes: what streams hold, positions, formats,
COPY, the catalogue, SCRAM, TLS, cancelling, and clients that read nothing, flood or lie."""

import contextlib
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

import psycopg2
import psycopg2.extensions

from heptane_testkit import Server, wait_until
from heptane_testkit import kafka
from heptane_testkit.certificates import Authority
from test_auth import PASSWORD, Guarded

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 60
ENGINE_THREADS = 2
MEMORY_BOUND_BYTES = 1 << 30
METERS = [{"meter": "a", "kwh": 12}, {"meter": "b", "kwh": 20}, {"meter": "c", "kwh": 31}]
STARTUP = 3 << 16
CANCEL = 80877102


def psql_command(server, *arguments, user="alice", **settings):
    settings = {"host": "127.0.0.1", "port": server.address("postgres")[1], "user": user, "dbname": "heptane", **settings}
    return ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", " ".join(f"{k}={v}" for k, v in settings.items()), *arguments]


def psql(server, *arguments, environment=None, text_in=None, accept=(0,), **settings):
    done = subprocess.run(psql_command(server, *arguments, **settings), capture_output=True, text=True, timeout=SECONDS, input=text_in,
                          env={**os.environ, **(environment or {})}, check=False)
    if done.returncode not in accept:
        raise AssertionError(f"psql {arguments}: {done.returncode} {done.stderr}")
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def ask(server, sql, **options):
    return psql(server, "-c", sql, **options)


def connect(server, **settings):
    return psycopg2.connect(**{"host": "127.0.0.1", "port": server.address("postgres")[1], "user": "alice", "dbname": "heptane", **settings})


def rows(connection, sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


def fill(server, topic="meters", records=None):
    kafka.kcat_produce(server.kafka, topic, text_in="".join(json.dumps(r) + "\n" for r in records or METERS))


def wait_for_rows(server, count, table="meters", **options):
    """Rows are there a moment after they were acknowledged."""
    def there():
        answer = ask(server, f"SELECT count(*) FROM {table}", accept=(0, 1), **options)
        return answer == str(count)
    wait_until(there, f"{count} rows in {table}")


class Raw:
    """The protocol by hand."""

    def __init__(self, server, user="alice", start=True):
        self.link = socket.create_connection(server.address("postgres"), timeout=SECONDS)
        self.key = None
        if not start:
            return
        self.send_first(STARTUP, b"user\0" + user.encode() + b"\0\0")
        for kind, body in self.until(b"Z"):
            if kind == b"K":
                self.key = struct.unpack(">II", body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def send_first(self, code, body=b""):
        self.link.sendall(struct.pack(">II", len(body) + 8, code) + body)

    def send(self, kind, body=b""):
        self.link.sendall(kind + struct.pack(">I", len(body) + 4) + body)

    def query(self, text):
        self.send(b"Q", text if isinstance(text, bytes) else text.encode() + b"\0")

    def receive(self):
        """(kind, body); (b"", b"") at the end."""
        try:
            header = kafka.receive_exactly(self.link, 5)
            kind, length = header[:1], struct.unpack(">I", header[1:])[0]
            return kind, kafka.receive_exactly(self.link, length - 4)
        except (EOFError, ConnectionError):
            return b"", b""

    def until(self, last):
        messages = []
        while not messages or messages[-1][0] not in (last, b""):
            messages.append(self.receive())
        return messages

    def error(self):
        """The SQLSTATE of the next error, and whether the connection goes on."""
        code = None
        while True:
            kind, body = self.receive()
            if kind == b"E":
                code = next(field[1:].decode() for field in body.split(b"\0") if field.startswith(b"C"))
            if kind in (b"Z", b""):
                return code, kind == b"Z"


class PostgresCase(unittest.TestCase):
    args = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--segment-mib", 16, *cls.args))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        fill(cls.server)
        wait_for_rows(cls.server, len(METERS))

    def refused(self, sql):
        """The SQLSTATE that psql shows."""
        return psql(self.server, "-v", "VERBOSITY=verbose", "-c", sql, accept=(1,))


class Psql(PostgresCase):
    def test_rows(self):
        self.assertEqual(ask(self.server, "SELECT meter, kwh FROM meters ORDER BY meter"), "a|12\nb|20\nc|31")
        self.assertEqual(ask(self.server, "SELECT sum(kwh) FROM meters; SELECT 'ä;'"), "63\nä;")

    def test_errors_say_where(self):
        self.assertIn("42P01", self.refused("SELECT * FROM nowhere"))
        self.assertIn("LINE 1:", self.refused("SELECT meter, nothing FROM meters"))
        self.assertIn("42601", self.refused("SELECT 'x"))
        for sql in ("INSERT INTO meters VALUES (1)", "CREATE TABLE t (a INTEGER)", "DROP TABLE meters", "ATTACH 'x.db'", "INSTALL httpfs"):
            self.assertRegex(self.refused(sql), "25006|0A000|42501", sql)

    def test_files_stay_closed(self):
        for sql in ("SELECT * FROM '/etc/passwd'", "SELECT * FROM read_text('/etc/passwd')", "COPY meters TO '/tmp/x'",
                    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM \"/etc/passwd\"", "SELECT * FROM glob('/*')"):
            answer = self.refused(sql)
            self.assertRegex(answer, "42501|0A000|42P01|42883", sql)
            self.assertNotIn("root:", answer)

    def test_describe(self):
        self.assertIn("public|meters|table|heptane", psql(self.server, "-c", r"\d"))
        self.assertIn("public|meters|table|heptane", psql(self.server, "-c", r"\dt"))
        self.assertIn("public|meters|table|heptane", psql(self.server, "-c", r"\dt met*"))
        self.assertIn("kwh|bigint", psql(self.server, "-c", r"\d meters"))
        self.assertIn("kwh|bigint", psql(self.server, "-c", r"\d+ public.meters"))
        self.assertIn("heptane|heptane|UTF8", psql(self.server, "-c", r"\l"))
        self.assertIn("public|heptane", psql(self.server, "-c", r"\dn"))

    def test_copy(self):
        csv = ask(self.server, "COPY (SELECT meter, kwh FROM meters ORDER BY meter) TO STDOUT (FORMAT csv, HEADER)")
        self.assertEqual(csv, "meter,kwh\na,12\nb,20\nc,31")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "meters.parquet")
            with open(path, "wb") as file:
                subprocess.run(psql_command(self.server, "-c", "COPY meters TO STDOUT (FORMAT parquet)"), stdout=file, check=True, timeout=SECONDS)
            with open(path, "rb") as file:
                data = file.read()
            self.assertEqual((data[:4], data[-4:]), (b"PAR1", b"PAR1"))
            path = os.path.join(directory, "meters.tsv")
            psql(self.server, "-c", rf"\copy (SELECT meter FROM meters ORDER BY 1) to '{path}'")
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "a\nb\nc\n")

    def test_positions(self):
        before = ask(self.server, "SELECT position FROM meters ORDER BY split_part(position, ':', 2)::BIGINT DESC LIMIT 1")
        fill(self.server, "later", METERS[:1])
        wait_for_rows(self.server, 1, "later")
        self.assertEqual(ask(self.server, f"SELECT count(*) FROM later AS OF POSITION '{before}'"), "0")
        self.assertEqual(ask(self.server, f"SET heptane.as_of = '{before}'; SELECT count(*) FROM later; RESET heptane.as_of; SELECT count(*) FROM later"),
                         "SET\n0\nRESET\n1")

    def test_a_prepared_script(self):
        script = "PREPARE x AS SELECT 1;"
        self.assertIn("ERROR", psql(self.server, text_in=script, accept=(3,)))
        self.assertEqual(psql(self.server, text_in="\\set k 15\nSELECT meter FROM meters WHERE kwh > :k ORDER BY 1;\n"), "b\nc")


class Psycopg2(PostgresCase):
    def test_transactions_read_one_position(self):
        with contextlib.closing(connect(self.server)) as reader:
            self.assertEqual(rows(reader, "SELECT count(*) FROM meters"), [(len(METERS),)])
            fill(self.server, "meters", [{"meter": "d", "kwh": 1}])
            wait_for_rows(self.server, len(METERS) + 1)
            self.assertEqual(rows(reader, "SELECT count(*) FROM meters"), [(len(METERS),)])
            reader.commit()
            self.assertEqual(rows(reader, "SELECT count(*) FROM meters"), [(len(METERS) + 1,)])

    def test_parameters_types_and_errors(self):
        with contextlib.closing(connect(self.server)) as link:
            self.assertEqual(rows(link, "SELECT meter FROM meters WHERE kwh > %s AND meter < %s ORDER BY 1", 15, "d"), [("b",), ("c",)])
            (values,) = rows(link, "SELECT 1.50::DECIMAL(9,2), true, NULL, 'x', DATE '2026-01-02', TIMESTAMPTZ '2026-01-02 03:04:05+00'")
            self.assertEqual([str(value) for value in values], ["1.50", "True", "None", "x", "2026-01-02", "2026-01-02 03:04:05+00:00"])
            with self.assertRaises(psycopg2.errors.UndefinedTable):
                rows(link, "SELECT * FROM nowhere")
            with self.assertRaises(psycopg2.errors.InFailedSqlTransaction):
                rows(link, "SELECT 1")
            link.rollback()
            self.assertEqual(rows(link, "SELECT 1"), [(1,)])
            self.assertEqual(link.get_parameter_status("server_version"), "15.0 (Heptane)")

    def test_copy(self):
        with contextlib.closing(connect(self.server)) as link, link.cursor() as cursor, tempfile.TemporaryFile("w+") as file:
            cursor.copy_expert("COPY (SELECT meter, kwh FROM meters WHERE meter <= 'b' ORDER BY 1) TO STDOUT", file)
            file.seek(0)
            self.assertEqual(file.read(), "a\t12\nb\t20\n")

    def test_cancel(self):
        with contextlib.closing(connect(self.server)) as link:
            timer = threading.Timer(0.2, link.cancel)
            timer.start()
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                rows(link, "SELECT count(*) FROM range(10000000) a, range(10000000) b")
            timer.join()
            link.rollback()
            self.assertEqual(rows(link, "SELECT 1"), [(1,)])

    def test_statement_timeout(self):
        with contextlib.closing(connect(self.server, options="-c statement_timeout=200ms")) as link:
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                rows(link, "SELECT count(*) FROM range(10000000) a, range(10000000) b")


class Node(PostgresCase):
    def test_pg(self):
        command = ["node", os.path.join(HERE, "pg_client.js"), str(self.server.address("postgres")[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual(seen["simple"], [{"n": "3"}])
        self.assertEqual(seen["extended"], [{"meter": "b", "kwh": "20"}, {"meter": "c", "kwh": "31"}])
        self.assertEqual(seen["named"], ["12", "20"])
        self.assertEqual(seen["types"], {"i": 1, "f": 2.5, "b": True, "n": None, "t": "x", "d": "12.50"})
        self.assertEqual(seen["instant"], "2026-01-02T03:04:05.678Z")
        self.assertEqual((seen["error"], seen["after"]), ("42P01", 1))


class BadClients(PostgresCase):
    args = ("--set", "sql.statement_timeout=600s")

    def tearDown(self):
        self.assertTrue(self.server.running(), self.server.stderr())
        self.assertLess(self.server.memory_bytes("VmHWM"), MEMORY_BOUND_BYTES)
        self.assertEqual(ask(self.server, "SELECT count(*) FROM meters"), str(len(METERS)))

    def test_a_gigabyte_is_refused_at_its_length(self):
        with Raw(self.server) as raw:
            raw.link.sendall(b"B" + struct.pack(">I", 1 << 30))
            self.assertEqual(raw.error(), ("54000", False))

    def test_texts_that_are_none(self):
        with Raw(self.server) as raw:
            raw.query(b"SELECT '\0'\0")
            self.assertEqual(raw.error(), ("22021", True))
            raw.query(b"SELECT '\xff'\0")
            self.assertEqual(raw.error(), ("22021", True))
            raw.query("SELECT 1")
            self.assertIn(b"D", [kind for kind, _ in raw.until(b"Z")])

    def test_a_wrong_key_cancels_nothing(self):
        with Raw(self.server) as raw:
            process, secret = raw.key
            for key in ((process, secret ^ 1), (process + 1, secret), (0, 0)):
                with Raw(self.server, start=False) as other:
                    other.send_first(CANCEL, struct.pack(">II", *key))
                    self.assertEqual(other.receive(), (b"", b""))
            raw.query("SELECT 1")
            self.assertEqual(raw.error(), (None, True))

    def test_a_client_that_reads_nothing(self):
        """Its rows wait in the engine, not in memory; others are served."""
        with Raw(self.server) as raw:
            before = self.server.memory_bytes()
            raw.query("SELECT repeat('x', 1000) FROM range(2000000)")
            select.select([raw.link], [], [], SECONDS)
            for _ in range(10):
                self.assertEqual(ask(self.server, "SELECT 1"), "1")
            self.assertLess(self.server.memory_bytes() - before, 256 << 20)

    def test_statements_of_clients_that_went_end(self):
        """They would compute for minutes, one on each of the engine's threads."""
        with contextlib.ExitStack() as stack:
            gone = [Raw(self.server) for _ in range(ENGINE_THREADS)]
            other = stack.enter_context(Raw(self.server))
            for raw in gone:
                raw.query("SELECT count(*) FROM range(10000000) a, range(10000000) b")
            other.query("SELECT 1")
            self.assertEqual(select.select([other.link], [], [], 1)[0], [])
            for raw in gone:
                raw.link.close()
            self.assertEqual(other.error(), (None, True))

    def test_queries_that_come_while_another_computes(self):
        """They wait for it, however long they are."""
        for length in (1, 15_000, 200_000):
            with self.subTest(length=length), Raw(self.server) as raw:
                raw.query("SELECT count(*) FROM range(4000) a, range(4000) b WHERE a.range + b.range < 0")
                select.select([raw.link], [], [], 0.1)  # so that they come apart from it, as a rule
                for _ in range(3):
                    raw.query(f"SELECT length('{'x' * length}')")
                for answer in (b"0", *[str(length).encode()] * 3):
                    messages = raw.until(b"Z")
                    self.assertEqual([body[6:] for kind, body in messages if kind == b"D"], [answer])

    def test_floods_without_authentication(self):
        links = []
        for payload in (b"", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0", os.urandom(64)) * 50:
            link = socket.create_connection(self.server.address("postgres"), timeout=SECONDS)
            link.sendall(payload)
            links.append(link)
        self.assertEqual(ask(self.server, "SELECT 1"), "1")
        for link in links:
            link.close()

    def test_a_killed_server_has_the_same_rows(self):
        self.server.crash_restart()
        wait_for_rows(self.server, len(METERS))
        self.assertEqual(ask(self.server, "SELECT meter, kwh FROM meters ORDER BY meter"), "a|12\nb|20\nc|31")


class Authentication(Guarded):
    def test_scram_and_rights(self):
        self.admin("POST", "/api/v1/roles", {"name": "meters", "permissions": [{"module": "streams", "pattern": "meters", "verbs": ["read", "write", "create"]}]})
        self.admin("POST", "/api/v1/users", {"name": "alice", "password": PASSWORD, "roles": ["meters"]})
        environment = {"PGPASSWORD": PASSWORD}
        self.admin("POST", "/api/v1/streams", {"name": "meters"})
        self.admin("POST", "/api/v1/streams", {"name": "secrets"})
        wait_until(lambda: ask(self.server, "SELECT count(*) FROM meters", environment=environment, accept=(0, 1)) == "0", "the table")
        self.assertIn("wrong user or password", ask(self.server, "SELECT 1", environment={"PGPASSWORD": "wrong password"}, accept=(2,)))
        self.assertIn("wrong user or password", ask(self.server, "SELECT 1", user="nobody", environment=environment, accept=(2,)))
        self.assertIn("does not exist", ask(self.server, "SELECT * FROM secrets", environment=environment, accept=(1,)))
        self.assertNotIn("secrets", psql(self.server, "-c", r"\d", environment=environment))
        with contextlib.closing(connect(self.server, password=PASSWORD)) as link:
            self.assertEqual(rows(link, "SELECT count(*) FROM meters"), [(0,)])
            self.admin("PUT", "/api/v1/users/alice/password", {"password": "another long password"})
            with self.assertRaises(psycopg2.OperationalError):
                rows(link, "SELECT count(*) FROM meters")


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.addClassCleanup(cls.authority.close)
        cls.authority.issue("server")
        cls.server = Server(args=("--segment-mib", 16, "--tls-cert", cls.authority.path("server.pem"), "--tls-key",
                                  cls.authority.path("server.key"), "--tls-listener", "postgres"))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def settings(self):
        return {"host": "localhost", "sslmode": "verify-full", "sslrootcert": self.authority.ca}

    def test_clients_ask_for_it(self):
        self.assertEqual(ask(self.server, "SELECT 1", **self.settings()), "1")
        with contextlib.closing(connect(self.server, **self.settings())) as link:
            self.assertEqual(link.info.ssl_in_use, True)
            self.assertEqual(rows(link, "SELECT 1"), [(1,)])

    def test_plain_text_is_refused_in_its_words(self):
        self.assertIn("spoken to over TLS", psql(self.server, "-c", "SELECT 1", sslmode="disable", accept=(2,)))

    def test_it_may_begin_at_once(self):
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.set_alpn_protocols(["postgresql"])
        with socket.create_connection(self.server.address("postgres"), timeout=SECONDS) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as link:
                self.assertEqual(link.selected_alpn_protocol(), "postgresql")
                link.sendall(struct.pack(">II", 20, STARTUP) + b"user\0alice\0\0")
                self.assertEqual(link.recv(1), b"R")

    def test_a_cancel_request_in_plain_text_counts(self):
        """libpq sends it so, whatever the connection it is about."""
        with contextlib.closing(connect(self.server, **self.settings())) as link:
            timer = threading.Timer(0.2, link.cancel)
            timer.start()
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                rows(link, "SELECT count(*) FROM range(10000000) a, range(10000000) b")
            timer.join()


if __name__ == "__main__":
    unittest.main()
