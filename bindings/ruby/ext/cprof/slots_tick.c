/* Handler code: runs inside the sampling signal's handler. See slots_tick.h. */
#include "slots_tick.h"

#include "slots.h"
#include "walk.h"

struct slots_ticks slots_ticks;
void (*slots_ask_for_turn)(void);

/* Which tick of a turn is the look. */
static uint64_t look_of(uint64_t number)
{
    uint64_t z = slots_ticks.seed + number * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % SLOTS_TURN;
}

void slots_tick(const struct cprof_interrupted *thread)
{
    if (!atomic_load_explicit(&slots_ticks.open, memory_order_relaxed) || !walk_runs(thread))
        return;
    uint64_t tick = atomic_fetch_add_explicit(&slots_ticks.ticks, 1, memory_order_relaxed);
    bool wanted = tick % SLOTS_TURN == look_of(tick / SLOTS_TURN);
    bool over = tick % SLOTS_TURN == 0 && tick > 0;
    atomic_store_explicit(&slots_ticks.wanted, wanted, memory_order_relaxed);
    if (over)
        atomic_store_explicit(&slots_ticks.over, true, memory_order_relaxed);
    if (over || wanted != atomic_load_explicit(&slots_ticks.looking, memory_order_relaxed))
        slots_ask_for_turn();
}
