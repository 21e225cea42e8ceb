/* The words for enum cprof_frame_type: the values of the attribute profile.frame.type. */
#ifndef CPROF_FORMAT_FRAME_TYPE_H
#define CPROF_FORMAT_FRAME_TYPE_H

#include "cprof/runtime.h"

#define FRAME_TYPE_COUNT (CPROF_FRAME_V8JS + 1)
#define FRAME_TYPE_KEY "profile.frame.type"

/* "" for CPROF_FRAME_UNKNOWN. */
const char *frame_type_name(enum cprof_frame_type type);
/* CPROF_FRAME_UNKNOWN for a word that is none of ours. */
enum cprof_frame_type frame_type_parse(const char *name);

#endif
