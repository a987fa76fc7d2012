#include "server/http/negotiate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* Finds the most specific of `ranges`, which go from the least to the most, in a header: *found is its index,
 * -1 if none is there. Returns its weight. */
static double find_range(const char *header, const char *const *ranges, int count, int *found) {
    head_part rest = head_part_of(header), item, name;
    double weight = 0;
    *found = -1;
    while (head_next(&rest, ',', &item)) {
        if (!head_next(&item, ';', &name))
            continue;
        for (int i = 0; i < count; i++)
            if (i >= *found && head_is(name, ranges[i])) {
                *found = i;
                weight = weight_of(item);
            }
    }
    return weight;
}

static bool is_empty(const char *list) {
    head_part rest = head_part_of(list), item;
    return !head_next(&rest, ',', &item);
}

/* How much an answer of this type is wanted, 0 for not at all (RFC 9110, 12.5.1). */
static double wanted(const request_head *head, const char *media_type) {
    char range[64];
    const char *const ranges[] = {"*/*", range, media_type};
    int found;
    snprintf(range, sizeof range, "%.*s/*", (int)strcspn(media_type, "/"), media_type);
    return is_empty(head->accept) ? 1 : find_range(head->accept, ranges, 3, &found);
}

/* A list for a sentence: "application/json, image/png". */
static void list_types(http_types *types, char *list, size_t size) {
    size_t length = 0;
    const char *type;
    list[0] = '\0';
    for (size_t i = 0; (type = types(i)) != NULL && length < size; i++)
        length += (size_t)snprintf(list + length, size - length, "%s%s", i == 0 ? "" : ", ", type);
}

/* The type of the answer: the one that is wanted most, the first of those. */
static problem_code choose_answer(const request_head *head, http_types *types, http_exchange *x, problem *p) {
    double best = 0;
    char list[200];
    const char *type;
    for (size_t i = 0; (type = types(i)) != NULL; i++) {
        const double weight = wanted(head, type);
        if (weight > best) {
            best = weight;
            x->answer_type = type;
        }
    }
    if (best > 0)
        return PROBLEM_NONE;
    list_types(types, list, sizeof list);
    return problem_set(p, PROBLEM_NOT_ACCEPTABLE, "Accept is '%.100s', but answers are %s", head->accept,
                       list);
}

static problem_code choose_body(const request_head *head, http_types *types, http_exchange *x, problem *p) {
    head_part rest = head_part_of(head->content_type), name;
    const bool given = head_next(&rest, ';', &name); /* an empty header says no more than none */
    char list[200];
    const char *type;
    for (size_t i = 0; (type = types(i)) != NULL; i++)
        if (given ? head_is(name, type) : i == 0) {
            x->body_type = type;
            return PROBLEM_NONE;
        }
    list_types(types, list, sizeof list);
    return problem_set(p, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                       "Content-Type is '%.100s'; expected %s (curl: -H 'Content-Type: application/json')",
                       head->content_type, list);
}

/* What an answer may be compressed with: gzip before deflate where both are wanted as much. */
static content_encoding choose_compression(const request_head *head) {
    static const char *const known[] = {"*", "deflate", "gzip"};
    content_encoding chosen = ENCODING_IDENTITY;
    double best = 0;
    for (size_t i = 1; i < 3; i++) {
        const char *const ranges[] = {known[0], known[i]};
        int found;
        const double weight = find_range(head->accept_encoding, ranges, 2, &found);
        if (weight > 0 && weight >= best) {
            best = weight;
            chosen = i == 1 ? ENCODING_DEFLATE : ENCODING_GZIP;
        }
    }
    return chosen;
}

/* How the body is compressed: in one way at most. Identity changes nothing (RFC 9110, 8.4). */
static problem_code check_encoding(const request_head *head, http_exchange *x, problem *p) {
    head_part rest = head_part_of(head->content_encoding), coding;
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

problem_code negotiate(const request_head *head, bool has_body, http_exchange *x, problem *p) {
    const http_media *media = x->route->media;
    problem_code code = PROBLEM_NONE;
    if (media != NULL)
        code = choose_answer(head, media->answers, x, p);
    if (media != NULL && code == PROBLEM_NONE && (media->needs_body || has_body))
        code = choose_body(head, media->bodies, x, p);
    x->takes_encoding = choose_compression(head);
    return code != PROBLEM_NONE ? code : check_encoding(head, x, p);
}
