#include "core/model/files/stamp.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Times of files go by the ticks of the kernel, of which the longest take 10 ms: what was written in this one
 * can be written once more and keep its time. */
#define TICKS_NS ((int64_t)25000000)

static int64_t nanoseconds(const struct timespec *time) {
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* Writes the line of one file; *newest becomes its time if it was changed later. */
static void add_line(FILE *out, const char *path, const char *name, int64_t *newest) {
    struct stat state;
    if (stat(path, &state) != 0 || S_ISDIR(state.st_mode))
        return;
    const int64_t changed = nanoseconds(&state.st_ctim);
    fprintf(out, "%s %jx %ju %jd %jd %jd\n", name, (uintmax_t)state.st_dev, (uintmax_t)state.st_ino,
            (intmax_t)state.st_size, (intmax_t)nanoseconds(&state.st_mtim), (intmax_t)changed);
    if (changed > *newest)
        *newest = changed;
}

/* In the order of their names. False if it is no directory. */
static bool add_directory(FILE *out, const char *path, int64_t *newest) {
    struct dirent **entries;
    const int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char *inside;
        if (asprintf(&inside, "%s/%s", path, entries[i]->d_name) >= 0) {
            add_line(out, inside, entries[i]->d_name, newest);
            free(inside);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return count >= 0;
}

static char *describe(const char *path, int64_t *newest) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    *newest = 0;
    if (!add_directory(out, path, newest))
        add_line(out, path, "", newest);
    if (fclose(out) == 0 && length > 0)
        return text;
    free(text);
    return NULL;
}

char *attn_stamp(const char *path) {
    int64_t newest;
    struct timespec now;
    char *text = describe(path, &newest);
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t age = nanoseconds(&now) - newest;
    if (text == NULL || age > TICKS_NS || age < -TICKS_NS)
        return text;
    free(text);
    nanosleep(&(struct timespec){.tv_nsec = TICKS_NS}, NULL);
    return describe(path, &newest);
}
