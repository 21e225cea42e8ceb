"""cprof: an always-on profiler for Python that shows native and Python frames in one stack.

    import cprof
    cprof.start(service_name="checkout")

Every parameter left out takes its environment variable's value (CPROF_RATE, OTEL_SERVICE_NAME,
OTEL_EXPORTER_OTLP_ENDPOINT, ...) or that variable's default.
"""

from __future__ import annotations

import _thread
import atexit
import functools
import inspect
import os
import platform
import sys
from types import TracebackType
from typing import (Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Type,
                    TypeVar, Union)

from cprof import _cprof, _spans
from cprof._version import __version__ as __version__

__all__ = ["start", "flush", "stop", "is_running", "stats", "profile", "labels"]
_F = TypeVar("_F", bound=Callable[..., Any])
_Pairs = Tuple[Tuple[str, str], ...]

_EXIT_TIMEOUT = 2.0  # seconds that the end of a program may wait for the last delivery


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

    Does nothing when OTEL_SDK_DISABLED is true. Raises ValueError, with one line that names
    the parameter or variable, for a value that makes no sense, and RuntimeError when cprof is
    running already or the system refuses.
    """
    started = _cprof.start(
        service_name=service_name,
        types=_comma_list(types),
        rate=_positive("rate", rate, int),
        interval=_positive("interval", interval, float),
        exporter=_comma_list(exporter),
        endpoint=endpoint,
        output=None if output is None else os.fspath(output),
        headers=_pairs(headers),
        labels=_pairs(labels),
        native=None if native is None else "on" if native else "off",
        resource=_resource(),
        library_directory=os.path.dirname(os.path.abspath(__file__)))
    if not started:
        return
    if _cprof.no_walk:
        print(f"cprof: {_cprof.no_walk}; showing native frames only", file=sys.stderr)
    _describe_threads()
    if not _cprof.no_walk:  # what can't be walked can't be asked for its context either
        _spans.follow()
    _hook_process()


def flush(timeout: float = 5.0) -> bool:
    """Export what has been gathered; True when everything has been delivered."""
    _describe_threads()
    return _cprof.flush(timeout)


def stop(timeout: float = 5.0) -> bool:
    """Stop profiling and deliver the rest; True when everything has been delivered."""
    if _cprof.is_running():
        _describe_threads()
    atexit.unregister(_stop_at_exit)
    return _cprof.stop(timeout)


def is_running() -> bool:
    """True between start() and stop()."""
    return _cprof.is_running()


def stats() -> Dict[str, int]:
    """cprof's own figures: samples taken and lost, profiles delivered, bytes, time spent."""
    return _cprof.stats()


class profile:
    """Profile a block or a function, synchronous or not, into a file.

        with cprof.profile("out.html"): ...

        @cprof.profile("out.pb.gz")
        def main(): ...

    Takes the parameters of start(). The whole process is profiled meanwhile, so one profile()
    can run at a time. The ending of the file picks its format.
    """

    def __init__(self, output: Union[str, "os.PathLike[str]"], **parameters: Any) -> None:
        self._parameters = dict(parameters, output=output)

    def __enter__(self) -> "profile":
        start(**self._parameters)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        stop()

    async def __aenter__(self) -> "profile":
        return self.__enter__()

    async def __aexit__(self, kind: Optional[Type[BaseException]],
                        error: Optional[BaseException],
                        traceback: Optional[TracebackType]) -> None:
        stop()

    def __call__(self, function: _F) -> _F:
        return _wrapped(function, lambda: self)


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
        return _wrapped(function, lambda: labels(**self._pairs))


def _wrapped(function: _F, block: Callable[[], Any]) -> _F:
    """The function, with a fresh block around each call."""
    if inspect.iscoroutinefunction(function):
        @functools.wraps(function)
        async def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                return await function(*arguments, **keywords)
    else:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                return function(*arguments, **keywords)
    return wrapper  # type: ignore[return-value]


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
            ("process.runtime.version", platform.python_version()),
            ("process.runtime.description", sys.version.replace("\n", "")),
            ("telemetry.sdk.language", "python"))


def _describe_threads() -> None:
    """Tell the engine which threads Python runs. Those that start later tell it themselves;
    calling this again brings the names up to date that a program has changed."""
    threading = sys.modules.get("threading")
    if threading is None:  # then there is only this thread
        _cprof.describe_thread(_thread.get_native_id(), _thread.get_ident(), "MainThread")
        return
    for thread in threading.enumerate():
        if thread.native_id is not None and thread.ident is not None:
            name = thread.name.encode("utf-8", "replace").decode("utf-8")
            _cprof.describe_thread(thread.native_id, thread.ident, name.replace("\0", "?"))


_hooked = False


def _hook_process() -> None:
    """The fork hooks can't be taken away again, so they are added once; without a running
    engine they do nothing."""
    global _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_cprof.fork_prepare,
                            after_in_parent=_cprof.fork_parent,
                            after_in_child=_after_fork_in_child)
    atexit.unregister(_stop_at_exit)
    atexit.register(_stop_at_exit)


def _after_fork_in_child() -> None:
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
    stop(timeout=_EXIT_TIMEOUT)
