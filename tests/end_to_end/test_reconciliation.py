"""A real daemon, a guard killed between effect and seal, and a bank that lists payments."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import web

from rollbackd.guard import Guard, RedisAddress, WriteRefusedError
from rollbackd.guard.idempotency import effect_id_of
from tests.backends import RedisBackend
from tests.end_to_end.daemon import TREE, DaemonProcess, Healthy
from tests.guard.driving import PINS, SCOPE
from tests.guard.test_effects import KEY
from tests.guard.test_processes import child
from tests.services.redis import Redis

pytestmark = [pytest.mark.services, pytest.mark.slow]

_COMPARES = TREE.replace(
    "    needs_known_good: false\n    targets: [errors]\n  retriever",
    "    needs_known_good: false\n    reconcile: required\n    targets: [errors]\n  retriever",
    1,
)


class Bank:
    """Lists the payments that the test's Redis holds, page by page, to whoever has the token."""

    def __init__(self, backend: RedisBackend) -> None:
        self._client = redis.Redis.from_url(backend.url, decode_responses=True)
        self.url = ""

    async def list(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer t0ken":
            return web.Response(status=403)
        made = sorted(map(str, self._client.hgetall("payments")))
        at = int(request.query.get("next", "0"))
        keys = {effect_id_of(KEY): KEY}
        page: dict[str, Any] = {
            "effects": [{"key": keys.get(e, e), "effect_id": e} for e in made[at : at + 1]]
        }
        if at + 1 < len(made):
            page["next"] = str(at + 1)
        return web.json_response(page)

    def pay(self, effect_id: str) -> None:
        self._client.hset("payments", effect_id, 1)

    def refund(self, effect_id: str) -> None:
        self._client.hdel("payments", effect_id)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def backend(redis_server: Redis) -> RedisBackend:
    """An empty database."""
    return RedisBackend(redis_server)


@pytest.fixture
async def bank(backend: RedisBackend) -> AsyncIterator[Bank]:
    """The bank, serving."""
    served = Bank(backend)
    app = web.Application()
    app.router.add_get("/payments", served.list)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/payments"
    yield served
    await runner.cleanup()
    served.close()


@pytest.fixture
async def daemon(backend: RedisBackend, bank: Bank, tmp_path: Path) -> AsyncIterator[DaemonProcess]:
    """Store and controls in Redis, and the bank as the listing of the service."""
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    listing = {
        "name": "bank",
        "services": [SCOPE.partition("/")[0]],
        "http": {"url": bank.url, "token_file": str(token)},
    }
    process = DaemonProcess(
        tmp_path / "daemon",
        config={
            "store": "redis",
            "redis": {"url": backend.url},
            "reconciliation": {"listings": [listing], "settle": "1s", "timeout": "15s"},
        },
        tree=_COMPARES,
    )
    await process.start()
    yield process
    await process.stop()


async def test_writers_stay_frozen_until_receipts_agree(
    daemon: DaemonProcess, backend: RedisBackend, bank: Bank
) -> None:
    """The killed process's effect is settled by what is there; one nobody knows of stays open."""
    async with child(backend, "charge") as process:
        process.kill()
        await process.wait()
    bank.pay("unheard-of")
    bank.pay("told")
    service, _, region = SCOPE.partition("/")
    await daemon.events(
        {"event": "effect.receipt", "service": service, "region": region,
         "key": "told", "effect_id": "told"}
    )  # fmt: skip
    async with Healthy(daemon, SCOPE):
        body = {"branch": "duplicate_effects", "scope": SCOPE, "reason": "two charges"}
        status, opened = await daemon.send("POST", "/api/v1/incidents", body)
        assert status == 201, opened
        waiting = await daemon.until_incident(SCOPE, "needs_human")
        assert waiting["reason"] == "receipts_disagree"
        found = waiting["reconciliation"]
        assert found["counts"] == {"ok": 2, "missing": 0, "extra": 1, "conflict": 0}
        assert [item["key"] for item in found["items"]] == ["unheard-of"]
        assert found["settled"] == {"was_made": 1}
        with (
            Guard(SCOPE, RedisAddress(url=backend.url), pins=PINS) as guard,
            pytest.raises(WriteRefusedError),
            guard.write(idempotent=True),
        ):
            pytest.fail("it was let through")
        path = f"/api/v1/incidents/{waiting['id']}"
        restore = {"decision": "restore", "reason": "go on"}
        assert (await daemon.send("POST", f"{path}/decision", restore))[0] == 200
        assert (await daemon.get(f"{path}/reconciliation"))["open_items"] == 1
        assert (await daemon.controls(SCOPE))["writes"]["blocked"] is True
        bank.refund("unheard-of")
        await daemon.send("POST", f"{path}/decision", restore)
        closed = await daemon.until_incident(SCOPE, "closed")
    checks = {check["name"]: check for check in closed["audit"]}
    assert checks["receipts_reconciled"] == {
        "name": "receipts_reconciled", "passed": True,
        "detail": "2 ok, 0 missing, 0 extra, 0 conflict",
    }  # fmt: skip
    assert (await daemon.controls(SCOPE))["writes"]["blocked"] is False
    assert (daemon.state_dir / "incidents" / closed["id"] / "reconciliation.json").is_file()
    metrics = await daemon.get("/metrics", parse=False)
    assert 'rollbackd_receipts_total{status="sealed"} 1.0' in metrics
    assert f'rollbackd_reconciliation_items{{scope="{SCOPE}",verdict="ok"}} 2.0' in metrics
    assert daemon.unhandled() == []
