"""What sources yield: samples, alerts, observed pins and known good sets.

Whatever the wire, Kafka, webhook, HTTP or a recorded file, it becomes these values and no others.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, overload

import msgspec

from rollbackd.model.facts import AnyFact, ChangeEvent
from rollbackd.model.known_good import Baseline, SetStatus, set_id
from rollbackd.model.labels import Labels, Scope
from rollbackd.model.pins import Pins


class Sample(NamedTuple):
    """One value of one series at one time; equal times of one series are all kept."""

    labels: Labels
    value: float
    time_ms: int


class Schema:
    """The series that the values of a row belong to, in the order of the values.

    One object for all rows alike, so that who looks up what belongs to it does so by identity.
    """

    __slots__ = ("series",)

    def __init__(self, series: tuple[Labels, ...]) -> None:
        self.series = series


#: What one event measured: its time in milliseconds, and a value for each series of the schema.
Row = tuple[Schema, int, Sequence[float]]


class Rows(Sequence[Sample]):
    """Samples as events bring them, several of one time in a row; also read one by one."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __len__(self) -> int:
        return sum(len(values) for _, _, values in self.rows)

    def __iter__(self) -> Iterator[Sample]:
        for schema, time_ms, values in self.rows:
            for labels, value in zip(schema.series, values, strict=True):
                yield Sample(labels, value, time_ms)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Rows({list(self)!r})"


class AlertStatus(StrEnum):
    """The status of one alert in an Alertmanager notification."""

    FIRING = "firing"
    #: Only ends the `ALERTS` series; it is never a sign of recovery.
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of an Alertmanager (or Grafana) notification."""

    fingerprint: str
    status: AlertStatus
    starts_at_ms: int
    ends_at_ms: int | None = None
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    generator_url: str = ""
    #: The notification said that alerts were left out: the group is incomplete.
    truncated: bool = False

    @property
    def name(self) -> str:
        """The `alertname` label."""
        return self.labels.get("alertname", "")


class PinsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Pins that an event said one arm of a scope ran with.

    `partial` are those of one part of the arm, such as a retriever, which knows no others.
    """

    scope: Scope
    arm: str
    pins: Pins
    time_ms: int
    partial: bool = False


class KnownTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What a lever observed at its target when it was good: the value, and what else was so.

    `facts` are compared before the target is pointed there again, e.g. `{"documents": 120345}`.
    """

    value: dict[str, object]
    facts: dict[str, object] = {}


class KnownGood(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded set to go back to: pins, the controls of that time and the baseline window.

    `baseline` is metric -> statistic -> value, e.g. `{"delta_s": {"p95": 0.41, "count": 1800}}`;
    it is served as the series `baseline:<metric>:<statistic>`. `controls` is control name -> value;
    `targets` is what stood at targets outside the controls, by `<lever>` or `<lever>:<name>`.

    Only the status of a stored set ever changes.
    """

    scope: Scope
    pins: Pins
    recorded_at_ms: int
    controls: dict[str, object] = {}
    targets: dict[str, KnownTarget] = {}
    baseline: Baseline = {}
    #: How long the measured window was; 0 when the baseline came from outside, or there is none.
    window_ms: int = 0
    #: Who recorded it; empty for an event.
    by: str = ""
    note: str = ""
    #: The request that it answers; empty for an event.
    key: str = ""
    status: SetStatus = SetStatus.GOOD
    #: When somebody gave it its status, 0 when it has had it from the beginning.
    status_at_ms: int = 0
    status_by: str = ""

    @property
    def id(self) -> str:
        """Its name, over everything but the status."""
        content = [
            self.pins,
            self.controls,
            self.targets,
            self.baseline,
            self.window_ms,
            self.by,
            self.note,
            self.key,
        ]
        return set_id(self.scope, self.recorded_at_ms, content)

    @property
    def good_since_ms(self) -> int | None:
        """Since when it counts as good; the newest of a scope is the one in force."""
        if self.status is not SetStatus.GOOD:
            return None
        return self.status_at_ms or self.recorded_at_ms


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one body, record or line decoded to."""

    samples: Sequence[Sample] = []
    alerts: list[Alert] = []
    pins: list[PinsSeen] = []
    known_good: list[KnownGood] = []
    facts: list[AnyFact] = []
    changes: list[ChangeEvent] = []


class Rejected(Exception):  # noqa: N818  # it is a verdict on an input, named as the metric names it
    """An input that cannot be decoded; it goes to the dead letters with this reason.

    The message says where in the input, the offending value and what is allowed.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        #: Index of the offending item when the input held several.
        self.position = position
