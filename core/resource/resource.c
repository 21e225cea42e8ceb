#include "resource/resource.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/own_program.h"
#include "base/random.h"
#include "export/identity.h"
#include "resource/command_line.h"
#include "resource/container.h"

#define MAX_COMMAND_LINE 1024 /* bytes shown */
#define MAX_ARGUMENTS 16384   /* bytes read */
#define NAMESPACE_FILE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

static void set_text(struct profile *model, const char *key, const char *value)
{
    if (value[0] != '\0')
        profile_set_text(model, PROFILE_RESOURCE, key, value);
}

/* Reads a small file; the length, 0 when there is none. Ends with a NUL. */
static size_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length = file != NULL ? fread(text, 1, size - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[length] = '\0';
    return length;
}

/* The first line of a small file. */
static void read_line(const char *path, char *text, size_t size)
{
    read_file(path, text, size);
    text[strcspn(text, "\r\n")] = '\0';
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

/* ---- process ---- */

/* Unix time as RFC 3339 has it. */
static void write_date(char *text, size_t size, uint64_t unix_ns)
{
    uint64_t seconds = unix_ns / NS_PER_SECOND;
    struct date date = date_of_days((int64_t)(seconds / 86400));
    snprintf(text, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date.year, date.month, date.day,
             (unsigned)(seconds / 3600 % 24), (unsigned)(seconds / 60 % 60),
             (unsigned)(seconds % 60), (unsigned)(unix_ns / 1000000 % 1000));
}

/* When the process began, by the kernel's count of ticks since boot. */
static void set_creation_time(struct profile *model)
{
    char stat[1024];
    read_file("/proc/self/stat", stat, sizeof stat);
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
    char text[48];
    write_date(text, sizeof text, began);
    set_text(model, "process.creation.time", text);
}

static void set_executable(struct profile *model)
{
    char path[PATH_MAX];
    if (own_program(path, sizeof path) == 0)
        return;
    const char *slash = strrchr(path, '/');
    profile_header(model)->program = profile_string(model, path);
    set_text(model, "process.executable.path", path);
    set_text(model, "process.executable.name", slash != NULL ? slash + 1 : path);
}

static void set_command_line(struct profile *model)
{
    char shown[MAX_COMMAND_LINE + 1];
    char *arguments = malloc(MAX_ARGUMENTS);
    if (arguments == NULL)
        return;
    size_t size = read_file("/proc/thread-self/cmdline", arguments, MAX_ARGUMENTS);
    command_line_show(arguments, size, shown, sizeof shown);
    set_text(model, "process.command_line", shown);
    free(arguments);
}

static void set_process(struct profile *model)
{
    profile_set_number(model, PROFILE_RESOURCE, "process.pid", getpid());
    profile_set_number(model, PROFILE_RESOURCE, "process.parent_pid", getppid());
    set_creation_time(model);
    set_executable(model);
    set_command_line(model);
}

/* ---- host, operating system, container ---- */

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
}

/* KEY=value or KEY="value" on a line of its own, as os-release(5) has it. */
static void os_release(const char *file, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    value[0] = '\0';
    for (const char *line = file; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            const char *from = line + length + 1;
            size_t count = (size_t)(end - from);
            if (count >= 2 && (*from == '"' || *from == '\'') && end[-1] == *from)
                from++, count -= 2;
            snprintf(value, size, "%.*s", (int)count, from);
            return;
        }
        line = *end == '\n' ? end + 1 : NULL;
    }
}

static void set_os(struct profile *model)
{
    static const struct {
        const char *key, *attribute;
    } facts[] = {
        {"NAME", "os.name"}, {"VERSION_ID", "os.version"}, {"PRETTY_NAME", "os.description"}};
    char file[4096], value[128];
    set_text(model, "os.type", "linux");
    if (read_file("/etc/os-release", file, sizeof file) == 0)
        read_file("/usr/lib/os-release", file, sizeof file);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        os_release(file, facts[i].key, value, sizeof value);
        set_text(model, facts[i].attribute, value);
    }
}

static void set_container(struct profile *model)
{
    struct container container;
    char text[256];
    container_detect(&container);
    set_text(model, "container.id", container.id);
    set_text(model, "k8s.pod.uid", container.pod_uid);
    set_text(model, "k8s.container.name", container.pod_container);
    read_line(NAMESPACE_FILE, text, sizeof text);
    set_text(model, "k8s.namespace.name", text);
    /* In a container the machine id is its image's, or nobody's. */
    if (container.id[0] == '\0' && container.pod_uid[0] == '\0') {
        read_line("/etc/machine-id", text, sizeof text);
        set_text(model, "host.id", text);
    }
}

/* ---- all of it ---- */

static void set_pairs(struct profile *model, const struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        profile_set_text(model, PROFILE_RESOURCE, pairs->list[i].key, pairs->list[i].value);
}

void resource_set(struct profile *model, const struct config *config)
{
    set_instance(model);
    set_process(model);
    set_host(model);
    set_os(model);
    set_container(model);
    set_text(model, "telemetry.sdk.name", "cprof");
    set_text(model, "telemetry.sdk.version", CPROF_VERSION);
    set_text(model, "telemetry.distro.name", "cprof");
    set_text(model, "telemetry.distro.version", CPROF_VERSION);
    set_pairs(model, &config->runtime);
    set_pairs(model, &config->resource);
    set_text(model, "service.name", config->service_name);
}

/* ---- what identifies ---- */

static bool is_given(const struct pairs *given, const char *key)
{
    for (size_t i = 0; i < given->count; i++)
        if (strcmp(given->list[i].key, key) == 0)
            return true;
    return false;
}

static const char *text_of(const struct profile *model, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(model, PROFILE_RESOURCE); i++) {
        const struct profile_label *label = profile_attribute(model, PROFILE_RESOURCE, i);
        if (!label->is_number && strcmp(profile_text(model, label->key), key) == 0)
            return profile_text(model, label->text);
    }
    return "";
}

/* A pod's host has the pod's name, or its node's. */
static bool says_it_again(const struct profile *model, const char *key)
{
    const char *host = text_of(model, "host.name");
    return strcmp(key, "host.name") == 0 &&
           (strcmp(host, text_of(model, "k8s.pod.name")) == 0 ||
            strcmp(host, text_of(model, "k8s.node.name")) == 0);
}

void resource_keep_identity(struct profile *model, const struct config *config)
{
    for (size_t i = profile_attribute_count(model, PROFILE_RESOURCE); i-- > 0;) {
        const struct profile_label *label = profile_attribute(model, PROFILE_RESOURCE, i);
        const char *key = profile_text(model, label->key);
        if (!is_given(&config->resource, key) &&
            (!attribute_identifies(key) || says_it_again(model, key)))
            profile_remove_attribute(model, PROFILE_RESOURCE, i);
    }
}
