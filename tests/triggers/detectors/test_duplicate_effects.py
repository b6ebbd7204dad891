"""One key, two effects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.model.facts import EffectStatus
from rollbackd.settings.detectors import DetectorSettings, DuplicateEffectsBounds
from tests.triggers.detectors.facts import EU, US, Watched, receipt, watched

NAME = "duplicate_effects_total"


def test_a_replay_is_no_duplicate_and_a_second_effect_is() -> None:
    seen = watched([receipt("k", "e-1"), receipt("k", "e-1", 1), receipt("j", "e-2", 2)])
    assert seen.series(NAME) == [(-0.001, 0)]
    seen.take(receipt("k", "e-9", 3))
    assert seen.series(NAME) == [(-0.001, 0), (3, 1)]


def test_each_further_effect_counts_once_however_often_it_is_told() -> None:
    told = [receipt("k", effect) for effect in ("a", "b", "b", "c", "a", "b", "c")]
    assert watched(told).last(NAME) == 2


@pytest.mark.parametrize("status", [s for s in EffectStatus if s is not EffectStatus.SEALED])
def test_what_is_not_sealed_is_no_effect(status: EffectStatus) -> None:
    told = [receipt("k", "a"), receipt("k", "b", status=status), receipt("j", "b", status=status)]
    assert watched([*told, receipt("j", "c")]).last(NAME) == 0


def test_a_sealed_receipt_without_an_effect_says_nothing() -> None:
    assert watched([receipt("k", "a"), receipt("k", "")]).last(NAME) == 0


def test_keys_of_two_scopes_are_two_keys() -> None:
    assert watched([receipt("k", "a"), receipt("k", "b", scope=US)]).last(NAME) == 0


def test_series_carry_the_scope_and_the_arm_and_nothing_of_the_key() -> None:
    seen = watched([receipt("secret-key", "a"), receipt("secret-key", "b", arm="canary")])
    assert {sample.labels for sample in seen.samples} == {
        (("__name__", NAME), ("region", "eu"), ("service", "rag")),
        (("__name__", NAME), ("arm", "canary"), ("region", "eu"), ("service", "rag")),
    }


def test_a_rise_has_a_value_right_before_it_however_long_it_was_quiet() -> None:
    """So that `increase` over any window sees it."""
    seen = watched([receipt("k", "a"), receipt("k", "b", 900)])
    assert seen.series(NAME) == [(-0.001, 0), (899.999, 0), (900, 1)]


def test_while_receipts_come_the_count_is_told_again() -> None:
    seen = watched([receipt(str(second), "e", second) for second in range(12)])
    assert seen.series(NAME) == [(-0.001, 0), (5, 0), (10, 0)]


def test_an_effect_that_comes_late_is_told_at_the_newest_time() -> None:
    told = [receipt("k", "a"), receipt("j", "a", 30), receipt("k", "b", 10)]
    assert watched(told).series(NAME)[-1] == (30, 1)


def test_partitions_need_not_be_read_in_step() -> None:
    seen = Watched().take(*[receipt(f"a-{n}", "e", n) for n in range(300)])
    seen.take(receipt("b", "e"), receipt("b", "f", 1), origin="p-1")
    assert seen.series(NAME)[-1] == (299, 1)
    assert seen.bank.late == 0


def test_a_clock_that_is_slow_hides_no_duplicate() -> None:
    seen = Watched()
    for n in range(120):
        seen.take(receipt(str(n), "a", n), receipt(str(n), "b", n - 90), now_s=n)
    assert seen.last(NAME) == 120


def test_a_late_duplicate_that_is_delivered_again_counts_once() -> None:
    late = receipt("k", "b", 1)
    seen = watched([receipt("k", "a"), receipt("j", "a", 300), late, late])
    assert seen.take(late, receipt("k", "b", 301), now_s=400).last(NAME) == 1


def test_a_late_duplicate_of_a_partition_that_is_read_again_is_no_news() -> None:
    """It was told, and acted on, when it was new."""
    seen = watched([receipt("j", "a", 300)])
    told = [receipt("k", "a"), receipt("k", "b", 239.999)]
    assert seen.take(*told, origin="p-1", again=True).last(NAME) == 0
    assert seen.bank.late == 1
    assert seen.take(*told, origin="p-1").last(NAME) == 0
    assert seen.take(receipt("k", "c", 240), origin="p-1", again=True).last(NAME) == 1


def test_of_more_than_are_known_as_counted_the_newest_do_not_count_again() -> None:
    keys = [str(n) for n in range(10_001)]
    seen = watched(receipt(key, effect) for key in keys for effect in "ab")
    counted = seen.last(NAME)
    assert seen.take(receipt(keys[-2], "b")).last(NAME) == counted


def test_a_sender_with_a_fast_clock_does_not_move_the_time_of_others() -> None:
    seen = Watched().take(receipt("k", "a", 300), now_s=0)
    assert seen.take(receipt("k", "b", 1), now_s=1).series(NAME)[-1] == (1, 1)


def test_the_loss_of_a_partition_drops_the_count_and_its_way_back_counts_again() -> None:
    told = [receipt("k", "a"), receipt("k", "b", 1)]
    seen = watched(told)
    seen.bank.forget("p-1")
    assert seen.take(receipt("x", "x", 2)).last(NAME) == 1
    seen.bank.forget("p-0")
    seen.samples.clear()
    assert seen.take(*told).series(NAME) == [(-0.001, 0), (1, 1)]


def test_a_new_process_begins_at_0() -> None:
    told = [receipt("k", "a"), receipt("k", "b", 1)]
    assert watched(told).series(NAME) == watched(told).series(NAME)
    assert watched(told[1:]).series(NAME) == [(0.999, 0)]


def test_forgotten_keys_are_counted() -> None:
    settings = DetectorSettings(duplicate_effects=DuplicateEffectsBounds(keys=96))
    seen = Watched(settings).take(*[receipt(str(n), "e") for n in range(200)])
    assert seen.bank.evicted()["duplicate_effects"] == 200 - 128


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("kjh"), st.sampled_from("abc")), max_size=30))
def test_it_counts_what_a_dictionary_counts(said: list[tuple[str, str]]) -> None:
    effects: dict[str, set[str]] = {}
    for key, effect in said:
        effects.setdefault(key, set()).add(effect)
    extra = sum(len(each) - 1 for each in effects.values())
    seen = watched(receipt(key, effect, scope=EU) for key, effect in said)
    assert (seen.last(NAME) or 0) == extra
