"""What is special about weights of routes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.kubernetes_route import KubernetesRouteSettings
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.kubernetes_controllers import endpoint_slices, pod
from tests.levers.external.kubernetes_route_world import KubernetesRouteWorld
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import Value, op

NGINX = "nginx.ingress.kubernetes.io"
WEIGHT = f"{NGINX}/canary-weight"


class IngressWorld(KubernetesRouteWorld):
    """The same lever on a canary Ingress of ingress-nginx."""

    name: ClassVar[str] = "web-canary"
    bad: ClassVar[Value] = {"canary_weight": 20}
    good: ClassVar[Value] = {"canary_weight": 0}
    other: ClassVar[Value] = {"canary_weight": 50}

    def populate(self) -> None:
        self.server.controllers.append(endpoint_slices)
        pod(self.server, "blue-0", {"app": "blue"})
        self.server.create("services", "blue", {"spec": {"selector": {"app": "blue"}}})
        notes = {f"{NGINX}/canary": "true", WEIGHT: "1", "team": "search"}
        self.server.create("ingresses", "web-canary", {"spec": {}}, annotations=notes)

    def settings(self, **access: Any) -> object:
        return KubernetesRouteSettings(**access, resource="ingress", baseline="blue")

    @property
    def notes(self) -> dict[str, str]:
        """The Ingress's annotations."""
        found: dict[str, str] = self.server.objects[self.key]["metadata"]["annotations"]
        return found

    @property
    def key(self) -> tuple[str, str]:
        """Of the Ingress."""
        return "ingresses", "web-canary"

    def shift(self, value: Value) -> None:
        def weighted(ingress: Object) -> None:
            ingress["metadata"]["annotations"][WEIGHT] = str(value["canary_weight"])

        self.server.change(*self.key, weighted)

    async def held(self) -> Value:
        return {"canary_weight": int(self.notes[WEIGHT])}


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesRouteWorld]:
    """An HTTPRoute that gives green a fifth."""
    async with opened(KubernetesRouteWorld, tmp_path, controls) as started:
        yield started


@pytest.fixture
async def ingress(tmp_path: Path, controls: Controls) -> AsyncIterator[IngressWorld]:
    """A canary Ingress that gets a fifth."""
    async with opened(IngressWorld, tmp_path, controls) as started:
        yield started


def spec(world: KubernetesRouteWorld) -> Any:
    return world.server.objects["httproutes", "web"]["spec"]


def backends(world: KubernetesRouteWorld) -> Any:
    return spec(world)["rules"][1]["backendRefs"]


async def test_all_weights_are_written_in_one_patch(world: KubernetesRouteWorld) -> None:
    """Each under a test of whose it is; the rule that divides nothing is left alone."""
    await world.lever.apply(await world.change(), op())
    (request,) = world.server.patches()
    rule = "/spec/rules/2/backendRefs"
    assert request.body[0] == {"op": "test", "path": "/metadata/generation", "value": 2}
    assert request.body[5:9] == [
        {"op": "test", "path": f"{rule}/0/name", "value": "blue"},
        {"op": "add", "path": f"{rule}/0/weight", "value": 100},
        {"op": "test", "path": f"{rule}/1/name", "value": "green"},
        {"op": "add", "path": f"{rule}/1/weight", "value": 0},
    ]


async def test_a_weight_that_is_not_written_is_one(world: KubernetesRouteWorld) -> None:
    """As the Gateway API says."""
    del backends(world)[0]["weight"]
    change = await world.change()
    assert change.before.value["rules"] == [{"blue": 1, "green": 20}, {"blue": 80, "green": 20}]


def without_green(route: Any) -> None:
    route["rules"][1]["backendRefs"].append({"name": "red", "weight": 1})


def without_a_rule(route: Any) -> None:
    del route["rules"][2]


@pytest.mark.parametrize("change_rules", [without_green, without_a_rule])
async def test_a_route_with_other_rules_is_refused(
    world: KubernetesRouteWorld, change_rules: Callable[[Any], None]
) -> None:
    """What was recorded does not say how they would divide."""
    change = await world.change()
    change_rules(spec(world))
    assert "other rules than were recorded" in await world.lever.preflight(change)


async def test_traffic_is_never_sent_nowhere(world: KubernetesRouteWorld) -> None:
    """All weights 0 is answered with 500 by every gateway."""
    change = await world.change()
    nowhere = {"rules": [{"blue": 0, "green": 0}] * 2}
    assert "send traffic nowhere" in await world.lever.preflight(replace(change, after=nowhere))


@pytest.mark.parametrize(
    "after", [{"rules": 5}, {"rules": [{"blue": "1"}]}, {"rules": [{"blue": -1}]}, {"weight": 1}]
)
async def test_what_says_no_weights_is_refused(
    world: KubernetesRouteWorld, after: dict[str, object]
) -> None:
    """The levers file gave the name to something else since."""
    change = replace(await world.change(), after=after)
    assert "says no weights" in await world.lever.preflight(change)


async def test_a_weight_is_tested_as_it_is_written(ingress: IngressWorld) -> None:
    """`020` is twenty."""
    ingress.notes[WEIGHT] = "020"
    change = await ingress.change()
    assert change.before.value == ingress.bad
    await ingress.lever.apply(change, op())
    assert await ingress.held() == ingress.good


async def test_a_route_that_no_gateway_has_accepted_is_refused(
    world: KubernetesRouteWorld,
) -> None:
    """Its weights move nobody."""
    change = await world.change()
    world.server.objects["httproutes", "web"]["status"] = {"parents": []}
    assert "no gateway has accepted" in await world.lever.preflight(change)


def twice(refs: list[Object]) -> None:
    refs.append({"name": "blue", "port": 81, "weight": 1})


def no_service(refs: list[Object]) -> None:
    refs[0]["kind"] = "ServiceImport"


@pytest.mark.parametrize(
    ("oddity", "said"), [(twice, "names a backend twice"), (no_service, "that is no Service")]
)
async def test_backends_that_cannot_be_told_apart_are_refused(
    world: KubernetesRouteWorld, oddity: Callable[[list[Object]], None], said: str
) -> None:
    """Or that cannot be asked for their pods."""
    oddity(backends(world))
    with pytest.raises(PermanentError, match=said):
        await world.change()


async def test_a_route_that_divides_nothing_is_refused(world: KubernetesRouteWorld) -> None:
    """There is no weight to move."""
    spec(world)["rules"] = spec(world)["rules"][:1]
    with pytest.raises(PermanentError, match="no rule with two backends"):
        await world.change()


async def test_a_backend_of_another_namespace_is_asked_there(world: KubernetesRouteWorld) -> None:
    """It has no ready pods here, whatever is called so in the route's own namespace."""
    change = await world.change()
    backends(world)[0]["namespace"] = "elsewhere"
    assert "Service `blue` has 0 ready pods" in await world.lever.preflight(change)
    path = "/apis/discovery.k8s.io/v1/namespaces/elsewhere/endpointslices"
    assert world.server.requests[-1].path == path


async def test_it_is_done_once_the_gateway_has_taken_it_up(world: KubernetesRouteWorld) -> None:
    """By the generation that its condition names."""
    change = await world.change()
    controllers, world.server.controllers = world.server.controllers, []
    await world.lever.apply(change, op())
    with pytest.raises(TemporaryError, match="no gateway has taken the weights up"):
        await world.lever.verify(change)
    for controller in controllers:
        controller(world.server)
    assert await world.lever.verify(change)


@pytest.mark.parametrize("world_type", [KubernetesRouteWorld, IngressWorld])
async def test_weights_that_change_in_between_are_not_overwritten(
    world_type: type[KubernetesRouteWorld], tmp_path: Path, controls: Controls
) -> None:
    """By a progressive delivery controller, for example."""
    async with opened(world_type, tmp_path, controls) as route:
        change = await route.change()
        route.server.meanwhile = lambda: route.shift(route.other)
        with pytest.raises(TargetMovedError):
            await route.lever.apply(change, op())
        assert await route.held() == route.other


async def test_a_canary_ingress_goes_to_its_recorded_weight_and_back(
    ingress: IngressWorld,
) -> None:
    """Its other annotations stay."""
    change = await ingress.change()
    assert await ingress.lever.preflight(change) == ""
    applied = await ingress.lever.apply(change, op())
    assert await ingress.held() == ingress.good
    assert await ingress.lever.verify(change)
    assert ingress.notes["team"] == "search"
    assert ingress.notes["rollbackd.io/incident"] == "INC-1"
    assert await ingress.lever.revert(applied, op("INC-1:2"))
    assert await ingress.held() == ingress.bad


@pytest.mark.parametrize(
    ("total", "weight", "fits"),
    [("", 100, True), ("", 101, False), ("1000", 101, True), ("", -1, False), ("", "5", False)],
)
async def test_a_weight_has_to_be_one(
    ingress: IngressWorld, total: str, weight: object, *, fits: bool
) -> None:
    """Up to `canary-weight-total`, which is 100 unless it is said."""
    if total:
        ingress.notes[f"{NGINX}/canary-weight-total"] = total
    change = replace(await ingress.change(), after={"canary_weight": weight})
    assert ("no weight between" in await ingress.lever.preflight(change)) is not fits


async def test_the_baseline_has_to_have_ready_pods(ingress: IngressWorld) -> None:
    """It gets what the canary loses."""
    change = await ingress.change()
    del ingress.server.objects["pods", "blue-0"]
    endpoint_slices(ingress.server)
    assert "Service `blue` has 0 ready pods" in await ingress.lever.preflight(change)
    all_to_the_canary = replace(change, after={"canary_weight": 100})
    assert await ingress.lever.preflight(all_to_the_canary) == ""


@pytest.mark.parametrize(
    "notes",
    [{}, {WEIGHT: "20"}, {f"{NGINX}/canary": "true"}, {f"{NGINX}/canary": "true", WEIGHT: "x"}],
)
async def test_an_ingress_that_is_no_canary_is_refused(
    ingress: IngressWorld, notes: dict[str, str]
) -> None:
    """Its annotation would move nobody."""
    ingress.server.objects[ingress.key]["metadata"]["annotations"] = notes
    with pytest.raises(PermanentError, match="is no canary"):
        await ingress.change()


@pytest.mark.parametrize("wrong", [{"resource": "ingress"}, {"baseline": "blue"}])
def test_the_baseline_belongs_to_an_ingress(wrong: Any) -> None:
    """An HTTPRoute names its backends itself."""
    with pytest.raises(ValueError, match="`baseline` belongs to"):
        KubernetesRouteSettings(url="https://k8s", **wrong)
