"""The Open Inference Protocol as its clients speak it: tritonclient.http and KServe's InferenceRESTClient, the packages
that people install, beside POST /attend."""

import asyncio
import json
import threading
import urllib.request

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from attend_server import AttendServer
from conftest import SEED
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException

MODEL = "bert.layer-3"  # with dots, as the layers of a checkpoint have


@pytest.fixture(scope="module")
def server():
    with AttendServer("--model", f"{MODEL}=init:embed_dim=24,num_heads=3,dropout=0.25,seed=5") as running:
        yield running


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.url.split("//")[1], concurrency=4) as client:
        yield client


@pytest.fixture
def rng(request):
    return np.random.default_rng([SEED, *request.node.name.encode()])


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def attend(server, **fields):
    """The answer of POST /attend; arrays as float32."""
    fields = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/attend/{MODEL}", json.dumps(fields).encode(), kind)
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    return {name: np.array(value, np.float32) if isinstance(value, list) else value for name, value in answer.items()}


def triton_input(name, array, binary=True, datatype=None):
    datatypes = {"f4": "FP32", "f8": "FP64", "f2": "FP16", "b1": "BOOL"}
    tensor = triton.InferInput(name, list(array.shape), datatype or datatypes[array.dtype.str[1:]])
    return tensor.set_data_from_numpy(array, binary_data=binary)


def assert_same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


# ---- tritonclient ----


def test_triton_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2") and not client.is_model_ready("absent")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata(MODEL)
    assert metadata == client.get_model_metadata(MODEL, "1")
    assert metadata["inputs"][0] == {"name": "query", "datatype": "FP32", "shape": [-1, -1, 24]}
    assert metadata["outputs"][1] == {"name": "attn_weights", "datatype": "FP32", "shape": [-1, 3, -1, -1]}


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("asked", [True, False, None])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_infer(server, client, rng, sent, asked, compression):
    query, key, padding = draw(rng, 2, 5, 24), draw(rng, 2, 7, 24), rng.random((2, 7)) < 0.3
    expected = attend(server, query=query, key=key, key_padding_mask=padding, need_weights=True, is_causal=True)
    inputs = [triton_input(n, t, sent) for n, t in [("query", query), ("key", key), ("key_padding_mask", padding)]]
    names = ["attn_weights", "output"]
    result = client.infer(
        MODEL,
        inputs,
        model_version="1",
        outputs=None if asked is None else [triton.InferRequestedOutput(name, binary_data=asked) for name in names],
        request_id="r-1",
        parameters={"is_causal": True, "need_weights": True},
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "r-1" and result.get_response()["model_name"] == MODEL
    for name in names:
        assert_same_bits(result.as_numpy(name), expected[name])


def test_triton_default_is_the_output_alone(server, client, rng):
    query = draw(rng, 5, 24)
    result = client.infer(MODEL, [triton_input("query", query)])
    assert [output["name"] for output in result.get_response()["outputs"]] == ["output"]
    assert_same_bits(result.as_numpy("output"), attend(server, query=query)["output"])


def test_triton_datatypes(server, client, rng):
    query = draw(rng, 2, 5, 24)
    for array, datatype in [
        (query.astype(np.float16), "FP16"),
        (query.astype(np.float64), "FP64"),
        (query.astype(ml_dtypes.bfloat16), "BF16"),
    ]:
        result = client.infer(MODEL, [triton_input("query", array, datatype=datatype)])
        assert_same_bits(result.as_numpy("output"), attend(server, query=array.astype(np.float32))["output"])


@pytest.mark.parametrize("binary", [True, False])
def test_triton_more_outputs(client, rng, binary):
    mask = np.zeros((5, 5), bool)
    mask[1] = True
    names = ["lse", "stats.argmax", "attn_weights", "stats.received", "entropy"]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    inputs = [triton_input("query", draw(rng, 2, 5, 24)), triton_input("attn_mask", mask)]
    result = client.infer(MODEL, inputs, outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == names
    weights, lse = result.as_numpy("attn_weights"), result.as_numpy("lse")
    assert result.as_numpy("stats.argmax").dtype == np.int32
    assert (result.as_numpy("stats.argmax")[:, :, 1] == -1).all()
    assert (np.delete(result.as_numpy("stats.argmax"), 1, 2) == np.delete(weights, 1, 2).argmax(-1)).all()
    np.testing.assert_allclose(result.as_numpy("stats.received"), weights.sum(2), rtol=1e-5)
    # JSON has no word for minus infinity; its null becomes NaN in this client.
    assert (np.isneginf if binary else np.isnan)(lse[:, :, 1]).all()
    assert np.isfinite(np.delete(lse, 1, 2)).all()


def test_triton_view_and_seed(server, client, rng):
    query = draw(rng, 2, 5, 24)
    view = {"heads": [2, 0], "top_k": 2}
    outputs = [triton.InferRequestedOutput("attn_weights")]
    result = client.infer(
        MODEL,
        [triton_input("query", query)],
        outputs=outputs,
        parameters={"view": json.dumps(view), "training": True, "seed": 77},
    )
    assert result.get_response()["parameters"] == {"seed": 77}
    expected = attend(server, query=query, need_weights=True, view=view, training=True, seed=77)["attn_weights"]
    assert_same_bits(result.as_numpy("attn_weights.values"), np.array(expected["values"], np.float32))
    assert_same_bits(result.as_numpy("attn_weights.indices"), np.array(expected["indices"], np.int32))


def test_triton_empty(client):
    for binary in (True, False):
        result = client.infer(MODEL, [triton_input("query", np.zeros((2, 0, 24), np.float32), binary)])
        assert result.as_numpy("output").shape == (2, 0, 24)


def test_triton_errors(client, rng):
    def refused(text, status="400", model=MODEL, inputs=None, **more):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, inputs or [triton_input("query", draw(rng, 5, 24))], **more)
        assert caught.value.status() == status
        assert text in caught.value.message()

    refused("query has the shape [5,23]", inputs=[triton_input("query", draw(rng, 5, 23))])
    refused("query[0][3] must be finite", inputs=[triton_input("query", np.array([[0, 0, 0, np.nan]], np.float32))])
    refused('there is no input "x"', inputs=[triton_input("x", draw(rng, 5, 24))])
    refused('"INT64"', inputs=[triton.InferInput("query", [1], "INT64").set_data_from_numpy(np.ones(1, np.int64))])
    refused('there is no output "x"', outputs=[triton.InferRequestedOutput("x")])
    refused("classification", outputs=[triton.InferRequestedOutput("output", class_count=3)])
    refused('there is no parameter "causal"', parameters={"causal": True})
    refused("there are no sequences here", sequence_id=3, sequence_start=True)
    refused("deadline", "504", timeout=1)
    refused(MODEL, "404", model="absent")
    refused("/versions/1", "404", model_version="7")
    shared = triton.InferInput("query", [5, 24], "FP32")
    shared.set_shared_memory("region", 480)
    refused("shared_memory_region", inputs=[shared])
    for ask in (client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="there is nothing at"):
            ask(MODEL)
    assert client.is_server_ready()  # and the connection is as good as ever


def test_triton_async(server, client, rng):
    queries = [draw(rng, 1 + n % 3, 2 + n % 5, 24) for n in range(24)]
    pending = [client.async_infer(MODEL, [triton_input("query", query)], request_id=str(n)) for n, query in enumerate(queries)]
    for n, (query, handle) in enumerate(zip(queries, pending)):
        result = handle.get_result()
        assert result.get_response()["id"] == str(n)
        assert_same_bits(result.as_numpy("output"), attend(server, query=query)["output"])
    with pytest.raises(InferenceServerException, match="query has the shape"):
        client.async_infer(MODEL, [triton_input("query", draw(rng, 5, 23))]).get_result()


def test_triton_asyncio(server, rng):
    queries = [draw(rng, 2, 1 + n, 24) for n in range(12)]

    async def run():
        async with triton_aio.InferenceServerClient(server.url.split("//")[1]) as client:
            assert await client.is_server_live() and await client.is_model_ready(MODEL)
            return await asyncio.gather(*(client.infer(MODEL, [triton_input("query", query)]) for query in queries))

    for query, result in zip(queries, asyncio.run(run())):
        assert_same_bits(result.as_numpy("output"), attend(server, query=query)["output"])


def test_triton_many_threads(server, rng):
    """Each thread has a client of its own, as geventhttpclient wants it."""
    queries = [draw(rng, 2, 1 + n % 7, 24) for n in range(8)]
    expected = [attend(server, query=query)["output"] for query in queries]
    wrong = []

    def run(first):
        try:
            with triton.InferenceServerClient(server.url.split("//")[1]) as client:
                for n in range(first, first + 24):
                    query, output = queries[n % 8], expected[n % 8]
                    found = client.infer(MODEL, [triton_input("query", query, n % 2 == 0)]).as_numpy("output")
                    assert_same_bits(found, output)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- KServe ----


def kserve_input(name, array, binary):
    datatypes = {"f4": "FP32", "f8": "FP64", "f2": "FP16", "b1": "BOOL"}
    tensor = InferInput(name, list(array.shape), datatypes[array.dtype.str[1:]])
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def kserve(server, use):
    """What `use`, given the client, comes to."""

    async def run():
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            return await use(client)

    return asyncio.run(run())


def test_kserve_health(server):
    assert kserve(server, lambda client: client.is_server_live(server.url)) is True
    assert kserve(server, lambda client: client.is_server_ready(server.url)) is True
    assert kserve(server, lambda client: client.is_model_ready(server.url, MODEL)) is True
    assert kserve(server, lambda client: client.is_model_ready(server.url, "absent")) is False


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_kserve_infer(server, rng, sent, asked):
    query, mask = draw(rng, 2, 5, 24), rng.random((5, 5)) < 0.3
    expected = attend(server, query=query, attn_mask=mask, need_weights=True, is_causal=True)
    request = InferRequest(
        MODEL,
        [kserve_input("query", query, sent), kserve_input("attn_mask", mask, sent)],
        request_id="k-1",
        parameters={"is_causal": True, "binary_data_output": asked},
        request_outputs=[RequestedOutput("output"), RequestedOutput("attn_weights", {"binary_data": True})],
    )
    answer = kserve(server, lambda client: client.infer(server.url, request, model_name=MODEL))
    assert answer.id == "k-1" and answer.model_name == MODEL
    for output in answer.outputs:
        assert_same_bits(output.as_numpy(), expected[output.name])


def test_kserve_half_precision_and_empty(server, rng):
    half = draw(rng, 2, 5, 24).astype(np.float16)
    request = InferRequest(MODEL, [kserve_input("query", half, True)])
    answer = kserve(server, lambda client: client.infer(server.url, request, model_name=MODEL))
    assert_same_bits(answer.outputs[0].as_numpy(), attend(server, query=half.astype(np.float32))["output"])
    for binary in (True, False):
        empty = InferRequest(MODEL, [kserve_input("query", np.zeros((2, 0, 24), np.float32), binary)])
        answer = kserve(server, lambda client: client.infer(server.url, empty, model_name=MODEL))
        assert list(answer.outputs[0].shape) == [2, 0, 24]


def test_kserve_at_once(server, rng):
    queries = [draw(rng, 2, 1 + n, 24) for n in range(12)]

    async def use(client):
        requests = [InferRequest(MODEL, [kserve_input("query", query, n % 2 == 0)]) for n, query in enumerate(queries)]
        return await asyncio.gather(*(client.infer(server.url, request, model_name=MODEL) for request in requests))

    for query, answer in zip(queries, kserve(server, use)):
        assert_same_bits(answer.outputs[0].as_numpy(), attend(server, query=query)["output"])


def test_kserve_errors(server, rng):
    def refused(text, query, model=MODEL):
        request = InferRequest(model, [kserve_input("query", query, True)])
        with pytest.raises(httpx.HTTPStatusError) as caught:
            kserve(server, lambda client: client.infer(server.url, request, model_name=model))
        assert text in str(caught.value)

    refused("query has the shape [5,23]", draw(rng, 5, 23))
    refused("there is no model 'absent'", draw(rng, 5, 24), "absent")
