/* vector.h: what compilers write by themselves for vectors of any width, with the instructions that a set
 * would name. The file of a set defines vec, LANES and v_all before. */

typedef uint32_t vec_bits __attribute__((vector_size(sizeof(vec))));

/* Need not be aligned. */
typedef vec vec_anywhere __attribute__((aligned(4), may_alias));

static inline vec v_load(const float *p) {
    return *(const vec_anywhere *)p;
}

static inline void v_store(float *p, vec v) {
    *(vec_anywhere *)p = v;
}

static inline vec v_sign(vec v, vec x) {
    return (vec)((vec_bits)v | ((vec_bits)x & (vec_bits)v_all(-0.0f)));
}

static inline vec v_magnitude(vec x) {
    return (vec)((vec_bits)x & ~(vec_bits)v_all(-0.0f));
}
