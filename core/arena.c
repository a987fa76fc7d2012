#include "core/arena.h"

#include "core/size.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Stands right before each block that is handed out. */
typedef struct header {
    struct header *previous, *next;
    size_t bytes;  /* of the whole allocation, this header included: what the budget was charged */
    bool is_large; /* one of core/blocks.h; else malloc's */
} header;

_Static_assert(sizeof(header) <= ATTN_ALIGNMENT, "a header fits before an aligned block");

struct attn_arena {
    attn_budget *budget;
    header blocks; /* ring: blocks.next is the newest */
    attn_status failure;
};

/* Is so large an allocation one of the blocks that are kept? */
static bool is_large(const attn_arena *arena, size_t whole) {
    return arena->budget != NULL && arena->budget->blocks != NULL && whole >= ATTN_BLOCK_MIN;
}

static void *fail(attn_arena *arena, bool fits) {
    arena->failure = fits ? ATTN_NO_MEMORY : ATTN_OVER_BUDGET;
    return NULL;
}

/* What an allocation of `bytes` takes with its header, rounded up to the alignment; false on overflow. */
static bool whole_size(size_t bytes, size_t *whole) {
    if (!attn_add(bytes == 0 ? 1 : bytes, 2 * ATTN_ALIGNMENT - 1, whole))
        return false;
    *whole &= ~(ATTN_ALIGNMENT - 1);
    return true;
}

static header *header_of(void *block) {
    return (header *)(void *)((char *)block - ATTN_ALIGNMENT);
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
    attn_arena_keep_only(arena, NULL);
    free(arena);
}

static header *allocate_small(attn_arena *arena, size_t whole) {
    if (arena->budget != NULL && !attn_budget_charge(arena->budget, whole))
        return fail(arena, false);
    header *block = aligned_alloc(ATTN_ALIGNMENT, whole);
    if (block != NULL) {
        block->bytes = whole;
        return block;
    }
    if (arena->budget != NULL)
        attn_budget_discharge(arena->budget, whole);
    return fail(arena, true);
}

static header *allocate_large(attn_arena *arena, size_t whole) {
    bool fits;
    size_t got;
    header *block = attn_block_take(arena->budget, whole, &got, &fits);
    if (block == NULL)
        return fail(arena, fits);
    block->bytes = got;
    return block;
}

void *attn_arena_alloc(attn_arena *arena, size_t bytes) {
    size_t whole;
    if (!whole_size(bytes, &whole))
        return fail(arena, true);
    const bool large = is_large(arena, whole);
    header *block = large ? allocate_large(arena, whole) : allocate_small(arena, whole);
    if (block == NULL)
        return NULL;
    block->is_large = large;
    block->previous = &arena->blocks;
    block->next = arena->blocks.next;
    block->next->previous = block;
    arena->blocks.next = block;
    return (char *)block + ATTN_ALIGNMENT;
}

void *attn_arena_array(attn_arena *arena, size_t count, size_t size) {
    size_t bytes;
    return attn_multiply(count, size, &bytes) ? attn_arena_alloc(arena, bytes) : fail(arena, true);
}

static void *resize_large(attn_arena *arena, header *old, size_t whole) {
    bool fits;
    size_t has = old->bytes;
    header *moved = attn_block_resize(arena->budget, old, &has, whole, &fits);
    if (moved == NULL)
        return fail(arena, fits);
    moved->bytes = has;
    moved->previous->next = moved->next->previous = moved;
    return (char *)moved + ATTN_ALIGNMENT;
}

void *attn_arena_resize(attn_arena *arena, void *block, size_t bytes) {
    size_t whole;
    if (block == NULL)
        return attn_arena_alloc(arena, bytes);
    header *const old = header_of(block);
    if (!whole_size(bytes, &whole))
        return fail(arena, true);
    if (old->is_large)
        return resize_large(arena, old, whole);
    if (whole <= old->bytes)
        return block;
    /* A new block and a copy, not realloc: that would not keep the alignment. */
    void *moved = attn_arena_alloc(arena, bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, old->bytes - ATTN_ALIGNMENT);
    attn_arena_release(arena, block);
    return moved;
}

void attn_arena_release(attn_arena *arena, void *block) {
    if (block == NULL)
        return;
    header *const old = header_of(block);
    const size_t bytes = old->bytes;
    old->previous->next = old->next;
    old->next->previous = old->previous;
    if (old->is_large) {
        attn_block_give(arena->budget, old, bytes);
        return;
    }
    free(old);
    if (arena->budget != NULL)
        attn_budget_discharge(arena->budget, bytes);
}

void attn_arena_keep_only(attn_arena *arena, const void *block) {
    for (header *next, *at = arena->blocks.next; at != &arena->blocks; at = next) {
        next = at->next;
        if ((char *)at + ATTN_ALIGNMENT != block)
            attn_arena_release(arena, (char *)at + ATTN_ALIGNMENT);
    }
}

attn_status attn_arena_failure(const attn_arena *arena) {
    return arena->failure;
}
