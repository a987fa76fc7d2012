"""The plain Client: requests in, answers out, refusals as exceptions."""

from __future__ import annotations

import dataclasses
import numbers
import os
import re
import socket
import urllib.parse
from typing import Optional, Union

import numpy as np
import requests

from .connections import forget_connections, new_session, renamed
from .wire import RETURNS, WIRES, TopK, decode_answer, encode_request

DEFAULT_URL = "http://127.0.0.1:8080"


class AttendWarning(UserWarning):
    """What was computed as asked, but is odd: to the service, or to torch's users."""


class AttendError(Exception):
    """The service refused a request, or could not be reached.

    sentence    what was wrong, where, and what was expected
    code        the service's short name for it, like "bad_shape"; "no_service" and "timeout" if there was no
                answer, "bad_answer" if it was not one of this service's, or to another request
    status      the HTTP status, None if there was no answer
    path        the place in the request, like "query[0][3]", or None
    offset      the byte offset in the body, or None
    request_id  the name under which the service's log has the request, or None
    """

    def __init__(self, sentence, code, status=None, path=None, offset=None, request_id=None):
        self.sentence, self.code, self.status = sentence, code, status
        self.path, self.offset, self.request_id = path, offset, request_id
        super().__init__(sentence)

    def __reduce__(self):
        """Pickled and copied with all it knows; BaseException would make it again of the sentence alone."""
        known = (self.sentence, self.code, self.status, self.path, self.offset, self.request_id)
        return type(self), known, self.__dict__

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
    # float32 [B, H, L, S], averaged [B, L, S], unbatched without B; or TopK; or None
    attn_weights: Union[np.ndarray, TopK, None]
    warnings: list  # sentences
    id: Optional[str]  # as sent
    request_id: Optional[str]
    timing: dict  # milliseconds by name: parse, queue, compute, encode
    kernels: Optional[str]  # that computed it, as far as the service names them
    server: Optional[str]  # the service's version, likewise
    size: int  # of the body, bytes
    seed: Optional[int] = None  # of the dropout, in training
    # What `return` asked for, by name: arrays; `scores` may be TopK, `stats` is a dict of arrays.
    more: dict = dataclasses.field(default_factory=dict)
    result_url: Optional[str] = None  # with keep: where a browser finds the result for a while


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


def authorization(api_key: Optional[str] = None) -> dict:
    """The header that shows a key of the service: this one, or that of the environment (ATTEND_API_KEY), if there is one."""
    key = os.environ.get("ATTEND_API_KEY") if api_key is None else api_key
    return {"Authorization": f"Bearer {key}"} if key else {}


def check_url(url: str) -> urllib.parse.SplitResult:
    """The parts of the service's URL. Raises TypeError or ValueError, in one sentence, where it is not one."""
    if not isinstance(url, str):
        raise TypeError(
            f"the service's URL is {url!r}, of type {type(url).__name__}; expected a string like {DEFAULT_URL}"
        )
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018  (raises where it is not a number up to 65535)
    except ValueError as error:
        raise ValueError(f"the service's URL is {url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the service's URL is {url!r}; expected one like {DEFAULT_URL}")
    return parts


def check_timeout(timeout) -> None:
    """Raises TypeError and ValueError for what sockets cannot wait for; None is to wait for ever. A pair is requests'
    own way to say how long to connect, and how long to wait for an answer."""
    if isinstance(timeout, tuple):
        for part in timeout:
            check_timeout(part)
    elif timeout is not None and not isinstance(timeout, numbers.Real):
        raise TypeError(f"the timeout is of type {type(timeout).__name__}; a number of seconds is expected")
    elif timeout is not None and not 0 < timeout <= 1e9:
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

    `wire` is what attend() speaks: "safetensors", or "json", with which a call of some thousand numbers takes several
    times as long, nearly all of it in Python. The results are the same, bit for bit.

    Threads may share a Client: each request has a connection to itself. A process that was forked opens its own, and
    never uses one of its parent's. Every request has an X-Request-Id, and an answer that comes back under another is an
    AttendError with the code "bad_answer", never somebody else's numbers. Behind a proxy that puts ids of its own in,
    request_ids=False sends none and compares none.

    `api_key`: of a service that asks for one (--api-key-file); without it that of ATTEND_API_KEY, if there is one.

    A `session` of the caller's keeps its settings and loses the connections it has: a parent may have opened them."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        timeout: float = 60.0,
        session: Optional[requests.Session] = None,
        *,
        wire: str = "safetensors",
        request_ids: bool = True,
        api_key: Optional[str] = None,
    ):
        host = check_url(url).hostname
        self.url = url.rstrip("/")
        check_timeout(timeout)
        self.timeout = timeout
        if wire not in WIRES:
            raise ValueError(f"the wire is {wire!r}; expected one of {', '.join(WIRES)}")
        self.wire = wire
        self.request_ids = request_ids
        self._api_key = api_key
        self._session, self._process = session or new_session(), None
        if session is None and is_loopback(host):
            self._session.trust_env = False  # a proxy could not reach this machine's loopback

    @property
    def session(self) -> requests.Session:
        """The session that the requests go through, without connections from before a fork."""
        if self._process != os.getpid():
            forget_connections(self._session)  # twice if two threads come at once, which costs a connection
            self._process = os.getpid()
        return self._session

    def __getstate__(self):
        """What a copy begins with: all but the connections, which a copied session has none of either."""
        return {**self.__dict__, "_process": None}

    def attend(self, model: Optional[str] = None, **fields) -> Answer:
        """POST /attend: `fields` are those of the request, tensors as numpy arrays, torch tensors or lists. `return`
        and other words of Python go in as attend(**{"return": ["lse"]})."""
        return self.post(encode_request(fields, self.wire), model, self.wire)

    def post(self, body: bytes, model: Optional[str] = None, wire: str = "json") -> Answer:
        """POST /attend with a body that is made already; the answer is asked for in the same format."""
        path = "/attend" if model is None else "/attend/" + urllib.parse.quote(model, safe="")
        headers = {"Content-Type": WIRES[wire], "Accept": WIRES[wire]}
        if wire == "safetensors":  # deflate takes longer over floats than all the rest, and saves a few percent
            headers["Accept-Encoding"] = "identity"
        response = self._ask("POST", path, body, headers)
        try:
            answer = decode_answer(response.content, response.headers.get("Content-Type", ""))
        except ValueError as error:
            raise self._bad_answer(response, str(error)) from error
        timing, descriptions = parse_server_timing(response.headers.get("Server-Timing", ""))
        return Answer(
            model=answer.get("model"),
            output=answer["output"],
            attn_weights=answer.get("attn_weights"),
            more={name: answer[name] for name in RETURNS if name in answer},
            seed=answer.get("seed"),
            warnings=answer.get("warnings", []),
            id=answer.get("id"),
            request_id=response.headers.get("X-Request-Id"),
            timing=timing,
            kernels=descriptions.get("compute"),
            server=response.headers.get("Server"),
            size=len(response.content),
            result_url=self.url + answer["result_url"] if "result_url" in answer else None,
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

    def _ask(
        self, method: str, path: str, body: Optional[bytes] = None, headers: Optional[dict] = None
    ) -> requests.Response:
        sent = os.urandom(16).hex() if self.request_ids else None
        headers = {**(headers or {}), **authorization(self._api_key), **({"X-Request-Id": sent} if sent else {})}
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
            raise self._refusal(response)  # under another name, too: the service may refuse before it has read ours
        if renamed(sent, response):
            forget_connections(self.session)  # whose answers may all be somebody else's
            raise self._bad_answer(
                response,
                f"this is the answer to another request, not to {sent} (a connection that others write to, or a proxy "
                "with ids of its own, for which there is request_ids=False)",
            )
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
