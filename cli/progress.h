/*
 * What takes so long: a line on standard error, "merging 312 of 1,000 files", that comes when a
 * command is not done after a second, and goes before anything else is printed. Only on a
 * terminal that can do that.
 *
 * A thread of its own draws it. A command says what it does with progress_begin(), from its
 * main thread; progress_step() may come from any.
 */
#ifndef CPROF_CLI_PROGRESS_H
#define CPROF_CLI_PROGRESS_H

#include <stddef.h>

/* From now on `doing` ("reading") `count` things of that name ("files"), or one whose name it
 * is when `count` is 0. The texts must live until the next call. Ends what was before. */
void progress_begin(const char *doing, size_t count, const char *what);
/* One more of them is done. */
void progress_step(void);
/* Takes the line away until it is drawn again: something else is about to be printed. From any
 * thread. */
void progress_clear(void);
/* Takes it away for good. */
void progress_end(void);

#endif
