"""What the daemon answers that is not a value of the model."""

import msgspec

from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownTarget
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.incidents import Incident
from rollbackd.model.known_good import Baseline, SetStatus
from rollbackd.model.pins import Pins


class DaemonStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the status that is more than shown."""

    now_ms: int


class IncidentList(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents, newest first."""

    incidents: list[Incident]


class ShownControl(msgspec.Struct, frozen=True, kw_only=True):
    """One control as the API shows it; `value` is what applications obey."""

    value: ControlValue
    intent: ControlValue | None = None
    tripped: bool = False
    version: int = 0
    epoch: int = 0
    incident_id: str = ""
    updated_at_ms: int = 0


class ReleasedControl(msgspec.Struct, frozen=True, kw_only=True):
    """A control after its trip was taken away."""

    scope: str
    name: str
    control: ShownControl


class ShownControls(msgspec.Struct, frozen=True, kw_only=True):
    """The controls of a scope."""

    scope: str
    controls: dict[str, ShownControl]


class ShownSet(msgspec.Struct, frozen=True, kw_only=True):
    """One known good set as the API shows it."""

    id: str
    scope: str
    status: SetStatus
    in_force: bool
    pins: Pins
    recorded_at_ms: int
    controls: dict[str, ControlValue] = {}
    targets: dict[str, KnownTarget] = {}
    baseline: Baseline = {}
    window_ms: int = 0
    by: str = ""
    note: str = ""
    status_at_ms: int = 0
    status_by: str = ""


class SetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One set, and the id of the one in force in its scope; more of one that was just recorded."""

    set: ShownSet
    in_force: str = ""
    is_new: bool = False
    missing: list[str] = []
    not_measured: list[str] = []
    not_observed: dict[str, str] = {}


class SetList(msgspec.Struct, frozen=True, kw_only=True):
    """Known good sets, newest first."""

    sets: list[ShownSet]


class LiveAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a scope runs with now."""

    scope: str
    arms: dict[str, Pins]
    controls: dict[str, ControlValue]
    targets: dict[str, KnownTarget] = {}
    not_observed: dict[str, str] = {}
    in_force: str = ""


class VectorElement(msgspec.Struct, frozen=True, kw_only=True):
    """One element of a query's result; JSON has no NaN, so it is None."""

    labels: dict[str, str]
    value: float | None


class QueryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an instant query."""

    now_ms: int
    vector: list[VectorElement]


class Explanations(msgspec.Struct, frozen=True, kw_only=True):
    """One explanation for each rule of a name."""

    explanations: list[RuleExplanation]
