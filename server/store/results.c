#include "server/store/results.h"

#include "core/size.h"
#include "core/watch.h"
#include "server/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ID_BYTES  20 /* 160 bits */
#define ID_LENGTH 32 /* characters of five bits each */
#define BUCKETS   1024

_Static_assert(sizeof RESULTS_PATH + ID_LENGTH <= RESULT_URL_SIZE, "RESULT_URL_SIZE");

/* Neighbours in a ring. */
typedef struct links {
    struct links *previous, *next;
} links;

typedef struct entry {
    links by_use;                 /* first: the most recently used */
    links by_age;                 /* first: the newest */
    struct entry *next_in_bucket; /* or in the garbage */
    char id[ID_LENGTH + 1];
    kept_result *kept;
    size_t bytes; /* that are charged for it, this structure included */
    size_t takers;
    bool forgotten; /* it is in no list any more; the last taker frees it */
    time_t created;
    uint64_t expires;
} entry;

struct results {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the oldest result is another, or the end has come */
    size_t limit, used;
    size_t held; /* of the bytes in use: what cannot make room, because it is taken or only just made */
    uint64_t lifetime;
    uint64_t (*clock)(void);
    size_t count;
    links by_use, by_age;
    entry *buckets[BUCKETS];
    entry *garbage; /* what is to be freed: without the lock, for to give back many pages takes a while */
    bool has_thread, stopping;
    pthread_t thread;
};

/* ---- Lists ---- */

static void insert_first(links *ring, links *item) {
    item->previous = ring;
    item->next = ring->next;
    ring->next->previous = item;
    ring->next = item;
}

static void take_out(links *item) {
    item->previous->next = item->next;
    item->next->previous = item->previous;
}

static entry *entry_by_use(links *item) {
    return (entry *)(void *)((char *)item - offsetof(entry, by_use));
}

static entry *entry_by_age(links *item) {
    return (entry *)(void *)((char *)item - offsetof(entry, by_age));
}

static size_t bucket_of(const char *id) {
    size_t hash = 0;
    for (size_t i = 0; i < ID_LENGTH; i++)
        hash = hash * 31 + (unsigned char)id[i];
    return hash % BUCKETS;
}

/* Takes as long wherever the ids differ, so that the time tells nothing about them. */
static bool same_id(const char *a, const char *b) {
    unsigned char difference = 0;
    for (size_t i = 0; i < ID_LENGTH; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

static entry *find(results *r, const char *id) {
    if (strlen(id) != ID_LENGTH)
        return NULL;
    entry *e = r->buckets[bucket_of(id)];
    while (e != NULL && !same_id(e->id, id))
        e = e->next_in_bucket;
    return e;
}

/* ---- Removal: all of these with the lock held ---- */

static void discard(results *r, entry *e) {
    r->used -= e->bytes;
    e->next_in_bucket = r->garbage;
    r->garbage = e;
}

/* Takes it out of the lists; it is garbage now, or when its last taker is done. */
static void forget(results *r, entry *e) {
    entry **place = &r->buckets[bucket_of(e->id)];
    while (*place != e)
        place = &(*place)->next_in_bucket;
    *place = e->next_in_bucket;
    take_out(&e->by_use);
    take_out(&e->by_age);
    r->count--;
    e->forgotten = true;
    if (e->takers == 0)
        discard(r, e);
}

/* All have the same lifetime: the oldest expires first. */
static void remove_expired(results *r) {
    const uint64_t now = r->clock();
    while (r->by_age.previous != &r->by_age && entry_by_age(r->by_age.previous)->expires <= now)
        forget(r, entry_by_age(r->by_age.previous));
}

/* Removes what was used least recently until there are `bytes` free. What is taken is passed over: to forget
 * it would give no room. False if there is no way. */
static bool make_room(results *r, size_t bytes) {
    if (bytes > r->limit - r->held)
        return false;
    for (links *item = r->by_use.previous; r->used > r->limit - bytes;) {
        entry *const e = entry_by_use(item);
        item = item->previous;
        if (e->takers == 0)
            forget(r, e);
    }
    return true;
}

/* Gives up the lock, and frees the garbage. */
static void unlock_and_free(results *r) {
    entry *garbage = r->garbage;
    r->garbage = NULL;
    pthread_mutex_unlock(&r->lock);
    while (garbage != NULL) {
        entry *const e = garbage;
        garbage = e->next_in_bucket;
        free(e->kept);
        free(e);
    }
}

/* The same for a caller that has no time: the store's own thread will free it. */
static void unlock_and_leave(results *r) {
    if (r->garbage == NULL || !r->has_thread) {
        unlock_and_free(r);
        return;
    }
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- Start and end ---- */

/* Removes results as they expire, and frees what others have left. */
static void *watch(void *argument) {
    results *const r = argument;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        remove_expired(r);
        if (r->garbage != NULL) {
            unlock_and_free(r);
            pthread_mutex_lock(&r->lock);
            continue;
        }
        if (r->by_age.previous == &r->by_age) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        const uint64_t wake = entry_by_age(r->by_age.previous)->expires;
        const struct timespec until = {.tv_sec = (time_t)(wake / 1000000000u),
                                       .tv_nsec = (long)(wake % 1000000000u)};
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

results *results_new(size_t limit, uint64_t lifetime, uint64_t (*clock)(void)) {
    results *r = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;
    if (r == NULL)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    r->limit = limit;
    r->lifetime = lifetime;
    r->clock = clock == NULL ? clock_now : clock;
    r->by_use.previous = r->by_use.next = &r->by_use;
    r->by_age.previous = r->by_age.next = &r->by_age;
    r->has_thread = clock == NULL && pthread_create(&r->thread, NULL, watch, r) == 0;
    if (clock == NULL && !r->has_thread) {
        results_free(r);
        return NULL;
    }
    return r;
}

void results_free(results *r) {
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (r->has_thread)
        pthread_join(r->thread, NULL);
    while (r->by_use.next != &r->by_use)
        forget(r, entry_by_use(r->by_use.next));
    pthread_mutex_lock(&r->lock);
    unlock_and_free(r);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- Putting ---- */

static bool size_of(const attend_request *request, const attend_call *call, size_t *bytes) {
    return kept_size(request, call, bytes) && attn_add(*bytes, sizeof(entry), bytes);
}

problem_code results_check(const results *r, const attend_request *request, const attend_call *call,
                           problem *p) {
    size_t bytes;
    if (!size_of(request, call, &bytes))
        bytes = SIZE_MAX;
    if (bytes <= r->limit)
        return PROBLEM_NONE;
    return problem_set_at(
        p, PROBLEM_TOO_LARGE, "keep",
        "to keep this result would take %zu bytes, but --results-memory allows %zu; leave out "
        "keep, or keep less of the weights with a view",
        bytes, r->limit);
}

/* Writes a fresh id: base32 (RFC 4648, section 6) in small letters. */
static bool draw_id(char id[ID_LENGTH + 1]) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[ID_BYTES];
    uint32_t bits = 0;
    unsigned left = 0;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0, next = 0; i < ID_LENGTH; i++) {
        if (left < 5) {
            bits = bits << 8 | random[next++];
            left += 8;
        }
        left -= 5;
        id[i] = digits[bits >> left & 31];
    }
    id[ID_LENGTH] = '\0';
    return true;
}

/* Charges for a result that is about to be made. */
static bool charge(results *r, size_t bytes) {
    pthread_mutex_lock(&r->lock);
    remove_expired(r);
    const bool room = make_room(r, bytes);
    if (room) {
        r->used += bytes;
        r->held += bytes;
    }
    unlock_and_free(r);
    return room;
}

static void publish(results *r, entry *e) {
    pthread_mutex_lock(&r->lock);
    entry **const bucket = &r->buckets[bucket_of(e->id)];
    r->held -= e->bytes;
    e->created = time(NULL);
    e->expires = r->clock() + r->lifetime;
    e->next_in_bucket = *bucket;
    *bucket = e;
    insert_first(&r->by_use, &e->by_use);
    insert_first(&r->by_age, &e->by_age);
    r->count++;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* The copy is made without the lock: it may be large. */
static problem_code copy_and_publish(results *r, const attend_request *request, const attend_call *call,
                                     const attn_control *control, const char *id, size_t bytes, problem *p) {
    entry *e = calloc(1, sizeof *e);
    kept_result *kept = e == NULL ? NULL : kept_copy(request, call, control);
    if (kept == NULL) {
        free(e);
        pthread_mutex_lock(&r->lock);
        r->used -= bytes;
        r->held -= bytes;
        pthread_mutex_unlock(&r->lock);
        return problem_from_core(p, attn_control_stops(control) ? ATTN_CANCELLED : ATTN_NO_MEMORY, NULL);
    }
    e->kept = kept;
    e->bytes = bytes;
    memcpy(e->id, id, sizeof e->id);
    publish(r, e);
    return PROBLEM_NONE;
}

problem_code results_put(results *r, const attend_request *request, attend_call *call,
                         const attn_control *control, problem *p) {
    char id[ID_LENGTH + 1];
    size_t bytes;
    problem_code code = results_check(r, request, call, p);
    if (code != PROBLEM_NONE || !size_of(request, call, &bytes))
        return code;
    if (!draw_id(id))
        return problem_set(p, PROBLEM_UNAVAILABLE,
                           "the system has no random numbers for the id of a kept result; try again later");
    if (!charge(r, bytes))
        return problem_set(
            p, PROBLEM_QUEUE_FULL,
            "kept results that are being made or read hold too much of --results-memory at this "
            "moment; try again later");
    snprintf(call->result_url, sizeof call->result_url, RESULTS_PATH "%s", id);
    code = copy_and_publish(r, request, call, control, id, bytes, p);
    if (code != PROBLEM_NONE)
        *call->result_url = '\0';
    return code;
}

/* ---- Taking ---- */

/* Finds a result that has not expired, and makes it the most recently used. With the lock held. */
static entry *use(results *r, const char *id) {
    remove_expired(r);
    entry *e = find(r, id);
    if (e != NULL) {
        take_out(&e->by_use);
        insert_first(&r->by_use, &e->by_use);
    }
    return e;
}

results_taken results_take(results *r, const char *id) {
    results_taken taken = {.kept = NULL};
    pthread_mutex_lock(&r->lock);
    entry *e = use(r, id);
    if (e != NULL) {
        r->held += e->takers == 0 ? e->bytes : 0;
        e->takers++;
        taken = (results_taken){
            .kept = e->kept,
            .created = e->created,
            .seconds_left = (e->expires - r->clock() + 999999999u) / 1000000000u,
            .entry = e,
        };
    }
    unlock_and_free(r);
    return taken;
}

void results_give_back(results *r, const results_taken *taken) {
    entry *const e = taken->entry;
    pthread_mutex_lock(&r->lock);
    e->takers--;
    if (e->takers == 0) {
        r->held -= e->bytes;
        if (e->forgotten)
            discard(r, e);
    }
    unlock_and_free(r);
}

bool results_has(results *r, const char *id) {
    pthread_mutex_lock(&r->lock);
    const bool found = use(r, id) != NULL;
    unlock_and_leave(r);
    return found;
}

bool results_delete(results *r, const char *id) {
    pthread_mutex_lock(&r->lock);
    remove_expired(r);
    entry *e = find(r, id);
    if (e != NULL)
        forget(r, e);
    unlock_and_leave(r);
    return e != NULL;
}

size_t results_used(results *r) {
    pthread_mutex_lock(&r->lock);
    const size_t used = r->used;
    pthread_mutex_unlock(&r->lock);
    return used;
}

size_t results_count(results *r) {
    pthread_mutex_lock(&r->lock);
    const size_t count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}
