#include "server/wire/elements.h"

#include "core/model/files/dtype.h"
#include "core/size.h"
#include "core/watch.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used where they lie in a body, which is little-endian"
#endif

#define BLOCK ((size_t)4096) /* elements that are looked at before it is asked whether all were right */

element_names element_names_json = {"float64", "float32", "float16", "bfloat16", "bool", NULL};
element_names element_names_safetensors = {"F64", "F32", "F16", "BF16", "BOOL", NULL};
element_names element_names_oip = {"FP64", "FP32", "FP16", "BF16", "BOOL", NULL};

size_t element_size(element_type type) {
    static const size_t sizes[ELEMENT_TYPES] = {8, 4, 2, 2, 1};
    return sizes[type];
}

/* ---- Shapes ---- */

problem_code elements_shape(const field *f, element_type type, const size_t *shape, size_t rank,
                            request_tensor *t, size_t *length, problem *p) {
    size_t bytes = element_size(type);
    bool empty = false;
    if (rank < 1 || rank > REQUEST_MAX_RANK)
        return problem_set_at(p, PROBLEM_BAD_SHAPE, f->name, "%s has %zu dimensions, expected 1 to %d",
                              f->name, rank, REQUEST_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] > REQUEST_MAX_DIMENSION)
            return problem_set_at(p, PROBLEM_BAD_SHAPE, f->name,
                                  "%s has the shape %s, expected at most %zu in one dimension", f->name,
                                  shape_show(shape, rank).text, REQUEST_MAX_DIMENSION);
        empty |= shape[i] == 0;
        if (!attn_multiply(bytes, shape[i] == 0 ? 1 : shape[i], &bytes))
            return problem_set_at(p, PROBLEM_BAD_SHAPE, f->name,
                                  "%s has the shape %s, which no memory is large enough for", f->name,
                                  shape_show(shape, rank).text);
    }
    memcpy(t->shape, shape, rank * sizeof *shape);
    t->rank = rank;
    *length = empty ? 0 : bytes;
    return PROBLEM_NONE;
}

/* ---- What is wrong with an element ---- */

/* Writes the path of element `index`, like "query[0][3]". */
static void write_path(const field *f, const request_tensor *t, size_t index, char *path, size_t room) {
    size_t indices[REQUEST_MAX_RANK];
    for (size_t i = t->rank; i-- > 0; index /= t->shape[i])
        indices[i] = index % t->shape[i];
    shape_write_path(f->name, indices, t->rank, path, room);
}

/* Element `index`, which is known to be wrong. Its bytes say how: what became of it does not tell a number
 * beyond float32 from infinity. */
static problem_code fail_element(const elements *e, const request_tensor *t, size_t index, float value,
                                 problem *p) {
    char path[sizeof p->path];
    const size_t at = index * element_size(e->type);
    const uint8_t *const bytes = (const uint8_t *)e->bytes + at;
    double found = (double)value;
    if (e->type == ELEMENT_FLOAT64)
        memcpy(&found, bytes, sizeof found);
    write_path(e->field, t, index, path, sizeof path);
    if (e->type == ELEMENT_BOOL)
        problem_set_at(p, PROBLEM_MALFORMED_TENSOR, path,
                       "%s is the byte 0x%02x, expected 0 or 1 for a boolean", path, *bytes);
    else if (isfinite(found))
        problem_set_at(p, PROBLEM_BAD_VALUE, path,
                       "%s is beyond float32, expected a number of at most 3.4028235e38 in size", path);
    else
        problem_set_at(p, PROBLEM_BAD_VALUE, path, "%s must be finite%s, found %s", path,
                       e->field->type == FIELD_MASK ? " or minus infinity" : "",
                       isnan(found) ? "NaN"
                       : found > 0  ? "infinity"
                                    : "minus infinity");
    p->offset = at;
    p->has_offset = true;
    return p->code;
}

/* ---- Numbers ---- */

/* Everything from these bits on, without the sign, is infinity or NaN (IEEE 754-2019, section 3.4). */
#define NOT_FINITE     0x7f800000U
#define MINUS_INFINITY 0xff800000U

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Is any of these not finite? Minus infinity passes where it is `allowed`. Without a branch: the compiler
 * makes vector code of it. */
static bool any_wrong(const float *values, size_t count, bool allowed) {
    const uint32_t pass = allowed ? MINUS_INFINITY : 0; /* zero is finite, and passes anyway */
    uint32_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(values[i]);
        wrong |= (uint32_t)((bits & 0x7fffffff) >= NOT_FINITE) & (uint32_t)(bits != pass);
    }
    return wrong != 0;
}

/* Is element `index` wrong, which became `value`? A finite number of a wider type that became minus infinity
 * is, also in a mask. */
static bool is_wrong(const elements *e, size_t index, float value, bool allowed) {
    double found = (double)value;
    if (isfinite(value))
        return false;
    if (e->type == ELEMENT_FLOAT64)
        memcpy(&found, (const uint8_t *)e->bytes + index * sizeof found, sizeof found);
    return !(allowed && found == -INFINITY);
}

/* Checks `count` elements from number `first` on, which became `values`. */
static problem_code check(const elements *e, const request_tensor *t, size_t first, size_t count,
                          const float *values, problem *p) {
    const bool mask = e->field->type == FIELD_MASK;
    /* Beyond float32 and minus infinity look the same once they are converted. */
    if (!any_wrong(values, count, mask && e->type != ELEMENT_FLOAT64))
        return PROBLEM_NONE;
    for (size_t i = 0; i < count; i++)
        if (is_wrong(e, first + i, values[i], mask))
            return fail_element(e, t, first + i, values[i], p);
    return PROBLEM_NONE;
}

bool elements_zero_or_one(const float *values, size_t count, const attn_control *control) {
    bool any_one = false;
    for (size_t first = 0, some; first < count; first += some) {
        some = attn_watch_some(count - first, 1);
        for (size_t i = first; i < first + some; i++) {
            if (values[i] != 0 && values[i] != 1)
                return false;
            any_one |= values[i] == 1;
        }
        if (attn_control_stops(control))
            return false;
    }
    return any_one;
}

/* The names that model files have for the types, which are converted the same way. */
static const attn_dtype *number_type(element_type type) {
    return attn_dtype_find(element_names_safetensors[type]);
}

static problem_code read_numbers(const elements *e, size_t count, request_tensor *t, float *converted,
                                 problem *p) {
    const attn_dtype *const type = number_type(e->type);
    const size_t size = element_size(e->type);
    attn_watch watch = {.control = e->control};
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t some = count - first < BLOCK ? count - first : BLOCK;
        if (attn_watch_stops(&watch, some))
            return problem_from_core(p, ATTN_CANCELLED, NULL);
        if (converted != NULL)
            type->to_float((const uint8_t *)e->bytes + first * size, some, converted + first);
        PROBLEM_TRY(check(e, t, first, some, t->data + first, p));
    }
    t->is_zero_one = e->field->type == FIELD_MASK && elements_zero_or_one(t->data, count, e->control);
    return PROBLEM_NONE;
}

/* ---- Booleans ---- */

static problem_code read_booleans(const elements *e, size_t count, request_tensor *t, float *converted,
                                  problem *p) {
    const uint8_t *const bytes = e->bytes;
    attn_watch watch = {.control = e->control};
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t end = count - first < BLOCK ? count : first + BLOCK;
        unsigned all = 0;
        if (attn_watch_stops(&watch, end - first))
            return problem_from_core(p, ATTN_CANCELLED, NULL);
        for (size_t i = first; i < end; i++) {
            converted[i] = bytes[i] != 0 ? -INFINITY : 0;
            all |= bytes[i];
        }
        for (size_t i = first; all > 1 && i < end; i++)
            if (bytes[i] > 1)
                return fail_element(e, t, i, 0, p);
    }
    t->boolean = true;
    return PROBLEM_NONE;
}

/* ---- All of it ---- */

static problem_code fail_length(const elements *e, const request_tensor *t, size_t expected, problem *p) {
    return problem_set_at(p, PROBLEM_MALFORMED_TENSOR, e->field->name,
                          "%s has %zu bytes of data, but the shape %s of %s takes %zu", e->field->name,
                          e->length, shape_show(t->shape, t->rank).text, e->names[e->type], expected);
}

static bool is_aligned(const void *bytes) {
    return (uintptr_t)bytes % _Alignof(float) == 0;
}

problem_code elements_read(const elements *e, attn_arena *arena, request_tensor *t, problem *p) {
    const field *const f = e->field;
    const size_t count = shape_count(t->shape, t->rank); /* elements_shape has seen to it that it fits */
    if (count * element_size(e->type) != e->length)
        return fail_length(e, t, count * element_size(e->type), p);
    if (e->type == ELEMENT_BOOL && f->type != FIELD_MASK)
        return problem_set_at(p, PROBLEM_MALFORMED_TENSOR, f->name,
                              "%s is of the type %s, expected numbers: %s, %s, %s or %s", f->name,
                              e->names[ELEMENT_BOOL], e->names[0], e->names[1], e->names[2], e->names[3]);
    float *converted = NULL;
    if (e->may_alias && e->type == ELEMENT_FLOAT32 && e->bytes != NULL && is_aligned(e->bytes)) {
        t->data = (float *)(uintptr_t)e->bytes; /* a request has no const data; nobody writes to them */
    } else {
        converted = t->data = attn_arena_array(arena, count, sizeof(float));
        if (converted == NULL)
            return problem_from_core(p, attn_arena_failure(arena), NULL);
    }
    const problem_code code = e->type == ELEMENT_BOOL ? read_booleans(e, count, t, converted, p)
                                                      : read_numbers(e, count, t, converted, p);
    t->present = code == PROBLEM_NONE;
    return code;
}
