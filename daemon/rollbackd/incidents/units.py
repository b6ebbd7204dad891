"""Scopes that are rolled back as one unit: what is due next follows from their incidents alone.

A unit is a list of scopes in an order. Each scope has an incident of its own with its own journal,
epoch and undo ledger; `Incident.unit` says which step of which unit it is. Three orders:

* `dependency`: services of a group, each after what it depends on. The next step follows once the
  pointer of the step before was flipped and read back. A step that fails before its flip stands has
  the steps before it put back, the youngest first.
* `region`: regions of a service, when a person asks for several. The next step follows once the
  region before is green and closed, and only while all regions that are done are in one state.
* `at_once`: regions in which the same bad pins run: the cause is not local (K16).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State, Unit
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins
from rollbackd.model.policy import BranchPolicy, Group

#: The line of the audit that carries the state hash of a scope.
STATE_HASH: Final = "state_hash"


class Order(StrEnum):
    """When the next step of a unit follows."""

    DEPENDENCY = "dependency"
    REGION = "region"
    AT_ONCE = "at_once"


class OpenStep(msgspec.Struct, frozen=True, kw_only=True):
    """The incident of this step is to be opened."""

    unit: Unit


class PutBack(msgspec.Struct, frozen=True, kw_only=True):
    """The flip of this incident is to be reverted, because a later step failed."""

    incident_id: str
    because: str


class Diverged(msgspec.Struct, frozen=True, kw_only=True):
    """Regions that are done are not in one state: no further region is touched."""

    incident_id: str
    because: str


#: What is due in a unit; at most one thing at a time.
Move = OpenStep | PutBack | Diverged


def group_of(groups: Iterable[Group], scope: Scope, policy: BranchPolicy) -> list[Scope]:
    """The scopes that are rolled back with this one, in order; empty when it stands alone.

    Only a branch that moves a pointer is rolled back as a unit: a throttle has no order.
    """
    if not policy.levers:
        return []
    for group in groups:
        wanted = not group.branches or policy.branch in group.branches
        if wanted and scope.service in group.services:
            return [Scope(service, scope.region) for service in group.services]
    return []


def in_order(order: Sequence[str], scope: Scope, regions: Iterable[str]) -> list[Scope]:
    """The scope and its service in further regions, each once, as the tree orders them.

    Regions that the tree does not name come last, as they were given. Raises ValueError for a name
    that no region can have.
    """
    wanted = dict.fromkeys([scope.region, *regions])
    ranks = {region: rank for rank, region in enumerate(order)}
    ordered = sorted(wanted, key=lambda region: ranks.get(region, len(ranks)))
    return [Scope.of(scope.service, region) for region in ordered]


def bad_pins(seen: Mapping[str, Pins], good: Pins) -> Pins:
    """The pins in which the suspect arm differs from the known good set, with its values.

    The suspect is `canary` where one was seen, else the only arm; of several none is known.
    """
    suspect = seen.get("canary") or (next(iter(seen.values())) if len(seen) == 1 else {})
    return {name: value for name, value in suspect.items() if good.get(name, value) != value}


def runs_with(seen: Mapping[str, Pins], bad: Pins) -> bool:
    """Whether an arm runs with exactly these bad values; none are nowhere."""
    return bool(bad) and any(bad.items() <= pins.items() for pins in seen.values())


def due(steps: Sequence[Incident]) -> Move | None:
    """The one thing that is due in a unit, given the incidents of its steps so far.

    Level-triggered: asked again, it answers the same until its answer has taken effect.
    """
    by_index = {step.unit.index: step for step in steps if step.unit is not None}
    if not by_index:
        return None
    newest = by_index[max(by_index)]
    unit = newest.unit
    assert unit is not None
    order = Order(unit.order)
    if order is Order.DEPENDENCY and (broken := _failed(by_index.values())) is not None:
        return _put_back(by_index, broken)
    if order is Order.REGION and (odd := _diverged(by_index.values())) is not None:
        return Diverged(
            incident_id=odd.id, because=f"{odd.scope} is not in the state of the other regions"
        )
    following = next((i for i in range(len(unit.scopes)) if i not in by_index), None)
    if following is None or not _may_follow(newest, order):
        return None
    return OpenStep(unit=msgspec.structs.replace(unit, index=following))


def still_to_come(steps: Sequence[Incident]) -> list[Scope]:
    """Scopes whose turn will come: a trigger of theirs can wait for it.

    None once the unit has stopped: what waits for a person, or for nothing, must not hold up a
    rollback that a trigger asks for.
    """
    opened = {step.unit.index for step in steps if step.unit is not None}
    stopped = any(_has_stopped(step) for step in steps) or isinstance(due(steps), Diverged)
    unit = next((step.unit for step in steps if step.unit is not None), None)
    if unit is None or stopped:
        return []
    return [scope for index, scope in enumerate(unit.scopes) if index not in opened]


def is_settled(steps: Sequence[Incident]) -> bool:
    """Whether nothing can become due in the unit any more."""
    stopped = due(steps) is None or isinstance(due(steps), Diverged)
    return stopped and not any(step.is_open for step in steps)


def flip_stands(incident: Incident) -> bool:
    """Whether the incident's pointer stands where it was flipped to."""
    return incident.flipped_at_ms is not None and not incident.reverted


def _failed(steps: Iterable[Incident]) -> Incident | None:
    """A step that stopped without a flip that stands."""
    stopped = (s for s in steps if not s.is_open or s.state is State.NEEDS_HUMAN)
    return next((s for s in stopped if not flip_stands(s) and not _was_skipped(s)), None)


def _has_stopped(step: Incident) -> bool:
    """It waits for a person, or has ended without what the next step waits for."""
    if step.state is State.NEEDS_HUMAN:
        return True
    return not step.is_open and not flip_stands(step) and not _was_skipped(step)


def _was_skipped(step: Incident) -> bool:
    """Nothing had to be rolled back there."""
    return step.reason is Reason.KNOWN_GOOD_IS_CURRENT


def _put_back(by_index: Mapping[int, Incident], broken: Incident) -> PutBack | None:
    """The youngest step whose flip still stands; those before it wait until it is put back."""
    standing = [i for i, step in by_index.items() if flip_stands(step) and step.is_open]
    if not standing:
        return None
    step = by_index[max(standing)]
    if step.compensation_asked:
        return None
    return PutBack(incident_id=step.id, because=f"{broken.scope} was not flipped ({broken.reason})")


def _may_follow(newest: Incident, order: Order) -> bool:
    if order is Order.AT_ONCE or _was_skipped(newest):
        return True
    if order is Order.DEPENDENCY:
        return flip_stands(newest)
    return newest.state is State.CLOSED and newest.green_at_ms is not None


def _diverged(steps: Iterable[Incident]) -> Incident | None:
    """The first region that is done in another state than the one before it."""
    known = ""
    for step in sorted(steps, key=lambda s: s.unit.index if s.unit else 0):
        found = next((c.detail for c in step.audit if c.name == STATE_HASH), "")
        if found and known and found != known:
            return step
        known = found or known
    return None
