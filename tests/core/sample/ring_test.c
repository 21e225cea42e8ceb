#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "base/hash.h"
#include "sample/ring.h"

#define RECORD_MAX 2048

static struct ring *make_ring(size_t size)
{
    struct ring *ring = aligned_alloc(64, (sizeof *ring + size + RECORD_MAX + 63) / 64 * 64);
    assert_non_null(ring);
    ring_init(ring, size, RECORD_MAX);
    return ring;
}

/* A record of pseudo-random length whose body is its number. */
static size_t length_of(uint64_t number)
{
    return sizeof(struct record) +
           hash_u64(number) % (RECORD_MAX - sizeof(struct record)) / 8 * 8;
}

static void write_record(struct record *record, uint64_t number)
{
    record->size = (uint32_t)length_of(number);
    record->time_ns = number;
    memset(record + 1, (int)(number & 0xff), record->size - sizeof *record);
}

static bool push(struct ring *ring, uint64_t number, bool *filling)
{
    struct record *record = ring_reserve(ring);
    if (record == NULL)
        return false;
    write_record(record, number);
    bool woke = ring_commit(ring, record);
    if (filling != NULL)
        *filling = woke;
    return true;
}

static void check_record(const struct record *record, uint64_t number)
{
    assert_int_equal(record->time_ns, number);
    assert_int_equal(record->size, length_of(number));
    const unsigned char *body = (const unsigned char *)(record + 1);
    for (size_t i = 0; i < record->size - sizeof *record; i++)
        assert_int_equal(body[i], number & 0xff);
}

static void an_empty_ring_has_nothing_to_read(void **state)
{
    (void)state;
    struct ring *ring = make_ring(4096);
    assert_null(ring_peek(ring));
    free(ring);
}

static void records_come_out_whole_and_in_order_over_many_laps(void **state)
{
    (void)state;
    struct ring *ring = make_ring(8192);
    uint64_t written = 0, read = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        for (uint64_t i = 0; i < hash_u64(round) % 12; i++)
            written += push(ring, written, NULL);
        for (uint64_t i = 0; i < hash_u64(~round) % 12; i++) {
            const struct record *record = ring_peek(ring);
            if (record == NULL)
                break;
            check_record(record, read++);
            ring_consume(ring);
        }
    }
    assert_true(read > 10000);
    for (const struct record *record; (record = ring_peek(ring)) != NULL; ring_consume(ring))
        check_record(record, read++);
    assert_int_equal(read, written);
    free(ring);
}

static void a_full_ring_refuses_and_takes_again_after_reading(void **state)
{
    (void)state;
    struct ring *ring = make_ring(8192);
    uint64_t written = 0, read = 0;
    for (int lap = 0; lap < 100; lap++) {
        while (push(ring, written, NULL))
            written++;
        assert_null(ring_reserve(ring));
        for (const struct record *record; (record = ring_peek(ring)) != NULL;
             ring_consume(ring))
            check_record(record, read++);
        assert_int_equal(read, written);
        assert_non_null(ring_reserve(ring));
    }
    free(ring);
}

static void a_quarter_and_half_are_told_once_each(void **state)
{
    (void)state;
    struct ring *ring = make_ring(16384);
    int told = 0;
    bool filling;
    for (uint64_t number = 0; push(ring, number, &filling); number++)
        told += filling;
    assert_int_equal(told, 2);
    while (ring_peek(ring) != NULL)
        ring_consume(ring);
    told = 0;
    for (uint64_t number = 0; push(ring, number, &filling); number++)
        told += filling;
    assert_int_equal(told, 2);
    free(ring);
}

/* A ring smaller than its largest record still works, one record at a time. */
static void a_ring_smaller_than_a_record_still_carries(void **state)
{
    (void)state;
    struct ring *ring = make_ring(512);
    for (uint64_t number = 0; number < 1000; number++) {
        assert_true(push(ring, number, NULL));
        check_record(ring_peek(ring), number);
        ring_consume(ring);
        assert_null(ring_peek(ring));
    }
    free(ring);
}

#define TRAFFIC 200000

static void *produce(void *argument)
{
    struct ring *ring = argument;
    for (uint64_t number = 0; number < TRAFFIC;)
        if (push(ring, number, NULL))
            number++;
        else
            sched_yield();
    return NULL;
}

static void two_threads_agree_on_every_record(void **state)
{
    (void)state;
    struct ring *ring = make_ring(16384);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
    for (uint64_t number = 0; number < TRAFFIC;) {
        const struct record *record = ring_peek(ring);
        if (record == NULL) {
            sched_yield();
            continue;
        }
        assert_int_equal(record->time_ns, number);
        assert_int_equal(record->size, length_of(number));
        if (record->size > sizeof *record)
            assert_int_equal(((const unsigned char *)record)[record->size - 1], number & 0xff);
        ring_consume(ring);
        number++;
    }
    pthread_join(producer, NULL);
    free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_ring_has_nothing_to_read),
        cmocka_unit_test(records_come_out_whole_and_in_order_over_many_laps),
        cmocka_unit_test(a_full_ring_refuses_and_takes_again_after_reading),
        cmocka_unit_test(a_quarter_and_half_are_told_once_each),
        cmocka_unit_test(a_ring_smaller_than_a_record_still_carries),
        cmocka_unit_test(two_threads_agree_on_every_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
