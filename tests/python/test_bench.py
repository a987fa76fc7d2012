"""`attend bench`: what it counts, when it stops, and what it says about its numbers."""

import json

import pytest
from attend import bench, bench_report
from commands import FakeService, command

ONE = {"model": "fake", "output": [[1.0, 2.0]]}
OTHER = {"model": "fake", "output": [[1.0, 2.5]]}
QUICK = ("bench", "--no-torch", "--warmup", 0, "--shape", "1,2", "--requests")


def side(p50=2.0, p95=3.0, calls_per_second=100.0):
    rest = {"p99_ms": 9.0, "mean_ms": 2.0, "min_ms": 1.0}
    return {"calls": 10, "p50_ms": p50, "p95_ms": p95, "calls_per_second": calls_per_second, **rest}


def report(**changes):
    """A report as `attend bench` makes them, of made-up numbers."""
    return {
        "url": "http://127.0.0.1:8080",
        "loopback": True,
        "model": {"name": "m", "embed_dim": 8, "num_heads": 2},
        "request": {
            "shapes": "query [2, 8]",
            "seed": 0,
            "need_weights": False,
            "request_bytes": 10,
            "answer_bytes": 20,
        },
        "loop": {"concurrency": 1, "warmup": 0, "decode": False, "wire": "json"},
        "init_seed": None,
        "service": side(),
        "torch": side(p50=0.8, p95=1.0, calls_per_second=400.0),
        "torch_threads": 3,
        "server_timing_median_ms": {"parse": 0.5, "compute": 1.0},
        "rest_median_ms": 0.375,
        "kernels": "k",
        "numbers": {"agree": True, "output_max_difference": 1e-7, "output_max": 1.0},
        "errors": {},
        "gone": False,
        "machine": {"cpu": "cpu", "usable_cpus": 2, "system": "s"},
        "versions": {},
        **changes,
    }


def line(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def test_ratio_of_one_caller():
    text = bench_report.table(report())
    assert line(text, "ratio").startswith("ratio    2.50 = service / torch, medians of a call; ")
    assert line(text, "ratio").endswith("the service used one thread for each request, torch 3")
    assert "unsteady" not in text


@pytest.mark.parametrize("wide", ["service", "torch"])
def test_ratio_when_unsteady(wide):
    found = report()
    found[wide]["p95_ms"] = 3.5 * found[wide]["p50_ms"]
    text = bench_report.table(found)
    assert line(text, "ratio").startswith("ratio    2.5 = ")
    assert f"p95 is 3.5 times for {wide} the p50" in line(text, "unsteady:")


def test_ratio_of_many_callers_is_of_throughput():
    text = bench_report.table(report(loop={"concurrency": 4, "warmup": 0, "decode": False, "wire": "json"}))
    assert "0.25 = service / torch, calls a second: 4 callers of the service, one of torch" in line(
        text, "ratio"
    )


def test_what_the_rest_is():
    assert "0.375 ms: HTTP, network, Python;" in line(bench_report.table(report()), "rest")
    decoded = report(loop={"concurrency": 1, "warmup": 0, "decode": True, "wire": "json"})
    assert "HTTP, network, making and reading JSON in Python;" in line(bench_report.table(decoded), "rest")


@pytest.mark.parametrize(
    "decode, wire, service",
    [
        (False, "json", "HTTP round trip, ready JSON body to last byte"),
        (False, "safetensors", "HTTP round trip, ready safetensors body to last byte"),
        (True, "json", "encode JSON, ask, decode in Python"),
        (True, "safetensors", "encode safetensors, ask, decode in Python"),
    ],
)
def test_the_wire_is_named(decode, wire, service):
    text = bench_report.table(report(loop={"concurrency": 1, "warmup": 0, "decode": decode, "wire": wire}))
    assert line(text, "service") == f"service  {service}, 1 at a time"
    assert ("reading safetensors in Python" in text) == (decode and wire == "safetensors")


def test_the_rest_is_taken_call_by_call():
    """Medians of a sum and of its parts differ; 1, 2 and 9 ms beside 1, 8 and 2 ms inside."""
    samples = bench.Samples()
    for inside, total in ((1.0, 2.0), (8.0, 10.0), (2.0, 11.0)):
        samples.answered("same", total / 1000, {"parse": inside / 2, "compute": inside / 2})
    assert sorted(samples.rest) == pytest.approx([1.0, 2.0, 9.0])


def test_whose_machine():
    assert line(bench_report.table(report()), "machine").startswith(
        "machine  this machine (the bench's): cpu"
    )
    assert "may be another" not in bench_report.table(report())
    assert line(bench_report.table(report(loopback=False)), "machine").endswith(
        "; the service's may be another"
    )


def test_numbers_of_another_seed():
    numbers = {"agree": False, "output_max_difference": 1.0, "output_max": 1.0}
    text = bench_report.table(report(numbers=numbers, init_seed=7))
    assert "DO NOT agree, or --init-seed 7 is not the seed of this model:" in text
    assert "--init-seed" not in bench_report.table(report(numbers=numbers))


@pytest.mark.parametrize("options", [(), ("--decode",), ("--concurrency", 3)])
def test_a_service_that_goes_away(tmp_path, options):
    """The first request and four more are answered; then the bench gives up, though many are left."""
    with FakeService(ONE, most=5) as service:
        code, text, _ = command(service.url, *QUICK, 100000, "--json", tmp_path / "r.json", *options)
    found = json.loads((tmp_path / "r.json").read_text())
    assert code == 1 and found["gone"] and found["service"]["calls"] == 4
    # Of several callers, one may get its answer late, while the others already fail.
    assert 10 <= sum(found["errors"].values()) <= (50 if options and options[-1] == 3 else 10)
    assert line(text, "stopped").startswith("stopped  early: the service is gone")


def test_no_call_succeeded():
    with FakeService(ONE, most=1) as service:
        code, text, _ = command(service.url, *QUICK, 2)
    assert code == 1 and "errors   2 x RemoteDisconnected" in text


@pytest.mark.parametrize("options", [(), ("--decode",)])
def test_answers_must_be_the_same(options):
    with FakeService(ONE, ONE, OTHER, ONE) as service:
        code, text, _ = command(service.url, *QUICK, 8, *options)
    assert code == 1 and "errors   1 x answer differs from the first one" in text


def test_warnings_are_shown():
    with FakeService({**ONE, "warnings": ["this is odd"]}) as service:
        code, _, errors = command(service.url, *QUICK, 1)
    assert (code, errors) == (0, "attend: warning: this is odd\n")


def test_init_seed_is_for_init_models(url):
    code, _, errors = command(url, "bench", "--no-torch", "--model", "plain", "--init-seed", 1)
    assert code == 1 and errors.startswith(
        "attend: --init-seed is for models of init:..., but plain was loaded"
    )


def test_key_length_alone_keeps_the_query(url):
    _, text, _ = command(url, "bench", "--no-torch", "--requests", 1, "--key-length", 3)
    assert "query [2, 10, 512], key [2, 3, 512]" in text


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("wire", [None, "json", "safetensors"])
def test_bytes_of_each_wire(url, tmp_path, decode, wire):
    """Of (1, 2, 512) float32, 4096 bytes: what is beyond is a header, or digits."""
    options = (("--wire", wire) if wire else ()) + (("--decode",) if decode else ())
    options += ("--no-torch", "--warmup", 0, "--shape", "1,2,512", "--requests", 2, "--json", tmp_path / "r.json")
    code, text, errors = command(url, "bench", *options)
    assert code == 0, errors
    found = json.loads((tmp_path / "r.json").read_text())
    wire = wire or ("safetensors" if decode else "json")
    assert found["loop"]["wire"] == wire and found["service"]["calls"] == 2
    for size in (found["request"]["request_bytes"], found["request"]["answer_bytes"]):
        assert 4096 < size < 4096 + 512 if wire == "safetensors" else size > 2 * 4096


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("wire", ["json", "safetensors"])
def test_all_requests_are_on_the_same_wire(decode, wire):
    with FakeService(ONE) as service:
        assert command(service.url, *QUICK, 3, "--wire", wire, *(["--decode"] if decode else []))[0] == 0
    assert [body.startswith(b"{") for body in service.seen] == [wire == "json"] * 4
