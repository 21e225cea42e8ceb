#include "engine/memory_pages.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "profile/carry.h"
#include "profile/measures.h"

#define SHARE 8 /* of the budget, that a sum may take */

/* What adds up. */
enum sum { SUM_ALLOC, SUM_LOCK, SUMS };
static const char *const summed[SUMS] = {[SUM_ALLOC] = "alloc", [SUM_LOCK] = "lock"};

static struct {
    pthread_mutex_t lock; /* held for moments */
    struct budget *budget;
    struct profile *sums[SUMS]; /* NULL: nothing yet */
    uint64_t since_ns;          /* Unix time */
} pages = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- carrying ---- */

/* The sheet whose columns are those of a source; -1: the profile has none. */
static int sheet_of(const struct profile *p, const char *source)
{
    for (size_t i = 0; i < profile_value_count(p); i++) {
        const struct measure *measure = measure_find(profile_type(p, i));
        if (measure != NULL && measure->source != NULL && strcmp(measure->source, source) == 0)
            return (int)profile_column_sheet(p, i);
    }
    return -1;
}

/* Adds what a sheet counts, `times` over, to the columns that the target has of it. */
static int carry_sheet(struct profile *to, const struct profile *from, size_t sheet,
                       int64_t times)
{
    static const char *const endless[] = {"thread.id", "lock.address"};
    static const struct profile_keys without = {.list = endless, .count = 2};
    struct carrier c;
    int status = carrier_init(&c, to, from);
    if (status != 0)
        return status;
    c.without = &without;
    for (size_t i = 0; i < profile_value_count(from); i++) {
        int column = profile_value_column(to, profile_type(from, i));
        c.places[i] = (struct profile_place){column >= 0 ? (size_t)column : 0, times};
    }
    for (size_t i = profile_first_sample(from, sheet);
         i < profile_first_sample(from, sheet + 1); i++) {
        struct profile_sample sample = profile_get_sample(from, i);
        sample.link = 0;
        (void)carry_sample(&c, &sample); /* what has no room is "[overflow]" */
    }
    carrier_free(&c);
    return 0;
}

/* ---- the sum ---- */

void memory_pages_reset(struct budget *budget)
{
    pthread_mutex_init(&pages.lock, NULL); /* also in the child of a fork */
    for (size_t i = 0; i < SUMS; i++) {
        profile_free(pages.sums[i]);
        pages.sums[i] = NULL;
    }
    pages.budget = budget;
    pages.since_ns = clock_ns(CLOCK_REALTIME);
}

void memory_pages_fork_child(bool at_rest)
{
    for (size_t i = 0; !at_rest && i < SUMS; i++)
        pages.sums[i] = NULL; /* stays where it lies */
}

static struct profile *new_sum(const struct profile *interval, size_t sheet, const char *source)
{
    struct profile *sum = profile_new(pages.budget);
    int64_t period = profile_period_const(interval, sheet)->value;
    if (sum == NULL || measure_fill_sheet(sum, 0, source, period) != 0) {
        profile_free(sum);
        return NULL;
    }
    profile_bound(sum, pages.budget->limit / SHARE);
    return sum;
}

static void add_to(enum sum which, const struct profile *interval)
{
    int sheet = sheet_of(interval, summed[which]);
    struct profile **sum = &pages.sums[which];
    if (sheet < 0 || pages.budget == NULL)
        return;
    if (*sum == NULL)
        *sum = new_sum(interval, (size_t)sheet, summed[which]);
    if (*sum != NULL)
        (void)carry_sheet(*sum, interval, (size_t)sheet, 1);
}

void memory_pages_count(const struct profile *interval)
{
    pthread_mutex_lock(&pages.lock);
    for (enum sum which = 0; which < SUMS; which++)
        add_to(which, interval);
    pthread_mutex_unlock(&pages.lock);
}

/* ---- a page ---- */

/* One more sheet, as `from` has it. */
static int add_sheet_like(struct profile *p, const struct profile *from, size_t sheet)
{
    int added = profile_add_sheet(p);
    if (added < 0)
        return added;
    for (size_t i = 0; i < profile_value_count(from); i++)
        if (profile_column_sheet(from, i) == sheet &&
            profile_add_value_type(p, (size_t)added, profile_type(from, i),
                                   profile_unit(from, i)) != 0)
            return -ENOMEM;
    profile_adopt_period(p, (size_t)added, from, sheet);
    return 0;
}

/* Without samples: the columns of both types, where there are. */
static struct profile *new_page(const struct profile *from)
{
    int alloc = sheet_of(from, "alloc"), heap = sheet_of(from, "heap");
    struct profile *page = profile_new_like_sheet(from, (size_t)(alloc >= 0 ? alloc : heap));
    if (page == NULL ||
        (alloc >= 0 && heap >= 0 && add_sheet_like(page, from, (size_t)heap) != 0)) {
        profile_free(page);
        return NULL;
    }
    return page;
}

static void set_time(struct profile *page)
{
    struct profile_header *header = profile_header(page);
    uint64_t now = clock_ns(CLOCK_REALTIME);
    header->time_ns = pages.since_ns;
    header->duration_ns = now > pages.since_ns ? now - pages.since_ns : 0;
}

/* Adds a sum to a page, which is thrown away if that can't be. */
static int finish(struct profile *page, enum sum which, int status, struct profile **made)
{
    pthread_mutex_lock(&pages.lock);
    if (status == 0 && pages.sums[which] != NULL)
        status = carry_sheet(page, pages.sums[which], 0, 1);
    pthread_mutex_unlock(&pages.lock);
    set_time(page);
    if (status == 0)
        *made = page;
    else
        profile_free(page);
    return status;
}

int memory_pages_make_locks(const struct profile *interval, struct profile **made)
{
    int sheet = sheet_of(interval, "lock");
    if (sheet < 0)
        return -ENODATA;
    struct profile *page = profile_new_like_sheet(interval, (size_t)sheet);
    return page != NULL ? finish(page, SUM_LOCK, 0, made) : -ENOMEM;
}

int memory_pages_make(const struct profile *interval, struct profile **made)
{
    int heap = sheet_of(interval, "heap"), status = 0;
    if (heap < 0 && sheet_of(interval, "alloc") < 0)
        return -ENODATA;
    struct profile *page = new_page(interval);
    if (page == NULL)
        return -ENOMEM;
    if (heap >= 0)
        status = carry_sheet(page, interval, (size_t)heap, 1);
    return finish(page, SUM_ALLOC, status, made);
}

/* ---- changes ---- */

static int carry_all(struct profile *to, const struct profile *from, int64_t times)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < profile_sheet_count(from); i++)
        status = carry_sheet(to, from, i, times);
    return status;
}

static bool is_nothing(const struct profile *p, const struct profile_sample *sample)
{
    for (size_t i = 0; i < profile_value_count(p); i++)
        if (profile_value(p, sample, i) != 0)
            return false;
    return true;
}

/* What has changed by nothing is no sample. */
static int carry_changes(struct profile *to, const struct profile *from)
{
    struct carrier c;
    int status = carrier_init(&c, to, from);
    if (status != 0)
        return status;
    for (size_t i = 0; i < profile_sample_count(from); i++) {
        const struct profile_sample sample = profile_get_sample(from, i);
        if (!is_nothing(from, &sample))
            (void)carry_sample(&c, &sample);
    }
    carrier_free(&c);
    return 0;
}

/* Without samples: the columns of a page. */
static struct profile *new_like_page(const struct profile *from)
{
    struct profile *page = profile_new_like_sheet(from, 0);
    for (size_t i = 1; page != NULL && i < profile_sheet_count(from); i++)
        if (add_sheet_like(page, from, i) != 0) {
            profile_free(page);
            return NULL;
        }
    return page;
}

struct profile *memory_pages_change(const struct profile *before, const struct profile *now)
{
    const struct profile_header *first = profile_header_const(before);
    const struct profile_header *last = profile_header_const(now);
    struct profile *both = new_like_page(now), *change = new_like_page(now);
    bool made = both != NULL && change != NULL && carry_all(both, now, 1) == 0 &&
                carry_all(both, before, -1) == 0 && carry_changes(change, both) == 0;
    profile_free(both);
    if (!made) {
        profile_free(change);
        return NULL;
    }
    struct profile_header *header = profile_header(change);
    header->time_ns = first->time_ns + first->duration_ns;
    header->duration_ns = last->duration_ns - first->duration_ns;
    return change;
}
