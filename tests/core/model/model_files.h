/* model_files.h: writes model files for tests, in a folder of their own. An independent writer: nothing here
 * comes from core/model. */
#ifndef TEST_MODEL_FILES_H
#define TEST_MODEL_FILES_H

#include <dirent.h>
#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A new folder; the caller gives it to remove_folder. */
static inline char *new_folder(void) {
    char *path = strdup("/tmp/attend-test-XXXXXX");
    if (path == NULL || mkdtemp(path) == NULL)
        abort();
    return path;
}

static inline void remove_tree(const char *path) {
    DIR *directory;
    /* unlink first: a link must go, and not what it leads to. */
    if (unlink(path) == 0 || (directory = opendir(path)) == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const size_t size = strlen(path) + strlen(entry->d_name) + 2;
        char *inner = malloc(size);
        if (inner == NULL)
            abort();
        snprintf(inner, size, "%s/%s", path, entry->d_name);
        remove_tree(inner);
        free(inner);
    }
    closedir(directory);
    rmdir(path);
}

static inline void remove_folder(char *path) {
    remove_tree(path);
    free(path);
}

/* FOLDER/NAME, in one of four buffers that are used in turn. */
static inline const char *in_folder(const char *folder, const char *name) {
    static char paths[4][1024];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void write_bytes(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
        abort();
}

static inline void write_text(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

/* A safetensors file in the making. */
typedef struct {
    char header[16384]; /* without the closing brace */
    uint8_t data[1 << 18];
    size_t bytes;   /* of data */
    size_t numbers; /* that test_value has given so far */
} st_writer;

static inline void st_begin(st_writer *w, const char *metadata) {
    memset(w, 0, sizeof *w);
    snprintf(w->header, sizeof w->header, "{%s", metadata);
}

/* Adds a tensor; `shape` as in JSON. */
static inline void st_add(st_writer *w, const char *name, const char *dtype, const char *shape,
                          const void *bytes, size_t count) {
    const size_t length = strlen(w->header);
    if (w->bytes + count > sizeof w->data)
        abort();
    if (count > 0)
        memcpy(w->data + w->bytes, bytes, count);
    snprintf(w->header + length, sizeof w->header - length,
             "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}", length > 1 ? "," : "",
             name, dtype, shape, w->bytes, w->bytes + count);
    w->bytes += count;
}

#define ST_TRUE_LENGTH (UINT64_MAX - 1)

/* Writes 8 bytes of length, header and data; the length is `stated`, or that of the header. */
static inline void write_safetensors(const char *path, const char *header, size_t header_bytes,
                                     uint64_t stated, const void *data, size_t data_bytes) {
    const uint64_t length = htole64(stated == ST_TRUE_LENGTH ? header_bytes : stated);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(&length, 1, 8, file) != 8 ||
        fwrite(header, 1, header_bytes, file) != header_bytes ||
        fwrite(data, 1, data_bytes, file) != data_bytes || fclose(file) != 0)
        abort();
}

static inline void st_end(st_writer *w, const char *path) {
    strcat(w->header, "}");
    write_safetensors(path, w->header, strlen(w->header), ST_TRUE_LENGTH, w->data, w->bytes);
}

/* The numbers in the files of st_describe: number k of a file. All types hold them exactly. */
static inline double test_value(size_t k) {
    return (double)((k * 37) % 256) / 8 - 16;
}

static inline size_t encode(const char *dtype, double value, uint8_t *bytes) {
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    int exponent;
    const double fraction =
        frexp(fabs(value), &exponent); /* value = fraction * 2^exponent, 1/2 <= fraction */
    const int shifted = (exponent - 1 + 15) << 10 | (int)((2 * fraction - 1) * 1024);
    const uint16_t half = (uint16_t)(value == 0 ? 0 : (value < 0) << 15 | shifted);
    const uint16_t top = (uint16_t)(bits >> 16);
    if (strcmp(dtype, "F64") == 0) {
        memcpy(bytes, &value, 8);
        return 8;
    }
    if (strcmp(dtype, "F16") == 0 || strcmp(dtype, "BF16") == 0) {
        memcpy(bytes, dtype[0] == 'F' ? &half : &top, 2);
        return 2;
    }
    memcpy(bytes, &bits, 4); /* F32, and what else has 4 bytes */
    return 4;
}

/* Adds tensors from a description: "name[2,3] other[4]:F16"; without a type it is F32. */
static inline void st_describe(st_writer *w, const char *description) {
    static uint8_t bytes[1 << 16];
    char *copy = strdup(description), *rest = copy, *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        char *shape = strchr(word, '['), *type = strchr(word, ':'), text[64];
        if (shape == NULL)
            continue;
        snprintf(text, sizeof text, "%.*s", (int)(strchr(shape, ']') - shape + 1), shape);
        size_t count = 1, length = 0;
        for (char *digits = text + 1; *digits != '\0' && *digits != ']'; digits += *digits == ',')
            count *= strtoul(digits, &digits, 10);
        for (size_t i = 0; i < count; i++)
            length += encode(type != NULL ? type + 1 : "F32", test_value(w->numbers++), bytes + length);
        *shape = '\0';
        st_add(w, word, type != NULL ? type + 1 : "F32", text, bytes, length);
    }
    free(copy);
}

#endif
