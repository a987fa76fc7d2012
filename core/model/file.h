/* file.h: reading files that somebody else may damage, replace or cut while we read. */
#ifndef ATTN_FILE_H
#define ATTN_FILE_H

#include "core/model/shown.h"
#include "core/status.h"

#include <stddef.h>

typedef struct {
    int descriptor;
    size_t size;      /* in bytes, when it was opened */
    attn_shown shown; /* its path, for sentences */
} attn_file;

/* Opens a regular file for reading. Anything else (a directory, a pipe, a device) is refused and never
 * waited for. Fails with ATTN_BAD_MODEL. The caller closes it with attn_file_close. */
attn_status attn_file_open(attn_file *file, const char *path, attn_error *error);

/* Reads exactly `count` bytes that begin at `offset`. It reads, and does not map: a file that was cut since
 * it was opened is then an error, and not a signal. Fails with ATTN_BAD_MODEL. */
attn_status attn_file_read(const attn_file *file, size_t offset, void *bytes, size_t count,
                           attn_error *error);

void attn_file_close(attn_file *file);

#endif
