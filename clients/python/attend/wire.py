"""Requests and answers of the service on the wire: as safetensors, where tensors are bytes, or as JSON (RFC 8259),
where they are nested arrays of float32. What is sent and what comes back is the same, bit for bit."""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import numpy as np

from . import safetensors

WIRES = {"safetensors": "application/vnd.safetensors", "json": "application/json"}  # and their Content-Type

TENSORS = ("query", "key", "value", "attn_mask", "key_padding_mask", "head_output")
MASKS = ("attn_mask", "key_padding_mask")
# What `return` can ask for; each is then a key of the answer, with these dimensions: G heads of keys, S all keys, the
# layer's extra ones included. The members of `stats` have their own.
RETURNS = {
    "q": "BHLD",
    "k": "BGSD",
    "v": "BGSD",
    "scores": "BHLS",
    "lse": "BHL",
    "entropy": "BHL",
    "head_output": "BHLD",
    "stats": None,
}
_RESULTS = ("output", "attn_weights", *RETURNS)
_WHOLE = ("indices", "argmax")
# Of the fields in the metadata of safetensors; the others are JSON text.
_SENT_AS_THEY_ARE = ("model", "id", "encoding")
_READ_AS_JSON = ("seed", "warnings")


class TopK(NamedTuple):
    """Weights or scores of which a view chose the largest of each row."""

    values: np.ndarray  # float32 [B, H, L, k], largest first
    indices: np.ndarray  # int32, likewise: which keys; -1 where nothing is attended to


def to_array(name: str, value) -> np.ndarray:
    """`value` (numpy, torch or nested lists) as a bool or float32 array.

    Raises TypeError for what is neither numbers nor booleans, ValueError for ragged lists and for a finite number
    that float32 cannot hold: turned into infinity, it would mean something else."""
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu()
        # numpy has no bfloat16; float16 and bfloat16 both fit into float32
        value = (value.float() if value.is_floating_point() and value.element_size() < 4 else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:  # numpy's words for it are about its own making of arrays
        raise ValueError(f"{name} is ragged: its parts differ in length or depth") from error
    if array.dtype == np.bool_ or array.dtype == np.float32:
        return array
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has elements of type {array.dtype}; numbers or booleans are expected")
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(array)
    if lost.any():
        raise ValueError(f"{name} holds {array[lost][0]}, which is beyond float32")
    return narrow


def like_kind(example, result):
    """The array, or each one in it, of the example's kind: a torch tensor on its device, or numpy."""
    if isinstance(result, TopK):
        return TopK(*(like_kind(example, part) for part in result))
    if isinstance(result, dict):
        return {name: like_kind(example, part) for name, part in result.items()}
    torch = sys.modules.get("torch")  # a tensor can only exist if its module was imported
    if torch is not None and isinstance(example, torch.Tensor):
        return torch.from_numpy(result).to(example.device)
    return result


def _array_text(array: np.ndarray) -> str:
    if array.dtype == np.float32 and np.isfinite(array).all():
        return _numbers_text(array)
    return json.dumps(array.tolist(), separators=(",", ":"))  # writes true, false and -Infinity


def _numbers_text(array: np.ndarray) -> str:
    # Nine significant digits read back to the same float32. One format for a row is three times as fast as
    # json.dumps, and half as long, as that writes the digits of the number as a double.
    if array.ndim == 0:
        return "%.9g" % array
    if array.ndim == 1:
        return "[" + ",".join(["%.9g"] * array.size) % tuple(array.tolist()) + "]"
    return "[" + ",".join(map(_numbers_text, array)) + "]"


def encode_request(fields: dict, wire: str = "json") -> bytes:
    """The body of POST /attend. Fields that are None are left out."""
    return _encode_safetensors(fields) if wire == "safetensors" else _encode_json(fields)


def _encode_safetensors(fields: dict) -> bytes:
    tensors, metadata = {}, {}
    for name, value in fields.items():
        if value is None:
            continue
        if name in TENSORS:
            tensors[name] = to_array(name, value)
        else:
            as_it_is = name in _SENT_AS_THEY_ARE
            metadata[name] = value if as_it_is else json.dumps(value, default=_plain)
    return b"".join(safetensors.pieces(tensors, metadata))


def _encode_json(fields: dict) -> bytes:
    parts = []
    for name, value in fields.items():
        if value is None:
            continue
        text = _array_text(to_array(name, value)) if name in TENSORS else json.dumps(value, default=_plain)
        parts.append(f"{json.dumps(name)}:{text}")
    return ("{" + ",".join(parts) + "}").encode()


def _plain(value):
    """Numbers and arrays of numpy as Python's own, and ranges as lists."""
    if isinstance(value, range):
        return list(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is of type {type(value).__name__}, which is not JSON")


def decode_answer(body: bytes, content_type: str = WIRES["json"]) -> dict:
    """The answer as a dict, its tensors as arrays. Raises ValueError if it is not an answer."""
    return _decode_safetensors(body) if content_type == WIRES["safetensors"] else _decode_json(body)


def _decode_safetensors(body: bytes) -> dict:
    tensors, metadata = safetensors.read(body)
    if "output" not in tensors:
        raise ValueError("the answer is safetensors without an output")
    answer = {name: json.loads(text) if name in _READ_AS_JSON else text for name, text in metadata.items()}
    members = {}  # of results that are more than one tensor: stats.max, attn_weights.values
    for name, array in tensors.items():
        whole, dot, member = name.partition(".")
        if dot:
            members.setdefault(whole, {})[member] = array
        else:
            answer[name] = array
    return {**answer, **{name: _top_k(parts) for name, parts in members.items()}}


def _top_k(parts: dict):
    return TopK(**parts) if set(parts) == {"values", "indices"} else parts


def _decode_json(body: bytes) -> dict:
    answer = json.loads(body)
    if not isinstance(answer, dict) or "output" not in answer:
        raise ValueError("the answer is not a JSON object with an output")
    for name in _RESULTS:
        if name in answer:
            answer[name] = _decode(name, answer[name])
    return answer


def _decode(name: str, value):
    if isinstance(value, dict):
        return _top_k({part: _decode(part, array) for part, array in value.items()})
    array = np.array(value, dtype=np.int32 if name in _WHOLE else np.float32)
    # JSON has no minus infinity; numpy reads null as NaN, which never leaves the service.
    return np.where(np.isnan(array), np.float32(-np.inf), array) if name == "lse" else array
