#include "core/model/config.h"

#include "core/model/files/json_value.h"
#include "core/model/rope_config.h"
#include "core/size.h"

#include <stdio.h>

/* Most keys have the name of the field of attn_config that they fill. */
#define DIMENSION(key, is_required)                                                                          \
    {                                                                                                        \
        .name = #key, .kind = ATTN_JSON_WHOLE, .field = offsetof(attn_config, key), .least = 1,              \
        .most = ATTN_DIMENSION_MAX, .required = is_required                                                  \
    }
#define BOOLEAN(key)                                                                                         \
    { .name = #key, .kind = ATTN_JSON_BOOLEAN, .field = offsetof(attn_config, key) }
#define OTHER(key)                                                                                           \
    { .name = #key }

static const attn_json_key keys[] = {
    DIMENSION(embed_dim, true),
    DIMENSION(num_heads, true),
    DIMENSION(kdim, false),
    DIMENSION(vdim, false),
    BOOLEAN(bias),
    {.name = "dropout", .kind = ATTN_JSON_FRACTION, .field = offsetof(attn_config, dropout)},
    BOOLEAN(add_bias_kv),
    BOOLEAN(add_zero_attn),
    DIMENSION(num_kv_heads, false),
    DIMENSION(head_dim, false),
    OTHER(scale),
    {.name = "softcap", .kind = ATTN_JSON_POSITIVE, .field = offsetof(attn_config, softcap)},
    BOOLEAN(causal),
    {.name = "sliding_window",
     .kind = ATTN_JSON_WHOLE,
     .field = offsetof(attn_config, sliding_window),
     .least = 1,
     .most = ATTN_DISTANCE_MAX},
    OTHER(rope),
    OTHER(qk_norm),
    OTHER(alibi_slopes),
    OTHER(relative_bias),
    OTHER(precision),
};
#define KEYS (sizeof keys / sizeof keys[0])

static const attn_json_key qk_norm_keys[] = {
    {.name = "eps", .kind = ATTN_JSON_POSITIVE, .field = offsetof(attn_config, qk_norm_eps)},
};

static const attn_json_key relative_bias_keys[] = {
    {.name = "buckets",
     .kind = ATTN_JSON_WHOLE,
     .field = offsetof(attn_relative_bias, buckets),
     .least = 2,
     .most = ATTN_DIMENSION_MAX,
     .required = true},
    {.name = "max_distance",
     .kind = ATTN_JSON_WHOLE,
     .field = offsetof(attn_relative_bias, max_distance),
     .least = 1,
     .most = ATTN_DISTANCE_MAX,
     .required = true},
    {.name = "bidirectional",
     .kind = ATTN_JSON_BOOLEAN,
     .field = offsetof(attn_relative_bias, bidirectional)},
};

typedef struct {
    double theta;
    size_t dims;
} rope_fields;

static const attn_json_key rope_keys[] = {
    {.name = "theta", .kind = ATTN_JSON_POSITIVE, .field = offsetof(rope_fields, theta)},
    OTHER(style),
    {.name = "dims",
     .kind = ATTN_JSON_WHOLE,
     .field = offsetof(rope_fields, dims),
     .least = 2,
     .most = ATTN_DIMENSION_MAX},
    OTHER(scaling),
};

/* An object inside another one, and its name for error sentences. */
typedef struct {
    const json_t *object; /* NULL: it is absent or null */
    char where[320];
} inner;

static attn_status open_inner(const char *where, const json_t *object, const char *key, inner *result,
                              attn_error *error) {
    const json_t *value = json_object_get(object, key);
    attn_printable found;
    result->object = NULL;
    snprintf(result->where, sizeof result->where, "%.256s: %s", where, key);
    if (!attn_json_is_given(value))
        return ATTN_OK;
    if (!json_is_object(value))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected an object, found %s", where, key,
                         attn_json_printable(&found, value));
    result->object = value;
    return ATTN_OK;
}

static attn_status read_qk_norm(const char *where, const json_t *object, attn_config *config,
                                attn_error *error) {
    inner norm;
    ATTN_TRY(open_inner(where, object, "qk_norm", &norm, error));
    if (norm.object == NULL)
        return ATTN_OK;
    config->qk_norm = true;
    config->qk_norm_eps = 1e-6;
    return attn_json_read(norm.where, norm.object, qk_norm_keys, sizeof qk_norm_keys / sizeof qk_norm_keys[0],
                          config, error);
}

/* T5's formula (transformers, modeling_t5.py, _relative_position_bucket): half of the buckets of a direction
 * are for one distance each, the other half are on a logarithmic scale up to max_distance. */
static attn_status read_relative_bias(const char *where, const json_t *object, attn_config *config,
                                      attn_error *error) {
    inner bias;
    attn_relative_bias result = {.bidirectional = !config->causal};
    ATTN_TRY(open_inner(where, object, "relative_bias", &bias, error));
    if (bias.object == NULL)
        return ATTN_OK;
    ATTN_TRY(attn_json_read(bias.where, bias.object, relative_bias_keys,
                            sizeof relative_bias_keys / sizeof relative_bias_keys[0], &result, error));
    if (result.bidirectional && (result.buckets < 4 || result.buckets % 2 != 0))
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"buckets\": expected an even number of at least 4 for both directions, found %zu",
            bias.where, result.buckets);
    const size_t exact = result.buckets / (result.bidirectional ? 4 : 2);
    if (result.max_distance <= exact)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"max_distance\": expected more than %zu, the distances that have a bucket of "
                         "their own, found %zu",
                         bias.where, exact, result.max_distance);
    config->relative_bias = result;
    return ATTN_OK;
}

static attn_status read_style(const inner *rope, attn_rope_style *style, attn_error *error) {
    static const char *const names[] = {"half", "interleaved"};
    static const attn_rope_style styles[] = {ATTN_ROPE_HALF, ATTN_ROPE_INTERLEAVED};
    const json_t *value = json_object_get(rope->object, "style");
    size_t number = 0;
    attn_status status = ATTN_OK;
    if (attn_json_is_given(value))
        status = attn_json_choice(rope->where, "style", value, names, 2, &number, error);
    *style = styles[number];
    return status;
}

/* Theta and dims can be given here, and again in the scaling, where transformers has them: then they must
 * agree. */
static attn_status read_base(const inner *rope, const inner *scaling, size_t head_dim, attn_rope *result,
                             attn_error *error) {
    rope_fields here = {.theta = 0}, there = {.theta = 0};
    ATTN_TRY(attn_json_read(rope->where, rope->object, rope_keys, sizeof rope_keys / sizeof rope_keys[0],
                            &here, error));
    ATTN_TRY(attn_rope_base_from_json(scaling->where, scaling->object, head_dim, &there.theta, &there.dims,
                                      error));
    if (here.theta != 0 && there.theta != 0 && here.theta != there.theta)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected one theta, found \"theta\" %g and \"rope_theta\" %g", rope->where,
                         here.theta, there.theta);
    if (here.dims != 0 && there.dims != 0 && here.dims != there.dims)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: expected one number of dims, found \"dims\" %zu and a \"partial_rotary_factor\" "
            "that makes %zu",
            rope->where, here.dims, there.dims);
    result->theta = here.theta != 0 ? here.theta : there.theta != 0 ? there.theta : 10000;
    result->dims = here.dims != 0 ? here.dims : there.dims;
    return attn_rope_complete(rope->where, head_dim, result, error);
}

static attn_status read_rope(const char *where, const json_t *object, attn_config *config,
                             attn_error *error) {
    inner rope, scaling;
    attn_rope result = {.style = ATTN_ROPE_NONE};
    ATTN_TRY(open_inner(where, object, "rope", &rope, error));
    if (rope.object == NULL)
        return ATTN_OK;
    ATTN_TRY(open_inner(rope.where, rope.object, "scaling", &scaling, error));
    ATTN_TRY(read_base(&rope, &scaling, config->head_dim, &result, error));
    ATTN_TRY(read_style(&rope, &result.style, error));
    ATTN_TRY(attn_rope_scaling_from_json(scaling.where, scaling.object, 0, &result, NULL, error));
    config->rope = result;
    return ATTN_OK;
}

/* A number for all heads, or one for each; `values` [H] can be NULL. */
static attn_status read_scale(const char *where, const json_t *object, size_t num_heads, float *values,
                              attn_error *error) {
    const json_t *value = json_object_get(object, "scale");
    double number;
    if (json_is_array(value))
        return attn_json_numbers(where, "scale", value, num_heads, false, values, error);
    const attn_status status = attn_json_number(where, "scale", value, &number, error);
    for (size_t i = 0; i < num_heads && status == ATTN_OK && values != NULL; i++)
        values[i] = (float)number;
    return status;
}

static attn_status read_slopes(const char *where, const json_t *object, size_t num_heads, float *values,
                               attn_error *error) {
    return attn_json_numbers(where, "alibi_slopes", json_object_get(object, "alibi_slopes"), num_heads, false,
                             values, error);
}

/* Checks what attn_config_fill will write. */
static attn_status check_arrays(const char *where, const json_t *object, attn_config *config,
                                attn_error *error) {
    config->scale_given = attn_json_is_given(json_object_get(object, "scale"));
    config->alibi = attn_json_is_given(json_object_get(object, "alibi_slopes"));
    if (config->scale_given)
        ATTN_TRY(read_scale(where, object, config->num_heads, NULL, error));
    if (config->alibi)
        ATTN_TRY(read_slopes(where, object, config->num_heads, NULL, error));
    return ATTN_OK;
}

static attn_status read_precision(const char *where, const json_t *object, attn_config *config,
                                  attn_error *error) {
    const json_t *value = json_object_get(object, "precision");
    const char *names[ATTN_PRECISIONS];
    size_t number = ATTN_FLOAT32;
    if (!attn_json_is_given(value))
        return ATTN_OK;
    for (int i = 0; i < ATTN_PRECISIONS; i++)
        names[i] = attn_precision_name((attn_precision)i);
    const attn_status status =
        attn_json_choice(where, "precision", value, names, ATTN_PRECISIONS, &number, error);
    config->precision = (attn_precision)number;
    return status;
}

attn_status attn_config_from_json(const char *where, const json_t *object, attn_precision precision,
                                  attn_config *config, attn_error *error) {
    attn_config result = {.bias = true, .precision = precision};
    ATTN_TRY(attn_json_read(where, object, keys, KEYS, &result, error));
    ATTN_TRY(read_precision(where, object, &result, error));
    ATTN_TRY(attn_config_complete(where, &result, error));
    ATTN_TRY(check_arrays(where, object, &result, error));
    ATTN_TRY(read_qk_norm(where, object, &result, error));
    ATTN_TRY(read_relative_bias(where, object, &result, error));
    ATTN_TRY(read_rope(where, object, &result, error));
    *config = result;
    return ATTN_OK;
}

attn_status attn_config_fill(const char *where, const json_t *object, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error) {
    if (config->scale_given)
        ATTN_TRY(read_scale(where, object, config->num_heads, arrays[ATTN_SCALE], error));
    if (config->alibi)
        ATTN_TRY(read_slopes(where, object, config->num_heads, arrays[ATTN_ALIBI_SLOPES], error));
    if (config->rope.scaling == ATTN_ROPE_LONGROPE)
        ATTN_TRY(attn_rope_factors_from_json(
            where, json_object_get(json_object_get(object, "rope"), "scaling"), &config->rope,
            arrays[ATTN_ROPE_SHORT], arrays[ATTN_ROPE_LONG], error));
    return ATTN_OK;
}

static attn_status check_divides(const char *where, const char *key, size_t part, const char *whole_key,
                                 size_t whole, attn_error *error) {
    if (whole % part == 0)
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: %s %zu: expected a divisor of %s, which is %zu", where, key,
                     part, whole_key, whole);
}

attn_status attn_config_complete(const char *where, attn_config *config, attn_error *error) {
    if (config->num_kv_heads == 0)
        config->num_kv_heads = config->num_heads;
    if (config->kdim == 0)
        config->kdim = config->embed_dim;
    if (config->vdim == 0)
        config->vdim = config->embed_dim;
    if (config->head_dim == 0) {
        ATTN_TRY(check_divides(where, "num_heads", config->num_heads, "embed_dim", config->embed_dim, error));
        config->head_dim = config->embed_dim / config->num_heads;
    }
    ATTN_TRY(
        check_divides(where, "num_kv_heads", config->num_kv_heads, "num_heads", config->num_heads, error));
    size_t width;
    if (!attn_multiply(config->num_heads, config->head_dim, &width) || width > ATTN_DIMENSION_MAX)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: num_heads %zu times head_dim %zu: expected at most %zu",
                         where, config->num_heads, config->head_dim, ATTN_DIMENSION_MAX);
    return ATTN_OK;
}
