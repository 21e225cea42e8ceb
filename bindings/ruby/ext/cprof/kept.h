/*
 * Thread objects that are kept alive. Before 3.3 Ruby calls no hook when a thread ends by an
 * exception. Its native thread may go on, for the next Ruby thread, and a handler there would
 * look at what is freed at some collection. So the Thread object that a native thread ran last,
 * and with it all that handlers read, is kept alive until that runs another one or ends; Ruby
 * has cleared the stack of frames in it by then. From 3.3 on the hook is always called, and
 * none of this is needed.
 */
#ifndef CPROF_RUBY_KEPT_H
#define CPROF_RUBY_KEPT_H

#include <ruby.h>
#include <ruby/version.h>

enum { KEPT_NEEDED = RUBY_API_VERSION_CODE < 30300 };

/* Once, under the GVL, before the first start. Threads that run already are kept for good, and
 * handlers told of them (walk_older): nobody tells when their native threads run others. */
void kept_init(void);

/* Under the GVL: the calling native thread runs this Ruby thread now; Qnil: none, and it is
 * known. */
void kept_set(VALUE thread);

#endif
