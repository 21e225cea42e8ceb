/*
 * What a thread waits for, as far as its system call tells: the reason, the other end of its
 * socket, the lock. What only the interpreter can know, and what "for work" means in it, is
 * added by others.
 */
#ifndef CPROF_LOOK_WAIT_H
#define CPROF_LOOK_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/asleep.h"
#include "look/kernel.h"
#include "unwind/copied.h"

enum { WAIT_PEER_SIZE = 64, WAIT_SITE_SIZE = 64 };

/* The label thread.state; of who has made others wait there is none, and the reason is theirs.
 */
enum wait_state { WAIT_RUNNING, WAIT_RUNNABLE, WAIT_WAITING, WAIT_BLAMED, WAIT_STATES };

struct wait {
    enum wait_state state;
    enum cprof_wait reason;
    bool task;            /* it is no thread that waits */
    pid_t holder;         /* of the lock; 0: not known */
    uint32_t holder_kind; /* or a task's name, that goes before it (sample/kinds.h); 0: none */
    uint64_t lock;        /* its address; 0: none that stands for a lock */
    char peer[WAIT_PEER_SIZE]; /* "10.0.0.7:5432"; "": none */
    char site[WAIT_SITE_SIZE]; /* where the lock was asked for: "cart.py:42"; "": not known */
};

/* Descriptors in the arguments are this process's: the other end of a socket is asked for, and
 * whether a file is on a disk. `copied` reads what arguments point to. */
struct wait wait_of(const struct kernel_asleep *asleep, struct copied *copied);

/* The same where no more is known than the kernel's function that it sleeps in; "": not even
 * that. */
struct wait wait_of_function(const char *function);

/* The other end of a socket; left as it is where there is none. */
void wait_name_peer(int fd, char peer[WAIT_PEER_SIZE]);

/* What the runtime knows of the place where a thread waits goes before what its call says. */
void wait_refine(struct wait *wait, enum cprof_wait known);

/* Is it a native lock's: a mutex's, or a futex that is used as one? */
bool wait_is_native(const struct wait *wait);

/* The address that it waits at in futex(2); 0: it does not. */
uintptr_t wait_futex(const struct kernel_asleep *asleep);

#endif
