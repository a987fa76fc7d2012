/* The store by itself: it keeps anything, and each value is freed once.
 * tests/server/attend/test_kept_results.c has the rest: what makes room for what, and many threads. */
#include "server/store/store.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((uint64_t)1000000000)

static uint64_t now = 1000 * SECOND;
static size_t freed;

static uint64_t test_clock(void) {
    return now;
}

static void free_value(void *value) {
    freed += *(const size_t *)value;
}

/* Values are numbers, so that one can see which were freed. */
static void put(store *s, size_t *value, size_t bytes, char id[STORE_ID_LENGTH + 1]) {
    store_entry *entry;
    cr_assert_eq(store_reserve(s, bytes, &entry), STORE_DONE);
    strcpy(id, store_id(entry));
    cr_assert_eq(strlen(id), STORE_ID_LENGTH);
    cr_assert_not(store_has(s, id), "it is there before it is put");
    store_put(s, entry, value);
    cr_assert(store_has(s, id));
}

Test(store, frees_each_value_once) {
    size_t values[] = {1, 10, 100, 1000};
    char ids[4][STORE_ID_LENGTH + 1];
    store *s = store_new(3 * store_cost(100), 100 * SECOND, free_value, test_clock);
    freed = 0;
    for (size_t i = 0; i < 3; i++)
        put(s, &values[i], 100, ids[i]);
    cr_assert_eq(store_used(s), 3 * store_cost(100));
    const store_item item = store_take(s, ids[0]);
    cr_assert(item.value == &values[0] && item.seconds_left == 100);
    cr_assert(store_delete(s, ids[0]) && !store_delete(s, ids[0]));
    cr_assert_eq(freed, 0, "it has a user");
    store_give_back(s, &item);
    cr_assert_eq(freed, 1);
    put(s, &values[3], 200, ids[3]); /* the one that was used least recently makes room */
    cr_assert_eq(freed, 11);
    now += 100 * SECOND;
    cr_assert_null(store_take(s, ids[3]).value);
    cr_assert_eq(freed, 1111);
    put(s, &values[0], 0, ids[0]);
    store_free(s);
    cr_assert_eq(freed, 1112);
}

Test(store, what_is_being_made_holds_its_place) {
    size_t value = 1;
    char id[STORE_ID_LENGTH + 1];
    store *s = store_new(2 * store_cost(100), SECOND, free_value, test_clock);
    store_entry *first, *second, *third;
    cr_assert_eq(store_reserve(s, 100, &first), STORE_DONE);
    cr_assert_eq(store_reserve(s, 100, &second), STORE_DONE);
    cr_assert_eq(store_reserve(s, 0, &third), STORE_NO_ROOM);
    cr_assert_null(third);
    cr_assert_eq(store_reserve(s, SIZE_MAX, &third), STORE_NO_ROOM);
    cr_assert(store_used(s) == store_limit(s) && store_count(s) == 0);
    store_cancel(s, first);
    cr_assert_eq(store_used(s), store_cost(100));
    put(s, &value, 100, id);
    store_cancel(s, second);
    cr_assert(store_used(s) == store_cost(100) && store_count(s) == 1);
    store_free(s);
}
