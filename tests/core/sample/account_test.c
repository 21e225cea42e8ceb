/* Threads that come and go, by a clock of the test's own: a few processors, each with a tick at
 * which the running thread is looked at, as the kernel does it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/hash.h"
#include "sample/account.h"

enum {
    US = 1000,
    MS = 1000 * US,
    PERIOD = 10 * MS,
    TICK = 4 * MS,
    MOST = 32, /* threads at once */
};

/* One kind of threads: what it lives, and what became of it. */
struct kind {
    int64_t life_ns;
    int64_t lived_ns, counted;
};

struct life {
    struct kind *kind;
    struct account account;
    int64_t left_ns;
};

static uint64_t seed;

static int64_t random_below(int64_t limit)
{
    return (int64_t)(hash_u64(++seed) % (uint64_t)limit);
}

static void begin(struct accounts *accounts, struct life *life, struct kind *kind)
{
    int64_t span = kind->life_ns / 5; /* no two live as long */
    *life = (struct life){.kind = kind,
                          .account = accounts_take(accounts),
                          .left_ns = kind->life_ns - span / 2 + random_below(span)};
}

static void end(struct accounts *accounts, struct life *life)
{
    life->account.holder = life->kind;
    uint32_t due;
    accounts_leave(accounts, life->account, &due);
    life->kind->counted += due;
}

static void pay_all(struct accounts *accounts)
{
    size_t cursor = 0;
    for (struct account *account; (account = accounts_held(accounts, &cursor)) != NULL;) {
        struct kind *kind = account->holder;
        kind->counted += accounts_pay(accounts, account);
    }
}

/* The thread runs for so long, without a tick in it. */
static void run(struct life *life, int64_t ns)
{
    life->account.late_ns += ns;
    life->left_ns -= ns;
    life->kind->lived_ns += ns;
}

static void tick(struct life *life)
{
    if (life->account.late_ns < 0)
        return;
    int64_t due = life->account.late_ns / PERIOD + 1;
    life->account.late_ns -= due * PERIOD;
    life->kind->counted += due;
}

/* Of `kinds` in turn, `at_once` on one processor, which runs each for up to `slice`. */
static void live(struct accounts *accounts, struct kind *kinds, unsigned kind_count,
                 unsigned at_once, unsigned lives, int64_t slice)
{
    struct life threads[MOST];
    unsigned began = 0, alive = at_once;
    int64_t to_tick = random_below(TICK);
    for (; began < at_once; began++)
        begin(accounts, &threads[began], &kinds[began % kind_count]);
    while (alive > 0) {
        size_t running = (size_t)random_below(alive);
        struct life *life = &threads[running];
        int64_t until = 1 + random_below(slice);
        while (until > 0 && life->left_ns > 0) {
            int64_t ns = until < life->left_ns ? until : life->left_ns;
            ns = ns < to_tick ? ns : to_tick;
            run(life, ns);
            until -= ns;
            to_tick -= ns;
            if (to_tick == 0)
                tick(life);
            to_tick += to_tick == 0 ? TICK : 0;
        }
        if (life->left_ns > 0)
            continue;
        end(accounts, life);
        if (began < lives)
            begin(accounts, life, &kinds[began++ % kind_count]);
        else
            *life = threads[--alive];
    }
}

static double counted_share(const struct kind *kind)
{
    return (double)kind->counted * PERIOD / (double)kind->lived_ns;
}

static void assert_share(double share, double tolerance)
{
    if (share < 1 - tolerance || share > 1 + tolerance)
        fail_msg("%.4f of the CPU time was counted", share);
}

static const int64_t LIVES_NS[] = {1 * MS, 10 * MS, 75 * MS};

/* What is left over at the end is counted once, with no stack. */
static void all_of_the_cpu_time_of_threads_of_any_length_is_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof LIVES_NS / sizeof *LIVES_NS; i++) {
        for (unsigned at_once = 1; at_once <= MOST; at_once *= 2) {
            static struct accounts accounts;
            struct kind kind = {.life_ns = LIVES_NS[i]};
            unsigned lives = (unsigned)(20000 * (int64_t)MS / kind.life_ns);
            accounts_init(&accounts, PERIOD, hash_u64(++seed));
            live(&accounts, &kind, 1, at_once, lives, 5 * MS);
            accounts_close(&accounts);
            pay_all(&accounts);
            assert_share(counted_share(&kind), 0.001);
        }
    }
}

static void a_few_threads_are_counted_as_well_as_many(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        static struct accounts accounts;
        struct kind kind = {.life_ns = 75 * MS};
        accounts_init(&accounts, PERIOD, hash_u64(++seed));
        live(&accounts, &kind, 1, MOST, MOST, 5 * MS);
        accounts_close(&accounts);
        pay_all(&accounts);
        /* 2.4 s: the last of them may leave a period or two over. */
        assert_share(counted_share(&kind), 0.01);
    }
}

/* With many at once the kernel's tick finds short ones sooner after what they took over than
 * long ones after their last sample, so they get somewhat less: it is bounded here. */
static void no_kind_of_threads_is_counted_at_the_cost_of_another(void **state)
{
    (void)state;
    static struct accounts accounts;
    for (unsigned at_once = 1; at_once <= 8; at_once *= 8) {
        struct kind kinds[] = {{.life_ns = 1 * MS}, {.life_ns = 10 * MS}, {.life_ns = 75 * MS}};
        accounts_init(&accounts, PERIOD, 1);
        live(&accounts, kinds, 3, at_once, 300000, 5 * MS);
        assert_share(counted_share(&kinds[0]), at_once == 1 ? 0.04 : 0.25);
        assert_share(counted_share(&kinds[1]), 0.02);
        assert_share(counted_share(&kinds[2]), 0.005);
    }
}

static void who_ends_leaves_its_time_to_the_next(void **state)
{
    (void)state;
    static struct accounts accounts;
    accounts_init(&accounts, PERIOD, 1);
    struct account account = accounts_take(&accounts);
    assert_in_range(-account.late_ns, 1, PERIOD);
    account.late_ns = 3 * PERIOD;
    uint32_t due;
    assert_false(accounts_leave(&accounts, account, &due)); /* held by nobody */
    assert_int_equal(due, 0);
    assert_int_equal(accounts_take(&accounts).late_ns, 3 * PERIOD);
    assert_true(accounts_take(&accounts).late_ns < 0); /* a new one */
}

static void what_is_paid_is_not_due_any_more(void **state)
{
    (void)state;
    static struct accounts accounts;
    accounts_init(&accounts, PERIOD, 1);
    int me;
    uint32_t due;
    const struct account mine = {.late_ns = 25 * MS, .began_ns = -5 * MS, .holder = &me};
    assert_true(accounts_leave(&accounts, mine, &due));
    size_t cursor = 0;
    struct account *account = accounts_held(&accounts, &cursor);
    assert_non_null(account);
    assert_ptr_equal(account->holder, &me);
    assert_int_equal(accounts_pay(&accounts, account), 3);
    cursor = 0;
    assert_null(accounts_held(&accounts, &cursor));
    assert_int_equal(accounts_take(&accounts).late_ns, -5 * MS);
}

static void one_more_than_can_wait_is_paid_at_once(void **state)
{
    (void)state;
    static struct accounts accounts;
    accounts_init(&accounts, PERIOD, 1);
    uint32_t due;
    for (int64_t i = 0; i < ACCOUNTS_WAITING; i++)
        accounts_leave(&accounts, (struct account){.late_ns = i, .began_ns = i}, &due);
    const struct account late = {.late_ns = 15 * MS, .began_ns = -5 * MS, .holder = &due};
    assert_false(accounts_leave(&accounts, late, &due));
    assert_int_equal(due, 2);
    for (int64_t i = 0; i < ACCOUNTS_WAITING; i++)
        assert_int_equal(accounts_take(&accounts).late_ns, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_cpu_time_of_threads_of_any_length_is_counted),
        cmocka_unit_test(a_few_threads_are_counted_as_well_as_many),
        cmocka_unit_test(no_kind_of_threads_is_counted_at_the_cost_of_another),
        cmocka_unit_test(who_ends_leaves_its_time_to_the_next),
        cmocka_unit_test(what_is_paid_is_not_due_any_more),
        cmocka_unit_test(one_more_than_can_wait_is_paid_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
