"""profile() around blocks and functions of every kind, and a start() while cprof runs."""

import asyncio
import inspect
import os
import threading

import pytest

import cprof
from burn import burn
from conftest import BURN
from pprof import Profile


QUIET = {"PYTHONWARNINGS": "ignore"}  # 3.12 and newer warn of threads at fork


def first(seconds=0.1):
    burn(seconds, looks=2 if cprof.is_running() else 0)
    return 1


def second(seconds=0.1):
    burn(seconds, looks=2 if cprof.is_running() else 0)
    return 2


@pytest.fixture(autouse=True)
def stopped_before_and_after(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CPROF_")]:
        monkeypatch.delenv(name)
    while cprof.is_running():
        cprof.stop()
    yield
    while cprof.is_running():
        cprof.stop()


@pytest.fixture
def out(tmp_path):
    """out("a") is a file's path; has("a", "first", "second") what must be in it, and no more."""
    class Out:
        def __call__(self, name):
            return str(tmp_path / f"{name}.pb.gz")

        def has(self, name, *functions):
            profile = Profile(self(name))
            found = {name for name in ("first", "second") if profile.stacks_with(name)}
            assert found == set(functions), name
    return Out()


# ---- blocks ----

def test_a_block_is_captured_beside_the_profiler_that_runs(out):
    cprof.start(output=out("whole"))
    first()
    with cprof.profile(out("block")):
        second()
    assert cprof.is_running()
    cprof.stop()
    assert not cprof.is_running()
    out.has("whole", "first", "second")
    out.has("block", "second")


def test_nested_blocks_each_have_what_they_surround(out):
    with cprof.profile(out("outer")):
        first()
        with cprof.profile(out("inner")):
            second()
    assert not cprof.is_running()
    out.has("outer", "first", "second")
    out.has("inner", "second")


def test_blocks_of_two_threads_at_once_each_have_their_own_time(out):
    met, left = threading.Barrier(2), threading.Event()

    def early():
        with cprof.profile(out("early")):
            first()
            met.wait()
        left.set()

    def late():
        met.wait()
        with cprof.profile(out("late")):
            left.wait()
            second()
    threads = [threading.Thread(target=f) for f in (early, late)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not cprof.is_running()
    out.has("early", "first")
    out.has("late", "second")


def test_one_block_can_be_entered_again(out):
    block = cprof.profile(out("again"))
    with block:
        with block:
            first()
        second()
    out.has("again", "first", "second")
    with block:
        second()
    out.has("again", "second")


def test_a_number_in_the_name_makes_a_file_of_each_block(out, tmp_path):
    for function in (first, second):
        with cprof.profile(out("block-%n")):
            function()
    found = [{name for name in ("first", "second") if Profile(path).stacks_with(name)}
             for path in tmp_path.glob("block-*.pb.gz")]
    assert sorted(map(sorted, found)) == [["first"], ["second"]]


def test_a_block_too_many_is_one_line_and_its_code_runs(out, capfd):
    blocks = [cprof.profile(out(f"many-{n}")) for n in range(17)]
    for block in blocks:
        block.__enter__()
    first()
    for block in blocks:
        block.__exit__(None, None, None)
    assert not cprof.is_running()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("cprof: ") and "many-16" in lines[0]
    out.has("many-15", "first")
    assert not os.path.exists(out("many-16"))


@pytest.mark.parametrize("running", [False, True])
def test_a_file_that_can_not_be_written_is_a_value_error_at_once(out, running):
    if running:
        cprof.start(exporter="none")
    for path in ("x.nonsense", "/nowhere/x.html"):
        with pytest.raises(ValueError, match=path):
            cprof.profile(path).__enter__()
    assert cprof.is_running() is running
    cprof.stop()
    assert not cprof.is_running()


def test_a_file_that_can_no_longer_be_written_is_one_line(out, tmp_path, capfd):
    (tmp_path / "gone").mkdir()
    with cprof.profile(tmp_path / "gone" / "x.pb.gz"):
        (tmp_path / "gone").rmdir()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("cprof: ") and "gone" in lines[0]


def test_settings_of_a_block_that_the_running_profiler_does_not_take_are_said_once(out, capfd):
    cprof.start(exporter="none", rate=100)
    for _ in range(2):
        with cprof.profile(out("block"), rate=500, labels={"a": "b"}):
            pass
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and "rate" in lines[0] and "labels" in lines[0]
    assert "native" not in lines[0]


def test_a_block_open_at_the_program_s_end_has_its_file(execute, tmp_path):
    outcome = execute(BURN + """
import cprof
block = cprof.profile("open.pb.gz")
block.__enter__()
burn(0.3)
""", by=None)
    assert (outcome.code, outcome.err) == (0, "")
    assert Profile(tmp_path / "open.pb.gz").stacks_with("burn")


def test_a_child_forked_in_a_block_writes_beside_its_parent(execute, tmp_path):
    outcome = execute(BURN + """
import cprof, os, sys
def child(): burn(0.3)
def parent(): burn(0.3)
with cprof.profile("block.pb.gz"):
    pid = os.fork()
    if pid == 0:
        child()
    else:
        parent()
        os.waitpid(pid, 0)
if pid:
    print(pid)
""", by=None, env=QUIET)
    assert (outcome.code, outcome.err) == (0, "")
    own, beside = (Profile(tmp_path / name) for name in
                   ("block.pb.gz", f"block.{outcome.out.strip()}.pb.gz"))
    assert own.stacks_with("parent") and not own.stacks_with("child")
    assert beside.stacks_with("child") and not beside.stacks_with("parent")


# ---- functions ----

def test_a_function_that_calls_itself_is_measured_from_the_outer_call_s_beginning_to_its_end(out):
    @cprof.profile(out("recursive"))
    def recursive(depth):
        if depth == 0:
            return second()
        first()
        result = recursive(depth - 1)
        assert not os.path.exists(out("recursive"))
        return result

    assert recursive(3) == 2
    assert not cprof.is_running()
    out.has("recursive", "first", "second")


def test_a_deep_recursion_costs_the_profile_once(out):
    @cprof.profile(out("deep"))
    def deep(depth):
        return depth and 1 + deep(depth - 1)
    assert [deep(100) for _ in range(3)] == [100] * 3
    assert not cprof.is_running()
    assert os.path.exists(out("deep"))


def test_two_threads_in_one_function_share_its_file(out):
    met = threading.Barrier(2)

    @cprof.profile(out("shared"))
    def shared(function):
        met.wait()
        return function()
    threads = [threading.Thread(target=shared, args=(f,)) for f in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not cprof.is_running()
    out.has("shared", "first", "second")


def test_two_coroutines_in_one_function_share_its_file(out):
    @cprof.profile(out("shared"))
    async def shared(function):
        await asyncio.sleep(0.01)
        function()
        await asyncio.sleep(0.01)
        return function

    async def main():
        return await asyncio.gather(shared(first), shared(second))
    assert inspect.iscoroutinefunction(shared)
    assert asyncio.run(main()) == [first, second]
    assert not cprof.is_running()
    out.has("shared", "first", "second")


def test_a_coroutine_that_is_cancelled_ends_its_profile(out):
    @cprof.profile(out("cancelled"))
    async def cancelled():
        first()
        await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    asyncio.run(main())
    assert not cprof.is_running()
    out.has("cancelled", "first")


def test_a_generator_is_profiled_from_its_first_step_to_its_end(out):
    @cprof.profile(out("generator"))
    def generator(start):
        """doc"""
        first()
        got = yield start
        second()
        yield got
        return "end"

    steps = generator(1)
    assert inspect.isgeneratorfunction(generator) and generator.__doc__ == "doc"
    assert not cprof.is_running()
    assert next(steps) == 1 and cprof.is_running()
    assert steps.send("sent") == "sent"
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "end" and not cprof.is_running()
    out.has("generator", "first", "second")


def test_a_generator_that_is_closed_or_forgotten_ends_its_profile(out):
    @cprof.profile(out("closed"))
    def generator():
        first()
        yield 1

    steps = generator()
    next(steps)
    steps.close()
    assert not cprof.is_running()
    out.has("closed", "first")
    assert next(generator()) == 1  # and no more of it
    assert not cprof.is_running()


def test_an_asynchronous_generator_is_profiled_from_its_first_step_to_its_end(out):
    cleaned = []

    @cprof.profile(out("async"))
    async def generator():
        try:
            first()
            got = yield 1
            try:
                yield got
            except KeyError:
                await asyncio.sleep(0)
                second()
                yield "caught"
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def main(close):
        steps = generator()
        assert not cprof.is_running()
        assert await steps.asend(None) == 1 and cprof.is_running()
        assert await steps.asend("sent") == "sent"
        assert await steps.athrow(KeyError("x")) == "caught"
        if close:
            await steps.aclose()
        else:
            assert [item async for item in steps] == []
    assert inspect.isasyncgenfunction(generator)
    for close in (False, True):
        asyncio.run(main(close))
        assert not cprof.is_running()
        out.has("async", "first", "second")
    assert cleaned == [True, True]


def test_an_error_in_a_generator_reaches_who_steps_it(out):
    @cprof.profile(out("error"))
    def plain():
        yield 1
        raise LookupError("mine")

    @cprof.profile(out("error"))
    async def asynchronous():
        yield 1
        raise LookupError("mine")

    async def main():
        return [item async for item in asynchronous()]
    with pytest.raises(LookupError, match="mine"):
        list(plain())
    with pytest.raises(LookupError, match="mine"):
        asyncio.run(main())
    assert not cprof.is_running()


def test_labels_on_generators_are_those_of_their_steps_alone():
    variable = cprof._cprof.labels_variable

    def now():
        return dict(variable.get().pairs) if variable.get() else {}

    @cprof.labels(job="plain")
    def plain():
        try:
            got = yield now()
            yield got, now()
        except KeyError:
            yield "caught", now()
        finally:
            seen.append(now())
        return "end"

    @cprof.labels(job="async")
    async def asynchronous():
        got = yield now()
        await asyncio.sleep(0)
        try:
            yield got, now()
        except KeyError:
            yield "caught", now()

    seen = []
    steps = plain()
    assert next(steps) == {"job": "plain"} and now() == {}
    assert steps.send(3) == (3, {"job": "plain"}) and now() == {}
    assert steps.throw(KeyError()) == ("caught", {"job": "plain"}) and now() == {}
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "end"
    steps = plain()
    next(steps)
    steps.close()
    assert seen == [{"job": "plain"}] * 2 and now() == {}

    async def main():
        steps = asynchronous()
        assert await steps.asend(None) == {"job": "async"} and now() == {}
        assert await steps.asend(3) == (3, {"job": "async"}) and now() == {}
        assert await steps.athrow(KeyError()) == ("caught", {"job": "async"}) and now() == {}
        assert [item async for item in steps] == []
    asyncio.run(main())


# ---- started twice ----

def test_a_second_start_joins_and_each_stop_gives_one_back(out, capfd):
    cprof.start(output=out("whole"))
    cprof.start(output=out("whole"))
    first()
    assert cprof.stop() is True and cprof.is_running()
    out.has("whole", "first")
    second()
    assert cprof.stop() is True and not cprof.is_running()
    out.has("whole", "first", "second")
    assert capfd.readouterr().err == "cprof: start: already running; this call joins it\n"


def test_a_second_start_says_once_what_it_does_not_change(out, capfd):
    cprof.start(exporter="none", rate=100)
    for _ in range(2):
        cprof.start(exporter="none", rate=500, service_name="second")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "service_name, rate" in lines[0] and "exporter" not in lines[0]


def test_a_second_start_with_a_value_that_makes_no_sense_is_an_error_and_changes_nothing():
    cprof.start(exporter="none")
    with pytest.raises(ValueError, match="pigeon"):
        cprof.start(exporter="pigeon")
    cprof.stop()
    assert not cprof.is_running()


def test_a_program_s_own_start_and_stop_lose_nothing_of_what_the_environment_asked_for(execute):
    outcome = execute(BURN + """
import cprof
def before(): burn(0.3)
def between(): burn(0.3)
def after(): burn(0.3)
before()
cprof.start(service_name="checkout", output="own.html")
between()
assert cprof.stop()
after()
""", by="environment")
    assert outcome.code == 0
    for name in ("before", "between", "after"):
        assert outcome.profile.stacks_with(name)
    assert outcome.err == ("cprof: start: already running, by CPROF_ENABLED; this call joins it, "
                           "which keeps its own service_name, output\n")


def test_a_start_in_a_forked_worker_joins_the_worker_s_own(execute, tmp_path):
    """As gunicorn's post_fork does, in hooks that run before cprof's and after."""
    outcome = execute(BURN + """
import cprof, os, sys
cprof.start()
os.register_at_fork(after_in_child=cprof.start)
pid = os.fork()
if pid == 0:
    cprof.start()
    burn(0.3)
    sys.exit(0 if cprof.is_running() else 5)
print(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""", by="environment", env=QUIET)
    pid, code = outcome.out.split()
    assert (outcome.code, code) == (0, "0")
    assert Profile(tmp_path / f"out.{pid}.pb.gz").stacks_with("burn")
    lines = outcome.err.splitlines()
    assert lines and all("already running, by CPROF_ENABLED" in line for line in lines)


def test_what_a_program_has_redefined_is_called_by_nothing_of_ours(execute, tmp_path):
    outcome = execute(BURN + """
import atexit, builtins, os, sys, threading
import cprof
def refuse(*arguments, **keywords): raise SystemError("not yours")
kept = {name: getattr(builtins, name) for name in ("print", "float", "int", "str", "dict", "tuple",
                                                    "len", "isinstance", "bool", "repr", "open",
                                                    "getattr", "hasattr", "any")}
def redefine(how):
    for name in kept:
        setattr(builtins, name, refuse if how else kept[name])
for module, names in ((os, ("fspath", "getpid", "register_at_fork")),
                      (os.path, ("abspath", "dirname", "join")),
                      (atexit, ("register", "unregister")), (threading, ("enumerate",))):
    for name in names:
        setattr(module, name, refuse)
redefine(True)
cprof.start(output="own.pb.gz", rate=500, labels={"a": "b"}, types=["cpu"])
redefine(False)
burn(0.3)
redefine(True)
cprof.flush()
with cprof.profile("block.pb.gz"):
    pass
cprof.stop()
redefine(False)
cprof.start(output="exit.pb.gz")
burn(0.3)
redefine(True)
""", by=None)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    for name in ("own", "exit"):
        assert Profile(tmp_path / f"{name}.pb.gz").stacks_with("burn")
    assert (tmp_path / "block.pb.gz").exists()


def test_a_second_copy_of_cprof_says_so_and_runs_its_blocks(execute):
    outcome = execute("""
import os, shutil, sys
import cprof
shutil.copytree(os.path.dirname(cprof.__file__), "second/cprof")
for name in [name for name in sys.modules if name.partition(".")[0] == "cprof"]: del sys.modules[name]
sys.path.insert(0, os.path.abspath("second"))
import cprof as second
assert second is not cprof and second.__file__.startswith(sys.path[0])
with second.profile("with.html"): print("block")
@second.profile("function.html")
def function(): return "function"
print(function())
second.start(output="start.html")
print(second.is_running(), cprof.is_running(), [name for name in os.listdir() if name.endswith(".html")])
""", by="environment")
    assert (outcome.code, outcome.out) == (0, "block\nfunction\nFalse True []\n"), outcome.err
    lines = outcome.err.splitlines()
    assert len(lines) == 3 and all("cprof: another copy of cprof, " in line for line in lines), lines
