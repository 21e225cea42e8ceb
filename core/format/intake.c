#include "format/intake.h"

#include "format/gzip.h"
#include "format/refuse.h"

#define FRAMES_PER_BYTE 16
#define FRAMES_AT_LEAST ((size_t)16 << 20)

int intake_column(struct intake *intake, const char *type, const char *unit)
{
    return refuse_merge(intake->error, profile_add_value_type(intake->head, 0, type, unit));
}

int intake_begin(struct intake *intake)
{
    int status = profile_merge_head(intake->sum, intake->head, intake->places);
    intake->batch.column = intake->places[0].column;
    return refuse_merge(intake->error, status);
}

profile_id *intake_frames(struct intake *intake, size_t depth)
{
    if (depth > intake->frames_left)
        return NULL;
    intake->frames_left -= depth;
    return batch_frames(&intake->batch, depth);
}

int intake_add(struct intake *intake, const profile_id *frames, size_t depth, profile_id labels,
               const int64_t *values)
{
    if (frames == NULL && depth > intake->frames_left)
        return refuse(intake->error, "its stacks are too deep for a file of its size");
    if (frames == NULL)
        return refuse_memory(intake->error);
    struct profile_entry entry = {
        .stack = {.depth = (uint32_t)depth, .locations = frames},
        .labels = labels,
    };
    for (size_t i = 0; i < profile_value_count(intake->head); i++)
        profile_put(entry.values, intake->places[i], values[i]);
    return batch_add(&intake->batch, &entry) == 0 ? 0 : refuse_memory(intake->error);
}

profile_id intake_thread(struct intake *intake, struct slice name, int64_t id)
{
    struct profile *p = intake->sum;
    struct profile_label labels[2];
    size_t count = 0;
    if (id != 0)
        labels[count++] = (struct profile_label){
            .key = profile_string(p, "thread.id"), .number = id, .is_number = true};
    if (name.length != 0)
        labels[count++] =
            (struct profile_label){.key = profile_string(p, "thread.name"),
                                   .text = profile_string_n(p, name.text, name.length)};
    return profile_labels(p, labels, count);
}

static int read_unpacked(struct profile *sum, struct slice bytes,
                         int (*read)(struct intake *intake, struct slice bytes),
                         char error[FORMAT_ERROR_SIZE])
{
    struct intake intake = {
        .sum = sum,
        .head = profile_new(NULL),
        .error = error,
        .batch.profile = sum,
        .frames_left = bytes.length > FRAMES_AT_LEAST / FRAMES_PER_BYTE
                           ? bytes.length * FRAMES_PER_BYTE
                           : FRAMES_AT_LEAST,
    };
    int status = intake.head != NULL ? read(&intake, bytes) : refuse_memory(error);
    if (status == 0 && (batch_flush(&intake.batch) != 0 || profile_error(sum) != 0))
        status = refuse_memory(error);
    batch_free(&intake.batch);
    profile_free(intake.head);
    return status;
}

int intake_read(const unsigned char *data, size_t size, struct profile *sum,
                int (*read)(struct intake *intake, struct slice bytes),
                char error[FORMAT_ERROR_SIZE])
{
    struct buffer raw = {0};
    int status = 0;
    if (gzip_detect(data, size)) {
        status = gzip_unpack(data, size, &raw, error);
        data = raw.data;
        size = raw.size;
    }
    if (status == 0)
        status = read_unpacked(sum, (struct slice){(const char *)data, size}, read, error);
    buffer_free(&raw);
    return status;
}
