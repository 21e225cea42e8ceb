/* Handler code, but for keys_detect(). See keys.h. */
#include "sample/keys.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool keys_in_use;

void keys_detect(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    const unsigned used_by_kernel = 1u << 4; /* OSPKE */
    if (!keys_in_use && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0)
        keys_in_use = (c & used_by_kernel) != 0;
#endif
}
