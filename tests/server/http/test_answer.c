/* One list of headers, whichever way an answer leaves. */
#include "server/http/answer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static attn_arena *small;

static void set_up(void) {
    small = attn_arena_new(NULL);
}

static void tear_down(void) {
    attn_arena_free(small);
}

TestSuite(answer, .init = set_up, .fini = tear_down);

static const answer_ending kept = {.request_id = "an-id", .is_kept = true, .idle_seconds = 75};

/* "name: value" of all headers, a line each. */
static const char *lines(const http_exchange *x, const answer_ending *ending) {
    static char text[4096];
    answer_headers list;
    size_t n = 0;
    answer_list_headers(x, ending, &list);
    *text = '\0';
    for (size_t i = 0; i < list.count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s: %s\n", list.headers[i].name,
                              list.headers[i].value);
    return text;
}

#define SERVER "Server: attend-server/" ATTEND_VERSION "\n"

Test(answer, has_the_headers_that_were_set) {
    http_exchange x = {.status = 200, .answer_encoding = ENCODING_GZIP, .small = small};
    http_set_header(&x, "Vary", "Accept-Encoding");
    http_set_header(&x, "Allow", "GET");
    http_set_header(&x, "Vary", "Accept");
    http_set_header(&x, "Allow", "POST"); /* instead of that before */
    cr_expect_str_eq(lines(&x, &kept),
                     SERVER "Content-Type: application/json\nContent-Encoding: gzip\nX-Request-Id: an-id\n"
                            "Allow: POST\nVary: Accept-Encoding, Accept\nKeep-Alive: timeout=75\n");
    x.timings = (http_timings){1500000, 2000000, 3000000, 4000000, 7, "avx2", "int8"};
    x.status = 304;
    const answer_ending closes = {.closes = true, .is_kept = true};
    cr_expect_str_eq(lines(&x, &closes),
                     SERVER "Content-Encoding: gzip\nAllow: POST\nVary: Accept-Encoding, Accept\n"
                            "Server-Timing: parse;dur=1.500, queue;dur=2.000, compute;dur=3.000;desc=\"avx2 "
                            "int8\";batch=7, encode;dur=4.000\nConnection: close\n");
}

Test(answer, a_problem_has_the_fixed_headers_only) {
    http_exchange x = {.status = 200, .media_type = "image/png", .small = small};
    problem p;
    http_set_header(&x, "Allow", "POST");
    x.fixed_headers = x.header_count;
    http_copy_header(&x, "X-Result-Url", "/results/abc");
    http_set_header(&x, "Vary", "Accept");
    problem_set(&p, PROBLEM_QUEUE_FULL, "full");
    http_answer_problem(&x, &p);
    cr_expect_str_eq(lines(&x, &kept), SERVER "Content-Type: application/json\nX-Request-Id: an-id\nAllow: "
                                              "POST\nRetry-After: 1\nKeep-Alive: timeout=75\n");
}

Test(answer, what_does_not_fit_is_left_out) {
    http_exchange x = {.status = 200};
    char names[HTTP_HEADERS_MAX + 2][8], value[HTTP_VALUES_SIZE + 1];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    http_copy_header(&x, "long", value);
    cr_expect_eq(x.header_count, 0);
    http_copy_header(&x, "fits", value + 1);
    cr_expect(x.header_count == 1 && strcmp(x.headers[0].value, value + 1) == 0);
    http_copy_header(&x, "no room", "");
    cr_expect_eq(x.header_count, 1);
    for (size_t i = 0; i < HTTP_HEADERS_MAX + 2; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        http_set_header(&x, names[i], "value");
    }
    cr_expect_eq(x.header_count, HTTP_HEADERS_MAX);
    cr_expect_not_null(strstr(lines(&x, &kept), "n14: value\nKeep-Alive"));
}

Test(answer, is_the_same_as_bytes) {
    http_exchange x = {.status = 413, .answer = {.bytes = (char[]){"body"}, .length = 4}};
    const answer_ending closes = {.request_id = "an-id", .closes = true};
    static const char expected[] =
        "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nServer: attend-server/" ATTEND_VERSION
        "\r\nContent-Type: application/json\r\nX-Request-Id: an-id\r\nConnection: close\r\n\r\nbody";
    char text[sizeof expected];
    const size_t length = answer_write(&x, &closes, "Too Large", text, sizeof expected - 1);
    cr_assert_eq(length, sizeof expected - 1);
    cr_expect_arr_eq(text, expected, length);
    cr_expect_eq(answer_write(&x, &closes, "Too Large", text, sizeof expected - 2), 0);
    cr_expect_eq(answer_write(&x, &closes, "Too Large", text, 10), 0);
}
