"""Random variations of a checkpoint's config.json: keys removed, added, of another type or null, older names, nested
forms of the rotation, and what only Python's JSON has. What a file then means is for transformers to say."""

import copy
import dataclasses
import json

import families
from families import GROUPED, LLAMA, PLAIN, T5_SIZES, VISION, WHISPER_SIZES, WIDE

LENGTH = 40  # of the sequences: beyond the windows and the shorter of the original lengths
ROPED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gemma3", "phi3", "gpt_neox")
ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


@dataclasses.dataclass
class Base:
    family: str
    config: dict
    places: tuple
    inputs: object = None  # NULL: tokens


def bases():
    sizes = dict(GROUPED, num_hidden_layers=3, sliding_window=8)
    wide = dict(WIDE, num_hidden_layers=3, sliding_window=8, query_pre_attn_scalar=30)
    bert = dict(PLAIN, max_position_embeddings=64)
    yield from (Base(name, bert, families.BERT) for name in ENCODERS)
    yield Base("electra", dict(bert, embedding_size=16), families.BERT)
    yield Base("distilbert", dict(vocab_size=64, dim=48, n_heads=6, n_layers=2, hidden_dim=24), families.DISTILBERT)
    yield Base("vit", dict(PLAIN, image_size=24, patch_size=4), families.VIT, families.picture)
    yield Base("gpt2", dict(vocab_size=64, n_embd=48, n_head=6, n_layer=2, n_positions=64), families.GPT2)
    yield Base("gpt_neox", dict(PLAIN), families.NEOX)
    yield Base("llama", dict(GROUPED), LLAMA)
    yield Base("mistral", sizes, LLAMA)
    yield Base("qwen2", dict(sizes, use_sliding_window=True, max_window_layers=1), LLAMA)
    yield Base("qwen3", dict(sizes, use_sliding_window=True, max_window_layers=1, head_dim=8), LLAMA)
    yield Base("gemma", dict(WIDE), LLAMA)
    yield Base("gemma2", wide, LLAMA)
    yield Base("gemma3_text", wide, LLAMA)
    yield Base("gemma3", dict(text_config=wide, vision_config=dict(VISION)), LLAMA)
    yield Base("phi3", dict(GROUPED, sliding_window=8), LLAMA)
    yield Base("t5", dict(T5_SIZES), families.T5, families.both_tokens)
    yield Base("mt5", dict(T5_SIZES), families.T5, families.both_tokens)
    yield Base("whisper", dict(WHISPER_SIZES), families.WHISPER, families.sound)


BASES = {base.family: base for base in bases()}

# ---- values ----

ODD = [None, True, False, 0, 1, 2, -1, 3, 0.5, 1.0, "1", "x", [], {}, [1]]  # of whatever key
ROPE_VALUES = {
    "factor": [1.0, 2.0, 4, 8.0, None, 0.5, "2"],
    "original_max_position_embeddings": [16, 24, 32, 64, None],
    "rope_theta": [100, 1e4, 5e5, None],
    "partial_rotary_factor": [1.0, 0.5, 0.25],
    "attention_factor": [0.8, 1.5, None, 1],
    "attn_factor": [0.8782488562869419, 1.0],
    "mscale": [0.7, 1.0, 0, None],
    "mscale_all_dim": [1.2, 0, None],
    "beta_fast": [16.0, 32, None, 0],
    "beta_slow": [1, 2.0, None],
    "truncate": [True, False, None],
    "low_freq_factor": [1.0, 0.5],
    "high_freq_factor": [4.0, 2],
    "mrope_section": [[2, 1, 1]],
    "finetuned": [True],
    "full_attention": [{"rope_type": "default", "rope_theta": 300.0}],
    "short_factor": [families.factors(1, 1.5, 4), families.factors(1, 1.5, 10), [1.0]],
    "long_factor": [families.factors(1, 9, 4), families.factors(1, 9, 10)],
}
NEEDED = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "su": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "spiral": (),
}
TYPES = list(NEEDED)
KINDS = ["full_attention", "sliding_attention"]


def pick(rng, values):
    return copy.deepcopy(values[int(rng.integers(len(values)))])


def rotation(rng, width):
    """An object about the rotation, mostly one that makes sense for heads of this width."""
    kind = TYPES[min(int(rng.exponential(2.0)), len(TYPES) - 1)] if rng.random() < 0.5 else pick(rng, TYPES[:-1])
    result = {pick(rng, ["rope_type", "rope_type", "type"]): kind}
    for key in NEEDED[kind]:
        if key.endswith("t_factor") or key == "long_factor":
            result[key] = families.factors(1, 1.5 if key == "short_factor" else 9, width // 2)
        else:
            result[key] = pick(rng, ROPE_VALUES[key][:3] if key == "factor" else ROPE_VALUES[key])
    for _ in range(int(rng.integers(0, 3))):
        key = pick(rng, list(ROPE_VALUES))
        result[key] = pick(rng, ROPE_VALUES[key])
    return result


def layer_types(rng, layers):
    kinds = KINDS + (["attention"] if rng.random() < 0.3 else []) + (["chunked_attention"] if rng.random() < 0.1 else [])
    return [pick(rng, kinds) for _ in range(layers + (1 if rng.random() < 0.05 else 0))]


# ---- edits: each changes the object with the family's keys ----


def remove(config, family, rng):
    config.pop(pick(rng, list(config)), None)


def nothing(config, family, rng):
    config[pick(rng, list(config))] = None


def another_type(config, family, rng):
    key = pick(rng, list(config))
    value = config[key]
    forms = [str(value), [value], pick(rng, ODD)]
    if isinstance(value, int) and not isinstance(value, bool):
        forms += [float(value), value + 1, value * 2]
    config[key] = pick(rng, forms)


def unknown(config, family, rng):
    key = pick(rng, ["foo", "use_cache", "torch_dtype", "architectures", "attention_multiplier", "clip_qkv", "qk_norm",
                     "attn_logit_softcapping", "layer_types", "sliding_window", "num_key_value_heads", "is_decoder",
                     "per_layer_config", "head_dim", "attention_bias", "rope_theta", "no_rope_layers", "position_ids",
                     "pretraining_tp", "use_bidirectional_attention", "max_window_layers", "bos_token_id"])  # fmt: skip
    values = {
        "torch_dtype": ["float32", "float16"],
        "architectures": [["X"]],
        "layer_types": [layer_types(rng, 3)],
        "per_layer_config": [{"1": {"num_key_value_heads": 1}}, {}],
        "position_ids": [1],
    }
    config[key] = pick(rng, values.get(key, ODD))


def direction(config, family, rng):
    config["is_causal"] = pick(rng, [False, False, False, True, None])


def attention(config, family, rng):
    values = {
        "attention_bias": [True, False, None],
        "attention_dropout": [0.1, 0, None],
        "num_key_value_heads": [1, 2, 3, 6, None],
        "head_dim": [None, 4, 8, 20, 5],
        "num_attention_heads": [6, 4, 12, 5],
        "rms_norm_eps": [1e-5, 1e-3, None],
        "num_hidden_layers": [1, 2, 4],
        "max_position_embeddings": [16, 64, 4096],
    }
    key = pick(rng, list(values))
    config[key] = pick(rng, values[key])


def window(config, family, rng):
    layers = config.get("num_hidden_layers", 3)
    values = {
        "sliding_window": [None, 1, 3, 8, 0],
        "use_sliding_window": [True, False, None],
        "max_window_layers": [0, 1, 2, 5, None],
        "layer_types": [layer_types(rng, layers if isinstance(layers, int) else 3) for _ in range(4)] + [None],
        "sliding_window_pattern": [1, 2, 3, None],
        "use_bidirectional_attention": [True, False, None],
    }
    key = pick(rng, ["layer_types", "sliding_window", *values])
    config[key] = pick(rng, values[key])


def rotate(config, family, rng):
    width = config.get("head_dim") or 8
    width = width if isinstance(width, int) else 8
    nested = family.startswith("gemma3")
    one = {kind: rotation(rng, width) for kind in KINDS} if nested and rng.random() < 0.7 else rotation(rng, width)
    if nested and rng.random() < 0.2:
        one[pick(rng, ["truncate", "rope_type", "rope_theta"])] = pick(rng, [False, True, "yarn"])
    if nested and rng.random() < 0.2:
        one[pick(rng, KINDS)] = None
    form = rng.random()
    if form < 0.5:
        config["rope_parameters"] = one
    if form > 0.4:
        config["rope_scaling"] = pick(rng, [rotation(rng, width)] * 4 + [None, {}])
    if rng.random() < 0.3:
        config["rope_theta"] = pick(rng, ROPE_VALUES["rope_theta"])
    if rng.random() < 0.2:
        config["original_max_position_embeddings"] = pick(rng, [16, 24, 64, None])
    if rng.random() < 0.2:
        config["max_position_embeddings"] = pick(rng, [16, 32, 64])
    if rng.random() < 0.2:
        config["rope_local_base_freq"] = pick(rng, [300.0, None])


def part(config, family, rng):
    key = pick(rng, ["rotary_pct", "rotary_emb_base", "partial_rotary_factor"])
    config[key] = pick(rng, [0.25, 0.5, 0.375, 0.4, 1.0, 0.65, 0.1]) if key != "rotary_emb_base" else pick(rng, [300, 1e4])


def scale(config, family, rng):
    values = {
        "query_pre_attn_scalar": [16, 48, 20.0, None],
        "attn_logit_softcapping": [2.0, None, 10.0, 5],
        "scale_attn_weights": [True, False, None],
        "scale_attn_by_inverse_layer_idx": [True, False],
        "reorder_and_upcast_attn": [True, False],
        "qkv_bias": [True, False, None],
        "position_embedding_type": ["absolute", "relative_key"],
        "is_decoder": [True, False],
        "add_cross_attention": [True, False],
    }
    key = pick(rng, list(values))
    config[key] = pick(rng, values[key])


def sequence_to_sequence(config, family, rng):
    values = {
        "relative_attention_num_buckets": [12, 32, 3],
        "relative_attention_max_distance": [20, 128, 2],
        "d_kv": [8, 10, None],
        "num_layers": [1, 3],
        "num_decoder_layers": [1, 4, None],
        "num_heads": [4, 12],
        "is_decoder": [True, False],
        "is_encoder_decoder": [True, False],
        "encoder_layers": [1, 3],
        "decoder_layers": [1, 2],
        "encoder_attention_heads": [4, 12],
        "decoder_attention_heads": [6, 3],
        "d_model": [24, 96],
        "attention_dropout": [0.2],
        "scale_embedding": [True],
        "tie_word_embeddings": [False, True],
    }
    key = pick(rng, list(values))
    config[key] = pick(rng, values[key])


def alias(config, family, rng):
    key = pick(rng, ["hidden_size", "num_attention_heads", "num_hidden_layers", "head_dim", "num_key_value_heads"])
    config[key] = pick(rng, {"hidden_size": [48, 24], "num_attention_heads": [4, 12, 6], "num_hidden_layers": [1, 3],
                             "head_dim": [8, 10, None], "num_key_value_heads": [4, 2]}[key])  # fmt: skip


ANY = [remove, nothing, another_type, unknown, direction]
DECODER = ANY + [attention, attention, window, window, rotate, rotate, rotate, rotate]
EDITS = {
    **{name: DECODER for name in ROPED},
    **{name: DECODER + [scale] for name in ("gemma2", "gemma3_text", "gemma3")},
    "gpt_neox": DECODER + [part, part, part],
    "phi3": DECODER + [part],
    **{name: ANY + [scale, attention] for name in ENCODERS},
    "vit": ANY + [scale, attention],
    "distilbert": ANY + [alias, alias, scale],
    "gpt2": ANY + [alias, alias, scale, scale, scale],
    **{name: ANY + [alias, sequence_to_sequence, sequence_to_sequence] for name in ("t5", "mt5", "whisper")},
}
# What Python's JSON has beyond RFC 8259, put behind the last key.
TEXTS = ["", "", "", "", "", ', "unused": Infinity', ', "unused": [NaN, -Infinity, 1e999]', ', "use_cache": true',
         ', "unused": 1000000000000000019884624838656', ', "use_cache": true, "use_cache": false',
         ', "is_causal": false, "is_causal": true', ', "unused": {"a": 1, "a": 2}']  # fmt: skip


def variation(base, rng):
    """The text of a config.json."""
    config = {"model_type": base.family, **copy.deepcopy(base.config)}
    inner = config["text_config"] if base.family == "gemma3" else config
    for _ in range(int(rng.integers(1, 4))):
        edit = EDITS[base.family][int(rng.integers(len(EDITS[base.family])))]
        edit(inner, base.family, rng)
    if "model_type" not in config or config["model_type"] != base.family:
        config["model_type"] = base.family  # whose family it is, is not asked here
    text = json.dumps(config)
    return text[:-1] + pick(rng, TEXTS) + "}"
