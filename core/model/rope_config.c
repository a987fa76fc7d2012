#include "core/model/rope_config.h"

#include "core/model/checkpoint/key_rules.h"
#include "core/model/files/json_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_MAX ((size_t)0x7fffffff) /* in positions */

/* The types, under the names that transformers has or had for them, and which scaling each is. */
static const char *const type_names[] = {"default", "linear", "dynamic", "yarn", "longrope", "su", "llama3"};
static const attn_rope_scaling type_scalings[] = {
    ATTN_ROPE_UNSCALED, ATTN_ROPE_LINEAR,   ATTN_ROPE_DYNAMIC, ATTN_ROPE_YARN,
    ATTN_ROPE_LONGROPE, ATTN_ROPE_LONGROPE, ATTN_ROPE_LLAMA3,
};
#define TYPES (sizeof type_names / sizeof type_names[0])

/* The numbers of an object; 0 for those that it does not have. */
typedef struct {
    double factor;
    size_t original;
    double attention_factor, mscale, mscale_all_dim, beta_fast, beta_slow, low, high;
} numbers;

#define ALL      (UNSCALED | LINEAR | DYNAMIC | YARN | LONGROPE | LLAMA3)
#define UNSCALED (1U << ATTN_ROPE_UNSCALED)
#define LINEAR   (1U << ATTN_ROPE_LINEAR)
#define DYNAMIC  (1U << ATTN_ROPE_DYNAMIC)
#define YARN     (1U << ATTN_ROPE_YARN)
#define LONGROPE (1U << ATTN_ROPE_LONGROPE)
#define LLAMA3   (1U << ATTN_ROPE_LLAMA3)

/* The keys, the types that have each, and those that require it. */
static const struct {
    const char *name;
    attn_json_kind kind;
    size_t field;
    unsigned types, required;
} keys[] = {
    {"rope_type", ATTN_JSON_OTHER, 0, ALL, 0},
    {"type", ATTN_JSON_OTHER, 0, ALL, 0},
    {"rope_theta", ATTN_JSON_OTHER, 0, ALL, 0},
    {"partial_rotary_factor", ATTN_JSON_OTHER, 0, ALL, 0},
    {"factor", ATTN_JSON_POSITIVE, offsetof(numbers, factor), ALL & ~UNSCALED, LINEAR | DYNAMIC | LLAMA3},
    {"original_max_position_embeddings", ATTN_JSON_WHOLE, offsetof(numbers, original),
     DYNAMIC | YARN | LONGROPE | LLAMA3, 0},
    {"attention_factor", ATTN_JSON_POSITIVE, offsetof(numbers, attention_factor), YARN | LONGROPE, 0},
    {"mscale", ATTN_JSON_NUMBER, offsetof(numbers, mscale), YARN, 0},
    {"mscale_all_dim", ATTN_JSON_NUMBER, offsetof(numbers, mscale_all_dim), YARN, 0},
    {"beta_fast", ATTN_JSON_NUMBER, offsetof(numbers, beta_fast), YARN, 0},
    {"beta_slow", ATTN_JSON_NUMBER, offsetof(numbers, beta_slow), YARN, 0},
    {"truncate", ATTN_JSON_OTHER, 0, YARN, 0},
    {"low_freq_factor", ATTN_JSON_POSITIVE, offsetof(numbers, low), LLAMA3, LLAMA3},
    {"high_freq_factor", ATTN_JSON_POSITIVE, offsetof(numbers, high), LLAMA3, LLAMA3},
    {"short_factor", ATTN_JSON_OTHER, 0, LONGROPE, 0},
    {"long_factor", ATTN_JSON_OTHER, 0, LONGROPE, 0},
};
#define KEYS (sizeof keys / sizeof keys[0])

static attn_status check_object(const char *where, const json_t *scaling, attn_error *error) {
    attn_printable found;
    if (scaling == NULL || json_is_null(scaling) || json_is_object(scaling))
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: expected an object, found %s", where,
                     attn_json_printable(&found, scaling));
}

/* Reads an optional number above 0. */
static attn_status read_optional(const char *where, const char *key, const json_t *object, double *result,
                                 attn_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!attn_json_is_given(value))
        return ATTN_OK;
    return attn_json_positive(where, key, value, result, error);
}

attn_status attn_rope_base_from_json(const char *where, const json_t *scaling, size_t head_dim, double *theta,
                                     size_t *dims, attn_error *error) {
    double part = 0;
    ATTN_TRY(check_object(where, scaling, error));
    ATTN_TRY(read_optional(where, "rope_theta", scaling, theta, error));
    ATTN_TRY(read_optional(where, "partial_rotary_factor", scaling, &part, error));
    if (part == 0)
        return ATTN_OK;
    const double rotated = trunc((double)head_dim * part); /* as int() does */
    if (part > 1 || rotated < 2)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"partial_rotary_factor\": expected at most 1, and enough for 2 of the %zu numbers "
            "of a head, found %g",
            where, head_dim, part);
    *dims = (size_t)rotated;
    return ATTN_OK;
}

attn_status attn_rope_complete(const char *where, size_t head_dim, attn_rope *rope, attn_error *error) {
    rope->odd = false;
    if (rope->dims == 0)
        rope->dims = head_dim;
    if (rope->dims % 2 != 0 || rope->dims > head_dim)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: expected an even number of rotated dims, at most head_dim, which is %zu, found %zu", where,
            head_dim, rope->dims);
    return ATTN_OK;
}

attn_status attn_rope_round_up(const char *where, size_t head_dim, attn_rope *rope, attn_error *error) {
    const bool odd = rope->dims % 2 != 0;
    rope->dims += odd;
    const attn_status status = attn_rope_complete(where, head_dim, rope, error);
    rope->odd = odd;
    return status;
}

/* The type. Where both names of the key are there, transformers reads the newer one. */
static attn_status read_type(const char *where, const json_t *scaling, size_t *type, attn_error *error) {
    const char *key = "rope_type";
    const json_t *value = json_object_get(scaling, key);
    if (value == NULL)
        value = json_object_get(scaling, key = "type");
    *type = 0;
    return value == NULL ? ATTN_OK : attn_json_choice(where, key, value, type_names, TYPES, type, error);
}

/* transformers only warns about keys that the type does not read; in a directory of our own they are refused.
 */
static attn_status check_keys(const char *where, const json_t *scaling, size_t type, attn_warnings *warnings,
                              attn_error *error) {
    const char *name;
    json_t *value;
    attn_status status = ATTN_OK;
    json_object_foreach((json_t *)scaling, name, value) {
        size_t i = 0;
        while (i < KEYS && (strcmp(keys[i].name, name) != 0 || !(keys[i].types & 1U << type_scalings[type])))
            i++;
        if (i == KEYS && status == ATTN_OK)
            status = attn_key_rules_check_rope(where, name, value, warnings, error);
    }
    return status;
}

static attn_status read_numbers(const char *where, const json_t *scaling, size_t type, numbers *n,
                                attn_warnings *warnings, attn_error *error) {
    const unsigned bit = 1U << type_scalings[type];
    attn_json_key list[KEYS];
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].types & bit)
            list[count++] = (attn_json_key){.name = keys[i].name,
                                            .kind = keys[i].kind,
                                            .field = keys[i].field,
                                            .least = 1,
                                            .most = LENGTH_MAX,
                                            .required = (keys[i].required & bit) != 0};
    char what[320];
    snprintf(what, sizeof what, "%s of type \"%s\"", where, type_names[type]);
    if (warnings != NULL)
        ATTN_TRY(check_keys(what, scaling, type, warnings, error));
    ATTN_TRY(
        (warnings != NULL ? attn_json_read_known : attn_json_read)(what, scaling, list, count, n, error));
    if (n->factor != 0 && n->factor < 1)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"factor\": expected a number of at least 1, found %g",
                         what, n->factor);
    return ATTN_OK;
}

/* The length before the scaling. What dynamic scaling goes by is max_position_embeddings; the others fall
 * back on it. */
static attn_status choose_length(const char *where, const numbers *n, double max_positions, attn_rope *rope,
                                 attn_error *error) {
    const bool from_object = n->original != 0 && (rope->scaling != ATTN_ROPE_DYNAMIC || max_positions == 0);
    rope->original_length = from_object ? (double)n->original : max_positions;
    if (rope->original_length == 0)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"original_max_position_embeddings\" is missing, and no other length is given",
                         where);
    return ATTN_OK;
}

/* The factor, which YaRN and LongRoPE can leave to the ratio of the lengths. */
static attn_status choose_factor(const char *where, const numbers *n, double max_positions, attn_rope *rope,
                                 attn_error *error) {
    const bool is_needed = rope->scaling == ATTN_ROPE_YARN || n->attention_factor == 0;
    rope->factor = n->factor != 0 ? n->factor : max_positions / rope->original_length;
    if (rope->factor == 0 && is_needed)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"factor\" is missing, and no max_position_embeddings known", where);
    if (rope->factor < 1 && rope->scaling == ATTN_ROPE_YARN)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected an original_max_position_embeddings of at most %g, found %g", where,
                         max_positions, rope->original_length);
    return ATTN_OK;
}

/* The factor of sines and cosines (Peng et al., "YaRN", equation 22, with DeepSeek's mscale). */
static double yarn_scale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static double yarn_magnitude(double factor, const numbers *n) {
    if (n->mscale != 0 && n->mscale_all_dim != 0)
        return yarn_scale(factor, n->mscale) / yarn_scale(factor, n->mscale_all_dim);
    return yarn_scale(factor, 1);
}

/* The same in LongRoPE (Ding et al., 2024). */
static double longrope_magnitude(const attn_rope *rope) {
    return rope->factor <= 1 ? 1 : sqrt(1 + log(rope->factor) / log(rope->original_length));
}

static attn_status check_magnitude(const char *where, const attn_rope *rope, attn_error *error) {
    const float magnitude = (float)rope->magnitude;
    if (!isfinite(magnitude) || !(magnitude > 0))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected an attention factor above 0, found that these numbers make it %g",
                         where, rope->magnitude);
    return ATTN_OK;
}

static attn_status read_yarn(const char *where, const json_t *scaling, double max_positions, const numbers *n,
                             attn_rope *rope, attn_error *error) {
    ATTN_TRY(choose_factor(where, n, max_positions, rope, error));
    rope->magnitude = n->attention_factor != 0 ? n->attention_factor : yarn_magnitude(rope->factor, n);
    rope->beta_fast = n->beta_fast != 0 ? n->beta_fast : 32; /* 0 is none, as in Python's `or` */
    rope->beta_slow = n->beta_slow != 0 ? n->beta_slow : 1;
    if (!(rope->beta_slow > 0) || rope->beta_fast < rope->beta_slow)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected beta_fast to be at least beta_slow, and that above 0, found %g and %g",
                         where, rope->beta_fast, rope->beta_slow);
    if (!(rope->theta > 1)) /* the ramp divides by its logarithm */
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a theta above 1, found %g", where, rope->theta);
    const json_t *truncate = json_object_get(scaling, "truncate");
    rope->truncate = truncate == NULL; /* None is false: transformers reads it with a default only */
    if (attn_json_is_given(truncate))
        ATTN_TRY(attn_json_boolean(where, "truncate", truncate, &rope->truncate, error));
    return check_magnitude(where, rope, error);
}

static attn_status read_longrope(const char *where, const json_t *scaling, double max_positions,
                                 const numbers *n, attn_rope *rope, attn_error *error) {
    ATTN_TRY(choose_factor(where, n, max_positions, rope, error));
    rope->magnitude = n->attention_factor != 0 ? n->attention_factor : longrope_magnitude(rope);
    ATTN_TRY(check_magnitude(where, rope, error));
    return attn_rope_factors_from_json(where, scaling, rope, NULL, NULL, error);
}

static attn_status read_llama3(const char *where, const numbers *n, attn_rope *rope, attn_error *error) {
    rope->low_frequency_factor = n->low;
    rope->high_frequency_factor = n->high;
    if (n->high <= n->low) /* between them is interpolated */
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"high_freq_factor\": expected more than low_freq_factor, which is %g, found %g", where,
            n->low, n->high);
    return ATTN_OK;
}

static attn_status check_dims(const char *where, const attn_rope *rope, attn_error *error) {
    const size_t dims = rope->dims - rope->odd;
    if (rope->scaling == ATTN_ROPE_DYNAMIC && dims <= 2) /* the exponent is dims / (dims - 2) */
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected more than 2 rotated dims for the type dynamic, found %zu", where,
                         dims);
    /* Both go by pairs, of which transformers then counts one less than it rotates. */
    if (rope->odd && (rope->scaling == ATTN_ROPE_YARN || rope->scaling == ATTN_ROPE_LONGROPE))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected an even number of rotated dims for this type, found %zu", where, dims);
    return ATTN_OK;
}

attn_status attn_rope_scaling_from_json(const char *where, const json_t *scaling, double max_positions,
                                        attn_rope *rope, attn_warnings *warnings, attn_error *error) {
    numbers n = {.factor = 0};
    size_t type = 0;
    ATTN_TRY(check_object(where, scaling, error));
    ATTN_TRY(read_type(where, scaling, &type, error));
    ATTN_TRY(read_numbers(where, scaling, type, &n, warnings, error));
    attn_rope result = {.style = rope->style,
                        .scaling = type_scalings[type],
                        .dims = rope->dims,
                        .odd = rope->odd,
                        .theta = rope->theta,
                        .factor = n.factor != 0 ? n.factor : 1,
                        .magnitude = 1};
    if (result.scaling != ATTN_ROPE_UNSCALED && result.scaling != ATTN_ROPE_LINEAR)
        ATTN_TRY(choose_length(where, &n, max_positions, &result, error));
    ATTN_TRY(check_dims(where, &result, error));
    if (result.scaling == ATTN_ROPE_YARN)
        ATTN_TRY(read_yarn(where, scaling, max_positions, &n, &result, error));
    if (result.scaling == ATTN_ROPE_LONGROPE)
        ATTN_TRY(read_longrope(where, scaling, max_positions, &n, &result, error));
    if (result.scaling == ATTN_ROPE_LLAMA3)
        ATTN_TRY(read_llama3(where, &n, &result, error));
    *rope = result;
    return ATTN_OK;
}

attn_status attn_rope_factors_from_json(const char *where, const json_t *scaling, const attn_rope *rope,
                                        float *short_factors, float *long_factors, attn_error *error) {
    static const char *const names[] = {"short_factor", "long_factor"};
    float *const results[] = {short_factors, long_factors};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(scaling, names[i]);
        if (value == NULL)
            return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", where, names[i]);
        ATTN_TRY(attn_json_numbers(where, names[i], value, rope->dims / 2, true, results[i], error));
    }
    return ATTN_OK;
}
