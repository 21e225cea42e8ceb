"""Finds OpenTelemetry's runtime context, whenever it is loaded, so that cprof can follow which
span is active. Nothing here raises, and nothing imports OpenTelemetry."""

from __future__ import annotations

import sys

from cprof import _cprof

TYPE_CHECKING = False  # see __init__.py
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Optional, Sequence

_MODULE = "opentelemetry.context"


def follow() -> None:
    """Follow spans from now on: at once where OpenTelemetry is loaded, else when it is."""
    module = sys.modules.get(_MODULE)
    if module is not None:
        _follow_module(module)
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _follow_module(module: ModuleType) -> None:
    try:
        module.get_current()  # earlier releases make their runtime context at its first use
        root: Optional[Callable[[Any], None]] = None
        if _cprof.span_profile_id() is not None:
            root = _name_profile
        _cprof.follow_spans(module._RUNTIME_CONTEXT, root)
    except Exception as error:
        line = str(error).replace("\n", " ")
        _cprof.say(f"spans are not linked: OpenTelemetry's context: {line}")


def _name_profile(span: Any) -> None:
    """Tell a span that has no parent in this process in which profile it begins."""
    parent = getattr(span, "parent", None)
    if parent is not None and not parent.is_remote:
        return
    profile_id = _cprof.span_profile_id()
    if profile_id and span.is_recording() and "profile.id" not in (span.attributes or ()):
        span.set_attribute("profile.id", profile_id)


class _Finder:
    """Waits for the import of OpenTelemetry's context, and leaves with it."""

    _asking = False  # another finder is to answer

    def find_spec(self, fullname: str, path: Optional[Sequence[str]],
                  target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if fullname != _MODULE or self._asking:
            return None
        from importlib.util import find_spec
        self._asking = True
        try:
            spec = find_spec(fullname)
        finally:
            self._asking = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _FollowingLoader(spec.loader)  # type: ignore[assignment]
        return spec


_finder = _Finder()


class _FollowingLoader:
    """Loads the module as its own loader does, and follows it then."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        _follow_module(module)
