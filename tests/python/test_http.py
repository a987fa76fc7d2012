"""HTTP itself, byte by byte over a socket: headers in several lines and with blanks around, hosts, first lines."""

import base64
import gzip
import json
import socket

import pytest
from attend_server import AttendServer

PLAIN = '{"model":"plain","query":[[' + ",".join(["0.5"] * 24) + "]]}"


def exchange(url, text):
    """What a connection gives for these bytes: the status of its first answer, its headers, and the rest."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        got = b""
        while piece := connection.recv(1 << 16):
            got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, rest


def ask(url, path, *headers, method="GET", body=None, version="1.1", host="Host: x"):
    lines = [f"{method} {path} HTTP/{version}", *([host] if host else []), *headers, "Connection: close"]
    if body is not None:
        body = body if isinstance(body, bytes) else body.encode()
        lines.append(f"Content-Length: {len(body)}")
    return exchange(url, "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))


def attend(url, *headers, body=PLAIN, path="/attend"):
    return ask(url, path, *headers, method="POST", body=body)


@pytest.mark.parametrize("place", range(4))
def test_accept_in_several_lines(url, place):
    """The one that can be had may stand in any of them."""
    wishes = ["text/html", "text/plain;q=0.3", "image/gif"]
    wishes.insert(place, "application/json;q=0.2")
    assert attend(url, *(f"Accept: {wish}" for wish in wishes))[0] == 200
    wishes[place] = "application/xml"
    assert attend(url, *(f"Accept: {wish}" for wish in wishes))[0] == 406


@pytest.mark.parametrize(
    "accept, status",
    [
        ('application/json;profile="a;q=0"', 200),
        ('application/json;profile="a,b;q=0";q=0.1', 200),
        ('application/json;profile="\\"";q=0', 406),
        ('text/html;x="application/json"', 406),
        ('text/html;x=",application/json,"', 406),
        ("application/json ; q=0.5 \t", 200),
        ("application/json;q=0 ", 406),
        (", ,", 200),
    ],
)
def test_accept_with_quotes_and_blanks(url, accept, status):
    assert attend(url, f"Accept: {accept}")[0] == status


@pytest.mark.parametrize("place", range(3))
def test_accept_encoding_in_several_lines(url, place):
    codings = ["br", "zstd"]
    codings.insert(place, "gzip")
    status, headers, _ = ask(url, "/", *(f"Accept-Encoding: {coding}" for coding in codings))
    assert (status, headers["content-encoding"]) == (200, "gzip")


@pytest.mark.parametrize("codings", [("identity", "gzip"), ("gzip", "identity"), ("identity", "", "x-gzip")])
def test_content_encoding_in_several_lines(url, codings):
    body = gzip.compress(PLAIN.encode())
    assert attend(url, *(f"Content-Encoding: {coding}" for coding in codings), body=body)[0] == 200
    assert attend(url, "Content-Encoding: " + ", ".join(codings), body=body)[0] == 200


def test_a_body_that_is_compressed_twice_is_refused(url):
    for lines in (("Content-Encoding: gzip", "Content-Encoding: gzip"), ("Content-Encoding: deflate, gzip",)):
        status, _, body = attend(url, *lines)
        assert status == 415 and b"expected gzip, deflate or none" in body


@pytest.mark.parametrize("blank", [" ", "\t", " \t  "])
def test_blanks_around_a_value(url, blank):
    """They are no part of it, in front or behind."""
    zipped = gzip.compress(PLAIN.encode())
    assert attend(url, f"Content-Encoding:{blank}gzip{blank}", body=zipped)[0] == 200
    assert attend(url, f"X-Request-Timeout:{blank}20000{blank}")[0] == 200
    assert attend(url, f"Content-Type:{blank}application/json{blank}")[0] == 200
    assert attend(url, f"X-Request-Id:{blank}mine{blank}")[1]["x-request-id"] == "mine"
    assert ask(url, "/healthz", host=f"Host:{blank}x{blank}")[0] == 200
    infer = '{"inputs":[{"name":"query","shape":[1,24],"datatype":"FP32","data":' + json.dumps([0.5] * 24) + "}]}"
    length = f"Inference-Header-Content-Length:{blank}{len(infer)}{blank}"
    assert attend(url, length, body=infer, path="/v2/models/plain/infer")[0] == 200


@pytest.mark.parametrize(
    "name, values",
    [
        ("Host", ("x", "y")),
        ("Content-Type", ("application/json", "text/plain")),
        ("X-Request-Timeout", ("1000", "2000")),
        ("Inference-Header-Content-Length", ("5", "6")),
    ],
)
def test_a_header_that_must_not_be_there_twice(url, name, values):
    for first, second in (values, values[::-1], (values[0],) * 2):
        lines = [f"{name}: {first}", f"{name}: {second}"]
        lines = lines[1:] if name == "Host" else lines
        status, _, body = ask(url, "/attend", *lines, method="POST", body=PLAIN, host=f"Host: {values[0]}")
        problem = json.loads(body)
        assert (status, problem["code"]) == (400, "bad_request")
        assert problem["error"] == f"the request has more than one {name} header; expected one"


@pytest.mark.parametrize("host", ["a b/", "a/b", "[::1", "a:b", "user@h", 'a"b', "é"])
def test_a_host_that_is_none(url, host):
    status, _, body = ask(url, "/healthz", host=f"Host: {host}")
    assert status == 400 and json.loads(body)["error"].startswith("the host is '")


@pytest.mark.parametrize("host", ["x", "127.0.0.1:80", "[::1]:8080", "a.example", ""])
def test_a_host_that_is_one(url, host):
    assert ask(url, "/healthz", host=f"Host: {host}")[0] == 200


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP", "HttpS"])
def test_the_whole_url_in_the_first_line(url, scheme):
    assert ask(url, f"{scheme}://h/healthz")[0] == 200
    assert ask(url, f"{scheme}://h:8080/attend", method="POST", body=PLAIN)[0] == 200
    assert ask(url, f"{scheme}://[::1]/nowhere")[0] == 404
    assert ask(url, f"{scheme}://a@b/healthz")[0] == 400
    assert ask(url, f"{scheme}://h")[0] == 200


MANY = "&".join(f"a{i}={i}" for i in range(50))
QUERIES = ["?", "?ts=1", "?utm_source=x&utm_medium=mail", "?x", "?head=1", "?" + MANY]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_on_pages_and_probes_is_ignored(url, query):
    for path in ("/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/plain/ready"):
        assert ask(url, path + query)[0] == 200, path
        assert ask(url, path + query, method="HEAD")[0] == 200, path


def test_a_query_on_the_page_of_a_kept_result_is_ignored(url):
    kept = json.loads(attend(url, body=PLAIN[:-1] + ',"keep":true}')[2])["result_url"]
    status, headers, page = ask(url, kept + "?utm_source=mail", "Accept: text/html")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8") and b"<h1>Attention explorer" in page
    assert ask(url, kept + ".json?utm_source=mail")[0] == 400


@pytest.mark.parametrize("path", ["/models", "/models/plain", "/openapi.json", "/v2", "/v2/models/plain"])
def test_a_query_elsewhere_is_refused(url, path):
    status, _, body = ask(url, path + "?ts=1")
    assert status == 400 and json.loads(body)["code"] == "unknown_field"


@pytest.mark.parametrize("path", ["/", "*", "/attend", "/healthz", "/results/x", "/nowhere", "/v2/health/ready?x=1"])
def test_options(url, path):
    """What HAProxy's httpchk asks, and what a browser will ask before it sends to another origin."""
    for version, host in (("1.1", "Host: x"), ("1.0", None)):
        status, headers, body = ask(url, path, method="OPTIONS", version=version, host=host)
        assert (status, body) == (204, b"") and "OPTIONS" in headers["allow"].split(", ")
        assert "content-type" not in headers
    assert "POST" in ask(url, "/attend", method="OPTIONS")[1]["allow"]
    assert "POST" not in ask(url, "/healthz", method="OPTIONS")[1]["allow"]


BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def test_a_person_is_told_in_words_that_a_result_is_gone(url):
    paths = ["/results/abc", "/results/abc?utm_source=mail", "/results/abc/", "/results/%3Cscript%3E/x", "/assets/x.js"]
    for path in paths:
        status, headers, page = ask(url, path, BROWSER)
        assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8"), path
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "no-store" in headers["cache-control"]
        assert headers["referrer-policy"] == "no-referrer" and "x-request-id" in headers
        assert b"<script" not in page and b"<style" not in page and b' href="/"' in page
    assert b"it may have expired" in ask(url, "/results/abc", BROWSER)[2]
    assert b"&lt;script&gt;" in ask(url, "/results/%3Cscript%3E/x", BROWSER)[2]
    status, headers, nothing = ask(url, "/results/abc", BROWSER, method="HEAD")
    assert (status, nothing) == (404, b"") and headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("accept", [(), ("Accept: */*",), ("Accept: application/json",), ("Accept: */*, text/html",)])
def test_a_program_is_told_in_json(url, accept):
    for path in ("/results/abc", "/assets/x.js"):
        status, headers, body = ask(url, path, *accept)
        assert (status, headers["content-type"], json.loads(body)["code"]) == (404, "application/json", "not_found")


def test_data_is_not_found_in_json_even_by_a_browser(url):
    for path in ("/results/abc.json", "/results/abc/heatmap.png", "/v2/models/none"):
        status, headers, body = ask(url, path, BROWSER)
        assert (status, json.loads(body)["code"]) == (404, "not_found")


def test_a_kept_connection_is_told_how_long_it_may_rest(url):
    """Before it closes on a client that sends its next request at that moment."""

    def told(*lines, version="1.1", method="GET", path="/healthz"):
        host, port = url.removeprefix("http://").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            first = "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *lines, "", ""])
            connection.sendall(first.encode())
            got = b""
            while b"\r\n\r\n" not in got and (piece := connection.recv(1 << 16)):
                got += piece
        lines = got.partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        return headers.get("keep-alive"), headers.get("connection")

    assert told()[0] == "timeout=75"
    assert told("Connection: TE, keep-alive")[0] == "timeout=75"
    assert told(path="/nowhere")[0] == "timeout=75"
    assert told("Connection: keep-alive", version="1.0")[0] == "timeout=75"
    assert told("Connection: close") == (None, "close")
    assert told("Connection: TE, Close")[0] is None
    assert told("Connection: TE", "Connection: close")[0] is None
    assert told(version="1.0") == (None, "close")
    assert told("Content-Length: 9", method="POST", path="/nowhere") == (None, "close")


def test_a_deadline_is_called_by_its_name(url):
    """The one that was hit: the caller's own, or the flag."""
    rows = 20000
    data = ",".join(["0"] * 24 * rows)
    encoded = base64.b64encode(bytes(96 * rows)).decode()
    slow = '{"model":"plain","query":{"shape":[%d,24],"dtype":"float32","data":"%s"}}' % (rows, encoded)
    tensor = '{"name":"query","shape":[%d,24],"datatype":"FP32","data":[%s]}' % (rows, data)
    infer = '{"parameters":{"timeout":20500},"inputs":[' + tensor + "]}"

    def sentence(answer):
        assert answer[0] == 504 and json.loads(answer[2])["code"] == "deadline_exceeded"
        return json.loads(answer[2])["error"]

    told = "the request was not answered within its deadline of "
    assert sentence(attend(url, "X-Request-Timeout: 20", body=slow)) == told + "20 ms (X-Request-Timeout)"
    assert sentence(attend(url, body=infer, path="/v2/models/plain/infer")) == told + "20.5 ms (parameters.timeout)"
    with AttendServer("--model", "plain=init:embed_dim=24,num_heads=3", "--request-timeout", "20", "--allowed-host", "x") as short:
        for lines in ((), ("X-Request-Timeout: 20",), ("X-Request-Timeout: 5000",)):
            assert sentence(attend(short.url, *lines, body=slow)) == told + "20 ms (--request-timeout)"
