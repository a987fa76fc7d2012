"""The Open Inference Protocol under /v2, by hand: what is sent and what comes back, byte by byte, beside POST /attend."""

import gzip
import http.client
import json
import signal
import time
import zlib

import numpy as np
import pytest
from attend_server import AttendServer

LENGTH = "Inference-Header-Content-Length"
NUMPY = {"FP32": "<f4", "FP64": "<f8", "FP16": "<f2", "BOOL": "?", "INT32": "<i4"}
STATS = ["max", "argmax", "first", "self", "previous", "received"]


def call(url, method, path, body=None, headers=None):
    """Status, headers, bytes."""
    connection = http.client.HTTPConnection(url.split("//")[1], timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def make_body(inputs, **request):
    """Body and headers of a request. Each of `inputs` is (name, array, "flat" | "nested" | "binary"), and may end with a
    datatype and the bytes of the elements, where numpy does not know them."""
    request["inputs"] = []
    binary = b""
    for name, array, form, *own in inputs:
        datatypes = {np.dtype(dtype): datatype for datatype, dtype in NUMPY.items()}
        datatype, data = own or (datatypes[array.dtype], array.tobytes())
        tensor = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if form == "binary":
            tensor["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            tensor["data"] = (array.ravel() if form == "flat" else array).tolist()
        request["inputs"].append(tensor)
    text = json.dumps(request).encode()
    return text + binary, {LENGTH: str(len(text))} if binary else {}


def read_answer(headers, content):
    """The JSON of an answer, and its outputs as arrays; every byte must belong to one of them."""
    binary = LENGTH in headers
    assert headers["Content-Type"] == ("application/octet-stream" if binary else "application/json")
    at = int(headers[LENGTH]) if binary else len(content)
    answer = json.loads(content[:at])
    arrays = {}
    for output in answer["outputs"]:
        dtype = NUMPY[output["datatype"]]
        if "data" in output:
            data = [-np.inf if value is None else value for value in output["data"]]
            array = np.array(data, dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            array = np.frombuffer(content[at : at + size], dtype)
            at += size
        arrays[output["name"]] = array.reshape(output["shape"])
    assert at == len(content)
    return answer, arrays


def infer(url, model, inputs, headers=None, version=None, **request):
    """The JSON of an answer, and its outputs."""
    body, own_headers = make_body(inputs, **request)
    path = f"/v2/models/{model}/{f'versions/{version}/' if version else ''}infer"
    status, headers, content = call(url, "POST", path, body, {**own_headers, **(headers or {})})
    assert status == 200, content
    return read_answer(headers, content)


def refuse(url, model, inputs, headers=None, **request):
    """Status, code and sentence of a refusal."""
    body, own_headers = make_body(inputs, **request)
    headers = {**own_headers, **(headers or {})}
    status, headers, content = call(url, "POST", f"/v2/models/{model}/infer", body, headers)
    assert headers["Content-Type"] == "application/json" and LENGTH not in headers
    answer = json.loads(content)
    assert set(answer) <= {"error", "code", "path", "offset"}
    return status, answer["code"], answer["error"]


def attend(url, model, **request):
    """The results of POST /attend as arrays, under the names that /v2 has for them."""
    for name, value in request.items():
        if isinstance(value, np.ndarray):
            request[name] = value.tolist()
    status, _, content = call(url, "POST", f"/attend/{model}", json.dumps(request))
    assert status == 200, content
    arrays = {}
    for name, value in json.loads(content).items():
        members = {f"{name}.{key}": member for key, member in value.items()} if isinstance(value, dict) else {name: value}
        for key, member in members.items():
            if isinstance(member, list) and key != "warnings":
                integer = key.endswith(("argmax", "indices"))
                array = np.array(member, "O" if key == "lse" else "<i4" if integer else "<f4")
                arrays[key] = np.where(array == None, -np.inf, array).astype("<f4") if key == "lse" else array  # noqa: E711
    return arrays


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def draw(rng, *shape):
    return rng.standard_normal(shape).astype("<f4")


# ---- Health and metadata ----


def test_health_and_metadata(url):
    def get(path):
        status, headers, content = call(url, "GET", path, headers={"Accept": "text/plain"})
        assert status == 200 and headers["Content-Type"] == "application/json"
        return json.loads(content)

    assert get("/v2/health/live")["live"] is True
    assert get("/v2/health/ready") == {"live": True, "ready": True}
    assert get("/v2") == get("/v2/")
    assert get("/v2")["name"] == "attend-server" and get("/v2")["extensions"] == ["binary_tensor_data"]
    assert call(url, "GET", "/readyz")[1]["Server"] == "attend-server/" + get("/v2")["version"]
    for path in ("/v2/models/cross/ready", "/v2/models/cross/versions/1/ready"):
        assert get(path) == {"name": "cross", "ready": True}
    model = get("/v2/models/cross")
    assert model == get("/v2/models/cross/versions/1")
    assert model["name"] == "cross" and model["versions"] == ["1"] and model["platform"]
    inputs = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in model["inputs"]}
    assert inputs == {
        "query": ("FP32", [-1, -1, 20]),
        "key": ("FP32", [-1, -1, 12]),
        "value": ("FP32", [-1, -1, 7]),
        "attn_mask": ("FP32", [-1, -1]),
        "key_padding_mask": ("FP32", [-1, -1]),
    }
    status, headers, content = call(url, "HEAD", "/v2/models/cross/ready")
    assert status == 200 and content == b""


def test_metadata_describes_what_infer_answers(url, rng):
    model = json.loads(call(url, "GET", "/v2/models/cross")[2])
    names = [tensor["name"] for tensor in model["outputs"]]
    inputs = [("query", draw(rng, 2, 3, 20), "binary"), ("key", draw(rng, 2, 5, 12), "binary")]
    inputs += [("value", draw(rng, 2, 5, 7), "binary")]
    answer, _ = infer(url, "cross", inputs, outputs=[{"name": name} for name in names])
    assert [output["name"] for output in answer["outputs"]] == names
    for described, output in zip(model["outputs"], answer["outputs"]):
        assert described["datatype"] == output["datatype"]
        assert len(described["shape"]) == len(output["shape"])
        assert all(said in (-1, found) for said, found in zip(described["shape"], output["shape"]))
        assert described["shape"][0] == -1


def test_draining_is_live_but_not_ready():
    with AttendServer("--drain-seconds", "2") as server:
        assert call(server.url, "GET", "/v2/health/ready")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while (answer := call(server.url, "GET", "/v2/health/ready"))[0] == 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answer[0] == 503 and json.loads(answer[2])["code"] == "unavailable"
        assert call(server.url, "GET", "/v2/models/demo/ready")[0] == 503
        assert call(server.url, "GET", "/v2/health/live")[0] == 200
        server.process.wait(30)


# ---- The same bits as POST /attend ----

RETURNS = ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"]


@pytest.mark.parametrize("form", ["flat", "nested", "binary"])
@pytest.mark.parametrize("binary", [False, True])
def test_same_bits_as_attend(url, rng, form, binary):
    query, key, value = draw(rng, 2, 4, 20), draw(rng, 2, 6, 12), draw(rng, 2, 6, 7)
    mask = np.where(rng.random((4, 6)) < 0.3, -np.inf, rng.standard_normal((4, 6))).astype("<f4")
    mask[2] = -np.inf  # a row that may attend to nothing: its lse is minus infinity
    tensors = {"query": query, "key": key, "value": value, "attn_mask": mask}
    expected = attend(url, "cross", need_weights=True, **{"return": RETURNS}, **tensors)
    outputs = [{"name": name, "parameters": {"binary_data": binary}} for name in ["output", "attn_weights", *RETURNS]]
    answer, found = infer(url, "cross", [(n, t, form) for n, t in tensors.items()], outputs=outputs, version="1")
    assert list(found) == ["output", "attn_weights", *RETURNS[:-1], *(f"stats.{name}" for name in STATS)]
    assert answer["model_name"] == "cross" and answer["model_version"] == "1" and "id" not in answer
    assert set(found) == set(expected) and np.isneginf(found["lse"][:, :, 2]).all()
    for name in found:
        assert_same_bits(found[name], expected[name])


def test_each_datatype(url, rng):
    query = draw(rng, 2, 5, 24)
    bfloat16 = (query.view("<u4") >> 16).astype("<u2")
    forms = {
        "FP16": (query.astype("<f2"), query.astype("<f2").astype("<f4")),
        "FP64": (query.astype("<f8") * (1 + 1e-12), (query.astype("<f8") * (1 + 1e-12)).astype("<f4")),
        "BF16": (bfloat16, (bfloat16.astype("<u4") << 16).view("<f4")),
    }
    for datatype, (sent, meant) in forms.items():
        expected = attend(url, "plain", query=meant)["output"]
        given = [("query", sent, "binary", datatype, sent.tobytes())]
        assert_same_bits(infer(url, "plain", given)[1]["output"], expected)
    exact = [("query", forms["FP64"][0], "flat")]
    assert_same_bits(infer(url, "plain", exact)[1]["output"], attend(url, "plain", query=forms["FP64"][1])["output"])


@pytest.mark.parametrize("form", ["flat", "binary"])
def test_boolean_masks_exclude(url, rng, form):
    query, padding = draw(rng, 2, 5, 24), rng.random((2, 5)) < 0.4
    mask = rng.random((2, 3, 5, 5)) < 0.4
    expected = attend(url, "plain", query=query, attn_mask=mask, key_padding_mask=padding, need_weights=True)
    inputs = [("query", query, form), ("attn_mask", mask, form), ("key_padding_mask", padding, form)]
    _, found = infer(url, "plain", inputs, outputs=[{"name": "output"}, {"name": "attn_weights"}])
    assert_same_bits(found["output"], expected["output"])
    assert_same_bits(found["attn_weights"], expected["attn_weights"])
    assert (found["attn_weights"][mask] == 0).all()


def test_without_a_batch(url, rng):
    query, padding = draw(rng, 5, 24), np.array([False, True, False, False, True])
    expected = attend(url, "plain", query=query, key_padding_mask=padding, need_weights=True)
    inputs = [("query", query, "binary"), ("key_padding_mask", padding, "binary")]
    _, found = infer(url, "plain", inputs, parameters={"need_weights": True, "binary_data_output": True})
    assert list(found) == ["output", "attn_weights"]
    for name in found:
        assert_same_bits(found[name], expected[name])


def test_head_output(url, rng):
    heads = draw(rng, 2, 3, 5, 8)
    expected = attend(url, "plain", head_output=heads)["output"]
    assert_same_bits(infer(url, "plain", [("head_output", heads, "binary")])[1]["output"], expected)


def test_empty_tensors(url):
    for shape in [(0, 3, 24), (2, 0, 24)]:
        for form in ("flat", "nested", "binary"):
            _, found = infer(url, "plain", [("query", np.zeros(shape, "<f4"), form)])
            assert found["output"].shape == shape


def test_tensors_stay_where_they_lie_in_the_body(rng, monkeypatch):
    """Aligned ones are read there, so the body must live on. This makes glibc overwrite all memory that is freed."""
    monkeypatch.setenv("MALLOC_PERTURB_", "85")
    query = draw(rng, 2, 6, 24)
    with AttendServer("--model", "m=init:embed_dim=24,num_heads=3") as server:
        expected = infer(server.url, "m", [("query", query, "flat")])[1]["output"]
        for spaces in range(4):  # one of these aligns it
            _, found = infer(server.url, "m", [("query", query, "binary")], id=" " * spaces)
            assert_same_bits(found["output"], expected)


# ---- Options and outputs ----


def test_parameters_are_the_options_of_attend(url, rng):
    query, key = draw(rng, 2, 4, 24), draw(rng, 2, 6, 24)
    options = {"is_causal": True, "query_offset": 3, "key_offset": 1, "average_attn_weights": True}
    view = {"batch": [1], "rows": [1, 4], "size": [2, 3], "pool": "mean"}
    inputs = [("query", query, "binary"), ("key", key, "binary")]
    expected = attend(url, "plain", query=query, key=key, need_weights=True, view=view, **options)
    outputs = [{"name": "attn_weights"}]
    _, found = infer(url, "plain", inputs, outputs=outputs, parameters={"view": json.dumps(view), **options})
    assert list(found) == ["attn_weights"]
    assert_same_bits(found["attn_weights"], expected["attn_weights"])
    expected = attend(url, "plain", query=query, key=key, need_weights=True, view={"top_k": 2})
    _, found = infer(url, "plain", inputs, outputs=outputs, parameters={"view": '{"top_k":2}'})
    assert list(found) == ["attn_weights.values", "attn_weights.indices"]
    for name in found:
        assert_same_bits(found[name], expected[name])


def test_training_gives_its_seed():
    with AttendServer("--model", "d=init:embed_dim=8,num_heads=2,dropout=0.5") as server:
        inputs = [("query", np.ones((1, 6, 8), "<f4"), "binary")]
        first, drawn = infer(server.url, "d", inputs, parameters={"training": True})
        seed = first["parameters"]["seed"]
        again, same = infer(server.url, "d", inputs, parameters={"training": True, "seed": seed})
        assert again["parameters"] == {"seed": seed}
        assert_same_bits(same["output"], drawn["output"])
        other, different = infer(server.url, "d", inputs, parameters={"training": True, "seed": seed ^ 1})
        assert different["output"].tobytes() != drawn["output"].tobytes()


def test_warnings_are_a_parameter(url, rng):
    inputs = [("query", draw(rng, 3, 24), "binary"), ("attn_mask", np.eye(3, dtype="<f4"), "binary")]
    answer, _ = infer(url, "plain", inputs)
    assert "attn_mask" in answer["parameters"]["warnings"] and "\n" not in answer["parameters"]["warnings"]


def test_outputs_as_asked_for(url, rng):
    outputs = [
        {"name": "stats.argmax", "parameters": {"binary_data": False}},
        {"name": "attn_weights"},
        {"name": "output", "parameters": {"binary_data": False}},
        {"name": "lse", "parameters": {"binary_data": True}},
    ]
    parameters = {"binary_data_output": True}
    inputs = [("query", draw(rng, 2, 4, 24), "flat")]
    answer, found = infer(url, "plain", inputs, id='an "id" é', outputs=outputs, parameters=parameters)
    assert answer["id"] == 'an "id" é'
    assert list(found) == ["stats.argmax", "attn_weights", "output", "lse"]
    assert ["data" in output for output in answer["outputs"]] == [True, False, True, False]
    assert answer["outputs"][0]["datatype"] == "INT32"
    assert (found["stats.argmax"] == found["attn_weights"].argmax(-1)).all()
    alone, _ = infer(url, "plain", inputs)
    assert [output["name"] for output in alone["outputs"]] == ["output"] and "data" in alone["outputs"][0]


def test_minus_infinity_in_json_is_null(url, rng):
    inputs = [("query", draw(rng, 2, 24), "flat"), ("attn_mask", np.array([[True, True], [False, True]]), "flat")]
    answer, found = infer(url, "plain", inputs, outputs=[{"name": "lse"}])
    assert answer["outputs"][0]["data"][::2] == [None] * 3
    _, binary = infer(url, "plain", inputs, outputs=[{"name": "lse"}], parameters={"binary_data_output": True})
    assert_same_bits(found["lse"], binary["lse"])


@pytest.mark.parametrize("name", ["attn_mask", "key_padding_mask"])
def test_null_in_a_mask_is_minus_infinity(url, rng, name):
    """As orjson writes it, and with it KServe's client."""
    shape = (4, 4) if name == "attn_mask" else (4,)
    mask = np.where(rng.random(shape) < 0.5, -np.inf, draw(rng, *shape)).astype(np.float32)
    mask[..., 0] = -np.inf
    query = draw(rng, 4, 24)
    body, headers = make_body([("query", query, "flat"), (name, mask, "flat")])
    assert b"-Infinity" in body
    status, headers, content = call(url, "POST", "/v2/models/plain/infer", body.replace(b"-Infinity", b"null"), headers)
    assert status == 200, content
    expected = infer(url, "plain", [("query", query, "binary"), (name, mask, "binary")])[1]["output"]
    assert_same_bits(read_answer(headers, content)[1]["output"], expected)


# ---- The way there and back ----


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_compression(url, rng, encoding, binary):
    inputs = [("query", draw(rng, 2, 5, 24), "binary" if binary else "flat")]
    body, headers = make_body(inputs, parameters={"binary_data_output": binary})
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    headers.update({"Content-Encoding": encoding, "Accept-Encoding": encoding})
    status, headers, content = call(url, "POST", "/v2/models/plain/infer", packed, headers)
    assert status == 200 and headers["Content-Encoding"] == encoding
    plain = gzip.decompress(content) if encoding == "gzip" else zlib.decompress(content)
    assert_same_bits(read_answer(headers, plain)[1]["output"], infer(url, "plain", inputs)[1]["output"])


@pytest.mark.parametrize("content_type", [None, "application/json", "application/octet-stream", "text/plain"])
def test_any_content_type_will_do(url, rng, content_type):
    headers = {"Accept": "image/png", **({"Content-Type": content_type} if content_type else {})}
    answer, _ = infer(url, "plain", [("query", draw(rng, 2, 24), "binary")], headers=headers)
    assert answer["model_name"] == "plain"


def test_in_pieces(url, rng):
    inputs = [("query", draw(rng, 2, 24), "binary"), ("attn_mask", np.eye(2) > 0, "flat")]
    body, headers = make_body(inputs, parameters={"binary_data_output": True})
    _, whole = infer(url, "plain", inputs)
    for size in (1, 7, 100):
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        status, answer_headers, content = call(url, "POST", "/v2/models/plain/infer", pieces, headers)  # chunked
        assert status == 200
        assert_same_bits(read_answer(answer_headers, content)[1]["output"], whole["output"])


def test_timeout_lowers_the_deadline(url, rng):
    inputs = [("query", draw(rng, 2, 24), "binary")]
    status, code, _ = refuse(url, "plain", inputs, parameters={"timeout": 1})
    assert (status, code) == (504, "deadline_exceeded")
    for timeout in (0, 60_000_000, 2**53):
        infer(url, "plain", inputs, parameters={"timeout": timeout})


def test_timeout_never_raises_the_deadline():
    with AttendServer("--model", "wide=init:embed_dim=64,num_heads=8") as server:
        inputs = [("query", np.zeros((1, 8000, 64), "<f4"), "binary")]  # computed for a second or so
        headers = {"X-Request-Timeout": "50"}
        for timeout in (None, 50_000_000, 2**53 - 1):
            status, code, _ = refuse(server.url, "wide", inputs, headers=headers, parameters={"timeout": timeout})
            assert (status, code) == (504, "deadline_exceeded"), timeout


# ---- Refusals ----


def test_refusals(url, rng):
    query = [("query", draw(rng, 2, 24), "binary")]
    assert refuse(url, "plain", query, parameters={"sequence_id": 42})[:2] == (400, "bad_value")
    assert refuse(url, "plain", [])[:2] == (400, "missing_field")
    assert refuse(url, "plain", query, outputs=[{"name": "weights"}])[:2] == (400, "unknown_field")
    assert refuse(url, "plain", [("query", draw(rng, 2, 23), "binary")])[:2] == (400, "bad_shape")
    assert refuse(url, "plain", [("query", np.full((2, 24), np.nan, "<f4"), "binary")])[:2] == (400, "bad_value")
    assert refuse(url, "plain", query, parameters={"view": '{"rows":[0,9]}', "need_weights": True})[:2] == (400, "bad_value")
    assert refuse(url, "plain", [("head_output", draw(rng, 3, 2, 8), "binary"), *query])[:2] == (400, "bad_value")
    status, code, sentence = refuse(url, "absent", query)
    assert (status, code) == (404, "not_found") and "plain" in sentence
    assert call(url, "GET", "/v2/models/absent")[0] == call(url, "GET", "/v2/models/absent/ready")[0] == 404
    assert call(url, "POST", "/v2/models/plain/versions/2/infer", make_body(query)[0])[0] == 404
    assert call(url, "GET", "/v2/models/plain/versions/2/ready")[0] == 404
    assert call(url, "GET", "/v2/models/plain/infer")[0] == 405


def test_the_header_and_the_sizes_must_add_up(url, rng):
    body, headers = make_body([("query", draw(rng, 2, 24), "binary")])
    json_length = int(headers[LENGTH])

    def refused(body, length, **more):
        own = {} if length is None else {LENGTH: str(length)}
        status, _, content = call(url, "POST", "/v2/models/plain/infer", body, {**own, **more})
        assert status == 400, content
        return json.loads(content)["code"]

    assert refused(body[:-1], json_length) == "malformed_tensor"
    assert refused(body + b"x", json_length) == "malformed_tensor"
    assert refused(body, None) == "malformed_tensor"
    assert refused(body, len(body) + 1) == "bad_value"
    assert refused(body, 0) == "bad_value"
    assert refused(body, -1) == "bad_value"
    assert refused(body, json_length - 1) == "malformed_json"
    assert refused(body, f"{json_length}, {json_length}") == "bad_value"
    # The header counts the bytes of the JSON as they were before compression.
    packed = gzip.compress(body)
    assert refused(packed, len(body) + 1, **{"Content-Encoding": "gzip"}) == "bad_value"
