"""What the demo shows at one moment, and how it follows from what the daemon says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rollbackd.cli.answers import ShownControl
from rollbackd.cli.demo.gists import gist
from rollbackd.model.controls import ControlValue
from rollbackd.model.incidents import JournalRecord, State
from rollbackd.ports import IncidentDetail

CHECKLIST: Final = (
    State.DETECTED,
    State.CAPTURING,
    State.FREEZING,
    State.CHOOSING,
    State.FLIPPING,
    State.ROTATING,
    State.THROTTLING,
    State.WATCHING,
    State.RESTORING,
    State.AUDITING,
    State.CLOSED,
)


class Progress(StrEnum):
    """Where one step of the checklist stands."""

    #: Still ahead.
    AHEAD = "ahead"
    #: Being done.
    NOW = "now"
    #: Behind.
    DONE = "done"
    #: The branch has nothing to do there.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the checklist; `after_ms` counts from the trigger."""

    state: State
    progress: Progress
    after_ms: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ControlLine:
    """One control: as the rollout set it, as the incident laid over it, and as it is now."""

    name: str
    before: str
    during: str
    now: str
    tripped: bool


@dataclass(slots=True)
class Scene:
    """Everything on the screen. The drill and the observer write it, the views only read it."""

    scope: str
    speed: float
    threshold: float
    elapsed_seconds: float = 0.0
    recorded_ms: int = 0
    story: str = ""
    drift: list[float | None] = field(default_factory=list)
    canary_share: float = 0.0
    shed_share: float = 0.0
    events_sent: int = 0
    before: dict[str, ControlValue] = field(default_factory=dict)
    during: dict[str, ControlValue] = field(default_factory=dict)
    controls: Mapping[str, ShownControl] = field(default_factory=dict)
    detail: IncidentDetail | None = None

    @property
    def audience(self) -> str:
        """Whose drift is plotted: the canary's, and after the flip that of every user."""
        flipped = self.detail is not None and self.detail.incident.flipped_at_ms is not None
        return "all users" if flipped else "canary"

    @property
    def hold_fraction(self) -> float:
        """How much of the hold is green so far, 0 to 1."""
        if self.detail is None:
            return 0.0
        incident = self.detail.incident
        return min(1.0, incident.hold.green_ms / max(1, incident.policy.hold_ms))

    def transitions(self) -> list[JournalRecord]:
        """The journal without the records that only repeat a state for the same reason."""
        journal = self.detail.journal if self.detail else []
        return [
            record
            for before, record in zip([None, *journal], journal, strict=False)
            if before is None
            or (before.to_state, before.reason) != (record.to_state, record.reason)
        ]

    def steps(self) -> list[Step]:
        """The checklist, ticked off by the journal."""
        if self.detail is None:
            return [Step(state, Progress.AHEAD) for state in CHECKLIST]
        incident, journal = self.detail.incident, self.detail.journal
        entered = {record.to_state: record for record in reversed(journal)}
        last = max((i for i, state in enumerate(CHECKLIST) if state in entered), default=-1)
        steps = []
        for index, state in enumerate(CHECKLIST):
            record = entered.get(state)
            if record is None:
                steps.append(Step(state, Progress.SKIPPED if index < last else Progress.AHEAD))
                continue
            done = state is not incident.state or not incident.is_open
            progress = Progress.DONE if done else Progress.NOW
            after = record.at_ms - incident.opened_at_ms
            steps.append(Step(state, progress, after, record.reason))
        return steps

    def control_lines(self) -> list[ControlLine]:
        """Every control by name."""
        return [
            ControlLine(
                name,
                before=gist(name, self.before.get(name)),
                during=gist(name, self.during.get(name, control.value)),
                now=gist(name, control.value),
                tripped=control.tripped,
            )
            for name, control in sorted(self.controls.items())
        ]
