/*
 * Pauses of Ruby's garbage collector, for the profile type `gc` (docs/collections.md): from
 * GC_ENTER to GC_EXIT, of which a collection may have several, as it marks and sweeps step by
 * step. GC_START says that one begins, as GC.count counts them.
 */
#ifndef CPROF_RUBY_PAUSES_H
#define CPROF_RUBY_PAUSES_H

/* [start] See struct cprof_runtime. Without the GVL: what is wanted is done by the next two. */
int pauses_open(const char **why);
void pauses_close(void);

/* Under the GVL, after a start and after a stop. */
void pauses_follow(void);
void pauses_forget(void);

#endif
