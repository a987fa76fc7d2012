/* lexer.h: the tokens of JSON (RFC 8259): white space, literals, strings; and how reading fails. */
#ifndef WIRE_JSON_LEXER_H
#define WIRE_JSON_LEXER_H

#include "core/arena.h"
#include "core/watch.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

/* A loop over text of any length calls json_stopped, as all functions below do. Once the control has said
 * stop, the text ends where the reader is, and with it every such loop; json_end then says why. */
typedef struct {
    const char *start, *at, *end;
    attn_arena *arena;
    problem *p;                  /* where failures are told */
    const char *text;            /* what a sentence calls the whole of it; NULL: "the body" */
    const attn_control *control; /* asked while much is read; NULL: never stop */
    const char *next_ask; /* from here on the control is to be asked; never behind the end; NULL at first */
} json_reader;

/* What the next value is. */
typedef enum {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NAN, /* this and the next two are not JSON, but Python writes them */
    JSON_INFINITY,
    JSON_MINUS_INFINITY,
    JSON_NO_VALUE, /* nothing that a value begins with, or the end */
} json_kind;

/* Asks the control, and sets when it is to be asked again. True: the text ends here. */
bool json_ask(json_reader *r);

/* The same, if it is time to. */
static inline bool json_stopped(json_reader *r) {
    return __builtin_expect(r->at >= r->next_ask, false) && json_ask(r);
}

/* Goes back to where something is to be read once more. */
static inline void json_go_back(json_reader *r, const char *where) {
    r->at = r->next_ask = where;
}

/* Skips white space; true if anything is left after it. */
static inline bool json_skip_space(json_reader *r) {
    for (;;) {
        const char *at = r->at, *const stop = r->next_ask;
        while (at < stop && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
            at++;
        r->at = at;
        if (__builtin_expect(at < stop, true))
            return true;
        if (at >= r->end || json_ask(r))
            return false;
    }
}

/* Skips white space, and `byte` if it is what follows; true if it was. */
static inline bool json_accept(json_reader *r, char byte) {
    if (!json_skip_space(r) || *r->at != byte)
        return false;
    r->at++;
    return true;
}

/* The kind of the value that begins here (after white space, which is skipped). Does not move past it. */
json_kind json_peek(json_reader *r);

/* "an object", "a number", "true", ... for a sentence. */
const char *json_describe(json_kind kind);

/* Moves past a literal that json_peek found here. */
void json_skip_literal(json_reader *r, json_kind kind);

/* Skips null if that is what stands here; true if it was. */
static inline bool json_accept_null(json_reader *r) {
    if (json_peek(r) != JSON_NULL)
        return false;
    json_skip_literal(r, JSON_NULL);
    return true;
}

/* What reading a body comes to, which ended with `code`: the control has the last word. */
problem_code json_end(const json_reader *r, problem_code code);

/* Where the number that begins here ends at the latest: none is longer than JSON_NUMBER_LONGEST. */
#define JSON_NUMBER_LONGEST  ((size_t)1 << 20)
#define JSON_NUMBER_TOO_LONG "is a number of a million characters or more, expected a shorter one"
static inline const char *json_number_end(const json_reader *r) {
    return (size_t)(r->end - r->at) > JSON_NUMBER_LONGEST ? r->at + JSON_NUMBER_LONGEST : r->end;
}

/* Reads the string that begins here with its quotation mark: all of it is checked (escapes, UTF-8), the first
 * `room` bytes of it are written to `out`, and *length is how many it has altogether. */
problem_code json_read_string(json_reader *r, char *out, size_t room, size_t *length);

/* Fails at the byte `where`: fills in the code, the sentence and the offset, no path. */
problem_code json_fail(json_reader *r, const char *where, problem_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, at `path`. */
problem_code json_fail_at(json_reader *r, const char *where, const char *path, problem_code code,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));

/* bad_value: the value that begins here, at `path`, is not what was `expected`. */
problem_code json_fail_kind(json_reader *r, const char *path, const char *expected);

/* Gives the failure that was told the path, if it has an offset and no path yet. Returns its code. */
problem_code json_locate(json_reader *r, const char *path);

/* malformed_json: at this very byte something else was `expected` ("a value"). Tells what was found. */
problem_code json_fail_expected(json_reader *r, const char *expected);

#define JSON_QUOTED_MAX 48

/* Makes bytes of the request fit for a sentence: what is not printable ASCII becomes \xNN, and more than
 * about 40 characters are cut. Returns `quoted`. */
const char *json_quote(const char *bytes, size_t length, char quoted[JSON_QUOTED_MAX]);

/* Names for a sentence, "a, b or c", one after the other; to begin with it is all zero. */
typedef struct {
    char text[640];
    size_t length;
} json_names;

/* Adds a name, with what stands between it and the one before it. What has no room is cut off. */
void json_add_name(json_names *names, const char *between, const char *name);

#endif
