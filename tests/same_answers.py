#!/usr/bin/env python3
"""Do two builds of the service answer alike, to the byte? For changes that no caller may see.

    tests/same_answers.py OLD NEW [--requests 500] [--seed N]

Both programs get the same random requests, of all kinds and formats, some of them damaged, and every status, header and
body is compared, but for what is another each time (request ids, times, ids of kept results). Needs nothing but Python."""

import argparse
import base64
import gzip
import hashlib
import http.client
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib

MODELS = {  # name: (SPEC, E, kdim, vdim, H, D)
    "demo": ("builtin:demo", 512, 512, 512, 8, 64),
    "patterns": ("builtin:patterns", 128, 128, 128, 8, 64),
    "plain": ("init:embed_dim=48,num_heads=6", 48, 48, 48, 6, 8),
    "other": ("init:embed_dim=40,num_heads=4,kdim=24,vdim=56", 40, 24, 56, 4, 10),
    "shared": ("init:embed_dim=64,num_heads=8,num_kv_heads=2,head_dim=12,rope_theta=10000,qk_norm=1e-6", 64, 64, 64, 8, 12),
    "window": ("init:embed_dim=32,num_heads=4,causal=true,sliding_window=9,softcap=20", 32, 32, 32, 4, 8),
    "extra": ("init:embed_dim=36,num_heads=3,add_bias_kv=true,add_zero_attn=true,dropout=0.2", 36, 36, 36, 3, 12),
    "half": ("init:embed_dim=64,num_heads=4,precision=bfloat16", 64, 64, 64, 4, 16),
    "whole": ("init:embed_dim=64,num_heads=4,precision=int8", 64, 64, 64, 4, 16),
    "slopes": ("FILE", 16, 16, 16, 4, 4),
    "bias": ("FILE", 16, 16, 16, 4, 4),
    "yarn": ("FILE", 32, 32, 32, 2, 16),
}
CONFIGS = {
    "slopes": {"embed_dim": 16, "num_heads": 4, "alibi_slopes": [0.5, 0.25, 0.125, 0.0625], "causal": True},
    "bias": {"embed_dim": 16, "num_heads": 4, "relative_bias": {"buckets": 8, "max_distance": 20, "bidirectional": True}},
    "yarn": {"embed_dim": 32, "num_heads": 2, "rope": {"theta": 1000.0, "style": "interleaved", "scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}},
}
RETURNS = ["q", "k", "v", "scores", "lse", "entropy", "head_output", "stats"]
DOCUMENTS = ["/", "/models", "/models/demo", "/models/nothing", "/openapi.json", "/healthz", "/readyz", "/nothing", "/v2",
             "/v2/health/live", "/v2/health/ready", "/v2/models/plain", "/v2/models/plain/ready", "/v2/models/plain/versions/1",
             "/v2/models/none", "/results/nothing", "/results/nothing.json", "/results/nothing/heatmap.png", "/attend",
             "/assets/main.js", "/assets/style.css", "/assets/none.js", "/healthz?a=b", "/models?a=b", "/%6dodels"]
EACH_TIME = {"x-request-id", "date", "server-timing"}
SEPARATE = re.compile(rb"/results/[A-Za-z0-9_-]{16,}")


def pack(values, dtype):
    if dtype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{({'F32': 'f', 'F64': 'd', 'F16': 'e', 'BOOL': '?'})[dtype]}", *values)


def safetensors(tensors, metadata):
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = pack(values, dtype)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_models(folder):
    for name, config in CONFIGS.items():
        rng, wide = random.Random(name), config["embed_dim"]
        shapes = {"in_proj_weight": [3 * wide, wide], "in_proj_bias": [3 * wide],
                  "out_proj.weight": [wide, wide], "out_proj.bias": [wide]}
        if name == "bias":
            shapes |= {"relative_bias.weight": [8, 4], "sinks": [4]}
        tensors = {key: ("F32", shape, [rng.gauss(0, 0.4) for _ in range(size_of(shape))]) for key, shape in shapes.items()}
        (folder / f"{name}.safetensors").write_bytes(safetensors(tensors, {"attend": json.dumps(config)}))


def size_of(shape):
    size = 1
    for length in shape:
        size *= length
    return size


class Requests:
    """The same requests for the same seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, share):
        return self.rng.random() < share

    def numbers(self, shape):
        spread = self.rng.choice([1, 1, 1, 1e-3, 30, 1e-20])
        return ("F32", shape, [struct.unpack("<f", struct.pack("<f", self.rng.gauss(0, spread)))[0]
                               for _ in range(size_of(shape))])

    def mask(self, shape):
        excluded = [self.chance(0.3) for _ in range(size_of(shape))]
        if self.chance(0.5):
            return ("BOOL", shape, excluded)
        return ("F32", shape, [-float("inf") if out else round(self.rng.gauss(0, 2) * 64) / 64 for out in excluded])

    def one(self):
        """(tensors, options) of a request that is right."""
        rng, name = self.rng, self.rng.choice(list(MODELS))
        _, wide, kdim, vdim, heads, depth = MODELS[name]
        most = 12 if wide > 100 else 70
        batch, queries, keys = rng.randrange(1, 4), rng.randrange(1, most), rng.randrange(1, most + 30)
        alone = kdim == vdim == wide and self.chance(0.5)
        keys = queries if alone else keys
        options = {"model": name}
        if self.chance(0.05):
            return {"head_output": self.numbers([batch, heads, queries, depth])}, options
        tensors = {"query": self.numbers([batch, queries, wide])}
        if not alone:
            tensors |= {"key": self.numbers([batch, keys, kdim]), "value": self.numbers([batch, keys, vdim])}
        if self.chance(0.5):
            tensors["attn_mask"] = self.mask(rng.choice([[queries, keys], [batch * heads, queries, keys], [batch, 1, queries, keys]]))
        if self.chance(0.3):
            tensors["key_padding_mask"] = self.mask([batch, keys])
        if self.chance(0.3):
            options["is_causal"] = self.chance(0.5)
        if self.chance(0.2):
            options |= {"query_offset": rng.randrange(200), "key_offset": rng.randrange(200)}
        if self.chance(0.4):
            options["need_weights"] = True
        if self.chance(0.2):
            options["average_attn_weights"] = True
        if self.chance(0.4):
            options["return"] = rng.sample(RETURNS, rng.randrange(1, len(RETURNS) + 1))
        if self.chance(0.2):
            options["omit_extra"] = True
        if self.chance(0.3):
            options |= {"training": True, "seed": rng.randrange(2**53)}
        if self.chance(0.3):
            options["view"] = self.view(batch, heads, queries, keys)
        if self.chance(0.1):
            options["id"] = "an \u00e9\u2603 id"
        if self.chance(0.15):
            options["keep"] = True
            if self.chance(0.5):
                options["query_labels"] = [f"t\u00f6ken {n}" for n in range(queries)]
        return tensors, options

    def view(self, batch, heads, queries, keys):
        rng, view = self.rng, {}
        if self.chance(0.4):
            view["batch"] = rng.sample(range(batch), rng.randrange(1, batch + 1))
        if self.chance(0.5):
            view["heads"] = rng.sample(range(heads), rng.randrange(1, heads + 1))
        for name, end in (("rows", queries), ("cols", keys)):
            if self.chance(0.4):
                start = rng.randrange(end)
                view[name] = [start, rng.randrange(start, end) + 1]
        if self.chance(0.3):
            view |= {"size": [rng.randrange(1, 9), rng.randrange(1, 9)], "pool": rng.choice(["max", "mean", "sum"])}
        elif self.chance(0.3):
            view["top_k"] = rng.randrange(1, 6)
        return view

    def as_json(self, tensors, options):
        body = dict(options)
        if self.chance(0.3):
            body["encoding"] = self.rng.choice(["array", "base64"])
        for name, (dtype, shape, values) in tensors.items():
            if self.chance(0.3):
                body[name] = {"shape": shape, "dtype": {"F32": "float32", "BOOL": "bool"}[dtype],
                              "data": base64.b64encode(pack(values, dtype)).decode()}
            else:
                body[name] = nested(shape, [("-inf" if v == -float("inf") else v) for v in values])
        items = list(body.items())
        self.rng.shuffle(items)
        return json.dumps(dict(items), ensure_ascii=self.chance(0.5)).encode()

    def as_safetensors(self, tensors, options):
        stored = {}
        for name, (dtype, shape, values) in tensors.items():
            stored[name] = (self.rng.choice(["F32", "F64", "BF16"]) if dtype == "F32" else dtype, shape, values)
        metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
        return safetensors(stored, metadata)

    def as_oip(self, tensors, options):
        """(path, body, length of its JSON or None)"""
        options = dict(options)
        model, wanted = options.pop("model"), options.pop("return", [])
        binary, inputs, tail = self.chance(0.5), [], b""
        for name, (dtype, shape, values) in tensors.items():
            entry = {"name": name, "datatype": {"F32": "FP32", "BOOL": "BOOL"}[dtype], "shape": shape}
            if binary:
                raw = pack(values, dtype)
                entry["parameters"], tail = {"binary_data_size": len(raw)}, tail + raw
            else:
                entry["data"] = [None if v == -float("inf") else v for v in values]
            inputs.append(entry)
        if "view" in options:
            options["view"] = json.dumps(options["view"])
        body = {"inputs": inputs, "parameters": {k: v for k, v in options.items() if not isinstance(v, list) and k != "id"}}
        if wanted and self.chance(0.7):
            body["outputs"] = [{"name": n, "parameters": {"binary_data": self.chance(0.5)}} for n in ["output", *wanted] if n != "stats"]
        text = json.dumps(body).encode()
        return f"/v2/models/{model}/infer", text + tail, len(text) if binary else None

    def damaged(self, body):
        body = bytearray(body)
        for _ in range(self.rng.randrange(1, 4)):
            at = self.rng.randrange(len(body))
            kind = self.rng.randrange(4)
            if kind == 0:
                del body[at:]
            elif kind == 1:
                body[at] = self.rng.randrange(256)
            elif kind == 2:
                body[at:at] = self.rng.choice([b",", b"]", b'"', b"{", b"1e999", b"nul"])
            else:
                del body[at:at + 3]
            if not body:
                return b"{"
        return bytes(body)

    def next(self):
        """(method, path, headers, body)"""
        if self.chance(0.12):
            path = self.rng.choice(DOCUMENTS)
            headers = {"Accept-Encoding": "gzip"} if self.chance(0.3) else {}
            if self.chance(0.2):
                headers["Accept"] = self.rng.choice(["text/html", "application/json", "image/png", "text/plain"])
            return self.rng.choice(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"]), path, headers, None
        tensors, options = self.one()
        kind, path, headers = self.rng.randrange(10), "/attend", {}
        if kind < 5:
            body, headers["Content-Type"] = self.as_json(tensors, options), "application/json"
        elif kind < 7:
            body, headers["Content-Type"] = self.as_safetensors(tensors, options), "application/vnd.safetensors"
        else:
            path, body, length = self.as_oip(tensors, options)
            headers["Content-Type"] = "application/octet-stream" if length else "application/json"
            if length:
                headers["Inference-Header-Content-Length"] = str(length)
        if kind < 7:
            accept = self.rng.choice([None, None, "application/json", "application/vnd.safetensors", "image/png", "text/html"])
            if accept:
                headers["Accept"] = accept
            if accept == "image/png" and self.chance(0.5):
                path += f"?head={self.rng.randrange(3)}&cell={self.rng.randrange(1, 9)}"
        if self.chance(0.15):
            body = self.damaged(body)
        if self.chance(0.2):
            encoding = self.rng.choice(["gzip", "deflate"])
            body = gzip.compress(body, 1, mtime=0) if encoding == "gzip" else zlib.compress(body)
            headers["Content-Encoding"] = encoding
        if self.chance(0.2):
            headers["Accept-Encoding"] = self.rng.choice(["gzip", "deflate", "gzip;q=0, *"])
        return "POST", path, headers, body


def nested(shape, values):
    if len(shape) == 1:
        return list(values)
    step = size_of(shape[1:])
    return [nested(shape[1:], values[n * step:(n + 1) * step]) for n in range(shape[0])]


class Service:
    def __init__(self, program, folder):
        models = []
        for name, (spec, *_) in MODELS.items():
            models += ["--model", f"{name}={folder / name}.safetensors" if spec == "FILE" else f"{name}={spec}"]
        self.process = subprocess.Popen([program, "--port", "0", "--threads", "2", "--drain-seconds", "0", *models],
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"http://([\d.]+:\d+)", line):
                self.address = found.group(1)
                break
        else:
            sys.exit(f"{program} did not start")

    def ask(self, method, path, headers, body):
        connection = http.client.HTTPConnection(self.address, timeout=120)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text, encoding = answer.read(), answer.getheader("Content-Encoding")
        if encoding and text:
            text = zlib.decompress(text, 47)
        text = SEPARATE.sub(b"/results/ID", text)
        kept = sorted((name.lower(), SEPARATE.sub(b"/results/ID", value.encode()).decode())
                      for name, value in answer.getheaders() if name.lower() not in EACH_TIME
                      and not (encoding and name.lower() == "content-length"))
        kept += [("has", name) for name in sorted(EACH_TIME) if answer.getheader(name)]
        connection.close()
        text = re.sub(rb'("(created|expires_in)": ?)[^,}]+', rb"\1T", text)
        return answer.status, kept, text

    def end(self):
        self.process.terminate()
        self.process.stderr.close()
        self.process.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    requests, sums, statuses, differing = Requests(options.seed), [hashlib.sha256() for _ in "on"], {}, 0
    with tempfile.TemporaryDirectory() as folder:
        write_models(pathlib.Path(folder))
        services = [Service(program, pathlib.Path(folder)) for program in (options.old, options.new)]
        for number in range(options.requests):
            method, path, headers, body = requests.next()
            answers = [service.ask(method, path, headers, body) for service in services]
            for total, answer in zip(sums, answers):
                total.update(repr(answer).encode())
            statuses[answers[0][0]] = statuses.get(answers[0][0], 0) + 1
            if answers[0] != answers[1]:
                differing += 1
                print(f"request {number}: {method} {path} {headers} {(body or b'')[:300]}")
                for answer in answers:
                    print("   ", answer[0], answer[1], answer[2][:300])
        for service in services:
            service.end()
    print(f"seed {options.seed}, {options.requests} requests, statuses {dict(sorted(statuses.items()))}: {differing} differ")
    print(*(total.hexdigest() for total in sums), sep="\n")
    sys.exit(1 if differing else 0)


main()
