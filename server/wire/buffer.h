/* buffer.h: bytes that grow, in an arena. */
#ifndef WIRE_BUFFER_H
#define WIRE_BUFFER_H

#include "core/arena.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    attn_arena *arena;
    char *bytes; /* not NUL-terminated */
    size_t length, capacity;
} wire_buffer;

/* Makes room for `more` bytes after the length; growth is geometric. False if memory ran out, with the
 * contents intact. */
bool wire_buffer_reserve(wire_buffer *buffer, size_t more);

/* Appends bytes; false if memory ran out. */
bool wire_buffer_append(wire_buffer *buffer, const char *bytes, size_t count);

#endif
