/* Whole numbers and lists of them in JSON requests: any way of writing one, and none that is not whole. */
#include "server/attend/request.h"
#include "server/wire/json/json.h"
#include "tests/random.h"
#include "tests/server/wire/reading.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(json_option, .init = set_up, .fini = tear_down);

static problem_code read_text(const char *text) {
    return json_read_request(text, strlen(text), arena, NULL, &request, &trouble);
}

static problem_code read_labels(const char *list) {
    char text[4000];
    cr_assert_lt(snprintf(text, sizeof text, "{\"query_labels\":%s}", list), (int)sizeof text);
    return read_text(text);
}

/* One behind the other, each with its NUL. */
Test(json_option, labels) {
    const request_labels *labels = &request.query_labels;
    cr_assert_eq(read_labels(" [ \"a\" , \"\", \"b\\u00e9\\n\"] "), PROBLEM_NONE, "%s", trouble.text);
    cr_assert(labels->present);
    cr_assert_eq(labels->count, 3);
    cr_assert_eq(labels->length, 8);
    cr_assert_arr_eq(labels->text, "a\0\0b\xc3\xa9\n", 8);
    cr_assert_eq(read_labels("[]"), PROBLEM_NONE);
    cr_assert(labels->present && labels->count == 0 && labels->length == 0);
    cr_assert_eq(read_labels("null"), PROBLEM_NONE);
    cr_assert_not(labels->present);
}

Test(json_option, labels_that_are_none) {
    static const struct {
        const char *list, *path, *said;
    } bad[] = {
        {"\"a\"", "query_labels", "query_labels is a string, expected a list of strings"},
        {"[1]", "query_labels[0]", "query_labels[0] is a number, expected a string"},
        {"[\"a\",null]", "query_labels[1]", "query_labels[1] is null, expected a string"},
        {"[\"a\",[\"b\"]]", "query_labels[1]", "query_labels[1] is an array, expected a string"},
        {"[\"a\\u0000b\"]", "query_labels[0]", "\\u0000"},
    };
    char list[300];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(read_labels(bad[i].list), PROBLEM_BAD_VALUE, "%s", bad[i].list);
        cr_expect_str_eq(trouble.path, bad[i].path, "%s: %s", bad[i].list, trouble.path);
        cr_expect_not_null(strstr(trouble.text, bad[i].said), "%s: %s", bad[i].list, trouble.text);
        cr_expect(trouble.has_offset);
    }
    snprintf(list, sizeof list, "[\"%0256d\"]", 0);
    cr_assert_eq(read_labels(list), PROBLEM_NONE);
    snprintf(list, sizeof list, "[\"%0257d\"]", 0);
    cr_assert_eq(read_labels(list), PROBLEM_BAD_VALUE);
    cr_assert_not_null(strstr(trouble.text, "257 bytes long, expected at most 256"), "%s", trouble.text);
    cr_assert_eq(read_labels("[\"a\" \"b\"]"), PROBLEM_MALFORMED_JSON);
}

/* A whole number may be written in any way, and only a whole one: zeros are put behind the point, or an
 * exponent makes up for a point that moved. */
Test(json_option, random_whole_numbers) {
    uint64_t state = test_seed("random_whole_numbers");
    for (int round = 0; round < 20000; round++) {
        const uint64_t value = random_bits(&state) >> (11 + random_below(&state, 53));
        char digits[32], text[128];
        const size_t length = (size_t)sprintf(digits, "%llu", (unsigned long long)value);
        const size_t shift = random_below(&state, length);
        switch (random_below(&state, 4)) {
        case 0:
            sprintf(text, "{\"seed\":%s}", digits);
            break;
        case 1:
            sprintf(text, "{\"seed\":%s.%.*s}", digits, 1 + (int)random_below(&state, 30),
                    "000000000000000000000000000000");
            break;
        case 2: /* 123 is 1.23e2 */
            sprintf(text, "{\"seed\":%.*s.%s0e+%zu}", (int)(length - shift), digits, digits + length - shift,
                    shift);
            break;
        default: /* and 1230e-1 */
            sprintf(text, "{\"seed\":%s%.*sE-%zu}", digits, (int)shift, "00000000000000000000", shift);
            break;
        }
        cr_assert_eq(read_text(text), PROBLEM_NONE, "%s: %s", text, trouble.text);
        cr_assert(request.seed.present && request.seed.value == value, "%s", text);
        sprintf(text, "{\"seed\":%s.%.*s1}", digits, (int)random_below(&state, 30),
                "000000000000000000000000000000");
        cr_assert_eq(read_text(text), PROBLEM_BAD_VALUE, "%s", text);
        sprintf(text, "{\"seed\":1%s1e-1}", digits);
        cr_assert_eq(read_text(text), PROBLEM_BAD_VALUE, "%s", text);
    }
}

Test(json_option, a_long_list) {
    char *text = malloc(1 << 20), *at = text + sprintf(text, "{\"view\":{\"heads\":[");
    for (size_t i = 0; i < 10000; i++)
        at += sprintf(at, "%s%zu", i == 0 ? "" : ",", 9999 - i);
    strcpy(at, "]}}");
    cr_assert_eq(read_text(text), PROBLEM_NONE, "%s", trouble.text);
    cr_assert_eq(request.view.heads.count, 10000);
    for (size_t i = 0; i < 10000; i++)
        cr_assert_eq(request.view.heads.items[i], 9999 - i);
    free(text);
}
