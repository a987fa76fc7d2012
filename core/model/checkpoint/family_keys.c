/* family_keys.c: single keys of a checkpoint's config.json, by the names that its family has for them. What
 * fails does so with ATTN_BAD_MODEL. */
#include "core/model/checkpoint/config_json.h"
#include "core/model/config.h"
#include "core/model/files/json_value.h"

#include <string.h>

const char *attn_family_name(const attn_family_keys *keys, const char *key) {
    for (size_t i = 0; i < ATTN_ALIASES_MAX && keys->family->aliases[i].name != NULL; i++) {
        const attn_key_alias *alias = &keys->family->aliases[i];
        if (strcmp(alias->key, key) == 0 && json_object_get(keys->object, alias->name) != NULL)
            return alias->name;
    }
    return key;
}

const json_t *attn_family_find(const attn_family_keys *keys, const char *key) {
    return key == NULL ? NULL : json_object_get(keys->object, attn_family_name(keys, key));
}

attn_status attn_family_count(const attn_family_keys *keys, const attn_count_key *key, size_t most,
                              size_t *result, attn_error *error) {
    const json_t *value = attn_family_find(keys, key->key);
    *result = key->absent;
    if (value == NULL && key->absent == 0)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", keys->where, key->key);
    return value == NULL ? ATTN_OK
                         : attn_json_whole(keys->where, attn_family_name(keys, key->key), value, 1, most,
                                           result, error);
}

attn_status attn_family_derived(const attn_family_keys *keys, const attn_count_key *key, size_t *result,
                                attn_error *error) {
    const json_t *value = attn_family_find(keys, key->key);
    *result = value == NULL ? key->absent : 0;
    return attn_json_is_given(value) ? attn_json_whole(keys->where, attn_family_name(keys, key->key), value,
                                                       1, ATTN_DIMENSION_MAX, result, error)
                                     : ATTN_OK;
}

attn_status attn_family_positive(const attn_family_keys *keys, const attn_number_key *key, double *result,
                                 attn_error *error) {
    const json_t *value = attn_family_find(keys, key->key);
    *result = key->absent;
    return attn_json_is_given(value) ? attn_json_positive(keys->where, key->key, value, result, error)
                                     : ATTN_OK;
}

attn_status attn_family_boolean(const attn_family_keys *keys, const char *key, bool absent, bool *result,
                                attn_error *error) {
    const json_t *value = attn_family_find(keys, key);
    *result = absent;
    return attn_json_is_given(value) ? attn_json_boolean(keys->where, key, value, result, error) : ATTN_OK;
}
