/* rows.h: part of set.h: what is done with numbers on their way from one product to the next. */

/* Of the bits of numbers without their signs, which grow with the number. */
static ALWAYS_INLINE uint32_t largest_lane(vec v) {
    float lanes[LANES];
    uint32_t bits[LANES], largest = 0;
    v_store(lanes, v);
    memcpy(bits, lanes, sizeof bits);
    for (size_t n = 0; n < LANES; n++)
        largest = bits[n] > largest ? bits[n] : largest;
    return largest;
}

static ALWAYS_INLINE vec larger_of(vec most, vec x) {
    return v_max_bits(most, v_magnitude(x));
}

static uint32_t largest(const float *x, size_t count) {
    vec most = v_all(0);
    size_t n = 0;
    for (; n + LANES <= count; n += LANES)
        most = larger_of(most, v_load(x + n));
    if (n < count)
        most = larger_of(most, v_load_part(x + n, count - n));
    return largest_lane(most);
}

static uint32_t copy(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                     size_t to_row) {
    vec most = v_all(0);
    for (size_t r = 0; r < rows; r++, from += from_row, to += to_row) {
        size_t n = 0;
        for (; n + LANES <= columns; n += LANES) {
            const vec x = v_load(from + n);
            v_store(to + n, x);
            most = larger_of(most, x);
        }
        if (n < columns) {
            const vec x = v_load_part(from + n, columns - n);
            v_store_part(to + n, x, columns - n);
            most = larger_of(most, x);
        }
    }
    return largest_lane(most);
}

static uint32_t scale(float *x, size_t count, float factor) {
    vec most = v_all(0);
    size_t n = 0;
    for (; n + LANES <= count; n += LANES) {
        const vec product = v_load(x + n) * v_all(factor);
        v_store(x + n, product);
        most = larger_of(most, product);
    }
    if (n < count) {
        const vec product = v_load_part(x + n, count - n) * v_all(factor);
        v_store_part(x + n, product, count - n);
        most = larger_of(most, product);
    }
    return largest_lane(most);
}

/* Sums in double precision: their vectors are left to the compiler. */

static void accumulate(const float *x, size_t count, double *sums, bool add) {
    for (size_t n = 0; n < count; n++)
        sums[n] = add ? sums[n] + (double)x[n] : (double)x[n];
}

static void rescale(size_t rows, size_t columns, const float *factors, float *x, double *sums) {
    for (size_t r = 0; r < rows; r++) {
        if (factors[r] == 1)
            continue;
        const size_t from = r * columns, to = from + columns;
        for (size_t n = from; sums != NULL && n < to; n++)
            sums[n] *= (double)factors[r];
        for (size_t n = from; x != NULL && n < to; n++)
            x[n] *= factors[r];
    }
}

static void normalise(size_t count, const float *x, const double *sums, double share, float *to) {
    for (size_t n = 0; n < count; n++) {
        const double sum = (sums == NULL ? 0 : sums[n]) + (x == NULL ? 0 : (double)x[n]);
        to[n] = (float)(sum * share);
    }
}
