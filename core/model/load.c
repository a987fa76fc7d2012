#include "core/model/load.h"

#include "core/kernels/choose.h"
#include "core/model/builtin/init.h"
#include "core/model/builtin/patterns.h"
#include "core/model/checkpoint/huggingface.h"
#include "core/model/config.h"
#include "core/model/files/file.h"
#include "core/model/files/json_python.h"
#include "core/model/files/json_value.h"
#include "core/model/files/stamp.h"
#include "core/model/files/tensors.h"
#include "core/model/files/unsupported.h"
#include "core/model/spec.h"
#include "core/model/torch.h"
#include "core/model/weights.h"
#include "core/printable.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_NAME "config.json"

static attn_status load_init(const char *name, const char *text, attn_registry *loaded, attn_error *error) {
    attn_model *model;
    ATTN_TRY(attn_registry_add(loaded, name, &model, error));
    return attn_init_make(text, model, error);
}

static attn_status make_demo(attn_model *model, attn_error *error) {
    return attn_init_make("", model, error);
}

/* Models that come with the program. */
static const struct {
    const char *name;
    attn_status (*make)(attn_model *model, attn_error *error);
} builtins[] = {
    {"demo", make_demo},
    {"patterns", attn_patterns_make},
};
#define BUILTINS (sizeof builtins / sizeof builtins[0])

static attn_status load_builtin(const attn_spec *spec, attn_registry *loaded, attn_error *error) {
    char known[128] = "";
    for (size_t i = 0; i < BUILTINS; i++) {
        attn_list_add(known, sizeof known, builtins[i].name);
        if (strcmp(builtins[i].name, spec->rest) != 0)
            continue;
        attn_model *model;
        ATTN_TRY(attn_registry_add(loaded, spec->name, &model, error));
        model->is_plan = false; /* it is small, and its rule wants all arrays */
        return builtins[i].make(model, error);
    }
    attn_printable printable;
    return attn_fail(error, ATTN_BAD_MODEL, "builtin:%s: unknown, the built-in models are: %s",
                     attn_make_printable(&printable, spec->rest), known);
}

/* One layer, whose configuration is `json`. With `prefix` NULL its tensors are looked for under any prefix.
 */
static attn_status load_torch(const attn_tensors *tensors, const char *prefix, const char *where,
                              const json_t *json, const char *name, attn_registry *loaded,
                              attn_error *error) {
    attn_model *model;
    ATTN_TRY(attn_registry_add(loaded, name, &model, error));
    return attn_torch_load(tensors, prefix, where, json, model, error);
}

/* The configuration in the metadata of a file. The caller frees *json with json_decref. */
static attn_status carried_config(const attn_tensors *tensors, const char *where, json_t **json,
                                  attn_error *error) {
    const char *text = attn_tensors_metadata(tensors, "attend");
    if (text == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s is missing, expected the text of a config.json", where);
    return attn_json_parse(where, text, strlen(text), json, error);
}

static attn_status load_file(const char *path, const char *name, attn_registry *loaded, attn_error *error) {
    attn_printable printable;
    attn_make_printable(&printable, path);
    if (!attn_has_suffix(path, ".safetensors"))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory or a .safetensors file",
                         printable.text);
    attn_tensors *tensors;
    attn_status status = attn_tensors_open_file(path, &tensors, error);
    if (status != ATTN_OK)
        return status;
    char where[sizeof printable.text + 32];
    snprintf(where, sizeof where, "%s: __metadata__ \"attend\"", printable.text);
    json_t *json = NULL;
    status = carried_config(tensors, where, &json, error);
    if (status == ATTN_OK)
        status = load_torch(tensors, NULL, where, json, name, loaded, error);
    json_decref(json);
    attn_tensors_close(tensors);
    return status;
}

/* A path, and the part of it that was asked for with #: a layer of a checkpoint ("3", "encoder.3"), a prefix
 * of the tensors of a state_dict ("encoder.layers.0.self_attn."), or NULL for all. */
typedef struct {
    const char *path, *part;
} location;

/* A directory whose config.json has been read. */
static attn_status load_directory_with(const location *at, const char *where, const json_t *json,
                                       const char *name, attn_registry *loaded, attn_error *error) {
    attn_tensors *tensors;
    attn_status status = attn_tensors_open_directory(at->path, &tensors, error);
    if (status != ATTN_OK)
        return status;
    if (attn_huggingface_is(json))
        status =
            attn_huggingface_load(&(attn_checkpoint){where, json, tensors}, name, at->part, loaded, error);
    else
        status = load_torch(tensors, at->part, where, json, name, loaded, error);
    attn_tensors_close(tensors);
    return status;
}

/* A checkpoint's config.json is read as leniently as Python reads it; one of our own, where every key counts,
 * strictly. */
static attn_status parse_config(const char *path, const char *where, json_t **json, attn_error *error) {
    char *text;
    size_t length;
    attn_status status = attn_file_read_all(path, ATTN_CONFIG_TEXT_MAX, &text, &length, error);
    if (status != ATTN_OK)
        return status;
    status = attn_json_parse_python(where, text, length, json, error);
    if (status == ATTN_OK && !attn_huggingface_is(*json)) {
        json_decref(*json);
        status = attn_json_parse(where, text, length, json, error);
    }
    free(text);
    return status;
}

static attn_status read_config(const char *directory, attn_printable *where, json_t **json,
                               attn_error *error) {
    char *path, advice[400];
    attn_printable printable;
    /* Weights in other formats often come without a configuration: that is the better thing to say. */
    if (!attn_file_is_in(directory, CONFIG_NAME) && attn_unsupported_find(directory, advice, sizeof advice))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected " CONFIG_NAME " and model.safetensors, %s",
                         attn_make_printable(&printable, directory), advice);
    attn_status status = attn_file_path_in(directory, CONFIG_NAME, &path, error);
    if (status != ATTN_OK)
        return status;
    attn_make_printable(where, path);
    status = parse_config(path, where->text, json, error);
    free(path);
    return status;
}

static attn_status load_directory(const location *at, const char *name, attn_registry *loaded,
                                  attn_error *error) {
    attn_printable where;
    json_t *json;
    attn_status status = read_config(at->path, &where, &json, error);
    if (status != ATTN_OK)
        return status;
    status = load_directory_with(at, where.text, json, name, loaded, error);
    json_decref(json);
    return status;
}

/* Cuts off what follows the last # of the path's last part, and returns it; NULL: there is none. */
static const char *split_part(char *path) {
    char *mark = strrchr(path, '#');
    if (mark == NULL || mark[1] == '\0' || strchr(mark, '/') != NULL)
        return NULL;
    *mark = '\0';
    return mark + 1;
}

static attn_status load_location(attn_spec *spec, const location *at, const struct stat *state,
                                 attn_registry *loaded, attn_error *error) {
    attn_printable printable, part;
    attn_make_printable(&printable, at->path);
    if (!S_ISDIR(state->st_mode) && !S_ISREG(state->st_mode))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory or a regular file", printable.text);
    if (!S_ISDIR(state->st_mode) && at->part != NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory before #%s, found a file",
                         printable.text, attn_make_printable(&part, at->part));
    if (spec->name[0] == '\0') {
        ATTN_TRY(attn_spec_name_path(spec, at->path, error));
    }
    return S_ISDIR(state->st_mode) ? load_directory(at, spec->name, loaded, error)
                                   : load_file(at->path, spec->name, loaded, error);
}

/* Parts the path and looks where it leads; false: nowhere, as errno says. A directory whose name has a # in
 * it wins over a part of another one. */
static bool find_location(char *path, location *at, struct stat *state) {
    *at = (location){.path = path};
    if (stat(path, state) == 0)
        return true;
    return errno == ENOENT && (at->part = split_part(path)) != NULL && stat(path, state) == 0;
}

static attn_status load_path(attn_spec *spec, attn_registry *loaded, attn_error *error) {
    attn_printable printable;
    attn_make_printable(&printable, spec->rest);
    char *path = strdup(spec->rest);
    if (path == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for the path", printable.text);
    location at;
    struct stat state;
    attn_status status;
    if (!find_location(path, &at, &state))
        status = attn_fail(error, ATTN_BAD_MODEL, "%s: %s", printable.text, strerror(errno));
    else
        status = load_location(spec, &at, &state, loaded, error);
    free(path);
    return status;
}

static attn_status load(const char *named_spec, attn_registry *loaded, attn_error *error) {
    attn_spec spec;
    ATTN_TRY(attn_spec_parse(named_spec, &spec, error));
    switch (spec.kind) {
    case ATTN_SPEC_INIT:
        return load_init(spec.name, spec.rest, loaded, error);
    case ATTN_SPEC_BUILTIN:
        return load_builtin(&spec, loaded, error);
    default:
        return load_path(&spec, loaded, error);
    }
}

static attn_registry empty_like(const attn_registry *registry, bool is_plan) {
    return (attn_registry){
        .kernels = registry->kernels != NULL ? registry->kernels : attn_kernels_named("auto"),
        .precision = registry->precision,
        .is_plan = is_plan,
    };
}

attn_status attn_registry_load(attn_registry *registry, const char *named_spec, attn_error *error) {
    attn_registry loaded = empty_like(registry, false);
    attn_status status = load(named_spec, &loaded, error);
    if (status == ATTN_OK)
        status = attn_registry_move(registry, &loaded, error);
    attn_registry_free(&loaded);
    return status;
}

attn_status attn_registry_measure(const attn_registry *registry, const char *named_spec, size_t *bytes,
                                  attn_error *error) {
    attn_registry plans = empty_like(registry, true);
    const attn_status status = load(named_spec, &plans, error);
    size_t highest = 0;
    *bytes = 0;
    for (size_t i = 0; i < plans.count; i++) {
        const size_t more = attn_weights_while_loading(&plans.models[i]->layer.config);
        highest = more > highest ? more : highest;
        *bytes += plans.models[i]->bytes;
    }
    *bytes += highest;
    attn_registry_free(&plans);
    return status;
}

char *attn_spec_stamp(const char *named_spec) {
    attn_spec spec;
    if (attn_spec_parse(named_spec, &spec, NULL) != ATTN_OK)
        return NULL;
    if (spec.kind != ATTN_SPEC_PATH)
        return strdup("");
    char *path = strdup(spec.rest), *stamp = NULL;
    location at;
    struct stat state;
    if (path != NULL && find_location(path, &at, &state))
        stamp = attn_stamp(path);
    free(path);
    return stamp;
}
