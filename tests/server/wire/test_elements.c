/* Elements of tensors: every number of 16 bits by its definition; types, alignments and shapes; what is
 * wrong, where. The bytes end where the tensor does. */
#include "server/wire/elements.h"

#include "tests/arena.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static problem trouble;
static const field query = {"query", FIELD_TENSOR, .offset = 0};
static const field mask = {"attn_mask", FIELD_MASK, .offset = 0};

TestSuite(elements, .init = set_up, .fini = tear_down);

/* Reads elements of this shape; a dimension of SIZE_MAX ends it. */
static problem_code read_shape(const field *f, element_type type, const size_t *shape, const void *bytes,
                               size_t length, bool may_alias, request_tensor *t) {
    size_t rank = 0, expected;
    memset(&trouble, 0, sizeof trouble);
    memset(t, 0, sizeof *t);
    while (shape[rank] != SIZE_MAX)
        rank++;
    problem_code code = elements_shape(f, type, shape, rank, t, &expected, &trouble);
    const elements e = {f, type, element_names_json, bytes, length, may_alias, NULL};
    if (code == PROBLEM_NONE)
        code = elements_read(&e, arena, t, &trouble);
    cr_assert_eq(code, trouble.code);
    return code;
}

static problem_code read_list(const field *f, element_type type, const void *bytes, size_t count,
                              request_tensor *t) {
    return read_shape(f, type, (const size_t[]){count, SIZE_MAX}, bytes, count * element_size(type), false,
                      t);
}

/* The value of a number of 16 bits, from the definition (IEEE 754-2019, section 3.4). */
static double value_of_16(unsigned bits, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const int fraction = (int)bits & ((1 << fraction_bits) - 1);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static void check_all_16(element_type type, int exponent_bits) {
    for (unsigned bits = 0; bits < 65536; bits++) {
        request_tensor t;
        const uint16_t number = (uint16_t)bits;
        const double expected = value_of_16(bits, exponent_bits);
        const problem_code code = read_list(&query, type, &number, 1, &t);
        cr_assert_eq(code, isfinite(expected) ? PROBLEM_NONE : PROBLEM_BAD_VALUE, "0x%04x", bits);
        if (code == PROBLEM_NONE)
            cr_assert(t.data[0] == expected && !signbit(t.data[0]) == !signbit(expected), "0x%04x", bits);
        const problem_code in_mask = read_list(&mask, type, &number, 1, &t);
        cr_assert_eq(in_mask, isfinite(expected) || expected < 0 ? PROBLEM_NONE : PROBLEM_BAD_VALUE, "0x%04x",
                     bits);
        if (in_mask == PROBLEM_NONE)
            cr_assert(t.data[0] == expected, "0x%04x", bits);
    }
}

Test(elements, every_float16) {
    check_all_16(ELEMENT_FLOAT16, 5);
}

Test(elements, every_bfloat16) {
    check_all_16(ELEMENT_BFLOAT16, 8);
}

/* Rounded once, ties to even: as glibc reads the same number from text. */
Test(elements, random_float64) {
    uint64_t state = test_seed("random_float64");
    char text[64];
    for (int i = 0; i < 20000; i++) {
        request_tensor t;
        double number = ldexp((double)random_float(&state), (int)random_below(&state, 300) - 170);
        if (i % 4 == 0) /* half way between two float32 */
            number = (double)random_float(&state) * (1 + 0x1p-24);
        snprintf(text, sizeof text, "%a", number);
        const float expected = strtof(text, NULL);
        const problem_code code = read_list(i % 2 ? &query : &mask, ELEMENT_FLOAT64, &number, 1, &t);
        cr_assert_eq(code, isfinite(expected) ? PROBLEM_NONE : PROBLEM_BAD_VALUE, "%s", text);
        if (code == PROBLEM_NONE)
            cr_assert(memcmp(t.data, &expected, 4) == 0, "%s", text);
        else
            cr_assert(strstr(trouble.text, "is beyond float32") != NULL, "%s", trouble.text);
    }
}

/* Every type at every alignment; float32 stays where it is when it may and can. */
Test(elements, alignments) {
    static const uint8_t one[ELEMENT_TYPES][8] = {
        {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, {0, 0, 0xc0, 0x3f}, {0, 0x3e}, {0xc0, 0x3f}, {1}};
    for (element_type type = 0; type < ELEMENT_TYPES; type++)
        for (size_t shift = 0; shift < 8; shift++)
            for (int may_alias = 0; may_alias < 2; may_alias++) {
                const size_t count = 5, length = count * element_size(type);
                uint8_t *block = malloc(shift + length), *bytes = block + shift;
                request_tensor t;
                for (size_t i = 0; i < length; i++)
                    bytes[i] = one[type][i % element_size(type)];
                cr_assert_eq(
                    read_shape(&mask, type, (const size_t[]){count, SIZE_MAX}, bytes, length, may_alias, &t),
                    PROBLEM_NONE);
                cr_assert_eq((uintptr_t)t.data % 4, 0);
                cr_assert_eq((void *)t.data == (void *)bytes,
                             may_alias && type == ELEMENT_FLOAT32 && shift % 4 == 0, "%d at %zu", (int)type,
                             shift);
                for (size_t i = 0; i < count; i++)
                    cr_assert(t.data[i] == (type == ELEMENT_BOOL ? -INFINITY : 1.5f));
                cr_assert(t.present && !t.open);
                cr_assert_eq(t.boolean, type == ELEMENT_BOOL);
                free(block);
            }
}

Test(elements, every_byte_as_a_boolean) {
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t bytes[3] = {0, 1, (uint8_t)byte};
        request_tensor t;
        cr_assert_eq(read_list(&mask, ELEMENT_BOOL, bytes, 3, &t),
                     byte < 2 ? PROBLEM_NONE : PROBLEM_MALFORMED_TENSOR);
        if (byte < 2)
            cr_assert(t.boolean && !t.is_zero_one && t.data[0] == 0 && t.data[1] == -INFINITY &&
                      t.data[2] == (byte == 0 ? 0 : -INFINITY));
        else
            cr_assert_str_eq(trouble.path, "attn_mask[2]");
    }
}

/* A wrong element at a random place in a tensor of several blocks; the place is counted by loops. */
Test(elements, wrong_elements_are_found) {
    uint64_t state = test_seed("wrong_elements_are_found");
    for (int round = 0; round < 200; round++) {
        const size_t shape[] = {1 + random_below(&state, 4), 1 + random_below(&state, 9),
                                1 + random_below(&state, 600), SIZE_MAX};
        const size_t count = shape[0] * shape[1] * shape[2], wrong = random_below(&state, count);
        const element_type type = (element_type)random_below(&state, ELEMENT_TYPES);
        const size_t size = element_size(type), length = count * size;
        uint8_t *bytes = calloc(length, 1);
        request_tensor t;
        char path[96] = "";
        size_t at = 0;
        memset(bytes + wrong * size, 0xff, size);         /* NaN, and no boolean */
        const size_t later = random_below(&state, count); /* the first is told */
        if (later > wrong)
            memset(bytes + later * size, 0xff, size);
        for (size_t i = 0; i < shape[0]; i++)
            for (size_t j = 0; j < shape[1]; j++)
                for (size_t k = 0; k < shape[2]; k++)
                    if (at++ == wrong)
                        snprintf(path, sizeof path, "attn_mask[%zu][%zu][%zu]", i, j, k);
        cr_assert_neq(read_shape(&mask, type, shape, bytes, length, round % 2, &t), PROBLEM_NONE);
        cr_assert_str_eq(trouble.path, path);
        cr_assert(trouble.has_offset);
        cr_assert_eq(trouble.offset, wrong * size);
        free(bytes);
    }
}

Test(elements, sentences) {
    static const float nan_ = NAN, inf = INFINITY, minus = -INFINITY;
    static const double beyond = -1e300, above = 3.4028235677973366e38, below = 3.4028235677973362e38;
    static const struct {
        const field *f;
        element_type type;
        const void *number;
        problem_code code;
        const char *sentence;
    } cases[] = {
        {&query, ELEMENT_FLOAT32, &nan_, PROBLEM_BAD_VALUE, "query[0] must be finite, found NaN"},
        {&query, ELEMENT_FLOAT32, &inf, PROBLEM_BAD_VALUE, "query[0] must be finite, found infinity"},
        {&query, ELEMENT_FLOAT32, &minus, PROBLEM_BAD_VALUE, "query[0] must be finite, found minus infinity"},
        {&mask, ELEMENT_FLOAT32, &minus, PROBLEM_NONE, ""},
        {&mask, ELEMENT_FLOAT32, &inf, PROBLEM_BAD_VALUE,
         "attn_mask[0] must be finite or minus infinity, found infinity"},
        {&mask, ELEMENT_FLOAT32, &nan_, PROBLEM_BAD_VALUE,
         "attn_mask[0] must be finite or minus infinity, found NaN"},
        {&query, ELEMENT_FLOAT64, &beyond, PROBLEM_BAD_VALUE,
         "query[0] is beyond float32, expected a number of at most 3.4028235e38 in size"},
        {&mask, ELEMENT_FLOAT64, &beyond, PROBLEM_BAD_VALUE,
         "attn_mask[0] is beyond float32, expected a number of at most 3.4028235e38 in size"},
        {&query, ELEMENT_FLOAT64, &above, PROBLEM_BAD_VALUE,
         "query[0] is beyond float32, expected a number of at most 3.4028235e38 in size"},
        {&query, ELEMENT_FLOAT64, &below, PROBLEM_NONE, ""},
        {&query, ELEMENT_BOOL, "\1", PROBLEM_MALFORMED_TENSOR,
         "query is of the type bool, expected numbers: float64, float32, float16 or bfloat16"},
        {&mask, ELEMENT_BOOL, "\2", PROBLEM_MALFORMED_TENSOR,
         "attn_mask[0] is the byte 0x02, expected 0 or 1 for a boolean"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request_tensor t;
        cr_expect_eq(read_list(cases[i].f, cases[i].type, cases[i].number, 1, &t), cases[i].code, "%zu", i);
        cr_expect_str_eq(trouble.text, cases[i].sentence, "%s", trouble.text);
        cr_expect_eq(t.present, cases[i].code == PROBLEM_NONE);
    }
}

Test(elements, shapes) {
    const size_t most = REQUEST_MAX_DIMENSION;
    const struct {
        size_t shape[6], rank;
        problem_code code;
        size_t length; /* of float32 */
        const char *sentence;
    } cases[] = {
        {{3}, 1, PROBLEM_NONE, 12, ""},
        {{2, 3, 4, 5}, 4, PROBLEM_NONE, 480, ""},
        {{2, 0, 4}, 3, PROBLEM_NONE, 0, ""},
        {{most, 0}, 2, PROBLEM_NONE, 0, ""},
        {{most, most}, 2, PROBLEM_NONE, most * most * 4, ""},
        {{0}, 0, PROBLEM_BAD_SHAPE, 0, "query has 0 dimensions, expected 1 to 4"},
        {{1, 1, 1, 1, 1}, 5, PROBLEM_BAD_SHAPE, 0, "query has 5 dimensions, expected 1 to 4"},
        {{1, most + 1},
         2,
         PROBLEM_BAD_SHAPE,
         0,
         "query has the shape [1,16777217], expected at most 16777216 in one dimension"},
        {{SIZE_MAX},
         1,
         PROBLEM_BAD_SHAPE,
         0,
         "query has the shape [18446744073709551615], expected at most 16777216 in one dimension"},
        {{most, most, most, 1},
         4,
         PROBLEM_BAD_SHAPE,
         0,
         "query has the shape [16777216,16777216,16777216,1], which no memory is large enough for"},
        {{0, most, most, most},
         4,
         PROBLEM_BAD_SHAPE,
         0,
         "query has the shape [0,16777216,16777216,16777216], which no memory is large enough for"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request_tensor t = {0};
        size_t length = 0;
        memset(&trouble, 0, sizeof trouble);
        cr_expect_eq(
            elements_shape(&query, ELEMENT_FLOAT32, cases[i].shape, cases[i].rank, &t, &length, &trouble),
            cases[i].code);
        cr_expect_str_eq(trouble.text, cases[i].sentence, "%s", trouble.text);
        cr_expect_eq(length, cases[i].length);
        cr_expect_str_eq(trouble.path, cases[i].code == PROBLEM_NONE ? "" : "query");
        if (cases[i].code == PROBLEM_NONE)
            cr_expect(t.rank == cases[i].rank &&
                      memcmp(t.shape, cases[i].shape, t.rank * sizeof *t.shape) == 0);
    }
}

Test(elements, lengths) {
    static const float numbers[4];
    request_tensor t;
    for (size_t length = 0; length <= sizeof numbers; length++)
        cr_expect_eq(
            read_shape(&query, ELEMENT_FLOAT32, (const size_t[]){3, 1, SIZE_MAX}, numbers, length, true, &t),
            length == 12 ? PROBLEM_NONE : PROBLEM_MALFORMED_TENSOR);
    cr_assert_str_eq(trouble.text, "query has 16 bytes of data, but the shape [3,1] of float32 takes 12");
    cr_assert_str_eq(trouble.path, "query");
    cr_assert_eq(read_shape(&query, ELEMENT_FLOAT32, (const size_t[]){3, 0, SIZE_MAX}, NULL, 0, true, &t),
                 PROBLEM_NONE);
    cr_assert(t.present && t.data != NULL && t.rank == 2);
}

Test(elements, masks_of_zeros_and_ones) {
    static const float cases[][3] = {{0, 0, 0}, {0, 1, 0},     {1, 1, 1},
                                     {0, 1, 2}, {-0.0f, 1, 1}, {0, 1, -INFINITY}};
    static const bool expected[] = {false, true, true, false, true, false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request_tensor t;
        cr_assert_eq(read_list(&mask, ELEMENT_FLOAT32, cases[i], 3, &t), PROBLEM_NONE);
        cr_assert_eq(t.is_zero_one, expected[i], "%zu", i);
        cr_assert_not(t.boolean);
    }
}

Test(elements, no_memory) {
    attn_budget budget = {.limit = 100};
    attn_arena *small = attn_arena_new(&budget);
    static const float numbers[100];
    request_tensor t = {.rank = 1, .shape = {100}};
    elements e = {&query, ELEMENT_FLOAT32, element_names_json, numbers, sizeof numbers, false, NULL};
    cr_assert_eq(elements_read(&e, small, &t, &trouble), PROBLEM_QUEUE_FULL);
    e.may_alias = true;
    cr_assert_eq(elements_read(&e, small, &t, &trouble), PROBLEM_NONE);
    attn_arena_free(small);
}
