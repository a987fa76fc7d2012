"""The Python in the documents, as it stands there: every block, in order, against what `make run` serves."""

import re
import subprocess
import sys
import warnings

import attend
import numpy as np
import pytest
from attend_server import ROOT, AttendServer

ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def served():
    with AttendServer() as server:
        yield server.url


def blocks(name):
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{name} has no Python"
    return found


def execute(name, url):
    """The names that the blocks leave behind. A warning is a mistake in the document."""
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n, block in enumerate(blocks(name)):
            exec(compile(block.replace(ADDRESS, url), f"{name}, Python block {n}", "exec"), names)
    return names


def test_the_clients_readme(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = execute("clients/python/README.md", served)
    whole, more = names["one"](names["query"], names["keys"], is_causal=True, query_offset=18, return_=["lse"])
    assert names["output"].shape == (11, 128)  # of the patterns, which are called last
    np.testing.assert_allclose(names["lse"], more["lse"], rtol=1e-6)
    np.testing.assert_allclose(names["one"](head_output=names["merged"]), whole, rtol=0, atol=1e-6 * np.abs(whole).max())
    with AttendServer("--model", "mine=layers/mine") as server:
        x = np.ones((3, 512))
        np.testing.assert_array_equal(
            attend.MultiHeadAttention(server.url)(x), attend.MultiHeadAttention(served, "demo")(x)
        )


def test_the_readme(served):
    names = execute("README.md", served)
    assert names["output"].shape == (2, 10, 512) and names["weights"].shape == (2, 8, 10, 10)
    x = names["x"]
    merged = names["attend_to_halves"]([served, served], x, x, x, is_causal=True)
    whole = names["mha"](x, is_causal=True)
    np.testing.assert_allclose(merged, whole, rtol=0, atol=1e-6 * np.abs(whole).max())


def test_the_commands_that_need_nothing_else(served, tmp_path):
    """The indented lines that begin with `attend`, but for the one that needs MiniLM."""
    text = (ROOT / "clients/python/README.md").read_text()
    lines = [line.strip() for line in re.findall(r"^    attend .*$", text, re.MULTILINE) if "minilm" not in line]
    assert lines
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line.replace("attend", f"'{sys.executable}' -m attend", 1)],
            env={"PYTHONPATH": str(ROOT / "clients/python"), "ATTEND_URL": served, "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, line + "\n" + done.stderr
