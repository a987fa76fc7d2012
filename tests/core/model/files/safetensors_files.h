/* safetensors_files.h: what tests of the reader of safetensors files need: a folder, and files in it from the
 * writer in model_files.h. */
#ifndef TESTS_SAFETENSORS_FILES_H
#define TESTS_SAFETENSORS_FILES_H

#include "core/model/files/safetensors.h"

#include "tests/core/model/model_files.h"

#include <criterion/criterion.h>

static char *folder;
static st_writer writer;

static inline void begin(void) {
    folder = new_folder();
}

static inline void end(void) {
    remove_folder(folder);
}

static inline const char *good_path(void) {
    return in_folder(folder, "good.safetensors");
}

static inline attn_safetensors *open_good(void) {
    attn_safetensors *file = NULL;
    attn_error error = {""};
    cr_assert_eq(attn_safetensors_open(good_path(), &file, &error), ATTN_OK, "%s", error.text);
    return file;
}

/* The tensor with this name, or NULL. */
static inline const attn_tensor *find(const attn_safetensors *file, const char *name) {
    size_t count;
    const attn_tensor *tensors = attn_safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    return NULL;
}

#endif
