#include "core/arena.h"

#include "core/size.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Stands right before each block. */
typedef struct header {
    struct header *previous, *next;
    size_t age;    /* how many blocks the arena had given until then, this one included */
    size_t bytes;  /* of the whole allocation, this header included: what the budget was charged */
    bool is_large; /* one of core/blocks.h; else malloc's */
} header;

_Static_assert(sizeof(header) <= ATTN_ALIGNMENT, "a header fits before an aligned block");

struct attn_arena {
    attn_budget *budget;
    header blocks; /* ring, from the newest, blocks.next, to the oldest; blocks.age is the newest's */
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
    arena->blocks.age = 0;
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

/* A block of `whole` bytes that is not in the ring yet; NULL on failure. */
static header *allocate(attn_arena *arena, size_t whole) {
    const bool large = is_large(arena, whole);
    header *block = large ? allocate_large(arena, whole) : allocate_small(arena, whole);
    if (block != NULL)
        block->is_large = large;
    return block;
}

static void give_back(attn_arena *arena, header *block) {
    const size_t bytes = block->bytes;
    if (block->is_large) {
        attn_block_give(arena->budget, block, bytes);
        return;
    }
    free(block);
    if (arena->budget != NULL)
        attn_budget_discharge(arena->budget, bytes);
}

void *attn_arena_alloc(attn_arena *arena, size_t bytes) {
    size_t whole;
    if (!whole_size(bytes, &whole))
        return fail(arena, true);
    header *block = allocate(arena, whole);
    if (block == NULL)
        return NULL;
    block->age = ++arena->blocks.age;
    block->previous = &arena->blocks;
    block->next = arena->blocks.next;
    block->previous->next = block->next->previous = block;
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
    header *moved = allocate(arena, whole);
    if (moved == NULL)
        return NULL;
    memcpy((char *)moved + ATTN_ALIGNMENT, block, old->bytes - ATTN_ALIGNMENT);
    moved->age = old->age;
    moved->previous = old->previous;
    moved->next = old->next;
    moved->previous->next = moved->next->previous = moved;
    give_back(arena, old);
    return (char *)moved + ATTN_ALIGNMENT;
}

void attn_arena_release(attn_arena *arena, void *block) {
    if (block == NULL)
        return;
    header *const old = header_of(block);
    old->previous->next = old->next;
    old->next->previous = old->previous;
    give_back(arena, old);
}

size_t attn_arena_mark(const attn_arena *arena) {
    return arena->blocks.age;
}

void attn_arena_rewind(attn_arena *arena, size_t mark) {
    while (arena->blocks.next != &arena->blocks && arena->blocks.next->age > mark)
        attn_arena_release(arena, (char *)arena->blocks.next + ATTN_ALIGNMENT);
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
