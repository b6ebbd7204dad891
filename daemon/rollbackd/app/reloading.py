"""What a reload takes of the config file, and what of it waits for a restart."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from rollbackd.settings import EngineSettings, KafkaSettings, Settings

#: Sections and keys that a reload puts in force; whatever else was changed counts after a restart.
RELOADED: Final = frozenset(
    {
        "rules",
        "decision_tree",
        "levers",
        "mappings",
        "lints",
        "pins",
        "log_level",
        "engine.max_series",
        "engine.default_interval",
    }
)
#: Sections whose keys carry no unit: `stall` is `stall_ms`.
_WITHOUT_UNITS: Final = (EngineSettings, KafkaSettings)


def taken_over(in_force: Settings, read: Settings) -> Settings:
    """The settings in force, with what a reload takes of those that were read."""
    engine = replace(
        in_force.engine,
        max_series=read.engine.max_series,
        default_interval_ms=read.engine.default_interval_ms,
    )
    return replace(
        in_force,
        rules=read.rules,
        decision_tree=read.decision_tree,
        levers=read.levers,
        mappings=read.mappings,
        lints=read.lints,
        pins=read.pins,
        log_level=read.log_level,
        engine=engine,
    )


def waiting_for_restart(started: Settings, read: Settings) -> list[str]:
    """What differs and is not reloaded, as in the file: `http.port`, or a whole section.

    `started` is the file as it was when the daemon started. Values are left out: not every reader
    of a log may know them.
    """
    return [key for key in _changed(started, read) if not _is_reloaded(key)]


def _is_reloaded(key: str) -> bool:
    return key in RELOADED or key.partition(".")[0] in RELOADED


def _changed(before: Settings, after: Settings) -> list[str]:
    found: list[str] = []
    for section in msgspec.structs.fields(Settings):
        old, new = getattr(before, section.name), getattr(after, section.name)
        if section.name == "path" or old == new:
            continue
        if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
            found += [f"{section.name}.{key}" for key in _differing(old, new)]
        else:
            found.append(section.name)
    return found


def _differing(old: msgspec.Struct, new: msgspec.Struct) -> list[str]:
    without_unit = isinstance(new, _WITHOUT_UNITS)
    return [
        field.encode_name.removesuffix("_ms") if without_unit else field.encode_name
        for field in msgspec.structs.fields(type(new))
        if _of(old, field.name) != _of(new, field.name)
    ]


def _of(section: msgspec.Struct, name: str) -> Any:
    return getattr(section, name)
