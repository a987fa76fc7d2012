#include "core/model/builtin/init.h"

#include "core/model/config.h"
#include "core/model/rope_config.h"
#include "core/model/weights.h"
#include "core/printable.h"
#include "core/splitmix64.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    attn_config config;
    uint64_t seed;
} recipe; /* what is 0 in the configuration is not given */

/* ---- Reading the text. Each function parses a whole value, and returns NULL or what it expected. ---- */

/* Decimal digits only: strtoull alone would take signs and white space. */
static bool parse_digits(const char *text, uint64_t *value) {
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0;
}

static const char *parse_dimension(const char *text, void *field) {
    uint64_t value;
    if (!parse_digits(text, &value) || value < 1 || value > ATTN_DIMENSION_MAX)
        return "a whole number from 1 to 16777216";
    *(size_t *)field = (size_t)value;
    return NULL;
}

static const char *parse_window(const char *text, void *field) {
    uint64_t value;
    if (!parse_digits(text, &value) || value < 1 || value > ATTN_DISTANCE_MAX)
        return "a whole number from 1 to 2147483647";
    *(size_t *)field = (size_t)value;
    return NULL;
}

static const char *parse_seed(const char *text, void *field) {
    return parse_digits(text, field) ? NULL : "a whole number from 0 to 18446744073709551615";
}

static const char *parse_boolean(const char *text, void *field) {
    const bool yes = strcmp(text, "true") == 0;
    *(bool *)field = yes;
    return yes || strcmp(text, "false") == 0 ? NULL : "true or false";
}

/* A number without a sign: strtod also takes those, white space, hexadecimal, inf and nan. */
static bool parse_plain(const char *text, double *value) {
    const bool plain =
        (text[0] == '.' || isdigit((unsigned char)text[0])) && text[strspn(text, "0123456789.eE+-")] == '\0';
    char *end;
    *value = strtod(text, &end);
    return plain && *end == '\0';
}

static const char *parse_fraction(const char *text, void *field) {
    double value;
    if (!parse_plain(text, &value) || !(value <= 1))
        return "a number from 0 to 1";
    *(double *)field = value;
    return NULL;
}

static const char *parse_positive(const char *text, void *field) {
    double value;
    if (!parse_plain(text, &value) || !((float)value > 0) || !isfinite((float)value))
        return "a number above 0 that float32 can hold";
    *(double *)field = value;
    return NULL;
}

static const char *parse_precision(const char *text, void *field) {
    int precision = 0;
    while (precision < ATTN_PRECISIONS && strcmp(text, attn_precision_name((attn_precision)precision)) != 0)
        precision++;
    if (precision == ATTN_PRECISIONS)
        return "float32, bfloat16 or int8";
    *(attn_precision *)field = (attn_precision)precision;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*parse)(const char *text, void *field);
    size_t field;
} keys[] = {
    {"embed_dim", parse_dimension, offsetof(recipe, config.embed_dim)},
    {"num_heads", parse_dimension, offsetof(recipe, config.num_heads)},
    {"kdim", parse_dimension, offsetof(recipe, config.kdim)},
    {"vdim", parse_dimension, offsetof(recipe, config.vdim)},
    {"bias", parse_boolean, offsetof(recipe, config.bias)},
    {"dropout", parse_fraction, offsetof(recipe, config.dropout)},
    {"add_bias_kv", parse_boolean, offsetof(recipe, config.add_bias_kv)},
    {"add_zero_attn", parse_boolean, offsetof(recipe, config.add_zero_attn)},
    {"num_kv_heads", parse_dimension, offsetof(recipe, config.num_kv_heads)},
    {"head_dim", parse_dimension, offsetof(recipe, config.head_dim)},
    {"softcap", parse_positive, offsetof(recipe, config.softcap)},
    {"causal", parse_boolean, offsetof(recipe, config.causal)},
    {"sliding_window", parse_window, offsetof(recipe, config.sliding_window)},
    {"rope_theta", parse_positive, offsetof(recipe, config.rope.theta)},
    {"qk_norm", parse_positive, offsetof(recipe, config.qk_norm_eps)},
    {"precision", parse_precision, offsetof(recipe, config.precision)},
    {"seed", parse_seed, offsetof(recipe, seed)},
};
#define KEYS (sizeof keys / sizeof keys[0])

/* Parses one "key=value" (changed: its = becomes NUL); `seen` has a bit for each key that came before. */
static attn_status parse_pair(const char *where, char *pair, recipe *r, unsigned *seen, attn_error *error) {
    attn_printable printable;
    char *equals = strchr(pair, '=');
    if (equals == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected key=value, found \"%s\"", where,
                         attn_make_printable(&printable, pair));
    *equals = '\0';
    size_t i = 0;
    while (i < KEYS && strcmp(keys[i].name, pair) != 0)
        i++;
    if (i == KEYS) {
        char known[256] = "";
        for (i = 0; i < KEYS; i++)
            attn_list_add(known, sizeof known, keys[i].name);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: unknown key \"%s\": known are %s", where,
                         attn_make_printable(&printable, pair), known);
    }
    if (*seen & 1U << i)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is given twice", where, pair);
    *seen |= 1U << i;
    const char *expected = keys[i].parse(equals + 1, (char *)r + keys[i].field);
    if (expected != NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found \"%s\"", where, pair,
                         expected, attn_make_printable(&printable, equals + 1));
    return ATTN_OK;
}

/* Sets what follows from what was given. */
static attn_status complete(const char *where, attn_config *config, attn_error *error) {
    attn_status status = attn_config_complete(where, config, error);
    config->qk_norm = config->qk_norm_eps != 0;
    if (status == ATTN_OK && config->rope.theta != 0) {
        config->rope.style = ATTN_ROPE_HALF;
        config->rope.factor = config->rope.magnitude = 1;
        status = attn_rope_complete(where, config->head_dim, &config->rope, error);
    }
    return status;
}

static attn_status parse(const char *where, const char *text, attn_precision precision, recipe *r,
                         attn_error *error) {
    *r = (recipe){.config = {.embed_dim = 512, .num_heads = 8, .bias = true, .precision = precision}};
    char *copy = strdup(text);
    if (copy == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to read it", where);
    attn_status status = ATTN_OK;
    unsigned seen = 0;
    char *rest = copy[0] == '\0' ? NULL : copy;
    while (rest != NULL && status == ATTN_OK)
        status = parse_pair(where, strsep(&rest, ","), r, &seen, error);
    free(copy);
    return status == ATTN_OK ? complete(where, &r->config, error) : status;
}

/* ---- Drawing ---- */

/* Fills an array of `count` numbers; `fans` is the sum of both fans of the matrix that it is (part of). */
static void draw(uint64_t *state, float *array, size_t count, size_t fans) {
    const double a = sqrt(6.0 / (double)fans);
    for (size_t i = 0; i < count; i++) {
        const double u = (double)(attn_splitmix64(state) >> 40) * 0x1p-24;
        array[i] = (float)((2 * u - 1) * a);
    }
}

static void draw_all(const recipe *r, float *const arrays[ATTN_SLOTS]) {
    /* The order of torch's state_dict. */
    static const attn_slot order[] = {ATTN_Q_WEIGHT, ATTN_K_WEIGHT, ATTN_V_WEIGHT,
                                      ATTN_BIAS_K,   ATTN_BIAS_V,   ATTN_O_WEIGHT};
    const attn_config *c = &r->config;
    const bool is_joint = c->kdim == c->embed_dim && c->vdim == c->embed_dim; /* as torch has it */
    const size_t joint_rows = (c->num_heads + 2 * c->num_kv_heads) * c->head_dim;
    uint64_t state = r->seed;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const attn_slot slot = order[i];
        /* bias_k and bias_v are rows, [1, Hkv*D]: their two fans are those of the column. */
        const size_t rows = attn_slot_rows(c, slot), columns = attn_slot_columns(c, slot);
        if (arrays[slot] != NULL)
            draw(&state, arrays[slot], rows * columns,
                 columns + (is_joint && slot <= ATTN_V_WEIGHT ? joint_rows : rows));
    }
}

/* Sets all numbers of an array with one column, if the layer has it. */
static void fill(const attn_config *config, float *const arrays[ATTN_SLOTS], int slot, float value) {
    const size_t count = attn_slot_rows(config, (attn_slot)slot);
    for (size_t i = 0; i < count && arrays[slot] != NULL; i++)
        arrays[slot][i] = value;
}

static void fill_all(const attn_config *config, float *const arrays[ATTN_SLOTS]) {
    for (int slot = ATTN_Q_BIAS; slot <= ATTN_O_BIAS; slot++)
        fill(config, arrays, slot, 0);
    for (int slot = ATTN_Q_NORM; slot <= ATTN_K_NORM; slot++)
        fill(config, arrays, slot, 1);
}

attn_status attn_init_make(const char *text, attn_model *model, attn_error *error) {
    attn_printable printable;
    char where[sizeof printable.text + 8];
    snprintf(where, sizeof where, "init:%s", attn_make_printable(&printable, text));
    recipe r;
    float *arrays[ATTN_SLOTS];
    bool wanted[ATTN_SLOTS];
    attn_status status = parse(where, text, model->layer.config.precision, &r, error);
    if (status != ATTN_OK)
        return status;
    attn_slots_wanted(&r.config, wanted);
    status = attn_weights_allocate(where, &r.config, wanted, model, arrays, error);
    if (status != ATTN_OK)
        return status;
    model->layout = "init";
    draw_all(&r, arrays);
    fill_all(&r.config, arrays);
    return attn_weights_pack(where, arrays, model, error);
}
