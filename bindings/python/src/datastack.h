/* Handler code. The thread's data stack, where CPython 3.11 and newer keep their frames. */

/* How many frames of one eval call are followed to check that they are linked. */
enum { RUN_LIMIT = 4096 };

/* True when `frame` lies in the free part of the thread's data stack: a leftover pointer to a
 * frame that has been popped. */
static inline bool datastack_popped(const PyThreadState *state, const void *frame)
{
    return frame >= (const void *)state->datastack_top &&
           frame < (const void *)state->datastack_limit;
}
