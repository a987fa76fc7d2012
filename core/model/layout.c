#include "core/model/layout.h"

#include "core/model/shown.h"

#include <stdlib.h>
#include <string.h>

static bool is_bias(attn_slot slot) {
    return slot >= ATTN_Q_BIAS;
}

static attn_status check_source(const attn_safetensors *file, const attn_source *source,
                                const attn_config *config, attn_error *error) {
    const size_t expected[] = {source->slots * config->embed_dim, attn_slot_columns(config, source->first)};
    const size_t rank = is_bias(source->first) ? 1 : 2;
    char wanted[64], found[192];
    attn_shape_show(expected, rank, wanted, sizeof wanted);
    const attn_tensor *tensor = attn_safetensors_find(file, source->name);
    if (tensor == NULL)
        return attn_tensor_fail(file, source->name, error, "missing, expected with shape %s", wanted);
    if (tensor->dtype->to_float == NULL)
        return attn_tensor_fail(file, source->name, error, "dtype: expected " ATTN_WEIGHT_DTYPES ", found %s",
                                tensor->dtype->name);
    if (tensor->rank != rank || memcmp(tensor->shape, expected, rank * sizeof expected[0]) != 0) {
        attn_shape_show(tensor->shape, tensor->rank, found, sizeof found);
        return attn_tensor_fail(file, source->name, error, "expected shape %s, found %s", wanted, found);
    }
    return ATTN_OK;
}

static attn_status read_source(const attn_safetensors *file, const attn_source *source,
                               float *const arrays[ATTN_SLOTS], attn_error *error) {
    const attn_tensor *tensor = attn_safetensors_find(file, source->name);
    const size_t each = tensor->count / source->slots; /* the stacked arrays have the same width */
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < source->slots && status == ATTN_OK; i++)
        status = attn_safetensors_read(file, tensor, i * each, each, arrays[source->first + i], error);
    return status;
}

attn_status attn_sources_load(const attn_safetensors *file, const attn_source *sources, size_t count,
                              const attn_config *config, attn_model *model, attn_error *error) {
    attn_status status = ATTN_OK;
    /* Shapes before memory: then a file cannot ask for more than a few times its own size. */
    for (size_t i = 0; i < count && status == ATTN_OK; i++)
        status = check_source(file, &sources[i], config, error);
    if (status != ATTN_OK)
        return status;
    float *arrays[ATTN_SLOTS];
    attn_model loaded = *model;
    status = attn_weights_allocate(attn_safetensors_shown(file), config, &loaded, arrays, error);
    if (status != ATTN_OK)
        return status;
    for (size_t i = 0; i < count && status == ATTN_OK; i++)
        status = read_source(file, &sources[i], arrays, error);
    if (status == ATTN_OK)
        *model = loaded;
    else
        free(loaded.storage);
    return status;
}

/* torch.nn.MultiheadAttention keeps one joint projection exactly when kdim and vdim equal embed_dim
 * (torch/nn/modules/activation.py, _qkv_same_embed_dim); separate ones are read for any widths. */
static const attn_source joint[] = {{"in_proj_weight", ATTN_Q_WEIGHT, 3}};
static const attn_source separate[] = {{"q_proj_weight", ATTN_Q_WEIGHT, 1},
                                       {"k_proj_weight", ATTN_K_WEIGHT, 1},
                                       {"v_proj_weight", ATTN_V_WEIGHT, 1}};
static const attn_source output[] = {{"out_proj.weight", ATTN_O_WEIGHT, 1}};
static const attn_source biases[] = {{"in_proj_bias", ATTN_Q_BIAS, 3}, {"out_proj.bias", ATTN_O_BIAS, 1}};

typedef struct {
    attn_source sources[ATTN_SLOTS];
    size_t count;
} source_list;

static void add_sources(source_list *list, const attn_source *sources, size_t count) {
    memcpy(list->sources + list->count, sources, count * sizeof *sources);
    list->count += count;
}
#define ADD_SOURCES(list, sources) add_sources(list, sources, sizeof(sources) / sizeof(sources)[0])

static attn_status check_nothing_else(const attn_safetensors *file, const source_list *list,
                                      attn_error *error) {
    size_t count;
    const attn_tensor *tensors = attn_safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < list->count && strcmp(list->sources[k].name, tensors[i].name) != 0)
            k++;
        if (k < list->count)
            continue;
        char known[160] = "";
        for (k = 0; k < list->count; k++)
            attn_list(known, sizeof known, list->sources[k].name);
        return attn_tensor_fail(file, tensors[i].name, error,
                                "unexpected, a layer with this configuration has %s", known);
    }
    return ATTN_OK;
}

attn_status attn_torch_load(const attn_safetensors *file, const attn_config *config, attn_model *model,
                            attn_error *error) {
    const bool same = config->kdim == config->embed_dim && config->vdim == config->embed_dim;
    const bool has_joint = attn_safetensors_find(file, joint[0].name) != NULL;
    const bool has_separate = attn_safetensors_find(file, separate[0].name) != NULL;
    if (has_joint && !same)
        return attn_tensor_fail(file, joint[0].name, error,
                                "unexpected, with embed_dim %zu, kdim %zu and vdim %zu the projections are "
                                "q_proj_weight, k_proj_weight and v_proj_weight",
                                config->embed_dim, config->kdim, config->vdim);
    source_list list = {.count = 0};
    if (has_joint || (same && !has_separate))
        ADD_SOURCES(&list, joint);
    else
        ADD_SOURCES(&list, separate);
    ADD_SOURCES(&list, output);
    if (config->bias)
        ADD_SOURCES(&list, biases);
    const attn_status status = check_nothing_else(file, &list, error);
    if (status != ATTN_OK)
        return status;
    model->layout = "torch";
    return attn_sources_load(file, list.sources, list.count, config, model, error);
}
