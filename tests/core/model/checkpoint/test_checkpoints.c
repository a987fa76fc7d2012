/* What config.json and the files of real checkpoints have that is not as save_pretrained of today writes it:
 * each layer must then be what transformers makes of it (the comments say where it does so), or the start
 * stops with a sentence that names the key. */
#include "core/attention/rope.h"
#include "core/model/checkpoint/key_rules.h"
#include "tests/core/model/specs.h"

#include <math.h>

TestSuite(checkpoints, .init = begin, .fini = end);

/* Two layers with 2 heads of width 4, one of keys, in a model of width 6. */
#define LAYER_OF(path)                                                                                       \
    path "q_proj.weight[8,6] " path "k_proj.weight[4,6] " path "v_proj.weight[4,6] " path                    \
         "o_proj.weight[6,8] "
#define REST_OF(path)                                                                                        \
    path "q_proj.bias[8] " path "k_proj.bias[4] " path "v_proj.bias[4] " path "q_norm.weight[4] " path       \
         "k_norm.weight[4] "
#define NUMBER(n) "model.layers." #n ".self_attn."
#define TENSORS   LAYER_OF(NUMBER(0)) LAYER_OF(NUMBER(1)) REST_OF(NUMBER(0)) REST_OF(NUMBER(1))
#define CONFIG(type, more)                                                                                   \
    "{\"model_type\":\"" type "\",\"hidden_size\":6,\"num_attention_heads\":2,\"num_key_value_heads\":1,"    \
    "\"head_dim\":4,\"num_hidden_layers\":2," more "}"

static const attn_config *config_of(const char *name) {
    return &find(name)->layer.config;
}

/* Loads a checkpoint of these tensors as NAME. */
static void load(const char *name, const char *config) {
    char spec[64];
    write_model(name, config, TENSORS);
    snprintf(spec, sizeof spec, "%%s/%s", name);
    loaded(spec);
}

static void expect_refusal(const char *config, const char *says) {
    write_model("m", config, TENSORS);
    REFUSED("%s/m", "m/config.json: ", says);
}

/* Expects that one warning, and only one, has all of this. */
static void expect_warning(const char *where, const char *says) {
    size_t found = 0;
    for (size_t i = 0; i < registry.warnings.count; i++)
        found += strstr(registry.warnings.lines[i], where) != NULL &&
                 strstr(registry.warnings.lines[i], says) != NULL;
    cr_expect_eq(found, 1, "%zu warnings with '%s' and '%s'", found, where, says);
}

/* masking_utils.py: without is_causal no mask is causal, and a window has |q - k| <= sliding_window. */
Test(checkpoints, is_causal) {
    static const struct {
        const char *name, *config;
        size_t windows[2];
    } cases[] = {
        {"llama", CONFIG("llama", "\"is_causal\":false"), {0, 0}},
        {"null", CONFIG("llama", "\"is_causal\":null"), {0, 0}},
        {"mistral", CONFIG("mistral", "\"is_causal\":false,\"sliding_window\":5"), {6, 6}},
        {"mistral4096", CONFIG("mistral", "\"is_causal\":false"), {4097, 4097}},
        {"open", CONFIG("mistral", "\"is_causal\":false,\"sliding_window\":null"), {0, 0}},
        {"qwen2",
         CONFIG("qwen2", "\"is_causal\":false,\"use_sliding_window\":true,\"sliding_window\":5,"
                         "\"max_window_layers\":1"),
         {0, 6}},
        {"qwen3", CONFIG("qwen3", "\"is_causal\":false"), {0, 0}},
        {"gemma", CONFIG("gemma", "\"is_causal\":false"), {0, 0}},
        {"gemma2", CONFIG("gemma2", "\"is_causal\":false,\"sliding_window\":5"), {6, 0}},
        {"gemma3",
         CONFIG("gemma3_text", "\"is_causal\":false,\"sliding_window\":5,\"sliding_window_pattern\":2"),
         {6, 0}},
        /* Both: half a window, and then |q - k| <= it. */
        {"both",
         CONFIG("gemma3_text", "\"is_causal\":false,\"use_bidirectional_attention\":true,"
                               "\"sliding_window\":9"),
         {6, 6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        load(cases[i].name, cases[i].config);
        for (size_t n = 0; n < 2; n++) {
            char layer[80];
            snprintf(layer, sizeof layer, "%s.%zu", cases[i].name, n);
            cr_expect(!config_of(layer)->causal, "%s", layer);
            cr_expect_eq(config_of(layer)->sliding_window, cases[i].windows[n], "%s: window %zu", layer,
                         config_of(layer)->sliding_window);
        }
    }
    load("causal", CONFIG("mistral", "\"is_causal\":true,\"sliding_window\":5"));
    cr_expect(config_of("causal.1")->causal && config_of("causal.1")->sliding_window == 5);
    expect_refusal(CONFIG("llama", "\"is_causal\":0"), "\"is_causal\": expected true or false, found 0");
}

#define T5_LAYER(path) path "q.weight[4,4] " path "k.weight[4,4] " path "v.weight[4,4] " path "o.weight[4,4] "
#define T5_HALF(half)                                                                                        \
    half ".block.0.layer.0.SelfAttention.relative_attention_bias.weight[32,2] " T5_LAYER(                    \
        half ".block.0.layer.0.SelfAttention.")

Test(checkpoints, is_causal_of_other_families) {
    write_model("t",
                "{\"model_type\":\"t5\",\"d_model\":4,\"d_kv\":2,\"num_heads\":2,\"num_layers\":1,"
                "\"is_causal\":false}",
                T5_HALF("encoder") T5_HALF("decoder") T5_LAYER("decoder.block.0.layer.1.EncDecAttention."));
    write_model("g", "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":2,\"n_layer\":1,\"is_causal\":false}",
                "h.0.attn.c_attn.weight[4,12] h.0.attn.c_attn.bias[12] h.0.attn.c_proj.weight[4,4] "
                "h.0.attn.c_proj.bias[4]");
    loaded("%s/t");
    loaded("%s/g");
    cr_expect(!config_of("t.decoder.0")->causal && !config_of("t.decoder.0")->relative_bias.bidirectional);
    cr_expect(!config_of("t.encoder.0")->causal && !config_of("g.0")->causal);
}

/* AutoConfig makes Ministral of a mistral with layer_types. */
Test(checkpoints, layer_types) {
    load("m", CONFIG("mistral",
                     "\"sliding_window\":5,\"layer_types\":[\"sliding_attention\",\"full_attention\"]"));
    cr_expect(config_of("m.0")->sliding_window == 5 && config_of("m.1")->sliding_window == 0);
    load("n", CONFIG("mistral", "\"sliding_window\":5,\"layer_types\":null"));
    cr_expect(config_of("n.0")->sliding_window == 5 && config_of("n.1")->sliding_window == 5);
    load("old",
         CONFIG("gemma2", "\"sliding_window\":5,\"layer_types\":[\"attention\",\"sliding_attention\"]"));
    cr_expect(config_of("old.0")->sliding_window == 0 && config_of("old.1")->sliding_window == 5);
    expect_refusal(CONFIG("mistral", "\"layer_types\":[\"mamba\",\"attention\"]"),
                   "\"layer_types[0]\": expected");
    expect_refusal(CONFIG("mistral", "\"sliding_window\":null,\"layer_types\":[\"full_attention\","
                                     "\"sliding_attention\"]"),
                   "layer 1 has a window");
    cr_expect_eq(registry.warnings.count, 0);
    /* The others do not look at it. */
    load("l",
         CONFIG("llama", "\"layer_types\":[\"sliding_attention\",\"full_attention\"],\"sliding_window\":5"));
    cr_expect(config_of("l.0")->sliding_window == 0 && config_of("l.1")->sliding_window == 0);
    expect_warning("l/config.json: \"layer_types\" is passed over", "of one type");
    expect_warning("l/config.json: \"sliding_window\" is passed over", "no windows");
}

/* Only Gemma 3 has the key: Gemma 2 alternates. */
Test(checkpoints, pattern_of_gemma2) {
    load("two", CONFIG("gemma2", "\"sliding_window\":5,\"sliding_window_pattern\":1"));
    cr_expect(config_of("two.0")->sliding_window == 5 && config_of("two.1")->sliding_window == 0);
    expect_warning("two/config.json: \"sliding_window_pattern\" is passed over", "only Gemma 3");
    load("three", CONFIG("gemma3_text", "\"sliding_window\":5,\"sliding_window_pattern\":1"));
    cr_expect(config_of("three.0")->sliding_window == 0 && config_of("three.1")->sliding_window == 0);
}

#define YARN "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32"

/* modeling_rope_utils.py, _check_received_keys: a warning, and computed as without. */
Test(checkpoints, keys_of_a_rotation_that_are_not_read) {
    load("plain", CONFIG("llama", YARN "}"));
    cr_expect_eq(registry.warnings.count, 0);
    load("y", CONFIG("llama", YARN ",\"attn_factor\":0.5,\"finetuned\":true,\"mrope_section\":[1,1]}"));
    cr_expect_eq(memcmp(&config_of("y.0")->rope, &config_of("plain.0")->rope, sizeof config_of("y.0")->rope),
                 0);
    cr_expect_eq(registry.warnings.count, 3); /* and not one for each layer */
    expect_warning("y/config.json: \"rope_scaling\" of type \"yarn\": \"attn_factor\"", "attention_factor");
    expect_warning("y/config.json: \"rope_scaling\" of type \"yarn\": \"finetuned\"", "does not have it");
    expect_warning("y/config.json: \"rope_scaling\" of type \"yarn\": \"mrope_section\"", "");
    load("d", CONFIG("llama",
                     "\"rope_parameters\":{\"rope_type\":\"default\",\"factor\":null,\"beta_fast\":\"x\"}"));
    expect_warning("d/config.json: \"rope_parameters\" of type \"default\": \"factor\"", "");
    expect_warning("d/config.json: \"rope_parameters\" of type \"default\": \"beta_fast\"", "");
    /* The rotations of types of layers, in a family that has none. */
    expect_refusal(CONFIG("llama", "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}"),
                   "\"full_attention\": expected no object");
    expect_refusal(CONFIG("llama", YARN ",\"beta_fast\":\"x\"}"), "\"beta_fast\": expected a number");
}

/* In a directory of our own every key counts. */
Test(checkpoints, keys_of_a_rotation_of_our_own) {
    write_model("m", HEADS ",\"rope\":{\"scaling\":{\"rope_type\":\"default\",\"attn_factor\":1}}}", LAYER);
    REFUSED("%s/m", "scaling of type \"default\": unknown key \"attn_factor\"");
}

#define DEFAULT(theta) "{\"rope_type\":\"default\",\"rope_theta\":" #theta "}"

/* configuration_gemma3.py, convert_rope_params_to_dict: rope_scaling goes into the object of the full layers.
 */
Test(checkpoints, rotations_of_gemma3) {
#define TYPES "\"layer_types\":[\"full_attention\",\"sliding_attention\"],"
    load("a",
         CONFIG("gemma3_text", TYPES
                "\"rope_parameters\":{\"full_attention\":" DEFAULT(5e5) ",\"sliding_attention\":" DEFAULT(
                    2e4) "},\"rope_scaling\":{\"rope_type\":\"linear\","
                         "\"factor\":8.0}"));
    const attn_rope *full = &config_of("a.0")->rope, *local = &config_of("a.1")->rope;
    cr_expect(full->scaling == ATTN_ROPE_LINEAR && full->factor == 8 && full->theta == 5e5);
    cr_expect(local->scaling == ATTN_ROPE_UNSCALED && local->theta == 2e4);
    /* The default beside which it comes is called rope_type, and that name counts. */
    load("b", CONFIG("gemma3_text", TYPES "\"rope_scaling\":{\"type\":\"linear\",\"factor\":8.0}"));
    cr_expect_eq(config_of("b.0")->rope.scaling, ATTN_ROPE_UNSCALED);
    load("c", CONFIG("gemma3_text", TYPES "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0},"
                                          "\"rope_theta\":7e5"));
    cr_expect(config_of("c.0")->rope.scaling == ATTN_ROPE_LINEAR && config_of("c.0")->rope.theta == 7e5);
    cr_expect_eq(config_of("c.1")->rope.theta, 1e4);
    /* Beside the types of layers nothing is read. */
    load("d", CONFIG("gemma3_text", TYPES "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":8.0}"));
    cr_expect_eq(config_of("d.0")->rope.scaling, ATTN_ROPE_UNSCALED);
    expect_warning("d/config.json: \"rope_parameters\": \"factor\" is passed over", "each type of layer");
    expect_refusal(CONFIG("gemma3_text", TYPES "\"rope_parameters\":{\"full_attention\":null},"
                                               "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}"),
                   "\"rope_scaling\": expected \"rope_parameters\" to have the \"full_attention\"");
    expect_refusal(CONFIG("gemma3_text", TYPES "\"rope_scaling\":7"), "\"rope_scaling\": expected an object");
}

/* _compute_yarn_parameters looks for truncate beside the types of layers, and for the original length in the
 * object of the type alone. */
Test(checkpoints, yarn_in_gemma3) {
#define NESTED(inside, beside)                                                                               \
    CONFIG("gemma3_text",                                                                                    \
           TYPES "\"original_max_position_embeddings\":99,\"max_position_embeddings\":64,"                   \
                 "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"yarn\",\"factor\":4.0" inside     \
                 "}" beside "}")
    load("a", NESTED(",\"truncate\":false,\"original_max_position_embeddings\":32", ""));
    cr_expect(config_of("a.0")->rope.truncate && config_of("a.0")->rope.original_length == 32);
    expect_warning("a/config.json: ", "\"truncate\" is passed over");
    load("b", NESTED("", ",\"truncate\":false"));
    cr_expect(!config_of("b.0")->rope.truncate && config_of("b.0")->rope.original_length == 64);
    cr_expect_eq(registry.warnings.count, 1);
}

/* int(10 * 0.5) is 5: transformers makes frequencies for 5 dims, and rotates 6. */
Test(checkpoints, an_odd_part_of_a_head) {
    static const char neox[] = "model_type\":\"gpt_neox\",\"hidden_size\":20,\"num_attention_heads\":2,"
                               "\"num_hidden_layers\":1,\"attention_bias\":false,\"rotary_pct\":0.5";
    static const char tensors[] = "layers.0.attention.query_key_value.weight[60,20] "
                                  "layers.0.attention.dense.weight[20,20]";
    char config[512];
    snprintf(config, sizeof config, "{\"%s}", neox);
    write_model("n", config, tensors);
    loaded("%s/n");
    cr_expect(config_of("n.0")->rope.dims == 6 && config_of("n.0")->rope.odd);
    float frequencies[3];
    attn_rope_frequencies(&find("n.0")->layer, 1, frequencies);
    for (int i = 0; i < 3; i++)
        cr_expect(fabs(frequencies[i] - pow(1e4, -2.0 * i / 5)) < 1e-6 * frequencies[i], "%d", i);
    snprintf(config, sizeof config,
             "{\"%s,\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2.0,"
             "\"rope_theta\":100.0}}",
             neox);
    write_model("y", config, tensors);
    REFUSED("%s/y", "expected an even number of rotated dims for this type, found 5");
    snprintf(config, sizeof config, "{\"%s,\"head_dim\":4}", neox);
    write_model("h", config, tensors);
    REFUSED("%s/h", "\"head_dim\": expected no such key, found 4");
}

/* attribute_map: the other name counts where it is there. */
Test(checkpoints, other_names_of_keys) {
    write_model("g",
                "{\"model_type\":\"gpt2\",\"n_embd\":4,\"hidden_size\":4,\"n_head\":1,"
                "\"num_attention_heads\":2,\"num_hidden_layers\":1}",
                "h.0.attn.c_attn.weight[4,12] h.0.attn.c_attn.bias[12] h.0.attn.c_proj.weight[4,4] "
                "h.0.attn.c_proj.bias[4]");
    loaded("%s/g");
    cr_expect_eq(config_of("g.0")->num_heads, 2);
    write_model("b",
                "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":1,\"n_layer\":1,\"num_attention_heads\":3}",
                "h.0.attn.c_attn.weight[4,12]");
    REFUSED("%s/b", "num_heads 3: expected a divisor");
    write_model(
        "c", "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":1,\"n_layer\":1,\"num_attention_heads\":null}",
        "h.0.attn.c_attn.weight[4,12]");
    REFUSED("%s/c", "\"num_attention_heads\": expected a whole number");
    /* num_decoder_layers is copied from num_layers before that gets its other name's value. */
    write_model("t",
                "{\"model_type\":\"t5\",\"d_model\":4,\"head_dim\":2,\"num_heads\":2,\"num_layers\":1,"
                "\"num_hidden_layers\":3}",
                T5_HALF("encoder") T5_HALF("decoder") T5_LAYER("decoder.block.0.layer.1.EncDecAttention."));
    REFUSED("%s/t#x", "the checkpoint has encoder.0 to encoder.2, decoder.0 to decoder.0");
}

/* What Python reads and RFC 8259 does not have, in keys that have nothing to do with attention. */
Test(checkpoints, config_of_python) {
    load("m", CONFIG("llama", "\"use_cache\":true,\"use_cache\":false,\"x\":Infinity,\"y\":[NaN,-Infinity],"
                              "\"z\":1000000000000000019884624838656,\"num_key_value_heads\":2,"
                              "\"num_key_value_heads\":1"));
    expect_refusal(CONFIG("llama", "\"rope_theta\":Infinity"), "\"rope_theta\": expected a number above 0");
    expect_refusal(CONFIG("llama", "\"hidden_size\":NaN"), "\"hidden_size\": expected a whole number");
    expect_refusal(CONFIG("llama", "\"hidden_size\":1000000000000000019884624838656"), "found 1e+30");
    write_model("own", HEADS ",\"num_heads\":2}", LAYER);
    REFUSED("%s/own", "own/config.json: not valid JSON: duplicate object key");
    write_model("own", HEADS ",\"dropout\":NaN}", LAYER);
    REFUSED("%s/own", "own/config.json: not valid JSON: ");
}

/* A tensor that nobody needs may be of any type, in two files, or in none. */
Test(checkpoints, tensors_that_nobody_needs) {
    write_model("m", CONFIG("llama", "\"x\":1"),
                TENSORS "model.layers.0.mlp.up_proj.weight[2,2]:I32 x[1]:U32");
    rename(in_folder(folder, "m/model.safetensors"), in_folder(folder, "m/one"));
    st_begin(&writer, "");
    st_describe(&writer, "model.norm.weight[6] x[1]");
    st_end(&writer, in_folder(folder, "m/two"));
    write_text(in_folder(folder, "m/model.safetensors.index.json"),
               "{\"weight_map\":{\"model.norm.weight\":\"one\",\"x\":\"two\","
               "\"model.layers.0.self_attn.rotary_emb.inv_freq\":\"one\"}}");
    loaded("%s/m");
    weighs(&find("m.0")->layer.q_weight, 0, 48);
    st_begin(&writer, "");
    st_describe(&writer, NUMBER(1) "k_proj.weight[4,6]");
    st_end(&writer, in_folder(folder, "m/two"));
    REFUSED("n=%s/m", "tensor \"model.layers.1.self_attn.k_proj.weight\": stands in another shard too");
}

/* Where transformers would go on with numbers that it made up, the sentence names the key. */
Test(checkpoints, keys_of_what_is_missing) {
    static const struct {
        const char *config, *says, *key;
    } cases[] = {
        {CONFIG("llama", "\"num_hidden_layers\":3"), NUMBER(2) "q_proj.weight\": missing",
         "[8, 6], by \"num_hidden_layers\" of config.json"},
        {CONFIG("llama", "\"attention_bias\":true"), NUMBER(0) "o_proj.bias\": missing",
         "[6], by \"attention_bias\" of config.json"},
        {CONFIG("llama", "\"num_key_value_heads\":3"),
         "m/config.json: ", "\"num_key_value_heads\", \"head_dim\": num_kv_heads 3: expected a divisor"},
        {CONFIG("llama", "\"head_dim\":null,\"num_attention_heads\":4"), "m/config.json: \"hidden_size\", ",
         "\"num_attention_heads\", "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_model("m", cases[i].config, TENSORS);
        REFUSED("%s/m", cases[i].says, cases[i].key);
    }
    /* A wrong shape is no missing tensor. */
    write_model("m", CONFIG("llama", "\"head_dim\":2"), TENSORS);
    REFUSED("%s/m", "expected shape [4, 6], found [8, 6]");
}

/* ---- quantisation ---- */

#define QUANTIZED(config) CONFIG("llama", "\"quantization_config\":" config)

/* Attention as it was, and an mlp that is quantised. */
Test(checkpoints, quantised_beside_attention) {
    static const char *const configs[] = {
        QUANTIZED(
            "{\"quant_method\":\"fp8\",\"modules_to_not_convert\":[\"lm_head\",\"model.layers.0.self_attn\","
            "\"model.layers.1.self_attn\"]}"),
        QUANTIZED("{\"quant_method\":\"mxfp4\",\"modules_to_not_convert\":[\"model.layers.*.self_attn\"]}"),
        QUANTIZED("{\"quant_method\":\"compressed-tensors\",\"ignore\":[\"re:.*self_attn.*\"]}"),
        QUANTIZED(
            "{\"quant_method\":\"bitsandbytes\",\"llm_int8_skip_modules\":[\"q_proj\",\"k_proj\",\"v_proj\","
            "\"o_proj\"]}"),
        QUANTIZED("{\"quant_method\":\"modelopt\",\"exclude_modules\":[\"*self_attn*\"]}"),
        QUANTIZED("{\"quant_method\":\"gptq\",\"bits\":4}"),
        QUANTIZED("null"),
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        char name[8];
        snprintf(name, sizeof name, "q%zu", i);
        load(name, configs[i]);
    }
}

#define EXCEPTED "\"modules_to_not_convert\":[\"self_attn\"]"

Test(checkpoints, quantised_attention) {
    static const char key[] = "\"quantization_config\": quantised weights are not served, found ";
    static const struct {
        const char *config, *tensors, *says;
    } cases[] = {
        {QUANTIZED("{\"quant_method\":\"fp8\"}"), TENSORS, "no modules_to_not_convert"},
        {QUANTIZED("{\"quant_method\":\"fp8\",\"modules_to_not_convert\":[\"model.layers.0.self_attn\"]}"),
         TENSORS, "that excepts \"model.layers.1.self_attn.q_proj\""},
        {QUANTIZED("{\"quant_method\":\"fp8\",\"modules_to_not_convert\":[\"mlp\",\"attn\",\"proj\"]}"),
         TENSORS, "that excepts \"model.layers.0.self_attn.q_proj\""},
        {QUANTIZED("{" EXCEPTED "}"), TENSORS NUMBER(0) "v_proj.weight_scale[1]",
         "tensor \"model.layers.0.self_attn.v_proj.weight_scale\""},
        {QUANTIZED("{\"quant_method\":\"gptq\"}"), TENSORS NUMBER(1) "o_proj.qweight[1,1]:I32",
         "tensor \"model.layers.1.self_attn.o_proj.qweight\""},
        {QUANTIZED("{" EXCEPTED "}"), NUMBER(0) "q_proj.weight[1,1]:I32", "of type I32"},
        {QUANTIZED("{}"), TENSORS, "no modules_to_not_convert"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_model("m", cases[i].config, cases[i].tensors);
        REFUSED("%s/m", "m/config.json: ", key, cases[i].says);
    }
    /* transformers reads it outside of text_config. */
    write_model("g",
                "{\"model_type\":\"gemma3\",\"quantization_config\":{\"quant_method\":\"fp8\"},\"text_"
                "config\":" CONFIG("gemma3_text", "\"x\":1") "}",
                TENSORS);
    REFUSED("%s/g", "g/config.json: \"quantization_config\": quantised weights are not served");
}

/* ---- the table of keys ---- */

Test(checkpoints, keys_that_stop_the_start) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {CONFIG("llama", "\"per_layer_config\":{\"1\":{\"num_key_value_heads\":2}}"),
         "\"per_layer_config\": expected no such key, found an object"},
        {CONFIG("qwen2", "\"attn_logit_softcapping\":30.0"),
         "\"attn_logit_softcapping\": expected no such key"},
        {CONFIG("mistral", "\"clip_qkv\":8"), "\"clip_qkv\": expected no such key, found 8"},
        {CONFIG("gemma", "\"use_bidirectional_attention\":true"), "expected false, found true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(cases[i].config, cases[i].says);
    load("fine",
         CONFIG("llama", "\"clip_qkv\":null,\"qk_layernorm\":false,\"per_layer_config\":{},\"alibi\":false,"
                         "\"is_decoder\":true,\"no_rope_layers\":[],\"kv_lora_rank\":0"));
    load("gemma3", CONFIG("gemma3_text", "\"attn_logit_softcapping\":30.0"));
    cr_expect_eq(config_of("gemma3.0")->softcap, 0);
    expect_warning("gemma3/config.json: \"attn_logit_softcapping\"", "no layer of Gemma 3 has a soft cap");
}

/* Warnings about a model that is not served after all are nobody's business. */
Test(checkpoints, no_warnings_about_a_failure) {
    expect_refusal(CONFIG("llama", "\"layer_types\":[\"full_attention\"],\"rope_theta\":-1"),
                   "\"rope_theta\"");
    cr_expect_eq(registry.warnings.count, 0);
}

/* Is there a row whose first cell has the key, and in it what becomes of a file that has it? */
static bool is_documented(const char *text, const attn_key_rule *rule) {
    const char *verdict = rule->verdict == ATTN_KEY_STOPS ? "| stops the start |" : "| a warning |";
    char key[64], row[1024];
    snprintf(key, sizeof key, strcmp(rule->key, "*") == 0 ? "any other key" : "`%s`", rule->key);
    for (const char *line = text; line[0] != '\0'; line += strcspn(line, "\n"), line += line[0] == '\n') {
        snprintf(row, sizeof row, "%.*s", (int)strcspn(line, "\n"), line);
        if (row[0] != '|' || strstr(row, verdict) == NULL)
            continue;
        const bool is_rope = strstr(row, "| `rope_scaling`, `rope_parameters` |") != NULL;
        row[1 + strcspn(row + 1, "|")] = '\0';
        if (strstr(row, key) != NULL && is_rope == rule->rope)
            return true;
    }
    return false;
}

Test(checkpoints, the_table_is_documented) {
    static char text[1 << 16];
    FILE *file = fopen("docs/families.md", "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    size_t count;
    const attn_key_rule *rules = attn_key_rules(&count);
    for (size_t i = 0; i < count; i++)
        cr_expect(is_documented(text, &rules[i]), "docs/families.md: no row for %s", rules[i].key);
}
