"""Dedupe conflicts, and probes in groups."""

import pytest

from rollbackd.settings.detectors import DetectorSettings, LambdaFlipsBounds
from tests.triggers.detectors.facts import US, Watched, decided, probe, watched

GROUPS, FLIPS = "lambda_groups_total", "lambda_flips_total"


def test_conflicts_are_counted_beside_all_decisions() -> None:
    words = ["new", "duplicate", "conflict", "new", "conflict"]
    seen = watched(decided(word, n) for n, word in enumerate(words))
    assert seen.series("dedupe_conflicts_total") == [(-0.001, 0), (2, 1), (4, 2)]
    assert seen.last("dedupe_decisions_total") == 5


def test_conflicts_of_scopes_are_apart() -> None:
    seen = watched([decided("conflict"), decided("new", 1, US)])
    assert seen.last("dedupe_conflicts_total", region="us") == 0


@pytest.mark.parametrize(
    ("states", "flips"),
    [
        (["convergent"] * 3, 0),
        (["convergent", "convergent", "divergent"], 1),
        (["recursive"] * 3, 1),
        (["chaotic", "convergent", "convergent"], 1),
    ],
)
def test_a_group_flips_when_not_all_converge(states: list[str], flips: int) -> None:
    seen = watched(probe(f"p-{n}", state, n) for n, state in enumerate(states))
    assert (seen.last(GROUPS), seen.last(FLIPS)) == (1, flips)


def test_a_group_that_is_not_complete_does_not_count() -> None:
    seen = watched([probe("p-1", "chaotic"), probe("p-2", "chaotic"), probe("p-2", "chaotic", 1)])
    assert (seen.last(GROUPS), seen.last(FLIPS)) == (0, 0)


@pytest.mark.parametrize("other", [{"seed": "2"}, {"question": "r"}, {"arm": "baseline"}])
def test_groups_are_of_one_question_seed_and_arm(other: dict[str, str]) -> None:
    told = [
        probe("p-1", "convergent"),
        probe("p-2", "convergent"),
        probe("p-3", "convergent", **other),
    ]
    assert watched(told).last(GROUPS, arm="canary") == 0


def test_a_question_that_is_asked_again_is_another_group() -> None:
    told = [probe(f"p-{n % 3}", "convergent", n) for n in range(6)]
    assert watched(told).last(GROUPS) == 2


@pytest.mark.parametrize(("gap", "groups"), [(600, 1), (600.001, 0)])
def test_half_a_group_is_dropped_in_the_end(gap: float, groups: int) -> None:
    seen = watched([probe("p-1", "chaotic"), probe("p-2", "chaotic", 1)])
    seen.take(probe("x", "convergent", gap, question="other"))
    assert seen.take(probe("p-3", "convergent", gap)).last(GROUPS) == groups


def test_groups_are_bounded() -> None:
    seen = Watched(DetectorSettings(lambda_flips=LambdaFlipsBounds(groups=5)))
    seen.take(*[probe("p-1", "convergent", question=str(n)) for n in range(9)])
    assert seen.bank.evicted()["lambda_flips"] == 4
