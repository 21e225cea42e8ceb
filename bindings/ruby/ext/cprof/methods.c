#include "methods.h"

#include <stdint.h>
#include <string.h>

#include <cprof/readable.h>

#include "layout.h"

#define METHOD_WORDS 6 /* of a Method object's data, of which one is the method's entry */
#define DEFINITION_ISEQ 0
#define DEFINITION_COUNT 24 /* how many arguments a C function takes */
#define NAME_MAX_SIZE 24

/* What may be no address at all is read by the kernel, or not. */
static bool is_entry(uintptr_t object)
{
    uintptr_t flags;
    return object % sizeof(uintptr_t) == 0 && cprof_read_all(&flags, object, sizeof flags) &&
           (flags & RUBY_T_MASK) == IMEMO_TYPE && IMEMO_KIND(flags) == IMEMO_METHOD;
}

/* The definition that a Method object stands for; 0: none. */
static uintptr_t definition_of(VALUE object)
{
    uintptr_t words[METHOD_WORDS], definition;
    if (!RB_TYPE_P(object, T_DATA) ||
        !cprof_read_alive(words, (uintptr_t)methods_data(object), sizeof words))
        return 0;
    for (size_t i = 0; i < METHOD_WORDS; i++)
        if (is_entry(words[i]))
            return cprof_read_alive_word(words[i] + METHOD_DEFINITION, &definition) ? definition
                                                                                    : 0;
    return 0;
}

static bool is_of_type(uintptr_t definition, unsigned type)
{
    uintptr_t first;
    return cprof_read_alive_word(definition, &first) && (first & DEFINITION_TYPE_MASK) == type;
}

static bool find_function(uintptr_t definition, int argument_count, struct method *method)
{
    uintptr_t function;
    int count;
    if (!is_of_type(definition, DEFINITION_CFUNC) ||
        !cprof_read_alive_word(definition + DEFINITION_FUNCTION, &function) ||
        !cprof_read_alive(&count, definition + DEFINITION_COUNT, sizeof count) ||
        count != argument_count)
        return false;
    method->place = (method_function *)(definition + DEFINITION_FUNCTION);
    method->function = *method->place;
    return true;
}

/* Is that an instruction's word which says to call the builtin of that name? */
static bool is_call_of(uintptr_t word, const char *name, struct builtin *builtin)
{
    char text[NAME_MAX_SIZE];
    return word % sizeof word == 0 && cprof_read_all(builtin, word, sizeof *builtin) &&
           cprof_read_all(text, (uintptr_t)builtin->name, strlen(name) + 1) &&
           memcmp(text, name, strlen(name) + 1) == 0;
}

static bool find_builtin(uintptr_t definition, const char *name, struct method *method)
{
    uintptr_t iseq, body, encoded;
    uint32_t size;
    if (strlen(name) >= NAME_MAX_SIZE || !is_of_type(definition, DEFINITION_ISEQ) ||
        !cprof_read_alive_word(definition + DEFINITION_FUNCTION, &iseq) ||
        !cprof_read_alive_word(iseq + ISEQ_BODY, &body) ||
        !cprof_read_alive(&size, body + BODY_SIZE, sizeof size) ||
        !cprof_read_alive_word(body + BODY_ENCODED, &encoded))
        return false;
    for (uint32_t i = 0; i < size; i++) {
        uintptr_t place = encoded + i * sizeof place, word;
        if (!cprof_read_alive_word(place, &word) || !is_call_of(word, name, &method->replaced))
            continue;
        method->called = (const struct builtin **)place;
        method->original = *method->called;
        method->function = method->original->function;
        return true;
    }
    return false;
}

bool methods_find(VALUE object, const char *name, int argument_count, const char *builtin,
                  struct method *method)
{
    VALUE found = rb_obj_method(object, ID2SYM(rb_intern(name)));
    for (; !NIL_P(found); found = rb_funcall(found, rb_intern("super_method"), 0)) {
        uintptr_t definition = definition_of(found);
        *method = (struct method){0};
        if (definition == 0 ||
            !(builtin != NULL ? find_builtin(definition, builtin, method)
                              : find_function(definition, argument_count, method)))
            continue;
        rb_gc_register_mark_object(found);
        return true;
    }
    return false;
}

static VALUE probe_one(VALUE self, VALUE one)
{
    (void)one;
    return self;
}

static VALUE probe_any(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
    return self;
}

bool methods_learn(VALUE native)
{
    struct method one, any;
    rb_define_singleton_method(native, "probe_one", probe_one, 1);
    rb_define_singleton_method(native, "probe_any", probe_any, -1);
    bool known = methods_find(native, "probe_one", 1, NULL, &one) &&
                 methods_find(native, "probe_any", -1, NULL, &any) &&
                 one.function == (method_function)probe_one &&
                 any.function == (method_function)probe_any;
    rb_undef_method(rb_singleton_class(native), "probe_one");
    rb_undef_method(rb_singleton_class(native), "probe_any");
    return known;
}

void methods_replace(struct method *method, method_function function)
{
    if (method->place != NULL) {
        __atomic_store_n(method->place, function, __ATOMIC_RELEASE);
        return;
    }
    method->replaced.function = function;
    __atomic_store_n(method->called, &method->replaced, __ATOMIC_RELEASE);
}

void methods_restore(struct method *method, method_function function)
{
    if (method->place == NULL)
        __atomic_store_n(method->called, method->original, __ATOMIC_RELEASE);
    else if (*method->place == function)
        __atomic_store_n(method->place, method->function, __ATOMIC_RELEASE);
}
