"""Applications that ask over OpenFeature, while incidents run and stores go away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from tests.end_to_end.daemon import DaemonProcess, rollout
from tests.services.polling import eventually
from tests.services.redis import Redis

ON = True
USERS = [f"user-{number}" for number in range(60)]


class Application:
    """A service that asks with the official SDK, and whose code says "on" by default."""

    def __init__(self, scope: str) -> None:
        self._client = api.get_client()
        service, region = scope.split("/")
        self._context = {"service": service, "region": region}

    def _ask(self, user: str) -> Any:
        context = EvaluationContext(user, self._context)
        return self._client.get_boolean_details("canary", ON, context)

    async def knows_the_flag(self) -> bool:
        """A replica that did not write it has to look first."""
        details = await asyncio.to_thread(self._ask, USERS[0])
        return details.error_code is None

    async def on(self) -> set[str]:
        """The users on the canary. Every answer is one of rollbackd's, none is a default."""
        details = {user: await asyncio.to_thread(self._ask, user) for user in USERS}
        assert {d.error_code for d in details.values()} == {None}
        return {user for user, d in details.items() if d.value}

    async def sees_it_off(self) -> bool:
        """For everybody, and said by the flag itself."""
        for user in USERS:
            details = await asyncio.to_thread(self._ask, user)
            off = (details.value, details.variant, details.reason) == (False, "off", Reason.STATIC)
            if details.error_code or not off:
                return False
        return True


@asynccontextmanager
async def application(daemon: DaemonProcess, scope: str) -> AsyncIterator[Application]:
    provider = OFREPProvider(daemon.url)
    api.set_provider_and_wait(provider)
    try:
        yield Application(scope)
    finally:
        provider.session.close()
        api.shutdown()


async def canary(daemon: DaemonProcess, scope: str, weight: float) -> None:
    value = {"baseline_weight": 1 - weight, "canary_weight": weight, "global_off": False}
    path = f"/api/v1/controls/{scope}/flag:canary"
    status, answer = await daemon.send("PUT", path, {"value": value})
    assert status == 200, answer


async def pull(daemon: DaemonProcess, scope: str) -> None:
    pulled = {"branch": "duplicate_effects", "scope": scope, "reason": "doubled"}
    status, answer = await daemon.send("POST", "/api/v1/incidents", pulled)
    assert status == 201, answer


async def test_a_flag_that_an_incident_kills_is_seen_off(scope: str, tmp_path: Path) -> None:
    """Also after the rollout wants more of it, and after the daemon was killed and restarted."""
    async with DaemonProcess(tmp_path) as daemon, application(daemon, scope) as app:
        await rollout(daemon, scope)
        some = await app.on()
        await canary(daemon, scope, 0.6)
        more = await app.on()
        assert 0 < len(some) < len(more) < len(USERS)
        assert some < more
        before = time.perf_counter()
        await pull(daemon, scope)
        await eventually(app.sees_it_off, within_seconds=30)
        seconds = time.perf_counter() - before
        print(f"pulled and seen off by {len(USERS)} users: {seconds:.3f} s")  # noqa: T201  # a figure
        await canary(daemon, scope, 1.0)
        assert await app.sees_it_off()
        daemon.kill()
        await daemon.start()
        assert await app.sees_it_off()
        assert daemon.unhandled() == []


@pytest.mark.services
async def test_a_killed_flag_stays_off_while_redis_is_away(scope: str, tmp_path: Path) -> None:
    """On the replica that killed it and on another, which only reads."""
    async with Redis(tmp_path / "redis") as redis:
        config = {"controls": "redis", "redis": {"url": redis.url}}
        async with (
            DaemonProcess(tmp_path / "one", config=config) as one,
            DaemonProcess(tmp_path / "two", config=config) as two,
        ):
            await rollout(one, scope)
            await canary(one, scope, 1.0)
            async with application(two, scope) as app:
                await eventually(app.knows_the_flag, within_seconds=30)

                async def everybody_has_it() -> bool:
                    return await app.on() == set(USERS)

                await eventually(everybody_has_it, within_seconds=30)
                await pull(one, scope)
                await eventually(app.sees_it_off, within_seconds=30)
                redis.kill()

                async def says_so() -> bool:
                    metrics = await two.get("/metrics", parse=False)
                    return 'rollbackd_store_up{store="controls"} 0.0' in metrics

                await eventually(says_so, within_seconds=30)
                assert await app.sees_it_off()
            async with application(one, scope) as app:
                assert await app.sees_it_off()
            for daemon in (one, two):
                said = [line["msg"] for line in daemon.log_lines()]
                assert (
                    said.count("controls cannot all be read; applications get the last known ones")
                    == 1
                )
