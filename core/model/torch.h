/* torch.h: a layer in the layout of torch.nn.MultiheadAttention, with the extensions of our own. */
#ifndef ATTN_TORCH_H
#define ATTN_TORCH_H

#include "core/model/files/tensors.h"
#include "core/model/model.h"
#include "core/status.h"

#include <jansson.h>

/* Reads the configuration (attn_config_from_json; `where` names it in error sentences) and the tensors of the
 * state_dict of a torch.nn.MultiheadAttention: in_proj_weight [H*D + 2*Hkv*D, E], or q_proj_weight [H*D, E],
 * k_proj_weight [Hkv*D, kdim] and v_proj_weight [Hkv*D, vdim]; in_proj_bias [H*D + 2*Hkv*D]; out_proj.weight
 * [E, H*D]; out_proj.bias [E]; bias_k, bias_v [1, 1, Hkv*D] or [Hkv*D]; and q_norm.weight, k_norm.weight [D];
 * sinks [H], optional; relative_bias.weight [buckets, H]. A tensor that the layer does not use is refused: it
 * may belong to an option that would change the result.
 *
 * The state_dict of a larger module (torch.nn.TransformerEncoderLayer and the like) has other tensors too,
 * and a prefix before the names of these, as in "layers.0.self_attn."; other tensors are ignored. NULL: the
 * prefix is found, if there is only one layer.
 *
 * Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. Sets all but the name and layer.kernels, for which it packs
 * the weights, in layer.config.precision if the configuration does not say; the caller frees with
 * attn_model_clear. */
attn_status attn_torch_load(const attn_tensors *tensors, const char *prefix, const char *where,
                            const json_t *config_json, attn_model *model, attn_error *error);

#endif
