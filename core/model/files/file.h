/* file.h: reading files that somebody else may damage, replace or cut while we read. */
#ifndef ATTN_FILE_H
#define ATTN_FILE_H

#include "core/printable.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int descriptor;
    size_t size;         /* in bytes, when it was opened */
    attn_printable path; /* for error sentences */
} attn_file;

/* Opens a regular file for reading. Anything else (a directory, a pipe, a device) is refused and never
 * waited for. Fails with ATTN_BAD_MODEL. The caller closes it with attn_file_close. */
attn_status attn_file_open(attn_file *file, const char *path, attn_error *error);

/* Reads exactly `count` bytes that begin at `offset`. It reads, and does not map: a file that was cut since
 * it was opened is then an error, and not a signal. Fails with ATTN_BAD_MODEL. */
attn_status attn_file_read(const attn_file *file, size_t offset, void *bytes, size_t count,
                           attn_error *error);

void attn_file_close(attn_file *file);

/* Reads a regular file of at most `limit` bytes. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller
 * frees *text, which is not NUL-terminated, with free(). */
attn_status attn_file_read_all(const char *path, size_t limit, char **text, size_t *length,
                               attn_error *error);

/* Is there anything called `name` in the directory, be it a link that leads nowhere? */
bool attn_file_is_in(const char *directory, const char *name);

/* Makes the path of a file called `name`, without a slash in it, that may be opened as part of a model: a
 * symbolic link that leads out of the directory is refused, or a model from somewhere else could have any
 * file of this machine read. Links of the Hugging Face cache (DIR is .../snapshots/REVISION) may lead to
 * .../blobs, where it keeps all files. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *path
 * with free(). */
attn_status attn_file_path_in(const char *directory, const char *name, char **path, attn_error *error);

#endif
