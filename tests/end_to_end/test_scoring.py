"""Events that carry a question and what was retrieved for it, and no ΔS, to a rollback."""

import importlib.util
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.end_to_end.daemon import DaemonProcess, Healthy, rollout
from tests.scorers.answers import ANSWERED
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port

#: Stands in every question, and must be nowhere but there.
SECRET = "Zanzibar7"
#: A statistic over fewer is no evidence for the shipped rule.
ENOUGH = 200


def served(scope: str, contexts: Iterable[str]) -> list[dict[str, Any]]:
    """Answers of the canary; the contexts come round again."""
    service, region = scope.split("/")
    pairs = [(q, c) for (q, _), c in zip(ANSWERED, contexts, strict=True)]
    return [
        {
            "event": "answer.served",
            "service": service,
            "region": region,
            "arm": "canary",
            "texts": {"question": f"{q} {SECRET}", "context": c},
        }
        for q, c in (pairs * ENOUGH)[:ENOUGH]
    ]


def right(scope: str) -> list[dict[str, Any]]:
    """What was retrieved answers the question."""
    return served(scope, [f"{c} {SECRET}" for _, c in ANSWERED])


def wrong(scope: str) -> list[dict[str, Any]]:
    """Each question got what answers the next one."""
    return served(scope, [c for _, c in (*ANSWERED[1:], ANSWERED[0])])


async def scored(daemon: DaemonProcess) -> float:
    """How many scores the canary has in the window of the shipped rule."""
    answer = await daemon.get('/api/v1/query?expr=count_over_time(delta_s{arm="canary"}[5m])')
    return sum(element["value"] for element in answer["vector"])


async def from_texts_to_a_rollback(daemon: DaemonProcess, scope: str) -> None:
    """Good retrievals fire nothing; bad ones after them open the incident of W1."""
    await rollout(daemon, scope)

    async def all_are_scored() -> bool:
        return await scored(daemon) == ENOUGH

    async with Healthy(daemon, scope, error_ratio=1.0):
        await daemon.events(*right(scope))
        await eventually(all_are_scored, within_seconds=30)
        assert await daemon.incidents(scope) == []
        await daemon.events(*wrong(scope))
        incident = await daemon.until_incident(scope, "watching")
    assert incident["triggers"][0]["rule"] == "QualityDrift"


def files_with(secret: str, folder: Path) -> list[Path]:
    """Every file that holds it: logs, store, evidence."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [path for path in found if secret.encode() in path.read_bytes()]


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="needs rollbackd[scorer]")
async def test_the_model_in_the_daemon_finds_the_canary_that_retrieves_the_wrong_texts(
    scope: str, tmp_path: Path
) -> None:
    """And no text is written anywhere."""
    config = {"scoring": {"mode": "embedded"}}
    async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
        await from_texts_to_a_rollback(daemon, scope)
        metrics = await daemon.get("/metrics", parse=False)
        assert 'rollbackd_scorer_info{mode="embedded",model="wordllama-' in metrics
        assert daemon.unhandled() == []
    assert files_with(SECRET, tmp_path) == []


@asynccontextmanager
async def scorer_service() -> AsyncIterator[str]:
    """Says how near a context is by the words that it shares; fails every other request."""
    requests = 0

    async def score(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        items = (await request.json())["items"]
        if requests % 2:
            return web.json_response(items, status=503)
        scores = [
            {"id": item["id"], "delta_s": 0.3 if SECRET in item["context"] else 0.9}
            for item in items
        ]
        return web.json_response({"scores": scores, "model": "words", "version": "1"})

    port = free_port()
    app = web.Application()
    app.router.add_post("/score", score)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield f"http://{HOST}:{port}/score"
    finally:
        await runner.cleanup()


async def test_somebody_else_s_model_finds_it_over_http(scope: str, tmp_path: Path) -> None:
    """Though it fails every other time, and quotes what it was sent."""
    async with scorer_service() as url:
        config = {"scoring": {"mode": "http", "http": {"url": url}, "batch": 100}}
        async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
            await from_texts_to_a_rollback(daemon, scope)
            metrics = await daemon.get("/metrics", parse=False)
            assert 'rollbackd_scorer_info{mode="http",model="words",version="1"} 1.0' in metrics
            assert daemon.unhandled() == []
    assert files_with(SECRET, tmp_path) == []


async def test_without_scoring_texts_are_left_alone(scope: str, tmp_path: Path) -> None:
    """And the daemon says nothing of scorers."""
    async with DaemonProcess(tmp_path / "daemon") as daemon:
        await daemon.events(*right(scope))
        assert await scored(daemon) == 0
        assert "rollbackd_scorer_info{" not in await daemon.get("/metrics", parse=False)
    assert files_with(SECRET, tmp_path) == []


async def test_the_daemon_does_not_start_without_the_extra_and_says_what_to_install(
    tmp_path: Path,
) -> None:
    """The message is one line, no traceback."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n == 'wordllama' else find(n, p)\n"
    )
    daemon = DaemonProcess(tmp_path / "daemon", config={"scoring": {"mode": "embedded"}})
    daemon.program = ["env", f"PYTHONPATH={blocked}", *daemon.program]
    with pytest.raises(Exception, match=r"rollbackd\[scorer\]"):
        await daemon.start()
