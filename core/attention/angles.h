/* angles.h: the tables of a rotary position embedding for one request. */
#ifndef ATTN_ANGLES_H
#define ATTN_ANGLES_H

#include "core/attention/pass.h"

/* Computes the sines and cosines of all positions of a pass. They are ready before its rows are projected,
 * whose order is open. */
void attn_angles_prepare(attn_batch *batch, attn_pass *pass);

#endif
