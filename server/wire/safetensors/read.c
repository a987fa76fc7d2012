#include "server/wire/elements.h"
#include "server/wire/json/reading.h"
#include "server/wire/safetensors/safetensors.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_BYTES ((size_t)8) /* before the header: how long it is */
#define SMALLEST     ((size_t)2) /* header: {} */
#define METADATA     "__metadata__"

/* What the header says of a tensor. */
typedef struct {
    const field *f;
    size_t where; /* byte of the body at which this begins */
    size_t dtype; /* 1 + an element_type */
    request_wholes shape;
    request_wholes range; /* its first byte among the data, and the first after it */
} entry;

static const field entry_rows[] = {
    {"dtype", FIELD_WORD, offsetof(entry, dtype), .words = element_names_safetensors},
    {"shape", FIELD_WHOLES, offsetof(entry, shape), .most = FIELD_LARGEST, .most_items = FIELD_SHAPE_ITEMS},
    {"data_offsets", FIELD_PAIR, offsetof(entry, range), .most = FIELD_LARGEST,
     .most_items = FIELD_PAIR_ITEMS},
};

typedef struct {
    json_reader r; /* of the header */
    const char *bytes;
    size_t length;
    size_t data; /* where the data begin in the body */
    attend_request *request;
    entry entries[FIELDS_MAX];
    size_t count;
} body_reader;

/* ---- Failures ---- */

/* Fails at this byte of the body. */
static problem_code __attribute__((format(printf, 5, 6)))
fail_at(body_reader *b, size_t offset, problem_code code, const char *path, const char *format, ...) {
    char text[sizeof b->r.p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set_at(b->r.p, code, path, "%s", text);
    b->r.p->offset = offset;
    b->r.p->has_offset = true;
    return code;
}

/* The sentence is said of a text that is JSON by rights: whose it is comes first. */
static void put_before(problem *p, const char *whose) {
    char text[sizeof p->text];
    snprintf(text, sizeof text, "%s", p->text);
    snprintf(p->text, sizeof p->text, "%.256s: %.700s", whose, text);
}

/* What is wrong with the header makes the tensors unreadable. */
static problem_code header_failure(problem *p) {
    if (p->code == PROBLEM_MALFORMED_JSON) {
        p->code = PROBLEM_MALFORMED_TENSOR;
        put_before(p, "in the safetensors header");
    } else if (p->code == PROBLEM_BAD_VALUE) {
        p->code = PROBLEM_MALFORMED_TENSOR;
    }
    return p->code;
}

/* ---- Metadata ---- */

/* Reads the JSON text in the string that begins here, as the value of `f`. Offsets count from the start of
 * the body; in a string with escapes, they are that of the string. */
static problem_code read_json_text(body_reader *b, const field *f, void *member) {
    json_reader *const r = &b->r;
    const char *const where = r->at;
    char whose[128];
    size_t length;
    problem_code code = json_read_string(r, NULL, 0, &length);
    if (code != PROBLEM_NONE)
        return header_failure(r->p);
    json_reader inner = *r; /* of which it is a part: its offsets are those of the body */
    inner.text = "the text";
    inner.next_ask = NULL;
    inner.at = where + 1;
    inner.end = r->at - 1;
    const bool escaped = (size_t)(inner.end - inner.at) != length;
    if (escaped) {
        char *text = attn_arena_alloc(r->arena, length);
        if (text == NULL)
            return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
        json_go_back(r, where);
        if (json_read_string(r, text, length, &length) !=
            PROBLEM_NONE) /* the control has said stop meanwhile */
            return r->p->code;
        inner.start = inner.at = text;
        inner.end = text + length;
    }
    code = json_read_value(&inner, f, f->name, member);
    if (code == PROBLEM_NONE && json_skip_space(&inner)) {
        code = json_fail_expected(&inner, "the end of the text");
        problem_at(r->p, f->name);
    }
    if (code == PROBLEM_MALFORMED_JSON) {
        snprintf(whose, sizeof whose, "in the JSON text of %s in " METADATA, f->name);
        put_before(r->p, whose);
    }
    if (code != PROBLEM_NONE && escaped && r->p->has_offset)
        r->p->offset = (size_t)(where - r->start);
    return code;
}

static problem_code read_metadata_value(body_reader *b, const field *f, const char *path) {
    json_reader *const r = &b->r;
    const json_kind kind = json_peek(r);
    if (kind == JSON_NO_VALUE) {
        json_fail_expected(r, "a string");
        return header_failure(r->p);
    }
    if (kind != JSON_STRING)
        return fail_at(b, (size_t)(r->at - r->start), PROBLEM_MALFORMED_TENSOR, path,
                       "%s is %s, expected a string, as everything in " METADATA, path, json_describe(kind));
    if (f->offset == SIZE_MAX) { /* "format", which frameworks write */
        size_t length;
        return json_read_string(r, NULL, 0, &length) == PROBLEM_NONE ? PROBLEM_NONE : header_failure(r->p);
    }
    void *const member = (char *)b->request + f->offset;
    if (f->type != FIELD_STRING && f->type != FIELD_WORD)
        return read_json_text(b, f, member);
    const problem_code code = json_read_value(r, f, f->name, member);
    return code == PROBLEM_MALFORMED_JSON ? header_failure(r->p) : code;
}

/* The fields that stand in __metadata__, and its `format`. */
static size_t metadata_rows(field rows[FIELDS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < request_fields.count; i++)
        if (!field_is_tensor(&request_fields.fields[i]))
            rows[count++] = request_fields.fields[i];
    rows[count++] = (field){"format", FIELD_STRING, .offset = SIZE_MAX};
    return count;
}

/* json_next_member of the header, or of __metadata__ in it. */
static problem_code next_member(json_members *members, const field **f, char path[JSON_PATH_MAX]) {
    return json_next_member(members, f, path) == PROBLEM_NONE ? PROBLEM_NONE : header_failure(members->r->p);
}

static problem_code read_metadata(body_reader *b) {
    json_reader *const r = &b->r;
    field rows[FIELDS_MAX];
    const field_table table = {rows, metadata_rows(rows), METADATA, "field in " METADATA,
                               "the fields there are"};
    json_members members = {.r = r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code;
    if (!json_accept(r, '{')) {
        json_fail_expected(r, "an object of strings");
        problem_at(r->p, METADATA);
        return header_failure(r->p);
    }
    while ((code = next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL)
        PROBLEM_TRY(read_metadata_value(b, f, path));
    return code;
}

/* ---- The header ---- */

static problem_code read_entry(body_reader *b, const field *f) {
    json_reader *const r = &b->r;
    const field_table table = {entry_rows, sizeof entry_rows / sizeof entry_rows[0], f->name,
                               "member of a tensor", "they are"};
    entry *const e = &b->entries[b->count++];
    *e = (entry){.f = f};
    if (json_peek(r) != JSON_OBJECT) {
        json_fail_expected(r, "an object with dtype, shape and data_offsets");
        problem_at(r->p, f->name);
        return header_failure(r->p);
    }
    e->where = (size_t)(r->at - r->start);
    r->at++;
    if (json_read_members(r, &table, e) != PROBLEM_NONE)
        return header_failure(r->p);
    if (e->dtype == 0 || !e->shape.present || !e->range.present)
        return fail_at(b, e->where, PROBLEM_MALFORMED_TENSOR, f->name,
                       "%s has no %s, expected dtype, shape and data_offsets", f->name,
                       e->dtype == 0       ? "dtype"
                       : !e->shape.present ? "shape"
                                           : "data_offsets");
    return PROBLEM_NONE;
}

/* The names that may stand in the header: the tensors, and __metadata__ before them. */
static size_t header_rows(field rows[FIELDS_MAX]) {
    size_t count = 0;
    rows[count++] = (field){METADATA, FIELD_STRING, .offset = 0};
    for (size_t i = 0; i < request_fields.count; i++)
        if (field_is_tensor(&request_fields.fields[i]))
            rows[count++] = request_fields.fields[i];
    return count;
}

static problem_code read_header_members(body_reader *b) {
    field rows[FIELDS_MAX];
    const field_table table = {rows, header_rows(rows), "", "tensor", "the names are"};
    json_members members = {.r = &b->r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code;
    while ((code = next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL) {
        code = f == rows ? read_metadata(b)
                         : read_entry(b, field_find(&request_fields, f->name, strlen(f->name)));
        if (code != PROBLEM_NONE)
            return code;
    }
    return code;
}

/* Finds the header, and reads it. */
static problem_code read_header(body_reader *b) {
    uint64_t stated;
    if (b->length < LENGTH_BYTES + SMALLEST)
        return fail_at(b, b->length, PROBLEM_MALFORMED_TENSOR, "",
                       "the body has %zu bytes, expected safetensors, which are at least %zu", b->length,
                       LENGTH_BYTES + SMALLEST);
    memcpy(&stated, b->bytes, sizeof stated);
    stated = le64toh(stated);
    const size_t rest = b->length - LENGTH_BYTES;
    const size_t most = rest < SAFETENSORS_HEADER_MAX ? rest : SAFETENSORS_HEADER_MAX;
    if (stated < SMALLEST || stated > most)
        return fail_at(
            b, 0, PROBLEM_MALFORMED_TENSOR, "",
            "the safetensors header has %llu bytes by the first 8 of the body, expected %zu to %zu "
            "in a body of %zu",
            (unsigned long long)stated, SMALLEST, most, b->length);
    b->data = LENGTH_BYTES + (size_t)stated;
    b->r.at = b->bytes + LENGTH_BYTES;
    b->r.end = b->bytes + b->data;
    if (*b->r.at != '{') {
        json_fail_expected(&b->r, "the { that begins the header");
        return header_failure(b->r.p);
    }
    b->r.at++;
    const problem_code code = read_header_members(b);
    if (code == PROBLEM_NONE && json_skip_space(&b->r)) {
        json_fail_expected(&b->r, "the end of the header");
        return header_failure(b->r.p);
    }
    return code;
}

/* ---- The data ---- */

/* By where they begin; an empty one before one that begins there too. */
static void sort_entries(body_reader *b) {
    for (size_t i = 1; i < b->count; i++)
        for (size_t j = i; j > 0; j--) {
            const entry low = b->entries[j - 1], high = b->entries[j];
            if (low.range.items[0] < high.range.items[0] ||
                (low.range.items[0] == high.range.items[0] && low.range.items[1] <= high.range.items[1]))
                break;
            b->entries[j - 1] = high;
            b->entries[j] = low;
        }
}

/* Do the tensors cover the data, from the first to the last byte, each once? */
static problem_code check_cover(body_reader *b) {
    const size_t size = b->length - b->data;
    size_t covered = 0;
    char path[64];
    for (size_t i = 0; i < b->count; i++) {
        const entry *e = &b->entries[i];
        const size_t begin = e->range.items[0], end = e->range.items[1];
        snprintf(path, sizeof path, "%s.data_offsets", e->f->name);
        if (begin > end || end > size)
            return fail_at(
                b, e->where, PROBLEM_MALFORMED_TENSOR, path,
                "%s is [%zu,%zu], expected 0 <= begin <= end <= %zu, the bytes of data in the body", path,
                begin, end, size);
        if (begin != covered)
            return fail_at(b, e->where, PROBLEM_MALFORMED_TENSOR, path,
                           "%s begins at %zu, expected %zu: tensors may not overlap, nor leave holes", path,
                           begin, covered);
        covered = end;
    }
    if (covered != size)
        return fail_at(b, b->data + covered, PROBLEM_MALFORMED_TENSOR, "",
                       "the body has %zu byte%s after the last tensor, expected it to end there",
                       size - covered, size - covered == 1 ? "" : "s");
    return PROBLEM_NONE;
}

static problem_code read_data(body_reader *b, const entry *e) {
    request_tensor *const t = (request_tensor *)(void *)((char *)b->request + e->f->offset);
    const size_t at = b->data + e->range.items[0];
    problem *const p = b->r.p;
    const elements data = {
        .field = e->f,
        .type = (element_type)(e->dtype - 1),
        .names = element_names_safetensors,
        .bytes = b->bytes + at,
        .length = e->range.items[1] - e->range.items[0],
        .may_alias = true,
        .control = b->r.control,
    };
    size_t expected;
    problem_code code = elements_shape(e->f, data.type, e->shape.items, e->shape.count, t, &expected, p);
    if (code == PROBLEM_NONE)
        code = elements_read(&data, b->r.arena, t, p);
    if (code != PROBLEM_NONE && problem_http_status(code) == 400) {
        p->offset = p->has_offset ? at + p->offset : e->where;
        p->has_offset = true;
    }
    return code;
}

static problem_code read_body(body_reader *b) {
    PROBLEM_TRY(read_header(b));
    sort_entries(b);
    PROBLEM_TRY(check_cover(b));
    for (size_t i = 0; i < b->count; i++)
        PROBLEM_TRY(read_data(b, &b->entries[i]));
    return PROBLEM_NONE;
}

problem_code safetensors_read_request(const char *bytes, size_t length, attn_arena *arena,
                                      const attn_control *control, attend_request *request, problem *p) {
    body_reader b = {
        .r = {.start = bytes, .arena = arena, .p = p, .text = "the header", .control = control},
        .bytes = bytes,
        .length = length,
        .request = request,
    };
    return json_end(&b.r, read_body(&b));
}
