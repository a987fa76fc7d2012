"""The port for those who watch the service: what is there, to whom, and for how long."""

import http.client
import json
import re
import socket
import subprocess
import threading
import time

import pytest
from attend_server import BINARY, AttendServer

MODEL = ("--model", "small=init:embed_dim=2,num_heads=1")
BODY = json.dumps({"query": [[1, 0], [0, 1]]}).encode()
HEAD = b"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def ask(url, method, path, headers=None, timeout=5):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, text


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def read_all(client):
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("the-key\n")
    with AttendServer(*MODEL, "--api-key-file", keys, "--admin-port", 0) as server:
        yield server


def test_it_tells_how_the_service_does_without_a_key_under_any_name(watched):
    for headers in (None, {"Host": "rebound.example"}, {"Authorization": "Bearer wrong"}):
        assert ask(watched.admin_url, "GET", "/healthz", headers)[::2] == (200, b'{"status":"ok"}')
        assert ask(watched.admin_url, "GET", "/readyz?from=monitor", headers)[0] == 200
        status, answered, text = ask(watched.admin_url, "GET", "/metrics", headers)
        assert status == 200 and answered["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b"\nattend_build_info{" in text
    assert ask(watched.url, "GET", "/healthz", {"Host": "rebound.example"})[0] == 421
    assert ask(watched.url, "GET", "/metrics")[0] == 401
    assert watched.log.index(f"listening on {watched.url}\n") + 1 == watched.log.index(f"admin on {watched.admin_url}\n")


@pytest.mark.parametrize("method, path", [("GET", "/"), ("GET", "/models"), ("POST", "/attend"), ("GET", "/openapi.json"), ("GET", "/v2"),
                                          ("GET", "/v2/health/live"), ("GET", "/results/0123456789abcdefghijklmnopqrstuv")])
def test_nothing_else_is_there(watched, method, path):
    status, answered, text = ask(watched.admin_url, method, path, {"Authorization": "Bearer the-key", "Accept": "text/html,*/*;q=0.5"})
    assert status == 404 and answered["Content-Type"] == "application/json"
    assert json.loads(text)["error"] == f"there is nothing at '{path}'; expected GET /healthz, GET /readyz or GET /metrics"
    status, answered, _ = ask(watched.admin_url, "POST", "/metrics")
    assert status == 405 and answered["Allow"] == "GET, HEAD"
    assert not any("0123456789abcdef" in line for line in watched.log)


def test_its_requests_count_and_its_connections_do_not(watched):
    def read():
        text = ask(watched.admin_url, "GET", "/metrics")[2].decode()
        asked = re.search(r'^attend_http_requests_total{route="/readyz",method="HEAD",status="200"} (\d+)$', text, re.M)
        return int(asked.group(1)) if asked else 0, re.findall(r"^attend_connections{.*} (\d+)$", text, re.M)

    clients = [connect(watched.admin_url) for _ in range(5)]
    before, _ = read()
    assert ask(watched.admin_url, "HEAD", "/readyz")[0] == 200
    after, connections = read()
    assert after == before + 1 and connections == ["0"] * 4
    for client in clients:
        client.close()


def test_it_answers_while_all_connections_are_used_up():
    with AttendServer(*MODEL, "--max-connections", 4, "--admin-port", 0) as server:
        held = []
        for _ in range(100):  # 4, 16 that may be told so, and more
            client = connect(server.url)
            client.sendall(HEAD)
            held.append(client)
        for _ in range(20):
            began = time.monotonic()
            assert ask(server.admin_url, "GET", "/healthz")[0] == 200
            text = ask(server.admin_url, "GET", "/metrics")[2]
            assert time.monotonic() - began < 2
        states = dict(re.findall(rb'^attend_connections{state="(\w+)"} (\d+)$', text, re.M))
        assert int(states[b"reading"]) >= 4
        port = server.admin_url.rsplit(":", 1)[1]
        subprocess.run([BINARY, "--port", "1", "--admin-port", port, "--probe"], check=True)
        for client in held:
            client.close()


def test_many_who_watch_make_room_for_one_more():
    with AttendServer(*MODEL, "--admin-port", 0) as server:
        clients = [connect(server.admin_url) for _ in range(200)]
        assert ask(server.admin_url, "GET", "/readyz")[0] == 200
        assert ask(server.url, "GET", "/readyz")[0] == 200
        for client in clients:
            client.close()


def test_it_outlives_the_drain():
    with AttendServer(*MODEL, "--admin-port", 0, "--drain-seconds", 1) as server:
        client = connect(server.url)
        client.sendall(HEAD)  # a request that is not complete holds the drain up
        idle, watching = connect(server.admin_url), connect(server.admin_url)
        watching.sendall(b"GET /read")
        assert ask(server.admin_url, "GET", "/readyz")[0] == 200
        time.sleep(0.2)
        server.process.terminate()
        closed = False
        for _ in range(200):
            status, answered, text = ask(server.admin_url, "GET", "/readyz")
            if status == 503:
                assert json.loads(text)["code"] == "unavailable" and answered["Connection"] == "close"
                assert ask(server.admin_url, "GET", "/healthz")[0] == 200
                assert ask(server.admin_url, "GET", "/metrics")[0] == 200
                try:
                    connect(server.url).close()
                except OSError:
                    closed = True
                    break
            time.sleep(0.02)
        assert closed
        assert ask(server.admin_url, "GET", "/healthz")[0] == 200  # when the port for requests is closed
        client.sendall(BODY)
        assert b" 200 OK\r\n" in read_all(client)
        began = time.monotonic()
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 3  # whoever still holds a connection to it
        with pytest.raises(OSError):
            connect(server.admin_url)
        idle.close()
        watching.close()


def test_it_ends_under_a_hail_of_questions():
    for _ in range(5):
        with AttendServer(*MODEL, "--admin-port", 0) as server:
            def hail():
                try:
                    while True:
                        ask(server.admin_url, "GET", "/metrics")
                except (OSError, http.client.HTTPException):
                    pass

            threads = [threading.Thread(target=hail) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)
            server.process.terminate()
            assert server.process.wait(10) == 0
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_that_is_taken_stops_the_start(flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        others = {"--port": "0", "--admin-port": "0"} | {flag: port}
        done = subprocess.run([BINARY, *MODEL, *(word for pair in others.items() for word in pair)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "libmicrohttpd" not in line]
    assert lines == [f"attend-server: cannot listen on 127.0.0.1, port {port}: Address already in use"]


def test_without_the_flag_there_is_none():
    with AttendServer(*MODEL) as server:
        assert ask(server.url, "GET", "/metrics")[0] == 200
        assert server.admin_url is None and not any(line.startswith("admin on") for line in server.log)
