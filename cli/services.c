#include "services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/read.h"

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct held_service *)left)->name,
                  ((const struct held_service *)right)->name);
}

static void note_service(void *closure, const struct store_mark *mark)
{
    struct services *services = closure;
    size_t i = 0;
    while (i < services->count && strcmp(services->list[i].name, mark->service) != 0)
        i++;
    if (i == services->count) {
        char *name = i < SERVICES_MOST ? strdup(mark->service) : NULL;
        if (name == NULL)
            return;
        services->list[i] = (struct held_service){name, mark->from, mark->to};
        services->count++;
    }
    struct held_service *service = &services->list[i];
    service->from = mark->from < service->from ? mark->from : service->from;
    service->to = mark->to > service->to ? mark->to : service->to;
}

static void forget_services(void *closure)
{
    struct services *services = closure;
    while (services->count > 0)
        free(services->list[--services->count].name);
}

struct services *services_of(const char *folder, char error[FORMAT_ERROR_SIZE])
{
    struct services *services = calloc(1, sizeof *services);
    if (services == NULL) {
        snprintf(error, FORMAT_ERROR_SIZE, "out of memory");
        return NULL;
    }
    const struct store_range all = {.to = UINT64_MAX};
    const struct store_survey survey = {
        .closure = services, .mark = note_service, .again = forget_services};
    if (store_survey(folder, &all, &survey, error) != 0) {
        services_free(services);
        return NULL;
    }
    qsort(services->list, services->count, sizeof *services->list, compare_names);
    return services;
}

void services_free(struct services *services)
{
    if (services == NULL)
        return;
    forget_services(services);
    free(services);
}
