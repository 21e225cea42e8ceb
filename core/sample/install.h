/*
 * The sampling signal: which one it is, and how its handler comes and goes.
 *
 * On glibc it is the signal that the library keeps for itself, SIGSETXID (33): setuid() and its
 * like send it to the other threads, so that each changes its own identity. A program can't
 * name it. sigfillset() leaves it out, pthread_sigmask() never blocks it, sigaction() and
 * signal() refuse it; Go's runtime leaves it as it is, and gdb passes it on. So ours is in
 * nobody's way: who gives all signals their defaults does not reset it (the default would
 * kill), who waits for all signals does not receive it, and a thread that blocks them all is
 * sampled. Only raw system calls reach it.
 *
 * glibc's action is replaced by ours, with its flags, and put back at the end. What is not ours
 * goes on to glibc's handler with the same arguments, so setuid() works as ever. glibc's
 * handler returns at once from a signal that its own tgkill() did not send: one of ours that
 * comes late, after the end or to glibc's handler, does nothing. It is there from the first
 * pthread_create() on, for good; before 2.34, from the start. Only a handler that lies in glibc
 * is replaced.
 *
 * Elsewhere (musl and other libraries, a handler of somebody's there, ThreadSanitizer, which
 * must see every handler) it is SIGURG if nobody handles it, as its default is to be ignored,
 * or else a real-time signal. Those can be reset, replaced, blocked and waited for:
 * handler_keep() sees the first two, and the thread registry the others
 * (threads_config.maskable).
 *
 * Timers do not survive exec, and the kernel throws away what they had queued, so the program
 * that follows meets none of ours.
 */
#ifndef CPROF_SAMPLE_INSTALL_H
#define CPROF_SAMPLE_INSTALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample/handler.h"

/* The signal's number, chosen at first and kept as long as it can be. -EBUSY when none is free.
 * May start a thread and wait for its end. */
int handler_choose(void);

/* Is the library's signal in the hands of somebody who is neither the library nor we? `path`:
 * the module whose handler it has. Also true, without a path, where that can't be known. */
bool handler_foreign(char *path, size_t size);

/* Can a thread block the signal, and then wait for it? */
bool handler_maskable(void);

/* Installs the handler of the signal that was chosen. */
void handler_install(void);

/* Puts the signal's former action back; a real-time signal is ignored from now on, as a late
 * one would kill. */
void handler_uninstall(void);

enum handler_place {
    HANDLER_KEPT,     /* installed, or again: the C library had put its own back */
    HANDLER_RESTORED, /* installed again, after somebody had reset the signal */
    HANDLER_LOST,     /* somebody's handler is there, or it was reset too often */
};

/* [collector] While it is open: looks that the handler is in place, a few times a second. */
enum handler_place handler_keep(void);

/* HANDLER_LOST: moves to another signal. Its number, or -EBUSY when none is free, it has been
 * moved too often, or somebody resets what we choose. */
int handler_move(void);

/* Around fork: no handler on this thread until then. pthread_sigmask() would not do it. */
uint64_t handler_block(void);
void handler_unblock(uint64_t before);

/* For tests: as if the C library had no signal of its own. Before handler_choose(). */
void handler_refuse_library(bool refuse);

#endif
