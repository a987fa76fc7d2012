#include "server/fields.h"

#include "server/request.h"

#include <string.h>

#define AT(member) offsetof(attend_request, member)

const field fields[] = {
    {"model", FIELD_STRING, AT(model), 80, "name of the model; the first loaded if absent"},
    {"id", FIELD_STRING, AT(id), 256, "echoed in the answer"},
    {"query", FIELD_TENSOR, AT(query), 0, "[B,L,E] or [L,E]; required"},
    {"key", FIELD_TENSOR, AT(key), 0, "[B,S,kdim] or [S,kdim]; the query if absent"},
    {"value", FIELD_TENSOR, AT(value), 0, "[B,S,vdim] or [S,vdim]; the key if absent"},
    {"attn_mask", FIELD_MASK, AT(attn_mask), 0,
     "[L,S], [B*H,L,S] or [B,H,L,S]: true may not be attended to, numbers are added to the scores"},
    {"key_padding_mask", FIELD_MASK, AT(key_padding_mask), 0, "[B,S] or [S], likewise"},
    {"is_causal", FIELD_BOOL, AT(is_causal), 0, "a query sees the keys at its own and earlier positions"},
    {"need_weights", FIELD_BOOL, AT(need_weights), 0, "also return attn_weights [B,H,L,S]"},
    {"average_attn_weights", FIELD_BOOL, AT(average_attn_weights), 0, "averaged over the heads: [B,L,S]"},
};
const size_t field_count = sizeof fields / sizeof fields[0];

const field *field_find(const char *name, size_t length) {
    for (size_t i = 0; i < field_count; i++)
        if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0)
            return &fields[i];
    return NULL;
}
