#include "core/model/checkpoint/huggingface.h"

#include "core/model/checkpoint/config_json.h"
#include "core/model/checkpoint/key_rules.h"
#include "core/model/files/json_value.h"
#include "core/printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR_NAME_MAX 192 /* of a tensor, prefix and number included */

/* A part of the family that the checkpoint has. */
typedef struct {
    const attn_part *part;
    const char *prefix; /* before the names of its tensors */
    size_t layers;
} found_part;

typedef struct {
    const attn_checkpoint *checkpoint;
    attn_family_keys keys;
    found_part parts[ATTN_PARTS_MAX];
    size_t count;
} loading;

bool attn_huggingface_is(const json_t *config) {
    return json_object_get(config, "model_type") != NULL;
}

static attn_status find_family(const attn_checkpoint *checkpoint, const attn_family **result,
                               attn_error *error) {
    const json_t *type = json_object_get(checkpoint->config, "model_type");
    size_t count;
    const attn_family *families = attn_families(&count);
    char known[256] = "";
    for (size_t i = 0; i < count; i++) {
        if (json_is_string(type) && strcmp(families[i].model_type, json_string_value(type)) == 0) {
            *result = &families[i];
            return ATTN_OK;
        }
        attn_list_add(known, sizeof known, families[i].model_type);
    }
    attn_printable found;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: \"model_type\": expected one of those served (%s), found %s",
                     checkpoint->where, known, attn_json_printable(&found, type));
}

/* The object that has the family's keys. `where` [size] is for its name in sentences. */
static attn_status find_keys(const attn_checkpoint *checkpoint, attn_family_keys *keys, char *where,
                             size_t size, attn_error *error) {
    attn_printable found;
    const char *inside = keys->family->inside;
    keys->where = checkpoint->where;
    keys->object = checkpoint->config;
    if (inside == NULL)
        return ATTN_OK;
    const json_t *object = json_object_get(checkpoint->config, inside);
    snprintf(where, size, "%s: \"%s\"", checkpoint->where, inside);
    keys->where = where;
    keys->object = object;
    if (json_is_object(object))
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: expected an object, found %s", where,
                     object == NULL ? "no such key" : attn_json_printable(&found, object));
}

static attn_status check_keys(const attn_checkpoint *checkpoint, const attn_family_keys *keys,
                              attn_error *error) {
    ATTN_TRY(
        attn_key_rules_check(keys->where, keys->family->model_type, keys->object, keys->warnings, error));
    if (keys->object != checkpoint->config)
        ATTN_TRY(attn_key_rules_check(checkpoint->where, NULL, checkpoint->config, keys->warnings, error));
    return ATTN_OK;
}

/* The prefix under which the checkpoint has the part, or NULL. */
static const char *find_prefix(const attn_tensors *tensors, const attn_family *f, const attn_part *part) {
    const char *name = part->tensors[0].name;
    const size_t length = strcspn(name, "%"); /* up to the number of the layer */
    for (size_t k = 0; k < ATTN_PREFIXES_MAX && f->prefixes[k] != NULL; k++) {
        const char *prefix = f->prefixes[k];
        const size_t before = strlen(prefix);
        for (size_t i = 0; i < attn_tensors_count(tensors); i++) {
            const char *found = attn_tensors_at(tensors, i).tensor->name;
            if (strncmp(found, prefix, before) == 0 && strncmp(found + before, name, length) == 0)
                return prefix;
        }
    }
    return NULL;
}

/* Lists the parts that are there; if there are none at all, the first, and a sentence about its missing
 * tensor follows. */
static attn_status find_parts(loading *l, attn_error *error) {
    const attn_family *f = l->keys.family;
    for (size_t i = 0; i < ATTN_PARTS_MAX && f->parts[i].layers.key != NULL; i++) {
        const char *prefix = find_prefix(l->checkpoint->tensors, f, &f->parts[i]);
        if (prefix != NULL || !f->parts[i].optional)
            l->parts[l->count++] = (found_part){.part = &f->parts[i], .prefix = prefix};
    }
    if (l->count == 0)
        l->parts[l->count++].part = &f->parts[0];
    for (size_t i = 0; i < l->count; i++) {
        if (l->parts[i].prefix == NULL)
            l->parts[i].prefix = f->prefixes[0];
        ATTN_TRY(attn_family_layers(&l->keys, l->parts[i].part, &l->parts[i].layers, error));
    }
    return ATTN_OK;
}

/* Lists the sources of a layer; `names` holds their names. */
static size_t list_sources(const found_part *p, size_t layer, bool biases, attn_source *sources,
                           char (*names)[TENSOR_NAME_MAX]) {
    const attn_source *const lists[] = {p->part->tensors, biases ? p->part->biases : NULL};
    size_t count = 0;
    for (size_t i = 0; i < 2 && lists[i] != NULL; i++) {
        for (size_t k = 0; k < ATTN_PART_TENSORS && lists[i][k].name != NULL; k++) {
            const int length = snprintf(names[count], TENSOR_NAME_MAX, "%s", p->prefix);
            snprintf(names[count] + length, TENSOR_NAME_MAX - (size_t)length, lists[i][k].name, layer);
            sources[count] = lists[i][k];
            sources[count].name = names[count];
            count++;
        }
    }
    return count;
}

/* Some modules of the checkpoint may be quantised: these tensors must not be. The key is at
 * the top, where transformers reads it, and in some objects too. */
static attn_status check_quantized(const loading *l, const attn_source *sources, size_t count,
                                   attn_error *error) {
    const json_t *const configs[] = {l->checkpoint->config, l->keys.object};
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < (configs[0] == configs[1] ? 1 : 2); i++) {
        const json_t *quantization = json_object_get(configs[i], "quantization_config");
        const bool is_none =
            quantization == NULL || json_is_null(quantization) || json_is_false(quantization);
        for (size_t k = 0; k < count && !is_none && status == ATTN_OK; k++)
            status = attn_quantized_check(i == 0 ? l->checkpoint->where : l->keys.where, quantization,
                                          l->checkpoint->tensors, sources[k].name, error);
    }
    return status;
}

/* transformers makes a missing tensor up; here the sentence names the key that asks for it. */
static void name_key(const loading *l, const found_part *p, const attn_source *sources, size_t count,
                     attn_error *error) {
    attn_tensor_place place;
    const char *key = attn_family_name(&l->keys, p->part->layers.key);
    size_t missing = 0, plain = 0;
    while (missing < count && attn_tensors_find(l->checkpoint->tensors, sources[missing].name, &place))
        missing++;
    while (plain < ATTN_PART_TENSORS && p->part->tensors[plain].name != NULL)
        plain++;
    if (missing >= plain && l->keys.family->bias != NULL)
        key = l->keys.family->bias;
    if (missing < count && error != NULL && strstr(error->text, "\": missing, ") != NULL) {
        const size_t length = strlen(error->text);
        snprintf(error->text + length, sizeof error->text - length, ", by \"%s\" of config.json", key);
    }
}

static attn_status load_layer(const loading *l, const found_part *p, size_t layer, attn_model *model,
                              attn_error *error) {
    const attn_tensors *tensors = l->checkpoint->tensors;
    attn_source sources[2 * ATTN_PART_TENSORS];
    char names[2 * ATTN_PART_TENSORS][TENSOR_NAME_MAX];
    float *arrays[ATTN_SLOTS];
    attn_config config;
    attn_status status = attn_family_config(&l->keys, p->part, layer, &config, error);
    if (status != ATTN_OK)
        return status;
    config.precision = model->layer.config.precision;
    const size_t count = list_sources(p, layer, config.bias, sources, names);
    status = check_quantized(l, sources, count, error);
    if (status != ATTN_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (sources[i].first >= ATTN_Q_BIAS && sources[i].first <= ATTN_O_BIAS)
            config.bias = true;
    model->layout = l->keys.family->model_type;
    status = attn_sources_load(tensors, sources, count, &config, model, arrays, error);
    if (status != ATTN_OK) {
        name_key(l, p, sources, count, error);
        return status;
    }
    status = attn_family_fill(&l->keys, layer, &config, arrays, error);
    if (status == ATTN_OK)
        return attn_weights_pack(attn_tensors_path(tensors), arrays, model, error);
    attn_weights_discard(arrays, model);
    return status;
}

/* Loads one layer as the next model, called NAME, and `.PART` and `.NUMBER` behind it if it is one of
 * many. */
static attn_status add_layer(const loading *l, const found_part *p, size_t layer, const char *name,
                             bool is_one, attn_registry *loaded, attn_error *error) {
    char full[sizeof((attn_model *)0)->name];
    attn_model *model;
    if (is_one)
        snprintf(full, sizeof full, "%s", name);
    else if (p->part->name == NULL)
        snprintf(full, sizeof full, "%s.%zu", name, layer);
    else
        snprintf(full, sizeof full, "%s.%s.%zu", name, p->part->name, layer);
    ATTN_TRY(attn_registry_add(loaded, full, &model, error));
    return load_layer(l, p, layer, model, error);
}

/* Finds the layer called `text`. */
static attn_status find_layer(const loading *l, const char *text, const found_part **part, size_t *layer,
                              attn_error *error) {
    char known[160] = "", item[64];
    for (size_t i = 0; i < l->count; i++) {
        const found_part *p = &l->parts[i];
        const char *name = p->part->name != NULL ? p->part->name : "", *dot = name[0] == '\0' ? "" : ".";
        const size_t length = strlen(name) + strlen(dot);
        const char *digits = strncmp(text, name, strlen(name)) == 0 ? text + strlen(name) : "";
        if (dot[0] != '\0')
            digits = digits[0] == '.' ? digits + 1 : "";
        if (digits[0] != '\0' && digits[strspn(digits, "0123456789")] == '\0' && strlen(text) < length + 9) {
            *layer = strtoul(digits, NULL, 10);
            *part = p;
            if (*layer < p->layers)
                return ATTN_OK;
        }
        snprintf(item, sizeof item, "%s%s0 to %s%s%zu", name, dot, name, dot, p->layers - 1);
        attn_list_add(known, sizeof known, item);
    }
    attn_printable printable;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: layer %s was asked for, the checkpoint has %s",
                     l->checkpoint->where, attn_make_printable(&printable, text), known);
}

static attn_status load_one(const loading *l, const char *name, const char *text, attn_registry *loaded,
                            attn_error *error) {
    const found_part *part = NULL;
    size_t layer = 0;
    ATTN_TRY(find_layer(l, text, &part, &layer, error));
    return add_layer(l, part, layer, name, true, loaded, error);
}

static attn_status load_all(const loading *l, const char *name, attn_registry *loaded, attn_error *error) {
    for (size_t i = 0; i < l->count; i++)
        for (size_t layer = 0; layer < l->parts[i].layers; layer++)
            ATTN_TRY(add_layer(l, &l->parts[i], layer, name, false, loaded, error));
    return ATTN_OK;
}

attn_status attn_huggingface_load(const attn_checkpoint *checkpoint, const char *name, const char *layer,
                                  attn_registry *loaded, attn_error *error) {
    loading l = {.checkpoint = checkpoint, .keys = {.warnings = &loaded->warnings}};
    char where[sizeof(attn_printable) + 32];
    ATTN_TRY(find_family(checkpoint, &l.keys.family, error));
    ATTN_TRY(find_keys(checkpoint, &l.keys, where, sizeof where, error));
    ATTN_TRY(check_keys(checkpoint, &l.keys, error));
    ATTN_TRY(find_parts(&l, error));
    return layer == NULL ? load_all(&l, name, loaded, error) : load_one(&l, name, layer, loaded, error);
}
