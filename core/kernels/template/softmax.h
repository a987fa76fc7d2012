/* softmax.h: part of set.h: the softmax over the keys of a tile, online (Milakov and Gimelshein, "Online
 * normalizer calculation for softmax", 2018). The queries lie side by side, one in each lane. */

/* What to subtract from scores: their maximum, or 0 if that is -infinity, as the difference would be NaN. */
static ALWAYS_INLINE vec subtracted(vec max) {
    return v_pick(max, v_all(-FLT_MAX), v_all(0), max);
}

/* The tile's sums are kept in float32 in four chains, which are short, and added to the others in double. Key
 * j is in chain j % 4, however many there are: excluded keys before and behind add zeros, and change no bit.
 */
static ALWAYS_INLINE void softmax_step_of_lanes(const attn_soft_tile *t, size_t column) {
    enum { CHAINS = ATTN_SOFT_CHAINS };
    float *first = t->tile + column;
    const vec before = v_load(t->max + column);
    vec max = before, sums[CHAINS];
    for (size_t j = 0; j < t->keys; j++)
        max = v_max(max, v_load(first + j * t->width));
    const vec base = subtracted(max);
    UNROLL for (size_t c = 0; c < CHAINS; c++) sums[c] = v_all(0);
    size_t j = 0;
    for (; j + CHAINS <= t->keys; j += CHAINS)
        UNROLL for (size_t c = 0; c < CHAINS; c++) {
            float *score = first + (j + c) * t->width;
            const vec e = v_exponential(v_load(score) - base);
            v_store(score, e);
            sums[c] = sums[c] + e;
        }
    UNROLL for (size_t c = 0; c < CHAINS - 1; c++) if (j + c < t->keys) {
        float *score = first + (j + c) * t->width;
        const vec e = v_exponential(v_load(score) - base);
        v_store(score, e);
        sums[c] = sums[c] + e;
    }
    float sum[LANES];
    v_store(sum, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    v_store(t->max + column, max);
    v_store(t->factor + column, v_exponential(before - base));
    for (size_t n = 0; n < LANES; n++)
        t->sum[column + n] = t->sum[column + n] * (double)t->factor[column + n] + (double)sum[n];
}

static void softmax_step(const attn_soft_tile *t) {
    for (size_t column = 0; column < t->width; column += LANES)
        softmax_step_of_lanes(t, column);
}

static void softmax_weights(const attn_soft_tile *t) {
    for (size_t column = 0; column < t->width; column += LANES) {
        float inverse[LANES];
        for (size_t n = 0; n < LANES; n++) {
            const double sum = t->sum[column + n];
            inverse[n] = sum > 0 ? (float)(1 / sum) : 0;
        }
        const vec base = subtracted(v_load(t->max + column)), share = v_load(inverse);
        for (size_t j = 0; j < t->keys; j++) {
            float *score = t->tile + j * t->width + column;
            v_store(score, v_exponential(v_load(score) - base) * share);
        }
    }
}
