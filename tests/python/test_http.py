"""HTTP itself, byte by byte over a socket: headers in several lines and with blanks around, hosts, first lines."""

import gzip
import json
import socket

import pytest

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
