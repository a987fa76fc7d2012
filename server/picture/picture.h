/* picture.h: attention weights as a picture (PNG, ISO/IEC 15948): what a caller may choose about it, what has
 * to be computed for it, and how it is written. */
#ifndef PICTURE_H
#define PICTURE_H

#include "server/attend/request.h"
#include "server/wire/buffer.h"

#define PICTURE_CELL_MAX  32  /* pixels */
#define PICTURE_HEADS_MAX 256 /* that can be listed one by one */

typedef enum {
    PICTURE_HEADS_ALL,    /* a panel for each head */
    PICTURE_HEADS_LISTED, /* a panel for each head of the list */
    PICTURE_HEADS_MEAN,   /* one panel */
    PICTURE_HEADS_MAX_OF, /* one panel: the largest weight that any of the heads gives */
} picture_heads;

typedef enum { PICTURE_LINEAR, PICTURE_SQRT, PICTURE_LOG } picture_scale;

/* All zero: the picture as it is if nothing is chosen. */
typedef struct picture_options {
    picture_heads heads;
    size_t head_count; /* of the list */
    size_t head_list[PICTURE_HEADS_MAX];
    bool batch_given;
    size_t batch;
    size_t cell; /* pixels of a cell's side; 0: as fits */
    picture_scale scale;
} picture_options;

/* options.c: reads one parameter of the query, decoded, like head=0,3 or cell=8, into *o. Fails with *p
 * filled in: unknown_field if there is no parameter of that name, bad_value if its value will not do. */
problem_code picture_read_parameter(const char *name, const char *value, picture_options *o, problem *p);

/* plan.c: makes the request one for a picture, before it is resolved: it asks for the weights, of one batch
 * entry, of the heads that are shown, pooled as far as it takes to have room for them; rows, columns, heads
 * and sizes of a view that the request has itself stay as they are where there is room. Lists come from
 * `arena`. Fails with *p filled in; the tensors' shapes need not fit the model, which is checked when the
 * request is resolved. */
problem_code picture_plan(const picture_options *o, const attn_model *model, attend_request *request,
                          attn_arena *arena, problem *p);

/* map.c: can the picture be made of the weights that this request asks for, when they have been computed?
 * Fails with *p filled in, as picture_plan does, and also where the request's view leaves out what the
 * picture would show. */
problem_code picture_map_check(const picture_options *o, const attn_model *model,
                               const attend_request *request, attn_arena *arena, problem *p);

/* map.c: makes *shown a call for png_write_picture: that of `call`, but with the part of its weights that a
 * request for this picture alone would have had computed, in the same bits. `call` is what became of
 * `request` (kept_copy.h says what has to be in it). Memory comes from `arena`. Fails with *p filled in, with
 * deadline_exceeded if the control (NULL: there is none) says stop. */
problem_code picture_map_show(const picture_options *o, const attend_request *request,
                              const attend_call *call, const attn_control *control, attn_arena *arena,
                              attend_call *shown, problem *p);

/* png.c: appends the picture (heatmap.h) of a call whose request was planned for it. The same call makes the
 * same bytes. False if memory ran out (out->arena knows why), or if out->control says stop. */
bool png_write_picture(const picture_options *options, const attend_call *call, wire_buffer *out);

#endif
