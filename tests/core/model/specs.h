/* specs.h: what tests of models need: a folder for their files, a registry, and what is expected of a SPEC.
 */
#ifndef TEST_SPECS_H
#define TEST_SPECS_H

#include "core/model/load.h"

#include "tests/core/model/model_files.h"

#include <criterion/criterion.h>

static char *folder;
static attn_registry registry;
static st_writer writer;

static inline void begin(void) {
    folder = new_folder();
    registry = (attn_registry){.models = NULL};
}

static inline void end(void) {
    attn_registry_free(&registry);
    cr_expect_eq(registry.count, 0);
    remove_folder(folder);
}

/* Loads a spec, in which %s is the folder, and expects success. */
static inline void loaded(const char *format) {
    char spec[2048];
    attn_error error = {""};
    snprintf(spec, sizeof spec, format, folder);
    cr_assert_eq(attn_registry_load(&registry, spec, &error), ATTN_OK, "%s: %s", spec, error.text);
}

/* Loads a spec, in which %s is the folder, and expects a sentence with all of `says` (NULL ends them), and
 * the registry as it was. */
static inline void refused(const char *format, const char *const *says) {
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

static inline const attn_model *find(const char *name) {
    const attn_model *model = attn_registry_find(&registry, name);
    cr_assert_not_null(model, "no model %s", name);
    return model;
}

/* Expects array [count] to hold the numbers of the file from number `first` on, and to be aligned. */
static inline void holds(const float *array, size_t first, size_t count) {
    cr_assert_not_null(array);
    cr_expect_eq((uintptr_t)array % 64, 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(array[i], test_value(first + i), "element %zu: %g, expected %g", i, (double)array[i],
                     test_value(first + i));
}

/* Element i of the weight, row by row. */
static inline float element(const attn_packed *weight, size_t i) {
    return attn_packed_at(weight, i / weight->depth, i % weight->depth);
}

/* Expects the weight to hold, row by row, the numbers of the file from number `first` on. */
static inline void weighs(const attn_packed *weight, size_t first, size_t count) {
    cr_assert_eq(weight->width * weight->depth, count);
    for (size_t i = 0; i < count; i++) {
        const float found = element(weight, i);
        cr_assert_eq(found, test_value(first + i), "element %zu: %g, expected %g", i, (double)found,
                     test_value(first + i));
    }
}

static inline bool same_weights(const attn_packed *one, const attn_packed *other) {
    return one->width == other->width && one->depth == other->depth && one->bytes == other->bytes &&
           memcmp(one->numbers, other->numbers, one->bytes) == 0;
}

/* What the weights of a model take: the packed ones, and each of the other arrays, of so many numbers,
 * rounded up to 64 bytes; 0 ends them. */
static inline void takes(const attn_model *model, const size_t *others) {
    const attn_layer *layer = &model->layer;
    size_t bytes =
        layer->q_weight.bytes + layer->k_weight.bytes + layer->v_weight.bytes + layer->o_weight.bytes;
    for (; *others != 0; others++)
        bytes += (*others * sizeof(float) + 63) / 64 * 64;
    cr_expect_eq(model->bytes, bytes, "%zu bytes, expected %zu", model->bytes, bytes);
}
#define TAKES(model, ...) takes(model, (const size_t[]){__VA_ARGS__, 0})

/* Writes FOLDER/NAME/config.json and model.safetensors. */
static inline void write_model(const char *name, const char *config, const char *tensors) {
    char path[256];
    mkdir(in_folder(folder, name), 0700);
    snprintf(path, sizeof path, "%s/config.json", name);
    write_text(in_folder(folder, path), config);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    st_begin(&writer, "");
    st_describe(&writer, tensors);
    st_end(&writer, in_folder(folder, path));
}

/* The config.json (to be closed) and the tensors of a small layer. */
#define HEADS "{\"embed_dim\":4,\"num_heads\":2"
#define LAYER "in_proj_weight[12,4] in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]"

#endif
