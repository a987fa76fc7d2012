"""Pictures of attention weights, as the service draws them: found again in the pixels, and held against the weights
of the oracle and the colours of matplotlib."""

import io
import struct
import zlib

import matplotlib
import matplotlib.image
import numpy as np
import pytest
import requests
from conftest import LAYERS
from oracle import attention

FRAME = (96, 100, 108)  # the line around the cells of a panel
CIVIDIS = np.round(255 * matplotlib.colormaps["cividis"](range(256))[:, :3]).astype(int)
WEIGHTS, HEADS = LAYERS["plain"]


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def post(url, fields, **parameters):
    body = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}
    headers = {"Accept": "image/png"}
    return requests.post(f"{url}/attend/plain", json=body, params=parameters, headers=headers, timeout=60)


def picture(url, fields, **parameters):
    """Red, green and blue [height, width, 3], from 0 to 255."""
    answer = post(url, fields, **parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    pixels = np.round(255 * matplotlib.image.imread(io.BytesIO(answer.content), format="png")[..., :3]).astype(int)
    assert max(pixels.shape) <= 4096
    return pixels


def panels(pixels, rows, columns):
    """Every rectangle of so many pixels with a frame around it, from left to right and from top to bottom."""
    frame = (pixels == FRAME).all(axis=-1)
    height, width = rows + 2, columns + 2
    found = []
    for y in range(frame.shape[0] - height + 1):
        x = 0
        while x + width <= frame.shape[1]:
            if frame[y, x : x + width].all() and frame[[y, y + height - 1], x : x + width].all():
                if frame[y : y + height, [x, x + width - 1]].all():
                    found.append(pixels[y + 1 : y + height - 1, x + 1 : x + width - 1])
                    x += width
            x += 1
    return found


def cells(panel, cell):
    """The pixels of each cell: [rows, columns, cell * cell, 3]."""
    rows, columns = panel.shape[0] // cell, panel.shape[1] // cell
    split = panel.reshape(rows, cell, columns, cell, 3).transpose(0, 2, 1, 3, 4)
    return split.reshape(rows, columns, cell * cell, 3)


def is_hatched(cell):
    """Light greys only, which the scale does not have."""
    return (cell.min(axis=-1) > 170).all() and (np.ptp(cell, axis=-1) < 12).all()


def has_colour(cell, place):
    """One colour, at most a step of 1/248 from where it should be."""
    near = CIVIDIS[max(0, int(np.floor(place * 255 - 1.6))) : int(np.ceil(place * 255 + 1.6)) + 1]
    return (cell == cell[0]).all() and (near == cell[0]).all(axis=1).any()


def check(panel, cell, places, masked):
    for (row, column), place in np.ndenumerate(places):
        found = cells(panel, cell)[row, column]
        assert is_hatched(found) == masked[row, column], (row, column)
        if not masked[row, column]:
            assert has_colour(found, place), (row, column, found[0], place)


SCALES = {"linear": lambda x: x, "sqrt": np.sqrt, "log": None}


@pytest.mark.parametrize("scale", ["linear", "sqrt"])
def test_cells_have_the_colours_of_their_weights(url, rng, scale):
    query, key, value = draw(rng, 2, 6, 24), draw(rng, 2, 9, 24), draw(rng, 2, 9, 24)
    mask = rng.random((2, 9)) < 0.3
    mask[:, 0] = False
    fields = {"query": query, "key": key, "value": value, "key_padding_mask": mask}
    _, weights = attention(WEIGHTS, HEADS, query, key, value, key_padding_mask=mask)
    pixels = picture(url, fields, batch=1, cell=7, scale=scale)
    found = panels(pixels, 6 * 7, 9 * 7)
    assert len(found) == HEADS
    for head in range(HEADS):
        places = SCALES[scale](weights[1, head] / weights[1].max())
        check(found[head], 7, places, np.broadcast_to(mask[1], (6, 9)))


def test_logarithmic_scale(url, rng):
    query = 3 * draw(rng, 1, 8, 24)
    _, weights = attention(WEIGHTS, HEADS, query, is_causal=True)
    logs = np.log10(np.where(weights > 0, weights, 1))[0]
    most = weights.max()
    least = min(max(weights[weights > 0].min(), 1e-6 * most), most / 10)
    found = panels(picture(url, {"query": query, "is_causal": True}, cell=5, scale="log"), 40, 40)
    above = np.triu(np.ones((8, 8), bool), 1)
    for head in range(HEADS):
        check(found[head], 5, np.clip((logs[head] - np.log10(least)) / np.log10(most / least), 0, 1), above)


@pytest.mark.parametrize("which", ["2", "2,0", "mean", "max"])
def test_choice_of_heads(url, rng, which):
    query = draw(rng, 1, 7, 24)
    _, weights = attention(WEIGHTS, HEADS, query)
    chosen = {
        "2": weights[0, [2]],
        "2,0": weights[0, [2, 0]],
        "mean": weights[0].mean(axis=0, keepdims=True),
        "max": weights[0].max(axis=0, keepdims=True),
    }[which]
    found = panels(picture(url, {"query": query}, head=which, cell=6), 42, 42)
    assert len(found) == len(chosen)
    for panel, shown in zip(found, chosen):
        check(panel, 6, shown / chosen.max(), np.zeros((7, 7), bool))


def test_a_query_without_keys_is_hatched_and_marked(url, rng):
    mask = np.zeros((6, 6), bool)
    mask[2] = True
    pixels = picture(url, {"query": draw(rng, 6, 24), "attn_mask": mask}, cell=8, head=0)
    (panel,) = panels(pixels, 48, 48)
    assert [all(is_hatched(cell) for cell in row) for row in cells(panel, 8)] == [i == 2 for i in range(6)]
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 100) & (pixels[..., 2] < 100)
    assert red.sum() >= 10


def test_one_large_weight_survives_pooling(url):
    """More keys than pixels; the one that has nearly all the weight is in the picture, at its place."""
    length, special = 6000, 4321
    query, key = np.zeros((1, 1, 24), np.float32), np.zeros((1, length, 24), np.float32)
    query[0, 0, 0] = 1
    projected_q, projected_k = WEIGHTS["in_proj_weight"][:8], WEIGHTS["in_proj_weight"][24:32]
    wanted = projected_q @ query[0, 0] + WEIGHTS["in_proj_bias"][:8]
    key[0, special] = 100 * np.linalg.lstsq(projected_k, wanted, rcond=None)[0] / np.linalg.norm(wanted) ** 2
    pixels = picture(url, {"query": query, "key": key}, head=0, scale="sqrt", cell=1)
    frame = (pixels == FRAME).all(axis=-1)
    row = np.argmax(frame.sum(axis=1))  # the line above the cells
    columns = np.flatnonzero(frame[row])
    line = max(np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1), key=len)
    panel = pixels[row + 1, line[1:-1]]
    bright = np.flatnonzero((panel == CIVIDIS[255]).all(axis=-1))
    assert 2000 < panel.shape[0] < 4096 and len(bright) == 1
    assert abs(bright[0] / panel.shape[0] - special / length) < 2 / 2000


def test_view_of_the_request(url, rng):
    query = draw(rng, 1, 12, 24)
    view = {"rows": [2, 10], "cols": [3, 12], "heads": [1], "size": [4, 3], "pool": "mean"}
    _, weights = attention(WEIGHTS, HEADS, query)
    pooled = weights[0, 1, 2:10, 3:12].reshape(4, 2, 3, 3).mean(axis=(1, 3))
    (panel,) = panels(picture(url, {"query": query, "view": view}, cell=9), 36, 27)
    check(panel, 9, pooled / pooled.max(), np.zeros((4, 3), bool))


@pytest.mark.parametrize("shape", [(0, 3, 24), (2, 0, 24)])
def test_nothing_to_show(url, shape):
    pixels = picture(url, {"query": np.zeros(shape)})
    assert pixels.shape[0] < 100 and (pixels < 100).any()


def test_same_request_same_bytes(url, rng):
    fields = {"query": draw(rng, 1, 40, 24), "is_causal": True}
    assert post(url, fields).content == post(url, fields).content


def test_file_is_whole_and_its_palette_is_cividis(url, rng):
    data = post(url, {"query": draw(rng, 1, 5, 24)}).content
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks.setdefault(kind, []).append(body)
        at += 12 + length
    assert at == len(data) and kind == b"IEND"
    assert chunks[b"tEXt"] == [b"Title\0Attention weights of plain"]
    palette = np.frombuffer(chunks[b"PLTE"][0], np.uint8).reshape(-1, 3).astype(int)
    places = [np.flatnonzero((CIVIDIS == colour).all(axis=1)) for colour in palette[:248]]
    assert all(len(place) > 0 for place in places)
    np.testing.assert_allclose([place.mean() for place in places], np.linspace(0, 255, 248), atol=1)


@pytest.mark.parametrize(
    "path, code, parameters, fields",
    [
        ("head", "bad_value", {"head": "x"}, {}),
        ("head", "bad_value", {"head": "0,0"}, {}),
        ("head", "bad_value", {"head": "3"}, {}),
        ("batch", "bad_value", {"batch": "2"}, {}),
        ("batch", "bad_value", {"batch": "-1"}, {}),
        ("cell", "bad_value", {"cell": "0"}, {}),
        ("cell", "bad_value", {"cell": "33"}, {}),
        ("scale", "bad_value", {"scale": "ln"}, {}),
        ("dpi", "unknown_field", {"dpi": "100"}, {}),
        ("view.top_k", "bad_value", {}, {"view": {"top_k": 2}}),
        ("view.batch", "bad_value", {}, {"view": {"batch": [0, 1]}}),
        ("head", "bad_value", {"head": "1"}, {"view": {"heads": [1]}}),
        ("head", "bad_value", {"head": "max"}, {"average_attn_weights": True}),
        ("view.rows", "bad_value", {}, {"view": {"rows": [3, 9]}}),
    ],
)
def test_refusals(url, path, code, parameters, fields):
    answer = post(url, {"query": np.zeros((2, 4, 24)), **fields}, **parameters)
    found = answer.json()
    assert (answer.status_code, found["code"], found["path"]) == (400, code, path), found
    assert found["error"].startswith(path) or path == "dpi"
