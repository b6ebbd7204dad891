"""`lint/goes-silent`: rules that pull read a metric, and no rule says when it is gone.

Series of one source come and go together, and which do so is not in the file: one rule for the
absence of anything that the file's pulling rules read is enough for the file.
"""

from collections.abc import Iterator
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.model.labels import METRIC_NAME
from rollbackd.promql.matchers import Selector
from rollbackd.promql.outline import Form, Part
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.triggers.lints.subjects import Pack, Subject

_ABSENT: Final = frozenset({"absent", "absent_over_time"})
#: Pages come and go by nature; pinned baselines never go.
_EXEMPT: Final = ("ALERTS", "ALERTS_FOR_STATE")
_PINNED: Final = "baseline:"
_NOTHING: Final[list[str]] = []


def goes_silent(subject: Subject, pack: Pack) -> Iterator[Diagnostic]:
    """One warning a metric, at the first rule of the file that reads it."""
    if not subject.pulls or _has_rule_for_no_data(subject.file, pack):
        return
    first = _first_readers(subject.file, pack)
    for name, part in _sources(subject, pack):
        if first.get(name) is part:
            yield subject.warning(
                "lint/goes-silent",
                f"when `{name}` has no data this never fires again, and no rule of the file tells",
                part,
                fix=f"add an alert without a branch: `expr: absent({name})`",
            )


def _first_readers(file: RuleFile, pack: Pack) -> dict[str, Part]:
    first: dict[str, Part] = {}
    for subject in pack.subjects:
        if subject.file is file and subject.pulls and not subject.is_silent("lint/goes-silent"):
            for name, part in _sources(subject, pack):
                first.setdefault(name, part)
    return first


def _sources(subject: Subject, pack: Pack) -> Iterator[tuple[str, Part]]:
    """The metrics that can vanish, each with the part of the rule that reads it."""
    for part in subject.expr.walk():
        if part.name and part.selector is not None:
            for name in _origins(part.name, pack):
                if name not in _EXEMPT and not name.startswith(_PINNED):
                    yield name, part


def _origins(name: str, pack: Pack) -> list[str]:
    """The metric, or what the rules that record it read."""
    if name not in pack.records:
        return [name]
    behind = pack.of_record("origins", name, lambda r: _read_by(r, pack), none=_NOTHING)
    return sorted({origin for origins in behind for origin in origins})


def _read_by(record: Subject, pack: Pack) -> list[str]:
    names = {part.name for part in record.expr.walk() if part.name and part.selector is not None}
    return sorted({origin for name in names for origin in _origins(name, pack)})


def _has_rule_for_no_data(file: RuleFile, pack: Pack) -> bool:
    mine = [s for s in pack.subjects if s.file is file]
    read = {part.name for s in mine if s.pulls for part in s.expr.walk() if part.selector}
    read |= {name for s in mine if s.pulls for name, _ in _sources(s, pack)}
    return any(
        _names_any(part.selector, read)
        for subject in mine
        for call in subject.expr.walk()
        if call.form is Form.CALL and call.name in _ABSENT
        for part in call.walk()
        if part.selector is not None
    )


def _names_any(selector: Selector, names: set[str]) -> bool:
    conditions = [m for m in selector.matchers if m.name == METRIC_NAME]
    return bool(conditions) and any(all(m.matches(n) for m in conditions) for n in names)
