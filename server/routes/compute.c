#include "server/routes/compute.h"

#include "server/attend/kept_results.h"
#include "server/attend/outputs.h"
#include "server/attend/resolve.h"
#include "server/clock.h"
#include "server/metrics.h"

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

void compute_fail(computation *c, const problem *p) {
    if (*c->call.result_url != '\0') /* nobody will be told its path */
        store_delete(c->x->service->results, c->call.result_url + strlen(RESULTS_PATH));
    if (http_should_stop(c->x))
        http_answer_stopped(c->x);
    else
        http_answer_problem(c->x, p);
}

/* Before anything is computed: may the result be kept? Then its weights are computed, if nobody else wants
 * them. */
static bool prepare_keeping(computation *c, problem *p) {
    return !c->request.keep ||
           (keep_check(c->x->service->results, &c->request, &c->call, p) == PROBLEM_NONE &&
            outputs_allocate_withheld(&c->call, c->x->arena, p) == PROBLEM_NONE);
}

static bool keep(computation *c, problem *p) {
    if (!c->request.keep)
        return true;
    if (keep_result(c->x->service->results, &c->request, &c->call, &c->control, p) != PROBLEM_NONE)
        return false;
    http_copy_header(c->x, "X-Result-Url", c->call.result_url);
    return true;
}

void *compute_allocate(http_exchange *x, size_t bytes) {
    problem p;
    void *memory = attn_arena_alloc(x->arena, bytes);
    if (memory == NULL) {
        problem_from_core(&p, attn_arena_failure(x->arena), NULL);
        http_answer_problem(x, &p);
    }
    return memory;
}

/* False, with the answer given, on failure. */
static bool inflate(computation *c) {
    http_exchange *x = c->x;
    problem p;
    if (x->body_encoding == ENCODING_IDENTITY ||
        compress_inflate(&x->body, x->body_encoding, x->service->options.max_body, &c->control, &p))
        return true;
    compute_fail(c, &p);
    return false;
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

/* Checks the request against the model, and says of what kind the job is. False, with the answer given, on
 * failure. */
static bool resolve(computation *c, const attn_model *model, sched_job *job) {
    http_exchange *x = c->x;
    problem p;
    if (!c->keeps_body) {
        attn_arena_release(x->arena, x->body.bytes);
        x->body = (wire_buffer){.arena = x->arena};
    }
    x->logged = (http_header){"model", model->name};
    if (request_resolve(&c->request, model, x->service->options.max_answer, x->arena, &c->call, &p) !=
            PROBLEM_NONE ||
        !prepare_keeping(c, &p)) {
        compute_fail(c, &p);
        return false;
    }
    job->group = model;
    job->rows = count_rows(&c->call.input);
    job->is_small = is_small(&c->request, &model->layer.config, &c->call.input);
    return true;
}

computation *compute_new(http_exchange *x) {
    computation *c = compute_allocate(x, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (computation){.x = x, .control = {should_stop, x}, .query = x->route_data, .began = clock_now()};
    x->route_data = c;
    return c;
}

void compute_release(http_exchange *x) {
    wire_buffer *const answer = &x->answer;
    x->route_data = NULL;
    x->body = (wire_buffer){.arena = x->arena};
    attn_arena_keep_only(x->arena, answer->bytes);
    wire_buffer_trim(answer);
}

bool compute_prepare(http_exchange *x, sched_job *job, compute_read *read, compute_write *write) {
    computation *c = compute_new(x);
    if (c == NULL)
        return false;
    c->write = write;
    const attn_model *model = NULL;
    if (http_should_stop(x))
        http_answer_stopped(x);
    else if (inflate(c))
        model = read(c);
    if (model == NULL || !resolve(c, model, job)) {
        compute_release(x);
        return false;
    }
    c->prepared = clock_now();
    return true;
}

void compute_together(http_exchange *const *xs, size_t count) {
    attn_job jobs[SCHED_TOGETHER];
    const uint64_t started = clock_now();
    for (size_t i = 0; i < count; i++) {
        const computation *c = xs[i]->route_data;
        jobs[i].input = &c->call.input;
        jobs[i].output = &c->call.output;
        jobs[i].work = xs[i]->arena;
        jobs[i].control = &c->control;
    }
    const computation *first = xs[0]->route_data;
    attn_forward_batch(&first->call.model->layer, jobs, count, sched_parallel(xs[0]->service->scheduler));
    const uint64_t computed = clock_now();
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        computation *c = xs[i]->route_data;
        c->started = started;
        c->computed = computed;
        c->together = count;
        c->status = jobs[i].status;
        if (c->status != ATTN_OK)
            c->error = jobs[i].error;
        else
            rows += jobs[i].input->B * jobs[i].input->L;
    }
    metrics_count_rows(first->x->service->metrics, first->call.model->name, rows);
}

static void note_timings(const computation *c) {
    const attn_layer *layer = &c->call.model->layer;
    const attn_precision precision = layer->config.precision;
    c->x->timings = (http_timings){
        .parse = c->prepared - c->began,
        .queue = c->began - c->x->arrived + c->started - c->prepared + c->resumed - c->computed,
        .compute = c->computed - c->started,
        .encode = clock_now() - c->resumed,
        .batch = c->together,
        .kernels = layer->kernels->name,
        .precision = precision == ATTN_FLOAT32 ? "" : attn_precision_name(precision),
    };
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
        note_timings(c);
}

void compute_finish(http_exchange *x) {
    computation *c = x->route_data;
    c->resumed = clock_now();
    finish(c);
    compute_release(x);
}
