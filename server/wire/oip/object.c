#include "server/wire/oip/object.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

problem_code oip_fail(json_reader *r, const char *where, const char *path, problem_code code,
                      const char *format, ...) {
    char text[sizeof r->p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_fail(r, where, code, "%s", text);
    problem_at(r->p, path);
    return code;
}

problem_code oip_fail_kind(json_reader *r, const char *path, const char *expected) {
    const json_kind kind = json_look(r);
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, expected);
    return oip_fail(r, r->at, path, PROBLEM_BAD_VALUE, "%s is %s, expected %s", path, json_describe(kind),
                    expected);
}

problem_code oip_locate(json_reader *r, const char *path) {
    if (r->p->has_offset && r->p->path[0] == '\0')
        problem_at(r->p, path);
    return r->p->code;
}

void oip_list_names(const char *const *names, size_t count, char *list, size_t room) {
    size_t n = 0;
    list[0] = '\0';
    for (size_t i = 0; i < count && n < room; i++)
        n += (size_t)snprintf(list + n, room - n, "%s%s", i == 0 ? "" : ", ", names[i]);
}

static void write_path(const oip_object *object, const char *name, char path[OIP_PATH_MAX]) {
    snprintf(path, OIP_PATH_MAX, "%s%s%s", object->place, *object->place == '\0' ? "" : ".", name);
}

static problem_code fail_unknown(const oip_object *object, const char *where, const char *name,
                                 size_t length) {
    char shown[JSON_SHOWN_MAX], known[640], path[OIP_PATH_MAX];
    json_show(name, length, shown);
    oip_list_names(object->names, object->count, known, sizeof known);
    write_path(object, shown, path);
    return oip_fail(object->r, where, path, PROBLEM_UNKNOWN_FIELD,
                    "there is no %s \"%s\"; expected one of: %s", object->noun, shown, known);
}

/* Reads a key, and finds it among the names. */
static problem_code read_key(oip_object *object, size_t *key, char path[OIP_PATH_MAX]) {
    char name[64]; /* longer than any of them */
    size_t length;
    json_reader *const r = object->r;
    if (json_look(r) != JSON_STRING)
        return json_fail_expected(r, "a key in quotation marks");
    const char *const where = r->at;
    const problem_code code = json_read_string(r, name, sizeof name, &length);
    if (code != PROBLEM_NONE)
        return code;
    for (size_t i = 0; i < object->count; i++) {
        if (strlen(object->names[i]) != length || memcmp(object->names[i], name, length) != 0)
            continue;
        write_path(object, object->names[i], path);
        if ((object->seen >> i & 1) != 0)
            return oip_fail(r, where, path, PROBLEM_MALFORMED_JSON, "the key \"%s\" is there twice",
                            object->names[i]);
        object->seen |= (uint64_t)1 << i;
        *key = i;
        return json_take(r, ':') ? PROBLEM_NONE : json_fail_expected(r, "a colon after a key");
    }
    return fail_unknown(object, where, name, length < sizeof name ? length : sizeof name);
}

problem_code oip_next_member(oip_object *object, size_t *key, char path[OIP_PATH_MAX], bool *done) {
    json_reader *const r = object->r;
    problem_code code;
    for (;;) {
        if (!object->opened) {
            if (!json_take(r, '{'))
                return oip_fail_kind(r, *object->place == '\0' ? "the request" : object->place, "an object");
            object->opened = true;
            if ((*done = json_take(r, '}')))
                return PROBLEM_NONE;
        } else if (!json_take(r, ',')) {
            *done = json_take(r, '}');
            return *done ? PROBLEM_NONE : json_fail_expected(r, "a comma or }");
        }
        if ((code = read_key(object, key, path)) != PROBLEM_NONE || json_look(r) != JSON_NULL)
            return code;
        json_skip_literal(r, JSON_NULL);
    }
}

problem_code oip_read_list(json_reader *r, const char *path, oip_read_item read_item, void *context) {
    char place[OIP_PATH_MAX];
    size_t index = 0;
    if (json_look(r) != JSON_ARRAY)
        return oip_fail_kind(r, path, "a list of objects");
    json_take(r, '[');
    if (json_take(r, ']'))
        return PROBLEM_NONE;
    do {
        snprintf(place, sizeof place, "%s[%zu]", path, index++);
        const problem_code code = read_item(context, place);
        if (code != PROBLEM_NONE)
            return code;
    } while (json_take(r, ','));
    return json_take(r, ']') ? PROBLEM_NONE : json_fail_expected(r, "a comma or ]");
}
