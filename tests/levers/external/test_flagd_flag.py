"""What is special about flags of flagd."""

import contextlib
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.flagd_flag import FlagdFlagSettings
from rollbackd.levers.lever_type import close_lever
from rollbackd.levers.replaced_file import replace_text
from rollbackd.model.levers import Change, PlanRequest
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.flagd_flag_world import FlagdFlagWorld, definition
from tests.levers.external.flagd_reader import FlagdReader
from tests.levers.external.serving import serving
from tests.levers.external.world import op
from tests.services.fixtures import FlagdFactory
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port

OFF = {"state": "ENABLED", "defaultVariant": "off", "targeting": {}}


@pytest.fixture
async def flagd(tmp_path: Path, controls: Controls) -> AsyncIterator[FlagdFlagWorld]:
    """The flag `canary` with its lever and its reader."""
    world = FlagdFlagWorld(tmp_path, {}, controls)
    await world.start()
    yield world
    await close_lever(world.lever)
    await world.stop()


async def test_the_file_comes_back_byte_for_byte(flagd: FlagdFlagWorld) -> None:
    """Targeting and variant as they were written, also when the journal was on disk meanwhile."""
    before = flagd.file.read_bytes()
    applied = await flagd.lever.apply(await flagd.change(), op())
    assert json.loads(flagd.file.read_text())["flags"]["canary"]["metadata"] == {"owner": "search"}
    assert await flagd.lever.revert(applied, op("INC-1:2"))
    assert flagd.file.read_bytes() == before


async def test_a_disabled_flag_counts_as_on(flagd: FlagdFlagWorld) -> None:
    """Applications take the default of their code for it; the kill says off, the undo disables."""
    await flagd.put({**flagd.bad, "state": "DISABLED"})
    change = await flagd.change()
    assert change.after == OFF
    assert await flagd.lever.preflight(change) == ""
    applied = await flagd.lever.apply(change, op())
    assert await flagd.lever.verify(change)
    assert await flagd.lever.revert(applied, op("INC-1:2"))
    assert (await flagd.held())["state"] == "DISABLED"


async def test_what_others_edit_in_the_same_file_stays(flagd: FlagdFlagWorld) -> None:
    """Another flag may change between the look and the act, and after it."""
    change = await flagd.change()
    text = flagd.file.read_text().replace('"s": 1', '"s": 3')
    flagd.file.write_text(text)
    applied = await flagd.lever.apply(change, op())
    flagd.file.write_text(flagd.file.read_text().replace('"l": 2', '"l": 4'))
    assert await flagd.lever.revert(applied, op("INC-1:2"))
    assert flagd.file.read_text() == text.replace('"l": 2', '"l": 4')


async def test_a_flag_that_moved_at_the_last_moment_is_left_alone(flagd: FlagdFlagWorld) -> None:
    """It is compared again under the lock, in the text that is then replaced."""
    change = await flagd.change()
    await flagd.put(flagd.other)
    with pytest.raises(TargetMovedError):
        await flagd.lever.move(flagd.target, change.before, change.after, op())
    assert await flagd.held() == flagd.other


async def test_two_writers_of_one_file_lose_nothing(flagd: FlagdFlagWorld) -> None:
    """Whoever finds the lock taken tries again on the newest text."""
    stop = threading.Event()
    written = 0

    def one_more(text: str) -> str:
        return text.replace(f'"s": {1 + written},', f'"s": {2 + written},')

    def count() -> None:
        nonlocal written
        while not stop.is_set():
            with contextlib.suppress(TemporaryError):
                replace_text(flagd.file, one_more)
                written += 1

    writer = threading.Thread(target=count)
    writer.start()
    try:
        change = await flagd.change()

        async def applied() -> bool:
            with contextlib.suppress(TemporaryError):
                return bool(await flagd.lever.apply(change, op()))
            return False

        await eventually(applied, within_seconds=10, every_seconds=0)
    finally:
        stop.set()
        writer.join()
    assert await flagd.held() == OFF
    assert written
    size = json.loads(flagd.file.read_text())["flags"]["size"]["variants"]["s"]
    assert size == 1 + written


async def planned_with(
    world: FlagdFlagWorld, params: dict[str, object]
) -> dict[str, object] | None:
    observed = await world.lever.observe(world.target)
    return world.lever.plan(
        PlanRequest(
            target=world.target, observed=observed, known_good=None, params=params, pins_seen={}
        )
    )


async def test_the_tree_may_say_which_variant_is_off(flagd: FlagdFlagWorld) -> None:
    """As long as there is such a one."""
    assert await planned_with(flagd, {"off": "on"}) == {**OFF, "defaultVariant": "on"}
    with pytest.raises(PermanentError, match="no variant `none`, only `on`, `off`"):
        await planned_with(flagd, {"off": "none"})


async def test_an_unknown_flag_is_refused(flagd: FlagdFlagWorld) -> None:
    """With the file in the message."""
    with pytest.raises(PermanentError, match=r"flags\.json: the flag definition has no flag `x`"):
        await flagd.lever.observe(replace(flagd.target, name="x"))


async def test_a_variant_that_is_not_there_is_refused(flagd: FlagdFlagWorld) -> None:
    """flagd would fail on it, and applications would take their default."""
    change = await flagd.change()
    gone = replace(change, after={**OFF, "defaultVariant": "gone"})
    assert "no variant `gone`" in await flagd.lever.preflight(gone)


class TestReader:
    """Verified at the reader, not at the writer."""

    async def test_a_reader_that_lags_is_waited_for(self, flagd: FlagdFlagWorld) -> None:
        """Also where targeting gives the off variant to whoever comes without a context."""
        change = await flagd.change()
        await flagd.lever.apply(change, op())
        for before in (flagd.bad, {**flagd.bad, "targeting": {}}):
            flagd.reader.stale = definition(before)
            with pytest.raises(TemporaryError, match="not seen it yet: flagd serves `o"):
                await flagd.lever.verify(change)
        flagd.reader.stale = None
        assert await flagd.lever.verify(change)

    async def test_a_reader_of_another_definition_is_noticed_before(
        self, flagd: FlagdFlagWorld
    ) -> None:
        """It would never see the kill."""
        change = await flagd.change()
        flagd.reader.stale = '{"flags": {}}'
        assert "not known to the flagd of `reader_url`" in await flagd.lever.preflight(change)

    async def test_a_reader_that_is_away_holds_no_kill_up(
        self, flagd: FlagdFlagWorld, tmp_path: Path
    ) -> None:
        """But it is waited for when the kill is verified."""
        flagd.build(
            FlagdFlagSettings(
                definition_file=tmp_path / "flags.json", reader_url=f"http://{HOST}:{free_port()}"
            )
        )
        change = await flagd.change()
        assert await flagd.lever.preflight(change) == ""
        await flagd.lever.apply(change, op())
        with pytest.raises(TemporaryError):
            await flagd.lever.verify(change)
        assert await flagd.held() == OFF

    async def test_an_odd_answer_is_no_crash(self, flagd: FlagdFlagWorld) -> None:
        """It says what is odd."""

        async def odd(_: web.Request) -> web.Response:
            return web.json_response({"variant": 7})

        application = web.Application()
        application.router.add_post("/{path:.*}", odd)
        await flagd.put(OFF)
        async with serving(application) as url:
            flagd.build(FlagdFlagSettings(definition_file=flagd.file, reader_url=url))
            before = await flagd.lever.observe(flagd.target)
            change = Change(target=flagd.target, before=before, after=OFF)
            with pytest.raises(PermanentError, match=r"got `int` - at `\$\.variant`"):
                await flagd.lever.verify(change)
            await close_lever(flagd.lever)


async def test_a_definition_that_is_served_over_http(flagd: FlagdFlagWorld) -> None:
    """flagd's `http:` source: any web server that serves the file is one."""
    application = web.Application()
    application.router.add_static("/", flagd.folder)
    async with serving(application) as url:

        async def polled() -> str:
            async with aiohttp.ClientSession(url) as session:
                return await (await session.get("/flags.json")).text()

        reader = FlagdReader(polled)
        async with reader.serving():
            flagd.build(FlagdFlagSettings(definition_file=flagd.file, reader_url=reader.url))
            change = await flagd.change()
            assert await flagd.lever.preflight(change) == ""
            await flagd.lever.apply(change, op())
            assert await flagd.lever.verify(change)
            await close_lever(flagd.lever)


@pytest.mark.services
async def test_a_real_flagd_serves_the_kill(
    flagd_factory: FlagdFactory, flagd: FlagdFlagWorld
) -> None:
    """Asked by its own OFREP endpoint."""
    async with flagd_factory(f"file:{flagd.file}") as server:
        flagd.build(FlagdFlagSettings(definition_file=flagd.file, reader_url=server.ofrep_url))
        change = await flagd.change()
        assert await flagd.lever.preflight(change) == ""
        await flagd.lever.apply(change, op())

        async def seen() -> bool:
            try:
                return await flagd.lever.verify(change)
            except TemporaryError:
                return False

        await eventually(seen, within_seconds=20)
        await close_lever(flagd.lever)


async def test_a_yaml_definition(flagd: FlagdFlagWorld) -> None:
    """flagd goes by the file's name, and so does the lever."""
    file = flagd.folder / "flags.yaml"
    file.write_text(
        "flags:\n  canary:  # since May\n    state: ENABLED\n"
        "    variants: {'on': true, 'off': false}\n    defaultVariant: 'on'\n"
    )
    before = file.read_bytes()
    flagd.build(FlagdFlagSettings(definition_file=file))
    applied = await flagd.lever.apply(await flagd.change(), op())
    assert file.read_bytes() == before.replace(b"Variant: 'on'", b'Variant: "off"')
    assert await flagd.lever.revert(applied, op("INC-1:2"))
    assert file.read_bytes() == before


def test_a_definition_has_a_name_that_flagd_knows(tmp_path: Path) -> None:
    """It goes by the ending."""
    with pytest.raises(ValueError, match=r"`flags\.txt` is not called"):
        FlagdFlagSettings(definition_file=tmp_path / "flags.txt")
