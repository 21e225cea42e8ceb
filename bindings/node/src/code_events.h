/*
 * V8's code events (Isolate::SetJitCodeEventHandler) of an isolate that is followed by V8's
 * samples: they fill its table of codes.
 *
 * V8 tells one listener of an isolate: there is no other way to know of another one than to
 * take its place, which is what happens. It begins by telling of all code that there is, which
 * takes some 10 to 30 ms, more in a large program.
 */
#ifndef CPROF_NODE_CODE_EVENTS_H
#define CPROF_NODE_CODE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct isolate;

enum { EVENT_ADDED, EVENT_MOVED };
enum { FORM_BYTECODE, FORM_MACHINE, FORM_WASM };
enum { CODE_EVENTS_ALL = 1 }; /* an option: of the code that there is already, too */

/* v8::JitCodeEvent, as it has been from V8 10 to 14. */
struct v8_code_event {
    int type, form;
    uintptr_t start;
    size_t size;
    void *script, *user_data, *wasm_source;
    union {
        struct {
            const char *text;
            size_t length;
        } name;
        struct {
            size_t offset, position;
            int type;
        } line;
        uintptr_t new_start;
    };
    void *isolate;
};

/* v8::Isolate::SetJitCodeEventHandler; NULL: this node does not export it. */
typedef void (*v8_set_code_events)(void *isolate, int options,
                                   void (*listener)(const struct v8_code_event *event));
extern v8_set_code_events code_events_set;

/* [isolate's thread] Makes isolate->sample. False: no memory. */
bool code_events_open(struct isolate *isolate);
/* [isolate's thread] Has V8 tell of its code. */
void code_events_listen(struct isolate *isolate);
/* [isolate's thread] V8 tells no more. What has been sampled can still be named. */
void code_events_close(struct isolate *isolate);
/* [with isolates_lock()] */
void code_events_free(struct isolate *isolate);

#endif
