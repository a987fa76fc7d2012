/* tensor.c: nested arrays of numbers or booleans, read straight into float32; objects with base64 are
 * passed on to base64.c. */
#include "core/size.h"
#include "server/wire/elements.h"
#include "server/wire/json/number.h"
#include "server/wire/json/reading.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MANY    ((size_t)4096) /* numbers that are read before the control is asked again, at most */
#define DEEPEST 8 /* arrays in arrays; a request that fits has fewer, deeper ones are not even looked at */

/* "Level" is how many arrays an array is inside of: 0 is the tensor itself, rank-1 are the rows of elements.
 */
typedef struct {
    json_reader *r;
    const char *name;
    bool is_mask;
    request_tensor *t;
    size_t index[REQUEST_MAX_RANK]; /* of the element that is being read, one for each level */
    bool known[REQUEST_MAX_RANK];   /* is t->shape known at this level? The first array there decides */
    size_t count, capacity;         /* elements of t->data */
    const char *begin;              /* of the text */
} tensor_reader;

/* Fails at the byte `where`; the sentence begins with the path, which has `levels` indices. */
static problem_code __attribute__((format(printf, 5, 6)))
fail(const tensor_reader *tr, size_t levels, const char *where, problem_code code, const char *format, ...) {
    problem *const p = tr->r->p;
    char path[sizeof p->path], text[sizeof p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    shape_write_path(tr->name, tr->index, levels, path, sizeof path);
    json_fail(tr->r, where, code, "%s %s", path, text);
    memcpy(p->path, path, sizeof path);
    return code;
}

/* malformed_json: something else was `expected` here, at the path with `levels` indices. */
static problem_code fail_expected(const tensor_reader *tr, size_t levels, const char *expected) {
    problem *const p = tr->r->p;
    json_fail_expected(tr->r, expected);
    shape_write_path(tr->name, tr->index, levels, p->path, sizeof p->path);
    return p->code;
}

/* The path of the first array or element with `levels` indices, to which all others are compared. */
static const char *first_path(const tensor_reader *tr, size_t levels, char path[128]) {
    static const size_t zeros[REQUEST_MAX_RANK];
    shape_write_path(tr->name, zeros, levels, path, 128);
    return path;
}

/* What the arrays of a level hold. */
static const char *noun(const tensor_reader *tr, size_t level) {
    return level + 1 < tr->t->rank ? "array" : tr->t->boolean ? "boolean" : "number";
}

/* An array of this level has one element more, here, than the first of its level. */
static problem_code fail_surplus(tensor_reader *tr, size_t level) {
    char first[128];
    const size_t expected = tr->t->shape[level];
    if (json_peek(tr->r) == JSON_NO_VALUE)
        return fail_expected(tr, level, "a value");
    return fail(tr, level, tr->r->at, PROBLEM_MALFORMED_TENSOR,
                "has more than %zu %s%s, expected %zu as in %s", expected,
                expected == 0 ? "element" : noun(tr, level), /* the first was empty: of what, nobody knows */
                expected == 1 ? "" : "s", expected, first_path(tr, level, first));
}

/* The array of this level that ends right before the reader has `length` elements. */
static problem_code close_array(tensor_reader *tr, size_t level, size_t length) {
    char first[128];
    size_t *const expected = &tr->t->shape[level];
    const char *plural = length == 1 ? "" : "s";
    if (tr->known[level] && length != *expected)
        return fail(tr, level, tr->r->at - 1, PROBLEM_MALFORMED_TENSOR, "has %zu %s%s, expected %zu as in %s",
                    length, noun(tr, level), plural, *expected, first_path(tr, level, first));
    if (length > REQUEST_MAX_DIMENSION)
        return fail(tr, level, tr->r->at - 1, PROBLEM_BAD_SHAPE,
                    "has %zu %s%s, expected at most %zu in one dimension", length, noun(tr, level), plural,
                    REQUEST_MAX_DIMENSION);
    *expected = length;
    tr->known[level] = true;
    return PROBLEM_NONE;
}

/* ---- Elements ---- */

/* For how many elements there should be room: twice as many as now, but for no more than the rest of the text
 * can hold if it goes on as it began, though a quarter more at least; and never for more than it can hold at
 * all: each takes a byte, and a comma or bracket after it. False on overflow. */
static bool choose_capacity(const tensor_reader *tr, size_t *wanted) {
    const size_t rest = (size_t)(tr->r->end - tr->r->at), read = (size_t)(tr->r->at - tr->begin);
    const size_t bound = tr->count + rest / 2 + 1;
    size_t likely = bound;
    if (!attn_multiply(tr->capacity, 2, wanted))
        return false;
    if (tr->count > 0 && read > tr->count)
        likely = tr->count + tr->count / 4 + rest / (read / tr->count);
    *wanted = *wanted < likely ? *wanted : likely;
    *wanted = *wanted < bound ? *wanted : bound;
    return true;
}

/* Makes room for at least one more element. */
static bool grow(tensor_reader *tr) {
    size_t wanted, bytes;
    if (!choose_capacity(tr, &wanted))
        return false;
    if (wanted < 256)
        wanted = 256;
    if (!attn_multiply(wanted, sizeof(float), &bytes))
        return false;
    float *moved = attn_arena_resize(tr->r->arena, tr->t->data, bytes);
    if (moved == NULL)
        return false;
    tr->t->data = moved;
    tr->capacity = wanted;
    return true;
}

static problem_code fail_mixed(const tensor_reader *tr, const char *where) {
    char first[128];
    return fail(tr, tr->t->rank, where, PROBLEM_MALFORMED_TENSOR,
                "is a %s where %s is a %s, expected all numbers or all booleans",
                tr->t->boolean ? "number" : "boolean", first_path(tr, tr->t->rank, first),
                tr->t->boolean ? "boolean" : "number");
}

/* A word for a number that is not finite, as it was found: NaN, or "inf" with its quotation marks. */
static problem_code fail_not_finite(const tensor_reader *tr, const char *where, const char *quote,
                                    const char *word) {
    return fail(tr, tr->t->rank, where, PROBLEM_BAD_VALUE, "must be finite%s, found %s%s%s",
                tr->is_mask ? ", -Infinity or \"-inf\"" : "", quote, word, quote);
}

/* A word for minus infinity, from `where` on, which has been read. */
static problem_code take_minus_infinity(const tensor_reader *tr, const char *where, float *value) {
    *value = -INFINITY;
    return tr->t->boolean ? fail_mixed(tr, where) : PROBLEM_NONE;
}

/* A string where an element belongs: "-inf" in a mask is one. */
static problem_code read_string_element(tensor_reader *tr, float *value) {
    static const char *const words[] = {"-inf", "inf", "+inf", "nan", "NaN", "Infinity", "-Infinity"};
    const char *const where = tr->r->at;
    char word[16];
    size_t length;
    if (json_read_string(tr->r, word, sizeof word - 1, &length) != PROBLEM_NONE) {
        shape_write_path(tr->name, tr->index, tr->t->rank, tr->r->p->path, sizeof tr->r->p->path);
        return tr->r->p->code;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i]) != length || memcmp(words[i], word, length) != 0)
            continue;
        if (i != 0 || !tr->is_mask)
            return fail_not_finite(tr, where, "\"", words[i]);
        return take_minus_infinity(tr, where, value);
    }
    return fail(tr, tr->t->rank, where, PROBLEM_MALFORMED_TENSOR, "is a string, expected a number");
}

/* A number that did not go the quick way: it is not one after all, too large, or among booleans. */
static problem_code fail_number(const tensor_reader *tr) {
    float value;
    const char *const where = tr->r->at, *next;
    const json_number_status status = json_read_number(where, json_number_end(tr->r), &value, &next);
    if ((size_t)(next - where) == JSON_NUMBER_LONGEST)
        return fail(tr, tr->t->rank, where, PROBLEM_BAD_VALUE, JSON_NUMBER_TOO_LONG);
    switch (status) {
    case JSON_NUMBER_NOT_A_NUMBER:
        tr->r->at = next;
        return fail_expected(tr, tr->t->rank, "a digit of a number");
    case JSON_NUMBER_TOO_LARGE:
        return fail(tr, tr->t->rank, where, PROBLEM_BAD_VALUE,
                    "is beyond float32, expected a number of at most 3.4028235e38 in size");
    case JSON_NUMBER_OK:
        break;
    }
    return fail_mixed(tr, where);
}

/* Reads an element that is not a number as JSON writes it, or is not allowed to be one. */
static problem_code read_other_element(tensor_reader *tr, float *value) {
    json_reader *const r = tr->r;
    const json_kind kind = json_peek(r);
    const char *const where = r->at;
    switch (kind) {
    case JSON_NO_VALUE:
        return fail_expected(tr, tr->t->rank, "a number");
    case JSON_NUMBER:
        return fail_number(tr);
    case JSON_STRING:
        return read_string_element(tr, value);
    case JSON_TRUE:
    case JSON_FALSE:
        if (!tr->is_mask)
            break;
        if (tr->count == 0)
            tr->t->boolean = true;
        if (!tr->t->boolean)
            return fail_mixed(tr, r->at);
        json_skip_literal(r, kind);
        *value = kind == JSON_TRUE ? -INFINITY : 0;
        return PROBLEM_NONE;
    case JSON_NAN:
    case JSON_INFINITY:
        return fail_not_finite(tr, r->at, "", json_describe(kind));
    case JSON_MINUS_INFINITY:
        if (!tr->is_mask)
            return fail_not_finite(tr, r->at, "", json_describe(kind));
        json_skip_literal(r, kind);
        return take_minus_infinity(tr, where, value);
    case JSON_NULL: /* so do orjson, browsers and our answers write it */
        if (!tr->is_mask)
            break;
        json_skip_literal(r, kind);
        return take_minus_infinity(tr, where, value);
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return fail(tr, tr->t->rank, r->at, PROBLEM_MALFORMED_TENSOR, "is %s, expected a number%s",
                json_describe(kind), tr->is_mask ? " or a boolean" : "");
}

/* Reads numbers, at most as many as are wanted and there is room for, as long as they are of the most common
 * kinds; returns how many. */
static size_t read_many(tensor_reader *tr, size_t wanted) {
    const size_t room = tr->capacity - tr->count, most = room < MANY ? room : MANY;
    if (tr->t->boolean)
        return 0;
    const size_t many =
        json_read_numbers(&tr->r->at, tr->r->end, tr->t->data + tr->count, wanted < most ? wanted : most);
    tr->count += many;
    return many;
}

/* Reads the rest of a row, from after its '[' to after its ']'. */
static problem_code read_row(tensor_reader *tr) {
    json_reader *const r = tr->r;
    request_tensor *const t = tr->t;
    const size_t level = t->rank - 1;
    const size_t most = tr->known[level] ? t->shape[level] : SIZE_MAX;
    size_t length = 0;
    problem_code code;
    if (json_accept(r, ']'))
        return close_array(tr, level, 0);
    do {
        float value;
        const char *next;
        if (length == most)
            return fail_surplus(tr, level);
        if (tr->count == tr->capacity && !grow(tr))
            return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
        const bool maybe_number =
            json_skip_space(r) && *r->at <= '9'; /* what masks may have instead is not */
        const size_t many = maybe_number ? read_many(tr, most - length) : 0;
        length += many;
        if (many > 0)
            continue;
        tr->index[level] = length++;
        if (maybe_number && json_read_number(r->at, json_number_end(r), &value, &next) == JSON_NUMBER_OK &&
            !t->boolean && (size_t)(next - r->at) < JSON_NUMBER_LONGEST)
            r->at = next;
        else if ((code = read_other_element(tr, &value)) != PROBLEM_NONE)
            return code;
        t->data[tr->count++] = value;
    } while (json_accept(r, ','));
    if (!json_accept(r, ']'))
        return fail_expected(tr, level, "a comma or ]");
    return close_array(tr, level, length);
}

/* ---- Arrays of arrays ---- */

/* Takes the '[' of the first array of each level; how many there are is the tensor's rank. */
static problem_code open_first_row(tensor_reader *tr) {
    const char *too_many = NULL;
    size_t rank = 0;
    for (; rank <= DEEPEST && json_accept(tr->r, '['); rank++)
        if (rank == REQUEST_MAX_RANK)
            too_many = tr->r->at - 1;
    if (rank > DEEPEST)
        return fail(tr, 0, tr->r->at - 1, PROBLEM_MALFORMED_JSON,
                    "has more than %d arrays inside each other, deeper than any request", DEEPEST);
    if (rank > REQUEST_MAX_RANK)
        return fail(tr, 0, too_many, PROBLEM_BAD_SHAPE, "has %zu dimensions, expected at most %d", rank,
                    REQUEST_MAX_RANK);
    tr->t->rank = rank;
    return PROBLEM_NONE;
}

/* Takes the '[' of a further array of this level, and of the first in it of each level below. */
static problem_code open_row(tensor_reader *tr, size_t level) {
    char first[128];
    json_reader *const r = tr->r;
    for (size_t at = level; at < tr->t->rank; at++) {
        if (at > level && json_accept(r, ']'))
            return close_array(tr, at - 1, 0);
        if (!json_accept(r, '[')) {
            const json_kind kind = json_peek(r);
            if (kind == JSON_NO_VALUE)
                return fail_expected(tr, at, "an array");
            return fail(tr, at, r->at, PROBLEM_MALFORMED_TENSOR, "is %s, expected an array as %s is",
                        json_describe(kind), first_path(tr, at, first));
        }
        tr->index[at] = 0;
    }
    return PROBLEM_NONE;
}

/* Goes on from after the ']' of one row to after the '[' of the next; *done if there is none. */
static problem_code next_row(tensor_reader *tr, bool *done) {
    size_t level = tr->t->rank - 1;
    while (level > 0) {
        const size_t parent = level - 1;
        if (json_accept(tr->r, ',')) {
            if (++tr->index[parent] == tr->t->shape[parent] && tr->known[parent])
                return fail_surplus(tr, parent);
            return open_row(tr, level);
        }
        if (!json_accept(tr->r, ']'))
            return fail_expected(tr, parent, "a comma or ]");
        PROBLEM_TRY(close_array(tr, parent, tr->index[parent] + 1));
        level = parent;
    }
    *done = true;
    return PROBLEM_NONE;
}

problem_code json_read_tensor(json_reader *r, const field *f, request_tensor *t) {
    tensor_reader tr = {.r = r, .name = f->name, .is_mask = f->type == FIELD_MASK, .t = t, .begin = r->at};
    problem_code code;
    bool done = false;
    const json_kind kind = json_peek(r);
    if (kind == JSON_NO_VALUE)
        return fail_expected(&tr, 0, "a value");
    if (kind == JSON_OBJECT)
        return json_read_base64(r, f, t);
    if (kind != JSON_ARRAY)
        return fail(&tr, 0, r->at, PROBLEM_MALFORMED_TENSOR, "is %s, expected a nested array of numbers%s",
                    json_describe(kind), tr.is_mask ? " or booleans" : "");
    PROBLEM_TRY(open_first_row(&tr));
    while (!done)
        if ((code = read_row(&tr)) != PROBLEM_NONE || (code = next_row(&tr, &done)) != PROBLEM_NONE)
            return code;
    if (t->data == NULL && (t->data = attn_arena_alloc(r->arena, 0)) == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    t->present = true;
    t->open = t->shape[t->rank - 1] == 0;
    t->is_zero_one =
        tr.is_mask && elements_zero_or_one(t->data, tr.count, r->control); /* never of booleans */
    return PROBLEM_NONE;
}
