#include "load.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "command.h"
#include "format/format.h"
#include "format/html.h"
#include "format/refuse.h"
#include "latest.h"
#include "profile/combine.h"
#include "progress.h"
#include "remote.h"

#define MOST_THREADS 8       /* each has a sum in memory */
#define FILES_FOR_A_THREAD 4 /* fewer are read sooner than a thread is worth */

/* A run of files, and what came of it. */
struct part {
    const struct load *load;
    char *const *paths;
    size_t count, group; /* `group` files share an interval */
    bool intervals;
    bool with_levels; /* they have to be taken out of each file */
    struct profile *sum;
    struct latest latest, step; /* `step`: of the files that share the interval at hand */
    int status;                 /* 0 or -errno */
    char error[FORMAT_ERROR_SIZE + 64]; /* why, in a line; of what was skipped, lines */
    pthread_t thread;
};

static void tell(struct part *part, const char *error)
{
    if (part->load->skip_broken)
        fail("%s", error);
    else
        snprintf(part->error, sizeof(part->error), "%s", error);
}

static void tell_merge(struct part *part, const char *path, int status)
{
    char error[FORMAT_ERROR_SIZE];
    char why[FORMAT_ERROR_SIZE] = "";
    refuse_merge(why, status);
    snprintf(error, sizeof(error), "%.100s: %.140s", path, why);
    tell(part, error);
}

/* What counts of a file, as a profile of its own. */
static struct profile *read_alone(const struct load *load, const char *path,
                                  char error[FORMAT_ERROR_SIZE])
{
    struct profile *all =
        remote_is(path) ? remote_read(path, error) : format_read_file(path, error);
    if (!all || !load->filter)
        return all;
    struct profile *selected = profile_select(all, load->filter);
    profile_free(all);
    if (!selected)
        refuse_memory(error);
    return selected;
}

bool load_can_read_again(const char *path)
{
    struct stat status;
    return !remote_is(path) && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* Reads a file into the sum, or alone into *next. One that may be broken is read on its own
 * first, so that nothing of it is left in the sum; so is one of which a part counts, as what
 * stands once in it may decide, one that has levels, and one of another process: see
 * profile_merge_apart(). */
static int read_file(const struct part *part, const char *path, struct profile *sum,
                     struct profile **next, char error[FORMAT_ERROR_SIZE])
{
    const struct load *load = part->load;
    if (sum && !load->skip_broken && !load->filter && !part->with_levels &&
        load_can_read_again(path)) {
        int status = format_add_file(path, sum, error);
        if (status != -EXDEV)
            return status;
    }
    *next = read_alone(load, path, error);
    return *next ? 0 : -EBADMSG;
}

static int add_profile(void *closure, struct profile *next)
{
    struct profile **sum = closure;
    if (!*sum) {
        *sum = next;
        profile_guard_resource(next);
        return 0;
    }
    int status = profile_merge_apart(sum, next);
    profile_free(next);
    return status;
}

static int add_file(struct part *part, const char *path, struct profile **sum)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *next = NULL;
    int status = read_file(part, path, *sum, &next, error);
    progress_step();
    if (status) {
        tell(part, error);
        return part->load->skip_broken ? 0 : status;
    }
    if (!next) /* it is in the sum */
        return profile_has_levels(*sum) ? -EAGAIN : 0;
    part->with_levels = part->with_levels || profile_has_levels(next);
    struct latest *latest = part->intervals ? &part->step : &part->latest;
    status =
        part->count > 1 ? latest_take(latest, next, add_profile, sum) : add_profile(sum, next);
    if (status)
        tell_merge(part, path, status);
    return status;
}

static size_t write_time(char *text, size_t size, uint64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm utc;
    size_t length =
        gmtime_r(&seconds, &utc) ? strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc) : 0;
    return length + (size_t)snprintf(text + length, size - length, ".%03uZ",
                                     (unsigned)(time_ns / 1000000 % 1000));
}

bool load_write_interval(char text[LOAD_INTERVAL_SIZE], uint64_t from, uint64_t to)
{
    if (from == 0 || from == to)
        return false;
    size_t length = write_time(text, LOAD_INTERVAL_SIZE, from);
    text[length++] = '/';
    write_time(text + length, LOAD_INTERVAL_SIZE - length, to);
    return true;
}

/* A group's samples with its interval as a label. */
static int label_interval(const struct profile *group, struct profile *labelled)
{
    const struct profile_header *header = profile_header_const(group);
    char text[LOAD_INTERVAL_SIZE];
    return load_write_interval(text, header->time_ns, header->time_ns + header->duration_ns)
               ? profile_merge_labelled(labelled, group, LOAD_INTERVAL, text)
               : profile_merge(labelled, group);
}

/* Adds what has been made with `status`, and owns it. */
static int add_labelled(struct profile **sum, struct profile *labelled, int status)
{
    if (!status && *sum) {
        status = profile_merge_apart(sum, labelled);
    } else if (!status) {
        *sum = labelled;
        return 0;
    }
    profile_free(labelled);
    return status;
}

int load_add_interval(struct profile **sum, const struct profile *group)
{
    struct profile *labelled = profile_new(NULL);
    return add_labelled(sum, labelled, labelled ? label_interval(group, labelled) : -ENOMEM);
}

int load_add_past(struct profile **sum, struct profile *levels)
{
    const struct profile_header *header = profile_header_const(levels);
    if (header->time_ns == 0 || header->duration_ns == 0) {
        profile_free(levels);
        return 0;
    }
    struct profile *timed = profile_new(NULL), *labelled = profile_new(NULL);
    int status = timed && labelled ? label_interval(levels, timed) : -ENOMEM;
    if (!status)
        status = profile_merge_labelled(labelled, timed, HTML_PAST, "1");
    profile_free(timed);
    profile_free(levels);
    return add_labelled(sum, labelled, status);
}

static int add_past(void *sum, struct profile *levels, const struct profile *later)
{
    (void)later;
    return load_add_past(sum, levels);
}

struct profile *load_without_past(const struct profile *profile)
{
    struct profile_filter filter = {0};
    profile_filter_label(&filter, (struct profile_label_match){HTML_PAST, NULL, true});
    return profile_select(profile, &filter);
}

/* The files of an interval have been read. */
static int end_step(struct part *part, const struct profile *group)
{
    const struct profile_header *header = profile_header_const(group);
    if (header->time_ns != 0)
        latest_cover(&part->step, header->time_ns, header->duration_ns);
    return latest_join(&part->latest, &part->step);
}

static int add_group(struct part *part, size_t first, size_t last)
{
    struct profile *group = NULL;
    int status = 0;
    for (size_t i = first; !status && i < last; i++)
        status = add_file(part, part->paths[i], &group);
    if (!status && group) {
        status = load_add_interval(&part->sum, group);
        if (!status)
            status = end_step(part, group);
        if (status)
            tell_merge(part, part->paths[first], status);
    }
    profile_free(group);
    latest_free(&part->step);
    return status;
}

static void read_run(struct part *part)
{
    for (size_t i = 0; !part->status && i < part->count; i += part->group) {
        size_t last = i + part->group < part->count ? i + part->group : part->count;
        part->status = part->intervals ? add_group(part, i, last)
                                       : add_file(part, part->paths[i], &part->sum);
    }
}

/* Where a later file has levels and the first had none, each file is to be read alone. */
static void *read_part(void *closure)
{
    struct part *part = closure;
    read_run(part);
    if (part->status != -EAGAIN)
        return NULL;
    profile_free(part->sum);
    latest_free(&part->latest);
    part->sum = NULL;
    part->status = 0;
    part->with_levels = true;
    read_run(part);
    return NULL;
}

/* How many parts are worth while. */
static size_t count_parts(size_t files)
{
    cpu_set_t usable;
    size_t most =
        sched_getaffinity(0, sizeof(usable), &usable) ? 1 : (size_t)CPU_COUNT(&usable);
    if (most > MOST_THREADS)
        most = MOST_THREADS;
    if (most > files / FILES_FOR_A_THREAD)
        most = files / FILES_FOR_A_THREAD;
    return most > 0 ? most : 1;
}

static struct latest latest_of(const struct load *load, struct profile **sum)
{
    return (struct latest){.past = load->keep == KEEP_PAST ? add_past : NULL,
                           .past_closure = sum};
}

/* Divides the files, whole groups each, and reads all parts but the first in threads. */
static void read_parts(const struct load *load, char *const *paths, size_t count,
                       struct part *parts, size_t part_count)
{
    bool intervals = load->keep != KEEP_NOTHING && count > 1;
    size_t group = intervals ? (count + LOAD_INTERVALS - 1) / LOAD_INTERVALS : 1;
    size_t groups = (count + group - 1) / group;
    bool threaded[MOST_THREADS] = {false};
    for (size_t i = part_count; i-- > 0;) {
        size_t from = groups * i / part_count * group;
        size_t to = groups * (i + 1) / part_count * group;
        to = to < count ? to : count;
        parts[i] = (struct part){.load = load,
                                 .paths = paths + from,
                                 .count = to - from,
                                 .group = group,
                                 .intervals = intervals};
        parts[i].latest = latest_of(load, &parts[i].sum);
        threaded[i] =
            i > 0 && pthread_create(&parts[i].thread, NULL, read_part, &parts[i]) == 0;
        if (!threaded[i])
            read_part(&parts[i]);
    }
    for (size_t i = 0; i < part_count; i++)
        if (threaded[i])
            pthread_join(parts[i].thread, NULL);
}

/* Adds up the parts in the order of their files; the first that failed is told. */
static int join_parts(struct part *parts, size_t count, struct profile **sum)
{
    int status = GO_ON;
    for (size_t i = 0; i < count; i++) {
        struct part *part = &parts[i];
        if (status == GO_ON && !part->status && *sum && part->sum) {
            part->status = profile_merge_apart(sum, part->sum);
            if (part->status)
                tell_merge(part, part->paths[0], part->status);
        }
        if (status == GO_ON && part->status) {
            status = EXIT_FAILED;
            progress_end();
            if (*part->error)
                fail("%s", part->error);
        }
        if (!*sum) {
            *sum = part->sum;
            part->sum = NULL;
        }
        profile_free(part->sum);
    }
    if (status == GO_ON)
        return GO_ON;
    profile_free(*sum);
    *sum = NULL;
    return status;
}

static int add_interval(void *closure, struct profile *levels)
{
    int status = load_add_interval(closure, levels);
    profile_free(levels);
    return status;
}

/* Gives the sum the levels that each process had last. */
static int add_levels(const struct load *load, struct part *parts, size_t count,
                      struct profile **sum)
{
    struct latest latest = latest_of(load, sum);
    char why[FORMAT_ERROR_SIZE] = "";
    int status = 0;
    for (size_t i = 0; i < count; i++) {
        int joined = *sum ? latest_join(&latest, &parts[i].latest) : 0;
        latest_free(&parts[i].latest);
        status = status ? status : joined;
    }
    if (*sum && !status)
        status = latest_end(&latest, parts[0].intervals ? add_interval : add_profile, sum);
    latest_free(&latest);
    if (!status)
        return GO_ON;
    refuse_merge(why, status);
    profile_free(*sum);
    *sum = NULL;
    return fail("%s", why);
}

int load_files(const struct load *load, char *const *paths, size_t count,
               struct profile **profile)
{
    struct part parts[MOST_THREADS];
    size_t part_count = count_parts(count);
    *profile = NULL;
    if (count == 0)
        return GO_ON;
    if (count > 1)
        progress_begin("reading", count, "files");
    else
        progress_begin("reading", 0, paths[0]);
    read_parts(load, paths, count, parts, part_count);
    int status = join_parts(parts, part_count, profile);
    int levels = add_levels(load, parts, part_count, profile);
    return status == GO_ON ? levels : status;
}
