/* What servers say: bodies, gRPC's headers and messages, Retry-After. The first byte picks. */
#include <stdlib.h>
#include <string.h>

#include "export/answer.h"
#include "export/grpc.h"
#include "export/retry.h"
#include "export/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_text(uint8_t which, const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1);
    uint64_t delay = 0;
    memcpy(text, data, size);
    if (which == 0 && grpc_retry_info(text, &delay) && delay > 3601000000000)
        abort();
    if (which == 1 && retry_after(text, 1700000000) > 3600000000000)
        abort();
    if (which == 2)
        free(url_for_people(text));
    if (which == 3 && (grpc_status(text) < GRPC_NO_STATUS || grpc_status(text) > 999))
        abort();
    if (which == 4)
        grpc_decode_message(text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer answer;
    uint64_t delay;
    size_t length;
    if (size == 0)
        return 0;
    uint8_t which = data[0];
    data++;
    size--;
    if (which < 5) {
        read_text(which, data, size);
        return 0;
    }
    answer_status(data, size, &answer);
    answer_partial_success(data, size, &answer);
    answer_retry_info(data, size, &delay);
    const uint8_t *message = grpc_message(data, size, &length);
    if (message != NULL && (message < data || message + length > data + size))
        abort();
    return 0;
}
