/* ring.h: lists whose items carry their own links. The list is a link as well, so that none of them is NULL:
 * next is the first item, previous the last. */
#ifndef ATTN_RING_H
#define ATTN_RING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct attn_ring {
    struct attn_ring *previous, *next;
} attn_ring;

/* The item whose `member` this link is. */
#define ATTN_RING_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void attn_ring_init(attn_ring *ring) {
    ring->previous = ring->next = ring;
}

static inline bool attn_ring_is_empty(const attn_ring *ring) {
    return ring->next == ring;
}

/* Makes it the first. */
static inline void attn_ring_insert(attn_ring *ring, attn_ring *item) {
    item->previous = ring;
    item->next = ring->next;
    ring->next->previous = item;
    ring->next = item;
}

static inline void attn_ring_remove(attn_ring *item) {
    item->previous->next = item->next;
    item->next->previous = item->previous;
}

#endif
