"""What kind of document a file is, told by its top-level keys."""

from enum import StrEnum
from typing import Final

import yaml

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.documents.yaml import compose, position_of, source_line
from rollbackd.settings import CONFIG_KEYS


class Shape(StrEnum):
    """The kinds of documents that rollbackd reads."""

    #: `groups:` of alert and recording rules.
    RULES = "rules"
    #: `branches:` with their levers.
    TREE = "decision tree"
    #: `tests:` as promtool runs them.
    TESTS = "rule tests"
    #: `levers:` on other systems, by name.
    LEVERS = "levers"
    #: `events:` of others and what they become.
    MAPPING = "mapping"
    #: Everything that the daemon is told.
    CONFIG = "config"


#: In this order: a tree may have `groups` too.
_TELLTALE: Final = {
    Shape.TREE: frozenset({"branches", "exit_targets", "global_budget"}),
    Shape.RULES: frozenset({"groups"}),
    Shape.TESTS: frozenset({"tests", "rule_files"}),
    Shape.MAPPING: frozenset({"events"}),
    Shape.CONFIG: frozenset(CONFIG_KEYS),
}


def shape_of(text: str, *, file: str, empty: Shape | None = None) -> Shape:
    """The kind of a document; `empty` is what one without content counts as.

    Raises DocumentError when it is none of them, or not YAML.
    """
    root = compose(text, file=file)
    if root is None:
        if empty is not None:
            return empty
        raise _unknown(text, Position(file, 1, 1), "the file is empty")
    if not isinstance(root, yaml.MappingNode):
        raise _unknown(text, position_of(file, root), "the top level is not a mapping")
    keys = {str(key.value) for key, _ in root.value}
    if keys == {"levers"} and isinstance(root.value[0][1], yaml.MappingNode):
        return Shape.LEVERS
    for shape, telltale in _TELLTALE.items():
        if keys & telltale:
            return shape
    shown = ", ".join(f"`{key}`" for key in sorted(keys)[:5])
    where = position_of(file, root)
    raise _unknown(text, where, f"the top-level keys {shown} belong to no file of rollbackd")


def _unknown(text: str, where: Position, message: str) -> DocumentError:
    fix = (
        "a rule file has `groups:`, a decision tree `branches:`, a test file `tests:`, a levers "
        "file `levers:`, a mapping `events:`, and a config e.g. `http:` or `store:`"
    )
    line = source_line(text, where.line)
    return DocumentError([Diagnostic("file/shape", Severity.ERROR, message, where, line, fix)])
