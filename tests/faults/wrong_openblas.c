/* wrong_openblas.c: found in the place of OpenBLAS. It computes some products wrongly, as versions of it have
 * on some CPUs: in each with sums of three products, the first number is off by a thousandth. With
 * WRONG_OPENBLAS=sequential in the environment it says that it has no locks. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int openblas_get_parallel(void) {
    const char *kind = getenv("WRONG_OPENBLAS");
    return kind == NULL || strcmp(kind, "sequential") != 0;
}

char *openblas_get_config(void) {
    static char text[] = "OpenBLAS 0.0.0";
    return text;
}

char *openblas_get_corename(void) {
    static char text[] = "z80";
    return text;
}

/* c = a b, all of them row by row. */
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    if (order != 101 || trans_a != 111 || trans_b != 111 || alpha != 1 || beta != 0)
        abort();
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int d = 0; d < k; d++)
                sum += a[(size_t)i * (size_t)lda + (size_t)d] * b[(size_t)d * (size_t)ldb + (size_t)j];
            c[(size_t)i * (size_t)ldc + (size_t)j] = sum + (k == 3 && i == 0 && j == 0 ? 0.001f : 0);
        }
}
