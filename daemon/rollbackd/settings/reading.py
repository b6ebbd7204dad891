"""Reading the config file: every problem at once, with its position.

A secret is never written in the file: it is named by a file that holds it. `${credentials:NAME}`
in a path is systemd's `$CREDENTIALS_DIRECTORY/NAME`.
"""

import stat
from importlib import resources
from pathlib import Path
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity, errors_in
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.settings.consistency import check_consistency
from rollbackd.settings.detectors import DetectorSettings
from rollbackd.settings.engine_section import (
    read_clock,
    read_engine,
    read_lints,
    read_scope_labels,
)
from rollbackd.settings.formats import FormatSettings
from rollbackd.settings.http_section import read_http
from rollbackd.settings.kafka_section import read_kafka
from rollbackd.settings.mappings import check_mappings
from rollbackd.settings.notifications import NotificationSettings
from rollbackd.settings.pins import PinSettings
from rollbackd.settings.receivers import read_notifications
from rollbackd.settings.reconciliation import ReconciliationSettings
from rollbackd.settings.redis_section import read_redis
from rollbackd.settings.scalars import path_of
from rollbackd.settings.scoring import ScoringSettings
from rollbackd.settings.structs import read_struct
from rollbackd.settings.values import (
    Backend,
    ClockSettings,
    EngineSettings,
    HttpSettings,
    LintSettings,
    ScopeLabels,
    Settings,
)

#: The top-level keys of a config file.
CONFIG_KEYS: Final = (
    "state_dir", "pause_file", "http", "store", "controls", "redis", "kafka", "mappings", "rules",
    "decision_tree", "levers", "scope_labels", "engine", "lints", "clock", "notifications",
    "reconciliation", "pins", "detectors", "scoring", "formats", "log_level",
)  # fmt: skip


def shipped_rules() -> Path:
    """The folder of the rule pack: inside the wheel, or the source tree's `rules/`."""
    packaged = Path(str(resources.files("rollbackd"))) / "_rules"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "rules"


def load_settings(path: Path) -> Settings:
    """Read and check a config file. Raises DocumentError with every problem and its position.

    Relative paths are relative to the config file's folder.
    """
    settings, diagnostics = survey_settings(path)
    if errors_in(diagnostics):
        raise DocumentError(diagnostics)
    return settings


def survey_settings(path: Path) -> tuple[Settings, list[Diagnostic]]:
    """What can be read of a config file, and all that is wrong with it.

    Raises DocumentError when it cannot be read at all, or is not YAML.
    """
    text = _read_config(path)
    document = Document(str(path), text)
    root = compose(text, file=str(path))
    settings = default_settings(path)
    keys: dict[str, Position] = {}
    if root is not None:
        reader = Reader(document, root)
        settings, keys = _settings(reader, path), reader.key_positions()
    check_consistency(document, settings, keys)
    check_mappings(document, settings, keys, shipped_rules() / "mappings")
    return settings, document.diagnostics


def default_settings(path: Path = Path()) -> Settings:
    """What an empty config file means: SQLite, loopback, the shipped rules."""
    rules = shipped_rules()
    return Settings(rules=[rules], decision_tree=rules / "decision-tree.yaml", path=path)


def _read_config(path: Path) -> str:
    where = Position(str(path), 1, 1)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
        raise DocumentError([Diagnostic("file/read", Severity.ERROR, message, where)]) from None
    except UnicodeDecodeError as error:
        message = f"cannot read the file: byte {error.start} is not UTF-8"
        raise DocumentError([Diagnostic("file/read", Severity.ERROR, message, where)]) from None
    if mode & stat.S_IWOTH:
        raise DocumentError(
            [
                Diagnostic(
                    "config/world-writable",
                    Severity.ERROR,
                    "everybody can write this file",
                    where,
                    fix=f"chmod o-w {path}",
                )
            ]
        )
    return text


def _settings(reader: Reader, path: Path) -> Settings:
    folder = path.parent
    default = default_settings(path)
    f = reader.fields(CONFIG_KEYS)
    store = f.read("store", _backend, Backend.SQLITE)
    return Settings(
        state_dir=f.read("state_dir", lambda r: path_of(r, folder), default.state_dir),
        pause_file=f.read("pause_file", lambda r: path_of(r, folder), None),
        http=f.read("http", lambda r: read_http(r, folder), HttpSettings()),
        store=store,
        controls=f.read("controls", _backend, store),
        redis=f.read("redis", lambda r: read_redis(r, folder), None),
        kafka=f.read("kafka", lambda r: read_kafka(r, folder), None),
        mappings=f.read("mappings", lambda r: [path_of(i, folder) for i in r.items()], []),
        rules=f.read("rules", lambda r: [path_of(i, folder) for i in r.items()], default.rules),
        decision_tree=f.read("decision_tree", lambda r: path_of(r, folder), default.decision_tree),
        levers=f.read("levers", lambda r: path_of(r, folder), None),
        scope_labels=f.read("scope_labels", read_scope_labels, ScopeLabels()),
        engine=f.read("engine", read_engine, EngineSettings()),
        lints=f.read("lints", read_lints, LintSettings()),
        clock=f.read("clock", read_clock, ClockSettings()),
        notifications=f.read(
            "notifications", lambda r: read_notifications(r, folder), NotificationSettings()
        ),
        pins=f.read("pins", lambda r: read_struct(r, PinSettings, folder), None) or PinSettings(),
        detectors=f.read("detectors", lambda r: read_struct(r, DetectorSettings, folder), None)
        or DetectorSettings(),
        scoring=f.read("scoring", lambda r: read_struct(r, ScoringSettings, folder), None),
        formats=f.read("formats", lambda r: read_struct(r, FormatSettings, folder), None)
        or FormatSettings(),
        reconciliation=f.read(
            "reconciliation",
            lambda r: read_struct(r, ReconciliationSettings, folder) or default.reconciliation,
            default.reconciliation,
        ),
        log_level=f.read(
            "log_level", lambda r: r.choice(("debug", "info", "warning", "error"), "info"), "info"
        ),
        path=path,
    )


def _backend(reader: Reader) -> Backend:
    return Backend(reader.choice([b.value for b in Backend], Backend.SQLITE))
