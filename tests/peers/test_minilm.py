"""All six attention layers of all-MiniLM-L6-v2 on what they really see, against transformers with eager attention: the
output of the attention's dense projection (before residual and LayerNorm) and the attention probabilities."""

import json

import attend
import minilm
import numpy as np
import pytest
import torch
from attend_server import AttendServer
from conftest import REPORT, ROOT

LAYERS = 6
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def loaded():
    return minilm.load()


@pytest.fixture(scope="module")
def seen(loaded):
    return minilm.capture(*loaded, minilm.SENTENCES)


@pytest.fixture(scope="module")
def expected(loaded):
    """Per layer what transformers computes: (what goes in, dense output, probabilities)."""
    tokenizer, model = loaded
    encoded = tokenizer(list(minilm.SENTENCES), padding=True, return_tensors="pt")
    dense = []
    hooks = [
        layer.attention.output.dense.register_forward_hook(lambda *call: dense.append(call[2].numpy().copy()))
        for layer in model.encoder.layer
    ]
    with torch.inference_mode():
        result = model(**encoded, output_attentions=True, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    states = [state.numpy() for state in result.hidden_states[:LAYERS]]
    return list(zip(states, dense, [weights.numpy() for weights in result.attentions]))


@pytest.fixture(scope="module")
def url():
    with AttendServer("--model", f"minilm={minilm.model_dir()}") as server:
        REPORT.append("MiniLM, largest differences to transformers:  output   probabilities")
        yield server.url


def test_what_the_layers_see(seen, expected):
    assert seen["hidden"].shape == (LAYERS, 3, len(seen["labels"][0]), 384)
    assert seen["padding"].any() and len({int(row.sum()) for row in seen["padding"]}) == 3  # three lengths
    for hidden, (state, _, _) in zip(seen["hidden"], expected):
        np.testing.assert_array_equal(hidden, state)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_layer(url, seen, expected, layer):
    mha = attend.MultiHeadAttention(url, f"minilm.{layer}")
    output, weights = mha(seen["hidden"][layer], key_padding_mask=seen["padding"], need_weights=True)
    _, want_output, want_weights = expected[layer]
    output_error, weights_error = np.abs(output - want_output).max(), np.abs(weights - want_weights).max()
    REPORT.append(
        f"  layer {layer}                                    {output_error:.1e}  {weights_error:.1e}"
    )
    assert output.shape == want_output.shape and weights.shape == want_weights.shape
    assert output_error <= TOLERANCE and weights_error <= TOLERANCE
    assert not weights[np.broadcast_to(seen["padding"][:, None, None], weights.shape)].any()


def test_committed_request(seen):
    """clients/curl/minilm.json is what the example makes."""
    body = json.loads((ROOT / "clients/curl/minilm.json").read_text())
    layer = int(body["model"].removeprefix("minilm."))
    np.testing.assert_allclose(np.array(body["query"]), seen["hidden"][layer], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(body["key_padding_mask"], seen["padding"])
    assert json.loads((ROOT / "clients/curl/minilm.labels.json").read_text())["labels"] == seen["labels"]
