"""`decision-tree.yaml` -> DecisionTree, with every problem at its position."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.documents.diagnostics import Diagnostic, Position, Severity
from rollbackd.documents.reader import Document, Fields, Reader
from rollbackd.documents.yaml import compose
from rollbackd.model.levers import LeverKind, LeverSpec
from rollbackd.model.policy import (
    REQUIRED,
    WHERE_LISTED,
    BranchPolicy,
    DecisionTree,
    ExitTarget,
    LeverCall,
)
from rollbackd.rulefmt.freeze_probes import ANYBODY, Askable, read_probes
from rollbackd.rulefmt.guard_settings import (
    BRANCH_KEYS,
    TREE_KEYS,
    read_branch_limits,
    read_tree_limits,
)
from rollbackd.rulefmt.source_text import SourceText, locate
from rollbackd.settings.structs import read_struct

_DEFAULTS: Final = (
    "mode",
    "hold",
    "first_green",
    "watch_interval",
    "max_freeze",
    *BRANCH_KEYS,
)
_BRANCH: Final = (
    *_DEFAULTS,
    "freeze",
    "throttle_first",
    "levers",
    "rotate",
    "throttle",
    "targets",
    "needs_known_good",
    "reconcile",
    "shares_symptoms_with",
)


_RECONCILE: Final = (REQUIRED, WHERE_LISTED, "off")
#: What comes of each word where no listing is configured.
_WITHOUT_LISTING: Final = {
    REQUIRED: "wants receipts compared, and the config names no listing: each of its incidents"
    " keeps writers frozen and asks a person",
    WHERE_LISTED: "compares receipts where there is a listing, and the config names none: writers"
    " are let go without a comparison",
}

#: What is wrong with an expression, at its place.
ExpressionCheck = Callable[[SourceText], list[Diagnostic]]


def read_decision_tree(
    text: str,
    *,
    file: str,
    levers: Mapping[str, LeverSpec],
    check_expression: ExpressionCheck,
    askable: Askable = ANYBODY,
) -> DecisionTree:
    """As `survey_decision_tree`, without the warnings."""
    tree, _ = survey_decision_tree(
        text, file=file, levers=levers, check_expression=check_expression, askable=askable
    )
    return tree


def survey_decision_tree(
    text: str,
    *,
    file: str,
    levers: Mapping[str, LeverSpec],
    check_expression: ExpressionCheck,
    askable: Askable = ANYBODY,
) -> tuple[DecisionTree, list[Diagnostic]]:
    """Read and check a tree, with warnings; `levers` are those that the daemon has, by name.

    `check_expression` is asked about each exit target, and `askable` says whom the probes of
    a freeze and a reconciliation can ask. Raises DocumentError with every problem.
    """
    document = Document(file, text)
    root = compose(text, file=file)
    tree = DecisionTree(branches={})
    if root is not None:
        tree = _TreeReader(document, levers, check_expression, askable).read(Reader(document, root))
    else:
        document.report(Position(file, 1, 1), "tree/no-branch", "the file is empty")
    document.raise_errors()
    return tree, document.diagnostics


class _TreeReader:
    def __init__(
        self,
        document: Document,
        levers: Mapping[str, LeverSpec],
        check_expression: ExpressionCheck,
        askable: Askable,
    ) -> None:
        self._document = document
        self._askable = askable
        self._check_expression = check_expression
        self._levers = levers
        self._sharing: dict[str, Reader] = {}

    def read(self, root: Reader) -> DecisionTree:
        f = root.fields(
            (*TREE_KEYS, "defaults", "exit_targets", "branches"),
            required=("exit_targets", "branches"),
        )
        defaults = BranchPolicy(branch="", priority=0)
        defaults_reader = f.get("defaults")
        if defaults_reader is not None:
            defaults = self._common(defaults_reader.fields(_DEFAULTS), defaults)
        no_targets: dict[str, ExitTarget] = {}
        targets = f.read("exit_targets", self._targets, no_targets)
        branches: dict[str, BranchPolicy] = {}
        branches_reader = f.get("branches")
        if branches_reader is not None:
            for priority, (name, reader) in enumerate(branches_reader.entries()):
                base = msgspec.structs.replace(defaults, branch=name, priority=priority)
                branches[name] = self._branch(reader, base, targets)
            if not branches:
                branches_reader.problem("tree/no-branch", "`branches` is empty")
            branches = self._with_shared_symptoms(branches)
        return read_tree_limits(f, DecisionTree(branches=branches))

    def _common(self, f: Fields, base: BranchPolicy) -> BranchPolicy:
        def duration(key: str, default: int) -> int:
            return f.read(key, lambda r: r.positive_duration_ms(default), default)

        policy = msgspec.structs.replace(
            base,
            mode=f.read("mode", lambda r: r.choice(("act", "observe"), "act"), base.mode),
            hold_ms=duration("hold", base.hold_ms),
            first_green_ms=duration("first_green", base.first_green_ms),
            watch_interval_ms=duration("watch_interval", base.watch_interval_ms),
            max_freeze_ms=duration("max_freeze", base.max_freeze_ms),
        )
        return read_branch_limits(f, policy)

    def _branch(
        self, reader: Reader, base: BranchPolicy, targets: dict[str, ExitTarget]
    ) -> BranchPolicy:
        f = reader.fields(_BRANCH, required=("targets",))
        sharing = f.get("shares_symptoms_with")
        if sharing is not None:
            self._sharing[base.branch] = sharing
        policy = msgspec.structs.replace(
            self._common(f, base),
            freeze=self._freeze(f),
            throttle_first=f.read("throttle_first", Reader.boolean, default=False),
            levers=self._calls(f, "levers", LeverKind.POINTER),
            rotate=self._optional_call(f, "rotate", LeverKind.FORWARD),
            throttle=self._calls(f, "throttle", LeverKind.TEMPORARY),
            exit_targets=self._chosen(f.get("targets"), targets),
            needs_known_good=f.read("needs_known_good", Reader.boolean, default=True),
            reconcile=f.read("reconcile", lambda r: self._reconcile(r, base), base.reconcile),
        )
        if policy.levers and policy.rotate is None:
            reader.problem(
                "tree/no-rotation",
                f"branch `{policy.branch}` moves a pointer but rotates no cache",
                fix="add `rotate: {lever: cache_rotate}`",
            )
        if not (policy.freeze or policy.levers or policy.throttle):
            reader.problem("tree/no-lever", f"branch `{policy.branch}` pulls no lever")
        return policy

    def _reconcile(self, reader: Reader, base: BranchPolicy) -> str:
        word = reader.choice(_RECONCILE, "off")
        if word in _WITHOUT_LISTING and not self._askable.listings:
            self._document.report(
                reader.position,
                "tree/no-listing",
                f"branch `{base.branch}` {_WITHOUT_LISTING[word]}",
                fix="add `listings` to `reconciliation:` in the config, or say `reconcile: off`",
                severity=Severity.WARNING,
            )
        return word

    def _calls(self, f: Fields, key: str, kind: LeverKind) -> list[LeverCall]:
        reader = f.get(key)
        return [] if reader is None else [self._call(item, kind) for item in reader.items()]

    def _optional_call(self, f: Fields, key: str, kind: LeverKind) -> LeverCall | None:
        reader = f.get(key)
        return None if reader is None else self._call(reader, kind)

    def _freeze(self, f: Fields) -> LeverCall | None:
        reader = f.get("freeze")
        return (
            None if reader is None else self._call(reader, LeverKind.TEMPORARY, more=("confirm",))
        )

    def _call(self, reader: Reader, kind: LeverKind, *, more: tuple[str, ...] = ()) -> LeverCall:
        """A lever where it belongs: a freeze has to be one that can be given back, and so on."""
        f = reader.fields(("lever", "name", "params", "reverts", *more), required=("lever",))
        fitting = sorted(name for name, spec in self._levers.items() if spec.kind is kind)
        lever = f.read("lever", lambda r: r.choice(fitting), "")
        params = f.get("params")
        plain = params.plain() if params is not None else {}
        if params is not None and lever:
            read_struct(params, self._levers[lever].params, Path())
        name = f.read("name", Reader.string, "")
        if lever and self._levers[lever].named and not name:
            reader.problem(
                "tree/no-name",
                f"lever `{lever}` moves one of several; this does not say which",
                fix="add `name: NAME`",
            )
        return LeverCall(
            lever=lever,
            name=name,
            params=plain if isinstance(plain, dict) else {},
            reverts=f.read("reverts", Reader.string_list, []),
            confirm=f.read("confirm", lambda r: read_probes(r, self._askable), []),
        )

    def _with_shared_symptoms(self, branches: dict[str, BranchPolicy]) -> dict[str, BranchPolicy]:
        """Each branch with those that it shares its symptoms with, whole."""
        linked = dict(branches)
        for name, reader in self._sharing.items():
            others = [other for other in branches if other != name]
            if not others:
                reader.problem("value/choice", "there is no other branch to share symptoms with")
                continue
            rivals = [branches.get(item.choice(others)) for item in reader.items()]
            shared = [rival for rival in rivals if rival is not None]
            linked[name] = msgspec.structs.replace(branches[name], shares_symptoms_with=shared)
        return linked

    def _targets(self, reader: Reader) -> dict[str, ExitTarget]:
        found: dict[str, ExitTarget] = {}
        for item in reader.items():
            f = item.fields(("name", "value", "below", "above"), required=("name", "value"))
            target = ExitTarget(
                name=f.read("name", Reader.string, ""),
                value=f.read("value", self._expression, ""),
                below=f.read("below", Reader.number, None),
                above=f.read("above", Reader.number, None),
            )
            if (target.below is None) == (target.above is None):
                item.problem(
                    "tree/target-bound",
                    f"exit target `{target.name}` needs exactly one of `below` and `above`",
                )
                continue
            if target.name in found:
                item.problem("tree/target-name", f"exit target `{target.name}` stands here twice")
            found[target.name] = target
        return found

    def _expression(self, reader: Reader) -> str:
        text = reader.text_of_scalar()
        self._document.diagnostics += self._check_expression(locate(self._document, reader.node))
        return text

    def _chosen(self, reader: Reader | None, targets: dict[str, ExitTarget]) -> list[ExitTarget]:
        if reader is None:
            return []
        names = [item.choice(tuple(targets)) for item in reader.items()]
        if not names:
            reader.problem("tree/no-target", "a branch needs at least one exit target")
        return [targets[name] for name in names if name in targets]
