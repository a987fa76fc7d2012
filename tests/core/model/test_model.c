/* Models from every kind of SPEC, against files from the writer in model_files.h. */
#include "tests/core/model/specs.h"

/* ---- init: ---- */

TestSuite(init, .init = begin, .fini = end);

// clang-format off
/* Expected values from Python's own integers: draw k = 1, 2, ... of seed s, for fan_in + fan_out = f, is
 * w(s, k, f):
 *
 *     import math, struct
 *     M = 2**64-1
 *     x = lambda s, k: (lambda z: z^z>>31)((lambda z: (z^z>>27)*0x94d049bb133111eb&M)(
 *         (lambda z: (z^z>>30)*0xbf58476d1ce4e5b9&M)((s+k*0x9e3779b97f4a7c15)&M)))
 *     w = lambda s, k, f: struct.unpack('f', struct.pack('f', (2*(x(s,k)>>40)/2**24-1)*math.sqrt(6/f)))[0].hex()
 */
// clang-format on

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
    cr_expect_eq(element(&layer->q_weight, 0), 0x1.53ec82p-5f);             /* w(0, 1, 2048) */
    cr_expect_eq(element(&layer->q_weight, 1), -0x1.e5c6p-8f);              /* w(0, 2, 2048) */
    cr_expect_eq(element(&layer->k_weight, 0), -0x1.4bcccap-5f);            /* w(0, 1 + 512*512, 2048) */
    cr_expect_eq(element(&layer->v_weight, 512 * 512 - 1), 0x1.c7b4ep-8f);  /* w(0, 3*512*512, 2048) */
    cr_expect_eq(element(&layer->o_weight, 0), 0x1.204e4cp-4f);             /* w(0, 3*512*512 + 1, 1024) */
    cr_expect_eq(element(&layer->o_weight, 512 * 512 - 1), 0x1.507dd6p-5f); /* w(0, 4*512*512, 1024) */
    for (size_t i = 0; i < 512; i++)
        cr_assert(layer->q_bias[i] == 0 && layer->k_bias[i] == 0 && layer->v_bias[i] == 0 &&
                  layer->o_bias[i] == 0);
    for (int i = 0; i < 2; i++) {
        const attn_layer *other = &find(i == 0 ? "init" : "same")->layer;
        cr_expect(same_weights(&layer->k_weight, &other->k_weight));
        cr_expect(same_weights(&layer->o_weight, &other->o_weight));
    }
}

Test(init, other_widths_are_drawn_separately) {
    loaded("w=init:embed_dim=4,num_heads=2,kdim=3,vdim=5,bias=false,dropout=0.25,seed=18446744073709551615");
    const attn_model *model = find("w");
    const attn_layer *layer = &model->layer;
    const attn_config c = layer->config;
    cr_expect(c.embed_dim == 4 && c.num_heads == 2 && c.kdim == 3 && c.vdim == 5 && !c.bias &&
              c.dropout == 0.25f);
    TAKES(model, 0);
    cr_expect_eq(element(&layer->q_weight, 0), 0x1.5d5a3ep-1f);   /* w(2**64-1, 1, 8) */
    cr_expect_eq(element(&layer->q_weight, 15), 0x1.374c8cp-2f);  /* w(2**64-1, 16, 8) */
    cr_expect_eq(element(&layer->k_weight, 0), -0x1.5bac86p-3f);  /* w(2**64-1, 17, 7) */
    cr_expect_eq(element(&layer->k_weight, 11), -0x1.8e986cp-4f); /* w(2**64-1, 28, 7) */
    cr_expect_eq(element(&layer->v_weight, 0), 0x1.ad0c38p-2f);   /* w(2**64-1, 29, 9) */
    cr_expect_eq(element(&layer->v_weight, 19), 0x1.207e52p-1f);  /* w(2**64-1, 48, 9) */
    cr_expect_eq(element(&layer->o_weight, 0), 0x1.fe926p-2f);    /* w(2**64-1, 49, 8) */
    cr_expect_eq(element(&layer->o_weight, 15), 0x1.9991ap-1f);   /* w(2**64-1, 64, 8) */
    cr_expect(!layer->q_bias && !layer->k_bias && !layer->v_bias && !layer->o_bias);
}

Test(init, shared_keys_are_part_of_the_joint_matrix) {
    loaded("g=init:embed_dim=6,num_heads=4,num_kv_heads=2,head_dim=3,seed=7,add_bias_kv=true,bias=false");
    const attn_model *model = find("g");
    const attn_layer *layer = &model->layer;
    cr_expect(layer->config.num_kv_heads == 2 && layer->config.head_dim == 3 && layer->config.add_bias_kv);
    TAKES(model, 6, 6);
    cr_expect_eq(element(&layer->q_weight, 0), -0x1.939df6p-4f);  /* w(7, 1, 30) */
    cr_expect_eq(element(&layer->q_weight, 71), -0x1.b30134p-2f); /* w(7, 72, 30) */
    cr_expect_eq(element(&layer->k_weight, 0), 0x1.8cabp-6f);     /* w(7, 73, 30) */
    cr_expect_eq(element(&layer->v_weight, 35), 0x1.b73e44p-4f);  /* w(7, 144, 30) */
    cr_expect_eq(layer->bias_k[0], 0x1.076588p-2f);               /* w(7, 145, 7) */
    cr_expect_eq(layer->bias_v[5], 0x1.450cbep-1f);               /* w(7, 156, 7) */
    cr_expect_eq(element(&layer->o_weight, 0), -0x1.2c05aap-2f);  /* w(7, 157, 18) */
    cr_expect_eq(element(&layer->o_weight, 71), 0x1.e83aaep-2f);  /* w(7, 228, 18) */
    cr_expect(!layer->q_bias && !layer->o_bias);
}

Test(init, options) {
    loaded("o=init:embed_dim=8,num_heads=2,add_zero_attn=true,causal=true,sliding_window=3,softcap=30,qk_"
           "norm=1e-5,"
           "rope_theta=5e5");
    loaded("p=init:embed_dim=8,num_heads=2");
    const attn_layer *layer = &find("o")->layer, *plain = &find("p")->layer;
    const attn_config c = layer->config;
    cr_expect(c.add_zero_attn && !c.add_bias_kv && c.causal && c.sliding_window == 3 && c.softcap == 30);
    cr_expect(c.qk_norm && c.qk_norm_eps == 1e-5);
    cr_expect(c.rope.style == ATTN_ROPE_HALF && c.rope.theta == 5e5 && c.rope.dims == 4);
    cr_expect(c.rope.scaling == ATTN_ROPE_UNSCALED && c.rope.magnitude == 1);
    for (size_t i = 0; i < 4; i++)
        cr_expect(layer->q_norm[i] == 1 && layer->k_norm[i] == 1);
    cr_expect(!layer->bias_k && !layer->sinks && !layer->scale);
    /* None of these draws: the bits are those of the layer without. */
    cr_expect(same_weights(&plain->v_weight, &layer->v_weight));
    cr_expect(same_weights(&plain->o_weight, &layer->o_weight));
    cr_expect(!plain->config.qk_norm && !plain->q_norm && plain->config.rope.style == ATTN_ROPE_NONE);
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
    REFUSED("init:dropout=1.5", "\"dropout\": expected a number from 0 to 1, found \"1.5\"");
    REFUSED("init:dropout=1.01", "\"dropout\": expected");
    REFUSED("init:dropout=nan", "\"dropout\": expected");
    REFUSED("init:dropout=-0.5", "\"dropout\": expected");
    REFUSED("init:dropout=0x0p0", "\"dropout\": expected");
    REFUSED("init:dropout=0.5x", "\"dropout\": expected");
    REFUSED("init:see\nd=1", "see\\x0ad");
    REFUSED("init:num_kv_heads=3", "num_kv_heads 3: expected a divisor of num_heads, which is 8");
    REFUSED("init:head_dim=16777216", "num_heads 8 times head_dim 16777216: expected at most 16777216");
    REFUSED("init:softcap=0", "\"softcap\": expected a number above 0 that float32 can hold, found \"0\"");
    REFUSED("init:softcap=1e39", "\"softcap\": expected a number above 0");
    REFUSED("init:softcap=1e-60", "\"softcap\": expected a number above 0");
    REFUSED("init:qk_norm=true", "\"qk_norm\": expected a number above 0");
    REFUSED("init:rope_theta=inf", "\"rope_theta\": expected a number above 0");
    REFUSED("init:rope_theta=10,embed_dim=24",
            "expected an even number of rotated dims, at most head_dim, which is 3");
    REFUSED("init:sliding_window=0", "\"sliding_window\": expected a whole number from 1 to 2147483647");
    REFUSED("init:sliding_window=2147483648", "\"sliding_window\": expected a whole number");
    REFUSED("init:causal=yes", "\"causal\": expected true or false, found \"yes\"");
    cr_expect_eq(registry.count, 0);
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
    const attn_packed *const weights[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight,
                                          &layer->o_weight};
    const float *const biases[] = {layer->q_bias, layer->k_bias, layer->v_bias, layer->o_bias};
    for (size_t i = 0; i < 4; i++) {
        weighs(weights[i], first + 16 * i, 16);
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
        cr_expect_str_eq(registry.models[n]->name, names[n]);
        check_bert_layer(names[n], n % 3);
        /* 0.1 is what BertConfig has where the file says nothing. */
        cr_expect_eq(registry.models[n]->layer.config.dropout, n < 3 ? 0.25 : 0.1);
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
    REFUSED("a=%s/hf#1x", "layer 1x was asked for, the checkpoint has 0 to 2");
    REFUSED("a=%s/none#1", "none#1: No such file or directory");
    write_model("m", HEADS "}", LAYER);
    REFUSED("a=%s/m#0", "m/config.json: layer 0 was asked for, but this is one layer");
    REFUSED("a=%s/m#encoder.0", "m/config.json: layer encoder.0 was asked for, but this is one layer");
    REFUSED("a=%s/m#.0", "layer .0 was asked for, but this is one layer");
    REFUSED("a=%s/m#encoder.", "layer encoder. was asked for, but this is one layer");
    REFUSED("a=%s/m#x/y", "m#x/y: No such file or directory");
    REFUSED("a=%s/m/model.safetensors#0", "expected a directory before #0");
    rename(in_folder(folder, "m"), in_folder(folder, "m#7")); /* a directory that is really called so */
    loaded("a=%s/m#7");
}

Test(bert, what_is_not_served) {
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"{\"model_type\":\"t6\"}", "\"model_type\": expected one of those served (bert, "},
        {"{\"model_type\":\"t6\"}", "), found \"t6\""},
        {"{\"model_type\":7}", "), found 7"},
        {BERT ",\"position_embedding_type\":\"relative_key\"}",
         "\"position_embedding_type\": expected absolute, found \"relative_key\": relative positions change"},
        {BERT ",\"is_decoder\":true}", "\"is_decoder\": expected false, found true"},
        {BERT ",\"add_cross_attention\":true}", "\"add_cross_attention\": expected false, found true"},
        {BERT ",\"attention_probs_dropout_prob\":1.5}", "\"attention_probs_dropout_prob\": expected"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":1}", "\"hidden_size\" is missing"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":1,\"hidden_size\":4}",
         "\"num_attention_heads\" is missing"},
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

/* ---- precision ---- */

TestSuite(precision, .init = begin, .fini = end);

/* What the service was told holds for all models that do not say themselves. */
Test(precision, of_models_that_do_not_say) {
    write_bert("", 3, BERT "}");
    write_model("m", HEADS "}", LAYER);
    write_model("own", HEADS ",\"precision\":\"int8\"}", LAYER);
    write_model("null", HEADS ",\"precision\":null}", LAYER);
    registry.precision = ATTN_BFLOAT16;
    loaded("%s/hf");
    loaded("one=%s/hf#1");
    loaded("%s/m");
    loaded("%s/null");
    loaded("demo=init:embed_dim=8,num_heads=2");
    loaded("builtin:patterns");
    static const char *const narrow[] = {"hf.0", "hf.2", "one", "m", "null", "demo", "patterns"};
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++) {
        cr_expect_eq(find(narrow[i])->layer.config.precision, ATTN_BFLOAT16, "%s", narrow[i]);
        cr_expect_eq(find(narrow[i])->layer.q_weight.precision, ATTN_BFLOAT16, "%s", narrow[i]);
    }
    loaded("%s/own");
    loaded("wide=init:embed_dim=8,num_heads=2,precision=float32");
    cr_expect_eq(find("own")->layer.config.precision, ATTN_INT8);
    cr_expect_eq(find("wide")->layer.config.precision, ATTN_FLOAT32);
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
        cr_expect_str_eq(registry.models[i]->name, names[i]);
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
    cr_expect_str_eq(registry.models[0]->name, "hf.2");
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

Test(names, a_model_stays_where_it_is_until_nobody_holds_it) {
    loaded("first=" SMALL);
    const attn_model *first = attn_model_hold(find("first"));
    const float weight = attn_packed_at(&first->layer.q_weight, 0, 0);
    loaded("second=" SMALL);
    cr_expect_eq(find("first"), first);
    attn_registry_free(&registry);
    cr_expect_eq(registry.count, 0);
    cr_expect_eq(attn_packed_at(&first->layer.q_weight, 0, 0), weight);
    cr_expect_str_eq(first->name, "first");
    attn_model_release(first);
    attn_model_release(NULL);
}
