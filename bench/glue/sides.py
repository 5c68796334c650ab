"""The two ways of the journey, each a Side: the parts glued together, and Heptane. What differs between them is here."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from heptane_testkit import ROOT, default_binary, free_port

from programs import Program, cpu_seconds, memory_bytes

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = os.path.join(HERE, "parts")
EXAMPLE = os.path.join(ROOT, "examples", "metering", "heptane.toml")
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
UTILITY = "900"


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def run(*command, user=None, text=None):
    """What it printed; an error with its output when it fails."""
    who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False, cwd="/", **who)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def euros(cents):
    return f"{cents // 100}.{cents % 100:02}"


class Side:
    """programs: in the order in which they start. funds: cents of each meter's account at the beginning."""

    name = ""
    sources = ()  # what its authors write and keep: code and configuration

    def __init__(self, work, funds, layered):
        self.work, self.funds, self.layered = work, funds, layered
        self.programs = []

    def start(self):
        for program in self.programs:
            program.start()
            program.wait_ready()

    def kill(self, program):
        """One program dies, and is started again."""
        program.kill()
        program.start()
        program.wait_ready()

    def cut(self, seed, mode):
        """The machine loses power: everything stops at once, and starts on what the disks kept."""
        for program in self.programs:
            program.strike()
        for program in self.programs:
            program.kill()
        for number, program in enumerate(self.programs):
            program.cut(seed * 10 + number, mode)
        self.start()

    def cpu_seconds(self):
        return sum(cpu_seconds(pid) for program in self.programs for pid in program.pids())

    def memory_bytes(self):
        """(resident, proportional) of all processes."""
        sizes = [memory_bytes(pid) for program in self.programs for pid in program.pids()]
        return sum(size for size, _ in sizes), sum(size for _, size in sizes)

    def unseen(self):
        return [line for program in self.programs for line in program.unseen]

    def close(self):
        for program in self.programs:
            program.close()
        shutil.rmtree(self.work, ignore_errors=True)


class Glue(Side):
    name = "glue"
    # postgresql.conf says only what PostgreSQL does anyhow.
    sources = tuple(path for path in sorted(glob.glob(os.path.join(PARTS, "*"))) if not path.endswith("postgresql.conf"))

    def __init__(self, work, funds, layered):
        super().__init__(work, funds, layered)
        self.user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses root
        self.ports = {name: free_port() for name in ("mosquitto", "nats-server", "postgresql")}
        self.mqtt = self.ports["mosquitto"]
        self._make_database(os.path.join(os.path.dirname(work), "postgresql-template"))
        self.programs = [self._nats(), self._postgresql(layered), self._mosquitto(layered), self._bridge()]
        self.reader = {"kind": "postgres", "url": self._url()}

    def _path(self, name):
        return os.path.join(self.work, name)

    def _url(self):
        return f"postgres://postgres@127.0.0.1:{self.ports['postgresql']}/postgres"

    def _make_database(self, template):
        """Made once, with its schema and the accounts, and copied for each turn."""
        if not os.path.exists(template):
            run("install", "-d", "-m", "0700", *(["-o", self.user] if self.user else []), template)
            run(f"{POSTGRES_BIN}/initdb", "-D", template, "-A", "trust", "-U", "postgres", "--no-sync", user=self.user)
            with open(os.path.join(PARTS, "schema.sql"), encoding="utf-8") as text:
                statements = text.read()
            rows = [f"('{UTILITY}', true, 0)", *(f"('{meter}', false, {cents})" for meter, cents in self.funds.items())]
            statements += f"\nINSERT INTO account (id, may_overdraw, balance_cents) VALUES {', '.join(rows)};"
            # -j: a statement ends with a semicolon and an empty line.
            done = run(f"{POSTGRES_BIN}/postgres", "--single", "-D", template, "-j", "postgres", user=self.user, text=statements + "\n\n")
            assert "ERROR" not in done, done
        run("cp", "-a", template, self._path("postgresql"))

    def _configured(self, name, *changes):
        """A copy of a configuration file of the parts, with this turn's port and directory in it."""
        with open(os.path.join(PARTS, name), encoding="utf-8") as text:
            content = text.read()
        for there, here in changes:
            assert there in content, there
            content = content.replace(there, here)
        with open(self._path(name), "w", encoding="utf-8") as out:
            out.write(content)
        return self._path(name)

    def _nats(self):
        port = self.ports["nats-server"]
        conf = self._configured("nats.conf", ("127.0.0.1:4222", f"127.0.0.1:{port}"), ("/var/lib/nats", self._path("nats")))
        return Program("nats-server", ["nats-server", "-c", conf], self.work, lambda: answers(port))

    def _postgresql(self, layered):
        command = [f"{POSTGRES_BIN}/postgres", "-D", self._path("postgresql"), "-p", str(self.ports["postgresql"]),
                   "-c", "unix_socket_directories="]
        with open(os.path.join(PARTS, "postgresql.conf"), encoding="utf-8") as text:
            for line in text:
                key, found, value = line.partition("=")
                if found:
                    command += ["-c", f"{key.strip()}={value.strip()}".replace("'", "")]
        return Program("postgresql", command, self.work, self._database_answers, data=self._path("postgresql"), user=self.user,
                       layered=layered, end=signal.SIGQUIT)

    def _database_answers(self):
        return subprocess.run([f"{POSTGRES_BIN}/pg_isready", "-q", "-d", self._url()], check=False).returncode == 0

    def _mosquitto(self, layered):
        data = self._path("mosquitto")
        os.makedirs(data)
        # As root it becomes another user, who cannot write here.
        root = [("allow_anonymous", "user root\nallow_anonymous")] if os.geteuid() == 0 else []
        conf = self._configured("mosquitto.conf", ("listener 1883", f"listener {self.mqtt}"), ("/var/lib/mosquitto", data), *root)
        return Program("mosquitto", ["mosquitto", "-c", conf], self.work, lambda: answers(self.mqtt), data=data, layered=layered)

    def _bridge(self):
        env = {"MQTT_URL": f"mqtt://127.0.0.1:{self.mqtt}", "NATS_URL": f"127.0.0.1:{self.ports['nats-server']}",
               "DATABASE_URL": self._url(), "NODE_ENV": "production"}
        return Program("bridge", ["node", os.path.join(PARTS, "bridge.js")], self.work, self._bridge_is_ready, env=env)

    def _bridge_is_ready(self):
        """It says so each time mosquitto has its subscription: from the first time on mosquitto keeps what comes for it."""
        with open(os.path.join(self.work, "bridge.log"), encoding="utf-8") as text:
            return sum(line == "ready\n" for line in text) > 0

    def settings(self):
        yield "mosquitto", f"{first_line('mosquitto', '-h')}; {told('mosquitto.conf')}"
        yield "bridge", f"Node {run('node', '--version')}; {packages()}; PUBACK after JetStream's answer, JetStream's message after the commit"
        yield "nats-server", f"{run('nats-server', '--version')}; {told('nats.conf')}; file storage, one replica; it cannot sync before it answers"
        yield "PostgreSQL", f"{run(POSTGRES_BIN + '/postgres', '--version')}; {told('postgresql.conf')}"


class Heptane(Side):
    name = "Heptane"
    sources = (EXAMPLE,)

    def __init__(self, work, funds, layered):
        super().__init__(work, funds, layered)
        self.mqtt, self.admin = free_port(), free_port()
        data = os.path.join(work, "data")
        os.makedirs(data, mode=0o700)
        self.endpoints = os.path.join(work, "endpoints.json")
        command = [default_binary(), "serve", "--data", data, "--config", EXAMPLE, "--ephemeral-ports", "--endpoints-file", self.endpoints,
                   "--listen", f"mqtt=127.0.0.1:{self.mqtt}", "--listen", f"admin=127.0.0.1:{self.admin}"]
        self.programs = [Server(self.endpoints, "heptane", command, work, lambda: os.path.exists(self.endpoints), data=data, layered=layered)]
        self.reader = None  # once it runs

    def start(self):
        super().start()
        if self.reader is None:
            self._open_accounts()
            self.reader = {"kind": os.environ.get("BENCH_GLUE_READER") or self._reader_kind(), "admin": self.admin}

    def _reader_kind(self):
        """By SQL where this server has it; else the records that the rule tells of."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/api/v1/sql?q=SELECT%201", timeout=20) as answer:
                answer.read()
                return "sql"
        except urllib.error.HTTPError:
            return "stream"

    def _open_accounts(self):
        self._post("/api/v1/ledger/assets", {"code": "EUR", "ledger": 978, "scale": 2})
        accounts = [{"id": UTILITY, "asset": "EUR", "code": 1}]
        accounts += [{"id": meter, "asset": "EUR", "code": 1, "flags": ["debits_must_not_exceed_credits"]} for meter in self.funds]
        self._post("/api/v1/ledger/accounts", {"accounts": accounts})
        funding = [{"id": str(100_000 + int(meter)), "debit_account_id": UTILITY, "credit_account_id": meter, "amount": euros(cents),
                    "asset": "EUR", "code": 2} for meter, cents in self.funds.items()]
        self._post("/api/v1/ledger/transfers", {"transfers": funding})

    def _post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()

    def settings(self):
        yield "Heptane", f"{first_line(default_binary(), '--version')}; serve --config examples/metering/heptane.toml; every PUBACK behind its fdatasync"
        self.start()
        how = "GET /api/v1/sql" if self.reader["kind"] == "sql" else "GET /api/v1/streams/iot.rules/records"
        yield "query", f"{how}; of the glue, a prepared SELECT"


class Server(Program):
    """Heptane says by a file when it is ready."""

    def __init__(self, endpoints, *arguments, **options):
        super().__init__(*arguments, **options)
        self.endpoints = endpoints

    def start(self):
        if os.path.exists(self.endpoints):
            os.unlink(self.endpoints)
        return super().start()


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).split("\n", 1)[0].strip()


def told(name):
    """A configuration file of the parts in one line."""
    with open(os.path.join(PARTS, name), encoding="utf-8") as text:
        return ", ".join(line.strip() for line in text if line.strip() and not line.startswith("#") and line.strip() != "}").replace("{,", "{")


def packages():
    with open(os.path.join(HERE, "package.json"), encoding="utf-8") as text:
        return ", ".join(f"{name} {version}" for name, version in json.load(text)["dependencies"].items())


def what_is_missing():
    """What the glue needs and is not installed."""
    wanted = ["mosquitto", "nats-server", "node"]
    missing = [name for name in wanted if shutil.which(name) is None]
    if not os.path.exists(f"{POSTGRES_BIN}/postgres"):
        missing.append("postgresql-15")
    if not os.path.isdir(os.path.join(HERE, "node_modules")):
        missing.append("the packages of bench/glue")
    return missing
