"""What is special about flags of LaunchDarkly."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.launchdarkly_flag import LaunchDarklyFlagSettings
from rollbackd.levers.lever_type import close_lever
from rollbackd.ports import Controls
from tests.levers.external.launchdarkly_flag_world import LaunchDarklyFlagWorld
from tests.levers.external.launchdarkly_server import (
    API_TOKEN,
    ENVIRONMENT,
    PROJECT,
    LaunchDarklyServer,
)
from tests.levers.external.world import op

#: Where the clock of the lever stands.
NOW_MS = ManualClock().now()


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[LaunchDarklyFlagWorld]:
    """The flag `canary` with its lever and its reader."""
    made = LaunchDarklyFlagWorld(tmp_path, {}, controls)
    await made.start()
    yield made
    await close_lever(made.lever)
    assert made.proxy is not None
    await made.proxy.refuse()
    await made.stop()


@pytest.fixture
def server(world: LaunchDarklyFlagWorld) -> LaunchDarklyServer:
    return world.server


async def test_the_patch_says_under_whose_name(
    world: LaunchDarklyFlagWorld, server: LaunchDarklyServer
) -> None:
    """A semantic patch with a comment, for one environment, under a pinned version of the API."""
    applied = await world.lever.apply(await world.change(), op())
    await world.lever.revert(applied, op("INC-1:2"))
    kinds = [patch["instructions"] for patch in server.patches]
    assert kinds == [[{"kind": "turnFlagOff"}], [{"kind": "turnFlagOn"}]]
    comments = [patch["comment"] for patch in server.patches]
    assert comments == [f"rollbackd: incident INC-1, op INC-1:{n}" for n in (1, 2)]
    assert set(server.api_versions) == {"20240415"}


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (405, PermanentError, "bypassRequiredApproval"),
        (409, TemporaryError, "at the same time"),
        (400, PermanentError, "answered 400"),
        (403, PermanentError, "answered 403"),
        (503, TemporaryError, "answered 503"),
    ],
)
async def test_a_patch_that_is_refused(
    world: LaunchDarklyFlagWorld,
    server: LaunchDarklyServer,
    status: int,
    error: type[Exception],
    said: str,
) -> None:
    """A conflict with somebody at the same time may pass; a missing approval does not."""
    change = await world.change()
    server.instead["PATCH"] = (status, {}, {"message": f"no, and not with {API_TOKEN}"})
    with pytest.raises(error, match=said) as raised:
        await world.lever.apply(change, op())
    assert API_TOKEN not in str(raised.value)
    assert server.is_on("canary")


@pytest.mark.parametrize(
    ("headers", "delay_ms"),
    [
        ({"X-Ratelimit-Reset": str(NOW_MS + 2_300)}, 2_300),
        ({"X-Ratelimit-Reset": str(NOW_MS - 1)}, 100),
        ({"X-Ratelimit-Reset": str(NOW_MS + 60_000)}, 5_000),
        ({"X-Ratelimit-Reset": "soon"}, 1_000),
        ({"Retry-After": "3"}, 3_000),
        ({}, 1_000),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_the_rate_limit_says_when(
    world: LaunchDarklyFlagWorld,
    server: LaunchDarklyServer,
    method: str,
    headers: dict[str, str],
    delay_ms: int,
) -> None:
    """A wall time in milliseconds, as far as one waits at all."""
    change = await world.change()
    server.instead[method] = (429, headers, {})
    with pytest.raises(TemporaryError, match="rate limit") as raised:
        await world.lever.apply(change, op())
    assert raised.value.delay_ms == delay_ms


async def test_a_scheduled_change_does_not_keep_a_flag_alive(
    world: LaunchDarklyFlagWorld, server: LaunchDarklyServer
) -> None:
    """Unless the settings say so."""
    server.scheduled.add("canary")
    change = await world.change()
    await world.lever.apply(change, op())
    assert not server.is_on("canary")
    server.turn("canary", on=True)
    token_file = world.folder / "token"
    careful = LaunchDarklyFlagSettings(
        url=server.url,
        token_file=token_file,
        project=PROJECT,
        environment=ENVIRONMENT,
        ignore_conflicts=False,
    )
    await close_lever(world.lever)
    world.build(careful)
    with pytest.raises(PermanentError, match="scheduled change"):
        await world.lever.apply(change, op())
    assert server.is_on("canary")


@pytest.mark.parametrize(
    ("off_variation", "said"),
    [(None, "no off variation"), (0, "serves `true` when it is off"), (1, "")],
)
async def test_off_has_to_be_off_for_applications(
    world: LaunchDarklyFlagWorld, server: LaunchDarklyServer, off_variation: int | None, said: str
) -> None:
    """A flag without an off variation leaves them with the default of their code."""
    server.create("canary", on=True, off_variation=off_variation)
    objection = await world.lever.preflight(await world.change())
    assert said in objection
    assert bool(objection) == bool(said)


async def test_a_reader_that_lags_is_waited_for(
    world: LaunchDarklyFlagWorld, server: LaunchDarklyServer
) -> None:
    """It is no sign that somebody moved the flag."""
    change = await world.change()
    await world.lever.apply(change, op())
    server.stale["canary"] = True
    with pytest.raises(TemporaryError, match="SDKs are told `on: true`"):
        await world.lever.verify(change)
    server.stale.clear()
    assert await world.lever.verify(change)


async def test_a_wrong_sdk_key_is_noticed_before(world: LaunchDarklyFlagWorld) -> None:
    """After the kill it could not be verified."""
    (world.folder / "sdk-key").write_text(API_TOKEN)
    change = await world.change()
    objection = await world.lever.preflight(change)
    assert "answered 401" in objection
    assert API_TOKEN not in objection


FLAG: dict[str, Any] = {
    "variations": [{"value": True}, {"value": False}],
    "environments": {ENVIRONMENT: {"on": True, "offVariation": 1}},
}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "Expected `object`, got `array`"),
        ({**FLAG, "environments": {ENVIRONMENT: {}}}, r"missing required field `on`"),
        ({**FLAG, "environments": {"test": {"on": True}}}, f"no environment `{ENVIRONMENT}`"),
        (
            {**FLAG, "environments": {ENVIRONMENT: {"on": True, "offVariation": 2}}},
            "no variation 2",
        ),
        ({**FLAG, "archived": True}, "is archived"),
    ],
)
async def test_odd_answers_are_named(
    world: LaunchDarklyFlagWorld, server: LaunchDarklyServer, body: object, said: str
) -> None:
    """Never a crash, and never a guess."""
    server.instead["GET"] = (200, {}, body)
    with pytest.raises(PermanentError, match=said):
        await world.lever.observe(world.target)


async def test_a_name_is_no_path(world: LaunchDarklyFlagWorld) -> None:
    """It is quoted, and then there is no such flag."""
    target = replace(world.target, name="../../members?x=1")
    with pytest.raises(PermanentError, match="no flag"):
        await world.lever.observe(target)


def test_a_key_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    """Neither to the API nor to the reader."""
    with pytest.raises(ValueError, match="in the clear"):
        LaunchDarklyFlagSettings(
            project=PROJECT,
            environment=ENVIRONMENT,
            token_file=tmp_path / "token",
            sdk_key_file=tmp_path / "key",
            reader_url="http://relay.example:8030",
        )
