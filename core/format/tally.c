#include "format/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static void line_free(struct tally *tally, struct tally_line *line)
{
    tally->cells -= line->room * line->width;
    free(line->values);
    free(line->seen);
    free(line->stacks);
    *line = (struct tally_line){0};
}

/* An array that is longer, its new part 0. */
static bool grow(void *array, size_t from, size_t to, size_t size)
{
    char **at = array, *grown = realloc(*at, to * size);
    if (grown == NULL)
        return false;
    memset(grown + from * size, 0, (to - from) * size);
    *at = grown;
    return true;
}

/* Has it place for that stack, or can be given it? */
static bool reserve(struct tally *tally, struct tally_line *line, profile_id stack)
{
    if (stack < line->room)
        return true;
    const size_t room = (size_t)stack + stack / 2 + 64;
    const size_t more = (room - line->room) * line->width;
    if (tally->cells + more > TALLY_CELLS ||
        !grow(&line->values, line->room * line->width, room * line->width,
              sizeof(*line->values)) ||
        !grow(&line->seen, line->room, room, sizeof(*line->seen)) ||
        !grow(&line->stacks, line->room, room, sizeof(*line->stacks)))
        return false;
    tally->cells += more;
    line->room = room;
    return true;
}

static bool is_of(const struct tally_line *line, const struct tally_key *key)
{
    return line->labels == key->labels && line->width == key->width &&
           memcmp(line->places, key->places, key->width * sizeof(*key->places)) == 0;
}

/* ---- the whole ---- */

struct tally_line *tally_find(struct tally *tally, struct profile *sum,
                              const struct tally_key *key, bool *flushed)
{
    *flushed = false;
    for (size_t i = 0; i < tally->lines; i++)
        if (is_of(&tally->line[i], key))
            return &tally->line[i];
    if (tally->lines == TALLY_LINES) {
        *flushed = true;
        if (tally_flush(tally, sum) != 0)
            return NULL;
    }
    struct tally_line *line = &tally->line[tally->lines++];
    if (line->width != key->width) /* what an earlier one has left does not fit */
        line_free(tally, line);
    line->labels = key->labels;
    line->width = key->width;
    memcpy(line->places, key->places, key->width * sizeof(*key->places));
    return line;
}

int tally_add(struct tally *tally, struct tally_line *line, profile_id stack,
              const int64_t *values)
{
    if (!reserve(tally, line, stack))
        return -ENOMEM;
    int64_t *sums = line->values + stack * line->width;
    if (!line->seen[stack])
        line->stacks[line->count++] = stack;
    line->seen[stack] = true;
    for (size_t i = 0; i < line->width; i++)
        sums[i] = clamp_add(sums[i], values[i]);
    return 0;
}

/* The line is empty afterwards, and keeps its room. */
static int flush_line(struct tally_line *line, struct profile *sum)
{
    int status = 0;
    for (size_t i = 0; i < line->count; i++) {
        const profile_id stack = line->stacks[i];
        int64_t *sums = line->values + stack * line->width, values[PROFILE_MAX_VALUES] = {0};
        for (size_t k = 0; k < line->width; k++)
            profile_put(values, line->places[k], sums[k]);
        const int added =
            profile_add_row(sum, line->places[0].column, stack, 0, line->labels, values);
        status = status != 0 ? status : added;
        memset(sums, 0, line->width * sizeof(*sums));
        line->seen[stack] = false;
    }
    line->count = 0;
    return status;
}

int tally_flush(struct tally *tally, struct profile *sum)
{
    int status = 0;
    for (size_t i = 0; i < tally->lines; i++) {
        const int flushed = flush_line(&tally->line[i], sum);
        status = status != 0 ? status : flushed;
    }
    tally->lines = 0;
    if (tally->cells > TALLY_CELLS / 2) /* what is next may want it in other lines */
        tally_free(tally);
    return status;
}

bool tally_make_room(struct tally *tally, const struct tally_line *line, struct profile *sum)
{
    if (tally->cells - line->room * line->width <= TALLY_CELLS / 2)
        return false;
    return tally_flush(tally, sum) == 0;
}

void tally_free(struct tally *tally)
{
    for (size_t i = 0; i < TALLY_LINES; i++)
        line_free(tally, &tally->line[i]);
    tally->lines = 0;
}
