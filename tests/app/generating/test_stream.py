"""A plan decides everything: the same bytes again, in the order of time, and decodable."""

import hashlib

import orjson
import pytest

from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.stream import events, load_at
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_records
from rollbackd.model.labels import Scope
from rollbackd.promql.values import quantile_of
from tests.app.generating.measuring import SEED, START_MS, broken, measured, named, played

#: Of the bytes of one plan, see below.
DIGEST = "e14590853a31090a1ecab944afdbc6ff011dde3868d6aa680435ae99e920f703"


def a_short(
    name: str, *, seed: int = SEED, scopes: tuple[Scope, ...] = (Scope("rag", "eu"),)
) -> Plan:
    """Long enough for every onset, at a low rate."""
    return draw(
        SCENARIOS[name],
        seed=seed,
        start_ms=START_MS,
        rate=1.5,
        duration_ms=900_000,
        scopes=scopes,
    )


def digest(plan: Plan) -> str:
    """Of all bytes."""
    found = hashlib.sha256()
    for at_ms, event in events(plan):
        found.update(b"%d " % at_ms + orjson.dumps(event))
    return found.hexdigest()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_is_the_same_bytes(name: str) -> None:
    """And another seed is other bytes."""
    assert digest(a_short(name)) == digest(a_short(name))
    assert digest(a_short(name)) != digest(a_short(name, seed=SEED + 1))


def test_the_traffic_of_a_seed_is_known_by_heart() -> None:
    """What a seed showed once it shows again after a change of the generator, or this says so."""
    assert digest(a_short("delta-s-drift")) == DIGEST


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_event_is_taken_by_the_decoder(name: str) -> None:
    """None is rejected, and every kind of fact is among them."""
    plan = a_short(name)
    records = [orjson.dumps(event) for _, event in events(plan)]
    into = Collector()
    assert decode_records(records, into, headers={}, now_ms=plan.end_ms) == []
    batch = into.batch()
    assert {type(fact).__name__ for fact in batch.facts} == {
        "AnswerServed", "CacheRead", "DedupeDecided", "EffectReceipt", "LambdaProbed",
        "Retried", "RetrieverSeen", "ToolCalled",
    }  # fmt: skip
    assert len(batch.known_good) == len(plan.scopes)
    assert [change.kind for change in batch.changes][-1] == "flag"


@pytest.mark.parametrize("name", SCENARIOS)
def test_events_are_sent_in_the_order_of_time(name: str) -> None:
    """Within the plan, except for what is late."""
    plan = a_short(name)
    times = [at_ms for at_ms, _ in events(plan)]
    assert times == sorted(times)
    assert plan.start_ms <= times[0]
    assert times[-1] < plan.end_ms


def test_a_plan_that_ends_early_ends_there() -> None:
    """In the middle of a second, too; and before the rollout nothing is on the canary."""
    plan = draw(SCENARIOS["tool-loops"], seed=1, start_ms=START_MS, duration_ms=90_500)
    stream = list(events(plan))
    assert stream[-1][0] < START_MS + 90_500
    assert {event["arm"] for event in named(stream, "answer.served")} == {"baseline"}
    assert plan.fault_ms is None


def test_the_rate_is_the_one_asked_for() -> None:
    """Over the whole plan, times the load of that time of the day."""
    plan, stream = played("healthy-prompt")
    expected = plan.rate * load_at(plan.start_ms + plan.duration_ms // 2) * plan.duration_ms / 1_000
    assert len(named(stream, "answer.served")) == pytest.approx(expected, rel=0.03)


def test_the_load_swings_around_its_mean() -> None:
    """A day's mean is the rate asked for; afternoon is busier than the small hours."""
    day = [load_at(hour * 3_600_000) for hour in range(24)]
    assert sum(day) / 24 == pytest.approx(1.0)
    assert (max(day), min(day)) == pytest.approx((1.35, 0.65))
    assert day.index(max(day)) == 14


def test_the_baseline_is_pinned_before_anything_changes() -> None:
    """With the statistics of what was served until then, the pins and the controls."""
    plan, stream = played("delta-s-drift")
    names = [event["event"] for _, event in stream]
    assert names.index("baseline.pinned") < names.index("change")
    (pinned,) = named(stream, "baseline.pinned")
    delta_s = [
        event["values"]["delta_s"]
        for at_ms, event in stream
        if event["event"] == "answer.served" and at_ms < plan.pinned_ms and event["code"] == 200
    ]
    window = pinned["baseline"]["delta_s"]
    assert window["count"] == len(delta_s)
    assert window["p95"] == pytest.approx(quantile_of(0.95, delta_s))
    assert pinned["pins"] == next(e["pins"] for e in named(stream, "answer.served"))
    assert pinned["controls"]["alias:docs_live"] == {"index": "docs_vA"}


def test_the_rollout_says_what_it_changes() -> None:
    """What is new, from what, and then the flag, at the time at which the canary begins."""
    plan, stream = played("index-drift")
    index, flag = named(stream, "change")
    assert (index["kind"], index["before"], index["after"]) == ("index", "docs_vA", "docs_vB")
    assert (flag["kind"], flag["before"], flag["after"]) == ("flag", "0", "0.3")
    assert flag["ts"] * 1_000 == plan.rollout_ms
    first = next(e for e in named(stream, "answer.served") if e["arm"] == "canary")
    assert 0 <= first["ts"] * 1_000 - plan.rollout_ms < 5_000


def test_a_fault_stays_in_the_first_scope() -> None:
    """Other services and regions roll out the same and are well."""
    scopes = (Scope("rag", "eu"), Scope("rag", "us"), Scope("search", "eu"))
    plan = draw(SCENARIOS["errors-canary"], seed=SEED, start_ms=START_MS, scopes=scopes)
    stream = list(events(plan))
    assert broken(measured(plan, stream)) == {("errors", "canary")}
    for number, scope in enumerate(scopes[1:], 1):
        first = (scope, *(each for each in scopes if each is not scope))
        assert broken(measured(_seen_from(plan, first), stream)) == set(), number


def _seen_from(plan: Plan, scopes: tuple[Scope, ...]) -> Plan:
    values = {name: getattr(plan, name) for name in plan.__struct_fields__}
    return Plan(**{**values, "scopes": scopes})


def test_a_scenario_of_two_regions_finds_a_second_one() -> None:
    """Not the one that is named already."""
    plan = a_short("region-failover", scopes=(Scope("rag", "us"),))
    assert plan.scopes == (Scope("rag", "us"), Scope("rag", "eu"))
