#include "dump/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "look/waits.h"

void words_put(struct buffer *out, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 0 : (size_t)length;
    buffer_append(out, text, size < sizeof text ? size : sizeof text - 1);
}

void words_age(struct buffer *out, uint64_t ns)
{
    uint64_t seconds = ns / NS_PER_SECOND;
    if (seconds < 10)
        words_put(out, "%.1f s", (double)ns / (double)NS_PER_SECOND);
    else if (seconds < 120)
        words_put(out, "%llu s", (unsigned long long)seconds);
    else if (seconds < 120 * 60)
        words_put(out, "%llu min", (unsigned long long)(seconds / 60));
    else
        words_put(out, "%llu h", (unsigned long long)(seconds / 3600));
}

void words_thread(struct buffer *out, const struct dump_thread *thread)
{
    if (thread->kind == DUMP_TASK && thread->name[0] != '\0')
        words_put(out, "%s", thread->name);
    else if (thread->kind == DUMP_TASK)
        words_put(out, "task 0x%llx", (unsigned long long)thread->id);
    else
        words_put(out, "%s%s%d%s", thread->name, thread->name[0] != '\0' ? " (" : "thread ",
                  (int)thread->tid, thread->name[0] != '\0' ? ")" : "");
}

void words_holder(struct buffer *out, const struct dump *dump, const struct dump_thread *thread)
{
    if (thread->holder != 0)
        words_thread(out, &dump->threads[thread->holder - 1]);
    else
        words_put(out, "thread %d", (int)thread->wait.holder);
}

void words_lock(struct buffer *out, const struct dump_thread *thread)
{
    if (thread->wait.reason == CPROF_WAIT_GIL)
        words_put(out, "the GIL");
    else if (thread->wait.reason == CPROF_WAIT_GVL)
        words_put(out, "the GVL");
    else
        words_put(out, "the lock 0x%llx", (unsigned long long)thread->wait.lock);
}

void words_state(struct buffer *out, const struct dump *dump, const struct dump_thread *thread)
{
    const struct wait *wait = &thread->wait;
    const char *state = dump_state(thread), *reason = wait_reason_word(wait->reason);
    words_put(out, "%s", state != NULL ? state : "in a state that the kernel does not tell");
    if (reason != NULL)
        words_put(out, ", %s", reason);
    if (wait->lock != 0)
        words_put(out, " 0x%llx", (unsigned long long)wait->lock);
    if (wait->peer[0] != '\0')
        words_put(out, " %s", wait->peer);
    if (wait->holder == 0)
        return;
    words_put(out, " held by ");
    words_holder(out, dump, thread);
}
