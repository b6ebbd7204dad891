"""Rule files and the decision tree, read and compiled together: all of it, or nothing."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.levers import LEVERS
from rollbackd.model.policy import DecisionTree
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.rulefmt.decision_tree import read_decision_tree
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from rollbackd.rulefmt.source_text import SourceText
from rollbackd.settings import Settings
from rollbackd.triggers.engine import Engine


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator's files say, ready to run."""

    rule_files: list[RuleFile]
    tree: DecisionTree
    engine: Engine


def load(settings: Settings) -> Configuration:
    """Read every file. Raises DocumentError with every problem of all of them."""
    problems: list[Diagnostic] = []
    tree = DecisionTree(branches={})
    rule_files: list[RuleFile] = []
    try:
        tree = read_tree(settings.decision_tree)
    except DocumentError as error:
        problems += error.diagnostics
    for path in rule_paths(settings.rules):
        try:
            rule_files.append(read_rule_file(_read(path), file=str(path)))
        except DocumentError as error:
            problems += error.diagnostics
    try:
        engine = build_engine(rule_files, tree, settings)
    except DocumentError as error:
        raise DocumentError([*problems, *error.diagnostics]) from None
    problems += [] if problems else _unknown_branches(rule_files, tree)
    if problems:
        raise DocumentError(problems)
    return Configuration(rule_files=rule_files, tree=tree, engine=engine)


def build_engine(rule_files: list[RuleFile], tree: DecisionTree, settings: Settings) -> Engine:
    """An empty engine for these rules and the tree's exit targets. Raises DocumentError."""
    return Engine.build(
        rule_files,
        targets=sorted({t.value for policy in tree.branches.values() for t in policy.exit_targets}),
        lateness_ms=settings.engine.lateness_ms,
        max_series=settings.engine.max_series,
        default_interval_ms=settings.engine.default_interval_ms,
    )


def read_tree(path: Path) -> DecisionTree:
    """The decision tree of a file. Raises DocumentError."""
    return read_decision_tree(
        _read(path), file=str(path), levers=LEVERS, check_expression=expression_problems
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


def _unknown_branches(rule_files: list[RuleFile], tree: DecisionTree) -> list[Diagnostic]:
    """A rule whose branch the tree does not have would fire into nothing."""
    known = ", ".join(f"`{name}`" for name in tree.branches)
    return [
        branch.diagnostic(
            "rule/unknown-branch",
            f"rule `{rule.name}` names branch `{branch}`, which the decision tree does not have; "
            f"it has {known}",
        )
        for file in rule_files
        for group in file.groups
        for rule in group.rules
        if (branch := rule.labels.get("branch")) is not None
        and branch.value not in tree.branches
        and "{{" not in branch.value
    ]
