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


@pytest.mark.parametrize(
    ("standing", "wanted", "after"),
    [
        ({"paused": False, "groups": ["a"]}, ["b"], ["b"]),
        ({"paused": True, "groups": ["a"]}, ["b"], ["a", "b"]),
        ({"paused": True, "groups": ["a"]}, [], []),
        ({"paused": True, "groups": ["a", "b"]}, ["b"], None),
        ({"paused": True, "groups": []}, ["b"], None),
        ({"paused": True, "groups": []}, [], None),
        ({"paused": True, "groups": [7]}, ["b"], None),
        ({"paused": True, "groups": "a"}, ["b"], None),
    ],
)
async def test_a_pause_is_only_widened(
    controls: Controls, standing: ControlValue, wanted: list[str], after: list[str] | None
) -> None:
    """No groups are all of them; what cannot be read is, too."""
    await intent(controls, "consumers", standing)
    change = await planned(lever_of(controls, "kafka_pause"), groups=wanted)
    assert (change and change.after) == (
        after if after is None else {"paused": True, "groups": after}
    )


@pytest.mark.parametrize("groups", ["a", [""], [7], {}])
async def test_groups_that_are_none_are_refused(controls: Controls, groups: object) -> None:
    """Of an incident whose tree was checked by an older version."""
    with pytest.raises(PermanentError, match="params"):
        await planned(lever_of(controls, "kafka_pause"), groups=groups)


async def test_a_block_that_no_application_knows_is_refused(controls: Controls) -> None:
    """A typo in the tree must not count as a confirmed freeze; nor can it say `blocked: false`."""
    lever = lever_of(controls, "write_block")
    with pytest.raises(PermanentError, match=r"Invalid enum value 'al' - at `\$.scope`"):
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
    with pytest.raises(PermanentError, match=r"`params` of degrade: .* at `\$.level`"):
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
    ("now", "params", "after"),
    [
        ((None, None), (None, None), ()),
        ((None, None), (5, None), (5, 5)),
        ((None, None), (0.5, None), (0.5, 1)),
        ((None, None), (None, 7), ()),
        ((5, 9), (None, None), (5, 9)),
        ((5, 9), (7, 3), (5, 3)),
        ((5, None), (7, 100), (5, 5)),
        ((0, 9), (7, 3), (0, 3)),
        (("x", None), (7, 3), (7, 3)),
    ],
)
async def test_limits_of_tenants_are_kept_and_never_loosened(
    controls: Controls,
    now: tuple[object, object],
    params: tuple[object, object],
    after: tuple[object, ...],
) -> None:
    """Also by a branch that says nothing of tenants."""
    keys = ("tenant_requests_per_second", "tenant_burst")
    limits: dict[str, object] = {"requests_per_second": 100, "burst": 200, "breaker": "closed"}
    await intent(controls, "throttle", limits | dict(zip(keys, now, strict=True)))
    given = dict(zip(keys, params, strict=True))
    change = await planned(lever_of(controls, "throttle"), **given)
    wanted = {"requests_per_second": 20, "burst": 40, "breaker": "closed"}
    assert change is not None
    assert change.after == wanted | dict(zip(keys, after, strict=False))


async def test_a_burst_that_goes_without_saying_is_not_loosened(controls: Controls) -> None:
    """A rate of 10 without a burst admits 10 at once, and not 40."""
    await intent(controls, "throttle", {"requests_per_second": 10, "burst": None})
    change = await planned(lever_of(controls, "throttle"))
    assert change is not None
    assert change.after == {"requests_per_second": 10, "burst": 10, "breaker": "closed"}


TENANTS: ControlValue = {
    "requests_per_second": 100,
    "burst": 200,
    "tenant_requests_per_second": 5,
    "tenant_burst": 9,
    "breaker": "half_open",
}


@pytest.mark.parametrize(
    ("lever", "control", "before", "params"),
    [
        ("throttle", "throttle", TENANTS, {"tenant_burst": 3, "breaker": "open"}),
        ("throttle", "throttle", {"burst": 300, "requests_per_second": None}, {}),
        ("degrade", "degrade", {"level": 1}, {"level": 4}),
        ("write_block", "writes", {"blocked": True, "scope": "non_idempotent"}, {"scope": "all"}),
    ],
)
@pytest.mark.parametrize("tripped", [False, True], ids=["intent", "earlier trip"])
@pytest.mark.parametrize("written", [False, True], ids=["defaults", "written"])
async def test_what_stood_before_comes_back_to_the_letter(
    controls: Controls,
    lever: str,
    control: str,
    before: ControlValue,
    params: dict[str, object],
    *,
    tripped: bool,
    written: bool,
) -> None:
    """C6: the rollout's intent, an earlier incident's trip, or the default of who wrote nothing."""
    if written:
        await intent(controls, control, before)
    if tripped:
        stood = await controls.read(SCOPE, control)
        await controls.set_trip(
            SCOPE, control, before, expected_version=stood.version, op=op("o0"), now_ms=1
        )
    stood = await controls.read(SCOPE, control)
    pulled = lever_of(controls, lever)
    change = await change_of(pulled, **params)
    applied = await pulled.apply(change, op("o1"))
    assert await pulled.verify(change)
    assert await pulled.revert(applied, op("o2"))
    restored = await controls.read(SCOPE, control)
    assert (restored.intent, restored.trip) == (stood.intent, stood.trip)
    assert restored.effective == stood.effective


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tenant_burst": -1}, r">= 0.0 - at `\$.tenant_burst`"),
        ({"burst": -1}, r">= 0.0 - at `\$.burst`"),
        ({"requests_per_second": "20"}, r"got `str` - at `\$.requests_per_second`"),
        ({"burst": True}, r"got `bool` - at `\$.burst`"),
        ({"breaker": "ajar"}, r"'ajar' - at `\$.breaker`"),
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
