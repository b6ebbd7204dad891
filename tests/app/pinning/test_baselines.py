"""Comparing with the right baseline only: that of the set in force, of pins that really run."""

import pytest
from msgspec.structs import replace

from rollbackd.model.events import Batch, KnownGood
from rollbackd.model.known_good import SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import Verdict
from tests.app.pinning.office import DRIFT, ERRORS, GOOD, NOW, SCOPE, Office

OTHER = {**GOOD, "PROMPT_VER": "p-2"}
GREEN, UNKNOWN = Verdict.GREEN, Verdict.UNKNOWN


def known_good(at: int = 0, *, scope: Scope = SCOPE, **baseline: float) -> KnownGood:
    return KnownGood(
        scope=scope,
        pins=GOOD,
        recorded_at_ms=NOW + at,
        baseline={"delta_s": {"p95": 0.3}} if not baseline else {"delta_s": baseline},
    )


async def pinned(office: Office, known: KnownGood) -> None:
    await office.intake.ingest(Batch(known_good=[known]), source="test")


def served(office: Office) -> dict[str, float]:
    """What is there to be compared with, by scope and statistic."""
    engine, found = office.engine, {}
    for statistic in ("p50", "p95"):
        vector = engine.query(engine.compile(f"baseline:delta_s:{statistic}"), office.clock.now())
        found |= {f"{dict(labels)['service']} {statistic}": value for labels, value in vector}
    return found


def drift(office: Office, *, since_ms: int | None = None) -> Verdict:
    now_ms = office.clock.now()
    (reading,) = office.targets.of(SCOPE, [DRIFT], now_ms=now_ms, since_ms=since_ms)
    return reading.verdict


async def test_a_baseline_goes_with_its_set(office: Office) -> None:
    """The next set has its own; what that one did not measure is served no more."""
    await pinned(office, known_good())
    assert served(office) == {"rag p95": 0.3}
    await pinned(office, known_good(1, p50=0.2))
    assert served(office) == {}
    assert office.baselines.in_force(SCOPE) == known_good(1, p50=0.2)


async def test_an_older_set_that_arrives_late_is_not_served(office: Office) -> None:
    await pinned(office, known_good(1, p95=0.4))
    await pinned(office, known_good(0, p95=0.1))
    assert served(office) == {"rag p95": 0.4}


async def test_what_another_replica_did_is_seen_at_the_next_look(office: Office) -> None:
    """Recorded, promoted or retired, in any scope."""
    mail = Scope("mail", "eu")
    first = await office.store.put_known_good(known_good(p95=0.3))
    second = await office.store.put_known_good(known_good(scope=mail, p95=0.5))
    await office.keeper.turn()
    assert served(office) == {"rag p95": 0.3, "mail p95": 0.5}
    await office.store.set_known_good_status(first.id, SetStatus.RETIRED, by="x", now_ms=NOW)
    await office.store.set_known_good_status(second.id, SetStatus.RETIRED, by="x", now_ms=NOW)
    third = await office.store.put_known_good(known_good(1, scope=mail, p95=0.6))
    await office.keeper.turn()
    assert served(office) == {"mail p95": 0.6}
    assert office.baselines.all_in_force() == [third]


async def test_the_age_of_what_is_in_force_is_shown(office: Office) -> None:
    """And goes with it."""
    value = office.telemetry.registry.get_sample_value
    labels = {"service": "rag", "region": "eu"}
    await pinned(office, known_good())
    office.clock.advance(90_000)
    await office.keeper.turn()
    assert value("rollbackd_known_good_age_seconds", labels) == 90
    await office.desk.restate(known_good().id, SetStatus.RETIRED, by="ann")
    await office.keeper.turn()
    assert value("rollbackd_known_good_age_seconds", labels) is None


async def test_the_right_pins_can_be_green(office: Office) -> None:
    """Also where events name more pins than the set, or fewer."""
    await pinned(office, known_good())
    await office.serve(5, pins={**GOOD, "EMBED_DIM": "768"})
    await office.serve(5, pins={"PROMPT_VER": GOOD["PROMPT_VER"]})
    assert drift(office) is GREEN


@pytest.mark.parametrize("arm", ["baseline", ""])
async def test_a_baseline_of_other_pins_is_no_measure(office: Office, arm: str) -> None:
    """After a rollback that brought back something else, green would be a coincidence."""
    await pinned(office, known_good())
    flipped_at_ms = office.clock.now()
    office.clock.advance(1_000)
    await office.serve(5, arm=arm, pins=OTHER)
    assert drift(office, since_ms=flipped_at_ms) is UNKNOWN
    now_ms = office.clock.now()
    (errors,) = office.targets.of(SCOPE, [ERRORS], now_ms=now_ms, since_ms=flipped_at_ms)
    assert errors.verdict is GREEN


async def test_what_ran_before_the_flip_is_not_held_against_it(office: Office) -> None:
    """Nor what other arms run with."""
    await pinned(office, known_good())
    await office.serve(5, pins=OTHER)
    flipped_at_ms = office.clock.now()
    office.clock.advance(1_000)
    await office.serve(5)
    await office.serve(5, arm="canary", pins=OTHER)
    assert drift(office, since_ms=flipped_at_ms) is GREEN


async def test_a_straggler_counts_as_long_as_its_samples_do(office: Office) -> None:
    """The target looks back five minutes; then only the right pins are left in it."""
    await pinned(office, known_good())
    flipped_at_ms = office.clock.now()
    office.clock.advance(1_000)
    await office.serve(1, pins=OTHER)
    office.clock.advance(299_999)
    await office.serve(5)
    assert drift(office, since_ms=flipped_at_ms) is UNKNOWN
    office.clock.advance(1)
    assert drift(office, since_ms=flipped_at_ms) is GREEN


async def test_without_pins_in_events_nobody_can_tell(office: Office) -> None:
    """They contradict nothing; the audit names pins that requests lack."""
    await pinned(office, known_good())
    await office.serve(5, pins={})
    assert drift(office) is GREEN


async def test_a_retired_baseline_is_unknown(office: Office) -> None:
    await pinned(office, known_good())
    await office.serve(5)
    assert drift(office) is GREEN
    await office.desk.restate(known_good().id, SetStatus.RETIRED, by="ann")
    assert drift(office) is UNKNOWN


async def test_sets_that_differ_only_in_status_share_their_id() -> None:
    """And nothing else does: not another note, nor another number."""
    known = known_good()
    assert replace(known, status=SetStatus.RETIRED, status_at_ms=9, status_by="x").id == known.id
    others = [
        replace(known, note="x"),
        replace(known, by="x"),
        replace(known, pins=OTHER),
        replace(known, scope=Scope("mail")),
        replace(known, recorded_at_ms=NOW + 1),
        known_good(p95=0.31),
    ]
    assert len({known.id, *(other.id for other in others)}) == len(others) + 1
