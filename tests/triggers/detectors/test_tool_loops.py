"""The same call with the same output."""

import pytest

from rollbackd.settings.detectors import DetectorSettings, ToolLoopsBounds
from tests.triggers.detectors.facts import T0, Watched, call, watched

NAME = "tool_loops_total"


@pytest.mark.parametrize(
    ("outputs", "loops"),
    [("xx", 0), ("xxx", 1), ("xxxx", 1), ("xyx", 0), ("xxyxx", 0), ("xxyxxx", 1), ("xxxyxxx", 2)],
)
def test_three_in_a_row_are_one_loop(outputs: str, loops: int) -> None:
    assert watched(call(output, n) for n, output in enumerate(outputs)).last(NAME) == loops


@pytest.mark.parametrize("other", [{"trace": "t-2"}, {"tool": "fetch"}, {"args_hash": "b"}])
def test_other_calls_are_other_calls(other: dict[str, str]) -> None:
    told = [call("x", 0), call("x", 1), call("x", 2, **other)]
    assert watched(told).last(NAME) == 0
    assert watched([*told, call("x", 3)]).last(NAME) == 1


def test_parts_of_a_call_are_not_run_together() -> None:
    told = [
        call("x", n, trace=t, tool=tool)
        for n, (t, tool) in enumerate([("ab", "c"), ("a", "bc")] * 2)
    ]
    assert watched(told).last(NAME) == 0


def test_an_event_that_is_delivered_again_is_not_another_call() -> None:
    assert watched([call("x", 0), call("x", 1), call("x", 1), call("x", 1)]).last(NAME) == 0


def test_a_call_without_an_output_is_not_judged() -> None:
    assert watched(call("", n) for n in range(9)).last(NAME) == 0


def test_how_many_make_a_loop_can_be_set() -> None:
    settings = DetectorSettings(tool_loops=ToolLoopsBounds(repeats=5))
    seen = Watched(settings).take(*[call("x", n) for n in range(4)])
    assert seen.last(NAME) == 0
    assert seen.take(call("x", 4)).last(NAME) == 1


def test_a_loop_that_never_ends_is_counted_once() -> None:
    assert watched(call("x", n) for n in range(600)).last(NAME) == 1


def test_what_is_read_again_after_a_loss_is_counted_anew() -> None:
    told = [call("x", n) for n in range(3)]
    seen = watched(told[:2])
    seen.bank.forget("p-0")
    assert seen.take(*told[:2]).last(NAME) == 0
    assert seen.take(told[2]).last(NAME) == 1


@pytest.mark.parametrize("delivered", [[0, 0.9, 0, 0.9], [0, 0.9, 0.9, 0], [0, 0.9] * 3])
def test_two_calls_that_are_delivered_twice_are_no_loop(delivered: list[float]) -> None:
    seen = watched(call("x", seconds) for seconds in delivered)
    assert seen.last(NAME) == 0
    assert seen.take(call("x", 1.8)).last(NAME) == 1


def test_an_old_output_that_is_delivered_again_does_not_end_a_loop() -> None:
    told = [call("y", 0), call("x", 1), call("x", 2), call("y", 0), call("x", 3)]
    assert watched(told).last(NAME) == 1


def test_calls_are_told_apart_across_the_turn_of_the_clock() -> None:
    """Times are kept modulo 2**32 ms, of which the calls stand on both sides."""
    turn = (2**32 - T0 % 2**32) / 1_000
    assert watched(call("x", turn + n) for n in (-1, 0, 1)).last(NAME) == 1
