/* blocks.h: the budget that all requests share, and the large blocks of memory that are kept from one request
 * to the next.
 *
 * A large block comes from the system once, and page by page as it is touched; given back to the system with
 * each request, it would cost that again each time. So blocks that are free are kept, for all threads, and
 * count within the budget like those in use: what is charged is what may be resident. When a charge would not
 * fit they go to the system first, so that nothing is refused for their sake, and when nobody has used them
 * for a while as well. */
#ifndef ATTN_BLOCKS_H
#define ATTN_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the smallest block; what is smaller is malloc's. */
#define ATTN_BLOCK_MIN ((size_t)64 * 1024)

/* Nanoseconds for which the service keeps what nobody uses. */
#define ATTN_BLOCKS_KEEP ((uint64_t)3000000000)

typedef struct attn_blocks attn_blocks;

typedef struct {
    size_t limit;        /* bytes that all on this budget may hold together */
    atomic_size_t used;  /* bytes that they hold now, blocks that are kept included */
    attn_blocks *blocks; /* those; NULL: none are kept, and large blocks are malloc's too */
} attn_budget;

/* From now on large blocks are kept, those that nobody has used for `keep_for` nanoseconds given back by a
 * thread of their own. False if memory or the thread could not be had. */
bool attn_blocks_start(attn_budget *budget, uint64_t keep_for);

/* Gives all back to the system, and stops the thread. None may be in use. Does nothing if none are kept. */
void attn_blocks_stop(attn_budget *budget);

/* Charges bytes to the budget. False if they do not fit, even without the blocks that are kept. */
bool attn_budget_charge(attn_budget *budget, size_t bytes);

/* The opposite. */
void attn_budget_discharge(attn_budget *budget, size_t bytes);

/* Charges a block of at least `bytes`, aligned to a page, and sets *got to how many it has. NULL without
 * memory, or if it does not fit: *fits says which. Only where blocks are kept, as the next two. */
void *attn_block_take(attn_budget *budget, size_t bytes, size_t *got, bool *fits);

/* The block, which has `bytes`, is free. */
void attn_block_give(attn_budget *budget, void *block, size_t bytes);

/* Changes the size of a block, keeping its contents, from *bytes to at least `wanted`, which *bytes then is.
 * Nothing is copied or charged twice where that can be avoided. Returns its new place; or NULL, which leaves
 * it as it was, as from attn_block_take. */
void *attn_block_resize(attn_budget *budget, void *block, size_t *bytes, size_t wanted, bool *fits);

#endif
