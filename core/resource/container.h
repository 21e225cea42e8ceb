/*
 * Which container a process runs in, read from what the kernel shows it of its cgroups and
 * mounts. Formats: proc(5), cgroups(7); the paths are those that Docker, containerd, CRI-O,
 * Podman and the kubelet give. Texts are taken line by line, hostile ones do no harm.
 */
#ifndef CPROF_RESOURCE_CONTAINER_H
#define CPROF_RESOURCE_CONTAINER_H

#include <stdbool.h>

struct container {
    char id[65];            /* 64 lower-case hex digits, or "" */
    char pod_uid[37];       /* of Kubernetes, or "" */
    char pod_container[64]; /* the container's name in the pod, or "" */
};

/* A line of /proc/self/cgroup; of /proc/self/mountinfo. What it tells is added; what was known
 * before stays. */
void container_read_cgroup(struct container *container, const char *line);
void container_read_mount(struct container *container, const char *line);

/* Reads both files. */
void container_detect(struct container *container);

#endif
