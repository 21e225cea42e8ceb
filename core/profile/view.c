#include "profile/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"
#include "profile/pattern.h"
#include "profile/prune.h"

/* What of a frame an expression is about. */
enum field { FIELD_ANY, FIELD_NAME, FIELD_FILE, FIELD_MODULE, FIELD_TYPE };

static const char *const fields[] = {"", "name:", "file:", "module:", "type:"};

static const char *const words[VIEW_RULES] = {
    [VIEW_FOCUS] = "focus", [VIEW_IGNORE] = "ignore",         [VIEW_HIDE] = "hide",
    [VIEW_SHOW] = "show",   [VIEW_PRUNE_FROM] = "prune-from",
};

typedef unsigned rules; /* as bits */
#define RULE(rule) (1U << (rule))
_Static_assert(VIEW_MOST <= 32, "a part is a bit of `unmatched`");

struct part {
    enum view_rule rule;
    enum field field;
    struct pattern *pattern;
};

struct viewing {
    const struct view *view;
    const struct profile *from;
    struct part parts[VIEW_MOST];
    rules asked;          /* those that have an expression */
    rules *functions;     /* by function: the rules that it matches by name or file */
    rules *whole;         /* by location: those that it matches by module or type */
    rules *frames;        /* by location: those of it and of its lines */
    uint32_t *first_line; /* by location: prune-from takes the lines before it */
    signed char *fates;   /* by stack: 1 stays, -1 goes, 0 not known yet */
    uint32_t matched;     /* parts */
};

const char *view_rule_word(enum view_rule rule)
{
    return words[rule];
}

/* Takes what says so off the expression. */
static enum field parse_field(const char **expression)
{
    for (enum field field = FIELD_NAME; field <= FIELD_TYPE; field++) {
        const size_t length = strlen(fields[field]);
        if (strncmp(*expression, fields[field], length) == 0) {
            *expression += length;
            return field;
        }
    }
    return FIELD_ANY;
}

static int compile(const struct view_part *from, struct part *part)
{
    const char *expression = from->expression;
    part->rule = from->rule;
    part->field = parse_field(&expression);
    if (part->field == FIELD_ANY && part->rule == VIEW_PRUNE_FROM)
        part->field = FIELD_NAME;
    return pattern_new(expression, &part->pattern);
}

int view_add(struct view *view, enum view_rule rule, const char *expression)
{
    const struct view_part part = {rule, expression};
    struct part compiled;
    if (view->count == VIEW_MOST)
        return -ENOSPC;
    int status = compile(&part, &compiled);
    if (status == 0) {
        pattern_free(compiled.pattern);
        view->parts[view->count++] = part;
    }
    return status;
}

/* --- what matches --- */

/* The rules of the parts about a field that the text matches. */
static rules match(struct viewing *v, enum field field, const char *text, size_t length)
{
    rules found = 0;
    for (size_t i = 0; i < v->view->count; i++) {
        const struct part *part = &v->parts[i];
        const bool about =
            part->field == field || (part->field == FIELD_ANY && field != FIELD_TYPE);
        if (!about || !pattern_finds(part->pattern, text, length))
            continue;
        found |= RULE(part->rule);
        v->matched |= UINT32_C(1) << i;
    }
    return found;
}

static rules match_string(struct viewing *v, enum field field, profile_id id)
{
    return match(v, field, profile_text(v->from, id), profile_text_length(v->from, id));
}

static rules match_function(struct viewing *v, profile_id id)
{
    const struct profile_function *function = profile_get_function(v->from, id);
    const char *name = profile_text(v->from, function->name);
    const size_t length =
        prune_simple_name(&name, profile_text_length(v->from, function->name));
    rules found = match_string(v, FIELD_NAME, function->name);
    rules file = match_string(v, FIELD_FILE, function->filename);
    found &= ~RULE(VIEW_PRUNE_FROM); /* which has no eyes for arguments */
    if (function->name != 0)
        found |= match(v, FIELD_NAME, name, length) & RULE(VIEW_PRUNE_FROM);
    return found | file;
}

static rules match_type(struct viewing *v, const struct profile_location *location)
{
    if (location->other_type != 0)
        return match_string(v, FIELD_TYPE, location->other_type);
    const char *word = v->view->type_word != NULL ? v->view->type_word(location->type) : "";
    return match(v, FIELD_TYPE, word, strlen(word));
}

/* --- what is seen --- */

static bool is_seen(const struct viewing *v, rules matched)
{
    return (matched & RULE(VIEW_HIDE)) == 0 &&
           ((v->asked & RULE(VIEW_SHOW)) == 0 || (matched & RULE(VIEW_SHOW)) != 0);
}

/* Adds up what the lines of a location match, and finds where prune-from begins among those
 * that are seen. */
static void judge_lines(struct viewing *v, profile_id id)
{
    const struct profile_location *location = profile_get_location(v->from, id);
    const rules whole = v->whole[id];
    bool pruned = location->line_count == 0;
    v->frames[id] = pruned ? whole : whole & ~RULE(VIEW_PRUNE_FROM);
    for (uint32_t i = 0; i < location->line_count; i++) {
        const rules line = whole | v->functions[location->lines[i].function];
        v->frames[id] |= line & ~RULE(VIEW_PRUNE_FROM);
        if (pruned || (line & RULE(VIEW_PRUNE_FROM)) == 0 || !is_seen(v, line))
            continue;
        v->frames[id] |= RULE(VIEW_PRUNE_FROM);
        v->first_line[id] = i;
        pruned = true;
    }
}

/* Fills in what stands by location; what each module matches is asked once. */
static int judge_locations(struct viewing *v)
{
    const struct profile *p = v->from;
    const size_t count = profile_mapping_count(p);
    rules *modules = calloc(count, sizeof(*modules));
    if (modules == NULL)
        return -ENOMEM;
    for (profile_id id = 0; id < count; id++)
        modules[id] = match_string(v, FIELD_MODULE, profile_get_mapping(p, id)->filename);
    for (profile_id id = 1; id < profile_location_count(p); id++) {
        const struct profile_location *location = profile_get_location(p, id);
        v->whole[id] = modules[location->mapping] | match_type(v, location);
        judge_lines(v, id);
    }
    free(modules);
    return 0;
}

static bool keep_line(const void *closure, profile_id location, uint32_t line)
{
    const struct viewing *v = closure;
    profile_id function = profile_get_location(v->from, location)->lines[line].function;
    return line >= v->first_line[location] &&
           is_seen(v, v->whole[location] | v->functions[function]);
}

static bool keep_location(const struct viewing *v, profile_id id)
{
    const uint32_t lines = profile_get_location(v->from, id)->line_count;
    for (uint32_t i = v->first_line[id]; i < lines; i++)
        if (keep_line(v, id, i))
            return true;
    return lines == 0 && is_seen(v, v->whole[id]);
}

/* Carrier's choice: leaf first. */
static uint32_t choose(const void *closure, struct profile_stack stack, profile_id *kept)
{
    const struct viewing *v = closure;
    uint32_t count = 0;
    bool pruned = false;
    for (uint32_t i = 0; i < stack.depth; i++) {
        const profile_id id = stack.locations[i];
        if (!keep_location(v, id))
            continue;
        if (!pruned && (v->frames[id] & RULE(VIEW_PRUNE_FROM)) != 0) {
            pruned = true;
            count = 0;
        }
        kept[count++] = id;
    }
    return count;
}

/* A frame that is ignored is nobody's focus. */
static bool judge_stack(const struct viewing *v, struct profile_stack stack)
{
    bool focused = false, seen = false;
    if (v->asked == RULE(VIEW_PRUNE_FROM))
        return true; /* even one without frames */
    for (uint32_t i = 0; i < stack.depth; i++) {
        const rules found = v->frames[stack.locations[i]];
        if ((found & RULE(VIEW_IGNORE)) != 0)
            return false;
        focused |= (v->asked & RULE(VIEW_FOCUS)) == 0 || (found & RULE(VIEW_FOCUS)) != 0;
        seen |= keep_location(v, stack.locations[i]);
    }
    return focused && seen;
}

/* A stack is judged once. */
static bool wants(void *closure, const struct profile_sample *sample)
{
    struct viewing *v = closure;
    signed char *fate = &v->fates[sample->stack];
    if (*fate == 0)
        *fate = judge_stack(v, profile_get_stack(v->from, sample->stack)) ? 1 : -1;
    return *fate > 0;
}

static int look(struct viewing *v, struct profile *to)
{
    const size_t functions = profile_function_count(v->from);
    const size_t locations = profile_location_count(v->from);
    v->functions = calloc(functions, sizeof(*v->functions));
    v->whole = calloc(locations, sizeof(*v->whole));
    v->frames = calloc(locations, sizeof(*v->frames));
    v->first_line = calloc(locations, sizeof(*v->first_line));
    v->fates = calloc(profile_stack_count(v->from), sizeof(*v->fates));
    if (v->functions == NULL || v->whole == NULL || v->frames == NULL ||
        v->first_line == NULL || v->fates == NULL)
        return -ENOMEM;
    for (profile_id id = 0; id < functions; id++)
        v->functions[id] = match_function(v, id);
    const struct carry_rules how = {
        .choose = choose, .keeps = keep_line, .wants = wants, .closure = v};
    int status = judge_locations(v);
    return status == 0 ? carry_samples(to, v->from, &how) : status;
}

struct profile *view_apply(const struct view *view, const struct profile *source,
                           uint32_t *unmatched)
{
    struct viewing v = {.view = view, .from = source};
    struct profile *seen = profile_new_like(source, NULL);
    int status = seen != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; status == 0 && i < view->count; i++) {
        status = compile(&view->parts[i], &v.parts[i]);
        v.asked |= RULE(view->parts[i].rule);
    }
    if (status == 0)
        status = look(&v, seen);
    if (unmatched != NULL)
        *unmatched = (uint32_t)((UINT64_C(1) << view->count) - 1) & ~v.matched;
    for (size_t i = 0; i < view->count; i++)
        pattern_free(v.parts[i].pattern);
    free(v.functions);
    free(v.whole);
    free(v.frames);
    free(v.first_line);
    free(v.fates);
    if (status == 0)
        return seen;
    profile_free(seen);
    return NULL;
}
