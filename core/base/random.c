#include "base/random.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

void random_words(uint64_t words[2])
{
    const ssize_t size = 2 * sizeof *words;
    if (getrandom(words, (size_t)size, GRND_NONBLOCK) != size) {
        words[0] = hash_combine((uint64_t)getpid(), clock_ns(CLOCK_REALTIME));
        words[1] = hash_combine(words[0], clock_ns(CLOCK_MONOTONIC));
    }
}
