"""What is special about Argo Rollouts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.argo_rollouts_abort_world import ArgoRolloutsAbortWorld
from tests.levers.external.kubernetes_controllers import rollouts
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import op


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[ArgoRolloutsAbortWorld]:
    """An update from 7d9f to 6f4b."""
    async with opened(ArgoRolloutsAbortWorld, tmp_path, controls) as started:
        yield started


def status(world: ArgoRolloutsAbortWorld) -> Any:
    return world.server.objects["rollouts", "web"]["status"]


async def test_it_aborts_and_retries_as_the_plugin_does(world: ArgoRolloutsAbortWorld) -> None:
    """`status.abort`, by the status subresource alone."""
    world.server.forbidden.add(("patch", "rollouts"))
    applied = await world.lever.apply(await world.change(), op())
    assert status(world)["abort"] is True
    assert await world.lever.revert(applied, op("INC-1:2"))
    assert status(world)["abort"] is False
    abort, retry = world.server.patches()
    assert abort.path == "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web/status"
    assert abort.body[-1] == {"op": "add", "path": "/status/abort", "value": True}
    assert retry.body[-1] == {"op": "add", "path": "/status/abort", "value": False}


async def test_an_update_that_is_promoted_cannot_be_aborted(world: ArgoRolloutsAbortWorld) -> None:
    """What would be aborted leads to the bad pods."""
    status(world)["stableRS"] = "6f4b"
    change = await world.change()
    assert "not to the recorded `7d9f`" in await world.lever.preflight(change)


async def test_an_update_that_follows_in_between_is_not_aborted(
    world: ArgoRolloutsAbortWorld,
) -> None:
    """Nobody has judged it."""
    change = await world.change()

    def followed(found: Object) -> None:
        found["status"]["currentPodHash"] = "55aa"

    world.server.meanwhile = lambda: world.server.change("rollouts", "web", followed)
    with pytest.raises(TargetMovedError):
        await world.lever.apply(change, op())
    assert await world.held() == world.other


async def test_it_is_done_once_the_controller_has_taken_the_canary_back(
    world: ArgoRolloutsAbortWorld,
) -> None:
    """It says when it has seen the abort, and which weight the canary still has."""
    change = await world.change()
    world.server.controllers.clear()
    await world.lever.apply(change, op())
    with pytest.raises(TemporaryError, match="has not taken the canary back"):
        await world.lever.verify(change)
    rollouts(world.server)
    status(world)["canary"]["weights"]["canary"]["weight"] = 5
    with pytest.raises(TemporaryError):
        await world.lever.verify(change)
    status(world)["canary"] = {}
    assert await world.lever.verify(change)


@pytest.mark.parametrize("missing", ["currentPodHash", "stableRS"])
async def test_a_rollout_that_was_never_stable_is_refused(
    world: ArgoRolloutsAbortWorld, missing: str
) -> None:
    """There is nothing to go back to."""
    del status(world)[missing]
    with pytest.raises(PermanentError, match="names no stable and current pods"):
        await world.change()
