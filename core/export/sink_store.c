/* History on this machine: each profile goes into the store, which is tended now and then. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/sink.h"
#include "profile/combine.h"
#include "store/store.h"

struct sink_store {
    struct sink sink;
    struct store *store;
    bool timestamps; /* to be left off */
};

/* Will it never be taken? A full disk or table may have room again later. */
static bool is_final(int error)
{
    return error == -EFBIG || error == -ENODATA;
}

static void tend(struct store *store, uint64_t now)
{
    int status = store_tend(store, now);
    if (status < 0 && status != -EBUSY)
        log_debug("store: can't be tended now: %s", strerror(-status));
}

/* History ages by adding up: the times of single samples would keep all of them apart. */
static int put(const struct sink_store *own, const struct profile *profile, uint64_t now,
               size_t *size)
{
    static const char *const time[] = {PROFILE_TIME};
    if (!own->timestamps)
        return store_put(own->store, profile, now, size);
    struct profile *untimed =
        profile_without(profile, &(struct profile_keys){.list = time, .count = 1});
    int error = untimed != NULL ? store_put(own->store, untimed, now, size) : -ENOMEM;
    profile_free(untimed);
    return error;
}

static void deliver(struct sink *sink, const struct profile *profile, struct delivery *delivery)
{
    struct store *store = ((struct sink_store *)sink)->store;
    uint64_t now = clock_ns(CLOCK_REALTIME);
    int error = put((struct sink_store *)sink, profile, now, &delivery->bytes);
    delivery->profiles = 1;
    if (error != 0) {
        delivery->status = is_final(error) ? DELIVERY_REFUSED : DELIVERY_RETRY;
        snprintf(delivery->detail, sizeof delivery->detail,
                 STORE_VARIABLE " can't be written to: %s", strerror(-error));
        return;
    }
    log_debug("store: %zu bytes written down", delivery->bytes);
    if (store_wants_tending(store))
        tend(store, now);
}

static void close_store(struct sink *sink)
{
    struct sink_store *own = (struct sink_store *)sink;
    store_close(own->store);
    free(own);
}

struct sink *sink_store_new(const struct exporter_options *options, char *error,
                            size_t error_size)
{
    const struct store_options store = {.folder = options->store_folder,
                                        .service = options->service_name,
                                        .limit = options->store_limit,
                                        .ages = options->store_ages,
                                        .budget = options->budget};
    struct sink_store *own = calloc(1, sizeof *own);
    if (own == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    own->timestamps = options->timestamps;
    own->store = store_open(&store, error, error_size);
    if (own->store == NULL) {
        free(own);
        return NULL;
    }
    own->sink = (struct sink){.name = "store", .deliver = deliver, .close = close_store};
    return &own->sink;
}
