#include "unwind/copied.h"

#include <string.h>

#include "cprof/readable.h"

/* Places of a window of pages follow each other, up to the last place. Another window begins at
 * another one: Ruby's frames lie a mebibyte above the stack pointer, and are read by turns. */
static size_t place_of(uintptr_t page)
{
    const size_t number = page / COPIED_PAGE, window = number / COPIED_PAGES;
    return (number + window * 21 + window / COPIED_PAGES * 13) % COPIED_PAGES;
}

/* Pages from this one on that lie in places that follow each other. */
static size_t count_following(uintptr_t page)
{
    const size_t in_window = COPIED_PAGES - page / COPIED_PAGE % COPIED_PAGES;
    const size_t in_places = COPIED_PAGES - place_of(page);
    return in_window < in_places ? in_window : in_places;
}

/* The pages that can be read of `count` that follow each other, in places that do as well. Of
 * the first one the bytes `below` are left out. */
static void fetch(struct copied *copied, uintptr_t page, size_t below, size_t count)
{
    struct iovec pieces[COPIED_AT_ONCE];
    size_t first = place_of(page);
    for (size_t i = 0; i < count; i++) {
        pieces[i] = (struct iovec){.iov_base = (void *)(page + i * COPIED_PAGE),
                                   .iov_len = COPIED_PAGE};
        copied->page[first + i] = 0;
    }
    pieces[0].iov_base = (void *)(page + below);
    pieces[0].iov_len -= below;
    long got = cprof_read_pieces_as(copied->reader, copied->bytes[first] + below,
                                    count * COPIED_PAGE - below, pieces, count);
    for (size_t i = 0; got > 0 && i < ((size_t)got + below) / COPIED_PAGE; i++)
        copied->page[first + i] = page + i * COPIED_PAGE;
}

/* Stacks that are deeper than the others are met again soon; that there are none any more shows
 * after some time. */
static void learn_wanted(struct copied *copied)
{
    enum { OFTEN = 64 };
    copied->fewer = copied->needed < copied->wanted ? copied->fewer + 1 : 0;
    if (copied->needed > copied->wanted)
        copied->wanted = copied->needed;
    else if (copied->fewer >= OFTEN) {
        copied->fewer = 0;
        copied->wanted--;
    }
}

void copied_begin(struct copied *copied, uintptr_t sp)
{
    uintptr_t page = sp & ~(uintptr_t)(COPIED_PAGE - 1);
    const size_t left = count_following(page);
    learn_wanted(copied);
    memset(copied->page, 0, sizeof copied->page);
    copied->lacking = 0;
    copied->first = page;
    copied->below = sp % COPIED_PAGE;
    copied->needed = 1;
    copied->reader = cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    if (copied->wanted == 0)
        copied->wanted = 1;
    if (page != 0)
        fetch(copied, page, copied->below, left < copied->wanted ? left : copied->wanted);
}

/* A page that was begun in its middle is fetched again for what lies below. */
static bool has_page(struct copied *copied, uintptr_t page, size_t offset)
{
    const size_t place = place_of(page), ahead = (page - copied->first) / COPIED_PAGE + 1;
    if (ahead <= COPIED_AT_ONCE && ahead > copied->needed)
        copied->needed = ahead;
    if (copied->page[place] == page && (page != copied->first || offset >= copied->below))
        return true;
    if (page == copied->first)
        copied->below = 0;
    fetch(copied, page, 0, 1);
    return copied->page[place] == page;
}

/* Of one page. */
static bool read_part(struct copied *copied, uintptr_t from, void *to, size_t size)
{
    uintptr_t page = from & ~(uintptr_t)(COPIED_PAGE - 1);
    if (page == 0 || page == copied->lacking)
        return false;
    if (!has_page(copied, page, from - page)) {
        copied->lacking = page;
        return false;
    }
    const uint8_t *bytes = copied->bytes[place_of(page)] + (from - page);
    if (size == sizeof(uint64_t))
        memcpy(to, bytes, sizeof(uint64_t)); /* most are words, and a move each */
    else
        memcpy(to, bytes, size);
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
