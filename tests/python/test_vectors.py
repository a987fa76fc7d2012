"""torch's numbers without torch: the vectors in tests/vectors, which tests/peers/make_vectors.py wrote."""

import json

import attend
import numpy as np
import pytest
from attend_server import ROOT

VECTORS = ROOT / "tests" / "vectors"


@pytest.mark.parametrize("name", ["self", "cross", "causal"])
def test_torchs_numbers(url, name):
    described = json.loads((VECTORS / f"{name}.json").read_text())
    tensors = [
        attend.random_tensor(described[field], described["seed"], number)
        for number, field in enumerate(("query", "key", "value"), start=1)
        if field in described
    ]
    length = described["query"][1]
    mask = np.triu(np.full((length, length), -np.inf), 1) if described["attn_mask"] else None
    mha = attend.MultiHeadAttention(url, "demo")
    output, weights = mha(*tensors, attn_mask=mask, need_weights=True)
    np.testing.assert_allclose(output, np.load(VECTORS / f"{name}.output.npy"), rtol=0, atol=2e-6)
    np.testing.assert_allclose(weights, np.load(VECTORS / f"{name}.weights.npy"), rtol=0, atol=2e-6)
    if mask is not None:
        np.testing.assert_array_equal(mha(*tensors, is_causal=True), output)
