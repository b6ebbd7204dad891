"""What is special about CronJobs that are suspended and workloads that are stopped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.kubernetes_scale import KubernetesScaleSettings
from rollbackd.levers.lever_type import close_lever
from rollbackd.model.levers import Change, PlanRequest
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.kubernetes_cronjob_suspend_world import KubernetesCronjobSuspendWorld
from tests.levers.external.kubernetes_scale_world import KubernetesScaleWorld
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import op


@pytest.fixture
async def job(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesCronjobSuspendWorld]:
    """A CronJob."""
    async with opened(KubernetesCronjobSuspendWorld, tmp_path, controls) as started:
        yield started


@pytest.fixture
async def indexer(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesScaleWorld]:
    """A Deployment of three."""
    async with opened(KubernetesScaleWorld, tmp_path, controls) as started:
        yield started


async def scaled_to(world: KubernetesScaleWorld, replicas: int) -> Change | None:
    """What the tree's `replicas` would make."""
    observed = await world.lever.observe(world.target)
    after = world.lever.plan(
        PlanRequest(
            target=world.target,
            observed=observed,
            known_good=None,
            params={"replicas": replicas},
            pins_seen={},
        )
    )
    return Change(target=world.target, before=observed, after=after) if after else None


def hpa(world: KubernetesScaleWorld, name: str = "indexer") -> None:
    """An autoscaler that wants two at least."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 9}
    world.server.create("horizontalpodautoscalers", "keeps-two", {"spec": spec})


async def test_a_job_that_is_suspended_already_is_left_alone(
    job: KubernetesCronjobSuspendWorld,
) -> None:
    """And so it is not started at the end either."""
    await job.put({"suspend": True})
    assert await job.planned() is None


async def test_a_job_whose_spec_changes_in_between_is_looked_at_again(
    job: KubernetesCronjobSuspendWorld,
) -> None:
    """By its generation; a status that changes at each start is no conflict."""
    change, server = await job.change(), job.server

    def rescheduled(found: Object) -> None:
        found["spec"]["schedule"] = "@daily"

    def started(found: Object) -> None:
        found["status"] = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
        found["metadata"]["annotations"] = {"team": "search"}

    server.meanwhile = lambda: server.change("cronjobs", "reindex", rescheduled)
    with pytest.raises(TargetMovedError):
        await job.lever.apply(change, op())
    server.change("cronjobs", "reindex", started)

    def started_again(found: Object) -> None:
        found["status"]["lastScheduleTime"] = "2026-01-01T00:05:00Z"

    server.meanwhile = lambda: server.change("cronjobs", "reindex", started_again)
    await job.lever.apply(change, op())
    assert await job.held() == job.good
    notes = server.objects["cronjobs", "reindex"]["metadata"]["annotations"]
    assert notes["rollbackd.io/op-id"] == "INC-1:1"


async def test_replicas_are_moved_by_the_scale_subresource(indexer: KubernetesScaleWorld) -> None:
    """The right to scale is less than the right to change a Deployment."""
    indexer.server.forbidden |= {("patch", "deployments"), ("get", "deployments")}
    await indexer.lever.apply(await indexer.change(), op())
    (request,) = indexer.server.patches()
    assert request.path == "/apis/apps/v1/namespaces/shop/deployments/indexer/scale"
    assert request.body == [
        {"op": "test", "path": "/spec/replicas", "value": 3},
        {"op": "add", "path": "/spec/replicas", "value": 0},
    ]


@pytest.mark.parametrize(("wanted", "after"), [(0, 0), (1, 1), (3, None), (5, None)])
async def test_it_only_goes_down(
    indexer: KubernetesScaleWorld, wanted: int, after: int | None
) -> None:
    """More of what writes is no measure."""
    change = await scaled_to(indexer, wanted)
    assert (change.after if change else None) == (
        {"replicas": after} if after is not None else None
    )


async def test_it_has_stopped_once_no_pod_runs(indexer: KubernetesScaleWorld) -> None:
    """One that terminates may still write; one that has ended does not."""
    change = await indexer.change()
    await indexer.lever.apply(change, op())
    terminating = {"name": "x", "labels": {"app": "indexer"}, "deletionTimestamp": "2026-01-01"}
    lingering = {"metadata": terminating, "status": {"phase": "Running"}}
    indexer.server.objects["pods", "x"] = lingering
    with pytest.raises(TemporaryError, match="1 pods still run"):
        await indexer.lever.verify(change)
    lingering["status"]["phase"] = "Succeeded"
    assert await indexer.lever.verify(change)


@pytest.mark.parametrize(
    ("replicas", "named", "refused"),
    [(0, "indexer", False), (1, "indexer", True), (2, "indexer", False), (1, "another", False)],
)
async def test_an_autoscaler_that_would_undo_it_is_named(
    indexer: KubernetesScaleWorld, replicas: int, named: str, *, refused: bool
) -> None:
    """It leaves zero alone, and what is not below its own minimum."""
    hpa(indexer, named)
    change = await scaled_to(indexer, replicas)
    assert change is not None
    assert ("keeps-two" in await indexer.lever.preflight(change)) is refused


async def test_what_was_started_again_in_between_is_left_alone(
    indexer: KubernetesScaleWorld,
) -> None:
    """Zero is not in the JSON and cannot be tested; the resourceVersion can."""
    applied = await indexer.lever.apply(await indexer.change(), op())

    def started(found: Object) -> None:
        found["spec"]["replicas"] = 2

    server = indexer.server
    server.meanwhile = lambda: server.change("deployments", "indexer", started)
    with pytest.raises(TargetMovedError):
        await indexer.lever.revert(applied, op("INC-1:2"))
    assert await indexer.held() == {"replicas": 2}


async def test_a_scale_without_a_selector_is_refused(indexer: KubernetesScaleWorld) -> None:
    """It would list every pod."""
    change = await indexer.change()
    await indexer.lever.apply(change, op())
    selector = indexer.server.objects["deployments", "indexer"]["spec"]["selector"]
    selector["matchLabels"] = {}
    with pytest.raises(PermanentError, match="names no pods"):
        await indexer.lever.verify(change)


async def test_a_stateful_set_is_scaled_too(indexer: KubernetesScaleWorld) -> None:
    """By the same subresource."""
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "db"}}, "template": {}}
    indexer.server.create("statefulsets", "indexer", {"spec": spec})
    await close_lever(indexer.lever)
    indexer.build(KubernetesScaleSettings(**indexer.access, resource="statefulset"))
    change = await indexer.change()
    assert change.before.value == {"replicas": 2}
    await indexer.lever.apply(change, op())
    assert indexer.server.objects["statefulsets", "indexer"]["spec"]["replicas"] == 0
    assert await indexer.held() == indexer.bad
