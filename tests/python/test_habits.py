"""What torch.nn.MultiheadAttention's users do by habit: what means the same works, the rest does not pass in silence.
Gradients need torch: tests/peers/test_torch.py."""

import warnings

import attend
import numpy as np
import pytest
from commands import FakeService


class Pairs(FakeService):
    """Answers every query with an output of its own first axis."""

    def answer(self):
        return {"model": "fake", "output": np.ones((int(self.rows), 3, 2)).tolist()}


@pytest.fixture
def mha():
    with Pairs() as service:
        layer = attend.MultiHeadAttention(service.url, "fake", wire="json")
        service.rows = 2
        layer.service = service
        yield layer


X = np.ones((2, 2, 2), np.float32)  # B = L = S: masks of one kind have the shape of the other


@pytest.mark.parametrize("more", [(X[0],), (None,), (None, False), (X[0] > 2, True, X[0] > 2), (None, True, None, True)])
def test_masks_and_switches_go_by_name(mha, more):
    for call in (mha, mha.forward):
        with pytest.raises(TypeError) as caught:
            call(X, X, X, *more)
    for word in (f"{len(more)} more", "key_padding_mask=", "attn_mask=", "need_weights=", "torch's fourth"):
        assert word in str(caught.value)
    assert mha.service.seen == []


def takes_apart(mha):
    """Assignments that would take the output for (output, weights)."""

    def by_two():
        output, _ = mha(X, X, X)

    def by_forward():
        output, _ = mha.forward(query=X, key=X, value=X)

    def by_arguments():
        output, weights = mha(*[X, X], **{"is_causal": True})

    def by_target():
        box = {}
        box["output"], box["weights"] = mha(X)

    def by_star():
        output, *_ = mha(X, X, X)

    def in_a_loop():
        for _ in range(2):
            a, b = mha(X)

    return [by_two, by_forward, by_arguments, by_target, by_star, in_a_loop]


@pytest.mark.parametrize("n", range(6))
def test_a_result_taken_apart(mha, n):
    call = takes_apart(mha)[n]
    with pytest.warns(attend.AttendWarning, match="the output alone, .* needs need_weights=True") as caught:
        call()
    assert caught[0].filename == __file__  # the caller's line, not the package's


def test_a_list_has_an_axis_too(mha):
    mha.service.rows = 3
    with pytest.warns(attend.AttendWarning, match="takes its first axis apart"):
        (a, b, c) = mha(X)


def test_what_is_no_mistake(mha):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = mha(X, X, X)
        first, second = output
        one, two = mha(X, X, X, need_weights=False)
        one, two = [mha(X) for _ in range(2)]
        one, two = (mha(X), mha(X))
        for entry in mha(X):
            assert entry.shape == (3, 2)
        one, two = mha(X).shape[1:]
        one, two = mha(X)[0][:2]
        mha.service.rows = 5
        with pytest.raises(ValueError, match="too many values"):  # Python's own sentence, as loud
            one, two = mha(X)


@pytest.mark.parametrize(
    "arguments, options, named",
    [
        ((512, 8), {}, "url is 512, of type int"),
        ((512, 8, 0.1), {}, "url is 512"),
        ((np.int64(512), 8), {}, "of type int64"),
        ((), {"embed_dim": 512, "num_heads": 8}, "no argument embed_dim, num_heads"),
        ((512,), {"num_heads": 8}, "no argument num_heads"),
        ((None,), {}, "url is None, of type NoneType"),
        ((b"http://127.0.0.1:8080",), {}, "of type bytes"),
        (("http://127.0.0.1:8080", 8), {}, "model is 8, of type int"),
        (("http://127.0.0.1:8080",), {"timout": 1}, "no argument timout"),
    ],
)
def test_a_layer_is_not_made_by_its_sizes(arguments, options, named):
    with pytest.raises(TypeError, match=named) as caught:
        attend.MultiHeadAttention(*arguments, **options)
    assert "MultiHeadAttention('http://127.0.0.1:8080', model='demo')" in str(caught.value)


@pytest.mark.parametrize("make", [attend.Client, attend.Patterns])
@pytest.mark.parametrize("url", [512, None, b"http://127.0.0.1:8080"])
def test_a_url_is_a_string(make, url):
    with pytest.raises(TypeError, match="the service's URL is .*, of type .*; expected a string like http://"):
        make(url)


@pytest.mark.parametrize("timeout", ["3", [3], (1, "2"), 1j])
def test_a_timeout_is_a_number(timeout):
    with pytest.raises(TypeError, match="the timeout is of type .*; a number of seconds is expected"):
        attend.Client(timeout=timeout)
    attend.Client(timeout=(1, None)), attend.Client(timeout=np.float32(2))


def test_forward_and_with(url):
    x = np.ones((2, 3, 24), np.float32)
    with attend.MultiHeadAttention(url, "plain") as mha:
        output, weights = mha(x, need_weights=True)
        again = mha.forward(x, x, x, need_weights=True)
        pool = mha.client.session.get_adapter(url).poolmanager.pools
        assert len(pool) == 1
    assert len(pool) == 0
    np.testing.assert_array_equal(again[0], output)
    np.testing.assert_array_equal(mha(x), output)  # closed is not broken: it opens a connection again
    mha.close()
