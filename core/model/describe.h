/* describe.h: a model in one line, for people. */
#ifndef ATTN_DESCRIBE_H
#define ATTN_DESCRIBE_H

#include "core/model/model.h"

/* Writes what the layer is, without its name: "embed_dim 512, 8 heads of 64, bias, init layout, 4202496
 * bytes". Cut if it does not fit. */
void attn_model_describe(const attn_model *model, char *text, size_t size);

#endif
