/* family_rope.c: the rotation of a layer from the config.json of a checkpoint. */
#include "core/model/checkpoint/config_json.h"
#include "core/model/files/json_value.h"
#include "core/model/rope_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The object about the rotation of a layer, with what transformers would put into it. */
typedef struct {
    json_t *object;  /* NULL: there is none; else owned */
    char where[256]; /* its name in sentences */
} rotation;

static attn_status fail_memory(const rotation *r, attn_error *error) {
    return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a copy", r->where);
}

static const char *rope_type(const json_t *rope) {
    const json_t *type = json_object_get(rope, "rope_type");
    const char *text = json_string_value(type != NULL ? type : json_object_get(rope, "type"));
    return text != NULL ? text : "";
}

static attn_status expect_object(const attn_family_keys *keys, const char *key, attn_error *error) {
    const json_t *value = attn_family_find(keys, key);
    attn_printable found;
    if (!attn_json_is_given(value) || json_is_object(value))
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected an object, found %s", keys->where, key,
                     attn_json_printable(&found, value));
}

/* A family that rotates all layers alike. Older files have rope_scaling; where both are there, that one
 * counts, unless it is empty. Anything but an object is refused where it is read. */
static attn_status open_flat(const attn_family_keys *keys, rotation *r, attn_error *error) {
    static const char key[] = "original_max_position_embeddings";
    const attn_rope_keys *names = &keys->family->rope;
    const json_t *old = attn_family_find(keys, "rope_scaling"), *original = attn_family_find(keys, key);
    const bool is_empty = json_is_object(old) && json_object_size(old) == 0;
    const bool use_old = attn_json_is_given(old) && !is_empty;
    const json_t *chosen = use_old ? old : attn_family_find(keys, "rope_parameters");
    snprintf(r->where, sizeof r->where, "%s: \"%s\"", keys->where,
             use_old ? "rope_scaling" : "rope_parameters");
    if (!attn_json_is_given(chosen))
        return ATTN_OK;
    if ((r->object = json_copy((json_t *)chosen)) == NULL)
        return fail_memory(r, error);
    int failed = 0;
    if (names->longrope_alias != NULL && strcmp(rope_type(r->object), names->longrope_alias) == 0)
        failed = json_object_set_new(r->object, "rope_type", json_string("longrope"));
    const char *type = rope_type(r->object);
    if (strcmp(type, "llama3") == 0 || strcmp(type, "yarn") == 0 || strcmp(type, "longrope") == 0 ||
        strcmp(type, "su") == 0) {
        if (attn_json_is_given(original))
            failed |= json_object_set(r->object, key, (json_t *)original);
        else if (names->original_max_positions != 0)
            failed |=
                json_object_set_new(r->object, key, json_integer((json_int_t)names->original_max_positions));
    }
    return failed ? fail_memory(r, error) : ATTN_OK;
}

/* Gemma 3: an object for each type of layer, and rope_scaling goes into that of the full ones
 * (configuration_gemma3.py). Keys beside the types are not read, except YaRN's truncate, which
 * transformers reads there, and only there. */
static attn_status settle_truncate(const attn_family_keys *keys, const json_t *parameters, rotation *r,
                                   attn_error *error) {
    const json_t *truncate = json_object_get(parameters, "truncate");
    if (strcmp(rope_type(r->object), "yarn") != 0)
        return ATTN_OK;
    if (json_object_del(r->object, "truncate") == 0)
        attn_warn(keys->warnings,
                  "%s: \"truncate\" is passed over: transformers reads it beside the types of layers",
                  r->where);
    if (truncate != NULL && json_object_set(r->object, "truncate", (json_t *)truncate) != 0)
        return fail_memory(r, error);
    return ATTN_OK;
}

static void warn_of_others(const attn_family_keys *keys, const json_t *parameters) {
    const char *name;
    json_t *value;
    attn_printable printable;
    json_object_foreach((json_t *)parameters, name, value) {
        if (strcmp(name, ATTN_TYPE_FULL) != 0 && strcmp(name, ATTN_TYPE_SLIDING) != 0 &&
            strcmp(name, "truncate") != 0)
            attn_warn(keys->warnings,
                      "%s: \"rope_parameters\": \"%s\" is passed over: this family has an object for each "
                      "type of layer",
                      keys->where, attn_make_printable(&printable, name));
    }
}

static attn_status open_nested(const attn_family_keys *keys, bool sliding, rotation *r, attn_error *error) {
    const char *type = sliding ? ATTN_TYPE_SLIDING : ATTN_TYPE_FULL;
    const json_t *old = attn_family_find(keys, "rope_scaling"),
                 *new = attn_family_find(keys, "rope_parameters"), *entry = json_object_get(new, type);
    const bool use_old = attn_json_is_given(old) && !sliding;
    attn_printable found;
    ATTN_TRY(expect_object(keys, "rope_scaling", error));
    ATTN_TRY(expect_object(keys, "rope_parameters", error));
    if (use_old)
        snprintf(r->where, sizeof r->where, "%s: \"rope_scaling\"", keys->where);
    else
        snprintf(r->where, sizeof r->where, "%s: \"rope_parameters\": \"%s\"", keys->where, type);
    if (use_old && attn_json_is_given(new) && !attn_json_is_given(entry))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: expected \"rope_parameters\" to have the \"%s\" into which it goes", r->where,
                         type);
    if (attn_json_is_given(entry) && !json_is_object(entry))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected an object, found %s", r->where,
                         attn_json_printable(&found, entry));
    r->object =
        attn_json_is_given(entry) ? json_copy((json_t *)entry) : json_pack("{s:s}", "rope_type", "default");
    if (r->object == NULL || (use_old && json_object_update(r->object, (json_t *)old) != 0))
        return fail_memory(r, error);
    warn_of_others(keys, new);
    return settle_truncate(keys, new, r, error);
}

/* The caller frees r->object with json_decref, also after a failure. */
static attn_status open_rotation(const attn_family_keys *keys, bool sliding, rotation *r, attn_error *error) {
    r->object = NULL;
    return keys->family->rope.local_theta.key != NULL ? open_nested(keys, sliding, r, error)
                                                      : open_flat(keys, r, error);
}

/* How many numbers of a head are rotated, by the keys outside the object. */
static attn_status read_part(const attn_family_keys *keys, size_t head_dim, size_t *dims, attn_error *error) {
    const attn_number_key plain = {"partial_rotary_factor", 1};
    const bool partial = keys->family->rope.part.key != NULL;
    const attn_number_key *key = partial ? &keys->family->rope.part : &plain;
    double part;
    ATTN_TRY(attn_family_positive(keys, key, &part, error));
    *dims = (size_t)fmin((double)head_dim * part, (double)head_dim); /* cut, as int() does */
    if (part > 1 || *dims < 2)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\": expected at most 1, and enough for 2 of the %zu numbers of a head, "
                         "found %g",
                         keys->where, key->key, head_dim, part);
    return ATTN_OK;
}

static attn_status read_dims(const attn_family_keys *keys, const rotation *r, size_t head_dim,
                             attn_rope *rope, attn_error *error) {
    ATTN_TRY(read_part(keys, head_dim, &rope->dims, error));
    ATTN_TRY(attn_rope_base_from_json(r->where, r->object, head_dim, &rope->theta, &rope->dims, error));
    if (keys->family->rope.part.key != NULL)
        return attn_rope_round_up(r->where, head_dim, rope, error);
    if (rope->dims != head_dim)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"partial_rotary_factor\": expected 1, layers of this family rotate all %zu "
                         "numbers of a head, found %zu",
                         keys->where, head_dim, rope->dims);
    return attn_rope_complete(r->where, head_dim, rope, error);
}

static attn_status read_rotation(const attn_family_keys *keys, const rotation *r, bool sliding,
                                 size_t head_dim, attn_rope *rope, attn_error *error) {
    const attn_rope_keys *names = &keys->family->rope;
    const bool local = sliding && names->local_theta.key != NULL;
    const attn_number_key positions = {"max_position_embeddings", names->max_positions};
    double max_positions;
    rope->style = ATTN_ROPE_HALF;
    ATTN_TRY(attn_family_positive(keys, local ? &names->local_theta : &names->theta, &rope->theta, error));
    ATTN_TRY(read_dims(keys, r, head_dim, rope, error));
    ATTN_TRY(attn_family_positive(keys, &positions, &max_positions, error));
    return attn_rope_scaling_from_json(r->where, r->object, max_positions, rope, keys->warnings, error);
}

attn_status attn_family_rope(const attn_family_keys *keys, bool sliding, attn_config *config,
                             attn_error *error) {
    rotation r;
    if (keys->family->rope.theta.key == NULL)
        return ATTN_OK;
    attn_status status = open_rotation(keys, sliding, &r, error);
    if (status == ATTN_OK)
        status = read_rotation(keys, &r, sliding, config->head_dim, &config->rope, error);
    json_decref(r.object);
    return status;
}

attn_status attn_family_rope_factors(const attn_family_keys *keys, bool sliding, const attn_config *config,
                                     float *const arrays[ATTN_SLOTS], attn_error *error) {
    rotation r;
    attn_status status = open_rotation(keys, sliding, &r, error);
    if (status == ATTN_OK)
        status = attn_rope_factors_from_json(r.where, r.object, &config->rope, arrays[ATTN_ROPE_SHORT],
                                             arrays[ATTN_ROPE_LONG], error);
    json_decref(r.object);
    return status;
}
