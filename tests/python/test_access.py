"""Who may use the service: keys, pages of other sites, names under which it is asked."""

import http.client
import json
import signal
import subprocess
import time

import attend
from attend import cli
import pytest
from attend_server import BINARY, ROOT, AttendServer

KEY, OTHER = "first-key", "attend_second~key=="
BODY = json.dumps({"query": [[1, 0], [0, 1]]})
JSON = {"Content-Type": "application/json"}
OPEN = [("GET", "/"), ("GET", "/assets/main.js"), ("GET", "/healthz"), ("HEAD", "/readyz"), ("GET", "/results/none.json"),
        ("GET", "/results/none"), ("DELETE", "/results/none"), ("OPTIONS", "/attend"), ("OPTIONS", "*"), ("OPTIONS", "/nowhere")]
CLOSED = [("POST", "/attend"), ("GET", "/models"), ("GET", "/openapi.json"), ("GET", "/nowhere"), ("POST", "/healthz"),
          ("GET", "/v2/health/live"), ("GET", "/v2"), ("POST", "/v2/models/small/infer"), ("BREW", "/attend")]
MODEL = ("--model", "small=init:embed_dim=2,num_heads=1")


def ask(server, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(f"# two\n{KEY}\n  {OTHER} # the other\n")
    return path


@pytest.fixture(scope="module")
def locked(key_file):
    with AttendServer(*MODEL, "--api-key-file", key_file) as server:
        yield server


@pytest.mark.parametrize("method, path", OPEN)
def test_what_is_open_needs_no_key(locked, method, path):
    assert ask(locked, method, path)[0] != 401


@pytest.mark.parametrize("method, path", CLOSED)
def test_all_else_needs_one(locked, method, path):
    for wrong in (None, "first-keys", "first-ke", "", "First-key"):
        headers = {} if wrong is None else {"Authorization": f"Bearer {wrong}"}
        status, answered, text = ask(locked, method, path, headers)
        assert status == 401 and answered["www-authenticate"] == "Bearer"
        assert json.loads(text)["code"] == "unauthorized" and "Bearer KEY" in json.loads(text)["error"]
    for key in (KEY, OTHER):
        assert ask(locked, method, path, {"Authorization": f"Bearer {key}"})[0] != 401


def test_a_key_computes_and_is_nowhere_in_the_log(locked):
    headers = {**JSON, "Authorization": f"Bearer {KEY}"}
    assert ask(locked, "POST", "/attend", headers, BODY)[0] == 200
    assert ask(locked, "POST", "/attend", {**JSON, "Authorization": "Basic first-key"}, BODY)[0] == 401
    assert not any("first-key" in line for line in locked.log)


@pytest.mark.parametrize("text, says", [("", "no key in it"), ("good\nwith space\n", "line 2"), (None, "No such file")])
def test_a_key_file_that_is_none_stops_the_start(tmp_path, text, says):
    path = tmp_path / "keys.txt"
    if text is not None:
        path.write_text(text)
    ended = subprocess.run([BINARY, "--port", "0", "--api-key-file", path], capture_output=True, text=True)
    assert ended.returncode == 2 and says in ended.stderr and ended.stderr.count("\n") == 1


def test_a_fresh_key_opens_with_its_line(tmp_path):
    lines = [subprocess.run([BINARY, "--new-key"], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    keys = [text.splitlines()[0].split()[-1] for text in lines]
    assert keys[0] != keys[1]
    path = tmp_path / "keys.txt"
    path.write_text(lines[0].splitlines()[1].split()[-1])
    with AttendServer(*MODEL, "--api-key-file", path) as server:
        answers = [ask(server, "GET", "/models", {"Authorization": f"Bearer {key}"})[0] for key in keys]
    assert answers == [200, 401]


def test_pages_of_allowed_origins_may_use_it(key_file):
    origin = "https://app.example"
    with AttendServer(*MODEL, "--api-key-file", key_file, "--cors-origin", origin) as server:
        asked = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Access-Control-Request-Method": "POST"}
        status, answered, _ = ask(server, "OPTIONS", "/attend", asked)
        assert status == 204 and answered["access-control-allow-origin"] == origin
        assert "POST" in answered["access-control-allow-methods"] and "Origin" in answered["vary"]
        allowed = answered["access-control-allow-headers"].lower().split(", ")
        assert set(allowed) == {"authorization", "content-type", "content-encoding", "inference-header-content-length",
                                "x-request-id", "x-request-timeout", "traceparent"}
        sent = {**JSON, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
        status, answered, _ = ask(server, "POST", "/attend", sent, BODY)
        assert status == 401 and answered["access-control-allow-origin"] == origin
        status, answered, _ = ask(server, "POST", "/attend", {**sent, "Authorization": f"Bearer {KEY}"}, BODY)
        assert status == 200 and answered["access-control-allow-origin"] == origin
        assert set(answered["vary"].split(", ")) == {"Accept-Encoding", "Origin"}
        assert set(answered["access-control-expose-headers"].split(", ")) == {
            "X-Request-Id", "Server-Timing", "Retry-After", "Inference-Header-Content-Length", "X-Result-Url"}
        for other in ("https://app.example.org", "http://app.example", "null", "https://app.example:8443"):
            status, answered, text = ask(server, "POST", "/attend", {**sent, "Origin": other}, BODY)
            assert status == 403 and json.loads(text)["code"] == "forbidden_origin"
            assert "access-control-allow-origin" not in answered and "Origin" in answered["vary"]


def test_a_service_on_this_machine_is_asked_under_its_names(tmp_path):
    with AttendServer(*MODEL) as server:
        port = server.url.rsplit(":", 1)[1]
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]", "LOCALHOST:1"):
            assert ask(server, "GET", "/models", {"Host": host})[0] == 200
        status, _, text = ask(server, "GET", "/models", {"Host": "evil.example"})
        assert status == 421 and json.loads(text)["code"] == "misdirected" and "--allowed-host" in json.loads(text)["error"]
    with AttendServer(*MODEL, "--allowed-host", "attend.example") as server:
        port = server.url.rsplit(":", 1)[1]
        subprocess.run([BINARY, "--port", port, "--allowed-host", "attend.example", "--probe"], check=True)
        assert ask(server, "GET", "/models", {"Host": "attend.example:443"})[0] == 200
        assert ask(server, "GET", "/models", {"Host": "localhost"})[0] == 421


def test_the_clients_show_a_key(locked, monkeypatch):
    """The Python client from its argument or the environment, the command line and the curl scripts from the latter."""
    with pytest.raises(attend.AttendError, match="there is no key"):
        attend.MultiHeadAttention(locked.url)([[1.0, 0.0]])
    assert attend.MultiHeadAttention(locked.url, api_key=KEY)([[1.0, 0.0]]).shape == (1, 2)
    monkeypatch.setenv("ATTEND_API_KEY", OTHER)
    assert attend.MultiHeadAttention(locked.url)([[1.0, 0.0]]).shape == (1, 2)
    assert cli.main(["bench", "--url", locked.url, "--seconds", "0.2", "--shape", "1,2,2", "--no-torch"]) == 0
    monkeypatch.setenv("ATTEND_URL", locked.url)
    script = ROOT / "clients" / "curl" / "common"
    command = [". " + str(script) + "; ask '\"models\":' /models; printf '{\"query\":[[1,0]]}' | post '\"output\":' /attend"]
    shown = subprocess.run(["sh", "-c", *command], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.count("200 ") == 2, shown.stdout + shown.stderr


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_keys_are_rotated_on_sighup(tmp_path):
    """A key file that is none leaves the old keys; one that is one replaces them."""
    path = tmp_path / "keys.txt"
    path.write_text("old-key")
    with AttendServer(*MODEL, "--api-key-file", path) as server:

        def answers(key):
            return ask(server, "GET", "/models", {"Authorization": f"Bearer {key}"})[0]

        assert (answers("old-key"), answers("new-key")) == (200, 401)
        path.write_text("# none")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any("keys are not reloaded" in line for line in server.log))
        assert (answers("old-key"), answers("new-key")) == (200, 401)
        path.write_text("new-key\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: answers("new-key") == 200)
        assert answers("old-key") == 401
