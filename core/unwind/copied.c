#include "unwind/copied.h"

#include <string.h>

#include "cprof/readable.h"

static size_t place_of(uintptr_t page)
{
    return page / COPIED_PAGE % COPIED_PAGES;
}

/* The pages that can be read of `count` that follow each other, in places that do as well. */
static void fetch(struct copied *copied, uintptr_t page, size_t count)
{
    struct iovec pieces[COPIED_AT_ONCE];
    size_t first = place_of(page);
    for (size_t i = 0; i < count; i++) {
        pieces[i] = (struct iovec){.iov_base = (void *)(page + i * COPIED_PAGE),
                                   .iov_len = COPIED_PAGE};
        copied->page[first + i] = 0;
    }
    long got = cprof_read_pieces(copied->bytes[first], count * COPIED_PAGE, pieces, count);
    for (size_t i = 0; got > 0 && i < (size_t)got / COPIED_PAGE; i++)
        copied->page[first + i] = page + i * COPIED_PAGE;
}

void copied_begin(struct copied *copied, uintptr_t sp)
{
    uintptr_t page = sp & ~(uintptr_t)(COPIED_PAGE - 1);
    size_t left = COPIED_PAGES - place_of(page);
    memset(copied->page, 0, sizeof copied->page);
    if (page != 0)
        fetch(copied, page, left < COPIED_AT_ONCE ? left : COPIED_AT_ONCE);
}

/* Of one page. */
static bool read_part(struct copied *copied, uintptr_t from, void *to, size_t size)
{
    uintptr_t page = from & ~(uintptr_t)(COPIED_PAGE - 1);
    size_t place = place_of(page);
    if (page == 0)
        return false;
    if (copied->page[place] != page)
        fetch(copied, page, 1);
    if (copied->page[place] != page)
        return false;
    memcpy(to, copied->bytes[place] + (from - page), size);
    return true;
}

bool copied_read(struct copied *copied, uintptr_t from, void *to, size_t size)
{
    uint8_t *at = to;
    if (size > UINTPTR_MAX - from)
        return false;
    while (size > 0) {
        size_t there = COPIED_PAGE - from % COPIED_PAGE;
        size_t part = size < there ? size : there;
        if (!read_part(copied, from, at, part))
            return false;
        from += part;
        at += part;
        size -= part;
    }
    return true;
}

const void *copied_piece(struct copied *copied, uintptr_t from, size_t size)
{
    bool whole = size <= sizeof copied->piece && copied_read(copied, from, copied->piece, size);
    return whole ? copied->piece : NULL;
}
