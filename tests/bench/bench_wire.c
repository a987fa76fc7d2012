/* How long numbers take to read and to write as JSON, next to other libraries.
 *
 *     bench_wire [ROUNDS]
 *
 * All contenders take turns, ROUNDS times; what is printed is the median of each, in nanoseconds a number,
 * and how many times ours that is. A machine with other work to do slows all of them down alike. */
#include "core/arena.h"
#include "server/wire/json/json.h"
#include "server/wire/json/number.h"
#include "tests/bench/peers.h"
#include "tests/bench/timing.h"
#include "tests/random.h"

#ifdef WITH_CHARCONV
#include "tests/charconv.h"
#endif

#include <math.h>
#include <string.h>

enum { B = 2, L = 10, E = 512, COUNT = B * L * E, TEXT_MAX = 40 * COUNT, ROUNDS_MAX = 10000 };

/* ---- Texts ---- */

typedef struct {
    const char *name;
    const char *separator;
    float values[COUNT];
    char list[TEXT_MAX];    /* [n,n,...] */
    char request[TEXT_MAX]; /* {"query":[[[n,n,...],...],...]} */
    size_t list_length, request_length;
} sample;

/* Normally distributed (Box and Muller), as activations are. */
static float random_normal(uint64_t *state) {
    const double u = ((double)(random_bits(state) >> 11) + 1) * 0x1p-53;
    const double v = (double)(random_bits(state) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(2 * M_PI * v));
}

/* The shortest that reads back as a float64: Python's repr, and so its tolist(). */
static size_t write_repr(float value, char *text) {
    int digits = 1;
    do
        sprintf(text, "%.*g", digits, (double)value);
    while (strtod(text, NULL) != (double)value && digits++ < 17);
    if (strpbrk(text, ".e") == NULL)
        strcat(text, ".0");
    return strlen(text);
}

static size_t write_shortest(float value, char *text) {
    return json_write_number(value, text);
}

static size_t write_integer(float value, char *text) {
    return (size_t)sprintf(text, "%d", (int)value);
}

static void fill_texts(sample *s, size_t (*write)(float, char *)) {
    char *list = s->list, *request = s->request + sprintf(s->request, "{\"query\":[");
    *list++ = '[';
    for (size_t i = 0; i < COUNT; i++) {
        char number[40];
        number[write(s->values[i], number)] = '\0';
        list += sprintf(list, "%s%s", i == 0 ? "" : s->separator, number);
        request += sprintf(request, "%s%s%s%s%s%s", i == 0 || i % E != 0 ? "" : "]",
                           i % (L * E) != 0 || i == 0 ? "" : "]", i == 0 ? "" : s->separator,
                           i % (L * E) == 0 ? "[" : "", i % E == 0 ? "[" : "", number);
    }
    list += sprintf(list, "]");
    request += sprintf(request, "]]]}");
    s->list_length = (size_t)(list - s->list);
    s->request_length = (size_t)(request - s->request);
}

static sample samples[] = {
    {.name = "shortest float32", .separator = ","},
    {.name = "Python tolist()", .separator = ", "},
    {.name = "masks", .separator = ", "},
    {.name = "shortest, all sizes", .separator = ","},
};
#define SAMPLES (sizeof samples / sizeof samples[0])

static void make_samples(void) {
    uint64_t state = test_seed("bench_wire");
    for (size_t i = 0; i < COUNT; i++) {
        samples[0].values[i] = samples[1].values[i] = random_normal(&state);
        /* half of the rows 0 and 1 in any order, half 0 up to some key and -10000 after it */
        const size_t row = i / E;
        samples[2].values[i] = row % 2 == 0 ? (float)random_below(&state, 2) : i % E < 25 * row ? 0 : -10000;
        uint32_t bits;
        do
            bits = (uint32_t)random_bits(&state);
        while ((bits & 0x7f800000) == 0x7f800000);
        memcpy(&samples[3].values[i], &bits, sizeof bits);
    }
    fill_texts(&samples[0], write_shortest);
    fill_texts(&samples[1], write_repr);
    fill_texts(&samples[2], write_integer);
    fill_texts(&samples[3], write_shortest);
}

/* ---- Contenders ---- */

static float values[COUNT];
static char text[TEXT_MAX];

static size_t read_numbers(const char *list, size_t length, float *out) {
    const char *at = list + 1, *const end = list + length;
    size_t count = 0;
    for (; at < end; at++) {
        at += *at == ' ';
        const size_t many = json_read_numbers(&at, end, out + count, COUNT - count);
        count += many;
        if (many == 0 && json_read_number(at, end, &out[count++], &at) != JSON_NUMBER_OK)
            return 0;
    }
    return count;
}

static size_t read_each(const char *list, size_t length, float *out) {
    const char *at = list + 1, *const end = list + length;
    size_t count = 0;
    for (; at < end; at++) {
        at += *at == ' ';
        if (json_read_number(at, end, &out[count++], &at) != JSON_NUMBER_OK)
            return 0;
    }
    return count;
}

static size_t read_strtof(const char *list, size_t length, float *out) {
    char *at = (char *)(size_t)(list + 1);
    size_t count = 0;
    for (; at < list + length; at++)
        out[count++] = strtof(at, &at);
    return count;
}

static size_t read_request(const char *request, size_t length, float *out) {
    attn_arena *arena = attn_arena_new(NULL);
    attend_request decoded = {0};
    problem p = {0};
    size_t count = 0;
    if (arena != NULL && json_read_request(request, length, arena, NULL, &decoded, &p) == PROBLEM_NONE) {
        count = COUNT;
        out[0] = decoded.query.data[0];
        out[COUNT - 1] = decoded.query.data[COUNT - 1];
    }
    attn_arena_free(arena);
    return count;
}

static size_t write_numbers(const float *in, size_t count, char *out) {
    return (size_t)(json_write_numbers(in, count, out) - out);
}

static size_t write_each(const float *in, size_t count, char *out) {
    char *at = out;
    for (size_t i = 0; i < count; i++) {
        at += json_write_number(in[i], at);
        *at++ = ',';
    }
    return (size_t)(at - out);
}

static size_t write_printf(const float *in, size_t count, char *out) {
    char *at = out;
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%.9g,", (double)in[i]);
    return (size_t)(at - out);
}

/* The answer with one result [B, L, E]. */
static size_t write_answer(const float *in, size_t count, char *out) {
    static attn_model model = {.name = "m"};
    static attend_call call;
    const attend_request request = {0};
    attn_arena *arena = attn_arena_new(NULL);
    wire_buffer buffer = {.arena = arena};
    call = (attend_call){.model = &model, .array_count = 1};
    call.arrays[0] = (attend_array){.name = "output", .data = in, .rank = 3, .shape = {B, L, E}};
    size_t length = 0;
    if (arena != NULL && json_write_answer(&request, &call, &buffer))
        length = buffer.length;
    attn_arena_free(arena);
    (void)count;
    (void)out;
    return length;
}

#ifdef WITH_CHARCONV
static size_t read_charconv(const char *list, size_t length, float *out) {
    const char *at = list + 1, *const end = list + length;
    size_t count = 0;
    for (; at < end; at++) {
        at += *at == ' ';
        const size_t used = charconv_read(at, end, &out[count++]);
        if (used == 0)
            return 0;
        at += used;
    }
    return count;
}

static size_t write_charconv(const float *in, size_t count, char *out) {
    char *at = out;
    for (size_t i = 0; i < count; i++) {
        at += charconv_write(in[i], 0, at);
        *at++ = ',';
    }
    return (size_t)(at - out);
}
#endif

typedef enum { READ_LIST, READ_REQUEST, WRITE_LIST, WRITE_ANSWER, GROUPS } group;

/* The first of each group is what the others are compared with. */
static const struct {
    group group;
    const char *name;
    bench_read *read;
    bench_write *write;
} contenders[] = {
    {READ_LIST, "json_read_numbers", read_numbers, NULL},
    {READ_LIST, "json_read_number, one at a time", read_each, NULL},
    {READ_LIST, "strtof", read_strtof, NULL},
#ifdef WITH_CHARCONV
    {READ_LIST, "C++ from_chars", read_charconv, NULL},
#endif
#ifdef WITH_SIMDJSON
    {READ_LIST, "simdjson", bench_simdjson_read, NULL},
#endif
#ifdef WITH_YYJSON
    {READ_LIST, "yyjson", bench_yyjson_read, NULL},
#endif
    {READ_LIST, "jansson", bench_jansson_read, NULL},
    {READ_REQUEST, "json_read_request", read_request, NULL},
#ifdef WITH_SIMDJSON
    {READ_REQUEST, "simdjson", bench_simdjson_read, NULL},
#endif
#ifdef WITH_YYJSON
    {READ_REQUEST, "yyjson", bench_yyjson_read, NULL},
#endif
    {READ_REQUEST, "jansson", bench_jansson_read, NULL},
    {WRITE_LIST, "json_write_numbers", NULL, write_numbers},
    {WRITE_LIST, "json_write_number, one at a time", NULL, write_each},
    {WRITE_LIST, "printf %.9g", NULL, write_printf},
#ifdef WITH_CHARCONV
    {WRITE_LIST, "C++ to_chars", NULL, write_charconv},
#endif
#ifdef WITH_YYJSON
    {WRITE_LIST, "yyjson", NULL, bench_yyjson_write},
#endif
    {WRITE_LIST, "jansson", NULL, bench_jansson_write},
    {WRITE_ANSWER, "json_write_answer", NULL, write_answer},
};
#define CONTENDERS (sizeof contenders / sizeof contenders[0])

/* ---- Measuring ---- */

static size_t run(size_t c, const sample *s) {
    if (contenders[c].write != NULL)
        return contenders[c].write(s->values, COUNT, text);
    if (contenders[c].group == READ_REQUEST)
        return contenders[c].read(s->request, s->request_length, values);
    return contenders[c].read(s->list, s->list_length, values);
}

/* The second of two runs: the first finds the caches full of what the contender before needed. */
static double measure(size_t c, const sample *s) {
    run(c, s);
    const double begin = seconds_on(CLOCK_MONOTONIC);
    const size_t result = run(c, s);
    const double seconds = seconds_on(CLOCK_MONOTONIC) - begin;
    if (result == 0 ||
        (contenders[c].read != NULL && (result != COUNT || values[COUNT - 1] != s->values[COUNT - 1]))) {
        fprintf(stderr, "%s failed on %s\n", contenders[c].name, s->name);
        exit(1);
    }
    return seconds / COUNT * 1e9;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double times[CONTENDERS][SAMPLES][ROUNDS_MAX];

static void print_results(void) {
    static const char *const titles[GROUPS] = {
        [READ_LIST] = "reading numbers",
        [READ_REQUEST] = "reading a request [2,10,512]",
        [WRITE_LIST] = "writing numbers",
        [WRITE_ANSWER] = "writing an answer [2,10,512]",
    };
    size_t ours = 0;
    for (size_t c = 0; c < CONTENDERS; c++) {
        if (c == 0 || contenders[c].group != contenders[c - 1].group) {
            ours = c;
            printf("\n%-34s", titles[contenders[c].group]);
            for (size_t s = 0; s < SAMPLES; s++)
                printf("%21s", samples[s].name);
            printf("\n");
        }
        printf("%-34s", contenders[c].name);
        for (size_t s = 0; s < SAMPLES; s++)
            printf("%9.2f ns %5.1f times", times[c][s][0], times[c][s][0] / times[ours][s][0]);
        printf("\n");
    }
}

int main(int argc, char **argv) {
    const size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 101;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: %s [ROUNDS, 1 to %d]\n", argv[0], ROUNDS_MAX);
        return 2;
    }
    make_samples();
    for (size_t r = 0; r < rounds; r++)
        for (size_t c = 0; c < CONTENDERS; c++)
            for (size_t s = 0; s < SAMPLES; s++)
                times[c][s][r] = measure(c, &samples[s]);
    for (size_t c = 0; c < CONTENDERS; c++)
        for (size_t s = 0; s < SAMPLES; s++) {
            qsort(times[c][s], rounds, sizeof times[c][s][0], compare);
            times[c][s][0] = times[c][s][rounds / 2];
        }
    printf("%d numbers, %zu rounds, median; nanoseconds a number, and how many times ours that is\n", COUNT,
           rounds);
    print_results();
    return 0;
}
