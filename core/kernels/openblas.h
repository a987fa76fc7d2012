/* openblas.h: the library behind the set "openblas". Debian's OpenBLAS is the same everywhere, and chooses
 * its inner loop by the CPU when it is loaded. */
#ifndef ATTN_OPENBLAS_H
#define ATTN_OPENBLAS_H

/* To be called once, before any thread multiplies: keeps OpenBLAS to the calling thread. Returns 0 if this
 * OpenBLAS may not be called from several threads at once (its single-threaded builds lack the locks),
 * else 1. */
int attn_openblas_init(void);

/* To be called by each thread that will multiply by the set "openblas": has OpenBLAS map this thread's buffer
 * now. It retries for ever if that fails later, when memory is short. */
void attn_openblas_warm_up(void);

/* The inner loop that OpenBLAS chose, like "openblas-Zen". The string is static. */
const char *attn_openblas_name(void);

/* Version and build of the library, as it describes itself. The string is static. */
const char *attn_openblas_library(void);

#endif
