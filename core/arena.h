/* arena.h: the memory of one request, freed in one go.
 *
 * Every byte that a request holds (body, tensors, working memory, answer) comes from its arena, and is
 * charged to the budget that all requests share before it is allocated. */
#ifndef ATTN_ARENA_H
#define ATTN_ARENA_H

#include "core/blocks.h"
#include "core/status.h"

#include <stddef.h>

typedef struct attn_arena attn_arena;

/* A new, empty arena. `budget` may be NULL: then nothing is charged. Returns NULL if an allocation fails.
 * The caller frees it with attn_arena_free. */
attn_arena *attn_arena_new(attn_budget *budget);

/* Frees the arena and all that was allocated from it. NULL is allowed. */
void attn_arena_free(attn_arena *arena);

/* `bytes` (0 counts as 1) of uninitialised memory, aligned to 64 bytes, that live as long as the arena.
 * Returns NULL on failure; attn_arena_failure then says why. */
void *attn_arena_alloc(attn_arena *arena, size_t bytes);

/* attn_arena_alloc(count * size), and NULL if that product overflows. */
void *attn_arena_array(attn_arena *arena, size_t count, size_t size);

/* Grows or shrinks a block of this arena (NULL: a new one), keeping its contents and its age. Returns its new
 * address, or NULL on failure, which leaves the old block as it was. Shrinking never fails: what a large
 * block no longer needs is given back, of a small one it is not worth it. */
void *attn_arena_resize(attn_arena *arena, void *block, size_t bytes);

/* Frees one block of this arena before its time. NULL is allowed. */
void attn_arena_release(attn_arena *arena, void *block);

/* Working memory that ends together: attn_arena_rewind frees all that was allocated since attn_arena_mark
 * returned `mark`. Older blocks may have been released or resized in between. */
size_t attn_arena_mark(const attn_arena *arena);
void attn_arena_rewind(attn_arena *arena, size_t mark);

/* Frees all but this block of this arena; all, if it is none of its blocks (so NULL is allowed). */
void attn_arena_keep_only(attn_arena *arena, const void *block);

/* Why the last allocation from this arena failed: ATTN_NO_MEMORY or ATTN_OVER_BUDGET. */
attn_status attn_arena_failure(const attn_arena *arena);

#endif
