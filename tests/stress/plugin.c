/* Code that comes and goes while it is sampled. */
int plugin_work(int rounds);
extern volatile unsigned plugin_sink;
volatile unsigned plugin_sink;

__attribute__((noinline)) static void turn(int depth)
{
    if (depth > 0)
        turn(depth - 1);
    plugin_sink += (unsigned)depth;
}

__attribute__((visibility("default"))) int plugin_work(int rounds)
{
    for (int i = 0; i < rounds; i++)
        turn(20);
    return (int)plugin_sink;
}
