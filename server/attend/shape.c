#include "server/attend/shape.h"

#include "core/size.h"

#include <stdio.h>

shape_text shape_show(const size_t *shape, size_t rank) {
    shape_text s = {"["};
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n += (size_t)snprintf(s.text + n, sizeof s.text - n, "%s%zu", i == 0 ? "" : ",", shape[i]);
    s.text[n] = ']';
    return s;
}

void shape_write_path(const char *name, const size_t *index, size_t rank, char *path, size_t room) {
    size_t length = (size_t)snprintf(path, room, "%s", name);
    for (size_t i = 0; i < rank && length < room; i++)
        length += (size_t)snprintf(path + length, room - length, "[%zu]", index[i]);
}

bool shape_bytes(const size_t *shape, size_t rank, size_t *bytes) {
    size_t product = 4;
    for (size_t i = 0; i < rank; i++)
        if (!attn_multiply(product, shape[i] == 0 ? 1 : shape[i], &product))
            return false;
    *bytes = product;
    return true;
}
