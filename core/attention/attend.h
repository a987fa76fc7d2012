/* attend.h: from q, k and v to the heads. */
#ifndef ATTN_ATTEND_H
#define ATTN_ATTEND_H

#include "core/attention/pass.h"

/* The bytes of a slot that attn_attend needs; SIZE_MAX on overflow. */
size_t attn_attend_scratch(const attn_layer *layer);

/* Computes the heads of all passes from their q, k and v. */
void attn_attend(attn_batch *batch);

#endif
