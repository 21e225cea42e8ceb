#include "context/record.h"

_Thread_local struct thread_context *otel_thread_ctx_v1;
