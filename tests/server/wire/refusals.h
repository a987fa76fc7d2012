/* refusals.h: what tables of refused requests share: short names of the codes, a dollar in a text before the
 * byte whose offset is told, and the comparison of a refusal with what was expected. */
#ifndef TESTS_SERVER_WIRE_REFUSALS_H
#define TESTS_SERVER_WIRE_REFUSALS_H

#include "tests/server/wire/reading.h"

#include <criterion/criterion.h>
#include <string.h>

#define OK      PROBLEM_NONE
#define JSON    PROBLEM_MALFORMED_JSON
#define TENSOR  PROBLEM_MALFORMED_TENSOR
#define SHAPE   PROBLEM_BAD_SHAPE
#define VALUE   PROBLEM_BAD_VALUE
#define FIELD   PROBLEM_UNKNOWN_FIELD
#define MISSING PROBLEM_MISSING_FIELD

/* Copies a text without its dollar; returns the dollar's place, or the text's length if there is none. */
static inline size_t take_out_dollar(const char *marked, char *text) {
    const size_t before = strcspn(marked, "$");
    memcpy(text, marked, before);
    strcpy(text + before, marked[before] == '$' ? marked + before + 1 : "");
    return before;
}

/* What was read last was refused in this way. */
static inline void expect_refusal(const char *text, problem_code code, const char *path, const char *sentence,
                                  size_t offset) {
    cr_expect_eq(trouble.code, code, "%s: %s", text, problem_name(trouble.code));
    cr_expect_str_eq(trouble.text, sentence, "%s: %s", text, trouble.text);
    cr_expect_str_eq(trouble.path, path, "%s: %s", text, trouble.path);
    cr_expect(trouble.has_offset);
    cr_expect_eq(trouble.offset, offset, "%s: offset %zu, expected %zu", text, trouble.offset, offset);
}

#endif
