#include "server/http/mhd_head.h"

#include <string.h>

/* A head that is being read. */
typedef struct {
    request_head head;
    attn_arena *arena; /* for what must be copied */
    bool complete;     /* there was memory for all of it */
} reading;

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
    reading *r = context;
    (void)kind;
    r->complete = head_take(&r->head, r->arena, name, value);
    return r->complete ? MHD_YES : MHD_NO;
}

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    request_head *head = &((reading *)context)->head;
    (void)kind;
    if (head->parameter_count < HEAD_PARAMETERS) {
        head->parameters[head->parameter_count].name = name;
        head->parameters[head->parameter_count].value = value;
    }
    head->parameter_count++;
    return MHD_YES;
}

bool http_read_head(struct MHD_Connection *mhd, attn_arena *arena, const char *method, const char *path,
                    const char *version, request_head *head) {
    reading r = {.head = {.method = method, .http_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0},
                 .arena = arena,
                 .complete = true};
    MHD_get_connection_values(mhd, MHD_HEADER_KIND, take_header, &r);
    MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, take_parameter, &r);
    r.complete = r.complete && head_set_path(&r.head, arena, path);
    *head = r.head;
    return r.complete;
}
