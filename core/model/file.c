#include "core/model/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_AT_ONCE ((size_t)1 << 30) /* read(2) transfers less than 2 GiB in one call */

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

attn_status attn_file_open(attn_file *file, const char *path, attn_error *error) {
    attn_show(&file->shown, path);
    /* O_NONBLOCK: opening a pipe would otherwise wait until somebody writes into it. */
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat state;
    if (file->descriptor < 0 || fstat(file->descriptor, &state) != 0) {
        const int reason = errno;
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: cannot be opened: %s", file->shown.text,
                         strerror(reason));
    }
    if (!S_ISREG(state.st_mode)) {
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a regular file, found %s", file->shown.text,
                         kind_of(state.st_mode));
    }
    if ((uintmax_t)state.st_size > SIZE_MAX) {
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: larger than this machine can address", file->shown.text);
    }
    file->size = (size_t)state.st_size;
    return ATTN_OK;
}

attn_status attn_file_read(const attn_file *file, size_t offset, void *bytes, size_t count,
                           attn_error *error) {
    size_t done = 0;
    while (done < count) {
        const size_t wanted = count - done < READ_AT_ONCE ? count - done : READ_AT_ONCE;
        const ssize_t got = pread(file->descriptor, (char *)bytes + done, wanted, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return attn_fail(error, ATTN_BAD_MODEL, "%s: cannot be read at byte %zu: %s", file->shown.text,
                             offset + done, strerror(errno));
        if (got == 0)
            return attn_fail(error, ATTN_BAD_MODEL,
                             "%s: ends at byte %zu, expected %zu bytes as when it was opened",
                             file->shown.text, offset + done, file->size);
        done += (size_t)got;
    }
    return ATTN_OK;
}

void attn_file_close(attn_file *file) {
    if (file->descriptor >= 0)
        close(file->descriptor);
    file->descriptor = -1;
}
