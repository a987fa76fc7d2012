/* dots.h: part of set.h: the scores of one query. The keys lie in the lanes, so that each score is the
 * same chain of products as in `product`, and has the same bits. */

/* Which lanes of two vectors are taken: in turns the lanes, or pairs of lanes, of the lower or the upper half
 * of each four; fours of the lower or the upper half of the vector, or every second four. */
// clang-format off
#if LANES == 4
#define LOW         0, 4, 1, 5
#define HIGH        2, 6, 3, 7
#define LOW_PAIRS   0, 1, 4, 5
#define HIGH_PAIRS  2, 3, 6, 7
#elif LANES == 8
#define LOW         0, 8, 1, 9, 4, 12, 5, 13
#define HIGH        2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS   0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS  2, 3, 10, 11, 6, 7, 14, 15
#define FIRST_FOURS 0, 1, 2, 3, 8, 9, 10, 11
#define LAST_FOURS  4, 5, 6, 7, 12, 13, 14, 15
#else
_Static_assert(LANES == 16, "the lanes of such vectors are not listed here");
#define LOW         0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH        2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS   0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS  2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define FIRST_FOURS 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define LAST_FOURS  8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define EVEN_FOURS  0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD_FOURS   4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#endif
// clang-format on

/* LANES rows become LANES columns: first within the squares of four by four, then square by square. */
static ALWAYS_INLINE void transpose(vec x[LANES]) {
    UNROLL for (size_t r = 0; r < LANES; r += 4) {
        const vec ab = __builtin_shufflevector(x[r], x[r + 1], LOW);
        const vec cd = __builtin_shufflevector(x[r + 2], x[r + 3], LOW);
        const vec ef = __builtin_shufflevector(x[r], x[r + 1], HIGH);
        const vec gh = __builtin_shufflevector(x[r + 2], x[r + 3], HIGH);
        x[r] = __builtin_shufflevector(ab, cd, LOW_PAIRS);
        x[r + 1] = __builtin_shufflevector(ab, cd, HIGH_PAIRS);
        x[r + 2] = __builtin_shufflevector(ef, gh, LOW_PAIRS);
        x[r + 3] = __builtin_shufflevector(ef, gh, HIGH_PAIRS);
    }
#if LANES == 8
    UNROLL for (size_t c = 0; c < 4; c++) {
        const vec a = x[c], b = x[c + 4];
        x[c] = __builtin_shufflevector(a, b, FIRST_FOURS);
        x[c + 4] = __builtin_shufflevector(a, b, LAST_FOURS);
    }
#elif LANES == 16
    UNROLL for (size_t c = 0; c < 4; c++) {
        const vec ab = __builtin_shufflevector(x[c], x[c + 4], FIRST_FOURS);
        const vec cd = __builtin_shufflevector(x[c + 8], x[c + 12], FIRST_FOURS);
        const vec ef = __builtin_shufflevector(x[c], x[c + 4], LAST_FOURS);
        const vec gh = __builtin_shufflevector(x[c + 8], x[c + 12], LAST_FOURS);
        x[c] = __builtin_shufflevector(ab, cd, EVEN_FOURS);
        x[c + 4] = __builtin_shufflevector(ab, cd, ODD_FOURS);
        x[c + 8] = __builtin_shufflevector(ef, gh, EVEN_FOURS);
        x[c + 12] = __builtin_shufflevector(ef, gh, ODD_FOURS);
    }
#endif
}

#undef LOW
#undef HIGH
#undef LOW_PAIRS
#undef HIGH_PAIRS
#undef FIRST_FOURS
#undef LAST_FOURS
#undef EVEN_FOURS
#undef ODD_FOURS

enum { SIDE_BY_SIDE = LANES == 16 ? 2 : 4 };

/* Adds to `sum` the products of `count` numbers of the query, at most LANES, with those of LANES keys, of
 * which `keys` are there; constants where this is used, if all are. Rows are addressed from one pointer for
 * four of them, or there would not be enough registers. */
static ALWAYS_INLINE vec add_keys(vec sum, const float *q, size_t count, size_t keys, const char *k,
                                  size_t stride) {
    vec x[LANES];
    size_t three = 3 * stride;
    OPAQUE(three);
    UNROLL for (size_t j = 0; j < LANES; j++) {
        const size_t within = j % 4 == 3 ? three : j % 4 * stride;
        const float *row = (const float *)(const void *)(k + within);
        x[j] = j >= keys ? v_all(0) : count == LANES ? v_load(row) : v_load_part(row, count);
        if (j % 4 == 3) {
            k += 4 * stride;
            OPAQUE(k);
        }
    }
    transpose(x);
    UNROLL for (size_t d = 0; d < LANES; d++) if (d < count) sum = v_madd(x[d], v_all(q[d]), sum);
    return sum;
}

/* One block of the sum for `vectors` times LANES keys, or for `keys`, fewer than that; constants where this
 * is used, but for few keys. Several vectors side by side need not wait for each other's sums. */
static ALWAYS_INLINE void dots_of(size_t vectors, size_t keys, size_t depth, const float *q, const float *k,
                                  size_t k_row, float *y, bool add) {
    const size_t stride = k_row * sizeof *k, whole = depth / LANES * LANES;
    vec sums[SIDE_BY_SIDE];
    UNROLL for (size_t v = 0; v < vectors; v++) sums[v] = v_all(0);
    for (size_t d = 0; d < whole; d += LANES) {
        const char *at = (const char *)(k + d);
        UNROLL for (size_t v = 0; v < vectors; v++) {
            sums[v] = add_keys(sums[v], q + d, LANES, keys, at, stride);
            at += LANES * stride;
            OPAQUE(at);
        }
    }
    for (size_t v = 0; v < vectors && whole < depth; v++)
        sums[v] = add_keys(sums[v], q + whole, depth - whole, keys,
                           (const char *)(k + v * LANES * k_row + whole), stride);
    for (size_t v = 0; v < vectors; v++, y += LANES) {
        if (add)
            sums[v] += v_load_part(y, keys);
        v_store_part(y, sums[v], keys);
    }
}

/* A function each, as for `product`. */
static NEVER_INLINE void dots_of_many(size_t depth, const float *q, const float *k, size_t k_row, float *y,
                                      bool add) {
    dots_of(SIDE_BY_SIDE, LANES, depth, q, k, k_row, y, add);
}

static NEVER_INLINE void dots_of_few(size_t keys, size_t depth, const float *q, const float *k, size_t k_row,
                                     float *y, bool add) {
    dots_of(1, keys, depth, q, k, k_row, y, add);
}

static void dots(size_t keys, size_t depth, const float *q, const float *k, size_t k_row, float *y) {
    for (size_t d = 0; d == 0 || d < depth; d += ATTN_DEPTH) {
        const size_t rest = depth - d < ATTN_DEPTH ? depth - d : ATTN_DEPTH;
        size_t j = 0;
        for (; j + SIDE_BY_SIDE * LANES <= keys; j += SIDE_BY_SIDE * LANES)
            dots_of_many(rest, q + d, k + j * k_row + d, k_row, y + j, d > 0);
        for (; j < keys; j += LANES)
            dots_of_few(keys - j < LANES ? keys - j : LANES, rest, q + d, k + j * k_row + d, k_row, y + j,
                        d > 0);
    }
}
