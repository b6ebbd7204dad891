"""What happens elsewhere at the same time: one cause, or too much at once."""

from typing import Final

from rollbackd.incidents.guardrails.situation import Objection, Situation, shown_ms
from rollbackd.model.decisions import Reason
from rollbackd.model.labels import Scope

#: Below this many known scopes a share says nothing: one may always be acted on.
FEW_SCOPES: Final = 4
_SHOWN: Final = 5


def concurrent_incidents(situation: Situation) -> Objection | None:
    """As many incidents as may be open at the same time already are."""
    elsewhere, most = _acted_on_elsewhere(situation), situation.tree.max_open_incidents
    if len(elsewhere) < most:
        return None
    because = f"{len(elsewhere)} incidents are open ({_shown(elsewhere)}); at most {most} may be"
    return Objection(reason=Reason.CONCURRENT_INCIDENTS, because=because)


def blast_radius(situation: Situation) -> Objection | None:
    """Too large a share of the scopes would be acted on at the same time."""
    elsewhere, most = _acted_on_elsewhere(situation), situation.tree.max_blast_radius
    acted_on = len(elsewhere) + 1
    known = max(situation.history.scopes, acted_on)
    if known < FEW_SCOPES and not elsewhere:
        return None
    if acted_on <= most * known:
        return None
    because = (
        f"{acted_on} of {known} known scopes would be acted on at the same time; at most {most:.0%}"
        " may be"
    )
    return Objection(reason=Reason.BLAST_RADIUS, because=because)


def correlated_trips(situation: Situation) -> Objection | None:
    """Many scopes tripped within a short time of each other: one cause, and it is not a canary.

    It stays so for as long as the rule goes on firing; also trips that opened nothing count. A
    scope for which the same rule is pending is about to follow, and counts as if it had.
    """
    if situation.trigger is None:
        return None
    limit, mine_ms = situation.tree.correlated, situation.tripped_at_ms
    trips = {(situation.scope, mine_ms)}
    trips |= {(trip.scope, trip.at_ms) for trip in situation.history.trips}
    trips |= {(scope, situation.now_ms) for scope in situation.about_to_trip}
    others = situation.of_one_cause - {situation.scope}
    trips = {(scope, at_ms) for scope, at_ms in trips if scope not in others}
    near = sorted(
        (at_ms, scope) for scope, at_ms in trips if abs(at_ms - mine_ms) < limit.within_ms
    )
    for start_ms, _ in near:
        if start_ms > mine_ms:
            break
        together = {scope for at_ms, scope in near if 0 <= at_ms - start_ms < limit.within_ms}
        if len(together) >= limit.scopes:
            because = (
                f"{len(together)} scopes tripped within {shown_ms(limit.within_ms)}"
                f" ({_shown(together)})"
            )
            return Objection(reason=Reason.CORRELATED_TRIPS, because=because)
    return None


def _acted_on_elsewhere(situation: Situation) -> set[Scope]:
    together = situation.of_one_cause | {situation.scope}
    return {a.scope for a in situation.history.acts if a.is_open and a.scope not in together}


def _shown(scopes: set[Scope]) -> str:
    names = [str(scope) for scope in sorted(scopes)]
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
