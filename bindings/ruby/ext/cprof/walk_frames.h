/*
 * Handler code, and that of looks at threads that sleep (asleep.c): the Ruby frames of one
 * execution context. Whoever includes this has struct reader and word(), for the process's own
 * memory or for copies of it; a word that can't be read is 0, of which no frame is made.
 *
 * What says `inline` runs for each frame, and is a quarter of the walk's time when it is called
 * instead.
 */
#include "layout.h"
#include "walk.h"

#define ENVIRONMENTS_MAX 64 /* blocks nested in one another */
#define TAGS_MAX 16384

/* One thread's stack of Ruby frames, innermost first. */
struct frames {
    uintptr_t ec;
    uintptr_t low, high; /* the VM stack: environments grow up in it, control frames down */
    uintptr_t cfp;       /* the innermost control frame */
    size_t count;
    size_t gc_count; /* for the slots of what is new */
};

/* False when there are no Ruby frames: a thread of somebody else's, or one that begins or ends.
 */
static bool find_frames(struct reader *reader, uintptr_t ec, struct frames *frames)
{
    *frames = (struct frames){.ec = ec, .gc_count = SIZE_MAX};
    if (frames->ec == 0)
        return false;
    frames->low = word(reader, frames->ec, EC_VM_STACK);
    frames->high = frames->low + word(reader, frames->ec, EC_VM_STACK_SIZE) * sizeof(uintptr_t);
    frames->cfp = word(reader, frames->ec, EC_CFP);
    if (frames->low == 0 || frames->cfp < frames->low || frames->cfp >= frames->high ||
        (frames->high - frames->cfp) % layout.frame_size != 0)
        return false;
    frames->count = (frames->high - frames->cfp) / layout.frame_size;
    return true;
}

/* An environment lies on the VM stack, or on the heap once a Proc or Binding has captured it.
 */
static bool plausible(uintptr_t ep)
{
    return ep % sizeof(uintptr_t) == 0 && ep >= 4096 && ep < (uintptr_t)1 << 56;
}

/* What has no type of frame in its flags is no environment: the JIT of 3.1 shows a frame before
 * it writes it, with the environment that another one had, where arguments may lie by now. */
static inline bool is_environment(uintptr_t flags)
{
    uintptr_t type = flags & FRAME_TYPE_MASK;
    return flags <= INT32_MAX && type >= FRAME_TYPE_METHOD &&
           ((type - 1) % (FRAME_TYPE_METHOD - 1) == 0 || type == FRAME_TYPE_RESCUE ||
            type == FRAME_TYPE_DUMMY);
}

static inline uintptr_t environment_flags(struct reader *reader, uintptr_t ep)
{
    uintptr_t flags = plausible(ep) ? word(reader, ep, EP_FLAGS) : 0;
    return is_environment(flags) ? flags : FRAME_TYPE_DUMMY;
}

static inline uintptr_t frame_flags(struct reader *reader, uintptr_t frame)
{
    return environment_flags(reader, word(reader, frame, FRAME_EP));
}

/* What the method around the frame has for a method entry. */
static inline uintptr_t frame_method(struct reader *reader, uintptr_t frame)
{
    uintptr_t ep = word(reader, frame, FRAME_EP);
    for (int depth = 0; depth < ENVIRONMENTS_MAX; depth++) {
        uintptr_t flags = environment_flags(reader, ep);
        if (flags == FRAME_TYPE_DUMMY)
            return 0;
        if (flags & FLAG_LOCAL)
            return word(reader, ep, EP_METHOD * (ptrdiff_t)sizeof(uintptr_t));
        ep = word(reader, ep, EP_PREVIOUS * (ptrdiff_t)sizeof(uintptr_t)) & ~(uintptr_t)3;
    }
    return 0;
}

/* Tags lie on the native stack, the older the higher. */
static inline uintptr_t loop_tag(struct reader *reader, uintptr_t tag)
{
    (void)reader;
#ifdef TAG_RESUME
    for (size_t i = 0; i < TAGS_MAX && plausible(tag); i++) {
        if (word(reader, tag, TAG_RESUME) == layout.loop_resume)
            return tag;
        uintptr_t previous = word(reader, tag, TAG_PREVIOUS);
        if (previous <= tag)
            return 0;
        tag = previous;
    }
#endif
    return 0;
}

static uintptr_t next_loop_tag(struct reader *reader, uintptr_t tag)
{
    return loop_tag(reader, word(reader, tag, TAG_PREVIOUS));
}

/* Each call of the interpreter loop runs the frames up to one that says FINISH, and has one
 * tag. The two lists agree at their old end; at the young one a frame is pushed a moment before
 * its loop sets its tag and popped a moment before the tag goes. */
struct loops {
    uintptr_t tag;   /* of the next frame that says FINISH; 0 = none left */
    size_t untagged; /* young frames with FINISH that have no tag yet */
    uintptr_t sp;    /* where those are: at the very end */
};

static struct loops match_loops(struct reader *reader, const struct frames *frames,
                                uintptr_t sp)
{
    struct loops loops = {.sp = sp};
    if (layout.loop_resume == 0)
        return loops;
    size_t finishes = 0;
    for (size_t i = 0; i < frames->count; i++) {
        uintptr_t flags = frame_flags(reader, frames->cfp + i * layout.frame_size);
        finishes += (flags & FLAG_FINISH) != 0 && (flags & FRAME_TYPE_MASK) != FRAME_TYPE_DUMMY;
    }
    size_t tags = 0;
    loops.tag = loop_tag(reader, word(reader, frames->ec, EC_TAG));
    for (uintptr_t tag = loops.tag; tag != 0 && tags < TAGS_MAX;
         tag = next_loop_tag(reader, tag))
        tags++;
    for (; tags > finishes; tags--)
        loops.tag = next_loop_tag(reader, loops.tag);
    loops.untagged = finishes - tags;
    return loops;
}

/* The value of cprof_frame.stack for a frame with these flags. */
static uintptr_t frame_stack(struct reader *reader, struct loops *loops, uintptr_t flags)
{
    if ((flags & FLAG_FINISH) == 0)
        return CPROF_STACK_INHERIT;
    if (layout.loop_resume == 0)
        return CPROF_STACK_BOUNDARY;
    if (loops->untagged > 0) {
        loops->untagged--;
        return loops->sp;
    }
    uintptr_t tag = loops->tag;
    loops->tag = tag != 0 ? next_loop_tag(reader, tag) : 0;
    return tag != 0 ? tag : CPROF_STACK_INHERIT;
}

/* Writes what the control frame stands for; false when it is nothing to show. */
static bool read_frame(struct reader *reader, const struct frames *frames, uintptr_t frame,
                       uintptr_t flags, struct cprof_frame *out)
{
    struct met met = {.gc_count = frames->gc_count};
    if (flags & FLAG_CFRAME) {
        if ((flags & FRAME_TYPE_MASK) != FRAME_TYPE_CFUNC)
            return false;
        uintptr_t ep = word(reader, frame, FRAME_EP);
        met.key = word(reader, ep, EP_METHOD * (ptrdiff_t)sizeof(uintptr_t));
    } else {
        met.key = word(reader, frame, FRAME_ISEQ);
        met.pc = word(reader, frame, FRAME_PC);
        if (met.key == 0)
            return false;
        if (met.pc == 0)
            met.pc = CODE_NO_PC;
        met.method = frame_method(reader, frame);
    }
    out->token = code_identify(&met);
    out->position = met.pc;
    return true;
}

/* The last frame that there was room for stands for those behind it in its loop, `next` being
 * the first: without an address it would seem older than the native frames that have called the
 * loop. */
static void end_early(struct reader *reader, struct loops *loops,
                      const struct cprof_frame *next, struct cprof_frame *out, size_t count)
{
    if (count > 0 && out[count - 1].stack == CPROF_STACK_INHERIT)
        out[count - 1].stack = next->stack != CPROF_STACK_INHERIT
                                   ? next->stack
                                   : frame_stack(reader, loops, FLAG_FINISH);
}

/* Writes the frames behind the first `count`, which are there already. Returns how many there
 * are then. */
static size_t write_frames(struct reader *reader, const struct frames *frames, uintptr_t sp,
                           struct cprof_frame *out, size_t count, size_t capacity,
                           bool *complete)
{
    struct loops loops = match_loops(reader, frames, sp);
    for (size_t i = 0; i < frames->count; i++) {
        uintptr_t frame = frames->cfp + i * layout.frame_size;
        uintptr_t flags = frame_flags(reader, frame);
        if ((flags & FRAME_TYPE_MASK) == FRAME_TYPE_DUMMY)
            continue;
        struct cprof_frame read = {.stack = frame_stack(reader, &loops, flags)};
        if (!read_frame(reader, frames, frame, flags, &read))
            continue;
        if (count == capacity) {
            end_early(reader, &loops, &read, out, count);
            *complete = false;
            break;
        }
        out[count++] = read;
    }
    return count;
}
