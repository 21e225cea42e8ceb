/*
 * struct reader and word() for walk_frames.h: copies of what another thread or a fiber has, as
 * a look brings them (cprof/asleep.h). After one that failed nothing more is read: what was
 * read before is torn.
 */
#ifndef CPROF_RUBY_COPIED_H
#define CPROF_RUBY_COPIED_H

#include <cprof/asleep.h>

struct reader {
    const struct cprof_sleeper *sleeper;
    bool failed;
};

static bool copy(struct reader *reader, const void *from, void *to, size_t size)
{
    reader->failed =
        reader->failed || !reader->sleeper->read(reader->sleeper, (uintptr_t)from, to, size);
    return !reader->failed;
}

static inline uintptr_t word(struct reader *reader, uintptr_t base, ptrdiff_t offset)
{
    uintptr_t value;
    return copy(reader, (const void *)(base + (uintptr_t)offset), &value, sizeof value) ? value
                                                                                        : 0;
}

#endif
