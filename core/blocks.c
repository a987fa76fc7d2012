#include "core/blocks.h"

#include "core/ring.h"
#include "core/size.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* A free block that is used all the same is a fault that AddressSanitizer would not see by itself. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes)   ((void)(begin), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) ((void)(begin), (void)(bytes))
#endif

/* Free blocks lie in bins, eight from one power of two to the next. */
#define BINS_EACH  8
#define BINS       (BINS_EACH * 48)
#define FIRST_BITS 16 /* of ATTN_BLOCK_MIN */

/* A block may be larger than what is asked for by a part of that; else another one is mapped. */
#define WASTE_PART 8

/* In a bin only so many are looked at for one that is large enough, and so many for what was cut off. */
#define MOST_LOOKS     8
#define MOST_CUT_LOOKS 64

/* Given back to the system in pieces, so that nobody waits for the lock as long as a large block takes. */
#define PIECE ((size_t)8 * 1024 * 1024)

_Static_assert(ATTN_BLOCK_MIN == (size_t)1 << FIRST_BITS, "FIRST_BITS");

/* Stands at the start of a block that is free. */
typedef struct {
    attn_ring by_age; /* first: what was used last */
    attn_ring in_bin; /* likewise */
    attn_ring in_cut; /* of those that were cut off others; a ring of its own if it was not */
    size_t bytes;
    uint64_t since; /* when it became free */
} free_block;

struct attn_blocks {
    attn_budget *budget;
    size_t page;
    uint64_t keep_for;
    pthread_mutex_t lock;
    /* There is a free block, and the thread sleeps without a time to wake; or the end. */
    pthread_cond_t changed;
    attn_ring by_age, cut;
    attn_ring bins[BINS];
    uint64_t filled[BINS / 64]; /* a bit for each bin that has a block */
    bool sleeps, stopping;
    pthread_t thread;
};

/* ---- Lists: all of these with the lock held ---- */

static free_block *by_age(attn_ring *link) {
    return ATTN_RING_ITEM(link, free_block, by_age);
}

static free_block *in_bin(attn_ring *link) {
    return ATTN_RING_ITEM(link, free_block, in_bin);
}

static free_block *in_cut(attn_ring *link) {
    return ATTN_RING_ITEM(link, free_block, in_cut);
}

/* The bin of blocks of this many bytes; each has more than those of the bins before. */
static size_t bin_of(size_t bytes) {
    const size_t power = 63 - (size_t)__builtin_clzll(bytes);
    return (power - FIRST_BITS) * BINS_EACH + (bytes >> (power - 3)) % BINS_EACH;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static free_block *insert(attn_blocks *b, void *memory, size_t bytes) {
    free_block *const block = memory;
    const size_t bin = bin_of(bytes);
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof *block);
    ASAN_POISON_MEMORY_REGION((char *)memory + sizeof *block, bytes - sizeof *block);
    block->bytes = bytes;
    block->since = now();
    attn_ring_init(&block->in_cut);
    attn_ring_insert(&b->by_age, &block->by_age);
    attn_ring_insert(&b->bins[bin], &block->in_bin);
    b->filled[bin / 64] |= (uint64_t)1 << bin % 64;
    if (b->sleeps)
        pthread_cond_signal(&b->changed);
    return block;
}

static void extract(attn_blocks *b, free_block *block) {
    const size_t bin = bin_of(block->bytes);
    attn_ring_remove(&block->by_age);
    attn_ring_remove(&block->in_bin);
    attn_ring_remove(&block->in_cut);
    if (b->bins[bin].next == &b->bins[bin])
        b->filled[bin / 64] &= ~((uint64_t)1 << bin % 64);
    ASAN_UNPOISON_MEMORY_REGION(block, block->bytes);
}

/* The first bin from this one on that has a block, or BINS. */
static size_t next_filled(const attn_blocks *b, size_t bin) {
    for (size_t word = bin / 64; word < BINS / 64; word++, bin = word * 64) {
        const uint64_t left = b->filled[word] >> bin % 64;
        if (left != 0)
            return bin + (size_t)__builtin_ctzll(left);
    }
    return BINS;
}

/* A free block of at least `bytes`, and at most `most`; or NULL. */
static free_block *find(attn_blocks *b, size_t bytes, size_t most) {
    const size_t own = bin_of(bytes);
    int looks = 0;
    for (attn_ring *item = b->bins[own].next; item != &b->bins[own] && looks < MOST_LOOKS;
         item = item->next, looks++)
        if (in_bin(item)->bytes >= bytes && in_bin(item)->bytes <= most)
            return in_bin(item);
    const size_t larger = next_filled(b, own + 1);
    free_block *const first = larger == BINS ? NULL : in_bin(b->bins[larger].next);
    return first != NULL && first->bytes <= most ? first : NULL;
}

/* Leaves `bytes` of a block that is in use to its user, and frees the rest, if that is a block of its own.
 * Returns how many bytes the user has. */
static size_t cut(attn_blocks *b, void *block, size_t has, size_t bytes) {
    if (has - bytes < ATTN_BLOCK_MIN)
        return has;
    free_block *const rest = insert(b, (char *)block + bytes, has - bytes);
    attn_ring_insert(&b->cut, &rest->in_cut);
    return bytes;
}

/* A block of so many bytes becomes free. If what was cut off it still is, they are one again: for the next
 * request that goes the same way. */
static void join(attn_blocks *b, void *block, size_t bytes) {
    attn_ring *item = b->cut.next;
    for (int looks = 0; item != &b->cut && looks < MOST_CUT_LOOKS; item = item->next, looks++)
        if ((char *)in_cut(item) == (char *)block + bytes) {
            free_block *const rest = in_cut(item);
            bytes += rest->bytes;
            extract(b, rest);
            break;
        }
    insert(b, block, bytes);
}

/* Takes a free block that fits. When memory is short any that is large enough fits, and what is not needed of
 * it stays free. Without the lock. */
static void *take_free(attn_budget *budget, size_t bytes, size_t *got) {
    attn_blocks *const b = budget->blocks;
    pthread_mutex_lock(&b->lock);
    const size_t used = atomic_load(&budget->used);
    const size_t left = used < budget->limit ? budget->limit - used : 0;
    free_block *block = find(b, bytes, bytes + bytes / WASTE_PART);
    if (block == NULL && left < bytes)
        block = find(b, bytes, SIZE_MAX);
    if (block != NULL) {
        extract(b, block);
        *got = block->bytes;
        if (left < budget->limit / 2)
            *got = cut(b, block, block->bytes, bytes);
    }
    pthread_mutex_unlock(&b->lock);
    return block;
}

/* ---- Back to the system ---- */

static void unmap(attn_blocks *b, void *memory, size_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
    munmap(memory, bytes);
    atomic_fetch_sub(&b->budget->used, bytes);
}

/* Gives back what was used least recently, a piece of about `bytes`. With the lock held: whoever finds no
 * free block any more can be sure that it is discharged. False if there is none. */
static bool give_back(attn_blocks *b, size_t bytes) {
    if (b->by_age.previous == &b->by_age)
        return false;
    free_block *const block = by_age(b->by_age.previous);
    const size_t has = block->bytes;
    const uint64_t since = block->since;
    size_t piece = (bytes < PIECE ? bytes : PIECE) + b->page - 1;
    piece -= piece % b->page;
    extract(b, block);
    if (has < piece + ATTN_BLOCK_MIN) {
        unmap(b, block, has);
        return true;
    }
    unmap(b, (char *)block + has - piece, piece);
    insert(b, block, has - piece);
    block->since = since; /* and it remains the oldest */
    attn_ring_remove(&block->by_age);
    attn_ring_insert(b->by_age.previous, &block->by_age);
    return true;
}

bool attn_budget_charge(attn_budget *budget, size_t bytes) {
    for (bool more = true;;) {
        size_t used = atomic_load(&budget->used);
        while (used <= budget->limit && bytes <= budget->limit - used)
            if (atomic_compare_exchange_weak(&budget->used, &used, used + bytes))
                return true;
        if (budget->blocks == NULL || bytes > budget->limit || !more)
            return false;
        pthread_mutex_lock(&budget->blocks->lock);
        more = give_back(budget->blocks, used + bytes - budget->limit);
        pthread_mutex_unlock(&budget->blocks->lock);
    }
}

void attn_budget_discharge(attn_budget *budget, size_t bytes) {
    atomic_fetch_sub(&budget->used, bytes);
}

/* ---- Blocks ---- */

/* `bytes` in whole pages; false on overflow. */
static bool whole_pages(const attn_blocks *b, size_t bytes, size_t *whole) {
    if (bytes < ATTN_BLOCK_MIN)
        bytes = ATTN_BLOCK_MIN;
    if (!attn_add(bytes, b->page - 1, whole) || *whole > SIZE_MAX / 4)
        return false;
    *whole -= *whole % b->page;
    return true;
}

static void *map(size_t bytes) {
    void *const memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Gives back all that is free. False if there was nothing. */
static bool give_back_all(attn_blocks *b) {
    bool any = false;
    pthread_mutex_lock(&b->lock);
    while (give_back(b, PIECE))
        any = true;
    pthread_mutex_unlock(&b->lock);
    return any;
}

void *attn_block_take(attn_budget *budget, size_t bytes, size_t *got, bool *fits) {
    attn_blocks *const b = budget->blocks;
    size_t whole;
    *fits = true;
    if (!whole_pages(b, bytes, &whole))
        return NULL;
    void *block = take_free(budget, whole, got);
    if (block != NULL || !(*fits = attn_budget_charge(budget, whole)))
        return block;
    block = map(whole);
    if (block == NULL && give_back_all(b)) /* the system's limit may be lower than ours */
        block = map(whole);
    if (block == NULL)
        attn_budget_discharge(budget, whole);
    *got = whole;
    return block;
}

void attn_block_give(attn_budget *budget, void *block, size_t bytes) {
    pthread_mutex_lock(&budget->blocks->lock);
    join(budget->blocks, block, bytes);
    pthread_mutex_unlock(&budget->blocks->lock);
}

#ifndef __SANITIZE_THREAD__ /* it does not notice when pages move */
/* Moves the pages, not the bytes. */
static void *remap(attn_budget *budget, void *block, size_t bytes, size_t whole, bool *fits) {
    if (!(*fits = attn_budget_charge(budget, whole - bytes)))
        return NULL;
    void *const moved = mremap(block, bytes, whole, MREMAP_MAYMOVE);
    if (moved != MAP_FAILED)
        return moved;
    attn_budget_discharge(budget, whole - bytes);
    return NULL;
}
#endif

/* Another block, and a copy. */
static void *move(attn_budget *budget, void *block, size_t *bytes, void *to, size_t got) {
    memcpy(to, block, *bytes);
    attn_block_give(budget, block, *bytes);
    *bytes = got;
    return to;
}

void *attn_block_resize(attn_budget *budget, void *block, size_t *bytes, size_t wanted, bool *fits) {
    attn_blocks *const b = budget->blocks;
    size_t whole, got;
    *fits = true;
    if (!whole_pages(b, wanted, &whole))
        return NULL;
    if (whole <= *bytes) {
        pthread_mutex_lock(&b->lock);
        if (*bytes - whole > *bytes / WASTE_PART)
            *bytes = cut(b, block, *bytes, whole);
        pthread_mutex_unlock(&b->lock);
        return block;
    }
    /* What is free is resident, and copying there is cheaper than touching pages for the first time. */
    void *moved = take_free(budget, whole, &got);
    if (moved != NULL)
        return move(budget, block, bytes, moved, got);
#ifndef __SANITIZE_THREAD__
    moved = remap(budget, block, *bytes, whole, fits);
    if (moved != NULL)
        *bytes = whole;
    if (moved != NULL || !*fits)
        return moved;
#endif
    moved = attn_block_take(budget, wanted, &got, fits);
    return moved == NULL ? NULL : move(budget, block, bytes, moved, got);
}

/* ---- Start and end ---- */

/* Waits until `at`, or for ever, or for the end. */
static void wait_until(attn_blocks *b, uint64_t at) {
    const struct timespec until = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
    if (b->stopping)
        return;
    if (at == UINT64_MAX) {
        b->sleeps = true;
        pthread_cond_wait(&b->changed, &b->lock);
        b->sleeps = false;
    } else {
        pthread_cond_timedwait(&b->changed, &b->lock, &until);
    }
}

/* One step of the thread: gives back what nobody has used for a while, and when nothing is left for a while,
 * what malloc keeps. Blocks come and go with each request: so it looks at intervals, and sleeps only if there
 * was none at the end of one. Returns whether there was none. */
static bool watch_once(attn_blocks *b, bool was_empty) {
    const uint64_t time = now();
    const free_block *oldest = by_age(b->by_age.previous);
    if (b->by_age.previous != &b->by_age && oldest->since + b->keep_for <= time) {
        give_back(b, PIECE);
        pthread_mutex_unlock(&b->lock); /* others first */
        sched_yield();
        pthread_mutex_lock(&b->lock);
    } else if (b->by_age.previous != &b->by_age) {
        wait_until(b, oldest->since + b->keep_for);
    } else if (!was_empty) {
        wait_until(b, time + b->keep_for);
        return true;
    } else {
        pthread_mutex_unlock(&b->lock);
        malloc_trim(0);
        pthread_mutex_lock(&b->lock);
        if (b->by_age.previous == &b->by_age)
            wait_until(b, UINT64_MAX);
    }
    return false;
}

static void *watch(void *argument) {
    attn_blocks *const b = argument;
    pthread_mutex_lock(&b->lock);
    for (bool was_empty = false; !b->stopping;)
        was_empty = watch_once(b, was_empty);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

bool attn_blocks_start(attn_budget *budget, uint64_t keep_for) {
    attn_blocks *const b = calloc(1, sizeof *b);
    pthread_condattr_t monotonic;
    if (b == NULL)
        return false;
    b->budget = budget;
    b->page = (size_t)sysconf(_SC_PAGESIZE);
    b->keep_for = keep_for;
    attn_ring_init(&b->by_age);
    attn_ring_init(&b->cut);
    for (size_t i = 0; i < BINS; i++)
        attn_ring_init(&b->bins[i]);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&b->thread, NULL, watch, b) == 0) {
        budget->blocks = b;
        return true;
    }
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
    return false;
}

void attn_blocks_stop(attn_budget *budget) {
    attn_blocks *const b = budget->blocks;
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    give_back_all(b);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
    budget->blocks = NULL;
}
