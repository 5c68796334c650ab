"""Images of jobs: a stored blob that a device fetches by a link, with curl, over kill -9; which URLs a job may have."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from test_auth import Guarded, PASSWORD, ask, basic

from heptane_testkit import Server, wait_until
from heptane_testkit import http
from heptane_testkit.mqtt import Subscriber, mosquitto_pub

SECONDS = 60
IMAGE = b"firmware 2.1 " * 100_000
DIGEST = hashlib.sha256(IMAGE).hexdigest()


def curl(*arguments):
    """(status, body)"""
    done = subprocess.run(["curl", "-sS", "-o", "-", "-w", "\n%{http_code}", *arguments], capture_output=True, timeout=SECONDS)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body


class Links(Guarded):
    args = ("--plain-on-loopback",)

    def make_server(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(lambda: subprocess.run(["rm", "-rf", self.directory], check=True))
        self.key_file = os.path.join(self.directory, "link.key")
        self.write_key("k" * 40)
        self.config = os.path.join(self.directory, "heptane.toml")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f'[devices]\nimage_link_key = "{self.key_file}"\n')
        return Server(args=("--auth", "--config", self.config, *self.args))

    def write_key(self, key):
        with open(self.key_file, "w", encoding="ascii") as file:
            file.write(key + "\n")
        os.chmod(self.key_file, 0o600)
        self.key = key

    def setUp(self):
        super().setUp()
        self.admin("POST", "/api/v1/devices", {"name": "pump-1"})
        self.add_user("pump-1")
        done = subprocess.run(["curl", "-sS", "-XPUT", "-T", "-", "-H", "Authorization: Bearer " + self.token,
                               f"http://{self.server.admin.removeprefix('http://')}/api/v1/blobs"], input=IMAGE,
                              capture_output=True, timeout=SECONDS)
        self.assertEqual(json.loads(done.stdout)["sha256"], DIGEST, done.stderr)

    def url(self, path):
        return f"http://{self.server.admin.removeprefix('http://')}{path}"

    def create(self, name, expect=201, who=None, **image):
        status, answer, _ = ask(self.server, "POST", "/api/v1/jobs", {"id": name, "image": image, "things": ["pump-1"]},
                                who or "Bearer " + self.token)
        self.assertEqual(status, expect, answer)
        return answer

    def path_of(self, name):
        return self.admin("GET", f"/api/v1/jobs/{name}")["document"]["image"]["url"]

    def signed(self, digest, expires):
        text = f"heptane device image\n{digest}\n{expires}"
        signature = hmac.new(self.key.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"/api/v1/device-images/{digest}?expires={expires}&signature={signature}"

    def test_a_device_fetches_its_image_by_the_link(self):
        self.create("fw", blob=DIGEST, link_minutes=60)
        # As the device hears of it.
        address = self.server.address("mqtt")
        listener = Subscriber(address, "-i", "pump-1", "-u", "pump-1", "-P", PASSWORD, "-C", 1, "-t",
                              "$aws/things/pump-1/jobs/fw/get/accepted")
        self.addCleanup(listener.close)
        mosquitto_pub(address, "-u", "pump-1", "-P", PASSWORD, "-i", "asks", "-q", 1, "-t", "$aws/things/pump-1/jobs/fw/get",
                      "-m", "{}")
        heard, = listener.lines()
        image = json.loads(heard)["execution"]["jobDocument"]["image"]
        self.assertEqual((image["blob"], image["path"]), (DIGEST, "/api/v1/blobs/" + DIGEST))
        self.assertEqual(curl(self.url(image["path"]))[0], 401, "without the link he must say who he is")
        self.assertEqual(curl(self.url(image["url"])), (200, IMAGE))
        self.server.crash_restart()
        self.assertEqual(curl("-H", "Range: bytes=13-25", self.url(image["url"])), (206, IMAGE[13:26]))
        self.assertEqual(curl("-I", self.url(image["url"]))[0], 200)
        self.assertEqual(curl("-H", f"Range: bytes={len(IMAGE)}-", self.url(image["url"]))[0], 416)

    def test_what_is_no_link(self):
        self.create("fw", blob=DIGEST, link_minutes=60)
        path = self.path_of("fw")
        fields = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        expires = int(fields["expires"][0])
        self.assertLess(abs(expires - time.time() - 3600), 60)
        self.assertEqual(path, self.signed(DIGEST, expires))
        now = int(time.time())
        self.assertEqual(curl(self.url(self.signed(DIGEST, now + 60)))[0], 200)
        for wrong in (self.signed(DIGEST, now - 1), path.replace(f"expires={expires}", f"expires={expires + 1}"),
                      path.replace(DIGEST, "0" * 64), path[:-1], path + "0", path.partition("&")[0], path.partition("?")[0],
                      self.signed(DIGEST, f"0{expires}")):
            status, body = curl(self.url(wrong))
            self.assertEqual((status, json.loads(body)["error"]["code"]), (403, "unauthorised"), wrong)
        self.assertEqual(curl(self.url(self.signed("0" * 64, now + 60)))[0], 404)
        # Another key: what was signed before is good no longer.
        self.write_key("n" * 40)
        os.kill(self.server.pid, signal.SIGHUP)
        wait_until(lambda: curl(self.url(path))[0] == 403, "the key is another")
        self.assertEqual(curl(self.url(self.signed(DIGEST, now + 60)))[0], 200)

    def test_who_may_give_a_link(self):
        self.admin("POST", "/api/v1/roles", {"name": "jobs", "permissions": [
            {"module": "admin", "pattern": "devices", "verbs": ["read", "write"]}]})
        self.admin("POST", "/api/v1/roles", {"name": "fetcher", "permissions": [
            {"module": "blobs", "pattern": DIGEST, "verbs": ["read"]}]})
        self.add_user("one", "jobs")
        self.add_user("both", "jobs", "fetcher")
        self.create("a", 403, basic("one", PASSWORD), blob=DIGEST, link_minutes=5)
        self.create("a", 201, basic("one", PASSWORD), blob=DIGEST)
        self.create("b", 201, basic("both", PASSWORD), blob=DIGEST, link_minutes=5)
        self.create("c", 404, blob="0" * 64, link_minutes=5)
        self.create("c", 400, blob=DIGEST, link_minutes=0)

    def test_the_command_line(self):
        done = self.cli("jobs", "create", "fw", "--thing", "pump-1", "--image-blob", DIGEST, "--image-link-minutes", "5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(curl(self.url(self.path_of("fw"))), (200, IMAGE))


class Urls(unittest.TestCase):
    def create(self, server, url, expect):
        self.number = getattr(self, "number", 0) + 1
        status, answer = http.call(server, "POST", "/api/v1/jobs", {"id": f"j{self.number}", "image": {"url": url},
                                                                    "things": ["pump-1"]})
        self.assertEqual(status, expect, answer)

    def server(self, *arguments):
        server = Server(args=arguments)
        self.addCleanup(server.close)
        server.start()
        status, made = http.call(server, "POST", "/api/v1/devices", {"name": "pump-1"})
        self.assertEqual(status, 201, made)
        return server

    def test_only_hosts_of_the_list(self):
        server = self.server("--set", "devices.image_allow=*.example.com,files.local:8443,10.1.0.0/16")
        for url, expect in (("https://cdn.example.com/fw.bin", 201), ("https://files.local:8443/x", 201),
                            ("http://10.1.2.3/x", 201), ("https://files.local/x", 400), ("https://example.org/x", 400),
                            ("http://10.2.0.1/x", 400), ("http://127.0.0.1/x", 400), ("https://u@cdn.example.com/x", 400)):
            with self.subTest(url=url):
                self.create(server, url, expect)
        status, answer = http.call(server, "POST", "/api/v1/jobs", {"id": "b", "image": {"blob": "0" * 64, "link_minutes": 1},
                                                                    "things": ["pump-1"]})
        self.assertEqual(status, 400, answer)
        self.assertIn("devices.image_link_key", answer["error"]["message"])

    def test_without_a_list_any_that_is_public(self):
        server = self.server()
        for url, expect in (("https://cdn.example.com/fw.bin", 201), ("http://9.9.9.9/x", 201),
                            ("https://u:p@cdn.example.com/" + "x" * 1500, 201), ("http://10.2.0.1/x", 400),
                            ("http://127.0.0.1:7070/x", 400), ("http://169.254.169.254/latest", 400), ("http://[::1]/x", 400),
                            ("http://[fe80::1]/x", 400), ("http://[::ffff:192.168.0.1]/x", 400), ("http://127.1/x", 400),
                            ("http://2130706433/x", 400), ("http://0x7f.0.0.0x1/x", 400), ("http://localhost/x", 400), ("http://ip6-localhost/x", 400),
                            ("http://example.com\\@127.0.0.1:9/a", 400), ("http://example.com/a#b", 400),
                            ("http://u@10.2.0.1/x", 400), ("http://10.2.0.1\\@example.com/x", 400)):
            with self.subTest(url=url):
                self.create(server, url, expect)

    def test_a_key_that_others_may_read_is_none(self):
        with tempfile.NamedTemporaryFile() as key:
            key.write(b"k" * 40)
            key.flush()
            os.chmod(key.name, 0o644)
            server = self.server("--set", f"devices.image_link_key={key.name}")
            self.assertIn("no links to images of jobs: devices.image_link_key", server.stderr())


if __name__ == "__main__":
    unittest.main()
