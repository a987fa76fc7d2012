/* Models from every kind of SPEC, against files from the writer in model_files.h. */
#include "core/model/model.h"

#include "tests/core/model_files.h"

#include <criterion/criterion.h>

static char *folder;
static attn_registry registry;
static st_writer writer;

static void begin(void) {
    folder = new_folder();
    registry = (attn_registry){.models = NULL};
}

static void end(void) {
    attn_registry_free(&registry);
    cr_expect_eq(registry.count, 0);
    remove_folder(folder);
}

/* Loads a spec, in which %s is the folder, and expects success. */
static void loaded(const char *format) {
    char spec[2048];
    attn_error error = {""};
    snprintf(spec, sizeof spec, format, folder);
    cr_assert_eq(attn_registry_load(&registry, spec, &error), ATTN_OK, "%s: %s", spec, error.text);
}

/* Loads a spec, in which %s is the folder, and expects a sentence with all of `says` (NULL ends them), and
 * the registry as it was. */
static void refused(const char *format, const char *const *says) {
    char spec[2048];
    attn_error error = {""};
    const attn_registry before = registry;
    snprintf(spec, sizeof spec, format, folder);
    cr_expect_eq(attn_registry_load(&registry, spec, &error), ATTN_BAD_MODEL, "%s is served", spec);
    for (int i = 0; i < 4 && says[i] != NULL; i++)
        cr_expect_not_null(strstr(error.text, says[i]), "%s: '%s' lacks '%s'", spec, error.text, says[i]);
    for (const char *c = error.text; *c != '\0'; c++)
        cr_expect((unsigned char)*c >= 0x20, "control byte in '%s'", error.text);
    cr_expect(registry.count == before.count && registry.models == before.models);
}
#define REFUSED(spec, ...) refused(spec, (const char *const[]){__VA_ARGS__, NULL, NULL, NULL, NULL})

static const attn_model *find(const char *name) {
    const attn_model *model = attn_registry_find(&registry, name);
    cr_assert_not_null(model, "no model %s", name);
    return model;
}

/* Expects array [count] to hold the numbers of the file from number `first` on, and to be aligned. */
static void holds(const float *array, size_t first, size_t count) {
    cr_assert_not_null(array);
    cr_expect_eq((uintptr_t)array % 64, 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(array[i], test_value(first + i), "element %zu: %g, expected %g", i, (double)array[i],
                     test_value(first + i));
}

/* Writes FOLDER/NAME/config.json and model.safetensors. */
static void write_model(const char *name, const char *config, const char *tensors) {
    char path[256];
    mkdir(in_folder(folder, name), 0700);
    snprintf(path, sizeof path, "%s/config.json", name);
    write_text(in_folder(folder, path), config);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    st_begin(&writer, "");
    st_describe(&writer, tensors);
    st_end(&writer, in_folder(folder, path));
}

/* ---- init: ---- */

TestSuite(init, .init = begin, .fini = end);

/* Expected values from Python's own integers: draw k = 1, 2, ... of seed s, for fan_in + fan_out = f, is w(s,
 * k, f): import math, struct; M = 2**64-1 x = lambda s, k: (lambda z: z^z>>31)((lambda z:
 * (z^z>>27)*0x94d049bb133111eb&M)( (lambda z: (z^z>>30)*0xbf58476d1ce4e5b9&M)((s+k*0x9e3779b97f4a7c15)&M)))
 * w = lambda s, k, f: struct.unpack('f', struct.pack('f', (2*(x(s,k)>>40)/2**24-1)*math.sqrt(6/f)))[0].hex()
 */

Test(init, demo_is_the_default_and_joint) {
    loaded("builtin:demo");
    loaded("init:");
    loaded("same=init:seed=0,dropout=0.0,bias=true,num_heads=8,embed_dim=512");
    const attn_model *demo = find("demo");
    const attn_layer *layer = &demo->layer;
    const attn_config c = layer->config;
    cr_expect(c.embed_dim == 512 && c.num_heads == 8 && c.kdim == 512 && c.vdim == 512 && c.bias &&
              c.dropout == 0);
    cr_expect_eq(demo->bytes, (4 * 512 * 512 + 4 * 512) * sizeof(float));
    cr_expect_str_eq(demo->layout, "init");
    cr_expect_eq(layer->q_weight[0], 0x1.53ec82p-5f);             /* w(0, 1, 2048) */
    cr_expect_eq(layer->q_weight[1], -0x1.e5c6p-8f);              /* w(0, 2, 2048) */
    cr_expect_eq(layer->k_weight[0], -0x1.4bcccap-5f);            /* w(0, 1 + 512*512, 2048) */
    cr_expect_eq(layer->v_weight[512 * 512 - 1], 0x1.c7b4ep-8f);  /* w(0, 3*512*512, 2048) */
    cr_expect_eq(layer->o_weight[0], 0x1.204e4cp-4f);             /* w(0, 3*512*512 + 1, 1024) */
    cr_expect_eq(layer->o_weight[512 * 512 - 1], 0x1.507dd6p-5f); /* w(0, 4*512*512, 1024) */
    for (size_t i = 0; i < 512; i++)
        cr_assert(layer->q_bias[i] == 0 && layer->k_bias[i] == 0 && layer->v_bias[i] == 0 &&
                  layer->o_bias[i] == 0);
    for (int i = 0; i < 2; i++) {
        const attn_layer *other = &find(i == 0 ? "init" : "same")->layer;
        cr_expect_eq(memcmp(layer->k_weight, other->k_weight, 512 * 512 * sizeof(float)), 0);
        cr_expect_eq(memcmp(layer->o_weight, other->o_weight, 512 * 512 * sizeof(float)), 0);
    }
}

Test(init, other_widths_are_drawn_separately) {
    loaded("w=init:embed_dim=4,num_heads=2,kdim=3,vdim=5,bias=false,dropout=0.25,seed=18446744073709551615");
    const attn_model *model = find("w");
    const attn_layer *layer = &model->layer;
    const attn_config c = layer->config;
    cr_expect(c.embed_dim == 4 && c.num_heads == 2 && c.kdim == 3 && c.vdim == 5 && !c.bias &&
              c.dropout == 0.25f);
    cr_expect_eq(model->bytes, (16 + 12 + 20 + 16) * sizeof(float));
    cr_expect_eq(layer->q_weight[0], 0x1.5d5a3ep-1f);   /* w(2**64-1, 1, 8) */
    cr_expect_eq(layer->q_weight[15], 0x1.374c8cp-2f);  /* w(2**64-1, 16, 8) */
    cr_expect_eq(layer->k_weight[0], -0x1.5bac86p-3f);  /* w(2**64-1, 17, 7) */
    cr_expect_eq(layer->k_weight[11], -0x1.8e986cp-4f); /* w(2**64-1, 28, 7) */
    cr_expect_eq(layer->v_weight[0], 0x1.ad0c38p-2f);   /* w(2**64-1, 29, 9) */
    cr_expect_eq(layer->v_weight[19], 0x1.207e52p-1f);  /* w(2**64-1, 48, 9) */
    cr_expect_eq(layer->o_weight[0], 0x1.fe926p-2f);    /* w(2**64-1, 49, 8) */
    cr_expect_eq(layer->o_weight[15], 0x1.9991ap-1f);   /* w(2**64-1, 64, 8) */
    cr_expect(!layer->q_bias && !layer->k_bias && !layer->v_bias && !layer->o_bias);
}

Test(init, bad_texts) {
    REFUSED("init:embed=4", "init:embed=4", "unknown key \"embed\"", "known are embed_dim", "seed");
    REFUSED("init:seed=1,seed=2", "\"seed\" is given twice");
    REFUSED("init:seed", "expected key=value, found \"seed\"");
    REFUSED("init:seed=1,", "expected key=value, found \"\"");
    REFUSED("init:seed=", "\"seed\": expected a whole number", "found \"\"");
    REFUSED("init:seed=-1", "\"seed\": expected a whole number", "found \"-1\"");
    REFUSED("init:seed= 1", "\"seed\": expected a whole number", "found \" 1\"");
    REFUSED("init:seed=18446744073709551616", "from 0 to 18446744073709551615");
    REFUSED("init:seed=0x10", "\"seed\": expected a whole number");
    REFUSED("init:embed_dim=0", "\"embed_dim\": expected a whole number from 1 to 16777216, found \"0\"");
    REFUSED("init:embed_dim=16777217", "from 1 to 16777216");
    REFUSED("init:embed_dim=8.0", "\"embed_dim\": expected a whole number", "found \"8.0\"");
    REFUSED("init:embed_dim=10", "num_heads 8: expected a divisor of embed_dim, which is 10");
    REFUSED("init:bias=1", "\"bias\": expected true or false, found \"1\"");
    REFUSED("init:dropout=1", "\"dropout\": expected a number from 0 to below 1, found \"1\"");
    REFUSED("init:dropout=1.0", "\"dropout\": expected");
    REFUSED("init:dropout=nan", "\"dropout\": expected");
    REFUSED("init:dropout=-0.5", "\"dropout\": expected");
    REFUSED("init:dropout=0x0p0", "\"dropout\": expected");
    REFUSED("init:dropout=0.5x", "\"dropout\": expected");
    REFUSED("init:see\nd=1", "see\\x0ad");
    cr_expect_eq(registry.count, 0);
}

/* ---- a model directory ---- */

TestSuite(torch, .init = begin, .fini = end);

Test(torch, joint_projection_of_mixed_types) {
    /* 5 * 5 numbers are no multiple of 64 bytes: the three parts must still be aligned. */
    write_model("m", "{\"embed_dim\":5,\"num_heads\":5,\"dropout\":0.5,\"kdim\":null}",
                "out_proj.bias[5]:F64 in_proj_weight[15,5]:F16 out_proj.weight[5,5]:BF16 in_proj_bias[15]");
    loaded("%s/m");
    const attn_model *model = find("m");
    const attn_layer *layer = &model->layer;
    cr_expect_str_eq(model->layout, "torch");
    cr_expect_eq(model->bytes, (15 * 5 + 15 + 5 * 5 + 5) * sizeof(float));
    cr_expect(layer->config.kdim == 5 && layer->config.vdim == 5 && layer->config.bias);
    cr_expect_eq(layer->config.dropout, 0.5f);
    holds(layer->o_bias, 0, 5);
    holds(layer->q_weight, 5, 25);
    holds(layer->k_weight, 30, 25);
    holds(layer->v_weight, 55, 25);
    holds(layer->o_weight, 80, 25);
    holds(layer->q_bias, 105, 5);
    holds(layer->k_bias, 110, 5);
    holds(layer->v_bias, 115, 5);
}

Test(torch, separate_projections) {
    write_model("m", "{\"embed_dim\":4,\"num_heads\":2,\"kdim\":3,\"vdim\":6,\"bias\":false}",
                "v_proj_weight[4,6] k_proj_weight[4,3] q_proj_weight[4,4] out_proj.weight[4,4]");
    loaded("%s/m");
    const attn_layer *layer = &find("m")->layer;
    holds(layer->v_weight, 0, 24);
    holds(layer->k_weight, 24, 12);
    holds(layer->q_weight, 36, 16);
    holds(layer->o_weight, 52, 16);
    cr_expect(!layer->config.bias && !layer->q_bias && !layer->k_bias && !layer->v_bias && !layer->o_bias);
}

Test(torch, separate_projections_of_one_width) {
    write_model("m", "{\"embed_dim\":2,\"num_heads\":1}",
                "q_proj_weight[2,2] k_proj_weight[2,2] v_proj_weight[2,2] out_proj.weight[2,2] "
                "in_proj_bias[6] out_proj.bias[2]");
    loaded("%s/m");
    holds(find("m")->layer.v_weight, 8, 4);
    holds(find("m")->layer.k_bias, 18, 2);
}

Test(torch, a_file_that_carries_its_configuration) {
    st_begin(&writer, "\"__metadata__\":{\"format\":\"pt\",\"attend\":\"{\\\"embed_dim\\\":2,"
                      "\\\"num_heads\\\":2,\\\"bias\\\":false}\"}");
    st_describe(&writer, "in_proj_weight[6,2] out_proj.weight[2,2]");
    st_end(&writer, in_folder(folder, "alone.safetensors"));
    loaded("%s/alone.safetensors");
    holds(find("alone")->layer.k_weight, 4, 4);
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

#define LAYER "in_proj_weight[12,4] in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]"
#define HEADS "{\"embed_dim\":4,\"num_heads\":2"

Test(torch, bad_configurations) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"{\"num_heads\":2}", "\"embed_dim\" is missing"},
        {"{\"embed_dim\":4}", "\"num_heads\" is missing"},
        {"{\"embed_dim\":null,\"num_heads\":2}", "\"embed_dim\": expected a whole number"},
        {"{\"embed_dim\":4,\"num_heads\":3}", "num_heads 3: expected a divisor of embed_dim, which is 4"},
        {"{\"embed_dim\":4,\"num_heads\":8}", "num_heads 8: expected a divisor"},
        {"{\"embed_dim\":4,\"num_heads\":0}", "\"num_heads\": expected a whole number from 1 to 16777216"},
        {
            "{\"embed_dim\":-4,\"num_heads\":2}",
            "\"embed_dim\": expected a whole number",
        },
        {"{\"embed_dim\":16777217,\"num_heads\":1}", "from 1 to 16777216, found 16777217"},
        {"{\"embed_dim\":4.0,\"num_heads\":2}", "\"embed_dim\": expected a whole number"},
        {"{\"embed_dim\":\"4\",\"num_heads\":2}",
         "\"embed_dim\": expected a whole number from 1 to 16777216, found \"4\""},
        {HEADS ",\"kdim\":0}", "\"kdim\": expected"},
        {HEADS ",\"vdim\":[1]}", "\"vdim\": expected a whole number from 1 to 16777216, found an array"},
        {HEADS ",\"bias\":1}", "\"bias\": expected true or false, found 1"},
        {HEADS ",\"dropout\":1}", "\"dropout\": expected a number from 0 to below 1, found 1"},
        {HEADS ",\"dropout\":1.0}", "\"dropout\": expected"},
        {HEADS ",\"dropout\":-0.1}", "\"dropout\": expected"},
        {HEADS ",\"dropout\":\"0\"}", "\"dropout\": expected"},
        {HEADS ",\"add_bias_kv\":true}",
         "unknown key \"add_bias_kv\": known are embed_dim, num_heads, kdim, vdim"},
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
    REFUSED("%s/m", "m/model.safetensors: cannot be opened: No such file");
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

/* ---- a Hugging Face directory ---- */

TestSuite(bert, .init = begin, .fini = end);

/* A checkpoint of `layers` layers with E = 4, as test_value numbers; layer n begins with
 * number 5 + 80 n: four matrices of 16, four biases of 4. */
static void write_bert(const char *prefix, size_t layers, const char *config) {
    static const char *const names[] = {"self.query", "self.key", "self.value", "output.dense"};
    static char tensors[8192];
    snprintf(tensors, sizeof tensors, "embeddings.anything[5]");
    for (size_t n = 0; n < layers; n++)
        for (int bias = 0; bias < 2; bias++)
            for (int i = 0; i < 4; i++) {
                const size_t length = strlen(tensors);
                snprintf(tensors + length, sizeof tensors - length, " %sencoder.layer.%zu.attention.%s.%s",
                         prefix, n, names[i], bias ? "bias[4]" : "weight[4,4]");
            }
    strcat(tensors, " pooler.dense.bias[4]");
    write_model("hf", config, tensors);
}

#define BERT                                                                                                 \
    "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":3,"          \
    "\"architectures\":[\"BertModel\"],\"hidden_act\":\"gelu\""

static void check_bert_layer(const char *name, size_t n) {
    const attn_model *model = find(name);
    const attn_layer *layer = &model->layer;
    const size_t first = 5 + 80 * n;
    cr_expect_str_eq(model->layout, "bert");
    cr_expect(layer->config.embed_dim == 4 && layer->config.num_heads == 2 && layer->config.bias);
    const float *const weights[] = {layer->q_weight, layer->k_weight, layer->v_weight, layer->o_weight};
    const float *const biases[] = {layer->q_bias, layer->k_bias, layer->v_bias, layer->o_bias};
    for (size_t i = 0; i < 4; i++) {
        holds(weights[i], first + 16 * i, 16);
        holds(biases[i], first + 64 + 4 * i, 4);
    }
}

Test(bert, every_layer_with_and_without_prefix) {
    write_bert("", 3, BERT ",\"attention_probs_dropout_prob\":0.25}");
    loaded("%s/hf");
    write_bert("bert.", 3, BERT ",\"is_decoder\":false,\"position_embedding_type\":\"absolute\"}");
    loaded("p=%s/hf/");
    cr_assert_eq(registry.count, 6);
    for (size_t n = 0; n < 6; n++) {
        static const char *const names[] = {"hf.0", "hf.1", "hf.2", "p.0", "p.1", "p.2"};
        cr_expect_str_eq(registry.models[n].name, names[n]);
        check_bert_layer(names[n], n % 3);
        /* 0.1 is what BertConfig has where the file says nothing. */
        cr_expect_eq(registry.models[n].layer.config.dropout, n < 3 ? 0.25 : 0.1);
    }
    cr_expect_null(attn_registry_find(&registry, "hf"));
}

Test(bert, one_layer) {
    write_bert("", 3, BERT "}");
    loaded("third=%s/hf#2");
    check_bert_layer("third", 2);
    loaded("%s/hf#0");
    check_bert_layer("hf", 0);
    cr_expect_eq(registry.count, 2);
    REFUSED("a=%s/hf#3", "hf/config.json: layer 3 was asked for, the checkpoint has 0 to 2");
    REFUSED("a=%s/hf#99999999999999999999", "was asked for, the checkpoint has 0 to 2");
    REFUSED("a=%s/hf#", "hf#: No such file or directory");
    REFUSED("a=%s/hf#1x", "hf#1x: No such file or directory");
    write_model("m", HEADS "}", LAYER);
    REFUSED("a=%s/m#0", "m/config.json: layer 0 was asked for, but this is one layer");
    REFUSED("a=%s/m/model.safetensors#0", "expected a directory before #0");
    rename(in_folder(folder, "m"), in_folder(folder, "m#7")); /* a directory that is really called so */
    loaded("a=%s/m#7");
}

Test(bert, what_is_not_served) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"{\"model_type\":\"t5\"}", "\"model_type\": expected one of those served (bert), found \"t5\""},
        {"{\"model_type\":7}", "\"model_type\": expected one of those served (bert), found 7"},
        {BERT ",\"position_embedding_type\":\"relative_key\"}",
         "\"position_embedding_type\": expected absolute, found \"relative_key\": relative positions change"},
        {BERT ",\"is_decoder\":true}", "\"is_decoder\": expected false, found true"},
        {BERT ",\"add_cross_attention\":true}", "\"add_cross_attention\": expected false, found true"},
        {BERT ",\"attention_probs_dropout_prob\":1.5}", "\"attention_probs_dropout_prob\": expected"},
        {"{\"model_type\":\"bert\"}", "\"hidden_size\" is missing"},
        {"{\"model_type\":\"bert\",\"hidden_size\":4}", "\"num_attention_heads\" is missing"},
        {"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":3,\"num_hidden_layers\":1}",
         "num_heads 3: expected a divisor"},
        {"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":0}",
         "\"num_hidden_layers\": expected a whole number from 1 to 1024, found 0"},
        {"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1025}",
         "from 1 to 1024, found 1025"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_bert("", 3, cases[i].config);
        REFUSED("%s/hf", "hf/config.json: ", cases[i].says);
    }
    /* The last layer is missing: the two before it are not served either. */
    write_bert("bert.", 2, BERT "}");
    REFUSED(
        "%s/hf",
        "tensor \"bert.encoder.layer.2.attention.self.query.weight\": missing, expected with shape [4, 4]");
    write_bert("other.", 3, BERT "}");
    REFUSED("%s/hf", "tensor \"encoder.layer.0.attention.self.query.weight\": missing");
    cr_expect_eq(registry.count, 0);
}

/* ---- names ---- */

TestSuite(names, .init = begin, .fini = end);

#define SMALL "init:embed_dim=2,num_heads=1"

Test(names, where_they_come_from) {
    static const char *const folders[] = {"plain", "v1.5", "a=b", "deep"};
    for (int i = 0; i < 4; i++)
        write_model(folders[i], HEADS "}", LAYER);
    loaded("%s/plain");
    loaded("%s/v1.5///");
    loaded("n=%s/a=b");                             /* only the first = ends a name */
    REFUSED("%s/a=b", "/a=b: gives no model name"); /* and none that follows a slash */
    loaded("%s/a=b/../deep/.");                     /* named after what "." is */
    cr_assert_eq(symlink("plain", in_folder(folder, "link")), 0);
    loaded("%s/link/"); /* named as it was asked for, not after where the link leads */
    static const char *const names[] = {"plain", "v1.5", "n", "deep", "link"};
    cr_assert_eq(registry.count, 5);
    for (size_t i = 0; i < 5; i++)
        cr_expect_str_eq(registry.models[i].name, names[i]);
    cr_assert_eq(chdir(in_folder(folder, "plain")), 0);
    REFUSED(".", "model name \"plain\" is taken");
    REFUSED("a:b=" SMALL, "a:b=init:embed_dim=2,num_heads=1: No such file"); /* a path: the : comes first */
    cr_assert_eq(chdir("/"), 0);
}

Test(names, legal_and_illegal) {
    loaded("A-z_0.9=" SMALL);
    find("A-z_0.9");
    loaded("0123456789012345678901234567890123456789012345678901234567890123=" SMALL);
    REFUSED("01234567890123456789012345678901234567890123456789012345678901234=" SMALL,
            "expected a name of 1 to 64");
    REFUSED("=" SMALL, "\"=init:", "expected a name of 1 to 64 of A-Z a-z 0-9 . _ -");
    REFUSED("a b=" SMALL, "expected a name of 1 to 64");
    REFUSED("\xc3\xa4=" SMALL, "expected a name of 1 to 64");
    REFUSED("", "expected a directory");
    REFUSED("x=", "expected a directory");
    REFUSED("/", "/: gives no model name", "NAME=SPEC");
    REFUSED("builtin:demons", "builtin:demons: unknown, the built-in models are: demo");
    REFUSED("builtin:", "builtin:: unknown", "demo");
    REFUSED("x=builtin:a b\n", "builtin:a b\\x0a: unknown");
}

Test(names, a_duplicate_is_refused_and_nothing_is_added) {
    loaded("hf.2=" SMALL);
    write_bert("", 3, BERT "}");
    REFUSED("%s/hf", "model name \"hf.2\" is taken", "NAME=SPEC");
    cr_expect_eq(registry.count, 1);
    cr_expect_null(attn_registry_find(&registry, "hf.0"));
    REFUSED("hf.2=" SMALL, "model name \"hf.2\" is taken");
    loaded("other=%s/hf");
    cr_expect_eq(registry.count, 4);
    cr_expect_str_eq(registry.models[0].name, "hf.2");
}

Test(names, paths_that_are_no_models) {
    REFUSED("%s/missing", "missing: No such file or directory");
    write_text(in_folder(folder, "model.bin"), "x");
    REFUSED("%s/model.bin", "model.bin: expected a directory or a .safetensors file");
    mkfifo(in_folder(folder, "pipe.safetensors"), 0600);
    REFUSED("%s/pipe.safetensors", "pipe.safetensors: expected a directory or a regular file");
    mkdir(in_folder(folder, "two words"), 0700);
    REFUSED("%s/two words", "two words: gives no model name", "NAME=SPEC");
    REFUSED("ok=%s/two words", "two words/config.json: cannot be opened");
    REFUSED("/dev/null", "/dev/null: expected a directory or a regular file");
}
