"""Reading `scope_labels`, `engine`, `lints` and `clock`: how rules are evaluated."""

from rollbackd.documents.catalogue import LINTS
from rollbackd.documents.reader import Reader
from rollbackd.settings.values import ClockSettings, EngineSettings, LintSettings, ScopeLabels


def read_scope_labels(reader: Reader) -> ScopeLabels:
    """The labels of a series that say whose it is."""
    f = reader.fields(("service", "region"))
    return ScopeLabels(
        service=f.read("service", Reader.string, "service"),
        region=f.read("region", Reader.string, "region"),
    )


def read_engine(reader: Reader) -> EngineSettings:
    """The `engine` section: windows, intervals, and what a restart bridges."""
    f = reader.fields(
        ("coalesce", "lateness", "max_series", "default_interval", "for_grace", "outage_tolerance")
    )
    return EngineSettings(
        coalesce_ms=f.read("coalesce", Reader.positive_duration_ms, 100),
        lateness_ms=f.read("lateness", Reader.duration_ms, 60_000),
        max_series=f.read("max_series", lambda r: r.integer(200_000, minimum=1), 200_000),
        default_interval_ms=f.read("default_interval", Reader.positive_duration_ms, 15_000),
        for_grace_ms=f.read("for_grace", Reader.duration_ms, 1_000),
        outage_tolerance_ms=f.read("outage_tolerance", Reader.duration_ms, 3_600_000),
    )


def read_lints(reader: Reader) -> LintSettings:
    """The `lints` section: what `rollbackd check` asks of rules."""
    f = reader.fields(("least_intervals", "disable"))
    known = sorted(LINTS)
    return LintSettings(
        least_intervals=f.read("least_intervals", lambda r: r.integer(2, minimum=1), 2),
        disable=f.read(
            "disable",
            lambda r: frozenset(i.choice(known) for i in r.items()),
            LintSettings().disable,
        ),
    )


def read_clock(reader: Reader) -> ClockSettings:
    """The `clock` section: another time than the machine's, for drills."""
    f = reader.fields(("speed", "start_ms"))
    return ClockSettings(
        speed=f.read("speed", Reader.number, 1.0),
        start_ms=f.read("start_ms", lambda r: r.integer(0, minimum=0), None),
    )
