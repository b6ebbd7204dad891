"""What the daemon answers that is not a value of the model."""

import msgspec

from rollbackd.model.controls import ControlValue
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.incidents import Incident


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
