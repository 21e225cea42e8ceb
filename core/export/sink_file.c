/*
 * Profiles as files. With %n in the pattern each interval becomes a file of its own; without,
 * the whole run is merged in memory and becomes one.
 *
 * The whole-run file is complete after save(), that is at flush and at stop. So that a crash
 * or a kill -9 loses little, it is also written while the program runs: at the first interval,
 * then at most once a minute, and so seldom that writing takes under a thousandth of the time,
 * however large the file has grown. Every writing replaces the whole file atomically. When
 * the run has filled its share of the budget, new stacks count as "[overflow]".
 */
#include "export/sink.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/note.h"
#include "export/sink_file.h"
#include "format/format.h"
#include "profile/combine.h"

#define SAVE_EVERY (60 * NS_PER_SECOND)
#define SAVE_SHARE 1000 /* time between two savings, in times of what one took */
#define RUN_SHARE 4     /* of the budget, reserved: whatever fills the rest, a run has room */

struct sink_file {
    struct sink sink;
    char *pattern; /* absolute: the program may change its directory */
    char *service;
    bool whole_run;
    uint64_t sequence; /* of the last file, from 1 */
    time_t started;
    char *rescue; /* folder for a run whose own place is gone */
    /* Of a whole run: */
    struct budget budget;
    struct profile *run;
    uint64_t unsaved;   /* profiles merged since the file was last written */
    uint64_t save_next; /* CLOCK_MONOTONIC */
    bool full;          /* the log says that memory ran out */
};

/* A service may be called anything; a file name may not. */
static char safe_byte(char c)
{
    return isascii(c) && (isalnum((unsigned char)c) || strchr("._-", c)) ? c : '_';
}

static void append(char *path, size_t size, size_t *used, const char *text, bool sanitise)
{
    for (; *text != '\0'; text++, (*used)++)
        if (*used < size - 1)
            path[*used] = sanitise ? safe_byte(*text) : *text;
}

int sink_file_expand(const char *pattern, const struct file_name *name, char *path, size_t size)
{
    size_t used = 0;
    for (const char *c = pattern; *c != '\0'; c++) {
        char number[32] = {*c, '\0'};
        const char *text = number;
        bool sanitise = false;
        if (*c == '%') {
            switch (*++c) {
            case '%':
                break;
            case 'p':
                snprintf(number, sizeof number, "%ld", (long)name->pid);
                break;
            case 'n':
                snprintf(number, sizeof number, "%llu", (unsigned long long)name->sequence);
                break;
            case 't':
                snprintf(number, sizeof number, "%lld", (long long)name->time);
                break;
            case 's':
                text = name->service;
                sanitise = true;
                break;
            default:
                return -EINVAL;
            }
        }
        append(path, size, &used, text, sanitise);
    }
    if (used >= size)
        return -ENAMETOOLONG;
    path[used] = '\0';
    return 0;
}

bool sink_file_has(const char *pattern, char which)
{
    for (const char *c = strchr(pattern, '%'); c != NULL && c[1] != '\0';
         c = strchr(c + 2, '%'))
        if (c[1] == which)
            return true;
    return false;
}

static int current_path(const struct sink_file *file, time_t time, char *path, size_t size)
{
    const struct file_name name = {
        .pid = getpid(),
        .sequence = file->sequence,
        .time = time,
        .service = file->service,
    };
    return sink_file_expand(file->pattern, &name, path, size);
}

/* For a whole run's last chance, when its own place has become unwritable: the run goes to
 * the directory for temporary files rather than nowhere. */
static int rescue(const struct sink_file *file, const char *path, char error[FORMAT_ERROR_SIZE],
                  size_t *bytes)
{
    const char *base = strrchr(path, '/');
    char other[4096], ignored[FORMAT_ERROR_SIZE];
    struct stat status;
    int length = snprintf(other, sizeof other, "%s/cprof-%ld-%s", file->rescue, (long)getpid(),
                          base ? base + 1 : path);
    if (length < 0 || (size_t)length >= sizeof other)
        return -ENAMETOOLONG;
    int result = format_write_file(file->run, other, ignored);
    if (result == 0) {
        log_error("%s; the profile is in %s instead", error, other);
        *bytes = stat(other, &status) == 0 ? (size_t)status.st_size : 0;
    }
    return result;
}

/* A full disk or table may have room again later; a missing directory stays missing. */
static bool may_pass(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -ENOMEM || error == -EMFILE ||
           error == -ENFILE || error == -EAGAIN || error == -EINTR;
}

static void write_profile(const struct profile *profile, const char *path,
                          struct delivery *delivery)
{
    char error[FORMAT_ERROR_SIZE];
    struct stat status;
    int result = format_write_file(profile, path, error);
    if (result == 0) {
        delivery->status = DELIVERY_DONE;
        delivery->bytes = stat(path, &status) == 0 ? (size_t)status.st_size : 0;
        log_debug("file: %zu bytes to %s", delivery->bytes, path);
        return;
    }
    delivery->status = may_pass(result) ? DELIVERY_RETRY : DELIVERY_REFUSED;
    delivery->expected = result == -ENOENT && note_is_beside(path); /* `cprof run` has ended */
    snprintf(delivery->detail, sizeof delivery->detail, "%s", error);
}

static void deliver_interval(struct sink *sink, const struct profile *profile,
                             struct delivery *delivery)
{
    struct sink_file *file = (struct sink_file *)sink;
    char path[4096];
    time_t time = (time_t)(profile_header_const(profile)->time_ns / NS_PER_SECOND);
    delivery->profiles = 1;
    file->sequence++;
    int error = current_path(file, time, path, sizeof path);
    if (error == 0) {
        write_profile(profile, path, delivery);
    } else {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%s", strerror(-error));
    }
    if (delivery->status == DELIVERY_RETRY)
        file->sequence--;
}

static void save_run(struct sink *sink, bool last, struct delivery *delivery)
{
    struct sink_file *file = (struct sink_file *)sink;
    char path[4096];
    if (file->unsaved == 0)
        return;
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    int error = current_path(file, file->started, path, sizeof path);
    if (error == 0) {
        write_profile(file->run, path, delivery);
        if (delivery->status != DELIVERY_DONE && last &&
            rescue(file, path, delivery->detail, &delivery->bytes) == 0)
            delivery->status = DELIVERY_DONE;
    } else {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%s", strerror(-error));
    }
    uint64_t end = clock_ns(CLOCK_MONOTONIC), pause = (end - start) * SAVE_SHARE;
    file->save_next = end + (pause > SAVE_EVERY ? pause : SAVE_EVERY);
    /* What could not be written now is not lost: it stays in the run. */
    if (delivery->status == DELIVERY_DONE || last) {
        delivery->profiles = file->unsaved;
        file->unsaved = 0;
    }
}

static int merge_into_run(struct sink_file *file, const struct profile *profile)
{
    struct profile *run = file->run ? file->run : profile_new(&file->budget);
    int error = run ? profile_merge_later(run, profile) : -ENOMEM;
    if (file->run == NULL && error != 0 && error != -EOVERFLOW)
        profile_free(run); /* half begun */
    else
        file->run = run;
    return error;
}

static void deliver_run(struct sink *sink, const struct profile *profile,
                        struct delivery *delivery)
{
    struct sink_file *file = (struct sink_file *)sink;
    int error = merge_into_run(file, profile);
    if (error != 0 && error != -EOVERFLOW) {
        delivery->profiles = 1;
        delivery->status = may_pass(error) ? DELIVERY_RETRY : DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "can't merge: %s",
                 strerror(-error));
        return;
    }
    if (error == -EOVERFLOW && !file->full) {
        file->full = true;
        log_warn("a quarter of CPROF_MEMORY_LIMIT is full of this run: its new stacks are "
                 "counted as [overflow] in %s",
                 file->pattern);
    }
    file->unsaved++;
    if (clock_ns(CLOCK_MONOTONIC) >= file->save_next)
        save_run(sink, false, delivery);
    if (delivery->status != DELIVERY_DONE) {
        delivery->status = DELIVERY_DONE; /* it is in the run */
        delivery->warn = true;
    }
}

static void file_close(struct sink *sink)
{
    struct sink_file *file = (struct sink_file *)sink;
    if (file->run)
        profile_free(file->run);
    budget_release_share(&file->budget);
    free(file->pattern);
    free(file->service);
    free(file->rescue);
    free(file);
}

char *sink_file_absolute(const char *path)
{
    char folder[4096], *joined;
    if (*path == '/')
        return strdup(path);
    if (getcwd(folder, sizeof folder) == NULL)
        return NULL;
    return asprintf(&joined, "%s/%s", folder, path) < 0 ? NULL : joined;
}

int sink_file_check(const char *path, char *why, size_t size)
{
    struct stat status;
    if (format_by_path(path) == NULL) {
        char endings[256];
        format_list(FORMAT_ENDINGS, endings, sizeof endings);
        snprintf(why, size, "the ending must be one of %s", endings);
        return -EINVAL;
    }
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        snprintf(why, size, "it is a directory");
        return -EISDIR;
    }
    const char *slash = strrchr(path, '/');
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    int error = errno;
    snprintf(why, size, "can't write to %.128s: %s", folder, strerror(error));
    return -error;
}

static const char *name_of(const struct exporter_options *options)
{
    return options->output_name != NULL ? options->output_name : "CPROF_OUTPUT";
}

/* Everything that can be known to fail later is reported now. */
static int check(const struct sink_file *file, const struct exporter_options *options,
                 char *error, size_t error_size)
{
    char path[4096], why[256] = "after % comes p, n, t, s or %";
    int result = current_path(file, file->started, path, sizeof path);
    if (result == 0)
        result = sink_file_check(path, why, sizeof why);
    else if (result != -EINVAL)
        snprintf(why, sizeof why, "%s", strerror(-result));
    if (result != 0)
        snprintf(error, error_size, "%s: '%s': %s", name_of(options), options->output, why);
    return result;
}

struct sink *sink_file_new(const struct exporter_options *options, char *error,
                           size_t error_size)
{
    struct sink_file *file = calloc(1, sizeof *file);
    const char *service = options->service_name;
    if (file == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    file->pattern = sink_file_absolute(options->output);
    file->service = strdup(service && *service ? service : "unknown_service");
    /* Read here, in the thread that starts us: the program may change its environment. */
    const char *temporary = secure_getenv("TMPDIR");
    file->rescue = strdup(temporary && *temporary ? temporary : "/tmp");
    if (file->pattern == NULL || file->service == NULL || file->rescue == NULL) {
        snprintf(error, error_size, "%s: '%s': %s", name_of(options), options->output,
                 strerror(errno));
        file_close(&file->sink);
        return NULL;
    }
    file->whole_run = !sink_file_has(file->pattern, 'n');
    file->started = time(NULL);
    file->sink = (struct sink){.name = "file",
                               .deliver = file->whole_run ? deliver_run : deliver_interval,
                               .save = file->whole_run ? save_run : NULL,
                               .close = file_close};
    if (check(file, options, error, error_size) != 0) {
        file_close(&file->sink);
        return NULL;
    }
    if (file->whole_run)
        budget_reserve_share(&file->budget, options->budget, RUN_SHARE);
    return &file->sink;
}
