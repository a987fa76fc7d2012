/* layers.h: model directories with all kinds of options for the service to load, and requests to them as
 * trees of JSON. */
#ifndef TESTS_SERVICE_LAYERS_H
#define TESTS_SERVICE_LAYERS_H

#include "tests/core/model/model_files.h"
#include "tests/random.h"
#include "tests/service/harness.h"

#include <criterion/criterion.h>
#include <jansson.h>

/* ---- Models ---- */

/* E 8, H 4, Hkv 2, D 6; with extra keys, sinks, a window, rotation; or ALiBi slopes and a norm. */
#define GROUPED                                                                                              \
    "\"embed_dim\":8,\"num_heads\":4,\"num_kv_heads\":2,\"head_dim\":6,\"add_bias_kv\":true,"                \
    "\"add_zero_attn\":true,\"dropout\":0.25"
#define ROTATED                                                                                              \
    GROUPED ",\"causal\":true,\"sliding_window\":9,\"softcap\":30,\"scale\":[0.5,0.25,0.5,0.125],"           \
            "\"rope\":{\"theta\":100,\"style\":\"interleaved\",\"dims\":4,\"scaling\":{\"rope_type\":"       \
            "\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"                          \
            "\"original_max_position_embeddings\":32}}"
#define SLOPED                                                                                               \
    GROUPED ",\"scale\":0.1,\"qk_norm\":{\"eps\":1e-5},\"alibi_slopes\":[0.5,0.25,0.125,0.0625],"            \
            "\"relative_bias\":{\"buckets\":8,\"max_distance\":20,\"bidirectional\":true}"

/* Adds a tensor of `count` random numbers of size `scale`. */
static inline void add_random(st_writer *w, const char *name, const char *shape, size_t count, float scale,
                              uint64_t *seed) {
    float numbers[256];
    for (size_t i = 0; i < count; i++)
        numbers[i] = scale * random_float(seed);
    st_add(w, name, "F32", shape, numbers, count * sizeof *numbers);
}

/* Writes FOLDER/NAME, a model directory with one of the configurations above. */
static inline void write_layer(const char *folder, const char *name, const char *config, uint64_t *seed) {
    static st_writer w;
    char path[64], text[2048];
    mkdir(in_folder(folder, name), 0700);
    snprintf(path, sizeof path, "%s/config.json", name);
    snprintf(text, sizeof text, "{%s}", config);
    write_text(in_folder(folder, path), text);
    st_begin(&w, "");
    add_random(&w, "q_proj_weight", "[24,8]", 24 * 8, 0.7F, seed);
    add_random(&w, "k_proj_weight", "[12,8]", 12 * 8, 0.7F, seed);
    add_random(&w, "v_proj_weight", "[12,8]", 12 * 8, 0.7F, seed);
    add_random(&w, "in_proj_bias", "[48]", 48, 0.3F, seed);
    add_random(&w, "out_proj.weight", "[8,24]", 8 * 24, 0.5F, seed);
    add_random(&w, "out_proj.bias", "[8]", 8, 0.3F, seed);
    add_random(&w, "bias_k", "[1,1,12]", 12, 1, seed);
    add_random(&w, "bias_v", "[1,1,12]", 12, 1, seed);
    add_random(&w, "sinks", "[4]", 4, 1, seed);
    if (strstr(config, "qk_norm") != NULL) {
        add_random(&w, "q_norm.weight", "[6]", 6, 1, seed);
        add_random(&w, "k_norm.weight", "[6]", 6, 1, seed);
    }
    if (strstr(config, "relative_bias") != NULL)
        add_random(&w, "relative_bias.weight", "[8,4]", 8 * 4, 1, seed);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    st_end(&w, in_folder(folder, path));
}

/* ---- Requests ---- */

/* A nested array of random numbers. */
static inline json_t *random_array(const size_t *shape, size_t rank, uint64_t *seed) {
    if (rank == 0)
        return json_real((double)random_float(seed));
    json_t *array = json_array();
    for (size_t i = 0; i < shape[0]; i++)
        json_array_append_new(array, random_array(shape + 1, rank - 1, seed));
    return array;
}

/* A mask [L, S] of booleans, or of numbers some of which exclude; NULL for none. */
static inline json_t *random_mask(size_t L, size_t S, uint64_t *seed) {
    const size_t kind = random_below(seed, 3);
    if (kind == 0)
        return NULL;
    json_t *mask = json_array();
    for (size_t i = 0; i < L; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < S; j++) {
            const bool excluded = random_below(seed, 3) == 0;
            json_array_append_new(row, kind == 1  ? json_boolean(excluded)
                                       : excluded ? json_string("-inf")
                                                  : json_real((double)random_float(seed)));
        }
        json_array_append_new(mask, row);
    }
    return mask;
}

/* Sends the request and returns the answer, which must have this status and stays until the test ends. */
static inline json_t *post(const server *s, const char *path, const json_t *request, long status) {
    char *body = json_dumps(request, JSON_REAL_PRECISION(9));
    answer a = http_request(s, path, body, NULL);
    cr_assert_eq(a.status, status, "%s: %ld %.300s", body, a.status, a.body);
    json_t *document = keep(json_loads(a.body, JSON_REJECT_DUPLICATES, NULL));
    cr_assert_not_null(document, "%.300s", a.body);
    free(body);
    return document;
}

/* Sends `common` with the members of a text like "'need_weights':true" besides. */
static inline json_t *post_with(const server *s, const char *path, const json_t *common, long status,
                                const char *members) {
    char text[1024];
    snprintf(text, sizeof text, "{%s}", members);
    for (char *quote = text; (quote = strchr(quote, '\'')) != NULL;)
        *quote = '"';
    json_t *more = json_loads(text, 0, NULL), *request = json_copy((json_t *)(uintptr_t)common);
    cr_assert_not_null(more, "%s", text);
    json_object_update(request, more);
    json_t *answered = post(s, path, request, status);
    json_decref(more);
    json_decref(request);
    return answered;
}

/* Copies a nested array of numbers to `numbers` (null: minus infinity); returns how many there are. */
static inline size_t flatten(const json_t *array, double *numbers) {
    if (!json_is_array(array)) {
        cr_assert(json_is_number(array) || json_is_null(array));
        *numbers = json_is_null(array) ? -(double)INFINITY : json_number_value(array);
        return 1;
    }
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(array); i++)
        count += flatten(json_array_get(array, i), numbers + count);
    return count;
}

#endif
