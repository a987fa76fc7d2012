#include "core/model/files/dtype.h"

#include <endian.h>
#include <math.h>
#include <string.h>

static uint16_t load16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return le16toh(value);
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void from_f64(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        double value;
        memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        bits = le64toh(bits);
        memcpy(&value, &bits, sizeof value);
        values[i] = (float)value;
    }
}

static void from_f32(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        values[i] = float_of_bits(le32toh(bits));
    }
}

/* IEEE 754-2019, section 3.6, binary16: a sign, 5 bits of exponent (bias 15), 10 of fraction. */
static float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000U) << 16;
    const uint32_t exponent = half >> 10 & 0x1fU, fraction = half & 0x3ffU;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, which float32 holds as a normal number */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    const uint32_t wide = exponent == 0x1f ? 0xff : exponent - 15 + 127;
    return float_of_bits(sign | wide << 23 | fraction << 13);
}

static void from_f16(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++)
        values[i] = half_to_float(load16(bytes + 2 * i));
}

/* bfloat16 is the upper half of a float32. */
static void from_bf16(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++)
        values[i] = float_of_bits((uint32_t)load16(bytes + 2 * i) << 16);
}

/* The formats of eight bits (Micikevicius et al., "FP8 Formats for Deep Learning", 2022). E5M2 is the upper
 * half of a binary16. */
static void from_e5m2(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++)
        values[i] = half_to_float((uint16_t)(bytes[i] << 8));
}

/* E4M3 has a bias of 7, no infinities, and a NaN where all bits but the sign are set. */
static void from_e4m3(const uint8_t *bytes, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) {
        const unsigned exponent = bytes[i] >> 3 & 0xfU, fraction = bytes[i] & 7U;
        const float magnitude = exponent == 0 ? (float)fraction * 0x1p-9f
                                              : float_of_bits((exponent - 7 + 127) << 23 | fraction << 20);
        const float value = (bytes[i] & 0x7fU) == 0x7fU ? NAN : magnitude;
        values[i] = bytes[i] & 0x80U ? -value : value;
    }
}

/* The types that the reference implementation knows (huggingface/safetensors 0.8, tensor.rs, Dtype). */
static const attn_dtype dtypes[] = {
    {"F32", 32, from_f32},    {"F16", 16, from_f16},    {"BF16", 16, from_bf16},   {"F64", 64, from_f64},
    {"BOOL", 8, NULL},        {"U8", 8, NULL},          {"I8", 8, NULL},           {"I16", 16, NULL},
    {"U16", 16, NULL},        {"I32", 32, NULL},        {"U32", 32, NULL},         {"I64", 64, NULL},
    {"U64", 64, NULL},        {"C64", 64, NULL},        {"F8_E5M2", 8, from_e5m2}, {"F8_E4M3", 8, from_e4m3},
    {"F8_E5M2FNUZ", 8, NULL}, {"F8_E4M3FNUZ", 8, NULL}, {"F8_E8M0", 8, NULL},      {"F6_E2M3", 6, NULL},
    {"F6_E3M2", 6, NULL},     {"F4", 4, NULL},
};

const attn_dtype *attn_dtype_find(const char *name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}
