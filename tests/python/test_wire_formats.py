"""The wire formats of POST /attend, held against one another bit by bit and against the Python package safetensors:
nested arrays, base64 and safetensors in, and each of them out."""

import base64
import json
import struct

import numpy as np
import pytest
import requests
from safetensors.numpy import load, save

SAFETENSORS = "application/vnd.safetensors"
NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bool": "BOOL"}


def as_base64(array):
    """An object for the tensor, as it stands in a JSON request."""
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": base64.b64encode(array.tobytes()).decode(),
    }


def from_base64(tensor):
    assert sorted(tensor) == ["data", "dtype", "shape"]
    raw = base64.b64decode(tensor["data"], validate=True)
    return np.frombuffer(raw, tensor["dtype"]).reshape(tensor["shape"])


def post_json(url, accept=None, **fields):
    return requests.post(f"{url}/attend", json=fields, headers={"Accept": accept} if accept else {})


def post_safetensors(url, tensors, accept=SAFETENSORS, **fields):
    """`fields` go into __metadata__: `model`, `id` and `encoding` as they are, the others as JSON."""
    plain = ("model", "id", "encoding")
    metadata = {name: value if name in plain else json.dumps(value) for name, value in fields.items()}
    return requests.post(
        f"{url}/attend",
        data=save(tensors, metadata),
        headers={"Content-Type": SAFETENSORS, "Accept": accept},
    )


def body_of(entries, data, padding=0):
    """A body for the model "plain" put together by hand, its data wherever they come to lie."""
    header = json.dumps({"__metadata__": {"model": "plain"}, **entries}).encode() + b" " * padding
    return struct.pack("<Q", len(header)) + header + data.tobytes()


def metadata_of(content):
    (length,) = struct.unpack_from("<Q", content)
    assert (8 + length) % 64 == 0
    return json.loads(content[8 : 8 + length])["__metadata__"]


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def flattened(answer):
    """The arrays of a JSON answer by the names that safetensors has for them: stats.max, attn_weights.values."""
    flat = {}
    for name, value in answer.items():
        if isinstance(value, dict) and "data" not in value:
            flat.update({f"{name}.{member}": inner for member, inner in value.items()})
        elif isinstance(value, (list, dict)) and name != "warnings":
            flat[name] = value
    return flat


RETURNS = ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"]


@pytest.mark.parametrize("top_k", [None, 3])
def test_all_results_are_the_same_bits_in_all_formats(url, rng, top_k):
    tensors = {"query": numbers(rng, 2, 5, 24), "key": numbers(rng, 2, 7, 24)}
    mask = rng.random((5, 7)) < 0.4
    mask[2] = True  # a row that sees nothing: minus infinity is in lse
    view = {"view": {"top_k": top_k}} if top_k else {}
    fields = {"model": "plain", "need_weights": True, "return": RETURNS, **view}
    lists = {name: array.tolist() for name, array in tensors.items()}
    plain = post_json(url, **lists, attn_mask=mask.tolist(), **fields)
    assert plain.status_code == 200, plain.text
    in_base64 = post_json(
        url,
        **{name: as_base64(array) for name, array in tensors.items()},
        attn_mask=as_base64(mask),
        encoding="base64",
        **fields,
    )
    assert in_base64.status_code == 200, in_base64.text
    in_safetensors = post_safetensors(url, {**tensors, "attn_mask": mask}, **fields)
    assert in_safetensors.status_code == 200, in_safetensors.text
    assert in_safetensors.headers["Content-Type"] == SAFETENSORS
    mixed = post_safetensors(url, {**tensors, "attn_mask": mask}, accept="application/json", **fields)
    assert mixed.headers["Content-Type"].startswith("application/json")
    assert mixed.json() == plain.json()

    arrays = flattened(plain.json())
    coded = {name: from_base64(tensor) for name, tensor in flattened(in_base64.json()).items()}
    loaded = load(in_safetensors.content)
    assert set(arrays) == set(coded) == set(loaded)
    assert len(loaded) == (17 if top_k else 15)
    for name, found in loaded.items():
        whole = np.array(arrays[name], dtype=object)
        read = np.where(np.equal(whole, None), -np.inf, whole).astype(found.dtype)  # null is minus infinity
        assert found.dtype == coded[name].dtype == (np.int32 if name.endswith(("argmax", "indices")) else np.float32)
        assert found.tobytes() == coded[name].tobytes() == read.tobytes(), name
        assert found.shape == coded[name].shape == read.shape
    assert np.isneginf(loaded["lse"]).any()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_types_of_numbers(url, rng, dtype):
    query = rng.standard_normal((3, 24)).astype(dtype)
    mask = np.where(rng.random((3, 3)) < 0.3, -np.inf, rng.standard_normal((3, 3))).astype(dtype)
    expected = post_json(
        url,
        model="plain",
        query=query.astype(np.float32).tolist(),
        attn_mask=[[x if np.isfinite(x) else "-inf" for x in row] for row in mask.astype(np.float32).tolist()],
    )
    assert expected.status_code == 200, expected.text
    nulls = [[float(x) if np.isfinite(x) else None for x in row] for row in mask.astype(np.float32)]
    found = post_json(url, model="plain", query=query.astype(np.float32).tolist(), attn_mask=nulls)
    assert found.json() == expected.json()
    coded = post_json(url, model="plain", query=as_base64(query), attn_mask=as_base64(mask))
    assert coded.json() == expected.json()
    loaded = post_safetensors(url, {"query": query, "attn_mask": mask}, accept="application/json", model="plain")
    assert loaded.json() == expected.json()


def test_bfloat16(url, rng):
    query = numbers(rng, 3, 24)
    upper = (query.view(np.uint32) >> 16).astype(np.uint16)
    query = (upper.astype(np.uint32) << 16).view(np.float32)
    expected = post_json(url, model="plain", query=query.tolist()).json()
    tensor = {**as_base64(upper), "dtype": "bfloat16"}
    assert post_json(url, model="plain", query=tensor).json() == expected
    body = body_of({"query": {"dtype": "BF16", "shape": [3, 24], "data_offsets": [0, upper.nbytes]}}, upper)
    found = requests.post(f"{url}/attend", data=body, headers={"Content-Type": SAFETENSORS})
    assert found.json() == expected


@pytest.mark.parametrize("padding", range(8))
def test_data_at_every_alignment(url, rng, padding):
    query = numbers(rng, 4, 24)
    expected = post_json(url, model="plain", query=query.tolist()).json()
    entry = {"dtype": "F32", "shape": [4, 24], "data_offsets": [0, query.nbytes]}
    body = body_of({"query": entry}, query, padding)
    found = requests.post(f"{url}/attend", data=body, headers={"Content-Type": SAFETENSORS})
    assert found.json() == expected


def test_metadata_come_back(url, rng):
    query = {"query": numbers(rng, 2, 24)}
    mask = {"attn_mask": np.array([[0, 1], [1, 0]], np.float32)}
    answer = requests.post(
        f"{url}/attend",
        data=save({**query, **mask}, {"model": "plain", "id": 'Zoë "1"\n', "format": "np"}),
        headers={"Content-Type": SAFETENSORS, "Accept": SAFETENSORS},
    )
    assert answer.status_code == 200, answer.text
    metadata = metadata_of(answer.content)
    assert metadata["model"] == "plain" and metadata["id"] == 'Zoë "1"\n'
    assert "seed" not in metadata
    (warning,) = json.loads(metadata["warnings"])
    assert warning.startswith("attn_mask holds only the numbers 0 and 1")


def test_the_seed_comes_back(url, rng):
    query = {"query": numbers(rng, 2, 24)}
    drawn = metadata_of(post_safetensors(url, query, model="plain", training=True).content)
    again = metadata_of(post_safetensors(url, query, model="plain", training=True, seed=int(drawn["seed"])).content)
    assert again["seed"] == drawn["seed"]


def test_options_in_metadata(url, rng):
    query = numbers(rng, 2, 6, 24)
    options = {
        "model": "plain",
        "is_causal": True,
        "query_offset": 1,
        "need_weights": True,
        "average_attn_weights": True,
        "view": {"rows": [1, 4], "size": [2, 2], "pool": "sum"},
    }
    expected = post_json(url, query=query.tolist(), **options)
    assert expected.status_code == 200, expected.text
    found = post_safetensors(url, {"query": query}, accept="application/json", **options)
    assert found.json() == expected.json()


MISTAKES = {
    "not safetensors": (b'{"query":[[1]]}', "malformed_tensor", None),
    "nothing": (b"", "malformed_tensor", None),
    "cut short": (save({"query": np.zeros((2, 24), np.float32)})[:-1], "malformed_tensor", "query.data_offsets"),
    "a byte too many": (save({"query": np.zeros((2, 24), np.float32)}) + b"x", "malformed_tensor", None),
    "an unknown tensor": (save({"queries": np.zeros((2, 24), np.float32)}), "unknown_field", "queries"),
    "unknown metadata": (save({}, {"causal": "true"}), "unknown_field", "__metadata__.causal"),
    "Python's true": (save({}, {"need_weights": "True"}), "malformed_json", "need_weights"),
    "a type out of range": (save({"query": np.zeros((2, 24), np.int64)}), "malformed_tensor", "query.dtype"),
    "no dimensions": (save({"query": np.zeros((), np.float32)}), "bad_shape", "query"),
    "five dimensions": (save({"query": np.zeros((1,) * 5, np.float32)}), "bad_shape", "query"),
    "a width that does not fit": (save({"query": np.zeros((2, 23), np.float32)}), "bad_shape", "query"),
    "no query": (save({"key": np.zeros((2, 24), np.float32)}), "missing_field", "query"),
    "infinity": (save({"query": np.full((2, 24), np.inf, np.float32)}), "bad_value", "query[0][0]"),
    "a boolean query": (save({"query": np.zeros((2, 24), bool)}), "malformed_tensor", "query"),
    "a number beyond float32": (save({"query": np.full((1, 24), 1e39)}), "bad_value", "query[0][0]"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_safetensors(url, name):
    body, code, path = MISTAKES[name]
    answer = requests.post(
        f"{url}/attend/plain", data=body, headers={"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
    )
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert (answer.json()["code"], answer.json().get("path")) == (code, path), answer.text


def test_mistakes_in_base64_are_told_with_their_place(url):
    good = as_base64(np.zeros((2, 24), np.float32))
    text = json.dumps({"query": {**good, "data": "AAAA*" + good["data"][5:]}})
    answer = requests.post(f"{url}/attend/plain", data=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    told = answer.json()
    assert (told["code"], told["path"], told["offset"]) == ("malformed_tensor", "query.data", text.index("*"))


@pytest.mark.parametrize("escape", ["/", "\\/", "\\u002f"])
def test_slashes_however_they_are_written(url, escape):
    query = np.full((2, 24), struct.unpack("<f", base64.b64decode("///8Pg=="))[0], np.float32)
    text = json.dumps({"query": as_base64(query)})
    assert "/" in text
    answer = requests.post(f"{url}/attend/plain", data=text.replace("/", escape))
    assert answer.json() == post_json(url, model="plain", query=query.tolist()).json()


def test_a_large_tensor(url, rng):
    """Some mebibytes both ways, with weights: the answer of JSON is compressed on the way, that of base64 may be."""
    query = numbers(rng, 3, 700, 24)
    arrays = post_json(url, model="plain", query=query.tolist(), need_weights=True).json()
    coded = post_json(url, model="plain", query=as_base64(query), need_weights=True, encoding="base64").json()
    loaded = load(post_safetensors(url, {"query": query}, model="plain", need_weights=True).content)
    for name in ("output", "attn_weights"):
        assert np.array(arrays[name], np.float32).tobytes() == from_base64(coded[name]).tobytes()
        assert loaded[name].tobytes() == from_base64(coded[name]).tobytes()
