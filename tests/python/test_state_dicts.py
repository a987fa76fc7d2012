"""A layer out of the state_dict of a larger torch module."""

import json
import subprocess

import attend
import numpy as np
import requests
from attend_server import BINARY, AttendServer


def test_a_layer_of_a_state_dict(rng, tmp_path):
    """The same answer from a part of a torch.nn.TransformerEncoder's state_dict as from that layer alone."""
    weights = {
        f"encoder.layers.{n}.self_attn.{name}": rng.standard_normal(shape).astype(np.float32)
        for n in range(2)
        for name, shape in (("in_proj_weight", (24, 8)), ("in_proj_bias", (24,)), ("out_proj.weight", (8, 8)),
                            ("out_proj.bias", (8,)))
    }  # fmt: skip
    prefix = "encoder.layers.1.self_attn."
    alone = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    whole = attend.save_layer(alone, tmp_path / "alone", num_heads=2)
    directory = tmp_path / "whole"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(dict(embed_dim=8, num_heads=2)))
    weights["encoder.layers.0.linear1.weight"] = np.ones((3, 8), np.float32)
    attend.write_safetensors(directory / "model.safetensors", weights)
    done = subprocess.run([BINARY, "--check", "--model", f"m={directory}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "encoder.layers.0.self_attn., encoder.layers.1.self_attn." in done.stderr
    query = rng.standard_normal((5, 8)).tolist()
    with AttendServer("--model", f"a={whole}", "--model", f"b={directory}#{prefix}") as server:
        ask = lambda name: requests.post(f"{server.url}/attend/{name}", json={"query": query}, timeout=60)  # noqa: E731
        answers = [ask(name).json() for name in "ab"]
    assert answers[0]["output"] == answers[1]["output"]
