"""What is special about flags of Unleash."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.lever_type import close_lever
from rollbackd.levers.unleash_flag import UnleashFlagSettings
from rollbackd.model.levers import Change
from rollbackd.ports import Controls
from tests.levers.external.serving import serving
from tests.levers.external.unleash_flag_world import UnleashFlagWorld
from tests.levers.external.world import op
from tests.services.unleash import Unleash

_TOKEN = "*:*.canned-admin-token"


class TestRealServer:
    """What needs Unleash itself to be believed."""

    pytestmark: ClassVar = [pytest.mark.services, pytest.mark.timeout(60)]

    @pytest.fixture
    async def world(
        self, unleash: Unleash, tmp_path: Path, controls: Controls
    ) -> AsyncIterator[UnleashFlagWorld]:
        """A flag with its lever and its reader."""
        made = UnleashFlagWorld(tmp_path, {"unleash": unleash}, controls)
        await made.start()
        yield made
        await close_lever(made.lever)
        assert made.proxy is not None
        await made.proxy.refuse()
        await made.stop()

    async def test_strategies_come_back_with_the_flag(self, world: UnleashFlagWorld) -> None:
        """A gradual rollout that was killed and given back goes on where it was."""
        path = f"projects/default/features/{world.name}/environments/development/strategies"
        for strategy in await world.admin.call("GET", path):
            await world.admin.call("DELETE", f"{path}/{strategy['id']}")
        parameters = {"rollout": "25", "stickiness": "default", "groupId": world.name}
        rollout = {"name": "flexibleRollout", "parameters": parameters}
        await world.admin.call("POST", path, rollout)
        await world.admin.switch(world.name, enabled=True)  # it went off with its last strategy
        before = await world.admin.call("GET", path)
        applied = await world.lever.apply(await world.change(), op())
        assert await world.lever.revert(applied, op("INC-1:2"))
        assert await world.admin.enabled(world.name)
        assert await world.admin.call("GET", path) == before

    async def test_other_environments_stay(self, world: UnleashFlagWorld) -> None:
        """A kill in one is a kill in one."""
        path = f"projects/default/features/{world.name}/environments/production/on"
        await world.admin.call("POST", path)
        await world.lever.apply(await world.change(), op())
        feature = await world.admin.call("GET", f"projects/default/features/{world.name}")
        enabled = {each["name"]: each["enabled"] for each in feature["environments"]}
        assert enabled == {"development": False, "production": True}

    async def test_what_is_not_there_is_named(self, world: UnleashFlagWorld) -> None:
        """A flag that never was, a name that looks like a path, an archived flag."""
        with pytest.raises(PermanentError, match="no flag `nothing` in the project `default`"):
            await world.lever.observe(replace(world.target, name="nothing"))
        with pytest.raises(PermanentError, match="no flag"):
            await world.lever.observe(replace(world.target, name="../../../users?x=1"))
        await world.admin.call("DELETE", f"projects/default/features/{world.name}")
        with pytest.raises(PermanentError, match=r"no flag .* archived"):
            await world.lever.observe(world.target)

    async def test_a_token_that_no_reader_has_is_noticed_before(
        self, world: UnleashFlagWorld
    ) -> None:
        """After the kill it could not be verified."""
        (world.folder / "client-token").write_text((world.folder / "token").read_text())
        change = await world.change()
        objection = await world.lever.preflight(change)
        assert "answered 403" in objection
        assert world.secret not in objection

    async def test_a_token_that_may_only_read_moves_nothing(self, world: UnleashFlagWorld) -> None:
        """The error says so, without the token."""
        change = await world.change()
        (world.folder / "token").write_text("*:*.wrong")
        with pytest.raises(PermanentError, match="answered 401") as raised:
            await world.lever.apply(change, op())
        assert "wrong" not in str(raised.value)
        assert await world.held() == world.bad


FEATURE: dict[str, Any] = {
    "name": "canary",
    "environments": [{"name": "production", "enabled": True}],
}


class Canned:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.feature: Any = FEATURE
        self.told: Any = {"name": "canary", "enabled": True}
        self.moved: tuple[int, Any] = (200, FEATURE)

    def application(self) -> web.Application:
        application = web.Application()
        answer = self._answer
        application.router.add_get("/api/admin/{path:.*}", answer(lambda: (200, self.feature)))
        application.router.add_post("/api/admin/{path:.*}", answer(lambda: self.moved))
        application.router.add_get("/api/client/{path:.*}", answer(lambda: (200, self.told)))
        return application

    @staticmethod
    def _answer(what: Callable[[], tuple[int, Any]]) -> Any:
        async def handler(_: web.Request) -> web.Response:
            status, body = what()
            return web.json_response(body, status=status)

        return handler


class TestCannedAnswers:
    """What a well-behaved Unleash does not say at a test's will."""

    @pytest.fixture
    def canned(self) -> Canned:
        return Canned()

    @pytest.fixture
    async def world(
        self, canned: Canned, tmp_path: Path, controls: Controls
    ) -> AsyncIterator[UnleashFlagWorld]:
        """A lever that talks to the canned answers."""
        (tmp_path / "token").write_text(_TOKEN)
        made = UnleashFlagWorld(tmp_path, {}, controls)
        made.name = "canary"  # type: ignore[misc]  # each world has its own
        async with serving(canned.application()) as url:
            made.build(
                UnleashFlagSettings(
                    url=url,
                    token_file=tmp_path / "token",
                    client_token_file=tmp_path / "token",
                    environment="production",
                )
            )
            yield made
            await close_lever(made.lever)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ([], "Expected `object`, got `array`"),
            ({"name": "canary"}, "missing required field `environments`"),
            ({"environments": [{"name": "production", "enabled": 1}]}, r"\$\.environments"),
            (
                {"environments": [{"name": "test", "enabled": True}]},
                "no environment .* only `test`",
            ),
        ],
    )
    async def test_odd_answers_are_named(
        self, world: UnleashFlagWorld, canned: Canned, body: object, said: str
    ) -> None:
        """Never a crash, and never a guess."""
        canned.feature = body
        with pytest.raises(PermanentError, match=said):
            await world.lever.observe(world.target)

    async def test_change_requests_are_a_refusal_that_is_shown(
        self, world: UnleashFlagWorld, canned: Canned
    ) -> None:
        """As Unleash Enterprise words it, and without the token."""
        change = await world.change()
        said = f"Change requests are enabled in project for {_TOKEN}"
        canned.moved = (403, {"name": "PermissionError", "message": said})
        with pytest.raises(PermanentError, match=r"answered 403.*Change requests") as raised:
            await world.lever.apply(change, op())
        assert _TOKEN not in str(raised.value)

    @pytest.mark.parametrize(
        ("told", "error", "said"),
        [
            ({"enabled": True}, TemporaryError, "SDKs are told `enabled: true`"),
            ({"enabled": "no"}, PermanentError, "does not say whether"),
            ([], PermanentError, "something odd"),
        ],
    )
    async def test_what_readers_are_told_counts(
        self,
        world: UnleashFlagWorld,
        canned: Canned,
        told: object,
        error: type[Exception],
        said: str,
    ) -> None:
        """One that lags is waited for."""
        canned.feature = {"environments": [{"name": "production", "enabled": False}]}
        canned.told = told
        before = await world.lever.observe(world.target)
        change = Change(target=world.target, before=before, after=world.good)
        with pytest.raises(error, match=said):
            await world.lever.verify(change)


def test_a_reader_needs_its_token(tmp_path: Path) -> None:
    """And the token a safe way."""
    unleash = partial(
        UnleashFlagSettings,
        url="https://unleash.example",
        token_file=tmp_path / "token",
        environment="production",
    )
    with pytest.raises(ValueError, match="client_token_file"):
        unleash(reader_url="https://edge.example")
    with pytest.raises(ValueError, match="in the clear"):
        unleash(client_token_file=tmp_path / "token", reader_url="http://edge.example")
