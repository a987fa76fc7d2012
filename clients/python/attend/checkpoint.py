"""Model directories for the service: config.json and model.safetensors."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path

import numpy as np

from . import safetensors
from .generator import uniform
from .wire import to_array

_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


def write_safetensors(path, tensors: dict) -> None:
    """Writes numpy arrays (float16, float32 or float64; bool or int32) to `path`, which is complete or not there at
    all."""
    with _replacing(path) as file:
        file.writelines(safetensors.pieces(tensors))


@contextlib.contextmanager
def _replacing(path):
    """A file that takes its place under `path` when it is complete: a service that reloads sees old or new."""
    partial = Path(f"{path}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def init_weights(embed_dim: int = 512, num_heads: int = 8, bias: bool = True, seed: int = 0) -> dict:
    """The weights of the service's model `init:embed_dim=...,num_heads=...,bias=...,seed=...`, under the names of
    torch.nn.MultiheadAttention.state_dict(), as float32 arrays. The defaults are those of `demo`.

    Xavier uniform as torch draws it, from splitmix64(seed): the joint in_proj as one [3E, E] matrix, then
    out_proj; the biases are 0. The number of heads does not change the weights; it must divide embed_dim."""
    if embed_dim % num_heads:
        raise ValueError(f"num_heads is {num_heads}, which does not divide embed_dim {embed_dim}")
    joint = 3 * embed_dim * embed_dim
    weights = {
        "in_proj_weight": uniform(seed, joint, math.sqrt(6.0 / (4 * embed_dim))).reshape(-1, embed_dim),
        "in_proj_bias": np.zeros(3 * embed_dim, np.float32),
        "out_proj.weight": uniform(seed, embed_dim * embed_dim, math.sqrt(6.0 / (2 * embed_dim)), skip=joint),
        "out_proj.bias": np.zeros(embed_dim, np.float32),
    }
    weights["out_proj.weight"] = weights["out_proj.weight"].reshape(-1, embed_dim)
    return weights if bias else {name: array for name, array in weights.items() if not name.endswith("bias")}


def save_layer(weights: dict, directory, *, num_heads: int, dropout: float = 0.0, **options) -> Path:
    """Writes arrays named as in torch.nn.MultiheadAttention.state_dict() as a model directory; returns its path.

    The directory is made if need be. Widths, biases and add_bias_kv are read off the arrays, which are stored as
    float32. `options` are more of the service's config.json, as they are: add_zero_attn=True, num_kv_heads=2, ...
    Raises ValueError where there are no matrices to read the widths off."""
    arrays = {name: to_array(name, array) for name, array in weights.items()}
    _check_matrices(arrays)
    embed_dim = arrays["out_proj.weight"].shape[0]
    config = {"embed_dim": embed_dim, "num_heads": num_heads}
    for width, name in (("kdim", "k_proj_weight"), ("vdim", "v_proj_weight")):
        if name in arrays and arrays[name].shape[1] != embed_dim:
            config[width] = arrays[name].shape[1]
    config["bias"] = "out_proj.bias" in arrays
    config["dropout"] = dropout
    if "bias_k" in arrays:
        config["add_bias_kv"] = True
    config.update(options)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_safetensors(directory / "model.safetensors", arrays)
    with _replacing(directory / "config.json") as file:
        file.write((json.dumps(config, indent=2) + "\n").encode())
    return directory


def _check_matrices(arrays: dict) -> None:
    inputs = ("in_proj_weight",) if "in_proj_weight" in arrays else _SEPARATE
    for name in ("out_proj.weight", *inputs):
        if name not in arrays:
            raise ValueError(
                f"the weights have no {name}; expected the names of torch.nn.MultiheadAttention.state_dict(): "
                f"in_proj_weight (or {', '.join(_SEPARATE)}), out_proj.weight and, with biases, in_proj_bias, "
                f"out_proj.bias; found {', '.join(map(str, arrays)) or 'none'}"
            )
        if arrays[name].ndim != 2:
            raise ValueError(f"{name} has the shape {list(arrays[name].shape)}; a matrix is expected")


def save_model(module, directory) -> Path:
    """Writes a torch.nn.MultiheadAttention as a directory that `attend-server --model NAME=DIRECTORY` serves.

    The service takes the batch first, [B, L, E], whatever the module's batch_first says. Raises TypeError for
    another kind of module."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(module, torch.nn.MultiheadAttention):
        raise TypeError(f"save_model takes a torch.nn.MultiheadAttention, not a {type(module).__name__}")
    options = {"add_zero_attn": True} if module.add_zero_attn else {}
    return save_layer(
        module.state_dict(), directory, num_heads=module.num_heads, dropout=module.dropout, **options
    )
