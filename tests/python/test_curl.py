"""The curl scripts with each kind of awk, with an old curl, and where something else than the service answers."""

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attend
import numpy as np
import pytest
from attend_server import ROOT, AttendServer
from commands import FakeService
from oracle import attention
from test_commands import curl

SCRIPTS = sorted(path.name for path in (ROOT / "clients" / "curl").glob("*.sh"))
# `make test` installs these; gawk would become the system's awk by that.
MINILM = attend.init_weights(384, 12, seed=1)  # of the size that minilm.sh asks for
AWKS = ["mawk", "original-awk", "busybox"]  # original-awk: that of the BSDs and macOS


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    layer = attend.save_layer(MINILM, tmp_path_factory.mktemp("layer"), num_heads=12)
    models = ("builtin:demo", "builtin:patterns", f"minilm.1={layer}")
    with AttendServer(*(part for model in models for part in ("--model", model))) as server:
        yield server.url


@pytest.fixture(params=[*AWKS, "gawk"])
def path(request, tmp_path):
    """A folder in which `awk` is the one that the test is for."""
    if request.param == "gawk" and not shutil.which("gawk"):
        pytest.skip("gawk is not installed")
    assert shutil.which(request.param), f"{request.param} is missing: make packages-awk installs it"
    return program(tmp_path, "awk", f'exec {request.param} {"awk" * (request.param == "busybox")} "$@"')


def program(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return folder


def run(url, name, path=None):
    """The lines that a script prints, without times and the random part of an address."""
    code, lines, errors = curl(url, name, path=path)
    assert code == 0 and errors == "", errors
    return [re.sub(r"after \S+ s|results/[a-z2-7]{32}", "", line) for line in lines]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_awk_prints_the_same(served, path, name):
    assert run(served, name, path) == run(served, name)


def test_minilm_with_every_awk(served, path):
    lines = run(served, "minilm.sh", path)
    assert curl(served, "minilm.sh", "12", path=path)[::2] == (
        2,
        "minilm.sh: there is no head 12; the layer has heads 0 to 11\n",
    )
    body = json.loads((ROOT / "clients/curl/minilm.json").read_text())
    labels = json.loads((ROOT / "clients/curl/minilm.labels.json").read_text())["labels"]
    maps = attention(MINILM, 12, np.array(body["query"]), key_padding_mask=np.array(body["key_padding_mask"]))[1]
    want = [
        (label, names[weights.argmax()], f"{weights.max():.3f}")
        for names, entry in zip(labels, maps)
        for label, weights in zip(names, entry[8])
        if label != "[PAD]"
    ]
    found = [re.fullmatch(r" *(\S+) looks at (\S+) +(\d\.\d+)", line).groups() for line in lines[:-1] if line]
    assert found == want


def sines(*shape, phase=0.0, scale=1.0):
    """What the scripts make up, by numpy."""
    batch, rows, columns = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.round(scale * np.sin(phase + 7 * batch + (rows + 1) * (columns + 1)), 4)


SENT = {
    "self-attention.sh": {"query": sines(2, 10, 512)},
    "cross-attention.sh": {
        "query": sines(2, 5, 512),
        "key": sines(2, 20, 512, phase=1),
        "value": sines(2, 20, 512, phase=2),
    },
    "causal.sh": {"query": sines(1, 4, 512, scale=2)[0]},
    "weights.sh": {"query": sines(1, 6, 512, scale=3)[0]},
    "keep.sh": {"query": sines(1, 8, 512, scale=3)[0][[0, 1, 2, 3, 4, 5, 0, 6, 7]]},
}
ANSWER = {"model": "fake", "output": [[[0.5]]], "attn_weights": [[[1]]], "result_url": "/results/x"}


@pytest.mark.parametrize("name", SENT)
def test_every_awk_makes_up_the_same_numbers(path, name):
    with FakeService(ANSWER) as service:
        curl(service.url, name, path=path)
    body = json.loads(service.seen[0])
    for field, want in SENT[name].items():
        np.testing.assert_array_equal(np.array(body[field]), want)


@pytest.mark.parametrize("words", [["a", "東京", "b\\", '"', "%d", "a"]])
def test_every_awk_knows_the_words(served, path, words):
    class Service(FakeService):
        INFO = attend.Client(served).model("patterns")

    with Service(ANSWER) as service:
        curl(service.url, "patterns.sh", "4", *words, path=path)
        curl(service.url, "keep.sh", *words, path=path)
    patterns, keep = map(json.loads, service.seen)
    np.testing.assert_array_equal(np.array(patterns["query"], np.float32), attend.Patterns(served).embed(words))
    assert keep["query_labels"] == words and keep["query"][0] == keep["query"][5] != keep["query"][1]


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_slash_at_the_end_of_the_address(served, name, slashes):
    assert run(served + slashes, name) == run(served, name)


OLD_CURL = """for option; do case $option in
--fail-with-body | --json | --variable) echo "curl: option $option: is unknown" >&2; exit 2 ;;
esac; done
exec {curl} "$@"
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_old_curl(served, tmp_path, name):
    """That of Debian 11 and RHEL 8 has no --fail-with-body."""
    path = program(tmp_path, "curl", OLD_CURL.format(curl=shutil.which("curl")))
    assert run(served, name, path) == run(served, name)
    code, lines, errors = curl(served + "/nothing", name, path=path)
    assert (code, lines) == (1, []) and json.loads(errors)["code"] == "not_found"


class Page:
    """Answers everything with one page, as a proxy does that wants a login or has lost the service."""

    def __init__(self, status, kind, body, only=""):
        page = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                mine = only in self.path
                text = (body if mine else json.dumps({**ANSWER, "expires_in": 9}, separators=(",", ":"))).encode()
                self.send_response(status if mine else 200)
                if kind or not mine:
                    self.send_header("Content-Type", kind if mine else "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = reply

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


LOGIN = "<!doctype html>\r\n<html>\n  <title>Please\tlog in</title>\n" + 1000 * "<p>word</p>\n" + "</html>"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    "status, kind, body, said",
    [
        (200, "text/html", LOGIN, "text/html: <!doctype html> <html> <title>Please log in</title>"),
        (401, "text/html; charset=utf-8", LOGIN, "text/html"),
        (503, "text/html", "<html>", "text/html: <html>"),
        (302, "", "", "no type: nothing"),
        (200, "application/json", '{"login":"/in"}', '{"login":"/in"}'),
        (200, "application/json", "", "nothing"),
        (502, "application/json", '{"error":"no upstream"}', '{"error":"no upstream"}'),
        (403, "text/plain", "no\x1b[31m", "no [31m"),
    ],
)
def test_what_is_not_the_services_is_said(name, status, kind, body, said):
    with Page(status, kind, body) as page:
        code, lines, errors = curl(page.url, name)
    assert (code, lines) == (1, []) and errors.startswith(page.url) and errors.count("\n") == 1
    assert f"answered with HTTP {status}, " in errors and said in errors and len(errors) < 500


@pytest.mark.parametrize("only", [".json", "heatmap.png"])
def test_keep_with_a_login_page_further_on(only):
    with Page(200, "text/html", LOGIN, only) as page:
        code, lines, errors = curl(page.url, "keep.sh")
    assert (code, lines) == (1, []) and "HTTP 200" in errors and "text/html" in errors
