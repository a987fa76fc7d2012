/* What is refused from the headers alone. */
#include "server/http/admission.h"

#include "server/routes/routes.h"

#include <criterion/criterion.h>
#include <string.h>

static const options limits = {
    .host = "127.0.0.1", .max_body = 1000, .max_connections = 10, .request_timeout = 500};

/* For what the query of a picture says. */
static attn_arena *arena;

static void set_up(void) {
    arena = attn_arena_new(NULL);
}

static void tear_down(void) {
    attn_arena_free(arena);
}

TestSuite(admission, .init = set_up, .fini = tear_down);

static problem_code judge(const request_head *head, http_exchange *x, problem *p) {
    *x = (http_exchange){.small = arena};
    return admit(head, &service_routes, &limits, x, p);
}

/* A request head that is fine; a test spoils one thing in it. */
#define FINE .method = "POST", .path = "/attend"
#define OIP  .method = "POST", .path = "/v2/models/a/infer"

static const struct {
    request_head head;
    problem_code code;
    const char *named; /* in the sentence */
} table[] = {
    {{FINE}, PROBLEM_NONE, ""},
    {{FINE, .content_type = "application/json"}, PROBLEM_NONE, ""},
    {{FINE, .content_length = "1000", .content_type = "Application/JSON ; charset=utf-8"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "text/html, application/*;q=0.5"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "*/*"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "*/*;q=0, application/json"}, PROBLEM_NONE, ""},
    {{FINE, .content_length = "5", .content_encoding = "identity"}, PROBLEM_NONE, ""},
    {{.method = "POST", .path = "/attend/bert.3"}, PROBLEM_NONE, ""},
    {{.method = "HEAD", .path = "/healthz"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "text/html, text/plain, application/json"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "text/html, image/gif"}, PROBLEM_NOT_ACCEPTABLE, "text/html"},
    {{FINE, .accept = "text/html"}, PROBLEM_NOT_ACCEPTABLE, "text/html"},
    {{FINE, .accept = "application/json;q=0"}, PROBLEM_NOT_ACCEPTABLE, "q=0"},
    {{FINE, .accept = "image/*, image/png; q=0.0"}, PROBLEM_NOT_ACCEPTABLE, "Accept"},
    {{FINE, .accept = "application/jsonx"}, PROBLEM_NOT_ACCEPTABLE, "Accept"},
    {{FINE, .content_length = "5", .content_type = "text/plain"},
     PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "text/plain"},
    {{FINE, .content_length = "5", .content_encoding = "br"}, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "'br'"},
    {{FINE, .content_length = "1001"}, PROBLEM_TOO_LARGE, "--max-body"},
    {{FINE, .content_length = "99999999999999999999999999"}, PROBLEM_TOO_LARGE, "--max-body"},
    {{FINE, .parameters = {{"mode", "x"}}, .parameter_count = 1}, PROBLEM_UNKNOWN_FIELD, "'mode'"},
    {{FINE, .content_type = ""}, PROBLEM_NONE, ""},
    {{FINE, .accept = "image/png", .parameters = {{"head", "2"}}, .parameter_count = 1}, PROBLEM_NONE, ""},
    {{FINE, .parameters = {{"head", "2"}}, .parameter_count = 1}, PROBLEM_UNKNOWN_FIELD, "Accept: image/png"},
    {{FINE, .accept = "image/png", .parameters = {{"head", "2"}, {"head", "3"}}, .parameter_count = 2},
     PROBLEM_BAD_VALUE,
     "twice"},
    {{FINE, .accept = "image/png", .parameters = {{"head", "2"}, {"mode", "3"}}, .parameter_count = 2},
     PROBLEM_UNKNOWN_FIELD,
     "'mode'"},
    {{FINE, .accept = "image/png", .parameters = {[7] = {"head", "1"}}, .parameter_count = 9},
     PROBLEM_BAD_VALUE,
     "more than"},
    {{FINE, .request_timeout = "0"}, PROBLEM_BAD_VALUE, "X-Request-Timeout"},
    {{FINE, .request_timeout = "-5"}, PROBLEM_BAD_VALUE, "'-5'"},
    {{FINE, .request_timeout = "5s"}, PROBLEM_BAD_VALUE, "'5s'"},
    {{FINE, .extra = true}, PROBLEM_UNAVAILABLE, "--max-connections"},
    {{.method = "GET", .path = "/nowhere", .extra = true}, PROBLEM_UNAVAILABLE, "--max-connections"},
    {{.method = "PUT", .path = "/healthz", .extra = true}, PROBLEM_UNAVAILABLE, "--max-connections"},
    {{.method = "GET", .path = "/healthz", .extra = true}, PROBLEM_NONE, ""},
    {{.method = "HEAD", .path = "/readyz", .extra = true}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/v2/health/live", .extra = true}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/v2/health/ready", .extra = true}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/v2/models/a/ready", .extra = true},
     PROBLEM_UNAVAILABLE,
     "--max-connections"},
    {{FINE, .repeated = "Host"}, PROBLEM_BAD_REQUEST, "more than one Host header"},
    {{FINE, .host = "a b/"}, PROBLEM_BAD_REQUEST, "'a b/'"},
    {{FINE, .host = "[::1]:8080"}, PROBLEM_NONE, ""},
    {{FINE, .accept = "application/json;profile=\"a;q=0\""}, PROBLEM_NONE, ""},
    {{FINE, .accept = "application/json;profile=\"a,b\\\";q=0, c\";q=0"}, PROBLEM_NOT_ACCEPTABLE, "profile"},
    {{FINE, .accept = "application/json ; Q=0"}, PROBLEM_NOT_ACCEPTABLE, "Q=0"},
    {{FINE, .accept = "application/json;xq=0"}, PROBLEM_NONE, ""},
    {{FINE, .accept = " , ,"}, PROBLEM_NONE, ""},
    {{FINE, .content_length = "5", .content_encoding = "identity, identity, gzip"}, PROBLEM_NONE, ""},
    {{FINE, .content_length = "5", .content_encoding = "gzip, deflate"},
     PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "'gzip, deflate'"},
    {{FINE, .content_length = "5", .content_type = "application/json, text/plain"},
     PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "text/plain"},
    {{FINE, .spaced_name = true}, PROBLEM_BAD_REQUEST, "space"},
    {{FINE, .transfer_encoding = true, .bad_transfer_encoding = true}, PROBLEM_BAD_REQUEST, "'chunked'"},
    {{FINE, .encoded_slash = true}, PROBLEM_BAD_REQUEST, "slash"},
    {{FINE, .content_length = "5", .transfer_encoding = true}, PROBLEM_BAD_REQUEST, "both"},
    {{FINE, .http_1_0 = true, .transfer_encoding = true}, PROBLEM_BAD_REQUEST, "HTTP/1.0"},
    {{.method = "GET", .path = "/attend"}, PROBLEM_METHOD_NOT_ALLOWED, "POST"},
    {{.method = "POST", .path = "/models"}, PROBLEM_METHOD_NOT_ALLOWED, "GET"},
    {{.method = "GET", .path = "/"}, PROBLEM_NONE, ""},
    {{.method = "HEAD", .path = "/assets/main.js", .accept = "text/javascript"}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/assets/"}, PROBLEM_NOT_FOUND, "'/assets/'"},
    {{.method = "GET", .path = "/assets/a/b"}, PROBLEM_NOT_FOUND, "'/assets/a/b'"},
    {{.method = "GET", .path = "/assets/a", .parameters = {{"v", "1"}}, .parameter_count = 1},
     PROBLEM_UNKNOWN_FIELD,
     "'v'"},
    {{.method = "GET", .path = "/results/abc", .accept = "text/html"}, PROBLEM_NONE, ""},
    {{.method = "DELETE", .path = "/results/abc"}, PROBLEM_NONE, ""},
    {{.method = "POST", .path = "/results/abc"}, PROBLEM_METHOD_NOT_ALLOWED, "takes GET, HEAD, DELETE"},
    {{.method = "GET", .path = "/results/abc.json"}, PROBLEM_NONE, ""},
    {{.method = "DELETE", .path = "/results/abc.json"}, PROBLEM_METHOD_NOT_ALLOWED, "takes GET, HEAD"},
    {{.method = "GET", .path = "/results/abc.json", .parameters = {{"head", "1"}}, .parameter_count = 1},
     PROBLEM_UNKNOWN_FIELD,
     "'head'"},
    {{.method = "GET",
      .path = "/results/abc/heatmap.png",
      .parameters = {{"head", "1"}, {"scale", "log"}},
      .parameter_count = 2},
     PROBLEM_NONE,
     ""},
    {{.method = "GET",
      .path = "/results/abc/heatmap.png",
      .parameters = {{"head", "x"}},
      .parameter_count = 1},
     PROBLEM_BAD_VALUE,
     "head is 'x'"},
    {{.method = "DELETE", .path = "/results/abc/heatmap.png"}, PROBLEM_METHOD_NOT_ALLOWED, "takes GET, HEAD"},
    {{.method = "GET", .path = "/results/"}, PROBLEM_NOT_FOUND, "GET /results/{id}"},
    {{.method = "GET", .path = "/results/abc/"}, PROBLEM_NOT_FOUND, "GET /results/{id}"},
    {{.method = "POST", .path = "/attend/"}, PROBLEM_NOT_FOUND, "'/attend/'"},
    {{.method = "POST", .path = "/attend/a/b"}, PROBLEM_NOT_FOUND, "'/attend/a/b'"},
    {{.method = "GET", .path = "/healthzz"}, PROBLEM_NOT_FOUND, "'/healthzz'"},
    {{.method = "GET", .path = "/v2"}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/v2/", .accept = "text/html"}, PROBLEM_NONE, ""},
    {{.method = "GET", .path = "/v2/models/a"}, PROBLEM_NONE, ""},
    {{.method = "HEAD", .path = "/v2/models/a/versions/1/ready"}, PROBLEM_NONE, ""},
    {{OIP}, PROBLEM_NONE, ""},
    {{OIP, .content_length = "9", .content_type = "application/octet-stream"}, PROBLEM_NONE, ""},
    {{OIP, .content_length = "9", .content_encoding = "br"}, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "'br'"},
    {{OIP, .inference_header = "0"}, PROBLEM_NONE, ""},
    {{OIP, .inference_header = "007"}, PROBLEM_NONE, ""},
    {{OIP, .inference_header = ""}, PROBLEM_BAD_VALUE, "Inference-Header-Content-Length is ''"},
    {{OIP, .inference_header = "-1"}, PROBLEM_BAD_VALUE, "'-1'"},
    {{OIP, .inference_header = "+1"}, PROBLEM_BAD_VALUE, "'+1'"},
    {{OIP, .inference_header = " 1"}, PROBLEM_BAD_VALUE, "' 1'"},
    {{OIP, .inference_header = "1x"}, PROBLEM_BAD_VALUE, "'1x'"},
    {{OIP, .inference_header = "0x10"}, PROBLEM_BAD_VALUE, "'0x10'"},
    {{OIP, .inference_header = "18446744073709551616"}, PROBLEM_BAD_VALUE, "18446744073709551616"},
    {{.method = "GET", .path = "/v2/models/a/infer"}, PROBLEM_METHOD_NOT_ALLOWED, "POST"},
    {{.method = "POST", .path = "/v2/models/a/ready"}, PROBLEM_METHOD_NOT_ALLOWED, "GET"},
    {{.method = "POST", .path = "/v2/models/a/versions/2/infer"}, PROBLEM_NOT_FOUND, "/versions/1"},
    {{.method = "POST", .path = "/v2/models/a/versions/1/infer/"}, PROBLEM_NOT_FOUND, "/versions/1"},
    {{.method = "POST", .path = "/v2/models//infer"}, PROBLEM_NOT_FOUND, "'/v2/models//infer'"},
    {{.method = "POST", .path = "/v2/models/a/b/infer"}, PROBLEM_NOT_FOUND, "'/v2/models/a/b/infer'"},
    {{.method = "POST", .path = "/v2/models/a/infer2"}, PROBLEM_NOT_FOUND, "infer2"},
    {{.method = "GET", .path = "/v2/models/a/config"}, PROBLEM_NOT_FOUND, "/v2/models/{name}"},
    {{.method = "GET", .path = "/v2x"}, PROBLEM_NOT_FOUND, "GET /models"},
};

Test(admission, judges_by_the_head) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        http_exchange x;
        problem p = {0};
        cr_assert_eq(judge(&table[i].head, &x, &p), table[i].code, "%zu: %s", i, p.text);
        cr_assert_not_null(strstr(p.text, table[i].named), "%zu: %s", i, p.text);
        cr_assert_eq(x.route != NULL && p.code == PROBLEM_NONE, table[i].code == PROBLEM_NONE);
    }
}

Test(admission, takes_what_the_head_says) {
    http_exchange x;
    problem p;
    request_head head = {
        .method = "POST", .path = "/attend/a.0", .content_length = "77", .request_timeout = "20"};
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE);
    cr_assert_str_eq(x.argument, "a.0");
    cr_assert_eq(x.expected_body, 77);
    cr_assert_eq(x.time_allowed, 20000000);
    cr_assert_str_eq(x.deadline_of, "X-Request-Timeout");
    head.request_timeout = "9999"; /* may lower the service's, not raise it */
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE);
    cr_assert_eq(x.time_allowed, 500000000);
    cr_assert_str_eq(x.deadline_of, "--request-timeout");
    head = (request_head){.method = "GET", .path = "/attend/a"};
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_METHOD_NOT_ALLOWED);
    cr_assert_str_eq(x.allow, "POST");
}

/* The name of a model, wherever in the path it stands. */
Test(admission, takes_the_segment_of_the_path) {
    static const struct {
        const char *method, *path, *argument;
    } paths[] = {
        {"GET", "/models/bert.3", "bert.3"},
        {"GET", "/v2/models/bert.3", "bert.3"},
        {"GET", "/v2/models/ready", "ready"},
        {"GET", "/v2/models/ready/ready", "ready"},
        {"GET", "/v2/models/a.b/versions/1", "a.b"},
        {"GET", "/v2/models/versions/versions/1/ready", "versions"},
        {"POST", "/v2/models/a b/infer", "a b"},
        {"POST", "/v2/models/{}/versions/1/infer", "{}"},
        {"GET", "/v2/health/live", NULL},
        {"GET", "/v2", NULL},
    };
    char path[HTTP_SEGMENT_SIZE + 50] = "/v2/models/", name[HTTP_SEGMENT_SIZE + 10];
    http_exchange x;
    problem p;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const request_head head = {.method = paths[i].method, .path = paths[i].path};
        cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE, "%s: %s", paths[i].path, p.text);
        if (paths[i].argument == NULL)
            cr_assert_null(x.argument);
        else
            cr_assert_str_eq(x.argument, paths[i].argument);
    }
    /* What is too long for a name is cut, and still is none. */
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    strcat(path, name);
    const request_head head = {.method = "GET", .path = path};
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE);
    cr_assert_eq(strlen(x.argument), HTTP_SEGMENT_SIZE - 1);
    cr_assert_eq(strncmp(x.argument, name, HTTP_SEGMENT_SIZE - 1), 0);
}

Test(admission, takes_the_length_of_the_inference_header) {
    http_exchange x;
    problem p;
    request_head head = {OIP};
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE);
    cr_assert_null(x.head->inference_header);
    head.inference_header = "120";
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE);
    uint64_t bytes;
    cr_assert(head_read_whole(x.head->inference_header, &bytes) && bytes == 120);
}

/* The highest q wins; ties go in the order JSON, safetensors, PNG; the most specific range decides. */
Test(admission, chooses_the_format_of_the_answer) {
    static const struct {
        const char *accept, *chosen;
    } wishes[] = {
        {NULL, "application/json"},
        {"*/*", "application/json"},
        {"application/*", "application/json"},
        {"image/png, application/json", "application/json"},
        {"image/png;q=0.5, application/json;q=0.4", "image/png"},
        {"application/vnd.safetensors, image/png", "application/vnd.safetensors"},
        {"*/*;q=0.1, application/vnd.safetensors;q=0.2", "application/vnd.safetensors"},
        {"application/*, application/json;q=0", "application/vnd.safetensors"},
        {"image/*", "image/png"},
        {"application/json;q=0.3, image/png", "image/png"},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        http_exchange x;
        problem p;
        const request_head head = {FINE, .accept = wishes[i].accept};
        cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE, "%zu: %s", i, p.text);
        cr_assert_str_eq(x.answer_type, wishes[i].chosen, "%zu", i);
    }
}

/* Monitors add a query to what they ask for, mail programs to links. */
Test(admission, a_query_does_not_matter_to_pages_and_probes) {
    static const struct {
        const char *method, *path;
        bool matters;
    } paths[] = {
        {"GET", "/", false},
        {"HEAD", "/", false},
        {"GET", "/results/abc", false},
        {"DELETE", "/results/abc", false},
        {"GET", "/healthz", false},
        {"HEAD", "/readyz", false},
        {"GET", "/v2/health/live", false},
        {"GET", "/v2/health/ready", false},
        {"GET", "/v2/models/a/ready", false},
        {"GET", "/v2/models/a/versions/1/ready", false},
        {"OPTIONS", "/attend", false},
        {"OPTIONS", "*", false},
        {"GET", "/models", true},
        {"GET", "/models/a", true},
        {"GET", "/openapi.json", true},
        {"GET", "/results/abc.json", true},
        {"GET", "/assets/main.js", true},
        {"GET", "/v2", true},
        {"GET", "/v2/models/a", true},
        {"POST", "/attend", true},
        {"POST", "/v2/models/a/infer", true},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        http_exchange x;
        problem p;
        const request_head head = {.method = paths[i].method,
                                   .path = paths[i].path,
                                   .parameters = {{"utm_source", "x"}, {"ts", NULL}},
                                   .parameter_count = 20};
        cr_assert_eq(judge(&head, &x, &p), paths[i].matters ? PROBLEM_UNKNOWN_FIELD : PROBLEM_NONE, "%s %s",
                     paths[i].method, paths[i].path);
    }
}

Test(admission, options_tells_the_methods_of_a_path) {
    static const struct {
        const char *path, *allow;
    } paths[] = {
        {"/attend", "POST, OPTIONS"},      {"/attend/bert.3", "POST, OPTIONS"},
        {"/models", "GET, HEAD, OPTIONS"}, {"/results/abc", "GET, HEAD, DELETE, OPTIONS"},
        {"/", "GET, HEAD, OPTIONS"},       {"*", HTTP_METHODS},
        {"/nowhere", HTTP_METHODS},        {"/v2/nowhere", HTTP_METHODS},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        http_exchange x;
        problem p;
        const request_head head = {.method = "OPTIONS", .path = paths[i].path};
        cr_assert_eq(judge(&head, &x, &p), PROBLEM_NONE, "%s", paths[i].path);
        cr_assert_str_eq(x.allow, paths[i].allow, "%s", paths[i].path);
        x.route->handle(&x);
        cr_assert_eq(x.status, 204);
    }
}

/* Only who opens a page gets a page. */
Test(admission, a_404_is_a_page_for_a_browser_only) {
    static const char browser[] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    static const struct {
        const char *path, *accept;
        bool page;
    } asked[] = {
        {"/results/abc", browser, true},       {"/results/abc", "TEXT/HTML;q=0.9", true},
        {"/results/abc/", browser, true},      {"/results/abc/def", browser, true},
        {"/results/abc.png", browser, false},  {"/results/abc/def.json", browser, false},
        {"/assets/a/b.json", browser, true},   {"/assets", browser, false},
        {"/assets/x.js", browser, true},       {"/results/abc", NULL, false},
        {"/results/abc", "*/*", false},        {"/results/abc", "*/*, text/html", false},
        {"/results/abc.json", browser, false}, {"/results/abc/heatmap.png", browser, false},
        {"/models/none", browser, false},
    };
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        http_exchange x;
        problem p;
        const request_head head = {.method = "GET", .path = asked[i].path, .accept = asked[i].accept};
        judge(&head, &x, &p);
        cr_assert_eq(x.write_not_found != NULL, asked[i].page, "%zu", i);
    }
}

/* The sentence is made from the table of routes. */
Test(admission, a_404_lists_what_there_is) {
    http_exchange x;
    problem p;
    request_head head = {.method = "GET", .path = "/nowhere"};
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NOT_FOUND);
    cr_assert_str_eq(
        p.text,
        "there is nothing at '/nowhere'; expected GET /, POST /attend, POST /attend/{model}, GET /models, "
        "GET /models/{name}, GET /results/{id}, GET /openapi.json, GET /healthz, GET /readyz or GET "
        "/metrics");
    head.path = "/v2/nowhere";
    cr_assert_eq(judge(&head, &x, &p), PROBLEM_NOT_FOUND);
    cr_assert_str_eq(p.text, "there is nothing at '/v2/nowhere'; expected GET /v2, GET /v2/health/live, GET "
                             "/v2/health/ready, GET /v2/models/{name}, GET /v2/models/{name}/ready or POST "
                             "/v2/models/{name}/infer, where {name} may be {name}/versions/1");
}

static const char *header_of(const http_exchange *x, const char *name) {
    for (size_t i = 0; i < x->fixed_headers; i++)
        if (strcmp(x->headers[i].name, name) == 0)
            return x->headers[i].value;
    return "";
}

/* Whatever the answer will be: these go with a problem too. */
Test(admission, some_headers_go_with_every_answer_of_a_path) {
    static const struct {
        const char *method, *path, *cache, *allow, *vary;
    } paths[] = {
        {"GET", "/results/abc", "private, no-store", "", ""},
        {"GET", "/results/abc.json", "private, no-store", "", "Accept-Encoding"},
        {"GET", "/results/abc/nothing/here", "private, no-store", "", ""},
        {"GET", "/results/", "private, no-store", "", ""},
        {"GET", "/results", "", "", ""},
        {"POST", "/results/abc", "private, no-store", "GET, HEAD, DELETE", ""},
        {"POST", "/attend", "", "", "Accept-Encoding"},
        {"GET", "/models", "", "", ""},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        http_exchange x;
        problem p;
        const request_head head = {.method = paths[i].method, .path = paths[i].path};
        judge(&head, &x, &p);
        cr_expect_str_eq(header_of(&x, "Cache-Control"), paths[i].cache, "%s", paths[i].path);
        cr_expect_str_eq(header_of(&x, "Allow"), paths[i].allow, "%s", paths[i].path);
        cr_expect_str_eq(header_of(&x, "Vary"), paths[i].vary, "%s", paths[i].path);
    }
}
