/* The reader of the Open Inference Protocol: a corpus of damaged requests with code, path and sentence;
 * values against bit patterns; texts cut at every byte, mutated at random, and read while memory runs out. */
#include "server/wire/oip/oip.h"
#include "tests/random.h"
#include "tests/server/requests.h"
#include "tests/server/wire/oip/corpus.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static oip_options options;

TestSuite(oip_read, .init = set_up, .fini = tear_down);

static char *body_bytes; /* of the request that was read last; tensors may lie in it */

/* Reads a body from memory that ends where it does, so that a sanitizer sees a byte read too much; `shift`
 * bytes off an aligned address. */
static problem_code read_body(const char *json, size_t json_length, const char *binary, size_t binary_length,
                              long header, size_t shift) {
    const size_t length = json_length + binary_length;
    static char *allocated;
    free(allocated);
    allocated = malloc(shift + length + 1);
    cr_assert(allocated != NULL);
    allocated = realloc(allocated, shift + length == 0 ? 1 : shift + length);
    body_bytes = allocated + shift;
    memcpy(body_bytes, json, json_length);
    if (binary_length > 0)
        memcpy(body_bytes + json_length, binary, binary_length);
    const oip_body body = {.bytes = length == 0 ? NULL : body_bytes,
                           .length = length,
                           .has_json_length = header != NO_HEADER,
                           .json_length = header == JSON_ONLY ? json_length
                                          : header < 0        ? 0
                                                              : (size_t)header};
    memset(&trouble, 0, sizeof trouble);
    const problem_code code = oip_read_request(&body, arena, NULL, &request, &options, &trouble);
    cr_assert_eq(code, trouble.code);
    return code;
}

static problem_code read_json(const char *json) {
    return read_body(json, strlen(json), NULL, 0, NO_HEADER, 0);
}

static void expect_read(const char *json) {
    cr_assert_eq(read_json(json), PROBLEM_NONE, "%s: %s", json, trouble.text);
}

static void expect_damage(const char *what, size_t length, problem_code code, const char *path,
                          const char *said) {
    cr_expect_eq(trouble.code, code, "%s: code %s, expected %s: %s", what, problem_name(trouble.code),
                 problem_name(code), trouble.text);
    cr_expect_not_null(strstr(trouble.text, said), "%s: '%s' is not in: %s", what, said, trouble.text);
    cr_expect_str_eq(trouble.path, path, "%s: %s at %s", what, trouble.text, trouble.path);
    check_refusal(what, length);
}

Test(oip_read, damaged_requests) {
    const size_t count = sizeof damaged / sizeof damaged[0];
    const size_t binary_count = sizeof damaged_binary / sizeof damaged_binary[0];
    cr_assert_geq(count + binary_count, 100);
    for (size_t i = 0; i < count; i++) {
        read_json(damaged[i].json);
        expect_damage(damaged[i].json, strlen(damaged[i].json), damaged[i].code, damaged[i].path,
                      damaged[i].said);
    }
    for (size_t i = 0; i < binary_count; i++) {
        const char *json = damaged_binary[i].json;
        const size_t length = strlen(json), more = damaged_binary[i].binary_length;
        read_body(json, length, damaged_binary[i].binary, more, damaged_binary[i].header, 0);
        expect_damage(json, length + more, damaged_binary[i].code, damaged_binary[i].path,
                      damaged_binary[i].said);
    }
}

/* The offset is that of the byte in the body, wherever the mistake is. */
Test(oip_read, offsets) {
    const char *json = INPUTS(SIZED("key", "[1]", "FP32", "4") "," SIZED("query", "[1,2]", "FP32", "8"));
    cr_assert_eq(read_body(json, strlen(json), "\0\0\0\0\0\0\0\0\0\0\xc0\x7f", 12, JSON_ONLY, 0),
                 PROBLEM_BAD_VALUE);
    cr_assert(trouble.has_offset);
    cr_assert_eq(trouble.offset, strlen(json) + 8);
    static const char *const texts[] = {DATA("[1,2]", "FP32", "[1,NaN]"),
                                        INPUTS("{\"data\":[1,NaN],\"shape\":[2],\"datatype\":\"FP32\","
                                               "\"name\":\"query\"}"),
                                        PARAMETERS("\"view\":\"{\\\"rows\\\":3}\""),
                                        OUTPUTS("{\"name\":\"x\"}"), FULL("\"id\":true")};
    static const char *const places[] = {"NaN", "NaN", "\"{\\", "\"x\"", "true"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_assert_neq(read_json(texts[i]), PROBLEM_NONE);
        cr_assert(trouble.has_offset);
        cr_assert_eq(trouble.offset, (size_t)(strstr(texts[i], places[i]) - texts[i]), "%s: %s at %zu",
                     texts[i], trouble.text, trouble.offset);
    }
}

/* ---- Requests that are fine ---- */

Test(oip_read, reads_all_that_a_request_says) {
    expect_read(
        "{\"id\":\"\\u00e9 "
        "1\",\"model_name\":\"x\",\"model_version\":\"1\",\"parameters\":{\"is_causal\":false,"
        "\"query_offset\":7,\"key_offset\":8,\"need_weights\":true,\"average_attn_weights\":true,"
        "\"omit_extra\":true,\"training\":true,\"seed\":9007199254740991,\"view\":\"{\\\"heads\\\":[1,0],"
        "\\\"rows\\\":[2,5]}\",\"timeout\":5000,\"priority\":3,\"sequence_id\":0,\"sequence_start\":true,"
        "\"sequence_end\":false,\"binary_data_output\":true},\"inputs\":[" QUERY "]}");
    cr_assert_str_eq(request.id, "\xc3\xa9 1");
    cr_assert_null(request.model);
    cr_assert_eq(request.is_causal, SWITCH_OFF);
    cr_assert(request.query_offset.value == 7 && request.key_offset.value == 8);
    cr_assert(request.need_weights && request.average_attn_weights && request.omit_extra && request.training);
    cr_assert_eq(request.seed.value, 9007199254740991);
    cr_assert(request.view.present && request.view.heads.count == 2 && request.view.heads.items[0] == 1);
    cr_assert(request.view.rows.items[0] == 2 && request.view.rows.items[1] == 5);
    cr_assert_eq(options.timeout.value, 5000);
    cr_assert(options.binary_output && !options.borrows && options.asked_count == 0);
    cr_assert(request.query.present && request.query.rank == 2 && request.query.data[1] == 2);
}

Test(oip_read, takes_null_and_nothing_for_absent) {
    expect_read("{\"id\":null,\"parameters\":null,\"outputs\":null,\"inputs\":[" QUERY "]}");
    cr_assert(request.id == NULL && options.asked_count == 0 && !request.need_weights);
    expect_read("{\"parameters\":{\"view\":null,\"is_causal\":null,\"sequence_id\":\"\"},\"outputs\":[],"
                "\"inputs\":[{\"name\":\"query\",\"shape\":[1,2],\"datatype\":\"FP32\",\"parameters\":null,"
                "\"data\":[1,2]}]}");
    cr_assert(!request.view.present && request.is_causal == SWITCH_ABSENT && options.asked_count == 0);
    expect_read(PARAMETERS("\"view\":\"null\""));
    cr_assert(!request.view.present);
    expect_read("{}"); /* that the query is missing is said when the request meets its model */
    cr_assert(!request.query.present);
    expect_read("{\"inputs\":null}");
    cr_assert_eq(read_body(INPUTS(QUERY) " \n", strlen(INPUTS(QUERY)) + 2, "", 0, JSON_ONLY, 0),
                 PROBLEM_NONE);
}

/* What is asked for, and what that means for the request. */
static const struct {
    const char *parameters, *outputs;
    bool need_weights;
    unsigned returned;
    const char *asked;
} wanted[] = {
    {"", "{\"name\":\"output\"}", false, 0, "output"},
    {"", "{\"name\":\"attn_weights\"},{\"name\":\"output\"}", true, 0, "attn_weights output"},
    {"\"need_weights\":true", "{\"name\":\"output\"}", false, 0, "output"},
    {"\"need_weights\":false", "{\"name\":\"attn_weights\"}", true, 0, "attn_weights"},
    {"", "{\"name\":\"q\"},{\"name\":\"k\"},{\"name\":\"v\"}", false,
     1U << RETURN_Q | 1U << RETURN_K | 1U << RETURN_V, "q k v"},
    {"",
     "{\"parameters\":{\"binary_data\":true},\"name\":\"lse\"},{\"name\":\"entropy\",\"parameters\":null}",
     false, 1U << RETURN_LSE | 1U << RETURN_ENTROPY, "lse+ entropy"},
    {"", "{\"name\":\"stats\",\"parameters\":{\"binary_data\":false}}", false, 1U << RETURN_STATS, "stats-"},
    {"", "{\"name\":\"stats.argmax\"},{\"name\":\"stats.max\"}", false, 1U << RETURN_STATS,
     "stats.argmax stats.max"},
    {"", "{\"name\":\"head_output\"},{\"name\":\"scores\"}", false,
     1U << RETURN_HEAD_OUTPUT | 1U << RETURN_SCORES, "head_output scores"},
    {"\"view\":\"{\\\"top_k\\\":2}\"",
     "{\"name\":\"attn_weights.values\"},{\"name\":\"scores.indices\"},{\"name\":\"attn_weights.indices\"}",
     true, 1U << RETURN_SCORES, "attn_weights.values scores.indices attn_weights.indices"},
};

Test(oip_read, outputs_decide_what_is_computed) {
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char json[1000], asked[200] = "";
        size_t n = 0;
        /* The list of outputs may come before the view that it depends on. */
        snprintf(json, sizeof json, "{\"outputs\":[%s],\"parameters\":{%s},\"inputs\":[]}", wanted[i].outputs,
                 wanted[i].parameters);
        expect_read(json);
        cr_assert_eq(request.need_weights, wanted[i].need_weights, "%s", json);
        cr_assert_eq(request.returned, wanted[i].returned, "%s", json);
        for (size_t j = 0; j < options.asked_count; j++)
            n += (size_t)snprintf(asked + n, sizeof asked - n, "%s%s%s", j == 0 ? "" : " ",
                                  options.asked[j].output->name,
                                  options.asked[j].binary == SWITCH_ON    ? "+"
                                  : options.asked[j].binary == SWITCH_OFF ? "-"
                                                                          : "");
        cr_assert_str_eq(asked, wanted[i].asked);
    }
}

/* Every output that there is at once. */
Test(oip_read, all_outputs_fit) {
    char json[4000];
    size_t n = (size_t)sprintf(json, "{\"parameters\":{\"view\":\"{\\\"top_k\\\":1}\"},\"outputs\":[");
    const attend_output *output;
    size_t count = 0, whole;
    for (; (output = output_at(count, &whole)) != NULL; count++) {
        const char *name = output->name;
        if (strcmp(name, "attn_weights") != 0 && strcmp(name, "scores") != 0 && strcmp(name, "stats") != 0)
            n += (size_t)sprintf(json + n, "%s{\"name\":\"%s\"}", count == 0 ? "" : ",", name);
    }
    sprintf(json + n, "]}");
    expect_read(json);
    cr_assert_eq(options.asked_count, count - 3);
    cr_assert_eq(request.returned, (1U << RETURN_COUNT) - 1);
}

/* ---- Values ---- */

static void expect_tensor(const request_tensor *t, const size_t *shape, size_t rank, const float *values,
                          size_t count, const char *what) {
    cr_assert(t->present, "%s", what);
    cr_assert_eq(t->rank, rank, "%s", what);
    cr_assert_arr_eq(t->shape, shape, rank * sizeof *shape, "%s", what);
    cr_assert(!t->open);
    cr_assert_arr_eq(t->data, values, count * sizeof *values, "%s", what);
}

/* 1.5, -2, 0, 0.25 as the bytes of each type (IEEE 754-2019, section 3.4; bfloat16: the upper half of
 * binary32). */
static const struct {
    const char *type, *size, *bytes;
    size_t length;
} encodings[] = {
    {"FP32", "16", "\0\0\xc0\x3f\0\0\0\xc0\0\0\0\0\0\0\x80\x3e", 16},
    {"FP64", "32", "\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xd0\x3f", 32},
    {"FP16", "8", "\0\x3e\0\xc0\0\0\0\x34", 8},
    {"BF16", "8", "\xc0\x3f\0\xc0\0\0\x80\x3e", 8},
};

Test(oip_read, binary_tensors_of_every_type_at_every_alignment) {
    const float values[] = {1.5F, -2, 0, 0.25F};
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        for (size_t shift = 0; shift < 8; shift++) {
            char json[300];
            snprintf(json, sizeof json, INPUTS(SIZED("query", "[2,1,2]", "%s", "%s")), encodings[i].type,
                     encodings[i].size);
            const size_t length = strlen(json);
            cr_assert_eq(read_body(json, length, encodings[i].bytes, encodings[i].length, JSON_ONLY, shift),
                         PROBLEM_NONE, "%s", trouble.text);
            expect_tensor(&request.query, (const size_t[]){2, 1, 2}, 3, values, 4, json);
            /* float32 that are aligned stay where they are. */
            const bool aligned = (uintptr_t)(body_bytes + length) % sizeof(float) == 0 && i == 0;
            cr_assert_eq((const char *)request.query.data == body_bytes + length, aligned);
            cr_assert_eq(options.borrows, aligned);
        }
}

/* The body is needed as long as any of its tensors lies in it, whatever follows or precedes that one. */
Test(oip_read, one_tensor_in_the_body_and_one_that_is_not) {
    static const char *const texts[] = {
        INPUTS(SIZED("query", "[1,2]", "FP32", "8") "," SIZED("attn_mask", "[1,8]", "BOOL", "8")),
        INPUTS(SIZED("attn_mask", "[1,8]", "BOOL", "8") "," SIZED("query", "[1,2]", "FP32", "8"))};
    bool any = false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t shift = 0; shift < 4; shift++) {
            const size_t length = strlen(texts[i]);
            cr_assert_eq(
                read_body(texts[i], length, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, JSON_ONLY, shift),
                PROBLEM_NONE, "%s", trouble.text);
            const char *query = (const char *)request.query.data;
            const bool lies_there = query >= body_bytes && query < body_bytes + length + 16;
            cr_assert_eq(lies_there, (uintptr_t)(body_bytes + length) % sizeof(float) == 0);
            cr_assert_eq(options.borrows, lies_there);
            any |= lies_there;
        }
    cr_assert(any);
}

Test(oip_read, masks) {
    const float excluded[] = {0, -INFINITY, -INFINITY, 0};
    const char *json =
        INPUTS(SIZED("key_padding_mask", "[2,2]", "BOOL", "4") "," SIZED("attn_mask", "[1,4]", "FP32", "16"));
    cr_assert_eq(
        read_body(json, strlen(json), "\0\1\1\0\0\0\0\0\0\0\x80\xff\0\0\x80\xff\0\0\0\0", 20, JSON_ONLY, 0),
        PROBLEM_NONE, "%s", trouble.text);
    expect_tensor(&request.key_padding_mask, (const size_t[]){2, 2}, 2, excluded, 4, json);
    expect_tensor(&request.attn_mask, (const size_t[]){1, 4}, 2, excluded, 4, json);
    cr_assert(request.key_padding_mask.boolean && !request.attn_mask.boolean);
    expect_read(MASK("[2,2]", "BOOL", "[[false,true],[true,false]]"));
    expect_tensor(&request.attn_mask, (const size_t[]){2, 2}, 2, excluded, 4, "BOOL");
    cr_assert(request.attn_mask.boolean);
    expect_read(MASK("[2,2]", "FP64", "[0,-Infinity,\"-inf\",0]"));
    expect_tensor(&request.attn_mask, (const size_t[]){2, 2}, 2, excluded, 4, "FP64");
    expect_read(MASK("[2,2]", "FP32", "[0,null,null,0]"));
    expect_tensor(&request.attn_mask, (const size_t[]){2, 2}, 2, excluded, 4, "null");
    cr_assert_not(request.attn_mask.boolean);
    expect_read(MASK("[1,2]", "FP32", "[0,1]"));
    cr_assert(request.attn_mask.is_zero_one);
    json = INPUTS(SIZED("attn_mask", "[1,2]", "FP32", "8"));
    cr_assert_eq(read_body(json, strlen(json), "\0\0\0\0\0\0\x80\x3f", 8, JSON_ONLY, 0), PROBLEM_NONE);
    cr_assert(request.attn_mask.is_zero_one);
}

Test(oip_read, empty_tensors) {
    static const char *const texts[] = {
        DATA("[2,0,8]", "FP32", "[]"), DATA("[2,0,8]", "FP32", "[[],[]]"),
        INPUTS(SIZED("query", "[2,0,8]", "FP32", "0")),
        /* as KServe's client says it */
        INPUTS("{\"name\":\"query\",\"shape\":[2,0,8],\"datatype\":\"FP32\",\"data\":null,\"parameters\":"
               "{\"binary_data_size\":0}}")};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (long header = JSON_ONLY; header <= NO_HEADER; header++) {
            cr_assert_eq(read_body(texts[i], strlen(texts[i]), "", 0, header, 0), PROBLEM_NONE, "%s: %s",
                         texts[i], trouble.text);
            expect_tensor(&request.query, (const size_t[]){2, 0, 8}, 3, (const float[]){0}, 0, texts[i]);
            cr_assert_not_null(request.query.data);
        }
    expect_read(MASK("[0,3]", "BOOL", "[]"));
    cr_assert(request.attn_mask.boolean);
}

/* Appends the elements from *next on in the dimensions from `axis` on, nested. */
static void write_nested(char *text, const float *values, const size_t *shape, size_t rank, size_t axis,
                         size_t *next) {
    strcat(text, "[");
    for (size_t i = 0; i < shape[axis]; i++) {
        if (i > 0)
            strcat(text, ",");
        if (axis + 1 < rank)
            write_nested(text, values, shape, rank, axis + 1, next);
        else
            sprintf(text + strlen(text), "%.9g", (double)values[(*next)++]);
    }
    strcat(text, "]");
}

/* Random tensors in random forms, the members of their inputs in random order. */
Test(oip_read, random_requests) {
    uint64_t state = test_seed("oip_random_requests");
    static const char *const names[] = {"query", "key", "value", "attn_mask"};
    for (size_t round = 0; round < 500; round++) {
        static char json[40000], binary[4000];
        static float values[4][256];
        size_t shapes[4][4], ranks[4], counts[4], binary_length = 0;
        strcpy(json, "{\"inputs\":[");
        for (size_t t = 0; t < 4; t++) {
            char members[5][9000];
            ranks[t] = 1 + random_below(&state, 4);
            counts[t] = 1;
            for (size_t i = 0; i < ranks[t]; i++)
                counts[t] *= shapes[t][i] = random_below(&state, 10) == 0 ? 0 : 1 + random_below(&state, 3);
            for (size_t i = 0; i < counts[t]; i++)
                values[t][i] = random_float(&state);
            sprintf(members[0], "\"name\":\"%s\"", names[t]);
            strcpy(members[1], "\"shape\":[");
            for (size_t i = 0; i < ranks[t]; i++)
                sprintf(members[1] + strlen(members[1]), "%s%zu", i == 0 ? "" : " , ", shapes[t][i]);
            strcat(members[1], "]");
            sprintf(members[2], "\"datatype\":\"FP%s\"", random_below(&state, 2) == 0 ? "32" : "64");
            const bool as_binary = random_below(&state, 2) == 0;
            if (as_binary) {
                strcpy(members[2], "\"datatype\":\"FP32\"");
                sprintf(members[3], "\"parameters\" : {\"binary_data_size\":%zu}", counts[t] * sizeof(float));
                memcpy(binary + binary_length, values[t], counts[t] * sizeof(float));
                binary_length += counts[t] * sizeof(float);
            } else {
                size_t next = 0;
                const bool flat = random_below(&state, 2) == 0;
                strcpy(members[3], "\"data\": ");
                write_nested(members[3], values[t], flat ? &counts[t] : shapes[t], flat ? 1 : ranks[t], 0,
                             &next);
            }
            strcpy(members[4], as_binary ? "\"data\":null" : "\"parameters\":{}");
            strcat(json, t == 0 ? "{" : ",{");
            for (size_t left = 5; left > 0; left--) {
                const size_t pick = random_below(&state, left);
                strcat(json, members[pick]);
                strcat(json, left > 1 ? "," : "}");
                memmove(members[pick], members[left - 1], sizeof members[0]);
            }
        }
        strcat(json, "]}");
        cr_assert_eq(read_body(json, strlen(json), binary, binary_length, JSON_ONLY, random_below(&state, 4)),
                     PROBLEM_NONE, "%s: %s", json, trouble.text);
        const request_tensor *read[] = {&request.query, &request.key, &request.value, &request.attn_mask};
        for (size_t t = 0; t < 4; t++)
            expect_tensor(read[t], shapes[t], ranks[t], values[t], counts[t], json);
        tear_down();
        set_up();
    }
}

/* ---- Broken in every way ---- */

#define SAMPLE                                                                                               \
    "{\"id\":\"a\\u0041\",\"inputs\":[" SIZED("query", "[1,2]", "FP32", "8") "," SIZED(                      \
        "attn_mask", "[2,2]", "BOOL",                                                                        \
        "4") ",{\"name\":\"key\",\"data\":[[1.5,-2e3]],\"shape\":[1,2],\"datatype\":\"FP64\"}],"             \
             "\"outputs\":[{\"name\":\"lse\",\"parameters\":{\"binary_data\":true}},{\"name\":\"stats\"}],"  \
             "\"parameters\":{\"view\":\"{\\\"rows\\\":[0,1]}\",\"seed\":12,\"binary_data_output\":false}}"
#define SAMPLE_BINARY "\0\0\x80\x3f\0\0\0\x40\0\1\1\0"
enum { SAMPLE_BINARY_LENGTH = 12 };

/* Every beginning of a request is refused, with the header as it was or as it would be for the rest. */
Test(oip_read, cut_at_every_byte) {
    const size_t json = strlen(SAMPLE);
    cr_assert_eq(read_body(SAMPLE, json, SAMPLE_BINARY, SAMPLE_BINARY_LENGTH, JSON_ONLY, 0), PROBLEM_NONE,
                 "%s", trouble.text);
    for (size_t length = 0; length < json; length++)
        for (int way = 0; way < 3; way++) {
            const long header = way == 0 ? (long)json : way == 1 ? JSON_ONLY : NO_HEADER;
            cr_assert_neq(read_body(SAMPLE, length, "", 0, header, 0), PROBLEM_NONE, "%zu", length);
            check_refusal("cut", length);
        }
    for (size_t length = 0; length < SAMPLE_BINARY_LENGTH; length++) {
        cr_assert_eq(read_body(SAMPLE, json, SAMPLE_BINARY, length, JSON_ONLY, 0), PROBLEM_MALFORMED_TENSOR);
        check_refusal("cut", json + length);
    }
    for (long header = 0; header < (long)(json + SAMPLE_BINARY_LENGTH) + 5; header++)
        if (header != (long)json) {
            cr_assert_neq(read_body(SAMPLE, json, SAMPLE_BINARY, SAMPLE_BINARY_LENGTH, header, 0),
                          PROBLEM_NONE, "%ld", header);
            check_refusal("header", json + SAMPLE_BINARY_LENGTH);
        }
}

/* Whatever becomes of a request that is changed at random: it is read, or refused with a sentence. */
Test(oip_read, mutated_at_random) {
    uint64_t state = test_seed("oip_mutated_at_random");
    static const char *const pieces[] = {"\"",   "{",   "}",   "[",  "]",    ",",  ":",
                                         "null", "-1",  "1e9", "0",  "true", "\\", "16777217",
                                         "{\"",  "\"}", "[[",  "]]", "\x80", ""};
    for (size_t round = 0; round < 30000; round++) {
        char text[1000];
        size_t length = strlen(SAMPLE);
        memcpy(text, SAMPLE, length);
        memcpy(text + length, SAMPLE_BINARY, SAMPLE_BINARY_LENGTH);
        length += SAMPLE_BINARY_LENGTH;
        for (size_t n = 1 + random_below(&state, 3); n > 0; n--) {
            const char *piece = pieces[random_below(&state, sizeof pieces / sizeof pieces[0])];
            const size_t at = random_below(&state, length), cut = random_below(&state, 4);
            const size_t end = at + cut < length ? at + cut : length;
            memmove(text + at + strlen(piece), text + end, length - end);
            memcpy(text + at, piece, strlen(piece));
            length = length - (end - at) + strlen(piece);
        }
        const long header = (long)strlen(SAMPLE) + (long)random_below(&state, 7) - 3;
        if (read_body(text, length, "", 0, random_below(&state, 4) == 0 ? NO_HEADER : header, 0) !=
            PROBLEM_NONE)
            check_refusal("mutated", length);
        if (round % 100 == 99) {
            tear_down();
            set_up();
        }
    }
}

/* With ever more memory the same request fails with the budget, and in the end does not. */
Test(oip_read, out_of_memory) {
    const size_t json = strlen(SAMPLE);
    problem_code code = PROBLEM_QUEUE_FULL;
    size_t limit = 0, failures = 0;
    for (; code != PROBLEM_NONE; limit += 8, failures++) {
        attn_budget budget = {.limit = limit};
        attn_arena_free(arena);
        arena = attn_arena_new(&budget);
        cr_assert_not_null(arena);
        code = read_body(SAMPLE, json, SAMPLE_BINARY, SAMPLE_BINARY_LENGTH, JSON_ONLY, 1);
        cr_assert(code == PROBLEM_NONE || code == PROBLEM_QUEUE_FULL, "%zu: %s", limit, trouble.text);
        attn_arena_free(arena);
        arena = NULL;
    }
    cr_assert_gt(failures, 10);
    set_up();
}
