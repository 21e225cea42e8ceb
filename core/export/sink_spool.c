/*
 * A folder between the exporter and a sink that sends. It is two sinks to the exporter: the
 * keeper writes each profile down as soon as it is there, in a thread that is never held up by
 * a server; behind it the courier delivers the files through the sink that it wraps, those of
 * neighbours and predecessors too. What can't be written down is passed on in memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "export/queue.h"
#include "export/sink.h"
#include "export/spool.h"
#include "export/url.h"
#include "profile/combine.h"

#define MERGES_A_PUT 2

struct keeper {
    struct sink sink;
    struct spool *spool; /* the courier's */
};

struct courier {
    struct sink sink;
    struct sink *inner;
    struct spool *spool;
    struct spool_item item;
};

/* The folder is full: its oldest file goes. False: none can be had. */
static bool give_up_oldest(struct spool *spool, struct delivery *delivery)
{
    char error[FORMAT_ERROR_SIZE];
    struct spool_item item;
    if (spool_give_up(spool, &item) != 0)
        return false;
    struct profile *profile =
        item.data ? format_read(&format_otlp, item.data, item.size, error) : NULL;
    delivery->dropped += item.parts;
    if (profile)
        unreported_lost(&delivery->unreported, profile);
    profile_free(profile);
    spool_done(spool, &item);
    return true;
}

static int put(struct spool *spool, const struct profile *profile, uint32_t parts,
               bool mergeable, struct delivery *delivery)
{
    struct buffer bytes = {0};
    int error = format_otlp.write(profile, &bytes);
    while (error == 0 && (error = spool_put(spool, &bytes, parts, mergeable)) == -ENOBUFS &&
           give_up_oldest(spool, delivery))
        error = 0;
    if (error == 0)
        log_debug("spool: %zu bytes written down", bytes.size);
    buffer_free(&bytes);
    return error;
}

/* One profile of two files'. 0 or a negative errno. */
static int merge(const struct spool_item pair[2], struct buffer *bytes)
{
    char error[FORMAT_ERROR_SIZE];
    struct profile *merged = profile_new(NULL);
    int result = merged ? 0 : -ENOMEM;
    for (size_t i = 0; i < 2 && result == 0; i++)
        result = format_otlp.read(pair[i].data, pair[i].size, merged, error);
    if (result == 0) {
        queued_identify(merged);
        result = format_otlp.write(merged, bytes);
    }
    profile_free(merged);
    return result;
}

/* As long as a put makes one file more, and merging more than one of them less, the folder does
 * not fill up with what can be merged. */
static void merge_some(struct spool *spool)
{
    struct spool_item pair[2];
    for (int i = 0; i < MERGES_A_PUT && spool_take_pair(spool, pair) == 0; i++) {
        struct buffer bytes = {0};
        uint32_t parts = pair[0].parts + pair[1].parts;
        int error = merge(pair, &bytes);
        if (error == 0)
            error = spool_replace_pair(spool, pair, &bytes);
        else
            spool_back_pair(spool, pair);
        log_debug("spool: two files as one of %zu bytes, for %" PRIu32 " profiles: %s",
                  bytes.size, parts, error == 0 ? "merged" : strerror(-error));
        buffer_free(&bytes);
    }
}

static void keeper_deliver(struct sink *sink, const struct profile *profile,
                           struct delivery *delivery)
{
    const struct keeper *keeper = (const struct keeper *)sink;
    int error = put(keeper->spool, profile, 1, true, delivery);
    if (error == 0) {
        merge_some(keeper->spool);
        return;
    }
    delivery->status = DELIVERY_PASSED;
    snprintf(delivery->detail, sizeof delivery->detail,
             "CPROF_SPOOL_DIR can't be written to: %s", strerror(-error));
}

static void keeper_close(struct sink *sink)
{
    free(sink);
}

/* Profiles that the spool could not take. */
static void courier_deliver(struct sink *sink, const struct profile *profile,
                            struct delivery *delivery)
{
    const struct courier *courier = (const struct courier *)sink;
    courier->inner->deliver(courier->inner, profile, delivery);
}

/* Both halves are on disk before the whole goes: a crash in between doubles, and loses nothing.
 * The first stands for the whole in what is counted. False: it can't be cut. */
static bool put_halves(const struct courier *courier, const struct profile *profile,
                       struct delivery *delivery)
{
    size_t count = profile_sample_count(profile);
    bool put_all = count > 1;
    for (size_t half = 0; half < 2 && put_all; half++) {
        struct profile *slice =
            profile_slice(profile, half * (count / 2), half == 0 ? count / 2 : count);
        put_all = slice != NULL;
        if (put_all) {
            queued_identify(slice);
            put_all = put(courier->spool, slice, half == 0 ? courier->item.parts : 0, false,
                          delivery) == 0;
        }
        profile_free(slice);
    }
    return put_all;
}

/* One file on its way. */
static void carry(struct courier *courier, struct delivery *delivery)
{
    char error[FORMAT_ERROR_SIZE];
    struct spool_item *item = &courier->item;
    struct profile *profile = format_read(&format_otlp, item->data, item->size, error);
    if (profile != NULL) {
        courier->inner->deliver(courier->inner, profile, delivery);
    } else {
        delivery->status = DELIVERY_REFUSED;
        snprintf(delivery->detail, sizeof delivery->detail, "%.80s: %.200s", item->name, error);
    }
    delivery->profiles = item->parts;
    if (delivery->status == DELIVERY_TOO_LARGE) {
        bool cut = put_halves(courier, profile, delivery);
        delivery->status = cut ? DELIVERY_DONE : DELIVERY_REFUSED;
        delivery->profiles = cut ? 0 : item->parts;
    }
    if (delivery->status == DELIVERY_REFUSED && profile != NULL)
        unreported_lost(&delivery->unreported, profile);
    profile_free(profile);
    if (delivery->status == DELIVERY_RETRY)
        spool_back(courier->spool, item);
    else
        spool_done(courier->spool, item);
}

static void courier_save(struct sink *sink, bool last, struct delivery *delivery)
{
    (void)last;
    struct courier *courier = (struct courier *)sink;
    int error =
        spool_take(courier->spool, &courier->item, delivery->detail, sizeof delivery->detail);
    delivery->more = true;
    switch (error) {
    case 0:
        carry(courier, delivery);
        break;
    case -ENOENT:
        delivery->more = false;
        break;
    case -EBADMSG:
        delivery->status = DELIVERY_REFUSED;
        delivery->profiles = courier->item.parts;
        break;
    default:
        delivery->status = DELIVERY_RETRY;
        snprintf(delivery->detail, sizeof delivery->detail, "CPROF_SPOOL_DIR can't be read: %s",
                 strerror(-error));
    }
}

static void courier_interrupt(struct sink *sink)
{
    const struct courier *courier = (const struct courier *)sink;
    courier->inner->interrupt(courier->inner);
}

static void courier_close(struct sink *sink)
{
    struct courier *courier = (struct courier *)sink;
    size_t waiting = spool_count(courier->spool);
    if (waiting > 0)
        log_info("%s: %zu profile%s wait%s in CPROF_SPOOL_DIR for the next start",
                 courier->sink.name, waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "");
    courier->inner->close(courier->inner);
    spool_close(courier->spool);
    free(courier);
}

int sink_spool_new(const struct exporter_options *options, const struct transport_options *to,
                   struct sink *inner, struct sink_spool *made, char *error, size_t error_size)
{
    char *key = NULL;
    const char *service = options->service_name ? options->service_name : "";
    const char *socket = to->unix_socket ? to->unix_socket : "";
    struct courier *courier = calloc(1, sizeof *courier);
    struct keeper *keeper = calloc(1, sizeof *keeper);
    char *url = url_for_people(to->url);
    if (courier == NULL || keeper == NULL || url == NULL ||
        asprintf(&key, "%s\n%s\n%s\n%s", inner->name, url, socket, service) < 0) {
        key = NULL;
        snprintf(error, error_size, "out of memory");
    }
    struct spool *spool =
        key ? spool_open(options->spool_folder, key, options->spool_limit, error, error_size)
            : NULL;
    free(key);
    free(url);
    if (spool == NULL) {
        free(courier);
        free(keeper);
        return -1;
    }
    *keeper = (struct keeper){
        .spool = spool,
        .sink = {.name = inner->name, .deliver = keeper_deliver, .close = keeper_close}};
    *courier = (struct courier){.spool = spool,
                                .inner = inner,
                                .sink = {.name = inner->name,
                                         .deliver = courier_deliver,
                                         .save = courier_save,
                                         .interrupt = courier_interrupt,
                                         .close = courier_close}};
    *made = (struct sink_spool){.keeper = &keeper->sink, .courier = &courier->sink};
    return 0;
}
