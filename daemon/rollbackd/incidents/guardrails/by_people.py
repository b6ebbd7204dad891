"""What people said beforehand: paused, only observing, a window in which nothing is touched."""

from rollbackd.incidents.guardrails.situation import Objection, Situation
from rollbackd.model.decisions import Reason
from rollbackd.model.labels import Scope
from rollbackd.model.policy import DecisionTree, Window

MAINTENANCE = "maintenance"
CHANGE_FREEZE = "change_freeze"


def paused(situation: Situation) -> Objection | None:
    """A person stopped all automation."""
    if situation.pause is None:
        return None
    return Objection(reason=Reason.PAUSED, because=f"paused: {situation.pause}")


def observe_mode(situation: Situation) -> Objection | None:
    """The branch, or the whole tree, only observes."""
    if situation.tree.mode == "observe":
        because = "the tree is in `mode: observe`"
    elif situation.policy.mode == "observe":
        because = f"branch `{situation.policy.branch}` is in `mode: observe`"
    else:
        return None
    return Objection(reason=Reason.OBSERVE_MODE, because=because)


def maintenance_window(situation: Situation) -> Objection | None:
    """Somebody works on the scope, and its figures mean nothing until they are done."""
    window = _covering(situation, MAINTENANCE)
    if window is None:
        return None
    return Objection(
        reason=Reason.MAINTENANCE_WINDOW, because=f"maintenance window `{window.name}` is on"
    )


def change_freeze(situation: Situation) -> Objection | None:
    """Nothing may change now, and the tree says that a rollback is a change (conflict K23)."""
    window = _covering(situation, CHANGE_FREEZE)
    if window is None or situation.tree.change_freeze != "respect":
        return None
    because = f"change freeze `{window.name}` is on, and the tree respects it"
    return Objection(reason=Reason.CHANGE_FREEZE, because=because)


def exempted_freeze(situation: Situation) -> Window | None:
    """The change freeze that a rollback is made in all the same, for the audit trail."""
    if situation.tree.change_freeze == "respect":
        return None
    return _covering(situation, CHANGE_FREEZE)


def windows_in_force(tree: DecisionTree, kind: str, now_ms: int) -> list[Window]:
    """The windows of a kind that are on; the end itself is outside."""
    return [w for w in tree.windows if w.kind == kind and w.start_ms <= now_ms < w.end_ms]


def _covering(situation: Situation, kind: str) -> Window | None:
    on = windows_in_force(situation.tree, kind, situation.now_ms)
    return next((window for window in on if _covers(window, situation.scope)), None)


def _covers(window: Window, scope: Scope) -> bool:
    services = not window.services or scope.service in window.services
    regions = not window.regions or scope.region in window.regions
    return services and regions
