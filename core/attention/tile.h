/* tile.h: some queries of one head, side by side, on their way through the blocks of keys.
 *
 * The scores of a block lie as [keys, width], one query in each lane: the rows of k enter the product as they
 * are, and neither maximum nor sum ever crosses lanes. A tile of a single query has the width 1.
 *
 * A row has the same bits in any tile: each score is one chain of products; blocks of keys, the chains in
 * which their exponentials are summed and the runs in which their values are mixed begin at multiples of
 * fixed numbers of keys; and a block of which a query sees nothing leaves its maximum, sum and values as they
 * are, so it makes no difference whether the tile visits it for other queries. */
#ifndef ATTN_TILE_H
#define ATTN_TILE_H

#include "core/attention/pass.h"

typedef struct {
    attn_pass *pass;
    size_t at;                /* in the order of the pass's work */
    size_t b, h, first, rows; /* queries [first, first + rows) of head h of batch entry b */
    size_t width;             /* rows, rounded up to whole vectors */
    size_t unpolled;          /* multiplications since should_stop was last asked */

    /* visible.c */
    attn_range keys;    /* the current block */
    attn_range visible; /* what at least one of the queries may see by its position */
    int32_t from[TILE_QUERIES], to[TILE_QUERIES]; /* what each may see */

    /* score.c */
    bool unshifted;  /* in: biases are added in full (bias.c) */
    bool one_by_one; /* out: the block has large scores, which are computed and masked one by one */
    float *queries;  /* [D, width], scaled */
    float *scores;   /* [TILE_KEYS, width]; of the current block, later its weights */

    /* softmax.c: the online softmax, as kernels.h has it */
    float *max;    /* [width] */
    float *factor; /* [width] */
    double *sum;   /* [width] */

    /* mix.c: the values of the blocks so far, weighted. Those of the current run of blocks are in float32. */
    float *mixed;     /* [rows, value_width] */
    bool has_mixed;   /* else `mixed` is still undefined */
    size_t mixed_run; /* the number of the run */
    double *sums;     /* [rows, value_width]: of the runs before */
    bool has_sums;    /* else `sums` is still undefined */
    bool overflowed;  /* a run was beyond float32 */
} attn_tile;

/* Bytes of the scores of a block. They are used up at once, so several tiles can share them. */
#define TILE_SCORE_BYTES (TILE_KEYS * TILE_QUERIES * sizeof(float))

/* Bytes of memory for a tile, without its scores; SIZE_MAX on overflow. A multiple of ATTN_ALIGNMENT. */
size_t attn_tile_bytes(const attn_layer *layer);

/* Lays out a tile for passes of the layer in aligned memory; `scores` has TILE_SCORE_BYTES. */
void attn_tile_layout(attn_tile *tile, const attn_layer *layer, char *memory, char *scores);

/* Begins with queries [first, first + rows) of head h of batch entry b; rows <= TILE_QUERIES. Which keys they
 * visit, attn_visible_begin finds. */
void attn_tile_begin(attn_tile *tile, attn_pass *pass, size_t at, size_t b, size_t h, size_t first,
                     size_t rows);

/* What the products of the head's queries and keys are multiplied by. */
float attn_tile_scale(const attn_tile *tile);

#endif
