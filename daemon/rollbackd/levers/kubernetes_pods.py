"""Which pods are ready, and which of them a Service really sends to."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rollbackd.errors import PermanentError
from rollbackd.levers.kubernetes_api import KubernetesApi, Metadata, Resource, equals

PODS: Final = Resource("", "v1", "pods")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices")
#: The labels of a Service's own slices, as the controller of the control plane makes them.
_OF_SERVICE: Final = "kubernetes.io/service-name"
_MADE_BY: Final = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One condition of an object's status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0


class _PodStatus(msgspec.Struct, frozen=True):
    phase: str = ""
    conditions: list[Condition] | None = None


class Pod(msgspec.Struct, frozen=True):
    """A pod, as far as it is read."""

    metadata: Metadata
    status: _PodStatus = _PodStatus()

    @property
    def ready(self) -> bool:
        """Whether it takes requests, and will go on to."""
        conditions = self.status.conditions or ()
        is_ready = any(each.type == "Ready" and each.status == "True" for each in conditions)
        return is_ready and self.metadata.deletion_timestamp is None

    @property
    def running(self) -> bool:
        """Whether its processes may still do something, also while it terminates."""
        return self.status.phase not in ("Succeeded", "Failed")


class _Reference(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""


class _EndpointConditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    target_ref: _Reference | None = None
    conditions: _EndpointConditions = _EndpointConditions()


class _Slice(msgspec.Struct, frozen=True):
    endpoints: list[_Endpoint] | None = None


async def ready_pods(api: KubernetesApi, labels: Mapping[str, str]) -> set[str]:
    """The names of the ready pods that have all the labels."""
    pods = await api.list(PODS, Pod, selector=equals(labels))
    return {pod.metadata.name for pod in pods if pod.ready}


async def pods_behind(api: KubernetesApi, service: str, *, namespace: str = "") -> set[str]:
    """The names of the pods that a Service sends to now, by its EndpointSlices.

    An endpoint that says nothing of being ready is taken to be, as the API wants it.
    """
    selector = equals({_OF_SERVICE: service, **_MADE_BY})
    slices = await api.list(ENDPOINT_SLICES, _Slice, selector=selector, namespace=namespace)
    endpoints = [each for one in slices for each in one.endpoints or ()]
    found: set[str] = set()
    for endpoint in endpoints:
        if endpoint.conditions.ready is False:
            continue
        if endpoint.target_ref is None or endpoint.target_ref.kind != "Pod":
            raise PermanentError(f"an endpoint of Service `{service}` is no pod")
        found.add(endpoint.target_ref.name)
    return found
