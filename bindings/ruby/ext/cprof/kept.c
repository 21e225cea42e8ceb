#include "kept.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "layout.h"
#include "original.h"
#include "threads.h"
#include "walk.h"

struct kept {
    struct kept *next;
    VALUE thread;
    _Atomic bool over; /* the native thread has ended */
};

/* Under the GVL: one for each native thread that has run a Ruby thread. */
static struct kept *all;
static pid_t owner; /* the process whose native threads these are */

static __thread struct kept *mine;
static pthread_key_t end_key;
static bool have_key; /* else nothing is kept, as it could not be let go */

static void end_native_thread(void *argument)
{
    struct kept *kept = argument;
    threads_over = true;
    atomic_signal_fence(memory_order_seq_cst);
    mine = NULL;
    atomic_store(&kept->over, true);
}

static void mark_all(void *unused)
{
    (void)unused;
    for (const struct kept *kept = all; kept != NULL; kept = kept->next)
        if (!atomic_load(&kept->over))
            rb_gc_mark(kept->thread);
}

static const rb_data_type_t kept_type = {.wrap_struct_name = "cprof/kept",
                                         .function = {.dmark = mark_all}};

static void keep_older(void)
{
    VALUE threads = original_thread_list();
    rb_gc_register_mark_object(threads);
    struct walk_thread *older = calloc((size_t)RARRAY_LEN(threads), sizeof *older);
    size_t count = 0;
    for (long i = 0; older != NULL && i < RARRAY_LEN(threads); i++) {
        VALUE thread = RARRAY_AREF(threads, i);
        VALUE tid = original_thread_native_id(thread);
        if (RB_FIXNUM_P(tid))
            older[count++] =
                (struct walk_thread){.tid = FIX2INT(tid), .thread = layout_thread(thread)};
    }
    walk_older = older;
    walk_older_count = count;
}

void kept_init(void)
{
    owner = getpid();
    have_key = pthread_key_create(&end_key, end_native_thread) == 0;
    rb_gc_register_mark_object(rb_data_typed_object_wrap(0, &all, &kept_type));
    keep_older();
}

/* Those of native threads that have ended, or that a fork has left behind. */
static void free_others(void)
{
    pid_t process = getpid();
    bool forked = owner != process;
    owner = process;
    for (struct kept **link = &all; *link != NULL;) {
        struct kept *kept = *link;
        if (kept != mine && (forked || atomic_load(&kept->over))) {
            *link = kept->next;
            free(kept);
        } else {
            link = &kept->next;
        }
    }
}

void kept_set(VALUE thread)
{
    if (!have_key)
        return;
    free_others();
    if (mine == NULL) {
        struct kept *kept = calloc(1, sizeof *kept);
        if (kept == NULL || pthread_setspecific(end_key, kept) != 0) {
            free(kept);
            return;
        }
        kept->next = all;
        all = mine = kept;
    }
    mine->thread = thread;
}
