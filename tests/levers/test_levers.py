"""What is particular to each lever."""

import pytest

from rollbackd.errors import PermanentError
from rollbackd.levers.cache_rotate import cache_namespace
from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownGood
from rollbackd.ports import Controls
from tests.levers.cases import KNOWN_GOOD, SCOPE, change_of, lever_of, op, planned


async def intent(controls: Controls, name: str, value: ControlValue) -> None:
    await controls.set_intent(SCOPE, name, value, now_ms=1)


async def test_nested_blocks_unwind_in_order(controls: Controls) -> None:
    """A wider block over a narrow one: each revert uncovers the one before."""
    lever = lever_of(controls, "write_block")
    narrow = await lever.apply(await change_of(lever), op("o1"))
    wide = await lever.apply(await change_of(lever, scope="all"), op("o2"))
    assert await lever.revert(wide, op("o3"))
    assert (await controls.read(SCOPE, "writes")).effective["scope"] == "non_idempotent"
    assert await lever.revert(narrow, op("o4"))
    control = await controls.read(SCOPE, "writes")
    assert (control.trip, control.effective["blocked"]) == (None, False)


async def test_a_block_under_another_is_left_alone(controls: Controls) -> None:
    """Out of order, the older one is not ours to see."""
    lever = lever_of(controls, "write_block")
    narrow = await lever.apply(await change_of(lever), op("o1"))
    await lever.apply(await change_of(lever, scope="all"), op("o2"))
    assert not await lever.revert(narrow, op("o3"))
    assert (await controls.read(SCOPE, "writes")).effective["scope"] == "all"


@pytest.mark.parametrize(
    ("standing", "wanted", "moves"),
    [
        (None, "non_idempotent", True),
        (None, "all", True),
        ("non_idempotent", "non_idempotent", False),
        ("non_idempotent", "all", True),
        ("all", "non_idempotent", False),
        ("all", "all", False),
    ],
)
async def test_a_block_is_only_widened(
    controls: Controls, standing: str | None, wanted: str, *, moves: bool
) -> None:
    """One that is wide enough is left as it is."""
    blocked = {"blocked": standing is not None, "scope": standing or "all"}
    await intent(controls, "writes", blocked)
    change = await planned(lever_of(controls, "write_block"), scope=wanted)
    assert (change is not None) == moves


async def test_a_block_that_no_application_knows_is_refused(controls: Controls) -> None:
    """A typo in the tree must not count as a confirmed freeze; nor can it say `blocked: false`."""
    lever = lever_of(controls, "write_block")
    with pytest.raises(PermanentError, match="`al` is not one of non_idempotent, all"):
        await planned(lever, scope="al")
    assert (await change_of(lever, blocked=False)).after["blocked"] is True


@pytest.mark.parametrize(
    ("now", "wanted", "after"), [(0, 2, 2), (1, 4, 4), (2, 2, None), (4, 2, None), ("x", 1, 1)]
)
async def test_degrading_never_goes_back_up(
    controls: Controls, now: object, wanted: int, after: int | None
) -> None:
    """A level that is higher already stays (P1)."""
    await intent(controls, "degrade", {"level": now})
    change = await planned(lever_of(controls, "degrade"), level=wanted)
    assert (change.after if change else None) == ({"level": after} if after is not None else None)


@pytest.mark.parametrize("level", [-1, 5, "2", 1.5, True, None])
async def test_a_level_that_is_none_is_refused(controls: Controls, level: object) -> None:
    """0 to 4."""
    with pytest.raises(PermanentError, match="is not one of 0, 1, 2, 3, 4"):
        await planned(lever_of(controls, "degrade"), level=level)


@pytest.mark.parametrize(
    ("now", "params", "after"),
    [
        ((None, None, "closed"), {}, (20, 40, "closed")),
        ((100, 200, "closed"), {}, (20, 40, "closed")),
        ((10, 200, "closed"), {}, (10, 40, "closed")),
        ((10, 10, "open"), {}, None),
        ((20, 40, "half_open"), {"breaker": "closed"}, None),
        ((20, 40, "closed"), {"breaker": "open"}, (20, 40, "open")),
        ((20, 40, "closed"), {"requests_per_second": 50, "burst": 100}, None),
        ((0, 40, "closed"), {}, None),
    ],
)
async def test_throttling_never_loosens_a_limit(
    controls: Controls,
    now: tuple[object, object, object],
    params: dict[str, object],
    after: tuple[object, ...] | None,
) -> None:
    """A branch that takes over with a higher budget must not feed the storm (C6)."""
    keys = ("requests_per_second", "burst", "breaker")
    await intent(controls, "throttle", dict(zip(keys, now, strict=True)))
    change = await planned(lever_of(controls, "throttle"), **params)
    wanted = None if after is None else dict(zip(keys, after, strict=True))
    assert (change.after if change else None) == wanted


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"burst": -1}, "throttle `burst: -1` is not a number of at least 0"),
        ({"requests_per_second": "20"}, "throttle `requests_per_second: 20` is not a number"),
        ({"burst": True}, "`burst: True`"),
        ({"breaker": "ajar"}, "breaker `ajar` is not one of closed, half_open, open"),
    ],
)
async def test_a_limit_that_is_none_is_refused(
    controls: Controls, params: dict[str, object], message: str
) -> None:
    """Applications could not obey it."""
    with pytest.raises(PermanentError, match=message):
        await planned(lever_of(controls, "throttle"), **params)


async def test_the_cache_only_goes_forward(controls: Controls) -> None:
    """A -> B -> A is a third namespace, and there is no way back (K10, trap 15)."""
    lever, seen = lever_of(controls, "cache_rotate"), set()
    for number in range(1, 6):
        change = await change_of(lever)
        applied = await lever.apply(change, op(f"o{number}"))
        assert not await lever.revert(applied, op(f"r{number}"))
        value = (await controls.read(SCOPE, "cache")).effective
        assert value["generation"] == number
        seen.add(value["namespace"])
    assert len(seen) == 5


async def test_a_broken_generation_starts_again(controls: Controls) -> None:
    """Whatever an application wrote there."""
    await intent(controls, "cache", {"generation": "seven"})
    assert (await change_of(lever_of(controls, "cache_rotate"))).after["generation"] == 1


@pytest.mark.parametrize("pin", ["INDEX_HASH", "PROMPT_VER", "MODEL_VER", "RERANK_CONF"])
def test_a_namespace_depends_on_every_pin_of_a_key(pin: str) -> None:
    """A model alone must rotate the cache too (K9)."""
    pins = KNOWN_GOOD.pins
    assert cache_namespace(3, pins) != cache_namespace(3, {**pins, pin: "other"})
    assert cache_namespace(3, pins) != cache_namespace(4, pins)
    assert cache_namespace(3, pins) == cache_namespace(3, {**pins, "BUILD_ID": "any"})
    assert len(cache_namespace(3, {})) == 16


@pytest.mark.parametrize(
    ("lever", "name"), [("alias_revert", "docs_live"), ("pointer_flip", "live"), ("repin", "")]
)
async def test_without_a_known_good_value_nothing_is_pointed_at(
    controls: Controls, lever: str, name: str
) -> None:
    """Nobody recorded where to go back to."""
    empty = KnownGood(scope=SCOPE, pins={}, recorded_at_ms=1)
    for known_good in (None, empty):
        with pytest.raises(PermanentError, match="known good"):
            await planned(lever_of(controls, lever), name, known_good=known_good)


@pytest.mark.parametrize("value", [{"index": ""}, {"index": None}, {"indx": "docs_vA"}])
async def test_a_known_good_that_is_none_is_refused(
    controls: Controls, value: dict[str, object]
) -> None:
    """A misspelt key would leave the application without its index."""
    await intent(controls, "alias:docs_live", {"index": "docs_vB"})
    known_good = KnownGood(
        scope=SCOPE, pins={}, recorded_at_ms=1, controls={"alias:docs_live": value}
    )
    lever = lever_of(controls, "alias_revert")
    change = await planned(lever, "docs_live", known_good=known_good)
    assert change is not None
    assert "would point at nothing" in await lever.preflight(change)
