#include "format/html_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/json_read.h"
#include "format/refuse.h"
#include "profile/combine.h"
#include "profile/hex.h"

#define PROFILE_MARK "<script id=\"profile\" type=\"text/plain\">"
#define MOST_STEPS ((size_t)1 << 26) /* of all stacks together, each written out */
#define MOST_LABELS 512              /* of a sample */

/* --- the page --- */

static const unsigned char *find_profile(const unsigned char *data, size_t size)
{
    const size_t length = strlen(PROFILE_MARK);
    const unsigned char *found = memmem(data, size, PROFILE_MARK, length);
    return found != NULL ? found + length : NULL;
}

bool html_detect(const unsigned char *data, size_t size)
{
    return size > 0 && *data == '<' && find_profile(data, size) != NULL;
}

/* The six bits of a digit, or -1. */
static int digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Up to what is no digit: the padding, or the end of the element. */
static int decode_base64(const unsigned char *at, const unsigned char *end, struct buffer *out)
{
    uint32_t group = 0;
    unsigned char *to = buffer_extend(out, (size_t)(end - at) / 4 * 3 + 3);
    if (to == NULL)
        return -ENOMEM;
    int bits = 0, digit;
    for (; at != end && (digit = digit_of(*at)) >= 0; at++) {
        group = group << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (unsigned char)(group >> bits);
        }
    }
    out->size = (size_t)(to - out->data);
    return 0;
}

int html_unpack(const unsigned char *data, size_t size, struct buffer *json,
                char error[FORMAT_ERROR_SIZE])
{
    struct buffer packed = {0};
    const unsigned char *at = find_profile(data, size), *end = data + size;
    if (at == NULL)
        return refuse(error, "is no page that cprof made");
    while (at != end && (*at == ' ' || *at == '\n' || *at == '\r'))
        at++;
    int status = decode_base64(at, end, &packed);
    if (status != 0)
        status = refuse_memory(error);
    else if (!gzip_detect(packed.data, packed.size))
        status = refuse(error, "holds no profile where its page has one");
    else
        status = gzip_unpack(packed.data, packed.size, json, error);
    buffer_free(&packed);
    return status;
}

/* --- the JSON --- */

struct numbers {
    int64_t *at;
    size_t count, capacity;
};

struct reader {
    struct json_cursor json;
    struct profile *p;
    char *error;
    struct buffer text;     /* a key, a string or a number on its way */
    int64_t column;         /* the one to show first */
    struct numbers values;  /* types and units, by turns: strings of the profile */
    struct numbers strings; /* the page's strings as the profile's */
    struct numbers types;   /* its frame types as ours */
    struct numbers functions[4], frames[3]; /* in the order of the names below */
    struct numbers tree;
    struct numbers samples[3], amounts[PROFILE_MAX_VALUES];
    struct numbers label_sets, links;
    struct numbers locations, stacks; /* what frames and stacks became */
};

enum { FUNCTION_NAME, FUNCTION_FILE, FUNCTION_LINE, FUNCTION_TYPE };
enum { FRAME_FUNCTION, FRAME_LINE, FRAME_MODULE };
enum { SAMPLE_STACK, SAMPLE_LABELS, SAMPLE_LINK };

static const char *const function_columns[] = {"name", "file", "line", "type"};
static const char *const frame_columns[] = {"function", "line", "module"};
static const char *const sample_columns[] = {"stack", "labels", "link"};

static int refuse_json(const struct reader *r)
{
    return refuse(r->error, "the page's profile is damaged");
}

static int push(struct reader *r, struct numbers *numbers, int64_t number)
{
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity > 0 ? numbers->capacity * 2 : 64;
        int64_t *grown = realloc(numbers->at, capacity * sizeof(*grown));
        if (grown == NULL)
            return refuse_memory(r->error);
        numbers->at = grown;
        numbers->capacity = capacity;
    }
    numbers->at[numbers->count++] = number;
    return 0;
}

/* What a bad status of json_read.h becomes, in a line. */
static int checked(const struct reader *r, int status)
{
    return status == -ENOMEM ? refuse_memory(r->error) : status < 0 ? refuse_json(r) : 0;
}

static int read_text(struct reader *r)
{
    r->text.size = 0;
    TRY(checked(r, json_read_string(&r->json, &r->text)));
    buffer_append(&r->text, "", 1);
    return r->text.error != 0 ? refuse_memory(r->error) : 0;
}

/* A string of the profile. */
static int read_string(struct reader *r, profile_id *id)
{
    TRY(read_text(r));
    *id = profile_string_n(r->p, (const char *)r->text.data, r->text.size - 1);
    return profile_error(r->p) != 0 ? refuse_memory(r->error) : 0;
}

static int read_number(struct reader *r, int64_t *number)
{
    char *end;
    r->text.size = 0;
    TRY(checked(r, json_read_word(&r->json, &r->text)));
    buffer_append(&r->text, "", 1);
    if (r->text.error != 0)
        return refuse_memory(r->error);
    errno = 0;
    *number = strtoll((const char *)r->text.data, &end, 10);
    return errno != 0 || *end != '\0' || r->text.size == 1 ? refuse_json(r) : 0;
}

/* A list whose items `item` reads. */
static int read_list(struct reader *r, void *closure,
                     int (*item)(struct reader *r, void *closure))
{
    bool first = true;
    int more;
    if (!json_accept(&r->json, '['))
        return refuse_json(r);
    while ((more = json_member(&r->json, ']', &first)) > 0)
        TRY(item(r, closure));
    return checked(r, more);
}

static int read_item(struct reader *r, void *numbers)
{
    int64_t number = 0;
    TRY(read_number(r, &number));
    return push(r, numbers, number);
}

static int read_string_item(struct reader *r, void *numbers)
{
    profile_id id;
    TRY(read_string(r, &id));
    return push(r, numbers, id);
}

static int read_type_item(struct reader *r, void *numbers)
{
    TRY(read_text(r));
    return push(r, numbers, frame_type_parse((const char *)r->text.data));
}

static int read_value_item(struct reader *r, void *numbers)
{
    return read_list(r, numbers, read_string_item);
}

static int read_amounts(struct reader *r, void *closure)
{
    size_t *column = closure;
    if (*column == PROFILE_MAX_VALUES)
        return refuse(r->error, "has more than %d values", PROFILE_MAX_VALUES);
    return read_list(r, &r->amounts[(*column)++], read_item);
}

/* The next member of an object: 1 with its name in `text`, 0 at the end, or -errno told. */
static int next_key(struct reader *r, bool *first)
{
    int more = json_member(&r->json, '}', first);
    if (more <= 0)
        return checked(r, more);
    r->text.size = 0;
    TRY(checked(r, json_read_key(&r->json, &r->text)));
    buffer_append(&r->text, "", 1);
    return r->text.error != 0 ? refuse_memory(r->error) : 1;
}

static bool is_key(const struct reader *r, const char *name)
{
    return strcmp((const char *)r->text.data, name) == 0;
}

/* An object of columns; what is none of `names` is stepped over, but for the samples' values.
 */
static int read_columns(struct reader *r, const char *const *names, struct numbers *columns,
                        size_t count)
{
    bool first = true;
    int more;
    if (!json_accept(&r->json, '{'))
        return refuse_json(r);
    while ((more = next_key(r, &first)) > 0) {
        size_t column = 0, i = 0;
        while (i < count && !is_key(r, names[i]))
            i++;
        if (i < count)
            TRY(read_list(r, &columns[i], read_item));
        else if (is_key(r, "values"))
            TRY(read_list(r, &column, read_amounts));
        else
            TRY(checked(r, json_skip(&r->json)));
    }
    return more;
}

/* --- what stands once --- */

static int read_info(struct reader *r, void *unused)
{
    bool first = true;
    int more;
    (void)unused;
    if (!json_accept(&r->json, '{'))
        return refuse_json(r);
    while ((more = next_key(r, &first)) > 0) {
        int64_t number = 0;
        if (is_key(r, "service")) {
            TRY(read_text(r));
            if (r->text.size > 1)
                profile_set_text(r->p, PROFILE_RESOURCE, "service.name",
                                 (const char *)r->text.data);
        } else if (is_key(r, "time")) {
            TRY(read_number(r, &number));
            profile_header(r->p)->time_ns = (uint64_t)number;
        } else if (is_key(r, "duration")) {
            TRY(read_number(r, &number));
            profile_header(r->p)->duration_ns = (uint64_t)number;
        } else {
            TRY(checked(r, json_skip(&r->json)));
        }
    }
    return more;
}

/* [type, unit, period] */
static int read_period(struct reader *r, void *unused)
{
    struct profile_period *period = profile_period(r->p, 0);
    (void)unused;
    if (!json_accept(&r->json, '['))
        return refuse_json(r);
    TRY(read_string(r, &period->type.type));
    if (!json_accept(&r->json, ','))
        return refuse_json(r);
    TRY(read_string(r, &period->type.unit));
    if (!json_accept(&r->json, ','))
        return refuse_json(r);
    TRY(read_number(r, &period->value));
    return json_accept(&r->json, ']') ? 0 : refuse_json(r);
}

/* [key, value], which is a text or a number */
static int read_attribute(struct reader *r, void *closure)
{
    enum profile_attributes which = *(enum profile_attributes *)closure;
    int64_t number = 0;
    int status;
    if (!json_accept(&r->json, '['))
        return refuse_json(r);
    TRY(read_text(r));
    char *key = strdup((const char *)r->text.data);
    if (key == NULL)
        return refuse_memory(r->error);
    status = json_accept(&r->json, ',') ? 0 : refuse_json(r);
    bool is_text = json_peek(&r->json) == '"';
    if (status == 0)
        status = is_text ? read_text(r) : read_number(r, &number);
    if (status == 0 && *key != '\0')
        status = is_text ? profile_set_text(r->p, which, key, (const char *)r->text.data)
                         : profile_set_number(r->p, which, key, number);
    free(key);
    if (status == -ENOMEM || status == -ENOSPC)
        return refuse_memory(r->error);
    TRY(status);
    return json_accept(&r->json, ']') ? 0 : refuse_json(r);
}

static int read_attributes(struct reader *r, void *which)
{
    return read_list(r, which, read_attribute);
}

/* --- labels and links --- */

/* [key, value, key, value, …] */
static int read_label_set(struct reader *r, void *unused)
{
    struct profile_label labels[MOST_LABELS];
    size_t count = 0;
    bool first = true;
    int more;
    (void)unused;
    if (!json_accept(&r->json, '['))
        return refuse_json(r);
    while ((more = json_member(&r->json, ']', &first)) > 0) {
        if (count == MOST_LABELS)
            return refuse(r->error, "has a sample of more than %d labels", MOST_LABELS);
        struct profile_label *label = &labels[count++];
        *label = (struct profile_label){0};
        TRY(read_string(r, &label->key));
        if (!json_accept(&r->json, ','))
            return refuse_json(r);
        label->is_number = json_peek(&r->json) != '"';
        TRY(label->is_number ? read_number(r, &label->number) : read_string(r, &label->text));
    }
    TRY(checked(r, more));
    return push(r, &r->label_sets, profile_all_labels(r->p, labels, count));
}

/* [trace, span], in hex */
static int read_link(struct reader *r, void *unused)
{
    struct profile_link link = {0};
    (void)unused;
    if (!json_accept(&r->json, '['))
        return refuse_json(r);
    TRY(read_text(r));
    if (r->text.size - 1 != 2 * sizeof(link.trace_id) ||
        !hex_read((const char *)r->text.data, link.trace_id, sizeof(link.trace_id)) ||
        !json_accept(&r->json, ','))
        return refuse_json(r);
    TRY(read_text(r));
    if (r->text.size - 1 != 2 * sizeof(link.span_id) ||
        !hex_read((const char *)r->text.data, link.span_id, sizeof(link.span_id)) ||
        !json_accept(&r->json, ']'))
        return refuse_json(r);
    return push(r, &r->links, profile_link(r->p, &link));
}

/* --- all of it --- */

static int read_functions(struct reader *r, void *unused)
{
    (void)unused;
    return read_columns(r, function_columns, r->functions, 4);
}

static int read_frames(struct reader *r, void *unused)
{
    (void)unused;
    return read_columns(r, frame_columns, r->frames, 3);
}

static int read_samples(struct reader *r, void *unused)
{
    (void)unused;
    return read_columns(r, sample_columns, r->samples, 3);
}

static int read_column(struct reader *r, void *unused)
{
    (void)unused;
    return read_number(r, &r->column);
}

static int refuse_comparison(struct reader *r, void *unused)
{
    (void)unused;
    return refuse(r->error, "compares two profiles, and holds neither");
}

static int read_member(struct reader *r)
{
    static enum profile_attributes resource = PROFILE_RESOURCE, own = PROFILE_ATTRIBUTES;
    const struct {
        const char *key;
        int (*read)(struct reader *r, void *closure);
        void *closure;
        int (*item)(struct reader *r, void *closure); /* instead: of a list */
    } members[] = {
        {"info", read_info, NULL, NULL},
        {"column", read_column, NULL, NULL},
        {"period", read_period, NULL, NULL},
        {"resource", read_attributes, &resource, NULL},
        {"attributes", read_attributes, &own, NULL},
        {"values", NULL, &r->values, read_value_item},
        {"strings", NULL, &r->strings, read_string_item},
        {"types", NULL, &r->types, read_type_item},
        {"functions", read_functions, NULL, NULL},
        {"frames", read_frames, NULL, NULL},
        {"tree", NULL, &r->tree, read_item},
        {"samples", read_samples, NULL, NULL},
        {"labels", NULL, NULL, read_label_set},
        {"links", NULL, NULL, read_link},
        {"diff", refuse_comparison, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (is_key(r, members[i].key))
            return members[i].read != NULL ? members[i].read(r, members[i].closure)
                                           : read_list(r, members[i].closure, members[i].item);
    return checked(r, json_skip(&r->json));
}

static int parse(struct reader *r)
{
    bool first = true;
    int more;
    if (!json_accept(&r->json, '{'))
        return refuse_json(r);
    while ((more = next_key(r, &first)) > 0)
        TRY(read_member(r));
    return more;
}

/* --- what it means --- */

/* What numbers[index] is, or an error: the page names what it does not have. */
static int look_up(const struct reader *r, const struct numbers *numbers, int64_t index,
                   int64_t *found)
{
    if (index < 0 || (uint64_t)index >= numbers->count)
        return refuse_json(r);
    *found = numbers->at[index];
    return 0;
}

static int look_up_id(const struct reader *r, const struct numbers *numbers, int64_t index,
                      profile_id *id)
{
    int64_t found = 0;
    TRY(look_up(r, numbers, index, &found));
    *id = (profile_id)found;
    return 0;
}

static bool same_length(const struct numbers *columns, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (columns[i].count != columns[0].count)
            return false;
    return true;
}

static int make_columns(struct reader *r)
{
    struct profile *p = r->p;
    if (r->values.count % 2 != 0)
        return refuse_json(r);
    if (r->values.count == 0)
        return refuse(r->error, "no sample types");
    for (size_t i = 0; i < r->values.count; i += 2) {
        char *type = strdup(profile_text(p, (profile_id)r->values.at[i]));
        char *unit = strdup(profile_text(p, (profile_id)r->values.at[i + 1]));
        int status =
            type != NULL && unit != NULL ? profile_add_value_type(p, 0, type, unit) : -ENOMEM;
        free(type);
        free(unit);
        if (status != 0)
            return status == -ENOMEM ? refuse_memory(r->error) : refuse_json(r);
    }
    if (r->column >= 0 && (uint64_t)r->column < r->values.count / 2)
        profile_header(p)->default_type = (profile_id)r->values.at[2 * r->column];
    return 0;
}

static int make_location(struct reader *r, size_t frame)
{
    struct profile_mapping mapping = {.symbols = PROFILE_SYMBOLS_TOLD | PROFILE_HAS_ALL};
    struct profile_function function = {0};
    struct profile_line line = {.line = r->frames[FRAME_LINE].at[frame]};
    int64_t index = r->frames[FRAME_FUNCTION].at[frame], name = 0, file = 0, type = 0;
    TRY(look_up(r, &r->functions[FUNCTION_NAME], index, &name));
    TRY(look_up_id(r, &r->strings, name, &function.name));
    TRY(look_up(r, &r->functions[FUNCTION_FILE], index, &file));
    TRY(look_up_id(r, &r->strings, file, &function.filename));
    TRY(look_up(r, &r->functions[FUNCTION_LINE], index, &function.start_line));
    TRY(look_up(r, &r->functions[FUNCTION_TYPE], index, &type));
    TRY(look_up(r, &r->types, type, &type));
    TRY(look_up_id(r, &r->strings, r->frames[FRAME_MODULE].at[frame], &mapping.filename));
    bool named = function.name != 0 || function.filename != 0;
    line.function = named ? profile_function(r->p, &function) : 0;
    const struct profile_location location = {
        .mapping = mapping.filename != 0 ? profile_mapping(r->p, &mapping) : 0,
        .type = (enum cprof_frame_type)type,
        .line_count = named,
        .lines = &line,
    };
    return push(r, &r->locations, profile_location(r->p, &location));
}

static int make_locations(struct reader *r)
{
    if (!same_length(r->functions, 4) || !same_length(r->frames, 3))
        return refuse_json(r);
    for (size_t i = 0; i < r->frames[0].count; i++)
        TRY(make_location(r, i));
    return 0;
}

/* The path to the stack at hand, root first, and the same leaf first. */
struct path {
    profile_id *frames, *turned;
    size_t depth, steps; /* of all stacks so far */
};

/* Each stack: levels to go up from the last one, number of frames to go down, these. */
static int make_stack(struct reader *r, struct path *path, size_t *at)
{
    const struct numbers *tree = &r->tree;
    if (tree->count - *at < 2)
        return refuse_json(r);
    int64_t up = tree->at[(*at)++], down = tree->at[(*at)++];
    if (up < 0 || (uint64_t)up > path->depth || down < 0 || (uint64_t)down > tree->count - *at)
        return refuse_json(r);
    path->depth -= (size_t)up;
    for (; down > 0; down--)
        TRY(look_up_id(r, &r->locations, tree->at[(*at)++], &path->frames[path->depth++]));
    path->steps += path->depth;
    if (path->steps > MOST_STEPS)
        return refuse(r->error, "has stacks of more than %zu frames together", MOST_STEPS);
    for (size_t i = 0; i < path->depth; i++)
        path->turned[i] = path->frames[path->depth - 1 - i];
    return push(r, &r->stacks, profile_stack(r->p, path->turned, path->depth));
}

static int make_stacks(struct reader *r)
{
    struct path path = {.frames = calloc(r->tree.count + 1, sizeof(*path.frames)),
                        .turned = calloc(r->tree.count + 1, sizeof(*path.turned))};
    int status = path.frames != NULL && path.turned != NULL ? 0 : refuse_memory(r->error);
    for (size_t at = 0; status == 0 && at < r->tree.count;)
        status = make_stack(r, &path, &at);
    free(path.frames);
    free(path.turned);
    return status;
}

static int make_samples(struct reader *r)
{
    size_t columns = profile_value_count(r->p), count = r->samples[SAMPLE_STACK].count;
    int64_t stack = 0;
    if (!same_length(r->samples, 3) || (count > 0 && columns == 0))
        return refuse_json(r);
    for (size_t column = 0; column < columns; column++)
        if (r->amounts[column].count != count)
            return refuse_json(r);
    for (size_t i = 0; i < count; i++) {
        int64_t values[PROFILE_MAX_VALUES];
        profile_id id, labels, link;
        if (__builtin_add_overflow(stack, r->samples[SAMPLE_STACK].at[i], &stack))
            return refuse_json(r);
        TRY(look_up_id(r, &r->stacks, stack, &id));
        TRY(look_up_id(r, &r->label_sets, r->samples[SAMPLE_LABELS].at[i], &labels));
        TRY(look_up_id(r, &r->links, r->samples[SAMPLE_LINK].at[i], &link));
        for (size_t column = 0; column < columns; column++)
            values[column] = r->amounts[column].at[i];
        if (profile_add(r->p, 0, id, link, labels, values) != 0)
            return refuse_memory(r->error);
    }
    return profile_error(r->p) != 0 ? refuse_memory(r->error) : 0;
}

static int make(struct reader *r)
{
    TRY(make_columns(r));
    TRY(make_locations(r));
    TRY(make_stacks(r));
    return make_samples(r);
}

static void free_lists(struct numbers *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(numbers[i].at);
}

static void reader_free(struct reader *r)
{
    struct numbers single[] = {r->values,     r->strings, r->types,     r->tree,
                               r->label_sets, r->links,   r->locations, r->stacks};
    free_lists(single, sizeof(single) / sizeof(*single));
    free_lists(r->functions, 4);
    free_lists(r->frames, 3);
    free_lists(r->samples, 3);
    free_lists(r->amounts, PROFILE_MAX_VALUES);
    buffer_free(&r->text);
    profile_free(r->p);
}

int html_read_json(const unsigned char *data, size_t size, struct profile *sum,
                   char error[FORMAT_ERROR_SIZE])
{
    struct reader r = {
        .json = {(const char *)data, (const char *)data + size},
        .p = profile_new(NULL),
        .error = error,
        .column = -1,
    };
    int status = r.p != NULL ? parse(&r) : refuse_memory(error);
    if (status == 0)
        status = make(&r);
    if (status == 0)
        status = refuse_merge(error, profile_merge(sum, r.p));
    reader_free(&r);
    return status;
}

static int read_page(const unsigned char *data, size_t size, struct profile *sum,
                     char error[FORMAT_ERROR_SIZE])
{
    struct buffer json = {0};
    int status = html_unpack(data, size, &json, error);
    if (status == 0)
        status = html_read_json(json.data, json.size, sum, error);
    buffer_free(&json);
    return status;
}

int html_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_page, error);
}
