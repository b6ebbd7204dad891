"""Applications that ask over OpenFeature, while incidents run and stores go away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from tests.end_to_end.daemon import DaemonProcess, rollout
from tests.services.polling import eventually
from tests.services.processes import ServerFailedError
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


async def test_an_intent_that_no_application_could_use_is_refused(
    scope: str, tmp_path: Path
) -> None:
    """With what is wrong and what is allowed, and nothing is written."""
    async with DaemonProcess(tmp_path) as daemon:
        for name, value, says in (
            ("degrade", {"level": 7}, "`level: 7`. It has `level` (integer, 0 to 4)"),
            ("flag:canary", {"weight": 1}, "no field `weight`; did you mean `canary_weight`?"),
            ("flag:canary", "on", "`$.value`"),
            ("what", {}, "`what` is not a control"),
        ):
            path = f"/api/v1/controls/{scope}/{name}"
            status, answer = await daemon.send("PUT", path, {"value": value})
            assert (status, says in str(answer)) == (400, True), answer
        path = f"/api/v1/controls/{scope}/cache"
        assert (await daemon.send("PUT", path, {"value": {"generation": 3}}))[0] == 200
        status, answer = await daemon.send("PUT", path, {"value": {"generation": 2}})
        assert (status, "it only grows" in str(answer)) == (400, True)
        assert await daemon.controls(scope) == {"cache": {"generation": 3}}


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


@pytest.mark.services
async def test_a_killed_flag_stays_off_when_the_daemon_starts_while_redis_is_away(
    scope: str, tmp_path: Path
) -> None:
    """It waits, decides and accepts nothing, and is ready once Redis is back."""
    async with Redis(tmp_path / "redis") as redis:
        config = {"store": "redis", "controls": "redis", "redis": {"url": redis.url}}
        async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
            await rollout(daemon, scope)
            await canary(daemon, scope, 1.0)
            async with application(daemon, scope) as app:
                await pull(daemon, scope)
                await eventually(app.sees_it_off, within_seconds=30)
                await until_kept(daemon, b'"global_off":true')
                daemon.kill()
                redis.kill()
                await daemon.start()
                assert await app.sees_it_off()
                ready = await daemon.get("/-/ready")
                assert not ready["ready"]
                assert "waiting for the store" in ready["reasons"][0]
                assert "not_ready" in await daemon.get("/api/v1/status")
                pulled = {"branch": "duplicate_effects", "scope": scope, "reason": "again"}
                event = {"event": "x", "service": "rag", "region": "eu", "values": {"a": 1}}
                for path, body in {
                    "/api/v1/incidents": pulled,
                    "/api/v1/events": [event],
                }.items():
                    assert (await daemon.send("POST", path, body))[0] == 503, path
                await redis.start()

                async def is_ready() -> bool:
                    try:
                        return bool((await daemon.get("/-/ready"))["ready"])
                    except aiohttp.ClientError:  # between the two listeners
                        return False

                await eventually(is_ready, within_seconds=30)
                assert await app.sees_it_off()
                assert (
                    len([i for i in await daemon.incidents(scope) if i["state"] != "closed"]) == 1
                )
            assert daemon.unhandled() == []


@pytest.mark.services
async def test_a_daemon_that_waits_for_redis_can_be_stopped(scope: str, tmp_path: Path) -> None:
    """And one that knows nothing does not wait."""
    async with Redis(tmp_path / "redis") as redis:
        config = {"controls": "redis", "redis": {"url": redis.url}}
        async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
            await rollout(daemon, scope)
            kept = await until_kept(daemon, b"canary")
            daemon.kill()
            redis.kill()
            await daemon.start()
            os.kill(daemon.pid, signal.SIGHUP)
            assert not (await daemon.get("/-/ready"))["ready"]
            await daemon.stop()
            assert daemon.unhandled() == []
            kept.unlink()
            with pytest.raises(ServerFailedError, match="ended with code"):
                await daemon.start()


async def until_kept(daemon: DaemonProcess, text: bytes) -> Path:
    """Wait until the file for the next start has a text."""
    kept = daemon.state_dir / "last-known-controls.json"

    async def has_been_kept() -> bool:
        return kept.exists() and text in kept.read_bytes()

    await eventually(has_been_kept, within_seconds=30)
    return kept
