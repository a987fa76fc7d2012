#include "server/fields.h"
#include "server/wire/json.h"
#include "server/wire/json_lexer.h"
#include "server/wire/json_tensor.h"

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 64 /* the table has fewer */

/* A key that the table does not have, which begins at `where`; `name` is its first bytes. */
static problem_code fail_unknown(json_reader *r, const char *where, const char *name, size_t length) {
    char shown[JSON_SHOWN_MAX], known[sizeof r->p->text];
    size_t used = 0;
    known[0] = '\0';
    for (size_t i = 0; i < field_count && used < sizeof known; i++)
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", fields[i].name);
    json_show(name, length, shown);
    json_fail(r, where, PROBLEM_UNKNOWN_FIELD, "there is no field \"%s\"; the fields are %s", shown, known);
    memcpy(r->p->path, shown, sizeof shown);
    return PROBLEM_UNKNOWN_FIELD;
}

/* Reads a key, and finds it in the table. */
static problem_code read_key(json_reader *r, bool seen[FIELDS_MAX], const field **found) {
    char name[64]; /* longer than any in the table */
    size_t length;
    if (json_look(r) != JSON_STRING)
        return json_fail_expected(r, "a key in quotation marks");
    const char *const where = r->at;
    const problem_code code = json_read_string(r, name, sizeof name, &length);
    if (code != PROBLEM_NONE)
        return code;
    if (length > sizeof name)
        return fail_unknown(r, where, name, sizeof name);
    *found = field_find(name, length);
    if (*found == NULL)
        return fail_unknown(r, where, name, length);
    if (seen[*found - fields]) {
        json_fail(r, where, PROBLEM_MALFORMED_JSON, "the key \"%s\" is there twice", (*found)->name);
        snprintf(r->p->path, sizeof r->p->path, "%s", (*found)->name);
        return PROBLEM_MALFORMED_JSON;
    }
    seen[*found - fields] = true;
    return PROBLEM_NONE;
}

static problem_code fail_type(json_reader *r, const field *f, json_kind kind, const char *expected) {
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, expected);
    return json_fail(r, r->at, PROBLEM_BAD_VALUE, "%s is %s, expected %s", f->name, json_describe(kind),
                     expected);
}

static problem_code read_bool(json_reader *r, const field *f, bool *value) {
    const json_kind kind = json_look(r);
    if (kind != JSON_TRUE && kind != JSON_FALSE)
        return fail_type(r, f, kind, "true or false");
    *value = kind == JSON_TRUE;
    json_skip_literal(r, kind);
    return PROBLEM_NONE;
}

static problem_code read_string(json_reader *r, const field *f, char **value) {
    size_t length;
    const json_kind kind = json_look(r);
    if (kind != JSON_STRING)
        return fail_type(r, f, kind, "a string");
    char *text = attn_arena_alloc(r->arena, f->max_bytes + 1);
    if (text == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    const char *const where = r->at;
    const problem_code code = json_read_string(r, text, f->max_bytes, &length);
    if (code != PROBLEM_NONE)
        return code;
    if (length > f->max_bytes)
        return json_fail(r, where, PROBLEM_BAD_VALUE, "%s is %zu bytes long, expected at most %zu", f->name,
                         length, f->max_bytes);
    if (memchr(text, '\0', length) != NULL)
        return json_fail(r, where, PROBLEM_BAD_VALUE,
                         "%s holds the character \\u0000, expected a string without it", f->name);
    text[length] = '\0';
    *value = text;
    return PROBLEM_NONE;
}

/* Reads the value of a field into its `member` of the request. */
static problem_code read_value(json_reader *r, const field *f, void *member) {
    if (json_look(r) == JSON_NULL) {
        json_skip_literal(r, JSON_NULL);
        return PROBLEM_NONE;
    }
    switch (f->type) {
    case FIELD_STRING:
        return read_string(r, f, member);
    case FIELD_BOOL:
        return read_bool(r, f, member);
    case FIELD_TENSOR:
    case FIELD_MASK:
        break;
    }
    return json_read_tensor(r, f, member);
}

/* Reads the rest of the request, from after its '{' to after its '}'. */
static problem_code read_members(json_reader *r, attend_request *request) {
    bool seen[FIELDS_MAX] = {false};
    problem_code code;
    if (json_take(r, '}'))
        return PROBLEM_NONE;
    do {
        const field *f = NULL;
        if ((code = read_key(r, seen, &f)) != PROBLEM_NONE)
            return code;
        if (!json_take(r, ':'))
            return json_fail_expected(r, "a colon after a key");
        code = read_value(r, f, (char *)request + f->offset);
        if (code != PROBLEM_NONE) {
            if (r->p->has_offset && r->p->path[0] == '\0')
                snprintf(r->p->path, sizeof r->p->path, "%s", f->name);
            return code;
        }
    } while (json_take(r, ','));
    return json_take(r, '}') ? PROBLEM_NONE : json_fail_expected(r, "a comma or }");
}

/* Takes the '{' that a request begins with. */
static problem_code open_request(json_reader *r) {
    static const char byte_order_mark[3] = "\xef\xbb\xbf";
    if (r->end - r->at >= 3 && memcmp(r->at, byte_order_mark, 3) == 0)
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON,
                         "the body begins with a byte order mark, which JSON may not have");
    if (!json_skip_space(r))
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "the body is empty, expected a JSON object");
    if (json_take(r, '{'))
        return PROBLEM_NONE;
    const json_kind kind = json_look(r);
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, "a JSON object");
    return json_fail(r, r->at, PROBLEM_BAD_VALUE, "the request is %s, expected an object",
                     json_describe(kind));
}

problem_code json_read_request(const char *text, size_t length, attn_arena *arena, attend_request *request,
                               problem *p) {
    if (length == 0)
        text = ""; /* an empty body may come without a pointer */
    json_reader r = {.start = text, .at = text, .end = text + length, .arena = arena, .p = p};
    problem_code code;
    memset(request, 0, sizeof *request);
    if ((code = open_request(&r)) != PROBLEM_NONE || (code = read_members(&r, request)) != PROBLEM_NONE)
        return code;
    return json_skip_space(&r) ? json_fail_expected(&r, "the end of the body") : PROBLEM_NONE;
}
