"""What a recorded set holds, and what is refused."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.events import KnownGood, KnownTarget
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.levers import Observation
from rollbackd.ports import ScopeBusyError
from tests.app.pinning.office import GOOD, NOW, SCOPE, Office
from tests.incidents.samples import opened
from tests.stores.samples import record_of

LIVE = PinRequest(scope=SCOPE, from_live=True)
GIVEN = PinRequest(scope=SCOPE, pins=GOOD, window_ms=0)


async def test_a_set_holds_pins_controls_targets_and_the_window(office: Office) -> None:
    """As they stand when it is recorded."""
    await office.controls.set_intent(SCOPE, "alias:docs", {"index": "docs_vA"}, now_ms=NOW)
    office.add_lever("qdrant", Observation(value={"to": "docs_vA"}, version=1, facts={"count": 7}))
    await office.serve(100, errors=5)
    await office.serve(50, arm="canary", pins={"PROMPT_VER": "p-2"}, delta_s=0.9)
    recorded = await office.desk.record(replace(LIVE, note="before 2"), by="ci")
    known = recorded.known_good
    assert (recorded.is_new, recorded.missing) == (True, [])
    assert recorded.not_measured == ["coverage", "tokens", "cost_per_solved_query"]
    assert (known.pins, known.recorded_at_ms, known.by, known.note) == (GOOD, NOW, "ci", "before 2")
    assert known.controls == {"alias:docs": {"index": "docs_vA"}}
    assert {key: (t.value, t.facts) for key, t in known.targets.items()} == {
        "qdrant:live": ({"to": "docs_vA"}, {"count": 7})
    }
    assert known.window_ms == 300_000
    assert known.baseline == {
        "delta_s": {
            "p50": pytest.approx(0.3495),
            "p95": pytest.approx(0.39405),
            "p99": pytest.approx(0.39801),
            "mean": pytest.approx(0.3495),
            "count": 100.0,
        },
        "latency_seconds": {"p50": 1.0, "p95": 1.0, "p99": 1.0, "mean": 1.0, "count": 100.0},
        "errors": {"ratio": 0.05, "count": 100.0},
    }
    assert known.id.startswith("KG-20260921T141320-")
    assert await office.store.known_good(SCOPE) == known
    assert office.heard == [known]
    assert office.baselines.in_force(SCOPE) == known


async def test_samples_outside_the_window_do_not_count(office: Office) -> None:
    await office.serve(20, delta_s=0.9)
    office.clock.advance(60_000)
    await office.serve(20)
    known = (await office.desk.record(replace(LIVE, window_ms=30_000), by="ci")).known_good
    assert known.baseline["delta_s"]["count"] == 20
    assert known.baseline["delta_s"]["p99"] < 0.33


async def test_events_without_an_arm_are_of_the_baseline(office: Office) -> None:
    """A service that knows no arms has one."""
    await office.serve(20, arm="")
    known = (await office.desk.record(LIVE, by="ci")).known_good
    assert (known.pins, known.baseline["delta_s"]["count"]) == (GOOD, 20)


async def test_pins_that_are_given_go_with_those_that_were_seen(office: Office) -> None:
    await office.serve(20, pins={name: v for name, v in GOOD.items() if name != "GIT_SHA"})
    request = replace(LIVE, pins={"GIT_SHA": "abc", "EMBED_DIM": "768"})
    known = (await office.desk.record(request, by="ci")).known_good
    assert known.pins == {**GOOD, "GIT_SHA": "abc", "EMBED_DIM": "768"}


async def unseen(office: Office) -> PinRequest:
    await office.serve(20, arm="canary")
    return LIVE


async def missing(office: Office) -> PinRequest:
    await office.serve(20, pins={**dict(list(GOOD.items())[2:])})
    return LIVE


async def no_pins(_office: Office) -> PinRequest:
    return replace(GIVEN, pins={})


async def mixed(office: Office) -> PinRequest:
    await office.serve(20)
    await office.serve(20, pins={**GOOD, "PROMPT_VER": "p-2"})
    return LIVE


async def others(office: Office) -> PinRequest:
    await office.serve(20)
    return PinRequest(scope=SCOPE, pins={**GOOD, "PROMPT_VER": "p-2"})


async def few(office: Office) -> PinRequest:
    await office.serve(9)
    return LIVE


async def few_given(_office: Office) -> PinRequest:
    return replace(GIVEN, window_ms=None, baseline={"a": {"p95": 1.0, "count": 9.0}})


async def uncounted(_office: Office) -> PinRequest:
    return replace(GIVEN, window_ms=None, baseline={"a": {"p95": 1.0}})


async def silent(_office: Office) -> PinRequest:
    return replace(GIVEN, window_ms=None)


async def too_long(_office: Office) -> PinRequest:
    return replace(GIVEN, window_ms=300_001)


async def twice(_office: Office) -> PinRequest:
    return replace(GIVEN, window_ms=1_000, baseline={"a": {"count": 900.0}})


async def refused_target(office: Office) -> PinRequest:
    office.add_lever("qdrant", PermanentError("401 from qdrant"))
    return GIVEN


async def absent_target(office: Office) -> PinRequest:
    office.add_lever("qdrant", TemporaryError("qdrant is away"))
    return GIVEN


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (unseen, r"arm `baseline` of rag/eu runs with; those of `canary` were seen"),
        (missing, "required pins are missing: BUILD_ID, GIT_SHA;"),
        (no_pins, "needs pins"),
        (
            mixed,
            "more than one set of pins within the last 5m: PROMPT_VER p-2 and prompt_ver-1;",
        ),
        (
            others,
            (
                "not those that arm `baseline` was seen with within the last 5m:"
                " PROMPT_VER p-2 and prompt_ver-1;"
            ),
        ),
        (few, "at least 10 are needed: `delta_s` has 9, `latency_seconds` has 9, `errors` has 9"),
        (few_given, "at least 10 are needed: `a` has 9"),
        (uncounted, "`a` has no `count`"),
        (
            silent,
            (
                "no samples, or too few, of `delta_s`, `coverage`, `latency_seconds`, `tokens`,"
                " `cost_per_solved_query`, `errors` within the last 5m"
            ),
        ),
        (too_long, "only 5m of the series are kept"),
        (twice, "not both"),
        (refused_target, "qdrant:live: 401 from qdrant"),
        (absent_target, "qdrant:live: qdrant is away"),
    ],
)
async def test_a_set_that_would_mislead_is_refused(
    office: Office, prepare: Callable[[Office], object], says: str
) -> None:
    """With what is wrong and how much of it there is; nothing is stored."""
    request = await prepare(office)  # type: ignore[misc]
    with pytest.raises(ValueError, match=says):
        await office.desk.record(request, by="ci")
    assert await office.store.known_good_sets() == []


async def test_what_is_missing_can_be_allowed(office: Office) -> None:
    """And is named all the same."""
    office.add_lever("qdrant", PermanentError("401"))
    request = replace(GIVEN, pins={"PROMPT_VER": "p"}, allow_missing=True)
    recorded = await office.desk.record(request, by="ci")
    assert len(recorded.missing) == len(GOOD) - 1
    assert recorded.not_observed == {"qdrant:live": "401"}
    assert recorded.known_good.targets == {}


async def test_nothing_live_is_recorded_during_an_incident(office: Office) -> None:
    """Its window would be of the trouble; what a person says counts."""
    incident = replace(opened(), scope=SCOPE)
    await office.store.open_incident(incident, record_of(incident))
    await office.serve(20)
    with pytest.raises(ScopeBusyError):
        await office.desk.record(LIVE, by="ci")
    with pytest.raises(ScopeBusyError):
        await office.desk.record(replace(GIVEN, window_ms=None), by="ci")
    assert (await office.desk.record(GIVEN, by="ann")).is_new


async def test_the_same_key_is_the_same_request(office: Office) -> None:
    """Also long after; with another body it is a mistake."""
    request = replace(GIVEN, key="run-7")
    first = await office.desk.record(request, by="ci")
    office.clock.advance(86_400_000)
    again = await office.desk.record(request, by="ci")
    assert (again.is_new, again.known_good) == (False, first.known_good)
    with pytest.raises(ValueError, match="was used for another request"):
        await office.desk.record(replace(request, note="other"), by="ci")
    assert (await office.desk.record(replace(request, key="run-8"), by="ci")).is_new
    assert len(office.heard) == 2


async def test_without_a_key_the_same_request_is_one_for_ten_minutes(office: Office) -> None:
    """As long as it comes to the same set."""
    first = await office.desk.record(GIVEN, by="ci")
    office.clock.advance(599_999)
    again = await office.desk.record(GIVEN, by="ci")
    assert (again.is_new, again.known_good) == (False, first.known_good)
    office.clock.advance(1)
    assert (await office.desk.record(GIVEN, by="ci")).is_new
    assert (await office.desk.record(replace(GIVEN, note="x"), by="ci")).is_new


async def test_a_candidate_that_is_asked_for_again_is_one(office: Office) -> None:
    """It counts for nothing yet, and still is what was asked for."""
    request = replace(GIVEN, status=SetStatus.CANDIDATE)
    first = await office.desk.record(request, by="ci")
    assert (await office.desk.record(request, by="ci")).known_good == first.known_good


async def deployed(office: Office, _first: KnownGood) -> None:
    office.clock.advance(301_000)
    await office.serve(20, pins={**GOOD, "PROMPT_VER": "p-12"})


async def switched(office: Office, _first: KnownGood) -> None:
    await office.controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=NOW)


async def moved(office: Office, _first: KnownGood) -> None:
    office.levers["edge"].standing = Observation(value={"to": "green"}, version=2)


async def found_bad(office: Office, first: KnownGood) -> None:
    await office.desk.restate(first.id, SetStatus.RETIRED, by="ann")


async def replaced(office: Office, _first: KnownGood) -> None:
    await office.desk.record(replace(GIVEN, pins={**GOOD, "PROMPT_VER": "p-12"}), by="bob")


@pytest.mark.parametrize("change", [deployed, switched, moved, found_bad, replaced])
async def test_the_same_words_about_something_else_are_no_repetition(
    office: Office, change: Callable[[Office, KnownGood], Awaitable[None]]
) -> None:
    """Whoever asks again is not told that an old set is what runs, and the new one is in force."""
    office.add_lever("edge", Observation(value={"to": "blue"}, version=1))
    request = GIVEN
    if change is deployed:
        await office.serve(20)
        request = replace(LIVE, window_ms=0)
    first = await office.desk.record(request, by="ci")
    office.clock.advance(1_000)
    await change(office, first.known_good)
    office.clock.advance(1_000)
    again = await office.desk.record(request, by="ci")
    assert again.is_new
    assert await office.desk.in_force() == {SCOPE: again.known_good.id}


async def test_without_a_window_the_minutes_that_count_are_named(office: Office) -> None:
    """Nobody who measures nothing is told about a window, or to ask for less of it."""
    await office.serve(1)
    await office.serve(1, pins={**GOOD, "PROMPT_VER": "p-2"})
    with pytest.raises(ValueError, match="more than one set of pins") as caught:
        await office.desk.record(replace(LIVE, window_ms=0), by="ci")
    assert "within the last 5m" in str(caught.value)
    assert "not been seen for 5m" in str(caught.value)
    assert "less" not in str(caught.value)


async def test_a_set_is_promoted_and_retired(office: Office) -> None:
    """What is served follows at once, and who did it is kept."""
    candidate = replace(GIVEN, status=SetStatus.CANDIDATE)
    known = (await office.desk.record(candidate, by="ci")).known_good
    assert office.baselines.in_force(SCOPE) is None
    promoted = await office.desk.restate(known.id, SetStatus.GOOD, by="ann")
    assert (promoted.status_by, office.baselines.in_force(SCOPE)) == ("ann", promoted)
    await office.desk.restate(known.id, SetStatus.GOOD, by="bob")
    retired = await office.desk.restate(known.id, SetStatus.RETIRED, by="bob")
    assert (office.heard, office.baselines.in_force(SCOPE)) == ([known, promoted, retired], None)
    assert await office.desk.in_force() == {}
    with pytest.raises(KeyError):
        await office.desk.restate("KG-nobody", SetStatus.GOOD, by="ann")


async def test_what_runs_now_can_be_looked_at(office: Office) -> None:
    await office.controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=NOW)
    await office.serve(1)
    known = (await office.desk.record(GIVEN, by="ci")).known_good
    live = await office.desk.live(SCOPE)
    assert (live.arms, live.controls) == ({"baseline": GOOD}, {"degrade": {"level": 1}})
    assert live.in_force == known.id


async def test_what_runs_now_includes_what_stands_at_targets(office: Office) -> None:
    """Read when it is asked for; one that does not answer is named."""
    office.add_lever("edge", Observation(value={"to": "blue"}, version=1, facts={"ready": 3}))
    office.add_lever("qdrant", TemporaryError("qdrant is away"))
    live = await office.desk.live(SCOPE)
    assert live.targets == {"edge:live": KnownTarget(value={"to": "blue"}, facts={"ready": 3})}
    assert live.not_observed == {"qdrant:live": "qdrant is away"}
