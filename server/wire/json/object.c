/* object.c: JSON objects whose members are known, read member by member. */
#include "server/wire/json/reading.h"

#include <stdio.h>

_Static_assert(FIELDS_MAX <= 64, "a bit for each");

problem_code json_open_object(json_reader *r, const char *path) {
    return json_accept(r, '{') ? PROBLEM_NONE : json_fail_kind(r, path, "an object");
}

static void write_path(const field_table *table, const char *name, char path[JSON_PATH_MAX]) {
    snprintf(path, JSON_PATH_MAX, "%s%s%s", table->path, *table->path == '\0' ? "" : ".", name);
}

/* A key that the table does not have, which begins at `where`; `name` is its first bytes. */
static problem_code fail_unknown(const json_members *members, const char *where, const char *name,
                                 size_t length) {
    const field_table *const table = members->table;
    char quoted[JSON_QUOTED_MAX], path[JSON_PATH_MAX];
    json_names known = {.length = 0};
    for (size_t i = 0; i < table->count; i++)
        json_add_name(&known, ", ", table->fields[i].name);
    write_path(table, json_quote(name, length, quoted), path);
    return json_fail_at(members->r, where, path, PROBLEM_UNKNOWN_FIELD, "there is no %s \"%s\"; %s %s",
                        table->noun, quoted, table->known, known.text);
}

/* Reads a key, and finds it in the table. */
static problem_code read_key(json_members *members, const field **f, char path[JSON_PATH_MAX]) {
    json_reader *const r = members->r;
    char name[64]; /* longer than any in a table */
    size_t length;
    if (json_peek(r) != JSON_STRING)
        return json_fail_expected(r, "a key in quotation marks");
    const char *const where = r->at;
    PROBLEM_TRY(json_read_string(r, name, sizeof name, &length));
    if (length > sizeof name || (*f = field_find(members->table, name, length)) == NULL)
        return fail_unknown(members, where, name, length < sizeof name ? length : sizeof name);
    const uint64_t bit = (uint64_t)1 << (*f - members->table->fields);
    write_path(members->table, (*f)->name, path);
    if ((members->seen & bit) != 0)
        return json_fail_at(r, where, path, PROBLEM_MALFORMED_JSON, "the key \"%s\" is there twice",
                            (*f)->name);
    members->seen |= bit;
    return json_accept(r, ':') ? PROBLEM_NONE : json_fail_expected(r, "a colon after a key");
}

problem_code json_next_member(json_members *members, const field **f, char path[JSON_PATH_MAX]) {
    json_reader *const r = members->r;
    const bool first = !members->begun;
    members->begun = true;
    *f = NULL;
    if (first ? json_accept(r, '}') : !json_accept(r, ','))
        return first || json_accept(r, '}') ? PROBLEM_NONE : json_fail_expected(r, "a comma or }");
    return read_key(members, f, path);
}
