"""Narrow weights: the answer is what the narrowed weights give in double precision, whatever kernels compute it."""

import subprocess

import attend
import numpy as np
import pytest
from attend_server import BINARY, AttendServer
from conftest import random_layer
from oracle import attention


def bfloat16(array):
    """To the nearest, ties to even."""
    bits = array.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def int8(array):
    """Whole numbers from -127 to 127, times one scale for each number of the result and 256 of its sum."""
    blocks = []
    for block in np.split(array, range(256, array.shape[1], 256), axis=1):
        scales = np.abs(block).max(axis=1, keepdims=True) / np.float32(127)
        blocks.append(np.rint(block / scales) * scales)
    return np.concatenate(blocks, axis=1)


def same(array):
    return array


NARROW = {"float32": same, "bfloat16": bfloat16, "int8": int8}


def kinds():
    """The sets of kernels that this CPU has."""
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("(this CPU has ")[1].rstrip(")\n").split(", ")


@pytest.mark.parametrize("joint", [True, False])
def test_narrow_weights_give_what_they_are(joint, rng, tmp_path):
    """Biases stay as they are; of the probe's error, the description tells."""
    weights = random_layer(rng, 72) if joint else random_layer(rng, 72, kdim=300, vdim=40)
    query = rng.standard_normal((2, 9, 72)).astype(np.float32)
    key = rng.standard_normal((2, 21, 72 if joint else 300)).astype(np.float32)
    value = rng.standard_normal((2, 21, 72 if joint else 40)).astype(np.float32)
    models = []
    for precision in NARROW:
        path = attend.save_layer(weights, tmp_path / precision, num_heads=6, precision=precision)
        models += ["--model", path]
    for kind in kinds():
        with AttendServer("--cpu", kind, *models) as server:
            for precision, narrow in NARROW.items():
                used = {name: narrow(array) if array.ndim == 2 else array for name, array in weights.items()}
                want, _ = attention(used, 6, query, key, value)
                with attend.Client(server.url) as client:
                    found = client.attend(precision, query=query, key=key, value=value).output
                assert np.abs(found - want).max() <= 2e-6 * np.abs(want).max(), (kind, precision)
