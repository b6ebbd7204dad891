"""Short ways to an engine in tests."""

import textwrap

from rollbackd.model.events import Alert, AlertStatus, Sample
from rollbackd.model.labels import Labels, labels_of
from rollbackd.model.triggers import Trigger
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from rollbackd.triggers.engine import Engine

T0 = 1_700_000_010_000


def rule_file(rules: str, *, group: str = "name: g") -> RuleFile:
    """Rules of one group, written as list items."""
    body = textwrap.indent(textwrap.dedent(rules).strip(), "    ")
    text = f"groups:\n- {{{group}, rules: []}}\n" if not rules else ""
    lines = "\n".join(f"  {part.strip()}" for part in group.split(","))
    text = text or f"groups:\n-{lines[1:]}\n  rules:\n{body}\n"
    return read_rule_file(text, file="rules.yaml")


def engine_of(rules: str, *, group: str = "name: g", **options: int) -> Engine:
    """An engine with one group."""
    return Engine.build([rule_file(rules, group=group)], **options)  # type: ignore[arg-type]


def named(name: str, **labels: str) -> Labels:
    """The labels of a series."""
    return labels_of({"__name__": name, **labels})


def feed(engine: Engine, name: str, value: float, at_ms: int, **labels: str) -> None:
    """One sample."""
    engine.ingest([Sample(named(name, **labels), value, at_ms)], at_ms)


def states(transitions: list[Trigger]) -> list[tuple[str, str]]:
    """(rule, state) of each."""
    return [(t.rule, t.state.value) for t in transitions]


def page(*, resolved_ms: int | None = None, starts_ms: int = T0, **labels: str) -> Alert:
    """An alert as the webhook gives it."""
    return Alert(
        fingerprint="f",
        status=AlertStatus.FIRING if resolved_ms is None else AlertStatus.RESOLVED,
        starts_at_ms=starts_ms,
        ends_at_ms=resolved_ms,
        labels={"alertname": "Page", **labels},
    )
