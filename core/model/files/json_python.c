#include "core/model/files/json_python.h"

#include "core/model/files/json_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX ((size_t)4300) /* digits; Python refuses longer whole numbers */

/* The text being written; it has room for twice what is read. */
typedef struct {
    const char *text;
    size_t at, length;
    char *out;
    size_t written;
} rewriting;

static void put(rewriting *r, const char *bytes, size_t count) {
    memcpy(r->out + r->written, bytes, count);
    r->written += count;
}

/* The number of the escape \uXXXX at `at`; -1: it is none. */
static int escaped(const rewriting *r, size_t at) {
    char digits[5] = "", *end;
    if (at + 6 > r->length || r->text[at] != '\\' || r->text[at + 1] != 'u')
        return -1;
    memcpy(digits, r->text + at + 2, 4);
    const long number = strtol(digits, &end, 16);
    return isxdigit((unsigned char)digits[0]) && *end == '\0' ? (int)number : -1;
}

/* An escape. A zero, or half of a surrogate pair alone, which Python accepts and jansson does not, becomes
 * U+FFFD: a string that was none of the expected ones still is none. */
static void copy_escape(rewriting *r) {
    const int number = escaped(r, r->at), next = escaped(r, r->at + 6);
    const bool is_pair = number >= 0xd800 && number < 0xdc00 && next >= 0xdc00 && next < 0xe000;
    const bool is_half = number >= 0xd800 && number < 0xe000 && !is_pair;
    const size_t left = r->length - r->at, length = number < 0 ? 2 : is_pair ? 12 : 6;
    if (number == 0 || is_half)
        put(r, "\\ufffd", 6);
    else
        put(r, r->text + r->at, length < left ? length : left);
    r->at += length < left ? length : left;
}

/* A string, up to its quotation mark. */
static void copy_string(rewriting *r) {
    put(r, &r->text[r->at++], 1);
    while (r->at < r->length && r->text[r->at] != '"') {
        if (r->text[r->at] == '\\')
            copy_escape(r);
        else
            put(r, &r->text[r->at++], 1);
    }
    if (r->at < r->length)
        put(r, &r->text[r->at++], 1);
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '-' || c == '+' || c == '.';
}

static bool is_whole(const char *word) {
    word += *word == '-';
    return *word != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static bool is_real(const char *word) {
    char *end;
    strtod(word, &end);
    return (*word == '-' || isdigit((unsigned char)*word)) && *end == '\0' &&
           word[strspn(word, "+-.eE0123456789")] == '\0';
}

/* Is it the value of a member or an entry? What stands before a colon, Python refuses too. */
static bool is_value(const rewriting *r, size_t end) {
    while (end < r->length && isspace((unsigned char)r->text[end]))
        end++;
    return end == r->length || r->text[end] != ':';
}

static bool is_beyond_64_bits(const char *word) {
    errno = 0;
    strtoll(word, NULL, 10);
    return errno == ERANGE;
}

/* A number or a literal: rewritten, if Python accepts it and jansson does not. */
static void copy_word(rewriting *r) {
    char word[NUMBER_MAX + 1];
    size_t end = r->at;
    while (end < r->length && is_word(r->text[end]))
        end++;
    const size_t length = end - r->at;
    const char *quotes = "", *suffix = "";
    if (length <= NUMBER_MAX && is_value(r, end)) {
        memcpy(word, r->text + r->at, length);
        word[length] = '\0';
        const bool named =
            strcmp(word, "NaN") == 0 || strcmp(word, "Infinity") == 0 || strcmp(word, "-Infinity") == 0;
        if (named || (is_real(word) && isinf(strtod(word, NULL))))
            quotes = "\"";
        else if (is_whole(word) && is_beyond_64_bits(word))
            suffix = "e0";
    }
    put(r, quotes, strlen(quotes));
    put(r, r->text + r->at, length);
    put(r, suffix, strlen(suffix));
    put(r, quotes, strlen(quotes));
    r->at = end;
}

attn_status attn_json_parse_python(const char *where, const char *text, size_t length, json_t **object,
                                   attn_error *error) {
    rewriting r = {.text = text, .length = length, .out = malloc(2 * length + 4)};
    if (r.out == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to read %zu bytes", where, length);
    while (r.at < r.length) {
        if (r.text[r.at] == '"')
            copy_string(&r);
        else if (is_word(r.text[r.at]))
            copy_word(&r);
        else
            put(&r, &r.text[r.at++], 1);
    }
    const attn_status status = attn_json_parse_last(where, r.out, r.written, object, error);
    free(r.out);
    return status;
}
