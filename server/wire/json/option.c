/* option.c: the values of a request that are neither tensors nor objects. */
#include "server/wire/buffer.h"
#include "server/wire/json/number.h"
#include "server/wire/json/reading.h"

#include <stdio.h>
#include <string.h>

static problem_code read_bool(json_reader *r, const char *path, bool *value) {
    const json_kind kind = json_peek(r);
    if (kind != JSON_TRUE && kind != JSON_FALSE)
        return json_fail_kind(r, path, "true or false");
    *value = kind == JSON_TRUE;
    json_skip_literal(r, kind);
    return PROBLEM_NONE;
}

static problem_code read_switch(json_reader *r, const char *path, request_switch *value) {
    bool on = false;
    const problem_code code = read_bool(r, path, &on);
    *value = on ? SWITCH_ON : SWITCH_OFF;
    return code;
}

/* Reads a string of at most `most` bytes into `text` [most + 1], and puts a NUL behind it. */
static problem_code read_text(json_reader *r, const char *path, char *text, size_t most, size_t *length) {
    const json_kind kind = json_peek(r);
    const char *const where = r->at;
    if (kind != JSON_STRING)
        return json_fail_kind(r, path, "a string");
    PROBLEM_TRY(json_read_string(r, text, most, length));
    if (*length > most)
        return json_fail(r, where, PROBLEM_BAD_VALUE, "%s is %zu bytes long, expected at most %zu", path,
                         *length, most);
    if (memchr(text, '\0', *length) != NULL)
        return json_fail(r, where, PROBLEM_BAD_VALUE,
                         "%s holds the character \\u0000, expected a string without it", path);
    text[*length] = '\0';
    return PROBLEM_NONE;
}

static problem_code read_string(json_reader *r, const field *f, const char *path, char **value) {
    size_t length;
    char *text = attn_arena_alloc(r->arena, f->most + 1);
    if (text == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    const problem_code code = read_text(r, path, text, f->most, &length);
    if (code == PROBLEM_NONE)
        *value = text;
    return code;
}

/* ---- Whole numbers ---- */

/* The exponent that is written between `at` and `end`, cut at what no text is long enough to make up for. */
static int64_t read_exponent(const char *at, const char *end) {
    const int64_t most = (int64_t)1 << 50;
    const bool negative = at < end && *at == '-';
    int64_t exponent = 0;
    for (at += at < end && (*at == '-' || *at == '+'); at < end && exponent < most; at++)
        exponent = 10 * exponent + (*at - '0');
    return negative ? -exponent : exponent;
}

/* The value of a number of JSON's grammar, from `at` to `end`, if it is whole, not negative and fits;
 * exactly, and however it is written: 20, 20.0 and 2e1 are the same number. */
static bool whole_value(const char *at, const char *end, uint64_t *value) {
    const bool negative = *at == '-';
    bool fraction = false;
    uint64_t digits = 0; /* without the zeros behind the last other digit, of which there are `zeros` */
    int64_t zeros = 0, exponent = 0;
    for (at += negative ? 1 : 0; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        exponent -= fraction ? 1 : 0;
        zeros++;
        if (*at == '0')
            continue;
        for (; zeros > 0 && digits != 0; zeros--)
            if (__builtin_mul_overflow(digits, 10, &digits))
                return false;
        zeros = 0;
        if (__builtin_add_overflow(digits, (uint64_t)(*at - '0'), &digits))
            return false;
    }
    *value = 0;
    if (digits == 0)
        return true;
    exponent += zeros + (at < end ? read_exponent(at + 1, end) : 0);
    if (negative || exponent < 0)
        return false;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(digits, 10, &digits))
            return false;
    *value = digits;
    return true;
}

/* What stands here, up to `next` if it is a number, is no whole number of at most `most`. */
static problem_code fail_whole(json_reader *r, uint64_t most, const char *path, json_kind kind,
                               const char *next) {
    char expected[64], quoted[JSON_QUOTED_MAX];
    snprintf(expected, sizeof expected, "a whole number from 0 to %llu", (unsigned long long)most);
    if (kind != JSON_NUMBER)
        return json_fail_kind(r, path, expected);
    if ((size_t)(next - r->at) == JSON_NUMBER_LONGEST)
        return json_fail(r, r->at, PROBLEM_BAD_VALUE, "%s " JSON_NUMBER_TOO_LONG, path);
    return json_fail(r, r->at, PROBLEM_BAD_VALUE, "%s is %s, expected %s", path,
                     json_quote(r->at, (size_t)(next - r->at), quoted), expected);
}

static problem_code read_whole(json_reader *r, uint64_t most, const char *path, uint64_t *value) {
    float rounded;
    const char *next = NULL;
    const json_kind kind = json_peek(r);
    if (kind != JSON_NUMBER)
        return fail_whole(r, most, path, kind, next);
    const json_number_status status = json_read_number(r->at, json_number_end(r), &rounded, &next);
    if ((size_t)(next - r->at) == JSON_NUMBER_LONGEST)
        return fail_whole(r, most, path, kind, next);
    if (status == JSON_NUMBER_NOT_A_NUMBER) {
        r->at = next;
        return json_fail_expected(r, "a digit of a number");
    }
    if (!whole_value(r->at, next, value) || *value > most)
        return fail_whole(r, most, path, kind, next);
    r->at = next;
    return PROBLEM_NONE;
}

/* ---- Lists ---- */

/* Reads an array; `read_item` reads the element number `index` of it, and calls it `path` if it fails. */
typedef struct list_reader list_reader;
struct list_reader {
    json_reader *r;
    const field *f;
    void *member;
    size_t capacity; /* of the list that is read into */
    problem_code (*read_item)(list_reader *list, size_t index, const char *path);
};

/* Only of an item that failed a path is made: the item, which begins at `where`, is read once more. */
static problem_code fail_item(list_reader *list, const char *path, size_t index, const char *where) {
    char item[96];
    snprintf(item, sizeof item, "%s[%zu]", path, index);
    json_go_back(list->r, where);
    list->read_item(list, index, item);
    return json_locate(list->r, item);
}

static problem_code read_list(list_reader *list, const char *path, const char *expected, size_t *count) {
    json_reader *const r = list->r;
    const json_kind kind = json_peek(r);
    const size_t most = list->f->type == FIELD_WORDS ? SIZE_MAX : list->f->most_items;
    if (kind != JSON_ARRAY)
        return json_fail_kind(r, path, expected);
    r->at++;
    *count = 0;
    if (json_accept(r, ']'))
        return PROBLEM_NONE;
    do {
        json_skip_space(r);
        const char *const where = r->at;
        if (*count == most)
            return json_fail(r, where, PROBLEM_BAD_VALUE, "%s has more than %zu items, expected at most %zu",
                             path, most, most);
        if (list->read_item(list, *count, path) != PROBLEM_NONE)
            return fail_item(list, path, *count, where);
        ++*count;
    } while (json_accept(r, ','));
    return json_accept(r, ']') ? PROBLEM_NONE : json_fail_expected(r, "a comma or ]");
}

static problem_code read_whole_item(list_reader *list, size_t index, const char *path) {
    request_wholes *const wholes = list->member;
    uint64_t value;
    if (index == list->capacity) {
        const size_t wanted = list->capacity == 0 ? 8 : 2 * list->capacity; /* each took two bytes of text */
        size_t *moved = attn_arena_resize(list->r->arena, wholes->items, wanted * sizeof *moved);
        if (moved == NULL)
            return problem_from_core(list->r->p, attn_arena_failure(list->r->arena), NULL);
        wholes->items = moved;
        list->capacity = wanted;
    }
    const problem_code code = read_whole(list->r, list->f->most, path, &value);
    if (code == PROBLEM_NONE)
        wholes->items[index] = value;
    return code;
}

static problem_code read_wholes(json_reader *r, const field *f, const char *path, request_wholes *wholes) {
    list_reader list = {r, f, wholes, 0, read_whole_item};
    json_peek(r);
    const char *const where = r->at;
    const problem_code code = read_list(
        &list, path, f->type == FIELD_PAIR ? "a list of two whole numbers" : "a list of whole numbers",
        &wholes->count);
    if (code == PROBLEM_NONE && f->type == FIELD_PAIR && wholes->count != 2)
        return json_fail(r, where, PROBLEM_BAD_VALUE, "%s has %zu number%s, expected two", path,
                         wholes->count, wholes->count == 1 ? "" : "s");
    wholes->present = code == PROBLEM_NONE;
    return code;
}

/* ---- Labels ---- */

static problem_code read_label(list_reader *list, size_t index, const char *path) {
    json_reader *const r = list->r;
    const size_t most = list->f->most;
    wire_buffer *const text = list->member;
    size_t length;
    (void)index;
    if (!wire_buffer_reserve(text, most + 1))
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    const problem_code code = read_text(r, path, text->bytes + text->length, most, &length);
    if (code == PROBLEM_NONE)
        text->length += length + 1;
    return code;
}

static problem_code read_labels(json_reader *r, const field *f, const char *path, request_labels *labels) {
    wire_buffer text = {.arena = r->arena};
    list_reader list = {r, f, &text, 0, read_label};
    const problem_code code = read_list(&list, path, "a list of strings", &labels->count);
    labels->present = code == PROBLEM_NONE;
    labels->text = text.bytes;
    labels->length = text.length;
    return code;
}

/* ---- Words ---- */

/* "max, mean or sum" */
static json_names list_words(const field *f) {
    json_names words = {.length = 0};
    for (size_t i = 0; field_word(f, i) != NULL; i++)
        json_add_name(&words, field_word(f, i + 1) == NULL ? " or " : ", ", field_word(f, i));
    return words;
}

/* Reads one of the field's words; *index is its number among them. */
static problem_code read_word(json_reader *r, const field *f, const char *path, size_t *index) {
    char word[32], quoted[JSON_QUOTED_MAX];
    size_t length;
    if (json_peek(r) != JSON_STRING)
        return json_fail_kind(r, path, list_words(f).text);
    const char *const where = r->at;
    PROBLEM_TRY(json_read_string(r, word, sizeof word, &length));
    for (size_t i = 0; field_word(f, i) != NULL; i++)
        if (strlen(field_word(f, i)) == length && memcmp(field_word(f, i), word, length) == 0) {
            *index = i;
            return PROBLEM_NONE;
        }
    json_quote(word, length < sizeof word ? length : sizeof word, quoted);
    return json_fail(r, where, PROBLEM_BAD_VALUE, "%s is \"%s\", expected %s", path, quoted,
                     list_words(f).text);
}

static problem_code read_word_item(list_reader *list, size_t index, const char *path) {
    unsigned *const set = list->member;
    size_t word = 0;
    (void)index;
    json_peek(list->r);
    const char *const where = list->r->at;
    PROBLEM_TRY(read_word(list->r, list->f, path, &word));
    if ((*set >> word & 1) != 0)
        return json_fail(list->r, where, PROBLEM_BAD_VALUE,
                         "%s is \"%s\", which the list has already; expected each name once", path,
                         field_word(list->f, word));
    *set |= 1U << word;
    return PROBLEM_NONE;
}

static problem_code read_by_type(json_reader *r, const field *f, const char *path, void *member) {
    list_reader words = {r, f, member, 0, read_word_item};
    request_whole *const whole = member;
    size_t word = 0, count;
    problem_code code = PROBLEM_NONE;
    switch (f->type) {
    case FIELD_STRING:
        return read_string(r, f, path, member);
    case FIELD_BOOL:
        return read_bool(r, path, member);
    case FIELD_SWITCH:
        return read_switch(r, path, member);
    case FIELD_WHOLE:
        code = read_whole(r, f->most, path, &whole->value);
        whole->present = code == PROBLEM_NONE;
        return code;
    case FIELD_WHOLES:
    case FIELD_PAIR:
        return read_wholes(r, f, path, member);
    case FIELD_WORD:
        code = read_word(r, f, path, &word);
        *(size_t *)member = word + 1;
        return code;
    case FIELD_WORDS:
        return read_list(&words, path, "a list of names", &count);
    case FIELD_LABELS:
        return read_labels(r, f, path, member);
    case FIELD_VIEW:
    case FIELD_TENSOR:
    case FIELD_MASK:
        break;
    }
    return code;
}

problem_code json_read_option(json_reader *r, const field *f, const char *path, void *member) {
    if (json_accept_null(r) || read_by_type(r, f, path, member) == PROBLEM_NONE)
        return PROBLEM_NONE;
    return json_locate(r, path);
}

problem_code json_read_name(json_reader *r, const char *path, char *name, size_t room, size_t *length) {
    if (json_peek(r) != JSON_STRING)
        return json_fail_kind(r, path, "a string");
    return json_read_string(r, name, room, length) == PROBLEM_NONE ? PROBLEM_NONE : json_locate(r, path);
}
