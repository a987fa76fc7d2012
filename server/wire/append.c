#include "server/wire/append.h"

#define PIECE ((size_t)1 << 20) /* bytes between two looks at the control */

bool wire_append_data(wire_buffer *out, const void *data, size_t count) {
    for (size_t done = 0, some; done < count; done += some) {
        some = count - done < PIECE ? count - done : PIECE;
        if (!wire_buffer_append(out, (const char *)data + done, some))
            return false;
    }
    return true;
}
