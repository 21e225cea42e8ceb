#include "code_events.h"

#include <stdio.h>
#include <stdlib.h>

#include "codes.h"
#include "isolate.h"
#include "v8_sample.h"

enum { EVENT_ADDED, EVENT_MOVED };
enum { FORM_BYTECODE, FORM_MACHINE, FORM_WASM };
enum { TELL_ALL = 1 };

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

v8_set_code_events code_events_set;

/* Builtins are in the binary: native frames. */
static bool is_builtin(const struct isolate *isolate, uintptr_t pc)
{
    return range_holds(&isolate->builtins, pc) || range_holds(&isolate->copied_builtins, pc);
}

static void tell_of_limit(void)
{
    static _Atomic bool told;
    if (!atomic_exchange(&told, true))
        fprintf(stderr, "cprof: V8 has more functions than are kept in mind: some are shown as "
                        "\"(JavaScript)\"\n");
}

/* False: there is no room for it. Of WebAssembly V8 tells late, when it has run already: the
 * walk knows it otherwise. */
static bool on_added(struct isolate *isolate, const struct v8_code_event *event)
{
    if (event->size == 0 || event->size > UINTPTR_MAX - event->start ||
        event->form == FORM_WASM || is_builtin(isolate, event->start))
        return true;
    const struct code code = {.start = event->start,
                              .limit = event->start + event->size,
                              .form =
                                  event->form == FORM_BYTECODE ? CODE_BYTECODE : CODE_MACHINE};
    return codes_add(isolate->sample->codes, &code, event->name.text, event->name.length);
}

static void on_event(const struct v8_code_event *event)
{
    struct isolate *isolate = isolate_lock_v8(event->isolate);
    bool room = true;
    if (isolate != NULL && event->type == EVENT_ADDED)
        room = on_added(isolate, event);
    else if (isolate != NULL && event->type == EVENT_MOVED)
        codes_move(isolate->sample->codes, event->start, event->new_start);
    isolate_unlock();
    if (!room)
        tell_of_limit();
}

bool code_events_open(struct isolate *isolate)
{
    struct v8_sample *sample = calloc(1, sizeof *sample);
    struct codes *codes = codes_open();
    if (sample == NULL || codes == NULL) {
        free(sample);
        codes_free(codes);
        return false;
    }
    sample->codes = codes;
    isolate_lock(0);
    isolate->sample = sample;
    isolate_unlock();
    return true;
}

void code_events_listen(struct isolate *isolate)
{
    code_events_set(isolate->v8, TELL_ALL, on_event);
}

void code_events_close(struct isolate *isolate)
{
    code_events_set(isolate->v8, 0, NULL);
}

void code_events_free(struct isolate *isolate)
{
    if (isolate->sample == NULL)
        return;
    codes_free(isolate->sample->codes);
    free(isolate->sample);
    isolate->sample = NULL;
}
