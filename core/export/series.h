/*
 * A profile as Pyroscope and Parca want it: for each sheet a pprof that belongs to a series,
 * which has a name (__name__: measures.h) and labels, the same for all sheets. Their rules for
 * labels are those of Prometheus: names are letters, digits and underscores ("k8s.pod.name"
 * becomes k8s_pod_name), those that begin with two underscores are reserved, each stands once,
 * values are UTF-8 text and not empty.
 *
 * The series has the attributes of the resource that tell processes apart: what the user set,
 * service.*, k8s.*, container.*, deployment.*, host.name, process.pid, process.runtime.name and
 * .version. What only describes a process (its command line, its start) does not become labels.
 *
 * Samples keep their labels, renamed in the same way. Pyroscope makes a series of every set of
 * labels that samples have, but for span_id: labels of threads, and the trace, would be as many
 * series as there are threads and traces, and are left out there.
 */
#ifndef CPROF_EXPORT_SERIES_H
#define CPROF_EXPORT_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "profile/profile.h"

#define SERIES_MAX_LABELS 20       /* Pyroscope takes 30 with those of samples and its own */
#define SERIES_MAX_SAMPLE_LABELS 8 /* of one set; the first by name stay */
#define SERIES_MAX_VALUE 2000      /* bytes of a value; longer ones are cut off */
#define SERIES_NAME_SIZE 128       /* bytes of a label's name; a longer one is cut off */

struct series_label {
    char name[SERIES_NAME_SIZE];
    char *value; /* owned */
};

/* Labels sorted by name, without __name__ and service_name. */
struct series {
    char *service;
    struct series_label labels[SERIES_MAX_LABELS];
    size_t count, left_out; /* what there was no room for */
};

/* 0 or -ENOMEM; to be freed after both. */
int series_make(struct series *series, const struct profile *profile);
void series_free(struct series *series);

/* A label's name by the rules above; empty when nothing is left of it. */
void series_label_name(const char *from, char name[SERIES_NAME_SIZE]);

/* The samples with their labels renamed ("sample_x" where the series has an x); `threads`: with
 * those of threads and traces. Samples that are alike then become one. NULL: out of memory. */
struct profile *series_samples(const struct series *series, const struct profile *profile,
                               bool threads);
/* The same of one sheet, as a profile of its own. */
struct profile *series_sheet(const struct series *series, const struct profile *profile,
                             size_t sheet, bool threads);

#endif
