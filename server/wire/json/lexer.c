#include "server/wire/json/lexer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ASK_EVERY 65536 /* bytes that are read before the control is asked again */

bool json_ask(json_reader *r) {
    r->next_ask = (size_t)(r->end - r->at) > ASK_EVERY ? r->at + ASK_EVERY : r->end;
    if (!attn_control_stops(r->control))
        return false;
    r->end = r->next_ask = r->at;
    return true;
}

problem_code json_end(const json_reader *r, problem_code code) {
    return attn_control_stops(r->control) ? problem_from_core(r->p, ATTN_CANCELLED, NULL) : code;
}

problem_code json_fail(json_reader *r, const char *where, problem_code code, const char *format, ...) {
    char text[sizeof r->p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set(r->p, code, "%s", text);
    r->p->offset = (size_t)(where - r->start);
    r->p->has_offset = true;
    return code;
}

problem_code json_fail_at(json_reader *r, const char *where, const char *path, problem_code code,
                          const char *format, ...) {
    char text[sizeof r->p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_fail(r, where, code, "%s", text);
    problem_at(r->p, path);
    return code;
}

problem_code json_fail_kind(json_reader *r, const char *path, const char *expected) {
    const json_kind kind = json_peek(r);
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, expected);
    return json_fail_at(r, r->at, path, PROBLEM_BAD_VALUE, "%s is %s, expected %s", path, json_describe(kind),
                        expected);
}

problem_code json_locate(json_reader *r, const char *path) {
    if (r->p->has_offset && r->p->path[0] == '\0')
        problem_at(r->p, path);
    return r->p->code;
}

void json_add_name(json_names *names, const char *between, const char *name) {
    if (names->length < sizeof names->text)
        names->length += (size_t)snprintf(names->text + names->length, sizeof names->text - names->length,
                                          "%s%s", names->length == 0 ? "" : between, name);
}

const char *json_quote(const char *bytes, size_t length, char quoted[JSON_QUOTED_MAX]) {
    char *out = quoted;
    const char *const last = quoted + JSON_QUOTED_MAX - sizeof "\\xNN...";
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        if (out > last) {
            memcpy(out, "...", 3);
            out += 3;
            break;
        }
        if (byte >= 0x20 && byte < 0x7f)
            *out++ = (char)byte;
        else
            out += sprintf(out, "\\x%02x", byte);
    }
    *out = '\0';
    return quoted;
}

static bool is_word_byte(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_';
}

static const char *whole(const json_reader *r) {
    return r->text != NULL ? r->text : "the body";
}

problem_code json_fail_expected(json_reader *r, const char *expected) {
    char quoted[JSON_QUOTED_MAX];
    if (r->at == r->end)
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "%s ends where %s was expected", whole(r),
                         expected);
    size_t length = 1;
    while (length < JSON_QUOTED_MAX && is_word_byte(r->at[length - 1]) && r->at + length < r->end &&
           is_word_byte(r->at[length]))
        length++;
    return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "found '%s' where %s was expected",
                     json_quote(r->at, length, quoted), expected);
}

static const struct {
    const char *word; /* of a literal */
    size_t length;
    const char *description;
} kinds[] = {
    [JSON_OBJECT] = {"", 0, "an object"},
    [JSON_ARRAY] = {"", 0, "an array"},
    [JSON_STRING] = {"", 0, "a string"},
    [JSON_NUMBER] = {"", 0, "a number"},
    [JSON_NULL] = {"null", 4, "null"},
    [JSON_TRUE] = {"true", 4, "true"},
    [JSON_FALSE] = {"false", 5, "false"},
    [JSON_NAN] = {"NaN", 3, "NaN"},
    [JSON_INFINITY] = {"Infinity", 8, "Infinity"},
    [JSON_MINUS_INFINITY] = {"-Infinity", 9, "-Infinity"},
    [JSON_NO_VALUE] = {"", 0, "no value"},
};

const char *json_describe(json_kind kind) {
    return kinds[kind].description;
}

void json_skip_literal(json_reader *r, json_kind kind) {
    r->at += kinds[kind].length;
}

/* Does exactly this literal stand here, and not the beginning of a longer word? */
static bool is_literal(const json_reader *r, json_kind kind) {
    const size_t length = kinds[kind].length, left = (size_t)(r->end - r->at);
    return left >= length && memcmp(r->at, kinds[kind].word, length) == 0 &&
           (left == length || !is_word_byte(r->at[length]));
}

static json_kind literal_or_nothing(const json_reader *r, json_kind kind) {
    return is_literal(r, kind) ? kind : JSON_NO_VALUE;
}

json_kind json_peek(json_reader *r) {
    if (!json_skip_space(r))
        return JSON_NO_VALUE;
    switch (*r->at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 'n':
        return literal_or_nothing(r, JSON_NULL);
    case 't':
        return literal_or_nothing(r, JSON_TRUE);
    case 'f':
        return literal_or_nothing(r, JSON_FALSE);
    case 'N':
        return literal_or_nothing(r, JSON_NAN);
    case 'I':
        return literal_or_nothing(r, JSON_INFINITY);
    case '-':
        return is_literal(r, JSON_MINUS_INFINITY) ? JSON_MINUS_INFINITY : JSON_NUMBER;
    default:
        return *r->at >= '0' && *r->at <= '9' ? JSON_NUMBER : JSON_NO_VALUE;
    }
}

/* ---- Strings ---- */

/* Where a string goes; what does not fit is only counted. */
typedef struct {
    char *out;
    size_t room, length;
} string_sink;

static void put(string_sink *sink, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++, sink->length++)
        if (sink->length < sink->room)
            sink->out[sink->length] = bytes[i];
}

static void put_code_point(string_sink *sink, uint32_t c) {
    char bytes[4];
    size_t count = 0;
    if (c < 0x80) {
        bytes[count++] = (char)c;
    } else if (c < 0x800) {
        bytes[count++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        bytes[count++] = (char)(0xe0 | c >> 12);
        bytes[count++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        bytes[count++] = (char)(0xf0 | c >> 18);
        bytes[count++] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[count++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        bytes[count++] = (char)(0x80 | (c & 0x3f));
    put(sink, bytes, count);
}

/* The length of the character of UTF-8 that begins at `at`, 0 if none does: the table of well-formed byte
 * sequences of Unicode (The Unicode Standard, section 3.9, table 3-7), which leaves out overlong forms,
 * surrogates, and what is beyond U+10FFFF. */
static size_t utf8_length(const char *at, const char *end) {
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *bytes = (const unsigned char *)at;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const size_t length = forms[i].length;
        if (bytes[0] < forms[i].first_low || bytes[0] > forms[i].first_high)
            continue;
        if (length > (size_t)(end - at))
            return 0;
        if (length > 1 && (bytes[1] < forms[i].second_low || bytes[1] > forms[i].second_high))
            return 0;
        for (size_t j = 2; j < length; j++)
            if (bytes[j] < 0x80 || bytes[j] > 0xbf)
                return 0;
        return length;
    }
    return 0;
}

/* The number that four hexadecimal digits at `at` make, or -1. */
static int32_t read_hex4(const char *at, const char *end) {
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char c = at[i];
        if (c >= '0' && c <= '9')
            value = 16 * value + (c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            value = 16 * value + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* Reads \uXXXX, or the two of a surrogate pair, from its backslash on. */
static problem_code read_unicode_escape(json_reader *r, string_sink *sink) {
    const char *const escape = r->at;
    int32_t c = read_hex4(escape + 2, r->end);
    if (c < 0)
        return json_fail(r, escape, PROBLEM_MALFORMED_JSON,
                         "\\u in a string is not followed by four hexadecimal digits");
    r->at += 6;
    if (c >= 0xd800 && c <= 0xdfff) {
        const bool pair = c <= 0xdbff && r->end - r->at >= 2 && r->at[0] == '\\' && r->at[1] == 'u';
        const int32_t low = pair ? read_hex4(r->at + 2, r->end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return json_fail(r, escape, PROBLEM_MALFORMED_JSON,
                             "\\u%04x in a string is half of a surrogate pair, and the other half is missing",
                             (unsigned)c);
        r->at += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_code_point(sink, (uint32_t)c);
    return PROBLEM_NONE;
}

/* Reads one escape from its backslash on. */
static problem_code read_escape(json_reader *r, string_sink *sink) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char quoted[JSON_QUOTED_MAX];
    if (r->end - r->at < 2)
        return json_fail(r, r->end, PROBLEM_MALFORMED_JSON, "%s ends inside a string", whole(r));
    if (r->at[1] == 'u')
        return read_unicode_escape(r, sink);
    const char *name = memchr(names, r->at[1], sizeof names - 1);
    if (name == NULL)
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "JSON has no escape %s in a string",
                         json_quote(r->at, 2, quoted));
    put(sink, &meanings[name - names], 1);
    r->at += 2;
    return PROBLEM_NONE;
}

problem_code json_read_string(json_reader *r, char *out, size_t room, size_t *length) {
    string_sink sink = {out, room, 0};
    for (r->at++; !json_stopped(r) && r->at < r->end && *r->at != '"';) {
        if (*r->at == '\\') {
            PROBLEM_TRY(read_escape(r, &sink));
            continue;
        }
        if ((unsigned char)*r->at < 0x20)
            return json_fail(r, r->at, PROBLEM_MALFORMED_JSON,
                             "the control character 0x%02x stands unescaped in a string",
                             (unsigned char)*r->at);
        const size_t bytes = utf8_length(r->at, r->end);
        if (bytes == 0)
            return json_fail(r, r->at, PROBLEM_MALFORMED_JSON,
                             "the byte 0x%02x in a string does not begin a character of UTF-8",
                             (unsigned char)*r->at);
        put(&sink, r->at, bytes);
        r->at += bytes;
    }
    if (r->at == r->end)
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "%s ends inside a string", whole(r));
    r->at++;
    *length = sink.length;
    return PROBLEM_NONE;
}
