"""Heat maps of attention weights: one panel a head, one scale of colours, tokens as labels. Here is what is shown;
sheet.py draws it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

import numpy as np

from .client import Answer
from .inputs import InputError, Request
from .sheet import Maps, Sheet, write

LABEL_LENGTH = 14  # characters; of longer ones the middle is left out


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
class Drawn:
    """A picture that was written: its size in pixels, and the characters that its font does not have."""

    width: int
    height: int
    missing: list


def draw(request: Request, answer: Answer, options: Options) -> Drawn:
    """Draws the weights in `answer` to options.out, a PNG if the name has no ending. Raises InputError for a batch
    element, head or label list that does not fit."""
    maps = _select(request, answer, options)
    ending = Path(options.out).suffix[1:].lower() or "png"
    try:
        missing, pixels = write(
            lambda: Sheet(
                maps, options.scale, options.dpi, options.title or _title(answer, request, options)
            ),
            options.out,
            ending,
        )
    except ValueError as error:
        raise InputError(f"{options.out} cannot be written: {error}") from error
    return Drawn(*pixels, missing)


# What is shown


def excluded(request: Request, batch: int, heads: int, length: int, keys: int) -> np.ndarray:
    """Which cells of one batch element the request's masks exclude: bool [H, L, S]."""
    result = np.zeros((heads, length, keys), bool)
    if request.fields.get("is_causal"):
        first_query = request.fields.get("query_offset") or 0
        first_key = request.fields.get("key_offset") or 0
        result |= first_key + np.arange(keys) > first_query + np.arange(length)[:, None]
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
    heads, length, all_keys = weights.shape
    if 0 in (length, all_keys):
        raise InputError(f"there is nothing to draw in weights of {length} x {all_keys}")
    # The layer's own keys come last; nothing masks them.
    keys = min(request.key.shape[-2], all_keys)
    extra = all_keys - keys
    masked = excluded(request, options.batch, heads, length, keys)
    masked = np.pad(masked, ((0, 0), (0, 0), (0, extra)))
    rows = _labels(request.query_labels, options.batch, length, "query")
    columns = _labels(request.key_labels, options.batch, keys, "key") + ["(extra)"] * extra
    chosen = options.heads if options.heads is not None else list(range(heads))
    for head in chosen:
        if not 0 <= head < heads:
            raise InputError(f"there is no head {head}: the model has heads 0 to {heads - 1}")

    present = _present(request, options.batch, keys)
    padded_rows = ~present if request.is_self_attention else np.zeros(length, bool)
    present = np.pad(present, (0, extra), constant_values=True)
    keep_rows, keep_columns = np.arange(length), np.arange(all_keys)
    notes = [request.note] if request.note else []
    if options.padding == "crop" and not present.all():
        keep_columns, keep_rows = np.flatnonzero(present), np.flatnonzero(~padded_rows)
        what = "as queries and as keys" if request.is_self_attention else "as keys"
        notes.append(f"padding left out, {what}: {all_keys - keep_columns.size}")
    window = np.ix_(chosen, keep_rows, keep_columns)
    weights, masked = weights[window], masked[window]
    empty = ~weights.any(axis=-1)
    names = [_head_name(request, head) for head in chosen]
    if options.mean:
        names = [f"mean of {len(chosen)} heads"]
        weights, masked = weights.mean(axis=0, keepdims=True), masked.all(axis=0, keepdims=True)
    notes += _notes(empty, masked, options.mean)
    return Maps(
        weights=weights,
        masked=masked,
        empty=empty.all(axis=0, keepdims=True) if options.mean else empty,
        counted=~padded_rows[keep_rows],
        names=names,
        rows=[rows[i] for i in keep_rows],
        columns=[columns[j] for j in keep_columns],
        row_sum=_row_sum(empty, options.mean),
        notes=notes,
        same_tokens=request.is_self_attention and not extra,
    )


def _head_name(request: Request, head: int) -> str:
    known = request.head_names or []
    return f"{head}: {known[head].replace('_', ' ')}" if head < len(known) else f"head {head}"


def _present(request: Request, batch: int, keys: int) -> np.ndarray:
    """Which keys of a batch element are not padding: bool [S]; all of them if none would be left."""
    padding = request.fields.get("key_padding_mask")
    if padding is None:
        return np.ones(keys, bool)
    padded = _forbids(padding if padding.ndim == 1 else padding[batch])
    return np.ones(keys, bool) if padded.all() else ~padded


def _notes(empty: np.ndarray, masked: np.ndarray, mean: bool) -> list:
    crossed = empty.all(axis=0) if mean else empty
    notes = ["hatched: masked"] if (masked & ~crossed[..., None]).any() else []
    return notes + (["crossed: a query that may attend to nothing"] if crossed.any() else [])


def _row_sum(empty: np.ndarray, mean: bool) -> str:
    """What the weights of a row are together: 1, and with rows that may attend to nothing (`empty` [N, L]) also 0."""
    if not empty.any():
        return "a row sums to 1"
    if mean and (empty.any(axis=0) & ~empty.all(axis=0)).any():
        return "a row sums to 1, or to less where a head may attend to nothing"
    return "a row sums to 1, or to 0 where nothing may be attended to"


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
    if len(label) <= LABEL_LENGTH:
        return label
    head, tail = LABEL_LENGTH // 2, LABEL_LENGTH - LABEL_LENGTH // 2 - 1
    return f"{label[:head]}\N{HORIZONTAL ELLIPSIS}{label[-tail:]}"


def _title(answer: Answer, request: Request, options: Options) -> str:
    kind = "self-attention" if request.is_self_attention else "cross-attention"
    shape = "query " + " × ".join(map(str, request.query.shape))
    if not request.is_self_attention:
        shape += ", key " + " × ".join(map(str, request.key.shape))
    element = f", element {options.batch}" if request.query.ndim == 3 and request.query.shape[0] > 1 else ""
    return f"{answer.model}: {kind}, {shape}{element}"
