"""What is compared from answer to answer: versions, users, claimed arms, missing pins."""

import pytest

from rollbackd.settings.detectors import (
    DetectorSettings,
    MixedVersionsBounds,
    StickyBreaksBounds,
)
from tests.triggers.detectors.facts import PINS, US, Known, Watched, answer, at, watched

MIXED = "mixed_versions"
BREAKS = "sticky_breaks_total"


@pytest.mark.parametrize("name", ["INDEX_HASH", "PROMPT_VER", "MODEL_VER"])
def test_two_versions_of_a_pin_within_the_window_are_mixed(name: str) -> None:
    seen = watched([answer(0), answer(1, pins={**PINS, name: "other"})])
    assert seen.series(MIXED, arm="canary") == [(0, 1), (1, 2)]


def test_another_build_or_tokenizer_is_not_mixed() -> None:
    pins = {**PINS, "BUILD_ID": "2", "TOK_VER": "3"}
    assert watched([answer(0), answer(1, pins=pins)]).last(MIXED) == 1


def test_arms_and_regions_are_judged_apart() -> None:
    pins = {**PINS, "INDEX_HASH": "b2"}
    told = [answer(0), answer(1, "baseline", pins=pins), answer(2, scope=US, pins=pins)]
    seen = watched(told)
    assert {value for _, value in seen.series(MIXED)} == {1}
    assert len(seen.series(MIXED)) == 3


@pytest.mark.parametrize(("gap", "versions"), [(59.999, 2), (60, 2), (60.001, 1)])
def test_a_version_ages_out_of_the_window(gap: float, versions: int) -> None:
    told = [answer(0), answer(gap, pins={**PINS, "INDEX_HASH": "b2"})]
    assert watched(told).last(MIXED) == versions


def test_senders_that_know_different_pins_do_not_differ() -> None:
    told = [answer(0, pins={"INDEX_HASH": "a1"}), answer(1, pins={"PROMPT_VER": "p-1"}), answer(2)]
    assert watched(told).last(MIXED) == 1


def test_a_flip_of_our_own_is_not_mixed_and_leaves_no_trace() -> None:
    """K22: 0 until it has spread, and what answered meanwhile is not remembered."""
    known = Known()
    seen = Watched(expected=known).take(answer(0))
    known.flip_until_ms = at(30)
    seen.take(answer(10, pins={**PINS, "INDEX_HASH": "b2"}), answer(29.999))
    assert seen.series(MIXED) == [(0, 1), (10, 0), (29.999, 0)]
    seen.take(answer(30, pins={**PINS, "INDEX_HASH": "b2"}))
    assert seen.last(MIXED) == 1
    assert seen.take(answer(31)).last(MIXED) == 2


def test_versions_and_arms_are_bounded() -> None:
    seen = Watched(DetectorSettings(mixed_versions=MixedVersionsBounds(window_ms=1 << 40)))
    seen.take(*[answer(n, pins={"INDEX_HASH": str(n)}) for n in range(100)])
    assert seen.last(MIXED) == 64
    seen.take(*[answer(100, arm=f"arm-{n}") for n in range(100)])
    assert seen.bank.evicted()["mixed_versions"] >= 36 + 80
    assert len({sample.labels for sample in seen.samples}) <= 5 * 21 + 5


def test_a_user_on_two_arms_is_a_break() -> None:
    seen = watched([answer(0, "baseline", user="u"), answer(1, "baseline", user="u")])
    assert seen.last(BREAKS) == 0
    seen.take(answer(2, "canary", user="v"), answer(3, "canary", user="u"))
    assert seen.series(BREAKS, arm="canary")[-1] == (3, 1)
    assert seen.take(answer(4, "baseline", user="u")).last(BREAKS, arm="baseline") == 1


@pytest.mark.parametrize(("gap", "breaks"), [(1_799, 1), (1_800, 1), (1_801, 0)])
def test_a_user_who_comes_back_later_may_be_elsewhere(gap: float, breaks: int) -> None:
    told = [answer(0, "baseline", user="u"), answer(gap, "canary", user="u")]
    assert watched(told).last(BREAKS, arm="canary") == breaks


def test_users_of_two_scopes_are_two_users() -> None:
    told = [answer(0, "baseline", user="u"), answer(1, "canary", scope=US, user="u")]
    assert watched(told).last(BREAKS, arm="canary") == 0


def test_moved_traffic_is_no_break_and_is_learned() -> None:
    known = Known()
    seen = Watched(expected=known).take(answer(0, "baseline", user="u"))
    known.users_until_ms = at(10)
    seen.take(answer(9, "canary", user="u"), answer(11, "canary", user="u"))
    assert seen.last(BREAKS, arm="canary") == 0
    assert seen.take(answer(12, "baseline", user="u")).last(BREAKS, arm="baseline") == 1


def test_a_user_who_comes_back_long_after_a_step_of_the_rollout_is_no_break() -> None:
    """Only two arms since traffic was moved last are a break, and the first of them is learned."""
    known = Known()
    seen = Watched(expected=known).take(answer(0, "baseline", user="u"))
    known.users_until_ms = at(10)
    assert seen.take(answer(900, "canary", user="u")).last(BREAKS, arm="canary") == 0
    assert seen.take(answer(901, "baseline", user="u")).last(BREAKS, arm="baseline") == 1


@pytest.mark.parametrize("said", [{"user": ""}, {"arm": "", "user": "u"}])
def test_without_user_or_arm_there_is_nothing_to_break(said: dict[str, str]) -> None:
    seen = watched([answer(0, "baseline", user="u"), answer(1, **said)])  # type: ignore[arg-type]
    assert seen.last(BREAKS) == 0


def test_users_that_are_forgotten_are_counted() -> None:
    bounds = StickyBreaksBounds(users=96)
    seen = Watched(DetectorSettings(sticky_breaks=bounds))
    seen.take(*[answer(0, user=f"u-{n}") for n in range(150)])
    assert seen.bank.evicted()["sticky_breaks"] == 150 - 128


def test_after_the_loss_of_a_partition_users_are_new() -> None:
    seen = watched([answer(0, "canary", user="v"), answer(1, "baseline", user="u")])
    seen.bank.forget("p-0")
    seen.take(answer(2, "canary", user="u"), answer(3, "baseline", user="v"))
    assert seen.last(BREAKS, arm="canary") == seen.last(BREAKS, arm="baseline") == 0


def test_a_client_that_claims_another_arm_is_counted_under_the_servers() -> None:
    name = "claimed_arm_mismatch_total"
    seen = watched(
        [answer(0, claimed_arm="canary"), answer(1, "", claimed_arm="canary"), answer(2)]
    )
    assert seen.series(name) == [(-0.001, 0)]
    seen.take(answer(3, "baseline", claimed_arm="canary"))
    assert seen.series(name, arm="baseline") == [(2.999, 0), (3, 1)]


def test_answers_without_pins_are_counted() -> None:
    name = "events_missing_pins_total"
    assert watched([answer(0, user="u")]).last(name) == 0
    assert watched([answer(0, user="u"), answer(1, user="u", pins={})]).last(name) == 1
    assert watched([answer(0, claimed_arm="canary", pins={})]).last(name) == 1


def test_answers_to_nobody_in_particular_are_not_counted_one_by_one() -> None:
    assert watched([answer(0), answer(1, pins={})]).series("events_missing_pins_total") == []
