/*
 * What of a profile somebody asks to see: samples and frames by regular expressions
 * (pattern.h), which match any part of a text. The rules mean what options of these names mean
 * to pprof:
 *
 *   focus       only samples with a frame that matches
 *   ignore      no samples with a frame that matches
 *   hide        frames that match leave their stacks; their values stay with their callers
 *   show        only frames that match stay in their stacks
 *   prune-from  what matching functions called goes, from the innermost of them on
 *
 * A frame matches by its function's name, its file or its module; by one of these, or its type,
 * where the expression says which: "name:", "file:", "module:", "type:" in front. Of functions
 * inlined into each other all are one frame to focus and ignore, and each its own to the
 * others. prune-from goes by names alone, without their arguments, unless it says otherwise. Of
 * several expressions of one rule any will do. A sample whose frames are all gone is gone.
 *
 * Unlike in pprof, code without a name can be shown, by its module or type. One thread.
 */
#ifndef CPROF_PROFILE_VIEW_H
#define CPROF_PROFILE_VIEW_H

#include "profile/profile.h"

enum view_rule { VIEW_FOCUS, VIEW_IGNORE, VIEW_HIDE, VIEW_SHOW, VIEW_PRUNE_FROM, VIEW_RULES };

#define VIEW_MOST 32 /* expressions of all rules */

struct view {
    struct view_part {
        enum view_rule rule;
        const char *expression; /* borrowed */
    } parts[VIEW_MOST];
    size_t count;
    /* The words for types of frames; NULL: none is known. */
    const char *(*type_word)(enum cprof_frame_type type);
};

/* The option's name: "focus". */
const char *view_rule_word(enum view_rule rule);

/* 0; -EINVAL, -E2BIG for no expression (pattern.h); -ENOSPC for one too many; -ENOMEM. */
int view_add(struct view *view, enum view_rule rule, const char *expression);

/* A new profile with what is to be seen. *unmatched, if not NULL, gets bit i where nothing
 * matches part i. NULL: out of memory. */
struct profile *view_apply(const struct view *view, const struct profile *source,
                           uint32_t *unmatched);

#endif
