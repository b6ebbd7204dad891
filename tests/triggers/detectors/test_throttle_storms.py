"""Calm, burst, storm."""

import pytest

from tests.triggers.detectors.facts import US, Watched, retried, watched

STATE = "throttle_state"


def states(seen: Watched) -> list[tuple[float, float]]:
    """(seconds, state) at each change."""
    changes: list[tuple[float, float]] = []
    for seconds, value in seen.series(STATE):
        if not changes or changes[-1][1] != value:
            changes.append((seconds, value))
    return changes


@pytest.mark.parametrize(("throttled", "state"), [(20, 0), (21, 1)])
def test_more_than_two_percent_is_a_burst(throttled: int, state: int) -> None:
    assert watched([retried(throttled)]).last(STATE) == state


def test_a_flat_three_percent_for_a_window_is_a_storm() -> None:
    seen = watched(retried(30, n * 10) for n in range(40))
    assert states(seen) == [(0, 1), (300, 2)]
    assert seen.last("throttled_ratio") == pytest.approx(0.03)
    assert seen.last("retry_after_adherence") == 1


def test_a_burst_that_decays_inside_the_window_is_none() -> None:
    seen = watched(retried(30 if n < 20 else 5, n * 10) for n in range(60))
    assert max(value for _, value in states(seen)) == 1
    assert seen.last(STATE) == 0


def test_clients_that_do_not_wait_are_no_storm() -> None:
    """What backoff has not been tried on is not one that backoff does not calm."""
    seen = watched(retried(30, n * 10, retries=10, adhered=4) for n in range(60))
    assert seen.last(STATE) == 1
    assert seen.last("retry_after_adherence") == pytest.approx(0.4)
    assert watched(retried(30, n * 10, retries=10, adhered=5) for n in range(60)).last(STATE) == 2


def test_who_does_not_retry_waits_long_enough() -> None:
    assert watched(retried(30, n * 10, retries=0, adhered=0) for n in range(60)).last(STATE) == 2


def test_swinging_around_the_limit_is_one_burst() -> None:
    seen = watched(retried(24 if n // 6 % 2 else 15, n * 10) for n in range(120))
    assert len([1 for _, value in states(seen) if value == 1]) <= 2


def test_a_storm_is_over_when_a_whole_window_is_calm() -> None:
    seen = watched(retried(30 if n < 40 else 2, n * 10) for n in range(100))
    (_, burst), (_, storm), (over, calm) = states(seen)
    assert (burst, storm, calm) == (1, 2, 0)
    assert over > 600


@pytest.mark.parametrize(("requests", "state"), [(199, 0), (200, 1)])
def test_few_requests_say_nothing(requests: int, state: int) -> None:
    assert watched([retried(100, requests=requests)]).last(STATE) == state


def test_clients_of_a_scope_are_added_up_and_scopes_are_not() -> None:
    told = [retried(30, n, requests=100) for n in range(2)]
    assert watched(told).last(STATE, region="eu") == 1
    other = retried(30, 1, requests=100, scope=US)
    assert watched([told[0], other]).last(STATE, region="eu") == 0


@pytest.mark.parametrize(("first", "state"), [(4, 1), (40, 2)])
def test_low_traffic_that_is_calm_for_a_window_ends_it(first: int, state: int) -> None:
    seen = watched(retried(30, n * 10) for n in range(first))
    assert seen.last(STATE) == state
    quiet = [retried(0, (first + n) * 10, requests=5) for n in range(60)]
    changes = states(seen.take(*quiet))
    assert changes[-1][1] == 0
    assert changes[-1][0] >= first * 10 + 200
    again = (first + 60) * 10
    seen.take(*[retried(30, again + n * 10) for n in range(40)])
    assert [value for _, value in states(seen)][-3:] == [0, 1, 2]


def test_low_traffic_that_is_throttled_ends_nothing() -> None:
    seen = watched(retried(30, n * 10) for n in range(40))
    assert seen.take(*[retried(2, 400 + n * 10, requests=10) for n in range(60)]).last(STATE) == 2


def test_a_window_of_silence_ends_a_storm_and_a_burst_after_it_is_a_burst() -> None:
    seen = watched(retried(30, n * 10) for n in range(40))
    assert seen.take(retried(30, 695)).last(STATE) == 1


def test_below_the_floor_there_is_no_ratio() -> None:
    """The shipped rule goes by it: who tells of too little does not speak for the service."""
    seen = watched(retried(1, n * 15, requests=3) for n in range(40))
    assert seen.last("throttled_ratio") is None
    assert seen.last(STATE) == 0
