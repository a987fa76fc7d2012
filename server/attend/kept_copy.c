#include "server/attend/kept_copy.h"

#include "core/size.h"
#include "core/watch.h"
#include "server/attend/fields.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT ((size_t)8) /* of what is in the block */

/* The block while it is filled; without one, only its size is counted. */
typedef struct {
    char *block;
    size_t used;
    bool fits; /* into a size_t */
    attn_watch watch;
    bool stopped; /* the watch has said stop: what is in the block means nothing */
} packing;

/* memcpy of what may be large. */
static void copy(packing *p, char *to, const char *from, size_t bytes) {
    for (size_t done = 0, some; done < bytes && !p->stopped; done += some) {
        some = attn_watch_some(bytes - done, 1);
        memcpy(to + done, from + done, some);
        p->stopped = attn_watch_stops(&p->watch, some / sizeof(float));
    }
}

/* Copies `bytes` into the block, and returns where they are now: NULL if there is no block, or no data. */
static void *pack(packing *p, const void *data, size_t bytes) {
    const size_t begin = p->used;
    size_t end;
    p->fits = p->fits && attn_add(begin, bytes, &end) && attn_add(end, ALIGNMENT - 1, &end);
    if (!p->fits)
        return NULL;
    p->used = end / ALIGNMENT * ALIGNMENT;
    if (p->block == NULL || data == NULL)
        return NULL;
    copy(p, p->block + begin, data, bytes);
    return p->block + begin;
}

/* An array of elements of four bytes. */
static void *pack_array(packing *p, const void *data, const size_t *shape, size_t rank) {
    size_t bytes = 0;
    p->fits =
        p->fits && attn_multiply_all(shape, rank, &bytes) && attn_multiply(bytes, sizeof(float), &bytes);
    return pack(p, data, bytes);
}

static void pack_tensor(packing *p, request_tensor *t) {
    if (t->present)
        t->data = pack_array(p, t->data, t->shape, t->rank);
}

static void pack_text(packing *p, char **text) {
    if (*text != NULL)
        *text = pack(p, *text, strlen(*text) + 1);
}

static void pack_list(packing *p, request_wholes *list) {
    if (list->present) /* it was read from a text, and has no more numbers than that had bytes */
        list->items = pack(p, list->items, list->count * sizeof *list->items);
}

static void pack_labels(packing *p, request_labels *labels) {
    labels->text = pack(p, labels->text, labels->length);
}

/* What the members point to. */
static void pack_fields(packing *p, const field_table *table, void *object) {
    for (size_t i = 0; i < table->count; i++) {
        void *const member = (char *)object + table->fields[i].offset;
        switch (table->fields[i].type) {
        case FIELD_STRING:
            pack_text(p, member);
            break;
        case FIELD_WHOLES:
        case FIELD_PAIR:
            pack_list(p, member);
            break;
        case FIELD_LABELS:
            pack_labels(p, member);
            break;
        case FIELD_VIEW:
            pack_fields(p, &view_fields, member);
            break;
        case FIELD_TENSOR:
        case FIELD_MASK:
            pack_tensor(p, member);
            break;
        case FIELD_BOOL:
        case FIELD_SWITCH:
        case FIELD_WHOLE:
        case FIELD_WORD:
        case FIELD_WORDS:
            break;
        }
    }
}

/* What the call has beside its arrays: numbers, and pointers to what is in the block. */
static void rewire(kept_result *kept) {
    const attn_view view = kept->call.output.view;
    attend_call *const call = &kept->call;
    size_t count;
    call->model = &kept->model;
    call->input.query = call->input.key = call->input.value = call->input.head_output = NULL;
    call->input.attn_mask = kept->request.attn_mask.data;
    call->input.key_padding_mask = kept->request.key_padding_mask.data;
    call->output = (attn_output){.view = view};
    if (view.batch != NULL)
        call->output.view.batch = kept->request.view.batch.items;
    if (view.heads != NULL)
        call->output.view.heads = kept->request.view.heads.items;
    const attend_array *weights = kept_weights(call, &count);
    if (count > 0)
        call->output.weights.values = (float *)(uintptr_t)weights[0].data;
    if (count > 1)
        call->output.weights.indices = (int32_t *)(uintptr_t)weights[1].data;
}

/* Fills in *kept, which is the beginning of the block if there is one. */
static void pack_all(packing *p, const attend_request *request, const attend_call *call, kept_result *kept) {
    const attn_model *model = call->model;
    p->used = sizeof *kept;
    p->fits = true;
    kept->request = *request;
    kept->call = *call;
    kept->model = (attn_model){.layout = "", .layer.config = model->layer.config, .bytes = model->bytes};
    memcpy(kept->model.name, model->name, sizeof model->name);
    kept->request.picture = NULL;
    pack_fields(p, &request_fields, &kept->request);
    for (size_t i = 0; i < call->array_count + call->withheld_count; i++) {
        attend_array *array = &kept->call.arrays[i];
        array->data = pack_array(p, array->data, array->shape, array->rank);
    }
    rewire(kept);
}

bool kept_size(const attend_request *request, const attend_call *call, size_t *bytes) {
    packing p = {.block = NULL};
    kept_result scratch;
    pack_all(&p, request, call, &scratch);
    *bytes = p.used;
    return p.fits;
}

kept_result *kept_copy(const attend_request *request, const attend_call *call, const attn_control *control) {
    size_t bytes;
    if (!kept_size(request, call, &bytes))
        return NULL;
    packing p = {.block = malloc(bytes), .watch.control = control};
    if (p.block != NULL)
        pack_all(&p, request, call, (kept_result *)(void *)p.block);
    if (!p.stopped)
        return (kept_result *)(void *)p.block;
    free(p.block);
    return NULL;
}

const attend_array *kept_weights(const attend_call *call, size_t *count) {
    static const char name[] = "attn_weights";
    const attend_array *first = call->arrays;
    size_t left = call->array_count + call->withheld_count;
    for (; left > 0 && strncmp(first->name, name, strlen(name)) != 0; left--)
        first++;
    *count = 0;
    while (*count < left && strncmp(first[*count].name, name, strlen(name)) == 0)
        ++*count;
    return first;
}
