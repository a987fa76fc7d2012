#include "server/http/admission.h"

#include "server/routes/routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    if (head->odd_name)
        return problem_set(p, PROBLEM_BAD_REQUEST, "the name of a header ends in a space; expected a colon");
    if (head->odd_encoding)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "Transfer-Encoding must be 'chunked', and there must be one only");
    if (head->odd_path)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "the path has an encoded slash or NUL; no path here needs one");
    if (head->transfer_encoding && head->http_1_0)
        return problem_set(p, PROBLEM_BAD_REQUEST,
                           "Transfer-Encoding is not part of HTTP/1.0; expected Content-Length");
    return PROBLEM_NONE;
}

static head_part part_of(const char *header) {
    return (head_part){header, header == NULL ? 0 : strlen(header)};
}

/* Is it a browser that opens a page? It names HTML first. */
static bool wants_page(const char *accept) {
    head_part rest = part_of(accept), item, name;
    return head_next(&rest, ',', &item) && head_next(&item, ';', &name) && head_is(name, "text/html");
}

/* Who asks for the service's health must be told it even when there is no room for anybody else. */
static problem_code check_room(const request_head *head, const options *o, http_exchange *x, problem *p) {
    if (!head->extra || (x->route != NULL && is_health_path(head->path)))
        return PROBLEM_NONE;
    *x->allow = '\0'; /* this answer is not about the path */
    return problem_set(p, PROBLEM_UNAVAILABLE,
                       "%zu connections are open, as many as --max-connections allows; try again later",
                       o->max_connections);
}

static problem_code check_route(const request_head *head, http_exchange *x, problem *p) {
    if (is_result_path(head->path))
        x->headers = result_headers; /* whatever the answer will be */
    if (is_page_path(head->path) && wants_page(head->accept))
        x->show_not_found = show_not_found;
    x->argument = *x->segment == '\0' ? NULL : x->segment;
    if (x->route == NULL && *x->allow == '\0' && strncmp(head->path, "/v2/", 4) == 0)
        return problem_set(p, PROBLEM_NOT_FOUND,
                           "there is nothing at '%.100s'; expected GET /v2, GET /v2/health/live, GET "
                           "/v2/health/ready, GET /v2/models/{name}, GET /v2/models/{name}/ready or POST "
                           "/v2/models/{name}/infer, where {name} may be {name}/versions/1",
                           head->path);
    if (x->route == NULL && *x->allow == '\0')
        return problem_set(
            p, PROBLEM_NOT_FOUND,
            "there is nothing at '%.100s'; expected GET /, POST /attend, POST /attend/{model}, GET /models, "
            "GET /models/{name}, GET /results/{id}, GET /openapi.json, GET /healthz or GET /readyz",
            head->path);
    if (x->route == NULL)
        return problem_set(p, PROBLEM_METHOD_NOT_ALLOWED, "the method is %.20s, but %.100s takes %s",
                           head->method, head->path, x->allow);
    return PROBLEM_NONE;
}

/* The weight of an item of an Accept or Accept-Encoding header: its q, or 1 (RFC 9110, 12.4.2). `parameters`
 * is what follows its name. */
static double weight_of(head_part parameters) {
    head_part parameter;
    while (head_next(&parameters, ';', &parameter))
        if (parameter.length > 2 && strncasecmp(parameter.text, "q=", 2) == 0) {
            const double q = strtod(parameter.text + 2, NULL);
            return q > 0 ? q : 0;
        }
    return 1;
}

/* Looks for each of `ranges`, from the least to the most specific, in a header. *best is the most specific
 * one, -1 for none; the result is its weight. */
static double find_range(const char *header, const char *const *ranges, int count, int *best) {
    head_part rest = part_of(header), item, name;
    double weight = 0;
    *best = -1;
    while (head_next(&rest, ',', &item)) {
        if (!head_next(&item, ';', &name))
            continue;
        for (int i = 0; i < count; i++)
            if (i >= *best && head_is(name, ranges[i])) {
                *best = i;
                weight = weight_of(item);
            }
    }
    return weight;
}

static bool is_empty(const char *list) {
    head_part rest = part_of(list), item;
    return !head_next(&rest, ',', &item);
}

/* How much an answer of this type is wanted, 0 for not at all (RFC 9110, 12.5.1). */
static double wanted(const request_head *head, const char *media_type) {
    char range[64];
    const char *const ranges[] = {"*/*", range, media_type};
    int best;
    snprintf(range, sizeof range, "%.*s/*", (int)strcspn(media_type, "/"), media_type);
    return is_empty(head->accept) ? 1 : find_range(head->accept, ranges, 3, &best);
}

/* A list for a sentence: "application/json, image/png". */
static void list_formats(bool written, char *list, size_t size) {
    size_t length = 0;
    list[0] = '\0';
    for (size_t i = 0; i < wire_format_count && length < size; i++)
        if (written ? wire_formats[i].write != NULL : wire_formats[i].read != NULL)
            length += (size_t)snprintf(list + length, size - length, "%s%s", length == 0 ? "" : ", ",
                                       wire_formats[i].media_type);
}

/* The format of the answer: the one that is wanted most, the first of those. */
static problem_code choose_answer(const request_head *head, http_exchange *x, problem *p) {
    double most = 0;
    char list[200];
    const bool tensors = x->route->media == MEDIA_TENSORS;
    for (size_t i = 0; i < (tensors ? wire_format_count : 1); i++) {
        const double weight = wire_formats[i].write == NULL ? 0 : wanted(head, wire_formats[i].media_type);
        if (weight > most) {
            most = weight;
            x->out = &wire_formats[i];
        }
    }
    if (most > 0)
        return PROBLEM_NONE;
    list_formats(true, list, sizeof list);
    return problem_set(p, PROBLEM_NOT_ACCEPTABLE, "Accept is '%.100s', but answers are %s", head->accept,
                       tensors ? list : "application/json");
}

static problem_code choose_body(const request_head *head, http_exchange *x, problem *p) {
    head_part rest = part_of(head->content_type), type;
    const bool given = head_next(&rest, ';', &type); /* an empty header says no more than none */
    char list[200];
    for (size_t i = 0; i < wire_format_count; i++)
        if (wire_formats[i].read != NULL && (given ? head_is(type, wire_formats[i].media_type) : i == 0)) {
            x->in = &wire_formats[i];
            return PROBLEM_NONE;
        }
    list_formats(false, list, sizeof list);
    return problem_set(p, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                       "Content-Type is '%.100s'; expected %s (curl: -H 'Content-Type: application/json')",
                       head->content_type, list);
}

/* What an answer may be compressed with: gzip before deflate where both are wanted as much. */
static content_encoding choose_compression(const request_head *head) {
    static const char *const known[] = {"*", "deflate", "gzip"};
    content_encoding chosen = ENCODING_IDENTITY;
    double most = 0;
    for (size_t i = 1; i < 3; i++) {
        const char *const ranges[] = {known[0], known[i]};
        int best;
        const double weight = find_range(head->accept_encoding, ranges, 2, &best);
        if (weight > 0 && weight >= most) {
            most = weight;
            chosen = i == 1 ? ENCODING_DEFLATE : ENCODING_GZIP;
        }
    }
    return chosen;
}

/* How the body is compressed: in one way at most. Identity changes nothing (RFC 9110, 8.4). */
static problem_code check_encoding(const request_head *head, http_exchange *x, problem *p) {
    head_part rest = part_of(head->content_encoding), coding;
    while (head_next(&rest, ',', &coding)) {
        const bool gzip = head_is(coding, "gzip") || head_is(coding, "x-gzip");
        if (head_is(coding, "identity"))
            continue;
        if (x->body_encoding != ENCODING_IDENTITY || (!gzip && !head_is(coding, "deflate")))
            return problem_set(p, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                               "Content-Encoding is '%.100s'; expected gzip, deflate or none",
                               head->content_encoding);
        x->body_encoding = gzip ? ENCODING_GZIP : ENCODING_DEFLATE;
    }
    return PROBLEM_NONE;
}

static problem_code check_media(const request_head *head, bool has_body, http_exchange *x, problem *p) {
    problem_code code = PROBLEM_NONE;
    if (x->route->media == MEDIA_JSON || x->route->media == MEDIA_TENSORS)
        code = choose_answer(head, x, p);
    if (code == PROBLEM_NONE &&
        (x->route->media == MEDIA_TENSORS || (x->route->media == MEDIA_JSON && has_body)))
        code = choose_body(head, x, p);
    x->takes_encoding = choose_compression(head);
    return code != PROBLEM_NONE ? code : check_encoding(head, x, p);
}

static problem_code refuse_parameter(const request_head *head, size_t n, problem_code code, const char *why,
                                     problem *p) {
    problem_set(p, code, "the query parameter '%.60s' %s", head->parameters[n].name, why);
    problem_at(p, head->parameters[n].name);
    return p->code;
}

/* Only a picture has parameters in its path. */
static problem_code check_parameters(const request_head *head, http_exchange *x, problem *p) {
    const bool picture =
        x->route->media == MEDIA_PICTURE || (x->out != NULL && strcmp(x->out->media_type, FORMAT_PNG) == 0);
    if (x->route->any_query)
        return PROBLEM_NONE;
    if (head->parameter_count > 0 && !picture)
        return refuse_parameter(head, 0, PROBLEM_UNKNOWN_FIELD,
                                x->route->media == MEDIA_TENSORS
                                    ? "is unknown here; head, batch, cell and scale go with Accept: image/png"
                                    : "is unknown; this path takes none",
                                p);
    if (head->parameter_count > HEAD_PARAMETERS)
        return refuse_parameter(head, HEAD_PARAMETERS - 1, PROBLEM_BAD_VALUE,
                                "is one of more than a picture has", p);
    for (size_t i = 0; i < head->parameter_count; i++) {
        const char *value = head->parameters[i].value;
        for (size_t j = 0; j < i; j++)
            if (strcmp(head->parameters[i].name, head->parameters[j].name) == 0)
                return refuse_parameter(head, i, PROBLEM_BAD_VALUE, "is there twice", p);
        if (picture_read_parameter(head->parameters[i].name, value == NULL ? "" : value, &x->picture, p) !=
            PROBLEM_NONE)
            return p->code;
    }
    return PROBLEM_NONE;
}

/* Digits alone, no sign, no spaces, nothing behind them. */
static bool read_digits(const char *text, unsigned long long *number) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* X-Request-Timeout may lower the time allowed. */
static problem_code choose_time(const request_head *head, const options *o, http_exchange *x, problem *p) {
    unsigned long long milliseconds = o->request_timeout, asked;
    x->deadline_of = "--request-timeout";
    if (head->request_timeout != NULL) {
        if (!read_digits(head->request_timeout, &asked) || asked == 0)
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

/* Where the JSON of a body ends that has binary tensors behind it. */
static problem_code take_inference_header(const request_head *head, http_exchange *x, problem *p) {
    unsigned long long bytes = 0;
    if (head->inference_header == NULL)
        return PROBLEM_NONE;
    if (!read_digits(head->inference_header, &bytes) || bytes > SIZE_MAX)
        return problem_set(p, PROBLEM_BAD_VALUE,
                           "Inference-Header-Content-Length is '%.60s'; expected a whole number of bytes",
                           head->inference_header);
    x->has_inference_header = true;
    x->inference_header = (size_t)bytes;
    return PROBLEM_NONE;
}

static problem_code check_length(const request_head *head, const options *o, http_exchange *x, problem *p) {
    unsigned long long bytes = 0;
    if (head->content_length == NULL)
        return PROBLEM_NONE;
    if (!read_digits(head->content_length, &bytes) || bytes > o->max_body)
        return problem_set(p, PROBLEM_TOO_LARGE, "the body has %.30s bytes, but --max-body allows %zu",
                           head->content_length, o->max_body);
    x->expected_body = (size_t)bytes;
    return PROBLEM_NONE;
}

problem_code admit(const request_head *head, const options *o, http_exchange *x, problem *p) {
    const bool has_body =
        head->transfer_encoding || (head->content_length != NULL && strcmp(head->content_length, "0") != 0);
    problem_code code;
    x->if_none_match = head->if_none_match;
    if ((code = check_framing(head, p)) != PROBLEM_NONE)
        return code;
    x->route = route_find(head->method, head->path, x->segment, x->allow);
    if ((code = check_room(head, o, x, p)) != PROBLEM_NONE ||
        (code = check_route(head, x, p)) != PROBLEM_NONE ||
        (code = check_media(head, has_body, x, p)) != PROBLEM_NONE ||
        (code = check_parameters(head, x, p)) != PROBLEM_NONE ||
        (code = choose_time(head, o, x, p)) != PROBLEM_NONE ||
        (code = take_inference_header(head, x, p)) != PROBLEM_NONE)
        return code;
    return check_length(head, o, x, p);
}
