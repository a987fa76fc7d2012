"""What config.json of real checkpoints says about attention, with layers whose results can be seen: scores of 0, and
values and output as they come in. What is right, transformers' own modules say (tests/peers)."""

import json
import re
import subprocess

import attend
import numpy as np
import pytest
import requests
from attend_server import BINARY, AttendServer

IDENTITY, ZEROS = np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32)


def checkpoint(directory, layers=1, tensors=None, **config):
    """A model of two numbers, with one head."""
    directory.mkdir()
    sizes = dict(hidden_size=2, num_attention_heads=1, num_key_value_heads=1, num_hidden_layers=layers)
    (directory / "config.json").write_text(json.dumps({**sizes, **config}))
    names = zip("qkvo", (ZEROS, ZEROS, IDENTITY, IDENTITY))
    weights = {name: weight for name, weight in names}
    written = {f"model.layers.{n}.self_attn.{p}_proj.weight": weights[p] for n in range(layers) for p in "qkvo"}
    attend.write_safetensors(directory / "model.safetensors", {**written, **(tensors or {})})
    return directory


def check(directory):
    done = subprocess.run([BINARY, "--check", "--model", f"m={directory}"], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


TWO, THREE = [[1, 0], [0, 1]], [[3, 0], [0, 3], [3, 3]]
MEAN = [[0.5, 0.5], [0.5, 0.5]]
WINDOW = dict(model_type="mistral", head_dim=2, sliding_window=1)
ANSWERS = [
    ("decoder", dict(model_type="llama"), "m.0", TWO, [[1, 0], [0.5, 0.5]]),
    ("is_causal", dict(model_type="llama", is_causal=False), "m.0", TWO, MEAN),
    ("is_causal null", dict(model_type="llama", is_causal=None), "m.0", TWO, MEAN),
    ("is_causal and a window", dict(WINDOW, is_causal=False), "m.0", THREE, [[1.5, 1.5], [2, 2], [1.5, 3]]),
    (
        "layer_types of mistral",
        dict(WINDOW, layers=2, layer_types=["sliding_attention", "full_attention"]),
        "m.1",
        TWO,
        [[1, 0], [0.5, 0.5]],
    ),
    (
        "pattern of gemma2",
        dict(WINDOW, model_type="gemma2", layers=2, query_pre_attn_scalar=2, sliding_window_pattern=3),
        "m.1",
        TWO,
        [[1, 0], [0.5, 0.5]],
    ),
]


@pytest.mark.parametrize("config, layer, query, want", [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_answers(config, layer, query, want, tmp_path):
    with AttendServer("--model", f"m={checkpoint(tmp_path / 'm', **config)}") as server:
        answer = requests.post(f"{server.url}/attend/{layer}", json={"query": query}, timeout=60).json()
    assert np.abs(np.array(answer["output"]) - want).max() < 1e-6


def test_a_key_that_is_passed_over_is_a_warning(tmp_path):
    """One line, at --check and at the start, and the layers are served."""
    rope = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768, attn_factor=0.878)
    directory = checkpoint(tmp_path / "m", layers=2, model_type="llama", rope_scaling=rope)
    code, printed, log = check(directory)
    assert code == 0 and "m.1: " in printed
    assert len(re.findall("attn_factor", log)) == 1 and re.search(r'rope_scaling" of type "yarn": "attn_factor"', log)
    with AttendServer("--model", f"m={directory}") as server:
        assert len([line for line in server.log if "attn_factor" in line]) == 1
    rope["attn_factor"] = {"full_attention": 1}
    code, _, log = check(checkpoint(tmp_path / "n", model_type="llama", rope_scaling=rope))
    assert code == 2 and '"attn_factor": expected no object' in log and log.count("\n") == 1


@pytest.mark.parametrize("text", ['"x": Infinity', '"x": 1000000000000000019884624838656', '"x": 1, "x": NaN'])
def test_json_of_python(text, tmp_path):
    directory = checkpoint(tmp_path / "m", model_type="llama")
    path = directory / "config.json"
    path.write_text(path.read_text()[:-1] + f", {text}" + "}")
    assert check(directory)[0] == 0
    path.write_text(path.read_text()[:-1] + ', "rope_theta": Infinity}')
    code, _, log = check(directory)
    assert code == 2 and '"rope_theta": expected a number above 0' in log and "Infinity" in log


def test_quantised_but_not_its_attention(tmp_path):
    mlp = {"model.layers.0.mlp.up_proj.weight": np.zeros((2, 2), np.int32)}
    quantization = dict(quant_method="fp8", modules_to_not_convert=["lm_head", "model.layers.0.self_attn"])
    served = checkpoint(tmp_path / "m", model_type="llama", quantization_config=quantization, tensors=mlp)
    assert check(served)[0] == 0
    scale = {"model.layers.0.self_attn.q_proj.weight_scale_inv": np.ones((1, 1), np.float32)}
    refused = checkpoint(tmp_path / "n", model_type="llama", quantization_config=quantization, tensors=scale)
    code, _, log = check(refused)
    assert code == 2 and '"quantization_config": ' in log and "weight_scale_inv" in log and log.count("\n") == 1
