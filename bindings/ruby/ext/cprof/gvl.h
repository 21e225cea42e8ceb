/*
 * Waits for the GVL as waits for one more lock, where Ruby tells of them (3.2): from where a
 * thread is ready to run, while another one has it, to where it goes on. A wait that belongs to
 * one for another lock is no wait of its own.
 *
 * Called inside Ruby's scheduler: nothing of Ruby is called, and nothing is allocated. Bounded:
 * of threads whose waits would stand at the same place of a table the last one's is counted.
 */
#ifndef CPROF_RUBY_GVL_H
#define CPROF_RUBY_GVL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* [start] Waits are counted from now on, or not any more. */
void gvl_count(bool wanted);

/* On any thread: that one is ready to run. `thread` is what it is known by. */
void gvl_ready(uintptr_t thread);

/* On the thread itself, whose number is `tid`: it has it; it gives it away. */
void gvl_taken(uintptr_t thread, pid_t tid);
void gvl_given(pid_t tid);

/* Who has it, as far as is known; 0: nobody. */
pid_t gvl_holder(void);

/* The calling native thread waits for another lock. */
extern __thread bool gvl_within;

/* In a fork's child. */
void gvl_child(void);

#endif
