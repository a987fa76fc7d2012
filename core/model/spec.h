/* spec.h: `[NAME=]SPEC`, taken apart. */
#ifndef ATTN_SPEC_H
#define ATTN_SPEC_H

#include "core/model/model.h"
#include "core/status.h"

#include <stdbool.h>

typedef enum {
    ATTN_SPEC_PATH,    /* a directory or a file; rest: the path */
    ATTN_SPEC_INIT,    /* init:REST */
    ATTN_SPEC_BUILTIN, /* builtin:REST */
} attn_spec_kind;

typedef struct {
    char name[ATTN_MODEL_NAME_MAX + 1]; /* empty: a path without NAME=, see attn_spec_name_path */
    attn_spec_kind kind;
    const char *rest; /* leads into the text that was parsed */
} attn_spec;

/* Parses the text; no file is looked at. NAME is [A-Za-z0-9._-]{1,64} and ends at an = that comes before any
 * : and /. Fails with ATTN_BAD_MODEL. */
attn_status attn_spec_parse(const char *named_spec, attn_spec *spec, attn_error *error);

/* Names a spec without NAME= after its path: the name of the directory, or of the file without
 * ".safetensors". Fails with ATTN_BAD_MODEL if that is no legal name. */
attn_status attn_spec_name_path(attn_spec *spec, const char *path, attn_error *error);

/* Does `text` end in `suffix`? */
bool attn_has_suffix(const char *text, const char *suffix);

#endif
