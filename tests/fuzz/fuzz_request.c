/* The head of a request to the pull endpoint: in pieces it says the same as whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pull/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pull_request whole, part;
    if (size > PULL_MAX_HEAD)
        size = PULL_MAX_HEAD;
    char *head = malloc(size != 0 ? size : 1); /* as long as the input, for the sanitizer */
    if (head == NULL)
        return 0;
    memcpy(head, data, size);
    bool complete = pull_request_parse(head, size, PULL_OWNER, &whole);
    if (complete && whole.error == 0 &&
        (whole.seconds <= 0 || whole.seconds > PULL_MAX_SECONDS))
        abort();
    for (size_t i = 0; i < size; i++)
        if (pull_request_parse(head, i, PULL_OWNER, &part) && !complete)
            abort();
    free(head);
    return 0;
}
