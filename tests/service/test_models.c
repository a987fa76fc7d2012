/* GET /models: every option of a layer is there, null or false if the layer does not have it; and what is
 * said of a name that is no model. */
#include "tests/service/layers.h"

/* Expects the member to be this JSON, with ' for ". */
static void expect(const json_t *model, const char *name, const char *text) {
    char quoted[512];
    snprintf(quoted, sizeof quoted, "%s", text);
    for (char *quote = quoted; (quote = strchr(quote, '\'')) != NULL;)
        *quote = '"';
    json_t *expected = keep(json_loads(quoted, JSON_DECODE_ANY, NULL));
    const json_t *found = json_object_get(model, name);
    const char *shown = keep(json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT));
    cr_assert_not_null(expected, "%s", quoted);
    cr_expect(json_equal(found, expected), "%s is %s, expected %s", name, shown, quoted);
}

static json_t *get(const server *s, const char *path, long status) {
    answer a = http_request(s, path, NULL, NULL);
    cr_assert_eq(a.status, status, "%s: %.300s", path, a.body);
    json_t *document = keep(json_loads(a.body, JSON_REJECT_DUPLICATES, NULL));
    cr_assert_not_null(document, "%.300s", a.body);
    return document;
}

static const char *const options[] = {
    "name",     "embed_dim",   "kdim",          "vdim",          "num_heads", "num_kv_heads",
    "head_dim", "precision",   "layout",        "bytes",         "bias",      "dropout",
    "causal",   "add_bias_kv", "add_zero_attn", "scale",         "softcap",   "sliding_window",
    "rope",     "qk_norm",     "alibi_slopes",  "relative_bias", "sinks",     "precision_error",
};

Test(models, have_all_options) {
    uint64_t seed = test_seed("have_all_options");
    char *folder = new_folder();
    write_layer(folder, "rotated", ROTATED, &seed);
    write_layer(folder, "sloped", SLOPED, &seed);
    server s = server_start("--model", in_folder(folder, "rotated"), "--model", in_folder(folder, "sloped"),
                            "--model", "plain=init:embed_dim=8,num_heads=2,bias=false,dropout=0.1", "--model",
                            "narrow=init:embed_dim=64,num_heads=2,precision=int8", NULL);
    json_t *answered = get(&s, "/models", 200), *models = json_object_get(answered, "models");
    const json_t *rotated = json_array_get(models, 0), *sloped = json_array_get(models, 1);
    const json_t *plain = json_array_get(models, 2), *narrow = json_array_get(models, 3);
    cr_assert_eq(json_array_size(models), 4);
    for (size_t i = 0; i < 4; i++) {
        for (size_t n = 0; n < sizeof options / sizeof options[0]; n++)
            cr_expect_not_null(json_object_get(json_array_get(models, i), options[n]), "%s", options[n]);
        cr_expect_eq(json_object_size(json_array_get(models, i)), sizeof options / sizeof options[0]);
    }
    expect(rotated, "layout", "'torch'");
    expect(rotated, "num_kv_heads", "2");
    expect(rotated, "head_dim", "6");
    expect(rotated, "bias", "true");
    expect(rotated, "dropout", "0.25");
    expect(rotated, "causal", "true");
    expect(rotated, "add_bias_kv", "true");
    expect(rotated, "add_zero_attn", "true");
    expect(rotated, "scale", "[0.5,0.25,0.5,0.125]");
    expect(rotated, "softcap", "30.0");
    expect(rotated, "sliding_window", "9");
    expect(rotated, "rope",
           "{'theta':100.0,'style':'interleaved','dims':4,'scaling':{'rope_type':'llama3','factor':8.0,"
           "'low_freq_factor':1.0,'high_freq_factor':4.0,'original_max_position_embeddings':32}}");
    expect(rotated, "qk_norm", "null");
    expect(rotated, "sinks", "true");
    expect(sloped, "scale", "0.1");
    expect(sloped, "qk_norm", "{'eps':1e-5}");
    expect(sloped, "alibi_slopes", "[0.5,0.25,0.125,0.0625]");
    expect(sloped, "relative_bias", "{'buckets':8,'max_distance':20,'bidirectional':true}");
    expect(sloped, "rope", "null");
    expect(plain, "bias", "false");
    expect(plain, "dropout", "0.1");
    expect(plain, "precision", "'float32'");
    expect(narrow, "precision", "'int8'");
    const double error = json_real_value(json_object_get(narrow, "precision_error"));
    cr_expect(error > 0.001 && error < 0.02, "%g", error);
    for (size_t n = 12; n < sizeof options / sizeof options[0]; n++)
        cr_expect(json_is_null(json_object_get(plain, options[n])) ||
                      json_is_false(json_object_get(plain, options[n])),
                  "%s", options[n]);
    json_t *one = get(&s, "/models/sloped", 200);
    cr_expect(json_equal(one, sloped));
    remove_folder(folder);
    cr_assert_eq(server_stop(&s), 0);
}

static const struct {
    const char *rope, *expected; /* as it is given, and as it is shown */
} ropes[] = {
    {"{}", "{'theta':10000.0,'style':'half','dims':8,'scaling':null}"},
    {"{\"scaling\":{\"rope_type\":\"linear\",\"factor\":2}}",
     "{'theta':10000.0,'style':'half','dims':8,'scaling':{'rope_type':'linear','factor':2.0}}"},
    {"{\"scaling\":{\"rope_type\":\"dynamic\",\"factor\":2,\"original_max_position_embeddings\":64}}",
     "{'theta':10000.0,'style':'half','dims':8,'scaling':{'rope_type':'dynamic','factor':2.0,"
     "'original_max_position_embeddings':64}}"},
    {"{\"scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":64,"
     "\"attention_factor\":1.5,\"truncate\":false}}",
     "{'theta':10000.0,'style':'half','dims':8,'scaling':{'rope_type':'yarn','factor':4.0,"
     "'original_max_position_embeddings':64,'attention_factor':1.5,'beta_fast':32.0,'beta_slow':1.0,"
     "'truncate':false}}"},
    {"{\"dims\":4,\"scaling\":{\"rope_type\":\"longrope\",\"factor\":4,\"original_max_position_embeddings\":"
     "64,\"attention_factor\":1.25,\"short_factor\":[1,1.1],\"long_factor\":[2,3.3]}}",
     "{'theta':10000.0,'style':'half','dims':4,'scaling':{'rope_type':'longrope',"
     "'original_max_position_embeddings':64,'attention_factor':1.25,'short_factor':[1.0,1.1],"
     "'long_factor':[2.0,3.3]}}"},
};

/* What is shown of a rotation is what a config.json can have: a model made from it is shown alike. */
Test(models, rotations_as_a_configuration_has_them) {
    static st_writer w;
    char *folder = new_folder();
    uint64_t seed = 1;
    char *next = NULL;
    st_begin(&w, "");
    add_random(&w, "in_proj_weight", "[24,8]", 24 * 8, 1, &seed);
    add_random(&w, "out_proj.weight", "[8,8]", 8 * 8, 1, &seed);
    st_end(&w, in_folder(folder, "model.safetensors"));
    for (size_t i = 0; i < 2 * sizeof ropes / sizeof ropes[0]; i++) {
        char config[1024];
        snprintf(config, sizeof config, "{\"embed_dim\":8,\"num_heads\":1,\"bias\":false,\"rope\":%s}",
                 i % 2 == 0 ? ropes[i / 2].rope : next);
        write_text(in_folder(folder, "config.json"), config);
        server s = server_start("--model", folder, NULL);
        json_t *answered = get(&s, "/models", 200), *model;
        model = json_array_get(json_object_get(answered, "models"), 0);
        expect(model, "rope", ropes[i / 2].expected);
        next = keep(json_dumps(json_object_get(model, "rope"), 0));
        cr_assert_eq(server_stop(&s), 0);
    }
    remove_folder(folder);
}

/* A BERT with this many layers of E = 4. */
static void write_bert(const char *folder, size_t layers) {
    static st_writer w;
    static const char *const names[] = {"self.query", "self.key", "self.value", "output.dense"};
    char name[100], config[200];
    uint64_t seed = 1;
    st_begin(&w, "");
    for (size_t n = 0; n < 4 * layers; n++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.%s.weight", n / 4, names[n % 4]);
        add_random(&w, name, "[4,4]", 16, 1, &seed);
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.%s.bias", n / 4, names[n % 4]);
        add_random(&w, name, "[4]", 4, 1, &seed);
    }
    st_end(&w, in_folder(folder, "model.safetensors"));
    snprintf(
        config, sizeof config,
        "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":%zu}",
        layers);
    write_text(in_folder(folder, "config.json"), config);
}

Test(models, a_checkpoint_s_name_lists_its_layers) {
    char *folder = new_folder(), spec[1200];
    write_bert(folder, 12);
    snprintf(spec, sizeof spec, "bert=%s", folder);
    server s = server_start("--model", "small=init:embed_dim=8,num_heads=2", "--model", spec, NULL);
    json_t *problem = get(&s, "/models/bert", 404);
    const char *sentence = json_string_value(json_object_get(problem, "error"));
    cr_expect_str_eq(sentence,
                     "'bert' is a checkpoint of which 12 layers are served, each under its own name: "
                     "bert.0, bert.1, bert.2, bert.3, bert.4, bert.5, bert.6, bert.7, bert.8, bert.9, "
                     "bert.10, bert.11");
    answer a = http_request(&s, "/attend", "{\"model\":\"bert\",\"query\":[[1,2,3,4]]}", NULL);
    cr_expect(a.status == 404 && strstr(a.body, sentence) != NULL &&
                  strstr(a.body, "\"path\":\"model\"") != NULL,
              "%s", a.body);
    a = http_request(&s, "/attend/bert.11", "{\"query\":[[1,2,3,4]]}", NULL);
    cr_expect_eq(a.status, 200, "%s", a.body);
    problem = get(&s, "/models/ber", 404);
    sentence = json_string_value(json_object_get(problem, "error"));
    cr_expect_not_null(strstr(sentence, "there is no model 'ber'; served are: small, bert.0, "), "%s",
                       sentence);
    remove_folder(folder);
    cr_assert_eq(server_stop(&s), 0);
}

Test(models, patterns_say_how_to_use_them) {
    server s = server_start("--model", "builtin:patterns", NULL);
    json_t *answered = get(&s, "/models", 200), *one = get(&s, "/models/patterns", 200), *listed;
    listed = json_array_get(json_object_get(answered, "models"), 0);
    cr_expect(json_is_object(json_object_get(one, "vocabulary")) &&
              json_is_object(json_object_get(one, "rule")));
    cr_expect_eq(json_array_size(json_object_get(one, "heads")),
                 (size_t)json_integer_value(json_object_get(one, "num_heads")));
    cr_expect_eq(json_object_size(one), json_object_size(listed) + 3);
    json_object_update(one, listed);
    cr_expect_eq(json_object_size(one), json_object_size(listed) + 3);
    cr_assert_eq(server_stop(&s), 0);
}
