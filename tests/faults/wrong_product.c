/* wrong_product.c: preloaded, an OpenBLAS that computes some products wrongly, as versions of it have on some
 * CPUs: in each with three rows, the last number is off by a thousandth. */
#include <cblas.h>
#include <dlfcn.h>

typedef void product(CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, float,
                     const float *, blasint, const float *, blasint, float, float *, blasint);

void cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, blasint m, blasint n,
                 blasint k, float alpha, const float *a, blasint lda, const float *b, blasint ldb, float beta,
                 float *c, blasint ldc) {
    product *const real = (product *)dlsym(RTLD_NEXT, "cblas_sgemm");
    real(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (m == 3)
        c[(m - 1) * ldc + n - 1] += 0.001f;
}
