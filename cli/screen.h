/*
 * The whole terminal, for a command that draws it again and again and takes keys: the alternate
 * screen, keys without Enter. What was there before comes back at screen_close(), and when one
 * of SIGINT, SIGTERM and SIGHUP asks for the end: screen_ended() tells. One at a time, by one
 * thread.
 */
#ifndef CPROF_CLI_SCREEN_H
#define CPROF_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

/* False: standard input and output are no terminal that can do this. */
bool screen_open(void);
void screen_close(void);

/* Is the command to end? */
bool screen_ended(void);

/* Lines that there are now; it may have been made larger or smaller. */
size_t screen_lines(void);

/* Between both, what is written to standard output becomes the screen, at once. */
void screen_begin(void);
void screen_draw(void);

/* The next key that was pressed: its character, SCREEN_ESCAPE, SCREEN_BACK or SCREEN_ENTER; 0:
 * none is left. Does not wait. Those that send more than that (arrows) are passed over. */
enum { SCREEN_BACK = 0x7f, SCREEN_ENTER = '\n', SCREEN_ESCAPE = 0x1b };
int screen_key(void);

#endif
