"""The rules that people already run load, or are refused with a place and a reason."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.rulefmt.rule_files import RuleFile, RuleGroup, read_rule_file
from rollbackd.triggers.engine import Engine
from tests.services.availability import Component, require
from tests.services.prometheus import check_rules

PUBLIC = Path(__file__).parent / "public"
FILES = sorted(PUBLIC.glob("*.yaml"))

#: Rules that need what is refused: native histograms, and nothing else.
REFUSED = {"NativeHistogramQuantile": "histogram_count"}


def one_by_one(path: Path) -> list[RuleFile]:
    """Each rule of a file as a file of its own, so that one that is refused hides no other."""
    file = read_rule_file(path.read_text(), file=str(path))
    return [
        RuleFile(
            file=file.file,
            groups=(
                RuleGroup(
                    name=group.name,
                    interval_ms=group.interval_ms,
                    limit=group.limit,
                    rules=(rule,),
                    position=group.position,
                ),
            ),
        )
        for group in file.groups
        for rule in group.rules
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_rules_of_public_projects_load_or_are_refused_at_their_place(path: Path) -> None:
    """Only native histograms are refused, at the line of the rule that uses them."""
    refused = {}
    for file in one_by_one(path):
        rule = file.groups[0].rules[0]
        try:
            Engine.build([file])
        except DocumentError as error:
            (problem,) = error.diagnostics
            assert problem.position.file == str(path)
            assert problem.position.line >= rule.position.line
            assert REFUSED.get(rule.name, "?") in problem.source_line
            refused[rule.name] = problem
    assert set(refused) == {name for name in REFUSED if name in path.read_text()}


def test_there_are_files_of_four_projects() -> None:
    """The list is what the documentation names."""
    assert [path.stem for path in FILES] == [
        "alertmanager",
        "kubernetes",
        "node-exporter",
        "prometheus",
    ]


@pytest.mark.services
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_promtool_accepts_the_same_files(path: Path) -> None:
    """The facts are stated in valid PromQL."""
    require(Component.PROMTOOL)
    verdict = check_rules(path)
    assert verdict.returncode == 0, verdict.output
