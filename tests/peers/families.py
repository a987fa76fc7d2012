"""A small model with random weights for each case of every family of Hugging Face checkpoints that is served: its
configuration, what goes into it, and its directory as its own save_pretrained writes it."""

import contextlib
import dataclasses
import io
import json
import os
import re
from pathlib import Path
from typing import Callable, Optional

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import torch
import transformers as hf
from conftest import SEED

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


# ---- building ----


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
