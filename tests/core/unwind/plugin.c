/* A library to be loaded and unloaded. */
__attribute__((visibility("default"))) int plugin_call(int (*function)(int), int value);

int plugin_call(int (*function)(int), int value)
{
    return function(value) + 1;
}
