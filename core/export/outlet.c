#include "export/outlet.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "export/retry.h"

static enum trouble trouble_of(const struct delivery *delivery)
{
    switch (delivery->status) {
    case DELIVERY_RETRY:
        return TROUBLE_RETRYING;
    case DELIVERY_REFUSED:
        return TROUBLE_REFUSED;
    case DELIVERY_PASSED:
        return TROUBLE_KEEPING;
    case DELIVERY_DONE:
    case DELIVERY_TOO_LARGE:
        break;
    }
    return delivery->warn ? TROUBLE_WARNING : TROUBLE_NONE;
}

static void tell(struct outlet *outlet, const struct delivery *delivery, uint64_t wait)
{
    enum trouble trouble = trouble_of(delivery);
    if (trouble == TROUBLE_NONE && delivery->expected)
        return;
    bool quiet = trouble == outlet->reported || delivery->expected;
    enum log_level level = quiet ? LOG_DEBUG : LOG_WARN;
    const char *name = outlet->sink->name;
    switch (trouble) {
    case TROUBLE_RETRYING:
        log_line(level, "%s: %s; profiles are kept, next attempt in %.1f s", name,
                 delivery->detail, (double)wait / (double)NS_PER_SECOND);
        break;
    case TROUBLE_REFUSED:
        log_line(level, "%s: a profile is lost: %s", name, delivery->detail);
        break;
    case TROUBLE_KEEPING:
        log_line(level, "%s: %s; profiles wait in memory", name, delivery->detail);
        break;
    case TROUBLE_WARNING:
        log_line(level, "%s: %s", name, delivery->detail);
        break;
    case TROUBLE_NONE:
        if (outlet->reported == TROUBLE_RETRYING || outlet->reported == TROUBLE_REFUSED)
            log_info("%s: profiles are delivered again", name);
        break;
    }
    outlet->reported = trouble;
}

static uint64_t pause_after(struct outlet *outlet, const struct delivery *delivery)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    outlet->failures++;
    uint64_t wait = delivery->retry_after
                        ? delivery->retry_after
                        : retry_backoff(outlet->failures, hash_u64(now ^ (uintptr_t)outlet));
    outlet->ready_at = now + wait;
    return wait;
}

void outlet_settle(struct outlet *outlet, const struct delivery *delivery, bool quiet)
{
    uint64_t wait = 0;
    outlet->busy = false;
    if (delivery->status == DELIVERY_RETRY && !outlet->hurried)
        wait = pause_after(outlet, delivery);
    else
        outlet_hurry(outlet);
    if (!quiet || delivery->status != DELIVERY_RETRY)
        tell(outlet, delivery, wait);
}

void outlet_hurry(struct outlet *outlet)
{
    outlet->failures = 0;
    outlet->ready_at = 0;
    outlet->hurried = outlet->busy;
}
