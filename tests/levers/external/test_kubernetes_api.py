"""How every lever on Kubernetes talks to the API server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers import kubernetes_api
from rollbackd.levers.kubernetes_api import (
    IN_CLUSTER,
    KubernetesApi,
    KubernetesSettings,
    Metadata,
    Resource,
    equals,
    in_cluster,
    pointer,
)
from rollbackd.levers.kubernetes_pods import PODS, Pod, ready_pods
from rollbackd.model.levers import Target
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.kubernetes_controllers import pod
from tests.levers.external.kubernetes_server import TOKEN
from tests.levers.external.kubernetes_service_world import KubernetesServiceWorld
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import opened
from tests.levers.external.world import SCOPE, op

SERVICES = Resource("", "v1", "services")


@pytest.fixture
async def world(tmp_path: Path, controls: Controls) -> AsyncIterator[KubernetesServiceWorld]:
    """A Service with its lever."""
    async with opened(KubernetesServiceWorld, tmp_path, controls) as started:
        yield started


@pytest.fixture
async def api(world: KubernetesServiceWorld) -> AsyncIterator[KubernetesApi]:
    """On the same server."""
    made = KubernetesApi(KubernetesSettings(**world.access))
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("verb", "resource"), [("get", "services"), ("list", "pods"), ("patch", "services")]
)
async def test_a_missing_right_is_named(
    world: KubernetesServiceWorld, verb: str, resource: str
) -> None:
    """The Role can be mended from the message."""
    change = await world.change()
    world.server.forbidden.add((verb, resource))
    act = world.lever.preflight(change) if verb == "list" else world.lever.apply(change, op())
    with pytest.raises(PermanentError, match=f"allow `{verb}` on `{resource}`") as raised:
        await act
    assert not isinstance(raised.value, TargetMovedError)
    assert "may not" in str(raised.value)


async def test_a_token_that_is_refused_is_said_and_not_shown(
    world: KubernetesServiceWorld,
) -> None:
    """401."""
    (world.folder / "token").write_text("expired-token")
    with pytest.raises(PermanentError, match="answered 401") as raised:
        await world.change()
    assert "expired-token" not in str(raised.value)


async def test_a_rotated_token_is_used(world: KubernetesServiceWorld) -> None:
    """Bound service account tokens are replaced every hour."""
    (world.folder / "token").write_text("expired-token")
    with pytest.raises(PermanentError):
        await world.change()
    (world.folder / "token").write_text(TOKEN)
    await world.change()


async def test_an_api_server_that_nobody_vouches_for_is_not_asked(
    world: KubernetesServiceWorld,
) -> None:
    """The token is sent to the cluster whose CA was given, and to nobody else."""
    api = KubernetesApi(KubernetesSettings(**{**world.access, "ca_file": None}))
    with pytest.raises(TemporaryError, match="certificate"):
        await api.list(PODS, Pod)
    assert not world.server.requests
    await api.close()


async def test_what_is_not_there_is_named(world: KubernetesServiceWorld) -> None:
    """404."""
    with pytest.raises(PermanentError, match="there is no services `gone` in `shop`"):
        await world.lever.observe(Target(lever="under_test", scope=SCOPE, name="gone"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "Web", "web?x=1", "-web", "w" * 254])
async def test_what_is_no_name_is_not_asked_for(world: KubernetesServiceWorld, name: str) -> None:
    """It could lead to another object."""
    with pytest.raises(PermanentError, match="no name of a Kubernetes object"):
        await world.lever.observe(Target(lever="under_test", scope=SCOPE, name=name))
    assert not world.server.requests


async def test_a_long_list_is_read_to_its_end(
    world: KubernetesServiceWorld, api: KubernetesApi
) -> None:
    """By `limit` and `continue`."""
    for number in range(250):
        pod(world.server, f"many-{number}", {"app": "many"})
    assert len(await ready_pods(api, {"app": "many"})) == 250
    assert len(world.server.requests) == 3


async def test_a_list_that_expires_is_begun_again(
    world: KubernetesServiceWorld, api: KubernetesApi
) -> None:
    """410: half a list is no list."""
    for number in range(150):
        pod(world.server, f"many-{number}", {"app": "many"})
    world.server.expired = 1
    with pytest.raises(TemporaryError, match="expired"):
        await ready_pods(api, {"app": "many"})
    assert len(await ready_pods(api, {"app": "many"})) == 150


async def test_what_somebody_changed_in_between_is_not_overwritten(
    world: KubernetesServiceWorld,
) -> None:
    """The `test` operations are in the same request as the change."""
    change = await world.change()
    server = world.server

    def relabelled(service: Object) -> None:
        service["spec"]["selector"]["app"] = "web-red"

    server.meanwhile = lambda: server.change("services", "web", relabelled)
    with pytest.raises(TargetMovedError, match="changed by somebody else"):
        await world.lever.apply(change, op())
    assert await world.held() == world.other


async def test_a_conflict_is_somebody_else(
    world: KubernetesServiceWorld, api: KubernetesApi
) -> None:
    """409: the object that the patch makes is of a version that is gone."""
    stale = [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]
    with pytest.raises(TargetMovedError, match="has been modified"):
        await api.patch(SERVICES, "web", stale)
    assert not world.server.writes


async def test_what_the_server_finds_invalid_is_no_conflict(
    world: KubernetesServiceWorld, api: KubernetesApi
) -> None:
    """422 with causes: looking again would not help."""
    invalid = [{"op": "replace", "path": "/spec/selector/app", "value": "no label"}]
    with pytest.raises(PermanentError, match="Invalid value") as raised:
        await api.patch(SERVICES, "web", invalid)
    assert not isinstance(raised.value, TargetMovedError)
    assert not world.server.writes


@pytest.mark.parametrize("odd", [{"spec": []}, {"spec": {"selector": {"app": 7}}}, {"spec": None}])
async def test_what_no_server_answers_is_named(
    world: KubernetesServiceWorld, odd: dict[str, Any]
) -> None:
    """A proxy in between, or another API under the address."""
    world.server.objects["services", "web"].update(odd)
    with pytest.raises(
        PermanentError, match="services `web`: the API server answered what is none"
    ):
        await world.change()


@pytest.mark.parametrize("value", ["a,b=c", "", "-x", "x" * 64, "a b"])
def test_a_label_value_cannot_widen_a_selector(value: str) -> None:
    """It goes into a query."""
    with pytest.raises(PermanentError, match="no value of a label"):
        equals({"app": value})


def test_an_empty_selector_is_never_asked() -> None:
    """It would select every pod."""
    with pytest.raises(PermanentError, match="select everything"):
        equals({})


def test_a_key_with_a_slash_is_one_step_of_a_pointer() -> None:
    """RFC 6901, section 3."""
    assert pointer("a", "rollbackd.io/op~id") == "/a/rollbackd.io~1op~0id"


def test_a_pod_uses_its_own_service_account(tmp_path: Path) -> None:
    """Nothing has to be configured."""
    found = in_cluster(KubernetesSettings(), tmp_path)
    assert found.url == IN_CLUSTER
    assert (found.token_file, found.ca_file) == (tmp_path / "token", tmp_path / "ca.crt")


@pytest.mark.parametrize(
    "settings",
    [
        KubernetesSettings(url="https://other:6443"),
        KubernetesSettings(token_file=Path("/token")),
        KubernetesSettings(cert_file=Path("/cert"), key_file=Path("/key")),
    ],
)
def test_its_token_goes_nowhere_else(settings: KubernetesSettings, tmp_path: Path) -> None:
    """Another cluster, or other credentials, were asked for."""
    assert in_cluster(settings, tmp_path) == settings


async def test_outside_of_a_pod_the_namespace_has_to_be_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`default` is not guessed."""
    monkeypatch.setattr(kubernetes_api, "SERVICE_ACCOUNT", tmp_path)
    api = KubernetesApi(KubernetesSettings(url="https://other:6443"))
    with pytest.raises(PermanentError, match="has to say the `namespace`"):
        await api.get(SERVICES, "web", Metadata)
    (tmp_path / "namespace").write_text("shop\n")
    assert api.namespace == "shop"


def test_a_namespace_is_checked_when_it_is_read() -> None:
    """And so is what every endpoint is checked for."""
    with pytest.raises(ValueError, match="no name of a namespace"):
        KubernetesSettings(namespace="../kube-system")
    with pytest.raises(ValueError, match="belong together"):
        replace(KubernetesSettings(), cert_file=Path("/cert"))
