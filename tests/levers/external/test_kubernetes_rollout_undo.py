"""What is special about Deployments."""

from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from pathlib import Path

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.kubernetes_rollout_undo_world import KubernetesRolloutUndoWorld, template
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import op

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesRolloutUndoWorld]:
    """`web` runs v2; v1 was recorded."""
    async with opened(KubernetesRolloutUndoWorld, tmp_path, controls) as started:
        yield started


def deployment(world: KubernetesRolloutUndoWorld) -> Object:
    return world.server.objects["deployments", "web"]


def replica_set(world: KubernetesRolloutUndoWorld, value: dict[str, object]) -> Object:
    return world.server.objects["replicasets", f"web-{value['template_hash']}"]


async def test_it_goes_back_as_kubectl_does(world: KubernetesRolloutUndoWorld) -> None:
    """The same template without the hash; the revision gets a new number, the hash stays."""
    old = replica_set(world, world.good)
    number = int(old["metadata"]["annotations"][REVISION])
    await world.lever.apply(await world.change(), op())
    (request,) = world.server.patches()
    (written,) = [each["value"] for each in request.body if each["path"] == "/spec/template"]
    assert written == template("v1")
    assert int(replica_set(world, world.good)["metadata"]["annotations"][REVISION]) > number
    assert await world.planned() is None


async def test_why_it_was_rolled_out_comes_back_with_it(
    world: KubernetesRolloutUndoWorld,
) -> None:
    """`kubectl rollout history` shows it."""
    replica_set(world, world.good)["metadata"]["annotations"][CAUSE] = "v1 of Monday"
    deployment(world)["metadata"]["annotations"][CAUSE] = "v2 of Tuesday"
    await world.lever.apply(await world.change(), op())
    notes = deployment(world)["metadata"]["annotations"]
    assert notes[CAUSE] == "v1 of Monday"
    assert notes["rollbackd.io/incident"] == "INC-1"


async def test_a_paused_deployment_is_refused(world: KubernetesRolloutUndoWorld) -> None:
    """Nothing would be rolled out."""
    change = await world.change()
    deployment(world)["spec"]["paused"] = True
    assert "paused" in await world.lever.preflight(change)


@pytest.mark.parametrize(("paused", "error"), [(False, TemporaryError), (True, PermanentError)])
async def test_a_template_without_a_replica_set_has_no_name_yet(
    world: KubernetesRolloutUndoWorld, error: type[Exception], *, paused: bool
) -> None:
    """The controller makes one at once, unless it is paused."""
    world.server.controllers.clear()
    world.roll_out("v4")
    deployment(world)["spec"]["paused"] = paused
    with pytest.raises(error, match="has no ReplicaSet"):
        await world.change()


async def test_a_revision_that_is_cleaned_up_in_between_is_gone(
    world: KubernetesRolloutUndoWorld,
) -> None:
    """`revisionHistoryLimit` keeps ten."""
    change = await world.change()
    await world.empty()
    with pytest.raises(TargetMovedError, match="keeps no ReplicaSet"):
        await world.lever.apply(change, op())
    assert not world.server.writes


async def test_a_spec_that_changes_in_between_is_not_overwritten(
    world: KubernetesRolloutUndoWorld,
) -> None:
    """A pipeline rolls out the next version at the same moment."""
    change = await world.change()
    world.server.meanwhile = lambda: world.roll_out("v3")
    with pytest.raises(TargetMovedError):
        await world.lever.apply(change, op())
    assert await world.held() == world.other


async def test_a_status_that_changes_in_between_is_no_conflict(
    world: KubernetesRolloutUndoWorld,
) -> None:
    """It does so all the time during a rollout."""
    change = await world.change()

    def progressed(found: Object) -> None:
        found["status"]["availableReplicas"] = 1

    world.server.meanwhile = lambda: world.server.change("deployments", "web", progressed)
    await world.lever.apply(change, op())
    assert await world.held() == world.good


def lagging(found: Object) -> None:
    found["status"]["observedGeneration"] -= 1


def rolling(found: Object) -> None:
    found["status"]["updatedReplicas"] = 1


def surplus(found: Object) -> None:
    found["status"]["replicas"] = 3


def unavailable(found: Object) -> None:
    found["status"]["availableReplicas"] = 1


@pytest.mark.parametrize("state", [lagging, rolling, surplus, unavailable])
async def test_it_is_done_once_every_pod_is_replaced(
    world: KubernetesRolloutUndoWorld, state: Callable[[Object], None]
) -> None:
    """As `kubectl rollout status` waits."""
    change = await world.change()
    await world.lever.apply(change, op())
    state(deployment(world))
    with pytest.raises(TemporaryError, match="pods have the template"):
        await world.lever.verify(change)


async def test_a_rollout_that_hangs_has_failed(world: KubernetesRolloutUndoWorld) -> None:
    """By the Deployment's own `progressDeadlineSeconds`; the next lever is tried."""
    change = await world.change()
    await world.lever.apply(change, op())
    deployment(world)["status"]["conditions"] = [
        {
            "type": "Progressing",
            "status": "False",
            "reason": "ProgressDeadlineExceeded",
            "message": "ReplicaSet has timed out progressing.",
        }
    ]
    with pytest.raises(PermanentError, match="timed out progressing"):
        await world.lever.verify(change)


async def test_a_replica_set_of_somebody_else_is_not_taken(
    world: KubernetesRolloutUndoWorld,
) -> None:
    """Labels may fit by accident; the owner decides."""
    owned = replica_set(world, world.good)
    stranger = deepcopy(owned)
    stranger["metadata"]["ownerReferences"][0]["uid"] = "another"
    world.server.objects["replicasets", f"web-{world.good['template_hash']}"] = stranger
    change = await world.change()
    assert "keeps no ReplicaSet" in await world.lever.preflight(change)


async def test_a_selector_by_expressions_is_asked_for(world: KubernetesRolloutUndoWorld) -> None:
    """All four operators."""
    deployment(world)["spec"]["selector"] = {
        "matchExpressions": [
            {"key": "app", "operator": "In", "values": ["web", "www"]},
            {"key": "track", "operator": "NotIn", "values": ["canary"]},
            {"key": "pod-template-hash", "operator": "Exists"},
            {"key": "batch", "operator": "DoesNotExist"},
        ]
    }
    assert (await world.change()).after == world.good
    asked = [each.query["labelSelector"] for each in world.server.requests if each.query]
    assert asked[0] == "app in (web,www),track notin (canary),pod-template-hash,!batch"


async def test_an_empty_selector_is_refused(world: KubernetesRolloutUndoWorld) -> None:
    """It would list every ReplicaSet."""
    deployment(world)["spec"]["selector"] = {}
    with pytest.raises(PermanentError, match="selector is empty"):
        await world.change()
