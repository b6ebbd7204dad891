"""The Kubernetes API as the levers use it: read, list, and one JSON Patch with its tests.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from rollbackd.connections.http import Answer, HttpApi, shown
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import ExternalLever
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Op
from rollbackd.ports import TargetMovedError
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import Url

T = TypeVar("T")
Operation = dict[str, object]

IN_CLUSTER: Final = "https://kubernetes.default.svc"
#: Where a pod finds its own token, CA and namespace.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: RFC 1123 subdomains: what objects are called.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_PAGE: Final = 100
_OP_ID: Final = "rollbackd.io/op-id"
_INCIDENT: Final = "rollbackd.io/incident"


class KubernetesSettings(HttpEndpoint, frozen=True, kw_only=True):
    """Which cluster and namespace.

    In a pod nothing of this is needed: the service account's own token and CA are used when
    neither another `url` nor other credentials are given.
    """

    url: Annotated[Url, Meta(description="The API server; by default that of its own cluster.")] = (
        IN_CLUSTER
    )
    namespace: Annotated[
        str, Meta(description="Where the objects are; by default the pod's own namespace.")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.namespace and not _NAME.match(self.namespace):
            raise ValueError(f"`{self.namespace}` is no name of a namespace")


class Resource(NamedTuple):
    """One type of object: its API group (empty for the core), version and plural."""

    group: str
    version: str
    plural: str

    @property
    def root(self) -> str:
        """The path of its API."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Of every object, as far as it is read."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Listed(msgspec.Struct, frozen=True):
    metadata: dict[str, object] = {}
    items: list[Any] | None = None


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    details: dict[str, Any] | None = None


class KubernetesApi(HttpApi):
    """One cluster, one namespace."""

    def __init__(self, settings: KubernetesSettings) -> None:
        super().__init__(in_cluster(settings), headers={"Accept": "application/json"})
        self._namespace = settings.namespace

    @property
    def namespace(self) -> str:
        """The namespace of the settings, or the pod's own. Raises PermanentError."""
        if not self._namespace:
            try:
                self._namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
            except OSError:
                raise PermanentError(
                    "not in a pod: the levers file has to say the `namespace`"
                ) from None
        return self._namespace

    async def get(self, resource: Resource, name: str, cls: type[T], *, sub: str = "") -> T:
        """One object, or one of its subresources. Raises PermanentError when it is not there."""
        answer = await self._send("GET", resource, name, sub=sub)
        return _convert(answer.json(), cls, f"{resource.plural} `{name}`")

    async def list(
        self, resource: Resource, cls: type[T], *, selector: str = "", namespace: str = ""
    ) -> list[T]:
        """Every object that the label selector fits, page by page.

        Raises TemporaryError when the list has to be begun again.
        """
        found: list[T] = []
        params = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            answer = await self._send("GET", resource, None, params=params, namespace=namespace)
            page = _convert(answer.json(), _Listed, f"the list of {resource.plural}")
            found += [_convert(each, cls, resource.plural) for each in page.items or ()]
            token = page.metadata.get("continue")
            if not token:
                return found
            params["continue"] = str(token)

    async def patch(
        self, resource: Resource, name: str, operations: Sequence[Operation], *, sub: str = ""
    ) -> None:
        """All operations or none (RFC 6902). Raises TargetMovedError when a `test` fails."""
        await self._send("PATCH", resource, name, sub=sub, operations=operations)

    async def _send(
        self,
        method: str,
        resource: Resource,
        name: str | None,
        *,
        sub: str = "",
        namespace: str = "",
        params: Mapping[str, str] | None = None,
        operations: Sequence[Operation] | None = None,
    ) -> Answer:
        where = namespace or self.namespace
        path = f"{resource.root}/namespaces/{_checked(where)}/{resource.plural}"
        verb = "list" if name is None else method.lower()
        if name is not None:
            path += f"/{_checked(name)}" + (f"/{sub}" if sub else "")
        headers = None
        if operations is not None:
            headers = {"Content-Type": "application/json-patch+json"}
            params = {"fieldManager": "rollbackd"}
        allowed = (401, 403, 404, 409, 410, 422)
        answer = await self.call(
            method, path, json=operations, headers=headers, params=params, allowed=allowed
        )
        if answer.status in allowed:
            what = resource.plural if name is None else f"{resource.plural} `{name}`"
            self._raise(answer, verb, resource, sub, f"{what} in `{where}`")
        return answer

    def _raise(self, answer: Answer, verb: str, resource: Resource, sub: str, what: str) -> None:
        status = _status(answer)
        said = shown(status.message.encode(), self._secret())
        if answer.status in (401, 403):
            full = resource.plural + (f"/{sub}" if sub else "")
            raise PermanentError(
                f"may not {verb} {what}: answered {answer.status}: {said}; a Role has to allow "
                f"`{verb}` on `{full}` of the API group `{resource.group}`"
            )
        if answer.status == 404:
            raise PermanentError(f"there is no {what}: {said}")
        if answer.status == 410:
            raise TemporaryError(f"the list of {resource.plural} has expired", delay_ms=0)
        # a patch whose `test` fails says no more than 422; what breaks a rule names its causes
        if answer.status == 409 or not (status.details or {}).get("causes"):
            raise TargetMovedError(f"{what} was changed by somebody else: {said}")
        raise PermanentError(f"{what}: {said}")


class KubernetesLever(ExternalLever):
    """A lever on one cluster."""

    def __init__(self, name: str, settings: KubernetesSettings, surroundings: Surroundings) -> None:
        super().__init__(name, surroundings)
        self._api = KubernetesApi(settings)

    async def close(self) -> None:
        """Release the connections."""
        await self._api.close()


def in_cluster(settings: KubernetesSettings, folder: Path = SERVICE_ACCOUNT) -> KubernetesSettings:
    """With the credentials of the pod's service account, where nothing else was said.

    They are never sent to another cluster.
    """
    if settings.url != IN_CLUSTER or settings.token_file or settings.cert_file:
        return settings
    ca_file = settings.ca_file or folder / "ca.crt"
    return msgspec.structs.replace(settings, token_file=folder / "token", ca_file=ca_file)


def expect(path: str, value: object) -> Operation:
    """The patch holds only where `path` holds `value`."""
    return {"op": "test", "path": path, "value": value}


def put(path: str, value: object) -> Operation:
    """Set a member, whether it is there or not."""
    return {"op": "add", "path": path, "value": value}


def pointer(*parts: str) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def stamp(metadata: Mapping[str, Any], op: Op) -> list[Operation]:
    """Say at the object who changed it: the incident and the op.

    An object without annotations gets the map itself, under a test of its resourceVersion: a map
    that somebody adds in between would be lost otherwise.
    """
    notes = {_OP_ID: op.op_id, _INCIDENT: op.incident_id}
    if metadata.get("annotated"):
        return [put(pointer("metadata", "annotations", key), notes[key]) for key in notes]
    return [
        expect("/metadata/resourceVersion", metadata["resource_version"]),
        put("/metadata/annotations", notes),
    ]


def stamping(metadata: Metadata) -> dict[str, object]:
    """What `stamp` needs of an object, to be kept with an observation."""
    return {
        "resource_version": metadata.resource_version,
        "generation": metadata.generation,
        "annotated": bool(metadata.annotations),
    }


def equals(labels: Mapping[str, str]) -> str:
    """A label selector. Raises PermanentError for what is none, and for an empty one."""
    for value in labels.values():
        if not _LABEL_VALUE.match(value):
            raise PermanentError(f"`{value[:80]}` is no value of a label")
    if not labels:
        raise PermanentError("an empty label selector would select everything")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise PermanentError(f"`{name[:80]}` is no name of a Kubernetes object")
    return name


def _status(answer: Answer) -> _Status:
    try:
        return msgspec.json.decode(answer.body, type=_Status)
    except msgspec.DecodeError:
        return _Status(message=shown(answer.body))


def _convert(value: object, cls: type[T], what: str) -> T:
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise PermanentError(f"{what}: the API server answered what is none: {error}") from None
