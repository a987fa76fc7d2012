/* Checkpoints of the families that are not like BERT (which test_model.c has): which tensor goes where, and
 * what config.json, as old and new versions of transformers write it, makes of each layer. That the layers
 * then compute what transformers does is for tests/peers/test_families.py. */

#include "tests/core/model/specs.h"

#include <math.h>

TestSuite(families, .init = begin, .fini = end);

static const attn_config *config_of(const char *name) {
    return &find(name)->layer.config;
}

static void expect(float found, double wanted, const char *what, size_t row, size_t column) {
    cr_assert_eq(found, (float)wanted, "%s[%zu][%zu]: %g, expected %g", what, row, column, (double)found,
                 wanted);
}

Test(families, transposed) {
    write_model("g", "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":2,\"n_layer\":1}",
                "transformer.h.0.attn.c_attn.weight[4,12] transformer.h.0.attn.c_attn.bias[12] "
                "transformer.h.0.attn.c_proj.weight[4,4] transformer.h.0.attn.c_proj.bias[4] other[3]");
    loaded("%s/g");
    const attn_layer *layer = &find("g.0")->layer;
    const attn_packed *const stacked[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight};
    for (size_t i = 0; i < 3; i++)
        for (size_t row = 0; row < 4; row++)
            for (size_t column = 0; column < 4; column++)
                expect(attn_packed_at(stacked[i], row, column), test_value(column * 12 + i * 4 + row),
                       "c_attn", row, column);
    for (size_t row = 0; row < 4; row++)
        for (size_t column = 0; column < 4; column++)
            expect(element(&layer->o_weight, row * 4 + column), test_value(60 + column * 4 + row), "c_proj",
                   row, column);
    holds(layer->q_bias, 48, 4);
    holds(layer->k_bias, 52, 4);
    holds(layer->v_bias, 56, 4);
    holds(layer->o_bias, 76, 4);
    cr_expect(layer->config.causal && layer->config.dropout == 0.1);
    expect(layer->scale[1], sqrt(0.5), "scale", 1, 0);
    cr_expect_str_eq(find("g.0")->layout, "gpt2");
}

/* The rows of these tensors are longer than what is read at once. */
Test(families, transposed_and_wide) {
    enum { E = 520, NUMBERS = 4 * E * E + 4 * E };
    static const char header[] =
        "{\"h.0.attn.c_attn.weight\":{\"dtype\":\"F32\",\"shape\":[520,1560],\"data_offsets\":[0,3244800]},"
        "\"h.0.attn.c_proj.weight\":{\"dtype\":\"F32\",\"shape\":[520,520],\"data_offsets\":[3244800,4326400]"
        "},"
        "\"h.0.attn.c_attn.bias\":{\"dtype\":\"F32\",\"shape\":[1560],\"data_offsets\":[4326400,4332640]},"
        "\"h.0.attn.c_proj.bias\":{\"dtype\":\"F32\",\"shape\":[520],\"data_offsets\":[4332640,4334720]}}";
    float *numbers = malloc(NUMBERS * sizeof *numbers);
    cr_assert_not_null(numbers);
    for (size_t i = 0; i < NUMBERS; i++)
        numbers[i] = (float)i;
    write_model("g", "{\"model_type\":\"gpt2\",\"n_embd\":520,\"n_head\":1,\"n_layer\":1}", "");
    write_safetensors(in_folder(folder, "g/model.safetensors"), header, strlen(header), ST_TRUE_LENGTH,
                      numbers, NUMBERS * sizeof *numbers);
    free(numbers);
    loaded("%s/g");
    const attn_layer *layer = &find("g.0")->layer;
    for (size_t row = 0; row < E; row++)
        for (size_t column = 0; column < E; column++) {
            expect(element(&layer->k_weight, row * E + column), (double)(column * 3 * E + E + row), "k", row,
                   column);
            expect(element(&layer->o_weight, row * E + column), (double)(3 * E * E + column * E + row), "o",
                   row, column);
        }
}

Test(families, by_head) {
    write_model("n",
                "{\"model_type\":\"gpt_neox\",\"hidden_size\":8,\"num_attention_heads\":2,"
                "\"num_hidden_layers\":1,\"rotary_pct\":0.5,\"rotary_emb_base\":500}",
                "layers.0.attention.query_key_value.weight[24,8] layers.0.attention.query_key_value.bias[24] "
                "layers.0.attention.dense.weight[8,8] layers.0.attention.dense.bias[8]");
    loaded("%s/n");
    const attn_layer *layer = &find("n.0")->layer;
    const attn_packed *const weights[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight};
    const float *const biases[] = {layer->q_bias, layer->k_bias, layer->v_bias};
    for (size_t head = 0; head < 2; head++)
        for (size_t i = 0; i < 3; i++)
            for (size_t n = 0; n < 4; n++) {
                const size_t row = head * 4 + n, in_file = (head * 3 + i) * 4 + n;
                expect(biases[i][row], test_value(192 + in_file), "bias", row, 0);
                for (size_t column = 0; column < 8; column++)
                    expect(attn_packed_at(weights[i], row, column), test_value(in_file * 8 + column),
                           "weight", row, column);
            }
    cr_expect(layer->config.rope.style == ATTN_ROPE_HALF && layer->config.rope.dims == 2);
    cr_expect_eq(layer->config.rope.theta, 500);
}

Test(families, stacked_with_fewer_keys_than_queries) {
    write_model("p",
                "{\"model_type\":\"phi3\",\"hidden_size\":8,\"num_attention_heads\":4,"
                "\"num_key_value_heads\":2,\"num_hidden_layers\":1}",
                "model.layers.0.self_attn.qkv_proj.weight[16,8] model.layers.0.self_attn.o_proj.weight[8,8]");
    loaded("%s/p");
    const attn_layer *layer = &find("p.0")->layer;
    weighs(&layer->q_weight, 0, 64);
    weighs(&layer->k_weight, 64, 32);
    weighs(&layer->v_weight, 96, 32);
    weighs(&layer->o_weight, 128, 64);
    cr_expect(layer->q_bias == NULL && layer->o_bias == NULL && !layer->config.bias);
    cr_expect(layer->config.sliding_window == 0 && layer->config.rope.theta == 1e4);
}

/* Tensors of a layer with 2 heads of width 4, one of keys, in a model of width 6. */
#define LLAMA_LAYER(prefix)                                                                                  \
    prefix "self_attn.q_proj.weight[8,6] " prefix "self_attn.k_proj.weight[4,6] " prefix                     \
           "self_attn.v_proj.weight[4,6] " prefix "self_attn.o_proj.weight[6,8] "
#define LLAMA(type)                                                                                          \
    "{\"model_type\":\"" type "\",\"hidden_size\":6,\"num_attention_heads\":2,\"num_key_value_heads\":1,"    \
    "\"head_dim\":4,\"num_hidden_layers\":3"
#define THREE_LAYERS                                                                                         \
    LLAMA_LAYER("model.layers.0.") LLAMA_LAYER("model.layers.1.") LLAMA_LAYER("model.layers.2.")
#define NORMS(prefix) prefix "self_attn.q_norm.weight[4] " prefix "self_attn.k_norm.weight[4] "
#define THREE_NORMS   NORMS("model.layers.0.") NORMS("model.layers.1.") NORMS("model.layers.2.")

static void check_windows(const char *name, const size_t widths[3]) {
    char layer[80];
    for (size_t i = 0; i < 3; i++) {
        snprintf(layer, sizeof layer, "%s.%zu", name, i);
        cr_expect_eq(config_of(layer)->sliding_window, widths[i], "%s: window %zu, expected %zu", layer,
                     config_of(layer)->sliding_window, widths[i]);
    }
}

Test(families, windows) {
#define UP ",\"use_sliding_window\":true,\"sliding_window\":5"
    static const struct {
        const char *config;
        size_t widths[3];
    } cases[] = {
        {LLAMA("mistral") "}", {4096, 4096, 4096}},
        {LLAMA("mistral") ",\"sliding_window\":null}", {0, 0, 0}},
        {LLAMA("mistral") ",\"sliding_window\":7}", {7, 7, 7}},
        {LLAMA("llama") ",\"sliding_window\":7}", {0, 0, 0}},
        {LLAMA("qwen2") ",\"sliding_window\":7,\"max_window_layers\":0}", {0, 0, 0}},
        {LLAMA("qwen2") UP "}", {0, 0, 0}},
        {LLAMA("qwen2") UP ",\"max_window_layers\":2}", {0, 0, 5}},
        {LLAMA("qwen2") UP ",\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\"]}",
         {5, 0, 0}},
        {LLAMA("gemma2") "}", {4096, 0, 4096}},
        {LLAMA("gemma2") ",\"sliding_window\":6}", {6, 0, 6}},
        {LLAMA("gemma2") ",\"sliding_window\":6,\"layer_types\":[\"full_attention\",\"sliding_attention\","
                         "\"full_attention\"]}",
         {0, 6, 0}},
        {LLAMA("gemma3_text") "}", {4096, 4096, 4096}},
        {LLAMA("gemma3_text") ",\"sliding_window\":9,\"sliding_window_pattern\":3}", {9, 9, 0}},
        {LLAMA("gemma3_text") ",\"sliding_window\":9,\"use_bidirectional_attention\":true}", {5, 5, 5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[16], spec[32];
        snprintf(name, sizeof name, "w%zu", i);
        snprintf(spec, sizeof spec, "%%s/%s", name);
        write_model(name, cases[i].config,
                    THREE_LAYERS THREE_NORMS "model.layers.0.self_attn.q_proj.bias[8] "
                                             "model.layers.0.self_attn.k_proj.bias[4] "
                                             "model.layers.0.self_attn.v_proj.bias[4] "
                                             "model.layers.1.self_attn.q_proj.bias[8] "
                                             "model.layers.1.self_attn.k_proj.bias[4] "
                                             "model.layers.1.self_attn.v_proj.bias[4] "
                                             "model.layers.2.self_attn.q_proj.bias[8] "
                                             "model.layers.2.self_attn.k_proj.bias[4] "
                                             "model.layers.2.self_attn.v_proj.bias[4]");
        loaded(spec);
        check_windows(name, cases[i].widths);
        const attn_layer *layer = &find(strcat(name, ".0"))->layer;
        cr_expect_eq(layer->config.causal, strstr(cases[i].config, "bidirectional") == NULL);
        /* Qwen 2 has biases, and none on the output. */
        cr_expect_eq(layer->q_bias != NULL, strstr(cases[i].config, "qwen2") != NULL);
        cr_expect(layer->o_bias == NULL && layer->config.bias == (layer->q_bias != NULL));
    }
}

Test(families, gemma3_inside_another_model) {
    write_model("g",
                "{\"model_type\":\"gemma3\",\"hidden_size\":1,\"text_config\":{\"hidden_size\":6,"
                "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4,\"num_hidden_layers\":3,"
                "\"sliding_window_pattern\":2,\"query_pre_attn_scalar\":64,\"rms_norm_eps\":0.5,"
                "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}}}",
                LLAMA_LAYER("language_model.model.layers.0.") LLAMA_LAYER("language_model.model.layers.1.")
                    LLAMA_LAYER("language_model.model.layers.2.") NORMS("language_model.model.layers.0.")
                        NORMS("language_model.model.layers.1.") NORMS("language_model.model.layers.2."));
    loaded("%s/g");
    const attn_layer *layer = &find("g.1")->layer;
    for (size_t i = 0; i < 4; i++) { /* RMS norms of Gemma multiply by 1 + weight */
        expect(layer->q_norm[i], 1 + test_value(432 + 8 + i), "q_norm", i, 0);
        expect(layer->k_norm[i], 1 + test_value(432 + 12 + i), "k_norm", i, 0);
    }
    weighs(&layer->v_weight, 144 + 72, 24);
    cr_expect(layer->config.qk_norm && layer->config.qk_norm_eps == 0.5 && layer->config.scale_given);
    cr_expect(layer->scale[0] == 0.125F && layer->scale[1] == 0.125F);
    /* Layer 1 sees all and has the large theta, stretched; the two beside it have neither. */
    cr_expect(layer->config.rope.theta == 1e6 && layer->config.rope.scaling == ATTN_ROPE_LINEAR);
    cr_expect(config_of("g.0")->rope.theta == 1e4 && config_of("g.0")->rope.scaling == ATTN_ROPE_UNSCALED);
    check_windows("g", (const size_t[]){4096, 0, 4096});
}

Test(families, gemma3_with_a_rotation_for_each_type) {
    write_model("g",
                LLAMA("gemma3_text") ",\"layer_types\":[\"sliding_attention\",\"full_attention\","
                                     "\"sliding_attention\"],\"rope_parameters\":{\"full_attention\":"
                                     "{\"rope_type\":\"default\",\"rope_theta\":70},\"sliding_attention\":"
                                     "{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":60}}}",
                THREE_LAYERS THREE_NORMS);
    loaded("%s/g");
    cr_expect(config_of("g.0")->rope.theta == 60 && config_of("g.0")->rope.factor == 2);
    cr_expect(config_of("g.1")->rope.theta == 70 && config_of("g.1")->rope.scaling == ATTN_ROPE_UNSCALED);
}

Test(families, what_an_absent_key_stands_for) {
    write_model("llama", LLAMA("llama") "}", THREE_LAYERS);
    loaded("%s/llama");
    const attn_config *llama = config_of("llama.2");
    cr_expect(llama->num_kv_heads == 1 && llama->head_dim == 4 && llama->kdim == 6 && llama->causal);
    cr_expect(!llama->qk_norm && !llama->scale_given && llama->softcap == 0 && llama->dropout == 0);
    write_model("gemma2", LLAMA("gemma2") "}", THREE_LAYERS);
    write_model("uncapped", LLAMA("gemma2") ",\"attn_logit_softcapping\":null,\"attention_dropout\":0.5}",
                THREE_LAYERS);
    loaded("%s/gemma2");
    loaded("%s/uncapped");
    cr_expect(config_of("gemma2.0")->softcap == 50 && find("gemma2.0")->layer.scale[1] == 1 / 16.0F);
    cr_expect(config_of("uncapped.0")->softcap == 0 && config_of("uncapped.0")->dropout == 0.5);
    write_model("mistral",
                "{\"model_type\":\"mistral\",\"hidden_size\":6,\"num_attention_heads\":2,"
                "\"num_hidden_layers\":3}",
                THREE_LAYERS);
    REFUSED("%s/mistral", "num_kv_heads 8: expected a divisor of num_heads, which is 2");
}

#define T5_LAYER(path)                                                                                       \
    path ".q.weight[6,4] " path ".k.weight[6,4] " path ".v.weight[6,4] " path ".o.weight[4,6] "
#define T5_TABLE(half) half ".block.0.layer.0.SelfAttention.relative_attention_bias.weight[32,2] "
#define T5_ENCODER                                                                                           \
    T5_LAYER("encoder.block.0.layer.0.SelfAttention")                                                        \
    T5_LAYER("encoder.block.1.layer.0.SelfAttention") T5_TABLE("encoder")
#define T5_DECODER                                                                                           \
    T5_LAYER("decoder.block.0.layer.0.SelfAttention")                                                        \
    T5_TABLE("decoder") T5_LAYER("decoder.block.0.layer.1.EncDecAttention")
#define T5                                                                                                   \
    "{\"model_type\":\"t5\",\"d_model\":4,\"d_kv\":3,\"num_heads\":2,\"num_layers\":2,"                      \
    "\"num_decoder_layers\":1"

Test(families, encoder_decoder) {
    write_model("t", T5 "}", T5_ENCODER T5_DECODER);
    loaded("%s/t");
    static const char *const names[] = {"t.encoder.0", "t.encoder.1", "t.decoder.0", "t.cross.0"};
    cr_assert_eq(registry.count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(registry.models[i]->name, names[i]);
    const attn_layer *second = &find("t.encoder.1")->layer, *decoder = &find("t.decoder.0")->layer,
                     *cross = &find("t.cross.0")->layer;
    weighs(&second->q_weight, 96, 24);
    holds(second->relative_bias, 192, 64); /* the one table of the encoder */
    weighs(&decoder->o_weight, 256 + 72, 24);
    holds(decoder->relative_bias, 256 + 96, 64);
    weighs(&cross->k_weight, 256 + 160 + 24, 24);
    cr_expect(cross->relative_bias == NULL && cross->config.relative_bias.buckets == 0);
    cr_expect(second->config.relative_bias.bidirectional && !decoder->config.relative_bias.bidirectional);
    cr_expect(decoder->config.causal && !second->config.causal && !cross->config.causal);
    cr_expect(cross->scale[0] == 1 && cross->scale[1] == 1 && cross->config.head_dim == 3);
    loaded("x=%s/t#cross.0");
    loaded("e=%s/t#encoder.1");
    weighs(&find("e")->layer.q_weight, 96, 24);
    weighs(&find("x")->layer.k_weight, 256 + 160 + 24, 24);
    REFUSED("x1=%s/t#cross.1", "layer cross.1 was asked for, the checkpoint has encoder.0 to encoder.1, "
                               "decoder.0 to decoder.0, cross.0 to cross.0");
}

Test(families, encoder_alone_and_a_decoder_in_part) {
    write_model("e", T5 "}", T5_ENCODER);
    loaded("%s/e");
    cr_expect_eq(registry.count, 2);
    write_model("both", T5 ",\"num_decoder_layers\":null}",
                "decoder.block.0.layer.0.SelfAttention.q.weight[1]");
    REFUSED("%s/both#decoder.2", "decoder.0 to decoder.1"); /* the key is there twice: the last counts */
    write_model("part", T5 "}",
                T5_ENCODER T5_TABLE("decoder") T5_LAYER("decoder.block.0.layer.0.SelfAttention"));
    REFUSED("%s/part", "tensor \"decoder.block.0.layer.1.EncDecAttention.q.weight\": missing");
    write_model("none", T5 "}", "shared.weight[3,4]");
    REFUSED("%s/none", "tensor \"encoder.block.0.layer.0.SelfAttention.q.weight\": missing");
}

#define WHISPER_LAYER(path)                                                                                  \
    path ".q_proj.weight[4,4] " path ".k_proj.weight[4,4] " path ".v_proj.weight[4,4] " path                 \
         ".out_proj.weight[4,4] " path ".q_proj.bias[4] " path ".v_proj.bias[4] " path ".out_proj.bias[4] "

Test(families, whisper_has_no_bias_on_keys) {
    write_model("w",
                "{\"model_type\":\"whisper\",\"d_model\":4,\"encoder_layers\":1,\"decoder_layers\":1,"
                "\"encoder_attention_heads\":4,\"decoder_attention_heads\":2}",
                WHISPER_LAYER("model.encoder.layers.0.self_attn")
                    WHISPER_LAYER("model.decoder.layers.0.self_attn")
                        WHISPER_LAYER("model.decoder.layers.0.encoder_attn"));
    loaded("%s/w");
    const attn_layer *encoder = &find("w.encoder.0")->layer, *cross = &find("w.cross.0")->layer;
    holds(encoder->q_bias, 64, 4);
    holds(encoder->v_bias, 68, 4);
    holds(encoder->o_bias, 72, 4);
    cr_expect(encoder->k_bias == NULL && encoder->config.bias);
    weighs(&cross->q_weight, 152, 16);
    cr_expect(encoder->config.num_heads == 4 && cross->config.num_heads == 2);
    cr_expect(config_of("w.decoder.0")->causal && !cross->config.causal);
}

Test(families, gpt2_scales) {
#define GPT2 "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":2,\"n_layer\":2"
#define GPT2_LAYER(path)                                                                                     \
    path "c_attn.weight[4,12] " path "c_attn.bias[12] " path "c_proj.weight[4,4] " path "c_proj.bias[4] "
    static const char tensors[] = GPT2_LAYER("h.0.attn.") GPT2_LAYER("h.1.attn.");
    write_model("a", GPT2 ",\"scale_attn_weights\":false}", tensors);
    write_model("b", GPT2 ",\"scale_attn_by_inverse_layer_idx\":true}", tensors);
    loaded("%s/a");
    loaded("%s/b");
    expect(find("a.1")->layer.scale[1], 1, "scale", 1, 0);
    expect(find("b.0")->layer.scale[0], sqrt(0.5), "scale", 0, 0);
    expect(find("b.1")->layer.scale[0], sqrt(0.5) / 2, "scale", 0, 0);
}

Test(families, longrope) {
    write_model("l",
                LLAMA("llama") ",\"max_position_embeddings\":64,\"original_max_position_embeddings\":16,"
                               "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1.5],"
                               "\"long_factor\":[2,8]}}",
                THREE_LAYERS);
    loaded("%s/l");
    const attn_layer *layer = &find("l.1")->layer;
    cr_expect(layer->config.rope.scaling == ATTN_ROPE_LONGROPE && layer->config.rope.original_length == 16);
    cr_expect(layer->rope_short[1] == 1.5F && layer->rope_long[0] == 2 && layer->rope_long[1] == 8);
}

Test(families, what_is_not_served) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {LLAMA("mamba") "}", "expected one of those served (bert, roberta, "},
        {LLAMA("llama") ",\"rope_scaling\":{\"type\":\"spiral\"}}", "\"rope_scaling\": \"type\": expected"},
        {LLAMA("llama") ",\"rope_scaling\":7}", "\"rope_scaling\": expected an object, found 7"},
        {LLAMA("llama") ",\"rope_parameters\":\"x\"}", "\"rope_parameters\": expected an object"},
        {LLAMA("llama") ",\"rope_scaling\":{},\"rope_parameters\":{\"type\":\"no\"}}", "\"type\": expected"},
        {LLAMA("llama") ",\"rope_theta\":-1}", "\"rope_theta\": expected a number above 0"},
        {LLAMA("llama") ",\"partial_rotary_factor\":0.5}", "layers of this family rotate all 4"},
        {LLAMA("phi3") ",\"partial_rotary_factor\":0.3}", "enough for 2 of the 4 numbers of a head"},
        {LLAMA("llama") ",\"quantization_config\":{}}", "quantised weights are not served"},
        {LLAMA("gemma2") ",\"use_bidirectional_attention\":true}", "expected false, found true"},
        {LLAMA("gemma2") ",\"layer_types\":[\"full_attention\"]}", "a string for each layer"},
        {LLAMA("gemma2") ",\"layer_types\":\"full_attention\"}", "a string for each layer"},
        {LLAMA("gemma2") ",\"layer_types\":[\"chunked_attention\",2,3]}", "\"layer_types[0]\": expected"},
        {LLAMA("gemma2") ",\"sliding_window\":null,\"layer_types\":[\"sliding_attention\",2,3]}",
         "says that layer 0 has a window"},
        {LLAMA("gemma2") ",\"attn_logit_softcapping\":0}", "\"attn_logit_softcapping\": expected a number"},
        {LLAMA("qwen2") ",\"use_sliding_window\":1}", "\"use_sliding_window\": expected true or false"},
        {LLAMA("gemma3_text") ",\"rope_parameters\":[]}", "\"rope_parameters\": expected an object"},
        {"{\"model_type\":\"gemma3\"}", "\"text_config\": expected an object, found no such key"},
        {"{\"model_type\":\"gemma3\",\"text_config\":7}", "\"text_config\": expected an object, found 7"},
        {"{\"model_type\":\"gemma3\",\"text_config\":{\"num_attention_heads\":0}}",
         "\"text_config\": \"num_attention_heads\": expected a whole number from 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_model("m", cases[i].config, THREE_LAYERS THREE_NORMS);
        REFUSED("%s/m", "m/config.json: ", cases[i].says);
    }
}

Test(families, biases_that_are_missing) {
    write_model("m", LLAMA("llama") ",\"attention_bias\":true}", THREE_LAYERS);
    REFUSED("%s/m", "tensor \"model.layers.0.self_attn.q_proj.bias\": missing, expected with shape [8]");
}

/* The same tensors under each prefix that some class is saved with. */
Test(families, prefixes) {
    write_model("a", LLAMA("llama") "}", THREE_LAYERS);
    write_model("b", LLAMA("llama") "}",
                LLAMA_LAYER("layers.0.") LLAMA_LAYER("layers.1.") LLAMA_LAYER("layers.2."));
    write_model("c", LLAMA("llama") "}",
                LLAMA_LAYER("transformer.layers.0.") LLAMA_LAYER("transformer.layers.1.")
                    LLAMA_LAYER("transformer.layers.2."));
    static const char *const specs[] = {"%s/a", "%s/b", "%s/c"}, *const names[] = {"a.2", "b.2", "c.2"};
    for (size_t i = 0; i < 3; i++) {
        loaded(specs[i]);
        weighs(&find(names[i])->layer.q_weight, 288, 48);
    }
}
