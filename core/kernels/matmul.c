#include "core/kernels/matmul.h"

#include <cblas.h>
#include <stdio.h>

/* Projections and scores are summed over k in blocks of this many, each from zero, added in order: one long
 * chain of float32 additions loses accuracy. Over the random set-ups of tests/peers the worst error of the
 * output is 2.8e-6 of the largest number with blocks of 64, 3.5e-6 with 128, 4.8e-6 without (torch: 3.5e-6);
 * it costs 5 to 15 % of the time. */
#define K_BLOCK ((size_t)64)

/* Every dimension is at most 2^24 when it comes here (request.h, config.h), so it fits OpenBLAS's int. */
static blasint as_int(size_t n) {
    return (blasint)n;
}

void attn_matmul_transposed(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                            const float *b, size_t ldb, float beta, float *c, size_t ldc) {
    if (m == 0 || n == 0)
        return;
    for (size_t first = 0; first < k || first == 0; first += K_BLOCK)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, as_int(m), as_int(n),
                    as_int(k - first < K_BLOCK ? k - first : K_BLOCK), alpha, a + first, as_int(lda),
                    b + first, as_int(ldb), first == 0 ? beta : 1, c, as_int(ldc));
}

void attn_matmul(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                 float *c, size_t ldc) {
    if (m == 0 || n == 0)
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, as_int(m), as_int(n), as_int(k), 1, a, as_int(lda),
                b, as_int(ldb), 0, c, as_int(ldc));
}

int attn_matmul_init(void) {
    openblas_set_num_threads(1);
    return openblas_get_parallel() != OPENBLAS_SEQUENTIAL;
}

void attn_matmul_warm_up(void) {
    enum { M = 64, N = 256, K = 64 };
    static const float a[M * K], b[N * K];
    float c[M * N];
    attn_matmul_transposed(M, N, K, 1, a, K, b, K, 0, c, N);
}

const char *attn_matmul_name(void) {
    static _Thread_local char name[64];
    snprintf(name, sizeof name, "openblas-%s", openblas_get_corename());
    return name;
}

const char *attn_matmul_library(void) {
    return openblas_get_config();
}
