"""What the lints look at: every rule with its expression taken apart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Diagnostic, Severity
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.outline import Form, Part, outline
from rollbackd.rulefmt.rule_files import Rule, RuleFile, RuleKind

T = TypeVar("T")

BRANCH: Final = "branch"
#: Recording rules behind recording rules that are followed.
_FARTHEST: Final = 20
COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """What the lints have to know that is not in the rule files."""

    default_interval_ms: int = 15_000
    #: The label that names what is rolled back.
    service_label: str = "service"
    #: A window has to span this many sample intervals.
    least_intervals: int = 2
    #: Lints that are silent everywhere.
    disabled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """One rule whose expression can be compiled."""

    rule: Rule
    file: RuleFile
    interval_ms: int
    expr: Part

    @property
    def pulls(self) -> bool:
        """Whether it pulls a branch when it fires."""
        return self.rule.kind is RuleKind.ALERT and BRANCH in self.rule.labels

    def text_of(self, part: Part) -> str:
        """A leaf as it is written."""
        return self.rule.expr.value[part.start : part.end]

    def warning(self, id_: DiagnosticId, message: str, part: Part, *, fix: str) -> Diagnostic:
        """A warning at a part of the expression."""
        message = f"{self.rule.kind} `{self.rule.name}`: {message}"
        return self.rule.expr.diagnostic(
            id_, message, part.start, part.end, fix, severity=Severity.WARNING
        )

    def is_silent(self, id_: str) -> bool:
        """Whether a comment silences a lint for this rule."""
        return id_ in self.rule.disabled or id_ in self.file.disabled


@dataclass(frozen=True, slots=True)
class Pack:
    """The rules that are loaded together."""

    subjects: Sequence[Subject]
    #: The rules that record a metric, by its name.
    records: Mapping[str, Sequence[Subject]]
    options: LintOptions
    _known: dict[tuple[str, str], Any] = field(default_factory=dict)
    _asking: list[str] = field(default_factory=list)

    def of_record(
        self, question: str, name: str, ask: Callable[[Subject], T], *, none: T
    ) -> list[T]:
        """The answers of the rules that record a metric, each asked once.

        Recording rules may read each other in circles, by many ways and through very many hands:
        `none` stands for the answer of one that is being asked, or is too far away.
        """
        records = self.records.get(name, ())
        key = (question, name)
        if key not in self._known:
            nothing = [none for _ in records]
            if len(self._asking) >= _FARTHEST:
                return nothing
            self._known[key] = nothing
            self._asking.append(name)
            self._known[key] = [ask(record) for record in records]
            self._asking.pop()
        answers: list[T] = self._known[key]
        return answers


def read_pack(files: Iterable[RuleFile], options: LintOptions) -> Pack:
    """Take every rule apart; those that cannot be compiled are left to the errors."""
    subjects: list[Subject] = []
    records: dict[str, list[Subject]] = {}
    for file in files:
        for group in file.groups:
            interval_ms = group.interval_ms or options.default_interval_ms
            for rule in group.rules:
                expr = _outline(rule)
                if expr is None:
                    continue
                subject = Subject(rule, file, interval_ms, expr)
                subjects.append(subject)
                if rule.kind is RuleKind.RECORD:
                    records.setdefault(rule.name, []).append(subject)
    return Pack(subjects, records, options)


def is_comparison(part: Part) -> bool:
    """Whether a part compares two operands."""
    return part.form is Form.BINARY and part.name in COMPARISONS


def _outline(rule: Rule) -> Part | None:
    try:
        return outline(rule.expr.value) if rule.expr.value.strip() else None
    except PromqlError:
        return None
