#include "look/looks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "look/allowance.h"
#include "look/kernel.h"
#include "look/unnamed.h"
#include "sample/by_tid.h"
#include "sample/timer.h"

#define MICROSECOND 1000U
#define LONGEST (2 * NS_PER_SECOND)    /* between two looks at one thread */
#define PATIENT (LONGEST / 5)          /* so much later than it is due at most */
#define ROUND_EACH (NS_PER_SECOND / 4) /* new threads are looked for */
#define ROUND_LEFT (NS_PER_SECOND)     /* for so long rounds are left out at most */
#define DELAY_EACH (NS_PER_SECOND / 4) /* how often a thread's run delay is asked for */
#define DELAY_SCARCE 64                /* … always, where it was more than 1/64 of the time */
#define RECENTLY 16                    /* looks at a thread that moved */
#define NAME_WAIT (2 * NS_PER_SECOND)  /* with a runtime that names a frame later */

/* A thread that is looked at. All times in ns; those without a word are CLOCK_MONOTONIC. */
struct watched {
    struct thread_view view;
    pid_t tid;
    uint32_t round;      /* the last one in which it was alive */
    uint64_t cpu_ns;     /* its CPU clock at the last look */
    uint64_t delay_ns;   /* its run delay as far as it is counted */
    uint64_t until;      /* its time is accounted for up to here */
    uint64_t due;        /* the next look */
    uint64_t latest;     /* … for which no round of its own is made until then */
    uint64_t alive;      /* the last round that found it alive */
    uint64_t asked;      /* when its run delay was */
    uint64_t since;      /* where it is; its CPU clock has not moved after that */
    uint64_t unnamed;    /* until then its place may wait for names; 0: it does not */
    uint64_t pending_ns; /* waited at `where`, not counted yet */
    uint64_t blaming_ns; /* of that, what its holder has not been blamed for yet */
    uint64_t runs;       /* how often it had run at the last look that found it moved, */
    unsigned recently;   /* if one of the last RECENTLY of these found it at a native lock */
    uint32_t times;      /* it has gone to sleep at `where`, if that is one; not counted yet */
    int64_t carried_ns;  /* waited, with no place yet; negative: too much was counted */
    struct thread_last where;
    bool delayed;   /* it had to wait for CPUs when that was asked last */
    bool seen;      /* asleep, at the last look that found it moved; and where */
    bool placed;    /* `where` is that place, in the running interval */
    uintptr_t kept; /* the runtime's word */
    /* What was seen when it last moved, to be placed again in the next interval. */
    struct record *record; /* NULL: nothing */
    size_t room;           /* bytes, from the budget */
    struct wait wait;
};

struct looks {
    struct looks_config config;
    struct looker *looker;
    struct watched *watched[THREADS_MAX]; /* by the thread's index */
    struct looks_counts counts;
    size_t end;        /* no thread is watched from there on */
    uint64_t before;   /* the round before this; 0: there was none */
    uint64_t began;    /* this round */
    uint64_t due;      /* the next one */
    uint64_t earliest; /* when one of those that this round has seen has to be looked at */
    uint32_t round;    /* its number, from 1 */
    size_t cursor;     /* the thread at which the next round begins */
    uint64_t random;
    struct allowance allowance;
    struct unnamed unnamed;
    bool hurried; /* names are not waited for */
    bool told_refused;
};

/* ---- life ---- */

struct looks *looks_new(const struct looks_config *config)
{
    struct looks *looks = calloc(1, sizeof *looks);
    if (looks == NULL)
        return NULL;
    looks->config = *config;
    looks->looker = looker_new(&config->looker);
    looks->random = clock_ns(CLOCK_MONOTONIC);
    allowance_begin(&looks->allowance, LOOKS_SHARE, ROUND_LEFT);
    if (looks->looker != NULL)
        return looks;
    free(looks);
    return NULL;
}

static void forget(struct looks *looks, size_t index)
{
    struct watched *watched = looks->watched[index];
    budget_give(looks->config.looker.budget, sizeof *watched + watched->room);
    free(watched->record);
    free(watched);
    looks->watched[index] = NULL;
}

void looks_free(struct looks *looks)
{
    if (looks == NULL)
        return;
    for (size_t i = 0; i < looks->end; i++)
        if (looks->watched[i] != NULL)
            forget(looks, i);
    unnamed_free(&looks->unnamed, looks->config.looker.budget);
    looker_free(looks->looker);
    free(looks);
}

uint64_t looks_due(const struct looks *looks)
{
    return looks->due;
}

void looks_count(const struct looks *looks, struct looks_counts *counts)
{
    *counts = looks->counts;
}

/* From half of it to one and a half. */
static uint64_t jittered(struct looks *looks, uint64_t time)
{
    looks->random = hash_u64(looks->random + 1);
    return time / 2 + looks->random % (time + 1);
}

/* ---- counting ---- */

/* Whole microseconds of *ns, which keeps the rest. */
static uint32_t take_microseconds(uint64_t *ns)
{
    uint64_t whole = *ns / MICROSECOND;
    if (whole > UINT32_MAX)
        whole = UINT32_MAX;
    *ns -= whole * MICROSECOND;
    return (uint32_t)whole;
}

static void count_pending(const struct looks *looks, struct watched *watched)
{
    const struct looks_receiver *receiver = looks->config.receiver;
    uint32_t waited = take_microseconds(&watched->pending_ns);
    if (waited != 0)
        receiver->waited(receiver->closure, &watched->view,
                         watched->placed ? &watched->where : NULL, waited, watched->times);
    if (waited != 0)
        watched->times = 0;
}

/* Its run delay is part of what was carried, and becomes a state of its own: before that is
 * `spent` on a place, where CPUs are scarce; where they are not, asking costs more than it is
 * worth. */
static void count_delay(const struct looks *looks, struct watched *watched, uint64_t now,
                        bool spent)
{
    const struct looks_receiver *receiver = looks->config.receiver;
    uint64_t since = now - watched->asked;
    if (!(watched->delayed && spent) && since < DELAY_EACH)
        return;
    watched->asked = now;
    uint64_t delay = kernel_run_delay(watched->tid);
    uint64_t added = delay > watched->delay_ns ? delay - watched->delay_ns : 0;
    watched->delayed = added > since / DELAY_SCARCE;
    uint32_t delayed = take_microseconds(&added);
    watched->delay_ns += (uint64_t)delayed * MICROSECOND;
    watched->carried_ns -= (int64_t)delayed * MICROSECOND;
    if (delayed != 0)
        receiver->delayed(receiver->closure, &watched->view, delayed);
}

/* ---- one thread ---- */

static struct watched *new_state(struct looks *looks)
{
    struct budget *budget = looks->config.looker.budget;
    if (!budget_take(budget, sizeof(struct watched)))
        return NULL;
    struct watched *watched = calloc(1, sizeof *watched);
    if (watched == NULL)
        budget_give(budget, sizeof *watched);
    return watched;
}

/* One that is new and began after the round before is accounted for from there on. One that may
 * be older, from now on. */
static struct watched *watch(struct looks *looks, const struct thread_view *view)
{
    size_t index = thread_index(view->thread);
    struct watched *watched = new_state(looks);
    looks->counts.without_room += watched == NULL;
    if (watched == NULL)
        return NULL;
    pid_t tid = view->thread->tid;
    uint64_t now = looks->began, ran = thread_ran_ns(tid);
    bool old = looks->before == 0 || ran > now - looks->before;
    watched->view = *view;
    watched->tid = tid;
    watched->round = looks->round;
    watched->until = old ? now : looks->before;
    watched->since = watched->asked = now;
    watched->cpu_ns = old ? ran : 0;
    watched->delay_ns = old ? kernel_run_delay(tid) : 0;
    looks->watched[index] = watched;
    if (looks->end <= index)
        looks->end = index + 1;
    return watched;
}

/* The time since the last look has been waited, but for what it ran. */
static void account(struct watched *watched, uint64_t now, uint64_t cpu_ns)
{
    int64_t ran = (int64_t)(cpu_ns - watched->cpu_ns);
    watched->carried_ns += (int64_t)(now - watched->until) - ran;
    watched->until = now;
    watched->cpu_ns = cpu_ns;
}

/* What was carried has been waited where the thread is now. */
static void spend(struct watched *watched)
{
    if (watched->carried_ns <= 0)
        return;
    watched->pending_ns += (uint64_t)watched->carried_ns;
    watched->blaming_ns += (uint64_t)watched->carried_ns;
    watched->carried_ns = 0;
}

/* It leaves a place that has no names yet. What it has waited there so far is counted later. */
static void leave_unnamed(struct looks *looks, struct watched *watched)
{
    const struct looks_receiver *receiver = looks->config.receiver;
    uint64_t until = watched->unnamed, waited = (uint64_t)watched->carried_ns;
    struct thread_last where;
    watched->unnamed = 0;
    if (until == 0 || watched->carried_ns <= 0)
        return;
    uint32_t microseconds = take_microseconds(&waited);
    watched->carried_ns = (int64_t)waited;
    if (microseconds == 0 ||
        unnamed_add(&looks->unnamed, looks->config.looker.budget, &watched->view,
                    watched->record, &watched->wait, microseconds, until))
        return;
    (void)receiver->place(receiver->closure, &watched->view, watched->record, &watched->wait,
                          false, &where);
    receiver->waited(receiver->closure, &watched->view, &where, microseconds,
                     wait_is_native(&watched->wait) ? 1 : 0);
}

/* It has ended. What it waited since its last look, as far as rounds have seen it alive, it
 * waited where it was then; what has no place is counted without one. */
static void end(struct looks *looks, size_t index)
{
    struct watched *watched = looks->watched[index];
    if ((watched->placed || watched->unnamed != 0) && watched->alive > watched->until)
        account(watched, watched->alive, watched->cpu_ns);
    leave_unnamed(looks, watched);
    spend(watched);
    count_pending(looks, watched);
    forget(looks, index);
}

static void refuse(struct looks *looks)
{
    looks->counts.refused++;
    if (!looks->told_refused)
        log_warn("the kernel does not say any more where threads sleep: waiting is counted "
                 "without a place");
    looks->told_refused = true;
}

/* Keeps what was seen, if there is room. */
static void keep(struct looks *looks, struct watched *watched, const struct record *record,
                 const struct wait *wait)
{
    struct budget *budget = looks->config.looker.budget;
    if (record->size > watched->room) {
        budget_give(budget, watched->room);
        free(watched->record);
        watched->record = budget_take(budget, record->size) ? malloc(record->size) : NULL;
        if (watched->record == NULL && watched->room != 0)
            looks->counts.without_room++;
        watched->room = watched->record != NULL ? record->size : 0;
    }
    if (watched->record != NULL)
        memcpy(watched->record, record, record->size);
    watched->wait = *wait;
}

/* Puts the thread where it was seen to be. */
static void place(struct looks *looks, struct watched *watched, uint64_t now,
                  const struct record *record, const struct wait *wait)
{
    const struct looks_receiver *receiver = looks->config.receiver;
    uint64_t until = watched->unnamed != 0 ? watched->unnamed : now + NAME_WAIT;
    bool may_wait = watched->record != NULL && !looks->hurried && now < until;
    int status = receiver->place(receiver->closure, &watched->view, record, wait, may_wait,
                                 &watched->where);
    watched->placed = status == 0;
    watched->unnamed = status == 0 ? 0 : until;
    if (watched->placed)
        spend(watched);
}

/* A thread that is found at a native lock has slept there as often as it has run since the look
 * before, as the time since then is counted there; one that is not known to have been at such a
 * lock lately, once. */
static void count_sleeps(struct watched *watched, bool native)
{
    uint64_t runs = native || watched->recently > 0 ? kernel_runs(watched->tid) : 0;
    if (native)
        watched->times =
            watched->runs != 0 && runs > watched->runs ? (uint32_t)(runs - watched->runs) : 1;
    watched->runs = runs;
    if (native)
        watched->recently = RECENTLY;
    else if (watched->recently > 0)
        watched->recently--;
}

static void look_anew(struct looks *looks, const struct module_map *map,
                      struct watched *watched, uint64_t now)
{
    const struct record *record;
    struct wait wait = {.state = WAIT_WAITING};
    bool taken = false;
    switch (look_take(looks->looker, map, &watched->view, watched->cpu_ns, &watched->kept,
                      &record, &wait)) {
    case LOOK_TAKEN:
        taken = true;
        keep(looks, watched, record, &wait);
        count_delay(looks, watched, now, true);
        place(looks, watched, now, record, &wait);
        break;
    case LOOK_TORN:
        looks->counts.torn++;
        break;
    case LOOK_REFUSED:
        refuse(looks);
        break;
    default:
        break;
    }
    if (!taken)
        count_delay(looks, watched, now, false);
    looks->counts.taken += taken;
    watched->seen = taken;
    count_sleeps(watched, taken && wait_is_native(&wait));
}

/* After an eighth of what it has slept by now, but not more than two seconds. Where thousands
 * sleep one would be due all the time: each can wait until others are, for half of that again.
 */
static void set_due(struct looks *looks, struct watched *watched, uint64_t now)
{
    const uint64_t longest = (LONGEST - PATIENT) * 2 / 3;
    uint64_t part = (now - watched->since) / 8, patience = 0;
    watched->due = now;
    if (watched->placed && part >= looks->config.period_ns) {
        const uint64_t wait = jittered(looks, part < longest ? part : longest);
        watched->due += wait;
        patience = wait / 2 < PATIENT ? wait / 2 : PATIENT;
    }
    watched->latest = watched->due + patience;
}

/* Has it stood where it was? Then the time since is added to that. */
static bool stands(struct watched *watched, uint64_t now, uint64_t cpu_ns)
{
    if (!watched->placed || cpu_ns != watched->cpu_ns)
        return false;
    account(watched, now, cpu_ns);
    spend(watched);
    watched->times = watched->times > 1 ? 1 : watched->times; /* that was one, and a long one */
    return true;
}

/* True when that took long. */
static bool look(struct looks *looks, const struct module_map *map, struct watched *watched)
{
    uint64_t cpu_ns = thread_ran_ns(watched->tid), now = clock_ns(CLOCK_MONOTONIC);
    if (cpu_ns == 0 || cpu_ns < watched->cpu_ns)
        return false; /* gone, and found to be so by the registry */
    bool moved = cpu_ns != watched->cpu_ns, anew = moved || !watched->seen;
    looks->counts.unmoved += !moved;
    if (!stands(watched, now, cpu_ns)) {
        count_pending(looks, watched);
        watched->placed = false;
        if (moved) {
            leave_unnamed(looks, watched);
            watched->since = now;
        }
        account(watched, now, cpu_ns);
        if (anew || watched->record == NULL) {
            look_anew(looks, map, watched, now);
        } else {
            count_delay(looks, watched, now, true);
            place(looks, watched, now, watched->record, &watched->wait);
        }
    }
    set_due(looks, watched, now);
    return anew;
}

/* ---- a round ---- */

static void note_due(struct looks *looks, const struct watched *watched)
{
    if (watched->latest < looks->earliest)
        looks->earliest = watched->latest;
}

/* Is it due, or not known yet? Called for all that live. */
static bool is_wanted(void *closure, const struct thread *thread)
{
    struct looks *looks = closure;
    struct watched *watched = looks->watched[thread_index(thread)];
    if (watched == NULL || watched->tid != thread->tid)
        return true;
    watched->round = looks->round;
    watched->alive = looks->began;
    if (looks->began >= watched->due || watched->view.identity != thread->identity)
        return true;
    note_due(looks, watched);
    return false;
}

/* The thread's state. Another thread's that had its record has ended. One that was renamed is
 * at another place, as the name is part of that. NULL: no room. */
static struct watched *state_of(struct looks *looks, const struct thread_view *view)
{
    size_t index = thread_index(view->thread);
    struct watched *watched = looks->watched[index];
    if (watched != NULL && watched->tid != view->thread->tid) {
        end(looks, index);
        watched = NULL;
    }
    if (watched == NULL)
        return watch(looks, view);
    if (watched->view.identity != view->identity) {
        count_pending(looks, watched);
        leave_unnamed(looks, watched);
        watched->placed = false;
        watched->view = *view;
    }
    return watched;
}

/* Who has the native lock that the thread waits for is looked at as well, now: what has been
 * waited for it since the last look is his. */
static void blame(struct looks *looks, const struct module_map *map, struct watched *watched)
{
    const struct looks_receiver *receiver = looks->config.receiver;
    uint64_t waited = watched->blaming_ns;
    watched->blaming_ns = 0;
    if (receiver->blamed == NULL || !watched->placed || !wait_is_native(&watched->wait))
        return;
    const struct thread *thread = by_tid_find(watched->wait.holder);
    struct watched *holder = thread != NULL ? looks->watched[thread_index(thread)] : NULL;
    uint32_t microseconds = take_microseconds(&waited);
    if (holder == NULL || holder == watched || holder->tid != watched->wait.holder ||
        microseconds == 0)
        return;
    if (holder->until < looks->began)
        (void)look(looks, map, holder);
    receiver->blamed(receiver->closure, &watched->where, &holder->view,
                     holder->placed ? &holder->where : NULL, microseconds);
}

/* False: some are left for the next round. */
static bool look_at_all(struct looks *looks, const struct module_map *map)
{
    struct thread_view view;
    for (size_t long_ones = 0; threads_living(&looks->cursor, is_wanted, looks, &view);) {
        struct watched *watched = state_of(looks, &view);
        if (watched == NULL)
            continue;
        long_ones += look(looks, map, watched);
        blame(looks, map, watched);
        note_due(looks, watched);
        if (long_ones == LOOKS_A_ROUND)
            return false;
    }
    return true;
}

/* Those that the registry does not have any more. */
static void end_the_dead(struct looks *looks)
{
    for (size_t i = 0; i < looks->end; i++)
        if (looks->watched[i] != NULL && looks->watched[i]->round != looks->round)
            end(looks, i);
    while (looks->end > 0 && looks->watched[looks->end - 1] == NULL)
        looks->end--;
}

/* Where all sleep for long, when the first of them is due; new ones are looked for as often as
 * the collector does. */
static uint64_t next_round(struct looks *looks, uint64_t now)
{
    uint64_t next = now + jittered(looks, looks->config.period_ns);
    uint64_t latest = now + ROUND_EACH;
    uint64_t wanted = looks->earliest < latest ? looks->earliest : latest;
    return next > wanted ? next : wanted;
}

void looks_round(struct looks *looks, const struct module_map *map)
{
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC);
    if (!allowance_raise(&looks->allowance, now)) {
        looks->counts.skipped++;
        looks->due = now + jittered(looks, looks->config.period_ns);
        return;
    }
    bool whole = looks->cursor == 0;
    looks->before = looks->began;
    looks->began = now;
    looks->round++;
    looks->earliest = UINT64_MAX;
    if (look_at_all(looks, map)) {
        looks->cursor = 0;
        if (whole)
            end_the_dead(looks);
    } else {
        looks->earliest = 0;
    }
    looks->due = next_round(looks, now);
    uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    allowance_take(&looks->allowance, took);
    looks->counts.cpu_ns += took;
}

/* ---- an interval's end ---- */

bool looks_name(struct looks *looks, bool all)
{
    looks->hurried |= all;
    unnamed_count(&looks->unnamed, looks->config.looker.budget, looks->config.receiver, all);
    return looks->unnamed.count == 0;
}

/* A thread that does not stand at a place, at the last of all looks, or where no name is waited
 * for. One that goes on is looked at again; at the last, what has no place goes to where
 * it was seen asleep, as for one that ends: often the program ends because that wait has. */
static void settle_place(struct looks *looks, struct watched *watched, uint64_t now,
                         uint64_t cpu_ns, bool last)
{
    bool unmoved = cpu_ns == watched->cpu_ns && watched->seen && watched->record != NULL;
    if (!unmoved)
        leave_unnamed(looks, watched);
    if (!unmoved && !last)
        return;
    account(watched, now, cpu_ns);
    watched->asked = 0;
    count_delay(looks, watched, now, true);
    if (watched->record != NULL)
        place(looks, watched, now, watched->record, &watched->wait);
}

static void settle(struct looks *looks, size_t index, bool last)
{
    struct watched *watched = looks->watched[index];
    uint64_t cpu_ns = thread_ran_ns(watched->tid), now = clock_ns(CLOCK_MONOTONIC);
    bool wanted = last || (looks->hurried && watched->unnamed != 0);
    if (cpu_ns >= watched->cpu_ns && !stands(watched, now, cpu_ns) && wanted)
        settle_place(looks, watched, now, cpu_ns, last);
    if (last) {
        end(looks, index);
        return;
    }
    count_pending(looks, watched);
    watched->placed = false;
    watched->due = watched->latest = 0;
}

void looks_settle(struct looks *looks, bool last)
{
    looks->hurried |= last;
    for (size_t i = 0; i < looks->end; i++)
        if (looks->watched[i] != NULL)
            settle(looks, i, last);
    if (looks->hurried)
        looks_name(looks, true);
    looks->hurried = false;
}
