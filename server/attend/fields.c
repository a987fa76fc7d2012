#include "server/attend/fields.h"

#include "server/attend/outputs.h"
#include "server/attend/request.h"

#include <string.h>

#define AT(member)      offsetof(attend_request, member)
#define IN_VIEW(member) offsetof(request_view, member)
#define LENGTH(array)   (sizeof(array) / sizeof *(array))
#define MOST_LISTED     ((size_t)1 << 16)           /* batch entries, or heads, one by one */
#define MOST_LABELS     (REQUEST_MAX_DIMENSION + 2) /* keys, and the two extra ones that a layer can have */

/* In the order of request_tensor_form. */
static const char *const encodings[] = {"array", "base64", NULL};

/* In the order of attn_pool. */
static const char *const pools[] = {"max", "mean", "sum", NULL};

static const field rows_of_request[] = {
    {"model", FIELD_STRING, AT(model), .most = sizeof((attn_model *)0)->name - 1,
     .text = "name of the model; the first loaded if absent"},
    {"id", FIELD_STRING, AT(id), .most = 256, .text = "echoed in the answer"},
    {"query", FIELD_TENSOR, AT(query), .beside_head_output = BESIDE_REFUSED,
     .text = "[B,L,E] or [L,E]; required, unless there is head_output"},
    {"key", FIELD_TENSOR, AT(key), .beside_head_output = BESIDE_REFUSED,
     .text = "[B,S,kdim] or [S,kdim]; the query if absent"},
    {"value", FIELD_TENSOR, AT(value), .beside_head_output = BESIDE_REFUSED,
     .text = "[B,S,vdim] or [S,vdim]; the key if absent"},
    {"attn_mask", FIELD_MASK, AT(attn_mask), .beside_head_output = BESIDE_REFUSED,
     .text = "[L,S], [B*H,L,S] or [B,H,L,S]: true may not be attended to, numbers are added to the scores"},
    {"key_padding_mask", FIELD_MASK, AT(key_padding_mask), .beside_head_output = BESIDE_REFUSED,
     .text = "[B,S] or [S], likewise"},
    {"is_causal", FIELD_SWITCH, AT(is_causal), .beside_head_output = BESIDE_IDLE,
     .text = "a query sees the keys at its own and earlier positions; as the model has it if absent"},
    {"query_offset", FIELD_WHOLE, AT(query_offset), .most = INT32_MAX, .beside_head_output = BESIDE_IDLE,
     .text = "position of the first query"},
    {"key_offset", FIELD_WHOLE, AT(key_offset), .most = INT32_MAX, .beside_head_output = BESIDE_IDLE,
     .text = "position of the first key"},
    {"need_weights", FIELD_BOOL, AT(need_weights), .beside_head_output = BESIDE_REFUSED,
     .text = "also return attn_weights [B,H,L,S+], where S+ counts the model's extra keys"},
    {"average_attn_weights", FIELD_BOOL, AT(average_attn_weights), .beside_head_output = BESIDE_IDLE,
     .text = "averaged over the heads: [B,L,S+]"},
    {"return", FIELD_WORDS, AT(returned), .words = &attend_outputs[OUTPUT_RETURNED].name,
     .words_apart = sizeof *attend_outputs, .beside_head_output = BESIDE_REFUSED,
     .text = "more results, each then a key of the answer"},
    {"view", FIELD_VIEW, AT(view), .beside_head_output = BESIDE_REFUSED,
     .text = "which part of attn_weights and scores"},
    {"head_output", FIELD_TENSOR, AT(head_output),
     .text = "[B,H,L,D] or [H,L,D], instead of query, key and value: only the output projection is applied"},
    {"omit_extra", FIELD_BOOL, AT(omit_extra), .beside_head_output = BESIDE_IDLE,
     .text = "leave out the model's extra keys and sinks"},
    {"training", FIELD_BOOL, AT(training), .beside_head_output = BESIDE_IDLE,
     .text = "apply the model's dropout to the weights"},
    {"seed", FIELD_WHOLE, AT(seed), .most = FIELD_LARGEST, .beside_head_output = BESIDE_IDLE,
     .text = "of the dropout; drawn and returned if absent"},
    {"keep", FIELD_BOOL, AT(keep),
     .text = "keep this result, its weights too, for a browser; the answer gains result_url"},
    {"query_labels", FIELD_LABELS, AT(query_labels), .most = 256, .most_items = MOST_LABELS,
     .text = "L names of the queries, for people: kept, and nothing else"},
    {"key_labels", FIELD_LABELS, AT(key_labels), .most = 256, .most_items = MOST_LABELS,
     .beside_head_output = BESIDE_REFUSED,
     .text = "S names of the keys, or S+ with those of the model's extra keys"},
    {"encoding", FIELD_WORD, AT(encoding), .words = encodings,
     .text = "how tensors come back in JSON: nested arrays, or objects with base64; array if absent"},
};

static const field rows_of_view[] = {
    {"batch", FIELD_WHOLES, IN_VIEW(batch), .most = FIELD_LARGEST, .most_items = MOST_LISTED,
     .text = "these batch entries, in this order"},
    {"heads", FIELD_WHOLES, IN_VIEW(heads), .most = FIELD_LARGEST, .most_items = MOST_LISTED,
     .text = "these heads, in this order"},
    {"rows", FIELD_PAIR, IN_VIEW(rows), .most = FIELD_LARGEST, .most_items = FIELD_PAIR_ITEMS,
     .text = "[from,to]: queries from <= i < to"},
    {"cols", FIELD_PAIR, IN_VIEW(cols), .most = FIELD_LARGEST, .most_items = FIELD_PAIR_ITEMS,
     .text = "[from,to]: keys from <= j < to"},
    {"size", FIELD_PAIR, IN_VIEW(size), .most = FIELD_LARGEST, .most_items = FIELD_PAIR_ITEMS,
     .text = "[height,width] to pool the window into"},
    {"pool", FIELD_WORD, IN_VIEW(pool), .words = pools, .text = "how; max if absent"},
    {"top_k", FIELD_WHOLE, IN_VIEW(top_k), .most = FIELD_LARGEST,
     .text = "the largest k of each row instead, as values and indices"},
};

const field_table request_fields = {rows_of_request, LENGTH(rows_of_request), "", "field", "the fields are"};
const field_table view_fields = {rows_of_view, LENGTH(rows_of_view), "view", "part of view",
                                 "the parts of view are"};

_Static_assert(LENGTH(rows_of_request) + 8 <= FIELDS_MAX && LENGTH(rows_of_view) <= FIELDS_MAX, "FIELDS_MAX");
_Static_assert(ATTN_POOL_MAX == 0 && ATTN_POOL_MEAN == 1 && ATTN_POOL_SUM == 2, "the order of pools");

const field *field_find(const field_table *table, const char *name, size_t length) {
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->fields[i].name) == length && memcmp(table->fields[i].name, name, length) == 0)
            return &table->fields[i];
    return NULL;
}

bool field_asked(const field *f, const void *object) {
    const void *member = (const char *)object + f->offset;
    switch (f->type) {
    case FIELD_STRING:
        return *(char *const *)member != NULL;
    case FIELD_BOOL:
        return *(const bool *)member;
    case FIELD_SWITCH:
        return *(const request_switch *)member == SWITCH_ON;
    case FIELD_WHOLE:
        return ((const request_whole *)member)->present;
    case FIELD_WHOLES:
    case FIELD_PAIR:
        return ((const request_wholes *)member)->present;
    case FIELD_WORD:
        return *(const size_t *)member != 0;
    case FIELD_WORDS:
        return *(const unsigned *)member != 0;
    case FIELD_VIEW:
        return ((const request_view *)member)->present;
    case FIELD_LABELS:
        return ((const request_labels *)member)->present;
    case FIELD_TENSOR:
    case FIELD_MASK:
        break;
    }
    return ((const request_tensor *)member)->present;
}
