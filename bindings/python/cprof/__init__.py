"""cprof: an always-on profiler for Python that shows native and Python frames in one stack.

    import cprof
    cprof.start(service_name="checkout")

Every parameter left out takes its environment variable's value (CPROF_RATE, OTEL_SERVICE_NAME,
OTEL_EXPORTER_OTLP_ENDPOINT, ...) or that variable's default.
"""

from __future__ import annotations

import _thread
import sys
from _thread import start_new_thread as _start_new_thread
from atexit import register as _at_exit, unregister as _not_at_exit
# A program may redefine what everybody calls, and we start, stop and exit with it all the same.
from builtins import (Exception, RuntimeError, ValueError, bool, dict, float, int, isinstance, len,
                      repr, str, tuple)
from os import fspath, getpid, register_at_fork
from os.path import abspath, dirname

from cprof import _cprof, _spans
from cprof._version import __version__ as __version__

# Importing typing takes as long as all of this; type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import (Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Type,
                        TypeVar, Union)
    _F = TypeVar("_F", bound=Callable[..., Any])
    _Pairs = Tuple[Tuple[str, str], ...]

__all__ = ["start", "flush", "stop", "is_running", "stats", "dump", "profile", "labels", "exemplar_reservoir"]

_importer = _thread.get_ident()  # the main thread, where cprof starts by itself
_EXIT_TIMEOUT = -1.0  # the one that CPROF_EXIT_TIMEOUT gives
_FOLDER = dirname(abspath(_cprof.__file__))  # of libcprof_http.so


def start(service_name: Optional[str] = None, rate: Optional[int] = None,
          types: Union[str, Iterable[str], None] = None,
          output: Union[str, "os.PathLike[str]", None] = None,
          exporter: Union[str, Iterable[str], None] = None,
          endpoint: Optional[str] = None,
          headers: Optional[Mapping[str, str]] = None,
          interval: Optional[float] = None,
          labels: Optional[Mapping[str, str]] = None,
          native: Optional[bool] = None) -> None:
    """Start profiling this process.

    Does nothing when OTEL_SDK_DISABLED is true. Where cprof runs already (CPROF_ENABLED, `cprof
    run`, another library) the call joins it, and one line says which of its parameters differ;
    each stop() gives one start back. Raises ValueError, with one line that names the parameter
    or variable, for a value that makes no sense, and RuntimeError when the system refuses.
    """
    _start(service_name=service_name, rate=rate, types=types, output=output, exporter=exporter,
           endpoint=endpoint, headers=headers, interval=interval, labels=labels, native=native)


def _start(origin: Optional[str] = None, **parameters: Any) -> None:
    """start() by `origin`, which the line names that a later start gets."""
    with _lifecycle:
        started = _cprof.start(*_arguments(origin, **parameters))
        if started is not None:
            _begin(started)


def _arguments(origin: Optional[str], service_name: Optional[str] = None,
               rate: Optional[int] = None, types: Union[str, Iterable[str], None] = None,
               output: Union[str, "os.PathLike[str]", None] = None,
               exporter: Union[str, Iterable[str], None] = None,
               endpoint: Optional[str] = None, headers: Optional[Mapping[str, str]] = None,
               interval: Optional[float] = None, labels: Optional[Mapping[str, str]] = None,
               native: Optional[bool] = None) -> Tuple[Any, ...]:
    """What the extension takes, in its order."""
    return (service_name, _comma_list(types), _positive("rate", rate, int),
            _positive("interval", interval, float), _comma_list(exporter), endpoint,
            None if output is None else fspath(output), _pairs(headers), _pairs(labels),
            None if native is None else "on" if native else "off", _resource(), _FOLDER, origin)


def _begin(started: bool) -> None:
    """The engine runs now; `started`: it did not before."""
    if started and _cprof.no_walk:
        _cprof.say(f"{_cprof.no_walk}; showing native frames only")
    _describe_threads()
    if started:
        if not _cprof.no_walk:  # what can't be walked can't be asked for its context either
            _spans.follow()
        _hook_process()


def flush(timeout: float = 5.0) -> bool:
    """Export what has been gathered; True when everything has been delivered."""
    _describe_threads()
    return _cprof.flush(timeout)


def stop(timeout: float = 5.0) -> bool:
    """Stop profiling and deliver the rest; True when everything has been delivered. Where it was
    started more than once, each stop() delivers and only the last one stops."""
    return _end(_cprof.stop, timeout)


def _end(end: Callable[[float], bool], timeout: float) -> bool:
    with _lifecycle:
        if _cprof.is_running():
            _describe_threads()
        delivered = end(timeout)
        if not _cprof.is_running() and not _can_be_asked:
            _not_at_exit(_stop_at_exit)
    return delivered


def is_running() -> bool:
    """True between start() and stop()."""
    return _cprof.is_running()


def stats() -> Dict[str, int]:
    """cprof's own figures: samples taken and lost, profiles delivered, bytes, time spent."""
    return _cprof.stats()


def exemplar_reservoir(aggregation: Any) -> Callable[..., Any]:
    """For OpenTelemetry's View(exemplar_reservoir_factory=…): exemplars that name their profile.

    Each has the attribute profile.id, the profile_id of the OTLP profile that ran when its value was recorded,
    beside the trace and span that the SDK gives it. Needs opentelemetry-sdk 1.28 or newer.
    """
    from cprof import _exemplars
    return _exemplars.reservoir(aggregation)


def dump(format: str = "text") -> Union[str, bytes]:
    """All threads now: state, what each waits for and since when, span, labels and stack.

    The text is for people, "json" (a str too) for programs, "pprof" (bytes) for tools that read
    profiles. Threads that wait are not disturbed. Where profiling is off it is on for that moment.
    """
    with _lifecycle:
        running = _cprof.is_running()
        if not running:
            _start(exporter="none")
        try:
            _describe_threads()
            page = _cprof.dump(format)
        finally:
            if not running:
                _end(_cprof.stop, 5.0)
    return page if format == "pprof" else page.decode("utf-8", "replace")


class profile:
    """Profile a block or a function into a file; its ending picks the format.

        with cprof.profile("out.html"): ...

        @cprof.profile("out.pb.gz")
        def main(): ...

    The whole process is profiled meanwhile. Takes the parameters of start(); where cprof runs
    already, its own settings hold, and what it exports is as without the block. Functions may be
    coroutine functions and generators: those are profiled from their first step to their end.
    Blocks may nest and overlap, in threads and tasks; those that name the same file at the same
    time share it, from the beginning of the first to the end of the last, and so does a function
    that calls itself. With %n in the name each has a file of its own.
    """

    def __init__(self, output: Union[str, "os.PathLike[str]"], **parameters: Any) -> None:
        self._parameters = dict(parameters, output=output)
        self._captures: List[Optional[int]] = []

    def __enter__(self) -> "profile":
        self._captures.append(_capture(self._parameters))
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        capture = self._captures.pop()
        if capture is not None:
            _end(lambda timeout: _cprof.capture_end(capture, timeout), 5.0)

    async def __aenter__(self) -> "profile":
        return self.__enter__()

    async def __aexit__(self, kind: Optional[Type[BaseException]],
                        error: Optional[BaseException],
                        traceback: Optional[TracebackType]) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        from cprof import _functions
        if "%n" in str(self._parameters["output"]):
            return _functions.around(function, lambda: profile(**self._parameters))
        shared = _SharedProfile(**self._parameters)
        return _functions.around(function, lambda: shared)


class _SharedProfile(profile):
    """One block for the calls of a function that are under way at the same time: those that it
    makes of itself cost next to nothing."""

    _calls = 0

    def __enter__(self) -> "profile":
        with _lifecycle:
            self._calls += 1
            return super().__enter__() if self._calls == 1 else self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        with _lifecycle:
            self._calls -= 1
            if self._calls == 0:
                super().__exit__(kind, error, traceback)


def _capture(parameters: Mapping[str, Any]) -> Optional[int]:
    """A block begins. None: it runs unprofiled, which is not its fault."""
    with _lifecycle:
        try:
            capture, started = _cprof.capture_begin(*_arguments(None, **parameters))
        except RuntimeError as error:
            _cprof.say(str(error))
            return None
        if capture is not None:
            _begin(started)
    return capture


class labels:
    """Put labels on the samples of a block or a function, synchronous or not.

        with cprof.labels(endpoint="/users"): ...

        @cprof.labels(job="import")
        async def run(): ...

    They follow the code: an asyncio task has those of the block that created it. Inner labels
    add to outer ones and win over those of the same name.
    """

    def __init__(self, **pairs: Any) -> None:
        self._pairs = {key: _text(value) for key, value in pairs.items()}
        self._tokens: List[Any] = []

    def __enter__(self) -> "labels":
        outer = _cprof.labels_variable.get()
        merged = {**dict(outer.pairs), **self._pairs} if outer else self._pairs
        label_set = _cprof.LabelSet(tuple(merged.items()))
        self._tokens.append(_cprof.labels_variable.set(label_set))
        _cprof.share_context()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        try:
            _cprof.labels_variable.reset(self._tokens.pop())
        except ValueError:
            pass  # a generator's block, left in another context than the one that has them
        _cprof.share_context()

    async def __aenter__(self) -> "labels":
        return self.__enter__()

    async def __aexit__(self, kind: Optional[Type[BaseException]],
                        error: Optional[BaseException],
                        traceback: Optional[TracebackType]) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        from cprof import _functions
        return _functions.around_steps(function, lambda: labels(**self._pairs))


def _text(value: Any) -> str:
    """What can't say what it is must not fail the block that it labels."""
    try:
        return str(value)
    except Exception:
        return "?"


def _comma_list(value: Union[str, Iterable[str], None]) -> Optional[str]:
    return value if value is None or isinstance(value, str) else ",".join(value)


def _positive(name: str, value: Any, kind: Type[Any]) -> Any:
    """Zero tells the engine to take its default; asked for by a caller it is a mistake."""
    if value is None:
        return 0
    if not kind(0) < value < 2 ** 31:  # also false for NaN
        raise ValueError(f"{name}={value!r}: a number above 0 is needed")
    return kind(value)


def _pairs(mapping: Optional[Mapping[str, str]]) -> _Pairs:
    return tuple((str(key), str(value)) for key, value in (mapping or {}).items())


def _resource() -> _Pairs:
    return (("process.runtime.name", sys.implementation.name),
            ("process.runtime.version", sys.version.split()[0]),
            ("process.runtime.description", sys.version.replace("\n", "")),
            ("telemetry.sdk.language", "python"))


def _describe_threads() -> None:
    """Tell the engine which threads Python runs. Those that start later tell it themselves;
    calling this again brings the names up to date that a program has changed."""
    threading = sys.modules.get("threading")
    if threading is None:  # then there is only the main one, and maybe ours that obeys
        main = _thread.get_native_id() == getpid()
        _cprof.describe_thread(getpid(), _thread.get_ident() if main else _importer, "MainThread")
        return
    try:
        for thread in threading.enumerate():
            native_id = thread.native_id
            if thread.ident == _thread.get_ident():  # in a fork's child it may have its parent's
                native_id = _thread.get_native_id()
            if native_id is not None and thread.ident is not None:
                name = thread.name.encode("utf-8", "replace").decode("utf-8")
                _cprof.describe_thread(native_id, thread.ident, name.replace("\0", "?"))
    except Exception:
        pass  # a program's own idea of threads: they go by what the system says of them


# ---- control at run time: what the process's owner asks for, see docs/control.md ----

_can_be_asked = False


def _stand_by() -> None:
    """From now on the process can be asked. Its main thread handles the signal that says so."""
    global _can_be_asked
    import _signal
    handler = _signal.getsignal(_signal.SIGURG)
    if handler not in (_signal.SIG_DFL, _signal.SIG_IGN):
        raise RuntimeError(f"SIGURG has a handler, {handler!r}: this process can't be asked")
    if _cprof.control_open():
        _can_be_asked = True
        _hook_process()
        _signal.signal(_signal.SIGURG, _called)


def _called(signal: int, frame: Any) -> None:
    """In the midst of whatever the main thread does, so the rest is another thread's."""
    try:
        _start_new_thread(_obey, ())
    except Exception:
        pass  # no thread is to be had, or the interpreter is about to end


def _obey() -> None:
    order = _cprof.control_take()
    if order is None:
        return
    kind, parameters = order
    why = None
    try:
        if kind == "start":
            parameters["rate"] = parameters["rate"] or None
            _start(**parameters)
        elif kind == "collect":
            import gc
            gc.collect()
        elif not _end(_cprof.stop_all if kind == "stop" else _cprof.stop, 5.0):
            _cprof.say("not all that was profiled could be delivered")
    except Exception as error:
        why = str(error)
    _cprof.control_done(why)


# Held while the engine and what is hooked into the interpreter come and go together.
_lifecycle = _thread.RLock()
_hooked = False


def _hook_process() -> None:
    """The fork hooks can't be taken away again, so they are added once; without a running
    engine they do nothing."""
    global _hooked
    if not _hooked:
        _hooked = True
        register_at_fork(before=_cprof.fork_prepare,
                         after_in_parent=_cprof.fork_parent,
                         after_in_child=_after_fork_in_child)
    _not_at_exit(_stop_at_exit)
    _at_exit(_stop_at_exit)


def _after_fork_in_child() -> None:
    global _lifecycle
    _lifecycle = _thread.RLock()  # another thread of the parent's may have held it
    _cprof.fork_child()
    if not _cprof.is_running():
        return
    _describe_threads()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_stop_at_exit, _finalize_multiprocessing)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(_stop_celery_worker)


def _finalize_multiprocessing(function: Callable[[], None]) -> None:
    """A child of multiprocessing leaves by os._exit(), past atexit, but runs its finalizers."""
    sys.modules["multiprocessing.util"].Finalize(None, function, exitpriority=-100)


def _stop_celery_worker(**_: Any) -> None:
    """A child of Celery's pool leaves by os._exit() right after it has told so."""
    _stop_at_exit()


def _stop_at_exit() -> None:
    _end(_cprof.end, _EXIT_TIMEOUT)
