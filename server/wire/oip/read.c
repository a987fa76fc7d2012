#include "server/wire/json/reading.h"
#include "server/wire/oip/input.h"
#include "server/wire/oip/oip.h"

#include <stdio.h>
#include <string.h>

/* ---- Parameters ---- */

/* The protocol's own. Behind them come our options, under the names that they have as fields. */
enum { SEQUENCE_ID, SEQUENCE_START, SEQUENCE_END, PRIORITY, TIMEOUT, BINARY_OUTPUT, OWN_PARAMETERS };
static const field own_parameters[OWN_PARAMETERS] = {
    [SEQUENCE_ID] = {"sequence_id", FIELD_WHOLE, .most = UINT64_MAX},
    [SEQUENCE_START] = {.name = "sequence_start", .type = FIELD_BOOL},
    [SEQUENCE_END] = {.name = "sequence_end", .type = FIELD_BOOL},
    [PRIORITY] = {"priority", FIELD_WHOLE, .most = (uint64_t)1 << 53},
    [TIMEOUT] = {"timeout", FIELD_WHOLE, .most = (uint64_t)1 << 53},
    [BINARY_OUTPUT] = {.name = "binary_data_output", .type = FIELD_BOOL},
};

/* Is the field an option that can be a parameter? Tensors are inputs, `return` is a list of outputs, of which
 * each says whether it is binary, and the model is in the path. */
static bool is_parameter(const field *f) {
    static const char *const others[] = {"model", "id", "encoding"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(f->name, others[i]) == 0)
            return false;
    return !field_is_tensor(f) && f->type != FIELD_WORDS;
}

static size_t list_parameters(field rows[FIELDS_MAX]) {
    size_t count = OWN_PARAMETERS;
    memcpy(rows, own_parameters, sizeof own_parameters);
    for (size_t i = 0; i < request_fields.count; i++)
        if (is_parameter(&request_fields.fields[i]))
            rows[count++] = request_fields.fields[i];
    return count;
}

/* Must the option be a string that holds JSON, because a parameter can be neither an object nor a list? */
static bool is_text(const field *f) {
    return f->type == FIELD_VIEW || f->type == FIELD_LABELS;
}

/* Reads such a string. */
static problem_code read_text(oip_reader *o, const field *f, const char *path, void *member) {
    json_reader *const r = &o->r;
    char none[1];
    size_t length;
    if (json_peek(r) != JSON_STRING) {
        json_fail_kind(r, path,
                       f->type == FIELD_VIEW ? "a string that holds a JSON object"
                                             : "a string that holds a JSON list of strings");
        return json_locate(r, path);
    }
    const char *const where = r->at;
    if (json_read_string(r, none, 0, &length) != PROBLEM_NONE)
        return json_locate(r, path);
    char *text = attn_arena_alloc(r->arena, length);
    if (text == NULL)
        return problem_from_core(r->p, attn_arena_failure(r->arena), NULL);
    json_go_back(r, where);
    if (json_read_string(r, text, length, &length) != PROBLEM_NONE) /* the control has said stop meanwhile */
        return r->p->code;
    json_reader inner = {
        .start = text, .at = text, .end = text + length, .arena = r->arena, .p = r->p, .control = r->control};
    problem_code code = json_read_value(&inner, f, f->name, member);
    if (code == PROBLEM_NONE && json_skip_space(&inner))
        code = json_fail_expected(&inner, "the end of the string");
    if (code != PROBLEM_NONE) { /* in the body it is the string that is at this offset */
        r->p->offset = (size_t)(where - r->start);
        json_locate(r, path);
    }
    return code;
}

/* A sequence would need a state that is kept between requests. Its id is a number or a string. */
static problem_code read_sequence_id(oip_reader *o, const field *f, const char *path) {
    json_reader *const r = &o->r;
    request_whole id = {.value = 0};
    size_t length = 0;
    char none[1];
    const bool string = json_peek(r) == JSON_STRING;
    const char *const where = r->at;
    const problem_code code =
        string ? json_read_name(r, path, none, 0, &length) : json_read_option(r, f, path, &id);
    if (code != PROBLEM_NONE || (length == 0 && id.value == 0))
        return code;
    return json_fail_at(r, where, path, PROBLEM_BAD_VALUE,
                        "%s is not 0, but there are no sequences here: expected 0 or none, each request "
                        "stands for itself",
                        path);
}

/* Reads number `key` of the protocol's own. */
static problem_code read_own_parameter(oip_reader *o, const field *f, size_t key, const char *path) {
    request_whole ignored = {.value = 0};
    bool unused;
    switch (key) {
    case SEQUENCE_ID:
        return read_sequence_id(o, f, path);
    case TIMEOUT:
        return json_read_option(&o->r, f, path, &o->options->timeout);
    case PRIORITY: /* all requests have the same */
        return json_read_option(&o->r, f, path, &ignored);
    case BINARY_OUTPUT:
        return json_read_option(&o->r, f, path, &o->options->binary_output);
    default: /* start and end of no sequence */
        return json_read_option(&o->r, f, path, &unused);
    }
}

static problem_code read_parameters(oip_reader *o, const char *parent) {
    field rows[FIELDS_MAX];
    const field_table table = {rows, list_parameters(rows), parent, "parameter", OIP_KNOWN};
    json_members members = {.r = &o->r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code = json_open_object(&o->r, parent);
    while (code == PROBLEM_NONE && (code = json_next_member(&members, &f, path)) == PROBLEM_NONE &&
           f != NULL) {
        void *const member = (char *)o->request + f->offset;
        if (json_accept_null(&o->r))
            continue;
        if (f < rows + OWN_PARAMETERS)
            code = read_own_parameter(o, f, (size_t)(f - rows), path);
        else
            code = is_text(f) ? read_text(o, f, path, member) : json_read_option(&o->r, f, path, member);
    }
    return code;
}

/* ---- Outputs ---- */

/* Is one of the names the other, or the part before its dot? */
static bool overlap(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (*a == '\0' || *a == '.') && (*b == '\0' || *b == '.') && (*a == '\0' || *b == '\0');
}

static problem_code fail_output(oip_reader *o, const char *where, const char *path, const char *name,
                                size_t length) {
    char quoted[JSON_QUOTED_MAX];
    json_names known = {.length = 0};
    const attend_output *output;
    size_t whole;
    for (size_t n = 0; (output = output_at(n, &whole)) != NULL; n++)
        json_add_name(&known, ", ", output->name);
    return json_fail_at(&o->r, where, path, PROBLEM_UNKNOWN_FIELD,
                        "there is no output \"%s\"; " OIP_KNOWN " %s", json_quote(name, length, quoted),
                        known.text);
}

/* Reads the name into what is `asked` for. */
static problem_code read_output_name(oip_reader *o, const char *path, oip_asked *asked) {
    json_reader *const r = &o->r;
    char name[64];
    size_t length;
    json_skip_space(r);
    const char *const where = r->at;
    PROBLEM_TRY(json_read_name(r, path, name, sizeof name, &length));
    for (size_t n = 0; (asked->output = output_at(n, &asked->whole)) != NULL; n++)
        if (strlen(asked->output->name) == length && memcmp(asked->output->name, name, length) == 0)
            break;
    if (asked->output == NULL)
        return fail_output(o, where, path, name, length < sizeof name ? length : sizeof name);
    for (size_t i = 0; i < o->options->asked_count; i++)
        if (overlap(asked->output->name, o->options->asked[i].output->name))
            return json_fail_at(r, where, path, PROBLEM_BAD_VALUE,
                                "the output %s is asked for twice, here and by %s; expected each once",
                                asked->output->name, o->options->asked[i].output->name);
    return PROBLEM_NONE;
}

static problem_code read_output_parameters(oip_reader *o, const char *parent, oip_asked *asked) {
    static const field rows[] = {{"binary_data", FIELD_SWITCH, .offset = offsetof(oip_asked, binary)}};
    const field_table table = {rows, 1, parent, "parameter of an output", OIP_KNOWN};
    const problem_code code = json_open_object(&o->r, parent);
    return code != PROBLEM_NONE ? code : json_read_members(&o->r, &table, asked);
}

static problem_code read_output(oip_reader *o, const char *parent) {
    static const field rows[] = {{.name = "name"}, {.name = "parameters"}};
    const field_table table = {rows, 2, parent, "field of an output", OIP_KNOWN};
    json_members members = {.r = &o->r, .table = &table};
    oip_asked asked = {.binary = SWITCH_ABSENT};
    const field *f;
    char path[JSON_PATH_MAX];
    json_skip_space(&o->r);
    const char *const where = o->r.at;
    problem_code code = json_open_object(&o->r, parent);
    while (code == PROBLEM_NONE && (code = json_next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL)
        if (!json_accept_null(&o->r))
            code = f == rows ? read_output_name(o, path, &asked) : read_output_parameters(o, path, &asked);
    if (code != PROBLEM_NONE)
        return code;
    if (asked.output == NULL)
        return json_fail_at(&o->r, where, parent, PROBLEM_MISSING_FIELD, "%s has no name", parent);
    o->options->asked[o->options->asked_count++] = asked;
    return PROBLEM_NONE;
}

/* What the outputs that were asked for mean for the request. */
static problem_code apply_outputs(oip_reader *o) {
    attend_request *const request = o->request;
    if (o->options->asked_count > 0)
        request->need_weights = false; /* it is the list of outputs that says so */
    for (size_t i = 0; i < o->options->asked_count; i++) {
        const oip_asked *const asked = &o->options->asked[i];
        const attend_output *const whole = &attend_outputs[asked->whole];
        output_ask(request, asked->whole);
        if (whole->is_map && asked->output != whole && !request->view.top_k.present)
            return problem_set_at(o->r.p, PROBLEM_BAD_VALUE, "outputs",
                                  "%s is an output only if the parameter view has top_k",
                                  asked->output->name);
    }
    return PROBLEM_NONE;
}

/* ---- The request ---- */

/* Reads a list of objects, each by `read_item`; "inputs" is its `path`. */
static problem_code read_list(oip_reader *o, const char *path,
                              problem_code (*read_item)(oip_reader *o, const char *path)) {
    json_reader *const r = &o->r;
    char item[JSON_PATH_MAX];
    size_t index = 0;
    if (!json_accept(r, '['))
        return json_fail_kind(r, path, "a list of objects");
    if (json_accept(r, ']'))
        return PROBLEM_NONE;
    do {
        snprintf(item, sizeof item, "%.64s[%zu]", path, index++);
        PROBLEM_TRY(read_item(o, item));
    } while (json_accept(r, ','));
    return json_accept(r, ']') ? PROBLEM_NONE : json_fail_expected(r, "a comma or ]");
}

/* The path says which model; its name is there too in what KServe's client sends. */
enum { ID, PARAMETERS, INPUTS, OUTPUTS, MODEL_NAME, MODEL_VERSION, MEMBERS };

static problem_code read_member(oip_reader *o, size_t key, const char *path) {
    char none[1];
    size_t length;
    switch (key) {
    case ID:
        return json_read_option(&o->r, field_find(&request_fields, "id", 2), path, &o->request->id);
    case PARAMETERS:
        return read_parameters(o, path);
    case INPUTS:
        return read_list(o, path, oip_read_input);
    case OUTPUTS:
        return read_list(o, path, read_output);
    default: /* what only has to be a string */
        return json_read_name(&o->r, path, none, 0, &length);
    }
}

static problem_code read_request(oip_reader *o) {
    static const field rows[MEMBERS] = {[ID] = {.name = "id"},
                                        [PARAMETERS] = {.name = "parameters"},
                                        [INPUTS] = {.name = "inputs"},
                                        [OUTPUTS] = {.name = "outputs"},
                                        [MODEL_NAME] = {.name = "model_name"},
                                        [MODEL_VERSION] = {.name = "model_version"}};
    const field_table table = {rows, MEMBERS, "", "field", OIP_KNOWN};
    json_members members = {.r = &o->r, .table = &table};
    const field *f;
    char path[JSON_PATH_MAX];
    problem_code code = json_open_object(&o->r, "the request");
    while (code == PROBLEM_NONE && (code = json_next_member(&members, &f, path)) == PROBLEM_NONE && f != NULL)
        if (!json_accept_null(&o->r))
            code = read_member(o, (size_t)(f - rows), path);
    return code;
}

static problem_code check_json_length(const oip_body *body, problem *p) {
    if (!body->has_json_length)
        return PROBLEM_NONE;
    if (body->json_length == 0)
        return problem_set(p, PROBLEM_BAD_VALUE,
                           OIP_LENGTH_HEADER
                           " is 0: a tensor without JSON around it does not say what it is; "
                           "expected the number of bytes of the JSON");
    if (body->json_length > body->length)
        return problem_set(p, PROBLEM_BAD_VALUE,
                           OIP_LENGTH_HEADER " is %zu, but the body has only %zu bytes%s", body->json_length,
                           body->length, "; it counts the bytes of the JSON, not compressed");
    return PROBLEM_NONE;
}

static problem_code read_body(oip_reader *o) {
    const oip_body *const body = &o->body;
    if (!json_skip_space(&o->r))
        return json_fail(&o->r, o->r.at, PROBLEM_MALFORMED_JSON, "the body is empty, expected a JSON object");
    PROBLEM_TRY(read_request(o));
    if (json_skip_space(&o->r))
        return json_fail_expected(
            &o->r, body->has_json_length ? "the end of the JSON, which " OIP_LENGTH_HEADER " puts further on"
                                         : "the end of the body");
    if (o->binary < body->length)
        return problem_set_at(o->r.p, PROBLEM_MALFORMED_TENSOR, "inputs",
                              "the body has %zu bytes more than the JSON and the binary data of its inputs "
                              "take together",
                              body->length - o->binary);
    return apply_outputs(o);
}

problem_code oip_read_request(const oip_body *body, attn_arena *arena, const attn_control *control,
                              attend_request *request, oip_options *options, problem *p) {
    const char *const bytes = body->length == 0 ? "" : body->bytes; /* an empty body has no pointer */
    PROBLEM_TRY(check_json_length(body, p));
    const size_t json = body->has_json_length ? body->json_length : body->length;
    oip_reader o = {
        .r = {.start = bytes, .at = bytes, .end = bytes + json, .arena = arena, .p = p, .control = control},
        .body = {bytes, body->length, body->has_json_length, body->json_length},
        .binary = json,
        .request = request,
        .options = options};
    memset(request, 0, sizeof *request);
    memset(options, 0, sizeof *options);
    return json_end(&o.r, read_body(&o));
}
