#include "core/model/torch.h"

#include "core/model/config.h"
#include "core/model/layout.h"
#include "core/model/shown.h"

#include <string.h>

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

typedef struct {
    attn_source sources[ATTN_SLOTS];
    size_t count;
} source_list;

static void add_sources(source_list *list, const attn_source *sources, size_t count) {
    memcpy(list->sources + list->count, sources, count * sizeof *sources);
    list->count += count;
}
#define ADD_SOURCES(list, sources) add_sources(list, sources, sizeof(sources) / sizeof(sources)[0])

static bool has(const attn_tensors *tensors, const attn_source *source) {
    attn_tensor_place place;
    return attn_tensors_find(tensors, source->name, &place);
}

/* torch saves bias_k as [1, 1, E]; without the ones it means the same. */
static void add_extra_key(source_list *list, const attn_tensors *tensors) {
    ADD_SOURCES(list, extra_key);
    for (size_t i = list->count - 2; i < list->count; i++) {
        attn_tensor_place place;
        if (attn_tensors_find(tensors, list->sources[i].name, &place) && place.tensor->rank == 1)
            list->sources[i].ones = 0;
    }
}

/* What a layer with this configuration has. */
static void list_sources(const attn_tensors *tensors, const attn_config *config, source_list *list) {
    const bool same = config->kdim == config->embed_dim && config->vdim == config->embed_dim;
    list->count = 0;
    if (has(tensors, joint) || (same && !has(tensors, separate)))
        ADD_SOURCES(list, joint);
    else
        ADD_SOURCES(list, separate);
    if (config->bias)
        ADD_SOURCES(list, biases);
    ADD_SOURCES(list, output);
    if (config->add_bias_kv)
        add_extra_key(list, tensors);
    if (config->qk_norm)
        ADD_SOURCES(list, norms);
    if (config->sinks)
        ADD_SOURCES(list, sinks);
    if (config->relative_bias.buckets != 0)
        ADD_SOURCES(list, relative_bias);
}

static attn_status check_joint(const attn_tensors *tensors, const attn_config *config, attn_error *error) {
    attn_tensor_place place;
    const bool same = config->kdim == config->embed_dim && config->vdim == config->embed_dim;
    if (same || !attn_tensors_find(tensors, joint[0].name, &place))
        return ATTN_OK;
    return attn_tensor_fail(place.file, joint[0].name, error,
                            "unexpected, with embed_dim %zu, kdim %zu and vdim %zu the projections are "
                            "q_proj_weight, k_proj_weight and v_proj_weight",
                            config->embed_dim, config->kdim, config->vdim);
}

static attn_status check_nothing_else(const attn_tensors *tensors, const source_list *list,
                                      attn_error *error) {
    for (size_t i = 0; i < attn_tensors_count(tensors); i++) {
        const attn_tensor_place place = attn_tensors_at(tensors, i);
        size_t k = 0;
        while (k < list->count && strcmp(list->sources[k].name, place.tensor->name) != 0)
            k++;
        if (k < list->count)
            continue;
        char known[256] = "";
        for (k = 0; k < list->count; k++)
            attn_list(known, sizeof known, list->sources[k].name);
        return attn_tensor_fail(place.file, place.tensor->name, error,
                                "unexpected, a layer with this configuration has %s", known);
    }
    return ATTN_OK;
}

static attn_status load_with(const attn_tensors *tensors, const char *where, const json_t *config_json,
                             const attn_config *config, attn_model *model, attn_error *error) {
    source_list list;
    float *arrays[ATTN_SLOTS];
    attn_model loaded = *model;
    attn_status status = check_joint(tensors, config, error);
    list_sources(tensors, config, &list);
    if (status == ATTN_OK)
        status = check_nothing_else(tensors, &list, error);
    if (status == ATTN_OK)
        status = attn_sources_load(tensors, list.sources, list.count, config, &loaded, arrays, error);
    if (status != ATTN_OK)
        return status;
    status = attn_config_fill(where, config_json, config, arrays, error);
    if (status != ATTN_OK) {
        attn_weights_discard(arrays, &loaded);
        return status;
    }
    status = attn_weights_pack(attn_tensors_shown(tensors), arrays, &loaded, error);
    if (status != ATTN_OK)
        return status;
    *model = loaded;
    model->layout = "torch";
    return ATTN_OK;
}

attn_status attn_torch_load(const attn_tensors *tensors, const char *where, const json_t *config_json,
                            attn_model *model, attn_error *error) {
    attn_config config;
    const attn_status status =
        attn_config_from_json(where, config_json, model->layer.config.precision, &config, error);
    if (status != ATTN_OK)
        return status;
    config.sinks = has(tensors, sinks);
    return load_with(tensors, where, config_json, &config, model, error);
}
