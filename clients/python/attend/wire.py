"""Requests and answers of the service as JSON (RFC 8259), tensors as nested arrays of float32."""

from __future__ import annotations

import json

import numpy as np

TENSORS = ("query", "key", "value", "attn_mask", "key_padding_mask")
MASKS = ("attn_mask", "key_padding_mask")


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


def encode_request(fields: dict) -> bytes:
    """The body of POST /attend. Fields that are None are left out."""
    parts = []
    for name, value in fields.items():
        if value is None:
            continue
        text = _array_text(to_array(name, value)) if name in TENSORS else json.dumps(value)
        parts.append(f"{json.dumps(name)}:{text}")
    return ("{" + ",".join(parts) + "}").encode()


def decode_answer(body: bytes) -> dict:
    """The answer as a dict, its tensors as float32 arrays. Raises ValueError if it is not an answer."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or "output" not in answer:
        raise ValueError("the answer is not a JSON object with an output")
    for name in ("output", "attn_weights"):
        if name in answer:
            answer[name] = np.array(answer[name], dtype=np.float32)
    return answer
