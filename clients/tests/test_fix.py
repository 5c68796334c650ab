"""FIX 4.4 from outside: the dictionary's tables against the dictionary, the acceptance scripts of others over TCP, and libquickfix as
initiator, over connections that are cut. The acceptor is modules/fintech/test/echo_acceptor.cc."""

import glob
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest

from heptane_testkit import ROOT

SCRIPTS = os.path.join(os.environ.get("HEPTANE_CONFORMANCE", os.path.join(ROOT, os.pardir, "shared", "conformance")), "fix44")
PROGRAMS = os.environ.get("FIX_PROGRAMS") or os.path.join(ROOT, "build", "release", "tests")
ACCEPTOR, INITIATOR = os.path.join(PROGRAMS, "echo_acceptor"), os.path.join(PROGRAMS, "quickfix_initiator")
DICTIONARY = os.environ.get("FIX44_XML") or os.path.join(ROOT, "clients/node_modules/jspurefix/data/FIX44.xml")
# They wait for heartbeats: fix_test runs them on a clock of its own.
SLOW = ("4a_NoDataSentDuringHeartBtInt.def", "6_SendTestRequest.def")
TIMES = ("52", "60", "122")
SECONDS = 20


class Acceptor:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([ACCEPTOR, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().split()[-1])

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def fields_of(text):
    return [field for field in text.split("\x01") if field]


def tag_of(field):
    return field.partition("=")[0]


def joined(fields):
    return "".join(field + "\x01" for field in fields)


def completed(text):
    """With BodyLength behind the first field and CheckSum at the end, where they lack."""
    fields = fields_of(text)
    tags = [tag_of(field) for field in fields]
    if "9" not in tags:
        body = fields[1:-1] if tags[-1] == "10" else fields[1:]
        fields.insert(1, f"9={len(joined(body))}")
    if "10" not in tags:
        fields.append(f"10={sum(joined(fields).encode()) % 256:03}")
    return joined(fields).encode()


def with_times(text):
    def time_of(match):
        return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(time.time() + int(match.group(1) or 0)))

    return re.sub(r"<TIME([+-]\d+)?>", time_of, text)


def agrees(expected, got):
    if tag_of(expected) in TIMES and tag_of(got) == tag_of(expected):
        return re.fullmatch(r"\d+=\d{8}-\d\d:\d\d:\d\d(\.\d+)?", got)
    if tag_of(expected) == "10":
        return re.fullmatch(r"10=\d{3}", got)
    return expected == got


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.waiting = b""

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read(self):
        """One message; None at the end of the connection."""
        while not (whole := re.match(rb"8=.*?\x0110=\d{3}\x01", self.waiting, re.S)):
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                raise
            except OSError:  # reset, or closed by the script itself
                more = b""
            if not more:
                return None
            self.waiting += more
        self.waiting = self.waiting[whole.end():]
        return whole.group().decode()

    def close(self):
        self.socket.close()


class Script:
    def __init__(self, path, port):
        with open(path, encoding="latin-1") as lines:
            self.lines = [line.rstrip("\r\n") for line in lines]
        self.name, self.port, self.connections = os.path.basename(path), port, {}

    def wrong(self):
        """What is not as the script says; None."""
        try:
            for number, line in enumerate(self.lines, 1):
                if line.strip() and not line.startswith("#"):
                    said = self.step(line)
                    if said:
                        return f"{self.name}:{number}: {said}".replace("\x01", "|")
            return None
        finally:
            for connection in self.connections.values():
                connection.close()

    def step(self, line):
        """What is wrong about one line; an end that does not come is, too."""
        try:
            return self.take(line)
        except TimeoutError:
            return f"nothing came, wanted {line}"

    def take(self, line):
        kind, which, rest = re.fullmatch(r"([IEie])(?:(\d),)?(.*)", line).groups()
        which = which or "1"
        if kind == "i":
            if which in self.connections:
                self.connections[which].close()
            if rest.strip() == "CONNECT":
                self.connections[which] = Connection(self.port)
        elif kind == "I":
            self.connections[which].send(completed(with_times(rest)))
        else:
            got = self.connections[which].read()
            if kind == "e":
                return None if got is None else f"got {got} in place of the end"
            return None if got is not None and self.is_expected(rest, got) else f"got {got}, wanted {rest}"
        return None

    @staticmethod
    def is_expected(line, got):
        expected = fields_of(line)
        tags = [tag_of(field) for field in expected]
        fields = [field for field in fields_of(got) if tag_of(field) not in ("9", "10") or tag_of(field) in tags]
        return len(expected) == len(fields) and all(map(agrees, expected, fields))


@unittest.skipUnless(os.path.exists(DICTIONARY), "no FIX44.xml: tools/setup test installs jspurefix")
class Dictionary(unittest.TestCase):
    def test_the_tables_are_what_it_says(self):
        done = subprocess.run([os.path.join(ROOT, "tools", "fix_dictionary"), "--check"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("is what the dictionary says"), 2)


@unittest.skipUnless(os.path.isdir(SCRIPTS), f"no acceptance scripts for FIX 4.4 at {SCRIPTS}")
@unittest.skipUnless(os.path.exists(ACCEPTOR), "echo_acceptor is not built")
class Scripts(unittest.TestCase):
    def test_every_script(self):
        paths = [path for path in sorted(glob.glob(os.path.join(SCRIPTS, "*.def"))) if os.path.basename(path) not in SLOW]
        self.assertGreater(len(paths), 50)
        wrong = []
        for path in paths:
            # That nothing but LogonTimeout ends a connection must not pass for an answer.
            acceptor = Acceptor("--logon-timeout", 3600)
            self.addCleanup(acceptor.process.kill)
            wrong.append(Script(path, acceptor.port).wrong())
            self.assertIsNone(acceptor.process.poll())
            acceptor.close()
        self.assertEqual([said for said in wrong if said], [])


# Of a libquickfix initiator whose numbers outlive it.
SETTINGS = """[DEFAULT]
ConnectionType=initiator
ReconnectInterval=1
SocketConnectHost=127.0.0.1
SocketConnectPort={port}
FileStorePath={store}
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt={heartbeat}
ResetOnLogon=N
{dictionary}
[SESSION]
BeginString=FIX.4.4
SenderCompID={name}
TargetCompID={target}
"""


@unittest.skipUnless(os.path.exists(INITIATOR), "quickfix_initiator is not built: libquickfix-dev was not there")
class QuickFix(unittest.TestCase):
    def trade(self, count, window, *arguments):
        acceptor = Acceptor("--keep-numbers", *arguments)
        self.addCleanup(acceptor.close)
        with tempfile.TemporaryDirectory() as work:
            has = os.path.exists(DICTIONARY)
            dictionary = f"UseDataDictionary=Y\nDataDictionary={DICTIONARY}" if has else "UseDataDictionary=N"
            path = os.path.join(work, "settings")
            with open(path, "w", encoding="ascii") as settings:
                settings.write(SETTINGS.format(port=acceptor.port, store=work, dictionary=dictionary, heartbeat=5,
                                               name="TW44", target="ISLD"))
            done = subprocess.run([INITIATOR, path, str(count), str(window)], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
        self.assertEqual([text for what, text in lines if what == "echo"], [str(n) for n in range(count)])
        self.assertEqual([text for what, text in lines if what == "logout" and text], [])
        return sum(what == "logon" for what, _ in lines)

    def test_every_order_comes_back_once(self):
        self.assertEqual(self.trade(2_000, 100), 1)

    def test_every_order_comes_back_once_over_connections_that_are_cut(self):
        self.assertGreater(self.trade(150, 3, "--cut-every", 15), 3)


if __name__ == "__main__":
    unittest.main()
