/* family_config.c: the configuration of a layer from the config.json of a checkpoint. */
#include "core/model/checkpoint/config_json.h"
#include "core/model/config.h"
#include "core/model/files/json_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

attn_status attn_family_layers(const attn_family_keys *keys, const attn_part *part, size_t *layers,
                               attn_error *error) {
    const bool use_other =
        part->layers_else != NULL && !attn_json_is_given(attn_family_find(keys, part->layers.key));
    if (!use_other)
        return attn_family_count(keys, &part->layers, ATTN_LAYERS_MAX, layers, error);
    /* transformers copies it before it looks for its other names. */
    const json_t *value = json_object_get(keys->object, part->layers_else);
    return value == NULL
               ? attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", keys->where, part->layers_else)
               : attn_json_whole(keys->where, part->layers_else, value, 1, ATTN_LAYERS_MAX, layers, error);
}

/* ---- Windows ---- */

/* What layer_types says of a layer. */
static attn_status read_type(const attn_family_keys *keys, const json_t *types, size_t layer, bool *sliding,
                             attn_error *error) {
    /* The last one is an old name of the first. */
    static const char *const names[] = {ATTN_TYPE_FULL, ATTN_TYPE_SLIDING, "attention"};
    attn_printable found;
    char key[40];
    size_t which;
    if (!json_is_array(types) || json_array_size(types) <= layer)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"layer_types\": expected an array with a string for each layer, found %s of %zu",
            keys->where, attn_json_printable(&found, types), json_array_size(types));
    snprintf(key, sizeof key, "layer_types[%zu]", layer);
    const attn_status status =
        attn_json_choice(keys->where, key, json_array_get(types, layer), names, 3, &which, error);
    *sliding = status == ATTN_OK && which == 1;
    return status;
}

/* Does this layer have a window? */
static attn_status is_sliding(const attn_family_keys *keys, size_t layer, bool *sliding, attn_error *error) {
    const attn_family *f = keys->family;
    const attn_count_key lower = {"max_window_layers", 28};
    const json_t *types = attn_family_find(keys, "layer_types"), *max = attn_family_find(keys, lower.key);
    size_t number = 0;
    attn_status status = ATTN_OK;
    *sliding = f->window == ATTN_WINDOW_ALL || f->window == ATTN_WINDOW_TYPED;
    if (f->window == ATTN_WINDOW_NONE || f->window == ATTN_WINDOW_ALL)
        return ATTN_OK;
    if (attn_json_is_given(types))
        return read_type(keys, types, layer, sliding, error);
    if (f->window == ATTN_WINDOW_TYPED)
        return ATTN_OK;
    if (f->window == ATTN_WINDOW_PATTERNED) {
        status = attn_family_count(keys, &f->pattern, ATTN_DIMENSION_MAX, &number, error);
        *sliding = status == ATTN_OK && (layer + 1) % number != 0;
        return status;
    }
    status = attn_family_boolean(keys, "use_sliding_window", false, sliding, error);
    number = lower.absent;
    if (status == ATTN_OK && attn_json_is_given(max))
        status = attn_json_whole(keys->where, lower.key, max, 0, ATTN_DIMENSION_MAX, &number, error);
    *sliding = *sliding && layer >= number;
    return status;
}

/* The width of the windows; 0: there are none. */
static attn_status read_width(const attn_family_keys *keys, size_t *width, attn_error *error) {
    const attn_count_key key = {"sliding_window", keys->family->window_absent};
    const json_t *value = attn_family_find(keys, key.key);
    bool use = true;
    *width = value == NULL ? key.absent : 0;
    if (keys->family->window == ATTN_WINDOW_UPPER)
        ATTN_TRY(attn_family_boolean(keys, "use_sliding_window", false, &use, error));
    if (use && attn_json_is_given(value))
        ATTN_TRY(attn_json_whole(keys->where, key.key, value, 1, ATTN_DISTANCE_MAX, width, error));
    if (!use)
        *width = 0;
    return ATTN_OK;
}

/* Is a decoder causal, as transformers builds each mask (masking_utils.py)? An absent key means yes, None no.
 */
static attn_status read_is_causal(const attn_family_keys *keys, bool *causal, attn_error *error) {
    const json_t *value = json_object_get(keys->object, "is_causal");
    *causal = value == NULL;
    return attn_json_is_given(value) ? attn_json_boolean(keys->where, "is_causal", value, causal, error)
                                     : ATTN_OK;
}

/* Also clears config->causal, if it is set, where the keys say so. */
static attn_status read_window(const attn_family_keys *keys, size_t layer, attn_config *config, bool *sliding,
                               attn_error *error) {
    size_t width = 0;
    bool bidirectional = false, causal = false;
    ATTN_TRY(is_sliding(keys, layer, sliding, error));
    ATTN_TRY(attn_family_boolean(keys, keys->family->bidirectional, false, &bidirectional, error));
    if (config->causal)
        ATTN_TRY(read_is_causal(keys, &causal, error));
    if (*sliding)
        ATTN_TRY(read_width(keys, &width, error));
    if (*sliding && width == 0 && attn_json_is_given(attn_family_find(keys, "layer_types")))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"layer_types\" says that layer %zu has a window, but no \"sliding_window\" "
                         "is in use",
                         keys->where, layer);
    if (bidirectional && width != 0)
        width = width / 2 + 1; /* transformers, configuration_gemma3.py */
    if (config->causal && !causal && width != 0)
        width++; /* |p - t| <= sliding_window (masking_utils.py), and not below it */
    config->causal = causal && !bidirectional;
    config->sliding_window = width;
    return ATTN_OK;
}

/* ---- The rest ---- */

static attn_status read_scale(const attn_family_keys *keys, size_t layer, const attn_config *config,
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
        status = attn_family_positive(keys, &query, scale, error);
        *scale = pow(*scale, -0.5);
        break;
    case ATTN_SCALE_INVERSE_LAYER:
        status = attn_family_boolean(keys, "scale_attn_weights", true, &by_width, error);
        if (status == ATTN_OK)
            status = attn_family_boolean(keys, "scale_attn_by_inverse_layer_idx", false, &by_layer, error);
        *scale = (by_width ? *scale : 1) / (by_layer ? (double)layer + 1 : 1);
        break;
    }
    return status;
}

static attn_status read_relative(const attn_family_keys *keys, const attn_part *part,
                                 attn_relative_bias *relative, attn_error *error) {
    const attn_count_key buckets = {"relative_attention_num_buckets", 32},
                         distance = {"relative_attention_max_distance", 128};
    if (!part->relative)
        return ATTN_OK;
    relative->bidirectional = part->bidirectional;
    ATTN_TRY(attn_family_count(keys, &buckets, ATTN_DIMENSION_MAX, &relative->buckets, error));
    ATTN_TRY(attn_family_count(keys, &distance, ATTN_DISTANCE_MAX, &relative->max_distance, error));
    /* Half of the buckets of a direction are for single distances, the rest for longer and longer ones. */
    const size_t directions = part->bidirectional ? 2 : 1, single = relative->buckets / directions / 2;
    if (single == 0 || relative->buckets % directions != 0 || relative->max_distance <= single)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\" %zu and \"%s\" %zu: expected at least %zu buckets, a multiple of %zu, "
                         "and the distance to be more than %zu",
                         keys->where, buckets.key, relative->buckets, distance.key, relative->max_distance,
                         2 * directions, directions, single);
    return ATTN_OK;
}

/* The document, and the keys of the sizes, for a sentence about sizes that do not fit together. */
static void name_sizes(const attn_family_keys *keys, const attn_count_key *heads, char *where, size_t size) {
    const char *const names[] = {keys->family->width.key, heads->key, keys->family->kv_heads.key,
                                 keys->family->head_dim.key};
    size_t length = (size_t)snprintf(where, size, "%s: ", keys->where);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL && length < size)
            length += (size_t)snprintf(where + length, size - length, "%s\"%s\"", i == 0 ? "" : ", ",
                                       attn_family_name(keys, names[i]));
}

static attn_status read_sizes(const attn_family_keys *keys, const attn_part *part, attn_config *config,
                              attn_error *error) {
    const attn_family *f = keys->family;
    const attn_count_key *heads = part->heads.key != NULL ? &part->heads : &f->heads;
    char where[400];
    ATTN_TRY(attn_family_count(keys, &f->width, ATTN_DIMENSION_MAX, &config->embed_dim, error));
    ATTN_TRY(attn_family_count(keys, heads, ATTN_DIMENSION_MAX, &config->num_heads, error));
    ATTN_TRY(attn_family_derived(keys, &f->kv_heads, &config->num_kv_heads, error));
    ATTN_TRY(attn_family_derived(keys, &f->head_dim, &config->head_dim, error));
    name_sizes(keys, heads, where, sizeof where);
    return attn_config_complete(where, config, error);
}

static attn_status read_dropout(const attn_family_keys *keys, double *dropout, attn_error *error) {
    const attn_number_key *key = &keys->family->dropout;
    const json_t *value = attn_family_find(keys, key->key);
    *dropout = key->absent;
    return attn_json_is_given(value) ? attn_json_fraction(keys->where, key->key, value, dropout, error)
                                     : ATTN_OK;
}

/* null means no cap, an absent key the default of the family. */
static attn_status read_softcap(const attn_family_keys *keys, double *softcap, attn_error *error) {
    const json_t *value = attn_family_find(keys, keys->family->softcap.key);
    *softcap = 0;
    return json_is_null(value) ? ATTN_OK : attn_family_positive(keys, &keys->family->softcap, softcap, error);
}

attn_status attn_family_config(const attn_family_keys *keys, const attn_part *part, size_t layer,
                               attn_config *config, attn_error *error) {
    const attn_family *f = keys->family;
    const attn_number_key eps = {f->qk_norm_eps, 1e-6};
    bool biases, sliding = false;
    *config = (attn_config){.causal = part->causal,
                            .qk_norm = f->qk_norm_eps != NULL,
                            .scale_given = f->scale != ATTN_SCALE_WIDTH};
    ATTN_TRY(read_sizes(keys, part, config, error));
    ATTN_TRY(read_dropout(keys, &config->dropout, error));
    ATTN_TRY(attn_family_boolean(keys, f->bias, f->bias == NULL || f->bias_absent, &biases, error));
    ATTN_TRY(read_softcap(keys, &config->softcap, error));
    if (config->qk_norm)
        ATTN_TRY(attn_family_positive(keys, &eps, &config->qk_norm_eps, error));
    ATTN_TRY(read_window(keys, layer, config, &sliding, error));
    ATTN_TRY(attn_family_rope(keys, sliding, config, error));
    ATTN_TRY(read_relative(keys, part, &config->relative_bias, error));
    config->bias = biases && part->biases[0].name != NULL;
    return ATTN_OK;
}

attn_status attn_family_fill(const attn_family_keys *keys, size_t layer, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error) {
    double scale;
    bool sliding;
    if (config->scale_given) {
        ATTN_TRY(read_scale(keys, layer, config, &scale, error));
        for (size_t head = 0; head < config->num_heads; head++)
            arrays[ATTN_SCALE][head] = (float)scale;
    }
    if (config->rope.scaling != ATTN_ROPE_LONGROPE)
        return ATTN_OK;
    ATTN_TRY(is_sliding(keys, layer, &sliding, error));
    return attn_family_rope_factors(keys, sliding, config, arrays, error);
}
