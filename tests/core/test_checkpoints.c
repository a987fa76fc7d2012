/* What config.json and the files of real checkpoints have that is not as save_pretrained of today writes it:
 * each layer must then be what transformers makes of it (the comments say where it does so), or the start
 * stops with a sentence that names the key. */
#include "tests/core/specs.h"

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

/* Loads a checkpoint of these tensors as NAME. */
static void load(const char *name, const char *config) {
    char spec[64];
    write_model(name, config, TENSORS);
    snprintf(spec, sizeof spec, "%%s/%s", name);
    loaded(spec);
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
