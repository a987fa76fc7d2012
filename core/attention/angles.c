/* angles.c: the tables of a rotary position embedding for one request. */
#include "core/attention/rope.h"
#include "core/attention/stages.h"

#define TASK_POSITIONS ((size_t)64)

/* Rounds of TASK_POSITIONS positions, those of q and then those of k. */
typedef struct {
    attn_pass *pass;
    const float *frequencies;
    size_t query_rounds;
} angle_loop;

static void compute_angles(void *context, size_t round, size_t slot) {
    const angle_loop *loop = context;
    attn_pass *pass = loop->pass;
    const attn_input *in = pass->input;
    const attn_rope *rope = &pass->layer->config.rope;
    const size_t pairs = rope->dims / 2, of_k = round >= loop->query_rounds;
    const size_t first = (of_k ? round - loop->query_rounds : round) * TASK_POSITIONS;
    const size_t rows = of_k ? in->S : in->L,
                 end = rows - first < TASK_POSITIONS ? rows : first + TASK_POSITIONS;
    (void)slot; /* nothing of its own is needed */
    if (attn_pass_ends(pass, 1))
        return;
    for (size_t n = first; n < end; n++)
        attn_rope_angles(rope, loop->frequencies, (of_k ? in->key_offset : in->query_offset) + n,
                         pass->cosines[of_k] + n * pairs, pass->sines[of_k] + n * pairs);
}

void attn_angles_prepare(attn_batch *batch, attn_pass *pass) {
    const attn_input *in = pass->input;
    const attn_rope *rope = &pass->layer->config.rope;
    const uint64_t query_end = in->query_offset + in->L, key_end = in->key_offset + in->S;
    const size_t pairs = rope->dims / 2;
    float *frequencies;
    if ((pass->cosines[0] = attn_pass_array(pass, in->L, pairs)) == NULL ||
        (pass->sines[0] = attn_pass_array(pass, in->L, pairs)) == NULL ||
        (pass->cosines[1] = attn_pass_array(pass, in->S, pairs)) == NULL ||
        (pass->sines[1] = attn_pass_array(pass, in->S, pairs)) == NULL ||
        (frequencies = attn_pass_array(pass, pairs, 1)) == NULL) {
        attn_pass_no_memory(pass);
    } else {
        attn_rope_frequencies(pass->layer, query_end > key_end ? query_end : key_end, frequencies);
        angle_loop loop = {pass, frequencies, attn_divide_up(in->L, TASK_POSITIONS)};
        attn_parallel_run(batch->parallel, loop.query_rounds + attn_divide_up(in->S, TASK_POSITIONS),
                          compute_angles, &loop);
        attn_arena_release(pass->work, frequencies);
    }
}
