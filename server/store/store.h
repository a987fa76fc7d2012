/* store.h: what is kept for a while, under ids that cannot be guessed. It knows nothing of what it keeps but
 * its size and how it is freed. Safe to use from several threads.
 *
 * All of it together takes at most so many bytes: what was used least recently makes room for what is new,
 * but not while it has users. Each lives at most so long. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STORE_ID_LENGTH 32

typedef struct store store;
typedef struct store_entry store_entry;

/* `limit` in bytes, `lifetime` in nanoseconds on `clock`. Without a clock it is clock_now, and a thread of
 * the store's own removes what has expired; with one, that is done at each call. NULL if memory or the thread
 * could not be had. */
store *store_new(size_t limit, uint64_t lifetime, void (*free_value)(void *value), uint64_t (*clock)(void));

/* Frees the store and all in it. Nothing may have users any more. NULL is allowed. */
void store_free(store *s);

/* What is charged for so many bytes. */
size_t store_cost(size_t bytes);

/* The most that can be charged. */
size_t store_limit(const store *s);

typedef enum {
    STORE_DONE,
    STORE_NO_MEMORY,
    STORE_NO_RANDOMNESS, /* the system has no random numbers for an id */
    STORE_NO_ROOM,       /* too much of the store has users or is being made at this moment */
} store_failure;

/* Charges so many bytes for what is about to be made, and draws its id. */
store_failure store_reserve(store *s, size_t bytes, store_entry **reserved);

/* The id of what was reserved, until it is put or cancelled. */
const char *store_id(const store_entry *reserved);

/* Puts what was made in its place, from where others can take it ... */
void store_put(store *s, store_entry *reserved, void *value);

/* ... or gives up the place. */
void store_cancel(store *s, store_entry *reserved);

typedef struct {
    void *value;           /* NULL: it is not there */
    time_t created;        /* seconds since 1970 */
    uint64_t seconds_left; /* rounded up */
    store_entry *entry;    /* the store's own */
} store_item;

/* Looks it up, which counts as a use. What is found stays there until it is given back, even if the store
 * removes it meanwhile. */
store_item store_take(store *s, const char *id);
void store_give_back(store *s, const store_item *item);

/* Is it there? That counts as a use too. */
bool store_has(store *s, const char *id);

/* Removes it; false if it is not there. */
bool store_delete(store *s, const char *id);

/* Bytes that are charged now, and what is kept. */
size_t store_used(store *s);
size_t store_count(store *s);

#endif
