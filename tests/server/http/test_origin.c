/* Under which names the service may be asked, and what pages of other sites may do. */
#include "server/http/origin.h"

#include <criterion/criterion.h>
#include <string.h>

static problem p;

Test(origin, a_service_on_a_loopback_address_answers_for_loopback_names) {
    static const options local = {.host = "127.0.0.1"}, named = {.host = "localhost"}, six = {.host = "::1"};
    static const options everywhere = {.host = "0.0.0.0"};
    static const char *const own[] = {"127.0.0.1",    "127.0.0.1:8080", "localhost",
                                      "LocalHost:80", "[::1]:8080",     "[::1]"};
    static const char *const others[] = {"evil.example",
                                         "evil.example:8080",
                                         "localhost.evil.example",
                                         "127.0.0.1.nip.io",
                                         "127.0.0.10",
                                         "[::2]",
                                         "10.0.0.1",
                                         "attend"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        const request_head head = {.method = "GET", .host = own[i]};
        cr_expect_eq(origin_check_host(&head, &local, &p), PROBLEM_NONE, "%s", own[i]);
        cr_expect_eq(origin_check_host(&head, &named, &p), PROBLEM_NONE, "%s", own[i]);
        cr_expect_eq(origin_check_host(&head, &six, &p), PROBLEM_NONE, "%s", own[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const request_head head = {.method = "GET", .host = others[i]};
        cr_expect_eq(origin_check_host(&head, &local, &p), PROBLEM_MISDIRECTED, "%s", others[i]);
        cr_expect(strstr(p.text, others[i]) != NULL && strstr(p.text, "--allowed-host") != NULL, "%s",
                  p.text);
        cr_expect_eq(origin_check_host(&head, &everywhere, &p), PROBLEM_NONE, "%s", others[i]);
    }
    cr_expect_eq(origin_check_host(&(request_head){.method = "GET"}, &local, &p), PROBLEM_NONE);
    cr_expect_eq(origin_check_host(&(request_head){.host = ""}, &local, &p), PROBLEM_NONE);
}

Test(origin, named_hosts_are_the_only_ones) {
    static const options o = {.host = "0.0.0.0",
                              .allowed_hosts = {.words = {"attend.example", "[fd00::1]"}, .count = 2}};
    static const char *const own[] = {"attend.example", "Attend.Example:443", "[fd00::1]:8080"};
    static const char *const others[] = {"attend.example.org", "attend", "localhost", "127.0.0.1",
                                         "[fd00::2]"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        cr_expect_eq(origin_check_host(&(request_head){.host = own[i]}, &o, &p), PROBLEM_NONE, "%s", own[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_eq(origin_check_host(&(request_head){.host = others[i]}, &o, &p), PROBLEM_MISDIRECTED, "%s",
                     others[i]);
}

Test(origin, a_page_elsewhere_may_read_and_nothing_else) {
    static const options o = {.host = "0.0.0.0",
                              .cors_origins = {.words = {"https://app.example"}, .count = 1}};
    static const struct {
        const char *method, *host, *origin, *fetch_site;
        bool allowed;
    } cases[] = {
        {"POST", "a:80", NULL, NULL, true}, /* no browser */
        {"POST", "a:80", "http://a:80", NULL, true},
        {"POST", "a", "https://A", NULL, true},
        {"POST", "a:80", "http://a:81", NULL, false},
        {"POST", "a:80", "null", NULL, false},
        {"POST", NULL, "http://a", NULL, false},
        {"POST", "a", "http://evil.example", "same-origin", true},
        {"POST", "a", NULL, "none", true},
        {"POST", "a", "http://a", "cross-site", false},
        {"POST", "a", NULL, "same-site", false},
        {"DELETE", "a", "http://evil.example", NULL, false},
        {"GET", "a", "http://evil.example", "cross-site", true},
        {"HEAD", "a", "http://evil.example", "cross-site", true},
        {"OPTIONS", "a", "http://evil.example", "cross-site", true},
        {"POST", "a", "https://app.example", "cross-site", true},
        {"POST", "a", "https://app.example:8443", "cross-site", false},
        {"POST", "a", "http://app.example", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const request_head head = {.method = cases[i].method,
                                   .host = cases[i].host,
                                   .origin = cases[i].origin,
                                   .fetch_site = cases[i].fetch_site};
        cr_expect_eq(origin_check_page(&head, &o, &p),
                     cases[i].allowed ? PROBLEM_NONE : PROBLEM_FORBIDDEN_ORIGIN, "case %zu", i);
    }
}

static const char *header(const http_exchange *x, const char *name) {
    for (size_t i = 0; i < x->header_count; i++)
        if (strcmp(x->headers[i].name, name) == 0)
            return x->headers[i].value;
    return "";
}

Test(origin, an_allowed_page_may_read_the_answer) {
    static const options o = {.cors_origins = {.words = {"https://app.example"}, .count = 1}}, none = {0};
    http_exchange x = {.allow = "GET, OPTIONS"};
    request_head head = {.method = "GET", .origin = "https://app.example"};
    origin_set_headers(&head, &o, &x);
    cr_expect_str_eq(header(&x, "Access-Control-Allow-Origin"), "https://app.example");
    cr_expect_str_eq(header(&x, "Vary"), "Origin");
    cr_expect_not_null(strstr(header(&x, "Access-Control-Expose-Headers"), "Server-Timing"));
    cr_expect_str_eq(header(&x, "Access-Control-Allow-Methods"), "");

    http_exchange preflight = {.allow = "POST, OPTIONS"};
    head.method = "OPTIONS", head.request_method = "POST";
    origin_set_headers(&head, &o, &preflight);
    cr_expect_str_eq(header(&preflight, "Access-Control-Allow-Methods"), "POST, OPTIONS");
    cr_expect_not_null(strstr(header(&preflight, "Access-Control-Allow-Headers"), "Authorization"));
    cr_expect_str_eq(header(&preflight, "Access-Control-Allow-Credentials"), "");

    http_exchange other = {.status = 0};
    head.origin = "https://evil.example";
    origin_set_headers(&head, &o, &other);
    cr_expect_str_eq(header(&other, "Access-Control-Allow-Origin"), "");
    cr_expect_str_eq(header(&other, "Vary"), "Origin");

    http_exchange closed = {.status = 0};
    origin_set_headers(&head, &none, &closed);
    cr_expect_eq(closed.header_count, 0);
}
