"""What a person can get wrong on the command line or in a file: one clear sentence, and the right exit code."""

import json
import os
import re
import subprocess

import attend
import numpy as np
import pytest
from attend_server import ROOT
from commands import FakeService, command
from test_commands import curl

ANSWER = {"model": "fake", "output": [[1.0, 2.0]]}


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("bench", "--seconds", "0"), "expected more than 0"),
        (("bench", "--seconds", "inf"), "expected more than 0"),
        (("bench", "--requests", "0"), "'0' is not a whole number from 1 on"),
        (("bench", "--concurrency", "0"), "'0' is not a whole number from 1 on"),
        (("bench", "--warmup", "-1"), "'-1' is not a whole number from 0 on"),
        (("bench", "--key-length", "0"), "'0' is not a whole number from 1 on"),
        (("run", "--key-length", "-3"), "'-3' is not a whole number from 1 on"),
        (("run", "--timeout", "0"), "expected more than 0"),
        (("run", "--url", "http://127.0.0.1:99999"), "Port out of range"),
        (("run", "--url", "127.0.0.1:80"), "expected one like http://"),
        (("viz", "--dpi", "0"), "from 30 to 1200"),
        (("viz", "--labels", ""), "names no token"),
        (("run", "--input", "x.npy", "--shape", "1,1,1"), "exclude each other"),
        (("run", "--input", "x.npy", "--key-length", "1"), "exclude each other"),
    ],
)
def test_usage(url, arguments, sentence):
    code, _, errors = command(url, *arguments)
    assert code == 2 and sentence in errors


@pytest.mark.parametrize("name, option", [("run", "--out"), ("bench", "--json"), ("viz", "--out")])
def test_nowhere_to_write(tmp_path, name, option):
    """Said before anything is asked: the service has seen nothing."""
    with FakeService(ANSWER) as service:
        for path, why in ((tmp_path / "no" / "x", "there is no directory"), (tmp_path, "it is a directory")):
            code, _, errors = command(service.url, name, option, path)
            assert code == 1 and errors.startswith(f"attend: {path} cannot be written: {why}")
    assert service.seen == []


def test_no_such_host():
    code, _, errors = command("http://no.such.host.invalid", "run")
    assert (code, errors) == (1, "attend: cannot find the host no.such.host.invalid (no_service)\n")


@pytest.mark.parametrize("name", ["junk.npy", "junk.npz", "zip.npz", "empty.npy", "empty.npz", "objects.npy"])
def test_not_numpys_file(url, tmp_path, name):
    path = tmp_path / name
    path.write_bytes({"j": b"junk", "z": b"PK\x03\x04junk", "e": b"", "o": b""}[name[0]])
    if name.startswith("objects"):
        np.save(path, np.array([{}, []], dtype=object))
    code, _, errors = command(url, "run", "--input", path)
    assert code == 1 and f"{path} is not a {path.suffix} file that numpy wrote" in errors
    assert "pickle" not in errors


def refusal_of(url, body):
    with pytest.raises(attend.AttendError) as caught:
        attend.Client(url).post(body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b'{ "query" : [[1, 2],\n  [3]] }',
        b'{"query":[[1,2',
        b"[]",
        b'{"query":5}',
        b'{"model":"demo"}',
        b'{"query":[[NaN]]}',
    ],
)
def test_the_service_judges_a_json_file(url, tmp_path, body):
    """Ragged, broken or incomplete: the sentence, and the byte in it, are about the file."""
    path = tmp_path / "r.json"
    path.write_bytes(body)
    code, _, errors = command(url, "run", "--input", path)
    want = refusal_of(url, body)
    assert code == 1 and errors.startswith(f"attend: {want.sentence} (")
    assert want.offset is None or f"byte {want.offset} of the body" in errors


def test_a_json_file_is_sent_as_it_is(tmp_path):
    body = b'{"need_weights" :false,\n"query": [[1.50, 2E0]]}\n'
    (tmp_path / "r.json").write_bytes(body)
    with FakeService(ANSWER) as service:
        for options in ((), ("--model", "fake"), ("--causal",)):
            assert command(service.url, "run", "--input", tmp_path / "r.json", *options)[0] == 0
    assert service.seen[:2] == [body, body]
    assert json.loads(service.seen[2]) == {**json.loads(body), "is_causal": True}


def test_no_byte_of_a_body_made_here(url, tmp_path):
    (tmp_path / "r.json").write_text('{"query": [[NaN]]}')
    np.savez(tmp_path / "r.npz", query=np.full((1, 512), np.nan))
    for name, options in (("r.npz", ()), ("r.json", ("--causal",))):
        code, _, errors = command(url, "run", "--input", tmp_path / name, *options)
        assert code == 1 and "bad_value" in errors and not re.search(r"byte \d", errors)


@pytest.mark.parametrize("labels", [5, [5], [["a"], "b"], {"a": 1}, [[1]]])
def test_labels_that_are_none(url, tmp_path, labels):
    """Only a picture needs labels; `run` does not look at them."""
    query = np.zeros((1, 512)).tolist()
    for name, document in (("r", {"query": query, "labels": labels}), ("s", {"query": query})):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "s.labels.json").write_text(json.dumps({"labels": labels}))
    for name, said in (("r.json", "r.json"), ("s.json", "s.labels.json")):
        assert command(url, "run", "--input", tmp_path / name)[0] == 0
        code, _, errors = command(url, "viz", "--input", tmp_path / name, "--out", tmp_path / "x.png")
        assert code == 1 and f"labels in {tmp_path / said} are neither" in errors


def test_broken_labels_file(url, tmp_path):
    (tmp_path / "r.json").write_text(json.dumps({"query": np.zeros((1, 512)).tolist()}))
    (tmp_path / "r.labels.json").write_text("[[")
    options = ("--input", tmp_path / "r.json")
    assert command(url, "run", *options)[0] == 0
    code, _, errors = command(url, "viz", *options, "--out", tmp_path / "x.png")
    assert code == 1 and f"{tmp_path / 'r.labels.json'} is not JSON" in errors


def test_a_picture_of_no_tensor(url, tmp_path):
    for n, text in enumerate(('{"query":5}', '{"query":[[1],[1,2]],"need_weights":true}', "{")):
        path = tmp_path / f"{n}.json"
        path.write_text(text)
        code, _, errors = command(url, "viz", "--input", path, "--out", tmp_path / "x.png")
        assert code == 1 and errors.startswith("attend: ") and errors.count("\n") == 1


def test_key_length_alone_keeps_the_query(url):
    _, text, _ = command(url, "run", "--key-length", 3)
    assert "query         float32 [2, 10, 512]" in text and "key           float32 [2, 3, 512]" in text


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "clients" / "curl").glob("*.sh")))
def test_curl_scripts_without_a_service(name):
    code, lines, errors = curl("http://127.0.0.1:9", name)
    assert (code, lines, errors) == (1, [], "no answer from http://127.0.0.1:9 (exit code 7 of curl)\n")


def test_curl_scripts_print_the_refusal_alone(url):
    for name in ("self-attention.sh", "minilm.sh"):
        code, lines, errors = curl(url + "/nothing", name)
        assert (code, lines) == (1, []) and json.loads(errors)["code"] == "not_found"


@pytest.mark.parametrize("head", ["x", "-1", "1.5", "99999999"])
def test_curl_minilm_head(head):
    done = subprocess.run(
        [ROOT / "clients" / "curl" / "minilm.sh", head],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (2, "") and f"the head is '{head}'" in done.stderr
