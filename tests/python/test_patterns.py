"""The vectors for the layer of hand-set heads, and what its heads then show."""

import copy
import json
import urllib.request

import attend
import numpy as np
import pytest
from attend_server import AttendServer
from commands import FakeService, command
from test_commands import curl

TEXT = "the cat sat on the mat and\tthe  cat sat\ndown"
TOKENS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "cat", "sat", "down"]


@pytest.fixture(scope="module")
def served():
    with AttendServer("--model", "builtin:patterns", "--model", "builtin:demo") as server:
        yield server.url


def vector(token, predecessor, position):
    """The rule, written down a second time, with its numbers in it."""

    def code(text):
        x = 1
        for byte in text.encode():
            x = (x + byte) * 48271 % 2147483647
        signs = []
        for _ in range(60):
            x = x * 48271 % 2147483647
            signs.append(1.0 if x < 2**30 else -1.0)
        return signs

    before = [0.0] * 60 if predecessor is None else code(predecessor)
    place = [position / 2048, position * position / 2048**2, float(position == 0), 1.0]
    return np.array(code(token) + before + place + [0.0] * 4)


def test_vectors_are_exact(served):
    patterns = attend.Patterns(served)
    assert patterns.split(TEXT) == TOKENS and patterns.split(" \n") == []
    tokens = ["東京", "é", *TOKENS] * 3
    found = patterns.embed(tokens)
    want = [vector(token, tokens[i - 1] if i else None, i) for i, token in enumerate(tokens)]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.astype(np.float64), np.array(want))
    np.testing.assert_array_equal(patterns.embed(TEXT), patterns.embed(TOKENS))
    np.testing.assert_array_equal(patterns.embed(tokens[5:], 5, tokens[4]), found[5:])
    np.testing.assert_array_equal(patterns.embed(["x"], 2047, "y")[0], vector("x", "y", 2047))
    assert patterns.embed("").shape == (0, 128)


def test_the_example_of_the_rule(served):
    example = attend.Patterns(served).rule["example"]
    assert attend.Patterns(served).embed([example["token"]])[0, :60].tolist() == example["code"]


def test_heads(served):
    patterns = attend.Patterns(attend.Client(served))
    heads = {head["name"]: head["index"] for head in patterns.heads}
    mha, x = attend.MultiHeadAttention(served, "patterns"), patterns.embed(TOKENS)
    _, free = mha(x, need_weights=True)
    _, causal = mha(x, need_weights=True, is_causal=True)
    n, last = np.arange(11), 10
    for weights in (free, causal):
        assert (weights[heads["previous_token"]][n, np.maximum(n - 1, 0)] > 0.99).all()
        assert (weights[heads["current_token"]][n, n] > 0.99).all()
        assert (weights[heads["first_token"]][:, 0] > 0.99).all()
    assert (free[heads["next_token"]][n, np.minimum(n + 1, last)] > 0.99).all()
    np.testing.assert_allclose(free[heads["uniform"]], 1 / 11, rtol=1e-6)
    same = np.array([[a == b for b in TOKENS] for a in TOKENS])
    np.testing.assert_allclose(free[heads["same_token"]], same / same.sum(axis=1, keepdims=True), atol=1e-5)
    near = np.abs(n[:, None] - n) <= 4
    assert ((free[heads["local_window"]] * near).sum(axis=1) > 0.97).all()
    induction = causal[heads["induction"]]
    assert (induction[[4, 8, 9], [1, 2, 3]] > 0.99).all()  # after the earlier "the", "cat", "sat"
    np.testing.assert_allclose(induction[7, [1, 5]], 0.5, atol=1e-3)  # "the" came before "cat" and "mat"
    assert (induction[[0, 1, 2, 3, 5, 6, 10], 0] > 0.99).all()


def test_output_brings_the_guess(served):
    """What the induction head looks at is in the output as a code: that of the next token, where it has come before."""
    patterns = attend.Patterns(served)
    output = attend.MultiHeadAttention(served, "patterns")(patterns.embed(TOKENS), is_causal=True)
    known = list(dict.fromkeys(TOKENS))
    codes = np.stack([patterns.embed([token])[0, :60] for token in known])
    guesses = [known[n] for n in (output[:, :60] @ codes.T).argmax(axis=1)]
    assert (guesses[4], guesses[8], guesses[9]) == ("cat", "sat", "on")
    np.testing.assert_allclose(output[:, 120 + 5] * 2048, np.arange(11) / 2, atol=1e-5)  # uniform: mean position


def test_a_model_without_a_rule(served):
    with pytest.raises(ValueError, match="the model demo does not say how its vectors are made"):
        attend.Patterns(served, "demo")


def described(served):
    return json.load(urllib.request.urlopen(served + "/models/patterns"))


def test_the_numbers_are_the_services_not_the_clients(served):
    """Another rule than the one that is built in makes other vectors."""
    info = copy.deepcopy(described(served))
    info["name"] = "fake"
    info["vocabulary"].update(separators=",", encoding="UTF-16-LE")
    info["rule"].update(
        embed_dim=7,
        hash={"start": 2, "multiplier": 3, "modulus": 101},
        code={"length": 3, "multiplier": 5, "modulus": 103, "below": 50},
        vector=[
            {"from": 0, "to": 3, "kind": "code", "of": "predecessor"},
            {"from": 3, "to": 4, "kind": "position", "divisor": 4, "power": 3},
            {"from": 4, "to": 6, "kind": "constant", "value": 9},
            {"from": 6, "to": 7, "kind": "first"},
        ],
    )

    class Service(FakeService):
        INFO = info

    with Service() as service:
        found = attend.Patterns(service.url, "fake").embed("a,b")
    # "a" is the bytes 97 and 0: ((2 + 97) * 3 % 101 + 0) * 3 % 101 = 83, and then 3, 15, 75 by the code's numbers
    assert found.tolist() == [[0, 0, 0, 0, 9, 9, 1], [1, 1, -1, 1 / 64, 9, 9, 0]]
    info["rule"]["vector"][0]["kind"] = "sound"
    with Service() as service:
        with pytest.raises(ValueError, match="a part of kind 'sound'; this client knows code, constant, first"):
            attend.Patterns(service.url, "fake")


def test_pictures_of_a_text(served, tmp_path):
    path = tmp_path / "p.png"
    code, text, errors = command(served, "viz", "--text", TEXT, "--causal", "--out", path)
    assert code == 0 and path.exists(), errors
    assert "weights 1 x 8 x 11 x 11 of model patterns (text of 11 tokens)" in text
    code, text, _ = command(served, "run", "--text", TEXT)
    assert code == 0 and "query         float32 [1, 11, 128]" in text


def test_heads_of_a_text_have_names(served):
    from attend import inputs, viz

    request = inputs.text_request(attend.Patterns(served), TEXT)
    answer = attend.Client(served).attend("patterns", **request.fields, need_weights=True)
    maps = viz._select(request, answer, viz.Options(heads=[4, 0]))
    assert maps.names == ["4: induction", "0: previous token"] and maps.columns == TOKENS


def test_a_text_excludes_other_input(served, tmp_path):
    for other in (("--input", "x.npz"), ("--shape", "1,2,3"), ("--key-length", 4)):
        code, _, errors = command(served, "run", "--text", "a b", *other)
        assert code == 2 and "--text" in errors and "exclude each other" in errors
    code, _, errors = command(served, "viz", "--text", "a b", "--model", "demo", "--out", tmp_path / "x.png")
    assert code == 1 and "the model demo does not say how its vectors are made of tokens" in errors


def test_curl_script(served):
    code, lines, errors = curl(served, "patterns.sh")
    assert code == 0, errors
    assert lines[-1] == "patterns: 11 words, head 4 of 8 (induction), causal"
    assert lines[4].split() == ["the", "looks", "at", "cat", "1,", "1.000"]
    code, lines, errors = curl(served, "patterns.sh", "0", "a", "東京", "é")
    assert code == 0 and lines[-1] == "patterns: 3 words, head 0 of 8 (previous_token), causal", errors
    assert lines[2].split() == ["é", "looks", "at", "東京", "1,", "0.999"]
    assert curl(served, "patterns.sh", "8")[::2] == (
        2,
        "patterns.sh: the head is '8'; expected a number from 0 to 7\n",
    )


def test_curl_script_sends_exact_vectors(served):
    class Service(FakeService):
        INFO = described(served)

    words = ["a", "東京", "b\\", "%d", *TOKENS]
    with Service({"model": "patterns", "output": [], "attn_weights": [[[]]]}) as service:
        curl(service.url, "patterns.sh", "4", *words)
    sent = np.array(json.loads(service.seen[0])["query"], np.float32)
    np.testing.assert_array_equal(sent, attend.Patterns(served).embed(words))
