#include "core/model/huggingface.h"

#include "core/model/config.h"
#include "core/model/json_value.h"
#include "core/model/layout.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS_MAX      1024
#define TENSOR_NAME_MAX 192 /* of a tensor, prefix and number included */

/* A key of config.json that changes how attention is computed, and the one value (also that of an absent key)
 * with which this version serves the model. */
typedef struct {
    const char *key;
    const char *only; /* a string; NULL: false */
    const char *why;
} demand;

/* One family of models. `names` are for printf and get the number of the layer. */
typedef struct {
    const char *model_type;
    const char *width, *heads, *layers, *dropout; /* keys of config.json */
    double default_dropout;                       /* transformers' own, where the key is absent */
    demand demands[4];
    const char *prefixes[3];       /* before each name, depending on the class that was saved */
    const char *names[ATTN_SLOTS]; /* in the order of attn_slot */
} family;

static const family families[] = {
    {
        .model_type = "bert",
        .width = "hidden_size",
        .heads = "num_attention_heads",
        .layers = "num_hidden_layers",
        .dropout = "attention_probs_dropout_prob",
        .default_dropout = 0.1,
        .demands = {{"position_embedding_type", "absolute", "relative positions change the scores"},
                    {"is_decoder", NULL, "decoders of this family are not served"},
                    {"add_cross_attention", NULL, "cross-attention of this family is not served"}},
        .prefixes = {"", "bert."},
        .names = {"encoder.layer.%zu.attention.self.query.weight",
                  "encoder.layer.%zu.attention.self.key.weight",
                  "encoder.layer.%zu.attention.self.value.weight",
                  "encoder.layer.%zu.attention.output.dense.weight",
                  "encoder.layer.%zu.attention.self.query.bias", "encoder.layer.%zu.attention.self.key.bias",
                  "encoder.layer.%zu.attention.self.value.bias",
                  "encoder.layer.%zu.attention.output.dense.bias"},
    },
};
#define FAMILIES (sizeof families / sizeof families[0])

bool attn_huggingface_is(const json_t *config) {
    return json_object_get(config, "model_type") != NULL;
}

static attn_status find_family(const attn_checkpoint *checkpoint, const family **result, attn_error *error) {
    const json_t *type = json_object_get(checkpoint->config, "model_type");
    char known[128] = "";
    for (size_t i = 0; i < FAMILIES; i++) {
        if (json_is_string(type) && strcmp(families[i].model_type, json_string_value(type)) == 0) {
            *result = &families[i];
            return ATTN_OK;
        }
        attn_list(known, sizeof known, families[i].model_type);
    }
    attn_shown found;
    return attn_fail(error, ATTN_BAD_MODEL, "%s: \"model_type\": expected one of those served (%s), found %s",
                     checkpoint->where, known, attn_json_show(&found, type));
}

static attn_status check_demands(const attn_checkpoint *checkpoint, const family *f, attn_error *error) {
    for (const demand *d = f->demands; d->key != NULL; d++) {
        const json_t *value = json_object_get(checkpoint->config, d->key);
        if (value == NULL || json_is_null(value))
            continue;
        if (d->only != NULL && json_is_string(value) && strcmp(json_string_value(value), d->only) == 0)
            continue;
        if (d->only == NULL && json_is_false(value))
            continue;
        attn_shown found;
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found %s: %s", checkpoint->where,
                         d->key, d->only != NULL ? d->only : "false", attn_json_show(&found, value), d->why);
    }
    return ATTN_OK;
}

static attn_status take_whole(const attn_checkpoint *checkpoint, const char *key, size_t most, size_t *result,
                              attn_error *error) {
    const json_t *value = json_object_get(checkpoint->config, key);
    if (value == NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\" is missing", checkpoint->where, key);
    return attn_json_whole(checkpoint->where, key, value, 1, most, result, error);
}

static attn_status take_config(const attn_checkpoint *checkpoint, const family *f, attn_config *config,
                               size_t *layers, attn_error *error) {
    *config = (attn_config){.bias = true, .dropout = f->default_dropout};
    attn_status status = check_demands(checkpoint, f, error);
    if (status == ATTN_OK)
        status = take_whole(checkpoint, f->width, ATTN_DIMENSION_MAX, &config->embed_dim, error);
    if (status == ATTN_OK)
        status = take_whole(checkpoint, f->heads, ATTN_DIMENSION_MAX, &config->num_heads, error);
    if (status == ATTN_OK)
        status = take_whole(checkpoint, f->layers, LAYERS_MAX, layers, error);
    const json_t *dropout = json_object_get(checkpoint->config, f->dropout);
    if (status == ATTN_OK && dropout != NULL && !json_is_null(dropout))
        status = attn_json_fraction(checkpoint->where, f->dropout, dropout, &config->dropout, error);
    return status == ATTN_OK ? attn_config_complete(checkpoint->where, config, error) : status;
}

static void tensor_name(const family *f, const char *prefix, attn_slot slot, size_t layer, char *name) {
    const int length = snprintf(name, TENSOR_NAME_MAX, "%s", prefix);
    snprintf(name + length, TENSOR_NAME_MAX - (size_t)length, f->names[slot], layer);
}

/* The prefix under which the file has the first layer; the first one if it has it under none, and then a
 * sentence about the missing tensor follows. */
static const char *find_prefix(const attn_safetensors *file, const family *f) {
    char name[TENSOR_NAME_MAX];
    for (const char *const *prefix = f->prefixes; *prefix != NULL; prefix++) {
        tensor_name(f, *prefix, ATTN_Q_WEIGHT, 0, name);
        if (attn_safetensors_find(file, name) != NULL)
            return *prefix;
    }
    return f->prefixes[0];
}

static attn_status load_layer(const attn_checkpoint *checkpoint, const family *f, const attn_config *config,
                              size_t layer, attn_model *model, attn_error *error) {
    const char *prefix = find_prefix(checkpoint->file, f);
    char names[ATTN_SLOTS][TENSOR_NAME_MAX];
    attn_source sources[ATTN_SLOTS];
    for (int slot = 0; slot < ATTN_SLOTS; slot++) {
        tensor_name(f, prefix, (attn_slot)slot, layer, names[slot]);
        sources[slot] = (attn_source){.name = names[slot], .first = (attn_slot)slot, .slots = 1};
    }
    model->layout = f->model_type;
    return attn_sources_load(checkpoint->file, sources, ATTN_SLOTS, config, model, error);
}

attn_status attn_huggingface_load(const attn_checkpoint *checkpoint, const char *name, size_t layer,
                                  attn_registry *loaded, attn_error *error) {
    const family *f = NULL;
    attn_config config;
    size_t layers = 0;
    attn_status status = find_family(checkpoint, &f, error);
    if (status == ATTN_OK)
        status = take_config(checkpoint, f, &config, &layers, error);
    if (status != ATTN_OK)
        return status;
    const bool all = layer == ATTN_ALL_LAYERS;
    if (!all && layer >= layers)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: layer %zu was asked for, the checkpoint has 0 to %zu",
                         checkpoint->where, layer, layers - 1);
    loaded->models = calloc(all ? layers : 1, sizeof *loaded->models);
    if (loaded->models == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for %zu layers", checkpoint->where, layers);
    for (size_t i = all ? 0 : layer; i < (all ? layers : layer + 1); i++) {
        attn_model *model = &loaded->models[loaded->count];
        status = load_layer(checkpoint, f, &config, i, model, error);
        if (status != ATTN_OK)
            return status;
        loaded->count++;
        snprintf(model->name, sizeof model->name, all ? "%s.%zu" : "%s", name, i);
    }
    return ATTN_OK;
}
