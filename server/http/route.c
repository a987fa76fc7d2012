#include "server/http/route.h"

#include <stdio.h>
#include <string.h>

problem_code http_any_query(http_exchange *x, const request_head *head, problem *p) {
    (void)x;
    (void)head;
    (void)p;
    return PROBLEM_NONE;
}

static void handle_options(http_exchange *x) {
    x->status = 204;
}

/* OPTIONS, on any path: what its other methods are stands in Allow. */
static const http_route any_path = {
    .method = "OPTIONS", .path = "*", .flags = HTTP_OPEN, .query = http_any_query, .handle = handle_options};

static bool is_there(const http_routes *routes, const http_route *row) {
    return !routes->is_admin || (row->flags & HTTP_ADMIN) != 0;
}

/* How much of a pattern stands before its {name}. */
static size_t length_before_hole(const char *pattern) {
    return strcspn(pattern, "{");
}

/* What stands behind it; "" without one. */
static const char *after_hole(const char *pattern) {
    const char *const end = strchr(pattern, '}');
    return end == NULL ? "" : end + 1;
}

/* Does the path have this pattern? What stands in the place of {name} is not empty, and goes into `argument`.
 */
static bool matches(const char *pattern, const char *path, char argument[HTTP_SEGMENT_SIZE]) {
    *argument = '\0';
    for (; *pattern != '{'; pattern++, path++)
        if (*pattern != *path || *pattern == '\0')
            return *pattern == *path;
    const char *const after = after_hole(pattern);
    const size_t segment = strcspn(path, "/"), ending = strcspn(after, "/");
    if (segment <= ending || strcmp(path + segment - ending, after) != 0)
        return false;
    snprintf(argument, HTTP_SEGMENT_SIZE, "%.*s", (int)(segment - ending), path);
    return true;
}

/* Adds a method to a list of them. */
static void allow(char allowed[HTTP_ALLOW_SIZE], const char *method) {
    const size_t length = strlen(allowed);
    snprintf(allowed + length, HTTP_ALLOW_SIZE - length, "%s%s", length == 0 ? "" : ", ", method);
}

const http_route *http_find_route(const http_routes *routes, const char *method, const char *path,
                                  char argument[HTTP_SEGMENT_SIZE], char allowed[HTTP_ALLOW_SIZE]) {
    const char *pattern = NULL;
    *allowed = '\0';
    for (size_t i = 0; i < routes->count; i++) {
        const http_route *row = &routes->rows[i];
        if (!is_there(routes, row) ||
            (pattern == NULL ? !matches(row->path, path, argument) : strcmp(row->path, pattern) != 0))
            continue;
        const bool get = strcmp(row->method, "GET") == 0;
        pattern = row->path;
        if (strcmp(row->method, method) == 0 || (get && strcmp(method, "HEAD") == 0)) {
            *allowed = '\0';
            return row;
        }
        allow(allowed, get ? "GET, HEAD" : row->method);
    }
    if (strcmp(method, any_path.method) != 0)
        return NULL;
    if (pattern != NULL)
        allow(allowed, any_path.method);
    else
        strcpy(allowed, HTTP_METHODS);
    return &any_path;
}

/* ---- What there is ---- */

/* The one with the longest prefix of this path. */
static const http_chapter *chapter_of(const http_routes *routes, const char *path) {
    const http_chapter *best = NULL;
    for (size_t i = 0; i < routes->count; i++) {
        const http_chapter *chapter = routes->rows[i].chapter;
        if (chapter != NULL && is_there(routes, &routes->rows[i]) &&
            strncmp(path, chapter->prefix, strlen(chapter->prefix)) == 0 &&
            (best == NULL || strlen(chapter->prefix) > strlen(best->prefix)))
            best = chapter;
    }
    return best;
}

static bool is_listed(const http_routes *routes, size_t i, const http_chapter *chapter) {
    return routes->rows[i].chapter == chapter && is_there(routes, &routes->rows[i]);
}

problem_code http_no_route(const http_routes *routes, const char *path, problem *p) {
    const http_chapter *const chapter = chapter_of(routes, path);
    char list[512] = "";
    size_t length = 0, left = 0;
    for (size_t i = 0; i < routes->count; i++)
        left += is_listed(routes, i, chapter);
    for (size_t i = 0; i < routes->count && length < sizeof list; i++)
        if (is_listed(routes, i, chapter))
            length += (size_t)snprintf(list + length, sizeof list - length, "%s %s%s", routes->rows[i].method,
                                       routes->rows[i].path,
                                       --left > 1  ? ", "
                                       : left == 1 ? " or "
                                                   : "");
    return problem_set(p, PROBLEM_NOT_FOUND, "there is nothing at '%.100s'; expected %s%s", path, list,
                       chapter->note);
}

/* ---- Pages and secrets ---- */

/* Is it one of this row's paths, or one that only goes wrong behind the place of its {name}? */
static bool is_near(const http_route *row, const char *path) {
    const size_t before = length_before_hole(row->path);
    return strncmp(row->path, path, before) == 0 && (row->path[before] != '\0' || path[before] == '\0');
}

/* The ending of a file's name in a path, or "". */
static const char *extension(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL ? "" : dot;
}

bool http_is_page(const http_routes *routes, const char *path) {
    bool is_page = false;
    for (size_t i = 0; i < routes->count; i++) {
        const http_route *row = &routes->rows[i];
        if (!is_near(row, path))
            continue;
        if ((row->flags & HTTP_PAGE) != 0)
            is_page = true;
        else if (strcmp(extension(row->path), extension(path)) == 0)
            return false; /* it is meant as this one, which programs ask for */
    }
    return is_page;
}

bool http_is_secret(const http_routes *routes, const char *path) {
    for (size_t i = 0; i < routes->count; i++)
        if ((routes->rows[i].flags & HTTP_SECRET) != 0 && is_near(&routes->rows[i], path))
            return true;
    return false;
}

/* ---- The log ---- */

static int digit(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Resolves %41, cut to `size`. */
static void decode(const char *text, char *plain, size_t size) {
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t n = 0;
    for (; *text != '\0' && n + 1 < size; text++) {
        plain[n] = *text;
        if (*text == '%' && strspn(text + 1, digits) >= 2) {
            plain[n] = (char)(digit(text[1]) * 16 + digit(text[2]));
            text += 2;
        }
        n += plain[n] != '\0';
    }
    plain[n] = '\0';
}

/* Writes the path of the secret route that begins like `row` and ends like `rest`, "..." if there is none. */
static void show_route(const http_routes *routes, const http_route *row, const char *rest, char *shown,
                       size_t size) {
    const size_t before = length_before_hole(row->path), length = strcspn(rest, "?#");
    const char *ending = "...";
    for (size_t i = 0; i < routes->count; i++) {
        const char *const after = after_hole(routes->rows[i].path);
        if (strncmp(routes->rows[i].path, row->path, before + 1) == 0 && strlen(after) == length &&
            strncmp(after, rest, length) == 0)
            ending = after;
    }
    snprintf(shown, size, "%.*s%s", (int)(after_hole(row->path) - row->path), row->path, ending);
}

/* The secret route that begins like this text, and goes on; NULL: none does. */
static const http_route *secret_at(const http_routes *routes, const char *text) {
    for (size_t i = 0; i < routes->count; i++) {
        const http_route *row = &routes->rows[i];
        const size_t before = (row->flags & HTTP_SECRET) == 0 ? 0 : length_before_hole(row->path);
        if (before > 0 && strncmp(text, row->path, before) == 0 && text[before] != '\0')
            return row;
    }
    return NULL;
}

void http_log_path(const http_routes *routes, const char *uri, char *shown, size_t size) {
    char plain[1024];
    decode(uri, plain, sizeof plain);
    for (const char *at = strchr(plain, '/'); at != NULL; at = strchr(at + 1, '/')) {
        const http_route *row = secret_at(routes, at);
        if (row != NULL) {
            const char *secret = at + length_before_hole(row->path);
            show_route(routes, row, secret + strcspn(secret, "./?#"), shown, size);
            return;
        }
    }
    snprintf(shown, size, "%s", uri);
}
