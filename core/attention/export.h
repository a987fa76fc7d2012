/* export.h: q, k, v and the heads for the caller. */
#ifndef ATTN_EXPORT_H
#define ATTN_EXPORT_H

#include "core/attention/pass.h"

/* q, k, v and the heads as the caller wants them. */
attn_status attn_hand_out(attn_pass *pass);

#endif
