/* layout.h: which tensors of a file are which weights of a layer. */
#ifndef ATTN_LAYOUT_H
#define ATTN_LAYOUT_H

#include "core/model/safetensors.h"
#include "core/model/weights.h"

/* One tensor of a file, and the arrays that it fills: `slots` of them from `first` on, stacked along the
 * first dimension. */
typedef struct {
    const char *name;
    attn_slot first;
    size_t slots;
} attn_source;

/* Checks that the file has all `count` sources with the shapes that the configuration asks for, allocates
 * the weights of the model (not its name and layout) and reads them. Fails with ATTN_BAD_MODEL or
 * ATTN_NO_MEMORY, and the model then owns nothing. */
attn_status attn_sources_load(const attn_safetensors *file, const attn_source *sources, size_t count,
                              const attn_config *config, attn_model *model, attn_error *error);

/* The same for a file with the state_dict of a torch.nn.MultiheadAttention and nothing else: in_proj_weight
 * [3E, E], or q_proj_weight [E, E], k_proj_weight [E, kdim] and v_proj_weight [E, vdim]; in_proj_bias [3E];
 * out_proj.weight [E, E]; out_proj.bias [E]. A tensor that the layer has no use for is refused: it may be
 * an option that would change the result. */
attn_status attn_torch_load(const attn_safetensors *file, const attn_config *config, attn_model *model,
                            attn_error *error);

#endif
