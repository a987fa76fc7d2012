"""What the heat maps show, and what they say about it."""

import re

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from attend import inputs, viz
from attend.client import Answer
from attend.sheet import Sheet, normalised_entropy, pool
from commands import FakeService, command
from conftest import LAYERS
from oracle import attention

DOT = "  ·  "


def answer(weights):
    return Answer("m", None, weights.astype(np.float32), [], None, None, {}, None, None, 0)


def request(length, note="", query_labels=None, key_labels=None, **fields):
    query = np.zeros((1, length, 4), np.float32)
    return inputs.Request({"query": query, **fields}, query_labels, key_labels, note=note)


def uniform(length, keys, heads=1):
    return np.full((1, heads, length, keys), 1 / keys)


def sheet(weights, asked, dpi=60, scale="linear", title=None, **options):
    """The sheet for weights [1, H, L, S], not yet written."""
    chosen = viz.Options(**options)
    maps = viz._select(asked, answer(weights), chosen)
    return Sheet(maps, scale, dpi, title or viz._title(answer(weights), asked, chosen))


def caption(*arguments, **options):
    return DOT.join(sheet(*arguments, **options).caption)


def colour_counts(path, value, axis):
    """How many pixels of the colour of `value` the fullest column (axis 0) or row (1) of a picture has."""
    pixels = 255 * matplotlib.image.imread(path)[..., :3]
    colour = 255 * np.array(matplotlib.colormaps["cividis"](value)[:3])
    return (np.abs(pixels - colour).max(axis=-1) < 3).sum(axis=axis).max()


@pytest.mark.parametrize(
    "dpi, axis, position",
    [
        (60, 0, 0),
        (60, 0, 1),
        (60, 0, 500),
        (60, 0, 998),
        (60, 0, 999),
        (60, 1, 0),
        (60, 1, 777),
        (97, 0, 999),
    ],
)
def test_one_hot_line_in_a_thousand_is_seen(tmp_path, dpi, axis, position):
    """A panel of 360 pixels, or 582, for 1000 keys: a key (or query) that has all the weight is a line across it."""
    weights = np.full((1, 1, 1000, 1000), 1e-6)
    weights[(..., position) if axis == 0 else (..., position, slice(None))] = 1.0
    asked, path = request(1000), tmp_path / "a.png"
    viz.draw(asked, answer(weights), viz.Options(dpi=dpi, out=str(path)))
    assert colour_counts(path, 1.0, axis) >= 0.9 * 6.0 * dpi
    assert "a point shows the max of 3×3 cells" in caption(weights, asked)


def test_pool_is_the_maximum_of_blocks(rng):
    array = rng.random((17, 23))
    pooled = pool(array, 5, 7)
    for i, j in np.ndindex(5, 7):
        rows, columns = slice(i * 17 // 5, (i + 1) * 17 // 5), slice(j * 23 // 7, (j + 1) * 23 // 7)
        assert pooled[i, j] == array[rows, columns].max()
    np.testing.assert_array_equal(pool(array, 17, 23), array)


@pytest.mark.parametrize(
    "model, options, words",
    [
        ("demo", (), "inputs: one random vector a word, seed 3; the model's weights are random too"),
        ("demo", ("--labels", "a b c"), "inputs: one random vector a word, seed 3; the model's weights are"),
        ("demo", ("--shape", "3,512"), "inputs: random, seed 3; the model's weights are random too"),
        ("plain", (), "inputs: one random vector a word, seed 3: noise to this model"),
    ],
)
def test_random_input_is_named_on_the_picture(url, tmp_path, model, options, words):
    path = tmp_path / "a.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text as text
        code, _, errors = command(
            url, "viz", "--model", model, "--seed", 3, "--heads", 0, "--out", path, *options
        )
    assert code == 0, errors
    assert words in path.read_text()


def test_warnings_are_shown(url, tmp_path):
    np.savez(tmp_path / "r.npz", query=np.zeros((1, 2, 512)), attn_mask=np.tri(2))
    code, _, errors = command(url, "viz", "--input", tmp_path / "r.npz", "--out", tmp_path / "a.png")
    assert code == 0 and errors.startswith("attend: warning: ") and "mask" in errors


def test_a_json_file_is_sent_as_it_is(tmp_path):
    body = b'{"need_weights": true,  "query": [[1, 2]]}'
    (tmp_path / "r.json").write_bytes(body)
    reply = {"model": "fake", "output": [[1, 2]], "attn_weights": [[[1]]]}
    with FakeService(reply) as service:
        code, _, errors = command(
            service.url, "viz", "--input", tmp_path / "r.json", "--out", tmp_path / "a.png"
        )
    assert code == 0, errors
    assert service.seen == [body]


def test_a_name_without_an_ending_is_a_png(url, tmp_path):
    _, text, _ = command(url, "viz", "--heads", 0, "--out", tmp_path / "picture")
    assert text.startswith(f"{tmp_path / 'picture'}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["picture"]
    assert (tmp_path / "picture").read_bytes()[:4] == b"\x89PNG"


def test_characters_that_the_font_does_not_have(url, tmp_path, recwarn):
    options = ("--labels", "a \u4e2d\u6587 b", "--title", "\u65e5", "--heads", 0, "--out", tmp_path / "a.png")
    code, _, errors = command(url, "viz", *options)
    assert code == 0 and len(recwarn) == 0 and errors.count("\n") == 1
    named = re.search(r"no glyphs for (.*): a box stands for each", errors).group(1)
    assert sorted(named.split()) == sorted("\u4e2d\u6587\u65e5")


def test_no_text_is_mathematics(tmp_path):
    """Where $ begins mathematics, the title here is an error."""
    asked = request(2)
    asked.query_labels = asked.key_labels = [[r"$\frac{$", "$x$"]]
    chosen = viz.Options(out=str(tmp_path / "a.svg"), title=r"costs $\frac{$")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        viz.draw(asked, answer(uniform(2, 2)), chosen)
    text = (tmp_path / "a.svg").read_text()
    assert r"costs $\frac{$" in text and "$x$" in text


def test_long_titles_are_wrapped_and_cut():
    words = [f"word{n}" for n in range(30)]
    wrapped = sheet(uniform(2, 2), request(2), title=" ".join(words[:15]))
    assert len(wrapped.title) == 2 and " ".join(wrapped.title).split() == words[:15]
    for title in (" ".join(3 * words), 500 * "x"):
        cut = sheet(uniform(2, 2), request(2), title=title)
        assert len(cut.title) == 3 and cut.title[-1].endswith("\N{HORIZONTAL ELLIPSIS}")
        assert cut.sheet[0] <= 8.6
    assert cut.top > wrapped.top > sheet(uniform(2, 2), request(2)).top


def test_long_labels_stay_distinct():
    names = ["internationalization", "internationalisation", "internationalizing", "short"]
    asked = request(4)
    asked.query_labels = asked.key_labels = [names]
    shown = sheet(uniform(4, 4), asked).maps.rows
    assert len(set(shown)) == 4 and shown[3] == "short"
    assert all(len(label) <= 14 for label in shown)
    assert shown[0].startswith("interna") and shown[0].endswith("zation")


def masked_weights(rng, mask, heads=2):
    query = rng.standard_normal((1, len(mask), 24))
    return attention(*LAYERS["plain"], query, attn_mask=mask)[1][:, :heads]


def test_rows_that_attend_to_nothing(rng, tmp_path):
    mask = np.zeros((5, 5), bool)
    mask[2] = True
    weights, asked = masked_weights(rng, mask), request(5, attn_mask=mask)
    assert "sums to 1, or to 0 where nothing may be attended to" in caption(weights, asked)
    assert "crossed: a query that may attend to nothing" in caption(weights, asked)
    assert "hatched" not in caption(weights, asked)
    patterns = [patch.get_hatch() for patch in sheet(weights, asked).figure.axes[0].patches]
    assert len(patterns) == 1 and set(patterns[0]) == {"x"}
    mask[2, 0] = False
    weights = masked_weights(rng, mask)
    assert "or to 0" not in caption(weights, request(5, attn_mask=mask))
    assert "hatched: masked" in caption(weights, request(5, attn_mask=mask))


def test_a_mean_over_heads_that_attend_to_nothing(rng):
    mask = np.zeros((1, 2, 4, 4), bool)
    mask[:, 0, 1] = True
    weights = uniform(4, 4, heads=2) * ~mask
    text = caption(weights, request(4, attn_mask=mask), mean=True)
    assert "sums to 1, or to less where a head may attend to nothing" in text and "crossed" not in text


def padded(rng, **fields):
    padding = np.arange(6)[None] >= 4
    query = 3 * rng.standard_normal((1, 6, 24)).astype(np.float32)
    weights = attention(*LAYERS["plain"], query, key_padding_mask=padding)[1]
    return weights, request(6, key_padding_mask=padding, **fields)


def test_padding_that_is_left_out(rng):
    weights, asked = padded(rng)
    assert "padding left out, as queries and as keys: 2" in caption(weights, asked)
    weights, asked = padded(rng, key=np.zeros((1, 6, 24), np.float32))
    assert "padding left out, as keys: 2" in caption(weights, asked)
    assert "left out" not in caption(weights, asked, padding="hatch")


def test_entropy_does_not_depend_on_how_padding_is_shown(rng):
    weights, asked = padded(rng)
    want = [normalised_entropy(head[:4, :4], np.zeros((4, 4), bool)) for head in weights[0]]
    for padding in ("crop", "hatch"):
        texts = [text.get_text() for text in sheet(weights, asked, padding=padding).figure.texts]
        shown = [float(text.split()[1]) for text in texts if re.fullmatch(r"entropy \d\.\d\d", text)]
        np.testing.assert_allclose(shown, want, atol=0.0051)


def test_labels_that_do_not_fit_side_by_side_are_turned_not_left_out():
    """From narrow to wide in small steps: at each width all eight labels are there."""
    for wide in range(7):
        for narrow in range(1, 5):
            words = [["w" * wide + "i" * narrow] * 8]
            drawn = sheet(uniform(8, 8, heads=12), request(8, query_labels=words, key_labels=words))
            assert drawn.every_row == drawn.every_column == 1, words[0][0]


def test_the_same_tokens_are_written_on_both_axes():
    """Long labels fit beside every row, but not below every column."""
    asked = request(130)
    drawn = sheet(uniform(130, 130), asked)
    assert drawn.every_row == drawn.every_column > 1
    cross = request(130, key=np.zeros((1, 130, 4), np.float32))
    drawn = sheet(uniform(130, 130), cross)
    assert drawn.every_row < drawn.every_column


@pytest.mark.parametrize(
    "smallest, largest", [(1e-6, 0.83), (0.003, 0.082), (0.4, 0.6), (0.2501, 0.2502), (0.5, 1.0)]
)
def test_a_logarithmic_bar_is_labelled_to_its_top(smallest, largest):
    weights = np.array([[[[smallest, largest]]]])
    bar = sheet(weights, request(1, key=np.zeros((1, 2, 4), np.float32)), scale="log").figure.axes[-1]
    labels = [label.get_text() for label in bar.get_yticklabels()]
    assert float(labels[-1]) == pytest.approx(largest, rel=0.01) and len(labels) > 1
    assert len(bar.get_yticks(minor=True)) == 0


def test_titles_tell_the_shapes():
    cross = request(3, key=np.zeros((1, 5, 7), np.float32))
    assert sheet(uniform(3, 5), cross).title == ["m: cross-attention, query 1 × 3 × 4, key 1 × 5 × 7"]
    assert sheet(uniform(3, 3), request(3)).title == ["m: self-attention, query 1 × 3 × 4"]
