#include "server/http/admission.h"

#include "server/http/negotiate.h"
#include "server/http/origin.h"

#include <stdio.h>
#include <string.h>

/* Framing that two parties in a row could read in two ways (RFC 9112, sections 3.2, 6.1 and 6.3). */
static problem_code check_framing(const request_head *head, problem *p) {
    if (head->repeated != NULL)
        return problem_set(p, PROBLEM_BAD_REQUEST, "the request has more than one %s header; expected one",
                           head->repeated);
    if (head->host != NULL && !head_is_host(head->host))
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "the host is '%.100s'; expected a name or an address, and perhaps :PORT",
                           head->host);
    if (head->transfer_encoding && head->content_length != NULL)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "the request has both Content-Length and Transfer-Encoding; expected one of them");
    if (head->spaced_name)
        return problem_set(p, PROBLEM_BAD_REQUEST, "the name of a header ends in a space; expected a colon");
    if (head->bad_transfer_encoding)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "Transfer-Encoding must be 'chunked', and there must be one only");
    if (head->encoded_slash)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "the path has an encoded slash or NUL; no path here needs one");
    if (head->transfer_encoding && head->http_1_0)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "Transfer-Encoding is not part of HTTP/1.0; expected Content-Length");
    return PROBLEM_NONE;
}

/* Is it a browser that opens a page? It names HTML first. */
static bool wants_page(const char *accept) {
    head_part rest = head_part_of(accept), item, name;
    return head_next(&rest, ',', &item) && head_next(&item, ';', &name) && head_is(name, "text/html");
}

/* Whoever asks for the service's health is told even when there is no room for anybody else. */
static problem_code check_room(const request_head *head, const options *o, const http_exchange *x,
                               problem *p) {
    if (!head->extra || (x->route != NULL && (x->route->flags & HTTP_HEALTH) != 0))
        return PROBLEM_NONE;
    return problem_set(p, PROBLEM_UNAVAILABLE,
                       "%zu connections are open, as many as --max-connections allows; try again later",
                       o->max_connections);
}

/* Sets the headers that answers of this path have, whatever they will be. */
static void set_headers(const request_head *head, const http_routes *routes, http_exchange *x) {
    if (*x->allow != '\0')
        http_set_header(x, "Allow", x->allow);
    if (http_is_secret(routes, head->path)) {
        http_set_header(x, "Cache-Control", "private, no-store");
        http_set_header(x, "Referrer-Policy", "no-referrer");
        http_set_header(x, "X-Content-Type-Options", "nosniff");
    }
    x->fixed_headers = x->header_count;
}

/* Every path but those that are open needs a key, those that do not exist too: who has none learns nothing.
 */
static problem_code check_key(const request_head *head, http_exchange *x, problem *p) {
    const keys *k = x->snapshot == NULL ? NULL : x->snapshot->keys;
    if (k == NULL || (x->route != NULL && (x->route->flags & HTTP_OPEN) != 0) ||
        keys_allow(k, head->authorization))
        return PROBLEM_NONE;
    http_set_header(x, "WWW-Authenticate", "Bearer");
    x->fixed_headers = x->header_count;
    return problem_set(
        p, PROBLEM_UNAUTHORIZED, "%s; expected 'Authorization: Bearer KEY' with one of this service's keys",
        head->authorization == NULL ? "there is no key in the request" : "the key is not known");
}

static problem_code check_route(const request_head *head, const http_routes *routes, http_exchange *x,
                                problem *p) {
    if (wants_page(head->accept) && http_is_page(routes, head->path))
        x->write_not_found = routes->write_not_found;
    x->argument = *x->segment == '\0' ? NULL : x->segment;
    if (x->route != NULL)
        return PROBLEM_NONE;
    if (*x->allow == '\0')
        return http_no_route(routes, head->path, p);
    return problem_set(p, PROBLEM_METHOD_NOT_ALLOWED, "the method is %.20s, but %.100s takes %s",
                       head->method, head->path, x->allow);
}

static problem_code check_query(const request_head *head, http_exchange *x, problem *p) {
    if (x->route->query != NULL)
        return x->route->query(x, head, p);
    if (head->parameter_count == 0)
        return PROBLEM_NONE;
    return problem_set_at(p, PROBLEM_UNKNOWN_FIELD, head->parameters[0].name,
                          "the query parameter '%.60s' is unknown; this path takes none",
                          head->parameters[0].name);
}

/* X-Request-Timeout may lower the time allowed. */
static problem_code choose_time(const request_head *head, const options *o, http_exchange *x, problem *p) {
    uint64_t milliseconds = o->request_timeout, asked;
    x->deadline_of = "--request-timeout";
    if (head->request_timeout != NULL) {
        if (!head_read_whole(head->request_timeout, &asked) || asked == 0)
            return problem_set(
                p, PROBLEM_BAD_VALUE,
                "X-Request-Timeout is '%.60s'; expected a whole number of milliseconds, at least 1",
                head->request_timeout);
        if (asked < milliseconds) {
            milliseconds = asked;
            x->deadline_of = "X-Request-Timeout";
        }
    }
    x->time_allowed = milliseconds * 1000000u;
    return PROBLEM_NONE;
}

/* Checked wherever it stands, though few routes look at it. */
static problem_code check_inference_header(const request_head *head, problem *p) {
    uint64_t bytes;
    if (head->inference_header == NULL || head_read_whole(head->inference_header, &bytes))
        return PROBLEM_NONE;
    return problem_set(p, PROBLEM_BAD_VALUE,
                       "Inference-Header-Content-Length is '%.60s'; expected a whole number of bytes",
                       head->inference_header);
}

static problem_code check_length(const request_head *head, const options *o, http_exchange *x, problem *p) {
    uint64_t bytes = 0;
    if (head->content_length == NULL)
        return PROBLEM_NONE;
    if (!head_read_whole(head->content_length, &bytes) || bytes > o->max_body)
        return problem_set(p, PROBLEM_TOO_LARGE, "the body has %.30s bytes, but --max-body allows %zu",
                           head->content_length, o->max_body);
    x->expected_body = (size_t)bytes;
    return PROBLEM_NONE;
}

problem_code admit(const request_head *head, const http_routes *routes, const options *o, http_exchange *x,
                   problem *p) {
    const bool has_body =
        head->transfer_encoding || (head->content_length != NULL && strcmp(head->content_length, "0") != 0);
    problem_code code;
    x->head = head;
    if ((code = check_framing(head, p)) != PROBLEM_NONE)
        return code;
    x->route = http_find_route(routes, head->method, head->path, x->segment, x->allow);
    if (x->route != NULL && x->route->work != NULL)
        http_set_header(x, "Vary", "Accept-Encoding");
    origin_set_headers(head, o, x);
    x->fixed_headers = x->header_count;
    if (!routes->is_admin && ((code = check_room(head, o, x, p)) != PROBLEM_NONE ||
                              (code = origin_check_host(head, o, p)) != PROBLEM_NONE ||
                              (code = origin_check_page(head, o, p)) != PROBLEM_NONE ||
                              (code = check_key(head, x, p)) != PROBLEM_NONE))
        return code;
    set_headers(head, routes, x);
    if ((code = check_route(head, routes, x, p)) != PROBLEM_NONE ||
        (code = negotiate(head, has_body, x, p)) != PROBLEM_NONE ||
        (code = check_query(head, x, p)) != PROBLEM_NONE ||
        (code = choose_time(head, o, x, p)) != PROBLEM_NONE ||
        (code = check_inference_header(head, p)) != PROBLEM_NONE)
        return code;
    return check_length(head, o, x, p);
}
