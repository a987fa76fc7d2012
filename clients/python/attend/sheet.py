"""The picture of attention weights: panels, ticks, colour bar.

Everything is placed in inches on a figure made to measure, so that labels never overlap: where there is no room
for all of them, every second, third, ... is written and the caption says so."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK, FAINT, MASKED, HATCH = "#1c1c24", "#6b6b76", "#ececef", "#b4b4bd"
LABEL_POINTS, TITLE_POINTS, NOTE_POINTS = 7.5, 11.0, 8.0
# The side of a panel by the number of panels, inches, and the side of a cell where there are few tokens.
PANEL_SIDES = ((1, 6.0), (2, 4.2), (4, 3.6), (9, 2.9), (math.inf, 2.4))
CELL_MAX, CELL_WITH_NUMBER = 0.52, 0.34
GAP, MARGIN, BAR_WIDTH = 0.16, 0.22, 0.13
ENTROPY_WIDTH = 1.7  # of a panel on which its entropy has room
LOG_DECADES = 4  # at most, below the largest weight; what is smaller gets the lowest colour
BOLD = 1.12  # times as wide as the plain face, in which texts are measured
TEXT_WIDTH = 7.5  # inches: a title or caption wider than this and than the panels is wrapped
TITLE_LINES, CAPTION_LINES = 3, 8  # at most
STAMPS = {"png": {"Software": "attend viz"}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclasses.dataclass
class Maps:
    """What is drawn: N panels of L queries and S keys, with all names."""

    weights: np.ndarray  # [N, L, S]
    masked: np.ndarray  # bool [N, L, S]
    empty: np.ndarray  # bool [N, L]: queries that may attend to nothing
    counted: np.ndarray  # bool [L]: queries that are not padding
    names: list  # of the panels
    rows: list  # labels of the queries
    columns: list  # labels of the keys
    row_sum: str  # what a row sums to
    notes: list  # for the caption
    same_tokens: bool  # on both axes


def write(make_sheet, path, ending: str) -> tuple:
    """Makes a sheet and writes it to `path`; returns the characters that its font does not have, and its size in
    pixels. matplotlib warns of such a character wherever it measures or draws one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sheet = make_sheet()
        sheet.figure.savefig(path, format=ending, dpi=sheet.dpi, metadata=STAMPS.get(ending))
    missing = {}
    for warning in caught:
        found = re.match(r"Glyph (\d+) .*missing from", str(warning.message))
        if found:
            missing[chr(int(found.group(1)))] = True
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    width, height = sheet.figure.get_size_inches()
    return list(missing), (int(width * sheet.dpi), int(height * sheet.dpi))


def normalised_entropy(weights: np.ndarray, masked: np.ndarray) -> float:
    """Mean over the rows of entropy / log(keys allowed): 1 where all keys get the same. NaN if no row has a choice."""
    allowed = (~masked).sum(axis=-1)
    logs = np.log(weights, where=weights > 0, out=np.zeros(weights.shape))
    entropy = -(weights * logs).sum(axis=-1)
    choice = allowed > 1
    return float((entropy[choice] / np.log(allowed[choice])).mean()) if choice.any() else math.nan


def pool(array: np.ndarray, rows: int, columns: int, how=np.maximum) -> np.ndarray:
    """The maximum (or another ufunc) over blocks, so that [L, S] becomes [rows, columns] and no cell is lost."""
    for axis, (count, bins) in enumerate(zip(array.shape, (rows, columns))):
        array = how.reduceat(array, np.arange(bins) * count // bins, axis=axis)
    return array


class Sheet:
    """A figure on which all parts are placed in inches from the upper left corner."""

    def __init__(self, maps: Maps, scale: str, dpi: int, title: str):
        self.maps, self.scale, self.dpi = maps, scale, dpi
        self.figure = Figure(facecolor="white")
        self.renderer = FigureCanvasAgg(self.figure).get_renderer()
        self.extents = {}
        count, length, keys = maps.weights.shape
        side = next(side for most, side in PANEL_SIDES if count <= most)
        self.cell = min(CELL_MAX, side / max(length, keys))
        # A panel keeps a least width and height, so that its name fits and a single row can be seen.
        self.width, self.height = max(keys * self.cell, 1.3), max(length * self.cell, 0.25)
        self.columns, self.lines = _grid(count, self.width + GAP, self.height + 0.35)
        self.every_row = self._every(maps.rows, self.height / length, False)
        crowded = self._every(maps.columns, self.width / keys, True) > 1
        self.upright = crowded and not all(label.isdigit() for label in maps.columns)
        self.every_column = self._every(maps.columns, self.width / keys, not self.upright)
        if maps.same_tokens:  # the same tokens are written on both axes
            self.every_row = self.every_column = max(self.every_row, self.every_column)
        # A panel with more cells than pixels shows the largest of those that share one.
        self.bins = min(length, int(self.height * dpi)), min(keys, int(self.width * dpi))
        self.norm = _norm(maps, scale)
        self._measure(title)
        self._draw()

    def _extent(self, text: str, points: float = LABEL_POINTS) -> tuple:
        """Width and height of a text in inches. Labels are measured more than once."""
        if (text, points) not in self.extents:
            width, height, _ = self.renderer.get_text_width_height_descent(text, _font(points), False)
            self.extents[text, points] = width / self.figure.dpi, height / self.figure.dpi
        return self.extents[text, points]

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
        body_width = self.columns * self.width + (self.columns - 1) * GAP
        self.step_y = self.height + 0.35
        self.body_height = self.lines * self.step_y - 0.35
        bottom = self.under + 0.15 + MARGIN
        self.bar_left = self.left + body_width + 0.22
        wanted = self.bar_left + BAR_WIDTH + 0.62 + MARGIN
        room = max(wanted - 2 * MARGIN - 0.1, TEXT_WIDTH)
        self.title = self._wrap(_visible(title).split(" "), " ", TITLE_POINTS, room, TITLE_LINES)
        self.caption = self._wrap(self._caption(), "  ·  ", NOTE_POINTS, room, CAPTION_LINES)
        texts = [self._extent(line, TITLE_POINTS)[0] * BOLD for line in self.title]
        texts += [self._extent(line, NOTE_POINTS)[0] for line in self.caption]
        self.top = MARGIN + 0.62 + 0.21 * (len(self.title) - 1) + 0.16 * (len(self.caption) - 1)
        self.sheet = (
            max(wanted, max(texts) + 2 * MARGIN + 0.1),
            self.top + max(self.body_height, 1.0) + bottom,
        )
        # Whole pixels, and a hundredth so that rounding down keeps them.
        self.sheet = tuple((round(inches * self.dpi) + 0.01) / self.dpi for inches in self.sheet)
        self.figure.set_size_inches(*self.sheet)

    def _wrap(self, words, between: str, points: float, room: float, most: int) -> list:
        """Words joined to lines that fit into `room` inches; what does not fit into `most` lines is cut."""
        bold = BOLD if points == TITLE_POINTS else 1.0

        def fits(text: str) -> bool:
            return self._extent(text, points)[0] * bold <= room

        lines = []
        for word in words:
            joined = lines[-1] + between + word if lines else word
            if lines and fits(joined):
                lines[-1] = joined
                continue
            lines.append(word)
            while not fits(lines[-1]) and len(lines) <= most:
                end = _longest(word, fits)
                lines[-1], word = word[:end], word[end:]
                lines.append(word)
        if len(lines) > most:
            lines = lines[: most - 1] + [lines[most - 1].rstrip()[:-1] + "\N{HORIZONTAL ELLIPSIS}"]
        return lines

    def _caption(self) -> list:
        notes = [f"row: query, column: key; {self.maps.row_sum}"]
        if self.width >= ENTROPY_WIDTH:
            notes.append("entropy: normalised, 1 where all keys weigh the same")
        notes += self.maps.notes
        if self.scale != "linear":
            notes.append({"sqrt": "square-root", "log": "logarithmic"}[self.scale] + " colours")
        shape = self.maps.weights.shape[1:]
        if self.bins != shape:
            down, across = (math.ceil(count / bins) for count, bins in zip(shape, self.bins))
            notes.append(f"a point shows the max of {down}×{across} cells")
        for every, what in ((self.every_row, "query"), (self.every_column, "key")):
            if every > 1:
                notes.append(f"1 in {every} {what} labels shown")
        return notes

    def _draw(self) -> None:
        for n, line in enumerate(self.title):
            self._text(MARGIN, MARGIN + 0.21 * n, line, TITLE_POINTS, INK, weight="bold")
        for n, line in enumerate(self.caption):
            self._text(MARGIN, MARGIN + 0.21 * len(self.title) + 0.16 * n, line, NOTE_POINTS, FAINT)
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
        self.figure.text(
            x / self.sheet[0], 1 - y / self.sheet[1], _plain(text), size=points, color=colour, **how
        )

    def _axes(self, x: float, y: float, width: float, height: float):
        w, h = self.sheet
        return self.figure.add_axes([x / w, 1 - (y + height) / h, width / w, height / h])

    def _panel(self, n: int) -> None:
        line, column = divmod(n, self.columns)
        x, y = self.left + column * (self.width + GAP), self.top + line * self.step_y
        axes = self._axes(x, y, self.width, self.height)
        weights, masked = self.maps.weights[n], self.maps.masked[n]
        length, keys = weights.shape
        shown = pool(np.where(masked, -np.inf, weights), *self.bins)
        hidden = pool(masked, *self.bins, how=np.logical_and)
        shown = np.ma.masked_array(np.maximum(shown, self.norm.vmin or 0.0), hidden)
        axes.set_facecolor(MASKED)
        axes.imshow(
            shown,
            cmap="cividis",
            norm=self.norm,
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, keys - 0.5, length - 0.5, -0.5),
        )
        _hatch(axes, hidden, pool(self.maps.empty[n][:, None], self.bins[0], 1, np.logical_and)[:, 0])
        if min(self.width / keys, self.height / length) >= CELL_WITH_NUMBER:
            _numbers(axes, weights, masked, self.norm)
        self._ticks(axes, line, column, n)
        entropy = normalised_entropy(weights[self.maps.counted], masked[self.maps.counted])
        name, note = self.maps.names[n], f"entropy {entropy:.2f}"
        self._text(x, y - 0.185, name, NOTE_POINTS, INK)
        taken = self._extent(name, NOTE_POINTS)[0] + 0.1 + self._extent(note, NOTE_POINTS - 1)[0]
        if not math.isnan(entropy) and self.width >= max(taken, ENTROPY_WIDTH):
            self._text(x + self.width, y - 0.185, note, NOTE_POINTS - 1, FAINT, ha="right")

    def _ticks(self, axes, line: int, column: int, n: int) -> None:
        """Labels on the outer panels only: all panels share them."""
        length, keys = self.maps.weights.shape[1:]
        axes.tick_params(length=2, width=0.5, pad=2, labelsize=LABEL_POINTS, labelcolor=INK, color=FAINT)
        # A frame would cover the outermost cells where they are as narrow as itself.
        cell = min(self.width / keys, self.height / length) * self.dpi
        for spine in axes.spines.values():
            spine.set(linewidth=0.5, color=FAINT, visible=cell >= 3)
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
        if self.scale == "log":
            ticks = _log_ticks(self.norm)
            bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
            bar.minorticks_off()
        bar.outline.set(linewidth=0.5, color=FAINT)
        bar.ax.tick_params(
            which="both", length=2, width=0.5, labelsize=LABEL_POINTS, labelcolor=INK, color=FAINT
        )
        self._text(self.bar_left, self.top - 0.185, "weight", NOTE_POINTS, INK)


def _font(points: float):
    return matplotlib.font_manager.FontProperties(size=points)


def _longest(word: str, fits) -> int:
    """How many of a word's first characters fit, at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(word[:middle]) else (low, middle - 1)
    return low


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # no text here is ever mathematics


def _visible(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= 400 else text[:399] + "\N{HORIZONTAL ELLIPSIS}"


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


def _log_ticks(norm) -> list:
    """The largest weight, and below it powers of ten or, where there are few of these, also twos and fives."""
    exponents = range(math.floor(math.log10(norm.vmin)), math.ceil(math.log10(norm.vmax)))
    steps = (1, 2, 5) if len(exponents) <= 2 else (1,)
    ticks = [step * 10.0**n for n in exponents for step in steps]
    nearest = 0.06 * math.log10(norm.vmax / norm.vmin)
    ticks = [tick for tick in ticks if norm.vmin <= tick and math.log10(norm.vmax / tick) > nearest]
    return (ticks or [norm.vmin]) + [norm.vmax]


def _hatch(axes, masked: np.ndarray, empty: np.ndarray) -> None:
    """Masked cells look like nothing that a colour stands for, and rows of nothing else (`empty`) unlike others. Runs
    of a row are one rectangle."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    width, height = (right - left) / masked.shape[1], (bottom - top) / masked.shape[0]
    for i, row in enumerate(masked):
        row = np.ones_like(row) if empty[i] else row
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        for start, end in edges.reshape(-1, 2):
            cell = Rectangle(
                (left + start * width, top + i * height),
                (end - start) * width,
                height,
                facecolor=MASKED if empty[i] else "none",
                edgecolor=HATCH,
                hatch="xxxxx" if empty[i] else "/////",
                linewidth=0,
            )
            axes.add_patch(cell)


def _numbers(axes, weights: np.ndarray, masked: np.ndarray, norm) -> None:
    for (i, j), weight in np.ndenumerate(weights):
        if not masked[i, j]:
            colour = "white" if norm(max(weight, norm.vmin)) < 0.55 else INK
            text = f"{weight:.2f}".replace("0.", ".", 1) if weight < 0.995 else "1"
            axes.text(j, i, text, ha="center", va="center", size=6.5, color=colour)
