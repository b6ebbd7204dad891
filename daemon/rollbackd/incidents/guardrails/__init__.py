"""Reasons not to act, asked in order before the first act. Each is a pure function.

A guardrail returns its objection, or None when it has nothing against acting. None of them raises.
Approval is none of these: it does not refuse, it makes the incident wait.
"""

from collections.abc import Sequence
from typing import Final

from rollbackd.incidents.guardrails.by_crowding import (
    blast_radius,
    concurrent_incidents,
    correlated_trips,
)
from rollbackd.incidents.guardrails.by_evidence import (
    input_coverage,
    known_good_is_current,
    no_known_good,
    no_recent_change,
    stale_data,
)
from rollbackd.incidents.guardrails.by_people import (
    change_freeze,
    maintenance_window,
    observe_mode,
    paused,
)
from rollbackd.incidents.guardrails.by_repetition import (
    cooldown,
    flap_latch,
    global_budget_spent,
    ineffective_chain,
    lever_budget_spent,
    rule_budget_spent,
    scope_budget_spent,
)
from rollbackd.incidents.guardrails.situation import Guardrail, Objection, Situation
from rollbackd.model.decisions import Reason

#: In the order of asking: what a person said, whether the trigger can be believed, whether there is
#: anything to go back to, whether it is only one part of something larger, what was done already.
GUARDRAILS: Final[tuple[Guardrail, ...]] = (
    paused,
    observe_mode,
    maintenance_window,
    change_freeze,
    stale_data,
    input_coverage,
    no_recent_change,
    correlated_trips,
    no_known_good,
    known_good_is_current,
    ineffective_chain,
    flap_latch,
    cooldown,
    scope_budget_spent,
    rule_budget_spent,
    lever_budget_spent,
    global_budget_spent,
    concurrent_incidents,
    blast_radius,
)

#: Before a branch of higher priority takes an open incident over. The scope is being acted on
#: already, so what only limits how much is acted on has been asked.
GUARDRAILS_OF_A_TAKEOVER: Final[tuple[Guardrail, ...]] = (
    paused,
    observe_mode,
    maintenance_window,
    change_freeze,
    stale_data,
    input_coverage,
    no_recent_change,
    correlated_trips,
    no_known_good,
    known_good_is_current,
    flap_latch,
    rule_budget_spent,
    lever_budget_spent,
)

#: Of every other scope before a unit begins: what is particular to that scope.
GUARDRAILS_OF_A_UNIT: Final[tuple[Guardrail, ...]] = (
    known_good_is_current,
    maintenance_window,
    change_freeze,
    no_known_good,
    ineffective_chain,
    flap_latch,
)

#: Before a further step of a unit is opened: the unit was asked as a whole when it began.
GUARDRAILS_OF_A_STEP: Final[tuple[Guardrail, ...]] = (no_known_good, known_good_is_current)

#: A person who pulls overrides what protects from the machine's own eagerness.
GUARDRAILS_OF_A_PULL: Final[tuple[Guardrail, ...]] = (no_known_good,)

#: Objections that hold until a person resets them; they are stored.
LATCHING: Final = frozenset({Reason.INEFFECTIVE_CHAIN, Reason.FLAP_LATCH})


def first_objection(
    situation: Situation, guardrails: Sequence[Guardrail] = GUARDRAILS
) -> Objection | None:
    """What the first guardrail that says no has to say, or None."""
    return next((o for o in (guard(situation) for guard in guardrails) if o is not None), None)
