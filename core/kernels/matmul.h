/* matmul.h: products of float32 matrices, through OpenBLAS.
 *
 * Every matrix is row-major; `ld…` is the distance between the starts of two of its rows, in numbers. The
 * calling thread does all the work itself. OpenBLAS chooses its inner loop by the shapes, so the same shapes
 * give the same bits. */
#ifndef ATTN_MATMUL_H
#define ATTN_MATMUL_H

#include <stddef.h>

/* c[m,n] = alpha * a[m,k] b[n,k]^T + beta * c. With beta 0, c is not read. */
void attn_matmul_transposed(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                            const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* c[m,n] = a[m,k] b[k,n] */
void attn_matmul(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                 float *c, size_t ldc);

/* To be called once, before any thread multiplies: keeps OpenBLAS to the calling thread. Returns 0 if this
 * OpenBLAS may not be called from several threads at once (its single-threaded builds lack the locks),
 * else 1. */
int attn_matmul_init(void);

/* To be called by each thread that will multiply: has OpenBLAS map this thread's buffer now. It retries for
 * ever if that fails later, when memory is short. */
void attn_matmul_warm_up(void);

/* What multiplies here, like "openblas-Zen". The string is static. */
const char *attn_matmul_name(void);

/* Version and build of the library, as it describes itself. The string is static. */
const char *attn_matmul_library(void);

#endif
