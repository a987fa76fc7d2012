#include "server/routes/compute.h"

#include "server/attend/outputs.h"
#include "server/clock.h"
#include "server/routes/routes.h"

#include <stdio.h>
#include <string.h>

/* Bytes of an answer; smaller ones are compressed only if the request was. */
#define COMPRESS_FROM ((size_t)1 << 20)

#define SMALL_MULTIPLICATIONS 1e8 /* of a small request; a few milliseconds */

/* Small requests may go first each time that it is asked. */
static bool should_stop(void *context) {
    const http_exchange *x = context;
    sched_give_way(x->service->scheduler);
    return http_should_stop(context);
}

bool compute_fail(computation *c, const problem *p) {
    if (*c->call.result_url != '\0') /* nobody has learnt of it */
        results_delete(c->x->service->results, c->call.result_url + strlen(RESULTS_PATH));
    if (http_should_stop(c->x))
        http_answer_stopped(c->x);
    else
        http_answer_problem(c->x, p);
    return false;
}

const attn_model *compute_model(computation *c, const char *name, const char *path) {
    const attn_registry *registry = &c->x->service->registry;
    const attn_model *model = name == NULL ? registry->models[0] : attn_registry_find(registry, name);
    if (model == NULL)
        answer_no_model(c->x, name, path);
    return model;
}

/* Before anything is computed: may the result be kept? Then its weights are computed, if nobody else wants
 * them. */
static bool prepare_keeping(computation *c, problem *p) {
    return !c->request.keep ||
           (results_check(c->x->service->results, &c->request, &c->call, p) == PROBLEM_NONE &&
            answer_allocate_withheld(&c->call, c->x->arena, p) == PROBLEM_NONE);
}

static bool keep(computation *c, problem *p) {
    if (!c->request.keep)
        return true;
    if (results_put(c->x->service->results, &c->request, &c->call, &c->control, p) != PROBLEM_NONE)
        return false;
    memcpy(c->x->result_url, c->call.result_url, sizeof c->x->result_url);
    return true;
}

/* Memory from the request's arena. NULL with the answer given. */
static void *allocate(http_exchange *x, size_t bytes) {
    problem p;
    void *memory = attn_arena_alloc(x->arena, bytes);
    if (memory == NULL) {
        problem_from_core(&p, attn_arena_failure(x->arena), NULL);
        http_answer_problem(x, &p);
    }
    return memory;
}

void *compute_keep(computation *c, size_t bytes) {
    return c->kept = allocate(c->x, bytes);
}

static bool inflate(computation *c) {
    http_exchange *x = c->x;
    problem p;
    return x->body_encoding == ENCODING_IDENTITY ||
           compress_inflate(&x->body, x->body_encoding, x->service->options.max_body, &c->control, &p) ||
           compute_fail(c, &p);
}

/* How many rows the largest of its projections has. */
static size_t count_rows(const attn_input *input) {
    return input->B * (input->S > input->L ? input->S : input->L);
}

/* Is it few multiplications, in the projections and in the attention, and so few numbers to write? A picture
 * may be large whatever it shows. */
static bool is_small(const attend_request *request, const attn_config *config, const attn_input *input) {
    const double q = (double)config->num_heads * (double)config->head_dim;
    const double kv = (double)config->num_kv_heads * (double)config->head_dim;
    const double weights = 2 * (double)config->embed_dim * q + (double)(config->kdim + config->vdim) * kv;
    const double pairs = (double)input->B * (double)input->L * (double)input->S;
    return request->picture == NULL &&
           (double)count_rows(input) * weights + 2 * q * pairs <= SMALL_MULTIPLICATIONS;
}

static bool resolve(computation *c, const attn_model *model) {
    http_exchange *x = c->x;
    problem p;
    if (!c->keeps_body) {
        attn_arena_release(x->arena, x->body.bytes);
        x->body = (wire_buffer){.arena = x->arena};
    }
    memcpy(x->model, model->name, sizeof x->model);
    if (request_resolve(&c->request, model, x->service->options.max_answer, x->arena, &c->call, &p) !=
            PROBLEM_NONE ||
        !prepare_keeping(c, &p))
        return compute_fail(c, &p);
    x->group = model;
    x->rows = count_rows(&c->call.input);
    x->is_small = is_small(&c->request, &model->layer.config, &c->call.input);
    return true;
}

computation *compute_new(http_exchange *x) {
    computation *c = allocate(x, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (computation){.x = x, .control = {should_stop, x}, .began = clock_now()};
    x->work = c;
    return c;
}

void compute_give_back(http_exchange *x) {
    wire_buffer *const answer = &x->answer;
    x->work = NULL;
    x->body = (wire_buffer){.arena = x->arena};
    attn_arena_keep_only(x->arena, answer->bytes);
    wire_buffer_trim(answer);
}

bool compute_prepare(http_exchange *x, compute_read *read, compute_write *write) {
    computation *c = compute_new(x);
    if (c == NULL)
        return false;
    c->write = write;
    const attn_model *model = NULL;
    if (http_should_stop(x))
        http_answer_stopped(x);
    else if (inflate(c))
        model = read(c);
    if (model == NULL || !resolve(c, model)) {
        compute_give_back(x);
        return false;
    }
    c->prepared = clock_now();
    return true;
}

void compute_together(http_exchange *const *xs, size_t count) {
    attn_job jobs[SCHED_TOGETHER];
    const uint64_t started = clock_now();
    for (size_t i = 0; i < count; i++) {
        const computation *c = xs[i]->work;
        jobs[i].input = &c->call.input;
        jobs[i].output = &c->call.output;
        jobs[i].work = xs[i]->arena;
        jobs[i].control = &c->control;
    }
    const computation *first = xs[0]->work;
    attn_forward_batch(&first->call.model->layer, jobs, count, sched_parallel(xs[0]->service->scheduler));
    const uint64_t computed = clock_now();
    for (size_t i = 0; i < count; i++) {
        computation *c = xs[i]->work;
        c->started = started;
        c->computed = computed;
        c->together = count;
        c->status = jobs[i].status;
        if (c->status != ATTN_OK)
            c->error = jobs[i].error;
    }
}

static double milliseconds(uint64_t from, uint64_t to) {
    return (double)(to - from) / 1e6;
}

/* Where the time went; `queue` is all waiting for a worker, before each of the three parts. */
static void tell_timing(const computation *c) {
    const attn_layer *layer = &c->call.model->layer;
    const attn_precision precision = layer->config.precision;
    const uint64_t waited = c->began - c->x->arrived + c->started - c->prepared + c->resumed - c->computed;
    snprintf(c->x->timing, sizeof c->x->timing,
             "parse;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f;desc=\"%s%s%s\";batch=%zu, encode;dur=%.3f",
             milliseconds(c->began, c->prepared), milliseconds(0, waited),
             milliseconds(c->started, c->computed), layer->kernels->name,
             precision == ATTN_FLOAT32 ? "" : " ",
             precision == ATTN_FLOAT32 ? "" : attn_precision_name(precision), c->together,
             milliseconds(c->resumed, clock_now()));
}

void compute_close(computation *c, bool written) {
    http_exchange *x = c->x;
    problem p;
    /* A picture is compressed already. */
    const bool compresses = x->takes_encoding != ENCODING_IDENTITY && c->request.picture == NULL &&
                            (x->body_encoding != ENCODING_IDENTITY || x->answer.length >= COMPRESS_FROM);
    x->answer.control = NULL;
    if (written && compresses) {
        written = compress_deflate(&x->answer, x->takes_encoding, &c->control);
        x->answer_encoding = x->takes_encoding;
    }
    /* A deadline that passes meanwhile counts too. */
    if (!written || http_should_stop(x)) {
        problem_from_core(&p, written ? ATTN_CANCELLED : attn_arena_failure(x->arena), NULL);
        compute_fail(c, &p);
        return;
    }
    x->status = 200;
}

/* Keeps the result, if that was asked for, and writes the answer. */
static void finish(computation *c) {
    http_exchange *x = c->x;
    problem p;
    if (c->status != ATTN_OK)
        problem_from_core(&p, c->status, &c->error);
    if (c->status != ATTN_OK || !keep(c, &p)) {
        compute_fail(c, &p);
        return;
    }
    x->answer = (wire_buffer){.arena = x->arena, .control = &c->control};
    const bool written = c->write(c);
    if (x->status == 0) /* else it has been answered with what went wrong */
        compute_close(c, written);
    if (x->status == 200)
        tell_timing(c);
}

void compute_finish(http_exchange *x) {
    computation *c = x->work;
    c->resumed = clock_now();
    finish(c);
    compute_give_back(x);
}
