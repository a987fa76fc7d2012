/* openblas.h: the library behind the set "openblas", which chooses its inner loops by the CPU. It is loaded
 * when something here, or attn_kernels_openblas, is first called: the other sets do not need it. */
#ifndef ATTN_OPENBLAS_H
#define ATTN_OPENBLAS_H

/* To be called by each thread that will multiply by the set "openblas": has OpenBLAS map this thread's buffer
 * now. It retries for ever if that fails later, when memory is short. */
void attn_openblas_warm_up(void);

/* Version and build of the library and the kind of CPU whose inner loops it chose, as it describes itself; or
 * a sentence that says why there is no set "openblas". The string is static. */
const char *attn_openblas_library(void);

#endif
