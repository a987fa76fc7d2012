#include "server/wire/oip/input.h"

#include "server/wire/elements.h"
#include "server/wire/json/reading.h"

#include <stdio.h>
#include <string.h>

/* What is known of an input so far. */
typedef struct {
    oip_reader *o;
    const char *path; /* "inputs[0]" */
    const char *start;
    const field *field; /* that the name stands for; NULL: not known yet */
    request_wholes shape;
    size_t datatype;      /* 1 + an element_type; 0: not known yet */
    request_whole binary; /* binary_data_size */
    bool has_data;
    const char *later; /* the data, if they came before what is needed to read them */
    request_tensor *tensor;
} input;

enum { NAME, SHAPE, DATATYPE, PARAMETERS, DATA, MEMBERS };
static const field rows[MEMBERS] = {
    [NAME] = {.name = "name"},
    [SHAPE] = {"shape", FIELD_WHOLES, offsetof(input, shape), .most = REQUEST_MAX_DIMENSION,
               .most_items = FIELD_SHAPE_ITEMS},
    [DATATYPE] = {"datatype", FIELD_WORD, offsetof(input, datatype), .words = element_names_oip},
    [PARAMETERS] = {.name = "parameters"},
    [DATA] = {.name = "data"},
};
static const field parameter_rows[] = {
    {"binary_data_size", FIELD_WHOLE, offsetof(input, binary), .most = (uint64_t)1 << 53},
};

/* A missing member, or one too many. The input begins at `start`. */
static problem_code fail_input(const input *in, problem_code code, const char *member, const char *text) {
    char path[JSON_PATH_MAX];
    snprintf(path, sizeof path, "%s%s%s", in->path, *member == '\0' ? "" : ".", member);
    return json_fail_at(&in->o->r, in->start, path, code, "%s %s",
                        in->field == NULL ? in->path : in->field->name, text);
}

/* ---- The members ---- */

/* "query, key, ...": the fields that are tensors. */
static json_names list_tensors(void) {
    json_names list = {.length = 0};
    for (size_t i = 0; i < request_fields.count; i++)
        if (field_is_tensor(&request_fields.fields[i]))
            json_add_name(&list, ", ", request_fields.fields[i].name);
    return list;
}

static problem_code read_name(input *in, const char *path) {
    json_reader *const r = &in->o->r;
    char name[64], quoted[JSON_QUOTED_MAX];
    size_t length;
    json_skip_space(r);
    const char *const where = r->at;
    PROBLEM_TRY(json_read_name(r, path, name, sizeof name, &length));
    const field *f = length > sizeof name ? NULL : field_find(&request_fields, name, length);
    if (f == NULL || !field_is_tensor(f))
        return json_fail_at(
            r, where, path, PROBLEM_UNKNOWN_FIELD, "there is no input \"%s\"; the inputs are %s",
            json_quote(name, length < sizeof name ? length : sizeof name, quoted), list_tensors().text);
    in->tensor = (request_tensor *)(void *)((char *)in->o->request + f->offset);
    if (in->tensor->present)
        return json_fail_at(r, where, path, PROBLEM_BAD_VALUE,
                            "the input %s is there twice; expected each name once", f->name);
    in->field = f;
    return PROBLEM_NONE;
}

static problem_code read_shape(input *in, const char *path) {
    problem *const p = in->o->r.p;
    const problem_code code = json_read_option(&in->o->r, &rows[SHAPE], path, &in->shape);
    return code == PROBLEM_BAD_VALUE ? (p->code = PROBLEM_BAD_SHAPE) : code;
}

static problem_code read_parameters(input *in, const char *parent) {
    const field_table table = {parameter_rows, 1, parent, "parameter of an input", OIP_KNOWN};
    const problem_code code = json_open_object(&in->o->r, parent);
    return code != PROBLEM_NONE ? code : json_read_members(&in->o->r, &table, in);
}

/* ---- Data as JSON ---- */

/* Moves past an array without reading it; only its brackets and strings are looked at. */
static problem_code skip_array(json_reader *r) {
    size_t depth = 0, length;
    char none[1];
    do {
        if (json_stopped(r) || r->at == r->end)
            return json_fail_expected(r, "]");
        if (*r->at == '"') {
            PROBLEM_TRY(json_read_string(r, none, 0, &length));
            continue;
        }
        depth += *r->at == '[';
        depth -= *r->at == ']';
        r->at++;
    } while (depth > 0);
    return PROBLEM_NONE;
}

/* Sets the tensor's shape to the one that was declared, of `count` elements, if the data have it: nested so,
 * or all in one list. */
static problem_code fit_shape(input *in, const char *where) {
    request_tensor *const t = in->tensor;
    const size_t rank = in->shape.count;
    const size_t count = shape_count(in->shape.items, rank); /* elements_shape has seen to it that it fits */
    const bool flat = t->rank == 1 && t->shape[0] == count;
    const bool nested = (t->rank == rank || (t->open && t->rank < rank)) &&
                        memcmp(t->shape, in->shape.items, t->rank * sizeof *t->shape) == 0;
    if (!flat && !nested)
        return json_fail_at(
            &in->o->r, where, in->field->name, PROBLEM_MALFORMED_TENSOR,
            "%s has data of the shape %s, but its shape is %s: expected that, or %zu elements in "
            "one list",
            in->field->name, shape_show(t->shape, t->rank).text, shape_show(in->shape.items, rank).text,
            count);
    memcpy(t->shape, in->shape.items, rank * sizeof *t->shape);
    t->rank = rank;
    t->open = false;
    return PROBLEM_NONE;
}

static problem_code read_json_data(input *in) {
    json_reader *const r = &in->o->r;
    const char *const where = r->at, *const name = in->field->name;
    const element_type type = (element_type)(in->datatype - 1);
    request_tensor *const t = in->tensor;
    if (type == ELEMENT_FLOAT16 || type == ELEMENT_BFLOAT16)
        return json_fail_at(
            r, where, name, PROBLEM_BAD_VALUE,
            "%s has the datatype %s, which has no form in JSON; expected FP32 or FP64, or the "
            "elements as binary data",
            name, element_names_oip[type]);
    PROBLEM_TRY(json_read_tensor(r, in->field, t));
    const bool empty = t->shape[t->rank - 1] == 0;
    if ((type == ELEMENT_BOOL) != t->boolean && !empty)
        return json_fail_at(r, where, name, PROBLEM_MALFORMED_TENSOR,
                            "%s has the datatype %s, but its data are %s; expected %s", name,
                            element_names_oip[type], t->boolean ? "booleans" : "numbers",
                            t->boolean ? "numbers" : "true and false");
    t->boolean = type == ELEMENT_BOOL;
    return fit_shape(in, where);
}

/* The shape is one that a tensor can have; its elements take so many `bytes`. */
static problem_code check_shape(const input *in, size_t *bytes) {
    request_tensor shaped;
    return elements_shape(in->field, (element_type)(in->datatype - 1), in->shape.items, in->shape.count,
                          &shaped, bytes, in->o->r.p);
}

/* Reads the data, if it is known what they are; else notes where they begin, and moves past them. */
static problem_code read_data(input *in, const char *path) {
    json_reader *const r = &in->o->r;
    size_t bytes;
    if (json_peek(r) != JSON_ARRAY)
        return json_fail_kind(r, path, "a list of numbers or booleans");
    in->has_data = true;
    if (in->field == NULL || !in->shape.present || in->datatype == 0) {
        in->later = r->at;
        return skip_array(r);
    }
    const problem_code code = check_shape(in, &bytes);
    return code != PROBLEM_NONE ? code : read_json_data(in);
}

/* ---- Data behind the JSON ---- */

static problem_code read_binary_data(input *in) {
    oip_reader *const o = in->o;
    const char *const name = in->field->name;
    const element_type type = (element_type)(in->datatype - 1);
    const size_t size = in->binary.value, left = o->body.length - o->binary;
    size_t expected;
    problem_code code = check_shape(in, &expected);
    if (code != PROBLEM_NONE)
        return code;
    if (size != expected)
        return json_fail_at(&o->r, in->start, name, PROBLEM_MALFORMED_TENSOR,
                            "%s has the binary_data_size %zu, but the shape %s of %s takes %zu bytes", name,
                            size, shape_show(in->shape.items, in->shape.count).text, element_names_oip[type],
                            expected);
    if (size > 0 && !o->body.has_json_length)
        return json_fail_at(&o->r, in->start, name, PROBLEM_MALFORMED_TENSOR,
                            "%s has a binary_data_size, but the request has no header " OIP_LENGTH_HEADER
                            ", which says where the JSON ends and the binary data begin",
                            name);
    if (size > left)
        return json_fail_at(&o->r, in->start, name, PROBLEM_MALFORMED_TENSOR,
                            "%s has the binary_data_size %zu, but the body has only %zu bytes left for it",
                            name, size, left);
    const elements e = {.field = in->field,
                        .type = type,
                        .names = element_names_oip,
                        .bytes = o->body.bytes + o->binary,
                        .length = size,
                        .may_alias = true,
                        .control = o->r.control};
    memcpy(in->tensor->shape, in->shape.items, in->shape.count * sizeof *in->shape.items);
    in->tensor->rank = in->shape.count;
    if ((code = elements_read(&e, o->r.arena, in->tensor, o->r.p)) != PROBLEM_NONE) {
        o->r.p->offset += o->binary; /* it was counted from the tensor's first byte */
        return code;
    }
    o->options->borrows |= (const void *)in->tensor->data == e.bytes;
    o->binary += size;
    return PROBLEM_NONE;
}

/* ---- All of it ---- */

static problem_code read_member(input *in, const field *f, const char *path) {
    switch (f - rows) {
    case NAME:
        return read_name(in, path);
    case SHAPE:
        return read_shape(in, path);
    case DATATYPE:
        return json_read_option(&in->o->r, f, path, &in->datatype);
    case PARAMETERS:
        return read_parameters(in, path);
    default:
        return read_data(in, path);
    }
}

static problem_code read_members(input *in) {
    const field_table table = {rows, MEMBERS, in->path, "field of an input", OIP_KNOWN};
    json_members members = {.r = &in->o->r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code = json_open_object(&in->o->r, in->path);
    while (code == PROBLEM_NONE && (code = json_next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL)
        code = json_accept_null(&in->o->r) ? PROBLEM_NONE : read_member(in, f, path);
    return code;
}

problem_code oip_read_input(oip_reader *o, const char *path) {
    json_peek(&o->r);
    input in = {.o = o, .path = path, .start = o->r.at};
    problem_code code = read_members(&in);
    if (code != PROBLEM_NONE)
        return code;
    if (in.field == NULL)
        return fail_input(&in, PROBLEM_MISSING_FIELD, "name", "has no name");
    if (!in.shape.present)
        return fail_input(&in, PROBLEM_MISSING_FIELD, "shape", "has no shape");
    if (in.datatype == 0)
        return fail_input(&in, PROBLEM_MISSING_FIELD, "datatype", "has no datatype");
    if (in.has_data == in.binary.present)
        return fail_input(&in, in.has_data ? PROBLEM_BAD_VALUE : PROBLEM_MISSING_FIELD, "data",
                          in.has_data ? "has both data and a binary_data_size; expected one of them"
                                      : "has neither data nor the parameter binary_data_size");
    if (in.binary.present)
        return read_binary_data(&in);
    if (in.later == NULL)
        return PROBLEM_NONE;
    const char *const end = o->r.at;
    json_go_back(&o->r, in.later);
    if ((code = read_data(&in, path)) == PROBLEM_NONE)
        o->r.at = end < o->r.end ? end : o->r.end;
    return code;
}
