"""The commands and the curl scripts, as a person runs them."""

import json
import os
import re
import struct
import subprocess
import sys

import attend
import numpy as np
import pytest
import requests
from attend_server import ROOT, AttendServer
from commands import command
from conftest import LAYERS
from oracle import attention


def run(url, *arguments, expect=0):
    """Runs a command in this process: stdout if it succeeds, else stderr."""
    code, out, errors = command(url, *arguments)
    assert code == expect, out + errors
    return out if expect == 0 else errors


def run_alone(url, *arguments):
    """Runs a command in a process of its own."""
    path = os.pathsep.join([str(ROOT / "clients" / "python"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "ATTEND_URL": url}
    line = [sys.executable, "-m", "attend", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_models(url):
    lines = run_alone(url, "models").splitlines()
    assert lines[0] == "demo: embed_dim 512, 8 heads  (default)"
    assert "cross: embed_dim 20, 4 heads, kdim 12, vdim 7" in lines


def test_run_random_and_keep(url, tmp_path):
    out = tmp_path / "result.npz"
    text = run(
        url,
        "run",
        "--model",
        "cross",
        "--shape",
        "2,5,20",
        "--key-length",
        6,
        "--seed",
        3,
        "--need-weights",
        "--out",
        out,
    )
    assert "output        float32 [2, 5, 20]" in text and "attn_weights  float32 [2, 4, 5, 6]" in text
    assert re.search(r"server +parse \d+\.\d+ ms, queue", text)
    inputs = [
        attend.random_tensor((2, 5, 20), 3, 1),
        attend.random_tensor((2, 6, 12), 3, 2),
        attend.random_tensor((2, 6, 7), 3, 3),
    ]
    want_output, want_weights = attention(*LAYERS["cross"], *inputs)
    with np.load(out) as kept:
        np.testing.assert_allclose(kept["output"], want_output, rtol=0, atol=1e-5)
        np.testing.assert_allclose(kept["attn_weights"], want_weights, rtol=0, atol=2e-6)


def test_run_causal_average(url, tmp_path):
    out = tmp_path / "result.npz"
    run(url, "run", "--model", "plain", "--causal", "--average", "--out", out)
    with np.load(out) as kept:
        assert kept["attn_weights"].shape == (2, 10, 10)
        assert not np.triu(kept["attn_weights"], 1).any()


@pytest.mark.parametrize("kind", ["npy", "npz", "json"])
def test_run_input_files(url, tmp_path, rng, kind):
    query, padding = rng.standard_normal((2, 4, 24)).astype(np.float32), np.arange(4) >= np.array([[4], [2]])
    path, out = tmp_path / f"request.{kind}", tmp_path / "result.npz"
    masks = {} if kind == "npy" else {"key_padding_mask": padding}
    if kind == "npy":
        np.save(path, query)
    elif kind == "npz":
        np.savez(path, query=query, model="plain", **masks)
    else:
        body = {
            "model": "plain",
            "query": query.tolist(),
            "key_padding_mask": padding.tolist(),
            "value": None,
        }
        path.write_text(json.dumps(body))
    run(url, "run", "--input", path, "--out", out, *(["--model", "plain"] if kind == "npy" else []))
    want = attention(*LAYERS["plain"], query, **masks)[0]
    with np.load(out) as kept:
        np.testing.assert_allclose(kept["output"], want, rtol=0, atol=1e-5)


def test_run_says_what_is_wrong(url, tmp_path):
    assert "attend: query " in run(url, "run", "--shape", "2,3,5", expect=1)
    assert "no_service" in run("http://127.0.0.1:9", "run", expect=1)
    assert "does not exist" in run(url, "run", "--input", tmp_path / "no.npz", expect=1)
    assert "neither .npy" in run(url, "run", "--input", tmp_path / "no.txt", expect=1)
    (tmp_path / "bad.npz").write_bytes(b"PK no")
    assert "not a .npz file" in run(url, "run", "--input", tmp_path / "bad.npz", expect=1)
    assert "like 2,10,512" in run(url, "run", "--shape", "2;3", expect=2)


@pytest.mark.parametrize("options", [(), ("--need-weights", "--causal", "--decode", "--concurrency", 2)])
def test_bench(url, tmp_path, options):
    path = tmp_path / "bench.json"
    text = run(url, "bench", "--requests", 16, "--warmup", 2, "--no-torch", "--json", path, *options)
    report = json.loads(path.read_text())
    assert report["service"]["calls"] == 16 and report["errors"] == {}
    service = report["service"]
    assert 0 < service["min_ms"] <= service["p50_ms"] <= service["p95_ms"] <= service["p99_ms"]
    assert set(report["server_timing_median_ms"]) == {"parse", "queue", "compute", "encode"}
    assert report["machine"]["cpu"] in text and "errors   none" in text and "not measured" in text
    assert f"{service['p50_ms']:.3f}" in text


def test_bench_counts_what_goes_wrong(server):
    """Refusals by their code, lost connections by their name, answers that are not the first one's bits."""
    from attend.bench import RoundTrip, Samples

    samples = Samples()
    bodies = (
        b'{"query":[[1]]}',
        b"{",
        b'{"query":[' + b",".join([b"[" + b",".join([b"1"] * 512) + b"]"] * 2) + b"]}",
    )
    for body in bodies:
        RoundTrip(server.url, "demo", body, 10)(samples)
    assert samples.errors == {"400 bad_shape": 1, "400 malformed_json": 1} and len(samples.seconds) == 1
    RoundTrip(server.url, "demo", bodies[2].replace(b"1", b"2"), 10)(samples)
    RoundTrip("http://127.0.0.1:9", "demo", bodies[2], 10)(samples)
    assert (
        samples.errors["answer differs from the first one"] == samples.errors["ConnectionRefusedError"] == 1
    )
    assert len(samples.seconds) == 1


def test_bench_ends_at_a_refusal(url):
    assert "bad_shape" in run(url, "bench", "--no-torch", "--shape", "1,2,3", expect=1)


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def viz(url, path, *arguments):
    """Runs `attend viz`, checks that the file is a picture of the size it says, returns width and height."""
    text = run(url, "viz", "--out", path, *arguments)
    width, height = map(int, re.search(r"(\d+) x (\d+) pixels", text).groups())
    assert png_size(path) == (width, height)
    return width, height


def test_viz_alone(url, tmp_path):
    width, height = viz(url, tmp_path / "a.png")
    assert 1000 < width < 3000 and 600 < height < 2000


@pytest.mark.parametrize(
    "options",
    [
        ("--mean", "--causal"),
        ("--heads", "0,3", "--scale", "sqrt", "--labels", "a b c"),
        ("--shape", "2,40,512", "--key-length", 60, "--batch", 1, "--scale", "log"),
        ("--shape", "1,512", "--dpi", 80),
        ("--shape", "1,1,512", "--key-length", 200, "--title", "one query"),
    ],
)
def test_viz_options(url, tmp_path, options):
    viz(url, tmp_path / "a.png", *options)


def test_viz_picture_shows_the_weights(url, tmp_path):
    """Two tokens, causal, one head: three cells have the colours of the true weights, the masked one is grey."""
    import matplotlib.image

    path = tmp_path / "a.png"
    run(url, "viz", "--out", path, "--shape", "2,512", "--causal", "--heads", "0", "--seed", 4)
    pixels = 255 * matplotlib.image.imread(path)[..., :3]
    x = attend.random_tensor((2, 512), 4)
    weights = attention(attend.init_weights(), 8, x[None], is_causal=True)[1][0, 0]
    cells = [matplotlib.colormaps["cividis"](weights[i, j])[:3] for i, j in ((0, 0), (1, 0), (1, 1))]
    for colour in (*cells, (0xEC / 255, 0xEC / 255, 0xEF / 255)):
        same = np.abs(pixels - 255 * np.array(colour)).max(axis=-1) < 2
        assert same.sum() > 1000  # a cell; the colour bar has a few rows of each colour at most


def test_viz_padding_is_left_out(url, tmp_path, rng):
    """Padded rows and columns take room only when they are asked for."""
    query = rng.standard_normal((1, 6, 24)).astype(np.float32)
    padding = np.arange(6)[None] >= 4
    labels = np.array([["a", "b", "c", "d", "", ""]])
    np.savez(tmp_path / "r.npz", query=query, key_padding_mask=padding, labels=labels, model="plain")
    cropped = viz(url, tmp_path / "crop.png", "--input", tmp_path / "r.npz")
    whole = viz(url, tmp_path / "hatch.png", "--input", tmp_path / "r.npz", "--padding", "hatch")
    assert cropped[0] < whole[0] and cropped[1] < whole[1]


def test_viz_same_request_same_bytes(url, tmp_path):
    viz(url, tmp_path / "a.png", "--heads", "0", "--seed", 1)
    run_alone(url, "viz", "--out", tmp_path / "b.png", "--heads", "0", "--seed", 1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def browser(tmp_path, monkeypatch, code=0):
    """A browser that writes down what it is asked to show."""
    program, asked = tmp_path / "browser", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>"{asked}"\nexit {code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return asked


def kept(url, text):
    """The result that a command said was kept, from its first line on stdout that names one."""
    address = re.search(r"^(http://\S+/results/[a-z2-7]{32}): the weights of model (\S+) ", text, re.MULTILINE)
    assert address[1].startswith(url)
    return address[1], requests.get(address[1] + ".json", timeout=60).json()


def test_viz_open(url, tmp_path, monkeypatch):
    asked = browser(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    address, document = kept(url, run_alone(url, "viz", "--open", "--causal"))
    assert asked.read_text() == address + "\n"
    words = "the quick brown fox jumps over the lazy dog".split()
    assert document["query_labels"] == document["key_labels"] == words
    assert document["request"]["is_causal"] and document["attn_weights"]["shape"] == [1, 8, 9, 9]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "browser"]  # no picture


def test_viz_open_and_draw(url, tmp_path, monkeypatch):
    browser(tmp_path, monkeypatch)
    labels = [["a", "b", "c"], ["d", "\u00e9", "f"]]
    body = {"query": np.ones((2, 3, 24)).tolist(), "labels": labels, "model": "plain"}
    (tmp_path / "r.json").write_text(json.dumps(body))
    options = ("--open", "--input", tmp_path / "r.json", "--batch", 1, "--out", tmp_path / "a.png")
    text = run_alone(url, "viz", *options)
    address, document = kept(url, text)
    assert document["query_labels"] == document["key_labels"] == labels[1] and document["model"] == "plain"
    assert png_size(tmp_path / "a.png")[0] > 100


def test_viz_open_without_a_browser(url, tmp_path, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    code, text, errors = command(url, "viz", "--open", "--shape", "3,512")
    assert code == 0 and kept(url, text)[1]["attn_weights"]["shape"] == [8, 3, 3]
    assert "no browser could be opened" in errors


def test_viz_open_says_what_is_wrong(url, tmp_path, monkeypatch):
    asked = browser(tmp_path, monkeypatch)
    assert "query_labels has 2 strings" in run(url, "viz", "--open", "--shape", "3,512", "--labels", "a b", expect=1)
    assert not asked.exists()


def test_viz_says_what_is_wrong(url, tmp_path):
    out = ("--out", tmp_path / "a.png")
    assert "there is no head 8" in run(url, "viz", *out, "--heads", "8", expect=1)
    assert "no batch element 1" in run(url, "viz", *out, "--batch", 1, expect=1)
    assert "2 labels" in run(url, "viz", *out, "--shape", "3,512", "--labels", "a b", expect=1)
    assert "cannot be written" in run(url, "viz", "--out", tmp_path / "a.doc", expect=1)
    assert not list(tmp_path.iterdir())


def curl(url, name, *arguments, path=None):
    """Exit code, lines of stdout, and stderr of a script, with the programs of a folder before all others."""
    search = os.environ["PATH"] if path is None else os.pathsep.join([str(path), os.environ["PATH"]])
    done = subprocess.run(
        [ROOT / "clients" / "curl" / name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "ATTEND_URL": url, "PATH": search},
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    "name, last",
    [
        (
            "self-attention.sh",
            r"self-attention: the output is \[2, 10, 512\], its first number -?\d\S* \(HTTP 200 after .* s\)",
        ),
        (
            "cross-attention.sh",
            r"cross-attention: queries \[2, 5, 512\] and keys .* gave \[2, 5, 512\] \(HTTP 200 after .* s\)",
        ),
        (
            "causal.sh",
            r"causal: all weight on later tokens together is 0, and the answers .* are the same, byte for byte",
        ),
        ("keep.sh", r"keep: the attention of 9 words is kept for 3600 seconds, and its picture has \d{4,} bytes"),
        ("weights.sh", r"weights: \[8, 6, 6\] came back, and every row sums to 1 within \d\.\de-0[678]"),
    ],
)
def test_curl_scripts(url, name, last):
    code, lines, errors = curl(url, name)
    assert code == 0, errors
    assert re.fullmatch(last, lines[-1]), lines[-1]


def test_curl_causal_prints_the_weights(url):
    _, lines, _ = curl(url, "causal.sh")
    x = np.round(2 * np.sin(np.outer(np.arange(1, 5), np.arange(1, 513))), 4).astype(np.float32)
    want = attention(attend.init_weights(), 8, x[None], is_causal=True)[1][0].mean(axis=0)
    shown = np.array([line.split() for line in lines[:4]], float)
    np.testing.assert_allclose(shown, want, atol=1e-4)


def test_curl_minilm_request(tmp_path, rng):
    """The committed request has the shape its labels say; a layer of the same size answers it."""
    weights = attend.init_weights(384, 12, seed=1)
    layer = attend.save_layer(weights, tmp_path / "layer", num_heads=12)
    with AttendServer("--model", f"minilm.1={layer}") as server:
        code, lines, errors = curl(server.url, "minilm.sh")
        beyond = curl(server.url, "minilm.sh", "12")
    assert beyond == (2, [], "minilm.sh: there is no head 12; the layer has heads 0 to 11\n")
    assert code == 0, errors
    assert re.fullmatch(r"minilm: 3 sentences, \d+ tokens without padding, head 8 of 12", lines[-1])
    body = json.loads((ROOT / "clients" / "curl" / "minilm.json").read_text())
    labels = json.loads((ROOT / "clients" / "curl" / "minilm.labels.json").read_text())["labels"]
    want = attention(
        weights, 12, np.array(body["query"]), key_padding_mask=np.array(body["key_padding_mask"])
    )[1]
    first = re.fullmatch(r" *(\S+) looks at (\S+) +(\d\.\d+)", lines[0]).groups()
    best = want[0, 8, 0].argmax()
    assert first == (labels[0][0], labels[0][best], f"{want[0, 8, 0, best]:.3f}")


@pytest.mark.parametrize("name", ["self-attention.sh", "weights.sh", "causal.sh", "minilm.sh", "patterns.sh", "keep.sh"])
def test_curl_scripts_fail_loudly(name):
    """Against a service without the right model they print the service's sentence and fail."""
    with AttendServer("--model", "init:embed_dim=16,num_heads=2") as server:
        code, _, errors = curl(server.url, name)
    assert code != 0
    assert '"error"' in errors
