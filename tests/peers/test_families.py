"""Every family of Hugging Face checkpoints that is served, against transformers.

For each case a small random model is built, saved by its own save_pretrained, and served. The same files are loaded by
transformers with eager attention and run; hooks inside the real model catch what goes into each attention module and
what comes out of it (after the output projection), and the service gets the same hidden states. Causality, windows,
rotation and relative biases are the served layer's own; only padding is part of the request.

The table in docs/families.md is made by:  python tests/peers/test_families.py --table
"""

import dataclasses
import re
import sys
import tempfile
from pathlib import Path
from typing import Optional

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

import numpy as np
import pytest
import requests
import torch
from attend_server import AttendServer
from conftest import REPORT, SEED
from families import CASES, Case, build
from transformers import __version__ as transformers_version

TOLERANCE = 1e-5  # of the largest number


@dataclasses.dataclass
class Seen:
    query: np.ndarray
    key: Optional[np.ndarray]
    mask: Optional[np.ndarray]  # [B, 1, L, S], what the model adds to the scores
    output: np.ndarray
    weights: np.ndarray

    def empty(self):
        """[B, L]: which queries may attend to nothing; transformers makes that the mean of all values."""
        if self.mask is None:
            return np.zeros(self.output.shape[:2], bool)
        rows = (self.mask < -1e30).all(axis=(1, 3))
        return np.broadcast_to(rows, self.output.shape[:2])


def watch(model, places, arguments):
    """Runs the model; what each attention module saw and made, by the name that the service has for the layer."""
    seen, hooks = {}, []

    def on_module(name):
        def hook(_, positional, named, result):
            entry = seen.setdefault(name, {})
            entry["query"] = positional[0] if positional else named["hidden_states"]
            entry["key"] = named.get("key_value_states")
            entry["mask"] = named.get("attention_mask", named.get("mask"))
            entry["weights"] = result[-1]

        return hook

    def on_projection(name):
        return lambda _, positional, result: seen.setdefault(name, {}).update(output=result)

    for path, module in model.named_modules():
        for kind, pattern, inner, projection in places:
            found = re.search(pattern, path)
            if found is None or "vision" in path:
                continue
            name = kind + found["number"]
            inside = module.get_submodule(inner) if inner else module
            hooks.append(inside.register_forward_hook(on_module(name), with_kwargs=True))
            hooks.append(module.get_submodule(projection).register_forward_hook(on_projection(name)))
    with torch.inference_mode():
        model(**arguments)
    for hook in hooks:
        hook.remove()
    as_array = lambda tensor: None if tensor is None else tensor.float().numpy().copy()  # noqa: E731
    return {name: Seen(**{key: as_array(value) for key, value in entry.items()}) for name, entry in seen.items()}


def padding_of(name, arguments):
    """The key_padding_mask (true: not there) of a layer, or None."""
    if "decoder_input_ids" in arguments:
        key = "decoder_attention_mask" if name.startswith("decoder.") else "attention_mask"
    else:
        key = "attention_mask"
    mask = arguments.get(key)
    return None if mask is None else (mask == 0).tolist()


def ask(url, layer, seen, padding):
    body = {"query": seen.query.tolist(), "need_weights": True, "key_padding_mask": padding}
    if seen.key is not None:
        body["key"] = seen.key.tolist()
    answer = requests.post(f"{url}/attend/{layer}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    answer = answer.json()
    return np.array(answer["output"]), np.array(answer["attn_weights"])


def difference(got, want):
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / np.abs(want).max())


def compare(case: Case, directory: Path):
    """The errors of a case: {layer: (of the output, of the weights)}."""
    model = build(case, directory)
    arguments = case.inputs(model.config, np.random.default_rng(SEED))
    layers = watch(model, case.places, arguments)
    errors = {}
    with AttendServer("--model", f"m={directory}") as server:
        served = [entry["name"] for entry in requests.get(f"{server.url}/models", timeout=60).json()["models"]]
        assert sorted(served) == sorted(f"m.{name}" for name in layers)
        for name, seen in layers.items():
            output, weights = ask(server.url, f"m.{name}", seen, padding_of(name, arguments))
            row = seen.weights[0, :, -1]
            assert row.max() > 2 / (row[0] > 0).sum()  # of a mean, any mistake would be one too
            full = ~seen.empty()
            assert full.any(axis=1).all() and not weights.swapaxes(1, 2)[~full].any()
            errors[name] = (
                difference(output[full], seen.output[full]),
                difference(weights.swapaxes(1, 2)[full], seen.weights.swapaxes(1, 2)[full]),
            )
    return errors


def shown(errors):
    """The worst errors of all layers."""
    output, weights = np.array(list(errors.values())).max(axis=0)
    return f"{len(errors)} layers, worst error {output:.1e} of the largest output, {weights:.1e} of the largest weight"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_family(case, tmp_path):
    errors = compare(case, tmp_path / "model")
    assert len(errors) == case.layers
    worst = {layer: pair for layer, pair in errors.items() if max(pair) > TOLERANCE}
    assert not worst
    REPORT.append(f"{case}: {shown(errors)}")


# ---- the table ----

HEADING = """# Checkpoint families

What `attend-server --model NAME=DIRECTORY` reads from a directory that `save_pretrained` of Hugging Face transformers
wrote (one file or shards; F64, F32, F16 or BF16), and how near its answers are to those of transformers {version}.

Each row is a small model with random weights, saved by its own `save_pretrained`, served, and compared layer by layer
with the eager attention of the real model on the hidden states that reach it there: the output after the last
projection, and the attention weights. An error is the largest difference as a fraction of the largest number
of what transformers has; the worst of all layers is shown, the tests allow {tolerance}.

The table is made by `python tests/peers/test_families.py --table`, with weights and inputs from seed {seed}.

| `model_type` | class | what it covers | weights in | layers | output | weights |
|---|---|---|---|---|---|---|"""


def write_table():
    """Replaces what is measured of the page; what it says about keys stays."""
    page = Path(__file__).resolve().parents[2] / "docs/families.md"
    lines = [HEADING.format(version=transformers_version, tolerance=TOLERANCE, seed=SEED)]
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            errors = np.array(list(compare(case, Path(folder) / "model").values()))
        output, weights = errors.max(axis=0)
        kind = str(case.dtype).removeprefix("torch.")
        lines.append(
            f"| {case.family} | {case.model.__name__} | {case.covers} | {kind} | {len(errors)} | {output:.1e} "
            f"| {weights:.1e} |"
        )
        print(lines[-1], flush=True)
    keys = page.read_text().partition("\n## Keys")
    page.write_text("\n".join(lines) + "\n" + "".join(keys[1:]))


if __name__ == "__main__":
    if sys.argv[1:] != ["--table"]:
        sys.exit("usage: python tests/peers/test_families.py --table")
    write_table()
