"""Blobs over HTTP and by the command line against the real server: content, ranges, bounds, roles, the power cut behind an
acknowledgement, and what `log verify` finds."""

import glob
import hashlib
import http.client
import json
import os
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from heptane_testkit import Server, wait_until
from heptane_testkit import http as admin

SECONDS = 60


def content(size, seed=b"blob"):
    """Bytes that do not repeat."""
    out = bytearray()
    at = 0
    while len(out) < size:
        out += hashlib.sha512(seed + at.to_bytes(8, "big")).digest()
        at += 1
    return bytes(out[:size])


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def ask(server, method, path, data=None, headers=None):
    """(status, headers, body)."""
    headers = {"Content-Type": "application/json" if method == "DELETE" else "application/octet-stream", **(headers or {})}
    request = urllib.request.Request(f"http://{server.admin}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def put(server, data):
    status, _, body = ask(server, "PUT", "/api/v1/blobs", data)
    assert status == 201, (status, body)
    return json.loads(body)["sha256"]


def files(server):
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(server.data, "blobs", "*")))


class Blobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(args=("--set", "blobs.max_bytes=8MiB", "--set", "blobs.total_bytes=24MiB"))
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def unfinished(self):
        return [name for name in files(self.server) if name.endswith(".tmp")]

    def test_what_was_put_is_read_back_over_a_restart(self):
        data = content(5_000_000)
        self.assertEqual(put(self.server, data), sha256(data))
        path = f"/api/v1/blobs/{sha256(data)}"
        self.assertEqual(ask(self.server, "GET", path)[2], data)
        self.server.crash_restart()
        status, headers, body = ask(self.server, "GET", path, headers={"Range": "bytes=4999990-"})
        self.assertEqual((status, body), (206, data[4_999_990:]))
        self.assertEqual(headers["Content-Range"], "bytes 4999990-4999999/5000000")
        self.assertEqual(ask(self.server, "HEAD", path)[1]["Content-Length"], "5000000")
        listed = admin.call(self.server, "GET", "/api/v1/blobs")[1]["blobs"]
        self.assertIn((sha256(data), 5_000_000, 1), [(b["sha256"], b["bytes"], b["references"]) for b in listed])
        self.assertEqual(ask(self.server, "DELETE", path, b"")[0], 200)
        self.assertEqual(ask(self.server, "GET", path)[0], 404)

    def test_curl_sends_chunks_and_waits_for_100(self):
        data = content(3_000_000, b"curl")
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            for more in (["-T", file.name], ["-T", "-", "-H", "Transfer-Encoding: chunked"], ["-T", file.name, "-H", "Expect: 100-continue"]):
                with open(file.name, "rb") as standard_input:
                    done = subprocess.run(["curl", "-sS", "--max-time", str(SECONDS), *more, f"http://{self.server.admin}/api/v1/blobs"],
                                          capture_output=True, stdin=standard_input)
                self.assertEqual(json.loads(done.stdout)["sha256"], sha256(data), (more, done))

    def test_bounds(self):
        status, _, body = ask(self.server, "PUT", "/api/v1/blobs", content((8 << 20) + 1, b"long"))
        self.assertEqual(status, 413, body)
        digests = []
        for number in range(4):
            status, _, body = ask(self.server, "PUT", "/api/v1/blobs", content(8 << 20, b"full%d" % number))
            if status == 507:
                break
            digests.append(json.loads(body)["sha256"])
        self.assertEqual(status, 507, body)
        self.assertIn("blobs.total_bytes", body.decode())
        for digest in digests:
            self.assertEqual(ask(self.server, "DELETE", f"/api/v1/blobs/{digest}", b"")[0], 200)
        # Their files go when two snapshots are younger.
        def snapshot():
            admin.create(self.server, f"tick{snapshot.number}")
            snapshot.number += 1
            self.assertEqual(self.server.run("snapshot", "--server", self.server.admin).returncode, 0)
            return not set(f"{digest}.blob" for digest in digests) & set(files(self.server))
        snapshot.number = 0
        wait_until(snapshot, "the files to go", 60)

    def test_an_upload_that_breaks_off_leaves_nothing(self):
        connection = http.client.HTTPConnection(*self.server.address("admin"), timeout=SECONDS)
        connection.putrequest("PUT", "/api/v1/blobs")
        connection.putheader("Content-Length", "5000000")
        connection.endheaders(content(1_000_000, b"half"))
        wait_until(lambda: self.unfinished(), "the upload to begin")
        connection.close()
        wait_until(lambda: not self.unfinished(), "the upload to be gone")
        # Nor does one that a kill ends.
        connection = http.client.HTTPConnection(*self.server.address("admin"), timeout=SECONDS)
        connection.putrequest("PUT", "/api/v1/blobs")
        connection.putheader("Content-Length", "5000000")
        connection.endheaders(content(1_000_000, b"half"))
        wait_until(lambda: self.unfinished(), "the upload to begin")
        self.server.crash_restart()
        connection.close()
        self.assertFalse(self.unfinished())

    def test_the_command_line(self):
        data = content(2_500_000, b"cli")
        run = lambda *arguments: self.server.run("blob", *arguments, "--server", self.server.admin)
        with tempfile.TemporaryDirectory() as work:
            path = os.path.join(work, "in")
            with open(path, "wb") as file:
                file.write(data)
            done = run("put", path, "--json")
            self.assertEqual(json.loads(done.stdout)["sha256"], sha256(data), done.stderr)
            self.assertEqual(run("put", path, "--sha256", "0" * 64).returncode, 1)
            copy = os.path.join(work, "out")
            done = run("get", sha256(data), "-o", copy)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            with open(copy, "rb") as file:
                self.assertEqual(file.read(), data)
            self.assertEqual(os.listdir(work), ["in", "out"] if os.listdir(work)[0] == "in" else ["out", "in"])
            self.assertIn(sha256(data), run("ls").stdout)
            self.assertIn(sha256(data), [json.loads(line)["sha256"] for line in run("ls", "--json").stdout.splitlines()])
            self.assertEqual(run("rm", sha256(data)).returncode, 0)
            self.assertEqual(run("get", sha256(data), "-o", copy).returncode, 1)
            self.assertEqual(run("rm", sha256(data)).returncode, 1)


class Damage(unittest.TestCase):
    def test_log_verify_names_what_is_missing_or_damaged(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        one, two = put(server, content(100_000, b"1")), put(server, content(100_000, b"2"))
        done = server.log_verify()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("sound: 2 blobs, 200000 bytes", done.stdout)
        with open(os.path.join(server.data, "blobs", one + ".blob"), "r+b") as file:
            file.seek(50_000)
            file.write(b"rot")
        done = server.log_verify()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"blob {one}", done.stdout)
        self.assertNotIn(f"blob {two}", done.stdout)
        os.unlink(os.path.join(server.data, "blobs", two + ".blob"))
        done = server.log_verify()
        self.assertIn("is missing", done.stdout)
        self.assertEqual(ask(server, "GET", f"/api/v1/blobs/{two}")[0], 500)


class Roles(unittest.TestCase):
    def test_who_may_what(self):
        server = Server(args=("--auth",))
        self.addCleanup(server.close)
        server.start()
        wait_until(lambda: "HEPTANE_TOKEN=" in server.stdout(), "the one-time token")
        administrator = server.stdout().split("HEPTANE_TOKEN=")[1].split()[0]
        tokens = {}

        def as_user(token, method, path, data=None):
            return ask(server, method, path, data, {"Authorization": f"Bearer {token}"})

        def api(method, path, body):
            request = urllib.request.Request(f"http://{server.admin}{path}", json.dumps(body).encode(), {
                "Content-Type": "application/json", "Authorization": f"Bearer {administrator}"}, method=method)
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        only = sha256(b"only")
        api("POST", "/api/v1/roles", {"name": "one", "permissions": [{"module": "blobs", "pattern": only, "verbs": ["read"]}]})
        # Without credentials of their own, so that the one-time token stays.
        for user, role in (("reader", "reader"), ("writer", "writer"), ("one", "one")):
            api("POST", "/api/v1/users", {"name": user, "roles": [role]})
            tokens[user] = api("POST", "/api/v1/tokens", {"name": user, "owner": user})["token"]
        self.assertEqual(ask(server, "GET", "/api/v1/blobs")[0], 401)
        self.assertEqual(as_user(tokens["reader"], "PUT", "/api/v1/blobs", b"only")[0], 403)
        self.assertEqual(as_user(tokens["writer"], "PUT", "/api/v1/blobs", b"only")[0], 201)
        self.assertEqual(as_user(tokens["writer"], "PUT", "/api/v1/blobs", b"other")[0], 201)
        self.assertEqual(as_user(tokens["reader"], "GET", f"/api/v1/blobs/{only}")[2], b"only")
        self.assertEqual(as_user(tokens["one"], "GET", f"/api/v1/blobs/{only}")[0], 200)
        self.assertEqual(as_user(tokens["one"], "GET", f"/api/v1/blobs/{sha256(b'other')}")[0], 403)
        listed = json.loads(as_user(tokens["one"], "GET", "/api/v1/blobs")[2])
        self.assertEqual([blob["sha256"] for blob in listed["blobs"]], [only])
        # Page after page, whatever may be seen of each.
        seen, after = [], ""
        while after is not None:
            page = json.loads(as_user(tokens["one"], "GET", f"/api/v1/blobs?limit=1{after}")[2])
            seen += [blob["sha256"] for blob in page["blobs"]]
            after = f"&after={page['next']}" if "next" in page else None
        self.assertEqual(seen, [only])
        self.assertEqual(as_user(tokens["writer"], "DELETE", f"/api/v1/blobs/{only}", b"")[0], 403)
        self.assertEqual(as_user(administrator, "DELETE", f"/api/v1/blobs/{only}", b"")[0], 200)


class PowerCut(unittest.TestCase):
    def test_an_acknowledged_blob_survives(self):
        server = Server.with_powercut()
        self.addCleanup(server.close)
        server.start()
        acknowledged = []  # (position behind the acknowledgement, digest)
        for number, size in enumerate((10, 300_000, 4096, 1_500_000, 70_000, 1)):
            digest = put(server, content(size, b"cut%d" % number))
            acknowledged.append((server.position(), digest))
        server.kill()
        for cut, (at, _) in enumerate(acknowledged):
            for mode in ("lose", "reorder"):
                with self.subTest(cut=cut, mode=mode):
                    after = server.after_cut(cut, mode, at=at)
                    try:
                        after.start()
                        for _, digest in acknowledged[:cut + 1]:
                            status, _, body = ask(after, "GET", f"/api/v1/blobs/{digest}")
                            self.assertEqual((status, sha256(body)), (200, digest))
                        self.assertFalse(any(name.endswith(".tmp") for name in files(after)))
                        self.assertEqual(after.stop(), 0)
                        done = after.log_verify()
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    finally:
                        after.close()


if __name__ == "__main__":
    unittest.main()
