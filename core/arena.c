#include "core/arena.h"

#include "core/size.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64 /* one cache line, and the widest vector register */

/* Stands right before each block that is handed out. */
typedef struct header {
    struct header *previous, *next;
    size_t bytes; /* of the whole allocation, this header included: what the budget was charged */
} header;

_Static_assert(sizeof(header) <= ALIGNMENT, "a header fits before an aligned block");

struct attn_arena {
    attn_budget *budget;
    header blocks; /* ring: blocks.next is the newest */
    attn_status failure;
};

static bool charge(attn_arena *arena, size_t bytes) {
    attn_budget *budget = arena->budget;
    if (budget == NULL)
        return true;
    size_t used = atomic_load(&budget->used);
    do {
        if (used > budget->limit || bytes > budget->limit - used) {
            arena->failure = ATTN_OVER_BUDGET;
            return false;
        }
    } while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
    return true;
}

static void discharge(attn_arena *arena, size_t bytes) {
    if (arena->budget != NULL)
        atomic_fetch_sub(&arena->budget->used, bytes);
}

/* What an allocation of `bytes` takes with its header, rounded up to the alignment; false on overflow. */
static bool whole_size(size_t bytes, size_t *whole) {
    if (!attn_add(bytes, 2 * ALIGNMENT - 1, whole))
        return false;
    *whole &= ~(size_t)(ALIGNMENT - 1);
    return true;
}

attn_arena *attn_arena_new(attn_budget *budget) {
    attn_arena *arena = malloc(sizeof *arena);
    if (arena == NULL)
        return NULL;
    arena->budget = budget;
    arena->blocks.previous = arena->blocks.next = &arena->blocks;
    arena->failure = ATTN_OK;
    return arena;
}

void attn_arena_free(attn_arena *arena) {
    if (arena == NULL)
        return;
    while (arena->blocks.next != &arena->blocks)
        attn_arena_release(arena, (char *)arena->blocks.next + ALIGNMENT);
    free(arena);
}

void *attn_arena_alloc(attn_arena *arena, size_t bytes) {
    size_t whole;
    if (!whole_size(bytes == 0 ? 1 : bytes, &whole)) {
        arena->failure = ATTN_NO_MEMORY;
        return NULL;
    }
    if (!charge(arena, whole))
        return NULL;
    header *block = aligned_alloc(ALIGNMENT, whole);
    if (block == NULL) {
        discharge(arena, whole);
        arena->failure = ATTN_NO_MEMORY;
        return NULL;
    }
    block->bytes = whole;
    block->previous = &arena->blocks;
    block->next = arena->blocks.next;
    block->next->previous = block;
    arena->blocks.next = block;
    return (char *)block + ALIGNMENT;
}

void *attn_arena_array(attn_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!attn_multiply(count, size, &bytes)) {
        arena->failure = ATTN_NO_MEMORY;
        return NULL;
    }
    return attn_arena_alloc(arena, bytes);
}

void *attn_arena_resize(attn_arena *arena, void *block, size_t bytes) {
    /* A new block and a copy, not realloc: that would not keep the alignment. */
    void *moved = attn_arena_alloc(arena, bytes);
    if (moved == NULL || block == NULL)
        return moved;
    const header *old = (const header *)(const void *)((char *)block - ALIGNMENT);
    const size_t held = old->bytes - ALIGNMENT;
    memcpy(moved, block, held < bytes ? held : bytes);
    attn_arena_release(arena, block);
    return moved;
}

void attn_arena_release(attn_arena *arena, void *block) {
    if (block == NULL)
        return;
    header *old = (header *)(void *)((char *)block - ALIGNMENT);
    old->previous->next = old->next;
    old->next->previous = old->previous;
    discharge(arena, old->bytes);
    free(old);
}

attn_status attn_arena_failure(const attn_arena *arena) {
    return arena->failure;
}
