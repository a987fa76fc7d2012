#include "server/wire/json/member.h"

#include "server/attend/request.h"
#include "server/wire/json/option.h"
#include "server/wire/json/tensor.h"

#include <stdio.h>
#include <string.h>

/* A key that the table does not have, which begins at `where`; `name` is its first bytes. */
static problem_code fail_unknown(json_reader *r, const field_table *table, const char *where,
                                 const char *name, size_t length) {
    char shown[JSON_SHOWN_MAX], known[512];
    size_t used = 0;
    known[0] = '\0';
    for (size_t i = 0; i < table->count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ",
                                 table->fields[i].name);
    json_show(name, length, shown);
    json_fail(r, where, PROBLEM_UNKNOWN_FIELD, "there is no %s \"%s\"; %s are %s", table->one, shown,
              table->many, known);
    snprintf(r->p->path, sizeof r->p->path, "%s%s", table->prefix, shown);
    return PROBLEM_UNKNOWN_FIELD;
}

problem_code json_read_key(json_reader *r, const field_table *table, bool seen[FIELDS_MAX],
                           const field **found) {
    char name[64]; /* longer than any in the table */
    size_t length;
    if (json_look(r) != JSON_STRING)
        return json_fail_expected(r, "a key in quotation marks");
    const char *const where = r->at;
    const problem_code code = json_read_string(r, name, sizeof name, &length);
    if (code != PROBLEM_NONE)
        return code;
    if (length > sizeof name)
        return fail_unknown(r, table, where, name, sizeof name);
    *found = field_find(table, name, length);
    if (*found == NULL)
        return fail_unknown(r, table, where, name, length);
    if (seen[*found - table->fields]) {
        json_fail(r, where, PROBLEM_MALFORMED_JSON, "the key \"%s\" is there twice", (*found)->name);
        snprintf(r->p->path, sizeof r->p->path, "%s%s", table->prefix, (*found)->name);
        return PROBLEM_MALFORMED_JSON;
    }
    seen[*found - table->fields] = true;
    return PROBLEM_NONE;
}

static problem_code read_view(json_reader *r, const char *path, request_view *view) {
    if (!json_take(r, '{')) {
        const json_kind kind = json_look(r);
        if (kind == JSON_NO_VALUE)
            return json_fail_expected(r, "an object");
        return json_fail(r, r->at, PROBLEM_BAD_VALUE, "%s is %s, expected an object", path,
                         json_describe(kind));
    }
    view->present = true;
    return json_read_members(r, &view_fields, view);
}

static problem_code read_by_type(json_reader *r, const field *f, const char *path, void *member) {
    switch (f->type) {
    case FIELD_TENSOR:
    case FIELD_MASK:
        return json_read_tensor(r, f, member);
    case FIELD_VIEW:
        return read_view(r, path, member);
    default:
        return json_read_option(r, f, path, member);
    }
}

problem_code json_read_value(json_reader *r, const field *f, const char *path, void *member) {
    if (json_look(r) == JSON_NULL) {
        json_skip_literal(r, JSON_NULL);
        return PROBLEM_NONE;
    }
    const problem_code code = read_by_type(r, f, path, member);
    if (code != PROBLEM_NONE && r->p->has_offset && r->p->path[0] == '\0')
        problem_at(r->p, path);
    return code;
}

problem_code json_read_members(json_reader *r, const field_table *table, void *object) {
    bool seen[FIELDS_MAX] = {false};
    char path[64];
    problem_code code;
    if (json_take(r, '}'))
        return PROBLEM_NONE;
    do {
        const field *f = NULL;
        if ((code = json_read_key(r, table, seen, &f)) != PROBLEM_NONE)
            return code;
        if (!json_take(r, ':'))
            return json_fail_expected(r, "a colon after a key");
        snprintf(path, sizeof path, "%s%s", table->prefix, f->name);
        if ((code = json_read_value(r, f, path, (char *)object + f->offset)) != PROBLEM_NONE)
            return code;
    } while (json_take(r, ','));
    return json_take(r, '}') ? PROBLEM_NONE : json_fail_expected(r, "a comma or }");
}
