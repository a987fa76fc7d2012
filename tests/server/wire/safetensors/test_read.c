/* Requests as safetensors: a body that the Python package wrote, every type at every alignment, what is
 * refused, with code, place and sentence; bodies cut and changed at random, and read while memory runs out.
 */
#include "server/wire/safetensors/safetensors.h"

#include "server/wire/json/json.h"
#include "tests/random.h"
#include "tests/server/requests.h"
#include "tests/server/wire/refusals.h"

#include <endian.h>
#include <math.h>
#include <string.h>

static char *last_body; /* its block; tensors may lie in it */

static void free_all(void) {
    free(last_body);
    last_body = NULL;
    tear_down();
}

TestSuite(safetensors_wire, .init = set_up, .fini = free_all);

/* Reads a body that ends where its memory does, and begins `shift` bytes after a multiple of 16. */
static problem_code read_body(const void *bytes, size_t length, size_t shift) {
    free(last_body);
    last_body = malloc(shift + length);
    if (length > 0)
        memcpy(last_body + shift, bytes, length);
    memset(&trouble, 0, sizeof trouble);
    memset(&request, 0, sizeof request);
    const problem_code code =
        safetensors_read_request(last_body + shift, length, arena, NULL, &request, &trouble);
    cr_assert_eq(code, trouble.code);
    return code;
}

/* Puts a body together; returns its length. */
static size_t compose(char *body, const char *header, const void *data, size_t bytes) {
    const uint64_t length = htole64(strlen(header));
    memcpy(body, &length, 8);
    memcpy(body + 8, header, strlen(header));
    if (bytes > 0)
        memcpy(body + 8 + strlen(header), data, bytes);
    return 8 + strlen(header) + bytes;
}

static problem_code read_parts(const char *header, const void *data, size_t bytes, size_t shift) {
    char body[4096];
    return read_body(body, compose(body, header, data, bytes), shift);
}

/* safetensors.numpy.save({"query": [[1.5, -2]], "attn_mask": [[True, False]]}, metadata={...}) */
Test(safetensors_wire, body_from_python) {
    static const char body[] =
        "\xc0\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"np\",\"id\":\"x\",\"need_weights\":\"true\"},"
        "\"query\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},\"attn_mask\":{\"dtype\":"
        "\"BOOL\",\"shape\":[1,2],\"data_offsets\":[8,10]}}     \0\0\xc0?\0\0\0\xc0\1\0";
    cr_assert_eq(read_body(body, sizeof body - 1, 0), PROBLEM_NONE, "%s", trouble.text);
    cr_assert_str_eq(request.id, "x");
    cr_assert(request.need_weights);
    cr_assert(request.query.present && !request.query.boolean && !request.query.open);
    cr_assert_eq(request.query.rank, 2);
    cr_assert(request.query.data[0] == 1.5F && request.query.data[1] == -2);
    cr_assert(request.attn_mask.boolean && request.attn_mask.data[0] == -INFINITY &&
              request.attn_mask.data[1] == 0);
    cr_assert(request.attn_mask.shape[0] == 1 && request.attn_mask.shape[1] == 2);
    cr_assert(!request.key.present);
}

Test(safetensors_wire, every_type_at_every_alignment) {
    static const struct {
        const char *dtype;
        size_t size;
        const char bytes[17];
    } types[] = {
        {"F64", 8, "\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\0\xc0"},
        {"F32", 4, "\0\0\xc0\x3f\0\0\0\xc0"},
        {"F16", 2, "\0\x3e\0\xc0"},
        {"BF16", 2, "\xc0\x3f\0\xc0"},
    };
    for (size_t i = 0; i < 4; i++)
        for (size_t shift = 0; shift < 16; shift++) {
            char header[128];
            snprintf(header, sizeof header,
                     "{\"query\":{\"dtype\":\"%s\",\"shape\":[2,1],\"data_offsets\":[0,%zu]}}",
                     types[i].dtype, 2 * types[i].size);
            cr_assert_eq(read_parts(header, types[i].bytes, 2 * types[i].size, shift), PROBLEM_NONE, "%s",
                         trouble.text);
            const float *numbers = request.query.data;
            cr_assert(numbers[0] == 1.5F && numbers[1] == -2, "%s", types[i].dtype);
            const char *place = last_body + shift + 8 + strlen(header);
            cr_assert_eq((const char *)numbers == place, i == 1 && (uintptr_t)place % 4 == 0);
        }
}

#define META(members) "{\"__metadata__\":{" members "}}"

Test(safetensors_wire, metadata) {
    cr_assert_eq(
        read_parts(META("\"model\":\"m.1\",\"id\":\"a \\\"b\\\" \\u00e4\",\"encoding\":\"base64\","
                        "\"is_causal\":\"false\",\"query_offset\":\" 7 \",\"seed\":\"9007199254740991\","
                        "\"return\":\"[\\\"lse\\\",\\\"stats\\\"]\",\"training\":\"true\","
                        "\"view\":\"{\\\"rows\\\":[0,2],\\\"pool\\\":\\\"sum\\\"}\",\"format\":\"pt\","
                        "\"key_offset\":\"null\""),
                   NULL, 0, 0),
        PROBLEM_NONE, "%s", trouble.text);
    cr_assert_str_eq(request.model, "m.1");
    cr_assert_str_eq(request.id, "a \"b\" \xc3\xa4");
    cr_assert_eq(request.encoding, 1 + TENSORS_AS_BASE64);
    cr_assert_eq(request.is_causal, SWITCH_OFF);
    cr_assert_eq(request.query_offset.value, 7);
    cr_assert_eq(request.seed.value, ((uint64_t)1 << 53) - 1);
    cr_assert_eq(request.returned, 1U << RETURN_LSE | 1U << RETURN_STATS);
    cr_assert(request.training && !request.need_weights && !request.key_offset.present);
    cr_assert(request.view.present && request.view.rows.present && request.view.rows.items[1] == 2);
    cr_assert_eq(request.view.pool, 3);
}

Test(safetensors_wire, spaces_and_empty_tensors) {
    static const char *const headers[] = {
        "{}", "{ }   \n", "{\"__metadata__\":{}}",
        "{ \"query\" : { \"shape\" : [ 0 , 8 ] , \"data_offsets\" : [ 0 , 0 ] , \"dtype\" : \"F32\" } } "};
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(read_parts(headers[i], NULL, 0, i), PROBLEM_NONE, "%s", trouble.text);
    cr_assert(request.query.present && !request.query.open && request.query.data != NULL);
    cr_assert_eq(request.query.shape[1], 8);
    /* Three empty tensors where one with data begins: whatever the order in the header. */
    cr_assert_eq(read_parts("{\"key\":{\"shape\":[1],\"dtype\":\"F32\",\"data_offsets\":[0,4]},"
                            "\"query\":{\"shape\":[0],\"dtype\":\"F32\",\"data_offsets\":[0,0]},"
                            "\"value\":{\"shape\":[0],\"dtype\":\"F16\",\"data_offsets\":[4,4]}}",
                            "\0\0\0\0", 4, 0),
                 PROBLEM_NONE, "%s", trouble.text);
}

/* ---- What is refused ---- */

#define Q(dtype, shape, offsets)                                                                             \
    "\"query\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define K(dtype, shape, offsets)                                                                             \
    "\"key\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define M(dtype, shape, offsets)                                                                             \
    "\"attn_mask\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define QUERY(dtype, shape, offsets) "{" Q(dtype, shape, offsets) "}"
#define Q_AT(dtype, shape, offsets)                                                                          \
    "\"query\":${\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define K_AT(dtype, shape, offsets)                                                                          \
    "\"key\":${\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define QUERY_AT(dtype, shape, offsets) "{" Q_AT(dtype, shape, offsets) "}"
#define F32                             "\"F32\""
#define WHOLE                           "expected a whole number from 0 to 9007199254740991"
#define HEADER                          "in the safetensors header: "
#define DTYPES                          "expected F64, F32, F16, BF16 or BOOL"
#define STRING                          "expected a string, as everything in __metadata__"
#define THREE_MEMBERS                   "expected dtype, shape and data_offsets"
#define NO_OBJECT                       "where an object with dtype, shape and data_offsets was expected"
#define TOO_LARGE                       "which no memory is large enough for"
#define IN_FOUR                         "expected 0 <= begin <= end <= 4, the bytes of data in the body"
#define THE_LAST                        " the last tensor, expected it to end there"
#define NO_HOLES                        "tensors may not overlap, nor leave holes"
#define NEED_WEIGHTS                    "in the JSON text of need_weights in __metadata__: "
#define RETURNS                         "expected q, k, v, scores, lse, entropy, head_output or stats"
#define FIELDS                                                                                               \
    "the fields there are model, id, is_causal, query_offset, key_offset, need_weights, "                    \
    "average_attn_weights, return, view, omit_extra, training, seed, keep, query_labels, key_labels, "       \
    "encoding, format"
#define TENSORS "the names are __metadata__, query, key, value, attn_mask, key_padding_mask, head_output"

/* A dollar stands in the header before the byte whose offset is told. */
static const struct {
    const char *header;
    size_t bytes; /* of zeros, as data */
    problem_code code;
    const char *path, *sentence;
} refused[] = {
    /* JSON that is none */
    {"$[]", 0, TENSOR, "", HEADER "found '[' where the { that begins the header was expected"},
    {"$ {}", 0, TENSOR, "", HEADER "found ' ' where the { that begins the header was expected"},
    {"$\xef\xbb\xbf{}", 0, TENSOR, "",
     HEADER "found '\\xef' where the { that begins the header was expected"},
    {"{ $", 0, TENSOR, "", HEADER "the header ends where a key in quotation marks was expected"},
    {"{}$x", 0, TENSOR, "", HEADER "found 'x' where the end of the header was expected"},
    {"{}$}", 0, TENSOR, "", HEADER "found '}' where the end of the header was expected"},
    {"{$7:1}", 0, TENSOR, "", HEADER "found '7' where a key in quotation marks was expected"},
    {"{\"query\"$}", 0, TENSOR, "", HEADER "found '}' where a colon after a key was expected"},
    {"{\"query$", 0, TENSOR, "", HEADER "the header ends inside a string"},
    {"{\"que$\xff\":1}", 0, TENSOR, "",
     HEADER "the byte 0xff in a string does not begin a character of UTF-8"},
    {"{" Q(F32, "[1]", "[0,4]") "$" K(F32, "[0]", "[4,4]") "}", 4, TENSOR, "",
     HEADER "found '\"' where a comma or } was expected"},
    {"{" Q(F32, "[1]", "[0,4]") ",$}", 4, TENSOR, "",
     HEADER "found '}' where a key in quotation marks was expected"},
    {"{" Q(F32, "[1]", "[0,4]") ",$" Q(F32, "[1]", "[0,4]") "}", 4, TENSOR, "query",
     HEADER "the key \"query\" is there twice"},
    /* names */
    {"{$\"q\":{}}", 0, FIELD, "q", "there is no tensor \"q\"; " TENSORS},
    {"{$\"seed\":{}}", 0, FIELD, "seed", "there is no tensor \"seed\"; " TENSORS},
    {"{$\"\":{}}", 0, FIELD, "", "there is no tensor \"\"; " TENSORS},
    {"{\"__metadata__\":{$\"query\":\"[1]\"}}", 0, FIELD, "__metadata__.query",
     "there is no field in __metadata__ \"query\"; " FIELDS},
    {"{\"__metadata__\":{$\"x\":\"1\"}}", 0, FIELD, "__metadata__.x",
     "there is no field in __metadata__ \"x\"; " FIELDS},
    /* descriptions of tensors */
    {"{\"query\":$null}", 0, TENSOR, "query", HEADER "found 'null' " NO_OBJECT},
    {"{\"query\":$[[1]]}", 0, TENSOR, "query", HEADER "found '[' " NO_OBJECT},
    {"{\"query\":${}}", 0, TENSOR, "query", "query has no dtype, " THREE_MEMBERS},
    {"{\"query\":${\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, TENSOR, "query",
     "query has no shape, " THREE_MEMBERS},
    {"{\"query\":${\"dtype\":\"F32\",\"shape\":[1]}}", 4, TENSOR, "query",
     "query has no data_offsets, " THREE_MEMBERS},
    {"{\"query\":${\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, TENSOR, "query",
     "query has no dtype, " THREE_MEMBERS},
    {"{\"query\":{\"dtype\":\"F32\",$\"data\":1}}", 0, FIELD, "query.data",
     "there is no member of a tensor \"data\"; they are dtype, shape, data_offsets"},
    {"{\"query\":{\"dtype\":\"F32\",$\"dtype\":\"F32\"}}", 0, TENSOR, "query.dtype",
     HEADER "the key \"dtype\" is there twice"},
    {QUERY("$\"I32\"", "[1]", "[0,4]"), 4, TENSOR, "query.dtype", "query.dtype is \"I32\", " DTYPES},
    {QUERY("$\"float32\"", "[1]", "[0,4]"), 4, TENSOR, "query.dtype", "query.dtype is \"float32\", " DTYPES},
    {QUERY("$\"F8_E4M3\"", "[4]", "[0,4]"), 4, TENSOR, "query.dtype", "query.dtype is \"F8_E4M3\", " DTYPES},
    {QUERY("$\"U8\"", "[4]", "[0,4]"), 4, TENSOR, "query.dtype", "query.dtype is \"U8\", " DTYPES},
    {QUERY("$32", "[4]", "[0,4]"), 4, TENSOR, "query.dtype", "query.dtype is a number, " DTYPES},
    {QUERY_AT("\"BOOL\"", "[4]", "[0,4]"), 4, TENSOR, "query",
     "query is of the type BOOL, expected numbers: F64, F32, F16 or BF16"},
    {QUERY(F32, "$1", "[0,4]"), 4, TENSOR, "query.shape",
     "query.shape is a number, expected a list of whole numbers"},
    {QUERY(F32, "[$-1]", "[0,4]"), 4, TENSOR, "query.shape[0]", "query.shape[0] is -1, " WHOLE},
    {QUERY(F32, "[$1.5]", "[0,4]"), 4, TENSOR, "query.shape[0]", "query.shape[0] is 1.5, " WHOLE},
    {QUERY(F32, "[1,$\"1\"]", "[0,4]"), 4, TENSOR, "query.shape[1]", "query.shape[1] is a string, " WHOLE},
    {QUERY(F32, "[$18446744073709551617]", "[0,4]"), 4, TENSOR, "query.shape[0]",
     "query.shape[0] is 18446744073709551617, " WHOLE},
    {QUERY(F32, "[1 $2]", "[0,4]"), 4, TENSOR, "query.shape",
     HEADER "found '2' where a comma or ] was expected"},
    {QUERY_AT(F32, "[]", "[0,4]"), 4, SHAPE, "query", "query has 0 dimensions, expected 1 to 4"},
    {QUERY_AT(F32, "[1,1,1,1,1]", "[0,4]"), 4, SHAPE, "query", "query has 5 dimensions, expected 1 to 4"},
    {QUERY_AT(F32, "[16777217]", "[0,4]"), 4, SHAPE, "query",
     "query has the shape [16777217], expected at most 16777216 in one dimension"},
    {QUERY_AT(F32, "[16777216,16777216,16777216,16]", "[0,4]"), 4, SHAPE, "query",
     "query has the shape [16777216,16777216,16777216,16], " TOO_LARGE},
    {QUERY_AT(F32, "[0,16777216,16777216,16777216]", "[0,0]"), 0, SHAPE, "query",
     "query has the shape [0,16777216,16777216,16777216], " TOO_LARGE},
    {QUERY_AT(F32, "[2]", "[0,4]"), 4, TENSOR, "query",
     "query has 4 bytes of data, but the shape [2] of F32 takes 8"},
    {QUERY_AT(F32, "[1]", "[0,5]"), 5, TENSOR, "query",
     "query has 5 bytes of data, but the shape [1] of F32 takes 4"},
    {QUERY_AT(F32, "[0]", "[0,4]"), 4, TENSOR, "query",
     "query has 4 bytes of data, but the shape [0] of F32 takes 0"},
    {QUERY_AT("\"F64\"", "[1]", "[0,4]"), 4, TENSOR, "query",
     "query has 4 bytes of data, but the shape [1] of F64 takes 8"},
    /* places */
    {QUERY(F32, "[1]", "$7"), 4, TENSOR, "query.data_offsets",
     "query.data_offsets is a number, expected a list of two whole numbers"},
    {QUERY(F32, "[1]", "$[4]"), 4, TENSOR, "query.data_offsets",
     "query.data_offsets has 1 number, expected two"},
    {QUERY(F32, "[1]", "$[0,4,4]"), 4, TENSOR, "query.data_offsets",
     "query.data_offsets has 3 numbers, expected two"},
    {QUERY(F32, "[1]", "[$-4,0]"), 4, TENSOR, "query.data_offsets[0]", "query.data_offsets[0] is -4, " WHOLE},
    {QUERY_AT(F32, "[1]", "[4,0]"), 4, TENSOR, "query.data_offsets", "query.data_offsets is [4,0], " IN_FOUR},
    {QUERY_AT(F32, "[1]", "[0,5]"), 4, TENSOR, "query.data_offsets", "query.data_offsets is [0,5], " IN_FOUR},
    {QUERY_AT(F32, "[1]", "[0,9007199254740991]"), 4, TENSOR, "query.data_offsets",
     "query.data_offsets is [0,9007199254740991], " IN_FOUR},
    {QUERY_AT(F32, "[1]", "[4,8]"), 8, TENSOR, "query.data_offsets",
     "query.data_offsets begins at 4, expected 0: " NO_HOLES},
    {"{" Q_AT(F32, "[1]", "[2,6]") "," K(F32, "[1]", "[0,4]") "}", 6, TENSOR, "query.data_offsets",
     "query.data_offsets begins at 2, expected 4: " NO_HOLES},
    {"{" Q_AT(F32, "[1]", "[8,12]") "," K(F32, "[1]", "[0,4]") "}", 12, TENSOR, "query.data_offsets",
     "query.data_offsets begins at 8, expected 4: " NO_HOLES},
    {"{" Q(F32, "[1]", "[0,4]") "," K_AT(F32, "[1]", "[0,4]") "}", 4, TENSOR, "key.data_offsets",
     "key.data_offsets begins at 0, expected 4: " NO_HOLES},
    /* metadata */
    {"{\"__metadata__\":$[]}", 0, TENSOR, "__metadata__",
     HEADER "found '[' where an object of strings was expected"},
    {"{\"__metadata__\":{},$\"__metadata__\":{}}", 0, TENSOR, "__metadata__",
     HEADER "the key \"__metadata__\" is there twice"},
    {META("\"id\":\"a\",$\"id\":\"b\""), 0, TENSOR, "__metadata__.id",
     HEADER "the key \"id\" is there twice"},
    {META("\"id\":$7"), 0, TENSOR, "__metadata__.id", "__metadata__.id is a number, " STRING},
    {META("\"need_weights\":$true"), 0, TENSOR, "__metadata__.need_weights",
     "__metadata__.need_weights is true, " STRING},
    {META("\"format\":$null"), 0, TENSOR, "__metadata__.format", "__metadata__.format is null, " STRING},
    {META("\"format\":\"$\\x\""), 0, TENSOR, "", HEADER "JSON has no escape \\x in a string"},
    {META("\"id\":\"$\\x\""), 0, TENSOR, "id", HEADER "JSON has no escape \\x in a string"},
    {META("\"seed\":\"$\\x\""), 0, TENSOR, "", HEADER "JSON has no escape \\x in a string"},
    {META("\"id\":$\"a\\u0000\""), 0, VALUE, "id",
     "id holds the character \\u0000, expected a string without it"},
    {META("\"encoding\":$\"hex\""), 0, VALUE, "encoding", "encoding is \"hex\", expected array or base64"},
    {META("\"need_weights\":\"$True\""), 0, JSON, "need_weights",
     NEED_WEIGHTS "found 'True' where true or false was expected"},
    {META("\"need_weights\":\"$\""), 0, JSON, "need_weights",
     NEED_WEIGHTS "the text ends where true or false was expected"},
    {META("\"need_weights\":\"$1\""), 0, VALUE, "need_weights",
     "need_weights is a number, expected true or false"},
    {META("\"need_weights\":\"true $,\""), 0, JSON, "need_weights",
     NEED_WEIGHTS "found ',' where the end of the text was expected"},
    {META("\"seed\":\"$-1\""), 0, VALUE, "seed", "seed is -1, " WHOLE},
    {META("\"return\":\"[$1]\""), 0, VALUE, "return[0]", "return[0] is a number, " RETURNS},
    {META("\"return\":$\"[\\\"x\\\"]\""), 0, VALUE, "return[0]", "return[0] is \"x\", " RETURNS},
    {META("\"view\":\"{$\""), 0, JSON, "view",
     "in the JSON text of view in __metadata__: the text ends where a key in quotation marks was expected"},
    {META("\"view\":$\"{\\\"top\\\":1}\""), 0, FIELD, "view.top",
     "there is no part of view \"top\"; the parts of view are batch, heads, rows, cols, size, pool, top_k"},
    {META("\"view\":\"$[]\""), 0, VALUE, "view", "view is an array, expected an object"},
    {META("\"seed\" $\"1\""), 0, TENSOR, "", HEADER "found '\"' where a colon after a key was expected"},
    {META("\"seed\":$"), 0, TENSOR, "", HEADER "found '}' where a string was expected"},
    {META("\"seed\":\"1\"$:"), 0, TENSOR, "", HEADER "found ':' where a comma or } was expected"},
};
#define REFUSED_COUNT (sizeof refused / sizeof refused[0])

Test(safetensors_wire, refused) {
    static const char zeros[64];
    cr_assert_geq(REFUSED_COUNT, 60);
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        char header[1024];
        const size_t place = take_out_dollar(refused[i].header, header);
        read_parts(header, zeros, refused[i].bytes, i % 16);
        expect_refusal(header, refused[i].code, refused[i].path, refused[i].sentence, 8 + place);
    }
}

/* The offset is that of a byte of the data. */
Test(safetensors_wire, wrong_data) {
    static const float numbers[] = {0, NAN, INFINITY};
    static const struct {
        const char *header;
        const void *data;
        size_t bytes;
        problem_code code;
        const char *path, *sentence;
        size_t at;
    } cases[] = {
        {QUERY(F32, "[1]", "[0,4]"), "\0\0\0\0\0", 5, TENSOR, "", "the body has 1 byte after" THE_LAST, 4},
        {"{}", "\0\0\0", 3, TENSOR, "", "the body has 3 bytes after" THE_LAST, 0},
        {QUERY(F32, "[3]", "[0,12]"), numbers, 12, VALUE, "query[1]", "query[1] must be finite, found NaN",
         4},
        {"{" Q(F32, "[1]", "[0,4]") "," M(F32, "[1,2]", "[4,12]") "}", "\0\0\0\0\0\0\x80\xff\0\0\x80\x7f", 12,
         VALUE, "attn_mask[0][1]", "attn_mask[0][1] must be finite or minus infinity, found infinity", 8},
        {"{" M("\"BOOL\"", "[2,2]", "[0,4]") "}", "\0\1\3\1", 4, TENSOR, "attn_mask[1][0]",
         "attn_mask[1][0] is the byte 0x03, expected 0 or 1 for a boolean", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t shift = 0; shift < 8; shift++) {
            read_parts(cases[i].header, cases[i].data, cases[i].bytes, shift);
            expect_refusal(cases[i].header, cases[i].code, cases[i].path, cases[i].sentence,
                           8 + strlen(cases[i].header) + cases[i].at);
        }
}

/* The 8 bytes before the header. */
Test(safetensors_wire, stated_lengths) {
    static const uint64_t lengths[] = {
        0,         1, 3, 255, (uint64_t)1 << 20, ((uint64_t)1 << 20) + 1, (uint64_t)1 << 32, UINT64_MAX - 7,
        UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char body[10] = "........{}", expected[256];
        const uint64_t stated = htole64(lengths[i]);
        memcpy(body, &stated, 8);
        cr_assert_eq(read_body(body, 10, 0), PROBLEM_MALFORMED_TENSOR);
        snprintf(expected, sizeof expected,
                 "the safetensors header has %llu bytes by the first 8 of the body, expected 2 to 2 in a "
                 "body of 10",
                 (unsigned long long)lengths[i]);
        cr_assert_str_eq(trouble.text, expected, "%s", trouble.text);
        cr_assert_eq(trouble.offset, 0);
    }
    for (size_t length = 0; length < 10; length++) {
        cr_assert_eq(read_body("\2\0\0\0\0\0\0\0{}", length, 0), PROBLEM_MALFORMED_TENSOR);
        cr_assert_eq(trouble.offset, length);
    }
    cr_assert_str_eq(trouble.text, "the body has 9 bytes, expected safetensors, which are at least 10");
}

/* A header may be one mebibyte, and no longer. */
Test(safetensors_wire, longest_header) {
    const size_t longest = SAFETENSORS_HEADER_MAX;
    for (size_t over = 0; over < 2; over++) {
        const uint64_t stated = htole64(longest + over);
        char *body = malloc(8 + longest + over);
        memset(body, ' ', 8 + longest + over);
        memcpy(body, &stated, 8);
        memcpy(body + 8, "{}", 2);
        cr_assert_eq(read_body(body, 8 + longest + over, 0), over ? PROBLEM_MALFORMED_TENSOR : PROBLEM_NONE);
        free(body);
    }
}

static const char changing[] = "{\"__metadata__\":{\"id\":\"x\",\"view\":\"{\\\"rows\\\":[0,2]}\"}," Q(
    F32, "[1,2]", "[0,8]") "," M("\"BOOL\"", "[1,2]", "[8,10]") "," K("\"F64\"", "[1]", "[10,18]") "}";

/* Whatever becomes of the body: an answer, and no byte read that is not there. */
Test(safetensors_wire, random_changes) {
    static const char bytes[] = "\"\\{}[],:01289-F36x\n\x80 ";
    uint64_t state = test_seed("random_changes");
    char body[512], changed[512];
    const size_t length = compose(body, changing, "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0", 18);
    for (size_t cut = 0; cut < length; cut++)
        cr_assert_neq(read_body(body, cut, cut % 8), PROBLEM_NONE);
    cr_assert_eq(read_body(body, length, 0), PROBLEM_NONE, "%s", trouble.text);
    for (int round = 0; round < 50000; round++) {
        memcpy(changed, body, length);
        for (size_t n = 1 + random_below(&state, 3); n > 0; n--)
            changed[random_below(&state, length)] = bytes[random_below(&state, sizeof bytes - 1)];
        if (read_body(changed, length, (size_t)round % 8) == PROBLEM_NONE)
            continue;
        cr_assert(trouble.has_offset && trouble.offset <= length, "%s", trouble.text);
        cr_assert(strlen(trouble.text) > 10);
    }
}

Test(safetensors_wire, memory_that_runs_out) {
    char body[512];
    const size_t length = compose(body, changing, "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0", 18);
    expect_to_run_out(safetensors_read_request, body, length);
}
