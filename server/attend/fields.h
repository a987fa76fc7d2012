/* fields.h: the fields of an attention request, one table for every wire format. */
#ifndef ATTEND_FIELDS_H
#define ATTEND_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A field's type says what the member is that it is read into. A member is zero if the field is absent. */
typedef enum {
    FIELD_STRING, /* char *, of at most `most` bytes */
    FIELD_BOOL,   /* bool */
    FIELD_SWITCH, /* request_switch: a boolean that the model decides if it is absent */
    FIELD_WHOLE,  /* request_whole, from 0 to `most` */
    FIELD_WHOLES, /* request_wholes: a list of such numbers */
    FIELD_PAIR,   /* request_wholes: a list of two */
    FIELD_WORD,   /* size_t: 1 + the index of the word */
    FIELD_WORDS,  /* unsigned: a list of words, none of them twice; bit n for words[n] */
    FIELD_LABELS, /* request_labels: a list of strings, of at most `most` bytes each */
    FIELD_VIEW,   /* request_view: an object of the fields in view_fields */
    FIELD_TENSOR, /* request_tensor, finite numbers */
    FIELD_MASK,   /* request_tensor, numbers or booleans; minus infinity allowed */
} field_type;

/* What a field means beside head_output, with which only the output projection is computed. */
typedef enum { BESIDE_USED, BESIDE_IDLE, BESIDE_REFUSED } field_beside;

typedef struct {
    const char *name;
    field_type type;
    size_t offset; /* of the member in attend_request, or in request_view */
    uint64_t most;
    size_t most_items;        /* of a list of numbers or strings; longer ones are not read to their end */
    const char *const *words; /* the first that can be chosen from; field_word has the others */
    size_t words_apart;       /* bytes from one to the next; 0: they are an array */
    field_beside beside_head_output;
    const char *text; /* what it means, for people */
} field;

typedef struct {
    const field *fields;
    size_t count;
    const char *path;  /* of the object that has them: "", "view" */
    const char *noun;  /* what a sentence calls one of them: "field" */
    const char *known; /* what stands there before the list of all: "the fields are" */
} field_table;

#define FIELDS_MAX 64 /* no table has more, also with some of a format's own */

#define FIELD_LARGEST (((uint64_t)1 << 53) - 1) /* of the whole numbers that every JSON library keeps */

/* More than a pair, or a shape, can have, so that a list that is a little too long can be told its length. */
#define FIELD_PAIR_ITEMS  16
#define FIELD_SHAPE_ITEMS 16

extern const field_table request_fields; /* into attend_request */
extern const field_table view_fields;    /* into request_view */

/* The field with this name, or NULL. `name` need not be NUL-terminated. */
const field *field_find(const field_table *table, const char *name, size_t length);

static inline bool field_is_tensor(const field *f) {
    return f->type == FIELD_TENSOR || f->type == FIELD_MASK;
}

/* Word `n` of those that the field can be, or NULL. */
static inline const char *field_word(const field *f, size_t n) {
    const size_t apart = f->words_apart == 0 ? sizeof *f->words : f->words_apart;
    return *(const char *const *)(const void *)((const char *)f->words + n * apart);
}

/* Does the member of `object` (an attend_request or a request_view) ask for anything? False and an empty list
 * do not. */
bool field_asked(const field *f, const void *object);

#endif
