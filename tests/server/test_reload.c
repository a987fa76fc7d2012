/* The thread that reloads: when it does, and who frees what it has replaced. */
#include "server/reload.h"

#include "core/kernels/choose.h"
#include "server/load.h"
#include "server/log.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static service s = {.served = SNAPSHOT_HOLDER};
static reloader r;

static void begin(void) {
    attn_error error = {""};
    log_set_level(LOG_ERROR);
    s.options.kernels = attn_kernels_named("auto");
    s.options.models.words[s.options.models.count++] = strdup("init:embed_dim=4,num_heads=2");
    snapshot *first = load_snapshot(&s.options, NULL, &s.draining, &error);
    cr_assert_not_null(first, "%s", error.text);
    snapshot_replace(&s.served, first);
    reload_prepare(&r);
}

static void end(void) {
    cr_expect(reload_stop(&r));
    snapshot_replace(&s.served, NULL);
    options_free(&s.options);
}

TestSuite(reload, .init = begin, .fini = end, .timeout = 60);

static snapshot *current(void) {
    snapshot *now = snapshot_take(&s.served);
    snapshot_release(now);
    return now;
}

/* Waits until something else is served than `before`, which the caller holds. */
static void wait_for_another(const snapshot *before) {
    while (current() == before)
        usleep(100);
}

Test(reload, that_was_asked_for_before_there_was_a_thread) {
    snapshot *before = snapshot_take(&s.served);
    reload_ask(&r);
    usleep(20000);
    cr_expect_eq(current(), before);
    cr_assert(reload_start(&r, &s));
    wait_for_another(before);
    snapshot_release(before);
}

/* Whoever is the last to have it, as an I/O thread may be, must not be the one who frees gigabytes. */
Test(reload, what_it_replaces_is_freed_by_the_thread_alone) {
    cr_assert(reload_start(&r, &s));
    snapshot *before = snapshot_take(&s.served);
    const attn_model *model = attn_model_hold(before->models.models[0]);
    reload_ask(&r);
    wait_for_another(before);
    usleep(100000);
    cr_expect_eq(before->holders, 2, "the request's, and the thread's");
    cr_expect_eq(model->holders, 3, "the test's, and of both snapshots");
    snapshot_release(before);
    while (model->holders > 2)
        usleep(100);
    attn_model_release(model);
}

Test(reload, each_old_one_stays_as_long_as_its_request) {
    enum { TIMES = 10 };
    snapshot *held[TIMES];
    cr_assert(reload_start(&r, &s));
    const attn_model *model = attn_model_hold(current()->models.models[0]);
    for (size_t i = 0; i < TIMES; i++) {
        held[i] = snapshot_take(&s.served);
        reload_ask(&r);
        wait_for_another(held[i]);
    }
    for (size_t i = 0; i < TIMES; i++) {
        const size_t which = (i * 7 + 3) % TIMES, holders = model->holders;
        cr_expect_eq(held[which]->models.models[0], model);
        snapshot_release(held[which]);
        while (model->holders == holders)
            usleep(100);
        cr_expect_eq(model->holders, holders - 1);
    }
    attn_model_release(model);
}

Test(reload, none_once_the_service_drains) {
    cr_assert(reload_start(&r, &s));
    const snapshot *before = current();
    s.draining = true;
    reload_ask(&r);
    usleep(100000);
    cr_expect_eq(current(), before);
}
