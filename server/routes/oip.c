/* oip.c: the Open Inference Protocol, version 2, under /v2. */
#include "server/wire/oip/oip.h"

#include "server/routes/compute.h"
#include "server/routes/handlers.h"

#include <inttypes.h>
#include <stdio.h>

#define VERSION "1" /* of every model */

/* ---- Health ---- */

void handle_oip_live(http_exchange *x) {
    answer_document(x, json_pack("{s:b}", "live", 1));
}

void handle_oip_ready(http_exchange *x) {
    if (check_ready(x)) /* KServe's client looks for `ready` */
        answer_document(x, json_pack("{s:b, s:b}", "live", 1, "ready", 1));
}

void handle_oip_model_ready(http_exchange *x) {
    const attn_model *model = lookup_model(x, x->argument, "");
    if (model != NULL && check_ready(x))
        answer_document(x, json_pack("{s:s, s:b}", "name", model->name, "ready", 1));
}

/* ---- Metadata ---- */

void handle_oip_server(http_exchange *x) {
    answer_document(x, json_pack("{s:s, s:s, s:[s]}", "name", "attend-server", "version", ATTEND_VERSION,
                                 "extensions", "binary_tensor_data"));
}

/* How long the dimension with this letter is, -1 if the request decides that. */
static json_int_t dimension(const attn_config *c, char letter) {
    switch (letter) {
    case 'E':
        return (json_int_t)c->embed_dim;
    case 'X':
        return (json_int_t)c->kdim;
    case 'Y':
        return (json_int_t)c->vdim;
    case 'H':
        return (json_int_t)c->num_heads;
    case 'K':
        return (json_int_t)c->num_kv_heads;
    case 'D':
        return (json_int_t)c->head_dim;
    default:
        return -1;
    }
}

/* Appends {"name", "datatype", "shape"} to *list; NULL it is if memory runs out. */
static void add_tensor(json_t **list, const attn_config *config, const char *name, const char *datatype,
                       const char *letters) {
    json_t *shape = json_array();
    for (; shape != NULL && *letters != '\0'; letters++)
        if (json_array_append_new(shape, json_integer(dimension(config, *letters))) != 0) {
            json_decref(shape);
            shape = NULL;
        }
    json_t *tensor = json_pack("{s:s, s:s, s:o}", "name", name, "datatype", datatype, "shape", shape);
    if (json_array_append_new(*list, tensor) != 0) { /* which gives up the tensor, also if *list is NULL */
        json_decref(*list);
        *list = NULL;
    }
}

/* The inputs of an ordinary request; head_output, which replaces all of them, is not listed, because programs
 * that make requests from this list would send both. */
static json_t *list_inputs(const attn_config *config) {
    json_t *list = json_array();
    add_tensor(&list, config, "query", "FP32", "BLE");
    add_tensor(&list, config, "key", "FP32", "BSX");
    add_tensor(&list, config, "value", "FP32", "BSY");
    add_tensor(&list, config, "attn_mask", "FP32", "LS");
    add_tensor(&list, config, "key_padding_mask", "FP32", "BS");
    return list;
}

static json_t *list_outputs(const attn_config *config) {
    json_t *list = json_array();
    const attend_output *output;
    size_t whole;
    for (size_t n = 0; (output = output_at(n, &whole)) != NULL; n++)
        if (output->letters != NULL)
            add_tensor(&list, config, output->name, output->is_int32 ? "INT32" : "FP32", output->letters);
    return list;
}

void handle_oip_model(http_exchange *x) {
    const attn_model *model = lookup_model(x, x->argument, "");
    if (model == NULL)
        return;
    const attn_config *config = &model->layer.config;
    answer_document(x, json_pack("{s:s, s:[s], s:s, s:o, s:o}", "name", model->name, "versions", VERSION,
                                 "platform", "attend_server", "inputs", list_inputs(config), "outputs",
                                 list_outputs(config)));
}

/* ---- Inference ---- */

/* The request's own timeout may lower the deadline. */
static void lower_deadline(http_exchange *x, const request_whole *timeout) {
    uint64_t nanoseconds;
    if (timeout->value == 0 || __builtin_mul_overflow(timeout->value, 1000, &nanoseconds))
        return;
    if (nanoseconds < x->time_allowed) {
        x->deadline = x->arrived + nanoseconds;
        x->deadline_of = "parameters.timeout";
    }
}

/* While the body is read: its timeout holds as soon as it is known. */
static bool should_stop(void *context) {
    computation *c = context;
    const oip_options *protocol = c->route_data;
    lower_deadline(c->x, &protocol->timeout);
    return http_should_stop(c->x);
}

static bool read_body(computation *c) {
    http_exchange *x = c->x;
    uint64_t json_length = 0; /* it was checked before it came here */
    const bool is_binary =
        x->head->inference_header != NULL && head_read_whole(x->head->inference_header, &json_length);
    const oip_body body = {x->body.bytes, x->body.length, is_binary, (size_t)json_length};
    const attn_control control = {should_stop, c};
    problem p;
    if (oip_read_request(&body, x->arena, &control, &c->request, c->route_data, &p) == PROBLEM_NONE)
        return true;
    compute_fail(c, &p);
    return false;
}

static const attn_model *read_request(computation *c) {
    const attn_model *model = lookup_model(c->x, c->x->argument, "");
    oip_options *protocol = model == NULL ? NULL : compute_allocate(c->x, sizeof *protocol);
    if (protocol == NULL)
        return NULL;
    *protocol = (oip_options){.borrows = false};
    c->route_data = protocol;
    if (!read_body(c))
        return NULL;
    c->keeps_body = protocol->borrows;
    return model;
}

static bool write_answer(computation *c) {
    http_exchange *x = c->x;
    size_t json_length;
    char length[24];
    const bool written = oip_write_answer(&c->request, &c->call, c->route_data, &x->answer, &json_length);
    if (json_length > 0) {
        snprintf(length, sizeof length, "%zu", json_length);
        http_copy_header(x, "Inference-Header-Content-Length", length);
        x->media_type = "application/octet-stream";
    }
    return written;
}

static bool prepare(http_exchange *x, sched_job *job) {
    return compute_prepare(x, job, read_request, write_answer);
}

const http_work oip_work = {prepare, compute_together, compute_finish};
