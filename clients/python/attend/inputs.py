"""Requests for the commands: from a file, or made up from a seed; with the labels of their tokens."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Optional

import numpy as np

from .generator import random_tensor
from .wire import TENSORS, to_array

DEMO_SENTENCE = "the quick brown fox jumps over the lazy dog"
# Random vectors of variance 1 give scores so small that every weight is nearly 1/S. Longer ones give a layer
# with random weights something to choose between.
DEMO_SCALE = 3.0

_LABELS = ("labels", "query_labels", "key_labels")


class InputError(Exception):
    """An input file or option that cannot be used, in one sentence."""


@dataclasses.dataclass
class Request:
    """What is sent, and what its tokens are called."""

    fields: dict  # of the request; tensors as float32 or bool arrays
    query_labels: Optional[list] = None  # one list of strings for each batch element
    key_labels: Optional[list] = None
    source: str = ""  # where it came from, for people

    @property
    def query(self) -> np.ndarray:
        return self.fields["query"]

    @property
    def key(self) -> np.ndarray:
        key = self.fields.get("key")
        return self.query if key is None else key

    @property
    def is_self_attention(self) -> bool:
        return self.fields.get("key") is None

    def describe(self) -> str:
        shapes = [
            f"{name} {list(self.fields[name].shape)}" for name in TENSORS if self.fields.get(name) is not None
        ]
        return ", ".join(shapes) + (", causal" if self.fields.get("is_causal") else "")


def load(path) -> Request:
    """A request from FILE.npy (the query), FILE.npz (arrays named like the fields) or FILE.json (the body of a
    request). Labels stand in the .npz, or beside the .json in FILE.labels.json: `labels` for self-attention, or
    `query_labels` and `key_labels`, one list of strings for each batch element."""
    path = Path(path)
    readers = {".npy": _load_npy, ".npz": _load_npz, ".json": _load_json}
    if path.suffix not in readers:
        raise InputError(f"{path} is neither .npy, .npz nor .json")
    try:
        values = readers[path.suffix](path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if "query" not in values:
        raise InputError(f"{path} has no query")
    return _assemble(values, str(path))


def _load_npy(path: Path) -> dict:
    return {"query": np.load(path)}


def _load_npz(path: Path) -> dict:
    with np.load(path) as arrays:
        return {name: arrays[name] if name in TENSORS else arrays[name].tolist() for name in arrays.files}


def _load_json(path: Path) -> dict:
    values = json.loads(path.read_text())
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    labels = path.with_suffix(".labels.json")
    if labels.exists():
        values.update(json.loads(labels.read_text()))
    return values


def _assemble(values: dict, source: str) -> Request:
    try:
        fields = {
            name: to_array(name, value) if name in TENSORS else value
            for name, value in values.items()
            if name not in _LABELS and value is not None
        }
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: {error}") from error
    query_labels = values.get("query_labels", values.get("labels"))
    key_labels = values.get("key_labels", None if "key" in fields else values.get("labels"))
    return Request(fields, _per_batch(query_labels), _per_batch(key_labels), source)


def _per_batch(labels) -> Optional[list]:
    """One list of strings for each batch element; a single list stands for an unbatched request."""
    if labels is None:
        return None
    return [labels] if all(isinstance(label, str) for label in labels) else labels


def random_request(shape: tuple, seed: int, key_length: Optional[int] = None, widths: tuple = ()) -> Request:
    """Random query [B, L, E] (or [L, E]); with a key length, key and value of that length too, of `widths`
    (kdim, vdim) or E."""
    fields = {"query": random_tensor(shape, seed, 1)}
    if key_length is not None:
        kdim, vdim = widths or (shape[-1], shape[-1])
        fields["key"] = random_tensor(shape[:-2] + (key_length, kdim), seed, 2)
        fields["value"] = random_tensor(shape[:-2] + (key_length, vdim), seed, 3)
    return Request(fields, source=f"random, seed {seed}")


def demo_request(embed_dim: int, seed: int, sentence: str = DEMO_SENTENCE) -> Request:
    """Self-attention over the words of a sentence, [1, L, E]: one random vector for each distinct word, so that
    a word that comes twice shows as two equal columns."""
    words = sentence.split()
    distinct = {word: number for number, word in enumerate(dict.fromkeys(words), start=1)}
    vectors = [DEMO_SCALE * random_tensor((embed_dim,), seed, distinct[word]) for word in words]
    query = np.stack(vectors).astype(np.float32)[None]
    return Request({"query": query}, [words], [words], f"one random vector per word, seed {seed}")
