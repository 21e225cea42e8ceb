/*
 * What the thread context record tells other processes of this thread (cprof/context.h): the
 * active span and the labels of the running context.
 *
 * It follows spans and labels as they are set. From 3.14 the interpreter also tells of every
 * switch to another context, so the record is always right. Before, a thread that runs an
 * asyncio event loop has none, as its tasks switch without a word; and none has any once
 * greenlet is loaded, which switches unseen in every version.
 */
#ifndef CPROF_PYTHON_SHARE_H
#define CPROF_PYTHON_SHARE_H

/* [GIL] From start to stop: whether switches are watched. */
void share_open(void);
void share_close(void);

/* [GIL] Makes the calling thread's record say what its running context says. */
void share_current(void);

#endif
