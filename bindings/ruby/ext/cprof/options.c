#include "options.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <ruby/encoding.h>
#include <ruby/version.h>

enum keyword {
    SERVICE_NAME,
    TYPES,
    RATE,
    INTERVAL,
    EXPORTER,
    ENDPOINT,
    OUTPUT,
    HEADERS,
    LABELS,
    NATIVE,
    KEYWORDS
};

static const char *const names[KEYWORDS] = {
    "service_name", "types",  "rate",    "interval", "exporter",
    "endpoint",     "output", "headers", "labels",   "native",
};

void options_raise(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    VALUE text = rb_vsprintf(format, arguments);
    va_end(arguments);
    rb_exc_raise(rb_exc_new_str(rb_path2class("Cprof::Error"), text));
}

/* Whatever it is, without asking Ruby's own objects. */
static VALUE string_of(VALUE value)
{
    switch (rb_type(value)) {
    case T_STRING:
        return value;
    case T_SYMBOL:
        return rb_sym2str(value);
    case T_FIXNUM:
        return rb_fix2str(value, 10);
    case T_BIGNUM:
        return rb_big2str(value, 10);
    case T_FLOAT:
        return rb_sprintf("%.15g", RFLOAT_VALUE(value));
    case T_TRUE:
        return rb_str_new_cstr("true");
    case T_FALSE:
        return rb_str_new_cstr("false");
    case T_NIL:
        return rb_str_new_cstr("");
    default:
        return rb_obj_as_string(value);
    }
}

/* How it looks in a sentence about it. */
static VALUE shown(VALUE value)
{
    switch (rb_type(value)) {
    case T_STRING:
        return rb_str_dump(value);
    case T_NIL:
        return rb_str_new_cstr("nil");
    case T_FIXNUM:
    case T_BIGNUM:
    case T_FLOAT:
    case T_TRUE:
    case T_FALSE:
        return string_of(value);
    default:
        return rb_any_to_s(value);
    }
}

/* What the options point to: out of the way of a garbage collector that moves strings. */
struct kept {
    struct kept *next;
    _Alignas(max_align_t) char bytes[];
};

static void free_kept(void *first)
{
    for (struct kept *kept = first, *next; kept != NULL; kept = next) {
        next = kept->next;
        free(kept);
    }
}

static const rb_data_type_t keeper_type = {
    .wrap_struct_name = "cprof/options",
    .function = {.dfree = free_kept},
    .flags = RUBY_TYPED_FREE_IMMEDIATELY,
};

static void *keep(VALUE keeper, size_t size)
{
    struct kept *kept = malloc(sizeof *kept + size);
    if (kept == NULL)
        rb_memerror();
    kept->next = RTYPEDDATA_DATA(keeper);
    RTYPEDDATA_DATA(keeper) = kept;
    return kept->bytes;
}

static VALUE readable(VALUE string)
{
    return rb_enc_asciicompat(rb_enc_get(string))
               ? string
               : rb_str_encode(string, rb_enc_from_encoding(rb_utf8_encoding()), 0, Qnil);
}

/* The text of any object. */
static const char *text_of(const char *name, VALUE value, VALUE keeper)
{
    VALUE given = string_of(value);
    int failed = 0;
    VALUE string = rb_protect(readable, given, &failed);
    if (failed) {
        rb_set_errinfo(Qnil);
        options_raise("%s=%" PRIsVALUE ": a text is needed", name, shown(given));
    }
    size_t length = (size_t)RSTRING_LEN(string);
    if (memchr(RSTRING_PTR(string), '\0', length) != NULL)
        options_raise("%s=%" PRIsVALUE ": a text without NUL is needed", name, shown(string));
    char *text = keep(keeper, length + 1);
    memcpy(text, RSTRING_PTR(string), length);
    text[length] = '\0';
    RB_GC_GUARD(string);
    return text;
}

static const char *text_or_null(const char *name, VALUE value, VALUE keeper)
{
    return NIL_P(value) ? NULL : text_of(name, value, keeper);
}

static const char *list(const char *name, VALUE value, VALUE keeper)
{
    if (!RB_TYPE_P(value, T_ARRAY))
        return text_or_null(name, value, keeper);
    VALUE joined = rb_str_new_cstr("");
    for (long i = 0; i < RARRAY_LEN(value); i++) {
        if (i > 0)
            rb_str_cat_cstr(joined, ",");
        rb_str_cat_cstr(joined, text_of(name, rb_ary_entry(value, i), keeper));
    }
    return text_of(name, joined, keeper);
}

double options_seconds(VALUE value)
{
    switch (rb_type(value)) {
    case T_FLOAT:
        return RFLOAT_VALUE(value);
    case T_FIXNUM:
        return (double)FIX2LONG(value);
    case T_STRING:
        return rb_str_to_dbl(value, 1);
    default:
        return NUM2DBL(value);
    }
}

/* Zero tells the engine to take its default; asked for by a caller it is a mistake. */
static double positive(const char *name, VALUE value)
{
    if (NIL_P(value))
        return 0;
    bool real = RTEST(rb_obj_is_kind_of(value, rb_cNumeric)) && !RB_TYPE_P(value, T_COMPLEX);
    double number = real ? options_seconds(value) : 0;
    if (!(number > 0 && number < 2147483648.0))
        options_raise("%s=%" PRIsVALUE ": a number above 0 is needed", name, shown(value));
    return number;
}

struct pairs {
    const char *name;
    VALUE keeper;
    struct cprof_pair *list;
    size_t count;
};

static int add_pair(VALUE key, VALUE value, VALUE argument)
{
    struct pairs *pairs = (struct pairs *)argument;
    const char *text = text_of(pairs->name, key, pairs->keeper);
    pairs->list[pairs->count++] =
        (struct cprof_pair){.key = text, .value = text_of(pairs->name, value, pairs->keeper)};
    return ST_CONTINUE;
}

static struct pairs pairs_of(const char *name, VALUE value, VALUE keeper)
{
    struct pairs pairs = {.name = name, .keeper = keeper};
    if (NIL_P(value))
        return pairs;
    VALUE hash = rb_check_hash_type(value);
    if (NIL_P(hash))
        options_raise("%s=%" PRIsVALUE ": a Hash is needed", name, shown(value));
    pairs.list = keep(keeper, (RHASH_SIZE(hash) + 1) * sizeof *pairs.list);
    rb_hash_foreach(hash, add_pair, (VALUE)&pairs);
    return pairs;
}

static const struct cprof_pair resource[] = {
    {"process.runtime.name", ruby_engine},
    {"process.runtime.version", ruby_version},
    {"process.runtime.description", ruby_description},
    {"telemetry.sdk.language", "ruby"},
};

VALUE options_read(VALUE keywords, struct cprof_options *options)
{
    ID ids[KEYWORDS];
    VALUE v[KEYWORDS];
    for (int i = 0; i < KEYWORDS; i++)
        ids[i] = rb_intern(names[i]);
    rb_get_kwargs(keywords, ids, 0, KEYWORDS, v);
    for (int i = 0; i < KEYWORDS; i++)
        if (v[i] == Qundef)
            v[i] = Qnil;
    VALUE kept = TypedData_Wrap_Struct(0, &keeper_type, NULL);
    struct pairs headers = pairs_of("headers", v[HEADERS], kept);
    struct pairs labels = pairs_of("labels", v[LABELS], kept);
    *options = (struct cprof_options){
        .service_name = text_or_null("service_name", v[SERVICE_NAME], kept),
        .types = list("types", v[TYPES], kept),
        .rate = (unsigned)positive("rate", v[RATE]),
        .interval = positive("interval", v[INTERVAL]),
        .exporter = list("exporter", v[EXPORTER], kept),
        .endpoint = text_or_null("endpoint", v[ENDPOINT], kept),
        .output = text_or_null("output", v[OUTPUT], kept),
        .headers = headers.list,
        .header_count = headers.count,
        .labels = labels.list,
        .label_count = labels.count,
        .native = NIL_P(v[NATIVE])   ? NULL
                  : RTEST(v[NATIVE]) ? "on"
                                     : "off",
        .resource = resource,
        .resource_count = sizeof resource / sizeof *resource,
    };
    return kept;
}
