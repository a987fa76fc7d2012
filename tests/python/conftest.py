"""One server for all tests of the Python client, with a few small layers beside the demo model."""

import os
import sys

import numpy as np
import pytest
from attend_server import ROOT, AttendServer

sys.path.insert(0, str(ROOT / "clients" / "python"))
import attend  # noqa: E402

SEED = int(os.environ.get("TEST_SEED", "20240607"))


def pytest_report_header():
    return f"random inputs from seed {SEED} (TEST_SEED)"


@pytest.fixture
def rng(request):
    """Random numbers that depend on the seed and the test's name only."""
    return np.random.default_rng([SEED, *request.node.name.encode()])


def random_layer(rng, embed_dim, kdim=None, vdim=None, bias=True):
    """Weights of a layer whose widths differ where kdim or vdim are given, large enough to give uneven attention."""
    kdim, vdim = kdim or embed_dim, vdim or embed_dim

    def draw(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    if kdim == vdim == embed_dim:
        weights = {"in_proj_weight": draw(3 * embed_dim, embed_dim)}
    else:
        widths = {"q": embed_dim, "k": kdim, "v": vdim}
        weights = {f"{name}_proj_weight": draw(embed_dim, width) for name, width in widths.items()}
    weights["out_proj.weight"] = draw(embed_dim, embed_dim)
    if bias:
        weights["in_proj_bias"], weights["out_proj.bias"] = draw(3 * embed_dim), draw(embed_dim)
    return weights


# name: (weights, heads)
_rng = np.random.default_rng(SEED)
LAYERS = {
    "plain": (random_layer(_rng, 24), 3),
    "nobias": (random_layer(_rng, 16, bias=False), 2),
    "cross": (random_layer(_rng, 20, kdim=12, vdim=7), 4),
}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("layers")
    models = ["--model", "builtin:demo"]
    for name, (weights, heads) in LAYERS.items():
        models += ["--model", f"{name}={attend.save_layer(weights, root / name, num_heads=heads)}"]
    for host in ("127.0.0.1", "localhost", "[::1]", "x", "a.example", "h"):  # those that tests of HTTP ask for
        models += ["--allowed-host", host]
    with AttendServer(*models) as running:
        yield running


@pytest.fixture
def url(server):
    return server.url


@pytest.fixture(params=["safetensors", "json"])
def wire(request):
    """What the client speaks: its results are the same."""
    return request.param
