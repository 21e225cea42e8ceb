#include "dump/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "dump/words.h"
#include "profile/hex.h"

/* ---- groups ---- */

/* In which order they stand: what runs, what could, what waits, what is idle. */
static int rank(const struct dump_thread *thread)
{
    bool idle = thread->wait.state == WAIT_WAITING && thread->wait.reason == CPROF_WAIT_IDLE;
    return thread->deadlock != 0 ? -1 : idle ? WAIT_STATES + 1 : (int)thread->wait.state;
}

/* Threads of one group are equal here. */
static int compare_groups(const struct dump_thread *a, const struct dump_thread *b)
{
    const int64_t differences[] = {
        (int64_t)a->kind - (int64_t)b->kind,
        rank(a) - rank(b),
        (int64_t)a->view - (int64_t)b->view,
        (int64_t)a->wait.reason - (int64_t)b->wait.reason,
        (int64_t)a->stack - (int64_t)b->stack,
        (int64_t)(a->wait.lock > b->wait.lock) - (int64_t)(a->wait.lock < b->wait.lock),
        (int64_t)a->wait.holder - (int64_t)b->wait.holder,
    };
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
        if (differences[i] != 0)
            return differences[i] < 0 ? -1 : 1;
    return strcmp(a->wait.peer, b->wait.peer);
}

static int compare_members(const void *a, const void *b)
{
    const struct dump_thread *one = *(const struct dump_thread *const *)a;
    const struct dump_thread *other = *(const struct dump_thread *const *)b;
    int order = compare_groups(one, other);
    return order != 0 ? order : (one > other) - (one < other);
}

struct group {
    const struct dump_thread *const *members;
    size_t count;
};

static int compare_sizes(const void *a, const void *b)
{
    const struct group *one = a, *other = b;
    int order = (int)one->members[0]->kind - (int)other->members[0]->kind;
    if (order == 0)
        order = rank(one->members[0]) - rank(other->members[0]);
    if (order != 0)
        return order;
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    return (one->members[0] > other->members[0]) - (one->members[0] < other->members[0]);
}

/* ---- one group ---- */

static void put_ids(struct buffer *out, const struct dump *dump,
                    const struct dump_thread *thread)
{
    char trace[33], span[17];
    if (thread->link == 0)
        return;
    const struct profile_link *link = profile_get_link(dump->profile, thread->link);
    hex_write(trace, link->trace_id, sizeof link->trace_id);
    hex_write(span, link->span_id, sizeof link->span_id);
    words_put(out, ", trace_id=%s, span_id=%s", trace, span);
}

/* The program's own: what else there is stands in other places. */
static bool is_own_label(const char *key)
{
    static const char *const told[] = {"kind", "task.", "thread.", "wait.", "lock."};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (strncmp(key, told[i], strlen(told[i])) == 0)
            return false;
    return true;
}

static void put_labels(struct buffer *out, const struct dump *dump,
                       const struct dump_thread *thread)
{
    struct profile_label_set set = profile_get_labels(dump->profile, thread->labels);
    for (uint32_t i = 0; i < set.count; i++) {
        const struct profile_label *label = &set.labels[i];
        const char *key = profile_text(dump->profile, label->key);
        if (!label->is_number && is_own_label(key))
            words_put(out, ", %s=%s", key, profile_text(dump->profile, label->text));
    }
}

/* Greenlets and fibers have no names. */
static void put_name(struct buffer *out, const struct dump_thread *thread)
{
    if (thread->kind > DUMP_TASK && thread->name[0] == '\0')
        words_put(out, "%s 0x%llx", dump_kind_word(thread->kind),
                  (unsigned long long)thread->id);
    else if (thread->kind > DUMP_TASK)
        words_put(out, "%s", thread->name);
    else
        words_thread(out, thread);
}

static void put_member(struct buffer *out, const struct dump *dump,
                       const struct dump_thread *thread)
{
    words_put(out, "  ");
    put_name(out, thread);
    if (thread->still_ns != 0) {
        words_put(out, ", for at least ");
        words_age(out, thread->still_ns);
    }
    if (thread->age_ns != 0) {
        words_put(out, ", sampled ");
        words_age(out, thread->age_ns);
        words_put(out, " ago");
    }
    put_ids(out, dump, thread);
    put_labels(out, dump, thread);
    words_put(out, "\n");
}

static void put_line(struct buffer *out, const struct dump *dump,
                     const struct profile_location *location, const struct profile_line *line)
{
    const struct profile *p = dump->profile;
    const struct profile_function *function = profile_get_function(p, line->function);
    const char *file = profile_text(p, function->filename);
    if (file[0] == '\0')
        file = profile_text(p, profile_get_mapping(p, location->mapping)->filename);
    words_put(out, "      %s", profile_text(p, function->name));
    if (file[0] != '\0')
        words_put(out, "  %s", file);
    if (line->line > 0)
        words_put(out, ":%lld", (long long)line->line);
    words_put(out, "\n");
}

static void put_stack(struct buffer *out, const struct dump *dump,
                      const struct dump_thread *thread)
{
    struct profile_stack stack = profile_get_stack(dump->profile, thread->stack);
    if (stack.depth == 0)
        words_put(out, thread->kind != DUMP_THREAD
                           ? "      its stack is its thread's\n"
                           : "      no stack: no sample has been taken of it\n");
    for (uint32_t i = 0; i < stack.depth; i++) {
        const struct profile_location *location =
            profile_get_location(dump->profile, stack.locations[i]);
        for (uint32_t k = 0; k < location->line_count; k++)
            put_line(out, dump, location, &location->lines[k]);
        if (location->line_count == 0)
            words_put(out, "      0x%llx\n", (unsigned long long)location->address);
    }
}

/* What has no state of its own is open, with the other end of its socket. */
static void put_state(struct buffer *out, const struct dump *dump,
                      const struct dump_thread *thread)
{
    if (thread->kind < DUMP_HANDLE)
        words_state(out, dump, thread);
    else
        words_put(out, "open%s%s", thread->wait.peer[0] != '\0' ? " " : "", thread->wait.peer);
}

static void put_group(struct buffer *out, const struct dump *dump, const struct group *group)
{
    words_put(out, "\n%zu %s%s ", group->count, dump_kind_word(group->members[0]->kind),
              group->count == 1 ? "" : "s");
    put_state(out, dump, group->members[0]);
    words_put(out, "\n");
    bool named = group->members[0]->kind != DUMP_HANDLE; /* addresses say nothing */
    for (size_t i = 0; named && i < group->count && i < TEXT_MEMBERS; i++)
        put_member(out, dump, group->members[i]);
    if (named && group->count > TEXT_MEMBERS)
        words_put(out, "  … and %zu more\n", group->count - TEXT_MEMBERS);
    put_stack(out, dump, group->members[0]);
}

/* Sorts the threads, and lists where each group begins. */
static size_t form_groups(const struct dump *dump, const struct dump_thread **members,
                          struct group *groups)
{
    size_t count = 0;
    for (size_t i = 0; i < dump->count; i++)
        members[i] = &dump->threads[i];
    qsort(members, dump->count, sizeof *members, compare_members);
    for (size_t i = 0; i < dump->count; i++) {
        if (i == 0 || compare_groups(members[i - 1], members[i]) != 0)
            groups[count++] = (struct group){.members = &members[i]};
        groups[count - 1].count++;
    }
    qsort(groups, count, sizeof *groups, compare_sizes);
    return count;
}

static void put_groups(struct buffer *out, const struct dump *dump)
{
    const struct dump_thread **members =
        calloc(dump->count + 1, sizeof(const struct dump_thread *));
    struct group *groups = calloc(dump->count + 1, sizeof *groups);
    if (members == NULL || groups == NULL)
        out->error = -ENOMEM;
    size_t count = out->error == 0 ? form_groups(dump, members, groups) : 0;
    for (size_t i = 0; i < count; i++)
        put_group(out, dump, &groups[i]);
    free(members);
    free(groups);
}

/* ---- the head ---- */

static void put_deadlock(struct buffer *out, const struct dump *dump, unsigned number)
{
    const char *separator = "\nDeadlock: ";
    size_t first = 0;
    while (dump->threads[first].deadlock != number)
        first++;
    size_t at = first;
    do {
        const struct dump_thread *thread = &dump->threads[at];
        words_put(out, "%s", separator);
        words_thread(out, thread);
        words_put(out, " waits for ");
        words_lock(out, thread);
        words_put(out, ", which ");
        words_holder(out, dump, thread);
        words_put(out, " holds");
        separator = "; ";
        at = thread->holder - 1;
    } while (at != first);
    words_put(out, ".\n");
}

static void put_count(struct buffer *out, const struct dump *dump, enum dump_kind kind)
{
    size_t count = dump_count(dump, kind);
    if (count > 0)
        words_put(out, "%s%zu %s%s\n", dump->limited[kind] ? "more than " : "", count,
                  dump_kind_word(kind), count == 1 ? "" : "s");
}

static void put_states(struct buffer *out, const struct dump *dump)
{
    size_t counts[WAIT_STATES + 1] = {0};
    for (size_t i = 0; i < dump->count; i++)
        if (dump->threads[i].kind == DUMP_THREAD)
            counts[dump->threads[i].wait.state]++;
    size_t threads = dump_count(dump, DUMP_THREAD);
    words_put(out, "%zu thread%s: %zu running, %zu runnable, %zu waiting\n", threads,
              threads == 1 ? "" : "s", counts[WAIT_RUNNING], counts[WAIT_RUNNABLE],
              counts[WAIT_WAITING]);
    for (unsigned kind = DUMP_THREAD + 1; kind < DUMP_KINDS; kind++)
        put_count(out, dump, (enum dump_kind)kind);
}

static void put_head(struct buffer *out, const struct dump *dump,
                     const struct dump_origin *origin)
{
    char when[64] = "";
    struct tm parts;
    time_t seconds = (time_t)(dump->time_ns / NS_PER_SECOND);
    if (gmtime_r(&seconds, &parts) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts);
    words_put(out, "%s, process %ld (%s), %s\n", origin->service, origin->pid, origin->runtime,
              when);
    put_states(out, dump);
    if (dump->incomplete)
        words_put(out, "There was no memory for all of them.\n");
}

void dump_write_text(const struct dump *dump, const struct dump_origin *origin,
                     struct buffer *out)
{
    put_head(out, dump, origin);
    for (unsigned i = 1; i <= dump->deadlocks; i++)
        put_deadlock(out, dump, i);
    put_groups(out, dump);
}
