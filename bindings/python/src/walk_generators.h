/*
 * Handler code. Generators and coroutines, by version: which one a frame is of, and what a
 * suspended one has on its stack. Until 3.10 it refers to a frame, from 3.11 on it has one
 * inside.
 */

/* An object as a coroutine or a generator; NULL: it is none that is written in Python. */
static const PyGenObject *as_generator(const PyObject *object, struct readable *memory)
{
    if (!readable(memory, object, sizeof(PyGenObject)) ||
        (Py_TYPE(object) != &PyCoro_Type && Py_TYPE(object) != &PyGen_Type))
        return NULL;
    return (const PyGenObject *)object;
}

#if PY_VERSION_HEX < 0x030B0000

/* Of a link of the chain that has been read; NULL: none. */
static const PyGenObject *generator_of(const void *link, struct readable *memory)
{
    return as_generator(((const PyFrameObject *)link)->f_gen, memory);
}

/* Its frame, while it is suspended; false: it is not. */
static bool suspended_read(const PyGenObject *generator, struct raw_frame *raw,
                           struct readable *memory)
{
    const PyFrameObject *frame = generator->gi_frame;

    if (!readable(memory, frame, sizeof *frame) || frame->f_state != FRAME_SUSPENDED)
        return false;
    *raw = (struct raw_frame){
        .code = (uintptr_t)frame->f_code,
        .offset = (int64_t)frame->f_lasti * (int64_t)sizeof(_Py_CODEUNIT),
    };
    return raw->code != 0;
}

/* Where what it awaits lies, on its stack, once its frame has been read. */
static const void *awaited_place(const PyGenObject *generator)
{
    const PyFrameObject *frame = generator->gi_frame;
    return frame->f_valuestack + frame->f_stackdepth - 1;
}

#else

static const _PyInterpreterFrame *frame_inside(const PyGenObject *generator)
{
    return (const _PyInterpreterFrame *)&generator->gi_iframe;
}

static const PyGenObject *generator_of(const void *link, struct readable *memory)
{
    const _PyInterpreterFrame *frame = link;

    if (frame->owner != FRAME_OWNED_BY_GENERATOR)
        return NULL;
    return as_generator(
        (const PyObject *)((const char *)frame - offsetof(PyGenObject, gi_iframe)), memory);
}

static bool is_suspended(const PyGenObject *generator)
{
#if PY_VERSION_HEX >= 0x030D0000
    return FRAME_STATE_SUSPENDED(generator->gi_frame_state);
#else
    return generator->gi_frame_state == FRAME_SUSPENDED;
#endif
}

static bool suspended_read(const PyGenObject *generator, struct raw_frame *raw,
                           struct readable *memory)
{
    const _PyInterpreterFrame *frame = frame_inside(generator);

    if (!is_suspended(generator) || !readable(memory, frame, sizeof *frame))
        return false;
#if PY_VERSION_HEX >= 0x030D0000
    struct chain chain = {.frame = frame};
    return chain_read(&chain, raw, memory) && raw->code != 0;
#else
    *raw = function_frame(frame);
    return raw->code != 0;
#endif
}

static const void *awaited_place(const PyGenObject *generator)
{
    const _PyInterpreterFrame *frame = frame_inside(generator);
#if PY_VERSION_HEX >= 0x030F0000
    return frame->stackpointer - 2;
#elif PY_VERSION_HEX >= 0x030E0000
    return frame->stackpointer - 1;
#else
    return frame->localsplus + frame->stacktop - 1;
#endif
}

#endif

/* Does it wait for another, by `await` or `yield from`? Coroutines do nothing else; of
 * generators the state tells it from 3.13 on. */
static bool awaits(const PyGenObject *generator)
{
#if PY_VERSION_HEX >= 0x030D0000
    return generator->gi_frame_state == FRAME_SUSPENDED_YIELD_FROM;
#else
    return Py_TYPE(generator) == &PyCoro_Type;
#endif
}

/* What a suspended one awaits, once its frame has been read; NULL: nothing that is written in
 * Python. */
static const PyGenObject *awaited_by(const PyGenObject *generator, struct readable *memory)
{
    const void *place = awaited_place(generator);

    if (!awaits(generator) || !readable(memory, place, sizeof(PyObject *)))
        return NULL;
#if PY_VERSION_HEX >= 0x030E0000
    return as_generator((const PyObject *)REFERENT(*(const _PyStackRef *)place), memory);
#else
    return as_generator(*(PyObject *const *)place, memory);
#endif
}
