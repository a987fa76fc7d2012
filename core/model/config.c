#include "core/model/config.h"

#include "core/model/json_value.h"

#include <string.h>

/* How a value is read into the field of attn_config at `field`. */
typedef attn_status (*reader)(const char *where, const char *key, const json_t *value, void *field,
                              attn_error *error);

static attn_status read_dimension(const char *where, const char *key, const json_t *value, void *field,
                                  attn_error *error) {
    return attn_json_whole(where, key, value, 1, ATTN_DIMENSION_MAX, field, error);
}

static attn_status read_fraction(const char *where, const char *key, const json_t *value, void *field,
                                 attn_error *error) {
    return attn_json_fraction(where, key, value, field, error);
}

static attn_status read_boolean(const char *where, const char *key, const json_t *value, void *field,
                                attn_error *error) {
    attn_shown found;
    if (!json_is_boolean(value))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected true or false, found %s", where, key,
                         attn_json_show(&found, value));
    *(bool *)field = json_is_true(value);
    return ATTN_OK;
}

static const struct {
    const char *name;
    reader read;
    size_t field;
    bool required;
} keys[] = {
    {"embed_dim", read_dimension, offsetof(attn_config, embed_dim), true},
    {"num_heads", read_dimension, offsetof(attn_config, num_heads), true},
    {"kdim", read_dimension, offsetof(attn_config, kdim), false},
    {"vdim", read_dimension, offsetof(attn_config, vdim), false},
    {"bias", read_boolean, offsetof(attn_config, bias), false},
    {"dropout", read_fraction, offsetof(attn_config, dropout), false},
};
#define KEYS (sizeof keys / sizeof keys[0])

static attn_status check_known(const char *where, const json_t *object, attn_error *error) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        size_t i = 0;
        while (i < KEYS && strcmp(keys[i].name, name) != 0)
            i++;
        if (i < KEYS)
            continue;
        char known[128] = "";
        attn_shown shown;
        for (i = 0; i < KEYS; i++)
            attn_list(known, sizeof known, keys[i].name);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: unknown key \"%s\": known are %s", where,
                         attn_show(&shown, name), known);
    }
    return ATTN_OK;
}

attn_status attn_config_from_json(const char *where, const json_t *object, attn_config *config,
                                  attn_error *error) {
    attn_config result = {.bias = true};
    attn_status status = check_known(where, object, error);
    for (size_t i = 0; i < KEYS && status == ATTN_OK; i++) {
        const json_t *value = json_object_get(object, keys[i].name);
        if (value == NULL && keys[i].required)
            status = attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", where, keys[i].name);
        else if (value != NULL && (keys[i].required || !json_is_null(value)))
            status = keys[i].read(where, keys[i].name, value, (char *)&result + keys[i].field, error);
    }
    if (status == ATTN_OK)
        status = attn_config_complete(where, &result, error);
    if (status == ATTN_OK)
        *config = result;
    return status;
}

attn_status attn_config_from_text(const char *where, const char *text, attn_config *config,
                                  attn_error *error) {
    const size_t length = strlen(text);
    if (length > ATTN_CONFIG_TEXT_MAX)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: a text of %zu bytes, at most %zu expected", where,
                         length, ATTN_CONFIG_TEXT_MAX);
    json_t *object;
    attn_status status = attn_json_parse(where, text, length, &object, error);
    if (status != ATTN_OK)
        return status;
    status = attn_config_from_json(where, object, config, error);
    json_decref(object);
    return status;
}

attn_status attn_config_complete(const char *where, attn_config *config, attn_error *error) {
    if (config->embed_dim % config->num_heads != 0)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: num_heads %zu: expected a divisor of embed_dim, which is %zu", where,
                         config->num_heads, config->embed_dim);
    if (config->kdim == 0)
        config->kdim = config->embed_dim;
    if (config->vdim == 0)
        config->vdim = config->embed_dim;
    return ATTN_OK;
}
