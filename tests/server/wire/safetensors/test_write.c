/* Answers as safetensors, read by a reader of the test's own. */
#include "server/wire/safetensors/safetensors.h"
#include "tests/arena.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static attend_request request;

TestSuite(safetensors_write, .init = set_up, .fini = tear_down);

static attn_model model = {.name = "m"};

/* The header of an answer, whose data begin at *data. */
static json_t *header_of(const wire_buffer *out, const char **data) {
    uint64_t length;
    cr_assert_geq(out->length, 8);
    memcpy(&length, out->bytes, 8);
    length = le64toh(length);
    cr_assert_leq(length, out->length - 8);
    cr_assert_eq((8 + length) % 64, 0);
    cr_assert_eq(out->bytes[8], '{');
    *data = out->bytes + 8 + length;
    json_t *header = json_loadb(out->bytes + 8, length, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(header != NULL, "%.*s", (int)length, out->bytes + 8);
    return header;
}

/* The tensor `result` stands in the answer, right after `*end` bytes of data. */
static void expect_tensor(const json_t *header, const char *data, const attend_array *result, size_t *end) {
    const json_t *entry = json_object_get(header, result->name), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t count = 1;
    cr_assert_eq(json_object_size(entry), 3);
    cr_assert_str_eq(json_string_value(json_object_get(entry, "dtype")), result->is_int32 ? "I32" : "F32");
    cr_assert_eq(json_array_size(shape), result->rank);
    for (size_t i = 0; i < result->rank; i++) {
        cr_assert_eq(json_integer_value(json_array_get(shape, i)), (json_int_t)result->shape[i]);
        count *= result->shape[i];
    }
    cr_assert_eq(json_integer_value(json_array_get(offsets, 0)), (json_int_t)*end);
    cr_assert_eq(json_integer_value(json_array_get(offsets, 1)), (json_int_t)(*end + 4 * count));
    cr_assert(memcmp(data + *end, result->data, 4 * count) == 0);
    *end += 4 * count;
}

Test(safetensors_write, answers) {
    static const float output[] = {1, -0.0F, 1e-45F, 3}, lse[] = {-INFINITY, 2};
    static const int32_t argmax[] = {-1, 7};
    attend_call call = {
        .model = &model,
        .input = {.training = true, .seed = ((uint64_t)1 << 53) - 1},
        .arrays = {{.name = "output", .rank = 3, .shape = {1, 2, 2}, .data = output},
                   {.name = "lse", .may_be_minus_infinity = true, .rank = 1, .shape = {2}, .data = lse},
                   {.name = "stats.argmax", .is_int32 = true, .rank = 2, .shape = {1, 2}, .data = argmax},
                   {.name = "stats.received", .rank = 2, .shape = {4, 0}, .data = output}},
        .array_count = 4,
        .warnings = {"one \"quoted\" thing", "another"},
        .warning_count = 2,
    };
    wire_buffer out = {.arena = arena};
    const char *data;
    size_t end = 0;
    request = (attend_request){.id = (char[]){"a\"\xc3\xa4\n"}};
    cr_assert(safetensors_write_answer(&request, &call, &out));
    json_t *header = header_of(&out, &data);
    for (size_t i = 0; i < call.array_count; i++)
        expect_tensor(header, data, &call.arrays[i], &end);
    cr_assert_eq(data + end, out.bytes + out.length);
    cr_assert_eq(json_object_size(header), 5);
    const json_t *metadata = json_object_get(header, "__metadata__");
    cr_assert_eq(json_object_size(metadata), 4);
    cr_assert_str_eq(json_string_value(json_object_get(metadata, "model")), "m");
    cr_assert_str_eq(json_string_value(json_object_get(metadata, "id")), "a\"\xc3\xa4\n");
    cr_assert_str_eq(json_string_value(json_object_get(metadata, "seed")), "9007199254740991");
    cr_assert_str_eq(json_string_value(json_object_get(metadata, "warnings")),
                     "[\"one \\\"quoted\\\" thing\",\"another\"]");
    json_decref(header);
}

/* The length of the id shifts where the header ends: it is padded from each. */
Test(safetensors_write, data_are_aligned) {
    static const float output[] = {1};
    const attend_call call = {
        .model = &model,
        .arrays = {{.name = "output", .rank = 2, .shape = {1, 1}, .data = output}},
        .array_count = 1,
    };
    char id[80] = "";
    for (size_t length = 0; length < 70; length++) {
        wire_buffer out = {.arena = arena};
        const char *data;
        request = (attend_request){.id = id};
        cr_assert(safetensors_write_answer(&request, &call, &out));
        json_t *header = header_of(&out, &data);
        cr_assert_eq(data + 4, out.bytes + out.length);
        cr_assert_eq(json_object_size(json_object_get(header, "__metadata__")), 2);
        json_decref(header);
        strcat(id, "i");
    }
}

Test(safetensors_write, an_answer_that_does_not_fit) {
    static const float output[64];
    const attend_call call = {
        .model = &model,
        .arrays = {{.name = "output", .rank = 1, .shape = {64}, .data = output}},
        .array_count = 1,
        .warnings = {"one"},
        .warning_count = 1,
    };
    bool written = false, failed = false;
    request = (attend_request){0};
    for (size_t limit = 0; limit < 8192; limit += 128) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        wire_buffer out = {.arena = small};
        if (safetensors_write_answer(&request, &call, &out)) {
            written = true;
        } else {
            failed = true;
            cr_assert_eq(attn_arena_failure(small), ATTN_OVER_BUDGET);
        }
        attn_arena_free(small);
    }
    cr_assert(written && failed);
}
