/* The reader of safetensors files, with good files. */
#include "tests/core/model/files/safetensors_files.h"
#include "tests/random.h"

TestSuite(good, .init = begin, .fini = end);

/* Reads tensor "t", all of whose elements the file was given as `bytes`. */
static void read_all(const char *dtype, const void *bytes, size_t size, size_t count, float *values) {
    char shape[32];
    snprintf(shape, sizeof shape, "[%zu]", count);
    st_begin(&writer, "");
    st_add(&writer, "t", dtype, shape, bytes, size * count);
    st_end(&writer, good_path());
    attn_safetensors *file = open_good();
    attn_error error = {""};
    const attn_tensor *tensor = find(file, "t");
    cr_assert_not_null(tensor);
    cr_assert_eq(tensor->count, count);
    cr_assert_eq(attn_safetensors_read(file, tensor, 0, count, values, &error), ATTN_OK, "%s", error.text);
    attn_safetensors_close(file);
}

/* The value of a binary floating-point number with 16 bits, from the definition (IEEE 754-2019, 3.4). */
static double value_of_16(unsigned bits, int exponent_bits, int bias) {
    const int fraction_bits = 15 - exponent_bits;
    const int exponent = (int)(bits >> fraction_bits & ((1U << exponent_bits) - 1));
    const double fraction = (double)(bits & ((1U << fraction_bits) - 1));
    const double magnitude = exponent == 0
                                 ? ldexp(fraction, 1 - bias - fraction_bits)
                                 : ldexp(ldexp(1, fraction_bits) + fraction, exponent - bias - fraction_bits);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* Every finite number of a 16-bit type, signs of zero included. */
static void check_all_16(const char *dtype, int exponent_bits, int bias) {
    static uint16_t patterns[65536];
    static float values[65536];
    size_t count = 0;
    const unsigned top = ((1U << exponent_bits) - 1) << (15 - exponent_bits);
    for (unsigned bits = 0; bits < 65536; bits++)
        if ((bits & top) != top)
            patterns[count++] = (uint16_t)bits;
    read_all(dtype, patterns, 2, count, values);
    for (size_t i = 0; i < count; i++) {
        const double expected = value_of_16(patterns[i], exponent_bits, bias);
        cr_assert(values[i] == expected && !!signbit(values[i]) == !!signbit(expected),
                  "%s 0x%04x: %a, expected %a", dtype, patterns[i], (double)values[i], expected);
    }
}

Test(good, every_f16) {
    check_all_16("F16", 5, 15);
}

Test(good, every_bf16) {
    check_all_16("BF16", 8, 127);
}

/* Every finite number of an 8-bit type: of E5M2, as of the wider ones, those below the top exponent; of E4M3
 * all but the one with all bits set, which is its NaN (Micikevicius et al., "FP8 Formats for Deep Learning",
 * table 1). */
static void check_all_8(const char *dtype, int exponent_bits, int bias, unsigned finite) {
    uint8_t patterns[256];
    float values[256];
    size_t count = 0;
    for (unsigned bits = 0; bits < 256; bits++)
        if ((bits & 0x7fU) < finite)
            patterns[count++] = (uint8_t)bits;
    read_all(dtype, patterns, 1, count, values);
    for (size_t i = 0; i < count; i++) {
        const int fraction_bits = 7 - exponent_bits;
        const unsigned exponent = (patterns[i] & 0x7fU) >> fraction_bits;
        const double fraction = patterns[i] & ((1U << fraction_bits) - 1);
        double expected =
            exponent == 0 ? ldexp(fraction, 1 - bias - fraction_bits)
                          : ldexp(ldexp(1, fraction_bits) + fraction, (int)exponent - bias - fraction_bits);
        expected = patterns[i] & 0x80U ? -expected : expected;
        cr_assert(values[i] == expected && !!signbit(values[i]) == !!signbit(expected),
                  "%s 0x%02x: %a, expected %a", dtype, patterns[i], (double)values[i], expected);
    }
}

Test(good, every_f8) {
    check_all_8("F8_E4M3", 4, 7, 0x7f);  /* the largest is 448 */
    check_all_8("F8_E5M2", 5, 15, 0x7c); /* the largest is 57344 */
}

Test(good, f32_is_exact) {
    const float given[] = {0.0f, -0.0f, 1.5f, -0x1.fffffep127f, 0x1p-149f, 3.14159274f};
    float values[6];
    read_all("F32", given, sizeof(float), 6, values);
    cr_assert_eq(memcmp(values, given, sizeof given), 0);
}

Test(good, f64_is_rounded_once) {
    /* A tie goes to the even neighbour; a little above the tie goes up; the largest double that rounds down
     * to the largest float; below half of the smallest float there is only zero. */
    const double given[] = {
        1 + 0x1p-24, 1 + 0x1p-24 + 0x1p-52, 1 + 0x1.8p-23, 0x1.fffffefffffffp127, 0x1p-150, 0.1};
    const float expected[] = {1, 1 + 0x1p-23f, 1 + 0x1p-22f, 0x1.fffffep127f, 0, 0.1f};
    float values[6];
    read_all("F64", given, sizeof(double), 6, values);
    for (int i = 0; i < 6; i++)
        cr_expect_eq(values[i], expected[i], "%d: %a, expected %a", i, (double)values[i],
                     (double)expected[i]);
}

Test(good, parts_of_a_tensor_longer_than_one_piece) {
    uint64_t random = test_seed("safetensors") | 1; /* zero would stay zero */
    st_begin(&writer, "");
    st_describe(&writer, "before[5]:F16 t[40,375] after[2]:F64");
    st_end(&writer, good_path());
    attn_safetensors *file = open_good();
    const attn_tensor *tensor = find(file, "t");
    static float values[15000];
    for (int round = 0; round < 200; round++) {
        const size_t first = random_bits(&random) % 15001, count = random_bits(&random) % (15001 - first);
        cr_assert_eq(attn_safetensors_read(file, tensor, first, count, values, NULL), ATTN_OK);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(values[i], test_value(5 + first + i), "first %zu, element %zu", first, i);
    }
    attn_safetensors_close(file);
}

Test(good, what_the_format_allows) {
    /* White space around the header, tensors out of order, a single number, tensors without elements, the
     * other types of the format, an escaped name, metadata. */
    static const char header[] =
        " \n{\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[3,0,2],\"data_offsets\":[8,8]},"
        "\"\\u0061\":{\"data_offsets\":[0,8],\"shape\":[1],\"dtype\":\"I64\"},"
        "\"end\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[30,30]},"
        "\"six\":{\"dtype\":\"F6_E2M3\",\"shape\":[2,4],\"data_offsets\":[12,18]},"
        "\"__metadata__\":{\"format\":\"pt\",\"attend\":\"{}\"},"
        "\"four\":{\"dtype\":\"F4\",\"shape\":[24],\"data_offsets\":[18,30]}} \t\r\n ";
    uint8_t data[30] = {0};
    const float number = -2.5f;
    memcpy(data + 8, &number, sizeof number);
    write_safetensors(good_path(), header, sizeof header - 1, ST_TRUE_LENGTH, data, sizeof data);
    attn_safetensors *file = open_good();
    size_t count;
    const attn_tensor *tensors = attn_safetensors_tensors(file, &count);
    static const char *const names[] = {"a", "b", "empty", "end", "four", "six"};
    static const size_t counts[] = {1, 1, 0, 0, 24, 8};
    cr_assert_eq(count, 6);
    for (size_t i = 0; i < count; i++) {
        cr_expect_str_eq(tensors[i].name, names[i]);
        cr_expect_eq(tensors[i].count, counts[i]);
        cr_expect_eq(find(file, names[i]), &tensors[i]);
    }
    float value = 0;
    cr_expect_eq(attn_safetensors_read(file, &tensors[1], 0, 1, &value, NULL), ATTN_OK);
    cr_expect_eq(value, number);
    cr_expect_eq(attn_safetensors_read(file, &tensors[2], 0, 0, &value, NULL), ATTN_OK);
    cr_expect_null(find(file, "c"));
    cr_expect_null(find(file, "__metadata__"));
    cr_expect_str_eq(attn_safetensors_metadata(file, "format"), "pt");
    cr_expect_null(attn_safetensors_metadata(file, "other"));
    attn_safetensors_close(file);
}

Test(good, nothing_in_it) {
    write_safetensors(good_path(), "{}", 2, ST_TRUE_LENGTH, "", 0);
    attn_safetensors *file = open_good();
    size_t count = 1;
    attn_safetensors_tensors(file, &count);
    cr_expect_eq(count, 0);
    cr_expect_null(find(file, "a"));
    cr_expect_null(attn_safetensors_metadata(file, "a"));
    attn_safetensors_close(file);
}
