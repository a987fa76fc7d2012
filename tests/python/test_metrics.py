"""What the service counts of itself: exactly what it was asked for, in a form that Prometheus reads."""

import gzip
import http.client
import json
import socket
import threading
import time

import attend
import numpy as np
import pytest
from attend_server import AttendServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

MODELS = ("--model", "small=init:embed_dim=4,num_heads=2", "--model", "other=init:embed_dim=2,num_heads=1,precision=bfloat16")
OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


def ask(url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, text


def post(url, path, value, **headers):
    return ask(url, "POST", path, json.dumps(value), {"Content-Type": "application/json", **headers})


def scrape(url):
    status, headers, text = ask(url, "GET", "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(text)


def read(text):
    """(name, labels as a sorted tuple): value."""
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in read_text(text.decode()) for sample in family.samples}


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))), 0)


def changes(before, after, name):
    """What a metric has grown by, by its labels; without what is the scrapes' own."""
    keys = {key for key in before.keys() | after.keys() if key[0] == name}
    grown = {key[1]: after.get(key, 0) - before.get(key, 0) for key in keys}
    return {labels: by for labels, by in grown.items() if by != 0 and ("route", "/metrics") not in labels}


@pytest.fixture
def server():
    with AttendServer(*MODELS, "--max-body", "100000") as running:
        yield running


def test_each_request_counts_once_by_what_it_was(server):
    query = [[0.5, 1, 2, 3]] * 3
    before = scrape(server.url)
    results = [
        post(server.url, "/attend", {"query": query}),
        post(server.url, "/attend/other", {"query": [[1, 2]] * 5}),
        post(server.url, "/attend", {"query": [query] * 2}),
        post(server.url, "/attend", {"query": query, "nonsense": 1}),
        post(server.url, "/attend", {"query": [[1, 2]]}),
        post(server.url, "/attend/nobody", {"query": query}),
        post(server.url, "/attend", {"query": [[0] * 60000]}),
        ask(server.url, "BREW", "/attend"),
        ask(server.url, "GET", "/nowhere/at?all=1"),
        ask(server.url, "GET", "/models/small"),
        ask(server.url, "HEAD", "/models/other"),
        ask(server.url, "OPTIONS", "/attend"),
        ask(server.url, "DELETE", "/results/none"),
        ask(server.url, "GET", "/healthz", headers={"Accept": "text/csv"}),
    ]
    after = scrape(server.url)
    assert [status for status, _, _ in results] == [200, 200, 200, 400, 400, 404, 413, 405, 404, 200, 200, 204, 404, 406]

    requests = {tuple(dict(labels)[name] for name in ("route", "method", "status")): by
                for labels, by in changes(before, after, "attend_http_requests_total").items()}
    assert requests == {
        ("/attend", "POST", "200"): 2, ("/attend", "POST", "400"): 2, ("/attend", "POST", "413"): 1,
        ("/attend/{model}", "POST", "200"): 1, ("/attend/{model}", "POST", "404"): 1, ("other", "other", "405"): 1,
        ("other", "GET", "404"): 1, ("/models/{name}", "GET", "200"): 1, ("/models/{name}", "HEAD", "200"): 1,
        ("other", "OPTIONS", "204"): 1, ("/results/{id}", "DELETE", "404"): 1, ("/healthz", "GET", "406"): 1,
    }
    durations = changes(before, after, "attend_http_request_duration_seconds_count")
    assert sum(durations.values()) == sum(requests.values()) and durations[("route", "/attend"),] == 5
    assert changes(before, after, "attend_rows_total") == {(("model", "small"),): 9, (("model", "other"),): 5}
    assert changes(before, after, "attend_refused_total") == {
        (("code", code),): by for code, by in {"unknown_field": 1, "bad_shape": 1, "not_found": 3, "too_large": 1,
                                               "method_not_allowed": 1, "not_acceptable": 1}.items()}
    stages = changes(before, after, "attend_stage_duration_seconds_count")
    assert stages == {(("stage", name),): 3 for name in ("parse", "queue", "compute", "encode")} | {(("stage", "send"),): 15}
    assert changes(before, after, "attend_batch_requests_sum") == {(): 3}


def test_bodies_count_as_they_came_and_went(server):
    body = gzip.compress(json.dumps({"query": [[1, 2, 3, 4]] * 500}).encode())
    began = ask(server.url, "GET", "/metrics")[2]
    before = read(began)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    _, _, first = ask(server.url, "POST", "/attend", body, headers | {"Accept-Encoding": "gzip"})
    _, _, second = ask(server.url, "GET", "/models")
    _, head, _ = ask(server.url, "HEAD", "/models")  # says how long its body would be, and has none
    assert int(head["Content-Length"]) == len(second)
    text = ask(server.url, "GET", "/metrics")[2]
    after = scrape(server.url)
    assert gzip.decompress(first)
    assert changes(before, after, "attend_http_request_bytes_sum") == {(): len(body)}
    assert after["attend_http_request_bytes_count", ()] - before["attend_http_request_bytes_count", ()] == 5
    went = after["attend_http_answer_bytes_sum", ()] - before["attend_http_answer_bytes_sum", ()]
    assert went == len(began) + len(first) + len(second) + len(text)  # an answer is counted when it is out


def test_a_batch_counts_as_the_answers_say(server):
    before, batches, lock = scrape(server.url), [], threading.Lock()

    def send():
        for _ in range(20):
            _, headers, _ = post(server.url, "/attend", {"query": [[1, 2, 3, 4]] * 50})
            with lock:
                batches.append(int(headers["Server-Timing"].split("batch=")[1].split(",")[0]))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = scrape(server.url)
    assert changes(before, after, "attend_batch_requests_sum") == {(): sum(batches)}
    for bound in (1, 2, 4, 8):
        at_most = value(after, "attend_batch_requests_bucket", le=f"{bound}.0")
        assert at_most - value(before, "attend_batch_requests_bucket", le=f"{bound}.0") == sum(n <= bound for n in batches)
    assert changes(before, after, "attend_rows_total") == {(("model", "small"),): 160 * 50}


def test_what_the_library_refuses_and_who_leaves_count_too(server):
    host, port = server.url.removeprefix("http://").split(":")
    before = scrape(server.url)
    with socket.create_connection((host, int(port))) as client:  # no Host in HTTP/1.1: libmicrohttpd's own 400
        client.sendall(b"GET /models HTTP/1.1\r\n\r\n")
        assert b" 400 " in client.recv(1000)
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        time.sleep(0.2)
    for _ in range(100):
        after = scrape(server.url)
        if len(changes(before, after, "attend_http_requests_total")) == 2:
            break
        time.sleep(0.1)
    assert changes(before, after, "attend_http_requests_total") == {
        (("method", "other"), ("route", "other"), ("status", "400")): 1,
        (("method", "POST"), ("route", "/attend"), ("status", "none")): 1}
    assert changes(before, after, "attend_http_request_bytes_sum") == {(): 1}


def test_a_late_request_is_408_and_its_code():
    with AttendServer(*MODELS, "--read-timeout", "300") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            assert b" 408 " in client.recv(1000)
        samples = scrape(server.url)
        assert value(samples, "attend_http_requests_total", route="/attend", method="POST", status="408") == 1
        assert value(samples, "attend_refused_total", code="upload_timeout") == 1


def test_no_label_comes_from_a_request(server):
    marks = ("zebra7q", "Zebra7Q")
    for path in ("/zebra7q", "/attend/zebra7q", "/models/zebra7q", "/results/zebra7q", "/metrics?zebra7q=1", "/v2/models/zebra7q"):
        for method in ("GET", "POST", "ZEBRA7Q"):
            ask(server.url, method, path, headers={"X-Request-Id": marks[0], "User-Agent": marks[0], "Authorization": marks[1]})
    post(server.url, "/attend", {"query": [[1, 2, 3, 4]], "id": marks[0], "model": marks[1], marks[0]: 1})
    text = ask(server.url, "GET", "/metrics")[2].decode()
    assert "zebra7q" not in text.lower()


@pytest.mark.parametrize("accept, kind", [(None, "text/plain"), ("", "text/plain"), ("*/*", "text/plain"), (OPEN_METRICS, "application/openmetrics-text"),
                                          ("text/html,application/xml;q=0.9,*/*;q=0.8", "text/plain"),
                                          ("application/openmetrics-text", "application/openmetrics-text")])
def test_the_format_is_the_one_that_is_asked_for(server, accept, kind):
    post(server.url, "/attend", {"query": [[1, 2, 3, 4]]})
    status, headers, text = ask(server.url, "GET", "/metrics?collect[]=all", headers={} if accept is None else {"Accept": accept})
    assert status == 200 and headers["Content-Type"].startswith(kind + "; version=") and headers["Content-Type"].endswith("; charset=utf-8")
    families = list((read_text if kind == "text/plain" else read_open_metrics)(text.decode()))
    names = {sample.name for family in families for sample in family.samples}
    assert {"attend_http_requests_total", "attend_build_info", "process_cpu_seconds_total", "attend_batch_requests_bucket"} <= names
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples]
    assert len(samples) == len(set(samples))


def test_another_format_is_not_there(server):
    status, _, text = ask(server.url, "GET", "/metrics", headers={"Accept": "application/json"})
    assert status == 406 and json.loads(text)["code"] == "not_acceptable"


def test_the_gauges_are_what_is_there(server):
    described = json.loads(ask(server.url, "GET", "/models")[2])["models"]
    post(server.url, "/attend", {"query": [[1, 2, 3, 4]], "keep": True})
    samples = scrape(server.url)
    assert value(samples, "attend_memory_bytes", use="models") == sum(model["bytes"] for model in described)
    assert value(samples, "attend_results") == 1 and value(samples, "attend_memory_bytes", use="results") > 100
    assert value(samples, "attend_memory_limit_bytes", use="results") == 256 << 20
    assert value(samples, "attend_memory_limit_bytes", use="requests") >= value(samples, "attend_memory_bytes", use="requests")
    for name, precision in (("small", "float32"), ("other", "bfloat16")):
        assert value(samples, "attend_model_info", model=name, precision=precision) == 1
        assert ("attend_rows_total", (("model", name),)) in samples  # from the start
    builds = [dict(labels) for name, labels in samples if name == "attend_build_info"]
    kernels = json.loads(ask(server.url, "GET", "/v2")[2])
    assert len(builds) == 1 and builds[0]["version"] == kernels["version"] and builds[0]["openblas"] == ""
    assert abs(value(samples, "process_start_time_seconds") - time.time()) < 120
    assert 1e6 < value(samples, "process_resident_memory_bytes") < value(samples, "process_virtual_memory_bytes")
    assert value(samples, "attend_last_reload_timestamp_seconds") == 0
    assert all(value(samples, "attend_reloads_total", outcome=outcome) == 0 for outcome in ("ok", "partial", "failed"))


def test_connections_and_requests_are_told_by_what_they_do():
    with AttendServer("--model", "big=init:embed_dim=512,num_heads=8", "--threads", "1", "--request-timeout", "600000", "--read-timeout", "600000") as server:
        host, port = server.url.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(3)]
        reading = socket.create_connection((host, int(port)))
        reading.sendall(b"POST /attend HTTP/1.1\r\nHost: localhost\r\n")
        layer = attend.MultiHeadAttention(server.url)
        rows = np.zeros((1500, 512), np.float32)
        busy = [threading.Thread(target=lambda: layer(rows)) for _ in range(3)]
        for thread in busy:
            thread.start()
        seen = []
        while any(thread.is_alive() for thread in busy):
            samples = scrape(server.url)
            seen.append([value(samples, "attend_requests_running"), value(samples, "attend_requests_waiting"),
                         value(samples, "attend_connections", state="working")])
            assert value(samples, "attend_connections", state="idle") >= 3
            assert value(samples, "attend_connections", state="reading") >= 1
        assert max(running for running, _, _ in seen) == 1 and max(waiting for _, waiting, _ in seen) >= 1
        assert max(working for _, _, working in seen) >= 2  # this scrape's own is one
        files = value(scrape(server.url), "process_open_fds")
        for connection in (*idle, reading):
            connection.close()
        deadline = time.time() + 10
        while value(scrape(server.url), "process_open_fds") > files - 4:
            assert time.time() < deadline
            time.sleep(0.05)


def test_it_wants_a_key_where_there_are_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("the-key\n")
    with AttendServer(*MODELS, "--api-key-file", keys) as server:
        assert ask(server.url, "GET", "/metrics")[0] == 401
        status, _, text = ask(server.url, "GET", "/metrics", headers={"Authorization": "Bearer the-key"})
        assert status == 200 and b'attend_refused_total{code="unauthorized"} 1\n' in text and b"the-key" not in text
