"""A request's answer is the same to the bit: alone and in company, at one thread and at two, and whatever else is asked
for beside the output; over every kind of mask, window, heads that share keys, extra keys and cross-attention."""

import concurrent.futures
import http.client
import json

import numpy as np
import pytest
from attend_server import AttendServer
from conftest import SEED

MODELS = {
    "plain": "embed_dim=48,num_heads=6",
    "other": "embed_dim=40,num_heads=4,kdim=24,vdim=56",
    "shared": "embed_dim=64,num_heads=8,num_kv_heads=2,head_dim=12,rope_theta=10000",
    "window": "embed_dim=32,num_heads=4,causal=true,sliding_window=9,softcap=20",
    "around": "embed_dim=32,num_heads=2,sliding_window=5",
    "extra": "embed_dim=36,num_heads=3,add_bias_kv=true,add_zero_attn=true,dropout=0.2",
}
WIDTHS = {"plain": (48, 48, 48), "other": (40, 24, 56), "shared": (64,) * 3, "window": (32,) * 3}
WIDTHS |= {"around": (32,) * 3, "extra": (36,) * 3}
HEADS = {"plain": 6, "other": 4, "shared": 8, "window": 4, "around": 2, "extra": 3}
REQUESTS = 150
MORE = {
    "need_weights": True,
    "return": ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"],
}


def make_request(index):
    rng = np.random.default_rng([SEED, 77, index])
    model = list(MODELS)[index % len(MODELS)]
    batch, length, keys = (int(rng.integers(1, top)) for top in (4, 100, 140))
    widths = WIDTHS[model]
    is_self = model != "other" and rng.random() < 0.4
    keys = length if is_self else keys
    request = {"model": model, "query": numbers(rng, batch, length, widths[0])}
    if not is_self:
        request["key"] = numbers(rng, batch, keys, widths[1])
        request["value"] = numbers(rng, batch, keys, widths[2])
    shapes = [None, (length, keys), (batch * HEADS[model], length, keys), (batch, 1, length, keys)]
    shape = shapes[rng.integers(4)]
    if shape is not None:
        request["attn_mask"] = mask(rng, shape)
    if rng.random() < 0.4:
        request["key_padding_mask"] = mask(rng, (batch, keys))
    if rng.random() < 0.5:
        request["is_causal"] = bool(rng.random() < 0.5)
    if rng.random() < 0.3:
        request["query_offset"], request["key_offset"] = (int(rng.integers(0, 200)) for _ in "qk")
    if model == "extra" and rng.random() < 0.5:
        request |= {"training": True, "seed": int(rng.integers(2**53))}
    return request


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32).tolist()


def mask(rng, shape):
    excluded = rng.random(shape) < 0.3
    if rng.random() < 0.5:
        return excluded.tolist()
    return np.where(excluded, -np.inf, rng.standard_normal(shape).astype(np.float32)).tolist()


def ask(url, request):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
    connection.request("POST", "/attend", json.dumps(request), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


@pytest.fixture(scope="module")
def urls():
    arguments = []
    for name, options in MODELS.items():
        arguments += ["--model", f"{name}=init:{options}"]
    with AttendServer("--threads", 1, *arguments) as one, AttendServer("--threads", 2, *arguments) as two:
        yield one.url, two.url


def test_an_answer_is_the_same_to_the_bit(urls):
    requests = [make_request(index) for index in range(REQUESTS)]
    alone = [ask(urls[0], request) for request in requests]
    rng = np.random.default_rng([SEED, 78])
    for url in urls:
        order = rng.permutation(REQUESTS)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            in_company = list(pool.map(lambda index: ask(url, requests[index]), order))
        for index, body in zip(order, in_company):
            assert body == alone[index], f"request {index} in company"


def test_asking_for_more_changes_no_bit(urls):
    rng = np.random.default_rng([SEED, 79])
    for index in range(0, REQUESTS, 2):
        request = make_request(index)
        plain = json.loads(ask(urls[0], request))
        names = [name for name in MORE["return"] if rng.random() < 0.5]
        more = json.loads(ask(urls[1], request | MORE))
        some = json.loads(ask(urls[1], request | {"return": names, "need_weights": bool(rng.random() < 0.5)}))
        view = {"rows": [0, 1], "size": [1, 1]}
        part = json.loads(ask(urls[1], request | {"need_weights": True, "view": view}))
        assert plain["output"] == more["output"] == some["output"] == part["output"], f"request {index}"
        for name in names:
            assert some[name] == more[name], f"request {index}: {name}"


def test_the_same_request_at_every_length_of_the_queue(urls):
    """One request among others of other shapes for the same model: none of them shows in it."""
    request = make_request(0)
    alone = ask(urls[0], request)
    for others in range(1, 9):
        crowd = [make_request(len(MODELS) * n) for n in range(1, others + 1)] + [request]
        with concurrent.futures.ThreadPoolExecutor(len(crowd)) as pool:
            assert list(pool.map(lambda one: ask(urls[1], one), crowd))[-1] == alone
