#include "core/model/files/tensors.h"

#include "core/model/files/file.h"
#include "core/model/files/json_value.h"
#include "core/model/files/json_walk.h"
#include "core/model/files/unsupported.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define INDEX_MAX  ((size_t)8 << 20) /* bytes, like a header */
#define SHARDS_MAX 512               /* each is a descriptor that stays open while a model is loaded */
#define OTHERS_MAX ((size_t)1 << 16) /* bytes of what else stands in an index: sizes, dates */

typedef struct {
    char *name; /* as the index has it */
    attn_safetensors *file;
} shard;

struct attn_tensors {
    attn_printable path;
    shard *shards; /* [shard_count], room for SHARDS_MAX if there is an index */
    size_t shard_count;
    bool has_index;
    attn_tensor_place *places; /* [count], in the order of the tensors' names */
    size_t count;
};

/* Room for `shards` files, none of them open. NULL, and the sentence, if there is no memory. */
static attn_tensors *allocate(const char *path, size_t shards, attn_error *error) {
    attn_printable printable;
    attn_tensors *t = calloc(1, sizeof *t);
    shard *list = calloc(shards, sizeof *list);
    if (t == NULL || list == NULL) {
        free(t);
        free(list);
        attn_fail(error, ATTN_NO_MEMORY, "%s: no memory to open it", attn_make_printable(&printable, path));
        return NULL;
    }
    attn_make_printable(&t->path, path);
    t->shards = list;
    return t;
}

/* The list of all tensors. */

static int compare_names(const void *left, const void *right) {
    const attn_tensor_place *a = left, *b = right;
    return strcmp(a->tensor->name, b->tensor->name);
}

/* How many tensors the open files have. Counted after each file, so that many files cannot take more memory
 * than one may. */
static attn_status count_all(const attn_tensors *t, size_t *total, attn_error *error) {
    *total = 0;
    for (size_t i = 0; i < t->shard_count && t->shards[i].file != NULL; i++) {
        size_t count;
        attn_safetensors_tensors(t->shards[i].file, &count);
        *total += count;
    }
    return *total <= ATTN_TENSORS_MAX
               ? ATTN_OK
               : attn_fail(error, ATTN_BAD_MODEL, "%s: more than %d tensors in all files", t->path.text,
                           ATTN_TENSORS_MAX);
}

static attn_status list_places(attn_tensors *t, attn_error *error) {
    size_t total, count;
    ATTN_TRY(count_all(t, &total, error));
    t->places = calloc(total + 1, sizeof *t->places); /* + 1: no tensors at all are legal too */
    if (t->places == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a list of %zu tensors", t->path.text,
                         total);
    for (size_t i = 0; i < t->shard_count; i++) {
        const attn_tensor *list = attn_safetensors_tensors(t->shards[i].file, &count);
        for (size_t k = 0; k < count; k++)
            t->places[t->count++] = (attn_tensor_place){.file = t->shards[i].file, .tensor = &list[k]};
    }
    qsort(t->places, t->count, sizeof *t->places, compare_names);
    return ATTN_OK;
}

static const attn_tensor_place *find_place(const attn_tensors *t, const char *name) {
    const attn_tensor tensor = {.name = name};
    const attn_tensor_place key = {.tensor = &tensor};
    return bsearch(&key, t->places, t->count, sizeof key, compare_names);
}

/* Of a tensor that is in several shards transformers silently uses the last. Here it is refused, but only by
 * whoever needs that tensor. */
static void mark_twice(attn_tensors *t) {
    for (size_t i = 1; i < t->count; i++)
        if (compare_names(&t->places[i - 1], &t->places[i]) == 0) {
            t->places[i].other = t->places[i - 1].file;
            t->places[i - 1].other = t->places[i].file;
        }
}

/* The index (transformers, utils/hub.py, get_checkpoint_shard_files): {"metadata": {..}, "weight_map": {name
 * of a tensor: name of the shard that holds it}}. */

/* A shard is a file of the directory itself. */
static bool is_file_name(const char *name) {
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strlen(name) <= NAME_MAX;
}

static shard *find_shard(const attn_tensors *t, const char *name) {
    for (size_t i = t->shard_count; i-- > 0;) /* mostly the one that was added last */
        if (strcmp(t->shards[i].name, name) == 0)
            return &t->shards[i];
    return NULL;
}

static attn_status add_shard(attn_tensors *t, const char *name, attn_error *error) {
    if (t->shard_count == SHARDS_MAX)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"weight_map\": more than %d files", t->path.text,
                         SHARDS_MAX);
    shard *added = &t->shards[t->shard_count];
    added->name = strdup(name);
    if (added->name == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for the name of a file", t->path.text);
    t->shard_count++;
    return ATTN_OK;
}

static attn_status name_shard(attn_tensors *t, const char *tensor, const char *shard_name,
                              attn_error *error) {
    attn_printable printable, found;
    if (!is_file_name(shard_name))
        return attn_fail(
            error, ATTN_BAD_MODEL,
            "%s: \"weight_map\": tensor \"%s\": expected the name of a file in the directory, found \"%s\"",
            t->path.text, attn_make_printable(&printable, tensor), attn_make_printable(&found, shard_name));
    return find_shard(t, shard_name) != NULL ? ATTN_OK : add_shard(t, shard_name, error);
}

static attn_status read_entry(attn_tensors *t, const attn_walk *walk, const char *tensor,
                              const attn_walk_value *value, attn_error *error) {
    attn_printable printable, found;
    json_t *parsed;
    attn_status status = attn_walk_parse(walk, tensor, value, 8 * NAME_MAX, 1, &parsed, error);
    if (status != ATTN_OK)
        return status;
    if (json_is_string(parsed))
        status = name_shard(t, tensor, json_string_value(parsed), error);
    else
        status = attn_fail(
            error, ATTN_BAD_MODEL, "%s: \"weight_map\": tensor \"%s\": expected the name of a file, found %s",
            t->path.text, attn_make_printable(&printable, tensor), attn_json_printable(&found, parsed));
    json_decref(parsed);
    return status;
}

static attn_status read_entries(attn_tensors *t, attn_walk *walk, attn_error *error) {
    attn_status status = ATTN_OK;
    for (char *tensor = NULL; status == ATTN_OK; free(tensor)) {
        attn_walk_value value;
        status = attn_walk_next(walk, &tensor, &value, error);
        if (tensor == NULL)
            break;
        status = read_entry(t, walk, tensor, &value, error);
    }
    return status;
}

/* Finds weight_map in the text of the index. */
static attn_status find_map(const attn_tensors *t, const char *text, size_t length, attn_walk *map,
                            attn_error *error) {
    attn_walk walk;
    bool found = false;
    attn_status status = attn_walk_begin(&walk, t->path.text, text, length, error);
    while (status == ATTN_OK) {
        char *name;
        json_t *parsed = NULL;
        attn_walk_value value;
        status = attn_walk_next(&walk, &name, &value, error);
        if (name == NULL)
            break;
        const bool is_map = strcmp(name, "weight_map") == 0;
        if (is_map && found)
            status = attn_fail(error, ATTN_BAD_MODEL, "%s: \"weight_map\" stands there twice", t->path.text);
        else if (is_map)
            status = attn_walk_enter(map, &walk, &value, error);
        else
            status = attn_walk_parse(&walk, name, &value, OTHERS_MAX, 8, &parsed, error);
        json_decref(parsed);
        free(name);
        found = found || is_map;
    }
    return status != ATTN_OK || found
               ? status
               : attn_fail(error, ATTN_BAD_MODEL, "%s: \"weight_map\" is missing", t->path.text);
}

static attn_status open_shards(attn_tensors *t, const char *directory, attn_error *error) {
    attn_status status = ATTN_OK;
    size_t total;
    for (size_t i = 0; i < t->shard_count && status == ATTN_OK; i++) {
        char *path;
        status = attn_file_path_in(directory, t->shards[i].name, &path, error);
        if (status != ATTN_OK)
            break;
        status = attn_safetensors_open(path, &t->shards[i].file, error);
        if (status == ATTN_OK)
            attn_safetensors_forget_metadata(t->shards[i].file);
        free(path);
        if (status == ATTN_OK)
            status = count_all(t, &total, error);
    }
    return status;
}

/* transformers reads the list of files from the index, and then all tensors of each file, whatever the index
 * says about where they are (modeling_utils.py, _load_pretrained_model); so do we. A tensor that it names and
 * no file has may well be one that nobody needs. */
static attn_status follow_index(attn_tensors *t, const char *directory, const char *text, size_t length,
                                attn_error *error) {
    attn_walk map;
    ATTN_TRY(find_map(t, text, length, &map, error));
    ATTN_TRY(read_entries(t, &map, error));
    ATTN_TRY(open_shards(t, directory, error));
    ATTN_TRY(list_places(t, error));
    mark_twice(t);
    return ATTN_OK;
}

static attn_status read_index(attn_tensors *t, const char *directory, const char *path, attn_error *error) {
    char *text;
    size_t length;
    attn_status status = attn_file_read_all(path, INDEX_MAX, &text, &length, error);
    if (status != ATTN_OK)
        return status;
    status = follow_index(t, directory, text, length, error);
    free(text);
    return status;
}

static attn_status open_index(const char *directory, attn_tensors **tensors, attn_error *error) {
    char *path;
    attn_status status = attn_file_path_in(directory, INDEX_NAME, &path, error);
    if (status != ATTN_OK)
        return status;
    attn_tensors *t = allocate(path, SHARDS_MAX, error);
    status = t == NULL ? ATTN_NO_MEMORY : read_index(t, directory, path, error);
    free(path);
    if (status != ATTN_OK) {
        attn_tensors_close(t);
        return status;
    }
    t->has_index = true;
    *tensors = t;
    return ATTN_OK;
}

/* ---- The functions of tensors.h ---- */

attn_status attn_tensors_open_file(const char *path, attn_tensors **tensors, attn_error *error) {
    attn_tensors *t = allocate(path, 1, error);
    if (t == NULL)
        return ATTN_NO_MEMORY;
    attn_status status = attn_safetensors_open(path, &t->shards[0].file, error);
    if (status == ATTN_OK) {
        t->shard_count = 1;
        status = list_places(t, error);
    }
    if (status == ATTN_OK)
        *tensors = t;
    else
        attn_tensors_close(t);
    return status;
}

attn_status attn_tensors_open_directory(const char *directory, attn_tensors **tensors, attn_error *error) {
    attn_printable printable;
    char *path, advice[400];
    if (attn_file_is_in(directory, MODEL_NAME)) {
        attn_status status = attn_file_path_in(directory, MODEL_NAME, &path, error);
        if (status != ATTN_OK)
            return status;
        status = attn_tensors_open_file(path, tensors, error);
        free(path);
        return status;
    }
    if (attn_file_is_in(directory, INDEX_NAME))
        return open_index(directory, tensors, error);
    if (attn_unsupported_find(directory, advice, sizeof advice))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: expected " MODEL_NAME " or " INDEX_NAME ", %s",
                         attn_make_printable(&printable, directory), advice);
    return attn_fail(error, ATTN_BAD_MODEL, "%s: expected " MODEL_NAME " or " INDEX_NAME ", found neither",
                     attn_make_printable(&printable, directory));
}

void attn_tensors_close(attn_tensors *tensors) {
    if (tensors == NULL)
        return;
    for (size_t i = 0; i < tensors->shard_count; i++) {
        attn_safetensors_close(tensors->shards[i].file);
        free(tensors->shards[i].name);
    }
    free(tensors->shards);
    free(tensors->places);
    free(tensors);
}

size_t attn_tensors_count(const attn_tensors *tensors) {
    return tensors->count;
}

attn_tensor_place attn_tensors_at(const attn_tensors *tensors, size_t index) {
    return tensors->places[index];
}

bool attn_tensors_find(const attn_tensors *tensors, const char *name, attn_tensor_place *place) {
    const attn_tensor_place *found = find_place(tensors, name);
    if (found != NULL)
        *place = *found;
    return found != NULL;
}

const char *attn_tensors_path(const attn_tensors *tensors) {
    return tensors->path.text;
}

const char *attn_tensors_metadata(const attn_tensors *tensors, const char *key) {
    return tensors->has_index ? NULL : attn_safetensors_metadata(tensors->shards[0].file, key);
}
