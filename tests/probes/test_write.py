"""The probe write, against a real server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rollbackd.model.policy import FreezeProbe
from rollbackd.probes import Probes
from tests.incidents.samples import opened


class Service:
    """Answers a write with one status, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 503
        self.hits: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.hits.append((request.method, dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    service.url = f"http://127.0.0.1:{port}/orders/probe"
    yield service
    await runner.cleanup()


def probe(url: str, **params: Any) -> FreezeProbe:
    return FreezeProbe(kind="write", params={"url": url, **params})


@pytest.mark.parametrize(
    ("status", "confirmed", "detail"),
    [
        (423, True, "refused with 423"),
        (503, True, "refused with 503"),
        (200, False, "writers are not frozen: the write was taken with 200"),
        (202, False, "writers are not frozen: the write was taken with 202"),
        (302, False, "answered 302, which is no refusal"),
        (404, False, "answered 404, which is no refusal; that would be 423 or 503"),
        (500, False, "answered 500"),
    ],
)
async def test_only_a_refusal_confirms(
    service: Service, status: int, detail: str, *, confirmed: bool
) -> None:
    """A redirect is not followed: what answers elsewhere is another service."""
    service.status = status
    said = await Probes(None).confirm(opened(), probe(service.url))
    assert (said.probe, said.confirmed) == ("write", confirmed)
    assert said.detail.startswith(detail)
    assert len(service.hits) == 1


async def test_the_tree_may_say_what_a_refusal_is(service: Service) -> None:
    """And then only that."""
    service.status = 503
    said = await Probes(None).confirm(opened(), probe(service.url, refused_with=[409]))
    assert not said.confirmed
    assert said.detail.endswith("that would be 409")


async def test_the_request_is_as_the_tree_says(service: Service, tmp_path: Path) -> None:
    """Method, body and a token that comes from a file; one key for every try of an incident."""
    token = tmp_path / "token"
    token.write_text("t0p-secret\n")
    asked = probe(service.url, method="PUT", body='{"probe": true}', token_file=str(token))
    for _ in range(2):
        said = await Probes(None).confirm(opened(), asked)
        assert "t0p-secret" not in said.detail
    (method, headers, body), (_, again, _) = service.hits
    assert (method, body) == ("PUT", b'{"probe": true}')
    assert headers["Authorization"] == "Bearer t0p-secret"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Rollbackd-Probe"] == "INC-1"
    assert headers["Idempotency-Key"] == again["Idempotency-Key"] == "INC-1:freeze-probe"


async def test_who_does_not_answer_confirms_nothing(service: Service) -> None:
    """A dead service takes no writes now, and may in a moment."""
    port = service.url.split(":")[2].split("/")[0]
    said = await Probes(None).confirm(opened(), probe(f"http://127.0.0.1:1{port[1:]}/x"))
    assert not said.confirmed
    assert said.detail == "ClientConnectorError"


async def test_a_token_that_cannot_be_read_confirms_nothing(
    service: Service, tmp_path: Path
) -> None:
    """Nothing is sent without it."""
    said = await Probes(None).confirm(opened(), probe(service.url, token_file=str(tmp_path / "no")))
    assert not said.confirmed
    assert "No such file" in said.detail
    assert service.hits == []


async def test_settings_that_no_probe_has_confirm_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A tree of another version: the incident stops at its freeze, and the log says why."""
    said = await Probes(None).confirm(opened(), FreezeProbe(kind="write"))
    assert not said.confirmed
    assert "a probe failed" in caplog.text
