"""Reads one file as what it is, and says everything that is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rollbackd.app import configuration
from rollbackd.cli.rule_tests import read_tests, read_text
from rollbackd.cli.shapes import Shape, shape_of
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, errors_in
from rollbackd.model.policy import DecisionTree
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.settings import default_settings, load_settings


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file; `shape` is None when it could not be told."""

    path: Path
    shape: Shape | None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def good(self) -> bool:
        """Whether rollbackd would take it."""
        return not errors_in(self.diagnostics)


def inspect_shipped() -> Inspection:
    """The rules and the decision tree that come with rollbackd."""
    settings = default_settings()
    try:
        configuration.load(settings)
    except DocumentError as error:
        return Inspection(settings.rules[0], Shape.RULES, error.diagnostics)
    return Inspection(settings.rules[0], Shape.RULES)


def inspect(path: Path) -> Inspection:
    """One file; a config together with everything that it names."""
    shape = None
    try:
        text = read_text(path)
        shape = shape_of(text, file=str(path))
        _use(path, shape, text)
    except DocumentError as error:
        return Inspection(path, shape, error.diagnostics)
    return Inspection(path, shape)


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The paths themselves, and the YAML files right inside those that are folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml"})
        else:
            found.append(path)
    return found


def _use(path: Path, shape: Shape, text: str) -> None:
    """Do with the file what the daemon would. Raises DocumentError."""
    match shape:
        case Shape.CONFIG:
            configuration.load(load_settings(path))
        case Shape.RULES:
            rules = read_rule_file(text, file=str(path))
            no_tree = DecisionTree(branches={})
            configuration.build_engine([rules], no_tree, default_settings())
        case Shape.TREE:
            tree = configuration.read_tree(path)
            configuration.build_engine([], tree, default_settings())
        case Shape.TESTS:
            _, test_rules = read_tests(path)
            configuration.build_engine(test_rules, DecisionTree(branches={}), default_settings())
