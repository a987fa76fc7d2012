"""Measures a service in a closed loop, and torch in this process beside it.

What is compared: the service's side is one HTTP round trip, from the first byte of a ready body sent to the last
byte of the answer read (`--decode` adds making the body and reading the answer's numbers), in JSON or safetensors
(`--wire`); torch's side is one forward
pass of torch.nn.MultiheadAttention on tensors that are already there, in eval and inference mode. The two take
turns within one run, so that both see the same machine."""

from __future__ import annotations

import collections
import http.client
import json
import sys
import threading
import time
import urllib.parse

import numpy as np

from .bench_report import machine, table, versions
from .checkpoint import init_weights
from .client import AttendError, Client, authorization, is_loopback, parse_server_timing
from .inputs import InputError, Request, check_writable, client_of, random_request
from .wire import WIRES, encode_request

TURNS = 8
LOST_MOST = 10  # connections that fail one after another: then the service is gone
PAUSE = 0.05  # seconds between turns: the threads of the one before stop spinning


class Samples:
    """What one side of the comparison did. Appending to a list is atomic in Python, so callers share one."""

    def __init__(self):
        self.seconds = []  # one for each good call
        self.busy = 0.0  # seconds of all turns together
        self.timings = collections.defaultdict(list)  # Server-Timing, milliseconds
        self.rest = []  # milliseconds of each call that are not in its Server-Timing
        self.errors = collections.Counter()
        self.first = None  # the first answer: all of them must be the same, bit for bit
        self.lost = 0  # connections that failed since the last answer
        self.lock = threading.Lock()

    @property
    def gone(self) -> bool:
        return self.lost >= LOST_MOST

    def fail(self, kind: str, lost: bool = False) -> None:
        with self.lock:
            self.errors[kind] += 1
            self.lost = self.lost + 1 if lost else 0

    def answered(self, answer, seconds: float, timing: dict) -> None:
        """Takes one good answer down, or that it is not the first one's."""
        if self.first is None:
            self.first = answer
        if answer != self.first:
            return self.fail("answer differs from the first one")
        self.lost = 0
        self.seconds.append(seconds)
        for name, ms in timing.items():
            self.timings[name].append(ms)
        if timing:
            self.rest.append(1000.0 * seconds - sum(timing.values()))

    def summary(self) -> dict:
        if not self.seconds:
            return {"calls": 0}
        ms = 1000.0 * np.array(self.seconds)
        p50, p95, p99 = np.percentile(ms, (50, 95, 99))
        numbers = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "mean_ms": ms.mean(), "min_ms": ms.min()}
        numbers["calls_per_second"] = len(ms) / self.busy
        return {"calls": len(ms), **{name: float(number) for name, number in numbers.items()}}


class RoundTrip:
    """One caller on one connection that sends the same body again and again."""

    def __init__(self, url: str, model: str, body: bytes, timeout: float, wire: str = "json"):
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=timeout)
        self.path = parts.path.rstrip("/") + "/attend/" + urllib.parse.quote(model, safe="")
        self.body, self.headers = body, {"Content-Type": WIRES[wire], "Accept": WIRES[wire]} | authorization()

    def __call__(self, samples: Samples) -> None:
        start = time.perf_counter()
        try:
            self.connection.request("POST", self.path, self.body, self.headers)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()  # the next request opens it again
            return samples.fail(type(error).__name__, lost=True)
        seconds = time.perf_counter() - start
        if response.status != 200:
            return samples.fail(_error_code(response.status, answer))
        samples.answered(answer, seconds, parse_server_timing(response.headers.get("Server-Timing", ""))[0])

    def close(self) -> None:
        self.connection.close()


class DecodedCall:
    """One caller that makes each body from arrays and turns each answer into arrays."""

    def __init__(self, url: str, fields: dict, timeout: float, wire: str):
        self.client, self.fields = Client(url, timeout, wire=wire, request_ids=False), fields

    def __call__(self, samples: Samples) -> None:
        start = time.perf_counter()
        try:
            answer = self.client.attend(**self.fields)
        except AttendError as error:
            return samples.fail(error.code, lost=error.status is None)
        seconds = time.perf_counter() - start
        weights = None if answer.attn_weights is None else answer.attn_weights.tobytes()
        samples.answered((answer.output.tobytes(), weights), seconds, answer.timing)

    def close(self) -> None:
        self.client.close()


class TorchCall:
    """One forward pass of torch.nn.MultiheadAttention in this process."""

    def __init__(self, torch, info: dict, weights, fields: dict):
        self.torch = torch
        self.module = torch.nn.MultiheadAttention(
            info["embed_dim"],
            info["num_heads"],
            bias=info.get("bias", True),
            kdim=info["kdim"],
            vdim=info["vdim"],
            add_bias_kv=info.get("add_bias_kv", False),
            add_zero_attn=info.get("add_zero_attn", False),
            batch_first=True,
        ).eval()
        if weights is not None:
            self.module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        query = torch.from_numpy(fields["query"])
        key = torch.from_numpy(fields["key"]) if "key" in fields else query
        value = torch.from_numpy(fields["value"]) if "value" in fields else key
        self.inputs = (query, key, value)
        self.options = {"need_weights": bool(fields.get("need_weights")), "average_attn_weights": False}
        if fields.get("is_causal", info.get("causal")):  # torch takes the flag as a hint, and wants the mask too
            mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).triu(1)
            self.options.update(attn_mask=mask, is_causal=True)

    def forward(self):
        with self.torch.inference_mode():
            return self.module(*self.inputs, **self.options)

    def __call__(self, samples: Samples) -> None:
        start = time.perf_counter()
        self.forward()
        samples.seconds.append(time.perf_counter() - start)


def run(options) -> int:
    """The command `attend bench`; exit code 1 if a request failed, none succeeded, or the numbers differ."""
    if options.json:
        check_writable(options.json)
    wire = _wire(options)
    with client_of(options) as client:
        info = client.model(options.model)
        request = _request(options, info)
        body = encode_request(request.fields, wire)
        first = client.post(body, info["name"], wire)  # a refusal ends the run here, with the service's sentence
    for sentence in first.warnings:
        print(f"attend: warning: {sentence}", file=sys.stderr)
    weights = _known_weights(options, info)
    lacking = _torch_lacks(info)
    if lacking and not options.no_torch:
        print(f"attend: torch is left out: its layer has no {', '.join(lacking)}", file=sys.stderr)
    torch = None if options.no_torch or lacking else _import_torch(options.torch_threads)
    callers = [_caller(options, info["name"], request, body) for _ in range(options.concurrency)]
    peer = TorchCall(torch, info, weights, request.fields) if torch else None
    try:
        service, local = _measure(options, callers, peer)
    finally:
        for caller in callers:
            caller.close()

    report = _report(options, info, service, local if peer else None)
    report["request"].update(shapes=request.describe(), request_bytes=len(body), answer_bytes=first.size)
    report["kernels"] = first.kernels
    report["numbers"] = _compare(first, peer, weights is not None)
    report["torch_threads"] = torch.get_num_threads() if torch else None
    report["versions"] = versions(torch, first.server)
    print(table(report))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    failed = service.errors or not service.seconds or report["numbers"].get("agree") is False
    return 1 if failed else 0


def _report(options, info: dict, service: Samples, local) -> dict:
    return {
        "url": options.url,
        "loopback": is_loopback(urllib.parse.urlsplit(options.url).hostname),
        "model": {name: info.get(name) for name in ("name", "embed_dim", "num_heads", "kdim", "vdim")},
        "request": {"seed": options.seed, "need_weights": options.need_weights},
        "loop": {
            "concurrency": options.concurrency,
            "warmup": options.warmup,
            "decode": options.decode,
            "wire": _wire(options),
        },
        "init_seed": options.init_seed,
        "service": service.summary(),
        "server_timing_median_ms": {name: float(np.median(ms)) for name, ms in service.timings.items()},
        "rest_median_ms": float(np.median(service.rest)) if service.rest else None,
        "errors": dict(service.errors),
        "gone": service.gone,
        "torch": local.summary() if local else None,
        "machine": machine(),
    }


def _wire(options) -> str:
    """A caller in Python has the client's own wire if nothing else is asked for."""
    return options.wire or ("safetensors" if options.decode else "json")


def _request(options, info: dict) -> Request:
    shape = options.shape or (2, 10, info["embed_dim"])
    request = random_request(shape, options.seed, options.key_length, (info["kdim"], info["vdim"]))
    if options.need_weights:
        request.fields["need_weights"] = True
    if options.causal:
        request.fields["is_causal"] = True
    return request


def _import_torch(threads):
    try:
        import torch
    except ImportError:
        return None
    if threads:
        torch.set_num_threads(threads)
    return torch


_NOT_IN_TORCH = ("scale", "softcap", "sliding_window", "rope", "qk_norm", "alibi_slopes", "relative_bias", "sinks")


def _torch_lacks(info: dict) -> list:
    """What a model has that torch.nn.MultiheadAttention has not: beside such a layer its time says nothing."""
    lacking = [name for name in _NOT_IN_TORCH if info.get(name) not in (None, False)]
    if info.get("num_kv_heads", info["num_heads"]) != info["num_heads"]:
        lacking.append("num_kv_heads")
    if info.get("head_dim", info["embed_dim"] // info["num_heads"]) * info["num_heads"] != info["embed_dim"]:
        lacking.append("head_dim apart from embed_dim / num_heads")
    return lacking


def _known_weights(options, info: dict):
    """The weights of an `init:` model can be drawn again; those of another model are the service's alone."""
    seed = options.init_seed
    if seed is None and info["name"] == "demo" and info.get("layout") == "init":
        seed = 0
    if seed is None:
        return None
    if info.get("layout", "init") != "init":
        raise InputError(
            f"--init-seed is for models of init:..., but {info['name']} was loaded ({info['layout']})"
        )
    return init_weights(info["embed_dim"], info["num_heads"], info.get("bias", True), seed)


def _caller(options, model: str, request: Request, body: bytes):
    if options.decode:
        return DecodedCall(options.url, {"model": model, **request.fields}, options.timeout, _wire(options))
    return RoundTrip(options.url, model, body, options.timeout, _wire(options))


def _measure(options, callers: list, peer) -> tuple:
    """Service and torch take turns; returns the Samples of both."""
    warm, service, local = Samples(), Samples(), Samples()
    _turn(callers, warm, calls=options.warmup)
    if warm.gone:
        return warm, local
    if peer:
        _turn([peer], warm, calls=options.warmup)
    sides = [(callers, service)] + ([([peer], local)] if peer else [])
    for turn in range(TURNS):
        calls = None
        if options.requests:
            calls = options.requests * (turn + 1) // TURNS - options.requests * turn // TURNS
        for side, samples in sides:
            time.sleep(PAUSE)
            _turn(side, samples, calls, options.seconds / TURNS / len(sides))
        if service.gone:
            break
    return service, local


def _turn(callers: list, samples: Samples, calls=None, seconds: float = 0.0) -> None:
    """All callers at once, each asking again as soon as it has its answer, until `calls` or `seconds` are over."""
    start = time.perf_counter()
    left, lock = [calls], threading.Lock()

    def goes_on() -> bool:
        if samples.gone:
            return False
        if calls is None:
            return time.perf_counter() - start < seconds
        with lock:
            left[0] -= 1
            return left[0] >= 0

    def loop(caller):
        while goes_on():
            caller(samples)

    if len(callers) == 1:
        loop(callers[0])
    else:
        threads = [threading.Thread(target=loop, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    samples.busy += time.perf_counter() - start


def _error_code(status: int, body: bytes) -> str:
    try:
        return f"{status} {json.loads(body)['code']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"


def _compare(first, peer, same_weights: bool) -> dict:
    if peer is None:
        return {"note": "not compared: torch did not run"}
    if not same_weights:
        return {"note": "not compared: the weights of this model are known to the service alone"}
    output, attn_weights = (part.numpy() if part is not None else None for part in peer.forward())
    difference = float(np.abs(first.output - output).max(initial=0.0))
    result = {"output_max_difference": difference, "output_max": float(np.abs(output).max(initial=0.0))}
    if attn_weights is not None:
        result["weights_max_difference"] = float(np.abs(first.attn_weights - attn_weights).max(initial=0.0))
    worst = max(difference, result.get("weights_max_difference", 0.0))
    result["agree"] = worst <= 2e-6 * max(1.0, result["output_max"])
    return result
