#include "core/model/checkpoint/families.h"

/* A tensor that fills one array. */
#define ONE(tensor, slot)                                                                                    \
    { .name = tensor, .first = slot, .slots = 1 }
/* RMS norms of queries and keys; `one` is what is added to their weights. */
#define NORM(tensor, slot, one)                                                                              \
    { .name = tensor, .first = slot, .slots = 1, .addend = one }
#define NORMS(path, one)                                                                                     \
    NORM(path "q_norm.weight", ATTN_Q_NORM, one), NORM(path "k_norm.weight", ATTN_K_NORM, one)
/* Four projections called NAME.weight and NAME.bias. */
#define WEIGHTS(path, q, k, v, o)                                                                            \
    ONE(path q ".weight", ATTN_Q_WEIGHT), ONE(path k ".weight", ATTN_K_WEIGHT),                              \
        ONE(path v ".weight", ATTN_V_WEIGHT), ONE(path o ".weight", ATTN_O_WEIGHT)
#define BIASES(path, q, k, v, o)                                                                             \
    ONE(path q ".bias", ATTN_Q_BIAS), ONE(path k ".bias", ATTN_K_BIAS), ONE(path v ".bias", ATTN_V_BIAS),    \
        ONE(path o ".bias", ATTN_O_BIAS)

/* BERT, and what is BERT as far as attention goes. */
#define BERT_LAYER "encoder.layer.%zu.attention."
#define BERT(type, prefix)                                                                                   \
    .model_type = type, .prefixes = {"", prefix}, .width = {"hidden_size", 0},                               \
    .heads = {"num_attention_heads", 0}, .dropout = {"attention_probs_dropout_prob", 0.1},                   \
    .parts = {{.layers = {"num_hidden_layers", 0},                                                           \
               .tensors = {WEIGHTS(BERT_LAYER, "self.query", "self.key", "self.value", "output.dense")},     \
               .biases = {BIASES(BERT_LAYER, "self.query", "self.key", "self.value", "output.dense")}}}

/* Llama, and the decoders that have its keys and the names of its tensors. */
#define LLAMA_LAYER   "layers.%zu.self_attn."
#define LLAMA_WEIGHTS WEIGHTS(LLAMA_LAYER, "q_proj", "k_proj", "v_proj", "o_proj")
#define LLAMA_BIASES  BIASES(LLAMA_LAYER, "q_proj", "k_proj", "v_proj", "o_proj")
#define LLAMA(type)                                                                                          \
    .model_type = type, .prefixes = {"model.", "", "transformer."}, .width = {"hidden_size", 0},             \
    .heads = {"num_attention_heads", 0}, .dropout = {"attention_dropout", 0}

/* Gemma 3's text model; gemma3 is the one that sees images too. Saved alone, its configuration may lack keys
 * that have their default. */
#define GEMMA3(type)                                                                                         \
    .model_type = type, .width = {"hidden_size", 2304}, .heads = {"num_attention_heads", 8},                 \
    .kv_heads = {"num_key_value_heads", 4}, .head_dim = {"head_dim", 256},                                   \
    .dropout = {"attention_dropout", 0}, .bias = "attention_bias", .scale = ATTN_SCALE_QUERY,                \
    .query_scalar = 256, .qk_norm_eps = "rms_norm_eps", .window = ATTN_WINDOW_PATTERNED,                     \
    .window_absent = 4096, .pattern = {"sliding_window_pattern", 6},                                         \
    .bidirectional = "use_bidirectional_attention",                                                          \
    .rope = {.theta = {"rope_theta", 1e6},                                                                   \
             .local_theta = {"rope_local_base_freq", 1e4},                                                   \
             .max_positions = 131072},                                                                       \
    .parts = {{.layers = {"num_hidden_layers", 26},                                                          \
               .causal = true,                                                                               \
               .tensors = {LLAMA_WEIGHTS, NORMS(LLAMA_LAYER, 1)},                                            \
               .biases = {LLAMA_BIASES}}}

#define T5_ENCODER "encoder.block.%zu.layer.0.SelfAttention."
#define T5_DECODER "decoder.block.%zu.layer.0.SelfAttention."
#define T5_CROSS   "decoder.block.%zu.layer.1.EncDecAttention."
/* Only the first block has the table, and all others use it. */
#define T5_TABLE(half)                                                                                       \
    ONE(half ".block.0.layer.0.SelfAttention.relative_attention_bias.weight", ATTN_RELATIVE_BIAS)

#define T5(type)                                                                                             \
    .model_type = type, .prefixes = {"", "transformer."}, .width = {"d_model", 0},                           \
    .aliases = {{"hidden_size", "d_model"},                                                                  \
                {"num_attention_heads", "num_heads"},                                                        \
                {"num_hidden_layers", "num_layers"},                                                         \
                {"head_dim", "d_kv"}},                                                                       \
    .heads = {"num_heads", 0}, .head_dim = {"d_kv", 64}, .dropout = {"dropout_rate", 0.1},                   \
    .scale = ATTN_SCALE_ONE,                                                                                 \
    .parts = {{.name = "encoder",                                                                            \
               .layers = {"num_layers", 0},                                                                  \
               .relative = true,                                                                             \
               .bidirectional = true,                                                                        \
               .tensors = {WEIGHTS(T5_ENCODER, "q", "k", "v", "o"), T5_TABLE("encoder")}},                   \
              {.name = "decoder",                                                                            \
               .layers = {"num_decoder_layers", 0},                                                          \
               .layers_else = "num_layers",                                                                  \
               .causal = true,                                                                               \
               .optional = true,                                                                             \
               .relative = true,                                                                             \
               .tensors = {WEIGHTS(T5_DECODER, "q", "k", "v", "o"), T5_TABLE("decoder")}},                   \
              {.name = "cross",                                                                              \
               .layers = {"num_decoder_layers", 0},                                                          \
               .layers_else = "num_layers",                                                                  \
               .optional = true,                                                                             \
               .tensors = {WEIGHTS(T5_CROSS, "q", "k", "v", "o")}}}

/* Whisper's keys have no bias. */
#define WHISPER_BIASES(path)                                                                                 \
    ONE(path "q_proj.bias", ATTN_Q_BIAS), ONE(path "v_proj.bias", ATTN_V_BIAS),                              \
        ONE(path "out_proj.bias", ATTN_O_BIAS)
#define WHISPER_WEIGHTS(path) WEIGHTS(path, "q_proj", "k_proj", "v_proj", "out_proj")
#define WHISPER_ENCODER       "encoder.layers.%zu.self_attn."
#define WHISPER_DECODER       "decoder.layers.%zu.self_attn."
#define WHISPER_CROSS         "decoder.layers.%zu.encoder_attn."

static const attn_family families[] = {
    {BERT("bert", "bert.")},
    {BERT("roberta", "roberta.")},
    {BERT("xlm-roberta", "roberta.")},
    {BERT("camembert", "roberta.")},
    {BERT("electra", "electra.")},
    {
        .model_type = "distilbert",
        .prefixes = {"", "distilbert."},
        .aliases = {{"hidden_size", "dim"},
                    {"num_attention_heads", "n_heads"},
                    {"num_hidden_layers", "n_layers"}},
        .width = {"dim", 0},
        .heads = {"n_heads", 0},
        .dropout = {"attention_dropout", 0.1},
        .parts =
            {{.layers = {"n_layers", 0},
              .tensors = {WEIGHTS("transformer.layer.%zu.attention.", "q_lin", "k_lin", "v_lin", "out_lin")},
              .biases = {BIASES("transformer.layer.%zu.attention.", "q_lin", "k_lin", "v_lin", "out_lin")}}},
    },
    {
        .model_type = "vit",
        .prefixes = {"", "vit."},
        .width = {"hidden_size", 0},
        .heads = {"num_attention_heads", 0},
        .dropout = {"attention_probs_dropout_prob", 0},
        .bias = "qkv_bias",
        .bias_absent = true,
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .tensors = {WEIGHTS(BERT_LAYER, "attention.query", "attention.key", "attention.value",
                                       "output.dense"),
                               ONE(BERT_LAYER "output.dense.bias", ATTN_O_BIAS)},
                   .biases = {ONE(BERT_LAYER "attention.query.bias", ATTN_Q_BIAS),
                              ONE(BERT_LAYER "attention.key.bias", ATTN_K_BIAS),
                              ONE(BERT_LAYER "attention.value.bias", ATTN_V_BIAS)}}},
    },
    {
        .model_type = "gpt2",
        .prefixes = {"", "transformer."},
        .aliases = {{"hidden_size", "n_embd"},
                    {"num_attention_heads", "n_head"},
                    {"num_hidden_layers", "n_layer"}},
        .width = {"n_embd", 0},
        .heads = {"n_head", 0},
        .dropout = {"attn_pdrop", 0.1},
        .scale = ATTN_SCALE_INVERSE_LAYER,
        .parts = {{.layers = {"n_layer", 0},
                   .causal = true,
                   .tensors = {{.name = "h.%zu.attn.c_attn.weight",
                                .first = ATTN_Q_WEIGHT,
                                .slots = 3,
                                .arrangement = ATTN_TRANSPOSED},
                               {.name = "h.%zu.attn.c_proj.weight",
                                .first = ATTN_O_WEIGHT,
                                .slots = 1,
                                .arrangement = ATTN_TRANSPOSED},
                               {.name = "h.%zu.attn.c_attn.bias", .first = ATTN_Q_BIAS, .slots = 3},
                               ONE("h.%zu.attn.c_proj.bias", ATTN_O_BIAS)}}},
    },
    {
        .model_type = "gpt_neox",
        .prefixes = {"gpt_neox.", ""},
        .width = {"hidden_size", 0},
        .heads = {"num_attention_heads", 0},
        .dropout = {"attention_dropout", 0},
        .bias = "attention_bias",
        .bias_absent = true,
        .rope = {.theta = {"rotary_emb_base", 1e4}, .part = {"rotary_pct", 0.25}, .max_positions = 2048},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {{.name = "layers.%zu.attention.query_key_value.weight",
                                .first = ATTN_Q_WEIGHT,
                                .slots = 3,
                                .arrangement = ATTN_BY_HEAD},
                               ONE("layers.%zu.attention.dense.weight", ATTN_O_WEIGHT)},
                   .biases = {{.name = "layers.%zu.attention.query_key_value.bias",
                               .first = ATTN_Q_BIAS,
                               .slots = 3,
                               .arrangement = ATTN_BY_HEAD},
                              ONE("layers.%zu.attention.dense.bias", ATTN_O_BIAS)}}},
    },
    {
        LLAMA("llama"),
        .kv_heads = {"num_key_value_heads", 0},
        .head_dim = {"head_dim", 0},
        .bias = "attention_bias",
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 2048},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {LLAMA_WEIGHTS},
                   .biases = {LLAMA_BIASES}}},
    },
    {
        LLAMA("mistral"), /* with layer_types it is Ministral, as transformers' AutoConfig has it */
        .kv_heads = {"num_key_value_heads", 8},
        .head_dim = {"head_dim", 0},
        .window = ATTN_WINDOW_TYPED,
        .window_absent = 4096,
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 131072},
        .parts = {{.layers = {"num_hidden_layers", 0}, .causal = true, .tensors = {LLAMA_WEIGHTS}}},
    },
    {
        LLAMA("qwen2"),
        .kv_heads = {"num_key_value_heads", 32},
        .head_dim = {"head_dim", 0},
        .window = ATTN_WINDOW_UPPER,
        .window_absent = 4096,
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 32768},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {LLAMA_WEIGHTS, ONE(LLAMA_LAYER "q_proj.bias", ATTN_Q_BIAS),
                               ONE(LLAMA_LAYER "k_proj.bias", ATTN_K_BIAS),
                               ONE(LLAMA_LAYER "v_proj.bias", ATTN_V_BIAS)}}},
    },
    {
        LLAMA("qwen3"),
        .kv_heads = {"num_key_value_heads", 32},
        .head_dim = {"head_dim", 128},
        .bias = "attention_bias",
        .qk_norm_eps = "rms_norm_eps",
        .window = ATTN_WINDOW_UPPER,
        .window_absent = 4096,
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 32768},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {LLAMA_WEIGHTS, NORMS(LLAMA_LAYER, 0)},
                   .biases = {LLAMA_BIASES}}},
    },
    {
        LLAMA("gemma"),
        .kv_heads = {"num_key_value_heads", 16},
        .head_dim = {"head_dim", 256},
        .bias = "attention_bias",
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 8192},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {LLAMA_WEIGHTS},
                   .biases = {LLAMA_BIASES}}},
    },
    {
        LLAMA("gemma2"),
        .kv_heads = {"num_key_value_heads", 4},
        .head_dim = {"head_dim", 256},
        .bias = "attention_bias",
        .scale = ATTN_SCALE_QUERY,
        .query_scalar = 256,
        .softcap = {"attn_logit_softcapping", 50},
        .window = ATTN_WINDOW_PATTERNED,
        .window_absent = 4096,
        .pattern = {NULL, 2},
        .rope = {.theta = {"rope_theta", 1e4}, .max_positions = 8192},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {LLAMA_WEIGHTS},
                   .biases = {LLAMA_BIASES}}},
    },
    {GEMMA3("gemma3_text"), .prefixes = {"model.", "", "transformer."}},
    {
        GEMMA3("gemma3"),
        .inside = "text_config",
        .prefixes = {"language_model.model.", "model.language_model.", "language_model.", "model.", ""},
    },
    {
        LLAMA("phi3"),
        .kv_heads = {"num_key_value_heads", 0},
        .head_dim = {"head_dim", 0},
        .window = ATTN_WINDOW_ALL,
        .rope = {.theta = {"rope_theta", 1e4},
                 .part = {"partial_rotary_factor", 1},
                 .max_positions = 4096,
                 .original_max_positions = 4096,
                 .longrope_alias = "yarn"},
        .parts = {{.layers = {"num_hidden_layers", 0},
                   .causal = true,
                   .tensors = {{.name = LLAMA_LAYER "qkv_proj.weight", .first = ATTN_Q_WEIGHT, .slots = 3},
                               ONE(LLAMA_LAYER "o_proj.weight", ATTN_O_WEIGHT)}}},
    },
    {T5("t5")},
    {T5("mt5")},
    {
        .model_type = "whisper",
        .prefixes = {"model.", ""},
        .aliases = {{"hidden_size", "d_model"},
                    {"num_key_value_heads", "encoder_attention_heads"},
                    {"num_attention_heads", "encoder_attention_heads"},
                    {"num_hidden_layers", "encoder_layers"}},
        .width = {"d_model", 0},
        .dropout = {"attention_dropout", 0},
        .parts = {{.name = "encoder",
                   .layers = {"encoder_layers", 0},
                   .heads = {"encoder_attention_heads", 0},
                   .optional = true,
                   .tensors = {WHISPER_WEIGHTS(WHISPER_ENCODER), WHISPER_BIASES(WHISPER_ENCODER)}},
                  {.name = "decoder",
                   .layers = {"decoder_layers", 0},
                   .heads = {"decoder_attention_heads", 0},
                   .causal = true,
                   .optional = true,
                   .tensors = {WHISPER_WEIGHTS(WHISPER_DECODER), WHISPER_BIASES(WHISPER_DECODER)}},
                  {.name = "cross",
                   .layers = {"decoder_layers", 0},
                   .heads = {"decoder_attention_heads", 0},
                   .optional = true,
                   .tensors = {WHISPER_WEIGHTS(WHISPER_CROSS), WHISPER_BIASES(WHISPER_CROSS)}}},
    },
};

const attn_family *attn_families(size_t *count) {
    *count = sizeof families / sizeof families[0];
    return families;
}
