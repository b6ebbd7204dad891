"""A RAG service that obeys every control of its scope: see docs/guard.md.

python payments.py 8090
python rag_service.py --scope rag/eu-1 --redis redis://127.0.0.1:6379/0 --port 8080 \
    --payments http://127.0.0.1:8090 --events http://127.0.0.1:9797/api/v1/events
"""

import argparse
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web
from service_events import Events

from rollbackd.guard import (
    Arm,
    AsyncGuard,
    BreakerOpenError,
    Claim,
    EffectNotMadeError,
    GuardError,
    Receipt,
    RedisAddress,
    Token,
    idempotency_key,
)

#: The pins of the last known good, and those that the canary changes.
BASELINE = {
    "INDEX_HASH": "aaaa",
    "PROMPT_VER": "p-11",
    "MODEL_VER": "m-1",
    "RERANK_CONF": "r-1",
}
CANARY = {"PROMPT_VER": "p-12"}
#: INDEX_HASH of each index that the alias `docs_live` may point at.
INDEXES = {"docs_vA": "aaaa", "docs_vB": "bbbb"}
#: The degrade level from which an answer is citations alone.
CITE_ONLY = 4

GUARD = web.AppKey("guard", AsyncGuard)
EVENTS = web.AppKey("events", Events)
DRIFT = web.AppKey("drift", float)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Payments:
    """The other system, in which refunds are made; it keeps the fence beside its data."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    async def raise_fence(self, token: Token) -> None:
        """Tell the highest token; the guard acknowledges a freeze only after that."""
        async with self._session.put(f"{self._url}/fence", data=str(token)) as response:
            response.raise_for_status()

    async def make(self, claim: Claim) -> str:
        """Make one refund. Raises EffectNotMadeError where it surely was not made."""
        claim.check()
        url, headers = f"{self._url}/payments/{claim.effect_id}", {"Fence": str(claim.write.token)}
        try:
            async with self._session.post(url, headers=headers) as response:
                if response.status == 412:
                    raise EffectNotMadeError("the write is behind the fence")
                response.raise_for_status()
                return await response.text()
        except aiohttp.ClientConnectorError as error:
            raise EffectNotMadeError("payments cannot be reached") from error

    async def find(self, effect_id: str) -> str | None:
        """What became of an effect in doubt; None when it surely was not made."""
        async with self._session.get(f"{self._url}/payments/{effect_id}") as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            return await response.text()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


PAYMENTS = web.AppKey("payments", Payments)


@web.middleware
async def obey(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Admission first; whatever the guard refuses is answered as it says."""
    try:
        if request.path == "/healthz":
            return await handler(request)
        admission = await request.app[GUARD].admit(tenant=tenant_of(request))
        if not admission:
            return web.Response(status=admission.status, headers=admission.headers)
        return await handler(request)
    except GuardError as refused:
        request.app[EVENTS].say("http.request", code=refused.counted_as)
        return web.json_response(
            {"error": str(refused)}, status=refused.status, headers=refused.headers
        )
    except (EffectNotMadeError, aiohttp.ClientError, TimeoutError) as failed:
        # with the same key it may come again: what is in doubt is looked up first
        return web.json_response({"error": str(failed)}, status=503, headers={"Retry-After": "1"})


async def refund(request: web.Request) -> web.Response:
    """`POST /refunds` with `Idempotency-Key`: made once, and never while writers are frozen."""
    guard, payments = request.app[GUARD], request.app[PAYMENTS]
    body, name = await request.text(), request.headers.get("Idempotency-Key", "")
    if not name:
        raise web.HTTPBadRequest(text="`Idempotency-Key` is missing")
    key = idempotency_key(
        source_type="refund",
        source_id=name,
        action="refund",
        tenant=tenant_of(request),
    )
    with guard.write() as write:
        receipt = await guard.once(write, key, payments.make, request=body, find=payments.find)
    return web.json_response({"payment": receipt.result, "decision": receipt.decision})


async def feedback(request: web.Request) -> web.Response:
    """`PUT /feedback/{answer}`: idempotent, so that only a freeze of all writers stops it."""
    guard = request.app[GUARD]
    key = f"feedback:{{{request.app[EVENTS].scope}}}:{request.match_info['answer']}"
    with guard.write(idempotent=True) as write:
        await guard.set_fields(write, key, {"score": await request.text()})
    return web.Response(status=204)


async def answer(request: web.Request) -> web.Response:
    """`GET /answers?q=...` with `X-User`: on the arm of the user, cached under its pins."""
    guard, began = request.app[GUARD], time.perf_counter()
    user, question = request.headers.get("X-User", ""), request.query.get("q", "")
    claim, level = request.cookies.get("arm", ""), guard.degrade_level
    arm, token = assigned(guard, user, claim)
    pins = pins_of(guard, arm)
    made: list[bytes] = []

    async def make() -> bytes:
        made.append(json.dumps(await thought(guard, question, arm, pins, level)).encode())
        return made[0]

    key = guard.cache_key("a", tenant_of(request), question, str(level), pins=pins)
    cache = guard.view.cache
    try:
        entry = json.loads(await guard.get_or_load(key, make))
    except BreakerOpenError:
        # the model is out of order: citations are better than nothing, and are not kept
        entry = await thought(guard, question, arm, pins, CITE_ONLY)
    told = {"arm": arm, "generation": cache.generation, "hit": not made, **entry}
    report(
        request.app,
        told,
        user=user,
        claim=claim,
        pins=pins,
        namespace=cache.namespace,
        took=time.perf_counter() - began,
    )
    response = web.json_response(told)
    response.set_cookie("arm", f"{arm}:{token}", max_age=86_400, httponly=True)
    return response


def assigned(guard: AsyncGuard, user: str, claim: str) -> tuple[Arm, str]:
    """The arm of a user, and the version of the flag that says so; `claim` is the cookie.

    Processes read the controls some milliseconds apart. A user who meets one that has read a
    rollback, and then one that has not, would go off the canary, back onto it, and off again. So
    the cookie keeps whom a newer version took off. It cannot put anybody on the canary.
    """
    mine = str(guard.view.tokens.get("flag:canary", Token()))
    claimed, _, token = claim.partition(":")
    if claimed == Arm.BASELINE and token > mine:
        return Arm.BASELINE, token
    return guard.arm("canary", user), mine


def pins_of(guard: AsyncGuard, arm: Arm) -> dict[str, str]:
    """What an answer of this arm is made with; what rollbackd has pinned goes over all of it."""
    index = str(guard.control("alias:docs_live").get("index", ""))
    pins = BASELINE | (CANARY if arm is Arm.CANARY else {})
    if index in INDEXES:
        pins["INDEX_HASH"] = INDEXES[index]
    return {**pins, **guard.view.pins}


async def thought(
    guard: AsyncGuard, question: str, arm: Arm, pins: Mapping[str, str], level: int
) -> dict[str, object]:
    """An answer with less work at each degrade level; at the highest the citations alone."""
    citations = [f"{pins['INDEX_HASH']}/{n}" for n in range(8 if level < 2 else 3)]
    if level < 1:
        citations.reverse()  # the reranker's taste, which takes a model of its own to know
    text = ""
    if level < CITE_ONLY:
        with guard.breaker("llm").call():
            steps = 3 if level < 3 else 1
            text = f"{arm} answers {question} in {steps} steps with {pins['PROMPT_VER']}"
    return {"pins": dict(pins), "level": level, "text": text, "citations": citations}


def report(
    app: web.Application,
    told: Mapping[str, object],
    *,
    user: str,
    claim: str,
    pins: Mapping[str, str],
    namespace: str,
    took: float,
) -> None:
    """Say what was answered, from which cache entry, and how well."""
    drift = app[DRIFT] if told["arm"] is Arm.CANARY else 0.0
    values = {"latency_seconds": took, "delta_s": 0.2 + drift}
    app[EVENTS].say(
        "cache.event",
        arm=told["arm"],
        hit=told["hit"],
        pins=pins,
        entry_pins=told["pins"],
        namespace=namespace,
    )
    app[EVENTS].say(
        "answer.served",
        arm=told["arm"],
        code=200,
        user=user,
        pins=pins,
        claimed_arm=claim.partition(":")[0],
        values=values,
    )


async def healthz(_request: web.Request) -> web.Response:
    """`GET /healthz`: it serves, whatever rollbackd and Redis do."""
    return web.Response(text="ok")


def tenant_of(request: web.Request) -> str:
    """Whose budget and whose data it is."""
    return request.headers.get("X-Tenant", "")


def build(
    *, redis: str, scope: str, payments: str, events: str = "", canary_drift: float = 0.0
) -> web.Application:
    """The service; the guard is open for as long as it runs."""
    app = web.Application(middlewares=[obey])
    app[EVENTS] = Events(events, scope)
    app[DRIFT] = canary_drift

    def tell(receipt: Receipt) -> None:
        named = {"key": receipt.idempotency_key, "effect_id": receipt.effect_id}
        app[EVENTS].say("dedupe.decision", decision=receipt.decision, **named)
        app[EVENTS].say("effect.receipt", status=receipt.status, action="refund", **named)

    async def opened(app: web.Application) -> AsyncIterator[None]:
        app[PAYMENTS] = Payments(payments)
        app[GUARD] = AsyncGuard(
            scope,
            RedisAddress(url=redis),
            pins=BASELINE,
            receipts=tell,
            raise_fence=app[PAYMENTS].raise_fence,
            effect_lease_seconds=6,  # over the longest that a payment may take
        )
        async with app[EVENTS], app[GUARD]:
            yield
        await app[PAYMENTS].close()

    app.cleanup_ctx.append(opened)
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/answers", answer),
            web.post("/refunds", refund),
            web.put("/feedback/{answer}", feedback),
        ]
    )
    return app


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--scope", "--redis", "--payments"):
        parser.add_argument(name, required=True)
    parser.add_argument("--events", default="", help="where to send events; nowhere by default")
    parser.add_argument("--canary-drift", type=float, default=0.0, help="added to its delta_s")
    parser.add_argument("--port", type=int, default=8080)
    options = vars(parser.parse_args())
    port = options.pop("port")
    web.run_app(build(**options), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
