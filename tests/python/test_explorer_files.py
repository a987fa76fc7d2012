"""The files of the explorer: each is served as the Makefile makes it, its modules as one, with the headers that a page needs;
what is in them does not matter here."""

import functools
import gzip
import re
import subprocess

import pytest
import requests
from attend_server import ROOT

WEB = ROOT / "server" / "web"
FILES = sorted(path for path in WEB.iterdir() if path.suffix != ".js" or path.name == "main.js")
MINIFY = "esbuild --bundle --minify --format=esm --charset=utf8 --external:/assets/* --log-level=warning".split()
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@functools.cache
def content_of(file):
    if file.suffix in (".js", ".css"):
        return subprocess.run([*MINIFY, file], check=True, capture_output=True).stdout
    return re.sub(rb"^ *", b"", file.read_bytes(), flags=re.M)


def paths():
    return [("/", WEB / "index.html"), *((f"/assets/{path.name}", path) for path in FILES)]


def get(url, path, method="GET", **headers):
    """Without the encodings that requests asks for by itself."""
    headers = {"Accept-Encoding": "identity", **headers}
    return requests.request(method, url + path, headers=headers, timeout=60)


@pytest.mark.parametrize("path,file", paths(), ids=lambda value: getattr(value, "name", value))
def test_each_file_comes_whole(url, path, file):
    content = content_of(file)
    answer = get(url, path)
    assert answer.status_code == 200 and answer.content == content
    kind, _, charset = answer.headers["Content-Type"].partition("; ")
    assert kind == TYPES.get(file.suffix, kind) and (charset == "charset=utf-8" or not kind.startswith("text/"))
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Vary"] == "Accept-Encoding" and "Content-Encoding" not in answer.headers
    head = get(url, path, "HEAD")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["Content-Length"]) == len(content)
    assert head.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("path,file", paths(), ids=lambda value: getattr(value, "name", value))
def test_compressed_for_those_who_take_it(url, path, file):
    for accepted in ("gzip", "deflate, gzip", "*", "br, gzip;q=0.5"):
        with requests.get(url + path, headers={"Accept-Encoding": accepted}, stream=True, timeout=60) as answer:
            assert answer.headers["Content-Encoding"] == "gzip", accepted
            assert gzip.decompress(answer.raw.read(decode_content=False)) == content_of(file)
    for accepted in ("gzip;q=0", "br", "deflate"):
        answer = get(url, path, **{"Accept-Encoding": accepted})
        assert "Content-Encoding" not in answer.headers and answer.content == content_of(file), accepted


@pytest.mark.parametrize("path,file", paths(), ids=lambda value: getattr(value, "name", value))
def test_not_sent_again_if_it_is_known(url, path, file):
    first = get(url, path)
    tag = first.headers["ETag"]
    assert re.fullmatch(r'W/"[0-9a-f]{20}"', tag)
    for known in (tag, f'"x", {tag}', "*"):
        answer = get(url, path, **{"If-None-Match": known})
        assert answer.status_code == 304 and answer.content == b"", known
        assert answer.headers["ETag"] == tag and answer.headers["Cache-Control"] == "no-cache"
        assert "Content-Type" not in answer.headers
    for other in ('"x"', 'W/"00000000000000000000"', ""):
        assert get(url, path, **{"If-None-Match": other}).content == first.content


def test_all_of_it_is_small(url):
    bodies = [get(url, f"/assets/{file.name}").content for file in FILES]
    assert sum(map(len, bodies)) <= 150_000


def test_single_modules_are_not_served(url):
    assert get(url, "/assets/store.js").status_code == 404


def test_names_that_are_none(url):
    for name in ("nothing.js", "..%2findex.html", "index.html.gz", "INDEX.HTML", "x" * 500):
        answer = get(url, f"/assets/{name}")
        assert answer.status_code in (400, 404) and answer.json()["code"] in ("bad_request", "not_found"), name
    assert get(url, "/assets/").status_code == 404


def test_other_methods(url):
    for path in ("/", "/assets/index.html"):
        for method in ("POST", "PUT", "DELETE"):
            answer = get(url, path, method)
            assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD"
    assert get(url, "/?x=1").status_code == 200
