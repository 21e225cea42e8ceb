/*
 * The addon behind index.js: it takes plain values and passes them on; what options mean and
 * how they are spelled is the business of index.js. One instance for each environment (the main
 * thread and every worker that loads cprof), one engine for the process.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <node_api.h>

#include "cprof/context.h"
#include "cprof/cprof.h"
#include "cprof/labels.h"
#include "cprof/runtime.h"
#include "allocs.h"
#include "asleep.h"
#include "context.h"
#include "context_probe.h"
#include "ending.h"
#include "isolate.h"
#include "layout.h"
#include "locks.h"
#include "names.h"
#include "quiet.h"
#include "script.h"
#include "v8_sample.h"
#include "walk.h"

enum {
    PAIRS_MAX = 129,                    /* one more than the core takes, which tells of it */
    TEXTS_MAX = 3 * 2 * PAIRS_MAX + 16, /* of start(): three lists, and what stands alone */
    ARGUMENT_MAX = 4096,
};

static void drained(void)
{
    isolate_drained();
    cprof_labels_drained();
}

/* What is thrown and caught V8 tells only a debugger, for which it makes slower code. */
static int exceptions_open(const char **why)
{
    *why = "V8 tells only a debugger of them";
    return -ENOTSUP;
}

static struct cprof_runtime runtime = {
    .name = "v8",
    .walk = walk_rest,
    .step = walk_step,
    .step_unmapped = walk_step_unmapped,
    .chore = {.token = WALK_COLLECTOR, .position = WALK_NOWHERE},
    .resolve = names_resolve,
    .role = names_role,
    .role_at = names_role_at,
    .context = context_read,
    .labels = cprof_labels_of,
    .drained = drained,
    .alloc_open = allocs_open,
    .alloc_close = allocs_close,
    .exception_open = exceptions_open,
    .lock_open = locks_open,
    .lock_close = locks_close,
    .gc_open = isolate_pauses_open,
    .gc_close = isolate_pauses_close,
    .ends_process = ending_is_nodes,
    .asleep = &node_asleep,
};

static char lacking[256]; /* why JavaScript can't be followed in the best way, or "" */

/* ---- arguments ---- */

/* Strings of one call to start(): freed together. */
struct arguments {
    napi_env env;
    char *texts[TEXTS_MAX];
    size_t count;
};

static char *text_of(struct arguments *arguments, napi_value value)
{
    size_t size = 0;
    if (arguments->count == TEXTS_MAX ||
        napi_get_value_string_utf8(arguments->env, value, NULL, 0, &size) != napi_ok)
        return NULL;
    char *text = malloc(size + 1);
    if (text != NULL)
        napi_get_value_string_utf8(arguments->env, value, text, size + 1, &size);
    arguments->texts[arguments->count++] = text;
    return text;
}

static napi_value property(napi_env env, napi_value object, const char *name)
{
    napi_value value = NULL;
    napi_get_named_property(env, object, name, &value);
    return value;
}

/* An absent property is no string, thus NULL. */
static char *text_property(struct arguments *arguments, napi_value object, const char *name)
{
    return text_of(arguments, property(arguments->env, object, name));
}

static double number_property(napi_env env, napi_value object, const char *name)
{
    double number = 0;
    napi_get_value_double(env, property(env, object, name), &number);
    return number;
}

/* From [key, value, key, value, …]. */
static size_t pairs_of(struct arguments *arguments, napi_value array,
                       struct cprof_pair pairs[PAIRS_MAX])
{
    uint32_t length = 0;
    size_t count = 0;
    if (napi_get_array_length(arguments->env, array, &length) != napi_ok)
        return 0;
    for (uint32_t i = 0; i + 1 < length && count < PAIRS_MAX; i += 2) {
        napi_value key = NULL, value = NULL; /* as they stay in a thread that is terminated */
        napi_get_element(arguments->env, array, i, &key);
        napi_get_element(arguments->env, array, i + 1, &value);
        pairs[count] = (struct cprof_pair){text_of(arguments, key), text_of(arguments, value)};
        count += pairs[count].key != NULL && pairs[count].value != NULL;
    }
    return count;
}

static size_t pairs_property(struct arguments *arguments, napi_value object, const char *name,
                             struct cprof_pair pairs[PAIRS_MAX])
{
    return pairs_of(arguments, property(arguments->env, object, name), pairs);
}

static void free_arguments(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->texts[i]);
}

static struct isolate *own_isolate(napi_env env)
{
    void *isolate = NULL;
    napi_get_instance_data(env, &isolate);
    return isolate;
}

static napi_value text_value(napi_env env, const char *text)
{
    napi_value value = NULL;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    return value;
}

static napi_value first_argument(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value argument = NULL;
    napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
    return argument;
}

/* ---- start ---- */

/* A start, or that of a block if `block` is somewhere to put its number. */
static int start_engine(struct arguments *arguments, napi_value object, uint64_t *block,
                        char *error, size_t size)
{
    struct cprof_pair headers[PAIRS_MAX], labels[PAIRS_MAX], resource[PAIRS_MAX];
    const struct cprof_options options = {
        .service_name = text_property(arguments, object, "serviceName"),
        .types = text_property(arguments, object, "types"),
        .rate = (unsigned)number_property(arguments->env, object, "rate"),
        .interval = number_property(arguments->env, object, "interval"),
        .exporter = text_property(arguments, object, "exporter"),
        .endpoint = text_property(arguments, object, "endpoint"),
        .output = text_property(arguments, object, "output"),
        .native = text_property(arguments, object, "native"),
        .origin = text_property(arguments, object, "origin"),
        .headers = headers,
        .header_count = pairs_property(arguments, object, "headers", headers),
        .labels = labels,
        .label_count = pairs_property(arguments, object, "labels", labels),
        .resource = resource,
        .resource_count = pairs_property(arguments, object, "resource", resource),
        .library_directory = text_property(arguments, object, "libraryDirectory"),
    };
    return block != NULL ? cprof_capture_begin(&options, &runtime, block, error, size)
                         : cprof_start(&options, &runtime, error, size);
}

static void set_number(napi_env env, napi_value object, const char *name, double number)
{
    napi_value value;
    napi_create_double(env, number, &value);
    napi_set_named_property(env, object, name, value);
}

/* { status, message, block }: the first two as cprof_start() and cprof_capture_begin() give
 * them. */
static napi_value start(napi_env env, napi_callback_info info, uint64_t *block)
{
    struct arguments arguments = {.env = env};
    char error[512] = "";
    napi_value result = NULL;
    bool maps = false;
    napi_get_value_bool(env, property(env, first_argument(env, info), "sourceMaps"), &maps);
    if (!cprof_is_running())
        script_use_maps(maps);
    else if (own_isolate(env)->attached)
        names_pending(own_isolate(env)); /* before a wait for the collector */
    int status =
        start_engine(&arguments, first_argument(env, info), block, error, sizeof error);
    free_arguments(&arguments);
    if (status >= 0) {
        if (!isolate_attach(own_isolate(env)))
            snprintf(lacking, sizeof lacking, "no memory to follow JavaScript");
        allocs_follow(own_isolate(env), env);
        isolate_wake_others(own_isolate(env));
    }
    napi_create_object(env, &result);
    set_number(env, result, "status", status);
    if (block != NULL)
        set_number(env, result, "block", (double)*block);
    if (status < 0)
        napi_set_named_property(env, result, "message",
                                text_value(env, error[0] != '\0' ? error : strerror(-status)));
    return result;
}

/* start(options) */
static napi_value module_start(napi_env env, napi_callback_info info)
{
    return start(env, info, NULL);
}

/* beginBlock(options) */
static napi_value module_begin_block(napi_env env, napi_callback_info info)
{
    uint64_t block = 0;
    return start(env, info, &block);
}

/* ---- flush, stop and the end of a block ---- */

/* The last two are orders (control.js). */
enum delivered {
    DELIVER_FLUSH,
    DELIVER_STOP,
    DELIVER_BLOCK,
    DELIVER_STOP_ALL,
    DELIVER_RELEASE,
};

struct delivery {
    napi_async_work work;
    napi_deferred deferred;
    enum delivered what;
    double timeout, block;
    int result;
    char error[512];
};

static void deliver(napi_env env, void *data)
{
    struct delivery *delivery = data;
    (void)env;
    if (delivery->what == DELIVER_FLUSH)
        delivery->result = cprof_flush(delivery->timeout);
    else if (delivery->what == DELIVER_STOP_ALL)
        delivery->result = cprof_stop_all(delivery->timeout);
    else if (delivery->what != DELIVER_BLOCK)
        delivery->result = cprof_stop(delivery->timeout);
    else
        delivery->result = cprof_capture_end((uint64_t)delivery->block, delivery->timeout,
                                             delivery->error, sizeof delivery->error);
}

static void after_stop(napi_env env)
{
    isolate_detach(own_isolate(env));
    isolate_wake_others(own_isolate(env));
}

static void delivered(napi_env env, napi_status status, void *data)
{
    struct delivery *delivery = data;
    napi_value value;
    (void)status;
    if (delivery->what != DELIVER_FLUSH && !cprof_is_running())
        after_stop(env);
    if (delivery->what == DELIVER_BLOCK && delivery->error[0] != '\0')
        cprof_say(delivery->error);
    if (delivery->what >= DELIVER_STOP_ALL)
        cprof_control_done(0, delivery->result == 0 ? NULL
                                                    : "off, but not all could be delivered");
    napi_get_boolean(env, delivery->result == 0, &value);
    napi_resolve_deferred(env, delivery->deferred, value);
    napi_delete_async_work(env, delivery->work);
    free(delivery);
}

/* A promise of true, when everything has been delivered, or false. */
static napi_value promise_delivery(napi_env env, napi_callback_info info, enum delivered what)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    napi_value promise = NULL, given[2] = {NULL};
    size_t count = 2;
    if (delivery == NULL)
        return NULL;
    delivery->what = what;
    napi_get_cb_info(env, info, &count, given, NULL, NULL);
    napi_get_value_double(env, given[0], &delivery->timeout);
    napi_get_value_double(env, given[1], &delivery->block);
    if (own_isolate(env)->attached)
        names_pending(own_isolate(env));
    napi_create_promise(env, &delivery->deferred, &promise);
    napi_create_async_work(env, NULL, text_value(env, "cprof"), deliver, delivered, delivery,
                           &delivery->work);
    napi_queue_async_work(env, delivery->work);
    return promise;
}

static napi_value module_flush(napi_env env, napi_callback_info info)
{
    return promise_delivery(env, info, DELIVER_FLUSH);
}

static napi_value module_stop(napi_env env, napi_callback_info info)
{
    return promise_delivery(env, info, DELIVER_STOP);
}

/* endBlock(timeout, block) */
static napi_value module_end_block(napi_env env, napi_callback_info info)
{
    return promise_delivery(env, info, DELIVER_BLOCK);
}

/* ---- all threads now ---- */

struct dumping {
    napi_async_work work;
    napi_deferred deferred;
    char *format, *page;
    size_t size;
    char error[512];
    int result;
};

static void take_dump(napi_env env, void *data)
{
    struct dumping *dumping = data;
    (void)env;
    dumping->result = cprof_dump(dumping->format, &dumping->page, &dumping->size,
                                 dumping->error, sizeof dumping->error);
}

/* A Buffer, or a text: why there is none. */
static void dump_taken(napi_env env, napi_status status, void *data)
{
    struct dumping *dumping = data;
    napi_value value = NULL;
    (void)status;
    if (dumping->result != 0)
        value = text_value(env, dumping->error);
    else
        napi_create_buffer_copy(env, dumping->size, dumping->page, NULL, &value);
    napi_resolve_deferred(env, dumping->deferred, value);
    napi_delete_async_work(env, dumping->work);
    free(dumping->page);
    free(dumping->format);
    free(dumping);
}

/* dump(format): a promise of it. */
static napi_value module_dump(napi_env env, napi_callback_info info)
{
    struct arguments arguments = {.env = env};
    const char *format = text_of(&arguments, first_argument(env, info));
    struct dumping *dumping = calloc(1, sizeof *dumping);
    napi_value promise = NULL;
    if (dumping != NULL)
        dumping->format = strdup(format != NULL ? format : "");
    free_arguments(&arguments);
    if (dumping == NULL || dumping->format == NULL) {
        free(dumping);
        return NULL;
    }
    if (own_isolate(env)->attached)
        names_pending(own_isolate(env));
    napi_create_promise(env, &dumping->deferred, &promise);
    napi_create_async_work(env, NULL, text_value(env, "cprof"), take_dump, dump_taken, dumping,
                           &dumping->work);
    napi_queue_async_work(env, dumping->work);
    return promise;
}

/* ---- control at run time ---- */

/* controlOpen(): "", or why the process can't be asked. */
static napi_value module_control_open(napi_env env, napi_callback_info info)
{
    char error[512] = "";
    (void)info;
    int status = cprof_control_open("nodejs", error, sizeof error);
    return text_value(env, status == 0 || status == -EALREADY ? "" : error);
}

static void set_text(napi_env env, napi_value object, const char *name, const char *text)
{
    if (text != NULL)
        napi_set_named_property(env, object, name, text_value(env, text));
}

/* controlTake(): { kind } and start()'s options for it; undefined: there is nothing to do. */
static napi_value module_control_take(napi_env env, napi_callback_info info)
{
    static const char *const kinds[] = {[CPROF_ORDER_START] = "start",
                                        [CPROF_ORDER_STOP] = "stop",
                                        [CPROF_ORDER_RELEASE] = "release",
                                        [CPROF_ORDER_COLLECT] = "collect"};
    struct cprof_order order;
    napi_value object = NULL;
    (void)info;
    if (!cprof_control_take(&order))
        return NULL;
    napi_create_object(env, &object);
    set_text(env, object, "kind", kinds[order.kind]);
    set_text(env, object, "origin", order.options.origin);
    set_text(env, object, "types", order.options.types);
    set_text(env, object, "exporter", order.options.exporter);
    set_text(env, object, "output", order.options.output);
    if (order.options.rate != 0)
        set_number(env, object, "rate", order.options.rate);
    return object;
}

/* controlDone(why): "" when it has been done. */
static napi_value module_control_done(napi_env env, napi_callback_info info)
{
    struct arguments arguments = {.env = env};
    const char *why = text_of(&arguments, first_argument(env, info));
    bool done = why != NULL && why[0] == '\0';
    cprof_control_done(done ? 0 : -EINVAL, why);
    free_arguments(&arguments);
    return NULL;
}

/* obeyStop(timeout, all): stops for an order, and says so when it is done. */
static napi_value module_obey_stop(napi_env env, napi_callback_info info)
{
    napi_value given[2] = {NULL};
    size_t count = 2;
    bool all = false;
    napi_get_cb_info(env, info, &count, given, NULL, NULL);
    napi_get_value_bool(env, given[1], &all);
    return promise_delivery(env, info, all ? DELIVER_STOP_ALL : DELIVER_RELEASE);
}

/* ---- the rest of the face ---- */

static napi_value module_is_running(napi_env env, napi_callback_info info)
{
    napi_value value = NULL;
    (void)info;
    napi_get_boolean(env, cprof_is_running(), &value);
    return value;
}

/* signalFreed(): the program's last listener to a signal has gone. */
static napi_value module_signal_freed(napi_env env, napi_callback_info info)
{
    (void)env, (void)info;
    cprof_signals_freed();
    return NULL;
}

static napi_value module_stats(napi_env env, napi_callback_info info)
{
    struct cprof_stats stats;
    napi_value object = NULL, value;
    (void)info;
    cprof_stats(&stats);
    napi_create_object(env, &object);
#define ADD(field, kind)                                                                       \
    napi_create_double(env, (double)stats.field, &value);                                      \
    napi_set_named_property(env, object, #field, value);
    CPROF_STATS_FIELDS(ADD)
#undef ADD
    return object;
}

static void release_labels(napi_env env, void *set, void *hint)
{
    (void)env, (void)hint;
    cprof_labels_release((uint32_t)(uintptr_t)set);
}

/* holdLabels([key, value, …], holder): the number of the set, which is held until the holder is
 * collected or the environment ends. */
static napi_value module_hold_labels(napi_env env, napi_callback_info info)
{
    struct arguments arguments = {.env = env};
    struct cprof_pair labels[PAIRS_MAX];
    napi_value given[2] = {NULL}, value = NULL;
    size_t given_count = 2;
    napi_get_cb_info(env, info, &given_count, given, NULL, NULL);
    size_t count = pairs_of(&arguments, given[0], labels);
    uint32_t set = cprof_labels_hold(labels, count);
    free_arguments(&arguments);
    if (napi_wrap(env, given[1], (void *)(uintptr_t)set, release_labels, NULL, NULL) !=
        napi_ok) {
        cprof_labels_release(set);
        set = 0;
    }
    napi_create_uint32(env, set, &value);
    return value;
}

/* The tagged pointer of a BigInt, to which its handle points; 0 for another value. */
static uintptr_t bigint(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    return type == napi_bigint ? *(const uintptr_t *)value : 0;
}

/* contextFields(): what context_copy_fields() gives, as an ArrayBuffer. */
static napi_value module_context_fields(napi_env env, napi_callback_info info)
{
    napi_value buffer = NULL;
    void *fields = NULL;
    (void)info;
    if (napi_create_arraybuffer(env, CONTEXT_FIELDS * sizeof(uintptr_t), &fields, &buffer) ==
        napi_ok)
        context_copy_fields(own_isolate(env), fields);
    return buffer;
}

/* findContextField(value, fields, first): see context_find_field(). */
static napi_value module_find_context_field(napi_env env, napi_callback_info info)
{
    napi_value given[3] = {NULL}, found = NULL;
    size_t count = 3, size = 0;
    void *before = NULL;
    int32_t field = 0;
    napi_get_cb_info(env, info, &count, given, NULL, NULL);
    napi_get_arraybuffer_info(env, given[1], &before, &size);
    napi_get_value_int32(env, given[2], &field);
    field = size == CONTEXT_FIELDS * sizeof(uintptr_t)
                ? context_find_field(own_isolate(env), bigint(env, given[0]), before, field)
                : -1;
    napi_create_int32(env, field, &found);
    return found;
}

/* useContextField(value, field): see context_use_field(). */
static napi_value module_use_context_field(napi_env env, napi_callback_info info)
{
    napi_value given[2] = {NULL}, used = NULL;
    size_t count = 2;
    int32_t field = -1;
    napi_get_cb_info(env, info, &count, given, NULL, NULL);
    napi_get_value_int32(env, given[1], &field);
    napi_get_boolean(env, context_use_field(own_isolate(env), bigint(env, given[0]), field),
                     &used);
    return used;
}

/* useContextWords(array): what the handler reads elsewhere. The array is kept for good. */
static napi_value module_use_context_words(napi_env env, napi_callback_info info)
{
    napi_value array = first_argument(env, info);
    napi_typedarray_type type = napi_int8_array;
    napi_ref kept;
    size_t length = 0;
    void *words = NULL;
    napi_get_typedarray_info(env, array, &type, &length, &words, NULL, NULL);
    if (type == napi_uint32_array && length == CONTEXT_WORDS &&
        napi_create_reference(env, array, 1, &kept) == napi_ok)
        own_isolate(env)->context.words = words;
    return NULL;
}

/* The running interval's profile_id in hex, or null. */
static napi_value profile_id_text(napi_env env, bool (*read)(uint8_t id[16]))
{
    uint8_t id[16];
    char text[2 * sizeof id + 1];
    napi_value value = NULL;
    if (!read(id)) {
        napi_get_null(env, &value);
        return value;
    }
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return text_value(env, text);
}

/* spanProfileId(): for root spans; null also where they are to have none. */
static napi_value module_span_profile_id(napi_env env, napi_callback_info info)
{
    (void)info;
    return profile_id_text(env, cprof_span_profile_id);
}

/* profileId() */
static napi_value module_profile_id(napi_env env, napi_callback_info info)
{
    (void)info;
    return profile_id_text(env, cprof_profile_id);
}

/* ---- the self-test ---- */

enum { PROBED_FRAMES = 16, PROBED_NAME = 64 };

/* The frames of JavaScript from there on. */
static size_t follow(struct isolate *isolate, struct cprof_registers at,
                     struct cprof_frame frames[PROBED_FRAMES])
{
    const struct cprof_interrupted thread = {.thread_data = isolate};
    size_t count = 0;
    bool complete = true;
    while (count < PROBED_FRAMES && walk_step(&thread, &at, &frames[count]))
        count += frames[count].token != 0;
    return count + v8_sample_walk(&thread, frames + count, PROBED_FRAMES - count, &complete);
}

/* Follows from the JavaScript frame that called the addon, to be found on the stack from there
 * on by its saved frame pointer and return address. No sample comes in between: it would take
 * its notes in the same tables. */
static size_t follow_caller(struct isolate *isolate, const uintptr_t *stack,
                            struct cprof_frame frames[PROBED_FRAMES])
{
    enum { DISTANCE = 1024, KNOWN = 4 };
    size_t found = 0;
    uint64_t before = quiet_begin();
    for (size_t i = 0;
         i < DISTANCE && found < KNOWN && (uintptr_t)&stack[i + 2] < isolate->stack_high; i++) {
        const struct cprof_registers at = {
            .pc = stack[i + 1], .fp = stack[i], .sp = (uintptr_t)&stack[i + 2]};
        found = follow(isolate, at, frames); /* and not remnants of earlier calls */
    }
    quiet_end(before);
    return found;
}

/* probe(count): the names of as many functions that called it, with commas between. */
static napi_value module_probe(napi_env env, napi_callback_info info)
{
    struct isolate *isolate = own_isolate(env);
    struct cprof_frame frames[PROBED_FRAMES];
    char names[PROBED_FRAMES * (PROBED_NAME + 1)] = "";
    uint32_t count = 0;
    napi_get_value_uint32(env, first_argument(env, info), &count);
    size_t found = follow_caller(isolate, __builtin_frame_address(0), frames);
    names_pending(isolate);
    for (size_t i = 0, at = 0; i < found && count > 0; i++) {
        char name[PROBED_NAME];
        if (names_plain(frames[i].token, name, sizeof name) == 0)
            continue;
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at > 0 ? "," : "", name);
        count--;
    }
    return text_value(env, names);
}

/* way(): in which way JavaScript is followed, as in isolate.h. */
static napi_value module_way(napi_env env, napi_callback_info info)
{
    napi_value value = NULL;
    (void)info;
    napi_create_uint32(env, isolate_way(), &value);
    return value;
}

/* descend(): this way failed its test. The next one. */
static napi_value module_descend(napi_env env, napi_callback_info info)
{
    isolate_descend(own_isolate(env));
    allocs_follow(own_isolate(env), env);
    return module_way(env, info);
}

/* say(text): one line for people. Not by process.stderr, which the program may have redefined,
 * and which in a worker writes later than the worker may live. */
static napi_value module_say(napi_env env, napi_callback_info info)
{
    char line[2 * ARGUMENT_MAX];
    size_t size = 0;
    if (napi_get_value_string_utf8(env, first_argument(env, info), line, sizeof line, &size) ==
        napi_ok)
        cprof_say(line);
    return NULL;
}

/* ---- life ---- */

static void on_cleanup(void *data)
{
    ending_of_environment(data);
    isolate_close(data);
}

/* The code stays when the last environment goes: the collector and the handler run it. */
static void pin(void)
{
    Dl_info own;
    if (dladdr((void *)pin, &own) != 0)
        (void)dlopen(own.dli_fname, RTLD_NOW | RTLD_NODELETE | RTLD_NOLOAD);
}

static void find_v8(void)
{
    static _Atomic bool done;
    if (atomic_exchange(&done, true))
        return;
    pin();
    ending_watch();
    isolate_find_way(lacking, sizeof lacking);
}

/* onFirstThread(): is this the thread that the process began with? */
static napi_value module_on_first_thread(napi_env env, napi_callback_info info)
{
    napi_value value = NULL;
    (void)info;
    napi_get_boolean(env, syscall(SYS_gettid) == getpid(), &value);
    return value;
}

/* init(threadId, begin): why JavaScript can't be followed in the best way, or "". */
static napi_value module_init(napi_env env, napi_callback_info info)
{
    napi_value values[2];
    size_t count = 2;
    uint32_t thread_id = 0;
    napi_get_cb_info(env, info, &count, values, NULL, NULL);
    napi_get_value_uint32(env, values[0], &thread_id);
    if (own_isolate(env) != NULL)
        return text_value(env, lacking);
    find_v8();
    struct isolate *isolate = isolate_open(env, thread_id, values[1]);
    if (isolate == NULL) {
        napi_throw_error(env, NULL, "cprof: out of memory");
        return NULL;
    }
    napi_set_instance_data(env, isolate, NULL, NULL);
    napi_add_env_cleanup_hook(env, on_cleanup, isolate);
    if (cprof_is_running()) {
        isolate_attach(isolate);
        allocs_follow(isolate, env);
    }
    return text_value(env, lacking);
}

NAPI_MODULE_INIT()
{
    static const struct {
        const char *name;
        napi_callback call;
    } functions[] = {
        {"onFirstThread", module_on_first_thread},
        {"init", module_init},
        {"start", module_start},
        {"beginBlock", module_begin_block},
        {"endBlock", module_end_block},
        {"flush", module_flush},
        {"dump", module_dump},
        {"stop", module_stop},
        {"controlOpen", module_control_open},
        {"controlTake", module_control_take},
        {"controlDone", module_control_done},
        {"obeyStop", module_obey_stop},
        {"isRunning", module_is_running},
        {"signalFreed", module_signal_freed},
        {"stats", module_stats},
        {"holdLabels", module_hold_labels},
        {"contextFields", module_context_fields},
        {"findContextField", module_find_context_field},
        {"useContextField", module_use_context_field},
        {"useContextWords", module_use_context_words},
        {"spanProfileId", module_span_profile_id},
        {"profileId", module_profile_id},
        {"probe", module_probe},
        {"way", module_way},
        {"descend", module_descend},
        {"say", module_say},
        {"lockWords", locks_words},
        {"waitBegins", locks_wait_begins},
        {"waitEnds", locks_wait_ends},
        {"letsGo", locks_lets_go},
        {"blames", locks_blames},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        napi_value function;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call,
                                 NULL, &function) != napi_ok)
            return NULL;
        napi_set_named_property(env, exports, functions[i].name, function);
    }
    return exports;
}
