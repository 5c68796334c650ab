"""Provisioning by claim and CSR with the AWS IoT device SDK for JavaScript over TLS: claim, certificate, thing, shadow, with kill -9
between the steps; and each way that it must not go."""

import json
import os
import shutil
import subprocess
import unittest

from test_auth import Guarded

from heptane_testkit import Server
from heptane_testkit.certificates import Authority

SECONDS = 60
HERE = os.path.dirname(os.path.abspath(__file__))
ISSUE = "$aws/certificates/create-from-csr/json"
BY_METERS = "$aws/provisioning-templates/meters/provision/json"
METERS = {"parameters": {"SerialNumber": None, "Site": "north"}, "thing": "meter-${SerialNumber}", "type": "meter",
          "attributes": {"site": "${Site}", "serial": "${SerialNumber}"}, "groups": ["plant"], "roles": ["meter"],
          "configuration": {"interval_s": 60}}


@unittest.skipUnless(os.path.isdir(os.path.join(HERE, os.pardir, "node_modules", "aws-iot-device-sdk")), "make data")
class Provisioning(Guarded):
    more = ()

    def make_server(self):
        self.authority = Authority()
        self.addCleanup(self.authority.close)
        self.authority.issue("server", common_name="localhost")
        for claim in ("claim", "other"):
            self.authority.issue(claim, common_name="a claim")
        path = self.authority.path
        self.config = path("heptane.toml")
        with open(self.config, "w", encoding="ascii") as out:
            out.write(f'[provisioning]\nca_certificate = "{path("ca.pem")}"\nca_key = "{path("ca.key")}"\n')
            out.writelines(line + "\n" for line in self.more)
        return Server(args=("--auth", "--config", self.config, "--tls-cert", path("server.pem"), "--tls-key", path("server.key"),
                            "--tls-listener", "mqtt", "--tls-client-ca", self.authority.ca))

    def setUp(self):
        super().setUp()
        self.admin("POST", "/api/v1/roles", {"name": "meter", "permissions": [
            {"module": "mqtt", "pattern": "up/%u/*", "verbs": ["write"]}]})
        self.admin("PUT", "/api/v1/provisioning/templates/meters", METERS, 201)
        for claim, templates in (("claim", ["meters"]), ("other", ["meters", "pumps"])):
            with open(self.authority.path(claim + ".pem"), encoding="ascii") as pem:
                self.admin("POST", "/api/v1/provisioning/claims", {"name": claim, "certificate": pem.read(),
                                                                   "templates": templates}, 201)

    def sdk(self, *arguments):
        done = subprocess.run(["node", os.path.join(HERE, "aws_iot_provision.js"), str(self.server.address("mqtt")[1]),
                               self.authority.ca, self.authority.directory, *arguments], capture_output=True, text=True,
                              timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def ask(self, topic, body, client="meter-7", claim="claim", accepted=True):
        said = self.sdk("ask", claim, client, topic, body if isinstance(body, str) else json.dumps(body))
        self.assertEqual(said["topic"], topic + ("/accepted" if accepted else "/rejected"), said)
        return said["answer"]

    def csr(self, name):
        """The device's own key stays with it; what it asks for as its name is an administrator's."""
        for command in (("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key"),
                        ("req", "-new", "-key", f"{name}.key", "-subj", "/CN=admin", "-out", f"{name}.csr")):
            subprocess.run(("openssl", *command), cwd=self.authority.directory, check=True, capture_output=True)
        with open(self.authority.path(name + ".csr"), encoding="ascii") as csr:
            return csr.read()

    def certificate(self, name, claim="claim"):
        """Its token; NAME.pem is there."""
        answer = self.ask(ISSUE, {"certificateSigningRequest": self.csr(name)}, claim=claim)
        with open(self.authority.path(name + ".pem"), "w", encoding="ascii") as out:
            out.write(answer["certificatePem"])
        done = subprocess.run(["openssl", "x509", "-in", name + ".pem", "-noout", "-fingerprint", "-sha256", "-subject"],
                              cwd=self.authority.directory, capture_output=True, text=True, check=True)
        self.assertIn(answer["certificateId"], done.stdout.replace(":", "").lower())
        self.assertIn("Heptane device", done.stdout)
        return answer["certificateOwnershipToken"]

    def provision(self, token, serial, accepted=True, claim="claim", topic=BY_METERS, **more):
        return self.ask(topic, {"certificateOwnershipToken": token, "parameters": {"SerialNumber": serial, **more}},
                        accepted=accepted, claim=claim)

    def pub(self, name, topic, payload):
        done = subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", str(self.server.address("mqtt")[1]), "--cafile",
                               self.authority.ca, "--cert", self.authority.path(name + ".pem"), "--key",
                               self.authority.path(name + ".key"), "-V", "mqttv5", "-q", "1", "-d", "-t", topic, "-m", payload],
                              capture_output=True, text=True, timeout=SECONDS)
        return done.stdout + done.stderr


class Journey(Provisioning):
    def test_from_the_factory_to_the_shadow_over_kills(self):
        token = self.certificate("device")
        self.assertNotIn("PUBACK", self.pub("device", "up/meter-7/x", "1"), "it is nobody's yet")
        self.server.crash_restart()
        answer = self.provision(token, "7")
        self.assertEqual(answer, {"deviceConfiguration": {"interval_s": 60}, "thingName": "meter-7"})
        self.server.crash_restart()
        said = self.sdk("shadow", "device", "meter-7")
        self.assertEqual([one["status"] for one in said], ["accepted", "accepted"])
        self.assertEqual(said[1]["state"]["state"], {"reported": {"on": True}})
        self.assertRegex(self.pub("device", "up/meter-7/x", "1"), r"PUBACK .*RC:(0|16)")
        self.assertIn("RC:135", self.pub("device", "up/meter-8/x", "1"))
        thing = self.admin("GET", "/api/v1/devices/meter-7")
        self.assertEqual((thing["type"], thing["attributes"], thing["groups"]),
                         ("meter", {"site": "north", "serial": "7"}, ["plant"]))
        (credential,) = self.admin("GET", "/api/v1/devices/meter-7/credentials")["credentials"]
        self.assertEqual((credential["state"], credential["roles"]), ("active", ["meter"]))
        (told,) = self.in_trail(action="devices.provision")
        self.assertEqual((told["by"], told["on"]), ("claim claim", "meter-7"))
        # Used, and used again after a kill.
        for _ in range(2):
            self.assertEqual(self.provision(token, "8", accepted=False)["errorCode"], "InvalidCertificateOwnershipToken")
            self.server.crash_restart()
        # No secret is anywhere: neither the token nor a key.
        self.server.stop()
        with open(self.authority.path("ca.key"), "rb") as key:
            secrets = [token.encode(), b"".join(key.read().splitlines()[1:-1])[:40]]
        for directory, _, files in os.walk(self.server.data):
            for name in files:
                with open(os.path.join(directory, name), "rb") as content:
                    whole = content.read()
                self.assertFalse(any(secret in whole for secret in secrets), name)
        self.server.start()
        # Another one of the same name needs the first one's to be revoked and dropped.
        again = self.certificate("thief")
        self.assertEqual(self.provision(again, "7", accepted=False)["errorCode"], "ResourceAlreadyExists")

    def test_a_claim_may_nothing_else(self):
        for topic in ("plant/1", "$aws/things/meter-7/shadow/update", "$aws/certificates/create/json",
                      "$aws/provisioning-templates/pumps/provision/json"):
            self.assertIn("RC:135", self.pub("claim", topic, "{}"), topic)
        token = self.certificate("device")
        # Another claim's token; a template that is not there; what is missing.
        self.assertEqual(self.provision(token, "7", accepted=False, claim="other")["statusCode"], 401)
        pumps = "$aws/provisioning-templates/pumps/provision/json"
        self.assertEqual(self.provision(token, "7", accepted=False, claim="other", topic=pumps)["statusCode"], 401)
        self.assertEqual(self.provision(self.certificate("pump", claim="other"), "7", accepted=False, claim="other",
                                        topic=pumps)["errorCode"], "ResourceNotFound")
        self.assertEqual(self.provision(token, "7", accepted=False, Color="red")["errorCode"], "InvalidParameter")
        self.assertEqual(self.provision(token, "a/b", accepted=False)["errorCode"], "InvalidParameter")
        self.assertEqual(self.provision("x", "7", accepted=False)["errorCode"], "InvalidCertificateOwnershipToken")
        self.assertEqual(self.ask(ISSUE, {"certificateSigningRequest": "x"}, accepted=False)["errorCode"],
                         "InvalidCertificateSigningRequest")
        self.assertEqual(self.ask(ISSUE, "{", accepted=False)["errorCode"], "InvalidParameter")
        self.assertEqual(self.admin("GET", "/api/v1/devices")["devices"], [])
        self.admin("PATCH", "/api/v1/provisioning/claims/claim", {"state": "revoked"})
        self.assertNotIn("PUBACK", self.pub("claim", ISSUE, "{}"))
        self.assertEqual(self.provision(self.certificate("late", claim="other"), "7", claim="other")["thingName"], "meter-7")

    def test_the_command_line(self):
        with open(self.authority.path("template.json"), "w", encoding="ascii") as out:
            json.dump({**METERS, "things": "registered"}, out)
        for arguments, expected in (
                (("templates", "put", "listed", "--file", self.authority.path("template.json")), "listed"),
                (("templates", "show", "listed"), '"things":"registered"'), (("templates", "list"), "meters"),
                (("claims", "list"), '"other"'), (("claims", "deactivate", "other"), "other"),
                (("claims", "activate", "other"), "other"), (("claims", "revoke", "other"), "other"),
                (("claims", "drop", "other"), "other"), (("templates", "drop", "listed"), "listed"),
                (("claims", "add", "third", "--certificate", self.authority.path("other.pem"), "--template", "meters"), "third")):
            done = self.cli("provisioning", *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(expected, done.stdout)
        self.assertEqual(self.provision(self.certificate("device", claim="other"), "7", claim="other")["thingName"], "meter-7")


class ShortTokens(Provisioning):
    more = ("token_minutes = 1", "max_per_minute = 2")

    def test_a_claim_asks_so_often_in_a_minute(self):
        for _ in range(2):
            self.ask(ISSUE, "{", accepted=False)
        self.assertEqual(self.ask(ISSUE, "{", accepted=False)["statusCode"], 429)
        self.assertEqual(self.ask(ISSUE, "{", accepted=False, claim="other")["statusCode"], 400, "each has its own")


class WithoutAuthority(Provisioning):
    def make_server(self):
        server = super().make_server()
        shutil.copy(self.authority.path("server.pem"), self.authority.path("ca-copy.pem"))
        with open(self.config, "w", encoding="ascii") as out:
            out.write(f'[provisioning]\nca_certificate = "{self.authority.path("ca-copy.pem")}"\nca_key = "{self.authority.path("server.key")}"\n')
        return server

    def test_it_says_so(self):
        self.assertIn("is no authority's certificate", self.server.stderr())
        self.assertEqual(self.ask(ISSUE, {"certificateSigningRequest": self.csr("device")}, accepted=False)["statusCode"], 500)


if __name__ == "__main__":
    unittest.main()
