#include "server/admission.h"

#include "server/routes/routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Framing that two parties in a row could read in two ways (RFC 9112, sections 3.2, 6.1 and 6.3). */
static problem_code check_framing(const request_head *head, problem *p) {
    if (head->ambiguous)
        return problem_set(
            p, PROBLEM_BAD_REQUEST,
            "the request has two Host headers or two different Content-Length headers; expected one");
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

static problem_code check_route(const request_head *head, http_exchange *x, problem *p) {
    x->route = route_find(head->method, head->path, &x->argument, &x->allow);
    if (x->route == NULL && x->allow == NULL)
        return problem_set(
            p, PROBLEM_NOT_FOUND,
            "there is nothing at '%.100s'; expected POST /attend, POST /attend/{model}, GET /models, "
            "GET /models/{name}, GET /healthz or GET /readyz",
            head->path);
    if (x->route == NULL)
        return problem_set(p, PROBLEM_METHOD_NOT_ALLOWED, "the method is %.20s, but %.100s takes %s",
                           head->method, head->path, x->allow);
    if (head->parameter == NULL)
        return PROBLEM_NONE;
    problem_set(p, PROBLEM_UNKNOWN_FIELD, "the query parameter '%.60s' is unknown; %.100s takes none",
                head->parameter, head->path);
    problem_at(p, head->parameter);
    return p->code;
}

/* Is the text a number of bytes long, spaces around it left out, this media type? */
static bool is_media_type(const char *text, size_t length, const char *type) {
    const size_t spaces = strspn(text, " \t");
    if (spaces >= length)
        return false;
    text += spaces;
    length -= spaces;
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    return length == strlen(type) && strncasecmp(text, type, length) == 0;
}

/* Does this item of an Accept header say q=0, "not this one"? */
static bool is_refusal(const char *item, size_t length) {
    for (size_t i = 0; i + 1 < length; i++)
        if ((item[i] == 'q' || item[i] == 'Q') && item[i + 1] == '=' &&
            (item[i - 1] == ';' || item[i - 1] == ' '))
            return strtod(item + i + 2, NULL) <= 0;
    return false;
}

/* Is JSON among what the Accept header allows (RFC 9110, section 12.5.1)? The most specific range decides. */
static bool accepts_json(const char *accept) {
    static const char *const ranges[] = {"*/*", "application/*", "application/json"};
    int best = -1;
    bool allowed = false;
    if (accept == NULL || *accept == '\0')
        return true;
    for (const char *item = accept; *item != '\0';) {
        const size_t length = strcspn(item, ","), type = strcspn(item, ";,");
        for (int i = 0; i < 3; i++)
            if (i >= best && is_media_type(item, type, ranges[i])) {
                best = i;
                allowed = !is_refusal(item + type, length - type);
            }
        item += length + (item[length] == ',');
    }
    return allowed;
}

static problem_code check_media(const request_head *head, bool has_body, problem *p) {
    const char *type = head->content_type, *encoding = head->content_encoding;
    if (!accepts_json(head->accept) && (head->more_accept == NULL || !accepts_json(head->more_accept)))
        return problem_set(p, PROBLEM_NOT_ACCEPTABLE, "Accept is '%.100s', but answers are application/json",
                           head->accept);
    if (has_body && type != NULL && !is_media_type(type, strcspn(type, ";"), "application/json"))
        return problem_set(p, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                           "Content-Type is '%.100s'; expected application/json "
                           "(curl: -H 'Content-Type: application/json')",
                           type);
    if (has_body && encoding != NULL && strcasecmp(encoding, "identity") != 0)
        return problem_set(p, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                           "Content-Encoding is '%.100s'; expected none: bodies are read as they are",
                           encoding);
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
    if (head->request_timeout != NULL) {
        if (!read_digits(head->request_timeout, &asked) || asked == 0)
            return problem_set(
                p, PROBLEM_BAD_VALUE,
                "X-Request-Timeout is '%.60s'; expected a whole number of milliseconds, at least 1",
                head->request_timeout);
        milliseconds = asked < milliseconds ? asked : milliseconds;
    }
    x->time_allowed = milliseconds * 1000000u;
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
    if ((code = check_framing(head, p)) != PROBLEM_NONE)
        return code;
    if (head->extra)
        return problem_set(p, PROBLEM_UNAVAILABLE,
                           "%zu connections are open, as many as --max-connections allows; try again later",
                           o->max_connections);
    if ((code = check_route(head, x, p)) != PROBLEM_NONE ||
        (code = check_media(head, has_body, p)) != PROBLEM_NONE ||
        (code = choose_time(head, o, x, p)) != PROBLEM_NONE)
        return code;
    return check_length(head, o, x, p);
}
