"""The table and the plot of `make bench`."""

import datetime
import importlib.metadata
import math
import re
import subprocess

PEERS = "OpenBLAS", "torch", "torch.nn", "onnxruntime", "openvino"
HELP = """The whole pass (projections, attention, output projection; B = 1, float32) in milliseconds, and how many times as long
the others take: OpenBLAS is this service with --cpu openblas, torch is Linear and scaled_dot_product_attention, torch.nn
is MultiheadAttention, onnxruntime is MultiHeadAttention or GroupQueryAttention (Attention-23 where L is not S), openvino is
ScaledDotProductAttention. "limit" is the share of the machine's limit that ours reaches: the longer of the time for its
multiplications at the measured FMA peak and of that for its bytes (weights, inputs, outputs) at the speed at which as many
bytes as the weights have are read again and again.
c: causal. Medians of calls in turns, in one process; what takes long was called once."""


def version(name):
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} not installed"


def cpu():
    with open("/proc/cpuinfo") as lines:
        found = re.search(r"model name\s*: (.*)", lines.read())
    return found.group(1) if found else "unknown CPU"


def work(layer, L, S, causal):
    """Multiplications with an addition, and bytes that must be read or written once."""
    E, q, kv = layer.E, layer.H * layer.D, layer.Hkv * layer.D
    pairs = L * (L + 1) / 2 if causal else L * S
    fmas = L * E * q * 2 + S * E * kv * 2 + 2 * pairs * q
    weights = sum(w.size for w in layer.weights)
    return fmas, 4 * (weights + 2 * L * E + 2 * S * E)


def weight_bytes(E, H, Hkv):
    return 4 * (2 * E * E + 2 * E * (E // H * Hkv))


class Report:
    def __init__(self, limits, layers, threads, seed, command):
        self.sizes = [weight_bytes(*layer) for layer in layers]
        asked = [limits, "--limits", *map(str, self.sizes)]
        found = dict(line.split() for line in subprocess.run(asked, check=True, capture_output=True, text=True).stdout
                     .splitlines())
        self.peak = float(found["fma_per_second"])
        self.reading = {size: float(found[f"bytes_per_second_of_{size}"]) for size in self.sizes}
        self.rows, self.lines = [], []
        self.say(f"{HELP}\nCommand: {command}\n")
        speeds = ", ".join(f"{speed / 1e9:.1f} GB/s of {size >> 20} MiB" for size, speed in self.reading.items())
        self.say(f"{datetime.date.today()}, {cpu()}, kernels {found['kernels']}, seed {seed}; one thread: "
                 f"{self.peak / 1e9:.1f} G multiply-adds/s, reads {speeds}")
        self.say(", ".join(version(name) for name in ("torch", "onnxruntime", "openvino")) + "\n")
        self.say(f"{'E':>5} {'H':>3} {'Hkv':>3} {'thr':>3} {'L':>5} {'S':>5}   {'ours ms':>10} {'limit':>6} "
                 + " ".join(f"{name:>11}" for name in PEERS))

    def say(self, line):
        print(line, flush=True)
        self.lines.append(line)

    def add(self, layer, threads, L, S, causal, seconds):
        fmas, data = work(layer, L, S, causal)
        reading = self.reading[weight_bytes(layer.E, layer.H, layer.Hkv)]
        least = max(fmas / self.peak, data / reading) / threads
        ours = seconds["ours"]
        ratios = {name: seconds[name] / ours for name in PEERS if name in seconds}
        self.rows.append((layer, threads, L, S, ours, least, ratios))
        self.say(f"{layer.E:>5} {layer.H:>3} {layer.Hkv:>3} {threads:>3} {L:>5} {S:>5} {'c' if causal else ' '} "
                 f"{ours * 1e3:>10.3f} {least / ours:>6.0%} "
                 + " ".join(f"{ratios[n]:>11.2f}" if n in ratios else f"{'-':>11}" for n in PEERS))

    def summary(self):
        """Lines about all shapes, for each number of threads."""
        for threads in sorted({row[1] for row in self.rows}):
            yield f"\n{threads} thread{'s' if threads > 1 else ''}:"
            for name in PEERS:
                ratios = [row[-1][name] for row in self.rows if row[1] == threads and name in row[-1]]
                if ratios:
                    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                    yield (f"{name:>12}: {mean:.2f} times as long in the geometric mean of {len(ratios)} shapes, "
                           f"{min(ratios):.2f} at least, below 0.97 in {sum(r < 0.97 for r in ratios)}")

    def write(self, path):
        with open(path + ".txt", "w") as file:
            file.write("\n".join([*self.lines, *self.summary()]) + "\n")
        self.plot(path + ".png")

    def plot(self, path):
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        layers = sorted({(r[0].E, r[0].H, r[0].Hkv) for r in self.rows})
        counts = sorted({r[1] for r in self.rows})
        figure, grid = pyplot.subplots(len(counts), len(layers), figsize=(4.2 * len(layers), 3.4 * len(counts)),
                                       sharey=True, squeeze=False)
        for y, threads in enumerate(counts):
            for x, key in enumerate(layers):
                self.panel(grid[y][x], key, threads)
        grid[0][0].legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(path, dpi=110, metadata={"Description": "make bench"})

    def panel(self, axes, key, threads):
        rows = [r for r in self.rows if (r[0].E, r[0].H, r[0].Hkv) == key and r[1] == threads]
        rows.sort(key=lambda r: r[4])
        for color, name in enumerate(PEERS):
            points = [(r[4] * 1e3, r[-1][name]) for r in rows if name in r[-1]]
            axes.plot(*zip(*points), ".", color=f"C{color}", label=name) if points else None
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="our time, ms (one point a shape L, S)",
                 title=f"E {key[0]}, {key[1]} heads, {key[2]} KV, {threads} thread{'s' if threads > 1 else ''}")
        axes.set_ylabel("their time / ours")
