"""An order service that obeys every control of its scope: see docs/guard.md.

python orders.py redis://127.0.0.1:6379/0 orders/eu-1 8080
"""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from rollbackd.guard import AsyncGuard, Claim, GuardError, RedisAddress, idempotency_key

PINS = {"INDEX_HASH": "a1d9", "PROMPT_VER": "p-12", "MODEL_VER": "m-3", "RERANK_CONF": "r-1"}
GUARD = web.AppKey("guard", AsyncGuard)
#: The payments that were made, by effect id: in life another system, which knows such ids too.
PAYMENTS = web.AppKey("payments", dict[str, str])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def obey(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Admission first; whatever the guard refuses is answered as it says."""
    guard = request.app[GUARD]
    try:
        admission = await guard.admit(tenant=request.headers.get("X-Tenant", ""))
        if not admission:
            return web.Response(status=admission.status, headers=admission.headers)
        return await handler(request)
    except GuardError as refused:
        return web.json_response(
            {"error": str(refused)}, status=refused.status, headers=refused.headers
        )


async def order(request: web.Request) -> web.Response:
    """`POST /orders` with `Idempotency-Key`: charges once, and never while writers are frozen."""
    guard, payments = request.app[GUARD], request.app[PAYMENTS]
    body = await request.text()
    key = idempotency_key(
        source_type="order",
        source_id=request.headers["Idempotency-Key"],
        action="charge",
        tenant=request.headers.get("X-Tenant", ""),
    )

    async def charge(claim: Claim) -> str:
        claim.check()
        return payments.setdefault(claim.effect_id, f"payment-{len(payments) + 1}")

    async def find(effect_id: str) -> str | None:
        return payments.get(effect_id)

    with guard.write() as write:
        receipt = await guard.once(write, key, charge, request=body, find=find)
    return web.json_response({"payment": receipt.result, "decision": receipt.decision})


async def answer(request: web.Request) -> web.Response:
    """`GET /answers?q=...&user=...`: the arm of the user, cached under its pins."""
    guard = request.app[GUARD]
    question, arm = request.query["q"], guard.arm("reranker", request.query["user"])
    level = guard.degrade_level

    async def think() -> bytes:
        with guard.breaker("llm").call():
            text = "see [1]" if guard.cite_only else f"{arm} answers {question}"
        return json.dumps({"arm": arm, "level": level, "text": text}).encode()

    key = guard.cache_key("a", question, arm, str(level))
    return web.Response(body=await guard.get_or_load(key, think), content_type="application/json")


def build(url: str, scope: str) -> web.Application:
    """The service; the guard is open for as long as it runs."""
    app = web.Application(middlewares=[obey])
    app[PAYMENTS] = {}
    app[GUARD] = AsyncGuard(scope, RedisAddress(url=url), pins=PINS)

    async def guarded(app: web.Application) -> AsyncIterator[None]:
        async with app[GUARD]:
            yield

    app.cleanup_ctx.append(guarded)
    app.add_routes([web.post("/orders", order), web.get("/answers", answer)])
    return app


if __name__ == "__main__":
    web.run_app(build(sys.argv[1], sys.argv[2]), port=int(sys.argv[3]))
