/* spool_profiles URL FOLDER FIRST COUNT: submits COUNT profiles, of FIRST, FIRST + 1, …
 * samples, as a service does that has CPROF_SPOOL_DIR, and prints each number once its profile
 * is in the folder's care. Then it delivers what it can, at most 30 s. For tests that kill it
 * anywhere. Exit status 0: everything has been delivered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/exporter.h"
#include "samples.h"

int main(int argc, char **argv)
{
    char error[256] = "";
    if (argc != 5)
        return 2;
    const struct exporter_options options = {
        .otlp = {.url = argv[1], .packing = PACK_GZIP, .timeout = 5},
        .service_name = "test",
        .spool_folder = argv[2],
        .spool_limit = (size_t)64 << 20,
        .library_directory = HTTP_MODULE_DIRECTORY,
    };
    long first = atol(argv[3]), count = atol(argv[4]);
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    if (exporter == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    setlinebuf(stdout);
    for (long i = first; i < first + count; i++) {
        struct exporter_stats stats;
        struct profile *profile = make_profile(i, NULL);
        memset(profile_header(profile)->profile_id, 0,
               16); /* the exporter gives each its own */
        exporter_submit(exporter, profile);
        do {
            exporter_stats(exporter, &stats);
            if (stats.waiting > 0)
                usleep(200);
        } while (stats.waiting > 0);
        printf("%ld\n", i);
    }
    int flushed = exporter_flush(exporter, 30);
    return exporter_stop(exporter, 1, NULL) != 0 || flushed != 0;
}
