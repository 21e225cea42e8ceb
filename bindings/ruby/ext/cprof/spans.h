/*
 * Which span OpenTelemetry has active in the running fiber.
 *
 * The API keeps a stack of contexts for each fiber: before 1.5 as a fiber-local variable, since
 * then as an attribute of Fiber. Every change of it goes through attach, detach and clear of
 * OpenTelemetry::Context, which are wrapped once the API is there; what a fiber has when
 * it is switched to is looked up in that stack. A context's span and its ids are read from the
 * instance variables that the API has had since 1.0, which costs no call of Ruby code. What is
 * not as the API makes it (other tracers' spans) is asked for its ids, with interrupts held
 * back; whatever fails there is told as unreadable.
 */
#ifndef CPROF_RUBY_SPANS_H
#define CPROF_RUBY_SPANS_H

#include <stdbool.h>

#include <cprof/context.h>

struct span {
    struct cprof_span ids; /* zero where there is none */
    bool unreadable;       /* there is one, but what it is cannot be told */
};

/* Under the GVL; cheap. Looks whether the API has been loaded and, when it has for the first
 * time, follows it. */
void spans_find(void);

/* Under the GVL. Notices at once when the API is loaded later: looks at the end of every class
 * body. Ruby walks its heap and throws JIT code away when somebody asks for that, so it is
 * for programs that have only begun. Others look when new code has been sampled. */
void spans_watch(void);

/* Under the GVL, once the engine runs: whether root spans are to carry their profile's id. */
void spans_start(void);

/* Under the GVL: that of the running fiber. */
void spans_current(struct span *span);

/* The same, but what only the application's code could tell is unreadable. For where Ruby
 * swallows what other threads raise, which that code would let in. */
void spans_read(struct span *span);

#endif
