/* A library whose constructor waits until a file is there. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void wait_for_file(void)
{
    const char *go = getenv("SLOW_PLUGIN_GO");
    setenv("SLOW_PLUGIN_WAITS", "1", 1);
    while (go != NULL && access(go, F_OK) != 0)
        usleep(1000);
}
