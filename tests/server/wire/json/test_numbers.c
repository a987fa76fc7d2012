/* Many numbers at once: json_read_numbers and json_write_numbers against one at a time, on every alignment to
 * the end of the memory, with and without the instructions that only some processors have. */
#include "server/wire/json/number.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The same sources once more, as for a processor of which nothing is known. */
#undef __SSE2__
#define json_read_number   portable_read_number
#define json_read_numbers  portable_read_numbers
#define json_write_number  portable_write_number
#define json_write_numbers portable_write_numbers
json_number_status portable_read_number(const char *text, const char *end, float *value, const char **next);
size_t portable_read_numbers(const char **text, const char *end, float *values, size_t room);
size_t portable_write_number(float value, char *text);
char *portable_write_numbers(const float *values, size_t count, char *text);
#include "server/wire/json/number_read.c"
#include "server/wire/json/number_write.c"
#undef json_read_number
#undef json_read_numbers
#undef json_write_number
#undef json_write_numbers

#define ROW_MAX 200

typedef struct {
    const char *name;
    size_t (*read)(const char **, const char *, float *, size_t);
    json_number_status (*read_one)(const char *, const char *, float *, const char **);
    char *(*write)(const float *, size_t, char *);
} variant;

static const variant variants[] = {
    {"ours", json_read_numbers, json_read_number, json_write_numbers},
    {"portable", portable_read_numbers, portable_read_number, portable_write_numbers},
};
#define VARIANTS (sizeof variants / sizeof variants[0])

static uint32_t random_finite(uint64_t *state) {
    for (;;) {
        const uint32_t bits = (uint32_t)random_bits(state);
        if ((bits & 0x7f800000) != 0x7f800000)
            return bits;
    }
}

static float random_value(uint64_t *state) {
    uint32_t bits = random_finite(state);
    float value;
    switch (random_below(state, 4)) {
    case 0:
        return (float)random_below(state, 3) - 1;
    case 1:
        return (float)random_below(state, 2000) / 8 - 100;
    case 2:
        return random_float(state);
    default:
        memcpy(&value, &bits, sizeof value);
        return value;
    }
}

/* ---- Writing ---- */

Test(json_numbers, writing_many_is_like_writing_each) {
    uint64_t state = test_seed("writing_many_is_like_writing_each");
    static const float few[] = {0, 1, -0.0F, -1, 2};
    char text[JSON_NUMBERS_MAX(ROW_MAX) + 1], expected[JSON_NUMBERS_MAX(ROW_MAX)];
    float values[ROW_MAX];
    for (int round = 0; round < 4000; round++) {
        const size_t count = random_below(&state, ROW_MAX);
        char *at = expected;
        for (size_t i = 0; i < count; i++) {
            values[i] = round % 50 == 0   ? -1.1754944e-38F /* as long as can be */
                        : round % 50 < 10 ? few[random_below(&state, (size_t)round % 5 + 1)]
                                          : random_value(&state);
            at += json_write_number(values[i], at);
            *at++ = ',';
        }
        const size_t length = count == 0 ? 0 : (size_t)(at - 1 - expected);
        for (size_t v = 0; v < VARIANTS; v++) {
            char *const edge = text + JSON_NUMBERS_MAX(count);
            *edge = '#';
            const char *const end = variants[v].write(values, count, text);
            cr_assert_eq(*edge, '#', "%s: more is written than there may be", variants[v].name);
            cr_assert_eq((size_t)(end - text), length, "%s: %zu numbers", variants[v].name, count);
            cr_assert_arr_eq(text, expected, length, "%s: %.200s", variants[v].name, text);
        }
    }
}

/* ---- Reading ---- */

/* What a row loop makes of a text: the numbers in it, and where it stops. */
typedef struct {
    float values[ROW_MAX + 1];
    size_t count;
    const char *stop;
    bool ends_well; /* with ] */
} row;

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* As json/tensor.c does. */
static void read_row(const variant *v, const char *text, const char *end, size_t room, row *r) {
    const char *at = text;
    r->count = 0;
    r->ends_well = false;
    do {
        if (r->count == room)
            break;
        at = skip_space(at, end);
        const size_t many = v->read(&at, end, r->values + r->count, room - r->count);
        cr_assert_leq(many, room - r->count);
        r->count += many;
        if (many == 0) {
            if (v->read_one(at, end, &r->values[r->count], &at) != JSON_NUMBER_OK)
                break;
            r->count++;
        }
        at = skip_space(at, end);
    } while (at < end && *at == ',' && at++ < end);
    r->ends_well = at < end && *at == ']';
    r->stop = at;
}

/* The same in the most simple way: each number is found by its characters and given to strtof. */
static void read_row_slowly(const char *text, const char *end, size_t room, row *r) {
    const char *at = text;
    r->count = 0;
    r->ends_well = false;
    do {
        if (r->count == room)
            break;
        at = skip_space(at, end);
        char copy[1024];
        size_t length = 0;
        while (at + length < end && at[length] != '\0' && strchr("0123456789+-.eE", at[length]) != NULL &&
               length + 1 < sizeof copy) {
            copy[length] = at[length];
            length++;
        }
        copy[length] = '\0';
        const char *next; /* the grammar: too short a text for anything but the simple way */
        float value;
        const json_number_status status = json_read_number(copy, copy + length, &value, &next);
        at += next - copy;
        if (status != JSON_NUMBER_OK)
            break;
        copy[next - copy] = '\0';
        r->values[r->count++] = strtof(copy, NULL);
        at = skip_space(at, end);
    } while (at < end && *at == ',' && at++ < end);
    r->ends_well = at < end && *at == ']';
    r->stop = at;
}

static void check_row(const char *text, const char *end, size_t room) {
    static row expected, found;
    read_row_slowly(text, end, room, &expected);
    for (size_t v = 0; v < VARIANTS; v++) {
        read_row(&variants[v], text, end, room, &found);
        cr_assert_eq(found.count, expected.count, "%s: %zu numbers instead of %zu in %.*s", variants[v].name,
                     found.count, expected.count, (int)(end - text), text);
        cr_assert_arr_eq(found.values, expected.values, expected.count * sizeof(float), "%s: %.*s",
                         variants[v].name, (int)(end - text), text);
        cr_assert_eq(found.stop, expected.stop, "%s: stops at %td, not %td, in %.*s", variants[v].name,
                     found.stop - text, expected.stop - text, (int)(end - text), text);
        cr_assert_eq(found.ends_well, expected.ends_well);
    }
}

/* A number in one of the forms that people and programs send. */
static size_t write_any(uint64_t *state, char *text) {
    static const char *const special[] = {
        "0",   "-0",  "1",         "-1",        "0.0",  "-0.0", "1.0",     "1e5",   "1E-5",  "-1e+05",
        "0e0", "123", "-12345678", "123456789", "10.5", "0.5",  "1.5e-45", "1e-46", "3.4e38"};
    const double value = (double)random_value(state);
    char number[32];
    switch (random_below(state, 6)) {
    case 0:
        return (size_t)sprintf(text, "%s", special[random_below(state, sizeof special / sizeof special[0])]);
    case 1:
        return (size_t)snprintf(text, 400, "%.*f", (int)random_below(state, 40), value);
    case 2:
        return (size_t)snprintf(text, 400, "%.*e", (int)random_below(state, 40), value);
    case 3:
        return (size_t)snprintf(text, 400, "%.17g", value);
    default:
        number[json_write_number((float)value, number)] = '\0';
        return (size_t)sprintf(text, "%s", number);
    }
}

static size_t write_row(uint64_t *state, size_t count, char *text) {
    static const char *const separators[] = {",", ", ", ",\n", " ,", ",  "};
    const size_t usual = random_below(state, 2);
    const bool alike = random_below(state, 2) == 0; /* one kind of number, as it is most often */
    char *at = text;
    uint64_t kind = random_bits(state);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            at +=
                sprintf(at, "%s", separators[random_below(state, 20) == 0 ? random_below(state, 5) : usual]);
        uint64_t same = kind;
        if (alike && i % 8 != 7)
            at += sprintf(at, "%.*f", (int)(kind % 20), (double)random_float(state));
        else
            at += write_any(alike ? &same : state, at);
    }
    return (size_t)(at - text);
}

#define TEXT_MAX (ROW_MAX * 400)

Test(json_numbers, reading_many_is_like_reading_each) {
    uint64_t state = test_seed("reading_many_is_like_reading_each");
    static char text[TEXT_MAX + 200];
    for (int round = 0; round < 6000; round++) {
        size_t length = write_row(&state, random_below(&state, 40) + 1, text);
        text[length++] = ']';
        memset(text + length, random_below(&state, 2) == 0 ? ',' : '0', 200);
        check_row(text, text + length + random_below(&state, 200), ROW_MAX);
        check_row(text, text + length, random_below(&state, 45) + 1);
    }
}

/* Of the form that most numbers have, and as near to halfway between two float32 as so many digits allow. */
Test(json_numbers, halfway_points_in_rows) {
    uint64_t state = test_seed("halfway_points_in_rows");
    static char text[TEXT_MAX];
    for (int round = 0; round < 3000; round++) {
        char *at = text;
        for (int i = 0; i < 20; i++) {
            const float value = ldexpf(1 + fabsf(random_float(&state)), 2 - (int)random_below(&state, 13));
            const double halfway = ((double)value + (double)nextafterf(value, INFINITY)) / 2;
            const int digits = 8 + (int)random_below(&state, 22);
            const double nudge = ((int)random_below(&state, 3) - 1) * pow(10, -digits);
            at += sprintf(at, "%s%.*f%s", random_below(&state, 2) == 0 ? "" : "-", digits, halfway + nudge,
                          round % 2 == 0 ? "," : ", ");
        }
        at += sprintf(at, "1]");
        memset(at, ' ', 100);
        check_row(text, at + 100, ROW_MAX);
    }
}

/* One byte is wrong: it must be noticed at that very place, whatever way the number there would have been
 * read. */
Test(json_numbers, a_wrong_byte_anywhere_is_noticed) {
    static const char bytes[] = "0123456789+-.eE, ]}[x/:\"\n\x01\x7f\x80\xb0\xff";
    uint64_t state = test_seed("a_wrong_byte_anywhere_is_noticed");
    static char text[TEXT_MAX + 200];
    for (int round = 0; round < 40000; round++) {
        size_t length = write_row(&state, random_below(&state, 16) + 1, text);
        text[length++] = ']';
        memset(text + length, ' ', 200);
        text[random_below(&state, length)] = bytes[random_below(&state, sizeof bytes - 1)];
        check_row(text, text + length + 100 * random_below(&state, 2), ROW_MAX);
    }
}

/* The 32nd byte of a number is the first that is not looked at together with the others. */
Test(json_numbers, numbers_of_all_lengths) {
    static char text[4 * TEXT_MAX];
    static const char *const forms[] = {"%.*f,", "-%.*f, ", "%.*e,", "1.5,-%.*e,", "1.5, %.*e, "};
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
        for (int digits = 0; digits < 70; digits++) {
            char *at = text;
            for (int i = 0; i < 6; i++)
                at += sprintf(at, forms[f], digits, i == 3 ? 0.1 / 3 : 1.0 / 3);
            at += sprintf(at, "1]");
            memset(at, ' ', 200);
            check_row(text, at, ROW_MAX);
            check_row(text, at + 200, ROW_MAX);
        }
}

/* No byte is read after the end: the next one is in a page that must not be touched. */
Test(json_numbers, nothing_after_the_end_is_read) {
    uint64_t state = test_seed("nothing_after_the_end_is_read");
    static char text[TEXT_MAX + 200];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 32 * page;
    char *const memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(memory != MAP_FAILED);
    cr_assert_eq(mprotect(memory + size, page, PROT_NONE), 0);
    for (int round = 0; round < 1000; round++) {
        const size_t length = write_row(&state, random_below(&state, 20) + 1, text);
        for (size_t end = length < 150 ? 0 : length - 150; end <= length && end <= size; end++) {
            char *const begin = memory + size - end;
            memcpy(begin, text, end);
            check_row(begin, memory + size, ROW_MAX);
        }
    }
    munmap(memory, size + page);
}

/* No float is written after the room for them: the row may be a part of a longer text. */
Test(json_numbers, no_more_than_the_room_is_read) {
    static const char *const texts[] = {"1,", "1.5,", "-0.25, ", "1e3,", "0.30471709370613098, "};
    char text[400];
    float values[12];
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (size_t v = 0; v < VARIANTS; v++)
            for (size_t room = 1; room < 12; room++) {
                char *at = text;
                for (int i = 0; i < 12; i++)
                    at += sprintf(at, "%s", texts[t]);
                memset(at, ' ', 100);
                values[room] = 77;
                const char *stop = text;
                cr_assert_eq(variants[v].read(&stop, at + 100, values, room), room, "%s", texts[t]);
                cr_assert_eq(values[room], 77);
                cr_assert_eq(*stop, ',');
                cr_assert_eq((size_t)(stop - text),
                             room * strlen(texts[t]) - strlen(texts[t]) + strcspn(texts[t], ","));
            }
}
