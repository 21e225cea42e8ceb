#include "methods.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "room.h"

enum { FIRST = 16, WORD_MAX = 10 };

enum bracket_kind { ROUND, SQUARE, OBJECT, BLOCK, CLASS_BODY, TEMPLATE };

struct bracket {
    enum bracket_kind kind;
    bool condition;  /* of if, while, for, with: a regular expression may follow it */
    bool class_next; /* the next { at this level is the body of `class_` */
    uint32_t class_;
};

struct word {
    uint32_t start, length;
};

struct reader {
    const struct characters *text;
    struct methods *methods;
    uint32_t at;
    struct bracket *brackets; /* [0] is the text itself */
    uint32_t depth, bracket_room;
    size_t bracket_bytes;
    bool operand;      /* the token before ends an operand: a slash divides */
    bool dotted;       /* the token before is a dot */
    bool opens;        /* a function may begin at the next token: after = and async */
    bool statement;    /* a { that comes now opens a block */
    bool condition;    /* the token before is if, while, for or with */
    struct word last;  /* the word before; length 0: another token was between */
    struct word given; /* the name that an unnamed class would get: before = or : */
};

static uint32_t unit(const struct reader *r, uint32_t at)
{
    if (at >= r->text->length)
        return 0;
    return r->text->one != NULL ? r->text->one[at] : r->text->two[at];
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x2028 || c == 0x2029 ||
           c == 0xfeff;
}

static bool is_word(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '$' || c == '#' || c == '\\' || (c >= 0x80 && !is_space(c));
}

static bool ends_line(uint32_t c)
{
    return c == '\n' || c == '\r';
}

static struct bracket *top(struct reader *r)
{
    return &r->brackets[r->depth];
}

static bool says(const struct reader *r, struct word word, const char *text)
{
    for (uint32_t i = 0; i < word.length; i++)
        if (unit(r, word.start + i) != (uint8_t)text[i])
            return false;
    return text[word.length] == '\0';
}

static bool says_one_of(const struct reader *r, struct word word, const char *const *texts)
{
    if (word.length > WORD_MAX)
        return false;
    for (; *texts != NULL; texts++)
        if (says(r, word, *texts))
            return true;
    return false;
}

/* ---- what is found ---- */

/* The list with room for one more, which doubles; `bytes` is what it has taken of the room.
 * NULL: there is none, and the list is as it was. */
static void *grown(void *list, uint32_t count, size_t size, size_t *bytes)
{
    bool full = count == 0 || (count >= FIRST && (count & (count - 1)) == 0);
    size_t more = (count == 0 ? FIRST : count) * size;
    if (!full)
        return list;
    if (!room_take(more))
        return NULL;
    *bytes += more;
    return realloc(list, count * size + more);
}

static bool add_class(struct methods *methods, struct word name)
{
    struct class_name *list = grown(methods->classes, methods->class_count,
                                    sizeof *methods->classes, &methods->bytes);
    if (list == NULL)
        return false;
    methods->classes = list;
    list[methods->class_count++] = (struct class_name){name.start, name.length};
    return true;
}

static bool add_method(struct reader *r, uint32_t start)
{
    struct methods *methods = r->methods;
    if (methods->classes[top(r)->class_].length == 0)
        return true;
    struct method *list =
        grown(methods->list, methods->count, sizeof *methods->list, &methods->bytes);
    if (list == NULL)
        return false;
    methods->list = list;
    list[methods->count++] = (struct method){start, top(r)->class_};
    return true;
}

/* ---- tokens ---- */

/* What follows decides nothing yet. */
static void forget(struct reader *r)
{
    r->dotted = r->opens = r->statement = r->condition = false;
    r->last.length = 0;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->text->length && is_space(unit(r, r->at)))
        r->at++;
}

static bool skip_comment(struct reader *r)
{
    if (unit(r, r->at) != '/')
        return false;
    if (unit(r, r->at + 1) == '/') {
        while (r->at < r->text->length && !ends_line(unit(r, r->at)))
            r->at++;
        return true;
    }
    if (unit(r, r->at + 1) != '*')
        return false;
    for (r->at += 2; r->at < r->text->length; r->at++) {
        if (unit(r, r->at) == '*' && unit(r, r->at + 1) == '/') {
            r->at += 2;
            break;
        }
    }
    return true;
}

static void skip_string(struct reader *r, uint32_t quote)
{
    for (r->at++; r->at < r->text->length; r->at++) {
        uint32_t c = unit(r, r->at);
        if (c == quote) {
            r->at++;
            return;
        }
        if (c == '\n')
            return; /* no string after all */
        r->at += c == '\\';
    }
}

static void skip_expression(struct reader *r)
{
    bool set = false;
    for (r->at++; r->at < r->text->length; r->at++) {
        uint32_t c = unit(r, r->at);
        if (ends_line(c))
            return;
        if (c == '/' && !set)
            break;
        set = c == '[' || (set && c != ']');
        r->at += c == '\\';
    }
    for (r->at++; is_word(unit(r, r->at)); r->at++)
        ;
}

static bool make_brackets(struct reader *r)
{
    uint32_t room = r->bracket_room;
    struct bracket *list = grown(r->brackets, room, sizeof *list, &r->bracket_bytes);
    if (list == NULL)
        return false;
    r->brackets = list;
    r->bracket_room = room == 0 ? FIRST : 2 * room;
    return true;
}

static bool push(struct reader *r, struct bracket bracket)
{
    if (r->depth + 1 == r->bracket_room && !make_brackets(r))
        return false;
    r->brackets[++r->depth] = bracket;
    return true;
}

/* From behind the ` or the } of a substitution, to the next ${ or the end of the template. */
static bool skip_template(struct reader *r)
{
    for (; r->at < r->text->length; r->at++) {
        uint32_t c = unit(r, r->at);
        if (c == '`') {
            r->at++;
            forget(r);
            r->operand = true;
            return true;
        }
        if (c == '$' && unit(r, r->at + 1) == '{') {
            r->at += 2;
            forget(r);
            r->operand = false;
            return push(r, (struct bracket){.kind = TEMPLATE});
        }
        r->at += c == '\\';
    }
    return true;
}

/* ---- classes ---- */

static struct word next_word(struct reader *r)
{
    do
        skip_space(r);
    while (skip_comment(r));
    struct word word = {.start = r->at};
    while (is_word(unit(r, word.start + word.length)))
        word.length++;
    return word;
}

/* Behind the word `class`: its name, if it has one, and that the body comes. */
static bool read_class(struct reader *r)
{
    struct word given = r->given;
    struct word name = next_word(r);
    uint32_t after = unit(r, r->at);
    if (name.length == 0 && after != '{')
        return true; /* a property of that name */
    if (name.length == 0 || says(r, name, "extends"))
        name = given;
    if (!add_class(r->methods, name))
        return false;
    top(r)->class_next = true;
    top(r)->class_ = r->methods->class_count - 1;
    return true;
}

static bool read_word(struct reader *r)
{
    static const char *const operators[] = {"return", "typeof", "instanceof", "in",    "of",
                                            "new",    "delete", "void",       "throw", "case",
                                            "yield",  "await",  "extends",    NULL};
    static const char *const openers[] = {"else", "do", "try", "finally", NULL};
    static const char *const conditions[] = {"if", "while", "for", "with", NULL};
    struct word word = {.start = r->at};
    bool dotted = r->dotted, opens = r->opens;
    while (is_word(unit(r, r->at)))
        r->at++;
    word.length = r->at - word.start;
    forget(r);
    r->last = word;
    r->operand = true;
    if (dotted)
        return true;
    if (opens && top(r)->kind == CLASS_BODY && !add_method(r, word.start))
        return false;
    if (says(r, word, "class"))
        return read_class(r);
    r->opens = says(r, word, "async");
    r->condition = says_one_of(r, word, conditions);
    r->statement = says_one_of(r, word, openers);
    r->operand = !r->statement && !says_one_of(r, word, operators);
    return true;
}

/* ---- brackets ---- */

static bool open_round(struct reader *r)
{
    if (top(r)->kind == CLASS_BODY && !add_method(r, r->at))
        return false;
    struct bracket bracket = {.kind = ROUND, .condition = r->condition};
    r->at++;
    forget(r);
    r->operand = false;
    return push(r, bracket);
}

static bool open_curly(struct reader *r)
{
    struct bracket *outer = top(r);
    bool block = r->statement || outer->kind == CLASS_BODY;
    struct bracket bracket = {.kind = block ? BLOCK : OBJECT};
    if (outer->class_next)
        bracket = (struct bracket){.kind = CLASS_BODY, .class_ = outer->class_};
    outer->class_next = false;
    r->at++;
    forget(r);
    r->given.length = 0;
    r->operand = false;
    r->statement = bracket.kind == BLOCK;
    return push(r, bracket);
}

static bool close_bracket(struct reader *r)
{
    struct bracket closed = *top(r);
    r->depth -= r->depth > 0;
    r->at++;
    forget(r);
    if (closed.kind == TEMPLATE)
        return skip_template(r);
    r->operand = closed.kind == ROUND ? !closed.condition
                                      : closed.kind == OBJECT || closed.kind == SQUARE;
    r->statement = closed.kind == ROUND || closed.kind == BLOCK || closed.kind == CLASS_BODY;
    return true;
}

/* ---- the rest ---- */

static void read_punctuation(struct reader *r, uint32_t c)
{
    uint32_t next = unit(r, r->at + 1);
    struct word last = r->last;
    bool operand = r->operand;
    uint32_t length = 1;
    forget(r);
    r->operand = false;
    if (c == '.') {
        length = next == '.' && unit(r, r->at + 2) == '.' ? 3 : 1;
        r->dotted = length == 1;
    } else if (c == '=' && next == '>') {
        length = 2;
        r->statement = true;
    } else if ((c == '=' || c == '!') && next == '=') {
        length = unit(r, r->at + 2) == '=' ? 3 : 2;
    } else if ((c == '+' || c == '-') && next == c) {
        length = 2;
        r->operand = operand; /* before an operand or behind it */
    } else if (c == '=' || c == ':') {
        r->opens = c == '=';
        r->given = last;
    } else if (c == ';') {
        r->statement = true;
        r->given.length = 0;
        top(r)->class_next = false;
    }
    if (c != '=' && c != ':')
        r->given.length = 0;
    r->at += length;
}

/* False: enough. */
static bool read_token(struct reader *r)
{
    uint32_t c = unit(r, r->at);
    if (is_word(c))
        return read_word(r);
    switch (c) {
    case '\'':
    case '"':
        skip_string(r, c);
        forget(r);
        r->operand = true;
        return true;
    case '`':
        r->at++;
        return skip_template(r);
    case '(':
        return open_round(r);
    case '[':
        r->at++;
        forget(r);
        r->operand = false;
        return push(r, (struct bracket){.kind = SQUARE});
    case '{':
        return open_curly(r);
    case ')':
    case ']':
    case '}':
        return close_bracket(r);
    case '/':
        if (!r->operand) {
            skip_expression(r);
            forget(r);
            r->operand = true;
            return true;
        }
        break;
    default:
        break;
    }
    read_punctuation(r, c);
    return true;
}

/* Most scripts have no class, which is told faster. */
static bool has_class(const struct characters *text)
{
    static const uint16_t wide[] = {'c', 'l', 'a', 's', 's'};
    if (text->one != NULL)
        return memmem(text->one, text->length, "class", 5) != NULL;
    return memmem(text->two, (size_t)text->length * 2, wide, sizeof wide) != NULL;
}

/* True: to the end. */
static bool read_all(struct reader *r)
{
    for (;;) {
        do
            skip_space(r);
        while (skip_comment(r));
        if (r->at >= r->text->length)
            return true;
        if (!read_token(r))
            return false;
    }
}

bool methods_find(const struct characters *text, struct methods *methods)
{
    struct reader r = {.text = text, .methods = methods, .statement = true};
    if (!has_class(text))
        return true;
    bool room = make_brackets(&r);
    if (room)
        r.brackets[0] = (struct bracket){.kind = BLOCK};
    bool all = room && read_all(&r);
    free(r.brackets);
    room_give(r.bracket_bytes);
    return all;
}

const struct class_name *methods_class(const struct methods *methods, uint32_t start)
{
    uint32_t low = 0, high = methods->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (methods->list[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == methods->count || methods->list[low].start != start)
        return NULL;
    return &methods->classes[methods->list[low].class_];
}

void methods_free(struct methods *methods)
{
    free(methods->list);
    free(methods->classes);
    room_give(methods->bytes);
    *methods = (struct methods){0};
}
