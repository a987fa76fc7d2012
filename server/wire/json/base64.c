/* base64.c: a tensor as {"shape":[2,10,512],"dtype":"float32","data":"<base64, little-endian>"}. */
#include "server/wire/base64/base64.h"
#include "core/size.h"
#include "server/wire/elements.h"
#include "server/wire/json/reading.h"
#include "server/wire/json/writing.h"

#include <stdio.h>
#include <string.h>

/* The text of a JSON string with base64 in it. */
typedef struct {
    const char *raw;  /* its first byte in the request, after the quotation mark; NULL: there is none */
    const char *text; /* the same, or without its escapes in the arena */
    size_t length;    /* of `text` */
} base64_text;

typedef struct {
    request_wholes shape;
    size_t dtype; /* 1 + an element_type */
    base64_text data;
} description;

#define CHARACTERS ((size_t)1 << 20)  /* decoded before the control is asked again: a multiple of 4 */
#define BYTES      ((size_t)3 << 18)  /* encoded likewise: a multiple of 3 */
#define BOOLEANS   ((size_t)3 * 4096) /* made of numbers at once */

static const field rows[] = {
    {"shape", FIELD_WHOLES, offsetof(description, shape), .most = FIELD_LARGEST,
     .most_items = FIELD_SHAPE_ITEMS, .text = "1 to 4 dimensions"},
    {"dtype", FIELD_WORD, offsetof(description, dtype), .words = element_names_json,
     .text = "type of the elements"},
    {"data", FIELD_STRING, offsetof(description, data), .text = "base64 of the elements, little-endian"},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* What is read: one object, of the field `f`. */
typedef struct {
    json_reader *r;
    const field *f;
    const char *where; /* its '{' */
    description tensor;
} object_reader;

/* ---- The string ---- */

/* Copies a string up to `end` with no escape but \/, which some encoders write for each slash. False if there
 * is another, or the control says stop. */
static bool unescape_slashes(json_reader *r, const char *end, char *to, size_t *length) {
    const char *const start = to;
    while (r->at < end) {
        const char *escape = memchr(r->at, '\\', (size_t)(end - r->at));
        const size_t run = (size_t)((escape == NULL ? end : escape) - r->at);
        memcpy(to, r->at, run);
        to += run;
        r->at += run;
        if (escape == NULL)
            break;
        if (json_stopped(r) || end - r->at < 2 || r->at[1] != '/')
            return false;
        *to++ = '/';
        r->at += 2;
    }
    *length = (size_t)(to - start);
    return true;
}

/* Reads a string with escapes. `end` is where its first quotation mark is, or one that is escaped. */
static problem_code read_escaped(json_reader *r, const char *end, base64_text *data) {
    const char *const begin = r->at;
    char *text = attn_arena_alloc(r->arena, (size_t)(end - begin));
    if (text == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    data->text = text;
    r->at++;
    if (unescape_slashes(r, end, text, &data->length)) {
        r->at = end + 1;
        return PROBLEM_NONE;
    }
    json_go_back(r, begin);
    attn_arena_release(r->arena, text);
    PROBLEM_TRY(json_read_string(r, NULL, 0, &data->length));
    if ((data->text = text = attn_arena_alloc(r->arena, data->length)) == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    json_go_back(r, begin);
    return json_read_string(r, text, data->length, &data->length);
}

/* Finds the end of the string that begins here. Its characters are left for the decoder, which passes over
 * them anyway and allows far fewer than JSON does. */
static problem_code read_data(json_reader *r, const char *path, base64_text *data) {
    size_t length;
    const json_kind kind = json_peek(r);
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, "a string");
    if (kind != JSON_STRING)
        return json_fail(r, r->at, PROBLEM_MALFORMED_TENSOR, "%s is %s, expected a string with base64", path,
                         json_describe(kind));
    const char *const begin = r->at + 1;
    const char *const end = memchr(begin, '"', (size_t)(r->end - begin));
    if (end == NULL)
        return json_read_string(r, NULL, 0, &length); /* which says what is wrong with it */
    data->raw = begin;
    if (memchr(begin, '\\', (size_t)(end - begin)) != NULL)
        return read_escaped(r, end, data);
    data->text = begin;
    data->length = (size_t)(end - begin);
    r->at = end + 1;
    return PROBLEM_NONE;
}

/* Where in the request character `index` of the base64 stands. What comes before it is base64, so that each
 * escape stands for one byte. Meaningless if the control says stop. */
static const char *raw_position(const json_reader *r, const base64_text *data, size_t index) {
    attn_watch watch = {.control = r->control};
    const char *at = data->raw;
    if (data->text == data->raw)
        return at + index;
    for (; index > 0 && !attn_watch_stops(&watch, 1); index--)
        at += *at != '\\' ? 1 : at[1] == 'u' ? 6 : 2;
    return at;
}

/* ---- Failures ---- */

static void path_of(const object_reader *o, const char *member, char path[64]) {
    snprintf(path, 64, "%s%s%s", o->f->name, member[0] == '\0' ? "" : ".", member);
}

/* A failure without a path or an offset gets those of the member. */
static problem_code blame(const object_reader *o, const char *member, const char *where) {
    problem *const p = o->r->p;
    char path[64];
    if (problem_http_status(p->code) != 400)
        return p->code; /* memory ran out, which is nobody's fault */
    if (p->code == PROBLEM_BAD_VALUE && member[0] != '\0')
        p->code = PROBLEM_MALFORMED_TENSOR; /* no value of the request, but of what describes one */
    path_of(o, member, path);
    if (p->path[0] == '\0')
        problem_at(p, path);
    if (!p->has_offset)
        p->offset = (size_t)(where - o->r->start);
    p->has_offset = true;
    return p->code;
}

/* The character at `index` of the base64 is wrong, or the number of characters. */
static problem_code fail_base64(object_reader *o, base64_status status, size_t index) {
    json_reader *const r = o->r;
    const base64_text *const data = &o->tensor.data;
    const char *const where = raw_position(r, data, index);
    char path[64], quoted[JSON_QUOTED_MAX];
    size_t length;
    path_of(o, "data", path);
    json_go_back(r, data->raw - 1);
    if (json_read_string(r, NULL, 0, &length) != PROBLEM_NONE) /* it is not even JSON */
        return blame(o, "data", where);
    switch (status) {
    case BASE64_OK:
    case BASE64_BAD_CHARACTER:
        json_quote(data->text + index, 1, quoted);
        json_fail(r, where, PROBLEM_MALFORMED_TENSOR, "%s holds '%s', which is no character of base64%s",
                  path, quoted,
                  quoted[0] == '-' || quoted[0] == '_' ? " (for URLs it is, but not here)" : "");
        break;
    case BASE64_BAD_PADDING:
        json_fail(r, where, PROBLEM_MALFORMED_TENSOR,
                  "%s holds '=' where a character of base64 was expected: at most two may end it", path);
        break;
    case BASE64_BAD_BITS:
        json_fail(r, where, PROBLEM_MALFORMED_TENSOR,
                  "%s ends with '%c' before its padding, whose unused bits are not zero", path,
                  data->text[index]);
        break;
    case BASE64_BAD_LENGTH:
        json_fail(r, where, PROBLEM_MALFORMED_TENSOR,
                  "%s has %zu characters of base64, expected a multiple of 4, padded with '='", path,
                  data->length);
        break;
    }
    return blame(o, "data", where);
}

/* ---- The object ---- */

static problem_code read_members(object_reader *o) {
    const field_table table = {rows, ROWS, o->f->name, "member of a tensor", "they are"};
    json_members members = {.r = o->r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code;
    o->r->at++;
    while ((code = json_next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL) {
        code = f->type == FIELD_STRING ? read_data(o->r, path, &o->tensor.data)
                                       : json_read_option(o->r, f, path, (char *)&o->tensor + f->offset);
        if (code != PROBLEM_NONE)
            return blame(o, f->name, o->r->at);
    }
    return code;
}

static problem_code check_members(const object_reader *o) {
    const description *const d = &o->tensor;
    const char *const missing = !d->shape.present     ? "shape"
                                : d->dtype == 0       ? "dtype"
                                : d->data.raw == NULL ? "data"
                                                      : NULL;
    if (missing == NULL)
        return PROBLEM_NONE;
    json_fail(o->r, o->where, PROBLEM_MISSING_FIELD,
              "%s.%s is missing: a tensor is a nested array, or an object with shape, dtype and data",
              o->f->name, missing);
    return blame(o, missing, o->where);
}

/* base64_decode in pieces, after each of which the control is asked; if that says stop, it ends early. The
 * pieces before the last must not end in padding, as the whole could: one that does is decoded with all that
 * follows, and fails there. */
static base64_status decode_text(const json_reader *r, const base64_text *data, char *bytes, size_t *bad) {
    size_t done = 0;
    for (;;) {
        const size_t left = data->length - done;
        const bool whole = left <= CHARACTERS || data->text[done + CHARACTERS - 1] == '=';
        const size_t some = whole ? left : CHARACTERS;
        const base64_status status = base64_decode(data->text + done, some, bytes + done / 4 * 3, bad);
        *bad += done;
        done += some;
        if (status != BASE64_OK || whole || attn_control_stops(r->control))
            return status;
    }
}

/* Decodes the data and gives them to *t, whose shape they must fill. */
static problem_code decode(object_reader *o, request_tensor *t) {
    json_reader *const r = o->r;
    const description *const d = &o->tensor;
    const base64_text *const data = &d->data;
    elements e = {.field = o->f, .type = (element_type)(d->dtype - 1), .names = element_names_json};
    size_t expected, bad;
    problem_code code = elements_shape(o->f, e.type, d->shape.items, d->shape.count, t, &expected, r->p);
    if (code != PROBLEM_NONE)
        return blame(o, "", o->where);
    e.length = base64_decoded_length(data->text, data->length);
    void *bytes = attn_arena_alloc(r->arena, e.length);
    if (bytes == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    const base64_status status = decode_text(r, data, bytes, &bad);
    if (status != BASE64_OK)
        return fail_base64(o, status, bad);
    if (attn_control_stops(r->control))
        return problem_from_core(r->p, ATTN_CANCELLED, NULL);
    e.bytes = bytes;
    e.may_alias = true;
    e.control = r->control;
    code = elements_read(&e, r->arena, t, r->p);
    if (code != PROBLEM_NONE) {
        const size_t at =
            r->p->has_offset ? r->p->offset : 0; /* a byte begins in the character of its rank */
        r->p->has_offset = false;
        return blame(o, "", raw_position(r, data, at / 3 * 4 + at % 3));
    }
    if ((void *)t->data != bytes)
        attn_arena_release(r->arena, bytes);
    return code;
}

problem_code json_read_base64(json_reader *r, const field *f, request_tensor *t) {
    object_reader o = {.r = r, .f = f, .where = r->at};
    PROBLEM_TRY(read_members(&o));
    PROBLEM_TRY(check_members(&o));
    const char *const after = r->at;
    PROBLEM_TRY(decode(&o, t));
    if (o.tensor.data.text != o.tensor.data.raw)
        attn_arena_release(r->arena, (char *)(uintptr_t)o.tensor.data.text);
    r->at = after;
    return PROBLEM_NONE;
}

/* ---- Writing ---- */

/* Appends {"shape":...,"dtype":"...","data":" with room for what follows, if that can be known beforehand. */
static bool open_object(wire_buffer *out, const size_t *shape, size_t rank, const char *dtype, size_t bytes) {
    char head[SHAPE_MAX_RANK * 22 + 64];
    size_t text, room;
    if (!base64_encoded_length(bytes, &text) || !attn_add(text, sizeof head, &room) ||
        !wire_buffer_reserve(out, room))
        return false;
    const int length = snprintf(head, sizeof head, "{\"shape\":%s,\"dtype\":\"%s\",\"data\":\"",
                                shape_show(shape, rank).text, dtype);
    return wire_buffer_append(out, head, (size_t)length);
}

/* Appends the base64 of at most BYTES; only the last piece of a tensor has not a multiple of three. */
static bool append_piece(wire_buffer *out, const void *bytes, size_t count) {
    size_t text;
    if (!base64_encoded_length(count, &text) || !wire_buffer_reserve(out, text))
        return false;
    base64_encode(bytes, count, out->bytes + out->length);
    out->length += text;
    return true;
}

/* Of elements of four bytes. */
static bool write_object(wire_buffer *out, const size_t *shape, size_t rank, const char *dtype,
                         const void *data) {
    const size_t bytes = shape_count(shape, rank) * sizeof(float);
    if (!open_object(out, shape, rank, dtype, bytes))
        return false;
    for (size_t done = 0, some; done < bytes; done += some) {
        some = bytes - done < BYTES ? bytes - done : BYTES;
        if (!append_piece(out, (const char *)data + done, some))
            return false;
    }
    return wire_buffer_append(out, "\"}", 2);
}

bool json_write_base64(wire_buffer *out, const attend_array *array) {
    return write_object(out, array->shape, array->rank, array->is_int32 ? "int32" : "float32", array->data);
}

/* Booleans were decoded to 0 and minus infinity. */
static bool write_booleans(wire_buffer *out, const request_tensor *t) {
    bool bytes[BOOLEANS];
    const size_t count = shape_count(t->shape, t->rank);
    if (!open_object(out, t->shape, t->rank, "bool", count))
        return false;
    for (size_t done = 0, some; done < count; done += some) {
        some = count - done < BOOLEANS ? count - done : BOOLEANS;
        for (size_t i = 0; i < some; i++)
            bytes[i] = t->data[done + i] != 0;
        if (!append_piece(out, bytes, some))
            return false;
    }
    return wire_buffer_append(out, "\"}", 2);
}

bool json_write_base64_request(wire_buffer *out, const request_tensor *t) {
    return t->boolean ? write_booleans(out, t) : write_object(out, t->shape, t->rank, "float32", t->data);
}
