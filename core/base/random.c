#include "base/random.h"

#include <linux/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

void random_words(uint64_t words[2])
{
    const long size = 2 * sizeof *words;
    /* Glibc has had a function for it only since 2.25. */
    if (syscall(SYS_getrandom, words, size, GRND_NONBLOCK) != size) {
        words[0] = hash_combine((uint64_t)getpid(), clock_ns(CLOCK_REALTIME));
        words[1] = hash_combine(words[0], clock_ns(CLOCK_MONOTONIC));
    }
}
