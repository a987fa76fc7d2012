/* Tensors in JSON as objects with base64: what is read, against bytes that other programs wrote; what is
 * refused, with code, place and sentence; texts cut and changed at random, and read while memory runs out;
 * the answers, as jansson sees them. */
#include "server/wire/base64/base64.h"
#include "server/wire/json/json.h"
#include "tests/random.h"
#include "tests/server/wire/refusals.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

TestSuite(json_base64, .init = set_up, .fini = tear_down);

static problem_code read_bytes(const char *text, size_t length) {
    return read_exactly(json_read_request, text, length);
}

static problem_code read_text(const char *text) {
    return read_bytes(text, strlen(text));
}

static void expect_numbers(const char *text, const float *expected, size_t count) {
    cr_assert_eq(read_text(text), PROBLEM_NONE, "%s: %s", text, trouble.text);
    const request_tensor *t = request.query.present ? &request.query : &request.attn_mask;
    cr_assert(t->present && !t->open);
    cr_assert_eq(t->rank, 2);
    cr_assert_eq(t->shape[0] * t->shape[1], count);
    cr_assert(memcmp(t->data, expected, count * sizeof *expected) == 0, "%s", text);
}

/* The base64 is what Python writes: base64.b64encode(numpy.array([[1.5, -2]], dtype).tobytes()). */
Test(json_base64, types) {
    static const float numbers[] = {1.5F, -2}, booleans[] = {-INFINITY, 0};
    expect_numbers("{\"query\":{\"shape\":[1,2],\"dtype\":\"float32\",\"data\":\"AADAPwAAAMA=\"}}", numbers,
                   2);
    expect_numbers(
        "{\"query\":{\"shape\":[2,1],\"dtype\":\"float64\",\"data\":\"AAAAAAAA+D8AAAAAAAAAwA==\"}}", numbers,
        2);
    expect_numbers("{\"query\":{\"shape\":[1,2],\"dtype\":\"float16\",\"data\":\"AD4AwA==\"}}", numbers, 2);
    expect_numbers("{\"query\":{\"shape\":[1,2],\"dtype\":\"bfloat16\",\"data\":\"wD8AwA==\"}}", numbers, 2);
    expect_numbers("{\"attn_mask\":{\"shape\":[1,2],\"dtype\":\"bool\",\"data\":\"AQA=\"}}", booleans, 2);
    cr_assert(request.attn_mask.boolean);
    expect_numbers("{\"attn_mask\":{\"shape\":[1,2],\"dtype\":\"float32\",\"data\":\"AACA/wAAAAA=\"}}",
                   booleans, 2);
    cr_assert(!request.attn_mask.boolean && !request.attn_mask.is_zero_one);
    expect_numbers("{\"attn_mask\":{\"shape\":[1,2],\"dtype\":\"float32\",\"data\":\"AACAPwAAAAA=\"}}",
                   (const float[]){1, 0}, 2);
    cr_assert(request.attn_mask.is_zero_one);
}

Test(json_base64, members_in_any_order) {
    static const char *const members[] = {"\"shape\":[1,2]", "\"dtype\":\"float32\"",
                                          "\"data\":\"AADAPwAAAMA=\""};
    for (int first = 0; first < 3; first++)
        for (int second = 0; second < 3; second++) {
            char text[256];
            if (second == first)
                continue;
            snprintf(text, sizeof text, "{\"query\": { %s ,\n%s\t, %s } ,\"id\":\"x\"}", members[first],
                     members[second], members[3 - first - second]);
            expect_numbers(text, (const float[]){1.5F, -2}, 2);
            cr_assert_str_eq(request.id, "x");
        }
}

/* Some encoders write \/ for each slash, some \u002b for each plus; JSON allows any. */
Test(json_base64, escapes) {
    static const float expected[] = {-INFINITY, 0};
    static const char *const data[] = {"AACA\\/wAAAAA=", "\\u0041ACA/wAAAAA=", "AACA\\u002fwAAAAA=",
                                       "AACA\\u002FwAAAAA\\u003d", "AACA\\/wAAAAA\\u003D"};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"attn_mask\":{\"shape\":[1,2],\"data\":\"%s\",\"dtype\":\"float32\"}}",
                 data[i]);
        expect_numbers(text, expected, 2);
    }
}

Test(json_base64, empty_tensors) {
    cr_assert_eq(read_text("{\"query\":{\"shape\":[2,0,8],\"dtype\":\"float32\",\"data\":\"\"}}"),
                 PROBLEM_NONE);
    cr_assert(request.query.present && !request.query.open && request.query.data != NULL);
    cr_assert_eq(request.query.rank, 3);
    cr_assert_eq(request.query.shape[2], 8);
}

#define OBJECT(shape, dtype, data) "{\"query\":{\"shape\":" shape ",\"dtype\":" dtype ",\"data\":" data "}}"
#define F32                        "\"float32\""

#define OBJECT_AT(shape, dtype, data)                                                                        \
    "{\"query\":${\"shape\":" shape ",\"dtype\":" dtype ",\"data\":" data "}}"
#define ONE_FLOAT(base64) OBJECT("[1]", F32, "\"" base64 "\"")
#define DTYPES            "expected float64, float32, float16, bfloat16 or bool"
#define MISSING_MEMBER    "is missing: a tensor is a nested array, or an object with shape, dtype and data"
#define NO_CHARACTER      "which is no character of base64"
#define TOO_LARGE         "which no memory is large enough for"
#define WHOLE             "expected a whole number from 0 to 9007199254740991"
#define UNPADDED          "query.data has 6 characters of base64, expected a multiple of 4, padded with '='"
#define EARLY_PADDING     "query.data holds '=' where a character of base64 was expected: at most two may end it"
#define FOR_URLS          " (for URLs it is, but not here)"

/* A dollar stands before the byte whose offset is told. */
static const struct {
    const char *text;
    problem_code code;
    const char *path, *sentence;
} refused[] = {
    {ONE_FLOAT("AAA$-AA=="), TENSOR, "query.data", "query.data holds '-', " NO_CHARACTER FOR_URLS},
    {ONE_FLOAT("AAAAA$_=="), TENSOR, "query.data", "query.data holds '_', " NO_CHARACTER FOR_URLS},
    {ONE_FLOAT("AAAA$ AA=="), TENSOR, "query.data", "query.data holds ' ', " NO_CHARACTER},
    {ONE_FLOAT("AAAA$\\nAA=="), TENSOR, "query.data", "query.data holds '\\x0a', " NO_CHARACTER},
    {ONE_FLOAT("A\\/\\u0041A$\\tAA=="), TENSOR, "query.data", "query.data holds '\\x09', " NO_CHARACTER},
    {ONE_FLOAT("AA$\xc3\xa4"
               "A=="),
     TENSOR, "query.data", "query.data holds '\\xc3', " NO_CHARACTER},
    {ONE_FLOAT("AA$\\\"A=="), TENSOR, "query.data", "query.data holds '\"', " NO_CHARACTER},
    {ONE_FLOAT("AAAAAA$"), TENSOR, "query.data", UNPADDED},
    {ONE_FLOAT("AA\\/AAA$"), TENSOR, "query.data", UNPADDED},
    {ONE_FLOAT("AA$==AAAA"), TENSOR, "query.data", EARLY_PADDING},
    {ONE_FLOAT("AAAAA$==="), TENSOR, "query.data", EARLY_PADDING},
    {ONE_FLOAT("AAAAA$B=="), TENSOR, "query.data",
     "query.data ends with 'B' before its padding, whose unused bits are not zero"},
    {ONE_FLOAT("AA$\x01"
               "A=="),
     JSON, "query.data", "the control character 0x01 stands unescaped in a string"},
    {ONE_FLOAT("AA$\xff"
               "A=="),
     JSON, "query.data", "the byte 0xff in a string does not begin a character of UTF-8"},
    {ONE_FLOAT("AAAA$\\xAA=="), JSON, "query.data", "JSON has no escape \\x in a string"},
    {ONE_FLOAT("AAAA$\\u00zzAA=="), JSON, "query.data",
     "\\u in a string is not followed by four hexadecimal digits"},
    {"{\"query\":{\"data\":\"AAAA$", JSON, "query.data", "the body ends inside a string"},
    {"{\"query\":{\"data\":\"AAAA\\/$", JSON, "query.data", "the body ends inside a string"},
    {ONE_FLOAT("$AAAA"), TENSOR, "query", "query has 3 bytes of data, but the shape [1] of float32 takes 4"},
    {OBJECT("[2]", F32, "\"$AAAAAA==\""), TENSOR, "query",
     "query has 4 bytes of data, but the shape [2] of float32 takes 8"},
    {OBJECT("[1]", "\"float16\"", "\"$AAAAAA==\""), TENSOR, "query",
     "query has 4 bytes of data, but the shape [1] of float16 takes 2"},
    {OBJECT("[0]", F32, "\"$AAAAAA==\""), TENSOR, "query",
     "query has 4 bytes of data, but the shape [0] of float32 takes 0"},
    {ONE_FLOAT("$"), TENSOR, "query", "query has 0 bytes of data, but the shape [1] of float32 takes 4"},
    {ONE_FLOAT("$AADAfw=="), VALUE, "query[0]", "query[0] must be finite, found NaN"},
    {OBJECT("[2,2]", F32, "\"AAAAAAAAgD$8AAIB/AAAAAA==\""), VALUE, "query[1][0]",
     "query[1][0] must be finite, found infinity"},
    {OBJECT("[2,2]", F32, "\"AAAAAAAAgD$8AA\\u0049B\\/AAAAAA==\""), VALUE, "query[1][0]",
     "query[1][0] must be finite, found infinity"},
    {OBJECT("[2]", "\"float64\"", "\"AAAAAAAAAA$AAAAAAAAD4fw==\""), VALUE, "query[1]",
     "query[1] must be finite, found NaN"},
    {OBJECT("[1]", "\"bool\"", "\"$AQ==\""), TENSOR, "query",
     "query is of the type bool, expected numbers: float64, float32, float16 or bfloat16"},
    {"{\"attn_mask\":{\"shape\":[1,2],\"dtype\":\"bool\",\"data\":\"A$QI=\"}}", TENSOR, "attn_mask[0][1]",
     "attn_mask[0][1] is the byte 0x02, expected 0 or 1 for a boolean"},
    {OBJECT("[1]", "$\"int32\"", "\"AAAAAA==\""), TENSOR, "query.dtype", "query.dtype is \"int32\", " DTYPES},
    {OBJECT("[1]", "$\"F32\"", "\"AAAAAA==\""), TENSOR, "query.dtype", "query.dtype is \"F32\", " DTYPES},
    {OBJECT("[1]", "$7", "\"AAAAAA==\""), TENSOR, "query.dtype", "query.dtype is a number, " DTYPES},
    {OBJECT("[1]", F32, "$[1]"), TENSOR, "query.data",
     "query.data is an array, expected a string with base64"},
    {OBJECT("[1]", F32, "$null"), TENSOR, "query.data", "query.data is null, expected a string with base64"},
    {OBJECT("$1", F32, "\"AAAAAA==\""), TENSOR, "query.shape",
     "query.shape is a number, expected a list of whole numbers"},
    {OBJECT("[$\"1\"]", F32, "\"AAAAAA==\""), TENSOR, "query.shape[0]", "query.shape[0] is a string, " WHOLE},
    {OBJECT("[2,$-1]", F32, "\"AAAAAA==\""), TENSOR, "query.shape[1]", "query.shape[1] is -1, " WHOLE},
    {OBJECT("[2,$0.5]", F32, "\"AAAAAA==\""), TENSOR, "query.shape[1]", "query.shape[1] is 0.5, " WHOLE},
    {OBJECT_AT("[]", F32, "\"AAAAAA==\""), SHAPE, "query", "query has 0 dimensions, expected 1 to 4"},
    {OBJECT_AT("[1,1,1,1,1]", F32, "\"AAAAAA==\""), SHAPE, "query",
     "query has 5 dimensions, expected 1 to 4"},
    {OBJECT_AT("[1,16777217]", F32, "\"\""), SHAPE, "query",
     "query has the shape [1,16777217], expected at most 16777216 in one dimension"},
    {OBJECT_AT("[16777216,16777216,16777216,16777216]", F32, "\"\""), SHAPE, "query",
     "query has the shape [16777216,16777216,16777216,16777216], " TOO_LARGE},
    {"{\"query\":${\"dtype\":\"float32\",\"data\":\"AAAAAA==\"}}", MISSING, "query.shape",
     "query.shape " MISSING_MEMBER},
    {"{\"query\":${\"shape\":[1],\"data\":\"AAAAAA==\"}}", MISSING, "query.dtype",
     "query.dtype " MISSING_MEMBER},
    {"{\"query\":${\"shape\":[1],\"dtype\":null,\"data\":\"AAAAAA==\"}}", MISSING, "query.dtype",
     "query.dtype " MISSING_MEMBER},
    {"{\"query\":${\"shape\":[1],\"dtype\":\"float32\"}}", MISSING, "query.data",
     "query.data " MISSING_MEMBER},
    {"{\"query\":${}}", MISSING, "query.shape", "query.shape " MISSING_MEMBER},
    {"{\"query\":{$\"order\":\"C\"}}", FIELD, "query.order",
     "there is no member of a tensor \"order\"; they are shape, dtype, data"},
    {"{\"query\":{\"dtype\":\"float32\",$\"dtype\":\"float32\"}}", JSON, "query.dtype",
     "the key \"dtype\" is there twice"},
    {"{\"query\":{\"data\":\"\",$\"data\":\"\"}}", JSON, "query.data", "the key \"data\" is there twice"},
    {"{\"query\":{\"data\":\"\"$", JSON, "query", "the body ends where a comma or } was expected"},
    {"{\"query\":{\"data\"$\"\"}}", JSON, "query", "found '\"' where a colon after a key was expected"},
    {"{\"query\":{\"data\":\"\",$}}", JSON, "query", "found '}' where a key in quotation marks was expected"},
    {"{\"query\":{\"data\":$}}", JSON, "query.data", "found '}' where a string was expected"},
};

Test(json_base64, refused) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[512];
        const size_t place = take_out_dollar(refused[i].text, text);
        read_text(text);
        expect_refusal(text, refused[i].code, refused[i].path, refused[i].sentence, place);
    }
}

/* What was decoded is given back once it has become numbers: nothing stays but them. */
Test(json_base64, memory_that_is_not_needed_any_more) {
    static const struct {
        const char *dtype;
        size_t size;
    } types[] = {{"float64", 8}, {"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"bool", 1}};
    enum { COUNT = 3 * 4096 };
    char *text = malloc(COUNT * 8 / 3 * 4 + 200);
    for (size_t n = 0; n < sizeof types / sizeof types[0]; n++) {
        attn_budget budget = {.limit = SIZE_MAX};
        attn_arena *own = attn_arena_new(&budget);
        const size_t before = budget.used;
        char *at = text + sprintf(text, "{\"attn_mask\":{\"shape\":[%d],\"dtype\":\"%s\",\"data\":\"", COUNT,
                                  types[n].dtype);
        memset(at, 'A', COUNT * types[n].size / 3 * 4);
        strcpy(at + COUNT * types[n].size / 3 * 4, "\"}}");
        cr_assert_eq(json_read_request(text, strlen(text), own, NULL, &request, &trouble), PROBLEM_NONE, "%s",
                     trouble.text);
        cr_expect_geq(budget.used - before, COUNT * sizeof(float));
        cr_expect_lt(budget.used - before, COUNT * sizeof(float) + 1000, "%s takes %zu bytes", types[n].dtype,
                     (size_t)(budget.used - before));
        attn_arena_free(own);
    }
    free(text);
}

/* Of all lengths: as they were, whatever slashes are escaped. */
Test(json_base64, random_tensors) {
    uint64_t state = test_seed("random_tensors");
    static float numbers[2000];
    static char plain[16384], text[40000];
    for (int round = 0; round < 300; round++) {
        const size_t count = random_below(&state, 2000);
        for (size_t i = 0; i < count; i++) {
            const uint32_t bits = (uint32_t)random_bits(&state) & 0xbfffffff; /* finite */
            memcpy(&numbers[i], &bits, 4);
        }
        size_t length;
        cr_assert(base64_encoded_length(count * 4, &length));
        base64_encode(numbers, count * 4, plain);
        int used = sprintf(text, "{\"query\":{\"dtype\":\"float32\",\"shape\":[1,%zu],\"data\":\"", count);
        for (size_t i = 0; i < length; i++)
            used += sprintf(text + used, round % 2 && plain[i] == '/' ? "\\%c" : "%c", plain[i]);
        sprintf(text + used, "\"}}");
        expect_numbers(text, numbers, count);
    }
}

/* Whatever becomes of the text: an answer, and no byte read that is not there. */
Test(json_base64, random_changes) {
    static const char text[] = OBJECT("[2,2]", F32, "\"AAAAAAAAgD8AAIA\\/AAAAAA==\"");
    static const char bytes[] = "\"\\{}[],:=/u0A-\n\x80 ";
    uint64_t state = test_seed("random_changes");
    for (size_t length = 0; length < sizeof text - 1; length++)
        cr_assert_eq(read_bytes(text, length), PROBLEM_MALFORMED_JSON);
    cr_assert_eq(read_bytes(text, sizeof text - 1), PROBLEM_NONE, "%s", trouble.text);
    for (int round = 0; round < 20000; round++) {
        char changed[sizeof text];
        memcpy(changed, text, sizeof text);
        for (size_t n = 1 + random_below(&state, 3); n > 0; n--)
            changed[random_below(&state, sizeof text - 1)] = bytes[random_below(&state, sizeof bytes - 1)];
        if (read_bytes(changed, sizeof text - 1) == PROBLEM_NONE)
            continue;
        cr_assert(trouble.has_offset && trouble.offset <= sizeof text - 1);
        cr_assert(strlen(trouble.text) > 10);
    }
}

Test(json_base64, memory_that_runs_out) {
    static const char *const texts[] = {
        OBJECT("[2,2]", F32, "\"AAAAAAAAgD8AAIA\\/AAAAAA==\""),
        OBJECT("[2,2]", F32, "\"AAAAAAAAgD8AAIA\\u002fAAAAAA==\""),
        OBJECT("[2]", "\"float64\"", "\"AAAAAAAA+D8AAAAAAAAAwA==\""),
    };
    for (size_t i = 0; i < 3; i++)
        expect_to_run_out(json_read_request, texts[i], strlen(texts[i]));
}

/* ---- Answers ---- */

/* The tensor that jansson finds there, bit for bit. */
static void expect_tensor(const json_t *object, const char *dtype, size_t rank, const size_t *shape,
                          const void *data, size_t bytes) {
    uint8_t decoded[256];
    size_t bad;
    cr_assert_eq(json_object_size(object), 3);
    cr_assert_str_eq(json_string_value(json_object_get(object, "dtype")), dtype);
    const json_t *dimensions = json_object_get(object, "shape"), *text = json_object_get(object, "data");
    cr_assert_eq(json_array_size(dimensions), rank);
    for (size_t i = 0; i < rank; i++)
        cr_assert_eq(json_integer_value(json_array_get(dimensions, i)), (json_int_t)shape[i]);
    cr_assert_eq(base64_decoded_length(json_string_value(text), json_string_length(text)), bytes);
    cr_assert_eq(base64_decode(json_string_value(text), json_string_length(text), decoded, &bad), BASE64_OK);
    cr_assert(bytes == 0 || memcmp(decoded, data, bytes) == 0);
}

Test(json_base64, answers) {
    static const float output[] = {1, -0.0F, 1e-45F, 3}, lse[] = {-INFINITY, 2};
    static const int32_t argmax[] = {-1, 7};
    static attn_model model = {.name = "m"};
    attend_call call = {
        .model = &model,
        .arrays = {{.name = "output", .rank = 3, .shape = {1, 2, 2}, .data = output},
                   {.name = "lse", .may_be_minus_infinity = true, .rank = 1, .shape = {2}, .data = lse},
                   {.name = "stats.argmax", .is_int32 = true, .rank = 2, .shape = {1, 2}, .data = argmax},
                   {.name = "stats.received", .rank = 2, .shape = {4, 0}, .data = output}},
        .array_count = 4,
    };
    wire_buffer out = {.arena = arena};
    request = (attend_request){.encoding = 1 + TENSORS_AS_BASE64};
    cr_assert(json_write_answer(&request, &call, &out));
    json_t *answer = json_loadb(out.bytes, out.length, 0, NULL);
    cr_assert(answer != NULL, "%.*s", (int)out.length, out.bytes);
    const json_t *stats = json_object_get(answer, "stats");
    expect_tensor(json_object_get(answer, "output"), "float32", 3, call.arrays[0].shape, output,
                  sizeof output);
    expect_tensor(json_object_get(answer, "lse"), "float32", 1, call.arrays[1].shape, lse, sizeof lse);
    expect_tensor(json_object_get(stats, "argmax"), "int32", 2, call.arrays[2].shape, argmax, sizeof argmax);
    expect_tensor(json_object_get(stats, "received"), "float32", 2, call.arrays[3].shape, output, 0);
    json_decref(answer);
    request.encoding = 1 + TENSORS_AS_ARRAYS;
    out.length = 0;
    cr_assert(json_write_answer(&request, &call, &out));
    cr_assert(memmem(out.bytes, out.length, "\"lse\":[null,2]", 14) != NULL);
}

Test(json_base64, the_encoding_is_a_field) {
    cr_assert_eq(read_text("{\"encoding\":\"base64\"}"), PROBLEM_NONE);
    cr_assert_eq(request.encoding, 1 + TENSORS_AS_BASE64);
    cr_assert_eq(read_text("{\"encoding\":\"array\"}"), PROBLEM_NONE);
    cr_assert_eq(request.encoding, 1 + TENSORS_AS_ARRAYS);
    cr_assert_eq(read_text("{\"encoding\":\"hex\"}"), PROBLEM_BAD_VALUE);
    cr_assert_str_eq(trouble.text, "encoding is \"hex\", expected array or base64");
}
