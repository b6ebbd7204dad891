"""The two kinds of routes whose weights are moved: what they hold, and the patch that moves it."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.kubernetes_api import (
    KubernetesApi,
    Metadata,
    Operation,
    Resource,
    expect,
    pointer,
    put,
    stamp,
    stamping,
)
from rollbackd.levers.kubernetes_pods import Condition
from rollbackd.model.levers import Observation, Op

_INGRESSES: Final = Resource("networking.k8s.io", "v1", "ingresses")
_HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes")
_NGINX: Final = "nginx.ingress.kubernetes.io"
_CANARY_WEIGHT: Final = f"{_NGINX}/canary-weight"

#: The bounds of the Gateway API.
_Weight = Annotated[int, Meta(ge=0, le=1_000_000)]


class Route(Protocol):
    """One route as it was read."""

    value: dict[str, object]
    undo: dict[str, object]
    #: Whether whoever serves the route has seen it as it is.
    taken_up: bool

    def objection(self, wanted: dict[str, Any]) -> str:
        """Why the weights must not be written, or nothing."""
        ...

    def services(self, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Namespace (empty for the route's own) and name of each Service that would get traffic."""
        ...

    def patch(self, now: Observation, wanted: dict[str, Any], op: Op) -> list[Operation]:
        """The operations that write the weights."""
        ...


class _Backend(msgspec.Struct, frozen=True):
    name: str
    kind: str = "Service"
    namespace: str | None = None
    weight: int = 1


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    backend_refs: list[_Backend] | None = None


class _RouteSpec(msgspec.Struct, frozen=True):
    rules: list[_Rule] | None = None


class _Parent(msgspec.Struct, frozen=True):
    conditions: list[Condition] | None = None


class _RouteStatus(msgspec.Struct, frozen=True):
    parents: list[_Parent] | None = None


class _HTTPRoute(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _RouteSpec
    status: _RouteStatus = _RouteStatus()


class _Split(NamedTuple):
    """A rule that divides its traffic: where it stands among all rules, and among whom."""

    at: int
    backends: Sequence[_Backend]


class HTTPRoute:
    """HTTPRoutes of the Gateway API."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def read(self, name: str) -> Route:
        """One route. Raises PermanentError when it divides nothing."""
        return _HTTPRouteWeights(name, await self._api.get(_HTTP_ROUTES, name, _HTTPRoute))

    async def write(self, name: str, operations: Sequence[Operation]) -> None:
        """One patch."""
        await self._api.patch(_HTTP_ROUTES, name, operations)


class _HTTPRouteWeights:
    def __init__(self, name: str, route: _HTTPRoute) -> None:
        rules = enumerate(route.spec.rules or ())
        self._splits = [
            _Split(index, rule.backend_refs)
            for index, rule in rules
            if rule.backend_refs and len(rule.backend_refs) > 1
        ]
        if not self._splits:
            raise PermanentError(f"HTTPRoute `{name}` has no rule with two backends or more")
        for split in self._splits:
            if len({each.name for each in split.backends}) < len(split.backends):
                raise PermanentError(f"HTTPRoute `{name}` names a backend twice in one rule")
            if any(each.kind != "Service" for each in split.backends):
                raise PermanentError(f"HTTPRoute `{name}` has a backend that is no Service")
        weights = [{each.name: each.weight for each in split.backends} for split in self._splits]
        self.value: dict[str, object] = {"rules": weights}
        self.undo = stamping(route.metadata)
        accepted = [
            condition
            for parent in route.status.parents or ()
            for condition in parent.conditions or ()
            if condition.type == "Accepted"
        ]
        self._accepted = bool(accepted)
        self.taken_up = all(
            each.status == "True" and each.observed_generation >= route.metadata.generation
            for each in accepted
        )

    def objection(self, wanted: dict[str, Any]) -> str:
        here = [sorted(each.name for each in split.backends) for split in self._splits]
        try:
            rules = msgspec.convert(wanted.get("rules"), list[dict[str, _Weight]])
        except msgspec.ValidationError as error:
            return f"{wanted} says no weights: {error}"
        if [sorted(rule) for rule in rules] != here:
            return f"it has other rules than were recorded: {here}"
        if not all(sum(rule.values()) for rule in rules):
            return "a rule would send traffic nowhere: all its weights are 0"
        return "" if self._accepted else "no gateway has accepted the route"

    def services(self, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for split, weights in zip(self._splits, wanted["rules"], strict=True):
            for backend in split.backends:
                if weights[backend.name]:
                    yield backend.namespace or "", backend.name

    def patch(self, now: Observation, wanted: dict[str, Any], op: Op) -> list[Operation]:
        # each change of the spec raises the generation, and so fixes what the indexes mean
        operations = [expect("/metadata/generation", now.undo["generation"])]
        for split, weights in zip(self._splits, wanted["rules"], strict=True):
            rule = pointer("spec", "rules", str(split.at), "backendRefs")
            for index, backend in enumerate(split.backends):
                operations.append(expect(f"{rule}/{index}/name", backend.name))
                operations.append(put(f"{rule}/{index}/weight", weights[backend.name]))
        return [*operations, *stamp(now.undo, op)]


class _Ingress(msgspec.Struct, frozen=True):
    metadata: Metadata


class CanaryIngress:
    """Ingresses that ingress-nginx takes as the canary of another one."""

    def __init__(self, api: KubernetesApi, baseline: str) -> None:
        self._api = api
        self._baseline = baseline

    async def read(self, name: str) -> Route:
        """One Ingress. Raises PermanentError when it is no canary with a weight."""
        ingress = await self._api.get(_INGRESSES, name, _Ingress)
        return _IngressWeight(name, ingress, self._baseline)

    async def write(self, name: str, operations: Sequence[Operation]) -> None:
        """One patch."""
        await self._api.patch(_INGRESSES, name, operations)


class _IngressWeight:
    taken_up = True

    def __init__(self, name: str, ingress: _Ingress, baseline: str) -> None:
        notes = ingress.metadata.annotations or {}
        weight = notes.get(_CANARY_WEIGHT, "")
        if notes.get(f"{_NGINX}/canary") != "true" or not weight.isdecimal():
            raise PermanentError(
                f'Ingress `{name}` is no canary: it needs `{_NGINX}/canary: "true"` and a number '
                f"as `{_CANARY_WEIGHT}`"
            )
        total = notes.get(f"{_NGINX}/canary-weight-total", "100")
        self._total = int(total) if total.isdecimal() else 100
        self._baseline = baseline
        self.value: dict[str, object] = {"canary_weight": int(weight)}
        self.undo = {**stamping(ingress.metadata), "weight": weight}

    def objection(self, wanted: dict[str, Any]) -> str:
        weight = wanted.get("canary_weight")
        if not isinstance(weight, int) or not 0 <= weight <= self._total:
            return f"`{weight}` is no weight between 0 and {self._total}"
        return ""

    def services(self, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
        if wanted["canary_weight"] < self._total:
            yield "", self._baseline

    def patch(self, now: Observation, wanted: dict[str, Any], op: Op) -> list[Operation]:
        path = pointer("metadata", "annotations", _CANARY_WEIGHT)
        return [
            expect(path, now.undo["weight"]),
            {"op": "replace", "path": path, "value": str(wanted["canary_weight"])},
            *stamp(now.undo, op),
        ]
