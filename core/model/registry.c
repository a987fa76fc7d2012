#include "core/model/config.h"
#include "core/model/huggingface.h"
#include "core/model/init.h"
#include "core/model/json_value.h"
#include "core/model/layout.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"
#include "core/model/shown.h"
#include "core/model/spec.h"
#include "core/size.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Models that come with the program, each the text of an init: spec. */
static const struct {
    const char *name, *init;
} builtins[] = {
    {"demo", ""},
};
#define BUILTINS (sizeof builtins / sizeof builtins[0])

/* Room for one model, named; the caller fills it in and then counts it. */
static attn_status room_for_one(const char *name, attn_registry *loaded, attn_error *error) {
    loaded->models = calloc(1, sizeof *loaded->models);
    if (loaded->models == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for model \"%s\"", name);
    snprintf(loaded->models[0].name, sizeof loaded->models[0].name, "%s", name);
    return ATTN_OK;
}

static attn_status load_init(const char *name, const char *text, attn_registry *loaded, attn_error *error) {
    attn_status status = room_for_one(name, loaded, error);
    if (status == ATTN_OK)
        status = attn_init_make(text, &loaded->models[0], error);
    loaded->count = status == ATTN_OK;
    return status;
}

static attn_status load_builtin(const attn_spec *spec, attn_registry *loaded, attn_error *error) {
    char known[128] = "";
    for (size_t i = 0; i < BUILTINS; i++) {
        if (strcmp(builtins[i].name, spec->rest) == 0)
            return load_init(spec->name, builtins[i].init, loaded, error);
        attn_list(known, sizeof known, builtins[i].name);
    }
    attn_shown shown;
    return attn_fail(error, ATTN_BAD_MODEL, "builtin:%s: unknown, the built-in models are: %s",
                     attn_show(&shown, spec->rest), known);
}

static attn_status load_torch(const attn_safetensors *file, const char *name, const attn_config *config,
                              attn_registry *loaded, attn_error *error) {
    attn_status status = room_for_one(name, loaded, error);
    if (status == ATTN_OK)
        status = attn_torch_load(file, config, &loaded->models[0], error);
    loaded->count = status == ATTN_OK;
    return status;
}

/* A .safetensors file that carries its own configuration. */
static attn_status load_file(const char *path, const char *name, attn_registry *loaded, attn_error *error) {
    attn_shown shown;
    attn_show(&shown, path);
    if (!attn_has_suffix(path, ".safetensors"))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory or a .safetensors file",
                         shown.text);
    attn_safetensors *file;
    attn_status status = attn_safetensors_open(path, &file, error);
    if (status != ATTN_OK)
        return status;
    char where[sizeof shown.text + 32];
    snprintf(where, sizeof where, "%s: __metadata__ \"attend\"", shown.text);
    const char *text = attn_safetensors_metadata(file, "attend");
    attn_config config;
    if (text == NULL)
        status = attn_fail(error, ATTN_BAD_MODEL, "%s is missing, expected the text of a config.json", where);
    else
        status = attn_config_from_text(where, text, &config, error);
    if (status == ATTN_OK)
        status = load_torch(file, name, &config, loaded, error);
    attn_safetensors_close(file);
    return status;
}

/* A path, and the layer of a checkpoint that was asked for with #. */
typedef struct {
    const char *path;
    size_t layer; /* or ATTN_ALL_LAYERS */
} place;

/* A directory whose config.json has been read. */
static attn_status load_directory_with(const char *where, const json_t *json, const char *model_path,
                                       const char *name, size_t layer, attn_registry *loaded,
                                       attn_error *error) {
    const bool is_checkpoint = attn_huggingface_is(json);
    attn_config config;
    attn_status status = ATTN_OK;
    if (!is_checkpoint && layer != ATTN_ALL_LAYERS)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: layer %zu was asked for, but this is one layer and not a checkpoint of many",
                         where, layer);
    if (!is_checkpoint)
        status = attn_config_from_json(where, json, &config, error);
    attn_safetensors *file = NULL;
    if (status == ATTN_OK)
        status = attn_safetensors_open(model_path, &file, error);
    if (status != ATTN_OK)
        return status;
    if (is_checkpoint)
        status = attn_huggingface_load(&(attn_checkpoint){where, json, file}, name, layer, loaded, error);
    else
        status = load_torch(file, name, &config, loaded, error);
    attn_safetensors_close(file);
    return status;
}

static attn_status load_directory(const place *at, const char *name, attn_registry *loaded,
                                  attn_error *error) {
    static const char config_name[] = "/config.json", model_name[] = "/model.safetensors";
    const size_t length = strlen(at->path);
    char *path = malloc(length + sizeof model_name);
    if (path == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for a path of %zu bytes", length);
    memcpy(path, at->path, length);
    strcpy(path + length, config_name);
    attn_shown where;
    attn_show(&where, path);
    json_t *json = NULL;
    attn_status status = attn_json_read(path, ATTN_CONFIG_TEXT_MAX, &json, error);
    strcpy(path + length, model_name);
    if (status == ATTN_OK)
        status = load_directory_with(where.text, json, path, name, at->layer, loaded, error);
    json_decref(json);
    free(path);
    return status;
}

/* Does the path end in #, digits? Cuts that off and takes the number. */
static bool split_layer(char *path, size_t *layer) {
    char *mark = strrchr(path, '#');
    if (mark == NULL || mark[1] == '\0' || mark[1 + strspn(mark + 1, "0123456789")] != '\0')
        return false;
    const unsigned long long number = strtoull(mark + 1, NULL, 10); /* huge ones become the largest */
    *layer = number < ATTN_ALL_LAYERS ? (size_t)number : ATTN_ALL_LAYERS - 1;
    *mark = '\0';
    return true;
}

static attn_status load_place(attn_spec *spec, const place *at, const struct stat *state,
                              attn_registry *loaded, attn_error *error) {
    attn_shown shown;
    attn_show(&shown, at->path);
    if (!S_ISDIR(state->st_mode) && !S_ISREG(state->st_mode))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory or a regular file", shown.text);
    if (!S_ISDIR(state->st_mode) && at->layer != ATTN_ALL_LAYERS)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected a directory before #%zu, found a file",
                         shown.text, at->layer);
    if (spec->name[0] == '\0') {
        const attn_status status = attn_spec_name_path(spec, at->path, error);
        if (status != ATTN_OK)
            return status;
    }
    return S_ISDIR(state->st_mode) ? load_directory(at, spec->name, loaded, error)
                                   : load_file(at->path, spec->name, loaded, error);
}

static attn_status load_path(attn_spec *spec, attn_registry *loaded, attn_error *error) {
    attn_shown shown;
    attn_show(&shown, spec->rest);
    char *path = strdup(spec->rest);
    if (path == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for the path", shown.text);
    place at = {.path = path, .layer = ATTN_ALL_LAYERS};
    struct stat state;
    /* A directory that is really called so comes before a layer of another one. */
    int failed = stat(path, &state);
    if (failed && errno == ENOENT && split_layer(path, &at.layer))
        failed = stat(path, &state);
    attn_status status;
    if (failed)
        status = attn_fail(error, ATTN_BAD_MODEL, "%s: %s", shown.text, strerror(errno));
    else
        status = load_place(spec, &at, &state, loaded, error);
    free(path);
    return status;
}

static attn_status load(const char *named_spec, attn_registry *loaded, attn_error *error) {
    attn_spec spec;
    const attn_status status = attn_spec_parse(named_spec, &spec, error);
    if (status != ATTN_OK)
        return status;
    switch (spec.kind) {
    case ATTN_SPEC_INIT:
        return load_init(spec.name, spec.rest, loaded, error);
    case ATTN_SPEC_BUILTIN:
        return load_builtin(&spec, loaded, error);
    default:
        return load_path(&spec, loaded, error);
    }
}

/* Moves the models of `loaded` to the end of the registry. */
static attn_status append(attn_registry *registry, attn_registry *loaded, attn_error *error) {
    for (size_t i = 0; i < loaded->count; i++)
        if (attn_registry_find(registry, loaded->models[i].name) != NULL)
            return attn_fail(error, ATTN_BAD_MODEL,
                             "model name \"%s\" is taken by an earlier model: give another with NAME=SPEC",
                             loaded->models[i].name);
    size_t count, bytes;
    attn_model *models = NULL;
    if (attn_add(registry->count, loaded->count, &count) && attn_multiply(count, sizeof *models, &bytes))
        models = realloc(registry->models, bytes);
    if (models == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for a list of more models");
    memcpy(models + registry->count, loaded->models, loaded->count * sizeof *models);
    registry->models = models;
    registry->count = count;
    loaded->count = 0;
    return ATTN_OK;
}

attn_status attn_registry_load(attn_registry *registry, const char *named_spec, attn_error *error) {
    attn_registry loaded = {.models = NULL};
    attn_status status = load(named_spec, &loaded, error);
    if (status == ATTN_OK)
        status = append(registry, &loaded, error);
    attn_registry_free(&loaded);
    return status;
}

const attn_model *attn_registry_find(const attn_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->count; i++)
        if (strcmp(registry->models[i].name, name) == 0)
            return &registry->models[i];
    return NULL;
}

void attn_registry_free(attn_registry *registry) {
    for (size_t i = 0; i < registry->count; i++)
        free(registry->models[i].storage);
    free(registry->models);
    *registry = (attn_registry){.models = NULL};
}
