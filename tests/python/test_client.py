"""The client package against the real service: calls, kinds, masks, warnings, errors."""

import json
import socket

import attend
import numpy as np
import pytest
import requests
from conftest import LAYERS
from oracle import attention

TOLERANCE = 2e-6


def check(url, wire, name, query, key=None, value=None, **options):
    """One call with weights, held against the oracle."""
    weights, heads = LAYERS[name]
    mha = attend.MultiHeadAttention(url, name, wire=wire)
    output, attn = mha(query, key, value, need_weights=True, **options)
    want_output, want_attn = attention(weights, heads, query, key, value, **options)
    assert output.dtype == attn.dtype == np.float32
    np.testing.assert_allclose(
        output, want_output, rtol=0, atol=TOLERANCE * max(1.0, np.abs(want_output).max())
    )
    np.testing.assert_allclose(attn, want_attn, rtol=0, atol=TOLERANCE)
    return output, attn


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def test_demo_is_init_weights(url, wire):
    """The whole service against double precision, on weights that this side drew by itself."""
    x = attend.random_tensor((2, 10, 512), seed=7)
    output, attn = attend.MultiHeadAttention(url, "demo", wire=wire)(x, need_weights=True)
    want_output, want_attn = attention(attend.init_weights(), 8, x)
    np.testing.assert_allclose(output, want_output, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(attn, want_attn, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["plain", "nobias"])
def test_self_attention(url, wire, rng, name):
    check(url, wire, name, draw(rng, 3, 7, LAYERS[name][0]["out_proj.weight"].shape[0]))


def test_cross_attention_with_other_widths(url, wire, rng):
    check(url, wire, "cross", draw(rng, 2, 4, 20), draw(rng, 2, 9, 12), draw(rng, 2, 9, 7))


def test_value_defaults_to_key(url, wire, rng):
    check(url, wire, "plain", draw(rng, 2, 4, 24), draw(rng, 2, 9, 24))


def test_output_alone_is_the_same_bits(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 5, 24)
    alone = mha(x)
    assert isinstance(alone, np.ndarray)
    np.testing.assert_array_equal(alone, mha(x, need_weights=True)[0])


def test_unbatched(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 5, 24)
    output, attn = mha(x, need_weights=True)
    assert output.shape == (5, 24) and attn.shape == (3, 5, 5)
    batched_output, batched_attn = mha(x[None], need_weights=True)
    np.testing.assert_array_equal(output, batched_output[0])
    np.testing.assert_array_equal(attn, batched_attn[0])


def test_averaged_weights(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 5, 24)
    _, mean = mha(x, need_weights=True, average_attn_weights=True)
    assert mean.shape == (2, 5, 5)
    want = attention(*LAYERS["plain"], x)[1].mean(axis=1)
    np.testing.assert_allclose(mean, want, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(6, 8), (2 * 3, 6, 8), (2, 3, 6, 8)])
@pytest.mark.parametrize("kind", ["bool", "float", "-inf"])
def test_attn_masks(url, wire, rng, shape, kind):
    excluded = rng.random(shape) < 0.4
    mask = {"bool": excluded, "float": draw(rng, *shape), "-inf": np.where(excluded, -np.inf, 0.0)}[kind]
    check(url, wire, "plain", draw(rng, 2, 6, 24), draw(rng, 2, 8, 24), attn_mask=mask)


def test_boolean_and_infinite_masks_are_the_same(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 6, 24)
    mask = rng.random((6, 6)) < 0.4
    np.testing.assert_array_equal(mha(x, attn_mask=mask), mha(x, attn_mask=np.where(mask, -np.inf, 0.0)))


def test_key_padding_causal_and_mask_combine(url, wire, rng):
    padding = np.arange(8) >= np.array([[8], [5]])
    mask = np.where(rng.random((8, 8)) < 0.3, -np.inf, draw(rng, 8, 8))
    check(url, wire, "plain", draw(rng, 2, 8, 24), attn_mask=mask, key_padding_mask=padding, is_causal=True)


def test_a_query_without_keys_gets_the_output_bias(url, wire, rng):
    mask = np.zeros((4, 4), bool)
    mask[2] = True
    output, attn = check(url, wire, "plain", draw(rng, 1, 4, 24), attn_mask=mask)
    np.testing.assert_array_equal(attn[0, :, 2], 0.0)
    np.testing.assert_array_equal(output[0, 2], LAYERS["plain"][0]["out_proj.bias"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.int32])
def test_numpy_kinds_become_float32(url, wire, rng, dtype):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), (4 * draw(rng, 1, 3, 24)).astype(dtype)
    output = mha(x)
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, mha(x.astype(np.float32)))


def test_layouts_of_memory_and_lists(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 2, 3, 24)
    want = mha(x)
    np.testing.assert_array_equal(mha(np.asfortranarray(x)), want)
    np.testing.assert_array_equal(mha(x.tolist()), want)


def test_numbers_arrive_exactly(rng):
    """Any float32 survives the text, subnormal and largest numbers and negative zero included."""
    from attend.wire import encode_request

    bits = rng.integers(0, 2**32, 20000, dtype=np.uint32)
    x = np.concatenate(
        [bits.view(np.float32), np.array([0.0, -0.0, 1e-45, 3.4028235e38, 1.17549435e-38], np.float32)]
    )
    x = x[np.isfinite(x)]
    # parse_int: json reads -0 as an integer, which has no sign
    read = np.array(json.loads(encode_request({"query": x}), parse_int=float)["query"], dtype=np.float32)
    np.testing.assert_array_equal(read.view(np.uint32), x.view(np.uint32))


@pytest.mark.parametrize("shape", [(0, 5, 24), (2, 0, 24), (0, 24)])
def test_empty_queries(url, wire, shape):
    mha = attend.MultiHeadAttention(url, "plain", wire=wire)
    output, attn = mha(np.zeros(shape, np.float32), need_weights=True)
    assert output.shape == shape
    assert attn.shape == shape[:-2] + (3, shape[-2], shape[-2])


def test_what_the_model_is(url):
    mha = attend.MultiHeadAttention(url, "cross")
    assert (mha.embed_dim, mha.num_heads, mha.head_dim, mha.kdim, mha.vdim) == (20, 4, 5, 12, 7)
    assert mha.model == "cross"
    assert attend.MultiHeadAttention(url).model == "demo"
    assert [info["name"] for info in attend.Client(url).models()["models"]] == ["demo", *LAYERS]


def test_low_level_answer(url, wire, rng):
    answer = attend.Client(url, wire=wire).attend("plain", query=draw(rng, 1, 2, 24), id="mine")
    assert (answer.model, answer.id, answer.attn_weights, answer.warnings) == ("plain", "mine", None, [])
    assert {"parse", "queue", "compute", "encode"} <= set(answer.timing)
    assert all(ms >= 0 for ms in answer.timing.values())
    assert answer.request_id and answer.kernels


def test_zero_one_mask_warns(url, wire, rng):
    mha, x = attend.MultiHeadAttention(url, "plain", wire=wire), draw(rng, 1, 4, 24)
    mask = np.triu(np.ones((4, 4)), 1)
    with pytest.warns(attend.AttendWarning, match="mask"):
        output = mha(x, attn_mask=mask)
    want = attention(*LAYERS["plain"], x, attn_mask=mask)[0]
    np.testing.assert_allclose(output, want, rtol=0, atol=TOLERANCE * max(1.0, np.abs(want).max()))


def refusal(call):
    with pytest.raises(attend.AttendError) as caught:
        call()
    return caught.value


def test_refusal_has_all_parts(url, wire):
    error = refusal(lambda: attend.MultiHeadAttention(url, "plain", wire=wire)(np.zeros((2, 3, 5))))
    assert (error.status, error.code, error.path) == (400, "bad_shape", "query")
    assert "24" in error.sentence and error.request_id
    for part in ("bad_shape", "HTTP 400", "query", error.request_id, error.sentence):
        assert part in str(error)


def test_refusal_names_the_place(url):
    error = refusal(lambda: attend.Client(url).post(b'{"query":[[0,1],[0,"x"]]}', "plain"))
    assert (error.status, error.code, error.path) == (400, "malformed_tensor", "query[1][1]")
    assert isinstance(error.offset, int)


@pytest.mark.parametrize(
    "fields, status, code",
    [
        ({}, 400, "missing_field"),
        ({"query": np.zeros((1, 24)), "querry": 1}, 400, "unknown_field"),
        ({"query": np.full((1, 24), np.nan)}, 400, "bad_value"),
        ({"query": np.zeros((2, 24)), "attn_mask": np.full((2, 2), np.inf)}, 400, "bad_value"),
        ({"query": np.zeros((2, 24)), "attn_mask": np.zeros((2, 3))}, 400, "bad_shape"),
        ({"query": np.zeros((2, 24)), "need_weights": 1}, 400, "bad_value"),
    ],
)
def test_refusals(url, wire, fields, status, code):
    error = refusal(lambda: attend.Client(url, wire=wire).attend("plain", **fields))
    assert (error.status, error.code) == (status, code)


def test_unknown_model(url, wire):
    error = refusal(lambda: attend.MultiHeadAttention(url, "no such model", wire=wire)(np.zeros((1, 24))))
    assert (error.status, error.code) == (404, "not_found")
    assert refusal(lambda: attend.MultiHeadAttention(url, "nobody", wire=wire).embed_dim).status == 404


def test_what_the_client_itself_refuses(url, wire):
    mha = attend.MultiHeadAttention(url, "plain", wire=wire)
    with pytest.raises(ValueError, match="query holds 1e\\+300"):
        mha(np.full((1, 24), 1e300))
    with pytest.raises(ValueError, match="attn_mask holds -1e\\+300"):
        mha(np.zeros((1, 24)), attn_mask=np.full((1, 1), -1e300))
    with pytest.raises(TypeError, match="query has elements of type"):
        mha(np.full((1, 24), "x"))
    with pytest.raises(ValueError, match="expected one like http://"):
        attend.Client("127.0.0.1:8080")
    with pytest.raises(ValueError, match="Port out of range"):
        attend.Client("http://127.0.0.1:99999")
    with pytest.raises(ValueError, match="query is ragged"):
        mha([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("name", ["need_weights", "is_causal", "average_attn_weights"])
@pytest.mark.parametrize("value", [1, "yes", np.zeros((4, 4)), np.zeros((4, 4), bool)])
def test_a_switch_is_true_or_false(url, rng, name, value):
    """A mask in a switch's place is a sentence that says so, not a wrong answer."""
    mha, x = attend.MultiHeadAttention(url, "plain"), draw(rng, 1, 4, 24)
    with pytest.raises(
        TypeError, match=f"^{name} is of type .*torch's is query, key, value, key_padding_mask"
    ):
        mha(x, **{name: value})


def test_numpy_switches(url, wire, rng):
    x = draw(rng, 1, 4, 24)
    yes, no = np.array([True, False])
    _, attn = attend.MultiHeadAttention(url, "plain", wire=wire)(
        x, need_weights=yes, is_causal=yes, average_attn_weights=no
    )
    np.testing.assert_allclose(
        attn, attention(*LAYERS["plain"], x, is_causal=True)[1], rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_timeouts_that_are_none(timeout):
    with pytest.raises(ValueError, match="the timeout is .* expected more than 0"):
        attend.Client(timeout=timeout)


def test_no_service():
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = refusal(lambda: attend.MultiHeadAttention(address)(np.zeros((1, 512))))
    assert (error.code, error.status) == ("no_service", None)
    assert f"no service at {address}: is `make run` running?" in str(error)


def test_a_service_that_does_not_answer():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = attend.Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        assert refusal(client.models).code == "timeout"


def test_connection_is_used_again(url, wire, rng):
    """The pool of the session opens one connection for many requests."""
    mha = attend.MultiHeadAttention(url, "plain", wire=wire)
    for _ in range(5):
        mha(draw(rng, 1, 2, 24))
    (pool,) = mha.client.session.get_adapter(url).poolmanager.pools._container.values()
    assert (pool.num_requests, pool.num_connections) == (5, 1)


def test_keeping(url, wire, rng):
    """The same numbers, and an address where a browser finds them."""
    query = rng.standard_normal((2, 3, 24)).astype(np.float32)
    mha = attend.MultiHeadAttention(url, "plain", wire=wire)
    plain = mha(query)
    assert mha.result_url is None
    assert np.array_equal(mha(query, keep=True, query_labels=("a", "b\u00e9", '"'), key_labels=list("xyz")), plain)
    document = requests.get(mha.result_url + ".json", timeout=60).json()
    assert document["query_labels"] == ["a", "b\u00e9", '"'] and document["key_labels"] == list("xyz")
    assert mha.client.attend("plain", query=query, keep=True).result_url.startswith(f"{url}/results/")
    mha(query)
    assert mha.result_url is None
    with pytest.raises(attend.AttendError) as refusal:
        mha(query, query_labels=["a"])
    assert refusal.value.path == "query_labels"
