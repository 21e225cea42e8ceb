#include "code_events.h"

#include <stdlib.h>

#include "cprof/cprof.h"
#include "codes.h"
#include "isolate.h"
#include "isolate_list.h"
#include "v8_sample.h"

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
        cprof_say("V8 has more functions than are kept in mind: some are shown as "
                  "\"(JavaScript)\"");
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
    isolates_unlock();
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
    isolates_lock();
    isolate->sample = sample;
    isolates_unlock();
    return true;
}

void code_events_listen(struct isolate *isolate)
{
    code_events_set(isolate->v8, CODE_EVENTS_ALL, on_event);
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
