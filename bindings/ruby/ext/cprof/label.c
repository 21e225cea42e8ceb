#include "label.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ruby/debug.h>

#include <cprof/readable.h>

#include "layout.h"

/* Removes every ":0x…" from `#<Class:0x00007f…>`. */
static void remove_addresses(char *text)
{
    char *from = text, *to = text;
    while (*from != '\0') {
        if (strncmp(from, ":0x", 3) == 0) {
            from += 3;
            while (isxdigit((unsigned char)*from))
                from++;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/* The start of the digits that end at `end`, or `end`. */
static char *digits_before(const char *text, char *end)
{
    while (end > text && isdigit((unsigned char)end[-1]))
        end--;
    return end;
}

/* Action View names a template's method _app_views_…_html_erb___<hash>_<object id>. */
static void remove_template_numbers(char *text)
{
    char *end = text + strlen(text);
    char *id = digits_before(text, end);
    if (id == end || id == text || id[-1] != '_')
        return;
    char *hash = digits_before(text, id - 1);
    if (hash == id - 1 || hash - text < 2 || hash[-1] != '_' || hash[-2] != '_')
        return;
    while (hash > text && hash[-1] == '_')
        hash--;
    *hash = '\0';
}

static bool is_string(VALUE value)
{
    return RB_TYPE_P(value, T_STRING);
}

/* What a refinement is of, as its inspect() tells: `#<refinement:String@Texts>`. That one would
 * call what the application has for an inspect() of the class. */
static VALUE refinement_of(VALUE method)
{
    VALUE owner;
    if (!cprof_read_alive_word(method + METHOD_OWNER, &owner) || !RB_TYPE_P(owner, T_MODULE))
        return Qnil;
    VALUE refined = rb_attr_get(owner, rb_intern("__refined_class__"));
    VALUE place = rb_attr_get(owner, rb_intern("__defined_at__"));
    if (NIL_P(refined) || NIL_P(place))
        return Qnil;
    return rb_sprintf("#<refinement:%" PRIsVALUE "@%" PRIsVALUE ">", rb_class_path(refined),
                      rb_class_path(place));
}

/* Whether it is a method of one object. Ruby 3.3 says so as well of what a module has that
 * another was prepended to: it asks the module's stand-in for a flag that means something else
 * there. Only a class can be an object's own. */
static bool is_singleton(VALUE method)
{
    VALUE class;
    return RTEST(rb_profile_frame_singleton_method_p(method)) &&
           cprof_read_alive_word(method + METHOD_CLASS, &class) && RB_TYPE_P(class, T_CLASS);
}

/* `Foo#` or `Foo.` for a method entry; empty when its class is not known. */
static VALUE class_prefix(VALUE method)
{
    VALUE path = method != 0 ? rb_profile_frame_classpath(method) : Qnil;
    if (!is_string(path))
        return rb_str_new(NULL, 0);
    if (strncmp(StringValueCStr(path), "#<Refinement:", 13) == 0) {
        VALUE refined = refinement_of(method);
        path = is_string(refined) ? refined : path;
    }
    return rb_sprintf("%" PRIsVALUE "%s", path, is_singleton(method) ? "." : "#");
}

/* `block in bar` → `block in Foo#bar`: an iseq's label ends with that of its method. */
static VALUE iseq_label(VALUE iseq, VALUE method)
{
    VALUE label = rb_profile_frame_label(iseq);
    VALUE base = rb_profile_frame_base_label(iseq);
    if (!is_string(label) || !is_string(base) || NIL_P(rb_profile_frame_method_name(iseq)))
        return label;
    long prefix = RSTRING_LEN(label) - RSTRING_LEN(base);
    if (prefix < 0 ||
        memcmp(RSTRING_PTR(label) + prefix, RSTRING_PTR(base), (size_t)RSTRING_LEN(base)) != 0)
        return label;
    return rb_sprintf("%.*s%" PRIsVALUE "%" PRIsVALUE, (int)prefix, RSTRING_PTR(label),
                      class_prefix(method), base);
}

static VALUE function_label(VALUE method)
{
    VALUE name = rb_profile_frame_method_name(method);
    return is_string(name) ? rb_sprintf("%" PRIsVALUE "%" PRIsVALUE, class_prefix(method), name)
                           : Qnil;
}

char *label_of(VALUE code, VALUE method)
{
    bool is_method = IMEMO_KIND(RBASIC(code)->flags) == IMEMO_METHOD;
    VALUE label = is_method ? function_label(code) : iseq_label(code, method);
    if (!is_string(label))
        return NULL;
    char *text = strndup(RSTRING_PTR(label), (size_t)RSTRING_LEN(label));
    RB_GC_GUARD(label);
    if (text != NULL) {
        remove_addresses(text);
        remove_template_numbers(text);
    }
    return text;
}
