"""What all controls do, on every backend."""

import asyncio
import math
import random
from collections.abc import Awaitable
from typing import Any

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.controls import DEFAULTS, Control, ControlWrite, Kind, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls
from tests.backends import Backend

SCOPE = Scope("rag", "eu-1")
NOW = 1_790_000_000_000
DAY = 86_400_000
FROZEN: dict[str, object] = {"blocked": True, "scope": "all", "retry_after_seconds": 30}


def op(op_id: str = "o1", epoch: int = 5) -> Op:
    """Under whose name a trip is laid."""
    return Op(op_id=op_id, epoch=epoch, incident_id="i1")


async def trip(
    controls: Controls,
    value: dict[str, object] | None = FROZEN,
    *,
    name: str = "writes",
    version: int = 0,
    by: Op | None = None,
    now_ms: int = NOW,
) -> ControlWrite:
    """set_trip with defaults."""
    return await controls.set_trip(
        SCOPE, name, value, expected_version=version, op=by or op(), now_ms=now_ms
    )


@pytest.mark.parametrize("kind", Kind)
async def test_a_control_that_was_never_written_has_its_default(
    controls: Controls, kind: Kind
) -> None:
    """Version 0, and the default of its kind."""
    control = await controls.read(SCOPE, f"{kind}:some")
    assert control == Control(name=f"{kind}:some")
    assert control.effective == DEFAULTS[kind]
    assert await controls.read_all(SCOPE) == {}
    assert await controls.scopes() == []


async def test_an_intent_is_what_applications_see(controls: Controls) -> None:
    """Each write of it counts one version up and leaves the epoch alone."""
    weights: dict[str, object] = {
        "baseline_weight": 0.9,
        "canary_weight": 0.1,
        "global_off": False,
        "note": 'é "quoted" \n',
        "nested": {"empty": {}, "list": [], "null": None, "big": 2**53 + 1, "one": 1.0},
    }
    await controls.set_intent(SCOPE, "flag:reranker", {"baseline_weight": 1.0}, now_ms=NOW)
    written = await controls.set_intent(SCOPE, "flag:reranker", weights, now_ms=NOW + 1)
    assert written == Control(
        name="flag:reranker", intent=weights, version=2, updated_at_ms=NOW + 1
    )
    assert written.effective == weights
    assert await controls.read(SCOPE, "flag:reranker") == written


async def test_a_trip_lies_over_the_intent(controls: Controls) -> None:
    """Taking it away shows the intent again, as the rollout left it meanwhile."""
    await controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=NOW)
    laid = await trip(controls, {"level": 3}, name="degrade", version=1)
    assert laid.result is WriteResult.APPLIED
    assert laid.control == Control(
        name="degrade",
        intent={"level": 1},
        trip={"level": 3},
        version=2,
        epoch=5,
        op_id="o1",
        incident_id="i1",
        updated_at_ms=NOW,
    )
    meanwhile = await controls.set_intent(SCOPE, "degrade", {"level": 2}, now_ms=NOW)
    assert meanwhile.effective == {"level": 3}
    assert meanwhile.op_id == "o1"
    lifted = await trip(controls, None, name="degrade", version=3, by=op("o2"))
    assert lifted.control.effective == {"level": 2}
    assert lifted.control.version == 4
    assert lifted.control.op_id == "o2"
    assert lifted.control == await controls.read(SCOPE, "degrade")


async def test_a_trip_may_be_laid_where_nothing_stood(controls: Controls) -> None:
    """And leaves the default when it goes; an empty value is a value."""
    await trip(controls, {}, name="pins")
    assert (await controls.read(SCOPE, "pins")).trip == {}
    await trip(controls, None, name="pins", version=1, by=op("o2"))
    assert (await controls.read(SCOPE, "pins")).trip is None
    assert (await controls.read(SCOPE, "pins")).effective == {}


async def test_the_same_op_takes_effect_once(controls: Controls) -> None:
    """Its repetition returns the control as the first try left it, whatever came after."""
    first = await trip(controls)
    await trip(controls, {"blocked": False}, version=1, by=op("o2", epoch=9))
    again = await trip(controls)
    assert again == ControlWrite(result=WriteResult.REPLAYED, control=first.control)
    assert (await controls.read(SCOPE, "writes")).version == 2


async def test_an_op_is_remembered_for_seven_days(controls: Controls) -> None:
    """Until then it is replayed; a refused op is not remembered at all."""
    assert (await trip(controls, version=4)).result is WriteResult.CONFLICT
    assert (await trip(controls)).result is WriteResult.APPLIED
    late = await trip(controls, by=op("o2"), version=1, now_ms=NOW + 7 * DAY)
    assert late.result is WriteResult.APPLIED
    assert (await trip(controls, now_ms=NOW + 7 * DAY)).result is WriteResult.REPLAYED


async def test_a_stale_epoch_is_refused(controls: Controls) -> None:
    """Over all controls of the scope, and also once the trips are gone; an equal one passes."""
    await trip(controls, by=op("o1", epoch=9))
    await trip(controls, None, version=1, by=op("o2", epoch=9))
    stale = await trip(controls, {"level": 4}, name="degrade", by=op("o3", epoch=8))
    assert stale.result is WriteResult.STALE_EPOCH
    assert stale.control == Control(name="degrade", epoch=9)
    assert "degrade" not in await controls.read_all(SCOPE)
    elsewhere = await controls.set_trip(
        Scope("rag", "us-1"),
        "degrade",
        {"level": 4},
        expected_version=0,
        op=op("o3", epoch=8),
        now_ms=NOW,
    )
    assert elsewhere.result is WriteResult.APPLIED


async def test_another_version_is_a_conflict(controls: Controls) -> None:
    """The control comes back as it stands, unchanged, and the fence is not raised."""
    await controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=NOW)
    for version in (0, 2, -1):
        refused = await trip(
            controls, {"level": 4}, name="degrade", version=version, by=op(epoch=50)
        )
        assert refused.result is WriteResult.CONFLICT
        assert refused.control == await controls.read(SCOPE, "degrade")
        assert refused.control.trip is None
        assert refused.control.epoch == 0
    assert (await trip(controls, by=op("o2", epoch=1))).result is WriteResult.APPLIED


async def test_the_refusals_have_an_order(controls: Controls) -> None:
    """Replayed before stale, stale before conflict."""
    await trip(controls, by=op("o1", epoch=5))
    await trip(controls, version=1, by=op("o2", epoch=9))
    assert (await trip(controls, version=7, by=op("o1", epoch=5))).result is WriteResult.REPLAYED
    assert (await trip(controls, version=7, by=op("o3", epoch=5))).result is WriteResult.STALE_EPOCH
    assert (await trip(controls, version=7, by=op("o3", epoch=9))).result is WriteResult.CONFLICT


async def test_epochs_of_today_are_compared_exactly(controls: Controls) -> None:
    """Microseconds since 1970 differ by one."""
    epoch = 1_790_000_000_000_001
    await trip(controls, by=op("o1", epoch=epoch))
    below = await trip(controls, version=1, by=op("o2", epoch=epoch - 1))
    assert below.result is WriteResult.STALE_EPOCH
    assert below.control.epoch == epoch
    above = await trip(controls, version=1, by=op("o2", epoch=epoch + 1))
    assert above.control.epoch == epoch + 1


async def test_of_many_trips_on_one_version_one_is_applied(controls: Controls) -> None:
    """Fifty at once; the version counts one."""
    writes = await asyncio.gather(*(trip(controls, by=op(f"o{n}")) for n in range(50)))
    results = [write.result for write in writes]
    assert results.count(WriteResult.APPLIED) == 1
    assert results.count(WriteResult.CONFLICT) == 49
    assert (await controls.read(SCOPE, "writes")).version == 1


async def test_of_one_op_sent_many_times_one_is_applied(controls: Controls) -> None:
    """The others are replays with the same control."""
    writes = await asyncio.gather(*(trip(controls) for _ in range(50)))
    assert sum(write.result is WriteResult.APPLIED for write in writes) == 1
    assert {write.control.version for write in writes} == {1}


async def test_all_controls_of_a_scope_are_listed(controls: Controls) -> None:
    """By name, and the scopes that have any; a refused write makes neither."""
    await controls.set_intent(SCOPE, "flag:b", {"global_off": True}, now_ms=NOW)
    await trip(controls, name="alias:docs", value={"index": "docs_vA"})
    await controls.set_intent(Scope("a"), "degrade", {"level": 1}, now_ms=NOW)
    await controls.set_trip(
        Scope("never"), "degrade", {"level": 1}, expected_version=3, op=op(), now_ms=NOW
    )
    listed = await controls.read_all(SCOPE)
    assert [*listed] == ["alias:docs", "flag:b"]
    for name, control in listed.items():
        assert control == await controls.read(SCOPE, name)
    assert await controls.scopes() == [Scope("a"), SCOPE]


@pytest.mark.parametrize(
    "name",
    ["", "flags", "flag:", "flag:a b", "flag:a:b", "Flag", "flag:é", "flag:" + "x" * 129, "flag\n"],
)
async def test_a_name_that_is_no_control_is_refused(controls: Controls, name: str) -> None:
    """On every way in; as a ValueError for the API and as a PermanentError for levers."""
    for call in (
        controls.read(SCOPE, name),
        controls.set_intent(SCOPE, name, {}, now_ms=NOW),
        trip(controls, name=name),
    ):
        with pytest.raises(PermanentError, match="is not a control; it must be a kind") as caught:
            await call
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "value",
    [
        {"x": math.nan},
        {"x": [math.inf]},
        {"x": {1, 2}},
        {"x": b"raw"},
        {1: "x"},
        {"x": object()},
        {"x": "y" * 70_000},
        [1],
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0][:40],
)
async def test_a_value_that_would_not_read_back_is_refused(controls: Controls, value: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(PermanentError, match="the value of control `degrade`"):
        await controls.set_intent(SCOPE, "degrade", value, now_ms=NOW)
    with pytest.raises(ValueError, match="the value of control `degrade`"):
        await trip(controls, value, name="degrade")
    assert await controls.read_all(SCOPE) == {}


async def test_controls_outlive_a_restart(controls: Controls, backend: Backend) -> None:
    """With their fence and with the ops that are known."""
    first = await trip(controls)
    await controls.close()
    await controls.close()
    with pytest.raises(TemporaryError, match="is closed"):
        await controls.read(SCOPE, "writes")
    reopened = await backend.controls()
    assert await reopened.read_all(SCOPE) == {"writes": first.control}
    assert (await trip(reopened)).result is WriteResult.REPLAYED
    assert (await trip(reopened, by=op("o2", 4))).result is WriteResult.STALE_EPOCH
    await reopened.close()


async def test_cancelled_calls_leave_the_controls_usable(controls: Controls) -> None:
    """Whatever was cut off happened wholly or not at all; versions count what happened."""
    dice = random.Random(7)

    async def cut_off(call: Awaitable[object]) -> None:
        task = asyncio.ensure_future(call)
        for _ in range(dice.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for number in range(60):
        control = await controls.read(SCOPE, "writes")
        await asyncio.gather(
            cut_off(trip(controls, version=control.version, by=op(f"o{number}"))),
            cut_off(controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=NOW)),
            cut_off(controls.read_all(SCOPE)),
        )
        after = await controls.read(SCOPE, "writes")
        assert after.version - control.version in {0, 1}
        assert (after.op_id == f"o{number}") == (after.version == control.version + 1)


async def test_a_fence_only_rises(controls: Controls) -> None:
    """It answers with the highest epoch, and no control is touched."""
    await controls.set_intent(SCOPE, "flag:canary", {"canary_weight": 0.1}, now_ms=1)
    assert await controls.fence(SCOPE, 7) == 7
    assert await controls.fence(SCOPE, 5) == 7
    assert await controls.fence(SCOPE, 9) == 9
    control = await controls.read(SCOPE, "flag:canary")
    assert (control.version, control.epoch, control.trip) == (1, 9, None)


async def test_a_raised_fence_holds_late_owners_off(controls: Controls) -> None:
    """What writes with a lower epoch afterwards is stale; the highest itself may write."""
    await controls.fence(SCOPE, 7)
    late = await controls.set_trip(
        SCOPE, "degrade", {"level": 1}, expected_version=0, op=op("late", epoch=6), now_ms=2
    )
    assert late.result is WriteResult.STALE_EPOCH
    ours = await controls.set_trip(
        SCOPE, "degrade", {"level": 1}, expected_version=0, op=op("ours", epoch=7), now_ms=2
    )
    assert ours.result is WriteResult.APPLIED
