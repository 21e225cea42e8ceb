#include "engine/state.h"

struct engine engine = {.lifecycle = PTHREAD_MUTEX_INITIALIZER,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .forking = PTHREAD_MUTEX_INITIALIZER,
                        .binding_budget = {.whole = &engine.budget}};
