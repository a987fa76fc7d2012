"""Requests for the commands: from a file, or made up from a seed; with the labels of their tokens."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Optional

import numpy as np

from .client import Client
from .generator import random_tensor
from .patterns import Patterns
from .wire import TENSORS, to_array

DEMO_SENTENCE = "the quick brown fox jumps over the lazy dog"
# Random vectors of variance 1 give scores so small that every weight is nearly 1/S. Longer ones give a layer
# with random weights something to choose between.
DEMO_SCALE = 3.0

_LABELS = ("labels", "query_labels", "key_labels")


class InputError(Exception):
    """An input file or option that cannot be used, in one sentence."""


class UsageError(InputError):
    """Options that do not go together."""


@dataclasses.dataclass
class Request:
    """What is sent, and what its tokens are called."""

    fields: dict  # of the request; tensors as float32 or bool arrays
    query_labels: Optional[list] = None  # one list of strings for each batch element
    key_labels: Optional[list] = None
    source: str = ""  # where it came from, for people
    note: str = ""  # what a picture must say about the input
    head_names: Optional[list] = None  # of the model, where it has names for its heads
    body: Optional[bytes] = None  # the file's own bytes, sent as they are until `set` changes a field
    problem: str = ""  # why `fields` do not hold what is in the body

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

    def set(self, name: str, value) -> None:
        """Sets a field. Where that changes it, the body must be written anew."""
        if self.fields.get(name) == value:
            return
        if self.problem:
            raise InputError(self.problem)
        self.fields[name] = value
        self.body = None

    def describe(self) -> str:
        shapes = [
            f"{name} {list(self.fields[name].shape)}" for name in TENSORS if self.fields.get(name) is not None
        ]
        return ", ".join(shapes) + (", causal" if self.fields.get("is_causal") else "")


def client_of(options, **more) -> Client:
    """The service that a command's options name. A command is one process and has one caller on each connection, so
    requests go without ids of ours: a proxy may put its own in."""
    return Client(options.url, options.timeout, request_ids=False, **more)


def load(path, with_labels: bool = False) -> Request:
    """A request from FILE.npy (the query), FILE.npz (arrays named like the fields) or FILE.json (the body of a
    request). Labels stand in the .npz, or beside the .json in FILE.labels.json: `labels` for self-attention, or
    `query_labels` and `key_labels`, one list of strings for each batch element. A .json that cannot be read is
    for the service to judge: its bytes are in `body`, and `problem` says what is wrong."""
    path = Path(path)
    readers = {".npy": _load_npy, ".npz": _load_npz, ".json": _load_json}
    if path.suffix not in readers:
        raise InputError(f"{path} is neither .npy, .npz nor .json")
    try:
        request, labels = readers[path.suffix](path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if with_labels and not request.problem:
        origin = path
        if path.suffix == ".json" and not labels:
            origin = path.with_suffix(".labels.json")
            labels = _labels_beside(origin)
        _set_labels(request, labels, origin)
    return request


def _load_npy(path: Path) -> tuple:
    query = _load_numpy(path)
    if not isinstance(query, np.ndarray):
        raise InputError(f"{path} is not a .npy file that numpy wrote")
    return Request(_fields({"query": query}, path), source=str(path)), {}


def _load_npz(path: Path) -> tuple:
    arrays = _load_numpy(path)
    if not isinstance(arrays, dict):
        raise InputError(f"{path} is not a .npz file that numpy wrote")
    if not _has_input(arrays):
        raise InputError(f"{path} has no query, and no head_output either")
    values = {name: array if name in TENSORS else array.tolist() for name, array in arrays.items()}
    labels = {name: values.pop(name) for name in _LABELS if name in values}
    return Request(_fields(values, path), source=str(path)), labels


def _load_numpy(path: Path):
    """The array of a .npy file, or a dict of those of a .npz."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        # numpy's own sentence advises to allow pickles, which could run a stranger's code.
        raise InputError(
            f"{path} is not a {path.suffix} file that numpy wrote, or holds Python objects"
        ) from error


def _load_json(path: Path) -> tuple:
    request = Request({}, source=str(path), body=path.read_bytes())
    try:
        values = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        request.problem = f"{path} is not JSON: {error}"
        return request, {}
    if not isinstance(values, dict):
        request.problem = f"{path} is not a JSON object"
        return request, {}
    labels = {name: values.pop(name) for name in _LABELS if name in values}
    # The service takes one list for all batch elements; what else there may be is ours.
    if "labels" in labels or not all(map(_is_strings, labels.values())):
        request.body = None
    else:
        values.update(labels)
    try:
        request.fields = _fields(values, path)
    except InputError as error:
        if request.body is None:
            raise
        request.fields = {name: value for name, value in values.items() if name not in TENSORS}
        request.problem = str(error)
    if not _has_input(request.fields) and not request.problem:
        request.problem = f"{path} has no query, and no head_output either"
    return request, labels


def _has_input(fields: dict) -> bool:
    return "query" in fields or "head_output" in fields


def _fields(values: dict, path: Path) -> dict:
    try:
        return {
            name: to_array(name, value) if name in TENSORS else value
            for name, value in values.items()
            if value is not None
        }
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def _labels_beside(path: Path) -> dict:
    """The labels of NAME.labels.json, none if there is no such file."""
    try:
        labels = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(labels, dict):
        raise InputError(f'{path} is not a JSON object like {{"labels": [["a", "b"]]}}')
    return labels


def _set_labels(request: Request, values: dict, origin: Path) -> None:
    shared = "labels" if "labels" in values else None
    query_name = "query_labels" if "query_labels" in values else shared
    key_name = "key_labels" if "key_labels" in values else shared if request.is_self_attention else None
    request.query_labels = _per_batch(values, query_name, origin)
    request.key_labels = _per_batch(values, key_name, origin)


def _per_batch(values: dict, name: Optional[str], origin: Path) -> Optional[list]:
    """One list of strings for each batch element; a single list stands for an unbatched request."""
    labels = values.get(name)
    if labels is None:
        return None
    if _is_strings(labels):
        return [labels]
    if isinstance(labels, list) and all(map(_is_strings, labels)):
        return labels
    raise InputError(
        f"{name} in {origin} are neither a list of strings nor one list of strings for each batch element"
    )


def _is_strings(value) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def check_writable(path) -> None:
    """Raises InputError where a file cannot be written, before anything is measured or asked for it."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} cannot be written: it is a directory")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: permission denied")


def random_request(shape: tuple, seed: int, key_length: Optional[int] = None, widths: tuple = ()) -> Request:
    """Random query [B, L, E] (or [L, E]); with a key length, key and value of that length too, of `widths`
    (kdim, vdim) or E."""
    fields = {"query": random_tensor(shape, seed, 1)}
    if key_length is not None:
        kdim, vdim = widths or (shape[-1], shape[-1])
        fields["key"] = random_tensor(shape[:-2] + (key_length, kdim), seed, 2)
        fields["value"] = random_tensor(shape[:-2] + (key_length, vdim), seed, 3)
    words = f"random, seed {seed}"
    return Request(fields, source=words, note=f"inputs: {words}")


def demo_request(embed_dim: int, seed: int, sentence: str = DEMO_SENTENCE) -> Request:
    """Self-attention over words, [1, L, E]: one random vector for each distinct word, so that a word that comes
    twice shows as two equal columns. Nothing else about the words goes in."""
    words = sentence.split()
    distinct = {word: number for number, word in enumerate(dict.fromkeys(words), start=1)}
    vectors = [DEMO_SCALE * random_tensor((embed_dim,), seed, distinct[word]) for word in words]
    query = np.stack(vectors).astype(np.float32)[None]
    source = f"one random vector a word, seed {seed}"
    return Request({"query": query}, [words], [words], source, f"inputs: {source}")


def text_request(patterns: Patterns, text: str) -> Request:
    """Self-attention over the tokens of a text, [1, L, E], as the model's rule makes vectors of them."""
    tokens = patterns.split(text)
    fields = {"query": patterns.embed(tokens)[None]}
    names = [head["name"] for head in patterns.heads]
    return Request(fields, [tokens], [tokens], f"text of {len(tokens)} tokens", head_names=names)


def note_random(request: Request, info: dict) -> None:
    """Adds to the note of random input what it is to the model. One that was drawn at random itself is a toy;
    to any other the input is noise, and its picture says nothing about what the model does."""
    if request.note:
        toy = info.get("layout") == "init"
        request.note += "; the model's weights are random too" if toy else ": noise to this model"
