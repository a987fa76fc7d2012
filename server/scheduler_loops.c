#include "server/scheduler_loops.h"

#include "server/clock.h"

#include <sched.h>

/* How long a thread spins before it sleeps, while a job is computed or after it has helped: the next loop of
 * a pass, or the end of this one, is often nearer than the time that waking a thread takes. */
#define SPIN ((uint64_t)50000) /* nanoseconds */

_Thread_local size_t sched_worker_number = SCHED_NO_WORKER;

void sched_spin(const atomic_size_t *number, size_t was) {
    const uint64_t until = clock_now() + SPIN;
    while (atomic_load(number) == was && clock_now() < until)
        sched_yield();
}

sched_loop *sched_open_loop(const sched_lender *lender) {
    for (sched_loop *loop = lender->open.next; loop != &lender->open; loop = loop->next)
        if (loop->free_slots != 0 && atomic_load(&loop->left) > 0)
            return loop;
    return NULL;
}

/* Does rounds of a share, until none is left. The loop's caller gives way before each; a helper leaves when
 * it is wanted elsewhere. Without the lock. */
static void do_rounds(sched_lender *lender, sched_loop *loop, size_t slot, bool is_caller) {
    for (size_t n = 0; n < loop->slots; n++) {
        sched_share *share = &loop->shares[(slot + n) % loop->slots];
        while (atomic_load(&share->next) < share->end &&
               (is_caller || !atomic_load_explicit(&lender->wanted, memory_order_relaxed))) {
            if (is_caller)
                lender->give_way(lender->scheduler);
            const size_t round = atomic_fetch_add(&share->next, 1);
            if (round >= share->end)
                break;
            atomic_fetch_sub(&loop->left, 1);
            loop->round(loop->context, round, slot);
        }
    }
}

/* The slot of this thread, or another one if that is taken. */
static size_t choose_slot(const sched_loop *loop) {
    const size_t own = sched_worker_number < loop->slots ? sched_worker_number : loop->slots - 1;
    return (loop->free_slots >> own & 1) != 0 ? own : (size_t)__builtin_ctzll(loop->free_slots);
}

void sched_help(sched_lender *lender, sched_loop *loop) {
    const size_t slot = choose_slot(loop);
    loop->free_slots &= ~((uint64_t)1 << slot);
    atomic_fetch_add(&loop->helpers, 1);
    lender->helping++;
    lender->call_more(lender->scheduler);
    pthread_mutex_unlock(lender->lock);
    do_rounds(lender, loop, slot, false);
    pthread_mutex_lock(lender->lock);
    lender->helping--;
    loop->free_slots |= (uint64_t)1 << slot;
    if (atomic_fetch_sub(&loop->helpers, 1) == 1)
        pthread_cond_signal(&loop->empty);
}

/* Where the share of slot n begins, without a product that overflows. */
static size_t first_round(size_t rounds, size_t n, size_t slots) {
    return rounds / slots * n + rounds % slots * n / slots;
}

static void init_loop(sched_loop *loop, size_t rounds, size_t slots, attn_round *round, void *context) {
    loop->round = round;
    loop->context = context;
    loop->slots = slots;
    loop->free_slots = UINT64_MAX >> (SCHED_SLOTS - slots);
    atomic_init(&loop->left, rounds);
    atomic_init(&loop->helpers, 0);
    for (size_t n = 0; n < slots; n++) {
        atomic_init(&loop->shares[n].next, first_round(rounds, n, slots));
        loop->shares[n].end = first_round(rounds, n + 1, slots);
    }
    pthread_cond_init(&loop->empty, NULL);
}

/* attn_parallel's `run`. */
static void run_loop(const attn_parallel *parallel, size_t rounds, attn_round *round, void *context) {
    sched_lender *lender = (sched_lender *)(uintptr_t)(const void *)parallel;
    sched_loop loop;
    init_loop(&loop, rounds, parallel->slots, round, context);
    const size_t own = choose_slot(&loop);
    loop.free_slots &= ~((uint64_t)1 << own);
    pthread_mutex_lock(lender->lock);
    loop.next = &lender->open;
    loop.previous = lender->open.previous;
    loop.previous->next = lender->open.previous = &loop;
    lender->call_more(lender->scheduler);
    pthread_mutex_unlock(lender->lock);
    do_rounds(lender, &loop, own, true);
    pthread_mutex_lock(lender->lock);
    loop.previous->next = loop.next;
    loop.next->previous = loop.previous;
    const size_t helpers = atomic_load(&loop.helpers);
    if (helpers > 0) {
        pthread_mutex_unlock(lender->lock);
        sched_spin(&loop.helpers, helpers);
        pthread_mutex_lock(lender->lock);
    }
    while (atomic_load(&loop.helpers) > 0)
        pthread_cond_wait(&loop.empty, lender->lock);
    pthread_mutex_unlock(lender->lock);
    pthread_cond_destroy(&loop.empty);
}

void sched_lender_init(sched_lender *lender, size_t slots, pthread_mutex_t *lock) {
    lender->parallel = (attn_parallel){.slots = slots < SCHED_SLOTS ? slots : SCHED_SLOTS, .run = run_loop};
    lender->lock = lock;
    lender->open.previous = lender->open.next = &lender->open;
}
