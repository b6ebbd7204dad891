"""Prometheus rule files: text -> frozen values.

https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/ and alerting_rules/
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, errors_in
from rollbackd.documents.reader import Document, Fields, Reader
from rollbackd.documents.yaml import compose
from rollbackd.rulefmt.comments import Comments, SampleInterval, read_comments
from rollbackd.rulefmt.source_text import SourceText, locate

_METRIC_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*", re.ASCII)
_LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

_NAMES: Final = "use letters, digits and `_`, no digit in front"
_GROUP_KEYS: Final = ("name", "interval", "limit", "query_offset", "labels", "rules")
_RULE_KEYS: Final = (
    "alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations",
)  # fmt: skip
_ALERT_ONLY: Final = ("for", "keep_firing_for", "annotations")


class RuleKind(StrEnum):
    """What a rule makes of its expression."""

    #: Pending and firing instances.
    ALERT = "alert"
    #: Series.
    RECORD = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; `name` is the value of `alert` or `record`."""

    kind: RuleKind
    name: str
    expr: SourceText
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: dict[str, SourceText]
    annotations: dict[str, SourceText]
    position: Position
    #: Lints that a comment on the rule silences.
    disabled: frozenset[str] = frozenset()


_NO_RULES: Final[tuple[Rule, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated in order; `limit` 0 means none, `interval_ms` None the default."""

    name: str
    interval_ms: int | None
    limit: int
    rules: tuple[Rule, ...]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFile:
    """One file of rule groups."""

    file: str
    groups: tuple[RuleGroup, ...]
    #: Lints that a comment silences for the whole file.
    disabled: frozenset[str] = frozenset()
    intervals: tuple[SampleInterval, ...] = ()


def read_rule_file(text: str, *, file: str) -> RuleFile:
    """Read a rule file. Raises DocumentError with every problem found."""
    rules, diagnostics = survey_rule_file(text, file=file)
    if errors_in(diagnostics):
        raise DocumentError(diagnostics)
    return rules


def survey_rule_file(text: str, *, file: str) -> tuple[RuleFile, list[Diagnostic]]:
    """What can be read of a rule file, and all that is wrong with it.

    A rule without a usable expression has an empty one. Raises DocumentError when it is not YAML.
    """
    document = Document(file, text)
    root = compose(text, file=file)
    comments = read_comments(document)
    groups: tuple[RuleGroup, ...] = ()
    if root is not None:
        fields = Reader(document, root).fields(("groups",))
        groups = fields.read("groups", lambda r: _groups(document, comments, r), ())
    rules = RuleFile(
        file=file,
        groups=groups,
        disabled=comments.disabled_in_file,
        intervals=comments.intervals,
    )
    return rules, document.diagnostics


def _groups(document: Document, comments: Comments, reader: Reader) -> tuple[RuleGroup, ...]:
    groups: list[RuleGroup] = []
    seen: dict[str, Position] = {}
    for item in reader.items():
        group = _group(document, comments, item)
        if group.name in seen:
            item.problem(
                "rule/group-repeated",
                f"group `{group.name}` stands here a second time; "
                f"the first is on line {seen[group.name].line}",
                fix="give each group its own name",
            )
        seen.setdefault(group.name, group.position)
        groups.append(group)
    return tuple(groups)


def _group(document: Document, comments: Comments, reader: Reader) -> RuleGroup:
    fields = reader.fields(_GROUP_KEYS, required=("name",))
    name = fields.read("name", Reader.text_of_scalar, "")
    if not name and "name" in fields:
        reader.problem("rule/group-name", "a group needs a name")
    for key in ("query_offset", "labels"):
        if key in fields:
            message = f"`{key}` of a group is not supported"
            fields.problem(key, "rule/unsupported", message, fix=f"remove `{key}`")
    rules = fields.read("rules", lambda r: _rules(document, comments, r), _NO_RULES)
    return RuleGroup(
        name=name,
        interval_ms=fields.read("interval", Reader.duration_ms, 0) or None,
        limit=fields.read("limit", lambda r: r.integer(minimum=0), 0),
        rules=rules,
        position=reader.position,
    )


def _rules(document: Document, comments: Comments, reader: Reader) -> tuple[Rule, ...]:
    return tuple(_rule(document, comments, item) for item in reader.items())


def _rule(document: Document, comments: Comments, reader: Reader) -> Rule:
    fields = reader.fields(_RULE_KEYS, required=("expr",))
    kind = _kind(reader, fields)
    name = fields.read(kind.value, Reader.text_of_scalar, "")
    name_reader = fields.get(kind.value)
    if name_reader is not None:
        _check_name(kind, name, name_reader)
    if kind is RuleKind.RECORD:
        for key in _ALERT_ONLY:
            if key in fields:
                fields.problem(
                    key, "rule/record", f"`{key}` has no meaning in a recording rule",
                    fix=f"remove `{key}`, or write `alert:` instead of `record:`",
                )  # fmt: skip
    expr = fields.get("expr")
    if expr is not None and not expr.text_of_scalar().strip():
        expr.problem("rule/expr", "the expression is empty")
    return Rule(
        kind=kind,
        name=name,
        expr=locate(document, expr.node if expr is not None else reader.node),
        for_ms=fields.read("for", Reader.duration_ms, 0),
        keep_firing_for_ms=fields.read("keep_firing_for", Reader.duration_ms, 0),
        labels=fields.read("labels", lambda r: _labels(document, r), {}),
        annotations=fields.read("annotations", lambda r: _annotations(document, r), {}),
        position=reader.position,
        disabled=comments.disabled_for(reader.node),
    )


def _kind(reader: Reader, fields: Fields) -> RuleKind:
    if "alert" in fields and "record" in fields:
        reader.problem(
            "rule/kind", "`alert` and `record` cannot stand in one rule", fix="make it two rules"
        )
    elif "alert" not in fields and "record" not in fields:
        reader.problem("rule/kind", "a rule needs `alert` or `record`", fix="add `alert: <name>`")
    return RuleKind.RECORD if "record" in fields else RuleKind.ALERT


def _check_name(kind: RuleKind, name: str, reader: Reader) -> None:
    if not name:
        reader.problem("rule/name", f"`{kind}` needs a name")
    elif kind is RuleKind.RECORD and not _METRIC_NAME.fullmatch(name):
        guess = "braces belong in `expr`" if "{" in name else "use letters, digits, `_` and `:`"
        reader.problem("rule/name", f"`{name}` is not a metric name", fix=guess)


def _labels(document: Document, reader: Reader) -> dict[str, SourceText]:
    found: dict[str, SourceText] = {}
    keys = reader.key_positions()
    for name, value in reader.entries():
        if not _LABEL_NAME.fullmatch(name) or name == "__name__":
            document.report(keys[name], "rule/label", f"`{name}` is not a label name", fix=_NAMES)
        value.text_of_scalar()
        found[name] = locate(document, value.node)
    return found


def _annotations(document: Document, reader: Reader) -> dict[str, SourceText]:
    found: dict[str, SourceText] = {}
    keys = reader.key_positions()
    for name, value in reader.entries():
        if not _LABEL_NAME.fullmatch(name):
            message = f"`{name}` is not an annotation name"
            document.report(keys[name], "rule/annotation", message, fix=_NAMES)
        value.text_of_scalar()
        found[name] = locate(document, value.node)
    return found
