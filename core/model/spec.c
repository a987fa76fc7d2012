#include "core/model/spec.h"

#include "core/printable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_RULE "1 to 64 of A-Z a-z 0-9 . _ -"

bool attn_has_suffix(const char *text, const char *suffix) {
    const size_t length = strlen(text), end = strlen(suffix);
    return length >= end && strcmp(text + length - end, suffix) == 0;
}

static bool is_name(const char *text, size_t length) {
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return length >= 1 && length <= ATTN_MODEL_NAME_MAX && strspn(text, legal) >= length;
}

static void set_name(attn_spec *spec, const char *text, size_t length) {
    memcpy(spec->name, text, length);
    spec->name[length] = '\0';
}

/* Is `text` SCHEME:rest? */
static bool has_scheme(const char *text, const char *scheme, const char **rest) {
    const size_t length = strlen(scheme);
    if (strncmp(text, scheme, length) != 0 || text[length] != ':')
        return false;
    *rest = text + length + 1;
    return true;
}

attn_status attn_spec_parse(const char *named_spec, attn_spec *spec, attn_error *error) {
    attn_printable printable;
    const char *text = named_spec;
    const size_t name = strcspn(text, "=:/");
    *spec = (attn_spec){.name = ""};
    if (text[name] == '=') {
        if (!is_name(text, name))
            return attn_fail(error, ATTN_BAD_MODEL, "\"%s\": expected a name of " NAME_RULE " before the =",
                             attn_make_printable(&printable, named_spec));
        set_name(spec, text, name);
        text += name + 1;
    }
    if (text[0] == '\0')
        return attn_fail(error, ATTN_BAD_MODEL,
                         "\"%s\": expected a directory, a .safetensors file, init:... or builtin:...",
                         attn_make_printable(&printable, named_spec));
    spec->rest = text;
    spec->kind = has_scheme(text, "init", &spec->rest)      ? ATTN_SPEC_INIT
                 : has_scheme(text, "builtin", &spec->rest) ? ATTN_SPEC_BUILTIN
                                                            : ATTN_SPEC_PATH;
    if (spec->name[0] == '\0' && spec->kind == ATTN_SPEC_INIT)
        set_name(spec, "init", strlen("init"));
    if (spec->name[0] == '\0' && spec->kind == ATTN_SPEC_BUILTIN && is_name(spec->rest, strlen(spec->rest)))
        set_name(spec, spec->rest, strlen(spec->rest));
    return ATTN_OK;
}

/* The last part of a path, without the slashes that follow it. */
static const char *last_part(const char *path, size_t *length) {
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *length = end - start;
    return path + start;
}

/* Is it a name that only the file system can resolve? */
static bool is_relative_part(const char *part, size_t length) {
    return length == 0 || (length == 1 && part[0] == '.') || (length == 2 && memcmp(part, "..", 2) == 0);
}

attn_status attn_spec_name_path(attn_spec *spec, const char *path, attn_error *error) {
    static const char suffix[] = ".safetensors";
    attn_printable printable;
    char *resolved = NULL;
    size_t length;
    const char *part = last_part(path, &length);
    if (is_relative_part(part, length)) {
        resolved = realpath(path, NULL);
        const int reason = errno;
        if (resolved == NULL)
            return attn_fail(error, reason == ENOMEM ? ATTN_NO_MEMORY : ATTN_BAD_MODEL,
                             "%s: cannot be resolved: %s", attn_make_printable(&printable, path),
                             strerror(reason));
        part = last_part(resolved, &length);
    } else if (length > strlen(suffix) && attn_has_suffix(path, suffix)) {
        length -= strlen(suffix);
    }
    const bool legal = is_name(part, length);
    if (legal)
        set_name(spec, part, length);
    free(resolved);
    if (!legal)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: gives no model name (" NAME_RULE "): choose one with "
                         "NAME=SPEC",
                         attn_make_printable(&printable, path));
    return ATTN_OK;
}
