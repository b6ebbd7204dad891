"""Metrics that nobody reads: setting them would be most of the work of a simulation."""

from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rollbackd.telemetry import Telemetry


class _Mute:
    def labels(self, *_values: str, **_named: str) -> "_Mute":
        return self

    def _nothing(self, *_values: Any, **_named: Any) -> None: ...

    inc = dec = set = observe = clear = remove = _nothing


_MUTE: Any = _Mute()


class SilentTelemetry(Telemetry):
    """Takes every figure and keeps none."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())

    def _counter(self, name: str, text: str, *labels: str) -> Counter:  # noqa: ARG002  # the same signature
        return cast("Counter", _MUTE)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:  # noqa: ARG002  # the same signature
        return cast("Gauge", _MUTE)

    def _histogram(
        self,
        name: str,  # noqa: ARG002  # the same signature
        text: str,  # noqa: ARG002
        buckets: tuple[float, ...],  # noqa: ARG002
        *labels: str,  # noqa: ARG002
    ) -> Histogram:
        return cast("Histogram", _MUTE)
