"""One attention over keys that are spread over several services."""

from __future__ import annotations

import warnings

import numpy as np

from .client import AttendWarning
from .habits import lost_gradients
from .wire import like_kind


def merge(parts) -> tuple:
    """Merges what several services computed for the same queries, each over some of the keys: head_output
    [B, H, L, D] and lse [B, H, L] (or both without B) of all the keys together, float64, of the kind of the first
    part (numpy or torch).

    `parts` are pairs (head_output, lse), as the service returns them: lse is the logarithm of the denominator of each
    softmax, so exp(lse) is what a part weighs. A part in which a query may attend to nothing has -inf there, and
    weighs nothing; if that is so in all of them, head_output is 0 and lse -inf. What comes out can be a part again.
    The layer's extra keys and sinks must be in one part only: all the others are asked for with omit_extra."""
    parts = list(parts)
    if not parts:
        raise ValueError("there is nothing to merge: expected pairs of head_output and lse")
    lost = lost_gradients({f"parts[{n}][{i}]": part for n, pair in enumerate(parts) for i, part in enumerate(pair)})
    if lost:
        warnings.warn(lost, AttendWarning, stacklevel=2)
    outputs = [_double(output) for output, _ in parts]
    logs = [_double(lse) for _, lse in parts]
    for n, (output, lse) in enumerate(zip(outputs, logs)):
        if output.shape != outputs[0].shape or output.shape[:-1] != lse.shape:
            raise ValueError(
                f"part {n} has a head_output of shape {list(output.shape)} and an lse of shape {list(lse.shape)}; "
                f"expected {list(outputs[0].shape)} and {list(outputs[0].shape[:-1])}"
            )
    top = np.maximum.reduce(logs)
    shift = np.where(np.isneginf(top), 0.0, top)  # -inf less -inf would be NaN
    shares = [np.exp(lse - shift) for lse in logs]
    total = sum(shares)
    divisor = np.where(total == 0.0, 1.0, total)
    merged = sum(share[..., None] * output for share, output in zip(shares, outputs)) / divisor[..., None]
    lse = np.where(total == 0.0, -np.inf, shift + np.log(divisor))
    return like_kind(parts[0][0], merged), like_kind(parts[0][0], lse)


def _double(array) -> np.ndarray:
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array, np.float64)
