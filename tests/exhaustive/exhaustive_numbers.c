/* Every float32 is written as short as possible and read back to the same bits; and a thousand million
 * decimals, most of them next to halfway points, are read as glibc reads them.
 *
 *     exhaustive_numbers [--part i/n] [--strings N] [--threads N] [--seed N]
 *
 * --part 3/64 goes through the third of 64 parts of the float32 only. */
#include "server/wire/json/number.h"
#include "tests/charconv.h"
#include "tests/random.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define FINITE      ((uint64_t)0x7f800000) /* patterns without a sign */
#define BLOCK       1024                   /* numbers written or read at once */
#define PADDING     128 /* bytes after a text, so that the quick ways to read it are open */
#define TEXT_MAX    1024
#define THREADS_MAX 256

typedef struct {
    uint64_t begin, end; /* patterns */
    uint64_t strings;
    uint64_t seed;
    uint64_t done, failures;
} job;

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void __attribute__((format(printf, 2, 3))) fail(job *j, const char *format, ...) {
    va_list arguments;
    if (__atomic_fetch_add(&j->failures, 1, __ATOMIC_RELAXED) >= 20)
        return;
    va_start(arguments, format);
    pthread_mutex_lock(&output);
    vprintf(format, arguments);
    putchar('\n');
    pthread_mutex_unlock(&output);
    va_end(arguments);
}

/* ---- Every float32 ---- */

/* The text that the contract wants for a value without a sign, from the digits of std::to_chars. */
static size_t expected_text(float value, char *text) {
    char scientific[32], digits[16] = "";
    if (value == 0) {
        text[0] = '0';
        return 1;
    }
    const size_t length = charconv_write(value, 1, scientific);
    int count = 0, x = 0;
    size_t at = 0;
    for (; at < length && scientific[at] != 'e'; at++)
        if (scientific[at] != '.')
            digits[count++] = scientific[at];
    for (size_t i = at + 2; i < length; i++)
        x = 10 * x + (scientific[i] - '0');
    if (scientific[at + 1] == '-')
        x = -x;

    char *out = text;
    *out++ = digits[0];
    if (count > 1)
        *out++ = '.';
    for (int i = 1; i < count; i++)
        *out++ = digits[i];
    out += sprintf(out, "e%d", x);
    const int plain = x < 0 ? 1 - x + count : count > x + 1 ? count + 1 : x + 1;
    if (plain > out - text)
        return (size_t)(out - text);
    out = text;
    for (int i = x < 0 ? x : 0; i < count || i <= x; i++) {
        *out++ = i >= 0 && i < count ? digits[i] : '0';
        if ((i == x && i + 1 < count) || (x < 0 && i == x))
            *out++ = '.';
    }
    return (size_t)(out - text);
}

/* Reads as many numbers as json/tensor.c would, and holds them against their bits. */
static void read_back(job *j, const char *text, const char *end, const uint32_t *bits, size_t count) {
    float values[BLOCK];
    const char *at = text;
    for (size_t read = 0; read < count; at++) {
        const char *const before = at;
        const size_t many = json_read_numbers(&at, end, values + read, count - read);
        read += many;
        if (many == 0 && json_read_number(at, end, &values[read++], &at) != JSON_NUMBER_OK) {
            fail(j, "%.40s is not read", before);
            return;
        }
        at += read < count && at[1] == ' ';
    }
    for (size_t i = 0; i < count; i++)
        if (to_bits(values[i]) != bits[i])
            fail(j, "%08x is written and read back as %08x", bits[i], to_bits(values[i]));
}

static void check_patterns(job *j, uint64_t begin, size_t count) {
    static __thread char text[JSON_NUMBERS_MAX(BLOCK) + PADDING], negative[JSON_NUMBERS_MAX(BLOCK) + PADDING];
    float values[BLOCK], opposites[BLOCK];
    uint32_t bits[BLOCK], opposite_bits[BLOCK];
    for (size_t i = 0; i < count; i++) {
        bits[i] = (uint32_t)(begin + i);
        opposite_bits[i] = bits[i] | 0x80000000;
        values[i] = from_bits(bits[i]);
        opposites[i] = from_bits(opposite_bits[i]);
    }
    char *const end = json_write_numbers(values, count, text);
    char *const negative_end = json_write_numbers(opposites, count, negative);
    *end = *negative_end = ']';
    const char *at = text, *negative_at = negative;
    for (size_t i = 0; i < count; i++) {
        char expected[32];
        const size_t length = expected_text(values[i], expected);
        const char next = i + 1 < count ? ',' : ']';
        if (memcmp(at, expected, length) != 0 || at[length] != next) {
            fail(j, "%08x is written as %.16s, expected %.*s", bits[i], at, (int)length, expected);
            return;
        }
        if (bits[i] == 0 ? memcmp(negative_at, "-0.0", 4) != 0
                         : *negative_at != '-' || memcmp(negative_at + 1, expected, length) != 0) {
            fail(j, "%08x is written as %.16s, expected -%.*s", opposite_bits[i], negative_at, (int)length,
                 expected);
            return;
        }
        at += length + 1;
        negative_at += length + 2 + (bits[i] == 0 ? 2 : 0);
    }
    if (at != end + 1 || negative_at != negative_end + 1)
        fail(j, "what is written from %08x on ends early or late", bits[0]);
    read_back(j, text, end + PADDING, bits, count);
    read_back(j, negative, negative_end + PADDING, opposite_bits, count);
}

/* ---- Random decimals ---- */

/* A float32 of a kind that is hard for its size: any, a subnormal one, near the largest, or of the size of
 * most data. */
static float random_value(uint64_t *state) {
    const uint64_t r = random_bits(state);
    switch (r >> 60 & 3) {
    case 0:
        return from_bits((uint32_t)(r % 0x7f7fffff));
    case 1:
        return from_bits((uint32_t)(r & 0xffffff));
    case 2:
        return r >> 59 & 1 ? from_bits((uint32_t)(0x7f7fffff - (r & 0xffff)))
                           : from_bits((uint32_t)(0x4b000000 + (r & 0x3ffffff)));
    default:
        return from_bits((uint32_t)(0x38000000 + r % 0x0a000000)); /* 3e-5 to 32 */
    }
}

/* Adds 1 to the last digit of d.ddd, or takes 1 away; a carry out of the first is left where it is. */
static void nudge(char *digits, size_t count, bool up) {
    for (size_t i = count; i-- > 0;) {
        if (digits[i] == '.')
            continue;
        if (digits[i] != (up ? '9' : '0')) {
            digits[i] = (char)(digits[i] + (up ? 1 : -1));
            return;
        }
        digits[i] = up ? '0' : '9';
    }
}

/* A decimal halfway between `value` and the next float32, cut to some length, and perhaps moved by 1 in its
 * last digit. */
static size_t write_halfway(uint64_t *state, float value, bool plain, char *text) {
    const double halfway =
        value < 3.4028235e38F ? ((double)value + (double)nextafterf(value, INFINITY)) / 2 : 0x1.ffffffp127;
    const int digits =
        random_below(state, 8) == 0 ? (int)random_below(state, 130) : (int)random_below(state, 30);
    const size_t length = (size_t)snprintf(text, TEXT_MAX / 2, plain ? "%.*f" : "%.*e", digits, halfway);
    const char *e = memchr(text, 'e', length);
    const size_t move = random_below(state, 3);
    if (move > 0)
        nudge(text, e == NULL ? length : (size_t)(e - text), move == 1);
    if (text[0] == '0' && text[1] >= '0' && text[1] <= '9') /* no JSON number begins like that */
        text[0] = '1';
    return length;
}

/* Digits without any meaning, up to 8, 20 or 330 of them. */
static size_t write_digits(uint64_t *state, char *text) {
    static const size_t lengths[] = {8, 12, 20, 20, 20, 30, 30, 330};
    const size_t most = lengths[random_below(state, 8)],
                 whole = random_below(state, random_below(state, 2) ? 2 : most);
    const size_t fraction = random_below(state, most);
    char *at = text;
    uint64_t bits = 0;
    for (size_t i = 0; i < whole + fraction; i++) {
        if (i % 16 == 0)
            bits = random_bits(state);
        if (i == whole) {
            if (whole == 0)
                *at++ = '0';
            *at++ = '.';
        }
        *at++ = (char)('0' + (i == 0 && whole > 0 ? 1 + (bits & 15) % 9 : (bits & 15) % 10));
        bits >>= 4;
    }
    if (whole + fraction == 0)
        *at++ = '0';
    if (random_below(state, 3) == 0)
        at += sprintf(at, "%c%s%d", "eE"[bits & 1], bits & 2 ? "+" : "",
                      (int)random_below(state, bits & 4 ? 20 : 50));
    else if (random_below(state, 3) == 0)
        at += sprintf(at, "e-%02d", (int)random_below(state, bits & 4 ? 20 : 60));
    return (size_t)(at - text);
}

/* As Python writes a float32 that became a float64, or any program with a fixed number of digits. */
static size_t write_printed(uint64_t *state, char *text) {
    return (size_t)snprintf(text, TEXT_MAX, "%.*g", 6 + (int)random_below(state, 15),
                            (double)random_value(state));
}

static size_t write_random(uint64_t *state, char *text) {
    const float value = random_value(state);
    switch (random_below(state, 4)) {
    case 0:
        return write_digits(state, text);
    case 1:
        return write_printed(state, text);
    default:
        return write_halfway(state, value, value > 1e-6F && value < 1e9F && random_below(state, 2) == 0,
                             text);
    }
}

/* One digit before the point, as most numbers of a tensor have. */
static size_t write_common(uint64_t *state, char *text) {
    return write_halfway(state, from_bits(0x3a000000 + (uint32_t)random_below(state, 0x072c0000)), true,
                         text);
}

/* All ways to read `text` [length], which is followed by PADDING bytes, must say what strtof does. */
static void check_string(job *j, char *text, size_t length) {
    static __thread char padded[TEXT_MAX + PADDING];
    text[length] = '\0';
    const float expected = strtof(text, NULL);
    const json_number_status wanted = isinf(expected) ? JSON_NUMBER_TOO_LARGE : JSON_NUMBER_OK;
    float value = NAN;
    const char *next;
    if (json_read_number(text, text + length, &value, &next) != wanted || next != text + length ||
        (wanted == JSON_NUMBER_OK && to_bits(value) != to_bits(expected)))
        fail(j, "%.200s is read as %a, expected %a", text, (double)value, (double)expected);

    memset(padded, ' ', sizeof padded);
    memcpy(padded, text, length);
    padded[length] = ',';
    value = NAN;
    if (json_read_number(padded, padded + sizeof padded, &value, &next) != wanted ||
        next != padded + length || (wanted == JSON_NUMBER_OK && to_bits(value) != to_bits(expected)))
        fail(j, "%.200s, with more after it, is read as %a, expected %a", text, (double)value,
             (double)expected);
}

/* A row of such numbers, those beyond float32 left out. In every other row all are common ones, or nearly
 * all. */
static void check_strings(job *j, uint64_t *state, size_t count) {
    static __thread char text[BLOCK * (TEXT_MAX + 4) + PADDING];
    uint32_t bits[BLOCK];
    const size_t step = 1 + random_below(state, 2);
    const bool alike = random_below(state, 2) == 0;
    size_t kept = 0;
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        const bool negative = random_below(state, 2) == 0;
        const bool common = alike && random_below(state, 50) != 0;
        *at = '-';
        const size_t length =
            negative + (common ? write_common(state, at + negative) : write_random(state, at + negative));
        check_string(j, at, length);
        const float value = strtof(at, NULL);
        if (isinf(value))
            continue;
        bits[kept++] = to_bits(value);
        at += length;
        memcpy(at, ", ", step);
        at += step;
    }
    if (kept == 0)
        return;
    memset(at - step, ']', PADDING);
    read_back(j, text, at + PADDING - step, bits, kept);
}

/* ---- All of it ---- */

static void *work(void *argument) {
    job *const j = argument;
    uint64_t state = j->seed;
    for (uint64_t at = j->begin; at < j->end; at += BLOCK) {
        const uint64_t count = j->end - at < BLOCK ? j->end - at : BLOCK;
        check_patterns(j, at, (size_t)count);
        __atomic_fetch_add(&j->done, 2 * count, __ATOMIC_RELAXED);
    }
    for (uint64_t made = 0; made < j->strings; made += BLOCK) {
        const uint64_t count = j->strings - made < BLOCK ? j->strings - made : BLOCK;
        check_strings(j, &state, (size_t)count);
        __atomic_fetch_add(&j->done, count, __ATOMIC_RELAXED);
    }
    return NULL;
}

typedef struct {
    uint64_t part, parts, strings, threads, seed;
} options;

static bool parse(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char *end = NULL;
        const uint64_t number = strtoull(value, &end, 10);
        if (strcmp(argv[i], "--part") == 0 && *end == '/') {
            o->part = number;
            o->parts = strtoull(end + 1, &end, 10);
        } else if (strcmp(argv[i], "--strings") == 0) {
            o->strings = number;
        } else if (strcmp(argv[i], "--threads") == 0) {
            o->threads = number;
        } else if (strcmp(argv[i], "--seed") == 0) {
            o->seed = number;
        } else {
            return false;
        }
        if (*value == '\0' || *end != '\0')
            return false;
    }
    return o->part >= 1 && o->part <= o->parts && o->threads >= 1 && o->threads <= THREADS_MAX;
}

static uint64_t sum(const job *jobs, uint64_t count, size_t offset) {
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++)
        total += __atomic_load_n((const uint64_t *)(const void *)((const char *)&jobs[i] + offset),
                                 __ATOMIC_RELAXED);
    return total;
}

int main(int argc, char **argv) {
    static job jobs[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    options o = {.part = 1, .parts = 1, .strings = 1000000000, .seed = (uint64_t)time(NULL)};
    o.threads = cpus < 1 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (uint64_t)cpus;
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: %s [--part i/n] [--strings N] [--threads N] [--seed N]\n", argv[0]);
        return 2;
    }
    const uint64_t begin = FINITE * (o.part - 1) / o.parts, end = FINITE * o.part / o.parts;
    const uint64_t total = 2 * (end - begin) + o.strings;
    printf("float32 %08x to %08x and their negatives, %llu decimals, seed %llu, %llu threads\n",
           (unsigned)begin, (unsigned)end - 1, (unsigned long long)o.strings, (unsigned long long)o.seed,
           (unsigned long long)o.threads);
    for (uint64_t i = 0; i < o.threads; i++) {
        jobs[i] = (job){.begin = begin + (end - begin) * i / o.threads,
                        .end = begin + (end - begin) * (i + 1) / o.threads,
                        .strings = o.strings * (i + 1) / o.threads - o.strings * i / o.threads,
                        .seed = o.seed + (i << 32)};
        if (pthread_create(&threads[i], NULL, work, &jobs[i]) != 0) {
            perror("pthread_create");
            return 2;
        }
    }
    for (uint64_t done = 0, seconds = 1; (done = sum(jobs, o.threads, offsetof(job, done))) < total;
         seconds++) {
        sleep(1);
        if (seconds % 30 == 0) {
            printf("%5.1f %%  after %llu s\n", 100.0 * (double)done / (double)total,
                   (unsigned long long)seconds);
            fflush(stdout);
        }
    }
    for (uint64_t i = 0; i < o.threads; i++)
        pthread_join(threads[i], NULL);
    const uint64_t failures = sum(jobs, o.threads, offsetof(job, failures));
    printf("%llu float32 written and read back, %llu decimals read: %llu failures\n",
           (unsigned long long)(2 * (end - begin)), (unsigned long long)o.strings,
           (unsigned long long)failures);
    return failures == 0 ? 0 : 1;
}
