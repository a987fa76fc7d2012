/* A checkpoint of more than 2 GB, given to the real binary: it takes the memory of its attention, and no more
 * than a little besides. */
#include "tests/service/model_runs.h"

TestSuite(large_models, .init = begin, .fini = end, .timeout = 300);

enum { LAYERS = 4, WIDTH = 512 };
#define ATTENTION ((size_t)LAYERS * 4 * (WIDTH * WIDTH + WIDTH) * sizeof(float))

static const char *const parts[] = {"self.query", "self.key", "self.value", "output.dense"};

/* The header of one file in the making; its data are zeros, and take no room on the disk. */
typedef struct {
    char text[16384];
    size_t length, data;
} large_file;

static void add_tensor(large_file *f, const char *name, size_t rows, size_t columns) {
    const size_t bytes = rows * (columns == 0 ? 1 : columns) * sizeof(float);
    char shape[64];
    snprintf(shape, sizeof shape, columns == 0 ? "%zu" : "%zu,%zu", rows, columns);
    f->length += (size_t)snprintf(f->text + f->length, sizeof f->text - f->length,
                                  "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                  f->length == 0 ? "{" : ",", name, shape, f->data, f->data + bytes);
    f->data += bytes;
}

/* A layer of attention, with something large and of no use to us between its tensors. */
static void add_layer(large_file *f, size_t n) {
    char name[128];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.%s.weight", n, parts[i]);
        add_tensor(f, name, WIDTH, WIDTH);
        snprintf(name, sizeof name, "encoder.layer.%zu.part%d.weight", n, i);
        add_tensor(f, name, 15 * MIB / WIDTH, WIDTH);
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.%s.bias", n, parts[i]);
        add_tensor(f, name, WIDTH, 0);
    }
}

static void write_large(const large_file *f, const char *name) {
    const size_t length = f->length + 1;
    char *text = malloc(length + 1);
    snprintf(text, length + 1, "%s}", f->text);
    write_safetensors(inside(name), text, length, ST_TRUE_LENGTH, "", 0);
    cr_assert_eq(truncate(inside(name), (off_t)(8 + length + f->data)), 0);
    free(text);
}

static void write_large_config(void) {
    char text[256];
    snprintf(
        text, sizeof text,
        "{\"model_type\":\"bert\",\"hidden_size\":%d,\"num_attention_heads\":8,\"num_hidden_layers\":%d}",
        WIDTH, LAYERS);
    write_text(inside("config.json"), text);
}

/* Loads it, and expects it to take no more than what is served and 64 MiB. */
static void fits(const char *what, size_t bytes) {
    cr_expect_gt(bytes, 2048 * MIB);
    const size_t empty = empty_peak();
    const outcome o = check(in_folder(folder, "m"));
    cr_expect_eq(o.code, 0, "%s", o.said);
    const size_t more = more_than(empty, &o);
    fprintf(stderr, "large_models: %s of %zu MiB, %zu MiB of it attention: %zu MiB more than no model\n",
            what, bytes / MIB, ATTENTION / MIB, more / MIB);
    cr_expect(!MEMORY_COUNTS || more <= ATTENTION + 64 * MIB, "%zu MiB", more / MIB);
    cr_expect(!MEMORY_COUNTS || more >= ATTENTION / 2, "%zu MiB: were the weights loaded?", more / MIB);
}

Test(large_models, two_gigabytes_in_one_file) {
    static large_file f;
    mkdir(in_folder(folder, "m"), 0700);
    write_large_config();
    for (size_t n = 0; n < LAYERS; n++)
        add_layer(&f, n);
    add_tensor(&f, "model.embed_tokens.weight", 600000, WIDTH);
    write_large(&f, MODEL);
    fits("one file", f.data);
}

Test(large_models, two_gigabytes_in_shards) {
    static large_file files[LAYERS];
    static char map[32768];
    size_t length = 0, bytes = 0;
    mkdir(in_folder(folder, "m"), 0700);
    write_large_config();
    for (size_t n = 0; n < LAYERS; n++) {
        char name[64];
        snprintf(name, sizeof name, "model-%zu-of-%d.safetensors", n + 1, LAYERS);
        add_layer(&files[n], n);
        if (n == 2)
            add_tensor(&files[n], "model.embed_tokens.weight", 600000, WIDTH);
        write_large(&files[n], name);
        bytes += files[n].data;
        for (int i = 0; i < 8; i++)
            length += (size_t)snprintf(
                map + length, sizeof map - length, "%s\"encoder.layer.%zu.attention.%s.%s\":\"%s\"",
                length == 0 ? "" : ",", n, parts[i / 2], i % 2 ? "bias" : "weight", name);
    }
    static char text[sizeof map + 64];
    snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":%zu},\"weight_map\":{%s}}", bytes, map);
    write_text(inside(INDEX), text);
    fits("shards", bytes);
}
