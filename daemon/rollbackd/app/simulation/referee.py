"""Watches every commit, effect, reading and page, and stops the run when an invariant breaks."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import to_builtins

from rollbackd.app.simulation import commits, effects
from rollbackd.app.simulation.loop import START_MS
from rollbackd.app.simulation.tracks import Invariant, Track, Violation
from rollbackd.incidents.chain import first_break
from rollbackd.incidents.ledger import taken
from rollbackd.model.controls import Control, ControlWrite, WriteResult
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.model.triggers import TargetReading, Verdict

if TYPE_CHECKING:
    from rollbackd.app.simulation.replica import Life
    from rollbackd.app.simulation.world import World

#: How long a healthy owner may take to ask for the person that it needs.
_ASKS_WITHIN_MS: Final = 60_000


class Referee:
    """Keeps a track of each incident and holds every event against it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.violation: Violation | None = None
        self.tracks: dict[str, Track] = {}
        self.states: Counter[State] = Counter()
        self.epochs: dict[tuple[Scope, int], Life] = {}
        self.fences: dict[Scope, int] = {}
        self.by_hand: dict[tuple[Scope, str], int] = {}
        #: Who was told that their decision on an incident is taken, and by which process.
        self.acknowledged: dict[tuple[str, str], Life] = {}
        self.readings: dict[str, tuple[int, int, Verdict]] = {}
        self.writes: dict[tuple[Life, Scope, str], int] = {}
        self.tolerance_ms = 1_500
        #: What happened, line by line, where somebody wants to read it.
        self.story: list[str] | None = None

    def tell(self, line: str) -> None:
        """Add a line to the story, with the time and the process."""
        if self.story is not None:
            writer = self.world.writer
            who = f"{writer.name}{writer.number}" if writer is not None else "--"
            self.story.append(f"{self.world.now_ms / 1e3:8.2f} {who:>4}  {line}")

    def fail(self, invariant: Invariant, message: str, incident_id: str = "") -> None:
        """The first violation counts; nothing after it means anything."""
        if self.violation is None:
            self.violation = Violation(
                invariant=invariant,
                message=message,
                at_ms=self.world.now_ms,
                incident_id=incident_id,
            )
            self.world.loop.stop()

    def on_commit(
        self, before: Incident | None, after: Incident, records: Sequence[JournalRecord]
    ) -> None:
        """An incident changed in the store."""
        life = self.world.writer
        assert life is not None
        track = self.tracks.get(after.id)
        if track is None:
            track = self.tracks[after.id] = Track(incident=after)
        if before is None or before.state is not after.state:
            self.states[after.state] += 1
        track.incident = after
        if self.story is not None and records:
            for record in records:
                self.tell(
                    f"{after.id} {record.kind}: {record.from_state} => {record.to_state}"
                    f" ({record.reason}) {record.detail}"
                )
        commit = commits.Commit(life=life, track=track, before=before, after=after, records=records)
        for check in commits.CHECKS:
            check(self, commit)

    def on_change(self, scope: Scope, before: Control, after: Control, op: Op | None) -> None:
        """A control changed, by an op or by hand."""
        number = self.world.next_number()
        if self.story is not None:
            by = op.op_id if op is not None else "a person"
            self.tell(f"{after.name} of {scope} by {by}: {before.effective} => {after.effective}")
        if op is None:
            self.by_hand[scope, after.name] = number
            return
        life = self.world.writer
        assert life is not None
        track = self.tracks.get(op.incident_id)
        acted = track.acts.get(op.op_id) if track is not None else None
        if track is None or acted is None:
            self.fail(
                Invariant.INTENT_FIRST,
                f"`{after.name}` of {scope} was moved by {op.op_id}, which is in no journal",
                op.incident_id,
            )
            return
        effect = effects.Effect(
            life=life, track=track, acted=acted, scope=scope, before=before, after=after, op=op
        )
        for check in effects.CHECKS:
            check(self, effect)
        acted.number = number
        if effect.is_flip:
            track.flipped = number
        if after.name == "cache":
            track.rotated = number
        self.fences[scope] = op.epoch

    def on_write(self, scope: Scope, write: ControlWrite, _op: Op) -> None:
        """A process tried to write a control."""
        if write.result is not WriteResult.APPLIED:
            # A try that comes late is no news.
            return
        assert self.world.writer is not None
        key = self.world.writer, scope, write.control.name
        self.writes[key] = self.world.next_number()

    def on_fence(self, scope: Scope, epoch: int) -> None:
        """A process has raised the fence of a scope, or found a higher one."""
        self.tell(f"the fence of {scope} stands at {epoch}")
        self.fences[scope] = epoch

    def on_reading(self, _life: "Life", incident: Incident, readings: list[TargetReading]) -> None:
        """A process read the exit targets; what it makes of them is its own affair."""
        verdicts = {reading.verdict for reading in readings}
        if Verdict.RED in verdicts:
            verdict = Verdict.RED
        else:
            verdict = Verdict.GREEN if verdicts == {Verdict.GREEN} else Verdict.UNKNOWN
        self.readings[incident.id] = self.world.next_number(), self.world.now_ms, verdict

    def on_page(self, incident: Incident, reason: str) -> None:
        """A person was asked for."""
        self.tell(f"{incident.id} pages: {reason}")
        if "task died" in reason:
            self.fail(Invariant.ALIVE, f"{incident.id} in {incident.state}: {reason}", incident.id)
        track = self.tracks.get(incident.id)
        if track is not None:
            track.silent_since_ms = None

    def on_decided(self, life: "Life", incident_id: str, decision: str, by: str) -> None:
        """A person was told that the decision is taken."""
        self.tell(f"{incident_id}: `{decision}` by {by} is acknowledged")
        track = self.tracks.get(incident_id)
        if track is not None and by not in track.decisions:
            self.acknowledged[incident_id, by] = life

    def look(self) -> None:
        """What only time can break; to be called now and then."""
        undisturbed_ms = self.world.now_ms - self.world.disturbed_until_ms
        for track in self.tracks.values():
            if track.incident.is_open:
                self._noticed(track, undisturbed_ms)
                self._overdue(track, undisturbed_ms)

    def _noticed(self, track: Track, undisturbed_ms: int) -> None:
        since_ms, incident = track.silent_since_ms, track.incident
        if since_ms is None or min(self.world.now_ms - since_ms, undisturbed_ms) < _ASKS_WITHIN_MS:
            return
        message = f"{incident.id} is {incident.state} ({incident.reason}) and nobody was asked"
        self.fail(Invariant.NOTICED, message, incident.id)

    def _overdue(self, track: Track, undisturbed_ms: int) -> None:
        incident = track.incident
        if incident.state not in {State.WATCHING, State.NEEDS_HUMAN}:
            return
        now_ms = START_MS + self.world.now_ms - self.tolerance_ms
        for measure in taken(incident):
            late_ms = min(now_ms - measure.deadline_ms, undisturbed_ms)
            if late_ms >= _ASKS_WITHIN_MS and not measure.paged_overdue:
                message = f"{measure.change.target} is past its deadline and nobody was asked"
                self.fail(Invariant.NOTICED, message, incident.id)

    def check_chains(self) -> None:
        """Every journal hangs together."""
        for incident_id, track in self.tracks.items():
            records = [to_builtins(record) for record in self.world.store.records_of(incident_id)]
            broken = first_break(records, track.incident.chain_head)
            if broken is not None:
                self.fail(Invariant.CHAIN, f"{incident_id}: {broken.headline}", incident_id)
