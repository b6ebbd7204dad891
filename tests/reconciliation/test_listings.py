"""Listings over HTTP, from a real server, and in a file."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.reconciliation.file_listing import FileListing
from rollbackd.reconciliation.formats import ListingError
from rollbackd.reconciliation.http_listing import HttpListing
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.reconciliation import ListingSettings
from tests.http.certificates import Authority
from tests.reconciliation.samples import NOW, SCOPE, effect

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Bank:
    """A system that lists its payments; `answer` says how."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Handler = self._whole
        self.url = ""

    async def _whole(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.json_response([{"key": "k1", "effect_id": "e1", "time": NOW / 1000}])

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        self.headers.append(dict(request.headers))
        return await self.answer(request)

    def listing(self, *, max_effects: int = 100, **endpoint: Any) -> HttpListing:
        return HttpListing(
            ListingSettings(
                name="bank",
                services=["*"],
                http=HttpEndpoint(url=self.url, **endpoint),
                max_effects=max_effects,
            )
        )


async def served(bank: Bank, context: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/payments", bank.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "http" if context is None else "https"
    bank.url = f"{scheme}://localhost:{runner.addresses[0][1]}/payments"
    return runner


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    served_bank = Bank()
    runner = await served(served_bank)
    yield served_bank
    await runner.cleanup()


async def effects(listing: HttpListing) -> list[str]:
    try:
        page = await listing.effects(SCOPE, NOW - 1, NOW + 1)
        assert page.until_ms is None
        return [each.effect_id for each in page.effects]
    finally:
        await listing.close()
        await listing.close()


async def test_it_asks_for_a_scope_and_a_time_with_its_token(bank: Bank, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    assert await effects(bank.listing(token_file=token)) == ["e1"]
    assert bank.asked == [
        {
            "scope": "pay/eu-1",
            "from": "2026-09-21T14:13:19.999Z",
            "to": "2026-09-21T14:13:20.001Z",
        }
    ]
    assert bank.headers[0]["Authorization"] == "Bearer s3cret"


async def test_pages_are_followed_to_the_end(bank: Bank) -> None:
    """JSON with `next`, which is sent back as it came."""

    async def paged(request: web.Request) -> web.Response:
        number = int(request.query.get("next", "1"))
        page: dict[str, Any] = {"effects": [{"key": f"k{number}", "effect_id": f"e{number}"}]}
        return web.json_response(page | ({"next": str(number + 1)} if number < 3 else {}))

    bank.answer = paged
    assert await effects(bank.listing()) == ["e1", "e2", "e3"]
    assert [each.get("next") for each in bank.asked] == [None, "2", "3"]
    assert {each["scope"] for each in bank.asked} == {"pay/eu-1"}


async def test_lines_are_read_too(bank: Bank) -> None:
    """NDJSON by its media type; the last line may say where it goes on."""

    async def lines(request: web.Request) -> web.Response:
        more = '{"next": "b"}\n' if "next" not in request.query else ""
        text = f'{{"key": "k", "effect_id": "{request.query.get("next", "a")}"}}\n{more}'
        return web.Response(text=text, content_type="application/x-ndjson")

    bank.answer = lines
    assert await effects(bank.listing()) == ["a", "b"]


async def test_pages_that_go_in_a_circle_are_refused(bank: Bank) -> None:
    async def circle(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.json_response({"effects": [], "next": "again"})

    bank.answer = circle
    with pytest.raises(ListingError, match="`next` leads back"):
        await effects(bank.listing())
    assert len(bank.asked) == 2


async def test_more_than_may_be_is_refused_and_never_cut_off(bank: Bank) -> None:
    async def many(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.json_response([{"key": f"k{i}", "effect_id": "e"} for i in range(4)])

    bank.answer = many
    assert len(await effects(bank.listing(max_effects=4))) == 4
    with pytest.raises(ListingError, match="more than 3 effects in this time; raise `max_effects`"):
        await effects(bank.listing(max_effects=3))


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, TemporaryError), (429, TemporaryError), (404, PermanentError), (302, PermanentError)],
)
async def test_an_answer_that_is_none_is_an_error_of_the_house(
    bank: Bank, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    """Without the token, whatever the other side repeats."""
    token = tmp_path / "token"
    token.write_text("s3cret")

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, text=request.headers["Authorization"])

    bank.answer = refuse
    with pytest.raises(error) as caught:
        await effects(bank.listing(token_file=token))
    assert "s3cret" not in str(caught.value)


async def test_what_is_no_listing_is_named(bank: Bank) -> None:
    async def page(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.Response(text="<html>", content_type="text/html")

    bank.answer = page
    with pytest.raises(ListingError, match="listing `bank`: not JSON"):
        await effects(bank.listing())


async def test_a_server_that_hangs_is_given_up(bank: Bank) -> None:
    async def hang(request: web.Request) -> web.Response:  # noqa: ARG001
        await asyncio.Event().wait()
        raise AssertionError

    bank.answer = hang
    with pytest.raises(TemporaryError, match="no answer within"):
        await effects(bank.listing(timeout=50))


async def test_nobody_there_may_pass(bank: Bank) -> None:
    bank.url = "http://127.0.0.1:1/payments"
    with pytest.raises(TemporaryError):
        await effects(bank.listing())


async def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    """And one of the CA that the file names is taken."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    bank = Bank()
    runner = await served(bank, context)
    try:
        assert await effects(bank.listing(ca_file=authority.certificate)) == ["e1"]
        with pytest.raises(TemporaryError, match="TLS"):
            await effects(bank.listing())
    finally:
        await runner.cleanup()


async def test_a_file_is_whole_until_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "effects.json"
    path.write_text('[{"key": "k1", "effect_id": "e1"}]')
    os.utime(path, (NOW / 1000, NOW / 1000))
    listing = FileListing(path, max_effects=1)
    page = await listing.effects(SCOPE, 0, 1)
    assert (page.effects, page.until_ms) == ([effect(time_ms=None)], NOW)
    with pytest.raises(ListingError, match="more than 0 effects"):
        await FileListing(path, max_effects=0).effects(SCOPE, 0, 1)
    await listing.close()


async def test_a_file_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(TemporaryError, match="No such file"):
        await FileListing(tmp_path / "none.csv", max_effects=1).effects(SCOPE, 0, 1)
