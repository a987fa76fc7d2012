/* options.c: what a caller may choose about a picture of the attention weights. */
#include "server/picture/picture.h"

#include <string.h>

/* The digits that `text` begins with, as a number of at most `most`; *rest is what follows them. False if
 * there are none, or the number is larger. */
static bool read_number(const char *text, size_t most, size_t *number, const char **rest) {
    size_t value = 0;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (size_t)(*text - '0');
        if (value > most)
            return false;
    }
    *number = value;
    *rest = text;
    return true;
}

static problem_code bad(problem *p, const char *name, const char *value, const char *expected) {
    return problem_set_at(p, PROBLEM_BAD_VALUE, name, "%s is '%.40s'%s, expected %s", name, value,
                          strlen(value) > 40 ? "..." : "", expected);
}

static problem_code read_head_list(const char *value, picture_options *o, problem *p) {
    const char *rest = value;
    o->heads = PICTURE_HEADS_LISTED;
    o->head_count = 0;
    do {
        size_t head;
        if (!read_number(rest, REQUEST_MAX_DIMENSION, &head, &rest) || (*rest != ',' && *rest != '\0'))
            return bad(p, "head", value,
                       "the index of a head, several of them with commas between them, 'mean' or 'max'");
        for (size_t n = 0; n < o->head_count; n++)
            if (o->head_list[n] == head)
                return problem_set_at(p, PROBLEM_BAD_VALUE, "head",
                                      "head lists %zu twice, expected each head once", head);
        if (o->head_count == PICTURE_HEADS_MAX)
            return problem_set_at(p, PROBLEM_BAD_VALUE, "head",
                                  "head lists more than %d heads, which is the most", PICTURE_HEADS_MAX);
        o->head_list[o->head_count++] = head;
    } while (*rest++ == ',');
    return PROBLEM_NONE;
}

static problem_code read_head(const char *value, picture_options *o, problem *p) {
    const bool is_mean = strcmp(value, "mean") == 0;
    if (!is_mean && strcmp(value, "max") != 0)
        return read_head_list(value, o, p);
    o->heads = is_mean ? PICTURE_HEADS_MEAN : PICTURE_HEADS_MAX_OF;
    return PROBLEM_NONE;
}

static problem_code read_batch(const char *value, picture_options *o, problem *p) {
    const char *rest;
    if (!read_number(value, REQUEST_MAX_DIMENSION, &o->batch, &rest) || *rest != '\0')
        return bad(p, "batch", value, "the index of a batch entry");
    o->batch_given = true;
    return PROBLEM_NONE;
}

static problem_code read_cell(const char *value, picture_options *o, problem *p) {
    const char *rest;
    if (!read_number(value, PICTURE_CELL_MAX, &o->cell, &rest) || *rest != '\0' || o->cell == 0)
        return bad(p, "cell", value, "a whole number of pixels from 1 to 32");
    return PROBLEM_NONE;
}

static problem_code read_scale(const char *value, picture_options *o, problem *p) {
    static const char *const names[] = {
        [PICTURE_LINEAR] = "linear", [PICTURE_SQRT] = "sqrt", [PICTURE_LOG] = "log"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        if (strcmp(value, names[n]) == 0) {
            o->scale = (picture_scale)n;
            return PROBLEM_NONE;
        }
    return bad(p, "scale", value, "'linear', 'sqrt' or 'log'");
}

problem_code picture_read_parameter(const char *name, const char *value, picture_options *o, problem *p) {
    static const struct {
        const char *name;
        problem_code (*read)(const char *value, picture_options *o, problem *p);
    } parameters[] = {{"head", read_head}, {"batch", read_batch}, {"cell", read_cell}, {"scale", read_scale}};
    for (size_t n = 0; n < sizeof parameters / sizeof parameters[0]; n++)
        if (strcmp(name, parameters[n].name) == 0)
            return parameters[n].read(value, o, p);
    return problem_set_at(p, PROBLEM_UNKNOWN_FIELD, name,
                          "'%.40s'%s is no parameter of a picture, expected head, batch, cell or scale", name,
                          strlen(name) > 40 ? "..." : "");
}
