/*
 * The C functions of Ruby's own methods, and where Ruby keeps their addresses: in the method's
 * definition, or, of a method of Ruby's own library that only calls such a function (a
 * builtin, as Queue#pop is since 3.2), in the instructions of its code.
 *
 * An address that is replaced there holds for all names of the method and for all objects,
 * those that exist too. Code that the JIT has compiled before goes on with the function it
 * knows. What does not look as it does in a method of cprof's own is not found.
 */
#ifndef CPROF_RUBY_METHODS_H
#define CPROF_RUBY_METHODS_H

#include <stdbool.h>

#include <ruby.h>
#include <ruby/version.h>

typedef void (*method_function)(void); /* to be called as what it is */

/* What a builtin's instruction refers to. */
struct builtin {
    method_function function;
    int argument_count;
    int index;
    const char *name;
    void *compiler; /* before 3.3 */
};

struct method {
    method_function function;      /* the original's */
    method_function *place;        /* of a C method: where its address is kept */
    const struct builtin **called; /* of a builtin: the same */
    const struct builtin *original;
    struct builtin replaced;
};

/* What a typed object's struct is. */
static inline void *methods_data(VALUE object)
{
#if RUBY_API_VERSION_CODE >= 30300
    return RTYPEDDATA_GET_DATA(object);
#else
    return RTYPEDDATA_DATA(object);
#endif
}

/* Once, under the GVL, in a method of the extension's module. False: methods do not look as
 * expected. May raise. */
bool methods_learn(VALUE native);

/* The method that an object has by that name of one that a module may have been put before: a
 * C method that takes so many arguments (-1: any), or one that calls the builtin, where
 * `builtin` is not NULL. It is kept alive from then on. False: there is none. May raise. */
bool methods_find(VALUE object, const char *name, int argument_count, const char *builtin,
                  struct method *method);

/* Under the GVL: from now on that function is called; the original again, unless somebody
 * else has replaced it since. The struct stays where it is for good. */
void methods_replace(struct method *method, method_function function);
void methods_restore(struct method *method, method_function function);

#endif
