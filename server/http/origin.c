#include "server/http/origin.h"

#include <string.h>
#include <strings.h>

static const char *const loopback_names[] = {"localhost", "127.0.0.1", "[::1]", NULL};

/* How much of "name:port" is the name. */
static size_t name_length(const char *host) {
    const char *bracket = *host == '[' ? strchr(host, ']') : NULL;
    return bracket != NULL ? (size_t)(bracket - host) + 1 : strcspn(host, ":");
}

static bool is_name(const char *host, const char *name) {
    const size_t length = name_length(host);
    return length == name_length(name) && strncasecmp(host, name, length) == 0;
}

static bool is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "[::1]") == 0;
}

static bool is_allowed_host(const char *host, const options *o) {
    for (size_t i = 0; i < o->allowed_hosts.count; i++)
        if (is_name(host, o->allowed_hosts.words[i]))
            return true;
    if (o->allowed_hosts.count > 0)
        return false;
    if (!is_loopback(o->host) || is_name(host, o->host))
        return true;
    for (const char *const *name = loopback_names; *name != NULL; name++)
        if (is_name(host, *name))
            return true;
    return false;
}

problem_code origin_check_host(const request_head *head, const options *o, problem *p) {
    if (head->host == NULL || *head->host == '\0' || is_allowed_host(head->host, o))
        return PROBLEM_NONE;
    return problem_set(
        p, PROBLEM_MISDIRECTED,
        "the service is not known as '%.100s'; --allowed-host names the hosts that it answers for",
        head->host);
}

/* The origin as it stands in --cors-origin; NULL: it may not read what is answered. */
static const char *allowed_origin(const request_head *head, const options *o) {
    for (size_t i = 0; head->origin != NULL && i < o->cors_origins.count; i++)
        if (strcmp(head->origin, o->cors_origins.words[i]) == 0)
            return o->cors_origins.words[i];
    return NULL;
}

static bool only_reads(const char *method) {
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0;
}

/* Is the origin's host and port the one that is asked? */
static bool is_own_origin(const request_head *head) {
    const char *scheme = strstr(head->origin, "://");
    return scheme != NULL && head->host != NULL && strcasecmp(scheme + 3, head->host) == 0;
}

problem_code origin_check_page(const request_head *head, const options *o, problem *p) {
    if (only_reads(head->method) || allowed_origin(head, o) != NULL)
        return PROBLEM_NONE;
    if (head->fetch_site != NULL) {
        if (strcasecmp(head->fetch_site, "same-origin") == 0 || strcasecmp(head->fetch_site, "none") == 0)
            return PROBLEM_NONE;
    } else if (head->origin == NULL || is_own_origin(head))
        return PROBLEM_NONE;
    return problem_set(p, PROBLEM_FORBIDDEN_ORIGIN,
                       "a page of %.100s may not send this request; --cors-origin names those that may",
                       head->origin == NULL ? "another site" : head->origin);
}

void origin_set_headers(const request_head *head, const options *o, http_exchange *x) {
    const char *origin = allowed_origin(head, o);
    if (o->cors_origins.count > 0)
        http_set_header(x, "Vary", "Origin"); /* other answers are for others */
    if (origin == NULL)
        return;
    http_set_header(x, "Access-Control-Allow-Origin", origin);
    if (strcmp(head->method, "OPTIONS") != 0 || head->request_method == NULL) {
        http_set_header(
            x, "Access-Control-Expose-Headers",
            "X-Request-Id, Server-Timing, Retry-After, Inference-Header-Content-Length, X-Result-Url");
        return;
    }
    http_set_header(x, "Access-Control-Allow-Methods", x->allow);
    http_set_header(x, "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Content-Encoding, Inference-Header-Content-Length, "
                    "X-Request-Id, X-Request-Timeout, traceparent");
    http_set_header(x, "Access-Control-Max-Age", "600");
}
