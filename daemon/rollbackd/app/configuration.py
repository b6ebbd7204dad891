"""Rule files and the decision tree, read and compiled together: all of it, or nothing."""

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from rollbackd.documents.diagnostics import (
    Diagnostic,
    DocumentError,
    Position,
    Severity,
    errors_in,
)
from rollbackd.documents.reader import suggestion
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.policy import DecisionTree
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.rulefmt.decision_tree import read_decision_tree
from rollbackd.rulefmt.rule_files import RuleFile, survey_rule_file
from rollbackd.rulefmt.source_text import SourceText
from rollbackd.settings import Settings
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.lints import LintOptions, lint_rules

_NO_TREE = DecisionTree(branches={})


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator's files say, ready to run; `warnings` refuse nothing."""

    rule_files: list[RuleFile]
    tree: DecisionTree
    engine: Engine
    warnings: list[Diagnostic] = []


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read of the files, and everything that is wrong with them."""

    rule_files: list[RuleFile]
    #: None when it cannot be used.
    tree: DecisionTree | None
    #: None when any of the rules cannot be used.
    engine: Engine | None
    diagnostics: list[Diagnostic]


def load(settings: Settings) -> Configuration:
    """Read every file. Raises DocumentError with every problem of all of them."""
    found = survey(settings)
    if errors_in(found.diagnostics):
        raise DocumentError(found.diagnostics)
    assert found.engine is not None
    assert found.tree is not None
    return Configuration(
        rule_files=found.rule_files,
        tree=found.tree,
        engine=found.engine,
        warnings=found.diagnostics,
    )


def survey(settings: Settings) -> Survey:
    """Read the tree and every rule file as far as they go."""
    problems: list[Diagnostic] = []
    tree: DecisionTree | None = None
    rule_files: list[RuleFile] = []
    try:
        with_kafka = settings.kafka is not None or not settings.path.is_file()
        tree = read_tree(settings.decision_tree, with_kafka=with_kafka)
    except DocumentError as error:
        problems += error.diagnostics
    for path in rule_paths(settings.rules):
        try:
            rules, found = survey_rule_file(_read(path), file=str(path))
        except DocumentError as error:
            problems += error.diagnostics
        else:
            rule_files.append(rules)
            problems += found
    engine = None
    try:
        engine = build_engine(rule_files, tree or _NO_TREE, settings)
    except DocumentError as error:
        problems += error.diagnostics
    if tree is not None:
        problems += unknown_branches(rule_files, tree.branches)
    problems += lint(rule_files, settings)
    return Survey(rule_files=rule_files, tree=tree, engine=engine, diagnostics=problems)


def lint(rule_files: list[RuleFile], settings: Settings) -> list[Diagnostic]:
    """Warnings about rules that would be taken."""
    options = LintOptions(
        default_interval_ms=settings.engine.default_interval_ms,
        service_label=settings.scope_labels.service,
        least_intervals=settings.lints.least_intervals,
        disabled=settings.lints.disable,
    )
    return lint_rules(rule_files, options)


def build_engine(rule_files: list[RuleFile], tree: DecisionTree, settings: Settings) -> Engine:
    """An empty engine for these rules and the tree's exit targets. Raises DocumentError."""
    return Engine.build(
        rule_files,
        targets=sorted({t.value for policy in tree.branches.values() for t in policy.exit_targets}),
        lateness_ms=settings.engine.lateness_ms,
        max_series=settings.engine.max_series,
        default_interval_ms=settings.engine.default_interval_ms,
    )


def read_tree(path: Path, *, with_kafka: bool = True) -> DecisionTree:
    """The decision tree of a file; without a config its Kafka is unknown. Raises DocumentError."""
    return read_decision_tree(
        _read(path),
        file=str(path),
        levers=LEVER_SPECS,
        check_expression=expression_problems,
        with_kafka=with_kafka,
    )


def expression_problems(text: SourceText) -> list[Diagnostic]:
    """What is wrong with an expression, at its place in the file."""
    try:
        compile_expr(text.value)
    except PromqlError as error:
        return [text.diagnostic(error.id, error.message, error.start, error.end, error.fix)]
    return []


def rule_paths(paths: Iterable[Path]) -> list[Path]:
    """Rule files, and the `*.yaml` and `*.yml` of folders, without the decision tree."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
            found += [f for f in files if f.stem != "decision-tree"]
        else:
            found.append(path)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DocumentError(
            [
                Diagnostic(
                    "file/read",
                    Severity.ERROR,
                    f"cannot read the file: {reason}",
                    Position(str(path), 1, 1),
                )
            ]
        ) from None


def unknown_branches(rule_files: list[RuleFile], branches: Collection[str]) -> list[Diagnostic]:
    """A rule whose branch the tree does not have would fire into nothing."""
    known = ", ".join(f"`{name}`" for name in branches)
    return [
        branch.diagnostic(
            "rule/unknown-branch",
            f"rule `{rule.name}` names branch `{branch}`, which the decision tree does not have; "
            f"it has {known}",
            fix=suggestion(branch.value, branches),
        )
        for file in rule_files
        for group in file.groups
        for rule in group.rules
        if (branch := rule.labels.get("branch")) is not None
        and branch.value not in branches
        and "{{" not in branch.value
    ]
