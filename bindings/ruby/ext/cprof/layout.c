#include "layout.h"

#include <stdio.h>
#include <string.h>

#include <ruby/debug.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#include <cprof/readable.h>

#include "names.h"
#include "walk.h"

#define CHECK_FRAMES_MAX 64
#define RACTOR_SIZE 2048 /* what runs stands in its beginning */

struct layout layout;

/* Offsets by the version this was compiled for; the extension is built for one Ruby. */
static bool known_version(void)
{
    switch (RUBY_API_VERSION_MAJOR * 100 + RUBY_API_VERSION_MINOR) {
    case 301:
        layout.thread_ec = 40;
        layout.frame_size = 64;
        return true;
    case 302:
        layout.thread_ec = 48;
        layout.frame_size = 64;
        return true;
    case 303:
    case 304:
        layout.thread_ec = 48;
        layout.frame_size = 56;
        return true;
    default:
        return false;
    }
}

void *layout_thread(VALUE thread)
{
    return RTYPEDDATA_DATA(thread);
}

/* The thread, its context and their way back to each other. */
static bool check_context(void)
{
    VALUE current = rb_thread_current();
    uintptr_t thread = (uintptr_t)layout_thread(current);
    uintptr_t self, ec, back;
    return cprof_read_alive_word(thread + THREAD_SELF, &self) && self == current &&
           cprof_read_alive_word(thread + layout.thread_ec, &ec) &&
           cprof_read_alive_word(ec + EC_THREAD, &back) && back == thread;
}

/* A Ractor keeps the context that runs right before its main thread. From 3.3 on that may be
 * one that does not run, for as long as RUBY_MN_THREADS likes: there any thread may ask for
 * names. */
static void find_running(void)
{
    if (RUBY_API_VERSION_CODE >= 30300)
        return;
    uintptr_t ec = walk_context(layout_thread(rb_thread_current()));
    uintptr_t thread = (uintptr_t)layout_thread(rb_thread_main());
    layout.main_ractor = word_at(thread, THREAD_RACTOR);
    for (uintptr_t at = layout.main_ractor; at < layout.main_ractor + RACTOR_SIZE;
         at += sizeof at) {
        uintptr_t found[2];
        if (!cprof_read_alive(found, at, sizeof found))
            return;
        if (found[0] == ec && found[1] == thread) {
            layout.main_runs = at;
            return;
        }
    }
}

/* Right below an interpreter loop: its tag is the innermost. */
static void learn_loop(void)
{
#ifdef TAG_RESUME
    uintptr_t ec = walk_context(layout_thread(rb_thread_current()));
    layout.loop_resume = word_at(word_at(ec, EC_TAG), TAG_RESUME);
#endif
}

/* Ruby's own account of the stack must be ours, line by line. */
static bool check_frames(void)
{
    VALUE theirs[CHECK_FRAMES_MAX];
    int lines[CHECK_FRAMES_MAX];
    struct cprof_frame ours[CHECK_FRAMES_MAX];
    const struct cprof_interrupted thread = {
        .thread_data = layout_thread(rb_thread_current()),
    };
    bool complete;
    size_t count = walk(&thread, ours, CHECK_FRAMES_MAX, &complete);
    code_give_names();
    size_t expected = (size_t)rb_profile_frames(0, CHECK_FRAMES_MAX, theirs, lines);
    /* Before 3.3 Ruby also lists the frame of TOPLEVEL_BINDING, which never runs. */
    if (expected > count && lines[expected - 1] == 0)
        expected--;
    if (count != expected || count == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct cprof_function function;
        VALUE path = rb_profile_frame_path(theirs[i]);
        if (code_resolve(&ours[i], &function) != 0 || function.line != lines[i])
            return false;
        if (!NIL_P(path) &&
            (function.file == NULL || strcmp(function.file, StringValueCStr(path)) != 0))
            return false;
    }
    return true;
}

bool layout_check(char *why, size_t size)
{
    layout = (struct layout){0};
    if (!known_version()) {
        snprintf(why, size, "Ruby %d.%d is not known: native frames only",
                 RUBY_API_VERSION_MAJOR, RUBY_API_VERSION_MINOR);
        return false;
    }
    if (check_context()) {
        learn_loop();
        find_running();
        layout.trusted = true;
        layout.trusted = check_frames();
    }
    if (!layout.trusted)
        snprintf(why, size,
                 "this build of Ruby %d.%d keeps its frames differently: native frames only",
                 RUBY_API_VERSION_MAJOR, RUBY_API_VERSION_MINOR);
    return layout.trusted;
}
