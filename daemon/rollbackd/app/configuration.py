"""Rule files and the decision tree, read and compiled together: all of it, or nothing."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from rollbackd.app.mappings import survey_mappings
from rollbackd.app.pinning.measuring import kept_series, unmeasurable
from rollbackd.documents.diagnostics import (
    Diagnostic,
    DocumentError,
    Position,
    Severity,
    errors_in,
)
from rollbackd.documents.reader import suggestion
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.levers import BUILT_IN, LEVERS, lever_specs
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.policy import DecisionTree
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.rulefmt.decision_tree import survey_decision_tree
from rollbackd.rulefmt.freeze_probes import ANYBODY, Askable
from rollbackd.rulefmt.lever_file import read_lever_file
from rollbackd.rulefmt.rule_files import RuleFile, survey_rule_file
from rollbackd.rulefmt.source_text import SourceText
from rollbackd.settings import Backend, PinSettings, Settings, shipped_rules
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.lints import LintOptions, lint_rules

_NO_TREE = DecisionTree(branches={})


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator's files say, ready to run; `warnings` refuse nothing."""

    rule_files: list[RuleFile]
    tree: DecisionTree
    engine: Engine
    levers: dict[str, LeverDefinition] = {}
    #: The mappings, by name.
    mappings: dict[str, FieldMapping] = {}
    #: How known good sets are measured and recorded.
    pins: PinSettings = PinSettings()
    warnings: list[Diagnostic] = []


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read of the files, and everything that is wrong with them."""

    rule_files: list[RuleFile]
    #: None when it cannot be used.
    tree: DecisionTree | None
    #: None when any of the rules cannot be used.
    engine: Engine | None
    diagnostics: list[Diagnostic]
    levers: dict[str, LeverDefinition] = {}
    mappings: dict[str, FieldMapping] = {}


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
        levers=found.levers,
        mappings=found.mappings,
        pins=settings.pins,
        warnings=found.diagnostics,
    )


def survey(settings: Settings) -> Survey:
    """Read the tree and every rule file as far as they go."""
    problems: list[Diagnostic] = []
    tree: DecisionTree | None = None
    rule_files: list[RuleFile] = []
    levers: dict[str, LeverDefinition] | None = {}
    try:
        levers = read_levers(settings.levers)
    except DocumentError as error:
        problems += error.diagnostics
        levers = None
    try:
        if levers is not None:
            # otherwise every lever of that file would be held against the tree
            tree, found = survey_tree(
                settings.decision_tree, askable=_askable(settings), levers=levers
            )
            problems += found
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
        problems += idle_kafka(settings, tree)
    problems += lint(rule_files, settings)
    problems += unmeasurable(settings.pins, str(settings.path))
    mappings, found_in_mappings = survey_mappings(settings)
    problems += found_in_mappings
    return Survey(
        rule_files=rule_files,
        tree=tree,
        engine=engine,
        diagnostics=problems,
        levers=levers or {},
        mappings=mappings,
    )


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
        targets=sorted(
            {t.value for policy in tree.branches.values() for t in policy.exit_targets}
            | set(kept_series(settings.pins))
        ),
        lateness_ms=settings.engine.lateness_ms,
        max_series=settings.engine.max_series,
        default_interval_ms=settings.engine.default_interval_ms,
    )


def read_levers(path: Path | None) -> dict[str, LeverDefinition]:
    """The levers of a levers file, by name. Raises DocumentError."""
    if path is None:
        return {}
    types = {name: lever.Settings for name, lever in LEVERS.items() if lever.Settings is not None}
    found = read_lever_file(_read(path), file=str(path), types=types, built_in=BUILT_IN)
    return {
        name: LeverDefinition(type=type_, settings=settings)
        for name, (type_, settings) in found.items()
    }


def _askable(settings: Settings) -> Askable:
    """Whom branches can ask; without a file the settings are defaults that nobody has chosen."""
    if not settings.path.is_file():
        return ANYBODY
    # The shipped tree compares where something is listed; nobody chose that to have it compared.
    shipped = settings.decision_tree.is_relative_to(shipped_rules())
    return Askable(
        kafka=settings.kafka is not None,
        guards=settings.controls is Backend.REDIS,
        listings=shipped or bool(settings.reconciliation.listings),
    )


def read_tree(
    path: Path,
    *,
    askable: Askable = ANYBODY,
    levers: Mapping[str, LeverDefinition] = MappingProxyType({}),
) -> DecisionTree:
    """The decision tree of a file. Raises DocumentError."""
    tree, _ = survey_tree(path, askable=askable, levers=levers)
    return tree


def survey_tree(
    path: Path,
    *,
    askable: Askable = ANYBODY,
    levers: Mapping[str, LeverDefinition] = MappingProxyType({}),
) -> tuple[DecisionTree, list[Diagnostic]]:
    """The decision tree of a file, and warnings about it. Raises DocumentError."""
    return survey_decision_tree(
        _read(path),
        file=str(path),
        levers=lever_specs(levers),
        check_expression=expression_problems,
        askable=askable,
    )


def expression_problems(text: SourceText) -> list[Diagnostic]:
    """What is wrong with an expression, at its place in the file."""
    try:
        compile_expr(text.value)
    except PromqlError as error:
        return [text.diagnostic(error.id, error.message, error.start, error.end, error.fix)]
    return []


def rule_paths(paths: Iterable[Path]) -> list[Path]:
    """Rule files, and the `*.yaml` and `*.yml` of folders, but for tree and levers."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
            found += [f for f in files if f.stem not in {"decision-tree", "levers"}]
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


def idle_kafka(settings: Settings, tree: DecisionTree) -> list[Diagnostic]:
    """A warning about brokers that nothing is read from, written to or asked of."""
    kafka = settings.kafka
    if kafka is None or kafka.topics or settings.notifications.cloudevents is not None:
        return []
    freezes = [branch.freeze for branch in tree.branches.values() if branch.freeze is not None]
    if any(probe.kind == "consumers" for freeze in freezes for probe in freeze.confirm):
        return []
    return [
        Diagnostic(
            "config/no-topics",
            Severity.WARNING,
            "`kafka` names brokers and no topic: no event comes from there",
            Position(str(settings.path), 1, 1),
            fix="add what to read, e.g. `topics: [{name: events}]`, or remove `kafka:`",
        )
    ]


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
