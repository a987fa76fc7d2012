"""What config.json of a checkpoint may say: which families there are, what is refused and in which words, which layers
there are to be named, and older names for the same rotation. The checkpoints are those of families.py."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from attend_server import BINARY, AttendServer
from conftest import SEED
from families import CASES, LONGROPE, build
from safetensors.torch import load_file, save_file
from test_families import ask, difference, watch


def check(*arguments):
    """Runs attend-server --check: exit code and what it wrote."""
    done = subprocess.run([BINARY, "--check", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def refused(directory: Path, config, layer=""):
    """Writes config.json; the one line with which the start ends."""
    (directory / "config.json").write_text(json.dumps(config))
    if not list(directory.glob("*.safetensors")):
        header = b"{}      "
        (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    code, text = check("--model", f"m={directory}{layer}")
    assert code == 2 and text.count("\n") == 1, text
    return text


def test_every_family_has_a_case():
    """The names in the sentence about an unknown family are those of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        text = refused(Path(folder), {"model_type": "mamba"})
    listed = re.search(r"expected one of those served \((.*?)\), found \"mamba\"", text)[1].split(", ")
    assert sorted(listed) == sorted({case.family for case in CASES})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One small checkpoint each of some families: {name: (directory, its config.json)}."""
    result = {}
    for case in CASES:
        if case.family in ("llama", "gpt2", "qwen2", "gemma3_text", "t5", "bert", "phi3") and case.family not in result:
            directory = tmp_path_factory.mktemp(case.family)
            build(case, directory)
            result[case.family] = directory, json.loads((directory / "config.json").read_text())
    return result


REFUSED = [
    ("llama", {"rope_parameters": {"rope_type": "spiral"}}, 'rope_parameters": "rope_type": expected one of'),
    ("llama", {"rope_scaling": {"type": "proportional", "factor": 2.0}}, 'rope_scaling": "type": expected one of'),
    ("llama", {"rope_parameters": {"rope_type": "linear"}}, '"factor" is missing'),
    ("llama", {"rope_parameters": 7}, "expected an object, found 7"),
    ("llama", {"partial_rotary_factor": 0.5}, "layers of this family rotate all 8 numbers of a head, found 4"),
    ("llama", {"num_key_value_heads": 4}, "expected a divisor of num_heads, which is 6"),
    ("llama", {"num_key_value_heads": 3}, 'k_proj.weight": expected shape [24, 48], found [16, 48]'),
    ("llama", {"attention_bias": True}, 'q_proj.bias": missing, expected with shape [48]'),
    ("llama", {"attention_bias": "yes"}, '"attention_bias": expected true or false'),
    ("llama", {"quantization_config": {"bits": 4}}, '"quantization_config": quantised weights are not served'),
    ("llama", {"hidden_size": None}, '"hidden_size": expected a whole number'),
    ("gpt2", {"add_cross_attention": True}, '"add_cross_attention": expected false, found true'),
    ("bert", {"position_embedding_type": "relative_key"}, "relative positions change the scores"),
    ("qwen2", {"layer_types": ["full_attention", "linear_attention"]}, '"layer_types[1]": expected'),
    ("qwen2", {"layer_types": ["full_attention"]}, "expected an array with a string for each layer"),
    ("qwen2", {"use_sliding_window": False}, 'layer 1 has a window, but no "sliding_window" is in use'),
    ("gemma3_text", {"query_pre_attn_scalar": 0}, '"query_pre_attn_scalar": expected a number above 0'),
    ("phi3", {"rope_parameters": dict(LONGROPE, short_factor=[1.0])}, '"short_factor": expected'),
    ("t5", {"relative_attention_num_buckets": 3}, "expected at least 4 buckets"),
    ("t5", {"num_decoder_layers": 4}, 'decoder.block.3.layer.0.SelfAttention.q.weight": missing'),
]


@pytest.mark.parametrize("family, change, says", REFUSED, ids=[f"{row[0]} {row[1]}"[:60] for row in REFUSED])
def test_refused(saved, family, change, says):
    directory, config = saved[family]
    try:
        assert says in refused(directory, {**config, **change})
    finally:
        (directory / "config.json").write_text(json.dumps(config))


def test_one_layer(saved):
    directory, _ = saved["t5"]
    code, text = check("--model", f"one={directory}#cross.2", "--model", f"two={saved['llama'][0]}#1")
    assert code == 0, text
    for layer in ("3", "cross", "cross.", "cross.3", "cross.-1", "encoder.99999999999999999999", "cross.2x"):
        code, text = check("--model", f"one={directory}#{layer}")
        assert code == 2 and text.count("\n") == 1, (layer, text)
    assert "encoder.0 to encoder.1, decoder.0 to decoder.2, cross.0 to cross.2" in check(
        "--model", f"one={directory}#cross.3"
    )[1]


def test_float8_weights(tmp_path):
    """Without a quantization_config they are numbers like others, to transformers and to the service."""
    case = next(case for case in CASES if case.family == "llama")
    build(case, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    for name in weights:
        if "q_proj" in name or "k_proj" in name:
            weights[name] = weights[name].to(torch.float8_e4m3fn if "q_proj" in name else torch.float8_e5m2)
    save_file(weights, path, metadata={"format": "pt"})
    model = case.model.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    arguments = case.inputs(model.config, np.random.default_rng(SEED))
    del arguments["attention_mask"]
    with AttendServer("--model", f"m={tmp_path}") as server:
        for name, seen in watch(model, case.places, arguments).items():
            output, weights = ask(server.url, f"m.{name}", seen, None)
            assert difference(output, seen.output) < 1e-5 and difference(weights, seen.weights) < 1e-5


def test_older_names_of_longrope(saved):
    """Phi-3 first called it su, and then yarn, which is something else everywhere else."""
    directory, config = saved["phi3"]
    answers = []
    query = np.random.default_rng(SEED).standard_normal((1, 60, 48)).tolist()
    rope = dict(LONGROPE)
    del rope["rope_type"]
    try:
        for name in ("longrope", "su", "yarn"):
            changed = {**config, "rope_scaling": {**rope, "type": name}, "original_max_position_embeddings": 48}
            (directory / "config.json").write_text(json.dumps(changed))
            with AttendServer("--model", f"m={directory}") as server:
                answer = requests.post(f"{server.url}/attend/m.1", json={"query": query}, timeout=60)
                answers.append(answer.json()["output"])
    finally:
        (directory / "config.json").write_text(json.dumps(config))
    assert answers[0] == answers[1] == answers[2]
