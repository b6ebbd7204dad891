"""What the example's effects land in: a payment system that keeps a fence. See docs/guard.md.

It makes a payment each time it is asked for one, so that a doubled effect shows as two payments.

python payments.py 8090
"""

import sys
import time
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, in the order in which they were made."""

    sequence: int
    at_ms: int
    effect_id: str
    fence: str


@dataclass(slots=True)
class Ledger:
    """Every payment, and the highest fence that was seen."""

    payments: list[Payment] = field(default_factory=list)
    fence: str = ""

    def raise_fence(self, fence: str) -> None:
        """Refuse from now on whatever comes with a lower one."""
        self.fence = max(self.fence, fence)

    def pay(self, effect_id: str, fence: str) -> Payment | None:
        """One more payment, or None behind the fence."""
        if fence < self.fence:
            return None
        self.raise_fence(fence)
        payment = Payment(len(self.payments) + 1, round(time.time() * 1000), effect_id, fence)
        self.payments.append(payment)
        return payment

    def find(self, effect_id: str) -> Payment | None:
        """The payment of an effect."""
        return next((each for each in self.payments if each.effect_id == effect_id), None)


LEDGER = web.AppKey("ledger", Ledger)


async def pay(request: web.Request) -> web.Response:
    """`POST /payments/{effect_id}` with `Fence`: 200, or 412 behind the fence."""
    made = request.app[LEDGER].pay(request.match_info["effect_id"], request.headers["Fence"])
    return web.Response(status=412) if made is None else web.Response(text=f"p-{made.sequence}")


async def find(request: web.Request) -> web.Response:
    """`GET /payments/{effect_id}`: 200, or 404."""
    made = request.app[LEDGER].find(request.match_info["effect_id"])
    return web.Response(status=404) if made is None else web.Response(text=f"p-{made.sequence}")


async def raise_fence(request: web.Request) -> web.Response:
    """`PUT /fence`: the body is the fence."""
    request.app[LEDGER].raise_fence(await request.text())
    return web.Response(status=204)


def build() -> web.Application:
    """The system, without a payment."""
    app = web.Application()
    app[LEDGER] = Ledger()
    app.add_routes(
        [
            web.post("/payments/{effect_id}", pay),
            web.get("/payments/{effect_id}", find),
            web.put("/fence", raise_fence),
        ]
    )
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(sys.argv[1]))
