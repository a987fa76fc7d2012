/* Models in the layout of torch.nn.MultiheadAttention, against files from the writer in model_files.h. */
#include "tests/core/model/specs.h"

TestSuite(torch, .init = begin, .fini = end);

Test(torch, joint_projection_of_mixed_types) {
    /* 5 * 5 numbers are no multiple of 64 bytes: the three parts must still be aligned. */
    write_model("m", "{\"embed_dim\":5,\"num_heads\":5,\"dropout\":0.5,\"kdim\":null}",
                "out_proj.bias[5]:F64 in_proj_weight[15,5]:F16 out_proj.weight[5,5]:BF16 in_proj_bias[15]");
    loaded("%s/m");
    const attn_model *model = find("m");
    const attn_layer *layer = &model->layer;
    cr_expect_str_eq(model->layout, "torch");
    TAKES(model, 5, 5, 5, 5);
    cr_expect(layer->config.kdim == 5 && layer->config.vdim == 5 && layer->config.bias);
    cr_expect_eq(layer->config.dropout, 0.5f);
    holds(layer->o_bias, 0, 5);
    weighs(&layer->q_weight, 5, 25);
    weighs(&layer->k_weight, 30, 25);
    weighs(&layer->v_weight, 55, 25);
    weighs(&layer->o_weight, 80, 25);
    holds(layer->q_bias, 105, 5);
    holds(layer->k_bias, 110, 5);
    holds(layer->v_bias, 115, 5);
}

Test(torch, separate_projections) {
    write_model("m", "{\"embed_dim\":4,\"num_heads\":2,\"kdim\":3,\"vdim\":6,\"bias\":false}",
                "v_proj_weight[4,6] k_proj_weight[4,3] q_proj_weight[4,4] out_proj.weight[4,4]");
    loaded("%s/m");
    const attn_layer *layer = &find("m")->layer;
    weighs(&layer->v_weight, 0, 24);
    weighs(&layer->k_weight, 24, 12);
    weighs(&layer->q_weight, 36, 16);
    weighs(&layer->o_weight, 52, 16);
    cr_expect(!layer->config.bias && !layer->q_bias && !layer->k_bias && !layer->v_bias && !layer->o_bias);
}

Test(torch, separate_projections_of_one_width) {
    write_model("m", "{\"embed_dim\":2,\"num_heads\":1}",
                "q_proj_weight[2,2] k_proj_weight[2,2] v_proj_weight[2,2] out_proj.weight[2,2] "
                "in_proj_bias[6] out_proj.bias[2]");
    loaded("%s/m");
    weighs(&find("m")->layer.v_weight, 8, 4);
    holds(find("m")->layer.k_bias, 18, 2);
}

/* Rows of H*D = 6, Hkv*D = 3 and 3. */
#define SHARED "{\"embed_dim\":5,\"num_heads\":2,\"num_kv_heads\":1,\"head_dim\":3"

Test(torch, heads_that_share_keys) {
    write_model("joint", SHARED "}",
                "in_proj_weight[12,5] in_proj_bias[12] out_proj.weight[5,6] out_proj.bias[5]");
    write_model(
        "apart", SHARED ",\"kdim\":2,\"vdim\":1}",
        "q_proj_weight[6,5] k_proj_weight[3,2] v_proj_weight[3,1] in_proj_bias[12] out_proj.weight[5,6] "
        "out_proj.bias[5]");
    loaded("%s/joint");
    loaded("%s/apart");
    const attn_layer *joint = &find("joint")->layer, *apart = &find("apart")->layer;
    cr_expect(joint->config.num_kv_heads == 1 && joint->config.head_dim == 3);
    TAKES(find("joint"), 6, 3, 3, 5);
    weighs(&joint->q_weight, 0, 30);
    weighs(&joint->k_weight, 30, 15);
    weighs(&joint->v_weight, 45, 15);
    holds(joint->q_bias, 60, 6);
    holds(joint->k_bias, 66, 3);
    holds(joint->v_bias, 69, 3);
    weighs(&joint->o_weight, 72, 30);
    holds(joint->o_bias, 102, 5);
    weighs(&apart->q_weight, 0, 30);
    weighs(&apart->k_weight, 30, 6);
    weighs(&apart->v_weight, 36, 3);
    holds(apart->k_bias, 45, 3);
    holds(apart->v_bias, 48, 3);
    weighs(&apart->o_weight, 51, 30);
}

Test(torch, the_extra_key) {
    /* In torch's order, and without its two ones. */
    write_model("torch", HEADS ",\"add_bias_kv\":true,\"add_zero_attn\":true}",
                "in_proj_weight[12,4] in_proj_bias[12] bias_k[1,1,4] bias_v[1,1,4] out_proj.weight[4,4] "
                "out_proj.bias[4]");
    write_model("flat", HEADS ",\"add_bias_kv\":true}", LAYER " bias_v[4]:BF16 bias_k[1,1,4]:F64");
    loaded("%s/torch");
    loaded("%s/flat");
    const attn_layer *torch = &find("torch")->layer, *flat = &find("flat")->layer;
    cr_expect(torch->config.add_bias_kv && torch->config.add_zero_attn && !flat->config.add_zero_attn);
    holds(torch->bias_k, 60, 4);
    holds(torch->bias_v, 64, 4);
    weighs(&torch->o_weight, 68, 16);
    holds(flat->bias_v, 80, 4);
    holds(flat->bias_k, 84, 4);
}

Test(torch, what_torch_has_not) {
    write_model("m",
                HEADS
                ",\"head_dim\":4,\"qk_norm\":{\"eps\":1e-5},\"scale\":0.5,\"alibi_slopes\":[0.25,0.1],"
                "\"relative_bias\":{\"buckets\":8,\"max_distance\":16},"
                "\"rope\":{\"scaling\":{\"type\":\"longrope\",\"factor\":2,"
                "\"original_max_position_embeddings\":8,\"short_factor\":[1,2],\"long_factor\":[3,4]}}}",
                "in_proj_weight[24,4] in_proj_bias[24] out_proj.weight[4,8] out_proj.bias[4] "
                "relative_bias.weight[8,2] k_norm.weight[4] sinks[2] q_norm.weight[4]");
    loaded("%s/m");
    const attn_layer *layer = &find("m")->layer;
    const attn_config c = layer->config;
    cr_expect(c.qk_norm && c.qk_norm_eps == 1e-5 && c.sinks && c.scale_given && c.alibi);
    holds(layer->relative_bias, 156, 16);
    holds(layer->k_norm, 172, 4);
    holds(layer->sinks, 176, 2);
    holds(layer->q_norm, 178, 4);
    cr_expect(layer->scale[0] == 0.5f && layer->scale[1] == 0.5f);
    cr_expect(layer->alibi_slopes[0] == 0.25f && layer->alibi_slopes[1] == 0.1f);
    cr_expect(layer->rope_short[0] == 1 && layer->rope_short[1] == 2);
    cr_expect(layer->rope_long[0] == 3 && layer->rope_long[1] == 4);
    write_model("plain", HEADS "}", LAYER);
    loaded("%s/plain");
    const attn_layer *plain = &find("plain")->layer;
    cr_expect(!plain->config.sinks && !plain->sinks && !plain->q_norm && !plain->k_norm && !plain->scale);
    cr_expect(!plain->alibi_slopes && !plain->relative_bias && !plain->rope_short && !plain->rope_long);
    cr_expect(!plain->bias_k && !plain->bias_v);
}

Test(torch, a_file_that_carries_its_configuration) {
    st_begin(&writer, "\"__metadata__\":{\"format\":\"pt\",\"attend\":\"{\\\"embed_dim\\\":2,"
                      "\\\"num_heads\\\":2,\\\"bias\\\":false}\"}");
    st_describe(&writer, "in_proj_weight[6,2] out_proj.weight[2,2]");
    st_end(&writer, in_folder(folder, "alone.safetensors"));
    loaded("%s/alone.safetensors");
    weighs(&find("alone")->layer.k_weight, 4, 4);
    cr_expect_eq(find("alone")->layer.config.num_heads, 2);
    cr_expect_str_eq(find("alone")->layout, "torch");

    st_begin(&writer, "\"__metadata__\":{\"attend\":\"{\\\"embed_dim\\\":2,\\\"heads\\\":2}\"}");
    st_end(&writer, in_folder(folder, "b.safetensors"));
    REFUSED("%s/b.safetensors", "b.safetensors: __metadata__ \"attend\": unknown key \"heads\"");
    st_begin(&writer, "\"__metadata__\":{\"attend\":\"no JSON\"}");
    st_end(&writer, in_folder(folder, "b.safetensors"));
    REFUSED("%s/b.safetensors", "b.safetensors: __metadata__ \"attend\": not valid JSON");
    st_begin(&writer, "");
    st_end(&writer, in_folder(folder, "b.safetensors"));
    REFUSED("%s/b.safetensors", "b.safetensors: __metadata__ \"attend\" is missing");
}

/* The file and its name in the sentence; test_config.c has all that can be wrong inside. */
Test(torch, bad_configurations) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"{\"embed_dim\":4,\"num_heads\":3}", "num_heads 3: expected a divisor of embed_dim, which is 4"},
        {HEADS ",\"heads\":2}", "unknown key \"heads\": known are embed_dim, num_heads, kdim, vdim"},
        {HEADS ",\"rope\":{\"scaling\":{\"type\":\"new\"}}}",
         "rope: scaling: \"type\": expected one of default"},
        {HEADS ",\"num_heads\":2}", "not valid JSON: duplicate object key"},
        {"[4,2]", "expected a JSON object, found an array"},
        {"", "not valid JSON"},
        {"{\"embed_dim\":4,", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_model("m", cases[i].config, LAYER);
        REFUSED("%s/m", "m/config.json: ", cases[i].says);
    }
    write_model("m", "{}", LAYER);
    cr_assert_eq(truncate(in_folder(folder, "m/config.json"), (1 << 20) + 1), 0);
    REFUSED("%s/m", "m/config.json: a file of 1048577 bytes, at most 1048576 expected");
    unlink(in_folder(folder, "m/config.json"));
    REFUSED("%s/m", "m/config.json: cannot be opened: No such file");
    mkdir(in_folder(folder, "m/config.json"), 0700);
    REFUSED("%s/m", "m/config.json: expected a regular file, found a directory");
}

Test(torch, bad_tensors) {
    static const struct {
        const char *config, *tensors, *tensor, *says;
    } cases[] = {
        {HEADS "}", "", "in_proj_weight", "missing, expected with shape [12, 4]"},
        {HEADS "}", "in_proj_weight[12,4] in_proj_bias[12] out_proj.bias[4]", "out_proj.weight", "missing"},
        {HEADS "}", "in_proj_weight[12,4] out_proj.weight[4,4] out_proj.bias[4]", "in_proj_bias",
         "missing, expected with shape [12]"},
        {HEADS "}", "q_proj_weight[4,4] k_proj_weight[4,4]", "v_proj_weight",
         "missing, expected with shape [4, 4]"},
        {HEADS ",\"vdim\":6}", "q_proj_weight[4,4] k_proj_weight[4,4] v_proj_weight[4,4]", "v_proj_weight",
         "expected shape [4, 6], found [4, 4]"},
        {HEADS ",\"kdim\":6}", "", "q_proj_weight", "missing"},
        {HEADS ",\"kdim\":6}", LAYER, "in_proj_weight", "unexpected, with embed_dim 4, kdim 6 and vdim 4"},
        {HEADS "}", "in_proj_weight[4,12] in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]",
         "in_proj_weight", "expected shape [12, 4], found [4, 12]"},
        {HEADS "}", "in_proj_weight[12,4] in_proj_bias[1,12] out_proj.weight[4,4] out_proj.bias[4]",
         "in_proj_bias", "expected shape [12], found [1, 12]"},
        {HEADS "}", "in_proj_weight[12,4] in_proj_bias[12] out_proj.weight[16] out_proj.bias[4]",
         "out_proj.weight", "expected shape [4, 4], found [16]"},
        {HEADS "}", LAYER " bias_k[1,1,4]", "bias_k", "unexpected, a layer with this configuration has"},
        {HEADS "}", LAYER " q_proj_weight[4,4]", "q_proj_weight", "unexpected"},
        {HEADS ",\"add_bias_kv\":true}", LAYER " bias_k[1,1,4]", "bias_v",
         "missing, expected with shape [1, 1, 4]"},
        {HEADS ",\"add_bias_kv\":true}", LAYER " bias_k[1,4] bias_v[1,1,4]", "bias_k",
         "expected shape [1, 1, 4], found [1, 4]"},
        {HEADS ",\"add_bias_kv\":true}", LAYER " bias_k[1,1,4] bias_v[3]", "bias_v",
         "expected shape [4], found [3]"},
        {HEADS ",\"add_bias_kv\":true,\"num_kv_heads\":1}",
         "in_proj_weight[8,4] in_proj_bias[8] out_proj.weight[4,4] out_proj.bias[4] bias_k[1,1,4] "
         "bias_v[1,1,4]",
         "bias_k", "expected shape [1, 1, 2], found [1, 1, 4]"},
        {HEADS ",\"num_kv_heads\":1}", LAYER, "in_proj_weight", "expected shape [8, 4], found [12, 4]"},
        {HEADS ",\"head_dim\":3}", LAYER, "in_proj_weight", "expected shape [18, 4], found [12, 4]"},
        {HEADS ",\"head_dim\":3}",
         "in_proj_weight[18,4] in_proj_bias[18] out_proj.weight[4,4] out_proj.bias[4]", "out_proj.weight",
         "expected shape [4, 6], found [4, 4]"},
        {HEADS "}", LAYER " q_norm.weight[2]", "q_norm.weight", "unexpected"},
        {HEADS ",\"qk_norm\":{}}", LAYER " q_norm.weight[2]", "k_norm.weight",
         "missing, expected with shape [2]"},
        {HEADS ",\"qk_norm\":{}}", LAYER " q_norm.weight[4] k_norm.weight[4]", "q_norm.weight",
         "expected shape [2], found [4]"},
        {HEADS "}", LAYER " sinks[1,2]", "sinks", "expected shape [2], found [1, 2]"},
        {HEADS "}", LAYER " relative_bias.weight[8,2]", "relative_bias.weight", "unexpected"},
        {HEADS ",\"relative_bias\":{\"buckets\":8,\"max_distance\":16}}", LAYER " relative_bias.weight[2,8]",
         "relative_bias.weight", "expected shape [8, 2], found [2, 8]"},
        {HEADS ",\"bias\":false}", LAYER, "in_proj_bias", "unexpected"},
        {HEADS "}", "in_proj_weight[12,4]:I32 in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]",
         "in_proj_weight", "expected F64, F32, F16 or BF16, found I32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char tensor[128];
        snprintf(tensor, sizeof tensor, "m/model.safetensors: tensor \"%s\": ", cases[i].tensor);
        write_model("m", cases[i].config, cases[i].tensors);
        REFUSED("%s/m", tensor, cases[i].says);
    }
    unlink(in_folder(folder, "m/model.safetensors"));
    REFUSED("%s/m", "/m: expected model.safetensors or model.safetensors.index.json, found neither");
}

Test(torch, weights_that_are_not_finite) {
    const float bad = INFINITY;
    write_model("m", HEADS "}", LAYER);
    FILE *file = fopen(in_folder(folder, "m/model.safetensors"), "r+b");
    cr_assert_not_null(file);
    fseek(file, (long)(8 + strlen(writer.header) + 4 * (4 * 11 + 2)), SEEK_SET);
    fwrite(&bad, sizeof bad, 1, file);
    fclose(file);
    REFUSED("%s/m", "m/model.safetensors: tensor \"in_proj_weight\": element [11][2]", "finite", "found inf");
}

/* ---- the state_dicts of larger modules ---- */

#define PREFIXED(prefix)                                                                                     \
    prefix "in_proj_weight[12,4] " prefix "in_proj_bias[12] " prefix "out_proj.weight[4,4] " prefix          \
           "out_proj.bias[4] "
#define FEED_FORWARD "linear1.weight[8,4] linear1.bias[8] norm1.weight[4] "

Test(torch, a_layer_of_an_encoder) {
    write_model("e", HEADS "}", FEED_FORWARD PREFIXED("self_attn."));
    loaded("%s/e");
    loaded("b=%s/e#self_attn.");
    loaded("c=%s/e#self_attn");
    static const char *const names[] = {"e", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        const attn_layer *layer = &find(names[i])->layer;
        weighs(&layer->q_weight, 44, 16);
        weighs(&layer->v_weight, 76, 16);
        holds(layer->k_bias, 96, 4);
        weighs(&layer->o_weight, 104, 16);
        cr_expect_str_eq(find(names[i])->layout, "torch");
    }
    REFUSED("x=%s/e#multihead_attn.", "e/config.json: tensors that begin with \"multihead_attn.\"",
            "it has layers under: self_attn.");
    REFUSED("x=%s/e#self_at", "tensors that begin with \"self_at\" were asked for");
    REFUSED("x=%s/e#linear1", "tensor \"linear1.bias\": unexpected, a layer with this configuration has");
}

Test(torch, one_of_several_layers) {
    write_model("d", HEADS "}", PREFIXED("self_attn.") FEED_FORWARD PREFIXED("multihead_attn."));
    REFUSED("%s/d", "d/config.json: one layer is expected, ", "has 2: choose one with a # and its prefix",
            "multihead_attn., self_attn.");
    loaded("%s/d#multihead_attn.");
    weighs(&find("d")->layer.q_weight, 124, 16);
    write_model(
        "t", "{\"embed_dim\":4,\"num_heads\":2,\"bias\":false}",
        "encoder.layers.0.self_attn.in_proj_weight[12,4] encoder.layers.0.self_attn.out_proj.weight[4,4] "
        "encoder.layers.10.self_attn.q_proj_weight[4,4] encoder.layers.10.self_attn.k_proj_weight[4,4] "
        "encoder.layers.10.self_attn.v_proj_weight[4,4] encoder.layers.10.self_attn.out_proj.weight[4,4] "
        "encoder.layers.10.self_attn.extra[3]");
    loaded("%s/t#encoder.layers.0.self_attn.");
    weighs(&find("t")->layer.o_weight, 48, 16);
    /* Under the prefix nothing may be left over: it may be an option that would change the result. */
    REFUSED("u=%s/t#encoder.layers.10.self_attn.", "tensor \"encoder.layers.10.self_attn.extra\": unexpected",
            "has q_proj_weight, k_proj_weight, v_proj_weight, out_proj.weight");
    REFUSED("u=%s/t#encoder.layers.1", "it has layers under: encoder.layers.0.self_attn., "
                                       "encoder.layers.10.self_attn.");
}

/* A layer without a prefix has nothing beside it: what is there may be an option of it. */
Test(torch, a_layer_beside_its_own) {
    write_model("m", HEADS "}", LAYER " " PREFIXED("self_attn."));
    REFUSED("%s/m", "tensor \"self_attn.in_proj_bias\": unexpected");
    loaded("n=%s/m#self_attn");
}
