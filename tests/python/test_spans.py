"""Samples carry the OpenTelemetry span that was active when they were taken."""

import sys
from collections import Counter

from conftest import BURN

import pytest

pytest.importorskip("cprof")
pytest.importorskip("opentelemetry.sdk.trace", reason="no OpenTelemetry for this Python")

# A tracer; `begun` is what a span's id is called.
TRACER = BURN + '''
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("test")
def ids(span):
    context = span.get_span_context()
    return "%032x:%016x" % (context.trace_id, context.span_id)
import sys
def tell(name, span): sys.stdout.write(f"{name} {ids(span)}\\n")  # in one piece
def span(name):
    from contextlib import contextmanager
    @contextmanager
    def told():
        with tracer.start_as_current_span(name) as s:
            tell(name, s)
            yield s
    return told()
'''

# Functions by whose names a stack tells in which span it was taken.
NAMED = '''
def named(name, looks=200):
    """A function that burns, under that name, until it has been looked at enough: so often a
    second at least."""
    scope = {"burn": burn}
    exec(f"def in_{name}(seconds): burn(seconds, int({looks} * seconds))", scope)
    return scope[f"in_{name}"]
'''


def told(outcome):
    """name -> trace:span, as the program printed them."""
    assert outcome.code == 0, outcome.err
    return dict(line.split() for line in outcome.out.splitlines() if ":" in line)


def link_of(sample):
    trace_id, span_id = sample.labels.get("trace_id"), sample.labels.get("span_id")
    assert (trace_id is None) == (span_id is None)
    return f"{trace_id}:{span_id}" if trace_id else None


def links_in(profile, function):
    links = Counter()
    for sample in profile.stacks_with(function):
        links[link_of(sample)] += sample.count
    return links


def assert_links(profile, function, link):
    """Of the samples in the function 99.9 % carry exactly that link, None for none."""
    links = links_in(profile, function)
    total = sum(links.values())
    assert total >= 20, f"only {total} samples in {function}"
    assert links[link] >= 0.999 * total, (function, link, links)


# ---- as soon as both are there ----

@pytest.mark.parametrize("order", ["cprof first", "opentelemetry first", "within a span"])
def test_the_order_in_which_both_are_loaded_does_not_matter(execute, order):
    start = 'import cprof; cprof.start(output="out.pb.gz", rate=500)\n'
    source = {"cprof first": start + TRACER, "opentelemetry first": TRACER + start,
              "within a span": TRACER}[order] + NAMED + f'''
with span("a"):
    {start if order == "within a span" else ""}
    named("a")(0.2)
    with span("b"): named("b")(0.2)
    named("a_again")(0.2)
named("none")(0.2)
cprof.stop()
'''
    outcome = execute(source, by=None)
    spans = told(outcome)
    for name, link in {"a": spans["a"], "b": spans["b"], "a_again": spans["a"],
                       "none": None}.items():
        assert_links(outcome.profile, f"in_{name}", link)


def test_auto_start_links_a_program_that_knows_nothing_of_cprof(execute):
    outcome = execute(TRACER + NAMED + '''
with span("a"): named("a")(0.2)
''', by="environment")
    assert_links(outcome.profile, "in_a", told(outcome)["a"])


def test_the_module_is_imported_as_ever(execute):
    outcome = execute('''
import cprof, sys
cprof.start(exporter="none")
before = len(sys.meta_path)
import opentelemetry.context as module
assert type(module.__loader__).__name__ == "SourceFileLoader", module.__loader__
assert module.__spec__.loader is module.__loader__
assert len(sys.meta_path) == before - 1
import inspect; assert "def attach" in inspect.getsource(module)
''', by=None)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="Python itself lets them be no more")
def test_loaders_of_the_old_kind_are_let_be(execute):
    outcome = execute('''
import cprof, sys, warnings
warnings.simplefilter("ignore", ImportWarning)
from importlib.machinery import ModuleSpec, PathFinder
class Old:
    def load_module(self, name):
        module = sys.modules[name] = type(sys)(name)
        module.__loader__, module.loaded = self, True
        return module
class Finder:
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, Old()) if name == "opentelemetry.context" else None
sys.meta_path.insert(0, Finder())
cprof.start(exporter="none")
import opentelemetry.context
assert opentelemetry.context.loaded
''', by=None)
    assert (outcome.code, outcome.err) == (0, "")


def test_spans_are_followed_across_stop_and_start(execute):
    outcome = execute(TRACER + NAMED + '''
import cprof
cprof.start(exporter="none"); cprof.stop()
with span("a"):
    cprof.start(output="out.pb.gz", rate=500)
    named("a")(0.2)
named("none")(0.2)
with span("b"): named("b")(0.2)
cprof.stop()
''', by=None)
    spans = told(outcome)
    for name, link in {"a": spans["a"], "b": spans["b"], "none": None}.items():
        assert_links(outcome.profile, f"in_{name}", link)


# ---- wherever the code goes ----

def test_threads_have_spans_of_their_own(execute):
    outcome = execute(TRACER + NAMED + '''
import threading
def run(i):
    with span(f"t{i}"): named(f"t{i}")(0.2)
    named("none")(0.1)
threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
with span("main"):
    for t in threads: t.start()
    named("main")(0.2)
    for t in threads: t.join()
''')
    spans = told(outcome)
    for name in ("t0", "t1", "t2", "t3", "main"):
        assert_links(outcome.profile, f"in_{name}", spans[name])
    assert_links(outcome.profile, "in_none", None)


def test_an_executor_runs_in_the_span_of_the_context_that_it_is_given(execute):
    outcome = execute(TRACER + NAMED + '''
import concurrent.futures, contextvars
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    with span("a"):
        given = pool.submit(contextvars.copy_context().run, named("given"), 0.2)
        bare = pool.submit(named("bare"), 0.2)
    given.result(), bare.result()
''')
    assert_links(outcome.profile, "in_given", told(outcome)["a"])
    assert_links(outcome.profile, "in_bare", None)


def test_tasks_callbacks_and_contexts_carry_their_spans(execute):
    outcome = execute(TRACER + NAMED + '''
import asyncio, contextvars, sys
async def work(name, rounds=10):
    for _ in range(rounds):
        named(name)(0.02)
        await asyncio.sleep(0)
async def own(name):
    with span(name): await work(name)
async def main():
    loop = asyncio.get_running_loop()
    with span("parent"):
        inherits = asyncio.create_task(work("inherits"))
        loop.call_soon(named("soon"), 0.1)
        loop.call_later(0.01, named("later"), 0.1)
        own_task = asyncio.create_task(own("task"))
    await asyncio.gather(own("g1"), own("g2"), inherits, own_task, work("none"))
    if sys.version_info >= (3, 11):
        with span("group"):
            async with asyncio.TaskGroup() as group:
                group.create_task(own("tg")); group.create_task(work("tg_inherits"))
    await asyncio.sleep(0.05)
    kept = contextvars.copy_context()
    def enter():
        s = tracer.start_span("run"); tell("run", s)
        context.attach(trace.set_span_in_context(s))
    kept.run(enter)
    kept.run(named("run"), 0.1)
    named("outside")(0.1)
asyncio.run(main())
''')
    spans = told(outcome)
    expected = {"inherits": "parent", "soon": "parent", "later": "parent", "task": "task",
                "g1": "g1", "g2": "g2", "run": "run", "none": None, "outside": None}
    if "group" in spans:
        expected.update(tg="tg", tg_inherits="group")
    for name, span in expected.items():
        assert_links(outcome.profile, f"in_{name}", spans[span] if span else None)


def test_generators_and_detached_spans(execute):
    outcome = execute(TRACER + NAMED + '''
def generator():
    with span("generator"):
        named("before")(0.1)
        yield
        named("after")(0.1)
g = generator()
next(g)
named("between")(0.1)    # a generator has no context of its own: its span is active
next(g, None)
named("none")(0.1)
s = tracer.start_span("detached"); tell("detached", s)
named("not_active")(0.1)
with trace.use_span(s): named("used")(0.1)
with trace.use_span(s, end_on_exit=True): named("used")(0.1)
# Tokens given back in the wrong order.
one, two = tracer.start_span("1"), tracer.start_span("2"); tell("one", one); tell("two", two)
t1 = context.attach(trace.set_span_in_context(one))
t2 = context.attach(trace.set_span_in_context(two))
context.detach(t1)
assert trace.get_current_span() is trace.INVALID_SPAN
named("none")(0.1)
context.detach(t2)
assert trace.get_current_span() is one
named("one")(0.1)
''')
    spans = told(outcome)
    for name, span in {"before": "generator", "between": "generator", "after": "generator",
                       "none": None, "not_active": None, "used": "detached",
                       "one": "one"}.items():
        assert_links(outcome.profile, f"in_{name}", spans[span] if span else None)


def test_spans_a_hundred_deep_are_found_on_the_way_back(execute):
    outcome = execute(TRACER + NAMED + '''
def down(n):
    if n == 0: return named("deepest")(0.1)
    with span(f"s{n}"):
        if n == 50: named("down")(0.1)
        down(n - 1)
        if n in (1, 20, 50, 100): named(f"back{n}")(0.1)
down(100)
named("none")(0.1)
''')
    spans = told(outcome)
    for name, span in {"deepest": "s1", "down": "s50", "back1": "s1", "back20": "s20",
                       "back50": "s50", "back100": "s100", "none": None}.items():
        assert_links(outcome.profile, f"in_{name}", spans[span] if span else None)


def test_greenlets_carry_their_spans(execute):
    pytest.importorskip("greenlet")
    outcome = execute(TRACER + NAMED + '''
import greenlet
main = greenlet.getcurrent()
def run(name):
    with span(name):
        for _ in range(10):
            named(name)(0.02)
            main.switch()
greenlets = [greenlet.greenlet(run) for _ in range(3)]
for _ in range(10):
    for i, g in enumerate(greenlets):
        g.switch(f"g{i}") if not g else g.switch()
        named("none")(0.01)
''')
    spans = told(outcome)
    for name in ("g0", "g1", "g2"):
        assert_links(outcome.profile, f"in_{name}", spans[name])
    assert_links(outcome.profile, "in_none", None)


def test_gevent_requests_carry_their_spans(execute):
    pytest.importorskip("gevent")
    outcome = execute('''
import gevent.monkey; gevent.monkey.patch_all()
import gevent
''' + TRACER + NAMED + '''
def run(name):
    with span(name):
        for _ in range(20):
            named(name)(0.01)
            gevent.sleep(0)
gevent.joinall([gevent.spawn(run, f"g{i}") for i in range(5)])
''')
    spans = told(outcome)
    for i in range(5):
        assert_links(outcome.profile, f"in_g{i}", spans[f"g{i}"])


# ---- requests of known work ----

# Those that are served at once have the same work: what runs from one tick of the kernel to the
# next counts to where the second finds it, so that only few ticks tell one kind from another.

ASYNC_SERVER = '''
import asyncio, threading
async def handle(reader, writer):
    line = (await reader.readline()).decode().split()
    name, units = line[0], int(line[1])
    function = named(f"{name}_{units}", looks=0)
    with span(f"{name}_{units}"):
        for _ in range(5):
            function(UNIT * units / 5)
            await asyncio.sleep(0)
    writer.write(b"done"); await writer.drain(); writer.close()
async def client(port, name, units):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{name} {units}\\n".encode())
    await reader.read()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def clients():
        for batch in range(6):
            await asyncio.gather(*(client(port, f"r{batch * 50 + i}", 1 << batch % 3)
                                   for i in range(50)))
    # The clients in a thread with a loop of its own: as outside as one process allows.
    await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(clients()))
    server.close()
asyncio.run(main())
'''

THREADED_SERVER = '''
import socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path[1:]
        function = named(name, looks=0)
        with span(name): function(UNIT * int(name.split("_")[1]))
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
import urllib.request
def client(batch):
    for i in range(60):
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/"
                               f"r{batch * 60 + i}_{1 << i // 20}").read()
clients = [threading.Thread(target=client, args=(b,)) for b in range(5)]
for c in clients: c.start()
for c in clients: c.join()
'''


@pytest.mark.parametrize("server", [ASYNC_SERVER, THREADED_SERVER], ids=["asyncio", "threads"])
def test_each_of_300_interleaved_requests_has_its_own_samples(execute, server):
    outcome = execute(TRACER + NAMED + "UNIT = 0.006\n" + server)
    spans = told(outcome)
    assert len(spans) == 300
    inside = right = wrong_outside = 0
    shares = Counter()
    for sample in outcome.profile.samples:
        request = next((frame.name[3:] for frame in sample.stack
                        if frame.name.startswith("in_r")), None)
        if request is not None:
            inside += sample.count
            right += sample.count * (link_of(sample) == spans[request])
            shares[request.split("_")[1]] += sample.count
        elif link_of(sample) is not None and not near_a_span(sample):
            wrong_outside += sample.count
    assert inside > 1500 and right >= 0.999 * inside, (right, inside)
    assert wrong_outside == 0
    for units in (1, 2, 4):
        assert abs(shares[str(units)] / inside - units / 7) < 0.03, shares


def near_a_span(sample):
    """What runs in the request's context besides its work: the handler's own lines, and the
    event loop's between entering a task's context and running its code."""
    names = {frame.name for frame in sample.stack}
    return bool(names & {"handle", "Handler.do_GET"} or
                "Handle._run" in names and "client" not in names)


# ---- labels beside them ----

def test_labels_and_spans_are_independent(execute):
    outcome = execute(TRACER + NAMED + '''
import cprof
with cprof.labels(tenant="a"):
    with span("s"):
        named("both")(0.1)
        with cprof.labels(tenant="b", more="1"): named("inner")(0.1)
    named("label")(0.1)
''')
    profile, spans = outcome.profile, told(outcome)
    assert_links(profile, "in_both", spans["s"])
    assert_links(profile, "in_inner", spans["s"])
    assert_links(profile, "in_label", None)
    assert {s.labels.get("tenant") for s in profile.stacks_with("in_both")} == {"a"}
    assert {(s.labels.get("tenant"), s.labels.get("more"))
            for s in profile.stacks_with("in_inner")} == {("b", "1")}


# ---- what is wrong with others ----

def test_foreign_and_broken_spans_cost_the_link_and_nothing_else(execute):
    outcome = execute(TRACER + NAMED + '''
from opentelemetry.trace import NonRecordingSpan, SpanContext
class Foreign(NonRecordingSpan):
    """Of another tracer, with a class of its own for what names it."""
    def __init__(self, answer): self.answer = answer
    def get_span_context(self):
        if isinstance(self.answer, Exception): raise self.answer
        return self.answer
class Names:
    def __init__(self, trace_id, span_id): self.trace_id, self.span_id = trace_id, span_id
    is_remote, trace_flags = False, 1
class Reattaching(Foreign):
    def get_span_context(self):
        context.detach(context.attach(trace.set_span_in_context(self)))
        return self.answer
T, S = 0x0123456789abcdef0123456789abcdef, 0x0123456789abcdef
print("foreign", "%032x:%016x" % (T, S))
spans = {"foreign": Foreign(Names(T, S)), "raises": Foreign(RuntimeError("no")),
         "none": Foreign(None), "text": Foreign(Names("1", "2")), "huge": Foreign(Names(1 << 200, 1)),
         "negative": Foreign(Names(-1, -1)), "half": Foreign(object()),
         "short": Foreign((1, 2)), "again": Reattaching(Names(T, S)), "no_span": "a string",
         "remote": NonRecordingSpan(SpanContext(T, S, True)), "invalid": trace.INVALID_SPAN}
for name, s in spans.items():
    token = context.attach(trace.set_span_in_context(s))
    named(name)(0.1)
    context.detach(token)
named("after")(0.1)
assert trace.get_current_span() is trace.INVALID_SPAN
''')
    assert outcome.err.lstrip().startswith("unknown_service:"), outcome.err  # the table
    assert outcome.err.splitlines()[-1].startswith("cprof: profile written"), outcome.err
    profile = outcome.profile
    foreign = told(outcome)["foreign"]
    for name in ("foreign", "again"):
        assert_links(profile, f"in_{name}", foreign)
    unlinked = ("raises", "none", "text", "huge", "negative", "half", "short", "no_span")
    for name in (*unlinked, "remote", "invalid", "after"):
        assert_links(profile, f"in_{name}", None)
    lost = sum(sum(links_in(profile, f"in_{name}").values()) for name in unlinked)
    counted = profile.metric("cprof.samples_unlinked")
    assert abs(counted - lost) <= 0.1 * lost + 5, (counted, lost)


def test_a_context_manager_that_raises_raises_what_it_raised(execute):
    outcome = execute(TRACER + NAMED + '''
runtime = context._RUNTIME_CONTEXT
import cprof
class Broken(type(runtime)):
    def attach(self, c): raise KeyError("attach")
    def detach(self, t): raise KeyError("detach")
    def get_current(self): return context.Context()
cprof.stop()
context._RUNTIME_CONTEXT = Broken()
cprof.start(output="out.pb.gz", rate=500)
for _ in range(3):
    try: context.attach(context.Context()); raise SystemExit("did not raise")
    except KeyError as e: assert e.args == ("attach",)
context.detach(None)   # OpenTelemetry itself logs it
named("work")(0.1)
cprof.stop()
''', by=None)
    assert outcome.code == 0, outcome.err
    assert_links(outcome.profile, "in_work", None)


def test_an_interrupt_while_a_span_is_asked_reaches_the_program(execute):
    outcome = execute(TRACER + '''
class Slow(trace.NonRecordingSpan):
    def __init__(self): pass
    def get_span_context(self): raise KeyboardInterrupt
try: context.attach(trace.set_span_in_context(Slow()))
except KeyboardInterrupt: print("interrupted")
''')
    assert outcome.out.strip() == "interrupted", outcome.err


def test_an_interrupt_while_a_context_is_asked_for_reaches_the_program(execute):
    outcome = execute(TRACER + '''
import asyncio, cprof
class Elsewhere(type(context._RUNTIME_CONTEXT)):  # keeps its contexts where only it knows
    _current_context = None
    interrupts = False
    def __init__(self): pass
    def attach(self, c): return "token"
    def detach(self, token): pass
    def get_current(self):
        if self.interrupts: raise KeyboardInterrupt
        return context.Context()
cprof.stop()
context._RUNTIME_CONTEXT = runtime = Elsewhere()
cprof.start(exporter="none")
runtime.interrupts = True
for call in runtime.attach, runtime.detach:
    try:
        with cprof.labels(a=1): call(None)
        print("swallowed")
    except KeyboardInterrupt: print("interrupted")
''', by=None)
    assert outcome.out.split() == ["interrupted"] * 2, outcome.err


def test_attaching_for_ever_without_detaching_keeps_nothing(execute):
    outcome = execute(TRACER + '''
import gc, weakref
spans = []
for i in range(5000):
    s = tracer.start_span("s")
    spans.append(weakref.ref(s))
    context.attach(trace.set_span_in_context(s))
    del s
gc.collect()
print(sum(ref() is not None for ref in spans))
''')
    assert int(outcome.out) < 100


# ---- the other direction ----

def test_the_root_span_names_the_profile_in_which_it_began(execute):
    outcome = execute(TRACER + '''
import cprof
cprof.stop()
cprof.start(exporter="none")
with tracer.start_as_current_span("root") as root:
    with tracer.start_as_current_span("child") as child: pass
    first = root.attributes["profile.id"]
    assert len(first) == 32 and int(first, 16), first
    assert "profile.id" not in (child.attributes or {})
    cprof.flush()
    with trace.use_span(root): pass
    assert root.attributes["profile.id"] == first
with tracer.start_as_current_span("next") as root:
    assert root.attributes["profile.id"] != first
remote = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
with trace.use_span(trace.NonRecordingSpan(remote)):
    with tracer.start_as_current_span("local root") as root: assert root.attributes["profile.id"]
cprof.stop()
with tracer.start_as_current_span("stopped") as root:
    assert "profile.id" not in (root.attributes or {})
print("fine")
''', by=None, env={"CPROF_SPAN_PROFILE_ID": "on"})
    assert outcome.out == "fine\n", outcome.err


def test_no_span_names_a_profile_unless_it_is_asked_for(execute):
    outcome = execute(TRACER + '''
with tracer.start_as_current_span("root") as root: print("profile.id" in (root.attributes or {}))
''')
    assert outcome.out == "False\n", outcome.err


# ---- for other processes ----

SHARED = TRACER + '''
import contextvars, cprof, os, sys, threading
cprof.stop(); cprof.start(exporter="none"); cprof.flush() # by then the context is published
def wait(): print("now", flush=True); sys.stdin.readline()
'''


def read_outside(run_beside, source, moments):
    """What another process reads of the main thread at each moment that the program waits."""
    reader = pytest.importorskip("reader")
    with run_beside(SHARED + source) as process:
        read = []
        spans = {}
        while len(read) < moments:
            line = process.stdout.readline().strip()
            assert line, process.stderr.read()
            if line != "now":
                spans.update([line.split()])
                continue
            try:
                read.append(reader.thread_context(process.pid))
            except reader.Unreadable as error:
                pytest.skip(f"this machine forbids it: {error}")
            process.stdin.write("\n")
            process.stdin.flush()
        return spans, [context and (f"{context.trace_id}:{context.span_id}", context.attributes)
                       for context in read]


def test_another_process_reads_the_span_and_labels_of_a_thread(run_beside):
    spans, read = read_outside(run_beside, '''
wait()
with span("a"):
    wait()
    with cprof.labels(tenant="x"): wait()
    with span("b"): wait()
    wait()
wait()
''', 6)
    assert read == [None, (spans["a"], {}), (spans["a"], {"tenant": "x"}), (spans["b"], {}),
                    (spans["a"], {}), None]


def test_another_process_never_reads_the_span_of_another_task(run_beside):
    """From 3.14 on it reads the right one, before none."""
    spans, read = read_outside(run_beside, '''
import asyncio
async def task(name):
    with span(name):
        for _ in range(2):
            wait()
            await asyncio.sleep(0)
async def main(): await asyncio.gather(task("a"), task("b"))
asyncio.run(main())
wait()
''', 5)
    right = [(spans[name], {}) for name in "abab"] + [None]
    if sys.version_info >= (3, 14):
        assert read == right
    else:
        assert read == [None] * 5
