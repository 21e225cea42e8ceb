#include "labels.h"

#include <stdlib.h>
#include <string.h>

#include <ruby/encoding.h>
#include <ruby/ractor.h>

#include <cprof/context.h>
#include <cprof/cprof.h>
#include <cprof/labels.h>

#include "context.h"

#define REMEMBERED_PAIRS 4

/* What labels are asked for: those around, and pairs of which every text is told by the value
 * itself. Also how they are remembered. */
struct wanted {
    VALUE labels; /* what was made of it; 0 = nothing yet */
    VALUE outer;
    uint64_t hash;
    size_t count; /* above REMEMBERED_PAIRS: they are not remembered */
    VALUE pairs[2 * REMEMBERED_PAIRS];
};

/* Of the Ractor that loaded cprof; others, which run beside it, remember nothing. */
static struct wanted remembered[LABELS_REMEMBERED];
static rb_ractor_local_key_t here; /* set where `remembered` is */
static ID variable;                /* the fiber-local one */
static VALUE maker;                /* Cprof */

static void mark(void *data)
{
    rb_gc_mark(((struct labels *)data)->hash);
    rb_gc_mark(((struct labels *)data)->outer);
}

static void let_go(struct labels *labels)
{
    cprof_labels_release(labels->set);
    labels->set = 0;
    labels->size = 0;
    free(labels->attributes);
    labels->attributes = NULL;
}

static void destroy(void *data)
{
    let_go(data);
    ruby_xfree(data);
}

static size_t size_of(const void *data)
{
    const struct labels *labels = data;
    return sizeof *labels + labels->size;
}

static const rb_data_type_t type = {
    .wrap_struct_name = "cprof/labels",
    .function = {.dmark = mark, .dfree = destroy, .dsize = size_of},
    .flags = RUBY_TYPED_FREE_IMMEDIATELY,
};

static VALUE allocate(VALUE of_class)
{
    struct labels *labels;
    VALUE self = TypedData_Make_Struct(of_class, struct labels, &type, labels);
    labels->hash = labels->outer = Qnil;
    return self;
}

/* What other processes are told of them; without memory, nothing. */
static void encode(struct labels *labels, const struct cprof_pair *pairs, size_t count)
{
    uint8_t attributes[CPROF_ATTRIBUTES_MAX];
    size_t size = cprof_context_encode(pairs, count, attributes);
    labels->attributes = size > 0 ? malloc(size) : NULL;
    if (labels->attributes != NULL) {
        memcpy(labels->attributes, attributes, size);
        labels->size = size;
    }
}

/* Labels.new(outer, hash, [key, value, key, value, …]): the texts are UTF-8 without NUL. */
static VALUE initialize(VALUE self, VALUE outer, VALUE hash, VALUE texts)
{
    struct labels *labels = rb_check_typeddata(self, &type);
    struct cprof_pair pairs[CPROF_LABELS_MAX];
    Check_Type(texts, T_ARRAY);
    size_t count = 0;
    for (long i = 0; i + 1 < RARRAY_LEN(texts) && count < CPROF_LABELS_MAX; i += 2) {
        VALUE key = rb_ary_entry(texts, i), value = rb_ary_entry(texts, i + 1);
        pairs[count++] =
            (struct cprof_pair){.key = StringValueCStr(key), .value = StringValueCStr(value)};
    }
    let_go(labels);
    RB_OBJ_WRITE(self, &labels->hash, hash);
    RB_OBJ_WRITE(self, &labels->outer, outer);
    labels->set = cprof_labels_hold(pairs, count);
    encode(labels, pairs, count);
    RB_GC_GUARD(texts);
    return self;
}

static VALUE to_h(VALUE self)
{
    return ((struct labels *)rb_check_typeddata(self, &type))->hash;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static bool is_string(VALUE value)
{
    return !RB_SPECIAL_CONST_P(value) && RB_BUILTIN_TYPE(value) == T_STRING &&
           RBASIC_CLASS(value) == rb_cString;
}

static int want_pair(VALUE key, VALUE value, VALUE argument)
{
    struct wanted *wanted = (struct wanted *)argument;
    bool string = is_string(value);
    if (wanted->count == REMEMBERED_PAIRS || !RB_SYMBOL_P(key) ||
        (!string && !RB_SPECIAL_CONST_P(value))) {
        wanted->count = REMEMBERED_PAIRS + 1;
        return ST_STOP;
    }
    uint64_t content =
        string ? (uint64_t)rb_memhash(RSTRING_PTR(value), RSTRING_LEN(value)) : (uint64_t)value;
    wanted->hash = mix(mix(wanted->hash, key), content);
    wanted->pairs[2 * wanted->count] = key;
    wanted->pairs[2 * wanted->count + 1] = value;
    wanted->count++;
    return ST_CONTINUE;
}

static bool is_same(VALUE one, VALUE other)
{
    if (one == other)
        return true;
    return is_string(one) && is_string(other) && RSTRING_LEN(one) == RSTRING_LEN(other) &&
           rb_enc_get_index(one) == rb_enc_get_index(other) &&
           memcmp(RSTRING_PTR(one), RSTRING_PTR(other), (size_t)RSTRING_LEN(one)) == 0;
}

static bool is_answer(const struct wanted *made, const struct wanted *wanted)
{
    if (made->labels == 0 || made->hash != wanted->hash || made->outer != wanted->outer ||
        made->count != wanted->count)
        return false;
    for (size_t i = 0; i < 2 * wanted->count; i++)
        if (!is_same(made->pairs[i], wanted->pairs[i]))
            return false;
    return true;
}

/* What is remembered stays alive, and where it is. */
static void mark_remembered(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < LABELS_REMEMBERED; i++) {
        const struct wanted *made = &remembered[i];
        if (made->labels == 0)
            continue;
        rb_gc_mark(made->labels);
        rb_gc_mark(made->outer);
        for (size_t n = 0; n < 2 * made->count; n++)
            rb_gc_mark(made->pairs[n]);
    }
}

static const rb_data_type_t keeper_type = {
    .wrap_struct_name = "cprof/remembered",
    .function = {.dmark = mark_remembered},
    .flags = RUBY_TYPED_FREE_IMMEDIATELY,
};

static void forget(struct wanted *made)
{
    struct labels *labels = RTYPEDDATA_DATA(made->labels);
    made->labels = 0;
    labels->remembered = false;
    if (labels->users == 0)
        let_go(labels);
}

static void remember(struct wanted *place, const struct wanted *wanted, VALUE labels)
{
    struct wanted made = *wanted;
    for (size_t i = 1; i < 2 * made.count; i += 2)
        if (is_string(made.pairs[i])) /* the program may change its own */
            made.pairs[i] = rb_str_new_frozen(made.pairs[i]);
    if (place->labels != 0)
        forget(place);
    made.labels = labels;
    ((struct labels *)RTYPEDDATA_DATA(labels))->remembered = true;
    *place = made;
}

/* The labels of a block within `outer`. */
static VALUE labels_for(VALUE outer, VALUE given)
{
    struct wanted wanted = {.outer = outer, .hash = outer, .count = REMEMBERED_PAIRS + 1};
    if (rb_ractor_local_storage_ptr(here) != NULL) {
        wanted.count = 0;
        rb_hash_foreach(given, want_pair, (VALUE)&wanted);
    }
    struct wanted *place = &remembered[wanted.hash % LABELS_REMEMBERED];
    bool plain = wanted.count <= REMEMBERED_PAIRS;
    if (plain && is_answer(place, &wanted))
        return place->labels;
    VALUE made = rb_funcall(maker, rb_intern("make_labels"), 2, outer, given);
    rb_check_typeddata(made, &type);
    if (plain)
        remember(place, &wanted, made);
    return made;
}

static VALUE of_fiber(VALUE thread)
{
    VALUE labels = rb_thread_local_aref(thread, variable);
    return rb_typeddata_is_kind_of(labels, &type) ? labels : Qnil;
}

static void make_current(VALUE thread, VALUE labels)
{
    rb_thread_local_aset(thread, variable, labels);
    context_follow();
    context_labels_changed();
}

/* current_labels(): what leave_labels() wants to have. */
static VALUE current(VALUE native)
{
    (void)native;
    return of_fiber(rb_thread_current());
}

/* enter_labels(hash): from now on the fiber has these as well, where something runs. */
static VALUE enter(VALUE native, VALUE given)
{
    (void)native;
    if (!cprof_is_running())
        return Qnil;
    VALUE thread = rb_thread_current();
    VALUE inner = labels_for(of_fiber(thread), given);
    ((struct labels *)RTYPEDDATA_DATA(inner))->users++;
    make_current(thread, inner);
    return Qnil;
}

static void end_use(struct labels *labels)
{
    if (labels->users > 0 && --labels->users == 0 && !labels->remembered)
        let_go(labels);
}

/* leave_labels(labels): the fiber has these again, whatever it has entered since. */
static VALUE leave(VALUE native, VALUE outer)
{
    (void)native;
    VALUE thread = rb_thread_current();
    VALUE inner = of_fiber(thread);
    if (inner == outer)
        return Qnil;
    make_current(thread, outer);
    while (!NIL_P(inner) && inner != outer) {
        struct labels *labels = RTYPEDDATA_DATA(inner);
        VALUE next = labels->outer;
        end_use(labels);
        inner = next;
    }
    return Qnil;
}

void labels_init(VALUE native)
{
    static VALUE keeper;
    static const struct rb_ractor_local_storage_type plain;
    here = rb_ractor_local_storage_ptr_newkey(&plain);
    rb_ractor_local_storage_ptr_set(here, remembered);
    maker = rb_path2class("Cprof");
    variable = rb_intern("__cprof_labels");
    VALUE class = rb_define_class_under(native, "Labels", rb_cObject);
    rb_define_alloc_func(class, allocate);
    rb_define_method(class, "initialize", initialize, 3);
    rb_define_method(class, "to_h", to_h, 0);
    rb_define_singleton_method(native, "current_labels", current, 0);
    rb_define_singleton_method(native, "enter_labels", enter, 1);
    rb_define_singleton_method(native, "leave_labels", leave, 1);
    rb_gc_register_mark_object(maker);
    rb_gc_register_address(&keeper);
    keeper = TypedData_Wrap_Struct(0, &keeper_type, remembered);
}

const struct labels *labels_of_fiber(void)
{
    static const struct labels none;
    VALUE labels = of_fiber(rb_thread_current());
    return NIL_P(labels) ? &none : RTYPEDDATA_DATA(labels);
}
