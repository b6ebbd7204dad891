"""Runs every lint over the rules that are loaded together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.triggers.lints.goes_silent import goes_silent
from rollbackd.triggers.lints.never_true import never_true
from rollbackd.triggers.lints.no_sample_floor import no_sample_floor
from rollbackd.triggers.lints.no_scope import no_scope
from rollbackd.triggers.lints.quantile_range import quantile_range
from rollbackd.triggers.lints.short_window import short_window
from rollbackd.triggers.lints.subjects import LintOptions, Pack, Subject, read_pack

#: A lint looks at one rule among the others and yields what it finds.
Lint = Callable[[Subject, Pack], Iterator[Diagnostic]]

_LINTS: Final[dict[DiagnosticId, Lint]] = {
    "lint/goes-silent": goes_silent,
    "lint/never-true": never_true,
    "lint/no-sample-floor": no_sample_floor,
    "lint/no-scope": no_scope,
    "lint/quantile-range": quantile_range,
    "lint/short-window": short_window,
}


def lint_rules(files: Sequence[RuleFile], options: LintOptions) -> list[Diagnostic]:
    """Every warning about these rules that no comment and no option silences."""
    pack = read_pack(files, options)
    return list(_findings(pack))


def _findings(pack: Pack) -> Iterable[Diagnostic]:
    for subject in pack.subjects:
        for id_, lint in _LINTS.items():
            if id_ not in pack.options.disabled and not subject.is_silent(id_):
                yield from lint(subject, pack)
