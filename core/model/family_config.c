#include "core/model/family_config.h"

#include "core/model/config.h"
#include "core/model/json_value.h"
#include "core/model/rope_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SLIDING "sliding_attention"
#define FULL    "full_attention"

/* Reading single keys. */

static const json_t *find(const attn_family_keys *keys, const char *key) {
    return key == NULL ? NULL : json_object_get(keys->object, key);
}

static bool is_given(const json_t *value) {
    return value != NULL && !json_is_null(value);
}

/* A number that must be there, unless the family has it for an absent key. */
static attn_status take_count(const attn_family_keys *keys, const attn_count_key *key, size_t most,
                              size_t *result, attn_error *error) {
    const json_t *value = find(keys, key->key);
    *result = key->absent;
    if (value == NULL && key->absent == 0)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", keys->where, key->key);
    return value == NULL ? ATTN_OK : attn_json_whole(keys->where, key->key, value, 1, most, result, error);
}

/* One that can be derived from others, and then is 0. */
static attn_status take_derived(const attn_family_keys *keys, const attn_count_key *key, size_t *result,
                                attn_error *error) {
    const json_t *value = find(keys, key->key);
    *result = value == NULL ? key->absent : 0;
    return is_given(value)
               ? attn_json_whole(keys->where, key->key, value, 1, ATTN_DIMENSION_MAX, result, error)
               : ATTN_OK;
}

static attn_status take_positive(const attn_family_keys *keys, const attn_number_key *key, double *result,
                                 attn_error *error) {
    const json_t *value = find(keys, key->key);
    *result = key->absent;
    return is_given(value) ? attn_json_positive(keys->where, key->key, value, result, error) : ATTN_OK;
}

static attn_status take_boolean(const attn_family_keys *keys, const char *key, bool absent, bool *result,
                                attn_error *error) {
    const json_t *value = find(keys, key);
    *result = absent;
    return is_given(value) ? attn_json_boolean(keys->where, key, value, result, error) : ATTN_OK;
}

attn_status attn_family_check(const attn_family_keys *keys, attn_error *error) {
    attn_shown found;
    for (const attn_demand *d = keys->family->demands; d->key != NULL; d++) {
        const json_t *value = find(keys, d->key);
        const bool is_fine = d->only != NULL
                                 ? json_is_string(value) && strcmp(json_string_value(value), d->only) == 0
                                 : json_is_false(value);
        if (is_given(value) && !is_fine)
            return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found %s: %s", keys->where,
                             d->key, d->only != NULL ? d->only : "false", attn_json_show(&found, value),
                             d->why);
    }
    return ATTN_OK;
}

attn_status attn_family_layers(const attn_family_keys *keys, const attn_part *part, size_t *layers,
                               attn_error *error) {
    const attn_count_key other = {part->layers_else, 0};
    const bool use_other = part->layers_else != NULL && !is_given(find(keys, part->layers.key));
    return take_count(keys, use_other ? &other : &part->layers, ATTN_LAYERS_MAX, layers, error);
}

/* Windows. */

/* What layer_types says of a layer. */
static attn_status take_type(const attn_family_keys *keys, const json_t *types, size_t layer, bool *sliding,
                             attn_error *error) {
    static const char *const names[] = {FULL, SLIDING};
    attn_shown found;
    char key[40];
    size_t which;
    if (!json_is_array(types) || json_array_size(types) <= layer)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"layer_types\": expected an array with a string for each layer, found %s of %zu",
            keys->where, attn_json_show(&found, types), json_array_size(types));
    snprintf(key, sizeof key, "layer_types[%zu]", layer);
    const attn_status status =
        attn_json_choice(keys->where, key, json_array_get(types, layer), names, 2, &which, error);
    *sliding = status == ATTN_OK && which == 1;
    return status;
}

/* Is it a layer of those with a window? */
static attn_status is_sliding(const attn_family_keys *keys, size_t layer, bool *sliding, attn_error *error) {
    const attn_family *f = keys->family;
    const attn_count_key lower = {"max_window_layers", 28},
                         pattern = {"sliding_window_pattern", f->pattern_absent};
    const json_t *types = find(keys, "layer_types"), *max = find(keys, lower.key);
    size_t number = 0;
    attn_status status = ATTN_OK;
    *sliding = f->window == ATTN_WINDOW_ALL;
    if (f->window == ATTN_WINDOW_NONE || f->window == ATTN_WINDOW_ALL)
        return ATTN_OK;
    if (is_given(types))
        return take_type(keys, types, layer, sliding, error);
    if (f->window == ATTN_WINDOW_PATTERNED) {
        status = take_count(keys, &pattern, ATTN_DIMENSION_MAX, &number, error);
        *sliding = status == ATTN_OK && (layer + 1) % number != 0;
        return status;
    }
    status = take_boolean(keys, "use_sliding_window", false, sliding, error);
    number = lower.absent;
    if (status == ATTN_OK && is_given(max))
        status = attn_json_whole(keys->where, lower.key, max, 0, ATTN_DIMENSION_MAX, &number, error);
    *sliding = *sliding && layer >= number;
    return status;
}

/* The width of the windows; 0: there are none. */
static attn_status take_width(const attn_family_keys *keys, size_t *width, attn_error *error) {
    const attn_count_key key = {"sliding_window", keys->family->window_absent};
    const json_t *value = find(keys, key.key);
    bool use = true;
    attn_status status = ATTN_OK;
    *width = value == NULL ? key.absent : 0;
    if (keys->family->window == ATTN_WINDOW_UPPER)
        status = take_boolean(keys, "use_sliding_window", false, &use, error);
    if (status == ATTN_OK && use && is_given(value))
        status = attn_json_whole(keys->where, key.key, value, 1, ATTN_DISTANCE_MAX, width, error);
    if (!use)
        *width = 0;
    return status;
}

static attn_status take_window(const attn_family_keys *keys, size_t layer, attn_config *config, bool *sliding,
                               attn_error *error) {
    size_t width = 0;
    bool bidirectional = false;
    attn_status status = is_sliding(keys, layer, sliding, error);
    if (status == ATTN_OK)
        status = take_boolean(keys, keys->family->bidirectional, false, &bidirectional, error);
    if (status == ATTN_OK && *sliding)
        status = take_width(keys, &width, error);
    if (status != ATTN_OK)
        return status;
    if (*sliding && width == 0 && is_given(find(keys, "layer_types")))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"layer_types\" says that layer %zu has a window, but no \"sliding_window\" "
                         "is in use",
                         keys->where, layer);
    if (bidirectional) {
        config->causal = false;
        width = width == 0 ? 0 : width / 2 + 1; /* transformers, configuration_gemma3.py */
    }
    config->sliding_window = width;
    return ATTN_OK;
}

/* Rotation. */

/* Finds the object about the rotation of a layer, and writes its name in sentences into where [size]; NULL:
 * there is none. Older files call it rope_scaling; where both are there, that one counts. */
static attn_status find_rope(const attn_family_keys *keys, bool sliding, const json_t **rope, char *where,
                             size_t size, attn_error *error) {
    attn_shown found;
    const bool nested = keys->family->rope.local_theta.key != NULL;
    const json_t *old = find(keys, "rope_scaling"), *new = find(keys, "rope_parameters");
    snprintf(where, size, "%s: \"rope_scaling\"", keys->where);
    *rope = old;
    const bool is_empty = json_is_object(old) && json_object_size(old) == 0;
    if (is_given(old) && !is_empty && !(nested && sliding))
        return ATTN_OK;
    *rope = new;
    snprintf(where, size, "%s: \"rope_parameters\"", keys->where);
    if (!is_given(new) || !nested)
        return ATTN_OK;
    if (!json_is_object(new))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected an object, found %s", where,
                         attn_json_show(&found, new));
    const char *type = sliding ? SLIDING : FULL;
    *rope = json_object_get(new, type);
    snprintf(where, size, "%s: \"rope_parameters\": \"%s\"", keys->where, type);
    return ATTN_OK;
}

static const char *rope_type(const json_t *rope) {
    const json_t *type = json_object_get(rope, "rope_type");
    const char *text = json_string_value(type != NULL ? type : json_object_get(rope, "type"));
    return text != NULL ? text : "";
}

/* A copy of the object, with what transformers would put into it. */
static json_t *standardise(const attn_family_keys *keys, const json_t *rope) {
    static const char key[] = "original_max_position_embeddings";
    const attn_rope_keys *names = &keys->family->rope;
    const json_t *original = find(keys, key);
    json_t *copy = json_copy((json_t *)rope);
    if (copy == NULL)
        return NULL;
    int failed = 0;
    if (names->longrope_alias != NULL && strcmp(rope_type(copy), names->longrope_alias) == 0)
        failed = json_object_set_new(copy, "rope_type", json_string("longrope"));
    const char *type = rope_type(copy);
    if (strcmp(type, "llama3") == 0 || strcmp(type, "yarn") == 0 || strcmp(type, "longrope") == 0 ||
        strcmp(type, "su") == 0) {
        if (is_given(original))
            failed |= json_object_set(copy, key, (json_t *)original);
        else if (names->original_max_positions != 0)
            failed |= json_object_set_new(copy, key, json_integer((json_int_t)names->original_max_positions));
    }
    if (failed) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/* How many numbers of a head are rotated, as the keys outside of the object have it; 0: all. */
static attn_status take_part(const attn_family_keys *keys, size_t head_dim, size_t *dims, attn_error *error) {
    const attn_number_key plain = {"partial_rotary_factor", 1};
    const bool partial = keys->family->rope.part.key != NULL;
    const attn_number_key *key = partial ? &keys->family->rope.part : &plain;
    double part;
    const attn_status status = take_positive(keys, key, &part, error);
    if (status != ATTN_OK)
        return status;
    *dims = (size_t)fmin((double)head_dim * part, (double)head_dim); /* cut, as int() does */
    if (part > 1 || *dims < 2)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\": expected at most 1, and enough for 2 of the %zu numbers of a head, "
                         "found %g",
                         keys->where, key->key, head_dim, part);
    return ATTN_OK;
}

static attn_status read_rope(const attn_family_keys *keys, const char *where, const json_t *object,
                             bool sliding, size_t head_dim, attn_rope *rope, attn_error *error) {
    const attn_rope_keys *names = &keys->family->rope;
    const bool local = sliding && names->local_theta.key != NULL;
    const attn_number_key positions = {"max_position_embeddings", names->max_positions};
    double max_positions;
    rope->style = ATTN_ROPE_HALF;
    attn_status status =
        take_positive(keys, local ? &names->local_theta : &names->theta, &rope->theta, error);
    if (status == ATTN_OK)
        status = take_part(keys, head_dim, &rope->dims, error);
    if (status == ATTN_OK)
        status = attn_rope_base_from_json(where, object, head_dim, &rope->theta, &rope->dims, error);
    if (status == ATTN_OK && names->part.key == NULL && rope->dims != head_dim)
        status = attn_fail(error, ATTN_BAD_MODEL,
                           "%s: \"partial_rotary_factor\": expected 1, layers of this family rotate all %zu "
                           "numbers of a head, found %zu",
                           keys->where, head_dim, rope->dims);
    if (status == ATTN_OK)
        status = attn_rope_complete(where, head_dim, rope, error);
    if (status == ATTN_OK)
        status = take_positive(keys, &positions, &max_positions, error);
    if (status == ATTN_OK)
        status = attn_rope_scaling_from_json(where, object, max_positions, rope, error);
    return status;
}

static attn_status take_rope(const attn_family_keys *keys, bool sliding, attn_config *config,
                             attn_error *error) {
    char where[256];
    const json_t *found;
    json_t *rope = NULL;
    if (keys->family->rope.theta.key == NULL)
        return ATTN_OK;
    attn_status status = find_rope(keys, sliding, &found, where, sizeof where, error);
    if (status == ATTN_OK && is_given(found) && (rope = standardise(keys, found)) == NULL)
        status = attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a copy", where);
    if (status == ATTN_OK)
        status = read_rope(keys, where, rope, sliding, config->head_dim, &config->rope, error);
    json_decref(rope);
    return status;
}

/* The rest. */

static attn_status take_scale(const attn_family_keys *keys, size_t layer, const attn_config *config,
                              double *scale, attn_error *error) {
    const attn_number_key query = {"query_pre_attn_scalar", keys->family->query_scalar};
    bool by_width = true, by_layer = false;
    attn_status status = ATTN_OK;
    *scale = pow((double)config->head_dim, -0.5);
    switch (keys->family->scale) {
    case ATTN_SCALE_WIDTH:
        break;
    case ATTN_SCALE_ONE:
        *scale = 1;
        break;
    case ATTN_SCALE_QUERY:
        status = take_positive(keys, &query, scale, error);
        *scale = pow(*scale, -0.5);
        break;
    case ATTN_SCALE_INVERSE_LAYER:
        status = take_boolean(keys, "scale_attn_weights", true, &by_width, error);
        if (status == ATTN_OK)
            status = take_boolean(keys, "scale_attn_by_inverse_layer_idx", false, &by_layer, error);
        *scale = (by_width ? *scale : 1) / (by_layer ? (double)layer + 1 : 1);
        break;
    }
    return status;
}

static attn_status take_relative(const attn_family_keys *keys, const attn_part *part,
                                 attn_relative_bias *relative, attn_error *error) {
    const attn_count_key buckets = {"relative_attention_num_buckets", 32},
                         distance = {"relative_attention_max_distance", 128};
    if (!part->relative)
        return ATTN_OK;
    relative->bidirectional = part->bidirectional;
    attn_status status = take_count(keys, &buckets, ATTN_DIMENSION_MAX, &relative->buckets, error);
    if (status == ATTN_OK)
        status = take_count(keys, &distance, ATTN_DISTANCE_MAX, &relative->max_distance, error);
    /* Half of the buckets of a direction are for single distances, the rest for longer and longer ones. */
    const size_t directions = part->bidirectional ? 2 : 1, single = relative->buckets / directions / 2;
    if (status == ATTN_OK &&
        (single == 0 || relative->buckets % directions != 0 || relative->max_distance <= single))
        status = attn_fail(error, ATTN_BAD_MODEL,
                           "%s: \"%s\" %zu and \"%s\" %zu: expected at least %zu buckets, a multiple of %zu, "
                           "and the distance to be more than %zu",
                           keys->where, buckets.key, relative->buckets, distance.key, relative->max_distance,
                           2 * directions, directions, single);
    return status;
}

static attn_status take_sizes(const attn_family_keys *keys, const attn_part *part, attn_config *config,
                              attn_error *error) {
    const attn_family *f = keys->family;
    const attn_count_key *heads = part->heads.key != NULL ? &part->heads : &f->heads;
    attn_status status = take_count(keys, &f->width, ATTN_DIMENSION_MAX, &config->embed_dim, error);
    if (status == ATTN_OK)
        status = take_count(keys, heads, ATTN_DIMENSION_MAX, &config->num_heads, error);
    if (status == ATTN_OK)
        status = take_derived(keys, &f->kv_heads, &config->num_kv_heads, error);
    if (status == ATTN_OK)
        status = take_derived(keys, &f->head_dim, &config->head_dim, error);
    return status == ATTN_OK ? attn_config_complete(keys->where, config, error) : status;
}

static attn_status take_dropout(const attn_family_keys *keys, double *dropout, attn_error *error) {
    const attn_number_key *key = &keys->family->dropout;
    const json_t *value = find(keys, key->key);
    *dropout = key->absent;
    return is_given(value) ? attn_json_fraction(keys->where, key->key, value, dropout, error) : ATTN_OK;
}

/* null is no cap, where an absent key is the family's. */
static attn_status take_softcap(const attn_family_keys *keys, double *softcap, attn_error *error) {
    const json_t *value = find(keys, keys->family->softcap.key);
    *softcap = 0;
    return json_is_null(value) ? ATTN_OK : take_positive(keys, &keys->family->softcap, softcap, error);
}

attn_status attn_family_config(const attn_family_keys *keys, const attn_part *part, size_t layer,
                               attn_config *config, attn_error *error) {
    const attn_family *f = keys->family;
    const attn_number_key eps = {f->qk_norm_eps, 1e-6};
    bool biases, sliding = false;
    *config = (attn_config){.causal = part->causal,
                            .qk_norm = f->qk_norm_eps != NULL,
                            .scale_given = f->scale != ATTN_SCALE_WIDTH};
    attn_status status = take_sizes(keys, part, config, error);
    if (status == ATTN_OK)
        status = take_dropout(keys, &config->dropout, error);
    if (status == ATTN_OK)
        status = take_boolean(keys, f->bias, f->bias == NULL || f->bias_absent, &biases, error);
    if (status == ATTN_OK)
        status = take_softcap(keys, &config->softcap, error);
    if (status == ATTN_OK && config->qk_norm)
        status = take_positive(keys, &eps, &config->qk_norm_eps, error);
    if (status == ATTN_OK)
        status = take_window(keys, layer, config, &sliding, error);
    if (status == ATTN_OK)
        status = take_rope(keys, sliding, config, error);
    if (status == ATTN_OK)
        status = take_relative(keys, part, &config->relative_bias, error);
    if (status == ATTN_OK)
        config->bias = biases && part->biases[0].name != NULL;
    return status;
}

attn_status attn_family_fill(const attn_family_keys *keys, size_t layer, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error) {
    char where[256];
    const json_t *rope;
    double scale;
    attn_status status = ATTN_OK;
    if (config->scale_given) {
        status = take_scale(keys, layer, config, &scale, error);
        for (size_t head = 0; head < config->num_heads && status == ATTN_OK; head++)
            arrays[ATTN_SCALE][head] = (float)scale;
    }
    if (status != ATTN_OK || config->rope.scaling != ATTN_ROPE_LONGROPE)
        return status;
    bool sliding;
    status = is_sliding(keys, layer, &sliding, error);
    if (status == ATTN_OK)
        status = find_rope(keys, sliding, &rope, where, sizeof where, error);
    if (status == ATTN_OK)
        status = attn_rope_factors_from_json(where, rope, &config->rope, arrays[ATTN_ROPE_SHORT],
                                             arrays[ATTN_ROPE_LONG], error);
    return status;
}
