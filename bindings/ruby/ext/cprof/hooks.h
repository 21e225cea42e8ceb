/*
 * What has to be noticed of a process's life: forks, threads' names, the end. The methods that
 * notice it are in lib/cprof/hooks.rb; all that they do but `super` is here, as a program may
 * have redefined what Ruby code would call (options.h).
 */
#ifndef CPROF_RUBY_HOOKS_H
#define CPROF_RUBY_HOOKS_H

#include <ruby.h>

void hooks_init(VALUE native); /* once, when the extension is loaded */
void hooks_install(void);      /* once, before the first start */

/* Before each start: at the program's end the profiler stops; again where an at_exit has
 * started it after that. */
void hooks_stop_at_exit(void);

#endif
