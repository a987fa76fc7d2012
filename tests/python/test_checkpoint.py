"""Model directories, and the generator behind the demo model's weights."""

import json
import math
import sys
import types

import attend
import numpy as np
import pytest
from attend_server import AttendServer
from conftest import random_layer
from oracle import attention


def plain_splitmix64(seed, count):
    """The generator as its authors wrote it, one number at a time."""
    state, numbers = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


@pytest.mark.parametrize("seed", [0, 1, 1234567, 2**64 - 1])
def test_splitmix64(seed):
    assert attend.splitmix64(seed, 100).tolist() == plain_splitmix64(seed, 100)
    assert attend.splitmix64(seed, 10, skip=90).tolist() == plain_splitmix64(seed, 100)[90:]


def test_splitmix64_known_numbers():
    """The first numbers of seed 1234567, as published with the reference implementation's ports."""
    assert attend.splitmix64(1234567, 3).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_init_weights_are_drawn_as_documented():
    weights = attend.init_weights(8, 2, bias=True, seed=5)
    assert list(weights) == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    numbers = plain_splitmix64(5, 4 * 64)
    bounds = [math.sqrt(6 / 32)] * (3 * 64) + [math.sqrt(6 / 16)] * 64
    want = [np.float32((2 * ((x >> 40) * 2.0**-24) - 1) * bound) for x, bound in zip(numbers, bounds)]
    assert weights["in_proj_weight"].ravel().tolist() == want[:192]
    assert weights["out_proj.weight"].ravel().tolist() == want[192:]
    assert not weights["in_proj_bias"].any() and not weights["out_proj.bias"].any()
    assert list(attend.init_weights(8, 2, bias=False)) == ["in_proj_weight", "out_proj.weight"]
    with pytest.raises(ValueError, match="does not divide"):
        attend.init_weights(8, 3)


@pytest.mark.parametrize("bias", [True, False])
def test_init_specs_serve_these_weights(bias, rng):
    spec = f"init:embed_dim=24,num_heads=4,bias={str(bias).lower()},seed=99"
    x = rng.standard_normal((2, 6, 24)).astype(np.float32)
    with AttendServer("--model", spec) as server:
        output = attend.MultiHeadAttention(server.url)(x)
    want = attention(attend.init_weights(24, 4, bias, 99), 4, x)[0]
    np.testing.assert_allclose(output, want, rtol=0, atol=2e-6)


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return length, header, data[8 + length :]


def test_safetensors_file(tmp_path, rng):
    tensors = {"a": rng.standard_normal((3, 2)).astype(np.float32), "b": np.arange(5, dtype=np.float64)}
    tensors["c"] = np.asfortranarray(rng.standard_normal((4, 3)).astype(np.float16))
    attend.write_safetensors(tmp_path / "x.safetensors", tensors)
    length, header, data = read_safetensors(tmp_path / "x.safetensors")
    assert length % 8 == 0
    end = 0
    for name, array in tensors.items():
        start, stop = header[name]["data_offsets"]
        assert start == end
        end = stop
        assert header[name]["shape"] == list(array.shape)
        assert data[start:stop] == array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert end == len(data)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("widths", [{}, {"kdim": 5}, {"vdim": 3}, {"kdim": 5, "vdim": 3}])
def test_config(tmp_path, rng, widths):
    directory = attend.save_layer(
        random_layer(rng, 8, **widths), tmp_path / "layer", num_heads=2, dropout=0.25
    )
    config = json.loads((directory / "config.json").read_text())
    assert config == {"embed_dim": 8, "num_heads": 2, "bias": True, "dropout": 0.25, **widths}


def test_config_of_extra_keys_and_other_options(tmp_path, rng):
    extra = {"bias_k": np.zeros((1, 1, 8), np.float32), "bias_v": np.zeros((1, 1, 8), np.float32)}
    weights = {**random_layer(rng, 8), **extra}
    options = {"add_zero_attn": True, "causal": True, "scale": [1.0, 0.5]}
    directory = attend.save_layer(weights, tmp_path / "layer", num_heads=2, **options)
    config = json.loads((directory / "config.json").read_text())
    plain = {"embed_dim": 8, "num_heads": 2, "bias": True, "dropout": 0.0}
    assert config == {**plain, "add_bias_kv": True, **options}


class Module:
    """What save_model reads of a torch.nn.MultiheadAttention."""

    def __init__(self, weights, num_heads, dropout, add_zero_attn):
        self.weights, self.num_heads = weights, num_heads
        self.dropout, self.add_zero_attn = dropout, add_zero_attn

    def state_dict(self):
        return self.weights


@pytest.mark.parametrize("extra", [(), ("bias_k", "bias_v")])
@pytest.mark.parametrize("add_zero_attn", [False, True])
def test_save_model_keeps_extra_keys_and_dropout(tmp_path, rng, monkeypatch, extra, add_zero_attn):
    torch = types.SimpleNamespace(nn=types.SimpleNamespace(MultiheadAttention=Module), Tensor=())
    monkeypatch.setitem(sys.modules, "torch", torch)
    weights = random_layer(rng, 8)
    weights.update({name: rng.standard_normal((1, 1, 8)).astype(np.float32) for name in extra})
    path = attend.save_model(Module(weights, 2, 0.25, add_zero_attn), tmp_path / "layer")
    assert json.loads((path / "config.json").read_text())["dropout"] == 0.25
    x = rng.standard_normal((1, 4, 8)).astype(np.float32)
    with AttendServer("--model", f"m={path}") as server:
        output, attn = attend.MultiHeadAttention(server.url)(x, need_weights=True)
    want_output, want_attn = attention(weights, 2, x, add_zero_attn=add_zero_attn)
    np.testing.assert_allclose(output, want_output, rtol=0, atol=2e-6)
    np.testing.assert_allclose(attn, want_attn, rtol=0, atol=2e-6)


def test_double_weights_are_stored_as_float32(tmp_path, rng):
    weights = {name: array.astype(np.float64) + 1e-12 for name, array in random_layer(rng, 8).items()}
    directory = attend.save_layer(weights, tmp_path / "layer", num_heads=2)
    _, header, _ = read_safetensors(directory / "model.safetensors")
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    weights["out_proj.bias"][3] = 1e300
    with pytest.raises(ValueError, match="out_proj.bias holds 1e\\+300"):
        attend.save_layer(weights, tmp_path / "layer", num_heads=2)


def test_save_model_takes_torch_modules_only(tmp_path):
    with pytest.raises(TypeError, match="takes a torch.nn.MultiheadAttention, not a dict"):
        attend.save_model({}, tmp_path / "layer")


@pytest.mark.parametrize("missing", ["out_proj.weight", "in_proj_weight"])
def test_save_layer_names_what_is_missing(tmp_path, rng, missing):
    weights = random_layer(rng, 8)
    weights["a"] = weights.pop(missing)
    name = "q_proj_weight" if missing == "in_proj_weight" else missing
    with pytest.raises(ValueError, match=f"the weights have no {name}; expected the names of torch"):
        attend.save_layer(weights, tmp_path / "layer", num_heads=2)
    assert not (tmp_path / "layer").exists()


def test_save_layer_wants_matrices(tmp_path, rng):
    weights = {**random_layer(rng, 8), "out_proj.weight": np.zeros(8, np.float32)}
    with pytest.raises(ValueError, match=r"out_proj.weight has the shape \[8\]; a matrix"):
        attend.save_layer(weights, tmp_path / "layer", num_heads=2)
