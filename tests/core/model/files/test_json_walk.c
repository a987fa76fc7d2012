/* The walk over the members of an object, against jansson's own reader of the whole. */
#include "core/model/files/json_walk.h"

#include "tests/random.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Walks over a text and builds the object again. NULL, and the sentence, if it is refused. */
static json_t *rebuild(const char *text, size_t length, attn_error *error) {
    json_t *object = json_object();
    attn_walk walk;
    attn_status status = attn_walk_begin(&walk, "text", text, length, error);
    while (status == ATTN_OK) {
        char *name;
        attn_walk_value value;
        json_t *parsed = NULL;
        status = attn_walk_next(&walk, &name, &value, error);
        if (name == NULL)
            break;
        status = attn_walk_parse(&walk, name, &value, SIZE_MAX, SIZE_MAX, &parsed, error);
        if (status == ATTN_OK && json_object_get(object, name) != NULL)
            status = attn_fail(error, ATTN_BAD_MODEL, "%s twice", name);
        if (status == ATTN_OK)
            json_object_set(object, name, parsed);
        json_decref(parsed);
        free(name);
    }
    if (status != ATTN_OK) {
        cr_assert_eq(status, ATTN_BAD_MODEL);
        json_decref(object);
        return NULL;
    }
    return object;
}

/* Expects the walk to find in a text what jansson finds. Returns whether that is an object. */
static bool agrees(const char *text, size_t length) {
    attn_error error = {""};
    json_t *expected = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (expected != NULL && !json_is_object(expected)) {
        json_decref(expected);
        expected = NULL;
    }
    /* A text of its exact length: reading beyond it is an error that AddressSanitizer sees. */
    char *exact = malloc(length + (length == 0));
    memcpy(exact, text, length);
    json_t *found = rebuild(exact, length, &error);
    free(exact);
    const bool is_object = expected != NULL;
    cr_assert_eq(found != NULL, is_object, "'%.*s': %s", (int)length, text, error.text);
    cr_assert(!is_object || json_equal(found, expected), "'%.*s'", (int)length, text);
    json_decref(found);
    json_decref(expected);
    return is_object;
}

static const char *const texts[] = {
    "{}",
    " {\n} \t\r\n",
    "{\"a\":1}",
    "{\"\":null,\"b\":[1,2.5e3,-0],\"c\":{\"d\":[]}}",
    " { \"a\" : \"x\\\"]}\" , \"b\\\\\" : true , \"\\u0063\\ud83d\\ude00\" : [ [ { } ] ] } ",
    "{\"k\xc3\xa4se\":{\"[\":\"}\"},\"z\":[\"\\\\\",\"\\u007f\"]}",
};

Test(json_walk, finds_what_jansson_finds) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect(agrees(texts[i], strlen(texts[i])), "%s", texts[i]);
}

Test(json_walk, refuses_what_jansson_refuses) {
    static const char *const bad[] = {"",           " ",           "[]",
                                      "1",          "\"a\"",       "{",
                                      "}",          "{}}",         "{}{}",
                                      "{},",        "{,}",         "{\"a\"}",
                                      "{\"a\":}",   "{\"a\":1,}",  "{\"a\":1 1}",
                                      "{a:1}",      "{\"a\" 1}",   "{\"a\":1]",
                                      "{\"a\":[}",  "{\"a\":[1}",  "{\"a\":{]}",
                                      "{\"a\":\"}", "{\"a\\\":1}", "{\"a\xff\":1}",
                                      "{\"a",       "{\"a\":01}",  "{\"a\":tru}",
                                      "{1:2}",      "{\"a\":'1'}", "{\"\\u0000\":1}",
                                      "{\"a\":1:",  "{[]:1}",      "{\"a\":\"\x01\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(!agrees(bad[i], strlen(bad[i])), "%s", bad[i]);
    cr_expect(!agrees("{}\0", 3));
    cr_expect(!agrees("{\"a\"\0:1}", 8));
}

Test(json_walk, agrees_on_random_damage) {
    static const char pieces[] = "{}[]:,\"\\ 1a\xc3\n";
    uint64_t random = test_seed("json_walk") | 1;
    int good = 0;
    for (int round = 0; round < 60000; round++) {
        char text[128];
        const char *from = texts[random_bits(&random) % (sizeof texts / sizeof texts[0])];
        size_t length = strlen(from);
        memcpy(text, from, length);
        for (uint64_t left = 1 + random_bits(&random) % 3; left > 0 && length > 1; left--) {
            const size_t at = random_bits(&random) % length;
            const char piece = pieces[random_bits(&random) % (sizeof pieces - 1)];
            const uint64_t kind = random_bits(&random) % 4;
            if (kind == 0) {
                text[at] = piece;
            } else if (kind == 1) {
                memmove(text + at + 1, text + at, length - at);
                text[at] = piece;
                length++;
            } else if (kind == 2) {
                memmove(text + at, text + at + 1, --length - at);
            } else {
                length = at + 1;
            }
        }
        good += agrees(text, length);
    }
    cr_expect(good > 1000 && good < 59000, "%d of 60000 are objects", good);
}

/* Expects that the first member, or the walk to it, is refused so. */
static void says(const char *text, size_t bytes, size_t depth, const char *sentence) {
    attn_error error = {""};
    attn_walk walk;
    attn_walk_value value;
    json_t *parsed;
    char *name = NULL;
    attn_status status = attn_walk_begin(&walk, "text", text, strlen(text), &error);
    if (status == ATTN_OK)
        status = attn_walk_next(&walk, &name, &value, &error);
    if (status == ATTN_OK)
        status = attn_walk_parse(&walk, name, &value, bytes, depth, &parsed, &error);
    cr_expect_eq(status, ATTN_BAD_MODEL);
    cr_expect_str_eq(error.text, sentence);
    free(name);
}

Test(json_walk, says_where_and_what) {
    says("  [1]", 9, 9, "text: byte 2: expected a JSON object, found '['");
    says("", 9, 9, "text: byte 0: expected a JSON object, found the end");
    says("{t:1}", 9, 9, "text: not valid JSON: byte 1: expected a name in quotation marks, found 't'");
    says("{\"t\"\xff", 9, 9, "text: not valid JSON: byte 4: expected a colon, found '\\xff'");
    says("{} x", 9, 9, "text: not valid JSON: byte 3: expected nothing after the object, found 'x'");
    says("{\"t\":\"0123456789\"}", 9, 9,
         "text: \"t\": 12 bytes of JSON, nested 0 deep: at most 9 bytes, 9 deep, expected");
    says("{\"t\n\":[[],[[]]]}", 99, 2, "text: not valid JSON: byte 3: unexpected newline near '\"t'");
    says("{\"t\\n\":[[],[[]]]}", 99, 2,
         "text: \"t\\x0a\": 9 bytes of JSON, nested 3 deep: at most 99 bytes, 2 deep, expected");
}

Test(json_walk, enters_an_inner_object) {
    static const char text[] = "{\"map\": {\"a\":1, \"b\":[2]} , \"last\":0}";
    attn_error error = {""};
    attn_walk outer, inner;
    attn_walk_value value;
    char *name;
    cr_assert_eq(attn_walk_begin(&outer, "text", text, sizeof text - 1, &error), ATTN_OK);
    cr_assert_eq(attn_walk_next(&outer, &name, &value, &error), ATTN_OK);
    free(name);
    cr_assert_eq(attn_walk_enter(&inner, &outer, &value, &error), ATTN_OK, "%s", error.text);
    static const char *const names[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(attn_walk_next(&inner, &name, &value, &error), ATTN_OK, "%s", error.text);
        cr_expect_str_eq(name, names[i]);
        free(name);
    }
    cr_assert_eq(attn_walk_next(&inner, &name, &value, &error), ATTN_OK);
    cr_assert_null(name);
    cr_assert_eq(attn_walk_next(&outer, &name, &value, &error), ATTN_OK);
    cr_assert_str_eq(name, "last");
    free(name);
    cr_assert_eq(attn_walk_enter(&inner, &outer, &value, &error), ATTN_BAD_MODEL);
    cr_expect_str_eq(error.text, "text: byte 34: expected a JSON object, found '0'");
}
