/* product.h: part of set.h: products of matrices. */

static ALWAYS_INLINE vec load_as(attn_precision precision, const char *from) {
    if (precision == ATTN_FLOAT32)
        return v_load((const float *)(const void *)from);
    if (precision == ATTN_BFLOAT16)
        return v_load_bfloat16((const uint16_t *)(const void *)from);
    return v_load_int8((const int8_t *)from);
}

/* Is a row of `a` in one piece (a_step is 1), or a column of it (a_row is 1)? */
typedef enum { ALONG, ACROSS } direction;

/* What is prefetched while a tile is computed. With many rows each tile prefetches its share of the next
 * panel, early enough for the L2 cache; with few rows a panel is read but once, as fast as it comes, and the
 * next lines of it are prefetched into the L1 cache. One row leaves it to the processor, which sees four
 * panels being read. */
typedef enum { PREFETCH_NOTHING, PREFETCH_NEAR, PREFETCH_SHARE } prefetch_kind;
typedef struct {
    prefetch_kind kind;
    const char *next; /* PREFETCH_SHARE: from here on, */
    size_t step;      /* bytes further for each number of the sum */
} prefetch;
enum { LINE = 64, NEAR_BYTES = 2048 };

/* Rows of `a` are addressed from one pointer for three of them, or there would not be enough registers. */
enum { GROUP = 3, GROUPS = (TILE_ROWS + GROUP - 1) / GROUP, MOST_VECTORS = 4 * PANEL_VECTORS };
/* Numbers of the sum in one round of a tile's loop. */
enum { DEEP = 4 };

/* Keeps the compiler from computing one pointer or distance from another, each in a register of its own. */
#define OPAQUE(variable) __asm__("" : "+r"(variable))

/* Adds one product, of numbers `k` of `a`, to each sum of a tile. `stride` is the distance of the rows of `a`
 * in bytes. */
static ALWAYS_INLINE void add_products(attn_precision precision, direction a_direction, size_t rows,
                                       size_t vectors, vec sums[TILE_ROWS][MOST_VECTORS],
                                       const char *const *a, size_t stride, size_t k, const char *b,
                                       size_t panel_bytes) {
    vec weights[MOST_VECTORS];
    UNROLL for (size_t v = 0; v < vectors; v++) {
        const size_t within = v % PANEL_VECTORS * LANES * attn_precision_bytes(precision);
        weights[v] = load_as(precision, b + v / PANEL_VECTORS * panel_bytes + within);
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        const char *at = a_direction == ALONG ? a[r / GROUP] + r % GROUP * stride : a[0] + r * sizeof(float);
        const vec x = v_all(((const float *)(const void *)at)[k]);
        UNROLL for (size_t v = 0; v < vectors; v++) sums[r][v] = v_madd(x, weights[v], sums[r][v]);
    }
}

/* Each step is for the whole tile: a store might be to *p, for all that the compiler knows, so a test of p's
 * members after each would be made anew. */
static ALWAYS_INLINE void finish_tile(size_t rows, size_t vectors, vec sums[TILE_ROWS][MOST_VECTORS],
                                      const attn_product *p, size_t row, size_t column) {
    const float *scale = p->b_scale, *bias = p->bias;
    const size_t y_row = p->y_row;
    float *y = p->y + row * y_row + column;
    if (scale != NULL)
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) sums[r][v] *= v_load(scale + column + v * LANES);
        }
    if (p->add)
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) sums[r][v] += v_load(y + r * y_row + v * LANES);
        }
    if (bias != NULL)
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) sums[r][v] += v_load(bias + column + v * LANES);
        }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) v_store(y + r * y_row + v * LANES, sums[r][v]);
    }
}

/* For one number of the sum, which begins at b in the first of the panels side by side. */
static ALWAYS_INLINE void prefetch_ahead(prefetch *ahead, size_t panels, size_t row_bytes, const char *b,
                                         size_t panel_bytes) {
    if (ahead->kind == PREFETCH_NEAR) {
        UNROLL for (size_t n = 0; n < panels; n++) {
            UNROLL for (size_t at = 0; at < row_bytes; at += LINE)
                __builtin_prefetch(b + n * panel_bytes + NEAR_BYTES + at, 0, 3);
        }
    }
    if (ahead->kind == PREFETCH_SHARE) {
        __builtin_prefetch(ahead->next, 0, 2);
        ahead->next += ahead->step;
        OPAQUE(ahead->next);
    }
}

/* Some rows by some vectors of y, which stay in registers. `ahead.kind` and the first four arguments are
 * constants where this is used. */
static ALWAYS_INLINE void tile(attn_precision precision, direction a_direction, size_t rows, size_t vectors,
                               const attn_product *p, size_t row, size_t column, prefetch ahead) {
    const size_t size = attn_precision_bytes(precision), row_bytes = p->b_row * size,
                 panel_bytes = p->b_panel * size;
    const size_t a_step = p->a_step * sizeof(float);
    const char *b = (const char *)p->b + column / PANEL * panel_bytes + column % PANEL * size;
    const char *a[GROUPS];
    vec sums[TILE_ROWS][MOST_VECTORS];

    UNROLL for (size_t g = 0; g < GROUPS; g++) a[g] = (const char *)(p->a + (row + g * GROUP) * p->a_row);
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sums[r][v] = v_all(0);
    }
    /* Read once, when the sums are finished, which would else wait for them. */
    if (precision == ATTN_INT8 && p->b_scale != NULL)
        UNROLL for (size_t v = 0; v < vectors; v++) __builtin_prefetch(p->b_scale + column + v * LANES, 0, 3);
    size_t left = p->depth, stride = p->a_row * sizeof(float);
    for (; a_direction == ALONG && left >= DEEP; left -= DEEP) {
        UNROLL for (size_t k = 0; k < DEEP; k++) {
            OPAQUE(stride);
            add_products(precision, a_direction, rows, vectors, sums, a, stride, k, b, panel_bytes);
            b += row_bytes;
            OPAQUE(b);
            prefetch_ahead(&ahead, vectors / PANEL_VECTORS, PANEL * size, b, panel_bytes);
        }
        UNROLL for (size_t g = 0; g * GROUP < rows; g++) {
            a[g] += DEEP * sizeof(float);
            OPAQUE(a[g]);
        }
    }
    for (; left > 0; left--) {
        add_products(precision, a_direction, rows, vectors, sums, a, stride, 0, b, panel_bytes);
        b += row_bytes;
        UNROLL for (size_t g = 0; g * GROUP < rows; g++) {
            a[g] += a_step;
            OPAQUE(a[g]);
        }
    }
    finish_tile(rows, vectors, sums, p, row, column);
}

/* A tile of `rows` rows, at most `most` and TILE_ROWS. */
static ALWAYS_INLINE void tile_of(attn_precision precision, direction a_direction, size_t rows, size_t most,
                                  size_t vectors, const attn_product *p, size_t row, size_t column,
                                  prefetch ahead) {
    switch (rows) {
#define ROWS(n)                                                                                              \
    case n:                                                                                                  \
        if (n <= TILE_ROWS && n <= most)                                                                     \
            tile(precision, a_direction, n <= TILE_ROWS ? n : 1, vectors, p, row, column, ahead);            \
        break;
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
        ROWS(9)
        ROWS(10)
        ROWS(11)
        ROWS(12)
#undef ROWS
    }
}

/* Every row of these columns. The rows are shared out evenly, so that no tile is much smaller than others. */
static ALWAYS_INLINE void columns_of(attn_precision precision, direction a_direction, prefetch_kind kind,
                                     size_t vectors, const attn_product *p, size_t column) {
    const size_t tiles = (p->rows + TILE_ROWS - 1) / TILE_ROWS,
                 row_bytes = PANEL * attn_precision_bytes(precision);
    const size_t panel_bytes = p->b_panel * attn_precision_bytes(precision);
    const char *panel = (const char *)p->b + column / PANEL * panel_bytes;
    const char *after = column + 2 * PANEL <= p->columns ? panel + panel_bytes : p->b_after;
    if (p->b_row != PANEL || after == NULL)
        after = panel;
    for (size_t n = 0, row = 0; n < tiles; n++) {
        const size_t next = p->rows * (n + 1) / tiles;
        const prefetch ahead = {kind, after + n * p->depth * row_bytes / tiles,
                                after == panel ? 0 : (row_bytes + tiles - 1) / tiles};
        tile_of(precision, a_direction, next - row, TILE_ROWS, vectors, p, row, column, ahead);
        row = next;
    }
}

static ALWAYS_INLINE void columns_from(attn_precision precision, direction a_direction, prefetch_kind kind,
                                       size_t column, const attn_product *p) {
    for (; column + PANEL <= p->columns; column += PANEL)
        columns_of(precision, a_direction, kind, PANEL_VECTORS, p, column);
    if (precision == ATTN_FLOAT32)
        for (; column < p->columns; column += LANES)
            columns_of(precision, a_direction, kind, 1, p, column);
}

/* At most TILE_ROWS rows. Very few have few sums, which would wait for each other: so several panels side by
 * side. */
static ALWAYS_INLINE void few_rows(attn_precision precision, const attn_product *p) {
    size_t column = 0;
    const prefetch nothing = {.kind = PREFETCH_NOTHING}, near = {.kind = PREFETCH_NEAR};
    for (; p->rows == 1 && column + 4 * PANEL <= p->columns; column += 4 * PANEL)
        tile(precision, ALONG, 1, 4 * PANEL_VECTORS, p, 0, column, nothing);
    if (2 * 4 <= TILE_ROWS)
        for (; p->rows == 2 && column + 4 * PANEL <= p->columns; column += 4 * PANEL)
            tile(precision, ALONG, 2, 4 * PANEL_VECTORS, p, 0, column, nothing);
    if (p->rows * 2 <= TILE_ROWS)
        for (; column + 2 * PANEL <= p->columns; column += 2 * PANEL)
            tile_of(precision, ALONG, p->rows, TILE_ROWS / 2, 2 * PANEL_VECTORS, p, 0, column, near);
    columns_from(precision, ALONG, PREFETCH_NEAR, column, p);
}

/* A function each: compilers run out of registers where there are too many tiles in one. */
#define PRODUCTS(NAME, PRECISION)                                                                            \
    static NEVER_INLINE void few_##NAME(const attn_product *p) {                                             \
        few_rows(PRECISION, p);                                                                              \
    }                                                                                                        \
    static NEVER_INLINE void many_##NAME(const attn_product *p) {                                            \
        columns_from(PRECISION, ALONG, PREFETCH_SHARE, 0, p);                                                \
    }
PRODUCTS(float32, ATTN_FLOAT32)
PRODUCTS(bfloat16, ATTN_BFLOAT16)
PRODUCTS(int8, ATTN_INT8)
#undef PRODUCTS

static NEVER_INLINE void across_float32(const attn_product *p) {
    columns_from(ATTN_FLOAT32, ACROSS, PREFETCH_NOTHING, 0, p);
}

static void product_float32(const attn_product *p) {
    if (p->a_step != 1)
        across_float32(p);
    else if (p->rows <= TILE_ROWS)
        few_float32(p);
    else
        many_float32(p);
}

static void product_bfloat16(const attn_product *p) {
    (p->rows <= TILE_ROWS ? few_bfloat16 : many_bfloat16)(p);
}

static void product_int8(const attn_product *p) {
    (p->rows <= TILE_ROWS ? few_int8 : many_int8)(p);
}

static void widen_bfloat16(size_t count, const void *from, float *to) {
    for (size_t n = 0; n < count; n += LANES)
        v_store(to + n, v_load_bfloat16((const uint16_t *)from + n));
}

static void widen_int8(size_t count, const void *from, float *to) {
    for (size_t n = 0; n < count; n += LANES)
        v_store(to + n, v_load_int8((const int8_t *)from + n));
}
