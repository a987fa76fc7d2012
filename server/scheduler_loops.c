#include "server/scheduler_inside.h"

loop *sched_open_loop(scheduler *s) {
    for (loop *l = s->loops.next; l != &s->loops; l = l->next)
        if (l->free_slots != 0 && atomic_load(&l->left) > 0)
            return l;
    return NULL;
}

static bool is_set(const atomic_bool *stop) {
    return stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
}

/* Takes rounds, those of its own share first, until none is left, or until *stop; before each of them the
 * loop's caller gives way. Without the lock. */
static void take_rounds(loop *l, size_t slot, const atomic_bool *stop, scheduler *giving_way) {
    for (size_t n = 0; n < l->slots; n++) {
        share *of = &l->shares[(slot + n) % l->slots];
        while (atomic_load(&of->next) < of->end && !is_set(stop)) {
            if (giving_way != NULL)
                sched_give_way(giving_way);
            const size_t round = atomic_fetch_add(&of->next, 1);
            if (round >= of->end)
                break;
            atomic_fetch_sub(&l->left, 1);
            l->round(l->context, round, slot);
        }
    }
}

/* The slot of this thread, or another one if that is taken. */
static size_t choose_slot(const loop *l) {
    const size_t own = sched_own_place < l->slots ? sched_own_place : l->slots - 1;
    return (l->free_slots >> own & 1) != 0 ? own : (size_t)__builtin_ctzll(l->free_slots);
}

void sched_help(scheduler *s, loop *l) {
    const size_t slot = choose_slot(l);
    l->free_slots &= ~((uint64_t)1 << slot);
    atomic_fetch_add(&l->helpers, 1);
    s->helping++;
    sched_leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    take_rounds(l, slot, &s->short_of_workers, NULL);
    pthread_mutex_lock(&s->lock);
    s->helping--;
    l->free_slots |= (uint64_t)1 << slot;
    if (atomic_fetch_sub(&l->helpers, 1) == 1)
        pthread_cond_signal(&l->empty);
}

/* Where the share of slot n begins, without a product that overflows. */
static size_t first_round(size_t rounds, size_t n, size_t slots) {
    return rounds / slots * n + rounds % slots * n / slots;
}

static void init_loop(loop *l, size_t rounds, size_t slots, attn_round *round, void *context) {
    l->round = round;
    l->context = context;
    l->slots = slots;
    l->free_slots = UINT64_MAX >> (LOOP_SLOTS - slots);
    atomic_init(&l->left, rounds);
    atomic_init(&l->helpers, 0);
    for (size_t n = 0; n < slots; n++) {
        atomic_init(&l->shares[n].next, first_round(rounds, n, slots));
        l->shares[n].end = first_round(rounds, n + 1, slots);
    }
    pthread_cond_init(&l->empty, NULL);
}

void sched_run_loop(const attn_parallel *parallel, size_t rounds, attn_round *round, void *context) {
    scheduler *s = ((const struct lender *)(const void *)parallel)->scheduler;
    loop l;
    init_loop(&l, rounds, parallel->slots, round, context);
    const size_t own = choose_slot(&l);
    l.free_slots &= ~((uint64_t)1 << own);
    pthread_mutex_lock(&s->lock);
    l.next = &s->loops;
    l.previous = s->loops.previous;
    l.previous->next = s->loops.previous = &l;
    sched_leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    take_rounds(&l, own, NULL, s);
    pthread_mutex_lock(&s->lock);
    l.previous->next = l.next;
    l.next->previous = l.previous;
    const size_t helpers = atomic_load(&l.helpers);
    if (helpers > 0) {
        pthread_mutex_unlock(&s->lock);
        sched_look_on(&l.helpers, helpers);
        pthread_mutex_lock(&s->lock);
    }
    while (atomic_load(&l.helpers) > 0)
        pthread_cond_wait(&l.empty, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&l.empty);
}
