"""A real Prometheus scrapes the service."""

import http.client
import json
import re
import subprocess
import time
import urllib.parse

import pytest
from attend_server import AttendServer

MODEL = ("--model", "small=init:embed_dim=4,num_heads=2")
BODY = {"query": [[1, 2, 3, 4]] * 3}


def ask(url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


class Prometheus:
    """One that scrapes these addresses five times a second."""

    def __init__(self, tools, folder, jobs):
        config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                  "scrape_configs": [{"job_name": name, "static_configs": [{"targets": [url.removeprefix("http://")]}], **more}
                                     for name, (url, more) in jobs.items()]}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.command = [tools / "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                        "--web.listen-address=127.0.0.1:0", "--log.level=debug"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        self.url = None
        for line in self.process.stderr:
            found = re.search(r'msg="Listening on" .*address=(127\.0\.0\.1:\d+)', line)
            if found:
                self.url = "http://" + found.group(1)
            if "Server is ready" in line:
                break
        # What it writes from now on is read by nobody, and a pipe holds little.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
        self.drain.wait(10)

    def query(self, expression):
        """labels as a sorted tuple without instance and job: value."""
        status, text = ask(self.url, "GET", "/api/v1/query?query=" + urllib.parse.quote(expression))
        assert status == 200, text
        return {tuple(sorted(item for item in row["metric"].items() if item[0] not in ("__name__", "instance", "job"))): float(row["value"][1])
                for row in json.loads(text)["data"]["result"]}

    def comes_true(self, expression, value, seconds=30):
        end = time.time() + seconds
        while (found := self.query(expression)) != value:
            assert time.time() < end, f"{expression}: {found}, expected {value}"
            time.sleep(0.1)


@pytest.fixture
def served(tmp_path):
    (tmp_path / "keys").write_text("the-key\n")
    with AttendServer(*MODEL, "--admin-port", 0, "--api-key-file", tmp_path / "keys") as server:
        yield server


def test_promtool_finds_nothing_wrong(served, prometheus_tools):
    ask(served.url, "POST", "/attend", BODY, {"Authorization": "Bearer the-key"})
    _, text = ask(served.admin_url, "GET", "/metrics")
    checked = subprocess.run([prometheus_tools / "promtool", "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_what_was_asked_for_arrives(served, prometheus_tools, tmp_path):
    jobs = {"admin": (served.admin_url, {}), "port": (served.url, {"authorization": {"credentials": "the-key"}}), "without": (served.url, {})}
    with Prometheus(prometheus_tools, tmp_path, jobs) as prometheus:
        for job, up in (("admin", 1), ("port", 1), ("without", 0)):
            prometheus.comes_true(f'up{{job="{job}"}}', {(): up})
        for n in range(10):
            ask(served.url, "POST", "/attend", BODY if n < 7 else {"query": 1}, {"Authorization": "Bearer the-key"})
        for job in ("admin", "port"):
            of = f'job="{job}"'
            prometheus.comes_true(f'sum by (status) (attend_http_requests_total{{route="/attend",{of}}})',
                                  {(("status", "200"),): 7, (("status", "400"),): 3})
            prometheus.comes_true(f"attend_rows_total{{{of}}}", {(("model", "small"),): 21})
            prometheus.comes_true(f'attend_refused_total{{code!="unauthorized",{of}}} > 0', {(("code", "malformed_tensor"),): 3})
            prometheus.comes_true(f'attend_stage_duration_seconds_count{{stage="compute",{of}}}', {(("stage", "compute"),): 7})
        quantile = prometheus.query('histogram_quantile(0.5, sum by (le) (attend_http_request_duration_seconds_bucket{route="/attend",job="admin"}))')
        assert 0 < quantile[()] < 1
        assert prometheus.query('attend_memory_bytes{job="admin"} / attend_memory_limit_bytes < 1').keys() == {(("use", "requests"),), (("use", "results"),)}
        assert list(prometheus.query('attend_build_info{job="admin"}').values()) == [1]
        assert prometheus.query('time() - process_start_time_seconds{job="admin"}')[()] < 120
        assert prometheus.query('scrape_duration_seconds{job="admin"} < 0.1')
        _, targets = ask(prometheus.url, "GET", "/api/v1/targets")
        errors = {target["labels"]["job"]: target["lastError"] for target in json.loads(targets)["data"]["activeTargets"]}
        assert errors["admin"] == errors["port"] == "" and "401" in errors["without"]


def test_a_drain_is_seen_to_its_end(prometheus_tools, tmp_path):
    with AttendServer(*MODEL, "--admin-port", 0, "--drain-seconds", 4) as server:
        jobs = {"admin": (server.admin_url, {"scrape_interval": "100ms", "scrape_timeout": "100ms"})}
        with Prometheus(prometheus_tools, tmp_path, jobs) as prometheus:
            prometheus.comes_true('up{job="admin"}', {(): 1})
            assert ask(server.admin_url, "GET", "/readyz")[0] == 200
            server.process.terminate()
            end = time.time() + 3
            while ask(server.admin_url, "GET", "/readyz")[0] != 503:
                assert time.time() < end
            prometheus.comes_true('attend_http_requests_total{route="/readyz",status="503"} > bool 0',
                                  {(("method", "GET"), ("route", "/readyz"), ("status", "503")): 1}, 3)
            prometheus.comes_true('up{job="admin"}', {(): 0})
