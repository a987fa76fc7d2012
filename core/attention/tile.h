/* tile.h: some queries of one head, side by side, on their way through the blocks of keys.
 *
 * The scores of a block lie as [keys, width], a query in each lane: the rows of k enter the product as they
 * are, and neither maximum nor sum ever crosses lanes. A tile of a single query has the width 1.
 *
 * A row has the same bits whatever the company: each score is one chain of products; blocks of keys, the
 * chains in which their exponentials are summed and the runs in which their values are mixed begin at
 * multiples of fixed numbers of keys; and a block of which a query sees nothing leaves its maximum, sum and
 * values as they are, so it makes no difference whether the tile goes through it for others. */
#ifndef ATTN_TILE_H
#define ATTN_TILE_H

#include "core/attention/pass.h"

typedef struct {
    attn_pass *pass;
    size_t at; /* in the order of the pass's work */
    size_t b, h, first, rows;
    attn_range keys;    /* the block at hand */
    size_t width;       /* rows, rounded up to whole vectors */
    attn_range visible; /* the keys that at least one of the queries may see by its position */
    int32_t from[TILE_QUERIES], to[TILE_QUERIES]; /* those that each may see */
    bool complete;    /* the scores are wanted with all that distances add to them */
    bool careful;     /* a score of the block is so large that each is treated by itself */
    size_t unlooked;  /* multiplications since the last look at should_stop */
    float *queries;   /* [D, width], scaled */
    float *scores;    /* [TILE_KEYS, width] */
    float *max;       /* [width] */
    float *factor;    /* [width] */
    double *sum;      /* [width] */
    float *mixed;     /* [rows, value_width]: the values of some blocks, mixed, */
    size_t mixed_run; /* which are of this run, */
    bool holds_mixed; /* if there are any */
    bool beyond;      /* what was mixed before is beyond float32 */
    double *sums;     /* [rows, value_width]: those of the runs before, */
    bool holds_sums;  /* if there are any */
} attn_tile;

/* Bytes of the scores of a block: as they are used up at once, several tiles can share them. */
#define SCORE_BYTES (TILE_KEYS * TILE_QUERIES * sizeof(float))

/* Bytes of memory for a tile, without its scores; SIZE_MAX on overflow. A multiple of 64. */
size_t attn_tile_bytes(const attn_layer *layer);

/* Places a tile for passes of the layer into memory aligned to 64 bytes; `scores` has SCORE_BYTES. */
void attn_tile_place(attn_tile *tile, const attn_layer *layer, char *memory, char *scores);

/* Begins with queries [first, first + rows) of head h of batch entry b; rows <= TILE_QUERIES. */
void attn_tile_begin(attn_tile *tile, attn_pass *pass, size_t at, size_t b, size_t h, size_t first,
                     size_t rows);

/* What the products of the head's queries and keys are multiplied by. */
float attn_tile_scale(const attn_tile *tile);

#endif
