#include "collect/held.h"

#include <stdlib.h>

#include "collect/labelling.h"
#include "profile/carry.h"
#include "sample/loops.h"

void held_free(struct held *held)
{
    if (held->rows != NULL)
        budget_give(held->budget, HELD_MAX * sizeof *held->rows);
    free(held->rows);
    held->rows = NULL;
    held->count = 0;
}

static bool has_room(struct held *held)
{
    const size_t bytes = HELD_MAX * sizeof *held->rows;
    if (held->rows != NULL || !budget_take(held->budget, bytes))
        return held->rows != NULL && held->count < HELD_MAX;
    held->rows = calloc(HELD_MAX, sizeof *held->rows);
    if (held->rows == NULL)
        budget_give(held->budget, bytes);
    return held->rows != NULL;
}

static void add(struct profile *p, const struct held_row *row, enum loop_word word)
{
    profile_id labels = row->labels;
    if (word != LOOP_SHORT)
        labels = labelling_with(
            p, labels,
            (struct profile_label){.key = profile_string(p, "loop.turn"),
                                   .text = profile_string(p, loop_word_text(word))});
    /* -ENOMEM has counted the sample on "[overflow]". */
    (void)profile_add(p, row->sheet, row->stack, row->link, labels, row->values);
}

void held_add(struct held *held, struct profile *running, const struct held_row *row)
{
    bool open;
    const enum loop_word word = loops_turn(row->tid, row->time, &open);
    if (open && has_room(held))
        held->rows[held->count++] = *row;
    else
        add(running, row, word);
}

void held_settle(struct held *held, struct profile *running, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < held->count; i++) {
        bool open;
        const struct held_row row = held->rows[i];
        const enum loop_word word = loops_turn(row.tid, row.time, &open);
        if (open && !all)
            held->rows[kept++] = row;
        else
            add(running, &row, word);
    }
    held->count = kept;
}

void held_carry(struct held *held, struct profile *before, struct profile *running)
{
    struct carrier carrier;
    if (held->count == 0)
        return;
    if (carrier_init(&carrier, running, before) != 0) {
        held_settle(held, before, true);
        return;
    }
    for (size_t i = 0; i < held->count; i++) {
        struct held_row *row = &held->rows[i];
        row->stack = carry_stack(&carrier, row->stack);
        row->link = carry_link(&carrier, row->link);
        row->labels = carry_labels(&carrier, row->labels);
    }
    carrier_free(&carrier);
}
