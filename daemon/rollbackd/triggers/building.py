"""Rule files -> compiled rules; every mistake of every file in one error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.rulefmt.rule_files import Rule, RuleFile, RuleGroup, RuleKind
from rollbackd.rulefmt.source_text import SourceText
from rollbackd.triggers.alerting import AlertRule
from rollbackd.triggers.recording import RecordingRule
from rollbackd.triggers.templates import Template, TemplateError, parse_template

AnyRule = AlertRule | RecordingRule

#: text -> expression; raises PromqlError.
Compile = Callable[[str], CompiledExpr]


@dataclass(slots=True)
class Group:
    """Rules in order; `rules` are indexes into the list of all rules."""

    name: str
    file: str
    interval_ms: int
    rules: list[int] = field(default_factory=list)
    next_due_ms: int | None = None

    def is_due(self, now_ms: int) -> bool:
        """Whether its interval has passed, also when the clock went back."""
        due = self.next_due_ms
        return due is None or now_ms >= due or due - now_ms > self.interval_ms

    def evaluated_at(self, now_ms: int) -> None:
        """Plan the next evaluation on a multiple of the interval."""
        self.next_due_ms = (now_ms // self.interval_ms + 1) * self.interval_ms


@dataclass(slots=True)
class Built:
    """Compiled rules in the order of evaluation, and their groups."""

    rules: list[AnyRule]
    groups: list[Group]
    targets: list[CompiledExpr]


def build_rules(
    files: Sequence[RuleFile],
    *,
    targets: Sequence[str],
    interval_ms: int,
    step_ms: int,
    external_labels: Mapping[str, str],
) -> Built:
    """Compile every rule. Raises DocumentError with all that is wrong."""
    problems: list[Diagnostic] = []
    built = Built([], [], [])

    def compile_text(text: str) -> CompiledExpr:
        return compile_expr(text, step_ms=step_ms)

    for file in files:
        for source in file.groups:
            group = Group(source.name, file.file, source.interval_ms or interval_ms)
            built.groups.append(group)
            for rule in source.rules:
                made = _build(rule, source, compile_text, external_labels, problems)
                if made is not None:
                    group.rules.append(len(built.rules))
                    built.rules.append(made)
    for text in targets:
        try:
            built.targets.append(compile_text(text))
        except PromqlError as error:
            problems.append(_target_problem(text, error))
    if problems:
        raise DocumentError(problems)
    return built


def identity_of(rule: AnyRule) -> tuple[object, ...]:
    """What makes a rule the same one after a reload."""
    common = (type(rule), rule.group, rule.name, rule.expr.text)
    if isinstance(rule, AlertRule):
        return (*common, rule.id)
    return common


def _build(
    rule: Rule,
    group: RuleGroup,
    compile_text: Compile,
    external_labels: Mapping[str, str],
    problems: list[Diagnostic],
) -> AnyRule | None:
    # An empty expression was found wrong when the file was read.
    expr = _expression(rule, compile_text, problems) if rule.expr.value.strip() else None
    if rule.kind is RuleKind.RECORD:
        if expr is None:
            return None
        labels = {name: text.value for name, text in rule.labels.items()}
        return RecordingRule(
            name=rule.name, group=group.name, expr=expr, limit=group.limit, labels=labels
        )
    rule_labels = _templates(rule.labels, problems)
    annotations = _templates(rule.annotations, problems)
    if expr is None:
        return None
    return AlertRule(
        name=rule.name,
        group=group.name,
        expr=expr,
        for_ms=rule.for_ms,
        keep_firing_for_ms=rule.keep_firing_for_ms,
        limit=group.limit,
        labels=rule_labels,
        annotations=annotations,
        external_labels=external_labels,
    )


def _expression(
    rule: Rule, compile_text: Compile, problems: list[Diagnostic]
) -> CompiledExpr | None:
    try:
        return compile_text(rule.expr.value)
    except PromqlError as error:
        message = f"{rule.kind} `{rule.name}`: {error.message}"
        problems.append(rule.expr.diagnostic(error.id, message, error.start, error.end, error.fix))
        return None


def _target_problem(text: str, error: PromqlError) -> Diagnostic:
    """Targets come without their file, so the place is the one in the expression."""
    before = text[: error.start]
    line = before.count("\n") + 1
    column = error.start - (before.rfind("\n") + 1) + 1
    where = Position("exit target", line, column, error.end - error.start)
    source = text.split("\n")[line - 1]
    return Diagnostic(error.id, Severity.ERROR, error.message, where, source, error.fix)


def _templates(texts: Mapping[str, SourceText], problems: list[Diagnostic]) -> dict[str, Template]:
    compiled: dict[str, Template] = {}
    for name, text in texts.items():
        try:
            compiled[name] = parse_template(text.value)
        except TemplateError as error:
            problems.append(text.diagnostic("rule/template", str(error), error.start, error.end))
    return compiled
