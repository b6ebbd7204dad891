"""A reload: what of the config file it takes, what waits for a restart, and that both are said."""

import logging
from collections.abc import AsyncIterator
from copy import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollbackd.app.daemon import Daemon
from rollbackd.app.reloading import RELOADED, taken_over, waiting_for_restart
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.model.known_good import PinRequest
from rollbackd.model.labels import Scope
from rollbackd.settings import Settings, load_settings, survey_settings

LISTENER = "http: {port: 0}\n"
REDIS = "redis: {url: redis://redis-1:6379/0}\n"
KAFKA = "kafka: {bootstrap_servers: [k:9092], topics: [{name: t}], %s}\n"


def read(folder: Path, text: str) -> Settings:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path)


@pytest.mark.parametrize(
    ("before", "after", "waiting"),
    [
        ("", "", []),
        ("", "pins: {window: 10m}\nlints: {least_intervals: 3}\nlog_level: debug\n", []),
        ("", "engine: {max_series: 5, default_interval: 30s}\n", []),
        ("", "engine: {lateness: 5s, max_series: 5, for_grace: 2s}\n", ["lateness", "for_grace"]),
        ("", "http: {port: 9999, host: '::1'}\n", ["host", "port"]),
        ("", "scoring: {mode: vectors}\n", [""]),
        ("scoring: {mode: vectors}\n", "scoring: {mode: vectors, one_in: 2}\n", ["one_in"]),
        ("scoring: {mode: vectors}\n", "", [""]),
        ("", "reconciliation: {settle: 5s, keep: {age: 1d}}\n", ["keep", "settle"]),
        (KAFKA % "stall: 1m", KAFKA % "stall: 2m, client_id: c", ["client_id", "stall"]),
        ("", "clock: {start_ms: 7}\n", ["start_ms"]),
        ("", "notifications: {public_url: 'https://x'}\n", ["public_url"]),
        ("", "detectors: {flip_propagation: 7s}\n", ["flip_propagation"]),
        ("", "state_dir: here\n", [""]),
        (REDIS, REDIS.replace("redis-1", "redis-2"), ["url"]),
    ],
)  # fmt: skip
def test_every_key_that_waits_is_named_as_in_the_file(
    tmp_path: Path, before: str, after: str, waiting: list[str]
) -> None:
    """The section alone where all of it came or went, and no value."""
    section = (after or before).partition(":")[0]
    named = [f"{section}.{key}" if key else section for key in waiting]
    assert waiting_for_restart(read(tmp_path, before), read(tmp_path, after)) == named


def sections() -> dict[str, Any]:
    """The default of each section that has keys of its own."""
    found = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    return {name: each for name, each in found.items() if isinstance(each, msgspec.Struct)}


@pytest.mark.parametrize("section", sections())
def test_no_key_is_named_that_the_file_does_not_have(tmp_path: Path, section: str) -> None:
    """Every field of a section, as a change of it would be named."""
    default = sections()[section]
    fields = msgspec.structs.fields(type(default))
    changed = copy(default)
    for field in fields:
        msgspec.structs.force_setattr(changed, field.name, object())
    before = Settings()
    after = msgspec.structs.replace(before, **{section: changed})
    keys = [key.partition(".")[2] for key in waiting_for_restart(before, after)]
    keys += [key.partition(".")[2] for key in RELOADED if key.startswith(f"{section}.")]
    path = tmp_path / "rollbackd.yaml"
    path.write_text(f"{section}:\n" + "".join(f"  {key}: null\n" for key in keys))
    _, diagnostics = survey_settings(path)
    assert [each.message for each in diagnostics if each.id == "key/unknown"] == []
    assert section in RELOADED or len(keys) == len(fields)


def test_what_waits_is_not_taken_by_halves(tmp_path: Path) -> None:
    """Rules are compiled for the settings that the other parts still have."""
    started = read(tmp_path, "engine: {lateness: 30s, max_series: 9}\n")
    text = "engine: {lateness: 5s, max_series: 7}\npins: {window: 9m}\nscoring: {mode: vectors}\n"
    taken = taken_over(started, read(tmp_path, text))
    assert (taken.engine.lateness_ms, taken.engine.max_series) == (30_000, 7)
    assert taken.pins.window_ms == 540_000
    assert taken.scoring is None


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """One that runs on a file."""
    level = logging.getLogger().level
    started = Daemon(read(tmp_path, LISTENER + f"state_dir: {tmp_path}\n"))
    await started.start()
    yield started
    await started.stop()
    logging.getLogger().setLevel(level)


def write(daemon: Daemon, text: str) -> None:
    head = LISTENER + f"state_dir: {daemon.settings.state_dir}\n"
    daemon.settings.path.write_text(head + text)


async def test_a_reload_says_in_its_log_and_answer_what_waits(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as it waits, whatever else is changed; and no longer."""
    write(daemon, "scoring: {mode: vectors}\nreconciliation: {settle: 5s}\n")
    waiting = ["reconciliation.settle", "scoring"]
    for _ in range(2):
        caplog.clear()
        assert await daemon.reload() == waiting
        said = [record for record in caplog.records if hasattr(record, "restart_needed")]
        assert [(r.levelname, getattr(r, "restart_needed", None)) for r in said] == [
            ("WARNING", waiting)
        ]
    caplog.clear()
    write(daemon, "")
    assert await daemon.reload() == []
    assert not any(hasattr(record, "restart_needed") for record in caplog.records)


async def test_pins_and_the_log_level_are_reloaded(daemon: Daemon) -> None:
    """The desk, the engine and the logs go by the new file at once."""
    desk = daemon._parts.known_good.desk
    request = PinRequest(
        scope=Scope("rag", "eu"), pins={"PROMPT_VER": "p1"}, window_ms=600_000, allow_missing=True
    )
    with pytest.raises(ValueError, match="only 5m of the series are kept"):
        await desk.record(request, by="eve")
    pins = "pins: {window: 10m, metrics: [tokens], windowed: [], ratios: []}\n"
    write(daemon, pins + "log_level: error\n")
    assert await daemon.reload() == []
    with pytest.raises(ValueError, match="samples, or too few, of `tokens` within the last 10m"):
        await desk.record(request, by="eve")
    assert daemon.engine.longest_window_ms >= 600_000
    assert logging.getLogger().level == logging.ERROR


@pytest.mark.parametrize(
    "text",
    [
        "pins: {window: never}\n",
        "pins: {window: 10m, ratios: [{name: r, of: 'sum(x)', among: x}]}\n",
        "levers: levers.yaml\npins: {window: 10m}\n",
    ],
)
async def test_a_reload_that_is_refused_changes_nothing(daemon: Daemon, text: str) -> None:
    """Whichever file it is that cannot be used."""
    before, engine = daemon.settings, daemon.engine
    (daemon.settings.path.parent / "levers.yaml").write_text("levers: {p: {type: none}}")
    write(daemon, text)
    with pytest.raises(DocumentError):
        await daemon.reload()
    assert (daemon.settings, daemon.engine) == (before, engine)
    read_metric = daemon.telemetry.registry.get_sample_value
    assert read_metric("rollbackd_config_last_reload_successful") == 0
    write(daemon, "")
    assert await daemon.reload() == []
    assert read_metric("rollbackd_config_last_reload_successful") == 1
