"""/metrics: promtool finds nothing wrong with it, the documentation names all of it, and a real Prometheus scrapes it."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.parse
import urllib.request

from heptane_testkit import ROOT, Server, free_port, http, kafka, wait_until

DOCUMENT = os.path.join(ROOT, "docs", "metrics.md")

ONLY_WITH_TLS = {"heptane_tls_certificate_expiry_seconds"}


def families(text):
    """{name: (type, help)} of a text in the exposition format."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    return {name: (kind, helps[name]) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)}


def value(text, sample):
    found = re.search("^" + re.escape(sample) + r" (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


class Metrics(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.server.start()

    def metrics(self):
        return http.text(self.server, "/metrics")

    def test_promtool_finds_nothing_wrong(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.metrics(), capture_output=True, text=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_document_names_every_metric(self):
        with open(DOCUMENT, encoding="utf-8") as text:
            rows = re.findall(r"^\| `(\S+)` \| (\S+) \| [^|]* \| (.*) \|$", text.read(), re.M)
        documented = {name: (kind, meaning) for name, kind, meaning in rows}
        here = families(self.metrics())
        elsewhere = {name: row for name, row in documented.items() if name in ONLY_WITH_TLS}
        self.assertEqual(set(elsewhere), ONLY_WITH_TLS)
        self.assertEqual(documented, here | elsewhere)

    def test_what_happens_is_counted(self):
        kafka.kcat_produce(self.server.kafka, "counted", text_in="a\nb\n")
        self.metrics()  # which is counted when it is answered
        text = self.metrics()
        self.assertGreaterEqual(value(text, 'heptane_kafka_requests_total{api="Produce"}'), 1)
        self.assertGreaterEqual(value(text, "heptane_kafka_record_batches_total"), 1)
        self.assertGreaterEqual(value(text, "heptane_commands_total"), 2)
        self.assertGreaterEqual(value(text, "heptane_commit_duration_seconds_count"), 1)
        self.assertEqual(value(text, 'heptane_commit_batch_bytes_bucket{le="+Inf"}'),
                         value(text, "heptane_commit_batch_bytes_count"))
        self.assertGreaterEqual(value(text, 'heptane_http_responses_total{class="2xx",listener="admin"}'), 1)
        http.call(self.server, "GET", "/nowhere")
        self.assertEqual(value(self.metrics(), 'heptane_http_responses_total{class="4xx",listener="admin"}'), 1)
        self.assertEqual(value(self.metrics(), "heptane_ready"), 1)
        # The kernel's own view of the same process.
        memory = value(self.metrics(), "process_resident_memory_bytes")
        self.assertLess(abs(memory - self.server.memory_bytes()), 64 << 20)
        self.assertGreater(value(self.metrics(), "process_open_fds"), 5)
        self.assertIn(value(self.metrics(), "heptane_clock_synchronised"), (0, 1))
        self.assertGreaterEqual(value(self.metrics(), "heptane_clock_error_seconds"), 0)

    def test_prometheus_scrapes_it(self):
        kafka.kcat_produce(self.server.kafka, "seen", text_in="a\n")
        with Prometheus(self.server.endpoints["admin"]) as prometheus:
            up = wait_until(lambda: prometheus.query("up == 1"), "Prometheus to see the server", 60)
            self.assertEqual(up[0]["metric"]["job"], "heptane")
            rows = wait_until(lambda: prometheus.query('heptane_kafka_requests_total{api="Produce"} > 0'), "a series", 60)
            self.assertEqual(rows[0]["metric"]["instance"], self.server.endpoints["admin"])
            built = prometheus.query("heptane_build_info")
            self.assertEqual(built[0]["value"][1], "1")
            quantile = prometheus.query("histogram_quantile(0.99, heptane_commit_duration_seconds_bucket)")
            self.assertGreater(float(quantile[0]["value"][1]), 0)


class Prometheus:
    """A Prometheus of its own on a free port, which looks at one address four times a second."""

    def __init__(self, target, rules=()):
        self.directory = tempfile.mkdtemp(prefix="heptane-prometheus-")
        self.address = f"127.0.0.1:{free_port()}"
        path = os.path.join(self.directory, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}\n"
                      f"rule_files: {json.dumps(list(rules))}\n"
                      f"scrape_configs: [{{job_name: heptane, static_configs: [{{targets: ['{target}']}}]}}]\n")
        self.output = open(os.path.join(self.directory, "output"), "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.directory}/data",
             f"--web.listen-address={self.address}"],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def __enter__(self):
        wait_until(self._ready, "Prometheus to be ready", 60)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return answer.read().decode()

    def _ready(self):
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def query(self, expression):
        """The rows of an instant query."""
        answer = json.loads(self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        return answer["data"]["result"]


if __name__ == "__main__":
    unittest.main()
