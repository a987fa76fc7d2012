#include "core/model/init.h"

#include "core/model/config.h"
#include "core/model/shown.h"
#include "core/model/weights.h"

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
} recipe;

/* Reading the text. Each reader takes one whole value, or says what it expected. */

/* Decimal digits only: strtoull alone would take signs and white space. */
static bool take_digits(const char *text, uint64_t *value) {
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0;
}

static const char *take_dimension(const char *text, void *field) {
    uint64_t value;
    if (!take_digits(text, &value) || value < 1 || value > ATTN_DIMENSION_MAX)
        return "a whole number from 1 to 16777216";
    *(size_t *)field = (size_t)value;
    return NULL;
}

static const char *take_seed(const char *text, void *field) {
    return take_digits(text, field) ? NULL : "a whole number from 0 to 18446744073709551615";
}

static const char *take_boolean(const char *text, void *field) {
    const bool yes = strcmp(text, "true") == 0;
    *(bool *)field = yes;
    return yes || strcmp(text, "false") == 0 ? NULL : "true or false";
}

static const char *take_fraction(const char *text, void *field) {
    char *end;
    const double value = strtod(text, &end);
    /* strtod also takes signs, white space, hexadecimal, inf and nan. */
    const bool plain =
        (text[0] == '.' || isdigit((unsigned char)text[0])) && text[strspn(text, "0123456789.eE+-")] == '\0';
    if (!plain || *end != '\0' || !(value < 1))
        return "a number from 0 to below 1";
    *(double *)field = value;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*take)(const char *text, void *field);
    size_t field;
} keys[] = {
    {"embed_dim", take_dimension, offsetof(recipe, config.embed_dim)},
    {"num_heads", take_dimension, offsetof(recipe, config.num_heads)},
    {"kdim", take_dimension, offsetof(recipe, config.kdim)},
    {"vdim", take_dimension, offsetof(recipe, config.vdim)},
    {"bias", take_boolean, offsetof(recipe, config.bias)},
    {"dropout", take_fraction, offsetof(recipe, config.dropout)},
    {"seed", take_seed, offsetof(recipe, seed)},
};
#define KEYS (sizeof keys / sizeof keys[0])

/* Takes one "key=value" (changed: its = becomes NUL); `seen` has a bit for each key that came before. */
static attn_status take_pair(const char *where, char *pair, recipe *r, unsigned *seen, attn_error *error) {
    attn_shown shown;
    char *equals = strchr(pair, '=');
    if (equals == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected key=value, found \"%s\"", where,
                         attn_show(&shown, pair));
    *equals = '\0';
    size_t i = 0;
    while (i < KEYS && strcmp(keys[i].name, pair) != 0)
        i++;
    if (i == KEYS) {
        char known[128] = "";
        for (i = 0; i < KEYS; i++)
            attn_list(known, sizeof known, keys[i].name);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: unknown key \"%s\": known are %s", where,
                         attn_show(&shown, pair), known);
    }
    if (*seen & 1U << i)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is given twice", where, pair);
    *seen |= 1U << i;
    const char *expected = keys[i].take(equals + 1, (char *)r + keys[i].field);
    if (expected != NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found \"%s\"", where, pair,
                         expected, attn_show(&shown, equals + 1));
    return ATTN_OK;
}

static attn_status parse(const char *where, const char *text, recipe *r, attn_error *error) {
    *r = (recipe){.config = {.embed_dim = 512, .num_heads = 8, .bias = true}};
    char *copy = strdup(text);
    if (copy == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to read it", where);
    attn_status status = ATTN_OK;
    unsigned seen = 0;
    char *rest = copy[0] == '\0' ? NULL : copy;
    while (rest != NULL && status == ATTN_OK)
        status = take_pair(where, strsep(&rest, ","), r, &seen, error);
    free(copy);
    return status == ATTN_OK ? attn_config_complete(where, &r->config, error) : status;
}

/* Drawing. */

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* Fills matrix [rows, columns], which is (part of) a matrix with `fan_out` rows. */
static void draw(uint64_t *state, float *matrix, size_t rows, size_t columns, size_t fan_out) {
    const double a = sqrt(6.0 / (double)(columns + fan_out));
    for (size_t i = 0; i < rows * columns; i++) {
        const double u = (double)(splitmix64(state) >> 40) * 0x1p-24;
        matrix[i] = (float)((2 * u - 1) * a);
    }
}

static void draw_all(const recipe *r, float *const arrays[ATTN_SLOTS]) {
    const size_t E = r->config.embed_dim;
    const bool is_joint = r->config.kdim == E && r->config.vdim == E; /* as torch has it */
    uint64_t state = r->seed;
    for (int slot = ATTN_Q_WEIGHT; slot <= ATTN_O_WEIGHT; slot++)
        draw(&state, arrays[slot], E, attn_slot_columns(&r->config, (attn_slot)slot),
             is_joint && slot != ATTN_O_WEIGHT ? 3 * E : E);
    for (int slot = ATTN_Q_BIAS; slot < ATTN_SLOTS && r->config.bias; slot++)
        memset(arrays[slot], 0, E * sizeof(float));
}

attn_status attn_init_make(const char *text, attn_model *model, attn_error *error) {
    attn_shown shown;
    char where[sizeof shown.text + 8];
    snprintf(where, sizeof where, "init:%s", attn_show(&shown, text));
    recipe r;
    float *arrays[ATTN_SLOTS];
    attn_status status = parse(where, text, &r, error);
    if (status == ATTN_OK)
        status = attn_weights_allocate(where, &r.config, model, arrays, error);
    if (status != ATTN_OK)
        return status;
    model->layout = "init";
    draw_all(&r, arrays);
    return ATTN_OK;
}
