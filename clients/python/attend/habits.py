"""Habits from torch.nn.MultiheadAttention that mean something else here, and must not pass in silence."""

from __future__ import annotations

import opcode
import sys

_UNPACK = {opcode.opmap["UNPACK_SEQUENCE"], opcode.opmap["UNPACK_EX"]}
_CACHE = opcode.opmap.get("CACHE", 0)  # what follows a call from Python 3.11 on, two bytes each


def no_more_by_position(more: tuple) -> None:
    """Raises TypeError for a fourth argument by position, which in torch is a mask of another kind than most expect."""
    if more:
        kinds = ", ".join(type(value).__name__ for value in more)
        raise TypeError(
            f"query, key and value go by position, and {len(more)} more came so ({kinds}); masks and switches go by "
            "name: key_padding_mask=... (torch's fourth argument), need_weights=... (its fifth), attn_mask=... "
            "(its sixth)"
        )


def no_sizes(url, model, unknown: dict, example: str) -> None:
    """Raises TypeError for what makes a layer in torch: a width and a number of heads."""
    remedy = (
        f"; a layer here is one that a service has: MultiHeadAttention({example!r}, model='demo'), by its URL and the "
        "model's name, and its sizes and weights are the service's (--model NAME=init:embed_dim=512,num_heads=8)"
    )
    if unknown:
        raise TypeError(f"MultiHeadAttention has no argument {', '.join(unknown)}{remedy}")
    for name, value in (("url", url), ("model", model)):
        if not isinstance(value, str) and not (name == "model" and value is None):
            raise TypeError(f"{name} is {value!r}, of type {type(value).__name__}, not a string{remedy}")


def lost_gradients(tensors: dict) -> str:
    """A sentence about the torch tensors among these whose gradients end here, "" if there are none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    names = [
        name for name, value in tensors.items() if isinstance(value, torch.Tensor) and value.requires_grad
    ]
    if not names or not torch.is_grad_enabled():
        return ""
    return (
        f"{' and '.join(names)} with requires_grad: no gradient flows back through what a service computes, so what "
        f"comes before is not trained; if that is meant, pass {names[0]}.detach(), or call within torch.no_grad()"
    )


def taken_apart(frame, length: int) -> bool:
    """Whether the call that `frame` is in stands in an assignment like `a, b = mha(x)`, which takes a result of this
    length apart without an error: into the entries of the batch, where torch's result is (output, weights)."""
    if sys.implementation.name != "cpython":
        return False
    code, place = frame.f_code.co_code, frame.f_lasti + 2
    while place + 1 < len(code) and code[place] == _CACHE:
        place += 2
    if place + 1 >= len(code) or code[place] not in _UNPACK:
        return False
    # `a, *rest = ...` takes any length that is enough for `a`
    return code[place + 1] <= length if code[place] == opcode.opmap["UNPACK_EX"] else code[place + 1] == length
