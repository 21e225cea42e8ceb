/*
 * Exceptions that are raised, for the profile type `exception` (docs/exceptions.md): Ruby's
 * RAISE event, of the main Ractor. It comes once for each that is raised, and again where one
 * is raised again: in the clause that rescues it, or by the thread that joins the one which it
 * ended. Those are not counted, nor is StopIteration, with which loops end.
 */
#ifndef CPROF_RUBY_EXCEPTIONS_H
#define CPROF_RUBY_EXCEPTIONS_H

/* [start] See struct cprof_runtime. Without the GVL: what is wanted is done by the next two. */
int exceptions_open(const char **why);
void exceptions_close(void);

/* Under the GVL, after a start and after a stop. */
void exceptions_follow(void);
void exceptions_forget(void);

#endif
