"""The alerts of docs/prometheus: promtool's opinion, the metrics and commands that they name, and a real Prometheus that loads
them and raises one."""

import json
import os
import re
import subprocess
import unittest

from heptane_testkit import ROOT, Server, http, wait_until
from test_metrics import Prometheus

DIRECTORY = os.path.join(ROOT, "docs", "prometheus")
FILES = [os.path.join(DIRECTORY, name) for name in ("heptane.recording.yml", "heptane.alerts.yml")]


def text_of(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, cwd=DIRECTORY)


class Alerts(unittest.TestCase):
    def test_promtool_checks_and_tests_them(self):
        for arguments in (("check", "rules", *FILES), ("test", "rules", "heptane.rules.test.yml")):
            done = promtool(*arguments)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_metric_is_one_of_the_servers(self):
        known = set(re.findall(r"^\| `(\S+)` \|", text_of(os.path.join(ROOT, "docs", "metrics.md")), re.M))
        recorded = set(re.findall(r"record: (\S+)", text_of(FILES[0])))
        for path in FILES:
            expressions = re.findall(r"expr: (?:>\n)?((?:.+\n)(?: {10,}.+\n)*)", text_of(path))
            self.assertTrue(expressions)
            for name in re.findall(r"(?:instance:)?(?:heptane|process)_[a-z0-9_]+(?::[a-z0-9_]+)?", "".join(expressions)):
                histogram = re.sub("_(bucket|sum|count)$", "", name)
                self.assertTrue(name in known or histogram in known or name in recorded, f"{path} names {name}")

    def test_every_command_that_explains_is_there(self):
        commands = re.findall(r"explain: (.+)", text_of(FILES[1]))
        self.assertEqual(len(commands), len(re.findall("alert: ", text_of(FILES[1]))))
        server = Server()
        self.addCleanup(server.close)
        for command in set(commands):
            words = [word for word in command.split()[1:] if word.islower() and not word.startswith("-")]
            while words and "." in words[-1] or words[-1] == "audit":
                words.pop()
            done = server.run(*words, "--help")
            self.assertEqual(done.returncode, 0, command)

    def test_a_prometheus_loads_them_and_raises_one(self):
        server = Server()
        self.addCleanup(server.close)
        server.start()
        http.call(server, "PUT", "/api/v1/rules/quiet", {"sql": "SELECT t FROM 'q/t'", "publish": {"topic": "'made'"}})
        http.call(server, "POST", "/api/v1/rules/quiet/pause")
        with Prometheus(server.endpoints["admin"], rules=FILES) as prometheus:
            def states():
                groups = json.loads(prometheus.get("/api/v1/rules"))["data"]["groups"]
                return {rule["name"]: rule for group in groups for rule in group["rules"]}

            wait_until(lambda: states() and all(rule["health"] == "ok" for rule in states().values()), "all to be evaluated", 60)
            names = re.findall(r"(?:alert|record): (\S+)", "".join(text_of(path) for path in FILES))
            self.assertEqual(sorted(states()), sorted(names))
            wait_until(lambda: states()["HeptaneRulePaused"]["state"] == "pending", "the alert", 60)
            self.assertEqual(states()["HeptaneDown"]["state"], "inactive")


if __name__ == "__main__":
    unittest.main()
