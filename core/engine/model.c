#include "engine/model.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"

static void set_text(struct profile *model, const char *key, const char *value)
{
    profile_set_text(model, PROFILE_RESOURCE, key, value);
}

/* A random (version 4) UUID: two runs of one service are two instances. */
static void set_instance(struct profile *model)
{
    uint64_t random[2];
    random_words(random);
    uint64_t high = (random[0] & ~0xf000ULL) | 0x4000;
    uint64_t low = (random[1] & ~(3ULL << 62)) | 1ULL << 63;
    char text[37];
    snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffffULL));
    set_text(model, "service.instance.id", text);
}

/* When the process began, by the kernel's count of ticks since boot. */
static void set_creation_time(struct profile *model)
{
    char stat[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t length = file != NULL ? fread(stat, 1, sizeof stat - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    stat[length] = '\0';
    const char *rest = strrchr(stat, ')'); /* the name before it may hold anything */
    unsigned long long ticks;
    if (rest == NULL || sscanf(rest + 1,
                               " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                               "%*s %*s %*s %*s %llu",
                               &ticks) != 1)
        return;
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t since_boot =
        ticks / per_second * NS_PER_SECOND + ticks % per_second * (NS_PER_SECOND / per_second);
    uint64_t began = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + since_boot;
    time_t seconds = (time_t)(began / NS_PER_SECOND);
    struct tm utc;
    char date[32], text[48];
    if (gmtime_r(&seconds, &utc) == NULL)
        return;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03uZ", date, (unsigned)(began / 1000000 % 1000));
    set_text(model, "process.creation.time", text);
}

static void set_process(struct profile *model)
{
    profile_set_number(model, PROFILE_RESOURCE, "process.pid", getpid());
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    const char *slash = strrchr(path, '/');
    set_text(model, "process.executable.path", path);
    set_text(model, "process.executable.name", slash != NULL ? slash + 1 : path);
}

static void set_host(struct profile *model)
{
    struct utsname host;
    if (uname(&host) != 0)
        return;
    const char *arch = host.machine;
    if (strcmp(arch, "x86_64") == 0)
        arch = "amd64";
    else if (strcmp(arch, "aarch64") == 0)
        arch = "arm64";
    set_text(model, "host.name", host.nodename);
    set_text(model, "host.arch", arch);
    set_text(model, "os.type", "linux");
}

static void set_header(struct profile *model, const struct config *config)
{
    profile_add_value_type(model, "samples", "count");
    profile_add_value_type(model, "cpu", "nanoseconds");
    struct profile_header *header = profile_header(model);
    header->period_type = profile_value_type(model, 1);
    header->period = (int64_t)(NS_PER_SECOND / config->rate);
    header->default_type = profile_string(model, "cpu");
    header->scope_name = profile_string(model, "cprof");
    header->scope_version = profile_string(model, CPROF_VERSION);
}

struct profile *model_new(const struct config *config, struct budget *budget)
{
    struct profile *model = profile_new(budget);
    if (model == NULL)
        return NULL;
    set_header(model, config);
    set_instance(model);
    set_creation_time(model);
    set_process(model);
    set_host(model);
    set_text(model, "telemetry.distro.name", "cprof");
    set_text(model, "telemetry.distro.version", CPROF_VERSION);
    for (size_t i = 0; i < config->resource.count; i++)
        set_text(model, config->resource.list[i].key, config->resource.list[i].value);
    set_text(model, "service.name", config->service_name);
    if (profile_error(model) == 0)
        return model;
    profile_free(model);
    return NULL;
}
