"""Every family of Hugging Face checkpoints that is served, against transformers.

For each case a small random model is built, saved by its own save_pretrained, and served. The same files are loaded by
transformers with eager attention and run; hooks inside the real model catch what goes into each attention module and
what comes out of it (after the output projection), and the service gets the same hidden states. Causality, windows,
rotation and relative biases are the served layer's own; only padding is part of the request.

docs/families.md is made by:  python tests/peers/test_families.py --table > docs/families.md
"""

import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

import numpy as np
import pytest
import requests
import torch
import transformers as hf
from attend_server import BINARY, AttendServer
from conftest import REPORT, SEED

TOLERANCE = 1e-5  # of the largest number
LENGTH, PADDED = 40, 31  # tokens of the first sequence of a batch, and of the second

# Where a model has its attention modules (`number` is the layer), and which of their modules is the last projection.
BERT = (("", r"(?:^|\.)encoder\.layer\.(?P<number>\d+)\.attention$", "self", "output.dense"),)
LLAMA = (("", r"(?:^|\.)layers\.(?P<number>\d+)\.self_attn$", "", "o_proj"),)
T5 = (
    ("encoder.", r"(?:^|\.)encoder\.block\.(?P<number>\d+)\.layer\.0\.SelfAttention$", "", "o"),
    ("decoder.", r"(?:^|\.)decoder\.block\.(?P<number>\d+)\.layer\.0\.SelfAttention$", "", "o"),
    ("cross.", r"(?:^|\.)decoder\.block\.(?P<number>\d+)\.layer\.1\.EncDecAttention$", "", "o"),
)
WHISPER = (
    ("encoder.", r"(?:^|\.)encoder\.layers\.(?P<number>\d+)\.self_attn$", "", "out_proj"),
    ("decoder.", r"(?:^|\.)decoder\.layers\.(?P<number>\d+)\.self_attn$", "", "out_proj"),
    ("cross.", r"(?:^|\.)decoder\.layers\.(?P<number>\d+)\.encoder_attn$", "", "out_proj"),
)
DISTILBERT = (("", r"(?:^|\.)transformer\.layer\.(?P<number>\d+)\.attention$", "", "out_lin"),)
VIT = (("", r"(?:^|\.)layers?\.(?P<number>\d+)\.attention$", "", "o_proj"),)
GPT2 = (("", r"(?:^|\.)h\.(?P<number>\d+)\.attn$", "", "c_proj"),)
NEOX = (("", r"(?:^|\.)layers\.(?P<number>\d+)\.attention$", "", "dense"),)


@dataclasses.dataclass
class Case:
    family: str  # the row of the table
    model: type
    config: Callable  # () -> its configuration
    places: tuple
    covers: str
    layers: int  # how many are to be compared
    inputs: Callable  # configuration, rng -> the arguments of the model
    dtype: torch.dtype = torch.float32
    shard: Optional[str] = None
    rewrite: Callable = lambda config: None  # changes config.json into how older versions wrote it

    def __str__(self):
        return f"{self.family}: {self.model.__name__}, {self.covers}"


# ---- what goes in ----


def tokens(config, rng, length=LENGTH, padded=PADDED):
    vocabulary = config.get_text_config().vocab_size
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, padded * length // LENGTH :] = 0
    return {
        "input_ids": torch.from_numpy(rng.integers(3, vocabulary, (2, length))),
        "attention_mask": mask,
    }


def long_tokens(length):
    return lambda config, rng: tokens(config, rng, length)


def both_tokens(config, rng):
    """Longer than the largest distance that T5 has a bucket for."""
    second = tokens(config, rng, 190)
    return {
        **tokens(config, rng, 160),
        "decoder_input_ids": second["input_ids"],
        "decoder_attention_mask": second["attention_mask"],
    }


def sound(config, rng):
    second = tokens(config, rng, 24)
    features = rng.standard_normal((2, config.num_mel_bins, 2 * config.max_source_positions))
    return {
        "input_features": torch.from_numpy(features.astype(np.float32)),
        "decoder_input_ids": second["input_ids"],
        "decoder_attention_mask": second["attention_mask"],
    }


def picture(config, rng):
    size = (2, config.num_channels, config.image_size, config.image_size)
    return {"pixel_values": torch.from_numpy(rng.standard_normal(size).astype(np.float32))}


# ---- the models ----

SMALL = dict(num_hidden_layers=2, vocab_size=64, intermediate_size=24, max_position_embeddings=256)
PLAIN = dict(SMALL, hidden_size=48, num_attention_heads=6)
GROUPED = dict(SMALL, hidden_size=48, num_attention_heads=6, num_key_value_heads=2, pad_token_id=0)
WIDE = dict(GROUPED, head_dim=20)  # heads times width is not the width of the model
VISION = dict(
    model_type="siglip_vision_model", hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8,
    image_size=16, patch_size=8,
)  # fmt: skip
WHISPER_SIZES = dict(
    vocab_size=64, d_model=48, encoder_layers=2, decoder_layers=3, encoder_attention_heads=6, decoder_attention_heads=4,
    encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=8, max_source_positions=40, max_target_positions=32,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
)  # fmt: skip
T5_SIZES = dict(
    vocab_size=64, d_model=48, d_kv=10, num_heads=6, num_layers=2, num_decoder_layers=3, d_ff=24,
    decoder_start_token_id=0,
)  # fmt: skip
WINDOWS = dict(sliding_window=8, use_sliding_window=True, max_window_layers=1)


def gemma3_config():
    text = hf.Gemma3TextConfig(**dict(WIDE, num_hidden_layers=7), query_pre_attn_scalar=30, sliding_window=8)
    return hf.Gemma3Config(text_config=text.to_dict(), vision_config=dict(VISION))


def rope_config(family, rope, **others):
    """A configuration of the family with these keys about the rotation."""
    sizes = dict(GROUPED, max_position_embeddings=32, **others)
    return lambda: getattr(hf, family + "Config")(**sizes, rope_parameters=rope)


def factors(first, last, count):
    return [float(x) for x in np.linspace(first, last, count).round(3)]


LONGROPE = dict(rope_type="longrope", rope_theta=1e4, short_factor=factors(1, 1.5, 4), long_factor=factors(1, 9, 4))
ROTATIONS = {
    "linear": (dict(rope_type="linear", factor=2.5, rope_theta=1e4), LENGTH),
    "dynamic, below the original length": (dict(rope_type="dynamic", factor=2.0, rope_theta=1e4), 30),
    "dynamic, beyond the original length": (dict(rope_type="dynamic", factor=2.0, rope_theta=1e4), 90),
    "YaRN": (dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=1e4), 90),
    "YaRN with all its keys": (
        dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=24, rope_theta=5e4, beta_fast=20.0,
             beta_slow=2.0, mscale=0.7, mscale_all_dim=1.2, truncate=False),
        90,
    ),  # fmt: skip
    "llama3": (
        dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=5e5,
             original_max_position_embeddings=24),
        90,
    ),  # fmt: skip
    "LongRoPE, below the original length": (
        dict(LONGROPE, factor=4.0, original_max_position_embeddings=48),
        LENGTH,
    ),
    "LongRoPE, beyond the original length": (
        dict(LONGROPE, factor=4.0, original_max_position_embeddings=24),
        LENGTH,
    ),
}


# ---- config.json as older versions of transformers wrote it ----


def old_rope(config):
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    part = rope.pop("partial_rotary_factor", None)
    if part is not None:
        config["partial_rotary_factor"] = part
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}


def old_neox(config):
    rope = config.pop("rope_parameters")
    config.update(rotary_emb_base=rope["rope_theta"], rotary_pct=rope["partial_rotary_factor"])


def old_qwen(config):
    old_rope(config)
    del config["layer_types"]
    config.update(max_window_layers=1)


def old_gemma2(config):
    old_rope(config)
    del config["layer_types"]


def old_gemma3(config):
    """As google/gemma-3-4b-it has it: without the keys that have the default."""
    text = config["text_config"]
    rope = text.pop("rope_parameters")
    text.update(
        rope_theta=rope["full_attention"]["rope_theta"],
        rope_local_base_freq=rope["sliding_attention"]["rope_theta"],
        rope_scaling={"rope_type": "linear", "factor": 8.0},
        sliding_window_pattern=3,
    )
    for key in ("layer_types", "_sliding_window_pattern", "attention_bias", "attention_dropout", "rms_norm_eps"):
        del text[key]


def old_phi3(config):
    old_rope(config)
    config["original_max_position_embeddings"] = 24
    for key in ("factor", "original_max_position_embeddings"):
        config["rope_scaling"].pop(key, None)


def cases():
    rope = {"rope_type": "default", "rope_theta": 5000.0}
    quarter = dict(rope, partial_rotary_factor=0.5)
    bert = dict(PLAIN, max_position_embeddings=64)
    made = [
        Case("bert", hf.BertForMaskedLM, lambda: hf.BertConfig(**bert), BERT, "padding", 2, tokens),
        Case("bert", hf.BertModel, lambda: hf.BertConfig(**bert), BERT, "no prefix, float16", 2, tokens, torch.float16),
        Case("roberta", hf.RobertaForMaskedLM, lambda: hf.RobertaConfig(**bert), BERT, "padding", 2, tokens),
        Case("xlm-roberta", hf.XLMRobertaModel, lambda: hf.XLMRobertaConfig(**bert), BERT, "padding", 2, tokens),
        Case("camembert", hf.CamembertForMaskedLM, lambda: hf.CamembertConfig(**bert), BERT, "padding", 2, tokens),
        Case(
            "distilbert", hf.DistilBertForMaskedLM,
            lambda: hf.DistilBertConfig(vocab_size=64, dim=48, n_heads=6, n_layers=2, hidden_dim=24), DISTILBERT,
            "padding", 2, tokens,
        ),
        Case(
            "electra", hf.ElectraForPreTraining, lambda: hf.ElectraConfig(**bert, embedding_size=16), BERT,
            "padding", 2, tokens, torch.float64,
        ),
        Case(
            "vit", hf.ViTForImageClassification,
            lambda: hf.ViTConfig(**dict(PLAIN, image_size=24, patch_size=4)), VIT, "37 patches", 2, picture,
        ),
        Case(
            "vit", hf.ViTModel, lambda: hf.ViTConfig(**dict(PLAIN, image_size=24, patch_size=4), qkv_bias=False), VIT,
            "no biases but that of the output", 2, picture,
        ),
        Case(
            "gpt2", hf.GPT2LMHeadModel, lambda: hf.GPT2Config(vocab_size=64, n_embd=48, n_head=6, n_layer=2), GPT2,
            "causal", 2, tokens,
        ),
        Case(
            "gpt2", hf.GPT2Model,
            lambda: hf.GPT2Config(vocab_size=64, n_embd=48, n_head=6, n_layer=3, scale_attn_by_inverse_layer_idx=True),
            GPT2, "scores divided by the number of the layer", 3, tokens,
        ),
        Case(
            "gpt2", hf.GPT2Model,
            lambda: hf.GPT2Config(vocab_size=64, n_embd=48, n_head=6, n_layer=2, scale_attn_weights=False), GPT2,
            "scores not scaled, bfloat16", 2, tokens, torch.bfloat16,
        ),
        Case(
            "gpt_neox", hf.GPTNeoXForCausalLM, lambda: hf.GPTNeoXConfig(**PLAIN, rope_parameters=quarter), NEOX,
            "half of each head rotated", 2, tokens,
        ),
        Case(
            "gpt_neox", hf.GPTNeoXModel,
            lambda: hf.GPTNeoXConfig(**dict(PLAIN, attention_bias=False), rope_parameters=quarter), NEOX,
            "no biases, config.json as before transformers 5", 2, tokens, rewrite=old_neox,
        ),
        Case(
            "llama", hf.LlamaForCausalLM, lambda: hf.LlamaConfig(**GROUPED, rope_parameters=dict(rope)), LLAMA,
            "grouped heads, float16", 2, tokens, torch.float16,
        ),
        Case(
            "llama", hf.LlamaModel,
            lambda: hf.LlamaConfig(**WIDE, attention_bias=True, rope_parameters=dict(rope)), LLAMA,
            "biases, heads of their own width, shards", 2, tokens, shard="20KB",
        ),
        Case(
            "llama", hf.LlamaForCausalLM,
            rope_config("Llama", dict(ROTATIONS["llama3"][0])), LLAMA,
            "llama3, config.json as before transformers 5", 2, long_tokens(90), rewrite=old_rope,
        ),
        *(
            Case("llama", hf.LlamaModel, rope_config("Llama", dict(scaling)), LLAMA, name, 2, long_tokens(length))
            for name, (scaling, length) in ROTATIONS.items()
        ),
        Case(
            "mistral", hf.MistralForCausalLM,
            lambda: hf.MistralConfig(**GROUPED, sliding_window=8, rope_parameters=dict(rope)), LLAMA,
            "grouped heads, window, bfloat16", 2, tokens, torch.bfloat16,
        ),
        Case(
            "mistral", hf.MistralModel,
            lambda: hf.MistralConfig(**WIDE, sliding_window=None, rope_parameters=dict(rope)), LLAMA,
            "no window, heads of their own width, config.json as before transformers 5", 2, tokens, rewrite=old_rope,
        ),
        Case(
            "qwen2", hf.Qwen2ForCausalLM, lambda: hf.Qwen2Config(**GROUPED, **WINDOWS), LLAMA,
            "grouped heads, biases, window in the upper layer", 2, tokens,
        ),
        Case(
            "qwen2", hf.Qwen2Model, lambda: hf.Qwen2Config(**GROUPED, **WINDOWS), LLAMA,
            "config.json as before transformers 5", 2, tokens, rewrite=old_qwen,
        ),
        Case(
            "qwen3", hf.Qwen3ForCausalLM, lambda: hf.Qwen3Config(**WIDE, **WINDOWS), LLAMA,
            "grouped heads, norms, window in the upper layer, bfloat16", 2, tokens, torch.bfloat16,
        ),
        Case(
            "qwen3", hf.Qwen3Model,
            lambda: hf.Qwen3Config(**WIDE, attention_bias=True, rope_parameters=dict(ROTATIONS["YaRN"][0])), LLAMA,
            "biases, YaRN, shards", 2, tokens, shard="20KB",
        ),
        Case(
            "gemma", hf.GemmaForCausalLM, lambda: hf.GemmaConfig(**dict(WIDE, num_key_value_heads=1)), LLAMA,
            "one head of keys, heads of their own width", 2, tokens,
        ),
        Case(
            "gemma2", hf.Gemma2ForCausalLM,
            lambda: hf.Gemma2Config(**dict(WIDE, num_hidden_layers=3), query_pre_attn_scalar=30, sliding_window=8,
                                    attn_logit_softcapping=2.0), LLAMA,
            "soft cap, window in every other layer", 3, tokens,
        ),
        Case(
            "gemma2", hf.Gemma2Model,
            lambda: hf.Gemma2Config(**dict(WIDE, num_hidden_layers=3), sliding_window=8, attn_logit_softcapping=None,
                                    attention_bias=True), LLAMA,
            "no soft cap, biases, config.json as before transformers 5", 3, tokens, rewrite=old_gemma2,
        ),
        Case(
            "gemma3_text", hf.Gemma3ForCausalLM,
            lambda: hf.Gemma3TextConfig(**dict(WIDE, num_hidden_layers=7), query_pre_attn_scalar=30, sliding_window=8),
            LLAMA, "norms, window in five of six layers, two rotations", 7, tokens,
        ),
        Case(
            "gemma3_text", hf.Gemma3TextModel,
            lambda: hf.Gemma3TextConfig(**dict(WIDE, num_hidden_layers=6), sliding_window=9,
                                        use_bidirectional_attention=True), LLAMA,
            "not causal (as EmbeddingGemma), half a window to each side", 6, tokens,
        ),
        Case(
            "gemma3", hf.Gemma3ForConditionalGeneration, gemma3_config, LLAMA, "the text model, float16", 7, tokens,
            torch.float16,
        ),
        Case(
            "gemma3", hf.Gemma3ForConditionalGeneration, gemma3_config, LLAMA,
            "config.json as before transformers 5, with linear scaling", 7, tokens, rewrite=old_gemma3,
        ),
        Case(
            "phi3", hf.Phi3ForCausalLM, lambda: hf.Phi3Config(**GROUPED, sliding_window=8), LLAMA,
            "grouped heads in one projection, window", 2, tokens,
        ),
        *(
            Case(
                "phi3", hf.Phi3Model,
                rope_config("Phi3", dict(LONGROPE), original_max_position_embeddings=original), LLAMA,
                f"LongRoPE, {name} the original length", 2, tokens,
            )
            for name, original in (("below", 48), ("beyond", 24))
        ),
        Case(
            "phi3", hf.Phi3ForCausalLM,
            rope_config("Phi3", dict(LONGROPE, partial_rotary_factor=0.75, short_factor=factors(1, 2, 3),
                                     long_factor=factors(1, 9, 3))), LLAMA,
            "three quarters of each head rotated, config.json as before transformers 5", 2, tokens, rewrite=old_phi3,
        ),
        Case(
            "t5", hf.T5ForConditionalGeneration, lambda: hf.T5Config(**T5_SIZES), T5,
            "encoder, decoder and cross-attention, relative biases", 8, both_tokens,
        ),
        Case(
            "t5", hf.T5EncoderModel,
            lambda: hf.T5Config(**T5_SIZES, relative_attention_num_buckets=12, relative_attention_max_distance=20), T5,
            "encoder alone, other buckets", 2, tokens,
        ),
        Case(
            "mt5", hf.MT5ForConditionalGeneration, lambda: hf.MT5Config(**T5_SIZES), T5,
            "encoder, decoder and cross-attention, relative biases", 8, both_tokens,
        ),
        Case(
            "whisper", hf.WhisperForConditionalGeneration, lambda: hf.WhisperConfig(**WHISPER_SIZES), WHISPER,
            "encoder, decoder and cross-attention", 8, sound,
        ),
        Case(
            "whisper", hf.WhisperModel, lambda: hf.WhisperConfig(**WHISPER_SIZES), WHISPER, "float16, shards", 8,
            sound, torch.float16, "20KB",
        ),
    ]  # fmt: skip
    return made


CASES = cases()


# ---- building and running ----


SCORES = re.compile(r"query|key|qkv|c_attn|\b(q|k)(_proj|_lin)?\b")


def randomise(model, seed):
    """Gives every parameter numbers of its own: none is 0 or 1 as it was initialised, biases and norms neither."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            drawn = 0.7 + 0.4 * drawn
        elif "relative_attention_bias" not in name and ("embed" not in name or "project" in name):
            # Scores of some units: weights that differ, without the rounding errors of large numbers.
            inputs = len(parameter) if re.search(r"\.c_\w+\.", name) else parameter[0].numel()  # GPT-2 transposes
            drawn *= (2.0 if SCORES.search(name) else 1.0) / np.sqrt(inputs)
        parameter.data.copy_(drawn)


def build(case: Case, directory: Path):
    """Saves the model of a case; returns it as transformers reads it back, in float32."""
    torch.manual_seed(SEED)
    model = case.model(case.config())
    randomise(model, SEED)
    saving = {} if case.shard is None else {"max_shard_size": case.shard}
    with contextlib.redirect_stderr(io.StringIO()):
        model.to(case.dtype).save_pretrained(directory, **saving)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    case.rewrite(config)
    path.write_text(json.dumps(config))
    assert (directory / "model.safetensors.index.json").exists() == (case.shard is not None)
    with contextlib.redirect_stderr(io.StringIO()):
        return case.model.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


@dataclasses.dataclass
class Seen:
    query: np.ndarray
    key: Optional[np.ndarray]
    mask: Optional[np.ndarray]  # [B, 1, L, S], what the model adds to the scores
    output: np.ndarray
    weights: np.ndarray

    def empty(self):
        """[B, L]: which queries may attend to nothing; transformers makes that the mean of all values."""
        if self.mask is None:
            return np.zeros(self.output.shape[:2], bool)
        rows = (self.mask < -1e30).all(axis=(1, 3))
        return np.broadcast_to(rows, self.output.shape[:2])


def watch(model, places, arguments):
    """Runs the model; what each attention module saw and made, by the name that the service has for the layer."""
    seen, hooks = {}, []

    def on_module(name):
        def hook(_, positional, named, result):
            entry = seen.setdefault(name, {})
            entry["query"] = positional[0] if positional else named["hidden_states"]
            entry["key"] = named.get("key_value_states")
            entry["mask"] = named.get("attention_mask", named.get("mask"))
            entry["weights"] = result[-1]

        return hook

    def on_projection(name):
        return lambda _, positional, result: seen.setdefault(name, {}).update(output=result)

    for path, module in model.named_modules():
        for kind, pattern, inner, projection in places:
            found = re.search(pattern, path)
            if found is None or "vision" in path:
                continue
            name = kind + found["number"]
            inside = module.get_submodule(inner) if inner else module
            hooks.append(inside.register_forward_hook(on_module(name), with_kwargs=True))
            hooks.append(module.get_submodule(projection).register_forward_hook(on_projection(name)))
    with torch.inference_mode():
        model(**arguments)
    for hook in hooks:
        hook.remove()
    as_array = lambda tensor: None if tensor is None else tensor.float().numpy().copy()  # noqa: E731
    return {name: Seen(**{key: as_array(value) for key, value in entry.items()}) for name, entry in seen.items()}


def padding_of(name, arguments):
    """The key_padding_mask (true: not there) of a layer, or None."""
    if "decoder_input_ids" in arguments:
        key = "decoder_attention_mask" if name.startswith("decoder.") else "attention_mask"
    else:
        key = "attention_mask"
    mask = arguments.get(key)
    return None if mask is None else (mask == 0).tolist()


def ask(url, layer, seen, padding):
    body = {"query": seen.query.tolist(), "need_weights": True, "key_padding_mask": padding}
    if seen.key is not None:
        body["key"] = seen.key.tolist()
    answer = requests.post(f"{url}/attend/{layer}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    answer = answer.json()
    return np.array(answer["output"]), np.array(answer["attn_weights"])


def difference(got, want):
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / np.abs(want).max())


def compare(case: Case, directory: Path):
    """The errors of a case: {layer: (of the output, of the weights)}."""
    model = build(case, directory)
    arguments = case.inputs(model.config, np.random.default_rng(SEED))
    layers = watch(model, case.places, arguments)
    errors = {}
    with AttendServer("--model", f"m={directory}") as server:
        served = [entry["name"] for entry in requests.get(f"{server.url}/models", timeout=60).json()["models"]]
        assert sorted(served) == sorted(f"m.{name}" for name in layers)
        for name, seen in layers.items():
            output, weights = ask(server.url, f"m.{name}", seen, padding_of(name, arguments))
            row = seen.weights[0, :, -1]
            assert row.max() > 2 / (row[0] > 0).sum()  # of a mean, any mistake would be one too
            full = ~seen.empty()
            assert full.any(axis=1).all() and not weights.swapaxes(1, 2)[~full].any()
            errors[name] = (
                difference(output[full], seen.output[full]),
                difference(weights.swapaxes(1, 2)[full], seen.weights.swapaxes(1, 2)[full]),
            )
    return errors


def shown(errors):
    """The worst errors of all layers."""
    output, weights = np.array(list(errors.values())).max(axis=0)
    return f"{len(errors)} layers, worst error {output:.1e} of the largest output, {weights:.1e} of the largest weight"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_family(case, tmp_path):
    errors = compare(case, tmp_path / "model")
    assert len(errors) == case.layers
    worst = {layer: pair for layer, pair in errors.items() if max(pair) > TOLERANCE}
    assert not worst
    REPORT.append(f"{case}: {shown(errors)}")


def test_every_family_has_a_case():
    """The names in the sentence about an unknown family are those of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        text = refused(Path(folder), {"model_type": "mamba"})
    listed = re.search(r"expected one of those served \((.*?)\), found \"mamba\"", text)[1].split(", ")
    assert sorted(listed) == sorted({case.family for case in CASES})


# ---- what is not served ----


def check(*arguments):
    """Runs attend-server --check: exit code and what it wrote."""
    done = subprocess.run([BINARY, "--check", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def refused(directory: Path, config, layer=""):
    """Writes config.json; the one line with which the start ends."""
    (directory / "config.json").write_text(json.dumps(config))
    if not list(directory.glob("*.safetensors")):
        header = b"{}      "
        (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    code, text = check("--model", f"m={directory}{layer}")
    assert code == 2 and text.count("\n") == 1, text
    return text


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One small checkpoint each of some families: {name: (directory, its config.json)}."""
    result = {}
    for case in CASES:
        if case.family in ("llama", "gpt2", "qwen2", "gemma3_text", "t5", "bert", "phi3") and case.family not in result:
            directory = tmp_path_factory.mktemp(case.family)
            build(case, directory)
            result[case.family] = directory, json.loads((directory / "config.json").read_text())
    return result


REFUSED = [
    ("llama", {"rope_parameters": {"rope_type": "spiral"}}, 'rope_parameters": "rope_type": expected one of'),
    ("llama", {"rope_scaling": {"type": "proportional", "factor": 2.0}}, 'rope_scaling": "type": expected one of'),
    ("llama", {"rope_parameters": {"rope_type": "linear"}}, '"factor" is missing'),
    ("llama", {"rope_parameters": 7}, "expected an object, found 7"),
    ("llama", {"partial_rotary_factor": 0.5}, "layers of this family rotate all 8 numbers of a head, found 4"),
    ("llama", {"num_key_value_heads": 4}, "expected a divisor of num_heads, which is 6"),
    ("llama", {"num_key_value_heads": 3}, 'k_proj.weight": expected shape [24, 48], found [16, 48]'),
    ("llama", {"attention_bias": True}, 'q_proj.bias": missing, expected with shape [48]'),
    ("llama", {"attention_bias": "yes"}, '"attention_bias": expected true or false'),
    ("llama", {"quantization_config": {"bits": 4}}, '"quantization_config": quantised weights are not served'),
    ("llama", {"hidden_size": None}, '"hidden_size": expected a whole number'),
    ("gpt2", {"add_cross_attention": True}, '"add_cross_attention": expected false, found true'),
    ("bert", {"position_embedding_type": "relative_key"}, "relative positions change the scores"),
    ("qwen2", {"layer_types": ["full_attention", "linear_attention"]}, '"layer_types[1]": expected'),
    ("qwen2", {"layer_types": ["full_attention"]}, "expected an array with a string for each layer"),
    ("qwen2", {"use_sliding_window": False}, 'layer 1 has a window, but no "sliding_window" is in use'),
    ("gemma3_text", {"query_pre_attn_scalar": 0}, '"query_pre_attn_scalar": expected a number above 0'),
    ("phi3", {"rope_parameters": dict(LONGROPE, short_factor=[1.0])}, '"short_factor": expected'),
    ("t5", {"relative_attention_num_buckets": 3}, "expected at least 4 buckets"),
    ("t5", {"num_decoder_layers": 4}, 'decoder.block.3.layer.0.SelfAttention.q.weight": missing'),
]


@pytest.mark.parametrize("family, change, says", REFUSED, ids=[f"{row[0]} {row[1]}"[:60] for row in REFUSED])
def test_refused(saved, family, change, says):
    directory, config = saved[family]
    try:
        assert says in refused(directory, {**config, **change})
    finally:
        (directory / "config.json").write_text(json.dumps(config))


def test_one_layer(saved):
    directory, _ = saved["t5"]
    code, text = check("--model", f"one={directory}#cross.2", "--model", f"two={saved['llama'][0]}#1")
    assert code == 0, text
    for layer in ("3", "cross", "cross.", "cross.3", "cross.-1", "encoder.99999999999999999999", "cross.2x"):
        code, text = check("--model", f"one={directory}#{layer}")
        assert code == 2 and text.count("\n") == 1, (layer, text)
    assert "encoder.0 to encoder.1, decoder.0 to decoder.2, cross.0 to cross.2" in check(
        "--model", f"one={directory}#cross.3"
    )[1]


def test_older_names_of_longrope(saved):
    """Phi-3 first called it su, and then yarn, which is something else everywhere else."""
    directory, config = saved["phi3"]
    answers = []
    query = np.random.default_rng(SEED).standard_normal((1, 60, 48)).tolist()
    rope = dict(LONGROPE)
    del rope["rope_type"]
    try:
        for name in ("longrope", "su", "yarn"):
            changed = {**config, "rope_scaling": {**rope, "type": name}, "original_max_position_embeddings": 48}
            (directory / "config.json").write_text(json.dumps(changed))
            with AttendServer("--model", f"m={directory}") as server:
                answer = requests.post(f"{server.url}/attend/m.1", json={"query": query}, timeout=60)
                answers.append(answer.json()["output"])
    finally:
        (directory / "config.json").write_text(json.dumps(config))
    assert answers[0] == answers[1] == answers[2]


# ---- the table ----

HEADING = """# Checkpoint families

What `attend-server --model NAME=DIRECTORY` reads from a directory that `save_pretrained` of Hugging Face transformers
wrote (one file or shards; F64, F32, F16 or BF16), and how near its answers are to those of transformers {version}.

Each row is a small model with random weights, saved by its own `save_pretrained`, served, and compared layer by layer
with the eager attention of the real model on the hidden states that reach it there: the output after the last
projection, and the attention weights. An error is the largest difference as a fraction of the largest number
of what transformers has; the worst of all layers is shown, the tests allow {tolerance}.

Made by `python tests/peers/test_families.py --table > docs/families.md`, with weights and inputs from seed {seed}.

| `model_type` | class | what it covers | weights in | layers | output | weights |
|---|---|---|---|---|---|---|"""


def print_table():
    print(HEADING.format(version=hf.__version__, tolerance=TOLERANCE, seed=SEED))
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            errors = np.array(list(compare(case, Path(folder) / "model").values()))
        output, weights = errors.max(axis=0)
        kind = str(case.dtype).removeprefix("torch.")
        print(
            f"| {case.family} | {case.model.__name__} | {case.covers} | {kind} | {len(errors)} | {output:.1e} "
            f"| {weights:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:] != ["--table"]:
        sys.exit("usage: python tests/peers/test_families.py --table > docs/families.md")
    print_table()
