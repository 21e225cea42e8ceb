/*
 * The words in which a dump speaks to people: ages, threads, what they wait for. Appends to a
 * buffer. No state.
 */
#ifndef CPROF_DUMP_WORDS_H
#define CPROF_DUMP_WORDS_H

#include "dump/dump.h"
#include "format/format.h"

void words_put(struct buffer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "0.4 s", "12 s", "3 min", "2 h". */
void words_age(struct buffer *out, uint64_t ns);

/* "worker-1 (4712)". */
void words_thread(struct buffer *out, const struct dump_thread *thread);

/* Who holds what the thread waits for. */
void words_holder(struct buffer *out, const struct dump *dump,
                  const struct dump_thread *thread);

/* "waiting, lock 0x7f12 held by MainThread (4711)". */
void words_state(struct buffer *out, const struct dump *dump, const struct dump_thread *thread);

/* "the lock 0x7f12", "the GIL". */
void words_lock(struct buffer *out, const struct dump_thread *thread);

#endif
