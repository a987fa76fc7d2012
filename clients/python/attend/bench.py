"""Measures a service in a closed loop, and torch in this process beside it.

What is compared: the service's side is one HTTP round trip, from the first byte of a ready JSON body sent to the
last byte of the answer read (`--decode` adds making the body and reading its numbers); torch's side is one forward
pass of torch.nn.MultiheadAttention on tensors that are already there, in eval and inference mode. The two take
turns within one run, so that both see the same machine."""

from __future__ import annotations

import collections
import http.client
import json
import os
import platform
import threading
import time
import urllib.parse

import numpy as np
import requests

from .checkpoint import init_weights
from .client import AttendError, Client, parse_server_timing
from .inputs import Request, random_request
from .wire import encode_request

TURNS = 8
PAUSE = 0.05  # seconds between turns: the threads of the one before stop spinning


class Samples:
    """What one side of the comparison did. Appending to a list is atomic in Python, so callers share one."""

    def __init__(self):
        self.seconds = []  # one for each good call
        self.busy = 0.0  # seconds of all turns together
        self.timings = collections.defaultdict(list)  # Server-Timing, milliseconds
        self.errors = collections.Counter()
        self.first = None  # body of the first answer: all of them must be the same, bit for bit
        self.lock = threading.Lock()

    def fail(self, kind: str) -> None:
        with self.lock:
            self.errors[kind] += 1

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

    def __init__(self, url: str, model: str, body: bytes, timeout: float):
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=timeout)
        self.path = parts.path.rstrip("/") + "/attend/" + urllib.parse.quote(model, safe="")
        self.body = body

    def __call__(self, samples: Samples) -> None:
        start = time.perf_counter()
        try:
            self.connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()  # the next request opens it again
            return samples.fail(type(error).__name__)
        seconds = time.perf_counter() - start
        if response.status != 200:
            return samples.fail(_error_code(response.status, answer))
        if samples.first is None:
            samples.first = answer
        if answer != samples.first:
            return samples.fail("answer differs from the first one")
        samples.seconds.append(seconds)
        for name, ms in parse_server_timing(response.headers.get("Server-Timing", ""))[0].items():
            samples.timings[name].append(ms)

    def close(self) -> None:
        self.connection.close()


class DecodedCall:
    """One caller that makes each body from arrays and turns each answer into arrays."""

    def __init__(self, url: str, fields: dict, timeout: float):
        self.client, self.fields = Client(url, timeout), fields

    def __call__(self, samples: Samples) -> None:
        start = time.perf_counter()
        try:
            answer = self.client.attend(**self.fields)
        except AttendError as error:
            return samples.fail(error.code)
        samples.seconds.append(time.perf_counter() - start)
        for name, ms in answer.timing.items():
            samples.timings[name].append(ms)

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
            batch_first=True,
        ).eval()
        if weights is not None:
            self.module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        query = torch.from_numpy(fields["query"])
        key = torch.from_numpy(fields["key"]) if "key" in fields else query
        value = torch.from_numpy(fields["value"]) if "value" in fields else key
        self.inputs = (query, key, value)
        self.options = {"need_weights": bool(fields.get("need_weights")), "average_attn_weights": False}
        if fields.get("is_causal"):  # torch takes the flag as a hint only and wants the mask as well
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
    """The command `attend bench`; exit code 1 if a request failed or the numbers differ."""
    with Client(options.url, options.timeout) as client:
        info = client.model(options.model)
        request = _request(options, info)
        body = encode_request(request.fields)
        first = client.post(body, info["name"])  # a refusal ends the run here, with the service's sentence
    torch = None if options.no_torch else _import_torch(options.torch_threads)
    weights = _known_weights(options, info)
    callers = [_caller(options, info["name"], request, body) for _ in range(options.concurrency)]
    peer = TorchCall(torch, info, weights, request.fields) if torch else None
    try:
        service, local = _measure(options, callers, peer)
    finally:
        for caller in callers:
            caller.close()

    report = {
        "url": options.url,
        "model": {name: info.get(name) for name in ("name", "embed_dim", "num_heads", "kdim", "vdim")},
        "request": {
            "shapes": request.describe(),
            "seed": options.seed,
            "need_weights": options.need_weights,
            "request_bytes": len(body),
            "answer_bytes": first.size,
        },
        "loop": {"concurrency": options.concurrency, "warmup": options.warmup, "decode": options.decode},
        "service": service.summary(),
        "server_timing_median_ms": {name: float(np.median(ms)) for name, ms in service.timings.items()},
        "kernels": first.kernels,
        "errors": dict(service.errors),
        "torch": local.summary() if peer else None,
        "numbers": _compare(first, peer, weights is not None),
        "machine": machine(),
        "versions": versions(torch, first.server),
    }
    print(_table(report))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    return 1 if service.errors or report["numbers"].get("agree") is False else 0


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


def _known_weights(options, info: dict):
    """The weights of an `init:` model can be drawn again; those of another model are the service's alone."""
    seed = options.init_seed
    if seed is None and info["name"] == "demo" and info.get("layout") == "init":
        seed = 0
    if seed is None:
        return None
    return init_weights(info["embed_dim"], info["num_heads"], info.get("bias", True), seed)


def _caller(options, model: str, request: Request, body: bytes):
    if options.decode:
        return DecodedCall(options.url, {"model": model, **request.fields}, options.timeout)
    return RoundTrip(options.url, model, body, options.timeout)


def _measure(options, callers: list, peer) -> tuple:
    """Service and torch take turns; returns the Samples of both."""
    warm, service, local = Samples(), Samples(), Samples()
    _turn(callers, warm, calls=options.warmup)
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
    return service, local


def _turn(callers: list, samples: Samples, calls=None, seconds: float = 0.0) -> None:
    """All callers at once, each asking again as soon as it has its answer, until `calls` or `seconds` are over."""
    start = time.perf_counter()
    left, lock = [calls], threading.Lock()

    def goes_on() -> bool:
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
        return {"note": "not compared: torch is not here"}
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


def machine() -> dict:
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        cpu = names[0] if names else cpu
    except OSError:
        pass
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "usable_cpus": usable, "system": f"{platform.system()} {platform.machine()}"}


def versions(torch, server) -> dict:
    found = {"service": server, "python": platform.python_version(), "numpy": np.__version__}
    found["requests"] = requests.__version__
    if torch:
        found["torch"] = f"{torch.__version__} ({torch.get_num_threads()} threads)"
    return {name: version for name, version in found.items() if version}


_COLUMNS = (
    ("p50 ms", "p50_ms"),
    ("p95 ms", "p95_ms"),
    ("p99 ms", "p99_ms"),
    ("mean ms", "mean_ms"),
    ("min ms", "min_ms"),
)


def _row(name: str, summary: dict) -> str:
    if not summary["calls"]:
        return f"  {name:<8}{0:>8}"
    cells = "".join(f"{summary[key]:>10.3f}" for _, key in _COLUMNS)
    return f"  {name:<8}{summary['calls']:>8}{cells}{summary['calls_per_second']:>11.1f}"


def _table(report: dict) -> str:
    model, request, loop = report["model"], report["request"], report["loop"]
    service, local = report["service"], report["torch"]
    what = (
        "encode, ask, decode in Python" if loop["decode"] else "HTTP round trip, ready JSON body to last byte"
    )
    weights = ", weights asked for" if request["need_weights"] else ""
    lines = [
        f"model {model['name']} (embed_dim {model['embed_dim']}, {model['num_heads']} heads) at {report['url']}",
        f"{request['shapes']}, seed {request['seed']}{weights}; "
        f"{request['request_bytes']:,} bytes there, {request['answer_bytes']:,} back",
        "",
        f"  {'':<8}{'calls':>8}" + "".join(f"{title:>10}" for title, _ in _COLUMNS) + f"{'calls/s':>11}",
        _row("service", service),
    ]
    lines += [_row("torch", local)] if local else []
    lines += ["", f"service  {what}, {loop['concurrency']} at a time"]
    if local:
        lines += [
            "torch    forward pass in this process, tensors ready, eval and inference mode, one at a time"
        ]
        alone = (
            ""
            if loop["concurrency"] == 1
            else "; the service's callers wait for each other, torch's has it alone"
        )
        if service["calls"] and local["calls"]:
            lines += [f"ratio    {service['p50_ms'] / local['p50_ms']:.2f} = service / torch, medians{alone}"]
    else:
        lines += ["torch    not measured"]
    return "\n".join(lines + _details(report))


def _details(report: dict) -> list:
    service, numbers = report["service"], report["numbers"]
    lines = []
    timing = report["server_timing_median_ms"]
    if timing and service["calls"]:
        rest = service["p50_ms"] - sum(timing.values())
        parts = ", ".join(f"{name} {ms:.3f}" for name, ms in timing.items())
        kernels = f" (kernels: {report['kernels']})" if report["kernels"] else ""
        lines += [f"inside   {parts} ms in the service{kernels}; {rest:.3f} ms network and caller (medians)"]
    if "note" in numbers:
        lines += [f"numbers  {numbers['note']}"]
    else:
        also = (
            f", weights to {numbers['weights_max_difference']:.1e}"
            if "weights_max_difference" in numbers
            else ""
        )
        verdict = "agree" if numbers["agree"] else "DO NOT agree"
        lines += [
            f"numbers  service and torch {verdict}: outputs to {numbers['output_max_difference']:.1e} "
            f"(largest {numbers['output_max']:.2f}){also}"
        ]
    failed = ", ".join(f"{count} x {kind}" for kind, count in report["errors"].items()) or "none"
    seen = report["machine"]
    return lines + [
        f"errors   {failed}",
        f"machine  {seen['cpu']}, {seen['usable_cpus']} CPUs usable, {seen['system']}",
        "with     " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
