#include "resource/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_LENGTH 64
#define UID_LENGTH 36
#define MAX_LINES 4096 /* of a file: a host of many containers has many mounts */

static const char hex[] = "0123456789abcdef";

static void set_id(struct container *container, const char *text)
{
    if (container->id[0] == '\0' && strspn(text, hex) == ID_LENGTH) {
        memcpy(container->id, text, ID_LENGTH);
        container->id[ID_LENGTH] = '\0';
    }
}

/* A pod's uid has dashes, which the systemd driver writes as underscores. */
static void set_pod(struct container *container, const char *text)
{
    if (container->pod_uid[0] != '\0' || strspn(text, "0123456789abcdef-_") != UID_LENGTH)
        return;
    for (int i = 0; i < UID_LENGTH; i++)
        container->pod_uid[i] = text[i] == '_' ? '-' : text[i];
    container->pod_uid[UID_LENGTH] = '\0';
}

/* 5:cpu:/kubepods/burstable/pod<uid>/<id>, 0::/system.slice/docker-<id>.scope, … */
void container_read_cgroup(struct container *container, const char *line)
{
    const char *path = strchr(line, '/');
    if (path == NULL)
        return;
    const char *pod = strstr(path, "pod");
    for (; pod != NULL; pod = strstr(pod + 1, "pod"))
        set_pod(container, pod + 3);
    const char *last = strrchr(path, '/') + 1;
    const char *dash = strrchr(last, '-'), *colon = strrchr(last, ':');
    set_id(container, last);
    if (dash != NULL)
        set_id(container, dash + 1);
    if (colon != NULL) /* containerd under systemd: <slice>:cri-containerd:<id> */
        set_id(container, colon + 1);
}

/* The text behind `mark`, or NULL. */
static const char *behind(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);
    return at != NULL ? at + strlen(mark) : NULL;
}

static void set_pod_container(struct container *container, const char *name)
{
    size_t length = name != NULL ? strcspn(name, "/ ") : 0;
    if (container->pod_container[0] == '\0' && length > 0 &&
        length < sizeof container->pod_container) {
        memcpy(container->pod_container, name, length);
        container->pod_container[length] = '\0';
    }
}

/* Where a cgroup namespace hides the path, the files that the runtime mounts into a container
 * come from a folder that is named after it. A ".../sandboxes/<id>" is the pod's, not ours. */
void container_read_mount(struct container *container, const char *line)
{
    char root[512], point[128];
    if (sscanf(line, "%*s %*s %*s %511s %127s", root, point) != 2)
        return;
    const char *pod = behind(root, "/pods/");
    if (strcmp(point, "/etc/hosts") == 0 || strcmp(point, "/etc/hostname") == 0 ||
        strcmp(point, "/etc/resolv.conf") == 0) {
        const char *docker = behind(root, "/containers/");
        const char *podman = behind(root, "/overlay-containers/");
        if (docker != NULL)
            set_id(container, docker);
        if (podman != NULL)
            set_id(container, podman);
    } else if (strcmp(point, "/dev/termination-log") == 0 && pod != NULL) {
        set_pod_container(container, behind(pod, "/containers/"));
    } else {
        return;
    }
    if (pod != NULL)
        set_pod(container, pod);
}

static void read_lines(const char *path, struct container *container,
                       void (*read_line)(struct container *container, const char *line))
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    if (file == NULL)
        return;
    for (int i = 0; i < MAX_LINES && getline(&line, &size, file) > 0; i++) {
        line[strcspn(line, "\n")] = '\0';
        read_line(container, line);
    }
    free(line);
    fclose(file);
}

void container_detect(struct container *container)
{
    *container = (struct container){0};
    read_lines("/proc/self/cgroup", container, container_read_cgroup);
    read_lines("/proc/thread-self/mountinfo", container, container_read_mount);
}
