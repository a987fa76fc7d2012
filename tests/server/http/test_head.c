/* A request's head: one value a header, however it was sent. */
#include "server/http/head.h"
#include "tests/arena.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(head, .init = set_up, .fini = tear_down);

typedef struct {
    const char *name, *value;
} line;

/* Takes the lines, up to one without a name. */
static request_head head_of(const line *lines) {
    request_head head = {0};
    for (; lines->name != NULL; lines++)
        cr_assert(head_take(&head, arena, lines->name, lines->value));
    return head;
}

static void check_text(const char *got, const char *expected) {
    cr_assert(got != NULL && strcmp(got, expected) == 0, "'%s', expected '%s'", got == NULL ? "(none)" : got,
              expected);
}

Test(head, lines_of_a_list_are_joined) {
    const line lines[] = {{"accept", "a/b"},
                          {"Content-Encoding", "identity"},
                          {"ACCEPT", " c/d;q=0.5 \t"},
                          {"Accept-Encoding", "gzip"},
                          {"Accept", ""},
                          {"Content-Encoding", "gzip "},
                          {"If-None-Match", "\"x\""},
                          {"Accept", "\te/f"},
                          {"If-None-Match", "\"y\""},
                          {"Connection", "close"},
                          {"X-Request-Id", "one"},
                          {"X-Request-Id", "two"},
                          {NULL, NULL}};
    const request_head head = head_of(lines);
    check_text(head.accept, "a/b, c/d;q=0.5, , e/f");
    check_text(head.content_encoding, "identity, gzip");
    check_text(head.accept_encoding, "gzip");
    check_text(head.if_none_match, "\"x\", \"y\"");
    check_text(head.connection, "close");
    check_text(head.request_id, "one, two");
    cr_assert_null(head.repeated);
}

/* Hundreds of lines: nothing is lost, and what was joined before is not kept. */
Test(head, a_list_may_have_any_number_of_lines) {
    enum { LINES = 1000 };
    attn_budget budget = {.limit = 200000};
    attn_arena *small = attn_arena_new(&budget);
    request_head head = {0};
    char value[16], expected[LINES * 8] = "";
    for (size_t i = 0, n = 0; i < LINES; i++) {
        snprintf(value, sizeof value, "a/%zu", i);
        n += (size_t)snprintf(expected + n, sizeof expected - n, "%s%s", i == 0 ? "" : ", ", value);
        char *kept = attn_arena_alloc(small, sizeof value);
        memcpy(kept, value, sizeof value);
        cr_assert(head_take(&head, small, "Accept", kept), "%zu", i);
    }
    check_text(head.accept, expected);
    attn_arena_free(small);
}

Test(head, what_may_be_there_once_is_not_taken_twice) {
    static const char *const once[] = {"Content-Type", "Host", "X-Request-Timeout",
                                       "Inference-Header-Content-Length", "Content-Length"};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        const line different[] = {{once[i], "1"}, {once[i], "2"}, {NULL, NULL}};
        const line same[] = {{once[i], "1"}, {once[i], " 1 "}, {NULL, NULL}};
        request_head head = head_of(different);
        check_text(head.repeated, once[i]);
        head = head_of(same);
        if (strcmp(once[i], "Content-Length") == 0)
            cr_assert_null(head.repeated);
        else
            check_text(head.repeated, once[i]);
    }
}

Test(head, blanks_around_a_value_are_not_part_of_it) {
    static const char *const names[] = {"Content-Type", "Host",          "X-Request-Timeout",
                                        "Accept",       "Connection",    "Inference-Header-Content-Length",
                                        "X-Request-Id", "Content-Length"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const line lines[] = {{names[i], " \t1 2\t "}, {NULL, NULL}};
        const request_head head = head_of(lines);
        const char *const values[] = {head.content_type, head.host,          head.request_timeout,
                                      head.accept,       head.connection,    head.inference_header,
                                      head.request_id,   head.content_length};
        check_text(values[i], "1 2");
    }
}

Test(head, framing_is_what_the_library_made_of_it) {
    const line plain[] = {{"Transfer-Encoding", "Chunked"}, {NULL, NULL}};
    const line blank[] = {{"Transfer-Encoding", "chunked "}, {NULL, NULL}};
    const line two[] = {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}, {NULL, NULL}};
    const line name[] = {{"Accept ", "*/*"}, {NULL, NULL}};
    cr_assert(head_of(plain).transfer_encoding && !head_of(plain).bad_transfer_encoding);
    cr_assert(head_of(blank).bad_transfer_encoding);
    cr_assert(head_of(two).bad_transfer_encoding);
    cr_assert(head_of(name).spaced_name);
}

Test(head, an_absolute_path_names_its_host) {
    static const struct {
        const char *given, *path, *host;
    } paths[] = {
        {"/healthz", "/healthz", "old"},
        {"*", "*", "old"},
        {"http://h/healthz", "/healthz", "h"},
        {"https://h:1/healthz", "/healthz", "h:1"},
        {"HtTpS://h", "/", "h"},
        {"HTTP://[::1]:8080/a/b", "/a/b", "[::1]:8080"},
        {"http:/h/", "http:/h/", "old"},
        {"ftp://h/", "ftp://h/", "old"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        request_head head = {.host = "old"};
        cr_assert(head_set_path(&head, arena, paths[i].given));
        check_text(head.path, paths[i].path);
        check_text(head.host, paths[i].host);
    }
}

Test(head, knows_a_host_when_it_sees_one) {
    static const char *const good[] = {
        "",        "x",     "localhost:8080",          "127.0.0.1",          "[::1]", "[::1]:80",
        "a_b.c-d", "a%20b", "xn--bcher-kva.example:1", "[fe80::1%25eth0]:1", "a:"};
    static const char *const bad[] = {
        "a b/", "a/",  "a b",   "a:80x", "a:80:90", "[::1", "[]",    "[::1]x",   "a@b",   "a\\b", "a%2",
        "a%zz", "a?b", "\"a\"", "<a>",   "[",       "::1",  "a\x01", "\xc3\xa9", "a,b c", "a#b",  "http://a"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(head_is_host(good[i]), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!head_is_host(bad[i]), "'%s'", bad[i]);
}

Test(head, separators_in_quotes_do_not_separate) {
    static const char *const expected[] = {"a;p=\"x,y\\\",z\"", "b", "c=\"open, d"};
    const char *const header = " ,a;p=\"x,y\\\",z\" , b,, c=\"open, d";
    head_part rest = {header, strlen(header)}, part;
    for (size_t i = 0; i < 3; i++) {
        cr_assert(head_next(&rest, ',', &part));
        cr_assert(head_is(part, expected[i]), "%zu: '%.*s'", i, (int)part.length, part.text);
    }
    cr_assert(!head_next(&rest, ',', &part));
    cr_assert(head_lists("keep-alive, Close", "close"));
    cr_assert(!head_lists("closer", "close"));
    cr_assert(!head_lists(NULL, "close"));
}
