"""A small Kubernetes API server, as faithful as the levers need it.

Written against the documentation and the sources of the real one:

* objects, lists with `limit` and `continue`, resourceVersions, patches, subresources, Status:
  https://kubernetes.io/docs/reference/using-api/api-concepts/ and the API conventions in
  https://github.com/kubernetes/community (contributors/devel/sig-architecture)
* a JSON Patch that cannot be applied, a failed `test` among them, is 422 without causes
  (`applyJSPatch` in k8s.io/apiserver, pkg/endpoints/handlers/patch.go); a stale resourceVersion in
  the object that comes out of it is 409; what validation refuses is 422 with `details.causes`
* 401 and 403: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
* label selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/

JSON Patch itself (RFC 6902) is the `jsonpatch` package's. Watches, other patch types, admission and
conversion are left out. What controllers do stands in `kubernetes_controllers.py`.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple

import jsonpatch
import jsonpointer
import orjson
from aiohttp import web

from tests.http.certificates import Authority
from tests.levers.external.kubernetes_status import (
    Object,
    RefusalError,
    conflict,
    not_found,
    validate,
)
from tests.services.processes import HOST, free_port

NAMESPACE: Final = "shop"
TOKEN: Final = "hunter2-kubernetes"
_USER: Final = "system:serviceaccount:ops:rollbackd"
_PATH: Final = re.compile(
    r"/(?P<api>api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)"
    r"(/(?P<name>[^/]+)(/(?P<sub>status|scale))?)?\Z"
)
#: Resources whose status only the subresource changes, and whose spec counts a generation.
_WITH_STATUS: Final = frozenset(
    {"services", "deployments", "replicasets", "statefulsets", "cronjobs", "ingresses"}
    | {"httproutes", "rollouts", "horizontalpodautoscalers", "pods"}
)
#: The core's Services count no generation.
_WITHOUT_GENERATION: Final = frozenset({"services", "pods"})


class Request(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class KubernetesServer:
    """TLS, a bearer token, and objects by (plural, name) in one namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[tuple[str, str], Object] = {}
        self.requests: list[Request] = []
        #: How many objects were changed by requests.
        self.writes = 0
        #: (verb, resource) that the token may not do; a subresource is `deployments/scale`.
        self.forbidden: set[tuple[str, str]] = set()
        #: What controllers do after each change; taken away, they lag.
        self.controllers: list[Callable[[KubernetesServer], None]] = []
        #: Called once before the next patch is applied: somebody who was faster.
        self.meanwhile: Callable[[], None] | None = None
        #: Continue tokens expire (410).
        self.expired = 0
        self._version = 1_000
        self._port = free_port()
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self._port}"

    @property
    def ca_file(self) -> Path:
        """Who vouches for it."""
        return self.folder / "pki" / "ca.pem"

    async def start(self) -> None:
        certificate, key = await asyncio.to_thread(self._certificate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port, ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def create(self, plural: str, name: str, body: Object, **metadata: Any) -> Object:
        """Put an object there, and let the controllers see it."""
        self._version += 1
        found = {
            **deepcopy(body),
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-{self._version}",
                "resourceVersion": str(self._version),
                "creationTimestamp": f"2026-01-01T00:00:{self._version % 60:02d}Z",
                **({} if plural in _WITHOUT_GENERATION else {"generation": 1}),
                **metadata,
            },
        }
        self.objects[plural, name] = found
        self._reconcile()
        return found

    def change(self, plural: str, name: str, mutate: Callable[[Object], None]) -> None:
        """Change an object by hand, as somebody with every right would."""
        before = self.objects[plural, name]
        after = deepcopy(before)
        mutate(after)
        self.store(plural, name, after)
        self._reconcile()

    def store(self, plural: str, name: str, after: Object) -> None:
        """Keep what a request or a controller made of an object; an equal one is no change."""
        before = self.objects[plural, name]
        if after == before:
            return
        self._version += 1
        after["metadata"]["resourceVersion"] = str(self._version)
        if plural not in _WITHOUT_GENERATION and after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        self.objects[plural, name] = after

    def of(self, plural: str) -> list[Object]:
        """Every object of a type, by name."""
        return [found for (kind, _), found in sorted(self.objects.items()) if kind == plural]

    def patches(self) -> list[Request]:
        """The requests that change something."""
        return [each for each in self.requests if each.method == "PATCH"]

    def _certificate(self) -> tuple[Path, Path]:
        return Authority(self.folder / "pki").issue("apiserver", f"IP:{HOST}")

    def _reconcile(self) -> None:
        for controller in self.controllers:
            controller(self)

    async def _handle(self, request: web.Request) -> web.Response:
        text = await request.read()
        body = orjson.loads(text) if text else None
        self.requests.append(Request(request.method, request.path, dict(request.query), body))
        try:
            return _json(200, self._answer(request, body))
        except RefusalError as refusal:
            return _json(refusal.code, refusal.body)

    def _answer(self, request: web.Request, body: Any) -> Object:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusalError(401, "Unauthorized", "Unauthorized")
        found = _PATH.match(request.path)
        if found is None:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        group, plural, name, sub = (
            found["group"] or "",
            found["plural"],
            found["name"],
            found["sub"],
        )
        verb = {"GET": "get" if name else "list", "PATCH": "patch"}[request.method]
        self._authorize(verb, group, plural, name or "", sub, found["namespace"])
        if verb == "list":
            return self._list(plural, found["namespace"], request.query)
        if found["namespace"] != NAMESPACE or (plural, name) not in self.objects:
            raise not_found(group, plural, name)
        if verb == "get":
            return _seen(self.objects[plural, name], sub)
        if request.content_type != "application/json-patch+json":
            raise RefusalError(
                415, "UnsupportedMediaType", "the body of the request was in an unknown format"
            )
        return self._patch(group, plural, name, sub, body)

    def _authorize(
        self, verb: str, group: str, plural: str, name: str, sub: str | None, namespace: str
    ) -> None:
        resource = f"{plural}/{sub}" if sub else plural
        if (verb, resource) not in self.forbidden:
            return
        qualified = f"{plural}.{group}" if group else plural
        what = f'{qualified} "{name}"' if name else qualified
        raise RefusalError(
            403,
            "Forbidden",
            f'{what} is forbidden: User "{_USER}" cannot {verb} resource "{resource}" '
            f'in API group "{group}" in the namespace "{namespace}"',
            {"name": name, "group": group, "kind": plural},
        )

    def _list(self, plural: str, namespace: str, query: Any) -> Object:
        if namespace != NAMESPACE:
            return {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": None}
        selector = query.get("labelSelector", "")
        found = [each for each in self.of(plural) if selects(selector, each)]
        begin, limit = int(query.get("continue", "0")), int(query.get("limit", "500"))
        if begin and self.expired:
            self.expired -= 1
            raise RefusalError(410, "Expired", "The provided continue parameter is too old")
        page = found[begin : begin + limit]
        metadata = {"resourceVersion": str(self._version)}
        if begin + limit < len(found):
            metadata["continue"] = str(begin + limit)
        # Go's empty slices are null where they were never allocated
        return {"kind": "List", "metadata": metadata, "items": page or None}

    def _patch(self, group: str, plural: str, name: str, sub: str | None, body: Any) -> Object:
        strike, self.meanwhile = self.meanwhile, None
        if strike is not None:
            strike()
        before = self.objects[plural, name]
        seen = _seen(before, sub)
        try:
            patched = jsonpatch.JsonPatch(body).apply(deepcopy(seen))
        except jsonpatch.InvalidJsonPatch as error:
            raise RefusalError(400, "BadRequest", str(error)) from None
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
            raise RefusalError(
                422,
                "Invalid",
                "the server rejected our request due to an error in our request",
                {},
            ) from None
        if patched["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
            raise conflict(group, plural, name)
        validate(plural, name, patched)
        after = _merged(plural, before, patched, sub)
        if after != before:
            self.writes += 1
        self.store(plural, name, after)
        self._reconcile()
        return _seen(self.objects[plural, name], sub)


def selects(selector: str, found: Object) -> bool:
    """Whether a label selector, equality- or set-based, fits an object."""
    labels = found["metadata"].get("labels") or {}
    return all(
        _fits(part.strip(), labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip()
    )


def _fits(part: str, labels: dict[str, str]) -> bool:
    of_set = re.match(r"(?P<key>\S+) (?P<operator>in|notin) \((?P<values>.*)\)\Z", part)
    if of_set:
        values = [each.strip() for each in of_set["values"].split(",")]
        return (labels.get(of_set["key"]) in values) == (of_set["operator"] == "in")
    if "=" in part:
        key, _, value = part.partition("=")
        return labels.get(key) == value
    return part[1:] not in labels if part.startswith("!") else part in labels


def _seen(found: Object, sub: str | None) -> Object:
    """The object, or its Scale (https://kubernetes.io/docs/reference/ autoscaling/v1)."""
    if sub != "scale":
        return found
    metadata, spec = found["metadata"], found["spec"]
    labels = spec["selector"]["matchLabels"]
    # `replicas` of a ScaleSpec is `omitempty`: 0 is left out
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: metadata[key]
            for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": spec["replicas"]} if spec["replicas"] else {},
        "status": {
            "replicas": found.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        },
    }


def _merged(plural: str, before: Object, patched: Object, sub: str | None) -> Object:
    """What becomes of the stored object: a subresource changes nothing but its own part."""
    after = deepcopy(before)
    if sub == "scale":
        after["spec"]["replicas"] = patched["spec"].get("replicas", 0)
    elif sub == "status":
        after["status"] = patched["status"]
    else:
        status = before.get("status")
        after = deepcopy(patched)
        if plural in _WITH_STATUS and status is not None:
            after["status"] = deepcopy(status)
    return after


def _json(status: int, body: Object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
