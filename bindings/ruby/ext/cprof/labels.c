#include "labels.h"

#include <stdlib.h>
#include <string.h>

#include <cprof/context.h>
#include <cprof/labels.h>

static void mark(void *data)
{
    rb_gc_mark(((struct labels *)data)->hash);
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

static VALUE allocate(VALUE class)
{
    struct labels *labels;
    VALUE self = TypedData_Make_Struct(class, struct labels, &type, labels);
    labels->hash = Qnil;
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

/* Labels.new(hash, [key, value, key, value, …]): the texts are UTF-8 without NUL. */
static VALUE initialize(VALUE self, VALUE hash, VALUE texts)
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
    labels->set = cprof_labels_hold(pairs, count);
    encode(labels, pairs, count);
    RB_GC_GUARD(texts);
    return self;
}

static VALUE release(VALUE self)
{
    let_go(rb_check_typeddata(self, &type));
    return Qnil;
}

static VALUE to_h(VALUE self)
{
    return ((struct labels *)rb_check_typeddata(self, &type))->hash;
}

void labels_init(VALUE native)
{
    VALUE class = rb_define_class_under(native, "Labels", rb_cObject);
    rb_define_alloc_func(class, allocate);
    rb_define_method(class, "initialize", initialize, 2);
    rb_define_method(class, "release", release, 0);
    rb_define_method(class, "to_h", to_h, 0);
}

const struct labels *labels_of_fiber(void)
{
    static const struct labels none;
    static ID id;
    if (id == 0)
        id = rb_intern("__cprof_labels");
    VALUE labels = rb_thread_local_aref(rb_thread_current(), id);
    return rb_typeddata_is_kind_of(labels, &type) ? RTYPEDDATA_DATA(labels) : &none;
}
