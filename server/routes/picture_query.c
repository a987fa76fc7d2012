#include "server/routes/picture_query.h"

#include "server/picture/options.h"

#include <string.h>

static problem_code refuse(const char *name, const char *why, problem *p) {
    return problem_set_at(p, PROBLEM_BAD_VALUE, name, "the query parameter '%.60s' %s", name, why);
}

problem_code picture_query(http_exchange *x, const request_head *head, problem *p) {
    picture_options *o = x->route_data = attn_arena_alloc(x->small, sizeof *o);
    if (o == NULL)
        return problem_from_core(p, attn_arena_failure(x->small), NULL);
    *o = (picture_options){.head_count = 0};
    if (head->parameter_count > HEAD_PARAMETERS)
        return refuse(head->parameters[HEAD_PARAMETERS - 1].name, "is one of more than a picture has", p);
    for (size_t i = 0; i < head->parameter_count; i++) {
        const char *name = head->parameters[i].name, *value = head->parameters[i].value;
        for (size_t j = 0; j < i; j++)
            if (strcmp(name, head->parameters[j].name) == 0)
                return refuse(name, "is there twice", p);
        if (picture_read_parameter(name, value == NULL ? "" : value, o, p) != PROBLEM_NONE)
            return p->code;
    }
    return PROBLEM_NONE;
}
