#include "server/wire/buffer.h"

#include "core/size.h"

#include <string.h>

bool wire_buffer_reserve(wire_buffer *buffer, size_t more) {
    size_t needed, grown;
    if (more <= buffer->capacity - buffer->length)
        return true;
    if (!attn_add(buffer->length, more, &needed) || !attn_multiply(buffer->capacity, 2, &grown))
        return false;
    if (grown < needed)
        grown = needed;
    if (grown < 1024)
        grown = 1024;
    char *moved = attn_arena_resize(buffer->arena, buffer->bytes, grown);
    if (moved == NULL)
        return false;
    buffer->bytes = moved;
    buffer->capacity = grown;
    return true;
}

bool wire_buffer_append(wire_buffer *buffer, const char *bytes, size_t count) {
    if (!wire_buffer_reserve(buffer, count))
        return false;
    if (count != 0)
        memcpy(buffer->bytes + buffer->length, bytes, count);
    buffer->length += count;
    return true;
}
