#include "format/otlp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/gzip.h"
#include "format/json_read.h"
#include "format/otlp_frames.h"
#include "format/otlp_json.h"
#include "format/otlp_reader.h"
#include "format/otlp_version.h"
#include "format/refuse.h"
#include "format/wire.h"

/* --- one message --- */

static int read_profile(struct otlp_reader *r, const Otlp__ResourceProfiles *resource,
                        const Otlp__ScopeProfiles *scope, const Otlp__Profile *in)
{
    if (in->n_samples == 0)
        return 0;
    if (r->resources->count > 1 && r->resource != resource)
        TRY(otlp_read_own_attributes(r, resource->resource));
    r->resource = resource;
    struct profile *once = profile_new(NULL);
    if (once == NULL)
        return refuse_memory(r->error);
    int status = otlp_read_head(r, resource, scope, in, once);
    r->counts_time = profile_value_count(once) > r->at + 1;
    if (status == 0)
        status = otlp_read_samples(r, in);
    profile_free(once);
    r->scope = scope;
    r->last = in;
    return status;
}

/* Calls `each` for every Profile until one fails. */
static int for_each_profile(struct otlp_reader *r,
                            int (*each)(struct otlp_reader *, const Otlp__ResourceProfiles *,
                                        const Otlp__ScopeProfiles *, const Otlp__Profile *))
{
    for (size_t i = 0; i < r->in->n_resource_profiles; i++) {
        const Otlp__ResourceProfiles *resource = r->in->resource_profiles[i];
        for (size_t k = 0; k < resource->n_scope_profiles; k++) {
            const Otlp__ScopeProfiles *scope = resource->scope_profiles[k];
            for (size_t n = 0; n < scope->n_profiles; n++)
                TRY(each(r, resource, scope, scope->profiles[n]));
        }
    }
    return 0;
}

static int look_for_cpu(struct otlp_reader *r, const Otlp__ResourceProfiles *resource,
                        const Otlp__ScopeProfiles *scope, const Otlp__Profile *in)
{
    (void)resource;
    (void)scope;
    if (otlp_is_type(r, in->sample_type, "cpu", "nanoseconds"))
        r->has_cpu = true;
    return 0;
}

static int read_data(struct otlp_reader *r)
{
    TRY(otlp_read_dictionary(r));
    for_each_profile(r, look_for_cpu);
    return for_each_profile(r, read_profile);
}

/* What is known across the messages of one input. */
struct input {
    struct profile *sum;
    char *error;
    struct otlp_resources resources;
    bool by_name; /* from JSON, whose names say of which version it is */
    bool has_samples;
};

static int read_message(struct input *input, const Otlp__ProfilesData *in)
{
    struct otlp_reader r = {.in = in,
                            .dictionary = in->dictionary,
                            .resources = &input->resources,
                            .p = input->sum,
                            .error = input->error};
    if (in->n_resource_profiles == 0 && in->dictionary == NULL)
        return 0;
    if (r.dictionary == NULL)
        return refuse(input->error, "no dictionary: cut short, or of no OTLP that cprof knows");
    int status = otlp_reader_init(&r) ? read_data(&r) : refuse_memory(input->error);
    input->has_samples |= r.last != NULL;
    otlp_reader_free(&r);
    return status;
}

static int for_message(struct input *input, struct wire_cursor message,
                       int (*each)(struct input *input, const Otlp__ProfilesData *in))
{
    struct wire_tree tree = {0};
    const size_t size = (size_t)(message.end - message.at);
    const char *old = input->by_name ? NULL : otlp_old_version(message.at, size);
    if (old != NULL)
        return otlp_refuse_old(input->error, old);
    int status =
        wire_unpack(&tree, &otlp__profiles_data__descriptor, message.at, size, input->error);
    if (status == 0)
        status = each(input, (const Otlp__ProfilesData *)tree.message);
    wire_release(&tree);
    return status;
}

/* --- resources, before all else --- */

static bool has_samples(const Otlp__ResourceProfiles *resource)
{
    for (size_t i = 0; i < resource->n_scope_profiles; i++)
        for (size_t k = 0; k < resource->scope_profiles[i]->n_profiles; k++)
            if (resource->scope_profiles[i]->profiles[k]->n_samples > 0)
                return true;
    return false;
}

static int look_at_resources(struct input *input, const Otlp__ProfilesData *in)
{
    struct otlp_reader r = {.in = in,
                            .dictionary = in->dictionary,
                            .resources = &input->resources,
                            .p = input->resources.interner,
                            .error = input->error};
    if (r.dictionary == NULL)
        return 0; /* refused later */
    int status = otlp_reader_init(&r) ? otlp_read_strings(&r) : refuse_memory(input->error);
    for (size_t i = 0; status == 0 && i < in->n_resource_profiles; i++)
        if (has_samples(in->resource_profiles[i])) {
            input->resources.count++;
            status = otlp_count_attributes(&r, in->resource_profiles[i]->resource);
        }
    otlp_reader_free(&r);
    return status;
}

/* Resources of a message that is not decoded yet. */
static size_t count_resources(struct wire_cursor message)
{
    enum { RESOURCE_PROFILES = 1 };
    struct wire_field field;
    size_t count = 0;
    while (wire_next(&message, &field) > 0)
        count += field.number == RESOURCE_PROFILES;
    return count;
}

/* --- files of many messages --- */

/* Calls `each` for all messages; an input that is no file of many is one. */
static int for_each_message(struct input *input, struct wire_cursor file, bool frames,
                            int (*each)(struct input *input, const Otlp__ProfilesData *in))
{
    struct wire_cursor message;
    if (!frames)
        return for_message(input, file, each);
    while (otlp_next_frame(&file, &message))
        TRY(for_message(input, message, each));
    if (file.at != file.end)
        return refuse(input->error, "cut short: %zu bytes after the last whole message",
                      (size_t)(file.end - file.at));
    return 0;
}

static bool has_several_resources(struct wire_cursor file, bool frames)
{
    struct wire_cursor message;
    size_t count = 0;
    if (!frames)
        return count_resources(file) > 1;
    while (count < 2 && otlp_next_frame(&file, &message))
        count += count_resources(message);
    return count > 1;
}

static int read_messages(struct input *input, const unsigned char *data, size_t size,
                         bool frames)
{
    const struct wire_cursor file = {data, data + size};
    if (has_several_resources(file, frames)) {
        if (profile_guards_resource(input->sum)) /* before anything is added */
            return refuse_merge(input->error, -EXDEV);
        input->resources.interner = profile_new(NULL);
        if (input->resources.interner == NULL)
            return refuse_memory(input->error);
        TRY(for_each_message(input, file, frames, look_at_resources));
    }
    return for_each_message(input, file, frames, read_message);
}

bool otlp_detect_json(const unsigned char *data, size_t size)
{
    static const char *const keys[] = {"\"resourceProfiles\"", "\"resource_profiles\""};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (json_detect(data, size) && memmem(data, size, keys[i], strlen(keys[i])) != NULL)
            return true;
    return false;
}

static int read_json(struct input *input, const unsigned char *data, size_t size)
{
    struct buffer frames = {0};
    input->by_name = true;
    int status = otlp_json_frames(data, size, &frames, input->error);
    if (status == 0)
        status = read_messages(input, frames.data, frames.size, true);
    buffer_free(&frames);
    return status;
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct input input = {.sum = sum, .error = error};
    struct wire_cursor message;
    int status =
        json_detect(data, size)
            ? read_json(&input, data, size)
            : read_messages(&input, data, size, otlp_first_frame(data, size, &message));
    profile_free(input.resources.interner);
    free(input.resources.had_by);
    free(input.resources.last);
    if (status == 0 && !input.has_samples)
        return refuse(error, "no samples in it");
    return status != 0 || profile_error(sum) == 0 ? status : refuse_memory(error);
}

int otlp_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}
