"""Random numbers that any language can draw again: splitmix64 (Steele, Lea, Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), the generator behind the service's `init:` models."""

from __future__ import annotations

import math

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def splitmix64(seed: int, count: int, skip: int = 0) -> np.ndarray:
    """`count` 64-bit numbers of the stream that `seed` starts, after the first `skip`: uint64 [count]."""
    # Number n depends on seed + n * gamma alone, so all of them can be made at once (mod 2^64).
    n = np.arange(skip + 1, skip + count + 1, dtype=np.uint64)
    x = np.uint64(seed % 2**64) + n * _GAMMA
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


def uniform(seed: int, count: int, bound: float, skip: int = 0) -> np.ndarray:
    """float32 [count], uniform in [-bound, bound): 24 bits each, computed in double and rounded once."""
    u = (splitmix64(seed, count, skip) >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return ((2.0 * u - 1.0) * bound).astype(np.float32)


def random_tensor(shape, seed: int, number: int = 1) -> np.ndarray:
    """float32 of `shape`, row-major, uniform with variance 1, from splitmix64(seed * 2^32 + number).

    `number` tells the tensors of one request apart: 1 query, 2 key, 3 value. It is never 0, so that an input
    does not repeat the numbers that the weights of an `init:` model with the same seed were drawn from."""
    shape = tuple(shape)
    return uniform((seed << 32) + number, math.prod(shape), math.sqrt(3.0)).reshape(shape)
