/* Rings that go back and forth between a thread's handler and the collector. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "sample/lease.h"

enum { TRAFFIC = 40000, RINGS = 3 };

static struct shelf shelf;
static struct lease lease;
static _Atomic unsigned handlers; /* at work */

static struct ring *make_ring(void)
{
    const size_t size = 1024, record_max = 128;
    struct ring *ring = calloc(1, sizeof *ring + size + record_max);
    assert_non_null(ring);
    ring_init(ring, size, record_max);
    return ring;
}

static int lay_rings_out(void **state)
{
    (void)state;
    lease = (struct lease){0};
    for (int i = 0; i < RINGS; i++)
        assert_true(shelf_add(&shelf, make_ring()));
    return 0;
}

static int take_rings_away(void **state)
{
    (void)state;
    lease_mark(&lease);
    free(lease_end(&lease));
    for (struct ring *ring; (ring = shelf_take(&shelf)) != NULL;)
        free(ring);
    assert_int_equal(shelf_count(&shelf), 0);
    return 0;
}

static void a_ring_that_is_used_is_not_taken_back(void **state)
{
    (void)state;
    bool low;
    assert_null(lease_ring(&lease));
    struct ring *ring = lease_use(&lease, &shelf, &low);
    assert_non_null(ring);
    assert_false(low);
    assert_ptr_equal(lease_ring(&lease), ring);
    assert_null(lease_end(&lease)); /* not marked */
    assert_false(lease_mark(&lease));
    assert_true(lease_mark(&lease));
    assert_ptr_equal(lease_use(&lease, &shelf, &low), ring);
    assert_null(lease_end(&lease)); /* used since */
    lease_mark(&lease);
    assert_ptr_equal(lease_end(&lease), ring);
    assert_null(lease_ring(&lease));
    assert_false(lease_mark(&lease));
    assert_null(lease_end(&lease));
    free(ring);
}

static void a_shelf_that_runs_out_is_told(void **state)
{
    (void)state;
    struct lease leases[RINGS + 1] = {0};
    bool low;
    shelf.low = 1;
    for (int i = 0; i < RINGS; i++) {
        assert_non_null(lease_use(&leases[i], &shelf, &low));
        assert_int_equal(low, i == RINGS - 1);
    }
    assert_null(lease_use(&leases[RINGS], &shelf, &low));
    assert_true(low);
    for (int i = 0; i < RINGS; i++)
        free(lease_ring(&leases[i]));
    shelf.low = 0;
}

/* As the handler does: the mark, the ring, the record. */
static void *sample(void *unused)
{
    for (uint64_t number = 0; number < TRAFFIC;) {
        bool low;
        atomic_fetch_add(&handlers, 1);
        struct ring *ring = lease_use(&lease, &shelf, &low);
        struct record *record = ring != NULL ? ring_reserve(ring) : NULL;
        if (record != NULL) {
            *record = (struct record){.size = sizeof *record, .time_ns = number++};
            ring_commit(ring, record);
        }
        atomic_fetch_sub(&handlers, 1);
        if (record == NULL || number % 64 == 0)
            sched_yield();
    }
    return unused;
}

/* Whatever is in the ring is read; an empty one is taken back whenever that may be. */
static void collect(uint64_t *read, uint64_t *taken)
{
    struct ring *ring = lease_ring(&lease);
    const struct record *record;
    while (ring != NULL && (record = ring_peek(ring)) != NULL) {
        assert_int_equal(record->time_ns, (*read)++);
        ring_consume(ring);
    }
    lease_mark(&lease);
    if (ring == NULL || atomic_load(&handlers) != 0 || ring_peek(ring) != NULL)
        return;
    struct ring *back = lease_end(&lease);
    if (back == NULL)
        return;
    assert_ptr_equal(back, ring);
    ++*taken;
    ring_init(back, back->size, back->record_max);
    assert_true(shelf_add(&shelf, back));
}

static void nothing_is_lost_while_rings_are_taken_back_and_given_again(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t read = 0, taken = 0;
    assert_int_equal(pthread_create(&thread, NULL, sample, NULL), 0);
    while (read < TRAFFIC)
        collect(&read, &taken);
    pthread_join(thread, NULL);
    assert_true(taken > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lay_rings_out, take_rings_away)
    const struct CMUnitTest tests[] = {
        TEST(a_ring_that_is_used_is_not_taken_back),
        TEST(a_shelf_that_runs_out_is_told),
        TEST(nothing_is_lost_while_rings_are_taken_back_and_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
