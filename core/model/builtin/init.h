/* init.h: a layer with weights drawn at random, the same ones for the same text on every machine. */
#ifndef ATTN_INIT_H
#define ATTN_INIT_H

#include "core/model/model.h"
#include "core/status.h"

/* Makes the layer that `text` describes: what follows "init:", as in
 * "embed_dim=512,num_heads=8,bias=true,dropout=0.0,seed=0" (the defaults); also kdim, vdim, add_bias_kv,
 * add_zero_attn, num_kv_heads, head_dim, softcap, causal, sliding_window and precision as in a config.json,
 * rope_theta (all of a head is rotated, in halves) and qk_norm (its epsilon).
 *
 * One stream of splitmix64(seed) (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators",
 * 2014, in Vigna's formulation) fills the matrices in the order of torch's state_dict, row by row, each
 * uniformly in (-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio, 2010, equation 16); torch's
 * joint input projection counts as one matrix [H*D + 2*Hkv*D, E], bias_k and bias_v as [1, Hkv*D]. The other
 * biases are zero, the weights of norms one.
 *
 * Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. Sets all but the name and layer.kernels, for which it
 * packs the weights, in layer.config.precision if the text does not say; the caller frees with
 * attn_model_clear. */
attn_status attn_init_make(const char *text, attn_model *model, attn_error *error);

#endif
