#include "core/model/files/json_walk.h"

#include "core/printable.h"

#include <stdlib.h>
#include <string.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next byte that is no white space, which is not taken; NUL at the end (and NUL is no JSON either). */
static char peek(attn_walk *walk) {
    while (walk->at < walk->end && is_space(walk->text[walk->at]))
        walk->at++;
    return walk->at < walk->end ? walk->text[walk->at] : '\0';
}

/* What stands at walk->at, for sentences. */
static const char *show_found(const attn_walk *walk, attn_printable *printable) {
    if (walk->at == walk->end)
        return "the end";
    const char found[] = {'\'', walk->text[walk->at], '\'', '\0'};
    return found[1] == '\0' ? "a zero byte" : attn_make_printable(printable, found);
}

static attn_status fail_expected(const attn_walk *walk, const char *expected, attn_error *error) {
    attn_printable found;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: not valid JSON: byte %zu: expected %s, found %s",
                     walk->where, walk->at, expected, show_found(walk, &found));
}

static attn_status begin_object(attn_walk *walk, attn_error *error) {
    attn_printable found;
    walk->first = true;
    if (peek(walk) != '{')
        return attn_fail(error, ATTN_BAD_MODEL, "%s: byte %zu: expected a JSON object, found %s", walk->where,
                         walk->at, show_found(walk, &found));
    walk->at++;
    return ATTN_OK;
}

attn_status attn_walk_begin(attn_walk *walk, const char *where, const char *text, size_t length,
                            attn_error *error) {
    *walk = (attn_walk){.where = where, .text = text, .end = length};
    return begin_object(walk, error);
}

attn_status attn_walk_enter(attn_walk *inner, const attn_walk *outer, const attn_walk_value *value,
                            attn_error *error) {
    *inner = *outer;
    inner->at = value->begin;
    inner->end = value->begin + value->length;
    return begin_object(inner, error);
}

/* Where the string that begins at `at` ends, the quotation mark included; walk->end if it does not. */
static size_t string_end(const attn_walk *walk, size_t at) {
    for (at++; at < walk->end && walk->text[at] != '"'; at++)
        at += walk->text[at] == '\\';
    return at < walk->end ? at + 1 : walk->end;
}

/* Where a value ends that begins at walk->at: an array or object with its last bracket, a string with its
 * quotation mark, any other before the next comma or bracket. What is in it, the parser will judge. */
static attn_walk_value measure(const attn_walk *walk) {
    attn_walk_value value = {.begin = walk->at};
    size_t at = walk->at, depth = 0;
    while (at < walk->end) {
        const char c = walk->text[at];
        const bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ','))
            break;
        at = c == '"' ? string_end(walk, at) : at + 1;
        depth += opens;
        depth -= closes;
        value.depth = depth > value.depth ? depth : value.depth;
        if (depth == 0 && (closes || c == '"'))
            break;
    }
    value.length = at - value.begin;
    return value;
}

static attn_status parse(const attn_walk *walk, const attn_walk_value *value, json_t **parsed,
                         attn_error *error) {
    json_error_t reason;
    attn_printable printable;
    *parsed = json_loadb(walk->text + value->begin, value->length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                         &reason);
    if (*parsed != NULL)
        return ATTN_OK;
    if (reason.text[0] == '\0') /* the one failure for which jansson has no text */
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to parse %zu bytes of JSON", walk->where,
                         value->length);
    return attn_fail(error, ATTN_BAD_MODEL, "%s: not valid JSON: byte %zu: %s", walk->where,
                     value->begin + (size_t)reason.position, attn_make_printable(&printable, reason.text));
}

attn_status attn_walk_parse(const attn_walk *walk, const char *name, const attn_walk_value *value,
                            size_t bytes, size_t depth, json_t **parsed, attn_error *error) {
    attn_printable printable;
    if (value->length > bytes || value->depth > depth)
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"%s\": %zu bytes of JSON, nested %zu deep: at most %zu bytes, %zu deep, expected",
            walk->where, attn_make_printable(&printable, name), value->length, value->depth, bytes, depth);
    return parse(walk, value, parsed, error);
}

static attn_status read_name(attn_walk *walk, char **name, attn_error *error) {
    if (peek(walk) != '"')
        return fail_expected(walk, "a name in quotation marks", error);
    const attn_walk_value value = measure(walk);
    json_t *parsed;
    ATTN_TRY(parse(walk, &value, &parsed, error));
    *name = strdup(json_string_value(parsed));
    json_decref(parsed);
    if (*name == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a name", walk->where);
    walk->at += value.length;
    return ATTN_OK;
}

static attn_status read_value(attn_walk *walk, attn_walk_value *value, attn_error *error) {
    if (peek(walk) != ':')
        return fail_expected(walk, "a colon", error);
    walk->at++;
    peek(walk);
    *value = measure(walk);
    walk->at += value->length;
    return ATTN_OK;
}

static attn_status end_object(attn_walk *walk, attn_error *error) {
    walk->at++;
    return peek(walk) == '\0' && walk->at == walk->end
               ? ATTN_OK
               : fail_expected(walk, "nothing after the object", error);
}

attn_status attn_walk_next(attn_walk *walk, char **name, attn_walk_value *value, attn_error *error) {
    *name = NULL;
    const char c = peek(walk);
    if (c == '}')
        return end_object(walk, error);
    if (!walk->first && c != ',')
        return fail_expected(walk, "a comma or the end of the object", error);
    walk->at += !walk->first;
    walk->first = false;
    attn_status status = read_name(walk, name, error);
    if (status == ATTN_OK)
        status = read_value(walk, value, error);
    if (status != ATTN_OK) {
        free(*name);
        *name = NULL;
    }
    return status;
}
