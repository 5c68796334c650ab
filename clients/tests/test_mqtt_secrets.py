"""What proves who somebody is stands in no file of the data directory: passwords, tokens of users and of devices, a bridge's password
to its remote. Everybody has used his before the files are searched."""

import os
import subprocess
import unittest

from test_auth import PASSWORD, Guarded
from test_bridge import OUT, bridge_server

from heptane_testkit import Server, wait_until
from heptane_testkit.certificates import Authority
from heptane_testkit.mosquitto import Mosquitto
from heptane_testkit.mqtt import mosquitto_pub

SECONDS = 60
BRIDGE_PASSWORD = "a password for the remote"
MARK = "a payload that is there"


class Secrets(Guarded):
    def make_server(self):
        authority = Authority()
        self.addCleanup(authority.close)
        authority.issue("localhost")
        with open(authority.path("password"), "w", encoding="ascii") as out:
            out.write(BRIDGE_PASSWORD + "\n")
        subprocess.run(["mosquitto_passwd", "-b", "-c", authority.path("users"), "edge", BRIDGE_PASSWORD], check=True,
                       capture_output=True)
        for name in os.listdir(authority.directory):
            os.chmod(authority.path(name), 0o644)  # mosquitto gives up its rights
        os.chmod(authority.directory, 0o755)
        self.remote = Mosquitto(f"cafile {authority.ca}", f"certfile {authority.path('localhost.pem')}",
                                f"keyfile {authority.path('localhost.key')}", f"password_file {authority.path('users')}",
                                anonymous=False).start()
        self.addCleanup(self.remote.kill)
        more = f'tls = true\nca_file = "{authority.ca}"\nuser = "edge"\npassword_file = "{authority.path("password")}"'
        text = OUT.format(address=f"localhost:{self.remote.port}", more=more, qos=1)
        return bridge_server(self, text, lambda: Server(args=["--auth", "--plain-on-loopback", "--snapshot-log-mib", "1"]))

    def bridge(self):
        return self.admin("GET", "/api/v1/bridges")["bridges"][0]

    def files(self):
        for directory, _, names in os.walk(self.server.data):
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    yield os.path.join(directory, name), file.read()

    def found(self, text):
        return [path for path, content in self.files() if text.encode() in content]

    def test_no_file_has_one(self):
        self.admin("POST", "/api/v1/roles", {"name": "plant", "permissions": [
            {"module": "mqtt", "pattern": "plant/*", "verbs": ["read", "write"]}]})
        self.add_user("alice", "plant")
        self.admin("POST", "/api/v1/devices", {"name": "pump-1"})
        device = self.admin("POST", "/api/v1/devices/pump-1/credentials", {"kind": "token", "roles": ["plant"]})["token"]
        of_alice = self.admin("POST", "/api/v1/tokens", {"name": "alices", "owner": "alice"})["token"]
        wait_until(lambda: self.bridge()["state"] == "connected", "the bridge", SECONDS)
        address = self.server.address("mqtt")
        for number, (user, secret) in enumerate((("alice", PASSWORD), ("token", of_alice), ("pump-1", device), ("token", self.token))):
            # With a will, whose CONNECT is known to the log.
            mosquitto_pub(address, "-u", user, "-P", secret, "-i", f"c-{number}", "-c", "-q", 1, "-t", "plant/1", "-m", MARK,
                          "--will-topic", "plant/gone", "--will-payload", "gone")
        # Wrong ones are in the audit trail, without what they were.
        wrong = "a wrong password of alice"
        with self.assertRaises(AssertionError):
            mosquitto_pub(address, "-u", "alice", "-P", wrong, "-q", 1, "-t", "plant/1", "-m", "x")
        wait_until(lambda: self.in_trail(action="authenticate", by="alice", outcome="failed"), "the audit trail", SECONDS)
        wait_until(lambda: self.bridge()["acknowledged"] == 4, "what goes to the remote", SECONDS)
        secrets = {"a user's password": PASSWORD, "the operator's token": self.token, "a user's token": of_alice,
                   "a device's token": device, "the bridge's password": BRIDGE_PASSWORD, "a wrong password": wrong}
        for _ in range(2):  # as it was written, and as the next start has it
            self.assertEqual(self.server.stop(), 0)
            self.assertTrue(self.found(MARK), "the files are read")
            for what, secret in secrets.items():
                self.assertEqual(self.found(secret), [], what)
            self.server.start()
        for what, secret in secrets.items():
            self.assertNotIn(secret, self.server.stderr(), what)


if __name__ == "__main__":
    unittest.main()
