#include "server/wire/buffer.h"

#include "core/size.h"

#include <stdarg.h>
#include <stdio.h>

#define PIECE     ((size_t)1 << 20)    /* bytes that are copied before the control is asked again */
#define ASK_EVERY ((size_t)256 * 1024) /* bytes that are written before the control is asked again */

static bool stopped(wire_buffer *buffer) {
    if (buffer->control == NULL || buffer->length - buffer->asked_at < ASK_EVERY)
        return false;
    buffer->asked_at = buffer->length;
    return buffer->control->should_stop(buffer->control->context);
}

bool wire_buffer_grow(wire_buffer *buffer, size_t capacity) {
    if (capacity <= buffer->capacity)
        return true;
    char *moved = attn_arena_resize(buffer->arena, buffer->bytes, capacity);
    if (moved == NULL)
        return false;
    buffer->bytes = moved;
    buffer->capacity = capacity;
    return true;
}

bool wire_buffer_reserve(wire_buffer *buffer, size_t more) {
    size_t needed, grown;
    if (stopped(buffer))
        return false;
    if (more <= buffer->capacity - buffer->length)
        return true;
    if (!attn_add(buffer->length, more, &needed))
        return false;
    if (!attn_multiply(buffer->capacity, 2, &grown) || grown < needed)
        grown = needed;
    return wire_buffer_grow(buffer, grown < 1024 ? 1024 : grown) ||
           (grown > needed && wire_buffer_grow(buffer, needed));
}

void wire_buffer_expect(wire_buffer *buffer, size_t bytes, size_t done, size_t left, size_t slack) {
    size_t each, more, needed;
    if (done == 0 || !attn_multiply(bytes, 17, &each)) /* a sixteenth more: what follows may be longer */
        return;
    each = each / done + 1;
    if (attn_multiply(each, left, &more) && attn_add(more / 16, slack, &more) &&
        attn_add(buffer->length, more, &needed))
        wire_buffer_grow(buffer, needed);
}

void wire_buffer_trim(wire_buffer *buffer) {
    if (buffer->arena == NULL || buffer->bytes == NULL)
        return;
    char *const moved = attn_arena_resize(buffer->arena, buffer->bytes, buffer->length);
    if (moved != NULL)
        buffer->bytes = moved; /* it is where it was: to shrink does not move it */
}

bool wire_buffer_append(wire_buffer *buffer, const char *bytes, size_t count) {
    if (!wire_buffer_reserve(buffer, count))
        return false;
    if (count != 0)
        memcpy(buffer->bytes + buffer->length, bytes, count);
    buffer->length += count;
    return true;
}

bool wire_append_data(wire_buffer *buffer, const void *data, size_t count) {
    for (size_t done = 0, some; done < count; done += some) {
        some = count - done < PIECE ? count - done : PIECE;
        if (!wire_buffer_append(buffer, (const char *)data + done, some))
            return false;
    }
    return true;
}

bool wire_append_format(wire_buffer *buffer, const char *format, ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return wire_append_text(buffer, text);
}
