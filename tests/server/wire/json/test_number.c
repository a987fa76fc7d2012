/* json_number against glibc's strtof and printf, which are exact, and against powers of ten computed anew.
 * `make test-exhaustive` goes through all float32. */
#include "server/wire/json/number.h"
#include "server/wire/json/number_powers.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- Powers of ten ---- */

#define LIMBS 8 /* 256 bits, the lowest first */

static void multiply_small(uint32_t number[LIMBS], uint32_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)number[i] * factor;
        number[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void divide_small(uint32_t number[LIMBS], uint32_t divisor) {
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = rest << 32 | number[i];
        number[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
}

static void halve(uint32_t number[LIMBS]) {
    for (int i = 0; i < LIMBS; i++)
        number[i] = number[i] >> 1 | (i + 1 < LIMBS ? number[i + 1] << 31 : 0);
}

Test(json_number, units_are_what_they_are_defined_to_be) {
    for (int biased = 1; biased < 255; biased++) {
        const int q = biased - 150, k = (int)floor(q * log10(2));
        uint32_t number[LIMBS] = {0}; /* 2^q / 10^k * 2^60 */
        if (q + 60 >= 0)
            number[(q + 60) / 32] = (uint32_t)1 << (q + 60) % 32;
        else
            number[0] = 1;
        for (int i = 0; i < k; i++)
            divide_small(number, 10);
        for (int i = 0; i < -k; i++)
            multiply_small(number, 10);
        for (int i = 0; i < -(q + 60); i++)
            halve(number);
        const uint64_t unit = (uint64_t)number[1] << 32 | number[0];
        for (int i = 2; i < LIMBS; i++)
            cr_assert_eq(number[i], 0);
        cr_assert_eq(json_number_units[biased].unit, unit + 1, "2^%d", q);
        cr_assert_eq(json_number_units[biased].x, k + 6, "2^%d", q);
        cr_assert_eq(json_number_units[biased].uneven, biased < 81 || biased > 151, "2^%d", q);
    }
    cr_assert_eq(json_number_units[0].unit, 0);
    cr_assert_eq(json_number_units[0].x, 0);
    cr_assert_eq(json_number_units[0].uneven, 0);
}

Test(json_number, powers_of_ten_are_the_nearest) {
    for (int k = -JSON_NUMBER_TENS_MAX; k <= JSON_NUMBER_TENS_MAX; k++) {
        char text[16];
        sprintf(text, "1e%d", k);
        cr_assert_eq(json_number_tens[k + JSON_NUMBER_TENS_MAX], strtod(text, NULL), "%s", text);
    }
}

/* ---- Writing ---- */

static const char *written(float value, char text[JSON_NUMBER_MAX + 1]) {
    memset(text, '#', JSON_NUMBER_MAX + 1);
    const size_t length = json_write_number(value, text);
    cr_assert_lt(length, JSON_NUMBER_MAX);
    text[length] = '\0';
    return text;
}

/* Writes and reads back, with strtof and with our own. */
static void check_round_trip(uint32_t bits) {
    char text[JSON_NUMBER_MAX + 1];
    const char *next;
    float own;
    written(from_bits(bits), text);
    cr_assert_eq(to_bits(strtof(text, NULL)), bits, "%08x is written as %s", bits, text);
    cr_assert_eq(json_read_number(text, text + strlen(text), &own, &next), JSON_NUMBER_OK, "%s", text);
    cr_assert_eq(to_bits(own), bits, "%s is read as %a", text, (double)own);
    cr_assert_eq(next, text + strlen(text), "%s", text);
}

static bool reads_back(uint64_t digits, int exponent, float value, char *scientific) {
    sprintf(scientific, "%llue%d", (unsigned long long)digits, exponent);
    return strtof(scientific, NULL) == value;
}

/* The contract, taken at its word, for a value above 0: the smallest count of digits with which any decimal
 * reads back, of those decimals the nearest (printf's, unless the gap below a power of two is in the way:
 * then its neighbour), and the shorter of the two layouts. */
static void write_slowly(float value, char *text) {
    char nearest[64], tried[64], scientific[64], plain[64];
    uint64_t digits = 0;
    int count = 1, exponent = 0;
    for (;; count++) {
        snprintf(nearest, sizeof nearest, "%.*e", count - 1, (double)value);
        char *e = strchr(nearest, 'e');
        exponent = atoi(e + 1) - (count - 1);
        digits = 0;
        for (const char *at = nearest; at < e; at++)
            if (*at != '.')
                digits = 10 * digits + (uint64_t)(*at - '0');
        if (reads_back(digits, exponent, value, tried) || reads_back(++digits, exponent, value, tried) ||
            reads_back(digits -= 2, exponent, value, tried))
            break;
    }
    const double decimal = strtod(tried, NULL);
    snprintf(scientific, sizeof scientific, "%.*e", count - 1, decimal);
    char *e = strchr(scientific, 'e');
    const int x = atoi(e + 1);
    sprintf(e, "e%d", x);
    strcpy(text, scientific);
    if (x > 20 || x < -20)
        return;
    snprintf(plain, sizeof plain, "%.*f", x < count - 1 ? count - 1 - x : 0, decimal);
    if (strlen(plain) <= strlen(scientific))
        strcpy(text, plain);
}

static void check_shortest(uint32_t bits) {
    char text[JSON_NUMBER_MAX + 1], slow[64];
    const float value = from_bits(bits);
    write_slowly(value, slow);
    cr_assert_str_eq(written(value, text), slow, "%08x is written as %s, expected %s", bits, text, slow);
    check_round_trip(bits);
    cr_assert_eq(written(-value, text)[0], '-');
    cr_assert_str_eq(text + 1, slow);
}

Test(json_number, layout) {
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        // clang-format off
        {0, "0"},                        {-0.0F, "-0.0"},                 {1, "1"},
        {-1, "-1"},                      {10, "10"},                      {100, "100"},
        {1000, "1e3"},                   {1200, "1200"},                  {1e5F, "1e5"},
        {120000, "1.2e5"},               {123000, "123000"},              {1234567, "1234567"},
        {16777216, "16777216"},          {1e10F, "1e10"},                 {0.1F, "0.1"},
        {0.01F, "0.01"},                 {1e-3F, "1e-3"},                 {0.012F, "0.012"},
        {0.0012F, "0.0012"},             {0.00012F, "1.2e-4"},            {0.000123F, "1.23e-4"},
        {1e-7F, "1e-7"},                 {0.5F, "0.5"},                   {1.5F, "1.5"},
        {0.333333333F, "0.33333334"},    {3.1415927F, "3.1415927"},       {1e-45F, "1e-45"},
        {-1.17549435e-38F, "-1.1754944e-38"},
        {3.4028235e38F, "3.4028235e38"}, {33554432, "33554432"},          {67108864, "67108864"},
        {9e9F, "9e9"},
        // clang-format on
    };
    char text[JSON_NUMBER_MAX + 1];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_str_eq(written(cases[i].value, text), cases[i].text, "%s, expected %s", text,
                         cases[i].text);
}

Test(json_number, every_power_of_two_and_its_neighbours_are_shortest) {
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t offset = 0; offset < 8; offset++) {
            if (exponent + offset != 0)
                check_shortest((exponent << 23) + offset);
            check_shortest((exponent << 23) + 0x7fffff - offset);
        }
    for (uint32_t bit = 0; bit < 23; bit++) /* the powers of two among the subnormal numbers */
        check_shortest((uint32_t)1 << bit);
}

Test(json_number, random_values_are_shortest) {
    uint64_t state = test_seed("random_values_are_shortest");
    for (int i = 0; i < 250000; i++) {
        const uint32_t bits = (uint32_t)(random_bits(&state) % 0x7f7fffff) + 1;
        check_shortest(bits);
    }
    for (int i = 0; i < 50000; i++) { /* what a person would type */
        const double typed = (double)(random_below(&state, 100000) + 1) / pow(10, (double)(i % 12));
        check_shortest(to_bits((float)typed));
    }
}

Test(json_number, random_bit_patterns_read_back) {
    uint64_t state = test_seed("random_bit_patterns_read_back");
    for (int i = 0; i < 2000000; i++) {
        const uint32_t bits = (uint32_t)random_bits(&state);
        if ((bits & 0x7f800000) != 0x7f800000)
            check_round_trip(bits);
    }
}

/* ---- Reading ---- */

/* Reads `text` from memory that ends where it does, and holds it against strtof. */
static void check_read(const char *text) {
    const size_t length = strlen(text);
    char *exact = malloc(length + 1);
    cr_assert(exact != NULL);
    memcpy(exact + 1, text, length); /* so that a sanitizer sees a byte read too much */
    const float expected = strtof(text, NULL);
    const char *next;
    float value = NAN;
    const json_number_status status = json_read_number(exact + 1, exact + 1 + length, &value, &next);
    cr_assert_eq(status, isinf(expected) ? JSON_NUMBER_TOO_LARGE : JSON_NUMBER_OK, "%.60s: status %d", text,
                 (int)status);
    cr_assert_eq(next, exact + 1 + length, "%.60s", text);
    if (status == JSON_NUMBER_OK)
        cr_assert_eq(to_bits(value), to_bits(expected), "%.60s is read as %a, expected %a", text,
                     (double)value, (double)expected);
    free(exact);
}

/* Of 01 the number is 0; what follows is the caller's to refuse. */
Test(json_number, the_grammar) {
    static const struct {
        const char *text;
        json_number_status status;
        size_t next;
    } cases[] = {
        // clang-format off
        {"0", JSON_NUMBER_OK, 1},                   {"-0", JSON_NUMBER_OK, 2},
        {"0.0", JSON_NUMBER_OK, 3},                 {"1]", JSON_NUMBER_OK, 1},
        {"1,2", JSON_NUMBER_OK, 1},                 {"1.5e3 ", JSON_NUMBER_OK, 5},
        {"1E+5", JSON_NUMBER_OK, 4},                {"1e-05", JSON_NUMBER_OK, 5},
        {"1e00000000000000000000000000000001", JSON_NUMBER_OK, 34},
        {"01", JSON_NUMBER_OK, 1},                  {"-01", JSON_NUMBER_OK, 2},
        {"0x10", JSON_NUMBER_OK, 1},                {"1.5.5", JSON_NUMBER_OK, 3},
        {"1e5e5", JSON_NUMBER_OK, 3},               {"1e5.5", JSON_NUMBER_OK, 3},
        {"", JSON_NUMBER_NOT_A_NUMBER, 0},          {"-", JSON_NUMBER_NOT_A_NUMBER, 1},
        {"--1", JSON_NUMBER_NOT_A_NUMBER, 1},       {"+1", JSON_NUMBER_NOT_A_NUMBER, 0},
        {".5", JSON_NUMBER_NOT_A_NUMBER, 0},        {"-.5", JSON_NUMBER_NOT_A_NUMBER, 1},
        {"1.", JSON_NUMBER_NOT_A_NUMBER, 2},        {"1.e5", JSON_NUMBER_NOT_A_NUMBER, 2},
        {"1.x", JSON_NUMBER_NOT_A_NUMBER, 2},       {"1e", JSON_NUMBER_NOT_A_NUMBER, 2},
        {"1e+", JSON_NUMBER_NOT_A_NUMBER, 3},       {"1e-", JSON_NUMBER_NOT_A_NUMBER, 3},
        {"1e+-5", JSON_NUMBER_NOT_A_NUMBER, 3},     {"1ex", JSON_NUMBER_NOT_A_NUMBER, 2},
        {"NaN", JSON_NUMBER_NOT_A_NUMBER, 0},       {"-Infinity", JSON_NUMBER_NOT_A_NUMBER, 1},
        {" 1", JSON_NUMBER_NOT_A_NUMBER, 0},        {"1e39", JSON_NUMBER_TOO_LARGE, 4},
        {"-1e39", JSON_NUMBER_TOO_LARGE, 5},
        {"1e999999999999999999999", JSON_NUMBER_TOO_LARGE, 23},
        // clang-format on
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = cases[i].text, *next;
        float value;
        cr_expect_eq(json_read_number(text, text + strlen(text), &value, &next), cases[i].status, "%s", text);
        cr_expect_eq((size_t)(next - text), cases[i].next, "%s ends at %td", text, next - text);
    }
}

/* Halfway between two float32 in 113 digits, of which all count: to even, which is up; and what is next to
 * it. */
#define ALL_BUT_LAST                                                                                         \
    "2.3504281121939218728682500364246962246890124447543273428830119973898644079868258671695002703927457"    \
    "33261108398437"
#define HALFWAY    ALL_BUT_LAST "5"
#define JUST_BELOW ALL_BUT_LAST "4999999999999999999999999999999"

Test(json_number, hard_numbers_are_read_as_strtof_does) {
    static const char *const texts[] = {
        // clang-format off
        "0e99999",                        "-0e99999",                       "0e999999999999999999999",
        "1e-99999",                       "-1e-99999",                      "1e-999999999999999999999999",
        "1e18446744073709551617",         "1e-18446744073709551617",        "1e4294967297",
        "1e-4294967297",                  "0.000e-5",                       "1e38",
        "3.4028234663852886e38",          "3.4028235677973366e38",
        "3.40282356779733661637539395458142568447e38",
        "3.40282356779733661637539395458142568448e38",
        "1e-45",                          "7.0064923216240853e-46",         "7.0064923216240854e-46",
        "7.0064923216240861e-46",         "1.1754943508222875e-38",         "1.17549428e-38",
        "1.1754942807573643e-38",         "16777217",                       "16777219",
        "16777217.0000000000000000000000000001",
        "9007199791611905",               "9007199254740993",               "18446744073709551615",
        "18446744073709551616",           "9999999999999999999",            "99999999999999999999",
        "123456789012345678901234567890",
        "0.00000000000000000000000000000000000000000000011754943508",
        "8388608.5",                      "8388609.5",                      "4503599627370497.5",
        "1e22",                           "1e23",                           "1e-22",
        "1e-23",                          "1.5e-44",                        "2e-45",
        "3e-46",                          "12345678901234567e-30",          HALFWAY "e-38",
        HALFWAY "00000000000000000000000000000000001e-38",
        "-" HALFWAY "00000000000000000000000000000000000e-38",
        JUST_BELOW "e-38",
        // clang-format on
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_read(texts[i]);
}

/* 1000...0.000...01e-z in many digits, whose exponent and length cancel out. */
Test(json_number, long_numbers) {
    enum { ZEROS = 10000 };
    char *text = malloc(4 * ZEROS);
    cr_assert(text != NULL);
    for (int tail = 0; tail <= 2; tail++)
        for (int base = 0; base < 4; base++) {
            static const char *const bases[] = {"16777217", "16777219", "1", "33554435"};
            char *at = text + sprintf(text, "%s", bases[base]);
            memset(at, '0', ZEROS);
            at += ZEROS;
            at += sprintf(at, "%se-%d", tail == 0 ? "" : tail == 1 ? "1" : ".0000001", ZEROS + (tail == 1));
            check_read(text);
        }
    char *at = text + sprintf(text, "0.");
    memset(at, '0', ZEROS);
    sprintf(at + ZEROS, "123456789e%d", ZEROS + 5);
    check_read(text);
    memset(text, '9', 2000);
    strcpy(text + 2000, "e-1990");
    check_read(text);
    strcpy(text + 2000, "e-2050");
    check_read(text);
    free(text);
}

Test(json_number, halfway_points_and_what_is_next_to_them) {
    uint64_t state = test_seed("halfway_points_and_what_is_next_to_them");
    char text[512];
    for (int i = 0; i < 30000; i++) {
        uint32_t bits = (uint32_t)(random_bits(&state) % 0x7f7fffff);
        if (i % 4 == 0)
            bits &= 0xffffff; /* subnormal, or not far from it */
        const double halfway = ((double)from_bits(bits) + (double)from_bits(bits + 1)) / 2; /* is exact */
        const int length = snprintf(text, sizeof text, "%.120e", halfway);
        check_read(text);
        char *e = strchr(text, 'e');
        char exponent[16];
        strcpy(exponent, e);
        sprintf(e, "0000000000000000000000000001%s", exponent); /* a little above */
        check_read(text);
        e[0] = '\0';
        for (char *last = e - 1; last > text; last--) /* a little below: all its final zeros to nines */
            if (*last != '0' && *last != '.') {
                --*last;
                break;
            } else if (*last == '0') {
                *last = '9';
            }
        strcat(text, exponent);
        check_read(text);
        snprintf(text, sizeof text, "%.*e", 15 + i % 8, halfway); /* cut to the lengths people send */
        check_read(text);
        cr_assert(length > 0);
    }
}

Test(json_number, random_decimals_are_read_as_strtof_does) {
    uint64_t state = test_seed("random_decimals_are_read_as_strtof_does");
    for (int i = 0; i < 500000; i++) {
        char text[128], *at = text;
        const size_t whole = random_below(&state, 22), fraction = random_below(&state, 26);
        if (random_below(&state, 2) == 0)
            *at++ = '-';
        for (size_t d = 0; d < whole; d++)
            *at++ = (char)('0' + (d == 0 ? 1 + random_below(&state, 9) : random_below(&state, 10)));
        if (whole == 0)
            *at++ = '0';
        if (fraction > 0)
            *at++ = '.';
        for (size_t d = 0; d < fraction; d++)
            *at++ = (char)('0' + random_below(&state, 10));
        *at = '\0';
        if (random_below(&state, 2) == 0)
            sprintf(at, "%c%d", i % 2 == 0 ? 'e' : 'E', (int)random_below(&state, 110) - 65);
        check_read(text);
    }
    for (int i = 0; i < 500000; i++) { /* as Python writes a float32 that became a float64 */
        char text[64];
        const uint32_t bits = (uint32_t)(random_bits(&state) % 0x7f7fffff);
        snprintf(text, sizeof text, "%.*g", 9 + i % 9, (double)from_bits(bits));
        check_read(text);
    }
}
