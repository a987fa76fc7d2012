"""Merging what is computed over parts of the keys."""

import re
import subprocess
import sys

import attend
import numpy as np
import pytest
from attend_server import ROOT, AttendServer
from conftest import random_layer


def part_of(scores, values):
    """head_output and lse of one query set over some keys, in double precision."""
    with np.errstate(divide="ignore"):
        lse = np.log(np.exp(scores).sum(axis=-1))
    nothing = np.isneginf(lse)
    weights = np.exp(scores - np.where(nothing, 0.0, lse)[..., None])  # of nothing but zeros where there is nothing
    return weights @ values, lse


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_merged_parts_are_the_whole(rng, count):
    scores, values = 5 * rng.standard_normal((2, 3, 4, 30)), rng.standard_normal((2, 3, 30, 5))
    scores[rng.random(scores.shape) < 0.3] = -np.inf
    scores[0, 1, 2, :] = -np.inf  # nothing to attend to anywhere
    scores[1, 0, 3, 5:] = -np.inf  # and here only among the first keys
    cuts = [0, *sorted(rng.integers(0, 31, count - 1)), 30]  # a part may be empty
    parts = [part_of(scores[..., a:b], values[:, :, a:b]) for a, b in zip(cuts, cuts[1:])]
    output, lse = attend.merge(parts)
    want_output, want_lse = part_of(scores, values)
    np.testing.assert_allclose(output, want_output, rtol=0, atol=1e-13)
    np.testing.assert_allclose(lse, want_lse, rtol=0, atol=1e-13)
    assert np.isneginf(lse[0, 1, 2]) and not output[0, 1, 2].any()
    assert output.dtype == lse.dtype == np.float64


def test_parts_of_parts_and_large_scores(rng):
    parts = [(rng.standard_normal((2, 4, 3)), 1e4 * rng.standard_normal((2, 4))) for _ in range(4)]
    output, lse = attend.merge(parts)
    assert np.isfinite(output).all()
    nested = attend.merge([attend.merge(parts[:2]), attend.merge(iter(parts[2:]))])
    np.testing.assert_allclose(nested[0], output, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(nested[1], lse, rtol=1e-12)


def test_merge_says_what_does_not_fit(rng):
    with pytest.raises(ValueError, match="nothing to merge"):
        attend.merge([])
    good = (np.zeros((2, 4, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"part 1 has .* lse of shape \[2, 1\]; expected \[2, 4, 3\] and \[2, 4\]"):
        attend.merge([good, (np.zeros((2, 4, 3)), np.zeros((2, 1)))])
    with pytest.raises(ValueError, match=r"part 1 has a head_output of shape \[2, 1, 3\]"):
        attend.merge([good, (np.zeros((2, 1, 3)), np.zeros((2, 1)))])


def test_the_example(tmp_path, rng):
    """Two services of a layer with a key of its own and a zero key, which must count once."""
    extra = {name: rng.standard_normal((1, 1, 24)).astype(np.float32) for name in ("bias_k", "bias_v")}
    weights = {**random_layer(rng, 24), **extra}
    path = attend.save_layer(weights, tmp_path / "layer", num_heads=3, add_zero_attn=True)
    program = ROOT / "clients" / "python" / "examples" / "shards.py"
    environment = {"PYTHONPATH": str(ROOT / "clients" / "python")}
    with AttendServer("--model", f"m={path}") as one, AttendServer("--model", f"m={path}") as other:
        for urls in ([one.url, other.url], [one.url], [one.url, other.url, one.url]):
            line = [sys.executable, program, *urls, "--length", "200", "--queries", "20"]
            done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "m: 20 queries over 200 keys, whole and in" in done.stdout


def test_the_lines_of_the_readme(url, rng):
    text = (ROOT / "clients" / "python" / "README.md").read_text()
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "merge(parts)" in block]
    one, keys = attend.MultiHeadAttention(url, "plain"), rng.standard_normal((30, 24)).astype(np.float32)
    names = {"attend": attend, "one": one, "other": attend.MultiHeadAttention(url, "plain")}
    names.update(keys=keys, query=keys[-12:], n=20)  # two queries see nothing of the second half
    exec(lines, names)
    whole, more = one(keys[-12:], keys, is_causal=True, query_offset=18, return_=["lse"])
    np.testing.assert_allclose(names["output"], whole, rtol=0, atol=1e-6 * np.abs(whole).max())
    np.testing.assert_allclose(names["lse"], more["lse"], rtol=1e-6)
    assert np.isneginf(names["parts"][1][1][:, :2]).all()
