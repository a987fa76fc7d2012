#include "core/model/warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 512

/* The list owns `line`, which was allocated, from here on. */
static void append(attn_warnings *warnings, char *line) {
    char **lines = realloc(warnings->lines, (warnings->count + 1) * sizeof *lines);
    if (lines == NULL) {
        free(line);
        return;
    }
    lines[warnings->count++] = line;
    warnings->lines = lines;
}

void attn_warn(attn_warnings *warnings, const char *format, ...) {
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < warnings->count; i++)
        if (strcmp(warnings->lines[i], text) == 0)
            return;
    char *line = warnings->count < ATTN_WARNINGS_MAX ? strdup(text) : NULL;
    if (line != NULL)
        append(warnings, line);
}

void attn_warnings_move(attn_warnings *to, attn_warnings *from) {
    for (size_t i = 0; i < from->count; i++)
        append(to, from->lines[i]);
    free(from->lines);
    *from = (attn_warnings){.lines = NULL};
}

void attn_warnings_free(attn_warnings *warnings) {
    for (size_t i = 0; i < warnings->count; i++)
        free(warnings->lines[i]);
    free(warnings->lines);
    *warnings = (attn_warnings){.lines = NULL};
}
