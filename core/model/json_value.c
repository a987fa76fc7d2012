#include "core/model/json_value.h"

#include "core/model/file.h"

#include <stdio.h>
#include <stdlib.h>

attn_status attn_json_parse(const char *where, const char *text, size_t length, json_t **object,
                            attn_error *error) {
    json_error_t reason;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
    attn_shown shown;
    if (root == NULL && reason.text[0] == '\0') /* jansson has words for everything but this */
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to parse %zu bytes of JSON", where, length);
    if (root == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: not valid JSON: %s (line %d, column %d)", where,
                         attn_show(&shown, reason.text), reason.line, reason.column);
    if (!json_is_object(root)) {
        attn_fail(error, ATTN_BAD_MODEL, "%s: expected a JSON object, found %s", where,
                  attn_json_show(&shown, root));
        json_decref(root);
        return ATTN_BAD_MODEL;
    }
    *object = root;
    return ATTN_OK;
}

static attn_status parse_file(const attn_file *file, size_t limit, json_t **object, attn_error *error) {
    if (file->size > limit)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: a file of %zu bytes, at most %zu expected",
                         file->shown.text, file->size, limit);
    char *text = malloc(file->size + 1);
    if (text == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for its %zu bytes", file->shown.text,
                         file->size);
    attn_status status = attn_file_read(file, 0, text, file->size, error);
    if (status == ATTN_OK)
        status = attn_json_parse(file->shown.text, text, file->size, object, error);
    free(text);
    return status;
}

attn_status attn_json_read(const char *path, size_t limit, json_t **object, attn_error *error) {
    attn_file file;
    attn_status status = attn_file_open(&file, path, error);
    if (status != ATTN_OK)
        return status;
    status = parse_file(&file, limit, object, error);
    attn_file_close(&file);
    return status;
}

attn_status attn_json_whole(const char *where, const char *key, const json_t *value, size_t least,
                            size_t most, size_t *result, attn_error *error) {
    const json_int_t number = json_integer_value(value); /* 0 for what is no integer */
    if (!json_is_integer(value) || number < 0 || (size_t)number < least || (size_t)number > most) {
        attn_shown found;
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\": expected a whole number from %zu to %zu, found %s", where, key, least,
                         most, attn_json_show(&found, value));
    }
    *result = (size_t)number;
    return ATTN_OK;
}

attn_status attn_json_fraction(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error) {
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || !(number < 1)) {
        attn_shown found;
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected a number from 0 to below 1, found %s",
                         where, key, attn_json_show(&found, value));
    }
    *result = number;
    return ATTN_OK;
}

const char *attn_json_show(attn_shown *shown, const json_t *value) {
    attn_shown inner;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return attn_show(shown, "an object");
    case JSON_ARRAY:
        return attn_show(shown, "an array");
    case JSON_STRING:
        snprintf(shown->text, sizeof shown->text, "\"%s\"", attn_show(&inner, json_string_value(value)));
        return shown->text;
    case JSON_INTEGER:
        snprintf(shown->text, sizeof shown->text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return shown->text;
    case JSON_REAL:
        snprintf(shown->text, sizeof shown->text, "%.17g", json_real_value(value));
        return shown->text;
    case JSON_TRUE:
        return attn_show(shown, "true");
    case JSON_FALSE:
        return attn_show(shown, "false");
    case JSON_NULL:
        break;
    }
    return attn_show(shown, "null");
}
