"""What happens elsewhere at the same time."""

import pytest

from rollbackd.incidents.guardrails.by_crowding import (
    blast_radius,
    concurrent_incidents,
    correlated_trips,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.history import History, Trip
from rollbackd.model.policy import Correlated
from tests.incidents.guardrails.situations import (
    act,
    elsewhere,
    opened,
    says,
    situation,
    trips,
    with_tree,
)
from tests.incidents.samples import MINUTE, NOW, SCOPE, trigger_of


@pytest.mark.parametrize(("open_", "refused"), [(0, False), (4, False), (5, True), (6, True)])
def test_so_many_incidents_may_be_open(open_: int, *, refused: bool) -> None:
    """Of other scopes, whatever they wait for; those that have ended do not count."""
    acts = [opened(n, scope=elsewhere(n)) for n in range(open_)]
    ended = [act(n, scope=elsewhere(n)) for n in range(100, 110)]
    about = situation(history=History(acts=[*acts, *ended, opened(99)], scopes=100))
    assert says(concurrent_incidents, about) is (Reason.CONCURRENT_INCIDENTS if refused else None)


@pytest.mark.parametrize(
    ("known", "open_", "refused"),
    [
        (0, 0, False),
        (1, 0, False),
        (3, 0, False),
        (3, 1, True),
        (2, 1, True),
        (4, 0, False),
        (4, 1, False),
        (4, 2, True),
        (10, 4, False),
        (10, 5, True),
        (1, 6, True),
    ],
)
def test_half_of_the_scopes_is_the_most(known: int, open_: int, *, refused: bool) -> None:
    """This one counted in; with fewer than four known scopes one may always be acted on."""
    acts = [opened(n, scope=elsewhere(n)) for n in range(open_)]
    about = situation(history=History(acts=acts, scopes=known))
    assert says(blast_radius, about) is (Reason.BLAST_RADIUS if refused else None)


def test_a_small_radius_refuses_even_one_of_many() -> None:
    """One of five is more than a tenth; without the share it says nothing."""
    about = with_tree(max_blast_radius=0.1)
    five = situation(tree=about.tree, history=History(scopes=5))
    assert says(blast_radius, five) is Reason.BLAST_RADIUS
    everywhere = with_tree(max_blast_radius=1.0)
    acts = [opened(n, scope=elsewhere(n)) for n in range(9)]
    assert says(blast_radius, situation(tree=everywhere.tree, history=History(acts=acts))) is None


CORRELATED = Reason.CORRELATED_TRIPS


@pytest.mark.parametrize(("others", "reason"), [(3, None), (4, CORRELATED), (49, CORRELATED)])
def test_five_scopes_at_once_are_one_cause(others: int, reason: Reason | None) -> None:
    """This one counted in."""
    about = situation(history=History(trips=trips(others), scopes=100))
    assert says(correlated_trips, about) is reason


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (-5 * MINUTE, None),
        (-5 * MINUTE + 1, CORRELATED),
        (0, CORRELATED),
        (5 * MINUTE - 1, CORRELATED),
        (5 * MINUTE, None),
    ],
)
def test_together_is_within_five_minutes_of_each_other(at: int, reason: Reason | None) -> None:
    """Before or after this one."""
    about = situation(history=History(trips=trips(4, at_ms=NOW + at), scopes=100))
    assert says(correlated_trips, about) is reason


def test_trips_on_both_sides_are_not_all_together() -> None:
    """Two before, two after, eight minutes apart: never five within five minutes."""
    before = [Trip(scope=elsewhere(n), rule="r", at_ms=NOW - 4 * MINUTE) for n in (1, 2)]
    behind = [Trip(scope=elsewhere(n), rule="r", at_ms=NOW + 4 * MINUTE) for n in (3, 4)]
    assert says(correlated_trips, situation(history=History(trips=[*before, *behind]))) is None


def test_several_rules_of_one_scope_are_one_trip() -> None:
    """The same scopes again and again are no wave."""
    again = [
        Trip(scope=scope, rule=f"r{n}", at_ms=NOW)
        for n in range(10)
        for scope in (SCOPE, elsewhere(1), elsewhere(2))
    ]
    assert says(correlated_trips, situation(history=History(trips=again))) is None


def test_a_wave_lasts_as_long_as_it_fires() -> None:
    """It does not become an ordinary trigger by growing old."""
    long_ago = NOW - 180 * MINUTE
    about = situation(
        trigger=trigger_of(fired_at_ms=long_ago),
        history=History(trips=trips(4, at_ms=long_ago)),
    )
    assert says(correlated_trips, about) is CORRELATED


def test_scopes_that_are_about_to_follow_count() -> None:
    """But not for a trigger that fired long before them."""
    about_to = frozenset(elsewhere(n) for n in range(4))
    assert says(correlated_trips, situation(about_to_trip=about_to)) is CORRELATED
    old = trigger_of(fired_at_ms=NOW - 6 * MINUTE)
    assert says(correlated_trips, situation(about_to_trip=about_to, trigger=old)) is None


def test_a_person_who_pulls_trips_nothing() -> None:
    """There is no trigger."""
    about = situation(trigger=None, history=History(trips=trips(50)))
    assert says(correlated_trips, about) is None


def test_how_many_make_a_wave_is_a_setting() -> None:
    """Of the tree."""
    tree = with_tree(correlated=Correlated(scopes=2, within_ms=MINUTE)).tree
    assert (
        says(correlated_trips, situation(tree=tree, history=History(trips=trips(1)))) is CORRELATED
    )
