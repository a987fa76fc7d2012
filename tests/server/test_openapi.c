/* The description is complete, or there is none: each allocation that it takes fails once. */
#include "server/routes/routes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static size_t left = SIZE_MAX; /* allocations that still succeed */

static void *allocate(size_t bytes) {
    if (left == 0)
        return NULL;
    left--;
    return malloc(bytes);
}

/* The document, or NULL if there is none; the caller frees. */
static char *describe(service *s) {
    http_exchange x = {.service = s, .small = attn_arena_new(NULL)};
    handle_openapi(&x);
    char *text = x.status == 200 ? strndup(x.answer.bytes, x.answer.length) : NULL;
    attn_arena_free(x.small);
    return text;
}

Test(openapi, is_complete_or_not_there) {
    static service s;
    attn_error error;
    size_t failed = 0;
    cr_assert_eq(attn_registry_load(&s.registry, "init:embed_dim=4,num_heads=2,kdim=3", &error), ATTN_OK);
    char *whole = describe(&s);
    cr_assert_not_null(whole);
    json_set_alloc_funcs(allocate, free);
    for (bool done = false; !done; failed++) {
        left = failed;
        char *text = describe(&s);
        done = left > 0;
        cr_assert(text == NULL ? !done : strcmp(text, whole) == 0, "allocation %zu", failed);
        free(text);
    }
    cr_assert_gt(failed, 1000);
    free(whole);
    attn_registry_free(&s.registry);
}
