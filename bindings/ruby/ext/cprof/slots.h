/*
 * What Ruby allocates without malloc: the slots of its own heap, one for each object, of 40
 * bytes, and from 3.2 on of up to 640. What an object has outside of its slot comes from malloc
 * and is counted there (core/alloc/malloc.h). So each byte is counted once.
 *
 * Ruby's event of a new object costs some 300 instructions, which is too much for all of them.
 * So the hook is in for one tick in SLOTS_TURN, a look, and what it sees stands for that many:
 * a tick is a period of CPU time of whoever has the GVL, and which one of a turn is the look is
 * drawn before the turn. So nothing that a program does can keep out of looks, or draw them.
 * As a program is slower in a look, its objects stand for some more than SLOTS_TURN: by Ruby's
 * own count of all objects, of the turns that have passed.
 *
 * A handler notices when a look should begin or end; a postponed job then puts the hook in, or
 * takes it out, under the GVL. Ruby's hooks are a Ractor's: those of others are not seen.
 */
#ifndef CPROF_RUBY_SLOTS_H
#define CPROF_RUBY_SLOTS_H

#include <ruby.h>

#include <cprof/runtime.h>

#define SLOTS_TURN 16

/* Once, under the GVL: learns whether this Ruby's slots can be counted. */
void slots_init(void);

/* Under the GVL, after each start. */
void slots_started(void);

/* Under the GVL, after a stop or in a forked child: no hook stays in where nothing is counted.
 */
void slots_settle(void);

/* Under the GVL: from now on none are counted, as Ruby would crash. */
void slots_give_up(void);

/* The runtime's entries. */
int slots_open(const char **why);
void slots_close(void);
void slots_tick(const struct cprof_interrupted *thread);

#endif
