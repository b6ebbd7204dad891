"""An incident as metrics: what is in force, for how long, and what is still waited for."""

from typing import Final

from rollbackd.incidents.ledger import overdue, taken
from rollbackd.model.incidents import Incident, State
from rollbackd.model.triggers import Verdict
from rollbackd.telemetry import Telemetry

_NUMBER: Final = {Verdict.GREEN: 1, Verdict.RED: 0, Verdict.UNKNOWN: -1}


class IncidentGauges:
    """Keeps the gauges of each scope as its incident moves."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._open: dict[str, Incident] = {}
        #: The levers that were waited for, by scope.
        self._waited_for: dict[str, set[str]] = {}

    def show(self, incident: Incident, now_ms: int) -> None:
        """Set the gauges of the incident's scope to what it is now."""
        t, scope = self._telemetry, str(incident.scope)
        if incident.is_open:
            self._open[incident.id] = incident
        else:
            self._open.pop(incident.id, None)
        t.incidents_open.clear()
        for each in self._open.values():
            t.incidents_open.labels(each.state).inc()
        for state in State:
            here = incident.is_open and state is incident.state
            t.incident_state.labels(scope, state).set(here)
        for reading in incident.readings:
            t.exit_target_met.labels(scope, reading.name).set(_NUMBER[reading.verdict])
        watching = incident.state is State.WATCHING
        left_ms = max(0, incident.policy.hold_ms - incident.hold.green_ms) if watching else 0
        t.hold_remaining.labels(scope).set(left_ms / 1_000)
        t.measures_overdue.labels(scope).set(len(overdue(incident, now_ms)))
        self._levers(incident, now_ms)
        self._act(incident, now_ms)

    def forget(self, incident: Incident) -> None:
        """Another process drives it now; what was shown of it is no longer known here."""
        t, scope = self._telemetry, str(incident.scope)
        if self._open.pop(incident.id, None) is None:
            return
        t.incidents_open.clear()
        for each in self._open.values():
            t.incidents_open.labels(each.state).inc()
        for state in State:
            t.incident_state.labels(scope, state).set(0)
        for gauge in (t.hold_remaining, t.measures_overdue, t.writes_frozen, t.writes_frozen_age):
            gauge.labels(scope).set(0)
        for lever in {each.change.target.lever for each in incident.ledger}:
            t.lever_active.labels(lever, scope).set(0)
        for lever in self._waited_for.pop(scope, ()):
            t.lever_act_age.labels(lever, scope).set(0)

    def moved(self, before: Incident, after: Incident, now_ms: int) -> None:
        """Count a transition, and time what ended with it."""
        t = self._telemetry
        t.step_duration.labels(before.state).observe((now_ms - before.entered_at_ms) / 1_000)
        if after.flipped_at_ms is not None and before.flipped_at_ms is None:
            t.time_to_flip.observe((after.flipped_at_ms - after.opened_at_ms) / 1_000)
        if after.green_at_ms is not None and before.green_at_ms is None:
            flipped_at_ms = after.flipped_at_ms or after.entered_at_ms
            t.time_to_green.observe((after.green_at_ms - flipped_at_ms) / 1_000)
        if not after.is_open:
            t.incidents.labels(after.branch, after.state).inc()

    def _act(self, incident: Incident, now_ms: int) -> None:
        """How long the act that is under way has been."""
        scope, pending = str(incident.scope), incident.pending if incident.is_open else None
        levers = self._waited_for.setdefault(scope, set())
        if pending is not None:
            levers.add(pending.change.target.lever)
        for lever in levers:
            here = pending is not None and pending.change.target.lever == lever
            age_ms = now_ms - pending.started_at_ms if pending is not None and here else 0
            self._telemetry.lever_act_age.labels(lever, scope).set(max(0, age_ms) / 1_000)

    def _levers(self, incident: Incident, now_ms: int) -> None:
        t, scope = self._telemetry, str(incident.scope)
        in_force = {each.change.target.lever: each for each in taken(incident)}
        for lever in {each.change.target.lever for each in incident.ledger}:
            t.lever_active.labels(lever, scope).set(lever in in_force)
        frozen = in_force.get("write_block")
        t.writes_frozen.labels(scope).set(frozen is not None)
        since_ms = frozen.taken_at_ms if frozen and frozen.taken_at_ms else now_ms
        t.writes_frozen_age.labels(scope).set((now_ms - since_ms) / 1_000)
