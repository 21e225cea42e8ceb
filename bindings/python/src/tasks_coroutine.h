/*
 * A coroutine that is suspended, of another thread's and read through copies, by version: its
 * frame, and where the coroutine that it awaits lies. (walk_generators.h is the same for the
 * calling thread's own.) Included by tasks.c alone, behind walk_chain.h.
 */

struct suspended {
    struct raw_frame frame;
    const void *top; /* the address of the newest entry on its stack; NULL: it awaits nothing */
};

#if PY_VERSION_HEX < 0x030B0000

static bool read_suspended(const PyGenObject *coroutine, struct suspended *found,
                           struct readable *memory)
{
    const PyFrameObject *frame =
        seen(memory, coroutine->gi_frame, offsetof(PyFrameObject, f_localsplus));

    if (frame == NULL || frame->f_state != FRAME_SUSPENDED)
        return false;
    *found = (struct suspended){
        .frame = {.code = (uintptr_t)frame->f_code,
                  .offset = (int64_t)frame->f_lasti * (int64_t)sizeof(_Py_CODEUNIT)},
        .top = frame->f_valuestack + frame->f_stackdepth - 1};
    return true;
}

/* The copy begins at the object; its frame is another one. */
enum { COROUTINE_SIZE = sizeof(PyGenObject) };

static const PyGenObject *copied_coroutine(const PyGenObject *address, struct readable *memory)
{
    return seen(memory, address, COROUTINE_SIZE);
}

static bool read_coroutine(const PyGenObject *address, const PyGenObject *copy,
                           struct suspended *found, struct readable *memory)
{
    (void)address;
    return read_suspended(copy, found, memory);
}

#else

enum {
    FRAME_AT = offsetof(PyGenObject, gi_iframe),
    COROUTINE_SIZE = FRAME_AT + sizeof(_PyInterpreterFrame),
};

static const PyGenObject *copied_coroutine(const PyGenObject *address, struct readable *memory)
{
    return seen(memory, address, COROUTINE_SIZE);
}

static bool is_suspended(const PyGenObject *copy)
{
#if PY_VERSION_HEX >= 0x030D0000
    return FRAME_STATE_SUSPENDED(copy->gi_frame_state);
#else
    return copy->gi_frame_state == FRAME_SUSPENDED;
#endif
}

static const void *top_of(const char *frame_address, const _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030F0000
    (void)frame_address;
    return frame->stackpointer - 2;
#elif PY_VERSION_HEX >= 0x030E0000
    (void)frame_address;
    return frame->stackpointer - 1;
#else
    return frame_address + offsetof(_PyInterpreterFrame, localsplus) +
           (size_t)(frame->stacktop - 1) * sizeof(PyObject *);
#endif
}

static bool read_coroutine(const PyGenObject *address, const PyGenObject *copy,
                           struct suspended *found, struct readable *memory)
{
    const char *frame_address = (const char *)address + FRAME_AT;
    const _PyInterpreterFrame frame =
        *(const _PyInterpreterFrame *)(const void *)((const char *)copy + FRAME_AT);

    if (!is_suspended(copy))
        return false;
    found->top = top_of(frame_address, &frame);
#if PY_VERSION_HEX >= 0x030D0000
    struct chain chain = {.frame = (const _PyInterpreterFrame *)(const void *)frame_address};
    return chain_read(&chain, &found->frame, memory);
#else
    (void)memory;
    found->frame = function_frame(&frame);
    return true;
#endif
}

#endif

/* Does it wait for another one, by `await` or `yield from`? */
static bool awaits(const PyGenObject *copy)
{
#if PY_VERSION_HEX >= 0x030D0000
    return copy->gi_frame_state == FRAME_SUSPENDED_YIELD_FROM;
#else
    return Py_TYPE(copy) == &PyCoro_Type;
#endif
}

/* What lies there; 0: nothing that can be read. */
static uintptr_t referent_at(const void *place, struct readable *memory)
{
#if PY_VERSION_HEX >= 0x030E0000
    const _PyStackRef *reference = seen(memory, place, sizeof *reference);
    return reference != NULL ? REFERENT(*reference) : 0;
#else
    const uintptr_t *reference = seen(memory, place, sizeof *reference);
    return reference != NULL ? *reference : 0;
#endif
}

/* Before 3.14 tasks that have ended are among asyncio's for as long as anybody refers to them.
 * Of coroutines that are not Python's own it is not known. */
static bool has_ended(const PyGenObject *address, struct readable *memory)
{
#if PY_VERSION_HEX >= 0x030E0000
    (void)address, (void)memory;
    return false;
#else
    const PyGenObject *copy = copied_coroutine(address, memory);
    if (copy == NULL || (Py_TYPE(copy) != &PyCoro_Type && Py_TYPE(copy) != &PyGen_Type))
        return false;
#if PY_VERSION_HEX >= 0x030B0000
    return copy->gi_frame_state >= FRAME_COMPLETED;
#else
    return copy->gi_frame == NULL;
#endif
#endif
}
