"""Vectors for the layer of hand-set heads, `builtin:patterns`."""

from __future__ import annotations

from typing import Union

import numpy as np

from .client import DEFAULT_URL, Client


class Patterns:
    """Makes the vectors that the heads of `patterns` were set for, by the rule that the service states.

        patterns = Patterns("http://127.0.0.1:8080")
        tokens = patterns.split("the cat sat on the mat and the cat slept")
        x = patterns.embed(tokens)                                    # float32 [10, 128]
        mha = MultiHeadAttention(patterns.client.url, "patterns")
        output, weights = mha(x, is_causal=True, need_weights=True)   # weights [8, 10, 10]
        patterns.heads[4]["name"]                                     # "induction"

    All that is known here about the rule is how to read it: GET /models/patterns has the numbers. Raises ValueError
    if the model states no rule, or one that cannot be followed here."""

    def __init__(self, client: Union[Client, str] = DEFAULT_URL, model: str = "patterns"):
        self.client = client if isinstance(client, Client) else Client(client)
        info = self.client.model(model)
        if "rule" not in info or "vocabulary" not in info:
            raise ValueError(
                f"the model {info['name']} does not say how its vectors are made of tokens, as patterns does"
            )
        self.vocabulary, self.rule, self.heads = info["vocabulary"], info["rule"], info["heads"]
        known = set(_MAKERS)
        for part in self.rule["vector"]:
            if part["kind"] not in known:
                raise ValueError(
                    f"the rule has a part of kind {part['kind']!r}; this client knows {', '.join(sorted(known))}"
                )
        self._codes = {}

    @property
    def embed_dim(self) -> int:
        return self.rule["embed_dim"]

    def split(self, text: str) -> list:
        """The tokens of a text: what is between the separators."""
        for separator in self.vocabulary["separators"]:
            text = text.replace(separator, " ")
        return [token for token in text.split(" ") if token]

    def embed(self, tokens, position: int = 0, predecessor=None) -> np.ndarray:
        """The vectors of tokens, or of a text, which is split: float32 [L, E]. The first of them is at `position`,
        after the token `predecessor`, if there is one."""
        tokens = self.split(tokens) if isinstance(tokens, str) else list(tokens)
        vectors = np.zeros((len(tokens), self.embed_dim), np.float32)
        for i, token in enumerate(tokens):
            place = {"token": token, "predecessor": predecessor, "position": position + i}
            for part in self.rule["vector"]:
                vectors[i, part["from"] : part["to"]] = _MAKERS[part["kind"]](self, part, place)
            predecessor = token
        return vectors

    def _code(self, token) -> np.ndarray:
        if token is None:
            return np.zeros(self.rule["code"]["length"])
        if token not in self._codes:
            hash_rule, rule = self.rule["hash"], self.rule["code"]
            x = hash_rule["start"]
            for byte in token.encode(self.vocabulary["encoding"]):
                x = (x + byte) * hash_rule["multiplier"] % hash_rule["modulus"]
            code = []
            for _ in range(rule["length"]):
                x = x * rule["multiplier"] % rule["modulus"]
                code.append(1.0 if x < rule["below"] else -1.0)
            self._codes[token] = np.array(code)
        return self._codes[token]


# What makes the numbers of a part of a vector, by its kind.
_MAKERS = {
    "code": lambda patterns, part, place: patterns._code(place[part["of"]]),
    "position": lambda _, part, place: (place["position"] / part["divisor"]) ** part["power"],
    "first": lambda _, part, place: float(place["position"] == 0),
    "constant": lambda _, part, place: part["value"],
}
