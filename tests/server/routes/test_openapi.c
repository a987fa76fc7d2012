/* The description is complete, or there is none: each allocation that it takes fails once. */
#include "core/model/load.h"
#include "server/routes/handlers.h"
#include "server/routes/routes.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static size_t left = SIZE_MAX; /* allocations that still succeed */

static void *allocate(size_t bytes) {
    if (left == 0)
        return NULL;
    left--;
    return malloc(bytes);
}

Test(openapi, is_complete_or_not_there) {
    snapshot s = {.source_count = 0};
    attn_error error;
    size_t failed = 0;
    cr_assert_eq(attn_registry_load(&s.models, "init:embed_dim=4,num_heads=2,kdim=3", &error), ATTN_OK);
    json_t *whole = describe_api(&s);
    cr_assert_not_null(whole);
    json_set_alloc_funcs(allocate, free);
    for (bool done = false; !done; failed++) {
        left = failed;
        json_t *described = describe_api(&s);
        done = left > 0;
        left = SIZE_MAX;
        cr_assert(described == NULL ? !done : json_equal(described, whole), "allocation %zu", failed);
        json_decref(described);
    }
    cr_assert_gt(failed, 1000);
    json_decref(whole);
    attn_registry_free(&s.models);
}

/* The text, from the same place each time; the caller frees nothing. */
static const char *ask(snapshot *s, void (*handle)(http_exchange *x), size_t *length) {
    http_exchange x = {.snapshot = s, .small = attn_arena_new(NULL)};
    handle(&x);
    attn_arena_free(x.small);
    *length = x.answer.length;
    return x.status == 200 ? x.answer.bytes : NULL;
}

/* It takes a millisecond, on the thread that serves everybody. */
Test(openapi, is_made_once) {
    void (*const handles[])(http_exchange *) = {handle_openapi, handle_models};
    snapshot *s = snapshot_new(1);
    attn_error error;
    cr_assert_eq(attn_registry_load(&s->models, "init:embed_dim=4,num_heads=2", &error), ATTN_OK);
    json_set_alloc_funcs(allocate, free);
    for (size_t i = 0; i < 2; i++) {
        size_t length, again;
        left = 10; /* without memory there is none, and nothing is left of the attempt */
        cr_assert_null(ask(s, handles[i], &length));
        left = SIZE_MAX;
        const char *text = ask(s, handles[i], &length);
        cr_assert(text != NULL && length > 100 && text[0] == '{' && text[length - 1] == '}');
        left = 0;
        cr_assert_eq(ask(s, handles[i], &again), text);
        cr_assert_eq(again, length);
        left = SIZE_MAX;
    }
    snapshot_release(s);
}

/* The path with its hole left empty: what stands in it may have several names. */
static void empty_hole(const char *path, char *emptied) {
    for (bool inside = false; *path != '\0'; path++) {
        inside = inside && *path != '}';
        if (!inside)
            *emptied++ = *path;
        inside = inside || *path == '{';
    }
    *emptied = '\0';
}

/* The object of a route in the description, or NULL. */
static json_t *find_described(json_t *paths, const http_route *row) {
    const char *path;
    json_t *item;
    char wanted[100], emptied[100], method[10] = "";
    empty_hole(row->path, wanted);
    for (size_t i = 0; row->method[i] != '\0'; i++)
        method[i] = (char)tolower(row->method[i]);
    json_object_foreach(paths, path, item) {
        empty_hole(path, emptied);
        if (strcmp(emptied, wanted) == 0)
            return json_object_get(item, method);
    }
    return NULL;
}

/* Each row of the table, but the other spelling of /v2, and nothing else. */
Test(openapi, has_the_paths_of_the_table) {
    snapshot s = {.source_count = 0};
    attn_error error;
    size_t rows = 0, described = 0;
    cr_assert_eq(attn_registry_load(&s.models, "init:embed_dim=4,num_heads=2", &error), ATTN_OK);
    json_t *root = describe_api(&s), *paths = json_object_get(root, "paths"), *item, *method;
    const char *path, *name;
    for (size_t i = 0; i < service_routes.count; i++) {
        const http_route *row = &service_routes.rows[i];
        if (strcmp(row->path, "/v2/") == 0)
            continue;
        cr_expect_not_null(find_described(paths, row), "%s %s", row->method, row->path);
        rows++;
    }
    json_object_foreach(paths, path, item) json_object_foreach(item, name, method) described +=
        strcmp(name, "parameters") != 0;
    cr_expect_eq(described, rows);
    json_decref(root);
    attn_registry_free(&s.models);
}
