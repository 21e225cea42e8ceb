#include "dump/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dump/words.h"
#include "format/frame_type.h"
#include "format/json.h"
#include "look/waits.h"
#include "profile/hex.h"

static void put_text(struct buffer *out, const char *key, const char *text)
{
    words_put(out, ",\"%s\":", key);
    json_string(out, text, strlen(text));
}

static void put_optional(struct buffer *out, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        put_text(out, key, text);
}

static void put_seconds(struct buffer *out, const char *key, uint64_t ns)
{
    if (ns != 0)
        words_put(out, ",\"%s\":%.3f", key, (double)ns / (double)NS_PER_SECOND);
}

/* ---- stacks ---- */

static void put_line(struct buffer *out, const struct profile *p,
                     const struct profile_location *location, const struct profile_line *line)
{
    const struct profile_function *function = profile_get_function(p, line->function);
    const char *name = profile_text(p, function->name);
    json_raw(out, "{\"function\":");
    json_string(out, name, strlen(name));
    put_optional(out, "file", profile_text(p, function->filename));
    if (line->line > 0)
        words_put(out, ",\"line\":%" PRId64, line->line);
    put_optional(out, "module",
                 profile_text(p, profile_get_mapping(p, location->mapping)->filename));
    put_optional(out, "type", frame_type_name(location->type));
    json_raw(out, "}");
}

static void put_location(struct buffer *out, const struct profile *p, profile_id id)
{
    const struct profile_location *location = profile_get_location(p, id);
    for (uint32_t i = 0; i < location->line_count; i++) {
        json_raw(out, i > 0 ? "," : "");
        put_line(out, p, location, &location->lines[i]);
    }
    if (location->line_count == 0)
        words_put(out, "{\"function\":\"0x%" PRIx64 "\"}", location->address);
}

static void put_stack(struct buffer *out, const struct profile *p, profile_id id, size_t count)
{
    struct profile_stack stack = profile_get_stack(p, id);
    words_put(out, "{\"count\":%zu,\"frames\":[", count);
    for (uint32_t i = 0; i < stack.depth; i++) {
        json_raw(out, i > 0 ? "," : "");
        put_location(out, p, stack.locations[i]);
    }
    json_raw(out, "]}");
}

/* The stacks that threads have, numbered in the order of their ids. */
struct used {
    size_t count;  /* of threads */
    size_t number; /* from 0 */
};

static struct used *use_stacks(const struct dump *dump)
{
    struct used *used = calloc(profile_stack_count(dump->profile) + 1, sizeof *used);
    size_t number = 0;
    for (size_t i = 0; used != NULL && i < dump->count; i++)
        used[dump->threads[i].stack].count++;
    for (size_t i = 1; used != NULL && i < profile_stack_count(dump->profile); i++)
        if (used[i].count != 0)
            used[i].number = number++;
    return used;
}

static void put_stacks(struct buffer *out, const struct dump *dump, const struct used *used)
{
    json_raw(out, ",\"stacks\":[");
    for (size_t i = 1; i < profile_stack_count(dump->profile); i++) {
        if (used[i].count == 0)
            continue;
        json_raw(out, used[i].number > 0 ? ",\n" : "\n");
        put_stack(out, dump->profile, (profile_id)i, used[i].count);
    }
    json_raw(out, "]");
}

/* ---- threads ---- */

static void put_wait(struct buffer *out, const struct dump_thread *thread)
{
    const struct wait *wait = &thread->wait;
    put_optional(out, "state", dump_state(thread));
    put_optional(out, "reason", wait_reason_word(wait->reason));
    put_optional(out, "peer", wait->peer);
    if (wait->lock != 0)
        words_put(out, ",\"lock\":\"0x%" PRIx64 "\"", wait->lock);
    if (wait->holder != 0)
        words_put(out, ",\"holder\":%d", (int)wait->holder);
    if (thread->deadlock != 0)
        words_put(out, ",\"deadlock\":%u", thread->deadlock);
    put_seconds(out, "unmoved_seconds", thread->still_ns);
    put_seconds(out, "sampled_seconds_ago", thread->age_ns);
}

static void put_link(struct buffer *out, const struct dump *dump,
                     const struct dump_thread *thread)
{
    char text[33];
    if (thread->link == 0)
        return;
    const struct profile_link *link = profile_get_link(dump->profile, thread->link);
    hex_write(text, link->trace_id, sizeof link->trace_id);
    put_text(out, "trace_id", text);
    hex_write(text, link->span_id, sizeof link->span_id);
    put_text(out, "span_id", text);
}

/* All of them, those that say what stands elsewhere too: they are what pprof has. */
static void put_labels(struct buffer *out, const struct dump *dump,
                       const struct dump_thread *thread)
{
    struct profile_label_set set = profile_get_labels(dump->profile, thread->labels);
    json_raw(out, ",\"labels\":{");
    for (uint32_t i = 0; i < set.count; i++) {
        const struct profile_label *label = &set.labels[i];
        const char *key = profile_text(dump->profile, label->key);
        json_raw(out, i > 0 ? "," : "");
        json_string(out, key, strlen(key));
        json_raw(out, ":");
        if (label->is_number)
            json_integer(out, label->number);
        else
            json_string(out, profile_text(dump->profile, label->text),
                        profile_text_length(dump->profile, label->text));
    }
    json_raw(out, "}");
}

static void put_thread(struct buffer *out, const struct dump *dump,
                       const struct dump_thread *thread, const struct used *used)
{
    if (thread->kind != DUMP_THREAD)
        words_put(out, "{\"id\":%" PRIu64, thread->id);
    else
        words_put(out, "{\"tid\":%d,\"id\":%" PRIu64, (int)thread->tid, thread->id);
    put_optional(out, "name", thread->name);
    put_wait(out, thread);
    put_link(out, dump, thread);
    put_labels(out, dump, thread);
    if (thread->stack != 0)
        words_put(out, ",\"stack\":%zu", used[thread->stack].number);
    json_raw(out, "}");
}

static void put_all_of(struct buffer *out, const struct dump *dump, enum dump_kind kind,
                       const struct used *used)
{
    const char *separator = "\n";
    words_put(out, ",\"%ss\":[", dump_kind_word(kind));
    for (size_t i = 0; i < dump->count; i++) {
        if (dump->threads[i].kind != kind)
            continue;
        json_raw(out, separator);
        put_thread(out, dump, &dump->threads[i], used);
        separator = ",\n";
    }
    json_raw(out, "]");
}

static bool is_complete(const struct dump *dump)
{
    bool complete = !dump->incomplete;
    for (size_t i = 0; i < DUMP_KINDS; i++)
        complete = complete && !dump->limited[i];
    return complete;
}

void dump_write_json(const struct dump *dump, const struct dump_origin *origin,
                     struct buffer *out)
{
    struct used *used = use_stacks(dump);
    if (used == NULL) {
        out->error = -ENOMEM;
        return;
    }
    words_put(out, "{\"pid\":%ld", origin->pid);
    put_text(out, "service", origin->service);
    put_text(out, "runtime", origin->runtime);
    words_put(out, ",\"time_unix_nano\":%" PRIu64 ",\"took_nano\":%" PRIu64, dump->time_ns,
              dump->took_ns);
    words_put(out, ",\"complete\":%s,\"deadlocks\":%u", is_complete(dump) ? "true" : "false",
              dump->deadlocks);
    for (unsigned kind = 0; kind < DUMP_KINDS; kind++)
        put_all_of(out, dump, (enum dump_kind)kind, used);
    put_stacks(out, dump, used);
    json_raw(out, "}\n");
    free(used);
}
