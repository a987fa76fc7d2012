#include "core/model/torch.h"

#include "core/model/config.h"
#include "core/model/layout.h"
#include "core/printable.h"

#include <stdio.h>
#include <string.h>

#define PREFIX_MAX     ((size_t)256)
#define NAME_MAX_BYTES (PREFIX_MAX + 32)

/* The tensors, under torch's names; the last four have no counterpart there.
 *
 * torch.nn.MultiheadAttention keeps one joint projection exactly when kdim and vdim equal embed_dim
 * (torch/nn/modules/activation.py, _qkv_same_embed_dim); separate ones are read for any widths. */
static const attn_source joint[] = {{.name = "in_proj_weight", .first = ATTN_Q_WEIGHT, .slots = 3}};
static const attn_source separate[] = {{.name = "q_proj_weight", .first = ATTN_Q_WEIGHT, .slots = 1},
                                       {.name = "k_proj_weight", .first = ATTN_K_WEIGHT, .slots = 1},
                                       {.name = "v_proj_weight", .first = ATTN_V_WEIGHT, .slots = 1}};
static const attn_source output[] = {{.name = "out_proj.weight", .first = ATTN_O_WEIGHT, .slots = 1}};
static const attn_source biases[] = {{.name = "in_proj_bias", .first = ATTN_Q_BIAS, .slots = 3},
                                     {.name = "out_proj.bias", .first = ATTN_O_BIAS, .slots = 1}};
static const attn_source extra_key[] = {{.name = "bias_k", .first = ATTN_BIAS_K, .slots = 1, .ones = 2},
                                        {.name = "bias_v", .first = ATTN_BIAS_V, .slots = 1, .ones = 2}};
static const attn_source norms[] = {{.name = "q_norm.weight", .first = ATTN_Q_NORM, .slots = 1},
                                    {.name = "k_norm.weight", .first = ATTN_K_NORM, .slots = 1}};
static const attn_source sinks[] = {{.name = "sinks", .first = ATTN_SINKS, .slots = 1}};
static const attn_source relative_bias[] = {
    {.name = "relative_bias.weight", .first = ATTN_RELATIVE_BIAS, .slots = 1}};

/* The tensors of a layer, and what stands before all their names. */
typedef struct {
    const attn_tensors *tensors;
    char prefix[PREFIX_MAX + 1];
} state_dict;

typedef struct {
    attn_source sources[ATTN_SLOTS];
    char names[ATTN_SLOTS][NAME_MAX_BYTES];
    size_t count;
} source_list;

static void add_sources(const state_dict *d, source_list *list, const attn_source *sources, size_t count) {
    for (size_t i = 0; i < count; i++, list->count++) {
        char *name = list->names[list->count];
        snprintf(name, NAME_MAX_BYTES, "%s%s", d->prefix, sources[i].name);
        list->sources[list->count] = sources[i];
        list->sources[list->count].name = name;
    }
}
#define ADD_SOURCES(d, list, sources) add_sources(d, list, sources, sizeof(sources) / sizeof(sources)[0])

static bool find(const state_dict *d, const attn_source *source, attn_tensor_place *place) {
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "%s%s", d->prefix, source->name);
    return attn_tensors_find(d->tensors, name, place);
}

static bool has(const state_dict *d, const attn_source *source) {
    attn_tensor_place place;
    return find(d, source, &place);
}

/* torch saves bias_k as [1, 1, E]; without the ones it means the same. */
static void add_extra_key(const state_dict *d, source_list *list) {
    ADD_SOURCES(d, list, extra_key);
    for (size_t i = list->count - 2; i < list->count; i++) {
        attn_tensor_place place;
        if (attn_tensors_find(d->tensors, list->sources[i].name, &place) && place.tensor->rank == 1)
            list->sources[i].ones = 0;
    }
}

/* What a layer with this configuration has. */
static void list_sources(const state_dict *d, const attn_config *config, source_list *list) {
    const bool same = config->kdim == config->embed_dim && config->vdim == config->embed_dim;
    list->count = 0;
    if (has(d, joint) || (same && !has(d, separate)))
        ADD_SOURCES(d, list, joint);
    else
        ADD_SOURCES(d, list, separate);
    if (config->bias)
        ADD_SOURCES(d, list, biases);
    ADD_SOURCES(d, list, output);
    if (config->add_bias_kv)
        add_extra_key(d, list);
    if (config->qk_norm)
        ADD_SOURCES(d, list, norms);
    if (config->sinks)
        ADD_SOURCES(d, list, sinks);
    if (config->relative_bias.buckets != 0)
        ADD_SOURCES(d, list, relative_bias);
}

static attn_status check_joint(const state_dict *d, const attn_config *config, attn_error *error) {
    attn_tensor_place place;
    const bool same = config->kdim == config->embed_dim && config->vdim == config->embed_dim;
    if (same || !find(d, joint, &place))
        return ATTN_OK;
    return attn_tensor_fail(place.file, place.tensor->name, error,
                            "unexpected, with embed_dim %zu, kdim %zu and vdim %zu the projections are "
                            "q_proj_weight, k_proj_weight and v_proj_weight",
                            config->embed_dim, config->kdim, config->vdim);
}

/* Tensors that do not begin with the prefix are not part of the layer. */
static attn_status check_nothing_else(const state_dict *d, const source_list *list, attn_error *error) {
    for (size_t i = 0; i < attn_tensors_count(d->tensors); i++) {
        const attn_tensor_place place = attn_tensors_at(d->tensors, i);
        size_t k = 0;
        while (k < list->count && strcmp(list->sources[k].name, place.tensor->name) != 0)
            k++;
        if (k < list->count || strncmp(place.tensor->name, d->prefix, strlen(d->prefix)) != 0)
            continue;
        char known[256] = "";
        for (k = 0; k < list->count; k++)
            attn_list_add(known, sizeof known, list->sources[k].name + strlen(d->prefix));
        return attn_tensor_fail(place.file, place.tensor->name, error,
                                "unexpected, a layer with this configuration has %s", known);
    }
    return ATTN_OK;
}

/* Is this tensor the output projection of a layer whose input projections are there too? Writes the prefix of
 * its name. */
static bool is_layer(const attn_tensors *tensors, const char *name, state_dict *found) {
    const size_t length = strlen(name), end = strlen(output[0].name);
    if (length < end || length - end > PREFIX_MAX || strcmp(name + length - end, output[0].name) != 0)
        return false;
    found->tensors = tensors;
    snprintf(found->prefix, sizeof found->prefix, "%.*s", (int)(length - end), name);
    return has(found, joint) || has(found, separate);
}

/* Finds the one layer in the state_dict of a larger module. The tensors of a layer saved alone have no
 * prefix; if there is no layer at all, a sentence about the missing tensor follows. */
static attn_status find_prefix(const char *where, state_dict *d, attn_error *error) {
    char known[320] = "";
    size_t count = 0;
    state_dict found;
    attn_printable printable;
    for (size_t i = 0; i < attn_tensors_count(d->tensors); i++) {
        if (!is_layer(d->tensors, attn_tensors_at(d->tensors, i).tensor->name, &found))
            continue;
        if (found.prefix[0] == '\0') {
            d->prefix[0] = '\0';
            return ATTN_OK;
        }
        attn_list_add(known, sizeof known, attn_make_printable(&printable, found.prefix));
        memcpy(d->prefix, found.prefix, sizeof d->prefix);
        count++;
    }
    if (count <= 1)
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_MODEL,
                     "%s: one layer is expected, %s has %zu: choose one with a # and its prefix behind the "
                     "directory: %s",
                     where, attn_tensors_path(d->tensors), count, known);
}

/* Says which layers there are instead of those under a prefix. */
static attn_status fail_prefix(const char *where, const char *prefix, const state_dict *d,
                               attn_error *error) {
    char known[320] = "";
    state_dict found;
    attn_printable printable, name;
    attn_make_printable(&printable, prefix);
    for (size_t i = 0; i < attn_tensors_count(d->tensors); i++) {
        if (!is_layer(d->tensors, attn_tensors_at(d->tensors, i).tensor->name, &found))
            continue;
        if (found.prefix[0] == '\0')
            return attn_fail(error, ATTN_BAD_MODEL,
                             "%s: layer %s was asked for, but this is one layer and not one of many", where,
                             printable.text);
        attn_list_add(known, sizeof known, attn_make_printable(&name, found.prefix));
    }
    return attn_fail(
        error, ATTN_BAD_MODEL,
        "%s: tensors that begin with \"%s\" were asked for, %s has none; it has layers under: %s", where,
        printable.text, attn_tensors_path(d->tensors), known[0] == '\0' ? "nothing" : known);
}

/* The prefix that was asked for, with or without the dot at its end. */
static attn_status use_prefix(const char *where, const char *prefix, state_dict *d, attn_error *error) {
    const size_t length = strlen(prefix);
    if (length >= PREFIX_MAX)
        return fail_prefix(where, prefix, d, error);
    snprintf(d->prefix, sizeof d->prefix, "%s%s", prefix, prefix[length - 1] == '.' ? "" : ".");
    for (size_t i = 0; i < attn_tensors_count(d->tensors); i++)
        if (strncmp(attn_tensors_at(d->tensors, i).tensor->name, d->prefix, strlen(d->prefix)) == 0)
            return ATTN_OK;
    return fail_prefix(where, prefix, d, error);
}

static attn_status load_with(const state_dict *d, const char *where, const json_t *config_json,
                             const attn_config *config, attn_model *model, attn_error *error) {
    source_list list;
    float *arrays[ATTN_SLOTS];
    attn_model loaded = *model;
    ATTN_TRY(check_joint(d, config, error));
    list_sources(d, config, &list);
    ATTN_TRY(check_nothing_else(d, &list, error));
    ATTN_TRY(attn_sources_load(d->tensors, list.sources, list.count, config, &loaded, arrays, error));
    const attn_status status = attn_config_fill(where, config_json, config, arrays, error);
    if (status != ATTN_OK) {
        attn_weights_discard(arrays, &loaded);
        return status;
    }
    ATTN_TRY(attn_weights_pack(attn_tensors_path(d->tensors), arrays, &loaded, error));
    *model = loaded;
    model->layout = "torch";
    return ATTN_OK;
}

attn_status attn_torch_load(const attn_tensors *tensors, const char *prefix, const char *where,
                            const json_t *config_json, attn_model *model, attn_error *error) {
    state_dict d = {.tensors = tensors};
    attn_config config;
    ATTN_TRY(attn_config_from_json(where, config_json, model->layer.config.precision, &config, error));
    ATTN_TRY(prefix == NULL ? find_prefix(where, &d, error) : use_prefix(where, prefix, &d, error));
    config.sinks = has(&d, sinks);
    return load_with(&d, where, config_json, &config, model, error);
}
