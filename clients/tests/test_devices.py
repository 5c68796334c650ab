"""The registry of devices: HTTP, the command line, CSV; who may do what; over kills."""

import json
import os
import subprocess
import tempfile
import unittest

from test_auth import Guarded, PASSWORD

from heptane_testkit import Server, wait_until
from heptane_testkit import http
from heptane_testkit.mqtt import Connection

SECONDS = 60
ROOT = "/api/v1/devices"


class Devices(unittest.TestCase):
    args = ()

    def setUp(self):
        self.server = Server(args=self.args)
        self.addCleanup(self.server.close)
        self.server.start()

    def call(self, method, path, body=None, expect=200):
        status, answer = http.call(self.server, method, ROOT + path, body)
        self.assertEqual(status, expect, answer)
        return answer

    def heptane(self, *arguments, code=0):
        done = subprocess.run([self.server.binary, "devices", *map(str, arguments), "--server", self.server.admin],
                              capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def names(self, query=""):
        found, after = [], ""
        while after is not None:
            page = self.call("GET", f"?{query}&after={after}" if after else f"?{query}")
            found += [device["name"] for device in page["devices"]]
            after = page.get("next")
        return found

    def audit(self):
        _, answer = http.call(self.server, "GET", "/api/v1/streams/audit/records?limit=1000")
        return [(record["value"]["action"], record["value"]["on"]) for record in answer["records"]]


class Registry(Devices):
    def test_made_changed_and_gone(self):
        made = self.call("POST", "", {"name": "pump-1", "type": "pump", "attributes": {"site": "north"}, "tags": ["new"],
                                      "groups": ["plant"]}, 201)
        self.assertEqual((made["name"], made["version"]), ("pump-1", 1))
        self.call("POST", "", {"name": "pump-1"}, 409)
        self.call("POST", "", {"name": "pump 1"}, 400)
        self.call("POST", "", {"name": "x", "colour": "red"}, 400)
        changed = self.call("PATCH", "/pump-1", {"attributes": {"site": None, "serial": "7"}, "tags": [], "version": 1})
        self.assertEqual(changed["version"], 2)
        self.assertNotIn("position", self.call("PATCH", "/pump-1", {"tags": []}))
        self.call("PATCH", "/pump-1", {"type": "", "version": 1}, 409)
        self.call("PATCH", "/nothing", {"type": "x"}, 404)
        shown = self.call("GET", "/pump-1")
        self.assertEqual((shown["type"], shown["attributes"], shown["tags"], shown["groups"], shown["connected"]),
                         ("pump", {"serial": "7"}, [], ["plant"], False))
        self.assertEqual(http.call(self.server, "GET", "/api/v1/device-groups")[1],
                         {"groups": [{"name": "plant", "things": 1}]})
        self.server.crash_restart()
        self.assertEqual(self.call("GET", "/pump-1"), shown)
        self.call("DELETE", "/pump-1", {})
        self.call("DELETE", "/pump-1", {}, 404)
        self.call("GET", "/pump-1", expect=404)
        self.assertEqual(self.audit(), [("devices.create", "pump-1"), ("devices.update", "pump-1"),
                                        ("devices.delete", "pump-1")])

    def test_lists_and_filters(self):
        for n in range(30):
            self.call("POST", "", {"name": f"d{n:02}", "type": "even" if n % 2 == 0 else "odd",
                                   "attributes": {"third": str(n % 3)}, "tags": ["t5"] if n % 5 == 0 else []}, 201)
        self.assertEqual(self.names("limit=7"), [f"d{n:02}" for n in range(30)])
        self.assertEqual(self.names("type=even&attribute=third&value=1&limit=2"), ["d04", "d10", "d16", "d22", "d28"])
        self.assertEqual(self.names("tag=t5&type=odd"), ["d05", "d15", "d25"])
        self.assertEqual(self.names("attribute=fourth"), [])
        self.assertEqual(self.names("connected=true"), [])
        for wrong in ("?value=1", "?limit=0", "?connected=yes", "?type=a%20b", "?colour=red"):
            self.call("GET", wrong, expect=400)

    def test_snapshots_hold_them(self):
        self.call("POST", "", {"name": "a", "tags": ["x"]}, 201)
        self.server.restart()
        self.call("POST", "", {"name": "b"}, 201)
        self.server.crash_restart()
        self.assertEqual(self.names(), ["a", "b"])


class Limits(Devices):
    args = ("--set", "devices.max_things=2", "--set", "devices.max_attributes=1")

    def test_limits_of_the_configuration(self):
        self.call("POST", "", {"name": "a", "attributes": {"x": "1"}}, 201)
        refused = self.call("POST", "", {"name": "b", "attributes": {"x": "1", "y": "2"}}, 400)
        self.assertIn("devices.max_attributes", refused["error"]["message"])
        self.call("POST", "", {"name": "b"}, 201)
        self.assertIn("devices.max_things", self.call("POST", "", {"name": "c"}, 503)["error"]["message"])


class CommandLine(Devices):
    def test_one_by_one(self):
        self.heptane("create", "pump-1", "--type", "pump", "--attribute", "site=north", "--attribute", "n=1", "--tag", "new",
                     "--group", "plant")
        self.heptane("update", "pump-1", "--attribute", "site=south=1", "--remove-attribute", "n", "--no-tags")
        shown = json.loads(self.heptane("show", "pump-1").stdout)
        self.assertEqual((shown["type"], shown["attributes"], shown["tags"]), ("pump", {"site": "south=1"}, []))
        self.assertIn("pump-1", self.heptane("list", "--attribute", "site=south=1").stdout)
        self.assertNotIn("pump-1", self.heptane("list", "--attribute", "site=north").stdout)
        self.assertEqual(json.loads(self.heptane("list", "--json").stdout)["groups"], ["plant"])
        self.heptane("create", "pump-2", "--attribute", "site", code=2)
        self.heptane("delete", "pump-1")
        self.assertIn("no thing pump-1", self.heptane("show", "pump-1", code=1).stderr)

    def csv(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False, encoding="utf-8")
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    def test_a_csv_file(self):
        file = self.csv("name,type,site,tags,groups\n"
                        'a,pump,"North, hall ""2""",x;y,\n'
                        "b b,pump,,,\n"
                        "\n"
                        "a,pump,again,,\n"
                        "c,pump\n"
                        "d,valve,,,plant\n")
        done = self.heptane("import", file, code=1)
        self.assertEqual(done.stdout, "2 devices created, 3 lines refused\n")
        wrong = [line.replace(file, "F") for line in done.stderr.splitlines()]
        self.assertEqual([line.partition(": ")[0] for line in sorted(wrong)], ["F:3", "F:5", "F:6"])
        self.assertIn("F:5: a thing of that name is there", wrong)
        self.assertIn("F:6: there are 2 cells for 5 columns", wrong)
        self.assertEqual(self.call("GET", "/a")["attributes"], {"site": 'North, hall "2"'})
        self.assertEqual(self.names("group=plant"), ["d"])

    def test_a_large_csv_file(self):
        rows = 5_000
        file = self.csv("name,site\n" + "".join(f"d{n:05},hall {n}\n" for n in range(rows)))
        self.assertEqual(self.heptane("import", file).stdout, f"{rows} devices created, 0 lines refused\n")
        self.server.crash_restart()
        self.assertEqual(len(self.names("limit=1000")), rows)
        self.assertEqual(self.heptane("import", file, code=1).stdout, f"0 devices created, {rows} lines refused\n")

    def test_a_file_that_is_none(self):
        self.assertIn("name is not among them", self.heptane("import", self.csv("site\nx\n"), code=1).stderr)
        self.heptane("import", "/nowhere.csv", code=2)


class Presence(Devices):
    def state(self, name="pump-1"):
        return self.call("GET", "/" + name)

    def test_who_is_connected(self):
        self.call("POST", "", {"name": "pump-1"}, 201)
        self.assertNotIn("last_seen_ms", self.state())
        address = self.server.address("mqtt")
        first = Connection(address).open("pump-1")
        wait_until(lambda: self.state()["connected"], "the device is connected")
        second = Connection(address).open("pump-1")  # the first one is taken over: its end does not count
        self.assertIsNone(first.read())
        first.socket.close()
        connected = wait_until(lambda: self.names("connected=true") == ["pump-1"] and self.state(), "it is connected")
        self.assertIn("connected_ms", connected)
        second.socket.close()
        gone = wait_until(lambda: not (found := self.state())["connected"] and found, "the device is gone")
        self.assertGreaterEqual(gone["last_seen_ms"], connected["connected_ms"])
        with Connection(address).open("pump-1"):
            wait_until(lambda: self.state()["connected"], "the device is back")
            self.server.crash_restart()
            wait_until(lambda: not self.state()["connected"], "whoever was connected before the crash is not")
        with Connection(self.server.address("mqtt")).open("pump-1"):
            wait_until(lambda: self.state()["connected"], "the device is back after the crash")


class Rights(Guarded):
    def ask(self, name, method, path, body=None):
        from test_auth import ask, basic
        return ask(self.server, method, ROOT + path, body, basic(name, PASSWORD))[0]

    def test_who_may_do_what(self):
        for role, verbs in (("looks", ["read"]), ("writes", ["read", "write"]), ("deletes", ["delete"])):
            self.admin("POST", "/api/v1/roles", {"name": role, "permissions": [
                {"module": "admin", "pattern": "devices", "verbs": verbs}]})
            self.add_user(role, role)
        self.assertEqual(self.ask("looks", "POST", "", {"name": "a"}), 403)
        self.assertEqual(self.ask("writes", "POST", "", {"name": "a"}), 201)
        self.assertEqual(self.ask("looks", "GET", "/a"), 200)
        self.assertEqual(self.ask("deletes", "GET", "/a"), 403)
        self.assertEqual(self.ask("looks", "PATCH", "/a", {"type": "x"}), 403)
        self.assertEqual(self.ask("writes", "PATCH", "/a", {"type": "x"}), 200)
        self.assertEqual(self.ask("writes", "DELETE", "/a", {}), 403)
        self.assertEqual(self.ask("looks", "POST", "/a/shadow", {"state": {}}), 403)
        self.assertEqual(self.ask("writes", "POST", "/a/shadow", {"state": {}}), 200)
        self.assertEqual(self.ask("looks", "GET", "/a/shadow"), 200)
        self.assertEqual(self.ask("writes", "DELETE", "/a/shadow", {}), 403)
        self.assertEqual(self.ask("deletes", "DELETE", "/a", {}), 200)
        self.assertEqual([entry["by"] for entry in self.in_trail(action="devices.create")], ["writes"])


if __name__ == "__main__":
    unittest.main()
