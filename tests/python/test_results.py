"""What can be asked for beside the output, and the fields that came with it: of the real service, and of made-up
answers where a case is hard to bring about."""

import json

import attend
import numpy as np
import pytest
from attend_server import AttendServer
from commands import FakeService, command
from conftest import LAYERS, random_layer
from oracle import attention

TOLERANCE = 2e-6
HEADS = 3


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def near(found, want):
    np.testing.assert_allclose(found, want, rtol=0, atol=TOLERANCE * max(1.0, np.abs(want).max(initial=0.0)))


@pytest.fixture(scope="module")
def extra(tmp_path_factory):
    """A service with a layer that has a key of its own and a zero key, and dropout: (url, weights)."""
    rng = np.random.default_rng(7)
    weights = {**random_layer(rng, 24), "bias_k": draw(rng, 1, 1, 24), "bias_v": draw(rng, 1, 1, 24)}
    path = tmp_path_factory.mktemp("extra") / "layer"
    attend.save_layer(weights, path, num_heads=HEADS, dropout=0.5, add_zero_attn=True)
    with AttendServer("--model", f"extra={path}") as server:
        yield server.url, weights


# The real service


ASKED = ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"]


@pytest.mark.parametrize("is_batched", [True, False])
def test_all_results(extra, wire, rng, is_batched):
    url, weights = extra
    query, key = draw(rng, 2, 4, 24), draw(rng, 2, 6, 24)
    if not is_batched:
        query, key = query[:1], key[:1]
    want = attention(weights, HEADS, query, key, is_causal=True, query_offset=3, add_zero_attn=True, full=True)
    sent = (query, key) if is_batched else (query[0], key[0])
    options = {"is_causal": True, "query_offset": 3, "need_weights": True, "return_": ASKED}
    output, attn, more = attend.MultiHeadAttention(url, wire=wire)(*sent, **options)
    assert list(more) == ASKED and "seed" not in more
    found = {"output": output, "attn_weights": attn, **more}
    for name, array in want.items():
        near(found[name] if is_batched else found[name][None], array)
        assert found[name].dtype == np.float32
    attn, stats = want["attn_weights"], {
        name: array if is_batched else array[None] for name, array in more["stats"].items()
    }
    assert set(stats) == {"max", "argmax", "first", "self", "previous", "received"}
    assert stats["argmax"].dtype == np.int32
    np.testing.assert_array_equal(stats["argmax"], attn.argmax(axis=-1))
    near(stats["max"], attn.max(axis=-1))
    near(stats["first"], attn[..., 0])
    near(stats["received"], attn.sum(axis=-2))
    rows = np.arange(2)
    near(stats["self"][..., :2], attn[..., rows, rows + 3])
    near(stats["previous"][..., :2], attn[..., rows, rows + 2])
    entropy = -(attn * np.log(np.where(attn > 0, attn, 1))).sum(axis=-1)
    near(more["entropy"] if is_batched else more["entropy"][None], entropy)


def test_results_stand_last_in_the_tuple(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 1, 3, 24)
    output, more = mha(x, return_=["lse"])
    assert list(more) == ["lse"] and more["lse"].shape == (1, 3, 3)
    np.testing.assert_array_equal(output, mha(x))
    output, more = mha(x, return_="lse")  # one name is not a list of letters
    assert list(more) == ["lse"]
    assert mha(x, return_=[])[1] == {}


def test_offsets(url, wire, rng):
    weights, heads = LAYERS["plain"]
    query, key = draw(rng, 1, 3, 24), draw(rng, 1, 8, 24)
    for first_query, first_key in ((0, 0), (5, 0), (7, 2), (0, 2)):
        offsets = {"query_offset": first_query, "key_offset": first_key}
        want = attention(weights, heads, query, key, is_causal=True, **offsets)
        mha = attend.MultiHeadAttention(url, "plain", wire=wire)
        found = mha(query, key, is_causal=True, need_weights=True, **offsets)
        near(found[0], want[0])
        near(found[1], want[1])


def test_is_causal_is_the_models_own_if_left_out(tmp_path, wire, rng):
    weights, x = random_layer(rng, 8), draw(rng, 1, 4, 8)
    path = attend.save_layer(weights, tmp_path / "layer", num_heads=2, causal=True)
    with AttendServer("--model", f"causal={path}") as server:
        mha = attend.MultiHeadAttention(server.url, wire=wire)
        for asked, is_causal in ((None, True), (True, True), (False, False)):
            near(mha(x, is_causal=asked), attention(weights, 2, x, is_causal=is_causal)[0])


def test_views(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 6, 24)
    _, whole = mha(x, need_weights=True)
    view = {"batch": np.array([1]), "heads": range(2, 0, -1), "rows": [1, np.int64(5)], "cols": (2, 6)}
    output, part = mha(x, need_weights=True, view=view)
    np.testing.assert_array_equal(part, whole[1:, [2, 1], 1:5, 2:6])
    np.testing.assert_array_equal(output, mha(x))
    _, pooled = mha(x, need_weights=True, view={**view, "size": [2, 2], "pool": "sum"})
    near(pooled, whole[1:, [2, 1], 1:5, 2:6].reshape(1, 2, 2, 2, 2, 2).sum(axis=(3, 5)))


def test_the_largest_of_each_row(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 6, 24)
    _, whole = mha(x, need_weights=True, is_causal=True)
    _, top, more = mha(x, need_weights=True, is_causal=True, view={"top_k": 2}, return_=["scores"])
    assert isinstance(top, attend.TopK) and isinstance(more["scores"], attend.TopK)
    assert top.indices.dtype == np.int32 and top.values.dtype == np.float32
    np.testing.assert_array_equal(top.values, -np.sort(-whole, axis=-1)[..., :2])
    assert (top.indices[:, :, 0] == [0, -1]).all()  # the first query sees one key
    np.testing.assert_array_equal(top.indices[:, :, 1:, 0], whole[:, :, 1:].argmax(axis=-1))


def test_omit_extra(extra, wire, rng):
    url, weights = extra
    x = draw(rng, 1, 4, 24)
    plain = {name: array for name, array in weights.items() if not name.startswith("bias_")}
    output, attn = attend.MultiHeadAttention(url, wire=wire)(x, omit_extra=True, need_weights=True)
    want = attention(plain, HEADS, x)
    near(output, want[0])
    near(attn, want[1])


def test_dropout_with_a_seed(extra, wire, rng):
    url, weights = extra
    mha, x = attend.MultiHeadAttention(url, wire=wire), draw(rng, 2, 30, 24)
    still, attn, more = mha(x, training=True, seed=11, need_weights=True, return_=[])
    assert more == {"seed": 11}
    want = attention(weights, HEADS, x, add_zero_attn=True)[1]
    dropped = attn == 0.0
    near(attn[~dropped], 2.0 * want[~dropped])  # what is left weighs twice as much
    assert 0.45 < dropped.mean() < 0.55
    np.testing.assert_array_equal(still, mha(x, training=True, seed=np.uint64(11)))
    _, drawn = mha(x, training=True, return_=[])
    np.testing.assert_array_equal(mha(x, training=True, return_=[])[0].shape, still.shape)
    assert isinstance(drawn["seed"], int)
    again, _ = mha(x, training=True, seed=drawn["seed"], return_=[])
    assert not np.array_equal(again, still)


@pytest.mark.parametrize("shape", [(2, 4, 24), (4, 24)])
def test_head_output_is_projected(extra, wire, rng, shape):
    mha, x = attend.MultiHeadAttention(extra[0], wire=wire), draw(rng, *shape)
    output, more = mha(x, return_=["head_output"])
    np.testing.assert_array_equal(mha(head_output=more["head_output"]), output)


@pytest.mark.parametrize("query, keys", [((0, 5, 24), 5), ((2, 0, 24), 3), ((0, 24), None), ((2, 3, 24), 0)])
def test_shapes_of_what_is_empty(extra, wire, query, keys):
    mha, x = attend.MultiHeadAttention(extra[0], wire=wire), np.zeros(query, np.float32)
    key = None if keys is None else np.zeros(query[:-2] + (keys, 24), np.float32)
    output, attn, more = mha(x, key, need_weights=True, return_=ASKED)
    batch, length, width = query[:-2], query[-2], 2 + (keys or 0)
    rows, heads = batch + (HEADS, length), batch + (HEADS,)
    assert output.shape == query and attn.shape == more["scores"].shape == rows + (width,)
    assert more["q"].shape == more["head_output"].shape == rows + (8,)
    assert more["lse"].shape == more["entropy"].shape == more["stats"]["argmax"].shape == rows
    if batch:
        assert more["k"].shape == more["v"].shape == heads + (width, 8)
        assert more["stats"]["received"].shape == heads + (width,)
    assert mha(head_output=more["head_output"]).shape == query
    _, attn = mha(x, key, need_weights=True, average_attn_weights=True)
    assert attn.shape == batch + (length, width)


def test_shapes_of_empty_views(extra, wire):
    mha, x = attend.MultiHeadAttention(extra[0], wire=wire), np.zeros((0, 5, 24), np.float32)
    _, pooled = mha(x, need_weights=True, view={"heads": [2, 0], "size": [9, 1]})
    assert pooled.shape == (0, 2, 5, 1)
    assert mha(x, need_weights=True, omit_extra=True)[1].shape == (0, HEADS, 5, 5)
    options = {"view": {"top_k": 1}, "average_attn_weights": True}
    assert mha(x, need_weights=True, **options)[1].indices.shape == (0, 1, 5, 1)


def test_refused_names_are_the_services(url, wire, rng):
    with pytest.raises(attend.AttendError, match="lse") as caught:
        attend.MultiHeadAttention(url, "plain", wire=wire)(draw(rng, 1, 3, 24), return_=["nothing"])
    assert caught.value.code == "bad_value"


# Made-up answers


def fake(answer, **options):
    with FakeService({"model": "fake", "output": [[1.0, 2.0]], **answer}) as service:
        results = attend.MultiHeadAttention(service.url, wire="json")([[1.0, 2.0]], **options)
        return results, json.loads(service.seen[0])


def test_null_is_minus_infinity_in_lse_alone():
    (_, more), _ = fake({"lse": [[None], [0.5]], "stats": {"argmax": [[-1]], "max": [[0]]}}, return_=["lse"])
    np.testing.assert_array_equal(more["lse"], np.array([[-np.inf], [0.5]], np.float32))
    assert more["stats"]["argmax"].tolist() == [[-1]] and more["stats"]["argmax"].dtype == np.int32


def test_what_is_sent():
    options = {"query_offset": np.int32(3), "key_offset": 2**31 - 1, "omit_extra": True, "training": True, "seed": 0}
    _, sent = fake({"seed": 0}, view={"heads": [0]}, return_=("lse",), is_causal=False, **options)
    assert sent == {
        "query": [[1, 2]],
        "is_causal": False,
        "query_offset": 3,
        "key_offset": 2**31 - 1,
        "view": {"heads": [0]},
        "omit_extra": True,
        "training": True,
        "seed": 0,
        "return": ["lse"],
    }
    _, sent = fake({})
    assert sent == {"query": [[1, 2]]}


def test_mistakes_in_the_new_arguments():
    mha = attend.MultiHeadAttention("http://127.0.0.1:1")
    with pytest.raises(TypeError, match="a query is expected, or a head_output"):
        mha()
    with pytest.raises(TypeError, match="query_offset is of type float, but a whole number is expected"):
        mha([[1.0]], query_offset=1.0)
    with pytest.raises(TypeError, match="omit_extra is of type int, but True or False"):
        mha([[1.0]], omit_extra=1)
    with pytest.raises(TypeError, match="training is of type str, but True or False"):
        mha([[1.0]], training="yes")


# The command


def test_run_shows_and_keeps_all_results(url, tmp_path):
    out = tmp_path / "kept.npz"
    options = ("--model", "plain", "--shape", "1,4,24", "--return", "lse,stats", "--out", out)
    code, text, errors = command(url, "run", *options)
    assert code == 0, errors
    assert "lse           float32 [1, 3, 4]" in text and "stats.argmax  int32 [1, 3, 4]" in text
    with np.load(out) as kept:
        assert {"output", "lse", "stats.max", "stats.received"} <= set(kept.files)
    code, _, errors = command(url, "run", "--return", "lse,nothing")
    assert code == 2 and "'nothing' is none of q, k, v, scores" in errors


def test_head_output_from_a_file(extra, rng, tmp_path):
    path = tmp_path / "heads.npz"
    np.savez(path, head_output=draw(rng, 1, HEADS, 4, 8))
    code, text, errors = command(extra[0], "run", "--input", path)
    assert code == 0 and "output        float32 [1, 4, 24]" in text, errors
    code, _, errors = command(extra[0], "viz", "--input", path, "--out", tmp_path / "x.png")
    assert code == 1 and "has a head_output, and so there are no weights to draw" in errors
    np.savez(path, key=draw(rng, 1, 4, 24))
    code, _, errors = command(extra[0], "run", "--input", path)
    assert code == 1 and "has no query, and no head_output either" in errors


@pytest.mark.parametrize("lacking", [{"head_dim": 8}, {"num_kv_heads": 1}, {"rope": {"theta": 1e4}}])
def test_bench_leaves_torch_out_where_it_has_no_such_layer(lacking):
    class Service(FakeService):
        INFO = {**FakeService.INFO, "num_heads": 2, "num_kv_heads": 2, "head_dim": 1, "rope": None, **lacking}

    with Service({"model": "fake", "output": [[1.0, 2.0]]}) as service:
        code, text, errors = command(service.url, "bench", "--warmup", 0, "--shape", "1,2", "--requests", 1)
    assert code == 0 and errors.startswith("attend: torch is left out: its layer has no ")
    assert next(iter(lacking)) in errors and "torch    not measured" in text


def test_extra_keys_are_drawn_unmasked(extra, tmp_path, rng):
    from attend import inputs, viz

    path = tmp_path / "x.png"
    x, padding = draw(rng, 1, 4, 24), np.array([[False, False, False, True]])
    np.savez(tmp_path / "x.npz", query=x, key_padding_mask=padding, labels=[list("abcd")])
    code, _, errors = command(extra[0], "viz", "--input", tmp_path / "x.npz", "--causal", "--out", path)
    assert code == 0 and path.exists(), errors
    request = inputs.load(tmp_path / "x.npz", with_labels=True)
    answer = attend.Client(extra[0]).attend(**request.fields, need_weights=True)
    maps = viz._select(request, answer, viz.Options())
    assert maps.columns == ["a", "b", "c", "(extra)", "(extra)"] and maps.rows == ["a", "b", "c"]
    assert not maps.masked[:, :, 3:].any() and maps.weights.shape == (HEADS, 3, 5)
    assert any("padding left out, as queries and as keys: 1" in note for note in maps.notes)


def test_causality_by_position_is_hatched(rng):
    from attend.inputs import Request
    from attend.viz import excluded

    fields = {"query": draw(rng, 2, 4), "is_causal": True, "query_offset": 5, "key_offset": 3}
    want = [[False, False, False, True, True], [False, False, False, False, True]]
    assert excluded(Request(fields), 0, 1, 2, 5)[0].tolist() == want
