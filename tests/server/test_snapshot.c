/* A reload replaces what is served; whoever is at work goes on with what there was. */
#include "server/snapshot.h"

#include "core/model/load.h"
#include "server/routes/handlers.h"
#include "server/routes/routes.h"

#include <criterion/criterion.h>
#include <string.h>

static snapshot *make(const char *spec) {
    snapshot *s = snapshot_new(1);
    attn_error error;
    cr_assert_not_null(s);
    cr_assert_eq(attn_registry_load(&s->models, spec, &error), ATTN_OK, "%s", error.text);
    return s;
}

/* How many hold a model beside this test. */
static size_t holders(const attn_model *model) {
    return model->holders - 1;
}

Test(snapshot, a_holder_sees_the_models_it_began_with) {
    snapshot_holder h = SNAPSHOT_HOLDER;
    snapshot_replace(&h, make("old=init:embed_dim=4,num_heads=2"));
    snapshot *first = snapshot_take(&h), *again = snapshot_take(&h);
    cr_assert_eq(first, again);
    const attn_model *old = attn_model_hold(first->models.models[0]);
    snapshot_replace(&h, make("new=init:embed_dim=8,num_heads=2"));
    snapshot *second = snapshot_take(&h);
    cr_assert_eq(attn_registry_find(&first->models, "old"), old);
    cr_assert_null(attn_registry_find(&first->models, "new"));
    cr_assert_null(attn_registry_find(&second->models, "old"));
    cr_assert_not_null(attn_registry_find(&second->models, "new"));
    snapshot_release(again);
    cr_assert_eq(holders(old), 1, "somebody has the old one still");
    snapshot_release(first);
    cr_assert_eq(holders(old), 0, "the last has given it back");
    attn_model_release(old);
    snapshot_release(second);
    snapshot_replace(&h, NULL);
}

/* A model that stays is not loaded twice: both snapshots hold it. */
Test(snapshot, two_can_hold_one_model) {
    snapshot_holder h = SNAPSHOT_HOLDER;
    snapshot_replace(&h, make("stays=init:embed_dim=4,num_heads=2"));
    snapshot *first = snapshot_take(&h);
    const attn_model *model = attn_model_hold(first->models.models[0]);
    snapshot *next = make("other=init:embed_dim=8,num_heads=2");
    cr_assert_eq(attn_registry_share(&next->models, model, NULL), ATTN_OK);
    snapshot_replace(&h, next);
    cr_assert_eq(holders(model), 2);
    snapshot_release(first);
    cr_assert_eq(holders(model), 1);
    cr_assert_eq(attn_registry_find(&next->models, "stays"), model);
    snapshot_replace(&h, NULL);
    cr_assert_eq(holders(model), 0);
    attn_model_release(model);
}

/* The default model's name, and the description of all, as an exchange with this snapshot gets them. */
static void ask(snapshot *s, const char *name, bool is_there) {
    http_exchange x = {.snapshot = s, .small = attn_arena_new(NULL)};
    char segment[HTTP_SEGMENT_SIZE], allow[HTTP_ALLOW_SIZE];
    cr_assert_eq(lookup_model(&x, name, "") != NULL, is_there);
    http_find_route(&service_routes, "GET", "/models", segment, allow)->handle(&x);
    char *text = strndup(x.answer.bytes, x.answer.length);
    cr_assert_eq(strstr(text, name) != NULL, is_there, "%s", text);
    free(text);
    attn_arena_free(x.small);
}

Test(snapshot, handlers_answer_from_the_one_of_their_exchange) {
    snapshot_holder h = SNAPSHOT_HOLDER;
    snapshot_replace(&h, make("old=init:embed_dim=4,num_heads=2"));
    snapshot *first = snapshot_take(&h);
    ask(first, "old", true);
    snapshot_replace(&h, make("new=init:embed_dim=8,num_heads=2"));
    snapshot *second = snapshot_take(&h);
    ask(first, "old", true);
    ask(first, "new", false);
    ask(second, "old", false);
    ask(second, "new", true);
    snapshot_release(first);
    snapshot_release(second);
    snapshot_replace(&h, NULL);
}

typedef struct {
    snapshot_holder h;
    atomic_bool ends;
    atomic_size_t rounds;
} shared;

/* Requests come and go, and what each has is whole. */
static void *serve(void *context) {
    shared *sh = context;
    bool whole = true;
    while (!sh->ends) {
        snapshot *s = snapshot_take(&sh->h);
        whole &= s->models.count == 1 && strcmp(s->models.models[0]->name, "model") == 0;
        sh->rounds++;
        snapshot_release(s);
    }
    return whole ? sh : NULL;
}

Test(snapshot, is_replaced_while_threads_take_it) {
    enum { THREADS = 3, TIMES = 100 };
    static shared sh = {.h = SNAPSHOT_HOLDER};
    pthread_t threads[THREADS];
    snapshot_replace(&sh.h, make("model=init:embed_dim=4,num_heads=2"));
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, serve, &sh), 0);
    for (size_t i = 0; i < TIMES || sh.rounds < TIMES; i++)
        snapshot_replace(&sh.h, make("model=init:embed_dim=4,num_heads=2"));
    sh.ends = true;
    for (size_t i = 0; i < THREADS; i++) {
        void *whole;
        pthread_join(threads[i], &whole);
        cr_assert_not_null(whole);
    }
    cr_assert_eq(sh.h.current->holders, 1);
    snapshot_replace(&sh.h, NULL);
}
