"""Somebody else's scorer over HTTP: what is sent, what is taken, and what is never said."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.scoring import Scores
from rollbackd.scorers.http import HttpScorer
from rollbackd.settings.endpoints import HttpEndpoint
from tests.scorers.answers import asked
from tests.services.processes import HOST, free_port

TOKEN = "hunter2-token"


class Service:
    """A scorer that answers as it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.answer: Callable[[], web.Response] = lambda: web.json_response({"scores": []})

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        self.tokens.append(request.headers.get("Authorization", ""))
        return self.answer()

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answer = lambda: web.Response(text=text, status=status, headers=headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """On loopback."""
    port = free_port()
    service = Service(f"http://{HOST}:{port}/v1/score")
    app = web.Application()
    app.router.add_post("/v1/score", service.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    yield service
    await runner.cleanup()


@pytest.fixture
async def scorer(service: Service, tmp_path: Path) -> AsyncIterator[HttpScorer]:
    """With a token."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    scorer = HttpScorer(HttpEndpoint(url=service.url, token_file=token_file))
    yield scorer
    await scorer.close()


async def test_a_batch_is_one_request_with_the_token(service: Service, scorer: HttpScorer) -> None:
    service.says(
        {
            "scores": [
                {"id": "1", "delta_s": 0.5, "delta_s_anchor": 0.25},
                {"id": "0", "delta_s": 0.125, "why": "unknown keys are ignored"},
            ],
            "model": "mini",
            "version": "3",
        }
    )
    found = await scorer.score([asked("q0", "c0"), asked("q1", "c1", "a1")])
    assert found == [Scores(0.125), Scores(0.5, 0.25)]
    assert (scorer.model, scorer.version) == ("mini", "3")
    assert service.tokens == [f"Bearer {TOKEN}"]
    assert service.requests == [
        {
            "items": [
                {"id": "0", "question": "q0", "context": "c0"},
                {"id": "1", "question": "q1", "context": "c1", "anchor": "a1"},
            ]
        }
    ]


async def test_what_it_says_nothing_of_has_no_score(service: Service, scorer: HttpScorer) -> None:
    service.says({"scores": [{"id": "2", "delta_s": None}, {"id": "7", "delta_s": 0.3}]})
    assert await scorer.score([asked("a"), asked("b"), asked("c")]) == [Scores()] * 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_temporary(
    service: Service, scorer: HttpScorer, status: int
) -> None:
    service.says("your question `secret` came too soon", status, **{"Retry-After": "2"})
    with pytest.raises(TemporaryError) as caught:
        await scorer.score([asked("secret")])
    assert str(caught.value) == f"POST {service.url}: answered {status}"
    assert caught.value.delay_ms == 2_000


@pytest.mark.parametrize(
    ("status", "body", "because"),
    [
        (400, "cannot read `secret`", "answered 400"),
        (302, "secret", "answered 302"),
        (200, "secret", "not an answer of a scorer"),
        (200, '{"scores": "secret"}', "not an answer of a scorer: Expected `array`, got `str`"),
        (200, '{"scores": [{"id": "0", "delta_s": "secret"}]}', "`$.scores[0].delta_s`"),
        (200, '{"scores": [], "model": "%s"}' % ("secret" * 20), "length <= 100"),
        (200, "[" * 100_000, "not an answer of a scorer"),
    ],
)
async def test_what_is_no_answer_is_permanent_and_not_quoted(
    service: Service, scorer: HttpScorer, status: int, body: str, because: str
) -> None:
    service.says(body, status)
    with pytest.raises(PermanentError) as caught:
        await scorer.score([asked("secret")])
    assert because in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_nobody_there_is_temporary() -> None:
    scorer = HttpScorer(HttpEndpoint(url=f"http://{HOST}:{free_port()}"))
    with pytest.raises(RollbackdError) as caught:
        await scorer.score([asked("secret")])
    assert isinstance(caught.value, TemporaryError)
    assert "secret" not in str(caught.value)
    await scorer.close()
