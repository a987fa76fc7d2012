/* neon.c: the set for 64-bit ARM, all of which have NEON: 32 registers of 4 numbers. */
#include "core/kernels/sets.h"

#ifdef __aarch64__

#include <arm_neon.h>
#include <string.h>

typedef float32x4_t vec;

#define LANES         4
#define PANEL_VECTORS 4
#define TILE_ROWS     6

static inline vec v_all(float x) {
    return vdupq_n_f32(x);
}

#include "core/kernels/template/vector.h"

#include "core/kernels/template/partial.h"

static inline vec v_madd(vec a, vec b, vec c) {
    return vfmaq_f32(c, a, b);
}

static inline vec v_max(vec a, vec b) {
    return vmaxq_f32(a, b);
}

static inline vec v_keep(vec v, vec x, vec limit) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vcgeq_f32(x, limit)));
}

static inline vec v_pick(vec x, vec limit, vec a, vec b) {
    return vbslq_f32(vcltq_f32(x, limit), a, b);
}

static inline vec v_add_exponent(vec v, vec t) {
    return vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(v), vshlq_n_u32(vreinterpretq_u32_f32(t), 23)));
}

static inline vec v_max_bits(vec a, vec b) {
    return vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}

static inline vec v_load_bfloat16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

static inline vec v_load_int8(const int8_t *p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

#include "core/kernels/template/set.h"

DEFINE_SET(neon, true)

#else

ATTN_NO_SET(neon)

#endif
