"""Heat maps of attention weights: one panel a head, one scale of colours, tokens as labels.

Everything is placed in inches on a figure made to measure, so that labels never overlap: where there is no room
for all of them, every second, third, ... is written and the caption says so."""

from __future__ import annotations

import dataclasses
import math
from typing import Optional

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .client import Answer
from .inputs import InputError, Request

matplotlib.rcParams["svg.hashsalt"] = "attend"  # the same picture is the same file

INK, FAINT, MASKED, HATCH = "#1c1c24", "#6b6b76", "#ececef", "#b4b4bd"
LABEL_POINTS, TITLE_POINTS, NOTE_POINTS = 7.5, 11.0, 8.0
LABEL_LENGTH = 14  # characters; longer ones end in an ellipsis
# The side of a panel by the number of panels, inches, and the side of a cell where there are few tokens.
PANEL_SIDES = ((1, 6.0), (2, 4.2), (4, 3.6), (9, 2.9), (math.inf, 2.4))
CELL_MAX, CELL_WITH_NUMBER = 0.52, 0.34
GAP, MARGIN, BAR_WIDTH = 0.16, 0.22, 0.13
ENTROPY_WIDTH = 1.7  # of a panel on which its entropy has room
LOG_DECADES = 4  # at most, below the largest weight; what is smaller gets the lowest colour


@dataclasses.dataclass
class Options:
    batch: int = 0
    heads: Optional[list] = None
    mean: bool = False
    scale: str = "linear"  # or "sqrt", "log"
    padding: str = "crop"  # or "hatch"
    title: Optional[str] = None
    dpi: int = 150
    out: str = "attention_viz.png"


@dataclasses.dataclass
class Maps:
    """What is drawn: weights [N, L, S] of N panels and which cells were masked, with all names."""

    weights: np.ndarray
    masked: np.ndarray
    names: list  # of the panels
    rows: list  # labels of the queries
    columns: list  # labels of the keys
    notes: list  # for the caption


def draw(request: Request, answer: Answer, options: Options) -> tuple:
    """Draws the weights in `answer` to options.out; returns the size in pixels. Raises InputError for a batch
    element, head or label list that does not fit."""
    maps = _select(request, answer, options)
    figure = _Sheet(maps, options, options.title or _title(answer, request, options)).figure
    FigureCanvasAgg(figure)
    suffix = options.out.rsplit(".", 1)[-1].lower()
    stamp = {"png": {"Software": "attend viz"}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    try:
        figure.savefig(options.out, dpi=options.dpi, metadata=stamp.get(suffix))
    except ValueError as error:
        raise InputError(f"{options.out} cannot be written: {error}") from error
    return tuple(int(inches * options.dpi) for inches in figure.get_size_inches())


# What is shown


def excluded(request: Request, batch: int, heads: int, length: int, keys: int) -> np.ndarray:
    """Which cells of one batch element the request's masks exclude: bool [H, L, S]."""
    result = np.zeros((heads, length, keys), bool)
    if request.fields.get("is_causal"):
        result |= np.arange(keys) > np.arange(length)[:, None]
    mask = request.fields.get("attn_mask")
    if mask is not None:
        mask = _forbids(mask)
        if mask.ndim == 4:
            mask = mask[batch if mask.shape[0] > 1 else 0]
        elif mask.ndim == 3:
            mask = mask[batch * heads : (batch + 1) * heads]
        result |= mask
    padding = request.fields.get("key_padding_mask")
    if padding is not None:
        result |= _forbids(padding if padding.ndim == 1 else padding[batch])
    return result


def _forbids(mask: np.ndarray) -> np.ndarray:
    return mask if mask.dtype == np.bool_ else np.isneginf(mask)


def _select(request: Request, answer: Answer, options: Options) -> Maps:
    """One batch element, the heads asked for, padding cropped."""
    weights = answer.attn_weights
    if weights.ndim == 3:  # unbatched
        weights = weights[None]
    if not 0 <= options.batch < weights.shape[0]:
        raise InputError(f"there is no batch element {options.batch}: the batch has {weights.shape[0]}")
    weights = weights[options.batch]
    heads, length, keys = weights.shape
    if 0 in (length, keys):
        raise InputError(f"there is nothing to draw in weights of {length} x {keys}")
    masked = excluded(request, options.batch, heads, length, keys)
    rows = _labels(request.query_labels, options.batch, length, "query")
    columns = _labels(request.key_labels, options.batch, keys, "key")
    chosen = options.heads if options.heads is not None else list(range(heads))
    for head in chosen:
        if not 0 <= head < heads:
            raise InputError(f"there is no head {head}: the model has heads 0 to {heads - 1}")

    notes = []
    keep_rows, keep_columns = np.arange(length), np.arange(keys)
    padding = request.fields.get("key_padding_mask")
    if padding is not None and options.padding == "crop":
        present = ~_forbids(padding if padding.ndim == 1 else padding[options.batch])
        if present.any() and not present.all():
            keep_columns = np.flatnonzero(present)
            keep_rows = keep_columns if request.is_self_attention else keep_rows
            notes.append(f"{keys - keep_columns.size} padding keys left out")
    window = np.ix_(chosen, keep_rows, keep_columns)
    weights, masked = weights[window], masked[window]
    names = [f"head {head}" for head in chosen]
    if options.mean:
        names = [f"mean of {len(chosen)} heads"]
        weights, masked = weights.mean(axis=0, keepdims=True), masked.all(axis=0, keepdims=True)
    if masked.any():
        notes.append("hatched: masked")
    return Maps(
        weights, masked, names, [rows[i] for i in keep_rows], [columns[j] for j in keep_columns], notes
    )


def _labels(labels, batch: int, count: int, what: str) -> list:
    if labels is None:
        return [str(i) for i in range(count)]
    if batch >= len(labels) or len(labels[batch]) != count:
        have = len(labels[batch]) if batch < len(labels) else 0
        raise InputError(
            f"batch element {batch} has {count} {what} tokens, but there are {have} labels for it"
        )
    return [_shorten(str(label)) for label in labels[batch]]


def _shorten(label: str) -> str:
    label = "".join(c if c.isprintable() else "\N{OPEN BOX}" for c in label).replace(" ", "\N{OPEN BOX}")
    return label if len(label) <= LABEL_LENGTH else label[: LABEL_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _title(answer: Answer, request: Request, options: Options) -> str:
    kind = "self-attention" if request.is_self_attention else "cross-attention"
    shape = " × ".join(map(str, request.query.shape))
    element = f", element {options.batch}" if request.query.ndim == 3 and request.query.shape[0] > 1 else ""
    return f"{answer.model}: {kind}, query {shape}{element}"


def normalised_entropy(weights: np.ndarray, masked: np.ndarray) -> float:
    """Mean over the rows of entropy / log(keys allowed): 1 where all keys get the same. NaN if no row has a choice."""
    allowed = (~masked).sum(axis=-1)
    logs = np.log(weights, where=weights > 0, out=np.zeros(weights.shape))
    entropy = -(weights * logs).sum(axis=-1)
    choice = allowed > 1
    return float((entropy[choice] / np.log(allowed[choice])).mean()) if choice.any() else math.nan


# How it is drawn


class _Sheet:
    """A figure on which all parts are placed in inches from the upper left corner."""

    def __init__(self, maps: Maps, options: Options, title: str):
        self.maps, self.options = maps, options
        self.figure = Figure(facecolor="white")
        self.renderer = FigureCanvasAgg(self.figure).get_renderer()
        count, length, keys = maps.weights.shape
        side = next(side for most, side in PANEL_SIDES if count <= most)
        self.cell = min(CELL_MAX, side / max(length, keys))
        # A panel keeps a least width and height, so that its name fits and a single row can be seen.
        self.width, self.height = max(keys * self.cell, 1.3), max(length * self.cell, 0.25)
        self.columns, self.lines = _grid(count, self.width + GAP, self.height + 0.35)
        self.every_row = self._every(maps.rows, self.height / length, False)
        upright = max(self._extent(label)[0] for label in maps.columns) > 0.9 * self.width / keys
        self.upright = upright and not all(label.isdigit() for label in maps.columns)
        self.every_column = self._every(maps.columns, self.width / keys, not self.upright)
        self.norm = _norm(maps, options.scale)
        self._measure(title)
        self._draw(title)

    def _extent(self, text: str, points: float = LABEL_POINTS) -> tuple:
        """Width and height of a text in inches."""
        width, height, _ = self.renderer.get_text_width_height_descent(text, _font(points), False)
        return width / self.figure.dpi, height / self.figure.dpi

    def _every(self, labels: list, step: float, along: bool) -> int:
        """1 if all labels fit at this distance, 2 if every second does, ..."""
        widest = max(self._extent(label)[0] for label in labels)
        need = widest + 0.06 if along else LABEL_POINTS * 1.12 / 72
        return max(1, math.ceil(need / step))

    def _measure(self, title: str) -> None:
        self.left = MARGIN + 0.2 + max(self._extent(label)[0] for label in self.maps.rows) + 0.08
        self.under = (
            max(self._extent(label)[0] for label in self.maps.columns) if self.upright else 0.14
        ) + 0.08
        self.top = MARGIN + 0.62
        body_width = self.columns * self.width + (self.columns - 1) * GAP
        self.step_y = self.height + 0.35
        self.body_height = self.lines * self.step_y - 0.35
        bottom = self.under + 0.15 + MARGIN
        self.bar_left = self.left + body_width + 0.22
        wanted = self.bar_left + BAR_WIDTH + 0.62 + MARGIN
        texts = max(self._extent(title, TITLE_POINTS)[0], self._extent(self._caption(), NOTE_POINTS)[0])
        self.sheet = (max(wanted, texts + 2 * MARGIN + 0.1), self.top + max(self.body_height, 1.0) + bottom)
        # Whole pixels, and a hundredth so that rounding down keeps them.
        self.sheet = tuple(
            (round(inches * self.options.dpi) + 0.01) / self.options.dpi for inches in self.sheet
        )
        self.figure.set_size_inches(*self.sheet)

    def _caption(self) -> str:
        notes = ["row: query, column: key; a row sums to 1"]
        if self.width >= ENTROPY_WIDTH:
            notes.append("entropy: normalised, 1 where all keys weigh the same")
        notes += self.maps.notes
        if self.options.scale != "linear":
            notes.append({"sqrt": "square-root", "log": "logarithmic"}[self.options.scale] + " colours")
        for every, what in ((self.every_row, "query"), (self.every_column, "key")):
            if every > 1:
                notes.append(f"1 in {every} {what} labels shown")
        return "  ·  ".join(notes)

    def _draw(self, title: str) -> None:
        self._text(MARGIN, MARGIN, title, TITLE_POINTS, INK, weight="bold")
        self._text(MARGIN, MARGIN + 0.21, self._caption(), NOTE_POINTS, FAINT)
        for n in range(len(self.maps.names)):
            self._panel(n)
        middle_y = self.top + self.body_height / 2
        self._text(MARGIN, middle_y, "query", NOTE_POINTS, FAINT, rotation=90, va="center")
        body_width = self.bar_left - 0.22 - self.left
        under = self.top + self.body_height + self.under
        self._text(self.left + body_width / 2, under, "key", NOTE_POINTS, FAINT, ha="center")
        self._bar()

    def _text(self, x: float, y: float, text: str, points: float, colour: str, **how) -> None:
        how.setdefault("va", "top")
        self.figure.text(x / self.sheet[0], 1 - y / self.sheet[1], text, size=points, color=colour, **how)

    def _axes(self, x: float, y: float, width: float, height: float):
        w, h = self.sheet
        return self.figure.add_axes([x / w, 1 - (y + height) / h, width / w, height / h])

    def _panel(self, n: int) -> None:
        line, column = divmod(n, self.columns)
        x, y = self.left + column * (self.width + GAP), self.top + line * self.step_y
        axes = self._axes(x, y, self.width, self.height)
        weights, masked = self.maps.weights[n], self.maps.masked[n]
        length, keys = weights.shape
        shown = np.ma.masked_array(np.maximum(weights, self.norm.vmin or 0.0), masked)
        axes.set_facecolor(MASKED)
        axes.imshow(shown, cmap="cividis", norm=self.norm, aspect="auto", interpolation="nearest")
        _hatch(axes, masked)
        if min(self.width / keys, self.height / length) >= CELL_WITH_NUMBER:
            _numbers(axes, weights, masked, self.norm)
        self._ticks(axes, line, column, n)
        entropy = normalised_entropy(weights, masked)
        self._text(x, y - 0.185, self.maps.names[n], NOTE_POINTS, INK)
        if not math.isnan(entropy) and self.width >= ENTROPY_WIDTH:
            self._text(x + self.width, y - 0.185, f"entropy {entropy:.2f}", NOTE_POINTS - 1, FAINT, ha="right")

    def _ticks(self, axes, line: int, column: int, n: int) -> None:
        """Labels on the outer panels only: all panels share them."""
        length, keys = self.maps.weights.shape[1:]
        axes.tick_params(length=2, width=0.5, pad=2, labelsize=LABEL_POINTS, labelcolor=INK, color=FAINT)
        for spine in axes.spines.values():
            spine.set(linewidth=0.5, color=FAINT)
        rows, columns = range(0, length, self.every_row), range(0, keys, self.every_column)
        lowest = n + self.columns >= len(self.maps.names)
        axes.set_yticks(rows, [_plain(self.maps.rows[i]) for i in rows] if column == 0 else [])
        axes.set_xticks(columns, [_plain(self.maps.columns[j]) for j in columns] if lowest else [])
        if self.upright:
            axes.tick_params(axis="x", labelrotation=90)

    def _bar(self) -> None:
        height = min(max(self.body_height, 1.0), 4.0)
        axes = self._axes(self.bar_left, self.top, BAR_WIDTH, height)
        below = (self.maps.weights[~self.maps.masked] < (self.norm.vmin or 0.0)).any()
        mappable = matplotlib.cm.ScalarMappable(self.norm, "cividis")
        bar = self.figure.colorbar(mappable, cax=axes, extend="min" if below else "neither")
        bar.outline.set(linewidth=0.5, color=FAINT)
        bar.ax.tick_params(
            which="both", length=2, width=0.5, labelsize=LABEL_POINTS, labelcolor=INK, color=FAINT
        )
        self._text(self.bar_left, self.top - 0.185, "weight", NOTE_POINTS, INK)


def _font(points: float):
    return matplotlib.font_manager.FontProperties(size=points)


def _plain(label: str) -> str:
    return label.replace("$", r"\$")  # a token is never mathematics


def _grid(count: int, width: float, height: float) -> tuple:
    """Columns and lines: the sheet about one and a half times as wide as high, few places empty."""

    def badness(columns: int) -> float:
        lines = math.ceil(count / columns)
        empty = columns * lines - count
        return abs(math.log(columns * width / (lines * height) / 1.5)) + 0.35 * empty

    columns = min(range(1, count + 1), key=badness)
    return columns, math.ceil(count / columns)


def _norm(maps: Maps, scale: str):
    largest = float(maps.weights.max()) or 1.0
    if scale == "log":
        positive = maps.weights[maps.weights > 0]
        smallest = float(positive.min()) if positive.size else largest
        lowest = max(smallest, largest * 10.0**-LOG_DECADES)
        return LogNorm(lowest if lowest < largest else largest / 10, largest)
    return PowerNorm(0.5, 0.0, largest) if scale == "sqrt" else Normalize(0.0, largest)


def _hatch(axes, masked: np.ndarray) -> None:
    """Masked cells look like nothing that a colour stands for. Runs of a row are one rectangle."""
    for i, row in enumerate(masked):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        for start, end in edges.reshape(-1, 2):
            cell = Rectangle(
                (start - 0.5, i - 0.5),
                end - start,
                1,
                facecolor="none",
                edgecolor=HATCH,
                hatch="/////",
                linewidth=0,
            )
            axes.add_patch(cell)


def _numbers(axes, weights: np.ndarray, masked: np.ndarray, norm) -> None:
    for (i, j), weight in np.ndenumerate(weights):
        if not masked[i, j]:
            colour = "white" if norm(max(weight, norm.vmin)) < 0.55 else INK
            text = f"{weight:.2f}".replace("0.", ".", 1) if weight < 0.995 else "1"
            axes.text(j, i, text, ha="center", va="center", size=6.5, color=colour)
