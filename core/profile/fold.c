#include "profile/fold.h"

#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"

bool fold_is_interpreted(enum cprof_frame_type type)
{
    return type == CPROF_FRAME_CPYTHON || type == CPROF_FRAME_RUBY || type == CPROF_FRAME_V8JS;
}

static bool begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* "python", "python3.11", "python3.13t", "python3.11-dbg", "python (deleted)": a word, and at
 * most a version behind it. */
static bool is_program(const char *base, const char *word)
{
    if (!begins_with(base, word))
        return false;
    const char *rest = base + strlen(word);
    rest += strspn(rest, "0123456789.");
    rest += strspn(rest, "dtm");
    return !*rest || *rest == '-' || *rest == ' ';
}

static bool is_interpreter(const char *module)
{
    static const char *const libraries[] = {"libruby", "libpython", "libnode", "libv8"};
    static const char *const programs[] = {"ruby", "python", "node", "nodejs"};
    const char *slash = strrchr(module, '/'), *base = slash ? slash + 1 : module;
    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++)
        if (begins_with(base, libraries[i]))
            return true;
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
        if (is_program(base, programs[i]))
            return true;
    return false;
}

/* "list.sort": words with dots between, the last of which is not what a compiler puts behind
 * the names of parts of functions ("take.cold", "take.isra.0"). */
static bool is_of_language(const char *name)
{
    static const char *const compilers[] = {"cold",     "isra", "constprop", "part",
                                            "lto_priv", "llvm", "clone"};
    const char *word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.<>";
    const char *dot = strchr(name, '.');
    if (!dot || dot == name || name[strspn(name, word)])
        return false;
    for (; dot; dot = strchr(dot + 1, '.')) {
        if (!dot[1] || (dot[1] >= '0' && dot[1] <= '9'))
            return false;
        size_t length = strcspn(dot + 1, ".");
        for (size_t i = 0; i < sizeof(compilers) / sizeof(*compilers); i++)
            if (strlen(compilers[i]) == length && begins_with(dot + 1, compilers[i]))
                return false;
    }
    return true;
}

bool fold_is_helper(enum cprof_frame_type type, const char *module, const char *name)
{
    return type == CPROF_FRAME_NATIVE && is_interpreter(module) && !is_of_language(name);
}

/* --- a whole profile --- */

enum role { ROLE_OTHER, ROLE_HELPER, ROLE_INTERPRETED };

/* A location is one frame or, with functions inlined into each other, several. */
static enum role role_of(const struct profile *p, const struct profile_location *location)
{
    const char *module = profile_text(p, profile_get_mapping(p, location->mapping)->filename);
    if (fold_is_interpreted(location->type))
        return ROLE_INTERPRETED;
    if (!fold_is_helper(location->type, module, ""))
        return ROLE_OTHER;
    for (uint32_t i = 0; i < location->line_count; i++) {
        profile_id name = profile_get_function(p, location->lines[i].function)->name;
        if (!fold_is_helper(location->type, module, profile_text(p, name)))
            return ROLE_OTHER;
    }
    return ROLE_HELPER;
}

/* Of a stack, which stands leaf first, all that is no helper below an interpreted frame. */
static uint32_t choose(const void *closure, struct profile_stack stack, profile_id *kept)
{
    const unsigned char *roles = closure;
    uint32_t outermost = stack.depth, count = 0;
    while (outermost > 0 && roles[stack.locations[outermost - 1]] != ROLE_INTERPRETED)
        outermost--;
    for (uint32_t i = 0; i < stack.depth; i++)
        if (i >= outermost || roles[stack.locations[i]] != ROLE_HELPER)
            kept[count++] = stack.locations[i];
    return count;
}

static int carry_folded(struct profile *to, const struct profile *from,
                        const unsigned char *roles)
{
    struct carrier c;
    int status = carrier_init(&c, to, from);
    if (status != 0)
        return status;
    c.choose = choose;
    c.closure = roles;
    for (size_t i = 0; i < profile_sample_count(from); i++) {
        struct profile_sample sample = profile_get_sample(from, i);
        carry_sample(&c, &sample);
    }
    carrier_free(&c);
    return profile_error(to);
}

bool profile_has_helpers(const struct profile *source)
{
    for (profile_id id = 1; id < profile_location_count(source); id++)
        if (role_of(source, profile_get_location(source, id)) == ROLE_HELPER)
            return true;
    return false;
}

struct profile *profile_fold(const struct profile *source)
{
    size_t count = profile_location_count(source);
    struct profile *folded = profile_new_like(source, NULL);
    unsigned char *roles = malloc(count + 1);
    int status = -1;
    if (folded != NULL && roles != NULL) {
        for (profile_id id = 0; id < count; id++)
            roles[id] = (unsigned char)role_of(source, profile_get_location(source, id));
        status = carry_folded(folded, source, roles);
    }
    free(roles);
    if (status == 0)
        return folded;
    profile_free(folded);
    return NULL;
}
