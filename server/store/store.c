#include "server/store/store.h"

#include "core/ring.h"
#include "core/size.h"
#include "server/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ID_BYTES 20 /* 160 bits; a character of the id stands for five */
#define BUCKETS  1024

_Static_assert(ID_BYTES * 8 == STORE_ID_LENGTH * 5, "STORE_ID_LENGTH");

struct store_entry {
    attn_ring by_use;            /* first: the most recently used */
    attn_ring by_age;            /* first: the newest */
    store_entry *next_in_bucket; /* or in the garbage */
    char id[STORE_ID_LENGTH + 1];
    void *value;
    size_t bytes; /* that are charged for it, this structure included */
    size_t users;
    bool removed; /* it is in no list any more; the last user frees it */
    time_t created;
    uint64_t expires;
};

struct store {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the oldest entry is another, there is garbage, or the end has come */
    size_t limit, used;
    size_t held; /* of the bytes in use: what cannot make room, because it has users or is only being made */
    uint64_t lifetime;
    void (*free_value)(void *value);
    uint64_t (*clock)(void);
    size_t count;
    attn_ring by_use, by_age;
    store_entry *buckets[BUCKETS];
    store_entry
        *garbage; /* what is to be freed: without the lock, because to give back many pages takes a while */
    bool has_thread, stopping;
    pthread_t thread;
};

static store_entry *by_use(attn_ring *link) {
    return ATTN_RING_ITEM(link, store_entry, by_use);
}

static store_entry *by_age(attn_ring *link) {
    return ATTN_RING_ITEM(link, store_entry, by_age);
}

static size_t bucket_of(const char *id) {
    size_t hash = 0;
    for (size_t i = 0; i < STORE_ID_LENGTH; i++)
        hash = hash * 31 + (unsigned char)id[i];
    return hash % BUCKETS;
}

/* Takes as long wherever the ids differ, so that the time tells nothing about them. */
static bool same_id(const char *a, const char *b) {
    unsigned char difference = 0;
    for (size_t i = 0; i < STORE_ID_LENGTH; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

static store_entry *find(store *s, const char *id) {
    if (strlen(id) != STORE_ID_LENGTH)
        return NULL;
    store_entry *e = s->buckets[bucket_of(id)];
    while (e != NULL && !same_id(e->id, id))
        e = e->next_in_bucket;
    return e;
}

/* ---- Removal: all of these with the lock held ---- */

static void discard(store *s, store_entry *e) {
    s->used -= e->bytes;
    e->next_in_bucket = s->garbage;
    s->garbage = e;
}

/* Takes it out of the lists; it is garbage now, or when its last user is done. */
static void remove_entry(store *s, store_entry *e) {
    store_entry **place = &s->buckets[bucket_of(e->id)];
    while (*place != e)
        place = &(*place)->next_in_bucket;
    *place = e->next_in_bucket;
    attn_ring_remove(&e->by_use);
    attn_ring_remove(&e->by_age);
    s->count--;
    e->removed = true;
    if (e->users == 0)
        discard(s, e);
}

/* All have the same lifetime: the oldest expires first. */
static void remove_expired(store *s) {
    const uint64_t now = s->clock();
    while (!attn_ring_is_empty(&s->by_age) && by_age(s->by_age.previous)->expires <= now)
        remove_entry(s, by_age(s->by_age.previous));
}

/* Removes what was used least recently until there are `bytes` free. What has users is passed over: to remove
 * it would give no room. False if there is no way. */
static bool make_room(store *s, size_t bytes) {
    if (bytes > s->limit - s->held)
        return false;
    for (attn_ring *item = s->by_use.previous; s->used > s->limit - bytes;) {
        store_entry *const e = by_use(item);
        item = item->previous;
        if (e->users == 0)
            remove_entry(s, e);
    }
    return true;
}

/* Releases the lock, and frees the garbage. */
static void unlock_and_free(store *s) {
    store_entry *garbage = s->garbage;
    s->garbage = NULL;
    pthread_mutex_unlock(&s->lock);
    while (garbage != NULL) {
        store_entry *const e = garbage;
        garbage = e->next_in_bucket;
        s->free_value(e->value);
        free(e);
    }
}

/* The same for a caller that has no time: the store's own thread will free it. */
static void unlock_and_leave(store *s) {
    if (s->garbage == NULL || !s->has_thread) {
        unlock_and_free(s);
        return;
    }
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Start and end ---- */

/* Removes entries as they expire, and frees what others have left. */
static void *watch(void *argument) {
    store *const s = argument;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        remove_expired(s);
        if (s->garbage != NULL) {
            unlock_and_free(s);
            pthread_mutex_lock(&s->lock);
            continue;
        }
        if (attn_ring_is_empty(&s->by_age)) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        const uint64_t wake = by_age(s->by_age.previous)->expires;
        const struct timespec until = {.tv_sec = (time_t)(wake / 1000000000u),
                                       .tv_nsec = (long)(wake % 1000000000u)};
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

store *store_new(size_t limit, uint64_t lifetime, void (*free_value)(void *value), uint64_t (*clock)(void)) {
    store *s = calloc(1, sizeof *s);
    pthread_condattr_t monotonic;
    if (s == NULL)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->limit = limit;
    s->lifetime = lifetime;
    s->free_value = free_value;
    s->clock = clock == NULL ? clock_now : clock;
    attn_ring_init(&s->by_use);
    attn_ring_init(&s->by_age);
    s->has_thread = clock == NULL && pthread_create(&s->thread, NULL, watch, s) == 0;
    if (clock == NULL && !s->has_thread) {
        store_free(s);
        return NULL;
    }
    return s;
}

void store_free(store *s) {
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    while (!attn_ring_is_empty(&s->by_use))
        remove_entry(s, by_use(s->by_use.next));
    pthread_mutex_lock(&s->lock);
    unlock_and_free(s);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- Putting ---- */

size_t store_cost(size_t bytes) {
    return attn_add(bytes, sizeof(store_entry), &bytes) ? bytes : SIZE_MAX;
}

size_t store_limit(const store *s) {
    return s->limit;
}

/* Writes a fresh id: base32 (RFC 4648, section 6) in small letters. */
static bool draw_id(char id[STORE_ID_LENGTH + 1]) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[ID_BYTES];
    uint32_t bits = 0;
    unsigned left = 0;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0, next = 0; i < STORE_ID_LENGTH; i++) {
        if (left < 5) {
            bits = bits << 8 | random[next++];
            left += 8;
        }
        left -= 5;
        id[i] = digits[bits >> left & 31];
    }
    id[STORE_ID_LENGTH] = '\0';
    return true;
}

/* Charges for what is about to be made. */
static bool charge(store *s, size_t bytes) {
    pthread_mutex_lock(&s->lock);
    remove_expired(s);
    const bool room = make_room(s, bytes);
    if (room) {
        s->used += bytes;
        s->held += bytes;
    }
    unlock_and_free(s);
    return room;
}

static store_failure fill_reserved(store *s, size_t bytes, store_entry *e) {
    e->bytes = store_cost(bytes);
    if (!draw_id(e->id))
        return STORE_NO_RANDOMNESS;
    return charge(s, e->bytes) ? STORE_DONE : STORE_NO_ROOM;
}

store_failure store_reserve(store *s, size_t bytes, store_entry **reserved) {
    store_entry *e = *reserved = calloc(1, sizeof *e);
    const store_failure failure = e == NULL ? STORE_NO_MEMORY : fill_reserved(s, bytes, e);
    if (failure != STORE_DONE) {
        free(e);
        *reserved = NULL;
    }
    return failure;
}

const char *store_id(const store_entry *e) {
    return e->id;
}

void store_cancel(store *s, store_entry *e) {
    pthread_mutex_lock(&s->lock);
    s->used -= e->bytes;
    s->held -= e->bytes;
    pthread_mutex_unlock(&s->lock);
    free(e);
}

void store_put(store *s, store_entry *e, void *value) {
    e->value = value;
    pthread_mutex_lock(&s->lock);
    store_entry **const bucket = &s->buckets[bucket_of(e->id)];
    s->held -= e->bytes;
    e->created = time(NULL);
    e->expires = s->clock() + s->lifetime;
    e->next_in_bucket = *bucket;
    *bucket = e;
    attn_ring_insert(&s->by_use, &e->by_use);
    attn_ring_insert(&s->by_age, &e->by_age);
    s->count++;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Taking ---- */

/* Finds an entry that has not expired, and makes it the most recently used. With the lock held. */
static store_entry *use(store *s, const char *id) {
    remove_expired(s);
    store_entry *e = find(s, id);
    if (e != NULL) {
        attn_ring_remove(&e->by_use);
        attn_ring_insert(&s->by_use, &e->by_use);
    }
    return e;
}

store_item store_take(store *s, const char *id) {
    store_item item = {.value = NULL};
    pthread_mutex_lock(&s->lock);
    store_entry *e = use(s, id);
    if (e != NULL) {
        s->held += e->users == 0 ? e->bytes : 0;
        e->users++;
        item = (store_item){
            .value = e->value,
            .created = e->created,
            .seconds_left = (e->expires - s->clock() + 999999999u) / 1000000000u,
            .entry = e,
        };
    }
    unlock_and_free(s);
    return item;
}

void store_give_back(store *s, const store_item *item) {
    store_entry *const e = item->entry;
    pthread_mutex_lock(&s->lock);
    e->users--;
    if (e->users == 0) {
        s->held -= e->bytes;
        if (e->removed)
            discard(s, e);
    }
    unlock_and_free(s);
}

bool store_has(store *s, const char *id) {
    pthread_mutex_lock(&s->lock);
    const bool found = use(s, id) != NULL;
    unlock_and_leave(s);
    return found;
}

bool store_delete(store *s, const char *id) {
    pthread_mutex_lock(&s->lock);
    remove_expired(s);
    store_entry *e = find(s, id);
    if (e != NULL)
        remove_entry(s, e);
    unlock_and_leave(s);
    return e != NULL;
}

size_t store_used(store *s) {
    pthread_mutex_lock(&s->lock);
    const size_t used = s->used;
    pthread_mutex_unlock(&s->lock);
    return used;
}

size_t store_count(store *s) {
    pthread_mutex_lock(&s->lock);
    const size_t count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}
