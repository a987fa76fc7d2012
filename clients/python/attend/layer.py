"""MultiHeadAttention, a layer to call."""

from __future__ import annotations

import operator
import sys
import threading
import warnings
from typing import Optional, Sequence

import numpy as np
import requests

from .client import DEFAULT_URL, AttendWarning, Client
from .habits import lost_gradients, no_more_by_position, no_sizes, taken_apart
from .wire import RETURNS, TopK, like_kind, to_array

_DIMENSIONS = {**RETURNS, "attn_weights": "BHLS", "received": "BHS"}
_STATS_DIMENSIONS = "BHL"  # of the other members of `stats`

_TAKEN_APART = (
    "the result is the output alone, and this assignment takes its first axis apart: `output, weights = ...` needs "
    "need_weights=True here (need_weights=False says that the entries are meant)"
)


class MultiHeadAttention:
    """One attention layer of a service.

        mha = MultiHeadAttention("http://127.0.0.1:8080", model="demo")
        output = mha(query)                                   self-attention
        output = mha(query, key, value)                       cross-attention
        output, weights = mha(query, need_weights=True)       weights [B, H, L, S]
        output, more = mha(query, return_=["lse", "stats"])   more["lse"] [B, H, L], more["stats"]["max"]

    The shapes and masks are those of torch.nn.MultiheadAttention with batch_first=True, but the call is not:

      - query, key and value go by position; masks and switches go by name only, for torch's order is not the one that
        most expect (query, key, value, key_padding_mask, need_weights, attn_mask);
      - need_weights is False by default (torch: True), and without it the output comes back alone, not in a tuple:
        `output, _ = mha(x, x, x)` would take the batch apart, and is warned of where it could pass unnoticed;
      - weights are one map a head by default (torch: average_attn_weights is True);
      - key and value may be left out;
      - is_causal needs no attn_mask beside it, and both may be given; left out, it is as the model has it;
      - a query that may attend to nothing gets weights of zero, not NaN;
      - dropout only with training=True, and no gradient: the weights of the layer live in the service. An input that
        requires one is warned of.

    wire: "safetensors" or "json", how tensors travel. The results are the same, bit for bit; JSON takes longer.
    session, request_ids, api_key: as in Client, and so are threads and forked processes: they may share a layer. A `with` block
    closes its connections at the end, and so does close()."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        model: Optional[str] = None,
        timeout: float = 60.0,
        session: Optional[requests.Session] = None,
        *,
        wire: str = "safetensors",
        request_ids: bool = True,
        api_key: Optional[str] = None,
        **unknown,
    ):
        no_sizes(url, model, unknown, DEFAULT_URL)
        self.client = Client(url, timeout, session, wire=wire, request_ids=request_ids, api_key=api_key)
        self._model, self._info, self._last = model, None, threading.local()

    @property
    def result_url(self) -> Optional[str]:
        """Where a browser finds the result of this thread's last call, if that was one with keep."""
        return getattr(self._last, "result_url", None)

    def close(self) -> None:
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_last"}

    def __setstate__(self, state):
        self.__dict__.update(state, _last=threading.local())

    @property
    def info(self) -> dict:
        """What the service says about the model: GET /models/{name}, asked once."""
        if self._info is None:
            self._info = self.client.model(self._model)
        return self._info

    @property
    def model(self) -> str:
        return self._model or self.info["name"]

    @property
    def embed_dim(self) -> int:
        return self.info["embed_dim"]

    @property
    def num_heads(self) -> int:
        return self.info["num_heads"]

    @property
    def head_dim(self) -> int:
        return self.info["head_dim"]

    @property
    def kdim(self) -> int:
        return self.info["kdim"]

    @property
    def vdim(self) -> int:
        return self.info["vdim"]

    def __call__(
        self,
        query=None,
        key=None,
        value=None,
        *more,
        attn_mask=None,
        key_padding_mask=None,
        need_weights: Optional[bool] = None,
        is_causal: Optional[bool] = None,
        average_attn_weights: bool = False,
        query_offset: Optional[int] = None,
        key_offset: Optional[int] = None,
        return_=None,
        view: Optional[dict] = None,
        head_output=None,
        omit_extra: bool = False,
        training: bool = False,
        seed: Optional[int] = None,
        keep: bool = False,
        query_labels: Optional[Sequence[str]] = None,
        key_labels: Optional[Sequence[str]] = None,
    ):
        """The output; (output, weights) with need_weights=True; and a dict of more results as the last of the tuple
        with return_. forward() is the same.

        query [B, L, E] or [L, E]; key [B, S, kdim], value [B, S, vdim] (by default the query, and the key);
        attn_mask [L, S], [B*H, L, S] or [B, H, L, S]; key_padding_mask [B, S]. In masks True means "may not be
        attended to", numbers are added to the scores. Weights are [B, H, L, S], or [B, L, S] when averaged over
        the heads; without B in, there is none in what comes back. A layer with keys of its own (bias_k, a zero key)
        adds them to S in all that comes back.

        is_causal: a query sees the keys at its own and earlier positions; None: as the model has it. Positions count
        from query_offset and key_offset.
        return_: names out of q, k, v, scores, lse, entropy, head_output, stats; `more` has them as keys, stats as a
        dict, and with training the `seed`. view: which part of weights and scores, {"batch", "heads", "rows", "cols",
        "size", "pool", "top_k"}; with top_k they are TopK(values, indices).
        head_output [B, H, L, D]: instead of query, key and value; only the output projection is applied to it.
        omit_extra: leave out the layer's own keys and sinks. training, seed: apply the layer's dropout.
        keep: the service keeps the result for a browser, under self.result_url; the labels are names for its queries
        [L] and keys [S]. What is computed stays the same.

        Any floating type is sent as float32. What comes back is float32 of the query's kind: a torch tensor on
        its device for a torch tensor, else a numpy array. Raises AttendError with the service's sentence."""
        no_more_by_position(more)
        _check_switches(
            need_weights=False if need_weights is None else need_weights,
            average_attn_weights=average_attn_weights,
            omit_extra=omit_extra,
            training=training,
            keep=keep,
        )
        if is_causal is not None:
            _check_switches(is_causal=is_causal)
        # A single name is a word, and would be taken apart into letters.
        names = [return_] if isinstance(return_, str) else None if return_ is None else list(return_)
        kind = query if head_output is None else head_output
        if kind is None:
            raise TypeError("a query is expected, or a head_output")
        sent = {
            "query": None if query is None else to_array("query", query),
            "key": None if key is None else to_array("key", key),
            "head_output": None if head_output is None else to_array("head_output", head_output),
        }
        answer = self.client.attend(
            self._model,
            **sent,
            value=value,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            is_causal=None if is_causal is None else bool(is_causal),
            query_offset=_whole("query_offset", query_offset),
            key_offset=_whole("key_offset", key_offset),
            need_weights=True if need_weights else None,
            average_attn_weights=True if average_attn_weights else None,
            view=view,
            omit_extra=True if omit_extra else None,
            training=True if training else None,
            seed=_whole("seed", seed),
            keep=True if keep else None,
            query_labels=query_labels,
            key_labels=key_labels,
            **{"return": names or None},
        )
        self._last.result_url = answer.result_url
        masks = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask}
        lost = lost_gradients({"query": query, "key": key, "value": value, **masks, "head_output": head_output})
        for sentence in filter(None, (lost, *answer.warnings)):
            warnings.warn(sentence, AttendWarning, stacklevel=2)
        shapes = _Shapes(self, sent, view, average_attn_weights, omit_extra)
        results = [like_kind(kind, shapes.complete("output", answer.output))]
        if need_weights:
            results.append(like_kind(kind, shapes.complete("attn_weights", answer.attn_weights)))
        if names is not None:
            more = {name: like_kind(kind, shapes.complete(name, part)) for name, part in answer.more.items()}
            results.append(more if answer.seed is None else {**more, "seed": answer.seed})
        if len(results) > 1:
            return tuple(results)
        if need_weights is None and taken_apart(sys._getframe(1), len(results[0])):
            warnings.warn(_TAKEN_APART, AttendWarning, stacklevel=2)
        return results[0]

    forward = __call__

    def __repr__(self):
        return f"MultiHeadAttention({self.client.url!r}, model={self._model!r})"


class _Shapes:
    """JSON cannot show the dimensions after an empty one; what was sent and the model know them."""

    def __init__(self, layer: MultiHeadAttention, sent: dict, view, average: bool, omit_extra: bool):
        self.layer, self.sent = layer, sent
        self.view, self.average, self.omit_extra = view or {}, average, omit_extra

    def complete(self, name: str, result):
        if isinstance(result, TopK):
            return TopK(*(self.complete(name, part) for part in result))
        if isinstance(result, dict):
            return {part: self.complete(part, array) for part, array in result.items()}
        # In JSON an unbatched query of no rows is [] as well, and the service takes that for a batch of none: then the
        # layer's own keys and values, which are there whatever the query, do not come back.
        shape = self._shape(name) if result.size == 0 else ()
        return result.reshape(shape) if 0 in shape else result

    def _shape(self, name: str) -> tuple:
        projected = self.sent["head_output"]
        if projected is not None:  # [B, H, L, D]
            return projected.shape[:-3] + (projected.shape[-2], self.layer.embed_dim)
        query = self.sent["query"]
        if name == "output":
            return query.shape
        sizes = self._sizes(query, query if self.sent["key"] is None else self.sent["key"])
        if name in ("attn_weights", "scores"):
            self._apply_view(sizes, name)
        return tuple(sizes[letter] for letter in _DIMENSIONS.get(name, _STATS_DIMENSIONS) if letter in sizes)

    def _sizes(self, query: np.ndarray, key: np.ndarray) -> dict:
        info = self.layer.info
        extra = 0 if self.omit_extra else bool(info.get("add_bias_kv")) + bool(info.get("add_zero_attn"))
        sizes = {"B": query.shape[0]} if query.ndim == 3 else {}
        sizes.update(H=info["num_heads"], G=info["num_kv_heads"], D=info["head_dim"])
        return {**sizes, "L": query.shape[-2], "S": key.shape[-2] + extra}

    def _apply_view(self, sizes: dict, name: str) -> None:
        for letter, part in (("B", "batch"), ("H", "heads")):
            if self.view.get(part) is not None:
                sizes[letter] = len(self.view[part])
        for letter, part, bins in zip("LS", ("rows", "cols"), self.view.get("size") or (None, None)):
            window = self.view.get(part)
            sizes[letter] = sizes[letter] if window is None else window[1] - window[0]
            sizes[letter] = sizes[letter] if bins is None else min(bins, sizes[letter])
        if self.view.get("top_k") is not None:
            sizes["S"] = min(self.view["top_k"], sizes["S"])
        if self.average and name == "attn_weights":
            if self.view:
                sizes["H"] = 1
            else:
                del sizes["H"]


def _check_switches(**switches) -> None:
    for name, value in switches.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(
                f"{name} is of type {type(value).__name__}, but True or False is expected; masks go in as attn_mask "
                "and key_padding_mask (torch's is query, key, value, key_padding_mask, need_weights, attn_mask)"
            )


def _whole(name: str, value) -> Optional[int]:
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is of type {type(value).__name__}, but a whole number is expected") from None
