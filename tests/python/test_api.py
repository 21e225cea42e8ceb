"""The package's face: start, flush, stop, profile, stats, and the thread hooks."""

import _thread
import asyncio
import inspect
import pickle
import socket
import subprocess
import sys
import threading
import time

import pytest

from pprof import Profile

cprof = pytest.importorskip("cprof")


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(autouse=True)
def stopped_before_and_after(monkeypatch):
    for name in ("CPROF_ENABLED", "CPROF_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CPROF_EXPORTER", "none")
    while cprof.is_running():
        cprof.stop()
    yield
    while cprof.is_running():
        cprof.stop()


STATS = ["samples", "samples_dropped", "samples_truncated", "samples_failed", "timer_overruns",
         "threads", "stacks", "memory_bytes", "profiles_exported", "profiles_failed",
         "profiles_dropped", "bytes_sent", "metrics_exported", "metrics_failed", "handler_ns_mean", "handler_ns_max",
         "collector_cpu_ns", "alloc_bytes", "heap_bytes", "resident_bytes",
         "gc_collections", "gc_pause_ns", "gc_cpu_ns"]


def test_start_and_stop_a_hundred_times_leaks_nothing():
    def descriptors():
        import os
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    cprof.start(); cprof.stop()
    before = descriptors()
    for _ in range(100):
        cprof.start()
        assert cprof.is_running()
        cprof.stop()
        assert not cprof.is_running()
    assert descriptors() == before


def test_stats_has_the_keys_of_the_interface_and_counts():
    cprof.start(rate=500)
    burn(0.4)
    cprof.flush()
    stats = cprof.stats()
    assert list(stats) == STATS
    assert stats["samples"] > 50 and stats["threads"] >= 1 and stats["handler_ns_mean"] > 0


def test_a_type_that_makes_no_sense_is_one_line_and_the_others_run(capfd):
    cprof.start(types=["cpu@250hz", "magic"], exporter="none")
    burn(0.2)
    assert cprof.is_running() and cprof.stop()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and "magic" in lines[0] and "cpu" in lines[0]
    assert cprof.stats()["samples"] > 30


@pytest.mark.parametrize("parameters, needle", [
    ({"rate": 0}, "rate"), ({"rate": -3}, "rate"), ({"rate": 100000}, "100000"),
    ({"interval": 0}, "interval"), ({"interval": float("nan")}, "interval"),
    ({"types": ["magic"]}, "magic"), ({"output": "x.nonsense"}, "x.nonsense"),
    ({"exporter": "pigeon"}, "pigeon")])
def test_a_value_that_makes_no_sense_is_a_value_error(parameters, needle):
    with pytest.raises(ValueError, match=needle) as caught:
        cprof.start(**parameters)
    assert "\n" not in str(caught.value)
    assert not cprof.is_running()


def test_stop_and_flush_without_start_do_nothing():
    assert cprof.stop() is False
    assert cprof.flush(0.1) is False


def test_stop_says_that_the_only_profile_was_refused(capfd):
    """A server that answers 404, as a collector without profiles does."""
    server = socket.create_server(("127.0.0.1", 0))

    def refuse():
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            while connection.recv(65536):
                pass

    threading.Thread(target=refuse, daemon=True).start()
    cprof.start(exporter="otlp", rate=500, endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
    burn(0.1)
    delivered = cprof.stop(timeout=20)
    server.close()
    assert delivered is False and "HTTP 404" in capfd.readouterr().err


def test_profile_writes_the_block_it_surrounds(tmp_path):
    path = tmp_path / "block.pb.gz"
    with cprof.profile(path, rate=500, exporter="file"):
        burn(0.3)
    assert not cprof.is_running()
    assert Profile(path).stacks_with("burn")


def test_profile_decorates_functions_and_coroutines(tmp_path):
    @cprof.profile(tmp_path / "plain.pb.gz", rate=500, exporter="file")
    def plain(a, *, b):
        """doc"""
        burn(0.2)
        return a, b

    @cprof.profile(tmp_path / "async.pb.gz", rate=500, exporter="file")
    async def asynchronous():
        burn(0.2)
        return 5

    assert plain(1, b=2) == (1, 2) and plain.__doc__ == "doc"
    assert inspect.iscoroutinefunction(asynchronous) and asyncio.run(asynchronous()) == 5
    assert Profile(tmp_path / "plain.pb.gz").stacks_with("burn")
    assert Profile(tmp_path / "async.pb.gz").stacks_with("burn")


def test_an_error_in_a_profiled_block_passes_through(tmp_path):
    with pytest.raises(KeyError):
        with cprof.profile(tmp_path / "x.pb.gz", exporter="file"):
            burn(0.2)
            raise KeyError("mine")
    assert (tmp_path / "x.pb.gz").exists()


def test_thread_functions_are_put_back_at_stop():
    before = _thread.start_new_thread, threading._start_joinable_thread \
        if sys.version_info >= (3, 13) else threading._start_new_thread
    cprof.start()
    assert _thread.start_new_thread is not before[0]
    assert pickle.loads(pickle.dumps(_thread.start_new_thread)) is _thread.start_new_thread
    cprof.stop()
    assert before == (_thread.start_new_thread, threading._start_joinable_thread
                      if sys.version_info >= (3, 13) else threading._start_new_thread)


def test_a_thread_function_kept_past_stop_still_works():
    cprof.start()
    kept = _thread.start_new_thread
    cprof.stop()
    done = threading.Event()
    kept(done.set, ())
    assert done.wait(5)


def test_threads_behave_as_without_cprof(capfd):
    cprof.start()
    with pytest.raises(TypeError):
        _thread.start_new_thread("not callable", ())
    results = []
    thread = threading.Thread(target=lambda *a, **k: results.append((a, k)), args=(1,),
                              kwargs={"x": 2})
    thread.start()
    thread.join()
    assert results == [((1,), {"x": 2})]
    seen = []
    done = threading.Event()
    hook, sys.unraisablehook = sys.unraisablehook, lambda u: (seen.append(u), done.set())
    try:
        def failing():
            raise ValueError("in a raw thread")
        _thread.start_new_thread(failing, ())
        assert done.wait(5)
    finally:
        sys.unraisablehook = hook
    entries = []
    traceback = seen[0].exc_traceback
    while traceback:
        entries.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert entries == ["failing"]
    # From 3.13 on the hook is told of the function in the message alone.
    assert seen[0].object is (failing if sys.version_info < (3, 13) else None)
    assert "ThreadEntry" not in f"{seen[0].err_msg} {seen[0].object!r}"
    assert sys.version_info < (3, 13) or repr(failing) in seen[0].err_msg


def test_a_thread_that_ends_by_system_exit_says_nothing(capfd):
    cprof.start()
    done = threading.Event()

    def leaving():
        try:
            sys.exit(3)
        finally:
            done.set()
    _thread.start_new_thread(leaving, ())
    assert done.wait(5)
    cprof.stop()
    assert capfd.readouterr().err == ""


def test_code_objects_are_not_kept_after_stop():
    import gc
    import weakref

    cprof.start()
    for n in range(3000):
        exec(compile(f"x = {n}", f"<gone {n}>", "exec"), {})
    code = compile("y = 1", "<last>", "exec")
    reference = weakref.ref(code)
    del code
    assert reference() is None
    cprof.stop()
    gc.collect()


def test_labels_restore_what_was_there():
    variable = cprof._cprof.labels_variable
    with cprof.labels(a="1"):
        with cprof.labels(b=2):
            assert dict(variable.get().pairs) == {"a": "1", "b": "2"}
        assert dict(variable.get().pairs) == {"a": "1"}
    assert variable.get() is None

    @cprof.labels(f="x")
    def function():
        return dict(variable.get().pairs)

    @cprof.labels(f="y")
    async def coroutine():
        return dict(variable.get().pairs)

    assert function() == {"f": "x"} and asyncio.run(coroutine()) == {"f": "y"}


def test_the_package_says_that_it_is_typed():
    import pathlib
    folder = pathlib.Path(cprof.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "_cprof.pyi").exists()
    assert all(getattr(cprof, name).__doc__ for name in cprof.__all__)


def test_importing_and_starting_loads_nothing_of_the_standard_library_that_takes_long():
    """What a program pays that imports little itself: inspect alone is ten times all of this."""
    code = """
import sys, os
before = set(sys.modules)
import cprof
cprof.start(exporter="none")
cprof.stop()
print(*sorted(set(sys.modules) - before))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert set(loaded.split()) <= {"__future__", "atexit", "gc", "cprof", "cprof._cprof",
                                   "cprof._spans", "cprof._version"}


def test_the_command_comes_with_the_package():
    process = subprocess.run([sys.executable, "-c", "from cprof._command import main; main()",
                              "--help"],
                             capture_output=True, text=True)
    assert process.returncode == 0 and "flame" in process.stdout
