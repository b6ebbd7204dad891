"""A service does as its switches say, whoever moves them."""

from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.app.generating.plans import draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.app.generating.switches import Switches, planned
from rollbackd.model.labels import Scope
from tests.app.generating.measuring import SEED, START_MS, named

SECOND = 1_000
#: When the tests move a switch.
MOVED_MS = START_MS + 100 * SECOND
PLAN = draw(
    SCENARIOS["healthy-prompt"],
    seed=SEED,
    start_ms=START_MS,
    rate=20.0,
    duration_ms=200 * SECOND,
    pinned_after_ms=60 * SECOND,
    rollout_after_ms=90 * SECOND,
)


def moved(switches: Switches, before: Switches | None = None) -> list[Timed]:
    """The traffic under switches that are moved half way."""
    first = before or Switches()
    return list(events(PLAN, lambda _, at_ms: switches if at_ms >= MOVED_MS else first))


def requests(stream: list[Timed]) -> list[dict[str, Any]]:
    """Answered or shed, after the switches were moved."""
    names = {"answer.served", "request.shed"}
    return [e for at_ms, e in stream if at_ms >= MOVED_MS and e["event"] in names]


def after(stream: list[Timed], name: str) -> list[dict[str, Any]]:
    return named(((at_ms, e) for at_ms, e in stream if at_ms >= MOVED_MS), name)


@pytest.mark.parametrize("name", ["staged-rollout", "region-failover"])
def test_without_anybody_the_plan_moves_them(name: str) -> None:
    """And moving them as planned is the same traffic."""
    plan = draw(SCENARIOS[name], seed=SEED, start_ms=START_MS, rate=1.0, duration_ms=700_000)
    assert list(events(plan)) == list(events(plan, planned(plan)))


def test_the_plan_goes_through_its_steps() -> None:
    plan = draw(SCENARIOS["staged-rollout"], seed=SEED, start_ms=START_MS)
    read, scope = planned(plan), plan.scopes[0]
    shares = [
        read(scope, plan.rollout_ms + at_ms).canary_share for at_ms in (-1, 0, 119_999, 120_000)
    ]
    assert shares == [0.0, 0.1, 0.1, 0.3]


def test_the_times_of_a_plan_can_be_chosen() -> None:
    """The window is pinned, then the pipeline tells of the rollout; the rest moves along."""
    stream = list(events(PLAN))
    (pinned,), changes = named(stream, "baseline.pinned"), named(stream, "change")
    assert pinned["ts"] * 1_000 == PLAN.pinned_ms == START_MS + 60 * SECOND
    assert {e["ts"] * 1_000 for e in changes} == {PLAN.rollout_ms} == {START_MS + 90 * SECOND}
    usual = draw(SCENARIOS["tool-loops"], seed=SEED, start_ms=START_MS)
    early = draw(SCENARIOS["tool-loops"], seed=SEED, start_ms=START_MS, rollout_after_ms=0)
    assert usual.fault_ms is not None
    assert early.fault_ms == usual.fault_ms - (usual.rollout_ms - usual.start_ms)


def test_switches_are_read_a_second_at_a_time_and_not_ahead() -> None:
    """Who plays the stream as it goes can still move them."""
    asked: list[int] = []

    def read(scope: Scope, at_ms: int) -> Switches:
        assert scope == PLAN.scopes[0]
        asked.append(at_ms)
        return Switches()

    for at_ms, _ in islice(events(PLAN, read), 500):
        assert asked[-1] <= at_ms < asked[-1] + SECOND
    assert {later - before for before, later in pairwise(asked)} == {SECOND}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_of_the_canary_is_that_of_its_users(share: float) -> None:
    """The plan's own rollout is not asked."""
    served = requests(moved(Switches(canary_share=share)))
    assert sum(e["arm"] == "canary" for e in served) / len(served) == pytest.approx(share, abs=0.03)
    assert all(e["claimed_arm"] == e["arm"] for e in served)


def test_who_is_on_the_canary_stays_there_when_its_share_grows() -> None:
    stream = moved(Switches(canary_share=0.5), before=Switches(canary_share=0.2))
    arms = defaultdict(list)
    for event in named(stream, "answer.served"):
        arms[event["user"]].append(event["arm"])
    left = [user for user, seen in arms.items() if ("canary", "baseline") in set(pairwise(seen))]
    assert left == []
    assert Counter(a for seen in arms.values() for a in set(seen))["canary"] > 500


def test_a_canary_that_is_switched_off_is_silent() -> None:
    """Its users are back on the baseline, with the pins of the baseline."""
    stream = moved(Switches(), before=Switches(canary_share=1.0))
    after_it = [e for at_ms, e in stream if at_ms >= MOVED_MS + 10 * SECOND]
    assert {e.get("arm", "baseline") for e in after_it} == {"baseline"}
    assert {e["pins"]["PROMPT_VER"] for e in after_it if e["event"] == "answer.served"} == {
        "p-2026.11.08"
    }


def test_the_throttle_sheds_what_is_over_the_limit() -> None:
    """20 requests a second, a little more in the morning, through a limit of 5."""
    stream = moved(Switches(requests_per_second=5.0, burst=5.0))
    told = requests(stream)
    let_in = [e for e in told if e["event"] == "answer.served"]
    assert len(let_in) / 100 == pytest.approx(5.0, rel=0.05)
    shed = next(e for e in told if e["event"] == "request.shed")
    assert (shed["code"], "values" in shed) == (429, False)
    assert {"pins", "user", "claimed_arm", "arm"} <= shed.keys()
    clients = after(stream, "retry.window")[1:]
    refused = sum(e["throttled"] for e in clients) / sum(e["requests"] for e in clients)
    assert refused == pytest.approx(1 - len(let_in) / len(told), abs=0.02)


@pytest.mark.parametrize(
    ("switches", "shed"),
    [
        (Switches(requests_per_second=100.0), 0.0),
        (Switches(requests_per_second=0.0, burst=0.0), 1.0),
        (Switches(breaker_open=True), 1.0),
    ],
)
def test_a_service_lets_in_all_or_nothing(switches: Switches, shed: float) -> None:
    """A limit above the traffic hurts nobody; a breaker that is open is closed for business."""
    told = requests(moved(switches))
    assert sum(e["event"] == "request.shed" for e in told) / len(told) == shed


def test_blocked_writes_wait_and_are_done_when_they_are_open_again() -> None:
    """Accepted with 202 meanwhile; reads go on."""
    stream = moved(Switches(), before=Switches(writes_blocked=True))
    blocked = [e for at_ms, e in stream if at_ms < MOVED_MS]
    codes = Counter(e["code"] for e in blocked if e["event"] == "answer.served")
    assert codes[202] / (codes[200] + codes[202]) == pytest.approx(0.05, abs=0.01)
    assert not [e for e in blocked if e["event"] in {"dedupe.decision", "effect.receipt"}]
    done = [e for e in after(stream, "dedupe.decision") if e["ts"] * 1_000 == MOVED_MS]
    assert len(done) == codes[202]
    keys = {e["key"] for e in after(stream, "effect.receipt")}
    assert {e["key"] for e in done} <= keys
    assert 202 not in {e["code"] for e in requests(stream)}


def test_a_cache_that_is_rotated_is_empty_at_first() -> None:
    """Its entries are in another namespace, which names the generation and the pins of the arm."""
    stream = moved(Switches(cache_generation=7))
    before = [e for at_ms, e in stream if at_ms < MOVED_MS and e["event"] == "cache.event"]
    reads = after(stream, "cache.event")
    assert {e["namespace"] for e in before} == {"a1d9f0:p-2026.11.08:gpt-4o-2026-07-15"}
    assert {e["namespace"] for e in reads} == {"a1d9f0:p-2026.11.08:gpt-4o-2026-07-15:g7"}
    cold = [e for e in reads if e["ts"] * 1_000 < MOVED_MS + 10 * SECOND]
    warm = [e for e in reads if e["ts"] * 1_000 >= MOVED_MS + 40 * SECOND]
    assert _hits(cold) < 0.1
    assert 0.15 < _hits(warm) < _hits(before)


def _hits(reads: list[dict[str, Any]]) -> float:
    return sum(e["hit"] for e in reads) / len(reads)


def test_a_degraded_service_is_faster() -> None:
    """A tenth a level."""
    usual, degraded = (
        [e["values"]["latency_seconds"] for e in requests(moved(Switches(degrade_level=level)))
         if "values" in e]
        for level in (0, 2)
    )  # fmt: skip
    assert sum(degraded) / sum(usual) == pytest.approx(0.8, abs=0.001)


def test_what_is_late_can_still_wait() -> None:
    """An answer whose event arrives late says 202, too."""
    late = draw(SCENARIOS["late-data"], seed=SEED, start_ms=START_MS, rate=20.0)
    lasting = tuple(replace(each, from_ms=0, until_ms=None) for each in late.injections)
    plan = replace(late, injections=lasting, duration_ms=120 * SECOND)
    stream = list(events(plan, lambda *_: Switches(writes_blocked=True)))
    delayed = [(at_ms, e) for at_ms, e in stream if at_ms > e["ts"] * 1_000 + SECOND]
    codes = {e["code"] for e in named(delayed, "answer.served")}
    assert {200, 202} <= codes
