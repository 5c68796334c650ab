"""TLS with real clients: Kafka and HTTPS, versions, client certificates, reload on SIGHUP, and what is cut off."""

import os
import signal
import socket
import ssl
import struct
import subprocess
import unittest

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.certificates import Authority
from heptane_testkit.server import ROOT, Refused

from confluent_kafka import Consumer, Producer


class TlsCase(unittest.TestCase):
    listeners = ("kafka", "admin")
    extra = ()

    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.addClassCleanup(cls.authority.close)
        cls.serial = cls.authority.issue("server")
        cls.authority.issue("alice")
        named = [part for name in cls.listeners for part in ("--tls-listener", name)]
        extra = [part.format(ca=cls.authority.ca) for part in cls.extra]
        cls.server = Server(args=("--segment-mib", 16, "--tls-cert", cls.authority.path("server.pem"), "--tls-key",
                                  cls.authority.path("server.key"), *named, *extra))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def context(self, certificate=None, version=None):
        context = ssl.create_default_context(cafile=self.authority.ca)
        if certificate:
            context.load_cert_chain(self.authority.path(f"{certificate}.pem"), self.authority.path(f"{certificate}.key"))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def connect(self, listener="kafka", **options):
        raw = socket.create_connection(self.server.address(listener), timeout=20)
        self.addCleanup(raw.close)
        link = self.context(**options).wrap_socket(raw, server_hostname="localhost")
        self.addCleanup(link.close)
        return link

    def ask(self, link):
        """One request of Kafka and its answer."""
        link.sendall(kafka.request(kafka.API_VERSIONS, 0, correlation=47))
        self.assertEqual(kafka.receive_response(link)[0], 47)

    def security(self, certificate=None):
        settings = {"security.protocol": "ssl", "ssl.ca.location": self.authority.ca}
        if certificate:
            settings["ssl.certificate.location"] = self.authority.path(f"{certificate}.pem")
            settings["ssl.key.location"] = self.authority.path(f"{certificate}.key")
        return settings

    def kcat_security(self, **options):
        return [part for key, value in self.security(**options).items() for part in ("-X", f"{key}={value}")]

    def curl(self, path, *arguments):
        url = f"https://localhost:{self.server.address('admin')[1]}{path}"
        return subprocess.run(["curl", "-sS", "-4", "--cacert", self.authority.ca, *arguments, url], capture_output=True, text=True,
                              timeout=60, check=False)

    def metric(self, line):
        for text in self.curl("/metrics").stdout.splitlines():
            if text.startswith(line + " "):
                return float(text.split()[-1])
        self.fail(f"no metric {line}")


class Clients(TlsCase):
    def test_the_endpoints_file_says_so(self):
        self.assertEqual(self.server.tls, {"kafka": True, "admin": True})

    def test_kcat(self):
        kafka.kcat_produce(self.server.kafka, "kcat", *self.kcat_security(), text_in="a\nb\n")
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "kcat", *self.kcat_security()), ["a", "b"])

    def test_confluent_kafka(self):
        settings = {"bootstrap.servers": self.server.kafka, **self.security()}
        producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 5})
        large = b"x" * 100_000
        for number in range(200):
            producer.produce("confluent", value=b"%d " % number + large)
        self.assertEqual(producer.flush(60), 0)
        consumer = Consumer({**settings, "group.id": "none", "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        self.addCleanup(consumer.close)
        from confluent_kafka import TopicPartition

        consumer.assign([TopicPartition("confluent", 0, 0)])
        numbers = []
        while len(numbers) < 200:
            message = consumer.poll(30)
            self.assertIsNotNone(message, f"{len(numbers)} of 200 came")
            self.assertIsNone(message.error())
            self.assertTrue(message.value().endswith(large))
            numbers.append(int(message.value().split()[0]))
        self.assertEqual(numbers, list(range(200)))

    def test_kafkajs(self):
        port = self.server.address("kafka")[1]
        done = subprocess.run(["node", os.path.join(os.path.dirname(__file__), "kafkajs_tls.js"), f"localhost:{port}",
                               self.authority.ca, "kafkajs"], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "NODE_PATH": os.path.join(ROOT, "clients", "node_modules")})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.strip(), '{"end":3}')
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "kafkajs", *self.kcat_security()), [f"value {i}" for i in range(3)])

    def test_curl(self):
        done = self.curl("/readyz", "-w", "%{http_code} %{http_version}", "-o", os.devnull)
        self.assertEqual((done.returncode, done.stdout), (0, "200 1.1"), done.stderr)
        without = subprocess.run(["curl", "-sS", "-4", f"https://localhost:{self.server.address('admin')[1]}/readyz"],
                                 capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(without.returncode, 60, "an unknown authority is not trusted")

    def test_versions(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            link = self.connect(version=version)
            self.assertEqual(link.version(), name)
            self.ask(link)

    def test_old_versions_are_refused(self):
        done = subprocess.run(["openssl", "s_client", "-connect", self.server.kafka, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("alert protocol version", done.stderr)

    def test_stopping_says_goodbye(self):
        server = Server(args=self.server.args)
        self.addCleanup(server.close)
        server.start()
        raw = socket.create_connection(server.address("kafka"), timeout=20)
        link = self.context().wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
        self.addCleanup(link.close)
        self.ask(link)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(link.recv(1), b"", "close_notify came: an end without it raises an error here")


class Reload(TlsCase):
    def presented(self):
        """The serial number of the certificate that a new connection is shown."""
        certificate = ssl.DER_cert_to_PEM_cert(self.connect().getpeercert(binary_form=True))
        done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=certificate, capture_output=True, text=True,
                              check=True)
        return done.stdout.strip().partition("=")[2]

    def reload(self, outcome):
        line = f'heptane_tls_reloads_total{{outcome="{outcome}"}}'
        before = self.metric(line)
        os.kill(self.server.pid, signal.SIGHUP)
        wait_until(lambda: self.metric(line) > before, "the reload")

    def test_new_connections_are_shown_the_new_certificate(self):
        self.assertEqual(self.presented(), self.serial)
        expiry = self.metric('heptane_tls_certificate_expiry_seconds{listener="kafka"}')
        self.assertGreater(expiry, 1_700_000_000)
        old = self.connect()
        self.ask(old)
        new_serial = self.authority.issue("server")
        self.assertNotEqual(new_serial, self.serial)
        self.reload("ok")
        self.assertEqual(self.presented(), new_serial)
        self.ask(old)

        with open(self.authority.path("server.key"), "w", encoding="ascii") as out:
            out.write("no key\n")
        self.reload("failed")
        self.assertEqual(self.presented(), new_serial, "what cannot be used replaces nothing")
        self.assertIn("server.key: holds no PEM private key", self.server.stderr())
        self.ask(old)
        type(self).serial = self.authority.issue("server")
        self.reload("ok")
        self.assertEqual(self.presented(), self.serial)


class Mutual(TlsCase):
    listeners = ("kafka",)
    extra = ("--tls-client-ca", "{ca}")

    def test_a_client_without_a_certificate_is_refused(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.assertRaises((ssl.SSLError, ConnectionError)) as caught:
                self.ask(self.connect(version=version))  # TLS 1.3: the client learns it with the first answer
            self.assertIn("certificate required" if version == ssl.TLSVersion.TLSv1_3 else "handshake failure",
                          str(caught.exception).lower().replace("_", " "))

    def test_a_client_with_one_is_served(self):
        self.ask(self.connect(certificate="alice"))
        security = self.kcat_security(certificate="alice")
        kafka.kcat_produce(self.server.kafka, "mutual", *security, text_in="a\n")
        self.assertEqual(kafka.kcat_consume(self.server.kafka, "mutual", *security), ["a"])

    def test_somebody_elses_certificate_is_refused(self):
        other = Authority()
        self.addCleanup(other.close)
        other.issue("alice")
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.load_cert_chain(other.path("alice.pem"), other.path("alice.key"))
        raw = socket.create_connection(self.server.address("kafka"), timeout=20)
        self.addCleanup(raw.close)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.ask(context.wrap_socket(raw, server_hostname="localhost"))


class Hostile(TlsCase):
    def test_plain_bytes_close_their_connection_and_nobody_elses(self):
        good = self.connect()
        for data in (kafka.request(kafka.API_VERSIONS, 0), b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, os.urandom(3000)):
            raw = socket.create_connection(self.server.address("kafka"), timeout=20)
            self.addCleanup(raw.close)
            raw.sendall(data)
            rest = b""
            try:
                while piece := raw.recv(4096):
                    rest += piece
            except ConnectionResetError:
                pass
            self.assertLess(len(rest), 64, "an alert at most")
            self.ask(good)

    def test_half_handshakes_and_byte_by_byte(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        links = []
        for cut in range(0, len(hello), 40):
            raw = socket.create_connection(self.server.address("kafka"), timeout=20)
            self.addCleanup(raw.close)
            raw.sendall(hello[:cut])
            links.append(raw)
        self.ask(self.connect())
        for raw in links[::2]:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        raw = socket.create_connection(self.server.address("kafka"), timeout=20)
        self.addCleanup(raw.close)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hello:
            raw.sendall(bytes([byte]))
        self.assertEqual(raw.recv(1), b"\x16", "the server's hello")
        self.ask(self.connect())

    def test_a_slow_handshake_is_cut_off(self):
        failed = self.metric('heptane_tls_handshakes_total{outcome="failed"}')
        raw = socket.create_connection(self.server.address("kafka"), timeout=60)
        self.addCleanup(raw.close)
        raw.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.assertEqual(raw.recv(100), b"", "closed by the server")
        self.assertGreater(self.metric('heptane_tls_handshakes_total{outcome="failed"}'), failed)


class Starting(unittest.TestCase):
    def setUp(self):
        self.authority = Authority()
        self.addCleanup(self.authority.close)
        self.authority.issue("server")
        self.authority.issue("other")

    def refusal(self, *arguments):
        server = Server(args=arguments)
        self.addCleanup(server.close)
        with self.assertRaises(Refused) as caught:
            server.start()
        return caught.exception.stderr

    def test_what_is_wrong_is_named(self):
        cert, key = self.authority.path("server.pem"), self.authority.path("server.key")
        self.assertIn("tls.listeners", self.refusal("--tls-cert", cert, "--tls-key", key))
        said = self.refusal("--tls-cert", cert, "--tls-key", self.authority.path("other.key"), "--tls-listener", "kafka")
        self.assertIn("listen.kafka: TLS:", said)
        self.assertIn("other.key: the private key does not belong to the certificate", said)
        self.assertIn("does not exist", self.refusal("--tls-cert", cert, "--tls-key", key, "--tls-listener", "kafkaa"))


class UnixSocket(unittest.TestCase):
    def test_admin_on_a_unix_socket(self):
        server = Server()
        self.addCleanup(server.close)
        path = os.path.join(server.work, "admin.sock")
        server.listen["admin"] = f"unix:{path}"
        server.start()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        ask = ["curl", "-sS", "--unix-socket", path, "http://localhost/readyz", "-o", os.devnull, "-w", "%{http_code}"]
        self.assertEqual(subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False).stdout, "200")
        second = Server(listen={"admin": f"unix:{path}"})
        self.addCleanup(second.close)
        with self.assertRaises(Refused) as caught:
            second.start()
        self.assertIn("is in use by another process", caught.exception.stderr)
        server.kill()
        self.assertTrue(os.path.exists(path), "a killed server cleans nothing up")
        server.start()
        self.assertEqual(subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False).stdout, "200")
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    unittest.main()
