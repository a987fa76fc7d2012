"""Content-Encoding both ways, over HTTP, against Python's own gzip and zlib; and requests in pieces of every size."""

import gzip
import http.client
import json
import socket
import zlib

import numpy as np
import pytest

CODECS = {"gzip": (gzip.compress, gzip.decompress), "deflate": (zlib.compress, zlib.decompress)}
LARGE = 1 << 20


def post(url, body, **headers):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/attend", body, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def make_body(rng, batch, length, **more):
    x = rng.standard_normal((batch, length, 512)).astype(np.float32)
    return json.dumps({"model": "demo", "query": x.tolist(), **more}).encode()


@pytest.mark.parametrize("coding", CODECS)
def test_a_compressed_request_gets_a_compressed_answer(url, rng, coding):
    compress, decompress = CODECS[coding]
    body = make_body(rng, 2, 5)
    status, headers, plain = post(url, body)
    assert status == 200 and headers["Content-Encoding"] is None and headers["Vary"] == "Accept-Encoding"
    status, headers, same = post(url, compress(body), Content_Encoding=coding)
    assert (status, headers["Content-Encoding"], same) == (200, None, plain)
    status, headers, small = post(url, compress(body), Content_Encoding=coding, Accept_Encoding=coding)
    assert (status, headers["Content-Encoding"], decompress(small)) == (200, coding, plain)
    assert len(small) < len(plain) * 0.6
    # small, and the request was not compressed: as it is
    assert post(url, body, Accept_Encoding=coding)[1]["Content-Encoding"] is None


@pytest.mark.parametrize("coding", CODECS)
def test_a_large_answer_is_compressed_for_those_who_take_it(url, rng, coding):
    body = make_body(rng, 4, 80)
    status, headers, plain = post(url, body)
    assert status == 200 and headers["Content-Encoding"] is None and len(plain) >= LARGE
    status, headers, small = post(url, body, Accept_Encoding=f"br, {coding};q=0.5")
    assert (status, headers["Content-Encoding"]) == (200, coding) and CODECS[coding][1](small) == plain
    assert post(url, body, Accept_Encoding=f"{coding};q=0, identity")[1]["Content-Encoding"] is None


def test_gzip_comes_before_deflate_where_both_are_wanted_as_much(url, rng):
    body = gzip.compress(make_body(rng, 1, 2))
    for accept, expected in (
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.2, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0.1, gzip;q=0", "deflate"),
        ("br", None),
    ):
        headers = post(url, body, Content_Encoding="gzip", Accept_Encoding=accept)[1]
        assert headers["Content-Encoding"] == expected, accept


def test_what_is_wrong_with_a_compressed_body_is_said(url, rng):
    body = make_body(rng, 1, 2)
    for sent, coding, status, said in (
        (body, "gzip", 400, "incorrect header check"),
        (gzip.compress(body)[:-9], "gzip", 400, "it ends early"),
        (zlib.compress(body) + b"x", "deflate", 400, "more bytes after its end"),
        (gzip.compress(body), "br", 415, "expected gzip, deflate or none"),
        (gzip.compress(b"[" * 5000), "gzip", 400, "object"),
        (gzip.compress(b" " * (65 << 20)), "gzip", 413, "--max-body"),
    ):
        found, headers, answer = post(url, sent, Content_Encoding=coding, Accept_Encoding="gzip")
        assert found == status and said in json.loads(answer)["error"], answer
        assert headers["Content-Encoding"] is None


def send_in_pieces(url, head, body, size, chunked):
    """Raw, so that each piece is a packet of its own, as far as the system lets us."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def test_pieces_of_every_size_make_the_same_request(url, rng):
    x = np.round(rng.standard_normal((2, 512)), 1).astype(np.float32)
    body = json.dumps({"model": "demo", "id": "\u00e9\u4e2d", "query": x.tolist(), "need_weights": True}).encode()
    whole = post(url, body)[2]
    for chunked in (False, True):
        for size in [*range(1, 18), 100, 1000, len(body) - 1, len(body)]:
            if chunked and size < 3 and len(body) > 4000:
                continue  # a packet a byte: once is enough
            length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
            head = b"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s\r\n\r\n" % length
            assert send_in_pieces(url, head, body, size, chunked) == (200, whole), (chunked, size)


def test_a_compressed_body_in_pieces(url, rng):
    body = make_body(rng, 1, 1)
    whole, small = post(url, body)[2], gzip.compress(body)
    head = b"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(small)
    for size in (1, 7, 64):
        assert send_in_pieces(url, head, small, size, False) == (200, whole)
