"""/openapi.json says what is there: its examples work as they stand, and its fields are those of the decoder."""

import http.client
import json

import pytest
from attend_server import AttendServer


def ask(url, method, path, body=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
    answer = connection.getresponse()
    found = answer.status, answer.headers, json.loads(answer.read())
    connection.close()
    return found


@pytest.fixture(scope="module")
def document(server):
    status, headers, found = ask(server.url, "GET", "/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    return found


def examples(document, body="Attend"):
    media = document["components"]["requestBodies"][body]["content"]["application/json"]
    return {name: example["value"] for name, example in media["examples"].items()}


def test_every_reference_leads_somewhere(document):
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)
    assert document["openapi"].startswith("3.1.")


@pytest.mark.parametrize(
    "model",
    [
        "builtin:demo",
        "builtin:patterns",
        "init:embed_dim=6,num_heads=2,kdim=3,vdim=5",
        "init:embed_dim=5000,num_heads=1",
        "init:embed_dim=4,num_heads=4,causal=true,sliding_window=2",
    ],
)
def test_every_example_works_as_it_stands(model):
    with AttendServer("--model", f"m={model}") as server:
        description = ask(server.url, "GET", "/openapi.json")[2]
        for name, value in examples(description, "OipInfer").items():
            status, _, answer = ask(server.url, "POST", "/v2/models/m/infer", json.dumps(value))
            assert status == 200 and answer["outputs"][0]["name"] == "output", (name, answer)
        found = examples(description)
        assert len(found) >= 3
        for name, value in found.items():
            for path in ("/attend", "/attend/m"):
                status, _, answer = ask(server.url, "POST", path, json.dumps(value))
                assert status == 200, (name, answer)


def test_the_fields_are_those_of_the_decoder(document, url):
    """Each field and each part of a view may be null; any other name is refused, with a list of the same names."""
    schemas = document["components"]["schemas"]
    request = examples(document)["self"]
    for name in schemas["AttendRequest"]["properties"]:
        if name != "query":
            assert ask(url, "POST", "/attend", json.dumps({**request, name: None}))[0] == 200, name
    view = {name: None for name in schemas["View"]["properties"]}
    assert ask(url, "POST", "/attend", json.dumps({**request, "need_weights": True, "view": view}))[0] == 200
    for body, names in (
        ({"no_such": 1}, schemas["AttendRequest"]["properties"]),
        ({"view": {"no_such": 1}}, schemas["View"]["properties"]),
    ):
        status, _, answer = ask(url, "POST", "/attend", json.dumps(body))
        assert status == 400 and answer["code"] == "unknown_field"
        listed = answer["error"].split(" are ", 1)[1]
        assert listed.split(", ") == list(names), answer


def test_the_codes_are_documented(document):
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert {"malformed_json", "bad_shape", "unknown_field", "too_large", "queue_full"} <= set(codes)
