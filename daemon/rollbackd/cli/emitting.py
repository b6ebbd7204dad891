"""The recorded window of an incident as a rule unit test."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from rollbackd.app.configuration import rule_paths
from rollbackd.cli.failures import FailureError
from rollbackd.cli.rule_tests import read_text
from rollbackd.evidence.rule_test import NoTestError, emit_test
from rollbackd.model.incidents import Incident
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from rollbackd.settings import shipped_rules


def emit(incident: Incident, rules: Sequence[Path] | None, to: Path | None) -> None:
    """Write the test to a file, or to the standard output.

    Raises FailureError when there is none that fires, DocumentError for a wrong rule file.
    """
    paths = rule_paths(rules or [shipped_rules()])
    files = {path: read_rule_file(read_text(path), file=str(path)) for path in paths}
    named = _with_rule(incident, files)
    folder = to.parent.absolute() if to is not None else Path.cwd()
    names = [os.path.relpath(path.absolute(), folder) for path in named]
    try:
        text = emit_test(incident, [files[path] for path in named], rules=names)
    except NoTestError as error:
        raise FailureError(f"no test can be made of incident `{incident.id}`: {error}") from None
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FailureError(f"cannot write `{to}`: {error.strerror}") from None
    typer.echo(f"wrote {to}; run it with `rollbackd test {to}` or `promtool test rules {to}`")


def _with_rule(incident: Incident, files: dict[Path, RuleFile]) -> list[Path]:
    """The file that has the rule; all of them when it reads what others record."""
    rule = incident.triggers[0].rule if incident.triggers else ""
    recorded = {
        each.name: path
        for path, file in files.items()
        for group in file.groups
        for each in group.rules
    }
    metrics = {window.metric for window in incident.evidence.windows} if incident.evidence else ()
    wanted = {recorded[name] for name in (rule, *metrics) if name in recorded}
    return [path for path in files if path in wanted] or list(files)
