/*
 * Names for the code that handlers met (walk.h).
 *
 * Naming calls Ruby, so it happens on a Ruby thread under the GVL: in a postponed job that a
 * handler asks for when it has met something new, and before a flush or stop. A named code's
 * strings and lines are copied: from then on code_resolve() answers without Ruby, also after
 * the code has died. Handlers' slots keep their objects alive and unmoved from one garbage
 * collection to the next; code that has not been sampled for a minute lets go of its slot, and
 * its name is freed when no sample can refer to it any more.
 *
 * What could not be named stays "not yet" (-EAGAIN) until a job has looked at it.
 */
#ifndef CPROF_RUBY_NAMES_H
#define CPROF_RUBY_NAMES_H

#include <stdbool.h>

#include <cprof/runtime.h>

void code_init(void);       /* once, under the GVL */
void code_give_names(void); /* under the GVL: names everything met so far */
/* Under the GVL, after the engine has stopped: lets go of it all, unless a thread gives names.
 */
void code_forget(void);

/* [collector] The runtime's entries. */
int code_resolve(const struct cprof_frame *frame, struct cprof_function *function);
bool code_drained(void); /* true every ten seconds: it has tidied up */

/* Around fork, so that the child finds no lock held. */
void code_fork_prepare(void);
void code_fork_done(void);

#endif
