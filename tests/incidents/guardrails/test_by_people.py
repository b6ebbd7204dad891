"""What people said beforehand."""

from typing import Any

import pytest

from rollbackd.incidents.guardrails.by_people import (
    change_freeze,
    exempted_freeze,
    maintenance_window,
    observe_mode,
    paused,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.policy import Window
from tests.incidents.guardrails.situations import says, situation, with_tree
from tests.incidents.samples import MINUTE, NOW, SCOPE, policy_of


def window(kind: str = "maintenance", **changes: Any) -> Window:
    settings = {"name": "w", "kind": kind, "start_ms": NOW - MINUTE, "end_ms": NOW + MINUTE}
    return Window(**{**settings, **changes})


@pytest.mark.parametrize(
    ("pause", "reason"), [(None, None), ("", Reason.PAUSED), ("drill", Reason.PAUSED)]
)
def test_a_pause_stops_everything(pause: str | None, reason: Reason | None) -> None:
    """Also one that gives no reason."""
    assert says(paused, situation(pause=pause)) is reason


@pytest.mark.parametrize("branch", ["act", "observe"])
@pytest.mark.parametrize("tree", ["act", "observe"])
def test_the_branch_or_the_tree_observes(branch: str, tree: str) -> None:
    """Either is enough; a branch that acts does not override the tree."""
    about = with_tree(mode=tree)
    about = situation(tree=about.tree, policy=policy_of("quality_regression", mode=branch))
    acts = branch == tree == "act"
    assert says(observe_mode, about) is (None if acts else Reason.OBSERVE_MODE)


@pytest.mark.parametrize(
    ("changes", "on"),
    [
        ({}, True),
        ({"start_ms": NOW}, True),
        ({"start_ms": NOW + 1}, False),
        ({"end_ms": NOW + 1}, True),
        ({"end_ms": NOW}, False),
        ({"services": [SCOPE.service]}, True),
        ({"services": ["other", SCOPE.service]}, True),
        ({"services": ["other"]}, False),
        ({"regions": [SCOPE.region]}, True),
        ({"regions": ["us-1"]}, False),
        ({"services": [SCOPE.service], "regions": ["us-1"]}, False),
        ({"kind": "change_freeze"}, False),
    ],
)
def test_a_maintenance_window_covers_its_time_and_scopes(
    changes: dict[str, Any], *, on: bool
) -> None:
    """The first moment is inside, the last is not; no services means all of them."""
    about = with_tree(windows=[window(**changes)])
    assert says(maintenance_window, about) is (Reason.MAINTENANCE_WINDOW if on else None)


@pytest.mark.parametrize("policy", ["exempt", "respect"])
def test_a_rollback_is_exempt_from_a_change_freeze_unless_the_tree_respects_it(policy: str) -> None:
    """K23: and the one that it is exempt from is named for the audit trail."""
    about = with_tree(windows=[window("change_freeze", name="year end")], change_freeze=policy)
    respects = policy == "respect"
    assert says(change_freeze, about) is (Reason.CHANGE_FREEZE if respects else None)
    exempted = exempted_freeze(about)
    assert (exempted.name if exempted else None) == (None if respects else "year end")


def test_without_a_freeze_nothing_is_exempt() -> None:
    """A maintenance window is none."""
    about = with_tree(windows=[window()], change_freeze="respect")
    assert says(change_freeze, about) is None
    assert exempted_freeze(with_tree(windows=[window()])) is None
