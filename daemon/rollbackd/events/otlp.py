"""OTLP metrics to Prometheus series.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/

Gauges and sums that may fall are gauges, monotonic sums are counters, histograms have classic
buckets, summaries have quantiles. Deltas of counters and histograms are added up; a delta of a sum
that may fall is left out, as the specification says, and so are exponential histograms, whose
buckets would be a new set of labels each time they move. A point without a recorded value ends its
series. Resource attributes become labels by an allow-list; scopes and exemplars are skipped. What
has the same labels then is one series, whoever sent it: its deltas have one total.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any, Final

from rollbackd.events import otlp_json, otlp_protobuf
from rollbackd.events.collecting import Collector
from rollbackd.events.delta_totals import DeltaTotals
from rollbackd.events.foreign import (
    MAX_SAMPLES,
    STALE,
    SeriesBook,
    Unused,
    UnusedSeries,
    foreign_labels,
)
from rollbackd.events.otlp_names import Kind, bound_text, labels_from, metric_of
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.labels import METRIC_NAME, Labels

#: Bounds of one histogram, and quantiles of one summary.
MAX_BUCKETS: Final = 200

_DELTA: Final = 1
_NO_RECORDED_VALUE: Final = 1
_NS_PER_MS: Final = 1_000_000
_POINTS: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

#: Memory of label sets, shared by all callers: a cache of a pure function.
_BOOK: Final = SeriesBook()


def decode_json_into(
    body: bytes,
    into: Collector,
    *,
    resource_labels: Mapping[str, str],
    deltas: DeltaTotals,
    now_ms: int,
) -> str:
    """Add an `ExportMetricsServiceRequest`; what was wrong with series left out, if any.

    `resource_labels` is resource attribute -> label. Raises Rejected, and then has added nothing.
    """
    request = otlp_json.request_of(body)
    return _Reading(otlp_json, resource_labels, deltas, into, now_ms).read(request)


def decode_protobuf_into(
    body: bytes,
    into: Collector,
    *,
    resource_labels: Mapping[str, str],
    deltas: DeltaTotals,
    now_ms: int,
) -> str:
    """The same in protobuf."""
    request = otlp_protobuf.request_of(body)
    return _Reading(otlp_protobuf, resource_labels, deltas, into, now_ms).read(request)


class _Reading:
    """One request on its way into a collector; `wire` knows how its attributes are written."""

    def __init__(
        self,
        wire: ModuleType,
        resource_labels: Mapping[str, str],
        deltas: DeltaTotals,
        into: Collector,
        now_ms: int,
    ) -> None:
        self._wire = wire
        self._allowed = resource_labels
        self._shape = tuple(resource_labels.items())
        self._deltas = deltas
        self._now_ns = now_ms * _NS_PER_MS
        self._into = into
        self._add = into.samples.rows.append
        self._wrong = ""
        # of the metric that is being read
        self._resource: Hashable = ()
        self._name: str | bytes = ""
        self._unit: str | bytes = ""
        self._kind = Kind.OTHER

    def read(self, request: Any) -> str:
        """Add everything."""
        metrics = [
            (resource, metric)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        points = sum(
            len(getattr(metric, name).data_points)
            for _, metric in metrics
            for name in _POINTS
            if metric.HasField(name)
        )
        if points > MAX_SAMPLES:
            raise Rejected(f"{points} data points; at most {MAX_SAMPLES} are allowed")
        for resource, metric in metrics:
            self._resource = self._wire.key_of(resource.resource.attributes)
            self._name, self._unit = metric.name, metric.unit
            self._metric(metric)
        return self._wrong

    def _metric(self, metric: Any) -> None:
        if metric.HasField("gauge"):
            self._numbers(metric.gauge.data_points, Kind.GAUGE, delta=False)
        elif metric.HasField("sum"):
            self._sum(metric.sum)
        elif metric.HasField("histogram"):
            self._histogram(metric.histogram)
        elif metric.HasField("summary"):
            for point in metric.summary.data_points:
                self._summary(point)
        elif metric.HasField("exponential_histogram"):
            left_out = len(metric.exponential_histogram.data_points)
            self._leave_out(Unused.EXPONENTIAL_HISTOGRAM, left_out)

    def _sum(self, said: Any) -> None:
        delta = said.aggregation_temporality == _DELTA
        if delta and not said.is_monotonic:
            self._leave_out(Unused.DELTA, len(said.data_points))
        else:
            kind = Kind.COUNTER if said.is_monotonic else Kind.OTHER
            self._numbers(said.data_points, kind, delta=delta)

    def _numbers(self, points: Any, kind: Kind, *, delta: bool) -> None:
        self._kind = kind
        wire, before = self._wire, (self._shape, self._resource, self._name, self._unit, kind)
        for point in points:
            key = (before, wire.key_of(point.attributes))
            schema = _BOOK.schema(key, lambda key=key: self._labels("", key[1]))  # type: ignore[misc]
            if point.flags & _NO_RECORDED_VALUE:
                value = STALE
            elif point.HasField("as_double"):
                value = point.as_double
            elif point.HasField("as_int"):
                value = float(point.as_int)
            else:
                continue
            self._take(schema, key, point, (value,), delta=delta)

    def _histogram(self, said: Any) -> None:
        self._kind = Kind.OTHER
        delta = said.aggregation_temporality == _DELTA
        for point in said.data_points:
            bounds, counts = tuple(point.explicit_bounds), list(point.bucket_counts)
            has_sum = point.HasField("sum")
            attributes = self._wire.key_of(point.attributes)
            whole = len(counts) == len(bounds) + 1 or not (counts or bounds)
            key = (
                (self._shape, self._resource, self._name, self._unit),
                attributes,
                (bounds, has_sum, whole),
            )
            schema = _BOOK.schemas(
                key,
                lambda key=key: self._histogram_series(key[1], key[2]),  # type: ignore[misc]
            )
            values = [float(under) for under in accumulate(counts[:-1])]
            values += [float(point.count)] * 2
            if has_sum:
                values.append(point.sum)
            if point.flags & _NO_RECORDED_VALUE:
                values = [STALE] * len(values)
            self._take(schema, key, point, values, delta=delta)

    def _summary(self, point: Any) -> None:
        self._kind = Kind.OTHER
        quantiles = tuple([each.quantile for each in point.quantile_values])
        attributes = self._wire.key_of(point.attributes)
        key = (
            (self._shape, self._resource, self._name, self._unit), attributes, quantiles, "summary",
        )  # fmt: skip
        schema = _BOOK.schemas(key, lambda: self._summary_series(attributes, quantiles))
        values = [each.value for each in point.quantile_values]
        values += [float(point.count), point.sum]
        if point.flags & _NO_RECORDED_VALUE:
            values = [STALE] * len(values)
        self._take(schema, key, point, values, delta=False)

    def _take(
        self,
        schema: Schema | UnusedSeries,
        key: Hashable,
        point: Any,
        values: Sequence[float],
        *,
        delta: bool,
    ) -> None:
        if isinstance(schema, UnusedSeries):
            self._leave_out(schema.because, 1)
            if schema.because is Unused.BAD_LABELS:
                self._wrong = self._wrong or schema.message
            return
        time_ns = point.time_unix_nano
        if delta and not point.flags & _NO_RECORDED_VALUE:
            start_ns, counter = point.start_time_unix_nano, schema.series
            if 0 < start_ns < time_ns and not self._deltas.knows(counter):
                # so that the first delta is an increase
                start_ns = min(start_ns, self._now_ns)
                self._add((schema, start_ns // _NS_PER_MS, (0.0,) * len(values)))
            total = self._deltas.add(counter, key, time_ns, values, now_ns=self._now_ns)
            if total is None:
                self._leave_out(Unused.DELTA, 1)
                return
            time_ns, values = total
        self._add((schema, time_ns // _NS_PER_MS, values))

    def _leave_out(self, because: Unused, count: int) -> None:
        self._into.refused[because] += count

    def _labels(self, suffix: str, attributes: Hashable, **more: str) -> Labels:
        resource = dict(self._wire.attributes_of(self._resource))
        known = {label: resource[name] for name, label in self._allowed.items() if name in resource}
        known |= labels_from(self._wire.attributes_of(attributes))
        name = metric_of(_text(self._name), _text(self._unit), self._kind)
        return foreign_labels({**known, **more, METRIC_NAME: name + suffix}.items())

    def _histogram_series(
        self,
        attributes: Hashable,
        shape: tuple[tuple[float, ...], bool, bool],
    ) -> tuple[Labels, ...]:
        bounds, has_sum, whole = shape
        if not whole:
            raise Rejected("a histogram has one bucket count more than bounds, or none at all")
        if len(bounds) > MAX_BUCKETS or not all(map(_is_between, bounds, bounds[1:])):
            raise Rejected(f"a histogram has at most {MAX_BUCKETS} bounds, in rising order")
        buckets = [bound_text(bound) for bound in bounds]
        if not all(map(_is_finite, bounds)):
            raise Rejected("a bound of a histogram is a finite number")
        series = [self._labels("_bucket", attributes, le=le) for le in [*buckets, "+Inf"]]
        series.append(self._labels("_count", attributes))
        return (*series, self._labels("_sum", attributes)) if has_sum else tuple(series)

    def _summary_series(
        self, attributes: Hashable, quantiles: tuple[float, ...]
    ) -> tuple[Labels, ...]:
        if len(quantiles) > MAX_BUCKETS or len(set(quantiles)) < len(quantiles):
            raise Rejected(f"a summary has at most {MAX_BUCKETS} quantiles, all different")
        texts = [bound_text(quantile) for quantile in quantiles]
        at = [self._labels("", attributes, quantile=text) for text in texts]
        return (*at, self._labels("_count", attributes), self._labels("_sum", attributes))


def _is_between(low: float, high: float) -> bool:
    return low < high


def _is_finite(bound: float) -> bool:
    return -float("inf") < bound < float("inf")


def _text(written: str | bytes) -> str:
    """Raises Rejected when it is not UTF-8."""
    if isinstance(written, str):
        return written
    try:
        return written.decode()
    except UnicodeDecodeError as error:
        raise Rejected(f"a metric's name is not UTF-8: {error.reason}") from None
