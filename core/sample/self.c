/* Handler code: runs inside signal handlers and inside malloc. See self.h. */
#include "sample/self.h"

#include "cprof/syscall.h"
#include "sample/awake.h"
#include "sample/by_tid.h"

CPROF_THREAD_LOCAL struct self self_of_thread;

static bool look_up(struct self *self)
{
    pid_t tid = (pid_t)cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    struct thread *thread = by_tid_find(tid);
    if (thread == NULL)
        return false;
    self->life = atomic_load(&thread->life);
    self->thread = thread;
    return self->life != 0;
}

struct thread *self_record(void)
{
    struct self *self = &self_of_thread;
    for (int tries = 0; tries < 2; tries++) {
        if (self->thread != NULL && self->life != 0) {
            threads_begin(self->thread);
            if (atomic_load(&self->thread->life) == self->life)
                return self->thread;
            atomic_fetch_sub(&self->thread->handlers, 1);
        }
        if (!look_up(self))
            break;
    }
    return NULL;
}
