#include "collect/blocks.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "collect/labelling.h"
#include "profile/age.h"
#include "profile/carry.h"
#include "profile/clamp.h"
#include "sample/live.h"

#define SHARE 4      /* the list may take 1/SHARE of the budget, */
#define KEPT_SHARE 8 /* and stacks that are kept 1/KEPT_SHARE */
#define SLOTS_LEAST ((size_t)1 << 10)
#define SINCE_MAX (((uint32_t)1 << 30) - 1)
#define AGED 64 /* label sets with an age that are found again; a power of two */

enum block_state {
    BLOCK_UNKNOWN, /* its record is still on its way, or there is none */
    BLOCK_NEW,     /* of the running interval, whose profile has its stack */
    BLOCK_KEPT,
};

struct block {
    profile_id stack, link, labels;
    uint32_t state : 2;  /* enum block_state */
    uint32_t since : 30; /* seconds, of CLOCK_MONOTONIC: 34 years */
    int64_t objects, bytes;
};

/* ---- life ---- */

static size_t bytes_of(size_t slots)
{
    return slots * (sizeof(struct block) + sizeof(uintptr_t));
}

/* The largest power of two that is allowed; 0: none is. */
static size_t take_slots(struct budget *budget)
{
    size_t limit = budget != NULL ? budget->limit : 0;
    for (size_t slots = LIVE_SLOTS_MAX; slots >= SLOTS_LEAST; slots /= 2)
        if ((limit == 0 || bytes_of(slots) <= limit / SHARE) &&
            budget_take(budget, bytes_of(slots)))
            return slots;
    return 0;
}

/* Mapped once and for good; emptied, they take no memory. */
static _Atomic uintptr_t *empty_slots(void)
{
    static void *slots;
    const size_t size = LIVE_SLOTS_MAX * sizeof(uintptr_t);
    if (slots != NULL) {
        madvise(slots, size, MADV_DONTNEED);
        return slots;
    }
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    slots = mapped != MAP_FAILED ? mapped : NULL;
    return slots;
}

static struct profile *new_kept(const struct blocks *blocks)
{
    struct profile *kept = profile_new_like(blocks->model, blocks->budget);
    if (kept != NULL && blocks->budget != NULL)
        profile_bound(kept, blocks->budget->limit / KEPT_SHARE);
    return kept;
}

int blocks_init(struct blocks *blocks, const struct profile *model, struct budget *budget)
{
    uint64_t random[2];
    random_words(random);
    *blocks = (struct blocks){.model = model, .budget = budget, .random = random[0]};
    blocks->slots = take_slots(budget);
    if (blocks->slots == 0)
        return -ENOMEM;
    blocks->list = calloc(blocks->slots, sizeof *blocks->list);
    blocks->kept = new_kept(blocks);
    _Atomic uintptr_t *slots = empty_slots();
    if (blocks->list == NULL || blocks->kept == NULL || slots == NULL) {
        blocks_free(blocks);
        return -ENOMEM;
    }
    live_open(slots, blocks->slots);
    return 0;
}

void blocks_free(struct blocks *blocks)
{
    if (blocks->slots == 0)
        return;
    live_close();
    (void)empty_slots();
    free(blocks->list);
    profile_free(blocks->kept);
    budget_give(blocks->budget, bytes_of(blocks->slots));
    *blocks = (struct blocks){0};
}

/* ---- blocks ---- */

static void forget(struct blocks *blocks, size_t slot)
{
    if (blocks->list[slot].state != BLOCK_UNKNOWN)
        blocks->bytes -= blocks->list[slot].bytes;
    blocks->list[slot].state = BLOCK_UNKNOWN;
    live_empty(slot);
}

static bool by_chance(struct blocks *blocks)
{
    blocks->random = hash_combine(blocks->random, 1);
    return (blocks->random & 1) != 0;
}

/* It goes, or stands for twice as many. */
static void halve(struct blocks *blocks, size_t slot)
{
    struct block *block = &blocks->list[slot];
    if (by_chance(blocks)) {
        forget(blocks, slot);
        return;
    }
    blocks->bytes = clamp_add(blocks->bytes, block->bytes);
    block->objects = clamp_add(block->objects, block->objects);
    block->bytes = clamp_add(block->bytes, block->bytes);
}

void blocks_add(struct blocks *blocks, const struct allocated *allocated)
{
    size_t slot = allocated->slot;
    if (slot >= blocks->slots)
        return;
    blocks->list[slot] = (struct block){
        .stack = allocated->stack,
        .link = allocated->link,
        .labels = allocated->labels,
        .state = BLOCK_NEW,
        .since = (uint32_t)(allocated->time / NS_PER_SECOND) & SINCE_MAX,
        .objects = clamp_multiply(allocated->objects, INT64_C(1) << allocated->shift),
        .bytes = clamp_multiply(allocated->bytes, INT64_C(1) << allocated->shift),
    };
    blocks->bytes = clamp_add(blocks->bytes, blocks->list[slot].bytes);
    if (live_state(slot) == LIVE_FREED)
        forget(blocks, slot);
    /* It was listed before the last halvings. */
    for (uint8_t shift = allocated->shift;
         shift < blocks->shift && blocks->list[slot].state != BLOCK_UNKNOWN; shift++)
        halve(blocks, slot);
}

static void sweep(struct blocks *blocks)
{
    for (size_t slot = 0; slot < blocks->slots; slot++)
        if (blocks->list[slot].state != BLOCK_UNKNOWN && live_state(slot) == LIVE_FREED)
            forget(blocks, slot);
}

/* Before it is full, as many may come until the next turn. */
static bool is_nearly_full(const struct blocks *blocks)
{
    return live_count() >= blocks->slots / 2 - blocks->slots / 16;
}

static void halve_all(struct blocks *blocks)
{
    live_thin(++blocks->shift);
    for (size_t slot = 0; slot < blocks->slots; slot++)
        if (blocks->list[slot].state != BLOCK_UNKNOWN)
            halve(blocks, slot);
}

void blocks_tick(struct blocks *blocks)
{
    if (blocks->list == NULL)
        return;
    uint64_t freed = live_freed();
    if (freed != blocks->seen_freed)
        sweep(blocks);
    blocks->seen_freed = freed;
    if (is_nearly_full(blocks) && blocks->shift < 32)
        halve_all(blocks);
    else if (blocks->shift > 0 && live_count() < blocks->slots / 16)
        live_thin(--blocks->shift);
}

/* ---- closing ---- */

/* Moves what is known of a block into another profile. */
static void move(struct block *block, struct carrier *carrier)
{
    profile_id stack = carry_stack(carrier, block->stack);
    block->link = carry_link(carrier, block->link);
    block->labels = carry_labels(carrier, block->labels);
    block->stack = stack != 0 ? stack : profile_overflow_stack(carrier->to);
}

/* Those that are kept have their stacks in the profile that ends now. */
static int fetch_kept(struct blocks *blocks, struct profile *profile)
{
    struct carrier carrier;
    if (carrier_init(&carrier, profile, blocks->kept) != 0)
        return -ENOMEM;
    for (size_t slot = 0; slot < blocks->slots; slot++)
        if (blocks->list[slot].state == BLOCK_KEPT)
            move(&blocks->list[slot], &carrier);
    carrier_free(&carrier);
    return 0;
}

/* Label sets with an age, by set and class. */
struct aged {
    struct profile *profile;
    struct aged_set {
        profile_id from, to;
        uint8_t class;
    } sets[AGED];
};

/* The labels with the class's word in front: of a key that is there twice the last one wins,
 * and that is the program's. */
static profile_id add_age(struct profile *profile, profile_id labels, uint8_t class)
{
    struct profile_label list[LABELLING_MAX_LABELS + 1] = {
        {.key = profile_string(profile, AGE_LABEL),
         .text = profile_string(profile, age_word(class))}};
    const struct profile_label_set set = profile_get_labels(profile, labels);
    size_t count = set.count <= LABELLING_MAX_LABELS ? set.count : LABELLING_MAX_LABELS;
    memcpy(list + 1, set.labels, count * sizeof *list);
    return profile_labels(profile, list, count + 1);
}

static profile_id with_age(struct aged *aged, profile_id labels, uint64_t seconds)
{
    uint8_t class = age_class(seconds);
    struct aged_set *set = &aged->sets[hash_combine(labels, class) & (AGED - 1)];
    if (class == 0)
        return labels;
    if (set->class != class || set->from != labels)
        *set = (struct aged_set){
            .from = labels, .to = add_age(aged->profile, labels, class), .class = class};
    return set->to;
}

static void add_all(const struct blocks *blocks, struct profile *profile, size_t sheet,
                    uint64_t seconds)
{
    struct aged aged = {.profile = profile};
    for (size_t slot = 0; slot < blocks->slots; slot++) {
        const struct block *block = &blocks->list[slot];
        const int64_t values[] = {block->objects, block->bytes};
        if (block->state == BLOCK_UNKNOWN)
            continue;
        uint64_t age = seconds > block->since ? seconds - block->since : 0;
        profile_id labels = with_age(&aged, block->labels, age);
        /* -ENOMEM has counted it on "[overflow]" */
        (void)profile_add(profile, sheet, block->stack, block->link, labels, values);
    }
}

static void forget_all(struct blocks *blocks)
{
    for (size_t slot = 0; slot < blocks->slots; slot++)
        if (blocks->list[slot].state != BLOCK_UNKNOWN)
            forget(blocks, slot);
}

/* For the next interval. -ENOMEM: nothing has changed. */
static int keep(struct blocks *blocks, const struct profile *profile)
{
    struct carrier carrier;
    struct profile *kept = new_kept(blocks);
    if (kept == NULL || carrier_init(&carrier, kept, profile) != 0) {
        profile_free(kept);
        return -ENOMEM;
    }
    for (size_t slot = 0; slot < blocks->slots; slot++) {
        if (blocks->list[slot].state == BLOCK_UNKNOWN)
            continue;
        move(&blocks->list[slot], &carrier);
        blocks->list[slot].state = BLOCK_KEPT;
    }
    carrier_free(&carrier);
    profile_free(blocks->kept);
    blocks->kept = kept;
    return 0;
}

void blocks_close(struct blocks *blocks, struct profile *profile, size_t sheet, uint64_t now,
                  bool last)
{
    if (blocks->list == NULL)
        return;
    sweep(blocks);
    int status = fetch_kept(blocks, profile);
    if (status == 0) {
        add_all(blocks, profile, sheet, now / NS_PER_SECOND);
        status = last ? 0 : keep(blocks, profile);
    }
    if (status != 0) /* what is known of some is in the profile that goes */
        forget_all(blocks);
}

/* ---- the child of a fork ---- */

static void empty_unknown(const struct blocks *blocks)
{
    for (size_t slot = 0; slot < blocks->slots; slot++)
        if (blocks->list[slot].state == BLOCK_UNKNOWN && live_state(slot) != LIVE_EMPTY)
            live_empty(slot);
}

void blocks_inherit(struct blocks *blocks, struct blocks *from, struct profile *interval)
{
    *blocks = *from;
    *from = (struct blocks){0};
    if (blocks->list == NULL)
        return;
    live_recount();
    empty_unknown(blocks);
    sweep(blocks);
    if (fetch_kept(blocks, interval) != 0 || keep(blocks, interval) != 0)
        forget_all(blocks);
}
