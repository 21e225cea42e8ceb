/*
 * The thread context record that other processes read (OTEP 4947), and the thread-local
 * pointer to it. Each thread that ever attached a context has one record for its life, written
 * by itself alone; readers stop the thread, so the writer needs only to keep the order of its
 * stores. Functions for bindings are in cprof/context.h.
 */
#ifndef CPROF_CONTEXT_RECORD_H
#define CPROF_CONTEXT_RECORD_H

#include <stdint.h>

#include "cprof/context.h"

/* Byte for byte as the specification has it; integers in the machine's order. */
struct thread_context {
    uint8_t trace_id[16]; /* zero: no span */
    uint8_t span_id[8];
    uint8_t valid; /* 1; anything else: nothing here is to be read */
    uint8_t flags;
    uint16_t size;                            /* bytes of the attributes */
    uint8_t attributes[CPROF_ATTRIBUTES_MAX]; /* key's index, length, value; and so on */
};

_Static_assert(sizeof(struct thread_context) == 640, "the record has no padding");

/* The symbol by which readers find the calling thread's record; NULL until it has one. */
extern _Thread_local struct thread_context *otel_thread_ctx_v1
    __attribute__((visibility("default")));

#endif
