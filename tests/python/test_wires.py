"""The two formats that the client speaks: what it sends, as the Python package safetensors reads it, and that its
results are the same bits, of the same types, with both."""

import json
import socket
import threading
import warnings

import attend
import numpy as np
import pytest
from attend.wire import decode_answer, encode_request
from safetensors.numpy import load, save

SAFETENSORS = "application/vnd.safetensors"
ASKED = ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"]


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def flattened(results, name=""):
    """All arrays within tuples, dicts and TopK, by their places, and the types of those as well."""
    if isinstance(results, dict):
        items = results.items()
    elif isinstance(results, tuple):
        items = enumerate(results)
    else:
        return {name: results}
    flat = {f"{name} is": type(results)}
    for key, part in items:
        flat.update(flattened(part, f"{name}.{key}"))
    return flat


def both(url, *inputs, **options):
    """The results with each wire, flattened, after a look at whether they are the same."""
    found = {}
    for wire in ("json", "safetensors"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found[wire] = flattened(attend.MultiHeadAttention(url, "plain", wire=wire)(*inputs, **options))
        found[wire]["warnings"] = [(one.category, str(one.message)) for one in caught]
    assert list(found["json"]) == list(found["safetensors"])
    for name, mine in found["safetensors"].items():
        other = found["json"][name]
        assert type(mine) is type(other), name
        if isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.shape) == (other.dtype, other.shape), name
            assert mine.tobytes() == other.tobytes(), name
            assert mine.flags.writeable and other.flags.writeable
        else:
            assert mine == other
    return found["safetensors"]


@pytest.mark.parametrize("view", [None, {"top_k": 3}, {"heads": range(2), "rows": [1, 4], "size": [2, 2]}])
@pytest.mark.parametrize("is_batched", [True, False])
def test_all_results(url, rng, view, is_batched):
    query, key = draw(rng, 2, 5, 24), draw(rng, 2, 7, 24)
    mask = rng.random((5, 7)) < 0.4
    mask[2] = True  # a row that sees nothing: minus infinity is in lse
    inputs = (query, key) if is_batched else (query[0], key[0])
    found = both(url, *inputs, attn_mask=mask, need_weights=True, view=view, return_=ASKED)
    assert sum(isinstance(part, np.ndarray) for part in found.values()) == (17 if view == {"top_k": 3} else 15)
    (lse,) = [part for name, part in found.items() if name.endswith(".lse")]
    assert np.isneginf(lse).any()


def test_masks_warnings_and_seeds(url, rng):
    x, padding = draw(rng, 2, 6, 24), np.arange(6) >= np.array([[6], [4]])
    for mask in (rng.random((6, 6)) < 0.4, np.where(rng.random((2, 3, 6, 6)) < 0.4, -np.inf, 0.5), draw(rng, 6, 6)):
        both(url, x, attn_mask=mask, key_padding_mask=padding, need_weights=True)
    found = both(url, x, attn_mask=np.tri(6))
    assert [category for category, _ in found["warnings"]] == [attend.AttendWarning]
    assert both(url, x, training=True, seed=2**53 - 1, return_=[])[".1.seed"] == 2**53 - 1


@pytest.mark.parametrize("shape", [(0, 5, 24), (2, 0, 24), (0, 24)])
def test_empty(url, shape):
    both(url, np.zeros(shape, np.float32), need_weights=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.int32])
def test_types_and_layouts(url, rng, dtype):
    both(url, (4 * draw(rng, 2, 24, 5)).astype(dtype).transpose(0, 2, 1))


def test_only_json_is_compressed(url, rng):
    x, seen = draw(rng, 1, 400, 512), []  # an answer of 6 MB; the service compresses from 1 MiB on
    for wire in ("json", "safetensors"):
        mha = attend.MultiHeadAttention(url, "demo", wire=wire)
        mha.client.session.hooks["response"].append(lambda response, **_: seen.append(response.headers))
        mha(x, need_weights=True)
    assert [headers.get("Content-Encoding") for headers in seen] == ["gzip", None]
    assert seen[1]["Content-Type"] == SAFETENSORS


def test_the_default_is_safetensors():
    assert attend.MultiHeadAttention("http://127.0.0.1:1").client.wire == attend.Client().wire == "safetensors"
    for kind in (attend.Client, attend.MultiHeadAttention):
        with pytest.raises(ValueError, match="the wire is 'xml'; expected one of safetensors, json"):
            kind("http://127.0.0.1:1", wire="xml")


def test_what_is_sent(rng):
    query, mask, padding = draw(rng, 2, 3, 2), rng.random((3, 3)) < 0.5, np.array([[0.0, -np.inf, 1.5]] * 2)
    sent = {"query": query.astype(np.float64), "attn_mask": mask, "key_padding_mask": padding}
    fields = {"return": ["lse"], "model": "fake", "id": 'Zoë "1"\n', "encoding": "array", "value": None}
    view = {"heads": range(2), "rows": [0, np.int64(2)]}
    body = encode_request({**sent, **fields, "is_causal": False, "view": view}, "safetensors")
    tensors = load(body)
    assert {name: array.dtype for name, array in tensors.items()} == {
        "query": np.float32,
        "attn_mask": np.bool_,
        "key_padding_mask": np.float32,
    }
    for name, array in sent.items():
        np.testing.assert_array_equal(tensors[name], array)
    length = int.from_bytes(body[:8], "little")
    assert (8 + length) % 8 == 0
    assert json.loads(body[8 : 8 + length])["__metadata__"] == {
        "return": '["lse"]',
        "model": "fake",
        "id": 'Zoë "1"\n',
        "encoding": "array",
        "is_causal": "false",
        "view": '{"heads": [0, 1], "rows": [0, 2]}',
    }


def test_any_float_arrives_exactly(rng):
    bits = rng.integers(0, 2**32, (1, 20000), dtype=np.uint32)
    answer = save({"output": bits.view(np.float32)}, {"model": "m"})
    assert decode_answer(answer, SAFETENSORS)["output"].tobytes() == bits.tobytes()


def test_results_outlive_one_another():
    """Each is an array of its own: aligned wherever it stood, and writing into one leaves the others."""
    tensors = {"output": np.ones((1, 3), np.float32), "stats.argmax": np.ones((1, 3), np.int32)}
    answer = decode_answer(save(tensors, {"model": "m", "seed": "7", "warnings": '["odd"]', "id": "5"}), SAFETENSORS)
    answer["output"][:] = 2.0
    assert answer["stats"]["argmax"].tolist() == [[1, 1, 1]]
    assert answer["output"].flags.owndata and answer["output"].flags.aligned
    assert (answer["seed"], answer["warnings"], answer["id"]) == (7, ["odd"], "5")


def header(entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


GOOD = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
BROKEN = {
    "nothing": b"",
    "short": b"\x08\0\0",
    "no header": bytes(16),
    "a header beyond the end": (99).to_bytes(8, "little") + b"{}",
    "a header that is not JSON": (2).to_bytes(8, "little") + b"{{",
    "a header that is not UTF-8": (2).to_bytes(8, "little") + b"\xff\xff",
    "a header that is a list": header([]),
    "no output": header({}),
    "another tensor": header({"outputs": GOOD}) + bytes(8),
    "cut short": header({"output": GOOD}) + bytes(7),
    "an unknown type": header({"output": {**GOOD, "dtype": "F8"}}) + bytes(8),
    "another shape": header({"output": {**GOOD, "shape": [1, 3]}}) + bytes(8),
    "a shape below zero": header({"output": {**GOOD, "shape": [-1, 2]}}) + bytes(8),
    "a shape of words": header({"output": {**GOOD, "shape": ["1", 2]}}) + bytes(8),
    "a huge shape": header({"output": {**GOOD, "shape": [0, 10**30], "data_offsets": [0, 0]}}),
    "offsets below zero": header({"output": {**GOOD, "data_offsets": [-8, 0]}}) + bytes(8),
    "offsets backwards": header({"output": {**GOOD, "shape": [0], "data_offsets": [8, 0]}}) + bytes(8),
    "half a number": header({"output": {**GOOD, "data_offsets": [0, 7]}}) + bytes(8),
    "one offset": header({"output": {**GOOD, "data_offsets": [8]}}) + bytes(8),
    "a list": header({"output": [1, 2]}) + bytes(8),
    "metadata of numbers": header({"__metadata__": {"seed": 5}, "output": GOOD}) + bytes(8),
    "metadata in a list": header({"__metadata__": [], "output": GOOD}) + bytes(8),
    "a seed that is not JSON": header({"__metadata__": {"seed": "x"}, "output": GOOD}) + bytes(8),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer(name):
    assert decode_answer(header({"output": GOOD}) + bytes(8), SAFETENSORS)["output"].shape == (1, 2)
    with pytest.raises(ValueError):
        decode_answer(BROKEN[name], SAFETENSORS)


def test_a_header_beyond_the_end_is_told():
    with pytest.raises(ValueError, match="^10 bytes with a header of 99 are not safetensors$"):
        decode_answer(BROKEN["a header beyond the end"], SAFETENSORS)


def test_a_broken_answer_is_an_attend_error():
    body = BROKEN["cut short"]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {SAFETENSORS}\r\nContent-Length: {len(body)}\r\n\r\n"

    def answer(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        said = "not as attend-server does: output is .* no tensor in 7 bytes"
        with pytest.raises(attend.AttendError, match=said) as caught:
            attend.Client(f"http://127.0.0.1:{listening.getsockname()[1]}").attend("m", query=[[1.0]])
        thread.join()
    assert (caught.value.code, caught.value.status) == ("bad_answer", 200)


def test_the_same_refusals(url):
    """Of the service, whose errors are JSON in both."""
    for query, options in (
        (np.zeros((2, 3, 5)), {}),
        (np.full((1, 24), np.nan), {}),
        (np.zeros((2, 24)), {"attn_mask": np.zeros((2, 3))}),
        (np.zeros((2, 24)), {"return_": ["nothing"]}),
        (np.zeros((2, 24)), {"view": {"heads": [9]}}),
        (np.zeros((2, 24)), {"seed": -1}),
    ):
        told = []
        for wire in ("json", "safetensors"):
            with pytest.raises(attend.AttendError) as caught:
                attend.MultiHeadAttention(url, "plain", wire=wire)(query, **options)
            told.append((caught.value.sentence, caught.value.code, caught.value.status, caught.value.path))
        assert told[0] == told[1]
