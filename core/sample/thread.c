#include "sample/thread.h"

struct thread thread_records[THREADS_MAX]; /* untouched pages cost nothing */
