#include "core/model/files/json_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTAINERS_MAX ((size_t)65536) /* a configuration has some dozens */

/* An array or object, of two bytes at least, takes 200 bytes of heap and more: a text of nothing else would
 * exhaust memory. */
static attn_status check_containers(const char *where, const char *text, size_t length, attn_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += text[i] == '{' || text[i] == '[';
    return count <= CONTAINERS_MAX
               ? ATTN_OK
               : attn_fail(error, ATTN_BAD_MODEL, "%s: %zu opening brackets, at most %zu expected", where,
                           count, CONTAINERS_MAX);
}

static attn_status parse(const char *where, const char *text, size_t length, size_t flags, json_t **object,
                         attn_error *error) {
    if (check_containers(where, text, length, error) != ATTN_OK)
        return ATTN_BAD_MODEL;
    json_error_t reason;
    json_t *root = json_loadb(text, length, flags | JSON_DECODE_ANY, &reason);
    attn_printable printable;
    if (root == NULL && reason.text[0] == '\0') /* the one failure for which jansson has no text */
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to parse %zu bytes of JSON", where, length);
    if (root == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: not valid JSON: %s (line %d, column %d)", where,
                         attn_make_printable(&printable, reason.text), reason.line, reason.column);
    if (!json_is_object(root)) {
        attn_fail(error, ATTN_BAD_MODEL, "%s: expected a JSON object, found %s", where,
                  attn_json_printable(&printable, root));
        json_decref(root);
        return ATTN_BAD_MODEL;
    }
    *object = root;
    return ATTN_OK;
}

attn_status attn_json_parse(const char *where, const char *text, size_t length, json_t **object,
                            attn_error *error) {
    return parse(where, text, length, JSON_REJECT_DUPLICATES, object, error);
}

attn_status attn_json_parse_last(const char *where, const char *text, size_t length, json_t **object,
                                 attn_error *error) {
    return parse(where, text, length, 0, object, error);
}

attn_status attn_json_whole(const char *where, const char *key, const json_t *value, size_t least,
                            size_t most, size_t *result, attn_error *error) {
    const json_int_t number = json_integer_value(value); /* 0 for what is no integer */
    if (!json_is_integer(value) || number < 0 || (size_t)number < least || (size_t)number > most) {
        attn_printable found;
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\": expected a whole number from %zu to %zu, found %s", where, key, least,
                         most, attn_json_printable(&found, value));
    }
    *result = (size_t)number;
    return ATTN_OK;
}

attn_status attn_json_fraction(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error) {
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || !(number <= 1)) {
        attn_printable found;
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected a number from 0 to 1, found %s", where,
                         key, attn_json_printable(&found, value));
    }
    *result = number;
    return ATTN_OK;
}

/* Is it a number that is finite as a float32, and if asked above 0 as such? */
static bool is_number(const json_t *value, bool positive) {
    const float number = (float)json_number_value(value);
    return json_is_number(value) && isfinite(number) && (!positive || number > 0);
}

static const char *number_name(bool positive) {
    return positive ? "a number above 0 that float32 can hold" : "a number that float32 can hold";
}

static attn_status read_number(const char *where, const char *key, const json_t *value, bool positive,
                               double *result, attn_error *error) {
    attn_printable found;
    if (!is_number(value, positive))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found %s", where, key,
                         number_name(positive), attn_json_printable(&found, value));
    *result = json_number_value(value);
    return ATTN_OK;
}

attn_status attn_json_number(const char *where, const char *key, const json_t *value, double *result,
                             attn_error *error) {
    return read_number(where, key, value, false, result, error);
}

attn_status attn_json_positive(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error) {
    return read_number(where, key, value, true, result, error);
}

attn_status attn_json_numbers(const char *where, const char *key, const json_t *value, size_t count,
                              bool positive, float *results, attn_error *error) {
    attn_printable found;
    if (!json_is_array(value))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected an array of %zu numbers, found %s",
                         where, key, count, attn_json_printable(&found, value));
    if (json_array_size(value) != count)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %zu numbers, found %zu", where, key,
                         count, json_array_size(value));
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(value, i);
        if (!is_number(entry, positive))
            return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\"[%zu]: expected %s, found %s", where, key, i,
                             number_name(positive), attn_json_printable(&found, entry));
        if (results != NULL)
            results[i] = (float)json_number_value(entry);
    }
    return ATTN_OK;
}

attn_status attn_json_boolean(const char *where, const char *key, const json_t *value, bool *result,
                              attn_error *error) {
    attn_printable found;
    if (!json_is_boolean(value))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected true or false, found %s", where, key,
                         attn_json_printable(&found, value));
    *result = json_is_true(value);
    return ATTN_OK;
}

attn_status attn_json_choice(const char *where, const char *key, const json_t *value,
                             const char *const *choices, size_t count, size_t *result, attn_error *error) {
    for (size_t i = 0; i < count && json_is_string(value); i++) {
        if (strcmp(json_string_value(value), choices[i]) != 0)
            continue;
        *result = i;
        return ATTN_OK;
    }
    char known[160] = "";
    attn_printable found;
    for (size_t i = 0; i < count; i++)
        attn_list_add(known, sizeof known, choices[i]);
    return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected one of %s, found %s", where, key, known,
                     attn_json_printable(&found, value));
}

static attn_status check_known(const char *where, const json_t *object, const attn_json_key *keys,
                               size_t count, attn_error *error) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        size_t i = 0;
        while (i < count && strcmp(keys[i].name, name) != 0)
            i++;
        if (i < count)
            continue;
        char known[320] = "";
        attn_printable printable;
        for (i = 0; i < count; i++)
            attn_list_add(known, sizeof known, keys[i].name);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: unknown key \"%s\": known are %s", where,
                         attn_make_printable(&printable, name), known);
    }
    return ATTN_OK;
}

static attn_status read_key(const char *where, const attn_json_key *key, const json_t *value, void *field,
                            attn_error *error) {
    switch (key->kind) {
    case ATTN_JSON_OTHER:
        break;
    case ATTN_JSON_WHOLE:
        return attn_json_whole(where, key->name, value, key->least, key->most, field, error);
    case ATTN_JSON_FRACTION:
        return attn_json_fraction(where, key->name, value, field, error);
    case ATTN_JSON_NUMBER:
        return attn_json_number(where, key->name, value, field, error);
    case ATTN_JSON_POSITIVE:
        return attn_json_positive(where, key->name, value, field, error);
    case ATTN_JSON_BOOLEAN:
        return attn_json_boolean(where, key->name, value, field, error);
    }
    return ATTN_OK;
}

attn_status attn_json_read(const char *where, const json_t *object, const attn_json_key *keys, size_t count,
                           void *fields, attn_error *error) {
    ATTN_TRY(check_known(where, object, keys, count, error));
    return attn_json_read_known(where, object, keys, count, fields, error);
}

attn_status attn_json_read_known(const char *where, const json_t *object, const attn_json_key *keys,
                                 size_t count, void *fields, attn_error *error) {
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < count && status == ATTN_OK; i++) {
        const json_t *value = json_object_get(object, keys[i].name);
        if (value == NULL && keys[i].required)
            status = attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", where, keys[i].name);
        else if (value != NULL && (keys[i].required || !json_is_null(value)))
            status = read_key(where, &keys[i], value, (char *)fields + keys[i].field, error);
    }
    return status;
}

const char *attn_json_printable(attn_printable *printable, const json_t *value) {
    attn_printable inner;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return attn_make_printable(printable, "an object");
    case JSON_ARRAY:
        return attn_make_printable(printable, "an array");
    case JSON_STRING:
        snprintf(printable->text, sizeof printable->text, "\"%s\"",
                 attn_make_printable(&inner, json_string_value(value)));
        return printable->text;
    case JSON_INTEGER:
        snprintf(printable->text, sizeof printable->text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return printable->text;
    case JSON_REAL:
        snprintf(printable->text, sizeof printable->text, "%.17g", json_real_value(value));
        return printable->text;
    case JSON_TRUE:
        return attn_make_printable(printable, "true");
    case JSON_FALSE:
        return attn_make_printable(printable, "false");
    case JSON_NULL:
        break;
    }
    return attn_make_printable(printable, "null");
}
