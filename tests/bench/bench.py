"""Times the whole pass against other libraries: all in one process, in turns, on the same numbers, medians.

    make bench                                      every shape, one thread and all threads; writes docs/bench.txt and .png
    make bench-quick                                a few shapes, on the screen only

Each turn of a library is a pause, one call that is not counted, and then calls until TURN seconds have passed; the libraries
take turns until each has had ROUNDS of them. What takes more than LONG seconds is called once. Before a shape is timed, all
results are held against each other. The files are written anew after each layer.
"""

import argparse
import collections
import itertools
import os
import statistics
import sys
import time

import numpy as np

import peers
import report

LENGTHS = 1, 10, 128, 512, 2048, 8192
LAYERS = (512, 8, 8), (384, 12, 12), (768, 12, 12), (4096, 32, 8)  # E, H, Hkv
QUICK = (1, 1), (10, 10), (1, 512), (512, 512)
TURN, ROUNDS, LONG = 0.05, 5, 1.5
AGREE = 1e-4  # of the largest number: all libraries compute in float32, and it is speed that is measured here

Layer = collections.namedtuple("Layer", "E H Hkv D weights biases")


def random_layer(E, H, Hkv, rng):
    D = E // H
    widths = (H * D, Hkv * D, Hkv * D, E)
    weights = [((rng.random((n, E), np.float32) * 2 - 1) * np.float32((3 / E) ** 0.5)) for n in widths]
    return Layer(E, H, Hkv, D, weights, [rng.random(n, np.float32) - np.float32(0.5) for n in widths])


def contestants(library, layer, threads):
    makers = {"ours": lambda: peers.Ours(library, layer, threads),
              "OpenBLAS": lambda: peers.Ours(library, layer, threads, "openblas"),
              "torch": lambda: peers.Torch(layer, threads),
              "torch.nn": lambda: peers.TorchModule(layer, threads),
              "onnxruntime": lambda: peers.OnnxRuntime(layer, threads),
              "openvino": lambda: peers.OpenVino(layer, threads)}
    made = {}
    for name, maker in makers.items():
        try:
            made[name] = maker()
        except (ImportError, NotImplementedError):
            continue
    return made


def once(runner):
    began = time.perf_counter()
    runner.run()
    return time.perf_counter() - began


def turn(runner):
    """Seconds of one call: the median of a turn."""
    time.sleep(0.002)  # for threads of another library that still spin
    once(runner)
    times, end = [], time.perf_counter() + TURN
    while not times or time.perf_counter() < end:
        times.append(once(runner))
    return statistics.median(times)


def measure(runners, inputs, causal):
    """Seconds of each library that can compute this shape."""
    ready, first = {}, {}
    for name, runner in runners.items():
        try:
            runner.prepare(*inputs, causal)
        except NotImplementedError:
            continue
        first[name] = once(runner)
        if first[name] < LONG:
            first[name] = once(runner)
        ready[name] = runner
    expected = ready["ours"].result()
    for name, runner in ready.items():
        difference = np.abs(runner.result() - expected).max() / np.abs(expected).max()
        if not difference <= AGREE:
            sys.exit(f"{name} differs by {difference:.2g} of the largest number")
    times = {name: [] for name in ready}
    for _ in range(ROUNDS):
        for name, runner in ready.items():
            if first[name] < LONG:
                times[name].append(turn(runner))
    return {name: statistics.median(t) if t else first[name] for name, t in times.items()}


def command_of(args, parser):
    """What to type for this table."""
    given = []
    for name in "threads", "layers", "seed", "output":
        value = getattr(args, name)
        if value not in (None, parser.get_default(name)) and (name, value) != ("output", "docs/bench"):
            given += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return "make bench" + ("-quick" if args.quick else "") + (f' ARGS="{" ".join(given)}"' if given else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="the pass as a library that can be loaded")
    parser.add_argument("--limits", required=True, help="the program that prints the machine's limits")
    parser.add_argument("--threads", type=int, nargs="+", default=None, help="one and all if not given")
    parser.add_argument("--layers", type=int, default=len(LAYERS), help="only the first so many of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", help="write OUTPUT.txt and OUTPUT.png too")
    args = parser.parse_args()
    threads = args.threads or sorted({1, len(os.sched_getaffinity(0))})
    out = report.Report(args.limits, LAYERS, threads, args.seed, command_of(args, parser))
    for count, (E, H, Hkv) in itertools.product(threads, LAYERS[:1] if args.quick else LAYERS[: args.layers]):
        rng = np.random.default_rng(args.seed)
        layer = random_layer(E, H, Hkv, rng)
        runners = contestants(args.library, layer, count)
        for L, S in QUICK if args.quick else itertools.product(LENGTHS, LENGTHS):
            inputs = [rng.standard_normal((1, n, E), np.float32) for n in (L, S, S)]
            causal = H != Hkv and L == S  # ONNX Runtime's grouped attention is always causal
            out.add(layer, count, L, S, causal, measure(runners, inputs, causal))
        for runner in runners.values():
            runner.close()
        if args.output:
            out.write(args.output)
    print("\n".join(out.summary()))


if __name__ == "__main__":
    main()
