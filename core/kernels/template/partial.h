/* partial.h: vectors that are not full, for a CPU whose loads and stores have no masks. */
#include <string.h>

static inline vec v_load_part(const float *p, size_t n) {
    float all[LANES] = {0};
    memcpy(all, p, n * sizeof *p);
    return v_load(all);
}

static inline void v_store_part(float *p, vec v, size_t n) {
    float all[LANES];
    v_store(all, v);
    memcpy(p, all, n * sizeof *p);
}
