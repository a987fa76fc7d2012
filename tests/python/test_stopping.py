"""Whatever phase a request is in, the work on it ends when its deadline has passed, and when its client has left."""

import gzip
import json
import socket
import struct
import time

import pytest
import requests
from attend_server import AttendServer

SAFETENSORS = "application/vnd.safetensors"
PROMISED = 0.05  # seconds after the deadline
NOISE = 1.0  # of a machine with much else to do; without a look any of these goes on for longer, or could
MANY = 1 << 22


def packed(head, unit, tail, length=64 << 20):
    return gzip.compress(head + unit * ((length - len(head) - len(tail)) // len(unit)) + tail, 1)


def safetensors(dtype, size, shapes, **metadata):
    header, at = {"__metadata__": metadata}, 0
    for name, shape in shapes.items():
        length = size
        for n in shape:
            length *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(header).encode()
    return gzip.compress(struct.pack("<Q", len(text)) + text + bytes(at), 1)


def oip(shape, size):
    tensor = {"name": "query", "shape": shape, "datatype": "FP16", "parameters": {"binary_data_size": size}}
    text = json.dumps({"inputs": [tensor], "parameters": {"view": "{" + " " * 1000 + "}"}}).encode()
    return gzip.compress(text + bytes(size), 1), {"Inference-Header-Content-Length": str(len(text))}


def empty(**fields):
    query = {"shape": [1 << 24, 0, 1], "dtype": "float32", "data": ""}
    return gzip.compress(json.dumps({"query": query, **fields}).encode())


ROW = {"query": [1, 1], "key": [MANY, 1]}
ALL = ["q", "k", "v", "lse", "head_output"]


def cases():
    """Name, path, body, headers: every phase, and every format that it has."""
    yield "lists", "/attend/one", packed(b'{"view":{"heads":[0', b",0", b"]}}"), {}
    yield "labels", "/attend/one", packed(b'{"query_labels":[""', b',""', b"]}"), {}
    yield "space", "/attend/one", packed(b"{", b" ", b"}"), {}
    yield "a number", "/attend/one", packed(b'{"query":[[1', b"0", b"]]}"), {}
    yield "rows", "/attend/one", packed(b'{"query":[[1]', b",[1]", b"]}"), {}
    yield "base64", "/attend/one", packed(b'{"query":{"shape":[3,1],"dtype":"float16","data":"', b"AAAA", b'"}}'), {}
    yield "OIP, text", "/v2/models/one/infer", packed(b'{"inputs":[{"data":[0', b",0", b"]}]}"), {}
    body, headers = oip([MANY, 1], 2 * MANY)
    yield "OIP, binary", "/v2/models/one/infer", body, headers
    yield "elements", "/attend/one", safetensors("F16", 2, {"query": [1 << 24, 1]}), {"Content-Type": SAFETENSORS}
    yield "computing", "/attend/wide", safetensors("F16", 2, {"query": [20000, 64]}), {"Content-Type": SAFETENSORS}
    for name, view in (("in order", {"top_k": MANY}), ("pooled", {"size": [1, MANY // 2]}), ("weights", {})):
        body = safetensors("F16", 2, ROW, need_weights="true", view=json.dumps(view))
        yield name, "/attend/one", body, {"Content-Type": SAFETENSORS}
    body = safetensors("F16", 2, ROW, **{"return": '["stats","entropy","k","v"]'})
    yield "statistics", "/attend/one", body, {"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
    yield "no numbers", "/attend/one", empty(**{"return": ["lse"]}), {}
    yield "no weights", "/attend/one", empty(need_weights=True, **{"return": ["stats"]}), {"Accept": SAFETENSORS}
    yield "no numbers, OIP", "/v2/models/one/infer", oip([1 << 24, 0, 1], 0)[0], oip([1 << 24, 0, 1], 0)[1]
    body = safetensors("F16", 2, {"query": [1 << 20, 1], "key": [1, 1]}, **{"return": json.dumps(ALL)})
    for accept in ("application/json", SAFETENSORS):
        for encoding in ("identity", "gzip"):
            headers = {"Content-Type": SAFETENSORS, "Accept": accept, "Accept-Encoding": encoding}
            yield f"answer, {accept}, {encoding}", "/attend/one", body, headers
    body = safetensors("F16", 2, {"query": [3000, 1]})
    yield "picture", "/attend/one", body, {"Content-Type": SAFETENSORS, "Accept": "image/png"}
    body = safetensors("F16", 2, {"query": [3000, 1]}, keep="true")
    yield "kept", "/attend/one", body, {"Content-Type": SAFETENSORS}


CASES = {name: rest for name, *rest in cases()}


@pytest.fixture(scope="module")
def service():
    models = ["one=init:embed_dim=1,num_heads=1", "wide=init:embed_dim=64,num_heads=8"]
    arguments = [word for model in models for word in ("--model", model)]
    with AttendServer(*arguments, "--threads", "1", "--max-memory", "3GiB") as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_deadline(service, name):
    path, body, headers = CASES[name]
    for milliseconds in (40, 500, 1000):
        limit = milliseconds / 1000 + PROMISED + NOISE
        answer = requests.post(
            service.url + path,
            body,
            headers={"Content-Encoding": "gzip", "X-Request-Timeout": str(milliseconds), **headers},
            timeout=60,
        )
        assert answer.status_code in (200, 400, 413, 504), answer.text
        assert answer.elapsed.total_seconds() < limit, f"{name}: {answer.elapsed} for {milliseconds} ms"


@pytest.mark.parametrize("name", CASES)
def test_client_that_left(service, name):
    """One worker: it is there for the next request soon after the client of the one before has reset its connection."""
    path, body, headers = CASES[name]
    host, port = service.url.split("//")[1].split(":")
    head = {"Host": host, "Content-Encoding": "gzip", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    for seconds in (0.05, 0.6):
        with socket.create_connection((host, int(port))) as left:
            left.sendall(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            time.sleep(seconds)
            left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        began = time.monotonic()
        assert requests.post(service.url + "/attend/one", json={"query": [[1.0]]}, timeout=60).status_code == 200
        assert time.monotonic() - began < PROMISED + NOISE, name
