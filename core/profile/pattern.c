#include "profile/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A pattern is a program of steps that Thompson's simulation runs: all the steps that can be
 * reached with the text so far are followed at once. */
enum step_kind {
    STEP_BYTE,  /* one of the set, then the next step */
    STEP_SPLIT, /* go on at both */
    STEP_JUMP,  /* go on at `to` */
    STEP_BEGIN, /* only where the text begins */
    STEP_END,   /* only where it ends */
    STEP_EDGE,  /* only where a word begins or ends */
    STEP_FLAT,  /* only where none does */
    STEP_MATCH,
};

struct set {
    uint64_t words[4];
};

struct step {
    enum step_kind kind;
    uint32_t to, other;
    struct set set;
};

struct pattern {
    struct step *steps;
    uint32_t count, room;
    /* The steps that are reached: those of this byte, and of the next. */
    uint32_t *now, *next, *stack;
    uint32_t *seen; /* by step: the round in which it was reached last */
    uint32_t round;
};

struct flags {
    bool fold;    /* (?i): letters of either case */
    bool newline; /* (?s): "." is "\n" too */
};

struct parser {
    struct pattern *pattern;
    const char *at;
    unsigned depth;
    struct flags flags; /* of the rest of this group */
};

static void set_add(struct set *set, unsigned byte)
{
    set->words[byte / 64] |= (uint64_t)1 << (byte % 64);
}

static bool set_has(const struct set *set, unsigned char byte)
{
    return (set->words[byte / 64] >> (byte % 64) & 1) != 0;
}

static void set_invert(struct set *set)
{
    for (size_t i = 0; i < 4; i++)
        set->words[i] = ~set->words[i];
}

static void set_merge(struct set *set, const struct set *other)
{
    for (size_t i = 0; i < 4; i++)
        set->words[i] |= other->words[i];
}

/* Letters in either case. */
static void set_fold(struct set *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++) {
        const unsigned upper = c - 'a' + 'A';
        if (set_has(set, (unsigned char)c) || set_has(set, (unsigned char)upper)) {
            set_add(set, c);
            set_add(set, upper);
        }
    }
}

/* --- compiling --- */

static int add_step(struct pattern *p, const struct step *step)
{
    if (p->count == PATTERN_MOST_STEPS)
        return -E2BIG;
    if (p->count == p->room) {
        uint32_t room = p->room == 0 ? 64 : p->room * 2;
        struct step *steps = realloc(p->steps, room * sizeof(*steps));
        if (steps == NULL)
            return -ENOMEM;
        p->steps = steps;
        p->room = room;
    }
    p->steps[p->count++] = *step;
    return 0;
}

/* Makes room for a step before those from `first` on, which move. */
static int insert_step(struct pattern *p, uint32_t first, const struct step *step)
{
    int status = add_step(p, step);
    if (status != 0)
        return status;
    memmove(&p->steps[first + 1], &p->steps[first], (p->count - 1 - first) * sizeof(*p->steps));
    p->steps[first] = *step;
    for (uint32_t i = first + 1; i < p->count; i++) {
        struct step *moved = &p->steps[i];
        moved->to += moved->to >= first;
        moved->other += moved->other >= first;
    }
    return 0;
}

/* The steps from `first` to `last` once more, at the end. */
static int copy_steps(struct pattern *p, uint32_t first, uint32_t last)
{
    const uint32_t moved = p->count - first;
    for (uint32_t i = first; i < last; i++) {
        struct step copy = p->steps[i];
        copy.to += moved;
        copy.other += moved;
        int status = add_step(p, &copy);
        if (status != 0)
            return status;
    }
    return 0;
}

static int parse_alternatives(struct parser *parser);

static bool is_word(unsigned c)
{
    return c == '_' || (c < 128 && isalnum((int)c));
}

/* "\d", "\w", "\s" and their opposites. False: it is none. */
static bool class_of(char letter, struct set *set)
{
    *set = (struct set){{0}};
    for (unsigned c = 0; c < 256; c++) {
        bool in = false;
        switch (tolower((unsigned char)letter)) {
        case 'd':
            in = c >= '0' && c <= '9';
            break;
        case 'w':
            in = is_word(c);
            break;
        case 's':
            in = c != 0 && c < 128 && strchr(" \t\n\f\r", (int)c) != NULL;
            break;
        default:
            return false;
        }
        if (in)
            set_add(set, c);
    }
    if (isupper((unsigned char)letter))
        set_invert(set);
    return true;
}

/* What stands behind a backslash: a class, or one byte. */
static int parse_escape(struct parser *parser, struct set *set, unsigned *byte)
{
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    char c = *parser->at;
    *byte = 256;
    if (c == '\0')
        return -EINVAL;
    parser->at++;
    if (class_of(c, set))
        return 0;
    const char *known = strchr(from, c);
    if (known == NULL && isalnum((unsigned char)c))
        return -EINVAL; /* \pL, … */
    *byte = (unsigned char)(known != NULL ? to[known - from] : c);
    *set = (struct set){{0}};
    set_add(set, *byte);
    return 0;
}

/* "[:alpha:]" and its like. */
static int parse_named_class(struct parser *parser, struct set *set)
{
    static const struct {
        const char *name;
        int (*is)(int c);
    } classes[] = {
        {"[:alpha:]", isalpha}, {"[:digit:]", isdigit}, {"[:alnum:]", isalnum},
        {"[:upper:]", isupper}, {"[:lower:]", islower}, {"[:space:]", isspace},
        {"[:punct:]", ispunct},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
        size_t length = strlen(classes[i].name);
        if (strncmp(parser->at, classes[i].name, length) != 0)
            continue;
        for (int c = 0; c < 128; c++)
            if (classes[i].is(c))
                set_add(set, (unsigned)c);
        parser->at += length;
        return 0;
    }
    return -EINVAL;
}

/* One byte of a set or the end of a range; 256 for a class, which is in `part`. */
static int parse_set_part(struct parser *parser, struct set *part, unsigned *byte)
{
    if (*parser->at == '\0')
        return -EINVAL;
    if (*parser->at == '\\') {
        parser->at++;
        return parse_escape(parser, part, byte);
    }
    *byte = (unsigned char)*parser->at++;
    *part = (struct set){{0}};
    set_add(part, *byte);
    return 0;
}

static int parse_set(struct parser *parser, struct set *set)
{
    bool inverted = *parser->at == '^';
    parser->at += inverted;
    for (bool first = true; first || *parser->at != ']'; first = false) {
        struct set part = {{0}};
        unsigned low = 256, high = 256;
        int status = strncmp(parser->at, "[:", 2) == 0 ? parse_named_class(parser, &part)
                                                       : parse_set_part(parser, &part, &low);
        if (status != 0)
            return status;
        set_merge(set, &part);
        if (low == 256 || parser->at[0] != '-' || parser->at[1] == ']')
            continue;
        parser->at++;
        status = parse_set_part(parser, &part, &high);
        if (status != 0 || high == 256 || high < low)
            return -EINVAL;
        for (unsigned c = low; c <= high; c++)
            set_add(set, c);
    }
    parser->at++;
    if (parser->flags.fold)
        set_fold(set);
    if (inverted)
        set_invert(set);
    return 0;
}

/* "?i", "?s-i": true, and at what is behind it. */
static bool parse_flags(struct parser *parser)
{
    struct flags flags = parser->flags;
    const char *at = parser->at + 1;
    bool on = true;
    if (*parser->at != '?')
        return false;
    for (; *at == 'i' || *at == 's' || *at == '-'; at++) {
        if (*at == '-')
            on = false;
        else if (*at == 'i')
            flags.fold = on;
        else
            flags.newline = on;
    }
    if (*at != ':' && (*at != ')' || at == parser->at + 1))
        return false;
    parser->flags = flags;
    parser->at = at;
    return true;
}

static int parse_group(struct parser *parser)
{
    const struct flags outside = parser->flags;
    if (++parser->depth > PATTERN_DEEPEST)
        return -E2BIG;
    if (parse_flags(parser)) {
        if (*parser->at++ == ')') { /* of what comes behind it */
            parser->depth--;
            return 0;
        }
    } else if (strncmp(parser->at, "?P<", 3) == 0 || strncmp(parser->at, "?<", 2) == 0) {
        const char *end = strchr(parser->at, '>');
        if (end == NULL)
            return -EINVAL;
        parser->at = end + 1;
    } else if (*parser->at == '?') {
        return -EINVAL;
    }
    int status = parse_alternatives(parser);
    if (status == 0 && *parser->at != ')')
        status = -EINVAL;
    parser->at += status == 0;
    parser->depth--;
    parser->flags = outside;
    return status;
}

/* "\b" and its like, which take no byte. False: it is none. */
static bool parse_edge(struct parser *parser, enum step_kind *kind)
{
    static const struct {
        char letter;
        enum step_kind kind;
    } edges[] = {{'b', STEP_EDGE}, {'B', STEP_FLAT}, {'A', STEP_BEGIN}, {'z', STEP_END}};
    for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++)
        if (edges[i].letter == *parser->at) {
            *kind = edges[i].kind;
            parser->at++;
            return true;
        }
    return false;
}

static int parse_atom(struct parser *parser)
{
    struct step step = {.kind = STEP_BYTE};
    unsigned byte;
    int status = 0;
    char c = *parser->at++;
    switch (c) {
    case '(':
        return parse_group(parser);
    case '[':
        status = parse_set(parser, &step.set);
        break;
    case '.':
        if (!parser->flags.newline)
            set_add(&step.set, '\n');
        set_invert(&step.set);
        break;
    case '^':
        step.kind = STEP_BEGIN;
        break;
    case '$':
        step.kind = STEP_END;
        break;
    case '\\':
        if (!parse_edge(parser, &step.kind))
            status = parse_escape(parser, &step.set, &byte);
        break;
    case '*':
    case '+':
    case '?':
        return -EINVAL;
    default:
        set_add(&step.set, (unsigned char)c);
    }
    if (parser->flags.fold && c != '[') /* which has done so */
        set_fold(&step.set);
    return status != 0 ? status : add_step(parser->pattern, &step);
}

/* The steps from `first` on none or once, as often as may be, or once and more. */
static int repeat(struct pattern *p, uint32_t first, char how)
{
    struct step split = {.kind = STEP_SPLIT, .to = first + 1};
    struct step jump = {.kind = STEP_JUMP, .to = first};
    if (how == '+') {
        split.to = first;
        split.other = p->count + 1;
        return add_step(p, &split);
    }
    split.other = p->count + (how == '*' ? 2 : 1);
    int status = insert_step(p, first, &split);
    /* The inserted step's own targets are final. */
    return status == 0 && how == '*' ? add_step(p, &jump) : status;
}

/* "{2}", "{2,}", "{2,5}" of the steps from `first` on. */
static int repeat_count(struct parser *parser, uint32_t first)
{
    struct pattern *p = parser->pattern;
    char *end;
    const uint32_t last = p->count;
    unsigned long least = strtoul(parser->at, &end, 10), most = least;
    bool open = false;
    if (end == parser->at || least > PATTERN_MOST_STEPS)
        return -EINVAL;
    if (*end == ',') {
        open = end[1] == '}';
        most = open ? least : strtoul(end + 1, &end, 10);
        end += open;
    }
    if (*end != '}' || most < least || most > PATTERN_MOST_STEPS)
        return -EINVAL;
    parser->at = end + 1;
    int status = 0;
    uint32_t start = first;
    for (unsigned long i = 1; i < most && status == 0; i++) {
        start = p->count;
        status = copy_steps(p, first, last);
        if (status == 0 && i >= least)
            status = repeat(p, start, '?');
    }
    if (status == 0 && open)
        return repeat(p, start, least == 0 ? '*' : '+');
    if (status == 0 && least == 0)
        return most == 0 ? -EINVAL : repeat(p, first, '?');
    return status;
}

static int parse_repeated(struct parser *parser)
{
    const uint32_t first = parser->pattern->count;
    int status = parse_atom(parser);
    while (status == 0 && *parser->at != '\0' && strchr("*+?{", *parser->at) != NULL) {
        char how = *parser->at++;
        status = how == '{' ? repeat_count(parser, first) : repeat(parser->pattern, first, how);
        if (*parser->at == '?') /* the shortest first: the same for a match of all */
            parser->at++;
    }
    return status;
}

static int parse_sequence(struct parser *parser)
{
    int status = 0;
    while (status == 0 && *parser->at != '\0' && *parser->at != '|' && *parser->at != ')')
        status = parse_repeated(parser);
    return status;
}

/* a|b|c: a split before each but the last, and behind it a jump to the end. */
static int parse_alternatives(struct parser *parser)
{
    const uint32_t none = UINT32_MAX;
    struct pattern *p = parser->pattern;
    uint32_t last_jump = none; /* each names the one before it until the end is known */
    for (;;) {
        const uint32_t first = p->count;
        int status = parse_sequence(parser);
        if (status == 0 && *parser->at != '|')
            break;
        parser->at++;
        struct step split = {.kind = STEP_SPLIT, .to = first + 1, .other = p->count + 2};
        if (status == 0)
            status = insert_step(p, first, &split);
        if (status == 0)
            status = add_step(p, &(struct step){.kind = STEP_JUMP, .other = last_jump});
        if (status != 0)
            return status;
        last_jump = p->count - 1;
    }
    while (last_jump != none) {
        struct step *jump = &p->steps[last_jump];
        last_jump = jump->other;
        *jump = (struct step){.kind = STEP_JUMP, .to = p->count};
    }
    return 0;
}

int pattern_new(const char *text, struct pattern **pattern)
{
    struct pattern *p = calloc(1, sizeof(*p));
    struct parser parser = {.pattern = p, .at = text};
    *pattern = NULL;
    if (p == NULL)
        return -ENOMEM;
    int status = parse_alternatives(&parser);
    if (status == 0 && *parser.at != '\0')
        status = -EINVAL;
    if (status == 0)
        status = add_step(p, &(struct step){.kind = STEP_MATCH});
    if (status == 0) {
        p->now = malloc(p->count * sizeof(*p->now));
        p->next = malloc(p->count * sizeof(*p->next));
        p->stack = malloc((2 * (size_t)p->count + 2) * sizeof(*p->stack));
        p->seen = calloc(p->count, sizeof(*p->seen));
        if (p->now == NULL || p->next == NULL || p->stack == NULL || p->seen == NULL)
            status = -ENOMEM;
    }
    if (status == 0)
        *pattern = p;
    else
        pattern_free(p);
    return status;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    free(pattern->steps);
    free(pattern->now);
    free(pattern->next);
    free(pattern->stack);
    free(pattern->seen);
    free(pattern);
}

/* --- matching --- */

struct place {
    bool begin, end; /* of the text */
    bool edge;       /* of a word */
};

static struct place place_at(const char *text, size_t length, size_t at)
{
    const bool before = at > 0 && is_word((unsigned char)text[at - 1]);
    const bool behind = at < length && is_word((unsigned char)text[at]);
    return (struct place){at == 0, at == length, before != behind};
}

static bool is_passed(enum step_kind kind, struct place place)
{
    switch (kind) {
    case STEP_BEGIN:
        return place.begin;
    case STEP_END:
        return place.end;
    case STEP_EDGE:
        return place.edge;
    default:
        return !place.edge;
    }
}

/* Adds a step to the list, and all that it leads to without a byte. */
static uint32_t reach(struct pattern *p, uint32_t step, struct place place, uint32_t *list,
                      uint32_t count)
{
    uint32_t depth = 0;
    p->stack[depth++] = step;
    while (depth > 0) {
        uint32_t at = p->stack[--depth];
        const struct step *s = &p->steps[at];
        if (p->seen[at] == p->round)
            continue;
        p->seen[at] = p->round;
        if (s->kind == STEP_SPLIT) {
            p->stack[depth++] = s->to;
            p->stack[depth++] = s->other;
        } else if (s->kind == STEP_JUMP) {
            p->stack[depth++] = s->to;
        } else if (s->kind == STEP_BYTE || s->kind == STEP_MATCH) {
            list[count++] = at;
        } else if (is_passed(s->kind, place)) {
            p->stack[depth++] = at + 1;
        }
    }
    return count;
}

/* A round for each byte: marks of earlier rounds mean nothing. */
static void next_round(struct pattern *p)
{
    if (++p->round == 0) {
        memset(p->seen, 0, p->count * sizeof(*p->seen));
        p->round = 1;
    }
}

static bool has_matched(const struct pattern *p, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (p->steps[p->now[k]].kind == STEP_MATCH)
            return true;
    return false;
}

/* The steps that are reached in front of byte `at`, from those of the byte before it and, where
 * a match may begin, from the first. Returns their number. */
static uint32_t advance(struct pattern *p, const char *text, size_t length, size_t at,
                        uint32_t count, bool begins)
{
    const struct place place = place_at(text, length, at);
    uint32_t reached = 0, *swap = p->now;
    next_round(p);
    for (uint32_t k = 0; k < count; k++) {
        const struct step *s = &p->steps[p->now[k]];
        if (s->kind == STEP_BYTE && set_has(&s->set, (unsigned char)text[at - 1]))
            reached = reach(p, p->now[k] + 1, place, p->next, reached);
    }
    if (begins)
        reached = reach(p, 0, place, p->next, reached);
    p->now = p->next;
    p->next = swap;
    return reached;
}

bool pattern_matches(struct pattern *p, const char *text, size_t length)
{
    uint32_t count = advance(p, text, length, 0, 0, true);
    for (size_t at = 1; at <= length && count > 0; at++)
        count = advance(p, text, length, at, count, false);
    return has_matched(p, count);
}

bool pattern_finds(struct pattern *p, const char *text, size_t length)
{
    uint32_t count = 0;
    for (size_t at = 0; at <= length; at++) {
        count = advance(p, text, length, at, count, true);
        if (has_matched(p, count))
            return true;
    }
    return false;
}
