/* What a reload keeps, loads anew, and refuses. */
#include "server/load.h"

#include "core/kernels/choose.h"
#include "server/log.h"
#include "tests/core/model/model_files.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <utime.h>

static char *folder;
static options o;
static st_writer writer;
static atomic_bool given_up;

/* An option, in which %s is the folder. */
static void serve(const char *format) {
    char spec[1024];
    snprintf(spec, sizeof spec, format, folder);
    o.models.words[o.models.count++] = strdup(spec);
}

static void begin(void) {
    folder = new_folder();
    o = (options){.kernels = attn_kernels_named("auto"), .self_check = 1};
    given_up = false;
    log_set_level(LOG_ERROR);
}

static void end(void) {
    options_free(&o);
    remove_folder(folder);
}

TestSuite(load, .init = begin, .fini = end);

#define CONFIG "{\"embed_dim\":4,\"num_heads\":2,\"bias\":false}"

/* Writes FOLDER/NAME anew; `numbers` differ with `seed`. */
static void write_layer(const char *name, const char *config, size_t seed) {
    char path[256], more[64];
    mkdir(in_folder(folder, name), 0700);
    snprintf(path, sizeof path, "%s/config.json", name);
    write_text(in_folder(folder, path), config);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    snprintf(more, sizeof more, "\"__metadata__\":{\"seed\":\"%zu\"}", seed);
    st_begin(&writer, more);
    st_describe(&writer, "in_proj_weight[12,4] out_proj.weight[4,4]");
    st_end(&writer, in_folder(folder, path));
}

static snapshot *load(const snapshot *before) {
    attn_error error = {""};
    snapshot *s = load_snapshot(&o, before, &given_up, &error);
    cr_assert_not_null(s, "%s", error.text);
    return s;
}

static const attn_model *model(const snapshot *s, const char *name) {
    const attn_model *found = attn_registry_find(&s->models, name);
    cr_assert_not_null(found, "%s", name);
    return found;
}

Test(load, only_what_has_changed_is_loaded) {
    write_layer("a", CONFIG, 1);
    write_layer("b", CONFIG, 1);
    serve("%s/a");
    serve("init:embed_dim=4,num_heads=2");
    serve("%s/b");
    serve("builtin:demo");
    snapshot *one = load(NULL), *two = load(one);
    cr_assert_eq(two->models.count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(two->models.models[i], one->models.models[i], "%zu", i);
        cr_expect_eq(one->models.models[i]->holders, 2);
    }
    write_layer("b", CONFIG, 2);
    snapshot *three = load(two);
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(three->models.models[i] == one->models.models[i], i != 2, "%zu", i);
    cr_expect_eq(model(one, "b")->holders, 2);
    snapshot_release(one);
    snapshot_release(two);
    cr_expect_eq(model(three, "a")->holders, 1);
    snapshot_release(three);
}

Test(load, what_fails_is_stale_until_it_is_mended) {
    write_layer("a", CONFIG, 1);
    write_layer("b", CONFIG, 1);
    serve("%s/a");
    serve("%s/b");
    snapshot *one = load(NULL);
    write_layer("a", "{\"embed_dim\":5,\"num_heads\":2}", 1);
    write_layer("b", CONFIG, 2);
    snapshot *two = load(one), *three = load(two);
    cr_expect_eq(model(two, "a"), model(one, "a"));
    cr_expect_neq(model(two, "b"), model(one, "b"));
    cr_expect_not_null(strstr(snapshot_stale(two, model(two, "a")), "embed_dim"));
    cr_expect_null(snapshot_stale(two, model(two, "b")));
    cr_expect_eq(model(three, "a"), model(one, "a"), "tried once more");
    cr_expect_not_null(snapshot_stale(three, model(three, "a")));
    cr_expect_eq(model(three, "b"), model(two, "b"));
    write_layer("a", CONFIG, 3);
    snapshot *four = load(three);
    cr_expect_neq(model(four, "a"), model(one, "a"));
    cr_expect_null(snapshot_stale(four, model(four, "a")));
    snapshot *const all[] = {one, two, three, four};
    for (size_t i = 0; i < 4; i++)
        snapshot_release(all[i]);
}

/* What was moved away and is back is what is being served: nothing is read. */
Test(load, files_that_come_back_are_not_stale) {
    write_layer("a", CONFIG, 1);
    serve("a=%s/a");
    snapshot *one = load(NULL);
    cr_assert_eq(rename(in_folder(folder, "a"), in_folder(folder, "b")), 0);
    snapshot *two = load(one);
    cr_expect_not_null(snapshot_stale(two, model(two, "a")));
    cr_assert_eq(rename(in_folder(folder, "b"), in_folder(folder, "a")), 0);
    snapshot *three = load(two);
    cr_expect_null(snapshot_stale(three, model(three, "a")));
    cr_expect_eq(model(three, "a"), model(one, "a"));
    snapshot_release(one);
    snapshot_release(two);
    snapshot_release(three);
}

/* Writes FOLDER/hf, a checkpoint of so many layers. */
static void write_checkpoint(size_t layers) {
    char config[256], tensors[4096] = "";
    static const char *const names[] = {"self.query", "self.key", "self.value", "output.dense"};
    mkdir(in_folder(folder, "hf"), 0700);
    snprintf(
        config, sizeof config,
        "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":%zu}",
        layers);
    write_text(in_folder(folder, "hf/config.json"), config);
    for (size_t i = 0; i < layers * 8; i++)
        snprintf(tensors + strlen(tensors), sizeof tensors - strlen(tensors),
                 " encoder.layer.%zu.attention.%s.%s", i / 8, names[i % 4],
                 i % 8 < 4 ? "weight[4,4]" : "bias[4]");
    st_begin(&writer, "");
    st_describe(&writer, tensors + 1);
    st_end(&writer, in_folder(folder, "hf/model.safetensors"));
}

Test(load, layers_come_and_go) {
    write_checkpoint(2);
    serve("m=%s/hf");
    serve("demo=init:embed_dim=4,num_heads=2");
    snapshot *one = load(NULL);
    write_checkpoint(1);
    snapshot *two = load(one);
    cr_expect_eq(two->models.count, 2);
    cr_expect_null(attn_registry_find(&two->models, "m.1"));
    cr_expect_eq(model(two, "demo"), model(one, "demo"));
    write_checkpoint(3);
    snapshot *three = load(two);
    cr_expect_eq(three->models.count, 4);
    model(three, "m.2");
    snapshot_release(one);
    snapshot_release(two);
    snapshot_release(three);
}

/* One that becomes stale keeps its name, so that nobody else may take it. */
Test(load, a_new_layer_cannot_take_the_name_of_another_model) {
    write_checkpoint(1);
    write_layer("a", CONFIG, 1);
    serve("m=%s/hf");
    serve("m.1=%s/a");
    snapshot *one = load(NULL);
    write_checkpoint(2);
    write_layer("a", "nonsense", 1);
    snapshot *two = load(one);
    cr_expect_eq(two->models.count, 2);
    cr_expect_not_null(strstr(snapshot_stale(two, model(two, "m.0")), "\"m.1\" is taken"));
    cr_expect_not_null(snapshot_stale(two, model(two, "m.1")));
    snapshot_release(one);
    snapshot_release(two);
}

/* A sparse file: a matrix of 2^36 numbers takes no room on the disk, but would in memory. */
Test(load, what_does_not_fit_is_not_tried) {
    write_layer("a", CONFIG, 1);
    serve("%s/a");
    snapshot *one = load(NULL);
    const size_t E = (size_t)1 << 18, joint = 3 * E * E * 4, all = 4 * E * E * 4;
    char header[512];
    write_text(in_folder(folder, "a/config.json"), "{\"embed_dim\":262144,\"num_heads\":2,\"bias\":false}");
    snprintf(header + 8, sizeof header - 8,
             "{\"in_proj_weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]},"
             "\"out_proj.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}}",
             3 * E, E, joint, E, E, joint, all);
    const uint64_t length = strlen(header + 8);
    memcpy(header, &length, 8);
    write_bytes(in_folder(folder, "a/model.safetensors"), header, 8 + length);
    if (truncate(in_folder(folder, "a/model.safetensors"), (off_t)(8 + length + all)) != 0)
        cr_skip_test("no sparse files of 1 TiB here");
    snapshot *two = load(one);
    cr_expect_eq(model(two, "a"), model(one, "a"));
    const char *why = snapshot_stale(two, model(two, "a"));
    cr_expect(strstr(why, "too few") != NULL && strstr(why, "2199023255552 bytes") != NULL, "%s", why);
    snapshot_release(one);
    snapshot_release(two);
}

typedef struct {
    const char *path;
    atomic_bool ends;
    atomic_size_t times;
} toucher;

static void *touch(void *context) {
    toucher *t = context;
    while (!t->ends && utime(t->path, NULL) == 0) {
        t->times++;
        usleep(500);
    }
    return NULL;
}

/* Or a model would come of the old configuration and new weights. */
Test(load, files_that_change_meanwhile_are_not_served) {
    pthread_t thread;
    write_layer("a", CONFIG, 1);
    serve("%s/a");
    snapshot *one = load(NULL);
    toucher t = {.path = in_folder(folder, "a/config.json")};
    cr_assert_eq(pthread_create(&thread, NULL, touch, &t), 0);
    while (t.times == 0)
        usleep(100);
    snapshot *two = load(one);
    t.ends = true;
    pthread_join(thread, NULL);
    cr_expect_eq(model(two, "a"), model(one, "a"));
    const char *why = snapshot_stale(two, model(two, "a"));
    cr_expect(why != NULL && strstr(why, "changed while") != NULL, "%s", why);
    snapshot *three = load(two);
    cr_expect_neq(model(three, "a"), model(one, "a"));
    for (snapshot *const *s = (snapshot *const[]){one, two, three, NULL}; *s != NULL; s++)
        snapshot_release(*s);
}

Test(load, is_given_up_between_two_models) {
    attn_error error = {""};
    serve("init:embed_dim=4,num_heads=2");
    snapshot *one = load(NULL);
    given_up = true;
    cr_expect_null(load_snapshot(&o, one, &given_up, &error));
    cr_expect_eq(one->models.models[0]->holders, 1);
    snapshot_release(one);
}

/* At the start there is nothing to fall back on. */
Test(load, the_start_fails_with_the_first_that_fails) {
    attn_error error = {""};
    serve("builtin:demo");
    serve("%s/nothing");
    cr_expect_null(load_snapshot(&o, NULL, &given_up, &error));
    cr_expect_not_null(strstr(error.text, "nothing"), "%s", error.text);
}
