#include "source/hooked.h"

#include <errno.h>
#include <stddef.h>

#include "base/log.h"
#include "sample/hook.h"
#include "sample/take.h"
#include "source/source.h"

static int hooks_in(struct hook_set *set, const char **why)
{
    const struct take_view *view = take_seen();
    const struct hook_way none = {NULL, NULL};
    const struct hook_way way =
        view != NULL && view->runtime != NULL ? set->of(view->runtime) : none;
    *why = set->missing;
    set->close = NULL;
    if (way.open == NULL)
        return -ENOTSUP;
    if (set->before != NULL)
        set->before();
    int status = way.open(why);
    if (status == 0)
        set->close = way.close;
    return status;
}

/* Where a runtime has no hooks, or not the ones that are known, one line says what is missing.
 */
static bool goes_without(const struct hook_set *set, const char *why)
{
    const struct take_view *view = take_seen();
    if (set->instead == NULL || set->instead() != 0)
        return false;
    if (view != NULL && view->runtime != NULL)
        log_warn("lock and blame: native locks only: %s", why);
    return true;
}

/* In the child of a fork it may be its own user already: the hooks are put in again. */
int hooked_open(const struct source_hook *hook, enum source_number number, uint64_t period,
                const char **why)
{
    struct hook_set *set = hook->set;
    bool others = (set->users & ~SOURCE_BIT(number)) != 0;
    int status = others ? 0 : hooks_in(set, why);
    if (status != 0 && !goes_without(set, *why))
        return status;
    set->users |= SOURCE_BIT(number);
    hook_open(hook->event, number, period);
    return 0;
}

void hooked_close(const struct source_hook *hook, enum source_number number)
{
    struct hook_set *set = hook->set;
    hook_close(hook->event);
    set->users &= ~SOURCE_BIT(number);
    if (set->users == 0 && set->close != NULL)
        set->close();
}

void hooked_tick(const struct source_hook *hook)
{
    hook_temper(hook->event, hook->most_a_second);
}
