/* config.json as Python reads it: what jansson refuses and Python takes, and that nothing else is taken. */
#include "core/model/files/json_python.h"

#include "core/model/files/json_value.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static json_t *taken(const char *text) {
    json_t *object = NULL;
    attn_error error = {""};
    cr_assert_eq(attn_json_parse_python("text", text, strlen(text), &object, &error), ATTN_OK, "%s: %s", text,
                 error.text);
    return object;
}

/* Expects a value of key "x" to be written so by jansson. */
static void is(const char *value, const char *expected) {
    char text[700];
    snprintf(text, sizeof text, "{\"a\":1,\"x\":%s}", value);
    json_t *object = taken(text);
    char *found =
        json_dumps(json_object_get(object, "x"), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(5));
    cr_expect_str_eq(found, expected, "%s: %s, expected %s", value, found, expected);
    free(found);
    json_decref(object);
}

Test(json_python, what_json_has_too) {
    static const char *const same[] = {
        "0",
        "-7",
        "9223372036854775807",
        "-9223372036854775808",
        "true",
        "false",
        "null",
        "\"NaN\"",
        "[]",
        "{}",
        "[1,\"-Infinity, 1e999\",{\"Infinity\":2}]",
        "\"\\\\\"",
        "\"a\\\\\\\"b: NaN\"",
        "1.5",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        is(same[i], same[i]);
    is(" [ 1 , 2 ]\n", "[1,2]");
    is("1e5", "1e5");
}

Test(json_python, what_only_python_has) {
    is("NaN", "\"NaN\"");
    is("-Infinity", "\"-Infinity\"");
    is("[Infinity,1e999,-1e999]", "[\"Infinity\",\"1e999\",\"-1e999\"]");
    is("1000000000000000019884624838656", "1e30");
    is("[9223372036854775808,-9223372036854775809]", "[9.2234e18,-9.2234e18]");
    is("\"a\\ud800\"", "\"a\xef\xbf\xbd\"");
    is("\"\\udc00\\ud800z\\u0000\"", "\"\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\"");
    is("\"\\ud83d\\ude00\\u00e4\\\\ud800\"", "\"\xf0\x9f\x98\x80\xc3\xa4\\\\ud800\"");
    json_t *object = taken("{\"x\":1,\"y\":{\"z\":1,\"z\":2},\"x\":\"last\"}");
    cr_expect_str_eq(json_string_value(json_object_get(object, "x")), "last");
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(object, "y"), "z")), 2);
    json_decref(object);
    char text[512] = "{\"x\":1";
    memset(text + 6, '0', 400);
    strcpy(text + 406, "}"); /* 400 digits: beyond a double as well */
    object = taken(text);
    cr_expect(json_is_string(json_object_get(object, "x")));
    json_decref(object);
}

Test(json_python, what_neither_has) {
    static const char *const bad[] = {
        // clang-format off
        "",                              "[]",                            "{",
        "{\"x\":nan}",                   "{\"x\":infinity}",              "{\"x\":+Infinity}",
        "{\"x\":--Infinity}",            "{NaN:1}",                       "{\"x\":1,Infinity : 2}",
        "{\"x\":NaNs}",                  "{\"x\":Infinity1}",             "{\"x\":.5}",
        "{\"x\":1.}",                    "{\"x\":0x10}",                  "{\"x\":1 2}",
        "{\"x\":\"\\ud80\"}",            "{\"x\":\"\\ud80",               "{\"x\":\"\\u000g\"}",
        "{\"x\":\"\\u+000\"}",           "{\"x\":\"NaN}",                 "{\"x\":1,}",
        "{\"x\":\"\\",                   "{\"x\":99999999999999999999a}", "{\"x\":1}}",
        // clang-format on
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *object = NULL;
        attn_error error = {""};
        cr_expect_eq(attn_json_parse_python("text", bad[i], strlen(bad[i]), &object, &error), ATTN_BAD_MODEL,
                     "%s", bad[i]);
        cr_expect_eq(strncmp(error.text, "text: ", 6), 0, "%s", error.text);
        json_decref(object);
    }
}
