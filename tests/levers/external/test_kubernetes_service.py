"""What is special about Services."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.kubernetes_service import KubernetesServiceSettings
from rollbackd.levers.lever_type import close_lever
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.kubernetes_service_world import KubernetesServiceWorld
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import op


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesServiceWorld]:
    """`web` sends to green; blue was recorded."""
    async with opened(KubernetesServiceWorld, tmp_path, controls) as started:
        yield started


def service(world: KubernetesServiceWorld) -> Object:
    return world.server.objects["services", "web"]


async def test_one_patch_tests_and_replaces_one_value(world: KubernetesServiceWorld) -> None:
    """And says under whose name; the other keys of the selector stand in no operation."""
    version = service(world)["metadata"]["resourceVersion"]
    await world.lever.apply(await world.change(), op())
    (request,) = world.server.patches()
    assert request.path == "/api/v1/namespaces/shop/services/web"
    assert request.query == {"fieldManager": "rollbackd"}
    notes = {"rollbackd.io/op-id": "INC-1:1", "rollbackd.io/incident": "INC-1"}
    assert request.body == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "test", "path": "/spec/selector/app", "value": "web-green"},
        {"op": "replace", "path": "/spec/selector/app", "value": "web-blue"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/metadata/annotations", "value": notes},
    ]


async def test_annotations_of_others_stay(world: KubernetesServiceWorld) -> None:
    """Each of ours is set by itself."""
    service(world)["metadata"]["annotations"] = {"team": "search"}
    await world.lever.apply(await world.change(), op())
    assert service(world)["metadata"]["annotations"] == {
        "team": "search",
        "rollbackd.io/op-id": "INC-1:1",
        "rollbackd.io/incident": "INC-1",
    }


async def test_an_object_that_changed_in_between_is_looked_at_again(
    world: KubernetesServiceWorld,
) -> None:
    """Its resourceVersion says so, whatever it was that changed."""
    change, server = await world.change(), world.server

    def annotated(found: Object) -> None:
        found["metadata"]["annotations"] = {"team": "search"}

    server.meanwhile = lambda: server.change("services", "web", annotated)
    with pytest.raises(TargetMovedError):
        await world.lever.apply(change, op())
    assert service(world)["metadata"]["annotations"] == {"team": "search"}
    await world.lever.apply(change, op())
    assert await world.held() == world.good


@pytest.mark.parametrize("selector", [None, {}, {"tier": "front"}])
async def test_a_service_without_the_key_is_refused(
    world: KubernetesServiceWorld, selector: Object | None
) -> None:
    """A headless one without a selector, or the wrong key in the settings."""
    service(world)["spec"]["selector"] = selector
    with pytest.raises(PermanentError, match="has no key `app`"):
        await world.change()


@pytest.mark.parametrize(
    ("min_ready", "percent", "enough"), [(1, 0, True), (3, 0, False), (1, 50, True), (1, 51, False)]
)
async def test_the_target_has_to_have_enough_ready_pods(
    world: KubernetesServiceWorld, min_ready: int, percent: int, *, enough: bool
) -> None:
    """In number, or as a share of what is ready now: one of blue, two of green."""
    del world.server.objects["pods", "web-blue-0"]
    await close_lever(world.lever)
    world.build(
        KubernetesServiceSettings(**world.access, min_ready=min_ready, min_ready_percent=percent)
    )
    objection = await world.lever.preflight(await world.change())
    assert (objection == "") is enough


@pytest.mark.parametrize("fault", ["not ready", "terminating", "no conditions"])
async def test_only_ready_pods_count(world: KubernetesServiceWorld, fault: str) -> None:
    """One that terminates is not counted, however ready it still says it is."""
    for number in range(2):
        pod = world.server.objects["pods", f"web-blue-{number}"]
        if fault == "terminating":
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        elif fault == "not ready":
            pod["status"]["conditions"][0]["status"] = "False"
        else:
            pod["status"]["conditions"] = None
    assert "0 pods" in await world.lever.preflight(await world.change())


@pytest.mark.parametrize("after", [{"tier": "front"}, {"app": "web-blue", "tier": "x"}])
async def test_another_key_is_never_written(
    world: KubernetesServiceWorld, after: dict[str, object]
) -> None:
    """What was recorded with other settings does not fit."""
    change = await world.change()
    with pytest.raises(PermanentError, match="no value of `app`"):
        await world.lever.preflight(replace(change, after=after))


async def test_it_is_done_once_the_readers_see_it(world: KubernetesServiceWorld) -> None:
    """kube-proxy reads EndpointSlices, and those follow the selector later."""
    change = await world.change()
    controllers, world.server.controllers = world.server.controllers, []
    await world.lever.apply(change, op())
    with pytest.raises(TemporaryError, match="do not hold the pods of the target yet"):
        await world.lever.verify(change)
    for controller in controllers:
        controller(world.server)
    assert await world.lever.verify(change)


async def test_a_slice_without_endpoints_is_not_there_yet(world: KubernetesServiceWorld) -> None:
    """Nobody would answer."""
    change = await world.change()
    await world.lever.apply(change, op())
    world.server.objects["endpointslices", "web-x1"]["endpoints"] = None
    with pytest.raises(TemporaryError):
        await world.lever.verify(change)


async def test_an_endpoint_that_is_no_pod_is_named(world: KubernetesServiceWorld) -> None:
    """It cannot be asked for its labels."""
    change = await world.change()
    await world.lever.apply(change, op())
    slice_ = world.server.objects["endpointslices", "web-x1"]
    slice_["endpoints"].append({"addresses": ["10.0.0.9"], "conditions": {}})
    with pytest.raises(PermanentError, match="is no pod"):
        await world.lever.verify(change)
