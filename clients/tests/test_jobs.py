"""Jobs with bytes on a socket, mosquitto's clients, HTTP, the command line and the AWS IoT device SDK for JavaScript; over kills."""

import json
import os
import queue
import subprocess
import threading
import unittest

from test_auth import PASSWORD, Guarded, ask, one_time_tokens
from test_shadows import parsed, publish, subscribe

from heptane_testkit import Server, wait_until
from heptane_testkit import http, kafka
from heptane_testkit.certificates import Authority
from heptane_testkit.mqtt import Connection, mosquitto_pub, mosquitto_sub

SECONDS = 60
HERE = os.path.dirname(os.path.abspath(__file__))


class Jobbed(unittest.TestCase):
    things = ("pump-1", "pump-2", "pump-3")

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()
        for name in self.things:
            self.call("POST", "/api/v1/devices", {"name": name, "groups": ["plant"]}, expect=201)

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def create(self, name, expect=201, **more):
        more.setdefault("groups", ["plant"])
        more.setdefault("document", {"operation": "install", "end": "succeeded"})
        return self.call("POST", "/api/v1/jobs", {"id": name, **more}, expect)

    def counts(self, name):
        return {status: count for status, count in self.call("GET", f"/api/v1/jobs/{name}")["counts"].items() if count}

    def status(self, name):
        return self.call("GET", f"/api/v1/jobs/{name}")["status"]

    def connect(self, thing, *more):
        device = Device(self, thing, *more)
        self.addCleanup(device.link.socket.close)
        return device

    def cli(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "jobs", *arguments, "--server", self.server.admin],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout


class Device:
    """A client that hears all of its jobs' topics, at QoS 0, and asks at QoS 0."""

    def __init__(self, test, thing, topics=("#",)):
        self.test, self.root = test, f"$aws/things/{thing}/jobs/"
        self.link = Connection(test.server.address("mqtt")).open(thing)
        for topic in topics:
            self.link.send(subscribe(self.root + topic, 0))
            test.assertEqual(self.link.read()[0], 0x90)

    def hear(self, topic):
        """The next message of this topic; others before it are kept in `passed`."""
        self.passed = []
        while True:
            heard, payload = parsed(self.link.read())
            if heard == self.root + topic:
                return payload
            self.passed.append((heard.removeprefix(self.root), payload))

    def ask(self, topic, body=None, answer="accepted"):
        self.link.send(publish(self.root + topic, json.dumps(body or {}), 0))
        return self.hear(f"{topic}/{answer}")


class Requests(Jobbed):
    def test_a_job_from_its_beginning_to_its_end(self):
        device = self.connect("pump-1")
        self.assertEqual(device.ask("$next/get", {"clientToken": "t"})["execution"], {})
        self.create("fw-2", things=["pump-1"], groups=[])
        heard = device.hear("notify")
        self.assertEqual([one["jobId"] for one in heard["jobs"]["QUEUED"]], ["fw-2"])
        upcoming = device.hear("notify-next")["execution"]
        self.assertEqual((upcoming["jobId"], upcoming["status"], upcoming["versionNumber"], upcoming["jobDocument"]),
                         ("fw-2", "QUEUED", 1, {"operation": "install", "end": "succeeded"}))
        begun = device.ask("start-next", {"statusDetails": {"step": "one"}, "clientToken": "c"})
        self.assertEqual(begun["clientToken"], "c")
        self.assertEqual((begun["execution"]["status"], begun["execution"]["versionNumber"]), ("IN_PROGRESS", 2))
        self.assertEqual(begun["execution"]["statusDetails"], {"step": "one"})
        lists = device.ask("get")
        self.assertEqual(([one["jobId"] for one in lists["inProgressJobs"]], lists["queuedJobs"]), (["fw-2"], []))
        refused = device.ask("fw-2/update", {"status": "SUCCEEDED", "expectedVersion": 1}, "rejected")
        self.assertEqual((refused["code"], refused["executionState"]["versionNumber"]), ("VersionMismatch", 2))
        done = device.ask("fw-2/update", {"status": "SUCCEEDED", "expectedVersion": 2, "includeJobExecutionState": True,
                                          "includeJobDocument": True})
        self.assertEqual(done["executionState"], {"status": "SUCCEEDED", "statusDetails": {"step": "one"},
                                                  "versionNumber": 3})
        self.assertEqual(done["jobDocument"]["operation"], "install")
        self.assertEqual(device.hear("notify")["jobs"], {})
        self.assertNotIn("execution", device.hear("notify-next"))
        self.assertEqual((self.status("fw-2"), self.counts("fw-2")), ("COMPLETED", {"SUCCEEDED": 1}))
        refused = device.ask("fw-2/update", {"status": "IN_PROGRESS"}, "rejected")
        self.assertEqual((refused["code"], refused["executionState"]["status"]), ("InvalidStateTransition", "SUCCEEDED"))
        self.assertEqual(device.ask("fw-2/get", {}, "rejected")["code"], "TerminalStateReached")

    def test_faults(self):
        device = self.connect("pump-1")
        stranger = self.connect("nobody")
        self.create("a", things=["pump-1"], groups=[])
        device.hear("notify-next")
        for topic, body, code in (("b/get", {}, "ResourceNotFound"),
                                  ("a/get", {"executionNumber": 77}, "ResourceNotFound"),
                                  ("a/update", {}, "InvalidRequest"),
                                  ("a/update", {"status": "CANCELED"}, "InvalidRequest"),
                                  ("a/update", {"status": "FAILED", "statusDetails": {"n": 1}}, "InvalidRequest"),
                                  ("a/update", [1], "InvalidJson"),
                                  ("not.a.job/get", {}, "InvalidTopic"),
                                  ("$next/update", {"status": "FAILED"}, "InvalidTopic"),
                                  ("start-next", {"stepTimeoutInMinutes": 0}, "InvalidRequest")):
            answer = device.ask(topic, body, "rejected")
            self.assertEqual(answer["code"], code, (topic, answer))
        self.assertEqual(stranger.ask("get", {}, "rejected")["code"], "ResourceNotFound")

    def test_eleven_at_once_are_too_many(self):
        device = self.connect("pump-1", ("get/+",))
        count = 20
        device.link.send(b"".join(publish(device.root + "get", json.dumps({"clientToken": str(n)}), 0)
                                  for n in range(count)))
        answers = [parsed(device.link.read())[1] for _ in range(count)]
        self.assertEqual([answer["clientToken"] for answer in answers], [str(n) for n in range(count)])
        self.assertTrue(all("queuedJobs" in answer for answer in answers[:10]))
        self.assertLessEqual({answer.get("code") for answer in answers[10:]}, {None, "RequestThrottled"})
        self.assertIn("RequestThrottled", [answer.get("code") for answer in answers])

    def test_requests_are_no_messages(self):
        self.create("a")
        device = self.connect("pump-1")
        for qos in (1, 2):
            mosquitto_pub(self.server.address("mqtt"), "-t", device.root + "get", "-m", "{}", "-q", qos)
            device.hear("get/accepted")
        names = [stream["name"] for stream in self.call("GET", "/api/v1/streams?limit=1000")["streams"]]
        self.assertIn("iot.jobs", names)
        self.assertNotIn("iot.messages", names)

    def test_a_durable_session_gets_what_it_missed(self):
        address = self.server.address("mqtt")
        durable = ("-i", "device", "-c", "-q", 1, "-t", "$aws/things/pump-1/jobs/notify-next")
        mosquitto_sub(address, *durable, "-E")
        self.create("a", things=["pump-1"], groups=[])
        wait_until(lambda: self.counts("a") == {"QUEUED": 1}, "the job is queued")
        self.server.crash_restart()
        lines = mosquitto_sub(self.server.address("mqtt"), *durable, "-C", 1)
        self.assertEqual(json.loads(lines[0])["execution"]["jobId"], "a")


class RollOut(Jobbed):
    things = tuple(f"t{n:02}" for n in range(10))

    def end(self, thing, job, status="SUCCEEDED"):
        device = self.connect(thing)
        device.ask("start-next")
        device.ask(f"{job}/update", {"status": status})
        device.link.socket.close()

    def test_stages_and_the_threshold_that_aborts(self):
        self.create("fw", rollout={"stages_percent": [10, 50, 100]}, abort={"percent": 50, "min_executed": 4})
        wait_until(lambda: self.counts("fw") == {"WAITING": 9, "QUEUED": 1}, "the first stage")
        self.end("t00", "fw")
        wait_until(lambda: self.counts("fw") == {"WAITING": 5, "QUEUED": 4, "SUCCEEDED": 1}, "the second stage")
        for thing in ("t01", "t02"):
            self.end(thing, "fw", "FAILED")
        self.assertEqual(self.status("fw"), "IN_PROGRESS")
        self.server.crash_restart()
        self.end("t03", "fw", "REJECTED")
        wait_until(lambda: self.counts("fw") == {"SUCCEEDED": 1, "FAILED": 2, "REJECTED": 1, "CANCELED": 6}, "aborted")
        job = self.call("GET", "/api/v1/jobs/fw")
        self.assertEqual((job["status"], job["reason"]), ("CANCELED", "abort threshold"))
        self.assertIn("CANCELED: SUCCEEDED 1", self.cli("watch", "fw", code=1))
        events = [line.partition(" ")[0] for line in kafka.kcat_consume(self.server.kafka, "iot.jobs", "-f", "%k %s\\n",
                                                                        seconds=SECONDS)]
        self.assertIn("$aws/events/job/fw/canceled", events)
        self.assertEqual(events.count("$aws/events/jobExecution/fw/failed"), 2)
        rows = self.cli("executions", "fw", "--status", "FAILED").splitlines()
        self.assertEqual([row.split()[:2] for row in rows], [["t01", "FAILED"], ["t02", "FAILED"]])

    def test_cancel_leaves_what_is_in_progress_unless_forced(self):
        self.create("fw")
        wait_until(lambda: self.counts("fw") == {"QUEUED": 10}, "queued")
        device = self.connect("t00")
        device.ask("start-next")
        self.cli("cancel", "fw", "--reason", "wrong image")
        wait_until(lambda: self.counts("fw") == {"IN_PROGRESS": 1, "CANCELED": 9}, "taken back")
        self.call("POST", "/api/v1/jobs/fw/cancel", {}, expect=409)
        self.call("DELETE", "/api/v1/jobs/fw", expect=409)
        self.call("POST", "/api/v1/jobs/fw/cancel", {"force": True})
        self.assertEqual(device.hear("notify")["jobs"], {})
        self.assertEqual(self.counts("fw"), {"CANCELED": 10})
        self.cli("delete", "fw")
        wait_until(lambda: http.call(self.server, "GET", "/api/v1/jobs/fw")[0] == 404, "deleted")
        self.create("fw", things=["t00"], groups=[])  # the name is free

    def test_a_deleted_device_does_not_hold_the_job(self):
        self.create("fw", things=["t00", "t01"], groups=[])
        wait_until(lambda: self.counts("fw") == {"QUEUED": 2}, "queued")
        self.end("t00", "fw")
        self.call("DELETE", "/api/v1/devices/t01")
        self.assertEqual((self.status("fw"), self.counts("fw")), ("COMPLETED", {"SUCCEEDED": 1, "REMOVED": 1}))

    def test_time_out(self):
        self.create("fw", things=["t00"], groups=[], in_progress_timeout_minutes=1)
        device = self.connect("t00")
        wait_until(lambda: self.counts("fw") == {"QUEUED": 1}, "queued")
        execution = device.ask("start-next")["execution"]
        self.assertLessEqual(execution["approximateSecondsBeforeTimedOut"], 60)
        self.server.crash_restart()
        wait_until(lambda: self.counts("fw") == {"TIMED_OUT": 1}, "the time-out", 2 * SECONDS)
        self.assertEqual(self.status("fw"), "COMPLETED")

    def test_bad_jobs(self):
        for expect, job in ((400, {"groups": ["plant"]}), (400, {"id": "a", "document": {}}),
                            (400, {"id": "a", "groups": ["plant"]}),
                            (400, {"id": "a.b", "document": {}, "groups": ["plant"]}),
                            (400, {"id": "a", "document": [], "groups": ["plant"]}),
                            (400, {"id": "a", "document": {}, "groups": ["plant"], "rollout": {"stages_percent": [50]}}),
                            (400, {"id": "a", "image": {"url": "ftp://x"}, "groups": ["plant"]}),
                            (400, {"id": "a", "document": {}, "groups": ["plant"], "abort": {"percent": 101}}),
                            (404, {"id": "a", "document": {}, "things": ["nobody"]}),
                            (404, {"id": "a", "document": {}, "groups": ["nothing"]}),
                            (404, {"id": "a", "image": {"blob": "0" * 64}, "groups": ["plant"]})):
            self.call("POST", "/api/v1/jobs", job, expect)
        self.create("a", document={"x": 1}, image={"url": "https://example.com/fw.bin"})
        self.create("a", expect=409)
        self.assertEqual(self.call("GET", "/api/v1/jobs/a")["document"],
                         {"x": 1, "image": {"url": "https://example.com/fw.bin"}})


class Rights(Guarded):
    args = ("--plain-on-loopback",)

    def test_a_device_has_its_own_jobs(self):
        for name in ("pump-1", "pump-2"):
            self.admin("POST", "/api/v1/devices", {"name": name})
            self.add_user(name)
        self.admin("POST", "/api/v1/jobs", {"id": "a", "document": {}, "things": ["pump-1"]})

        def start(user):
            done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.server.address("mqtt")[1]), "-q",
                                   "1", "-V", "mqttv5", "-d", "-u", user, "-P", PASSWORD, "-t",
                                   "$aws/things/pump-1/jobs/start-next", "-m", "{}"], capture_output=True, text=True,
                                  timeout=SECONDS)
            return done.stdout + done.stderr

        def counts():
            status, job, _ = ask(self.server, "GET", "/api/v1/jobs/a", None, "Bearer " + self.token)
            return {name: count for name, count in job["counts"].items() if count} if status == 200 else status

        wait_until(lambda: counts() == {"QUEUED": 1}, "queued")
        self.assertIn("RC:135", start("pump-2"))  # 0x87
        self.assertEqual(counts(), {"QUEUED": 1})
        start("pump-1")
        self.assertEqual(counts(), {"IN_PROGRESS": 1})


@unittest.skipUnless(os.path.isdir(os.path.join(HERE, os.pardir, "node_modules", "aws-iot-device-sdk")), "make data")
class Sdk(unittest.TestCase):
    def test_the_device_sdk_for_javascript(self):
        authority = Authority()
        self.addCleanup(authority.close)
        for name in ("server", "pump-1"):
            authority.issue(name)
        server = Server(args=("--auth", "--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key"),
                              "--tls-listener", "mqtt", "--tls-client-ca", authority.ca))
        self.addCleanup(server.close)
        server.start()
        wait_until(lambda: one_time_tokens(server), "the one-time token")
        bearer = "Bearer " + one_time_tokens(server)[0]

        def admin(method, path, body=None):
            status, answer, _ = ask(server, method, path, body, bearer)
            self.assertIn(status, (200, 201), answer)
            return answer

        admin("POST", "/api/v1/devices", {"name": "pump-1"})
        admin("POST", "/api/v1/users", {"name": "pump-1", "certificate": True, "roles": []})

        def create(name, **document):
            admin("POST", "/api/v1/jobs", {"id": name, "document": {"operation": "install", **document}, "things": ["pump-1"]})

        def row(name):
            return admin("GET", f"/api/v1/jobs/{name}/executions")["executions"][0]

        create("first", end="succeeded")
        device = subprocess.Popen(["node", os.path.join(HERE, "aws_iot_jobs.js"), str(server.address("mqtt")[1]), authority.ca,
                                   authority.directory, "last"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for end in (device.stdin.close, device.stdout.close, device.wait, device.kill):
            self.addCleanup(end)
        heard = queue.Queue()
        threading.Thread(target=lambda: [heard.put(json.loads(line)) for line in device.stdout], daemon=True).start()

        def until(what):
            while True:
                said = heard.get(timeout=SECONDS)
                self.assertNotIn("failure", said)
                if said == what:
                    return

        until({"ended": "first"})
        create("second", end="failed", waits=True)
        until({"started": "second"})  # at QoS 0: it may be on its way
        wait_until(lambda: row("second")["status"] == "IN_PROGRESS", "it is in progress")
        server.crash_restart()
        until({"connected": True})
        create("last", end="succeeded")
        device.stdin.write("go on\n")
        device.stdin.flush()
        until({"ended": "second"})
        until({"ended": "last"})
        self.assertEqual(device.wait(SECONDS), 0)

        self.assertEqual([(row(name)["status"], row(name)["details"], row(name)["version"]) for name in ("first", "second", "last")],
                         [("SUCCEEDED", {"step": "done"}, 3), ("FAILED", {"step": "done"}, 3),
                          ("SUCCEEDED", {"step": "done"}, 3)])
        self.assertEqual({job["status"] for job in admin("GET", "/api/v1/jobs")["jobs"]}, {"COMPLETED"})


if __name__ == "__main__":
    unittest.main()
