#include "server/attend/fields.h"
#include "server/wire/json/member.h"
#include "server/wire/json/option.h"
#include "server/wire/oip/input.h"
#include "server/wire/oip/object.h"
#include "server/wire/oip/oip.h"

#include <stdio.h>
#include <string.h>

/* ---- Parameters ---- */

/* The protocol's own. Behind them come our options, under the names that they have as fields. */
enum { SEQUENCE_ID, SEQUENCE_START, SEQUENCE_END, PRIORITY, TIMEOUT, BINARY_OUTPUT, OWN_PARAMETERS };
static const char *const own_parameters[OWN_PARAMETERS] = {
    "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "binary_data_output"};

/* Is the field an option that can be a parameter? Tensors are inputs, `return` is a list of outputs, of which
 * each says whether it is binary, and the model is in the path. */
static bool is_parameter(const field *f) {
    static const char *const others[] = {"model", "id", "encoding"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(f->name, others[i]) == 0)
            return false;
    return f->type != FIELD_TENSOR && f->type != FIELD_MASK && f->type != FIELD_WORDS;
}

/* Fills in the names that parameters can have, and beside ours the fields. */
static size_t list_parameters(const char *names[OIP_NAMES_MAX], const field *fields[OIP_NAMES_MAX]) {
    size_t count = OWN_PARAMETERS;
    memcpy(names, own_parameters, sizeof own_parameters);
    for (size_t i = 0; i < request_fields.count; i++)
        if (is_parameter(&request_fields.fields[i])) {
            fields[count] = &request_fields.fields[i];
            names[count++] = request_fields.fields[i].name;
        }
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
    if (json_look(r) != JSON_STRING)
        return oip_fail_kind(r, path,
                             f->type == FIELD_VIEW ? "a string that holds a JSON object"
                                                   : "a string that holds a JSON list of strings");
    const char *const where = r->at;
    if (json_read_string(r, none, 0, &length) != PROBLEM_NONE)
        return oip_locate(r, path);
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
        oip_locate(r, path);
    }
    return code;
}

/* A sequence would need a state that is kept between requests. Its id is a number or a string. */
static problem_code read_sequence_id(oip_reader *o, const char *path) {
    static const field number = {.type = FIELD_WHOLE, .most = UINT64_MAX};
    json_reader *const r = &o->r;
    request_whole id = {.value = 0};
    size_t length = 0;
    char none[1];
    const bool string = json_look(r) == JSON_STRING;
    const char *const where = r->at;
    if ((string ? json_read_string(r, none, 0, &length) : json_read_option(r, &number, path, &id)) !=
        PROBLEM_NONE)
        return oip_locate(r, path);
    if (length == 0 && id.value == 0)
        return PROBLEM_NONE;
    return oip_fail(r, where, path, PROBLEM_BAD_VALUE,
                    "%s is not 0, but there are no sequences here: expected 0 or none, each request stands "
                    "for itself",
                    path);
}

static problem_code read_own_parameter(oip_reader *o, size_t key, const char *path) {
    static const field flag = {.type = FIELD_BOOL}, number = {.type = FIELD_WHOLE, .most = (uint64_t)1 << 53};
    request_whole ignored = {.value = 0};
    bool unused;
    switch (key) {
    case SEQUENCE_ID:
        return read_sequence_id(o, path);
    case TIMEOUT:
        return json_read_option(&o->r, &number, path, &o->options->timeout);
    case PRIORITY: /* all requests have the same */
        return json_read_option(&o->r, &number, path, &ignored);
    case BINARY_OUTPUT:
        return json_read_option(&o->r, &flag, path, &o->options->binary_output);
    default: /* start and end of no sequence */
        return json_read_option(&o->r, &flag, path, &unused);
    }
}

static problem_code read_parameters(oip_reader *o, const char *place) {
    const char *names[OIP_NAMES_MAX];
    const field *fields[OIP_NAMES_MAX];
    const size_t count = list_parameters(names, fields);
    oip_object object = {&o->r, place, "parameter", names, count, 0, false};
    char path[OIP_PATH_MAX];
    size_t key;
    for (bool done = false;;) {
        problem_code code = oip_next_member(&object, &key, path, &done);
        if (code != PROBLEM_NONE || done)
            return code;
        if (key < OWN_PARAMETERS)
            code = read_own_parameter(o, key, path);
        else if (is_text(fields[key]))
            code = read_text(o, fields[key], path, (char *)o->request + fields[key]->offset);
        else
            code = json_read_option(&o->r, fields[key], path, (char *)o->request + fields[key]->offset);
        if (code != PROBLEM_NONE)
            return oip_locate(&o->r, path);
    }
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
    const char *names[ATTEND_RESULTS_MAX];
    char known[400], shown[JSON_SHOWN_MAX];
    const attend_output *output;
    size_t count = 0, whole;
    for (; (output = output_at(count, &whole)) != NULL; count++)
        names[count] = output->name;
    oip_list_names(names, count, known, sizeof known);
    return oip_fail(&o->r, where, path, PROBLEM_UNKNOWN_FIELD,
                    "there is no output \"%s\"; expected one of: %s", json_show(name, length, shown), known);
}

/* Reads the name into what is `asked` for. */
static problem_code read_output_name(oip_reader *o, const char *path, oip_asked *asked) {
    json_reader *const r = &o->r;
    char name[64];
    size_t length;
    if (json_look(r) != JSON_STRING)
        return oip_fail_kind(r, path, "a string");
    const char *const where = r->at;
    if (json_read_string(r, name, sizeof name, &length) != PROBLEM_NONE)
        return oip_locate(r, path);
    for (size_t n = 0; (asked->output = output_at(n, &asked->whole)) != NULL; n++)
        if (strlen(asked->output->name) == length && memcmp(asked->output->name, name, length) == 0)
            break;
    if (asked->output == NULL)
        return fail_output(o, where, path, name, length < sizeof name ? length : sizeof name);
    for (size_t i = 0; i < o->options->asked_count; i++)
        if (overlap(asked->output->name, o->options->asked[i].output->name))
            return oip_fail(r, where, path, PROBLEM_BAD_VALUE,
                            "the output %s is asked for twice, here and by %s; expected each once",
                            asked->output->name, o->options->asked[i].output->name);
    return PROBLEM_NONE;
}

static problem_code read_output_parameters(oip_reader *o, const char *place, request_switch *binary) {
    static const char *const names[] = {"binary_data"};
    static const field flag = {.type = FIELD_SWITCH};
    oip_object object = {&o->r, place, "parameter of an output", names, 1, 0, false};
    char path[OIP_PATH_MAX];
    size_t key;
    for (bool done = false;;) {
        const problem_code code = oip_next_member(&object, &key, path, &done);
        if (code != PROBLEM_NONE || done)
            return code;
        if (json_read_option(&o->r, &flag, path, binary) != PROBLEM_NONE)
            return oip_locate(&o->r, path);
    }
}

static problem_code read_output(void *context, const char *place) {
    static const char *const names[] = {"name", "parameters"};
    oip_reader *const o = context;
    oip_object object = {&o->r, place, "field of an output", names, 2, 0, false};
    oip_asked asked = {.binary = SWITCH_ABSENT};
    char path[OIP_PATH_MAX];
    size_t key;
    json_look(&o->r);
    const char *const where = o->r.at;
    for (bool done = false;;) {
        problem_code code = oip_next_member(&object, &key, path, &done);
        if (code == PROBLEM_NONE && !done)
            code =
                key == 0 ? read_output_name(o, path, &asked) : read_output_parameters(o, path, &asked.binary);
        if (code != PROBLEM_NONE)
            return code;
        if (done)
            break;
    }
    if (asked.output == NULL)
        return oip_fail(&o->r, where, place, PROBLEM_MISSING_FIELD, "%s has no name", place);
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

static problem_code read_input(void *context, const char *path) {
    return oip_read_input(context, path);
}

/* What only has to be a string. */
static problem_code read_ignored(json_reader *r, const char *path) {
    char none[1];
    size_t length;
    if (json_look(r) != JSON_STRING)
        return oip_fail_kind(r, path, "a string");
    return json_read_string(r, none, 0, &length) == PROBLEM_NONE ? PROBLEM_NONE : oip_locate(r, path);
}

static problem_code read_id(oip_reader *o, const char *path) {
    const field *f = field_find(&request_fields, "id", 2);
    return json_read_option(&o->r, f, path, (char *)o->request + f->offset) == PROBLEM_NONE
               ? PROBLEM_NONE
               : oip_locate(&o->r, path);
}

static problem_code read_request(oip_reader *o) {
    /* The path says which model; its name is there too in what KServe's client sends. */
    enum { ID, PARAMETERS, INPUTS, OUTPUTS, MODEL_NAME, MODEL_VERSION, MEMBERS };
    static const char *const names[MEMBERS] = {"id",      "parameters", "inputs",
                                               "outputs", "model_name", "model_version"};
    oip_object object = {&o->r, "", "field", names, MEMBERS, 0, false};
    char path[OIP_PATH_MAX];
    size_t key;
    for (bool done = false;;) {
        problem_code code = oip_next_member(&object, &key, path, &done);
        if (code != PROBLEM_NONE || done)
            return code;
        if (key == ID)
            code = read_id(o, path);
        else if (key == PARAMETERS)
            code = read_parameters(o, path);
        else if (key == INPUTS)
            code = oip_read_list(&o->r, path, read_input, o);
        else if (key == OUTPUTS)
            code = oip_read_list(&o->r, path, read_output, o);
        else
            code = read_ignored(&o->r, path);
        if (code != PROBLEM_NONE)
            return code;
    }
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
    problem_code code;
    if (!json_skip_space(&o->r))
        return json_fail(&o->r, o->r.at, PROBLEM_MALFORMED_JSON, "the body is empty, expected a JSON object");
    if ((code = read_request(o)) != PROBLEM_NONE)
        return code;
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
    const problem_code code = check_json_length(body, p);
    if (code != PROBLEM_NONE)
        return code;
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
