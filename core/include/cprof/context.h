/*
 * What a binding tells other readers on the host, of the calling thread: its active span and
 * labels, as a thread context record (OTEP 4947), so that a profiler outside the process can
 * link its samples as well. What cprof's own samples carry does not come from here but from
 * struct cprof_runtime's context(), at the moment of the sample.
 *
 * The rule: a record is there only while it is right. A binding attaches where a span begins
 * to be active on the thread, and attaches or detaches again at every switch of the runtime's
 * context (task, fiber, coroutine). Where a runtime switches without a word (an event loop
 * before Python 3.14, a greenlet, V8), it does not attach: a link that is missing is told from
 * one that is wrong. Refreshing the record at each of our samples would leave it wrong for up
 * to 10 ms of the thread's CPU time, longer than most tasks run between two switches.
 *
 * None of this fails towards the caller, and all of it may be called at any time, running or
 * not, but never in a signal handler. With CPROF_SHARE_CONTEXT=off nothing is ever published.
 */
#ifndef CPROF_CONTEXT_H
#define CPROF_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/cprof.h"

struct cprof_span {
    uint8_t trace_id[16]; /* as W3C Trace Context has it, as have the others */
    uint8_t span_id[8];
    uint8_t flags;
};

/* Bytes of a record's attributes: with its head of 28 bytes it has the recommended 640. */
#define CPROF_ATTRIBUTES_MAX 612

/* Encodes labels as the attributes of a record; returns the bytes written. They stay good for
 * the life of the process, so that labels entered many times are encoded once. A value goes as
 * far as its first 255 bytes; what has no room, or whose key is past the process's 256th, is
 * left out. Any thread; takes a lock for moments. */
size_t cprof_context_encode(const struct cprof_pair *labels, size_t count,
                            uint8_t attributes[CPROF_ATTRIBUTES_MAX]);

/* False: nothing is published now, so that nothing needs to be gathered for it. */
bool cprof_context_shared(void);

/* Publishes the calling thread's context; `span` may be NULL (only attributes). Copies. */
void cprof_context_attach(const struct cprof_span *span, const uint8_t *attributes,
                          size_t size);
void cprof_context_detach(void);

/* The OTLP profile_id of the running interval, for the attribute profile.id of a root span
 * that begins now; false where CPROF_SPAN_PROFILE_ID is off, or nothing runs. The profile that
 * a span begins in is the one it names: when it ends, that one may have been sent already. */
bool cprof_span_profile_id(uint8_t id[16]);

/* The same for whatever happens now, as an exemplar of a histogram does, and whatever spans are
 * to have. False: nothing runs. */
bool cprof_profile_id(uint8_t id[16]);

#endif
