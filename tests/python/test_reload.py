"""SIGHUP: models are read anew, and no request fails or sees half of it."""

import functools
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import attend
import numpy as np
import pytest
from attend_server import BINARY, AttendServer
from conftest import SEED, random_layer
from safetensors.numpy import save_file

MIB = 1 << 20
E = 64


def write_layer(path, seed, embed_dim=E):
    """Writes it beside the one that is there, and renames its files into place."""
    weights = random_layer(np.random.default_rng([SEED, seed]), embed_dim, bias=False)
    beside = attend.save_layer(weights, Path(f"{path}.new"), num_heads=4)
    path.mkdir(exist_ok=True)
    for file in beside.iterdir():
        file.replace(path / file.name)
    return path


def write_checkpoint(path, layers):
    rng = np.random.default_rng([SEED, layers])
    names = ("self.query", "self.key", "self.value", "output.dense")
    tensors = {
        f"encoder.layer.{layer}.attention.{name}.{kind}": rng.standard_normal(shape).astype(np.float32)
        for layer in range(layers)
        for name in names
        for kind, shape in (("weight", (E, E)), ("bias", (E,)))
    }
    path.mkdir(exist_ok=True)
    save_file(tensors, path / "model.safetensors")
    config = {"model_type": "bert", "hidden_size": E, "num_attention_heads": 4, "num_hidden_layers": layers}
    (path / "config.json").write_text(json.dumps(config))
    return path


def request(server, method, path, body=None):
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


QUERY = json.dumps({"query": np.random.default_rng(SEED).standard_normal((1, 40, E)).tolist()}).encode()


def output_of(body):
    """The text of the numbers: the model's name goes."""
    return body[body.find(b'"output"') :]


def ask(server, name):
    status, body = request(server, "POST", f"/attend/{name}", QUERY)
    assert status == 200, body
    return output_of(body)


def model(server, name):
    return json.loads(request(server, "GET", f"/models/{name}")[1])


def lines(server, text="reloaded: "):
    return [line for line in list(server.log) if text in line]


def hang_up(server):
    os.kill(server.process.pid, signal.SIGHUP)


def wait_for(server, count, text="reloaded: "):
    end = time.monotonic() + 60
    while len(lines(server, text)) < count:
        assert time.monotonic() < end and server.process.poll() is None, "".join(server.log[-20:])
        time.sleep(0.002)
    return lines(server, text)[count - 1]


def reload(server):
    """Reloads once, and returns the line of the log."""
    before = len(lines(server))
    hang_up(server)
    return wait_for(server, before + 1)


def resident(server):
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


class Load:
    """Clients that ask without a pause, over connections that stay open. `answers` has (when it was asked, the answer)."""

    def __init__(self, server, name, clients=4):
        self.server, self.path, self.ends = server, f"/attend/{name}", False
        self.answers, self.failures = [], []
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def run(self):
        host, port = self.server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while not self.ends:
            began = time.monotonic()
            try:
                connection.request("POST", self.path, QUERY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                return
            if status != 200:
                self.failures.append((status, body[:300]))
            self.answers.append((began, output_of(body)))
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        while len(self.answers) < 20 and not self.failures:
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self.ends = True
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The answers of the layer with seed 0, 1, ...: each of a service of its own."""
    root = tmp_path_factory.mktemp("expected")
    models = [word for seed in range(3) for word in ("--model", f"s{seed}={write_layer(root / str(seed), seed)}")]
    with AttendServer(*models) as server:
        answers = [ask(server, f"s{seed}") for seed in range(3)]
    assert len(set(answers)) == 3
    return answers


def test_new_weights_under_load(tmp_path, expected):
    layer = write_layer(tmp_path / "m", 0)
    with AttendServer("--model", layer) as server, Load(server, "m") as load:
        write_layer(layer, 1)
        time.sleep(0.1)
        line = reload(server)
        done = time.monotonic()
        time.sleep(0.3)
        load.ends = True
        assert "1 models new, 0 unchanged, 0 stale, 0 gone" in line and " info " in line
    assert not load.failures, load.failures[:3]
    old, new = expected[:2]
    assert {body for _, body in load.answers} == {old, new}
    assert {body for began, body in load.answers if began > done} == {new}


def test_twenty_in_a_row_under_load(tmp_path, expected):
    """Each is answered by a reload that began after it; they are not counted."""
    layer = write_layer(tmp_path / "m", 0)
    with AttendServer("--model", layer, "--model", "builtin:demo") as server:
        with Load(server, "m") as load:
            for n in range(1, 21):
                write_layer(layer, n % 3)
                hang_up(server)
                time.sleep(0.01 * (n % 4))
            end = time.monotonic() + 30
            while ask(server, "m") != expected[20 % 3] and time.monotonic() < end:
                time.sleep(0.01)
        assert not load.failures, load.failures[:3]
        assert {body for _, body in load.answers} <= set(expected)
        assert ask(server, "m") == expected[20 % 3]
        time.sleep(0.2)
        assert 1 <= len(lines(server)) <= 20
        assert "stale" not in model(server, "m")


def test_one_that_fails_keeps_the_old_until_it_is_mended(tmp_path, expected):
    broken, good = write_layer(tmp_path / "broken", 0), write_layer(tmp_path / "good", 0)
    with AttendServer("--model", broken, "--model", good) as server:
        config = (broken / "config.json").read_text()
        (broken / "config.json").write_text('{"embed_dim": 65, "num_heads": 5, "bias": false}')
        write_layer(good, 1)
        line = reload(server)
        assert "1 models new, 0 unchanged, 1 stale" in line and " warning " in line
        why = lines(server, "broken: not reloaded")
        assert len(why) == 1 and "[195, 65]" in why[0]
        assert ask(server, "broken") == expected[0] and ask(server, "good") == expected[1]
        assert "expected shape [195, 65]" in model(server, "broken")["stale"]
        listed = json.loads(request(server, "GET", "/models")[1])["models"]
        assert [entry["name"] for entry in listed if "stale" in entry] == ["broken"]
        (broken / "config.json").write_text(config)
        assert "1 models new, 1 unchanged, 0 stale" in reload(server)
        assert "stale" not in model(server, "broken") and ask(server, "broken") == expected[0]


def test_a_directory_that_is_gone_keeps_its_models(tmp_path, expected):
    layer = write_layer(tmp_path / "m", 0)
    with AttendServer("--model", f"m={layer}") as server:
        layer.rename(tmp_path / "away")
        assert "1 stale" in reload(server)
        assert ask(server, "m") == expected[0] and "No such file" in model(server, "m")["stale"]
        (tmp_path / "away").rename(layer)
        assert "1 unchanged, 0 stale" in reload(server), "the files are those that are served"
        assert "stale" not in model(server, "m")


def test_a_layer_that_is_gone_is_404(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "m", 2)
    with AttendServer("--model", checkpoint) as server:
        assert ask(server, "m.1")
        write_checkpoint(checkpoint, 1)
        assert "1 models new, 0 unchanged, 0 stale, 1 gone" in reload(server)
        status, body = request(server, "POST", "/attend/m.1", QUERY)
        assert status == 404 and b"there is no model 'm.1'" in body
        assert ask(server, "m.0")
        write_checkpoint(checkpoint, 3)
        reload(server)
        assert ask(server, "m.2")


def test_memory(tmp_path):
    """A model of 64 MiB: unchanged, it is held once however often; replaced, the old one is given back."""
    size = 4 * 2048 * 2048 * 4
    layer = write_layer(tmp_path / "m", 0, 2048)
    with AttendServer("--model", layer, "--model", "builtin:demo") as server:
        start = resident(server)
        assert start > size
        for _ in range(10):
            assert "0 models new, 2 unchanged" in reload(server)
            assert resident(server) < start + size // 4
        write_layer(layer, 1, 2048)
        for _ in range(2):
            reload(server)
        end = time.monotonic() + 20
        while resident(server) > start + size // 4 and time.monotonic() < end:
            time.sleep(0.05)
        assert resident(server) < start + size // 4


def test_what_does_not_fit_is_refused(tmp_path, expected):
    """A sparse file whose weights would take 4 TiB."""
    layer = write_layer(tmp_path / "m", 0)
    with AttendServer("--model", layer) as server:
        n = 1 << 19
        tensors = {
            "in_proj_weight": {"dtype": "F32", "shape": [3 * n, n], "data_offsets": [0, 12 * n * n]},
            "out_proj.weight": {"dtype": "F32", "shape": [n, n], "data_offsets": [12 * n * n, 16 * n * n]},
        }
        header = json.dumps(tensors).encode()
        try:
            with open(layer / "model.safetensors", "wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
                file.truncate(8 + len(header) + 16 * n * n)
        except OSError as error:
            pytest.skip(f"no sparse files of 4 TiB here: {error}")
        (layer / "config.json").write_text(json.dumps({"embed_dim": n, "num_heads": 4, "bias": False}))
        before = resident(server)
        assert "1 stale" in reload(server)
        why = model(server, "m")["stale"]
        assert f"takes {2 * 16 * n * n} bytes" in why and why.endswith("too few")
        assert ask(server, "m") == expected[0] and resident(server) < before + 16 * MIB


# ---- Beginning and end ----


@pytest.fixture(params=[(1, 2048), (16, 960)], ids=["one", "many"])
def slow(tmp_path, request):
    """Flags with which a load takes long, and little memory; and what writes the layer anew."""
    count, width = request.param
    write = functools.partial(write_layer, tmp_path / "m", embed_dim=width)
    layer = write(0)
    return ["--precision", "int8", *(word for n in range(count) for word in ("--model", f"m{n}={layer}"))], write


def test_before_it_listens_it_is_neither_lost_nor_deadly(slow):
    flags, _ = slow
    process = subprocess.Popen([BINARY, "--port", "0", *flags], stderr=subprocess.PIPE, text=True)
    too_late = threading.Timer(60, process.kill)
    too_late.start()
    time.sleep(0.3)  # it loads
    process.send_signal(signal.SIGHUP)
    found = []
    for line in process.stderr:
        found.append(line)
        if "reloaded: " in line:
            break
    too_late.cancel()
    process.send_signal(signal.SIGINT)
    process.stderr.close()
    assert process.wait(30) == 0
    assert found[-2].startswith("listening on") and " 0 models new, " in found[-1]


def test_those_during_a_reload_are_one_more_after_it(slow):
    flags, write = slow
    count = flags.count("--model")
    with AttendServer(*flags) as server:
        write(1)
        for _ in range(5):
            hang_up(server)
            time.sleep(0.02)
        assert not lines(server)
        assert f"{count} models new" in wait_for(server, 1)
        assert f"0 models new, {count} unchanged, 0 stale" in wait_for(server, 2)
        time.sleep(0.5)
        assert len(lines(server)) == 2


def test_sigterm_does_not_wait_for_a_load(slow):
    flags, write = slow
    with AttendServer(*flags) as server:
        write(1)
        hang_up(server)
        time.sleep(0.05)
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert not lines(server) and not lines(server, "not reloaded")


def test_one_while_it_drains_does_not_end_it():
    with AttendServer("--drain-seconds", 2) as server:
        server.process.terminate()
        wait_for(server, 1, "draining: ")
        hang_up(server)
        time.sleep(0.3)
        assert server.process.poll() is None and not lines(server) and not lines(server, "second signal")
        server.process.wait(30)


def test_metrics_count_reloads(tmp_path):
    write_layer(tmp_path / "m", 0)
    with AttendServer("--model", f"m={tmp_path / 'm'}") as server:

        def count(outcome):
            text = request(server, "GET", "/metrics")[1].decode()
            return float(text.split(f'attend_reloads_total{{outcome="{outcome}"}} ')[1].split()[0])

        assert (count("ok"), count("partial")) == (0, 0)
        reload(server)
        assert (count("ok"), count("partial")) == (1, 0)
        (tmp_path / "m" / "config.json").write_text("{")
        reload(server)
        assert (count("ok"), count("partial")) == (1, 1)
