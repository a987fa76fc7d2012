"""MultiHeadAttention, a layer to call, and the plain Client below it."""

from __future__ import annotations

import dataclasses
import re
import socket
import sys
import urllib.parse
import warnings
from typing import Optional

import numpy as np
import requests

from .wire import decode_answer, encode_request, to_array

DEFAULT_URL = "http://127.0.0.1:8080"


class AttendWarning(UserWarning):
    """What the service computed as asked but found odd."""


class AttendError(Exception):
    """The service refused a request, or could not be reached.

    sentence    what was wrong, where, and what was expected
    code        the service's short name for it, like "bad_shape"; "no_service" and "timeout" if there was no
                answer, "bad_answer" if it was not one of this service's
    status      the HTTP status, None if there was no answer
    path        the place in the request, like "query[0][3]", or None
    offset      the byte offset in the body, or None
    request_id  the name under which the service's log has the request, or None
    """

    def __init__(self, sentence, code, status=None, path=None, offset=None, request_id=None):
        self.sentence, self.code, self.status = sentence, code, status
        self.path, self.offset, self.request_id = path, offset, request_id
        super().__init__(sentence)

    def __str__(self):
        known = [self.code]
        known += [f"HTTP {self.status}"] if self.status else []
        known += [f"at {self.path}"] if self.path else []
        known += [f"byte {self.offset} of the body"] if self.offset is not None else []
        known += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.sentence} ({', '.join(known)})"


@dataclasses.dataclass
class Answer:
    """One answer of the service."""

    model: str
    output: np.ndarray  # float32 [B, L, E], or [L, E]
    attn_weights: Optional[
        np.ndarray
    ]  # float32 [B, H, L, S], averaged [B, L, S], unbatched without B, or None
    warnings: list  # sentences
    id: Optional[str]  # as sent
    request_id: Optional[str]
    timing: dict  # milliseconds by name: parse, queue, compute, encode
    kernels: Optional[str]  # that computed it, as far as the service names them
    server: Optional[str]  # the service's version, likewise
    size: int  # of the body, bytes


def parse_server_timing(header: str) -> tuple:
    """A Server-Timing header (W3C) as ({name: milliseconds}, {name: description})."""
    durations, descriptions = {}, {}
    for metric in filter(None, (part.strip() for part in header.split(","))):
        name, *parameters = (part.strip() for part in metric.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur":
                durations[name] = float(value)
            elif key == "desc":
                descriptions[name] = value.strip('"')
    return durations, descriptions


def check_url(url: str) -> urllib.parse.SplitResult:
    """The parts of the service's URL. Raises ValueError, in one sentence, where it is not one."""
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018  (raises where it is not a number up to 65535)
    except ValueError as error:
        raise ValueError(f"the service's URL is {url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the service's URL is {url!r}; expected one like {DEFAULT_URL}")
    return parts


def check_timeout(timeout) -> None:
    """Raises ValueError for what sockets cannot wait for; None is to wait for ever."""
    if isinstance(timeout, (int, float)) and not 0 < timeout <= 1e9:
        raise ValueError(
            f"the timeout is {timeout} seconds; expected more than 0 and at most a thousand million"
        )


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.match(r"127(\.\d+){3}$", host) is not None


def _first_cause(error: BaseException) -> BaseException:
    """What the operating system said, below the layers of requests and urllib3."""
    seen = []
    while error not in seen:
        seen.append(error)
        inside = [error.__cause__, getattr(error, "reason", None), *error.args, error.__context__]
        error = next((part for part in inside if isinstance(part, BaseException)), error)
    return seen[-1]


class Client:
    """Speaks HTTP with one service. Connections are kept open and used again; a request is sent once and never
    repeated by itself: on "queue_full" or "unavailable" the caller decides when to ask again.

    Like the requests.Session in it, a Client is meant for one thread; give each thread its own."""

    def __init__(
        self, url: str = DEFAULT_URL, timeout: float = 60.0, session: Optional[requests.Session] = None
    ):
        host = check_url(url).hostname
        self.url = url.rstrip("/")
        check_timeout(timeout)
        self.timeout = timeout
        self.session = session or requests.Session()
        if session is None and is_loopback(host):
            self.session.trust_env = False  # a proxy could not reach this machine's loopback

    def attend(self, model: Optional[str] = None, **fields) -> Answer:
        """POST /attend: `fields` are those of the request, tensors as numpy arrays, torch tensors or lists."""
        return self.post(encode_request(fields), model)

    def post(self, body: bytes, model: Optional[str] = None) -> Answer:
        """POST /attend with a body that is already JSON."""
        path = "/attend" if model is None else "/attend/" + urllib.parse.quote(model, safe="")
        response = self._ask("POST", path, body)
        try:
            answer = decode_answer(response.content)
        except ValueError as error:
            raise self._bad_answer(response, str(error)) from error
        timing, descriptions = parse_server_timing(response.headers.get("Server-Timing", ""))
        return Answer(
            model=answer.get("model"),
            output=answer["output"],
            attn_weights=answer.get("attn_weights"),
            warnings=answer.get("warnings", []),
            id=answer.get("id"),
            request_id=response.headers.get("X-Request-Id"),
            timing=timing,
            kernels=descriptions.get("compute"),
            server=response.headers.get("Server"),
            size=len(response.content),
        )

    def models(self) -> dict:
        """GET /models: {"default": name, "models": [...]}."""
        return self._get_json("/models")

    def model(self, name: Optional[str] = None) -> dict:
        """GET /models/{name}: what the service says about a model; without a name, about its default."""
        if name is None:
            listing = self.models()
            name = listing["default"]
        return self._get_json("/models/" + urllib.parse.quote(name, safe=""))

    def close(self):
        self.session.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _get_json(self, path: str) -> dict:
        response = self._ask("GET", path)
        try:
            return response.json()
        except ValueError as error:
            raise self._bad_answer(response, "the answer is not JSON") from error

    def _ask(self, method: str, path: str, body: Optional[bytes] = None) -> requests.Response:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            response = self.session.request(
                method, self.url + path, data=body, headers=headers, timeout=self.timeout
            )
        except requests.Timeout as error:
            raise AttendError(
                f"{self.url} did not answer within {self.timeout} seconds", "timeout"
            ) from error
        # UnicodeError is what Python says of a host that no DNS name can be.
        except (requests.RequestException, UnicodeError) as error:
            raise AttendError(self._why_no_connection(error), "no_service") from error
        if response.status_code != 200:
            raise self._refusal(response)
        return response

    def _why_no_connection(self, error: Exception) -> str:
        cause = _first_cause(error)
        host = urllib.parse.urlsplit(self.url).hostname
        if isinstance(cause, (socket.gaierror, UnicodeError)):
            return f"cannot find the host {host}"
        if isinstance(cause, ConnectionRefusedError):
            return f"no service at {self.url}: is `make run` running?"
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return f"the connection to {self.url} failed: {why}"

    def _refusal(self, response: requests.Response) -> AttendError:
        try:
            refusal = response.json()
            sentence, code = refusal["error"], refusal["code"]
        except (ValueError, KeyError, TypeError):
            return self._bad_answer(response, response.reason or "no reason given")
        return AttendError(
            sentence,
            code,
            response.status_code,
            refusal.get("path"),
            refusal.get("offset"),
            response.headers.get("X-Request-Id"),
        )

    def _bad_answer(self, response: requests.Response, what: str) -> AttendError:
        return AttendError(
            f"{response.url} answered with HTTP {response.status_code}, but not as attend-server does: {what}",
            "bad_answer",
            response.status_code,
            request_id=response.headers.get("X-Request-Id"),
        )


class MultiHeadAttention:
    """One attention layer of a service.

        mha = MultiHeadAttention("http://127.0.0.1:8080", model="demo")
        output = mha(query)                                   self-attention
        output = mha(query, key, value)                       cross-attention
        output, weights = mha(query, need_weights=True)       weights [B, H, L, S]

    The shapes and masks are those of torch.nn.MultiheadAttention with batch_first=True, but the call is not:

      - the positional order is query, key, value, attn_mask, need_weights; torch's is query, key, value,
        key_padding_mask, need_weights, attn_mask. Here key_padding_mask goes by name, as all that follows;
      - need_weights is False by default (torch: True), and without it the output comes back alone, not in a tuple;
      - weights are one map a head by default (torch: average_attn_weights is True);
      - key and value may be left out;
      - is_causal needs no attn_mask beside it, and both may be given;
      - a query that may attend to nothing gets weights of zero, not NaN;
      - no dropout, and no gradient: the weights of the layer live in the service."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        model: Optional[str] = None,
        timeout: float = 60.0,
        session: Optional[requests.Session] = None,
    ):
        self.client = Client(url, timeout, session)
        self._model, self._info = model, None

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
        query,
        key=None,
        value=None,
        attn_mask=None,
        need_weights: bool = False,
        *,
        key_padding_mask=None,
        is_causal: Optional[bool] = None,
        average_attn_weights: bool = False,
    ):
        """output, or (output, weights) with need_weights.

        query [B, L, E] or [L, E]; key [B, S, kdim], value [B, S, vdim] (by default the query, and the key);
        attn_mask [L, S], [B*H, L, S] or [B, H, L, S]; key_padding_mask [B, S]. In masks True means "may not be
        attended to", numbers are added to the scores. Weights are [B, H, L, S], or [B, L, S] when averaged over
        the heads; without B in, there is none in what comes back.

        Any floating type is sent as float32. What comes back is float32 of the query's kind: a torch tensor on
        its device for a torch tensor, else a numpy array. Raises AttendError with the service's sentence."""
        _check_switches(need_weights=need_weights, average_attn_weights=average_attn_weights)
        if is_causal is not None:
            _check_switches(is_causal=is_causal)
        query_array = to_array("query", query)
        answer = self.client.attend(
            self._model,
            query=query_array,
            key=key,
            value=value,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            is_causal=None if is_causal is None else bool(is_causal),
            need_weights=True if need_weights else None,
            average_attn_weights=True if average_attn_weights else None,
        )
        for sentence in answer.warnings:
            warnings.warn(sentence, AttendWarning, stacklevel=2)
        # Nested arrays cannot show the dimensions after an empty one; the query knows them.
        output = _like(query, answer.output.reshape(query_array.shape))
        if not need_weights:
            return output
        weights = answer.attn_weights
        if weights.size == 0:
            weights = weights.reshape(self._weights_shape(query_array, key, average_attn_weights))
        return output, _like(query, weights)

    def _weights_shape(self, query: np.ndarray, key, average: bool) -> tuple:
        keys = query if key is None else np.asarray(key)
        heads = () if average else (self.num_heads,)
        return query.shape[:-2] + heads + (query.shape[-2], keys.shape[-2])

    def __repr__(self):
        return f"MultiHeadAttention({self.client.url!r}, model={self._model!r})"


def _check_switches(**switches) -> None:
    for name, value in switches.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(
                f"{name} is of type {type(value).__name__}, but True or False is expected; the order here is query, "
                "key, value, attn_mask, need_weights, torch's is query, key, value, key_padding_mask, "
                "need_weights, attn_mask"
            )


def _like(query, array: np.ndarray):
    torch = sys.modules.get("torch")  # a tensor can only exist if its module was imported
    if torch is not None and isinstance(query, torch.Tensor):
        return torch.from_numpy(array).to(query.device)
    return array
