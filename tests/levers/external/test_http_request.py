"""What is special about APIs that are moved by configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.documents.reader import DocumentError
from rollbackd.errors import PermanentError
from rollbackd.levers import EXTERNAL, build_levers, lever_specs
from rollbackd.levers.dry_run import DryRun
from rollbackd.levers.http_request import (
    HttpRead,
    HttpRequest,
    HttpRequestSettings,
    HttpWrite,
)
from rollbackd.levers.lever_type import LeverDefinition, Surroundings
from rollbackd.model.levers import Change, LeverKind, PlanRequest, Target
from rollbackd.ports import Controls, TargetMovedError
from rollbackd.rulefmt.lever_file import read_lever_file
from tests.levers.external.http_request_world import HttpRequestWorld
from tests.levers.external.serving import serving
from tests.levers.external.test_external_contract import at_the_move
from tests.levers.external.world import SCOPE, op

of_http = pytest.mark.parametrize("world_type", [HttpRequestWorld], indirect=True)

READ = HttpRead(path="/flags/{name}", value={"on": "/on"})
WRITE = HttpWrite(path="/flags/{name}", body={"on": "{after.on}"})
FLAG = Target(lever="flags", scope=SCOPE, name="ranker")


def settings(url: str, **more: Any) -> HttpRequestSettings:
    """A flag that is on or off."""
    given: dict[str, Any] = {"observe": READ, "move": WRITE, **more}
    return HttpRequestSettings(url=url, **given)


def lever(controls: Controls, url: str, **more: Any) -> HttpRequest:
    """It is called `flags`."""
    return HttpRequest("flags", settings(url, **more), Surroundings(controls, ManualClock()))


class Flags:
    """An API of flags, which keeps what it was asked."""

    def __init__(self, *, headers: dict[str, str] | None = None, answer: Any = None) -> None:
        self.on = True
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self._headers = headers or {}
        self._answer = answer

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.method != "GET":
            self.bodies.append(await request.json())
            self.on = self.bodies[-1].get("on", self.on)
        answer = {"on": self.on} if self._answer is None else self._answer
        return web.json_response(answer, headers=self._headers)


@of_http
async def test_who_was_faster_is_not_overwritten(world: HttpRequestWorld) -> None:
    """Between the read and the move the entity tag is what protects (412)."""
    change = await world.change()
    server = world.server
    at_the_move(world, lambda: server.put("router", {"spec": world.other, "note": ""}))
    with pytest.raises(TargetMovedError, match="answered 412"):
        await world.lever.apply(change, op())
    assert await world.held() == world.other


@of_http
async def test_the_move_says_under_which_incident(world: HttpRequestWorld) -> None:
    await world.lever.apply(await world.change(), op())
    assert world.server.resources["router"]["note"] == "INC-1: green -> blue (INC-1:1)"


@of_http
async def test_what_it_leads_to_may_have_grown(world: HttpRequestWorld) -> None:
    """And may not have shrunk, be gone or be empty."""
    change, backends = await world.change(), world.server.backends
    for up, objection in ((4, ""), (2, "up is `2` instead of `3`"), (0, "is empty: up")):
        backends["blue"] = up
        assert (await world.lever.preflight(change)).endswith(objection)
    del backends["blue"]
    assert (await world.lever.preflight(change)).endswith("leads to nothing")
    del backends["green"]
    assert (await world.lever.observe(world.target)).facts == {}


@of_http
async def test_a_reader_that_lags_is_waited_for(world: HttpRequestWorld) -> None:
    """`verify` is asked beside `observe`."""
    change = await world.change()
    seen = {"spec": {"backend": "green"}}

    async def live(_request: web.Request) -> web.Response:
        return web.json_response(seen)

    application = web.Application()
    application.router.add_get("/live", live)
    async with serving(application) as url:
        mine = world.lever
        assert isinstance(mine, HttpRequest)
        reads = HttpRead(path="/live", value={"backend": "/spec/backend"})
        other = lever(world.controls, url, observe=reads, verify=reads)
        await mine.apply(change, op())
        assert not await other.seen_by_readers(change)
        seen["spec"] = {"backend": "blue"}
        assert await other.seen_by_readers(change)
        await other.close()


@pytest.mark.parametrize(
    ("name", "on_the_wire"),
    [
        ("a/b", "/flags/a%2Fb"),
        ("../admin", "/flags/..%2Fadmin"),
        ("a'\"b", "/flags/a'%22b"),
        ("a?b=c#d", "/flags/a%3Fb=c%23d"),
        ("{after.on}{{", "/flags/%7Bafter.on%7D%7B%7B"),
        ("100%", "/flags/100%25"),
        ("a b+c", "/flags/a%20b%2Bc"),
        ("@evil.example:80", "/flags/@evil.example:80"),
    ],
)
async def test_a_name_is_one_part_of_the_path(
    controls: Controls, name: str, on_the_wire: str
) -> None:
    """However it is spelled."""
    flags = Flags()
    async with serving(flags.application()) as url:
        mine = lever(controls, url)
        await mine.observe(replace(FLAG, name=name))
        await mine.close()
    assert [request.raw_path for request in flags.asked] == [on_the_wire]


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\0b", "a\r\nX-Evil: 1"])
async def test_a_name_that_is_none_asks_for_nothing(controls: Controls, name: str) -> None:
    flags = Flags()
    async with serving(flags.application()) as url:
        mine = lever(controls, url)
        with pytest.raises(PermanentError):
            await mine.observe(replace(FLAG, name=name))
        await mine.close()
    assert flags.asked == []


async def test_a_value_in_a_body_or_query_stays_one(controls: Controls) -> None:
    """Whatever it holds; nothing of it is read as JSON or as a second parameter."""
    evil = '", "admin": true, "x": "{name}\n'
    flags = Flags()
    move = HttpWrite(
        path="/flags/{name}",
        method="POST",
        query={"why": "a&b={name}"},
        body={"to": ["{after.on}", "now: {after.on}"], "by": "{op_id}"},
    )
    async with serving(flags.application()) as url:
        mine = lever(controls, url, move=move)
        now = await mine.observe(FLAG)
        await mine.move(FLAG, now, {"on": evil}, op())
        await mine.close()
    assert flags.bodies == [{"to": [evil, f"now: {evil}"], "by": "INC-1:1"}]
    assert dict(flags.asked[-1].query) == {"why": "a&b=ranker"}


async def test_a_temporary_measure_is_taken_and_given_back(controls: Controls) -> None:
    """It goes to `wanted` without a recorded set, and back by its own request."""
    flags = Flags()
    revert = HttpWrite(path="/flags/{name}", method="POST", body={"on": "{after.on}", "undo": True})
    async with serving(flags.application()) as url:
        mine = lever(controls, url, kind="temporary", wanted={"on": False}, revert=revert)
        assert mine.kind is LeverKind.TEMPORARY
        change = await planned(mine)
        applied = await mine.apply(change, op())
        assert await mine.verify(change)
        assert await mine.revert(applied, op("INC-1:2"))
        await mine.close()
    assert flags.bodies == [{"on": False}, {"on": True, "undo": True}]
    assert [request.method for request in flags.asked if request.method != "GET"] == ["PUT", "POST"]


async def planned(mine: HttpRequest) -> Change:
    """The change without a recorded set."""
    observed = await mine.observe(FLAG)
    request = PlanRequest(target=FLAG, observed=observed, known_good=None, params={}, pins_seen={})
    after = mine.plan(request)
    assert after is not None
    change = Change(target=FLAG, before=observed, after=after)
    assert await mine.preflight(change) == ""
    return change


def test_the_tree_takes_it_where_its_settings_say(controls: Controls) -> None:
    """A temporary one may be a freeze."""
    made = settings("http://127.0.0.1", kind="temporary", wanted={"on": False})
    levers = {"flags": LeverDefinition(type="http_request", settings=made)}
    assert lever_specs(levers)["flags"].kind is LeverKind.TEMPORARY
    assert build_levers(controls, ManualClock(), levers)["flags"].kind is LeverKind.TEMPORARY
    assert EXTERNAL["http_request"].kind is LeverKind.POINTER


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
async def test_a_tag_that_cannot_be_compared_is_refused(
    controls: Controls, headers: dict[str, str]
) -> None:
    """A weak one is never equal under If-Match."""
    flags = Flags(headers=headers)
    async with serving(flags.application()) as url:
        mine = lever(controls, url, if_match=True)
        with pytest.raises(PermanentError, match="needs a strong ETag"):
            await mine.observe(FLAG)
        await mine.close()


@pytest.mark.parametrize("answer", [[], {"off": True}, "on", 7])
async def test_an_odd_answer_is_named(controls: Controls, answer: object) -> None:
    flags = Flags(answer=answer)
    async with serving(flags.application()) as url:
        mine = lever(controls, url)
        with pytest.raises(PermanentError, match=r"flags:ranker.*nothing at `/on`"):
            await mine.observe(FLAG)
        await mine.close()


async def test_a_token_goes_by_the_header_that_is_named(controls: Controls, tmp_path: Path) -> None:
    """As it is; a bearer token where none is named."""
    (tmp_path / "token").write_text("hunter2\n")
    flags = Flags()
    async with serving(flags.application()) as url:
        for header in ("Authorization", "X-API-Key"):
            file = tmp_path / "token"
            mine = lever(controls, url, token_file=file, token_header=header)
            await mine.observe(FLAG)
            await mine.close()
    sent = [(r.headers.get("Authorization"), r.headers.get("X-API-Key")) for r in flags.asked]
    assert sent == [("Bearer hunter2", None), (None, "hunter2")]


FILE = """levers:
  flags:
    type: http_request
    url: http://127.0.0.1
    observe: {path: "/flags/{name}", value: {on: /on}}
    move: {path: "/flags/{name}", body: {on: "{after.on}"}}
"""


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t: t.replace("/{name}", "/{nam}", 1), "`observe.path`: `{nam}` has no value there"),
        (lambda t: t.replace("/flags/{name}", "/flags?x={name}", 1), "is no part of a path"),
        (lambda t: t.replace("/flags/{name}", "flags", 1), "must begin with `/`"),
        (lambda t: t.replace("{on: /on}", "{on: on}"), "is no JSON pointer"),
        (lambda t: t.replace("value: {on: /on}", "value: {}"), "`observe.value` is empty"),
        (lambda t: t.replace("{after.on}", "{after.on"), "write `{{` for a brace that is none"),
        (lambda t: t.replace('{on: "{aft', '{"{name}": "{aft'), "the key `{name}` has a brace"),
        (lambda t: t + "    wanted: {off: true}\n", "`wanted` must have the names of"),
        (lambda t: t + "    kind: temporary\n", "a `temporary` lever needs `wanted`"),
        (lambda t: t + "    kind: forward\n", "`pointer`"),
        (lambda t: t + '    token_header: "X: y"\n', "is no header"),
        (lambda t: t + "    timeout: 11m\n", "`timeout` is above `10m`"),
        (lambda t: t + "    conflict_statuses: [200]\n", "400"),
        (lambda t: t + "    verify: {path: /x, value: {of: /x}}\n", "`verify.value` may have"),
        (lambda t: t.replace("move: {", "move: {method: DELETE, "), "`DELETE` is not allowed"),
        (lambda t: t.replace("move: {", "move: {metod: PUT, "), "did you mean `method`?"),
    ],
)
def test_a_mistake_is_shown_at_load(edit: Callable[[str], str], says: str) -> None:
    """The file as it is passes."""
    types = {"http_request": HttpRequestSettings}
    read_lever_file(FILE, file="levers.yaml", types=types, built_in=())
    with pytest.raises(DocumentError) as refused:
        read_lever_file(edit(FILE), file="levers.yaml", types=types, built_in=())
    assert says in str(refused.value)


def test_an_act_has_time_for_all_of_its_calls(controls: Controls) -> None:
    """Of as long as one of them may take; what stands in for it is given the same."""
    mine = lever(controls, "http://127.0.0.1", timeout=120_000)
    assert mine.act_timeout_ms == 3 * 120_000 + 2_000
    stands_in = DryRun("rehearsal", mine, Surroundings(controls, ManualClock()))
    assert stands_in.act_timeout_ms == mine.act_timeout_ms
