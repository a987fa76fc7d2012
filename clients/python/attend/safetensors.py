"""The safetensors format (huggingface/safetensors, README, "Format"): eight bytes with the header's length, a JSON
header, and the tensors' bytes, without holes and overlaps. Reading and writing it needs no package."""

from __future__ import annotations

import json
import math
from typing import Optional

import numpy as np

_METADATA = "__metadata__"
_LENGTH_BYTES = 8
_NAMES = {"bool": "BOOL", "int32": "I32", "float16": "F16", "float32": "F32", "float64": "F64"}
_DTYPES = {"BOOL": "?", "I32": "<i4", "F16": "<f2", "F32": "<f4", "F64": "<f8"}


def pieces(tensors: dict, metadata: Optional[dict] = None) -> list:
    """A file of numpy arrays, as pieces of bytes to be written one after the other: the header, then each array's."""
    header = {_METADATA: metadata} if metadata else {}
    data, offset = [], 0
    for name, array in tensors.items():
        dtype = _NAMES[array.dtype.name]
        data.append(array.astype(_DTYPES[dtype], copy=False).tobytes())
        end = offset + array.nbytes
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return [len(text).to_bytes(_LENGTH_BYTES, "little") + text, *data]


def read(body: bytes) -> tuple:
    """The tensors, by name, as writable arrays of their own, and the metadata. Raises ValueError, in one sentence, for
    what is not safetensors."""
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if len(body) < start:
        raise ValueError(f"{len(body)} bytes with a header of {length} are not safetensors")
    header = json.loads(body[_LENGTH_BYTES:start])
    if not isinstance(header, dict):
        raise ValueError("the safetensors header is not a JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError(f"{_METADATA} in the safetensors header is not an object of strings")
    data = memoryview(body)[start:]
    return {name: _tensor(name, entry, data) for name, entry in header.items()}, metadata


def _tensor(name: str, entry: dict, data: memoryview) -> np.ndarray:
    try:
        dtype, shape, (begin, end) = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        if not 0 <= begin <= end <= len(data):
            raise ValueError("outside of the data")
        array = np.frombuffer(data[begin:end], dtype)
        if array.size != math.prod(shape):
            raise ValueError("of another size")
        # A copy: of the machine's byte order, aligned, writable, and not keeping the whole body alive.
        return array.reshape(shape).astype(dtype.newbyteorder("="))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {entry} in the safetensors header: no tensor in {len(data)} bytes") from error
