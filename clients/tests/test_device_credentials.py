"""Credentials of devices, with mosquitto's clients over TLS: certificates and tokens of one device, rotation that keeps its session,
revocation, kill -9."""

import json
import os
import re
import socket
import ssl
import subprocess
import unittest

from test_auth import Guarded

from heptane_testkit import Server, wait_until
from heptane_testkit.certificates import Authority
from heptane_testkit.mqtt import connect

SECONDS = 60
OWN = "$aws/things/pump-1/shadow/"


class Credentials(Guarded):
    def make_server(self):
        self.authority = Authority()
        self.addCleanup(self.authority.close)
        for name in ("server", "old", "new"):
            self.authority.issue(name, common_name="anybody" if name != "server" else "localhost")
        path = self.authority.path
        return Server(args=("--auth", "--tls-cert", path("server.pem"), "--tls-key", path("server.key"), "--tls-listener",
                            "mqtt", "--tls-client-ca", self.authority.ca, "--tls-client-optional"))

    def setUp(self):
        super().setUp()
        self.admin("POST", "/api/v1/devices", {"name": "pump-1"})
        self.admin("POST", "/api/v1/devices", {"name": "pump-2"})

    def add(self, name, **more):
        with open(self.authority.path(name + ".pem"), encoding="ascii") as pem:
            made = self.admin("POST", "/api/v1/devices/pump-1/credentials", {"kind": "certificate", "certificate": pem.read(),
                                                                             **more})
        return made["id"]

    def state(self, credential, state):
        self.admin("PATCH", f"/api/v1/devices/pump-1/credentials/{credential}", {"state": state})

    def client(self, program, *arguments, certificate=None, user=None):
        host, port = self.server.address("mqtt")
        proof = ["--cert", self.authority.path(certificate + ".pem"), "--key", self.authority.path(certificate + ".key")
                 ] if certificate else []
        proof += ["-u", user[0], "-P", user[1]] if user else []
        return [program, "-h", "localhost" if host else host, "-p", str(port), "--cafile", self.authority.ca, *proof,
                *map(str, arguments)]

    def run_client(self, *arguments, **proof):
        done = subprocess.run(self.client(*arguments, **proof), capture_output=True, text=True, timeout=SECONDS)
        return done.returncode, done.stdout, done.stderr

    def update(self, number, thing="pump-1", **proof):
        """0 where the device's own topic took it."""
        return self.run_client("mosquitto_pub", "-V", "mqttv5", "-q", 1, "-t", f"$aws/things/{thing}/shadow/update", "-m",
                               json.dumps({"state": {"reported": {"n": number}}}), **proof)[0]

    def reported(self):
        return self.admin("GET", "/api/v1/devices/pump-1/shadow")["state"]["reported"]["n"]

    def test_what_counts_is_what_is_registered_and_active(self):
        self.assertNotEqual(self.update(1, certificate="old"), 0, "nobody knows the certificate")
        old = self.add("old", state="inactive")
        self.assertNotEqual(self.update(1, certificate="old"), 0)
        self.state(old, "active")
        self.assertEqual(self.update(1, certificate="old"), 0)
        self.assertEqual(self.reported(), 1)
        self.assertNotEqual(self.update(2, certificate="new"), 0)
        self.server.crash_restart()
        self.assertEqual(self.update(3, certificate="old"), 0)
        self.state(old, "revoked")
        self.server.crash_restart()
        self.assertNotEqual(self.update(4, certificate="old"), 0)
        self.assertEqual(self.reported(), 3)
        failed = wait_until(lambda: self.in_trail(action="authenticate", outcome="failed", on="mqtt device"),
                            "what was refused is in the trail")
        self.assertGreaterEqual(len(failed), 1)

    def test_a_token_is_told_once_and_never_logged(self):
        made = self.admin("POST", "/api/v1/devices/pump-1/credentials", {"kind": "token"})
        self.assertRegex(made["token"], r"^hpd_[0-9a-f]{48}$")
        self.assertEqual(self.update(1, user=("pump-1", made["token"])), 0)
        self.assertNotEqual(self.update(1, user=("pump-2", made["token"])), 0)
        self.assertNotEqual(self.update(1, user=("pump-1", made["token"][:-1] + "x")), 0)
        (listed,) = self.admin("GET", "/api/v1/devices/pump-1/credentials")["credentials"]
        self.assertEqual((listed["id"], listed["kind"], listed["state"]), (made["id"], "token", "active"))
        self.server.stop()
        for directory, _, files in os.walk(self.server.data):
            for name in files:
                with open(os.path.join(directory, name), "rb") as content:
                    self.assertNotIn(made["token"].encode(), content.read(), name)
        self.server.start()
        self.assertEqual(self.update(2, user=("pump-1", made["token"])), 0)

    def test_a_role_over_everything_is_over_no_other_thing(self):
        """Neither by a pattern `*`, nor by another's name as its client identifier."""
        self.admin("POST", "/api/v1/roles", {"name": "all", "permissions": [{"module": "mqtt", "pattern": "*", "verbs": ["read", "write"]}]})
        made = self.admin("POST", "/api/v1/devices/pump-2/credentials", {"kind": "token", "roles": ["all"]})
        user = ("pump-2", made["token"])
        for client in ("pump-1", "anything"):
            told = self.run_client("mosquitto_pub", "-i", client, "-V", "mqttv5", "-q", 1, "-t", OWN + "update", "-m", '{"state":{}}', user=user)
            self.assertIn("Not authorized", told[2])
        self.admin("GET", "/api/v1/devices/pump-1/shadow", expect=404)
        self.assertEqual(self.update(1, thing="pump-2", user=user), 0)
        self.assertEqual(self.admin("GET", "/api/v1/devices/pump-2/shadow")["state"]["reported"]["n"], 1)
        _, _, err = self.run_client("mosquitto_sub", "-V", "mqttv5", "-t", "$aws/things/+/shadow/#", "-W", 5, user=user)
        self.assertIn("denied", err)
        listener = subprocess.Popen(["stdbuf", "-oL"] + self.client("mosquitto_sub", "-d", "-i", "pump-1", "-V", "mqttv5", "-q", 1,
                                                                    "-t", "$iothub/methods/POST/#", user=user), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            self.assertTrue(any("SUBACK" in line for line in iter(listener.stdout.readline, "")))
            self.admin("POST", "/api/v1/devices/pump-1/methods/open", {}, expect=409)
        finally:
            listener.kill()
            listener.communicate()

    def test_rotation_keeps_the_session_and_revocation_ends_the_connection(self):
        old = self.add("old")
        durable = ("-i", "pump-1", "-c", "-q", 1, "-V", "mqttv311", "-t", OWN + "update/delta")
        self.assertEqual(self.run_client("mosquitto_sub", *durable, "-E", certificate="old")[0], 0)
        self.admin("POST", "/api/v1/devices/pump-1/shadow", {"state": {"desired": {"n": 1}}})
        self.add("new")
        self.state(old, "revoked")
        self.server.crash_restart()
        code, out, err = self.run_client("mosquitto_sub", *durable, "-C", 1, certificate="new")
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["state"], {"n": 1}, "what the old one's session was to get")

    def test_revocation_is_told(self):
        old = self.add("old")
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.load_cert_chain(self.authority.path("old.pem"), self.authority.path("old.key"))
        with socket.create_connection(self.server.address("mqtt"), timeout=SECONDS) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as link:
                link.sendall(connect("pump-1", version=5))
                self.assertEqual(link.recv(1_000)[0], 0x20)
                self.state(old, "revoked")
                self.assertEqual(link.recv(1_000), b"\xe0\x01\x98")
                self.assertEqual(link.recv(1_000), b"")

    def test_the_command_line_and_the_trail(self):
        added = self.cli("devices", "credentials", "add", "pump-1", "--certificate", self.authority.path("old.pem"))
        self.assertEqual(added.returncode, 0, added.stderr)
        credential = json.loads(added.stdout)["id"]
        done = subprocess.run(["openssl", "x509", "-in", self.authority.path("old.pem"), "-noout", "-fingerprint", "-sha256"],
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip().partition("=")[2].replace(":", "").lower(), credential)
        self.assertEqual(self.update(1, certificate="old"), 0)
        for command in ("deactivate", "activate", "revoke"):
            done = self.cli("devices", "credentials", command, "pump-1", credential)
            self.assertEqual(done.returncode, 0, done.stderr)
        refused = self.cli("devices", "credentials", "activate", "pump-1", credential)
        self.assertIn("stays revoked", refused.stderr)
        self.assertIn('"revoked"', self.cli("devices", "credentials", "list", "pump-1").stdout)
        self.assertEqual(self.cli("devices", "credentials", "drop", "pump-1", credential).returncode, 0)
        token = self.cli("devices", "credentials", "add", "pump-1", "--token")
        self.assertTrue(re.search("hpd_[0-9a-f]{48}", token.stdout), token.stderr)
        told = [entry["detail"] for entry in self.trail() if entry["action"].startswith("devices.credential")]
        self.assertEqual([detail.split()[2] for detail in told[:5]], ["active", "inactive", "active", "revoked", "revoked"])


if __name__ == "__main__":
    unittest.main()
