"""Rule tests from a file to their results: reads the tests and the rules that they name."""

from dataclasses import dataclass
from glob import glob
from pathlib import Path

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from rollbackd.rulefmt.test_files import TestFile, read_test_file
from rollbackd.triggers.unit_tests import CaseResult, run_test_file


@dataclass(frozen=True, slots=True)
class RuleTestRun:
    """What came of one test file; with diagnostics, no case was run."""

    path: Path
    cases: tuple[CaseResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything in the file came out as it says."""
        return not self.diagnostics and all(case.passed for case in self.cases)


def run_tests(path: Path) -> RuleTestRun:
    """Run one file. Never raises: what is wrong with it is in the result."""
    try:
        tests, rules = read_tests(path)
        return RuleTestRun(path, tuple(run_test_file(tests, rules)))
    except DocumentError as error:
        return RuleTestRun(path, diagnostics=error.diagnostics)


def read_tests(path: Path) -> tuple[TestFile, list[RuleFile]]:
    """The tests, and the rules that they are about. Raises DocumentError."""
    tests = read_test_file(read_text(path), file=str(path))
    problems: list[Diagnostic] = []
    rules: list[RuleFile] = []
    for pattern in tests.rule_files:
        # Patterns are relative to the test file, as for promtool.
        found = sorted(glob(str(path.parent / pattern)))  # noqa: PTH207  # it may be absolute
        if not found:
            problems.append(_unreadable(path, f"no rule file matches `{pattern}`"))
        for name in found:
            try:
                rules.append(read_rule_file(read_text(Path(name)), file=name))
            except DocumentError as error:
                problems += error.diagnostics
    if problems:
        raise DocumentError(problems)
    return tests, rules


def read_text(path: Path) -> str:
    """A document's text. Raises DocumentError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = _unreadable(path, f"cannot read the file: {reason}")
        raise DocumentError([problem]) from None


def _unreadable(path: Path, message: str) -> Diagnostic:
    return Diagnostic("file/read", Severity.ERROR, message, Position(str(path), 1, 1))
