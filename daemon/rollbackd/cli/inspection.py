"""Reads one file as what it is, and says everything that is wrong with it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as changed

from rollbackd.app import configuration
from rollbackd.cli.rule_tests import read_tests, read_text
from rollbackd.cli.shapes import Shape, shape_of
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, errors_in
from rollbackd.events.mapping.reading import read_mapping
from rollbackd.model.policy import DecisionTree
from rollbackd.rulefmt.rule_files import RuleFile, survey_rule_file
from rollbackd.settings import Settings, default_settings, survey_settings

_NO_TREE = DecisionTree(branches={})


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file; `shape` is None when it could not be told."""

    path: Path
    shape: Shape | None
    diagnostics: tuple[Diagnostic, ...] = ()
    #: What a rule file holds, and what a decision tree holds.
    rules: RuleFile | None = None
    branches: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether rollbackd would take it."""
        return not errors_in(self.diagnostics)


def inspect_shipped() -> Inspection:
    """The rules and the decision tree that come with rollbackd."""
    settings = default_settings()
    found = configuration.survey(settings).diagnostics
    return Inspection(settings.rules[0], Shape.RULES, tuple(found))


def inspect_all(paths: Iterable[Path]) -> list[Inspection]:
    """Every file, and rule files against the decision trees beside them.

    A problem that several files lead to is told once, with the first of them.
    """
    named = list(paths)
    files = files_in(named)
    # An empty config is a valid one; in a folder, or beside others, an empty file lost its text.
    empty = Shape.CONFIG if files == named and len(files) == 1 else None
    found = [inspect(path, empty=empty) for path in files]
    branches = [branch for inspection in found for branch in inspection.branches]
    if branches:
        found = [_with_branches(inspection, branches) for inspection in found]
    return list(_told_once(found))


def inspect(path: Path, *, empty: Shape | None = None) -> Inspection:
    """One file; a config together with everything that it names. `empty` is as of `shape_of`."""
    shape = None
    try:
        text = read_text(path)
        shape = shape_of(text, file=str(path), empty=empty)
        match shape:
            case Shape.CONFIG:
                return Inspection(path, shape, tuple(_of_config(path)))
            case Shape.RULES:
                return _of_rules(path, text)
            case Shape.TREE:
                beside = path.parent / "levers.yaml"
                levers = configuration.read_levers(beside if beside.is_file() else None)
                tree = configuration.read_tree(path, levers=levers)
                return Inspection(path, shape, branches=tuple(tree.branches))
            case Shape.LEVERS:
                configuration.read_levers(path)
                return Inspection(path, shape)
            case Shape.MAPPING:
                read_mapping(text, file=str(path))
                return Inspection(path, shape)
            case Shape.TESTS:
                return Inspection(path, shape, tuple(_of_tests(path)))
    except DocumentError as error:
        return Inspection(path, shape, error.diagnostics)


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The paths themselves, and the YAML files right inside those that are folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml"})
        else:
            found.append(path)
    return found


def _of_config(path: Path) -> list[Diagnostic]:
    settings, problems = survey_settings(path)
    # What is not there was reported where the config names it.
    settings = changed(
        settings,
        rules=[rules for rules in settings.rules if rules.exists()],
        mappings=[mapping for mapping in settings.mappings if mapping.exists()],
    )
    found = configuration.survey(settings).diagnostics
    named = [settings.decision_tree, *([settings.levers] if settings.levers else [])]
    missing = {str(path) for path in named if not path.exists()}
    found = [d for d in found if d.position.file not in missing]
    return problems + found


def _of_rules(path: Path, text: str) -> Inspection:
    settings = default_settings()
    rules, problems = survey_rule_file(text, file=str(path))
    problems += _problems_of_expressions([rules], settings)
    problems += configuration.lint([rules], settings)
    return Inspection(path, Shape.RULES, tuple(problems), rules=rules)


def _of_tests(path: Path) -> list[Diagnostic]:
    tests, rules = read_tests(path)
    problems = _problems_of_expressions(rules, default_settings())
    for test in tests.tests:
        for case in test.expr_tests:
            problems += configuration.expression_problems(case.expr)
    return problems


def _problems_of_expressions(rules: list[RuleFile], settings: Settings) -> list[Diagnostic]:
    try:
        configuration.build_engine(rules, _NO_TREE, settings)
    except DocumentError as error:
        return list(error.diagnostics)
    return []


def _with_branches(inspection: Inspection, branches: list[str]) -> Inspection:
    if inspection.rules is None:
        return inspection
    problems = configuration.unknown_branches([inspection.rules], branches)
    return replace(inspection, diagnostics=(*inspection.diagnostics, *problems))


def _told_once(inspections: Iterable[Inspection]) -> Iterator[Inspection]:
    told: set[Diagnostic] = set()
    for inspection in inspections:
        fresh = tuple(d for d in inspection.diagnostics if d not in told)
        told.update(fresh)
        yield replace(inspection, diagnostics=fresh)
