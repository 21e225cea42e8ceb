"""Exemplars that name the profile of their time: reservoirs for views of OpenTelemetry's metrics SDK."""

from __future__ import annotations

from opentelemetry.sdk.metrics import AlignedHistogramBucketExemplarReservoir, SimpleFixedSizeExemplarReservoir

from cprof import _cprof

TYPE_CHECKING = False  # see __init__.py
if TYPE_CHECKING:
    from typing import Any, Callable


class _Named:
    """Before one of the SDK's reservoirs: what the view's point has no attribute for, the exemplar keeps."""

    def offer(self, value: Any, time_unix_nano: int, attributes: Any, context: Any) -> None:
        profile = _cprof.profile_id()
        if profile is not None:
            attributes = {**(attributes or {}), "profile.id": profile}
        super().offer(value, time_unix_nano, attributes, context)  # type: ignore[misc]


class _Aligned(_Named, AlignedHistogramBucketExemplarReservoir):  # type: ignore[misc]
    pass


class _Simple(_Named, SimpleFixedSizeExemplarReservoir):  # type: ignore[misc]
    pass


def reservoir(aggregation: Any) -> Callable[..., Any]:
    return _make


def _make(**options: Any) -> Any:
    """As the SDK chooses: a histogram with buckets has one for each."""
    return (_Aligned if "boundaries" in options else _Simple)(**options)
