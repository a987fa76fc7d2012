"""A context that is split over two services: each sees half of the keys, and what they answer is merged.

    attend-server --port 8081 &  attend-server --port 8082 &
    python clients/python/examples/shards.py http://127.0.0.1:8081 http://127.0.0.1:8082

Both serve the same model; one URL stands for both. The last queries of a long causal sequence look at all of it, first
in one request, then in two halves. The difference is printed; the exit code is 1 if it is more than 1e-6 of the largest
output."""

from __future__ import annotations

import argparse
import sys

import attend
import numpy as np


def sharded(layers, query, keys, **options):
    """The output of `query` [L, E], at the end of the sequence, over `keys` [S, E], which are shared out."""
    length, parts, start = len(keys), [], 0
    for n, share in enumerate(np.array_split(keys, len(layers))):
        _, more = layers[n](
            query,
            share,
            is_causal=True,
            query_offset=length - len(query),  # positions in the whole sequence: causality, windows, rotary
            key_offset=start,  # embeddings and slopes go by them
            omit_extra=n > 0,  # keys and sinks of the layer itself count once
            return_=["head_output", "lse"],
            **options,
        )
        parts.append((more["head_output"], more["lse"]))
        start += len(share)
    merged, _ = attend.merge(parts)
    return layers[0](head_output=merged)  # the output projection


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url", nargs="+", help="of each service")
    parser.add_argument("--model", help="the service's default if not given")
    parser.add_argument("--length", type=int, default=1000, help="of the sequence")
    parser.add_argument("--queries", type=int, default=50, help="how many of its last tokens ask")
    parser.add_argument("--seed", type=int, default=0, help="of the tokens, which are random")
    options = parser.parse_args()
    urls = options.url if len(options.url) > 1 else 2 * options.url
    layers = [attend.MultiHeadAttention(url, options.model) for url in urls]
    tokens = attend.random_tensor((options.length, layers[0].embed_dim), options.seed)
    query = tokens[-options.queries :]

    whole = layers[0](query, tokens, is_causal=True, query_offset=len(tokens) - len(query))
    difference = np.abs(sharded(layers, query, tokens) - whole).max() / np.abs(whole).max()
    print(
        f"{layers[0].model}: {len(query)} queries over {len(tokens)} keys, whole and in {len(layers)} shards: "
        f"outputs differ by {difference:.1e} of the largest"
    )
    return 0 if difference <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
