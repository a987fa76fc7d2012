/* buffer.h: bytes that grow, in an arena. */
#ifndef WIRE_BUFFER_H
#define WIRE_BUFFER_H

#include "core/arena.h"
#include "core/attention.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    attn_arena *arena;
    char *bytes; /* not NUL-terminated */
    size_t length, capacity;
    const attn_control *control; /* asked while much is written; NULL: never stop */
    size_t asked_at;             /* the length at which it was asked last */
} wire_buffer;

/* Makes room for `more` bytes after the length; growth is geometric as long as memory allows. False if memory
 * ran out, or if the control says stop; the contents are intact. */
bool wire_buffer_reserve(wire_buffer *buffer, size_t more);

/* Makes the capacity at least `capacity`, and no more than that if it grows. False as above. */
bool wire_buffer_grow(wire_buffer *buffer, size_t capacity);

/* The last `bytes` are `done` of equal elements, of which `left` will follow: makes room at once for what
 * they will take by that, and `slack` bytes more. Nothing is lost if there is no memory for so many. */
void wire_buffer_expect(wire_buffer *buffer, size_t bytes, size_t done, size_t left, size_t slack);

/* Nothing more will be written: gives back what is much larger than the contents. */
void wire_buffer_trim(wire_buffer *buffer);

/* Appends bytes; false as above. */
bool wire_buffer_append(wire_buffer *buffer, const char *bytes, size_t count);

/* The same of what may be as large as all of an answer: asks the control while it copies. */
bool wire_append_data(wire_buffer *buffer, const void *data, size_t count);

static inline bool wire_append_text(wire_buffer *buffer, const char *text) {
    return wire_buffer_append(buffer, text, strlen(text));
}

/* For pieces of less than 200 bytes. */
bool wire_append_format(wire_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
