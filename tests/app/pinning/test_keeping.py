"""The daemon pins by itself, on the real store, controls and engine."""

from msgspec.structs import replace

from rollbackd.model.controls import ControlValue
from rollbackd.model.incidents import State
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.levers import Op
from tests.app.pinning.office import GOOD, NOW, SCOPE, Office
from tests.incidents.samples import opened
from tests.stores.samples import record_of, stepped

OTHER = {**GOOD, "PROMPT_VER": "p-2"}


async def run(office: Office, seconds: int, **served: object) -> None:
    """Traffic and a look every five seconds."""
    for _ in range(seconds // 5):
        office.clock.advance(5_000)
        await office.serve(5, **served)  # type: ignore[arg-type]
        await office.keeper.turn()


async def test_it_pins_after_the_time_and_then_no_more(automatic: Office) -> None:
    """A set of its own, good, with the window that it was green in."""
    await run(automatic, 60)
    assert await automatic.store.known_good_sets() == []
    await run(automatic, 5)
    (known,) = await automatic.store.known_good_sets()
    assert (known.by, known.status, known.pins) == ("rollbackd", SetStatus.GOOD, GOOD)
    assert known.note == "green since 2026-09-21 14:13:25Z on arm baseline at full weight"
    assert known.baseline["delta_s"]["count"] == 65
    await run(automatic, 600)
    assert await automatic.store.known_good_sets() == [known]
    assert automatic.heard == [known]


async def test_a_new_version_is_held_against_the_old_baseline(automatic: Office) -> None:
    """It becomes the known good one only when it is as good."""
    await run(automatic, 65)
    await run(automatic, 400, pins=OTHER, delta_s=0.5)
    assert len(await automatic.store.known_good_sets()) == 1


async def test_nothing_is_pinned_unless_it_is_asked_for(office: Office) -> None:
    """Off is the default."""
    await run(office, 600)
    assert await office.store.known_good_sets() == []


async def test_neither_during_an_incident_nor_in_its_cooldown(automatic: Office) -> None:
    """The branch of the tree cools for ten minutes; only then does the time begin."""
    incident = replace(opened(), scope=SCOPE, branch="b")
    await automatic.store.open_incident(incident, record_of(incident))
    await run(automatic, 120)
    ended = replace(stepped(incident, State.ABORTED), closed_at_ms=automatic.clock.now())
    await automatic.store.advance(ended, [record_of(ended)])
    await run(automatic, 655)
    assert await automatic.store.known_good_sets() == []
    await run(automatic, 5)
    assert len(await automatic.store.known_good_sets()) == 1


async def test_a_measure_in_force_is_not_the_normal_state(automatic: Office) -> None:
    trip: ControlValue = {"level": 2}
    op = Op(op_id="o", epoch=1, incident_id="i")
    await automatic.controls.set_trip(SCOPE, "degrade", trip, expected_version=0, op=op, now_ms=NOW)
    await run(automatic, 120)
    assert await automatic.store.known_good_sets() == []


async def test_what_was_retired_is_not_pinned_again(automatic: Office) -> None:
    """A person has said that this version is bad; only a person takes that back."""
    request = PinRequest(scope=SCOPE, pins=GOOD, window_ms=0)
    known = (await automatic.desk.record(request, by="ann")).known_good
    await automatic.desk.restate(known.id, SetStatus.RETIRED, by="ann")
    await run(automatic, 600)
    (left,) = await automatic.store.known_good_sets()
    assert left.status is SetStatus.RETIRED


async def test_too_few_samples_are_said_and_tried_again(automatic: Office) -> None:
    """The next try comes after the whole time, when there are more."""
    for _ in range(13):
        automatic.clock.advance(5_000)
        await automatic.serve(0)
        await automatic.keeper.turn()
    assert await automatic.store.known_good_sets() == []
    await run(automatic, 65)
    assert len(await automatic.store.known_good_sets()) == 1
