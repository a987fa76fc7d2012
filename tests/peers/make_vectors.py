"""Writes torch's answers to the four examples that the service began with into tests/vectors:

    python tests/peers/make_vectors.py

NAME.json says how the inputs are made, NAME.output.npy and NAME.weights.npy are what torch.nn.MultiheadAttention
(float32, eval mode, need_weights=True, average_attn_weights=False) makes of them. The layer is the demo model.

Inputs: tensor n of a request (1 query, 2 key, 3 value) with seed s is drawn, row-major, from splitmix64(s * 2^32 + n):
u = (x >> 40) * 2^-24, value = (2u - 1) * sqrt(3) in double, rounded once to float32 (attend.random_tensor).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients" / "python"))
import attend  # noqa: E402

MODEL = {"embed_dim": 512, "num_heads": 8, "bias": True, "seed": 0}
# name: (shape of the query, of key and value if they are not the query, seed, is there a causal mask of -inf?)
EXAMPLES = {
    "self": ((2, 10, 512), None, 1, False),
    "cross": ((2, 5, 512), (2, 20, 512), 2, False),
    "causal": ((2, 10, 512), None, 3, True),
}


def demo_module() -> torch.nn.MultiheadAttention:
    module = torch.nn.MultiheadAttention(MODEL["embed_dim"], MODEL["num_heads"], batch_first=True).eval()
    weights = attend.init_weights(**MODEL)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return module


def compute(name: str) -> tuple:
    """Description, output and weights of one example."""
    query_shape, key_shape, seed, causal = EXAMPLES[name]
    query = key = value = torch.from_numpy(attend.random_tensor(query_shape, seed, 1))
    if key_shape:
        key, value = (torch.from_numpy(attend.random_tensor(key_shape, seed, n)) for n in (2, 3))
    mask = torch.full((query.shape[1], key.shape[1]), -torch.inf).triu(1) if causal else None
    with torch.inference_mode():
        output, weights = demo_module()(query, key, value, attn_mask=mask, average_attn_weights=False)
    described = {"torch": torch.__version__, "model": MODEL, "seed": seed, "query": query_shape}
    if key_shape:
        described.update(key=key_shape, value=key_shape)
    described["attn_mask"] = "-inf above the diagonal" if causal else None
    return described, output.numpy(), weights.numpy()


def main() -> None:
    folder = ROOT / "tests" / "vectors"
    for name in EXAMPLES:
        described, output, weights = compute(name)
        (folder / f"{name}.json").write_text(json.dumps(described, indent=2) + "\n")
        np.save(folder / f"{name}.output.npy", output)
        np.save(folder / f"{name}.weights.npy", weights)
        print(f"{name}: output {list(output.shape)}, weights {list(weights.shape)}")


if __name__ == "__main__":
    main()
