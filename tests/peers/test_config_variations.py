"""Random variations of config.json of every family that is served, against what transformers makes of the same file:
every attention layer has the same numbers, or the start stops with a sentence that names the key. Never other numbers.

For each variation transformers loads the file and the weights beside it (AutoModel) in double precision with eager
attention; the service gets the same directory. The random weights are those of the model that the file describes, as
transformers sees it, and for each third variation those that the file had before it was changed. How many are tried is small here; all fifty of each family, and which transformers runs and the service refuses:

    python tests/peers/test_config_variations.py --all [FAMILY...]
"""

import contextlib
import gc
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

import conftest  # noqa: F401, sets the paths
import numpy as np
import pytest
import requests
import torch
import transformers as hf
from attend_server import BINARY, AttendServer
from conftest import REPORT, SEED
from families import randomise
from safetensors.torch import save_file
from test_families import ask, difference, watch
from transformers.core_model_loading import revert_weight_conversion
from variations import BASES, LENGTH, variation

TOLERANCE = 1e-5
HERE, ALL = 6, 50  # variations of each family
LARGEST = 20_000_000  # parameters of a model that is run
TOO_LARGE = "too large to be run here"
QUIET = dict(dtype=torch.float64, attn_implementation="eager")


@contextlib.contextmanager
def quietly():
    """Its warnings and reports are about what is meant to be wrong here."""
    logging.disable()
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def count_parameters(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in hf.AutoModel.from_config(config).parameters())


def is_too_large(config):
    """A key that is removed may make it as large as the real one: in numbers, or in the patches of a picture."""
    image, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    patches = (image // patch) ** 2 if isinstance(image, int) and isinstance(patch, int) and patch > 0 else 0
    return patches > 1000 or count_parameters(config) > LARGEST


def make_inputs(base, config, rng):
    if base.inputs is not None:
        return base.inputs(config, rng)
    vocabulary = config.get_text_config().vocab_size
    return {"input_ids": torch.from_numpy(rng.integers(3, vocabulary, (1, LENGTH)))}


def write_weights(config, directory, seed):
    """Under the names that save_pretrained gives them, which need not be those of the modules."""
    model = hf.AutoModel.from_config(config)
    randomise(model, seed)
    tensors = {name: tensor.clone() for name, tensor in revert_weight_conversion(model, model.state_dict()).items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def run_transformers(base, directory, seed, keep):
    """What transformers makes of the directory's config.json: (None, what the layers saw and made), or (why not, None).
    Writes model.safetensors, unless it is to be kept."""
    try:
        with quietly():
            config = hf.AutoConfig.from_pretrained(directory)
            if is_too_large(config):
                return TOO_LARGE, None
            if not keep:
                write_weights(config, directory, seed)
            model = hf.AutoModel.from_pretrained(directory, **QUIET).eval()
            arguments = make_inputs(base, model.config, np.random.default_rng(seed))
            arguments = {key: value.double() if value.is_floating_point() else value
                         for key, value in arguments.items() if "mask" not in key}  # fmt: skip
            seen = watch(model, base.places, arguments)
    except Exception as error:  # whatever it does not take
        return f"{type(error).__name__}: {error}".splitlines()[0][:160], None
    if any(not np.isfinite(entry.output).all() for entry in seen.values()):
        return "its numbers are not finite", None
    return None, seen


def check(directory):
    """None, or the sentence with which the start ends."""
    done = subprocess.run([BINARY, "--check", "--self-check", "off", "--model", f"m={directory}"], capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    if done.returncode == 0:
        return None
    assert done.returncode == 2 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
    return done.stderr.strip().removeprefix("attend-server: ")


def compare(url, name, seen):
    """What is wrong with the numbers of one model; "" if nothing is."""
    served = [entry["name"] for entry in requests.get(f"{url}/models", timeout=60).json()["models"]]
    served = sorted(entry for entry in served if entry.startswith(f"{name}."))
    if served != sorted(f"{name}.{layer}" for layer in seen):
        return f"it serves {served}, transformers has {sorted(seen)}"
    for layer, entry in seen.items():
        output, weights = ask(url, f"{name}.{layer}", entry, None)
        errors = difference(output, entry.output), difference(weights, entry.weights)
        if max(errors) > TOLERANCE:
            return f"layer {layer}: errors {errors[0]:.1e} of the output, {errors[1]:.1e} of the weights"
    return ""


def try_family(family, count, seed, folder):
    """The variations of a family, the first of them its plain config.json: how many both run, refused ones, other
    numbers, each with its text."""
    base, rng = BASES[family], np.random.default_rng([seed, *family.encode()])
    both, refused, wrong, only_served, neither, too_large = [], [], [], 0, 0, 0
    before = Path(folder) / f"{family}-before"
    before.mkdir()
    (before / "config.json").write_text(json.dumps({"model_type": family, **base.config}))
    with quietly():
        write_weights(hf.AutoConfig.from_pretrained(before), before, seed)
    for n in range(count):
        directory = Path(folder) / f"{family}{n}"
        directory.mkdir()
        text = variation(base, rng) if n > 0 else (before / "config.json").read_text()
        shutil.copy(before / "model.safetensors", directory)
        (directory / "config.json").write_text(text)
        reason, seen = run_transformers(base, directory, seed + n, keep=n % 3 == 2)
        sentence = check(directory)
        if sentence is None and seen is not None:
            both.append((f"v{n}", directory, seen, text))
        elif sentence is not None and seen is not None:
            refused.append((sentence, text))
        only_served += sentence is None and seen is None
        neither += sentence is not None and seen is None
        too_large += seen is None and reason == TOO_LARGE
        gc.collect()
    if both:
        arguments = [part for name, directory, *_ in both for part in ("--model", f"{name}={directory}")]
        with AttendServer(*arguments, "--self-check", "off") as server:
            for name, _, seen, text in both:
                found = compare(server.url, name, seen)
                if found:
                    wrong.append((found, text))
    print(f"{family}: {count} variations from seed {seed}: {len(both) - len(wrong)} the same numbers, {len(wrong)} others, "
          f"{len(refused)} refused that transformers runs, {neither - too_large} refused by both, {only_served} served that "
          f"transformers refuses, {too_large} too large to be run")  # fmt: skip
    return len(both), refused, wrong


def names_a_key(sentence):
    return re.search(r'config\.json: .*"\w+(\[\d+\])?"|by "\w+" of config\.json', sentence) is not None


@pytest.mark.parametrize("family", BASES)
def test_variations(family, tmp_path):
    count = int(os.environ.get("VARIATIONS", HERE))
    same, refused, wrong = try_family(family, count, SEED, tmp_path)
    assert not wrong
    assert same > 0, "not even the first, which is not varied: nothing is compared here"
    assert [sentence for sentence, _ in refused if not names_a_key(sentence)] == []
    REPORT.append(f"{family}: {same} of {count} variations of config.json have the numbers of transformers")


def main(arguments):
    if arguments[:1] != ["--all"]:
        sys.exit(__doc__)
    failed = False
    for family in arguments[1:] or BASES:
        with tempfile.TemporaryDirectory() as folder:
            same, refused, wrong = try_family(family, ALL, SEED, folder)
        for sentence, text in refused:
            print(f"  refused: {re.sub('^.*config.json: ', '', sentence)}\n    {text}")
        for found, text in wrong:
            print(f"  OTHER NUMBERS: {found}\n    {text}")
        failed = failed or same == 0 or wrong or any(not names_a_key(sentence) for sentence, _ in refused)
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
