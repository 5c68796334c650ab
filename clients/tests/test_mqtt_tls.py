"""mqtt.js over TLS and over WebSocket over TLS: who proves by a password, a token, a user's or a device's certificate who it is is let
in and does all that a client does; who does not is told so."""

import json
import os
import subprocess
import unittest

from test_auth import PASSWORD, Guarded

from heptane_testkit import Server
from heptane_testkit.certificates import Authority
from heptane_testkit.server import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 60


class MqttJs(Guarded):
    def make_server(self):
        self.authority = Authority()
        self.addCleanup(self.authority.close)
        for name in ("server", "al", "pump-1", "nobody"):
            self.authority.issue(name)
        path = self.authority.path
        return Server(args=("--auth", "--tls-cert", path("server.pem"), "--tls-key", path("server.key"), "--tls-listener", "mqtt",
                            "--tls-client-ca", self.authority.ca, "--tls-client-optional"))

    def setUp(self):
        super().setUp()
        self.admin("POST", "/api/v1/roles", {"name": "js", "permissions": [
            {"module": "mqtt", "pattern": "js/*", "verbs": ["read", "write"]}]})
        self.add_user("al", "js")
        self.admin("PUT", "/api/v1/users/al", {"certificate": True})
        self.admin("POST", "/api/v1/devices", {"name": "pump-1"})
        with open(self.authority.path("pump-1.pem"), encoding="ascii") as pem:
            self.admin("POST", "/api/v1/devices/pump-1/credentials", {"kind": "certificate", "certificate": pem.read(),
                                                                      "roles": ["js"]})
        made = self.admin("POST", "/api/v1/devices/pump-1/credentials", {"kind": "token", "roles": ["js"]})
        self.device_token = made["token"]
        made = self.admin("POST", "/api/v1/tokens", {"name": "js", "owner": "al"})
        self.user_token = made["token"]

    def talk(self, url, certificate=None, **options):
        """mqtt_client.js: (what it got, what it complained of)."""
        files = {"ca": self.authority.ca}
        if certificate:
            files |= {"cert": self.authority.path(certificate + ".pem"), "key": self.authority.path(certificate + ".key")}
        done = subprocess.run(["node", os.path.join(HERE, "mqtt_client.js"), url, json.dumps(files), json.dumps(options)],
                              capture_output=True, text=True, timeout=SECONDS, check=False,
                              env={**os.environ, "NODE_PATH": os.path.join(ROOT, "clients", "node_modules")})
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None, done.stderr

    def everybody_is_let_in(self, url):
        for proof in ({"username": "al", "password": PASSWORD}, {"username": "token", "password": self.user_token},
                      {"username": "pump-1", "password": self.device_token}, {"certificate": "al"}, {"certificate": "pump-1"}):
            said, complaint = self.talk(url, **proof)
            self.assertIsNotNone(said, f"{proof}: {complaint}")
            for version in ("four", "five"):
                self.assertEqual([(message["payload"], message["qos"], message["retain"]) for message in said[version]],
                                 [("retained", 1, True), ("at 0", 0, False), ("at 1", 1, False), ("at 2", 2, False)], proof)
        for proof in ({}, {"username": "al", "password": "wrong horse battery"}, {"username": "pump-1", "password": "hpd_" + "0" * 48},
                      {"certificate": "nobody"}):
            said, complaint = self.talk(url, **proof)
            self.assertIsNone(said, proof)
            self.assertRegex(complaint.lower(), "not authorized|bad username or password", proof)

    def test_over_tls(self):
        self.everybody_is_let_in(f"mqtts://{self.server.endpoints['mqtt']}")

    def test_over_websocket_over_tls(self):
        # Not before: by HTTP without TLS it was told who there is.
        self.server.args = (*self.server.args, "--tls-listener", "admin")
        self.server.restart()
        self.everybody_is_let_in(f"wss://{self.server.admin}/mqtt")


if __name__ == "__main__":
    unittest.main()
