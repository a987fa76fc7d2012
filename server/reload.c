#include "server/reload.h"

#include "server/load.h"
#include "server/log.h"
#include "server/metrics.h"

#include <errno.h>
#include <malloc.h>
#include <time.h>

/* How often the thread looks whether what was replaced is still in use. */
#define LOOK_NS 20000000

/* A load looks between two models whether it should go on; one model may take minutes. */
#define STOP_NS 100000000

/* Says in the log what was reloaded. Models that are gone count in none of the others. */
static metrics_reload tell(const snapshot *before, const snapshot *now) {
    size_t fresh = 0, unchanged = 0, stale = 0, gone = 0;
    for (size_t i = 0; i < now->models.count; i++) {
        const attn_model *model = now->models.models[i];
        if (snapshot_stale(now, model) != NULL)
            stale++;
        else if (attn_registry_find(&before->models, model->name) == model)
            unchanged++;
        else
            fresh++;
    }
    for (size_t i = 0; i < before->models.count; i++)
        gone += attn_registry_find(&now->models, before->models.models[i]->name) == NULL;
    log_line(stale > 0 ? LOG_WARNING : LOG_INFO,
             "reloaded: %zu models new, %zu unchanged, %zu stale, %zu gone", fresh, unchanged, stale, gone);
    return stale > 0 || now->keys_are_stale ? RELOAD_PARTIAL : RELOAD_OK;
}

static void reload(reloader *r) {
    service *s = r->service;
    attn_error error = {""};
    snapshot *before = snapshot_take(&s->served);
    snapshot *next = load_snapshot(&s->options, before, &s->draining, &error);
    if (next == NULL) {
        if (!atomic_load(&s->draining))
            log_line(LOG_ERROR, "not reloaded: %s", error.text);
        metrics_count_reload(s->metrics, RELOAD_FAILED);
        snapshot_release(before);
        return;
    }
    snapshot_replace(&s->served, next);
    metrics_count_reload(s->metrics, tell(before, next));
    before->next = r->replaced;
    r->replaced = before;
}

/* Releases those that only this thread holds: nobody can take one of them any more. */
static void release_unused(reloader *r) {
    bool any = false;
    for (snapshot **at = &r->replaced; *at != NULL;) {
        snapshot *s = *at;
        if (atomic_load(&s->holders) > 1) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        snapshot_release(s);
        any = true;
    }
    if (any)
        malloc_trim(0);
}

static void wait_to_wake(reloader *r) {
    if (r->replaced == NULL)
        sem_wait(&r->wake);
    else
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

static void *serve_reloads(void *context) {
    reloader *r = context;
    while (!atomic_load(&r->ends)) {
        wait_to_wake(r);
        release_unused(r);
        if (atomic_exchange(&r->asked, false))
            reload(r);
    }
    release_unused(r);
    return NULL;
}

void reload_prepare(reloader *r) {
    sem_init(&r->wake, 0, 0);
}

void reload_ask(reloader *r) {
    const int saved = errno;
    atomic_store(&r->asked, true);
    sem_post(&r->wake);
    errno = saved;
}

bool reload_start(reloader *r, service *s) {
    r->service = s;
    return pthread_create(&r->thread, NULL, serve_reloads, r) == 0;
}

bool reload_stop(reloader *r) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += STOP_NS;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    atomic_store(&r->ends, true);
    sem_post(&r->wake);
    return pthread_timedjoin_np(r->thread, NULL, &end) == 0;
}
