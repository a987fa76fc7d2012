#include "core/self_check.h"

#include "core/attention.h"
#include "core/kernels/matmul.h"
#include "core/kernels/softmax.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LARGEST ((size_t)100) /* dimension of a product: more than a tile of any kernel */
#define GAP     ((size_t)3)   /* between the end of a row and the next one */

/* splitmix64 (Steele, Lea, Flood, 2014), as numbers from -1 to 1. */
static float next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return (float)((z ^ z >> 31) >> 40) * 0x1p-23f - 1;
}

static void fill(float *numbers, size_t count, uint64_t *state) {
    for (size_t i = 0; i < count; i++)
        numbers[i] = next(state);
}

/* Holds one number against the plain one. What rounding may do to a sum of n products is far below n * 2^-20.
 */
static attn_status hold(const char *kernel, const char *shape, float found, double expected, double allowed,
                        attn_error *error) {
    if (fabs((double)found - expected) <= allowed) /* false for NaN */
        return ATTN_OK;
    return attn_fail(
        error, ATTN_BAD_VALUE,
        "self-check: %s (%s) gave %.9g for %s, expected %.9g: the library computes wrongly on this CPU; "
        "--self-check off serves all the same",
        kernel, attn_matmul_name(), (double)found, shape, expected);
}

typedef struct {
    float *a, *b, *c; /* [LARGEST, LARGEST + GAP] each */
} matrices;

static attn_status check_product(const matrices *x, bool transposed, size_t m, size_t n, size_t k,
                                 attn_error *error) {
    const size_t ld = LARGEST + GAP;
    char shape[64];
    snprintf(shape, sizeof shape, "m=%zu, n=%zu, k=%zu", m, n, k);
    if (transposed)
        attn_matmul_transposed(m, n, k, 1, x->a, ld, x->b, ld, 0, x->c, ld);
    else
        attn_matmul(m, n, k, x->a, ld, x->b, ld, x->c, ld);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)x->a[i * ld + l] * (double)(transposed ? x->b[j * ld + l] : x->b[l * ld + j]);
            const attn_status status =
                hold(transposed ? "the product with a transposed matrix" : "the product", shape,
                     x->c[i * ld + j], sum, (double)k * 0x1p-20, error);
            if (status != ATTN_OK)
                return status;
        }
    return ATTN_OK;
}

static attn_status check_products(uint64_t *state, attn_error *error) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100};
    const size_t count = sizeof sizes / sizeof sizes[0], numbers = LARGEST * (LARGEST + GAP);
    float *storage = calloc(3 * numbers, sizeof *storage);
    const matrices x = {storage, storage + numbers, storage + 2 * numbers};
    attn_status status = ATTN_OK;
    if (storage == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "self-check: no memory");
    fill(storage, 2 * numbers, state);
    /* Each size in each place, beside others that change with it. */
    for (size_t i = 0; i < count * 6 && status == ATTN_OK; i++)
        status = check_product(&x, i % 2 == 0, sizes[i % count], sizes[(i * 5 + i / count) % count],
                               sizes[(i * 11 + 3) % count], error);
    free(storage);
    return status;
}

static attn_status check_softmax(uint64_t *state, attn_error *error) {
    for (size_t n = 1; n <= LARGEST; n++) {
        float scores[LARGEST], original[LARGEST], max;
        double sum = 0, found_sum;
        char shape[32];
        snprintf(shape, sizeof shape, "n=%zu", n);
        for (size_t j = 0; j < n; j++) {
            scores[j] = original[j] = 10 * next(state);
            sum += exp((double)original[j]);
        }
        if (!attn_softmax_row(scores, n, NULL, &max, &found_sum))
            return hold("the softmax", shape, NAN, 1, 0, error);
        for (size_t j = 0; j < n; j++) {
            const double expected = exp((double)original[j]) / sum;
            const attn_status status =
                hold("the softmax", shape, scores[j], expected, expected * 0x1p-18, error);
            if (status != ATTN_OK)
                return status;
        }
    }
    return ATTN_OK;
}

enum { B = 2, L = 20, S = 70, H = 4, HKV = 2, D = 8, E = 24 };

/* One layer with most of the options at once. */
static attn_status check_pass(uint64_t *state, attn_error *error) {
    static float q[H * D * E], k[HKV * D * E], v[HKV * D * E], o[E * H * D], norm[D], sinks[H],
        query[B * L * E], keys[B * S * E], output[B * L * E];
    static double expected[B * L * E];
    float *const arrays[] = {q, k, v, o, norm, sinks, query, keys};
    const size_t counts[] = {H * D * E, HKV * D * E, HKV * D * E, E * H * D, D, H, B * L * E, B * S * E};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fill(arrays[i], counts[i], state);
    const attn_layer layer = {
        .config = {.embed_dim = E,
                   .num_heads = H,
                   .num_kv_heads = HKV,
                   .head_dim = D,
                   .kdim = E,
                   .vdim = E,
                   .sliding_window = 40,
                   .softcap = 20,
                   .qk_norm = true,
                   .qk_norm_eps = 1e-6,
                   .sinks = true,
                   .rope = {.style = ATTN_ROPE_HALF, .dims = D, .theta = 10000, .magnitude = 1}},
        .q_weight = q,
        .k_weight = k,
        .v_weight = v,
        .o_weight = o,
        .q_norm = norm,
        .k_norm = norm,
        .sinks = sinks,
    };
    const attn_input input = {.B = B,
                              .L = L,
                              .S = S,
                              .query = query,
                              .key = keys,
                              .value = keys,
                              .is_causal = true,
                              .query_offset = S - L};
    attn_arena *work = attn_arena_new(NULL);
    attn_status status = attn_reference(&layer, &input, &(attn_reference_output){.output = expected});
    if (work == NULL || status != ATTN_OK)
        status = attn_fail(error, ATTN_NO_MEMORY, "self-check: no memory");
    else
        status = attn_forward(&layer, &input, &(attn_output){.output = output}, work, NULL, error);
    attn_arena_free(work);
    for (size_t i = 0; i < B * L * E && status == ATTN_OK; i++)
        status = hold("the attention pass", "a layer of 4 heads", output[i], expected[i], 1e-4, error);
    return status;
}

attn_status attn_self_check(attn_error *error) {
    uint64_t state = 1;
    attn_status status = check_products(&state, error);
    if (status == ATTN_OK)
        status = check_softmax(&state, error);
    return status == ATTN_OK ? check_pass(&state, error) : status;
}
