#!/usr/bin/env python3
"""What following OpenTelemetry spans costs a Python program: prints nanoseconds of the thread's CPU
time, without cprof and with it, in one run. Needs opentelemetry-sdk, cprof and, for the last
line, _walktest (tests/python/walktest/build.sh) on the path.

    python tests/bench/spans.py
"""

import asyncio
import contextvars
import platform
import time

import cprof
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("bench")
in_span = trace.set_span_in_context(tracer.start_span("s"))


def activate(count):
    attach, detach = context.attach, context.detach
    for _ in range(count):
        detach(attach(in_span))


def whole_span(count):
    for _ in range(count):
        with tracer.start_as_current_span("s"):
            pass


def switch_context(count):
    run = contextvars.copy_context().run
    for _ in range(count):
        run(int)


def switch_task(count):
    async def task():
        for _ in range(count // 2):
            await asyncio.sleep(0)

    async def main():
        with trace.use_span(trace.get_current_span(in_span)):
            await asyncio.gather(task(), task())
    asyncio.run(main())


WORK = {"span made active and inactive": (activate, 2000),
        "span from start to end, no exporter": (whole_span, 200),
        "Context.run()": (switch_context, 2000),
        "switch between asyncio tasks": (switch_task, 2000)}


def measure():
    """The best of many short rounds: what interrupts only adds."""
    best = {}
    for _ in range(60):
        for name, (work, count) in WORK.items():
            begin = time.thread_time_ns()
            work(count)
            cost = (time.thread_time_ns() - begin) / count
            best[name] = min(cost, best.get(name, cost))
    return best


def labelled(count):
    for _ in range(count):
        with cprof.labels(endpoint="/users"):
            pass


def main():
    without = measure()
    cprof.start(exporter="none")
    within = measure()
    print(f"Python {platform.python_version()}, nanoseconds of CPU time    without      with     more")
    for name in WORK:
        print(f"{name:42}{without[name]:10.0f}{within[name]:10.0f}"
              f"{within[name] - without[name]:9.0f}")
    WORK.clear()
    WORK["cprof.labels(endpoint=...)"] = labelled, 1000
    for name, cost in measure().items():
        print(f"{name:42}{'':10}{cost:10.0f}")
    cprof.stop()
    try:
        import _walktest
    except ImportError:
        return
    _walktest.open()
    _walktest.follow_spans(type("Runtime", (), {"attach": None, "detach": None,
                                                "get_current": lambda self: in_span})(), None)
    cost, span_id = min(_walktest.context_cost(10000) for _ in range(20))
    assert span_id != bytes(8)
    print(f"{'handler: reading span and labels':42}{'':10}{cost:10.0f}")


if __name__ == "__main__":
    main()
