/* send_profile URL FILE [KEY=VALUE…]: sends a profile, in any format that can be read, the way
 * a profiled program does, with these resource attributes. The environment may name TLS files
 * (CERTIFICATE, CLIENT_KEY, CLIENT_CERTIFICATE), a unix SOCKET, PROTOCOL=grpc (then the URL
 * ends in the method's path) and PACKING (gzip, zstd, none); EXPORTER=pyroscope or parca sends
 * there, with TENANT as X-Scope-OrgID; PATIENCE is in seconds (30). Exit status 0: delivered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "export/exporter.h"
#include "format/format.h"

static struct profile *read_profile(const char *path, char **attributes, int count)
{
    char error[FORMAT_ERROR_SIZE];
    struct profile *profile = format_read_file(path, error);
    if (profile == NULL)
        fprintf(stderr, "%s\n", error);
    for (int i = 0; profile != NULL && i < count; i++) {
        char *value = strchr(attributes[i], '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        profile_set_text(profile, PROFILE_RESOURCE, attributes[i], value);
    }
    return profile;
}

static bool environment_says(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found != NULL && strcmp(found, value) == 0;
}

static struct transport_options server_of(const char *url)
{
    static struct cprof_pair tenant = {.key = "X-Scope-OrgID"};
    tenant.value = getenv("TENANT");
    return (struct transport_options){
        .url = url,
        .unix_socket = getenv("SOCKET"),
        .protocol = environment_says("PROTOCOL", "grpc") ? TRANSPORT_GRPC : TRANSPORT_HTTP,
        .packing = environment_says("PACKING", "none")   ? PACK_NONE
                   : environment_says("PACKING", "zstd") ? PACK_ZSTD
                                                         : PACK_GZIP,
        .headers = &tenant,
        .header_count = tenant.value != NULL,
        .timeout = 10,
        .certificate = getenv("CERTIFICATE"),
        .client_key = getenv("CLIENT_KEY"),
        .client_certificate = getenv("CLIENT_CERTIFICATE"),
    };
}

int main(int argc, char **argv)
{
    char error[256] = "";
    if (argc < 3) {
        fprintf(stderr, "usage: send_profile URL FILE [KEY=VALUE...]\n");
        return 2;
    }
    log_set_level(LOG_DEBUG);
    struct exporter_options options = {.library_directory = HTTP_MODULE_DIRECTORY};
    if (environment_says("EXPORTER", "pyroscope"))
        options.pyroscope = server_of(argv[1]);
    else if (environment_says("EXPORTER", "parca"))
        options.parca = server_of(argv[1]);
    else
        options.otlp = server_of(argv[1]);
    struct profile *profile = read_profile(argv[2], argv + 3, argc - 3);
    struct exporter *exporter = profile ? exporter_new(&options, error, sizeof error) : NULL;
    if (exporter == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    exporter_submit(exporter, profile);
    const char *patience = getenv("PATIENCE");
    int flushed = exporter_flush(exporter, patience ? atof(patience) : 30);
    struct exporter_stats stats;
    int stopped = exporter_stop(exporter, 0, &stats);
    fprintf(stderr, "%llu bytes, %.1f ms of CPU\n", (unsigned long long)stats.bytes_sent,
            (double)stats.cpu_ns / 1e6);
    fprintf(stderr, "exported %llu, failed %llu, dropped %llu\n",
            (unsigned long long)stats.exported, (unsigned long long)stats.failed,
            (unsigned long long)stats.dropped);
    return stopped != 0 || flushed != 0;
}
