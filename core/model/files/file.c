#include "core/model/files/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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
    attn_make_printable(&file->path, path);
    /* O_NONBLOCK: opening a pipe would otherwise wait until somebody writes into it. */
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat state;
    if (file->descriptor < 0 || fstat(file->descriptor, &state) != 0) {
        const int reason = errno;
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: cannot be opened: %s", file->path.text,
                         strerror(reason));
    }
    if (!S_ISREG(state.st_mode)) {
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a regular file, found %s", file->path.text,
                         kind_of(state.st_mode));
    }
    if ((uintmax_t)state.st_size > SIZE_MAX) {
        attn_file_close(file);
        return attn_fail(error, ATTN_BAD_MODEL, "%s: larger than this machine can address", file->path.text);
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
            return attn_fail(error, ATTN_BAD_MODEL, "%s: cannot be read at byte %zu: %s", file->path.text,
                             offset + done, strerror(errno));
        if (got == 0)
            return attn_fail(error, ATTN_BAD_MODEL,
                             "%s: ends at byte %zu, expected %zu bytes as when it was opened",
                             file->path.text, offset + done, file->size);
        done += (size_t)got;
    }
    return ATTN_OK;
}

void attn_file_close(attn_file *file) {
    if (file->descriptor >= 0)
        close(file->descriptor);
    file->descriptor = -1;
}

static attn_status read_all(const attn_file *file, size_t limit, char **text, attn_error *error) {
    if (file->size > limit)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: a file of %zu bytes, at most %zu expected",
                         file->path.text, file->size, limit);
    char *bytes = malloc(file->size + 1);
    if (bytes == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for its %zu bytes", file->path.text,
                         file->size);
    const attn_status status = attn_file_read(file, 0, bytes, file->size, error);
    if (status == ATTN_OK)
        *text = bytes;
    else
        free(bytes);
    return status;
}

attn_status attn_file_read_all(const char *path, size_t limit, char **text, size_t *length,
                               attn_error *error) {
    attn_file file;
    attn_status status = attn_file_open(&file, path, error);
    if (status != ATTN_OK)
        return status;
    status = read_all(&file, limit, text, error);
    *length = file.size;
    attn_file_close(&file);
    return status;
}

bool attn_file_is_in(const char *directory, const char *name) {
    const int descriptor = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat state;
    if (descriptor < 0)
        return false;
    const bool is_there = fstatat(descriptor, name, &state, AT_SYMLINK_NOFOLLOW) == 0;
    close(descriptor);
    return is_there;
}

/* Does `path` begin with the directory that the first `length` bytes of `directory` and `inner` name? */
static bool is_below(const char *path, const char *directory, size_t length, const char *inner) {
    const size_t more = strlen(inner);
    return strncmp(path, directory, length) == 0 && strncmp(path + length, inner, more) == 0 &&
           path[length + more] == '/';
}

/* Is the file one of the directory, or of the cache to which it belongs (huggingface_hub, "Understand
 * caching": models--x--y/snapshots/REVISION/NAME leads to models--x--y/blobs/HASH)? Both are resolved. */
static bool may_lead_to(const char *directory, const char *file) {
    static const char snapshots[] = "/snapshots";
    if (is_below(file, directory, strlen(directory), ""))
        return true;
    const char *last = strrchr(directory, '/');
    const size_t parent = last == NULL ? 0 : (size_t)(last - directory), end = strlen(snapshots);
    return parent > end && memcmp(last - end, snapshots, end) == 0 &&
           is_below(file, directory, parent - end, "/blobs");
}

static attn_status fail_link(const char *path, int reason, attn_error *error) {
    attn_printable printable, led;
    char target[PATH_MAX] = "";
    if (reason == ENOMEM)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to follow the link",
                         attn_make_printable(&printable, path));
    if (readlink(path, target, sizeof target - 1) < 0)
        target[0] = '\0'; /* it was just replaced */
    return attn_fail(error, ATTN_BAD_MODEL, "%s: a symbolic link to %s that cannot be followed: %s",
                     attn_make_printable(&printable, path), attn_make_printable(&led, target),
                     strerror(reason));
}

static attn_status check_link(const char *directory, const char *path, attn_error *error) {
    attn_printable printable, led;
    char *file = realpath(path, NULL);
    if (file == NULL)
        return fail_link(path, errno, error);
    char *within = realpath(directory, NULL);
    attn_status status = ATTN_OK;
    if (within == NULL)
        status = fail_link(directory, errno, error);
    else if (!may_lead_to(within, file))
        status = attn_fail(error, ATTN_BAD_MODEL,
                           "%s: a symbolic link that leads out of the model's directory, to %s",
                           attn_make_printable(&printable, path), attn_make_printable(&led, file));
    free(within);
    free(file);
    return status;
}

attn_status attn_file_path_in(const char *directory, const char *name, char **path, attn_error *error) {
    attn_printable printable;
    struct stat state;
    char *joined;
    if (asprintf(&joined, "%s/%s", directory, name) < 0)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a path in it",
                         attn_make_printable(&printable, directory));
    attn_status status = ATTN_OK;
    if (lstat(joined, &state) != 0) /* the words of attn_file_open */
        status = attn_fail(error, ATTN_BAD_MODEL, "%s: cannot be opened: %s",
                           attn_make_printable(&printable, joined), strerror(errno));
    else if (S_ISLNK(state.st_mode))
        status = check_link(directory, joined, error);
    if (status != ATTN_OK)
        free(joined);
    else
        *path = joined;
    return status;
}
