"""What `attend bench` prints: its numbers, what they are and what they are not."""

from __future__ import annotations

import os
import platform

import numpy as np
import requests

STEADY_MOST = 3.0  # p95 over p50 of a side; beyond it the medians move from run to run
_WIRES = {"json": "JSON", "safetensors": "safetensors"}
_COLUMNS = (
    ("p50 ms", "p50_ms"),
    ("p95 ms", "p95_ms"),
    ("p99 ms", "p99_ms"),
    ("mean ms", "mean_ms"),
    ("min ms", "min_ms"),
)


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


def table(report: dict) -> str:
    """The report for people: what was asked, a line of numbers a side, and what they mean."""
    model, request, loop = report["model"], report["request"], report["loop"]
    service, local = report["service"], report["torch"]
    wire = _WIRES[loop["wire"]]
    what = f"HTTP round trip, ready {wire} body to last byte"
    if loop["decode"]:
        what = f"encode {wire}, ask, decode in Python"
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
        lines += _ratio(report) if service["calls"] and local["calls"] else []
    else:
        lines += ["torch    not measured"]
    return "\n".join(lines + _inside(report) + [_numbers(report)] + _surroundings(report))


def _row(name: str, summary: dict) -> str:
    if not summary["calls"]:
        return f"  {name:<8}{0:>8}"
    cells = "".join(f"{summary[key]:>10.3f}" for _, key in _COLUMNS)
    return f"  {name:<8}{summary['calls']:>8}{cells}{summary['calls_per_second']:>11.1f}"


def _ratio(report: dict) -> list:
    service, local, callers = report["service"], report["torch"], report["loop"]["concurrency"]
    spreads = {"service": _spread(service), "torch": _spread(local)}
    wide = {name: spread for name, spread in spreads.items() if spread > STEADY_MOST}
    digits = 1 if wide else 2
    threads = f"the service used one thread for each request, torch {report['torch_threads']}"
    if callers > 1:  # a call's latency has the waiting for the other callers in it, torch's has not
        ratio = service["calls_per_second"] / local["calls_per_second"]
        line = f"{ratio:.{digits}f} = service / torch, calls a second: {callers} callers of the service, one of torch"
    else:
        line = f"{service['p50_ms'] / local['p50_ms']:.{digits}f} = service / torch, medians of a call"
    lines = [f"ratio    {line}; {threads}"]
    if wide:
        found = ", ".join(f"{spread:.1f} times for {name}" for name, spread in wide.items())
        lines += [
            f"unsteady: p95 is {found} the p50; something else ran here, so another run may differ much"
        ]
    return lines


def _spread(summary: dict) -> float:
    return summary["p95_ms"] / summary["p50_ms"]


def _inside(report: dict) -> list:
    timing = report["server_timing_median_ms"]
    if not timing or not report["service"]["calls"]:
        return []
    parts = ", ".join(f"{name} {ms:.3f}" for name, ms in timing.items())
    kernels = f" (kernels: {report['kernels']})" if report["kernels"] else ""
    loop = report["loop"]
    python = f"making and reading {_WIRES[loop['wire']]} in Python" if loop["decode"] else "Python"
    return [
        f"inside   {parts} ms in the service{kernels}, medians",
        f"rest     {report['rest_median_ms']:.3f} ms: HTTP, network, {python}; "
        "a call less its own times inside, median",
    ]


def _numbers(report: dict) -> str:
    numbers = report["numbers"]
    if "note" in numbers:
        return f"numbers  {numbers['note']}"
    also = (
        f", weights to {numbers['weights_max_difference']:.1e}" if "weights_max_difference" in numbers else ""
    )
    verdict = "agree" if numbers["agree"] else "DO NOT agree"
    unless = ""
    if not numbers["agree"] and report["init_seed"] is not None:
        unless = f", or --init-seed {report['init_seed']} is not the seed of this model"
    return (
        f"numbers  service and torch {verdict}{unless}: outputs to {numbers['output_max_difference']:.1e} "
        f"(largest {numbers['output_max']:.2f}){also}"
    )


def _surroundings(report: dict) -> list:
    failed = ", ".join(f"{count} x {kind}" for kind, count in report["errors"].items()) or "none"
    lines = [f"errors   {failed}"]
    if report["gone"]:
        lines += ["stopped  early: the service is gone, one connection after another failed"]
    seen = report["machine"]
    where = "" if report["loopback"] else "; the service's may be another"
    return lines + [
        f"machine  this machine (the bench's): {seen['cpu']}, {seen['usable_cpus']} CPUs usable, "
        f"{seen['system']}{where}",
        "with     " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
