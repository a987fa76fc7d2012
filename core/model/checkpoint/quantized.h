/* quantized.h: checkpoints some of whose modules are quantised. They can be served as long as attention is
 * not. */
#ifndef ATTN_QUANTIZED_H
#define ATTN_QUANTIZED_H

#include "core/model/files/tensors.h"
#include "core/status.h"

#include <jansson.h>

/* Checks that a tensor of attention, whose name ends in ".weight" or ".bias", is as it was before the
 * quantisation that quantization_config describes: of a type that is no quantised one, without scales and
 * the like beside it, and of a module that is excepted by name (unless the method stores what it quantises
 * under other names, or does not quantise attention at all). A tensor that is not there is left to others.
 * `where` names the document. Fails with ATTN_BAD_MODEL, and names the key. */
attn_status attn_quantized_check(const char *where, const json_t *quantization, const attn_tensors *tensors,
                                 const char *tensor, attn_error *error);

#endif
