"""Results that are kept: what is in them, how they are shown, drawn and removed, and that nobody learns of them."""

import base64
import calendar
import concurrent.futures
import json
import re
import time

import numpy as np
import pytest
import requests
from attend import safetensors
from attend_server import AttendServer
from conftest import LAYERS

HEADS = LAYERS["plain"][1]
WIDTH = 24
PRIVATE = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
DTYPES = {"float32": "<f4", "int32": "<i4", "bool": "?"}


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def ask(url, fields, accept="application/json", path="/attend/plain", headers=None, **parameters):
    """POST, whatever comes of it. A mask may hold minus infinity, as Python writes it."""
    body = json.dumps(fields, default=lambda array: array.tolist())
    headers = {"Content-Type": "application/json", "Accept": accept, **(headers or {})}
    return requests.post(url + path, data=body, headers=headers, params=parameters, timeout=60)


def post(url, fields, *arguments, **options):
    answer = ask(url, fields, *arguments, **options)
    assert answer.status_code == 200, answer.text
    return answer


def keep(url, fields, **more):
    """The path of the result."""
    return post(url, {**fields, "keep": True}, **more).json()["result_url"]


def get(url, path, method="GET", **options):
    return requests.request(method, url + path, timeout=60, **options)


def array(tensor):
    """Of an object with base64."""
    return np.frombuffer(base64.b64decode(tensor["data"]), DTYPES[tensor["dtype"]]).reshape(tensor["shape"])


VARIETY = {
    "self": {},
    "weights": {"need_weights": True},
    "averaged": {"need_weights": True, "average_attn_weights": True},
    "averaged, not asked for": {"average_attn_weights": True},
    "view": {"view": {"heads": [2, 0], "rows": [1, 5], "cols": [0, 7], "batch": [1]}},
    "pooled": {"need_weights": True, "view": {"size": [3, 2], "pool": "mean"}},
    "largest": {"view": {"top_k": 2}, "return": ["scores"]},
    "largest, asked for": {"need_weights": True, "view": {"top_k": 3}},
    "more": {"return": ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"], "id": 'an "id" \u20ac'},
    "causal": {"is_causal": True, "query_offset": 2, "key_offset": 1},
    "not causal": {"is_causal": False},
    "dropout": {"training": True, "seed": 7},
    "base64": {"encoding": "base64", "need_weights": True},
}


@pytest.mark.parametrize("name", VARIETY)
@pytest.mark.parametrize("batched", [True, False])
def test_what_is_kept(url, rng, name, batched):
    """The request is as it was sent, the answer as it came, and the weights are those that need_weights gives."""
    if not batched and "batch" in VARIETY[name].get("view", {}):
        pytest.skip("there is one batch entry only")
    batch = (2,) if batched else ()
    mask = draw(rng, 6, 7)
    mask[1, 2] = -np.inf
    fields = {"query": draw(rng, *batch, 6, WIDTH), "key": draw(rng, *batch, 7, WIDTH), "attn_mask": mask}
    fields["key_padding_mask"] = rng.random((*batch, 7)) < 0.3
    fields.update(VARIETY[name])
    plain = post(url, fields).json()
    kept = post(url, {**fields, "keep": True})
    answer = kept.json()
    path = answer.pop("result_url")
    assert re.fullmatch("/results/[a-z2-7]{32}", path) and kept.headers["X-Result-Url"] == path
    if "view" in fields and "warnings" in plain:  # it is of the weights that are kept, so it has an effect
        plain.pop("warnings")
    assert answer == plain  # the bits are the same

    found = get(url, f"{path}.json")
    assert found.status_code == 200 and found.headers["Content-Type"] == "application/json"
    document = found.json()
    assert document["model"] == "plain" and 0 < document["expires_in"] <= 3600
    created = calendar.timegm(time.strptime(document["created"], "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(time.time() - created) < 60
    request = document["request"]
    sent = {**fields, "model": "plain", "keep": True}
    assert set(request) == {name for name, value in sent.items()}
    for field, value in sent.items():
        if isinstance(value, np.ndarray):
            back = array(request[field])
            assert back.dtype == value.dtype and np.array_equal(back, value), field
        else:
            assert request[field] == value, field

    wanted = post(url, {**fields, "need_weights": True, "encoding": "base64"}).json()
    assert document["attn_weights"] == wanted.pop("attn_weights")
    assert document["answer"].pop("result_url") == path
    assert document["answer"] == wanted

    again = post(url, request, path="/attend").json()
    assert again.pop("result_url") != path and again == answer


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.safetensors"])
def test_a_seed_that_was_drawn_is_kept(rng, accept):
    """Sent again, the request that is kept gives the same bits."""
    with AttendServer("--model", "d=init:embed_dim=24,num_heads=3,dropout=0.5") as server:
        fields = {"query": draw(rng, 5, WIDTH), "training": True, "need_weights": True, "keep": True}
        path = post(server.url, fields, accept, path="/attend").headers["X-Result-Url"]
        document = get(server.url, f"{path}.json").json()
        seed = document["request"]["seed"]
        assert isinstance(seed, int) and seed == document["answer"]["seed"]
        again = keep(server.url, document["request"], path="/attend")
        repeated = get(server.url, f"{again}.json").json()
        for name in ("request", "attn_weights"):
            assert repeated[name] == document[name], name
        assert repeated["answer"]["output"] == document["answer"]["output"]
        other = keep(server.url, {**document["request"], "seed": seed ^ 1}, path="/attend")
        assert get(server.url, f"{other}.json").json()["attn_weights"] != document["attn_weights"]
        fields.pop("training")
        path = keep(server.url, fields, path="/attend")
        assert "seed" not in get(server.url, f"{path}.json").json()["request"]


def test_head_output_has_no_weights(url, rng):
    path = keep(url, {"head_output": draw(rng, 1, HEADS, 4, WIDTH // HEADS), "query_labels": list("abcd")})
    document = get(url, f"{path}.json").json()
    assert "attn_weights" not in document and document["query_labels"] == list("abcd")
    answer = get(url, f"{path}/heatmap.png")
    assert answer.status_code == 400 and "head_output" in answer.json()["error"]


# Labels


def test_labels(url, rng):
    fields = {"query": draw(rng, 3, WIDTH), "key": draw(rng, 2, WIDTH)}
    labels = {"query_labels": ["<img onerror=x>", "", 'quote" and \\ \n'], "key_labels": ["\U0001f600", "\u00e9"]}
    document = get(url, keep(url, {**fields, **labels}) + ".json").json()
    for place in (document, document["request"]):
        assert {name: place[name] for name in labels} == labels
    assert post(url, {**fields, **labels}).json() == post(url, fields).json()
    document = get(url, keep(url, fields) + ".json").json()
    assert not {"query_labels", "key_labels"} & {*document, *document["request"]}


def test_labels_of_extra_keys(rng):
    with AttendServer("--model", "x=init:embed_dim=4,num_heads=2,add_zero_attn=true") as server:
        query = draw(rng, 3, 4)
        for count in (3, 4):
            path = keep(server.url, {"query": query, "key_labels": ["k"] * count}, path="/attend")
            assert len(get(server.url, f"{path}.json").json()["key_labels"]) == count
        answer = ask(server.url, {"query": query, "key_labels": ["k"] * 5}, path="/attend")
        assert answer.status_code == 400 and "S = 3, or 4 with the model's extra keys" in answer.json()["error"]


@pytest.mark.parametrize(
    "labels,code,path",
    [
        ({"query_labels": ["a"]}, "bad_shape", "query_labels"),
        ({"key_labels": ["a"] * 4}, "bad_shape", "key_labels"),
        ({"query_labels": "abc"}, "bad_value", "query_labels"),
        ({"query_labels": ["a", 1, "b"]}, "bad_value", "query_labels[1]"),
        ({"query_labels": ["a", "x" * 257, "b"]}, "bad_value", "query_labels[1]"),
        ({"keep": 1}, "bad_value", "keep"),
    ],
)
def test_labels_that_do_not_fit(url, rng, labels, code, path):
    answer = ask(url, {"query": draw(rng, 3, WIDTH), **labels})
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["path"]) == (code, path), answer.text


# The other wire formats


def test_safetensors(url, rng):
    query = draw(rng, 3, WIDTH)
    metadata = {"keep": "true", "query_labels": '["a","b","c"]', "key_labels": ' [ "x", "y", "z" ] '}
    body = b"".join(safetensors.pieces({"query": query}, metadata))
    kind = "application/vnd.safetensors"
    headers = {"Content-Type": kind, "Accept": kind}
    answer = requests.post(f"{url}/attend/plain", data=body, headers=headers, timeout=60)
    tensors, found = safetensors.read(answer.content)
    assert list(tensors) == ["output"] and found["result_url"] == answer.headers["X-Result-Url"]
    document = get(url, found["result_url"] + ".json").json()
    assert document["query_labels"] == list("abc") and document["key_labels"] == list("xyz")
    assert np.array_equal(array(document["request"]["query"]), query)
    assert np.array_equal(array(document["answer"]["output"]), tensors["output"])
    assert document["attn_weights"]["shape"] == [HEADS, 3, 3]


def infer(url, rng_query, **parameters):
    tensor = {"name": "query", "datatype": "FP32", "shape": list(rng_query.shape), "data": rng_query.ravel().tolist()}
    body = {"inputs": [tensor], "parameters": parameters}
    return requests.post(f"{url}/v2/models/plain/infer", json=body, timeout=60)


def test_open_inference_protocol(url, rng):
    query = draw(rng, 3, WIDTH)
    plain = infer(url, query).json()
    answer = infer(url, query, keep=True, query_labels='["a","b","c"]')
    assert answer.status_code == 200 and answer.json() == plain
    path = answer.headers["X-Result-Url"]
    document = get(url, f"{path}.json").json()
    assert document["query_labels"] == list("abc")
    assert np.array_equal(array(document["answer"]["output"]).ravel(), np.float32(plain["outputs"][0]["data"]))
    assert "X-Result-Url" not in infer(url, query, keep=False).headers
    refused = infer(url, query, query_labels=["a", "b", "c"])
    assert refused.status_code == 400 and "a string that holds a JSON list of strings" in refused.json()["error"]
    refused = infer(url, query, query_labels='["a","b"]')
    assert refused.json()["code"] == "bad_shape"


# Pictures

PICTURES = [{}, {"head": "1"}, {"head": "2,0"}, {"head": "mean"}, {"head": "max"}]
PICTURES += [{"batch": "1", "cell": "3"}, {"scale": "log"}, {"head": "mean", "scale": "sqrt", "batch": "1"}]
REQUESTS = {
    "plain": (9, {}),
    "causal": (12, {"is_causal": True}),
    "windows": (20, {"view": {"rows": [3, 17], "cols": [0, 9]}}),
    "heads": (8, {"view": {"heads": [2, 0]}}),
    "entry": (8, {"view": {"batch": [1]}}),
    "both entries": (8, {"view": {"batch": [1, 0]}}),
    "averaged": (8, {"average_attn_weights": True, "need_weights": True}),
    "pooled": (16, {"view": {"size": [5, 4], "pool": "sum"}}),
    "too many for pixels": (4500, {"view": {"rows": [1, 30]}}),
    "long, averaged": (4500, {"average_attn_weights": True}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_pictures_are_those_of_the_request(url, rng, name):
    """The same bytes, for the request alone, beside keeping it, or from what was kept; or refused with a reason."""
    length, options = REQUESTS[name]
    fields = {"query": draw(rng, 2, min(length, 30), WIDTH), "key": draw(rng, 2, length, WIDTH), **options}
    fields["key_padding_mask"] = rng.random((2, length)) < 0.2
    path = keep(url, fields)
    seen = 0
    for parameters in PICTURES if length < 100 else PICTURES[:5]:
        kept = get(url, f"{path}/heatmap.png", params=parameters)
        direct, beside = (ask(url, {**fields, "keep": on}, "image/png", **parameters) for on in (False, True))
        assert kept.status_code == beside.status_code
        assert kept.content == beside.content, (parameters, kept.text[:200])
        if kept.status_code == 200:
            seen += 1
            assert kept.content == direct.content, parameters
            assert kept.headers["Content-Type"] == "image/png"
        else:
            why = kept.json()
            assert kept.status_code == 400 and why["code"] == "bad_value", why
            assert "X-Result-Url" not in beside.headers
            head = parameters.get("head", "")
            too_late = (name == "pooled" and head == "mean") or ("averaged" in name and head[:1].isdigit())
            assert too_late or direct.status_code == 400, why
    assert (seen == 0) == (name == "both entries")  # a picture shows one


def test_pictures_of_what_was_kept_for_a_picture(url, rng):
    """What is kept beside a picture is all of the weights, not the part that the picture showed."""
    fields = {"query": draw(rng, 2, 6, WIDTH)}
    answer = post(url, {**fields, "keep": True}, accept="image/png", head="1")
    path = answer.headers["X-Result-Url"]
    document = get(url, f"{path}.json").json()
    assert document["attn_weights"]["shape"] == [2, HEADS, 6, 6] and "view" not in document["request"]
    assert "need_weights" not in document["request"] and "attn_weights" not in document["answer"]
    other = get(url, f"{path}/heatmap.png", params={"head": "2", "batch": "1"})
    assert other.content == post(url, fields, accept="image/png", head="2", batch="1").content


@pytest.mark.parametrize(
    "parameters,code", [({"head": "9"}, "bad_value"), ({"batch": "2"}, "bad_value"), ({"x": "1"}, "unknown_field")]
)
def test_pictures_that_cannot_be(url, rng, parameters, code):
    path = keep(url, {"query": draw(rng, 2, 3, WIDTH)})
    answer = get(url, f"{path}/heatmap.png", params=parameters)
    assert answer.status_code == 400 and answer.json()["code"] == code
    assert PRIVATE.items() <= answer.headers.items()


def test_no_picture_of_the_largest(url, rng):
    answer = get(url, keep(url, {"query": draw(rng, 3, WIDTH), "view": {"top_k": 1}}) + "/heatmap.png")
    assert answer.status_code == 400 and "top_k" in answer.json()["error"]


def test_nothing_to_show(url):
    for B, L in ((0, 3), (2, 0)):
        query = {"shape": [B, L, WIDTH], "dtype": "float32", "data": ""}
        path = keep(url, {"query": query})
        assert get(url, f"{path}/heatmap.png").content == post(url, {"query": query}, "image/png").content
        assert get(url, f"{path}.json").json()["attn_weights"]["shape"] == [B, HEADS, L, L]


# Paths, methods, headers


def test_every_path(url, rng):
    path = keep(url, {"query": draw(rng, 3, WIDTH)})
    page = get(url, path)
    assert page.status_code == 200 and page.content == get(url, "/").content
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == get(url, "/").headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff" and "ETag" not in page.headers
    for ending, allowed in (("", "GET, HEAD, DELETE"), (".json", "GET, HEAD"), ("/heatmap.png", "GET, HEAD")):
        answer = get(url, path + ending)
        assert answer.status_code == 200 and PRIVATE.items() <= answer.headers.items()
        head = get(url, path + ending, "HEAD")
        assert head.status_code == 200 and head.content == b"" and PRIVATE.items() <= head.headers.items()
        for method in {"POST", "PUT", "PATCH", "DELETE"} - set(allowed.split(", ")):
            answer = get(url, path + ending, method)
            assert answer.status_code == 405 and answer.json()["code"] == "method_not_allowed"
            assert answer.headers["Allow"] == allowed and PRIVATE.items() <= answer.headers.items()
    gone = get(url, path, "DELETE")
    assert gone.status_code == 204 and gone.content == b"" and PRIVATE.items() <= gone.headers.items()
    assert "Content-Type" not in gone.headers
    for ending in ("", ".json", "/heatmap.png"):
        answer = get(url, path + ending)
        assert answer.status_code == 404 and answer.json()["code"] == "not_found"
        assert PRIVATE.items() <= answer.headers.items()
    assert get(url, path, "DELETE").status_code == 404


def test_paths_that_are_none(url, rng):
    path = keep(url, {"query": draw(rng, 3, WIDTH)})
    odd = [path[:-1], path + "a", path + "/", path + ".png", path + "/heatmap.gif", path.upper(), "/results/"]
    for wrong in [*odd, "/results", "/results/.json", "/results/%00", "/results//heatmap.png"]:
        answer = get(url, wrong)
        assert answer.status_code in (400, 404), wrong
    assert get(url, path).status_code == 200
    assert get(url, path + ".json?x=1").status_code == 400
    assert get(url, path + ".json?head=1").status_code == 400


def test_a_large_document_is_compressed_for_those_who_take_it(url, rng):
    path = keep(url, {"query": draw(rng, 1, 400, WIDTH)})
    plain = get(url, f"{path}.json", headers={"Accept-Encoding": "identity"})
    packed = get(url, f"{path}.json", headers={"Accept-Encoding": "gzip"})
    assert len(plain.content) > 1 << 20 and "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert {**packed.json(), "expires_in": 0} == {**plain.json(), "expires_in": 0}


# Memory, time, secrecy


def test_a_result_that_is_too_large(rng):
    with AttendServer("--results-memory", "20KiB") as server:
        small, large = draw(rng, 1, 1, 512), draw(rng, 1, 12, 512)
        assert get(server.url, keep(server.url, {"query": small}, path="/attend")).status_code == 200
        for accept in ("application/json", "application/vnd.safetensors", "image/png"):
            answer = ask(server.url, {"query": large, "keep": True}, accept, "/attend")
            assert answer.status_code == 413 and answer.json()["code"] == "too_large"
            assert "--results-memory" in answer.json()["error"] and "20480" in answer.json()["error"]
            assert "Server-Timing" not in answer.headers and "X-Result-Url" not in answer.headers
        post(server.url, {"query": large}, path="/attend")


def test_weights_count_before_there_is_memory_for_them():
    """To ask again later would not help: so it is 413, not the 429 of --max-memory."""
    with AttendServer("--model", "m=init:embed_dim=8,num_heads=8", "--max-memory", "200MiB") as server:
        answer = ask(server.url, {"query": np.zeros((1, 6000, 8)), "keep": True}, path="/attend")
    assert answer.status_code == 413 and "--results-memory" in answer.json()["error"]


def test_nothing_is_kept_with_no_memory(rng):
    with AttendServer("--results-memory", "0") as server:
        answer = ask(server.url, {"query": draw(rng, 1, 512), "keep": True}, path="/attend")
        assert answer.status_code == 413 and "--results-memory" in answer.json()["error"]


def test_the_least_recently_used_makes_room(rng):
    fields = {"query": draw(rng, 4, 512)}
    with AttendServer("--results-memory", "64KiB") as server:
        paths = [keep(server.url, fields, path="/attend") for _ in range(3)]
        for _ in range(10):
            assert get(server.url, paths[0] + ".json").status_code == 200  # a use
            paths.append(keep(server.url, fields, path="/attend"))
        found = [get(server.url, path, "HEAD").status_code == 200 for path in paths]
        assert found[0] and found[-1] and 2 <= sum(found) <= 4
        assert found[1:] == sorted(found[1:])  # the others went in their order


def test_a_result_expires(rng):
    with AttendServer("--results-ttl", "1") as server:
        path = keep(server.url, {"query": draw(rng, 4, 512)}, path="/attend")
        first = get(server.url, f"{path}.json")
        assert first.status_code in (200, 404)
        assert first.status_code == 404 or first.json()["expires_in"] == 1
        end = time.monotonic() + 60
        while get(server.url, f"{path}.json").status_code == 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert get(server.url, path).status_code == 404


def resident(server):
    """Bytes of the process in memory."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("how", ["deleted", "expired"])
def test_memory_comes_back(how):
    fields = {"query": np.zeros((1, 1500, 8)).tolist()}  # weights of 72 MB
    seconds = 1 if how == "expired" else 3600
    with AttendServer("--model", "m=init:embed_dim=8,num_heads=8", "--results-ttl", seconds) as server:
        post(server.url, fields, path="/attend")  # what stays with the workers
        before = resident(server)
        path = keep(server.url, fields, path="/attend")
        if how == "deleted":
            assert resident(server) - before > 60e6
            assert get(server.url, path, "DELETE").status_code == 204
        end = time.monotonic() + 60
        while resident(server) - before > 30e6 and time.monotonic() < end:
            time.sleep(0.1)  # nobody asks: it expires all the same
        assert resident(server) - before < 30e6


def test_no_id_in_the_log(rng):
    with AttendServer("--log-level", "debug") as server:
        path = keep(server.url, {"query": draw(rng, 4, 512)}, path="/attend")
        secret = path.rsplit("/", 1)[1]
        odd = ["", ".json", "/heatmap.png", "/heatmap.png?head=99", "?x=1", "/", ".png", "/x/y", "%2ejson"]
        for method in ("GET", "HEAD", "POST"):
            for ending in odd:
                get(server.url, path + ending, method)
        for other in (f"/{path}", f"/%72esults/{secret}", f"/results/%{ord(secret[0]):x}{secret[1:]}"):
            get(server.url, other)
        get(server.url, path, "DELETE")
        get(server.url, path)
        get(server.url, "/healthz")
    log = "".join(server.log)
    assert "/results/{id} 204" in log and "/results/{id}.json 200" in log and "/results/{id}/heatmap.png 200" in log
    assert secret not in log and secret[1:] not in log
    assert log.count("/results/{id}") == 3 * len(odd) + 5


def test_many_at_once(rng):
    """Threads keep, read and delete; each finds its own or nothing, and the service is well afterwards."""
    queries = [draw(rng, 5, 512) for _ in range(8)]
    with AttendServer("--results-memory", "200KiB", "--threads", "4") as server:

        def work(number):
            found = 0
            for round in range(25):
                fields = {"query": queries[number], "query_labels": [f"{number} {round}"] * 5}
                path = keep(server.url, fields, path="/attend")
                answer = get(server.url, f"{path}.json")
                assert answer.status_code in (200, 404)
                if answer.status_code == 200:
                    found += 1
                    assert answer.json()["query_labels"] == fields["query_labels"]
                    assert np.array_equal(array(answer.json()["request"]["query"]), queries[number])
                assert get(server.url, f"{path}/heatmap.png").status_code in (200, 404)
                if round % 2:
                    assert get(server.url, path, "DELETE").status_code in (204, 404)
            return found

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) > 50


def test_an_answer_that_fails_leaves_nothing():
    """A deadline that passes while the answer is written: nobody knows the path, and nothing stays behind it."""
    fields = {"query": np.zeros((1, 1200, 8)).tolist(), "keep": True, "need_weights": True}  # 46 MB
    with AttendServer("--model", "m=init:embed_dim=8,num_heads=8", "--results-memory", "60MiB") as server:
        path = keep(server.url, {"query": np.zeros((1, 2, 8))}, path="/attend")
        late, milliseconds, status = 0, 20, 504
        while status == 504:
            answer = ask(server.url, fields, path="/attend", headers={"X-Request-Timeout": str(milliseconds)})
            status = answer.status_code
            late += status == 504
            assert ("X-Result-Url" in answer.headers) == (status == 200)
            milliseconds += milliseconds // 4
        assert status == 200 and late > 1
        assert get(server.url, path).status_code == 200  # two that stayed behind would have pushed it out


@pytest.mark.parametrize("ending", [".json", "/heatmap.png"])
def test_an_answer_that_fails_gives_back(ending):
    """A deadline that passes while a kept result is shown: who deletes it then has its memory."""
    fields = {"query": np.zeros((1, 1200, 8)).tolist(), "keep": True}  # 46 MB
    with AttendServer("--model", "m=init:embed_dim=8,num_heads=8", "--results-memory", "60MiB") as server:
        path = keep(server.url, fields, path="/attend")
        late, milliseconds = 0, 5
        while get(server.url, path + ending, headers={"X-Request-Timeout": str(milliseconds)}).status_code == 504:
            late += 1
            milliseconds *= 2
        assert late > 1
        assert get(server.url, path, "DELETE").status_code == 204
        assert keep(server.url, fields, path="/attend") != path  # there would be no room beside one that is held


def test_options():
    for flag, value in (("--results-memory", "-1"), ("--results-ttl", "0"), ("--results-ttl", "1.5")):
        with pytest.raises(RuntimeError, match=flag):
            with AttendServer(flag, value):
                pass
