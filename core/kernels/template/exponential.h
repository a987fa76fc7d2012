/* exponential.h: part of set.h: exp and tanh. */

/* Below this the result is 0: it would not be a normal number. */
#define EXPONENTIAL_ZERO (-87.3365f)

/* exp(x) for x <= 88.7, also -infinity. x is n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite, "Software
 * Manual for the Elementary Functions", 1980, chapter 6); exp(r) is a polynomial, with the coefficients of
 * Cephes' expf. n comes from adding a number so large that only whole numbers are left, whose lowest bits are
 * then those of n. */
static ALWAYS_INLINE vec v_exponential(vec x) {
    const vec whole = v_all(12582912.0f); /* 1.5 * 2^23 */
    const vec t = v_madd(x, v_all(1.44269504088896341f), whole);
    const vec n = t - whole;
    vec r = v_madd(n, v_all(-0.693359375f), x);
    r = v_madd(n, v_all(2.12194440e-4f), r);
    vec p = v_all(1.9875691500e-4f);
    p = v_madd(p, r, v_all(1.3981999507e-3f));
    p = v_madd(p, r, v_all(8.3334519073e-3f));
    p = v_madd(p, r, v_all(4.1665795894e-2f));
    p = v_madd(p, r, v_all(1.6666665459e-1f));
    p = v_madd(p, r, v_all(5.0000001201e-1f));
    p = v_madd(p, r * r, r) + v_all(1);
    return v_keep(v_add_exponent(p, t), x, v_all(EXPONENTIAL_ZERO));
}

/* tanh(x), odd: a polynomial near 0 (that of Cephes' tanhf), else 1 - 2 / (exp(2x) + 1). The
 * error is below 1.4 units in the last place (likewise). NaN stays NaN. */
static ALWAYS_INLINE vec v_tanh(vec x) {
    const vec z = v_magnitude(x), square = x * x;
    vec p = v_all(-5.70498872745e-3f);
    p = v_madd(p, square, v_all(2.06390887954e-2f));
    p = v_madd(p, square, v_all(-5.37397155531e-2f));
    p = v_madd(p, square, v_all(1.33314422036e-1f));
    p = v_madd(p, square, v_all(-3.33332819422e-1f));
    p = v_madd(p * square, x, x);
    const vec bounded = v_pick(z, v_all(20), z, v_all(20));
    const vec far = v_all(1) - v_all(2) / (v_exponential(bounded + bounded) + v_all(1));
    return v_pick(v_all(0.625f), z, v_sign(far, x), p);
}

static void exponential(float *x, size_t count) {
    size_t n = 0;
    for (; n + LANES <= count; n += LANES)
        v_store(x + n, v_exponential(v_load(x + n)));
    if (n < count)
        v_store_part(x + n, v_exponential(v_load_part(x + n, count - n)), count - n);
}

static void soft_cap(float *x, size_t count, float cap) {
    const vec c = v_all(cap);
    size_t n = 0;
    if (cap < FLT_MIN) { /* which may be a zero here, and 0 / 0 no number */
        memset(x, 0, count * sizeof *x);
        return;
    }
    for (; n + LANES <= count; n += LANES)
        v_store(x + n, c * v_tanh(v_load(x + n) / c));
    if (n < count)
        v_store_part(x + n, c * v_tanh(v_load_part(x + n, count - n) / c), count - n);
}
