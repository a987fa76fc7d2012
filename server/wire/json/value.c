/* value.c: the value of a field of any type, and objects of them. */
#include "server/wire/json/reading.h"

static problem_code read_view(json_reader *r, const char *path, request_view *view) {
    PROBLEM_TRY(json_open_object(r, path));
    view->present = true;
    return json_read_members(r, &view_fields, view);
}

problem_code json_read_value(json_reader *r, const field *f, const char *path, void *member) {
    if (f->type != FIELD_VIEW && !field_is_tensor(f))
        return json_read_option(r, f, path, member);
    if (json_accept_null(r))
        return PROBLEM_NONE;
    const problem_code code =
        f->type == FIELD_VIEW ? read_view(r, path, member) : json_read_tensor(r, f, member);
    return code == PROBLEM_NONE ? code : json_locate(r, path);
}

problem_code json_read_members(json_reader *r, const field_table *table, void *object) {
    json_members members = {.r = r, .table = table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code;
    while ((code = json_next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL)
        PROBLEM_TRY(json_read_value(r, f, path, (char *)object + f->offset));
    return code;
}
