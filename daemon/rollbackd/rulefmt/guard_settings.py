"""The settings of the guardrails in a decision tree: limits of a branch, and of the whole tree."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from rollbackd.documents.bounds import Bounds
from rollbackd.documents.reader import Fields, Reader
from rollbackd.model.policy import (
    Approval,
    BranchPolicy,
    Budget,
    Correlated,
    DecisionTree,
    Group,
    Repeats,
    Window,
    WorseAfter,
)

#: What a branch, or the defaults of all branches, may set.
BRANCH_KEYS: Final = (
    "max_event_age",
    "min_input_coverage",
    "cooldown",
    "budget",
    "rule_budget",
    "lever_budget",
    "approval",
    "confirm_freeze",
    "max_reasserts",
    "worse_after",
    "changes_within",
    "requires_change",
)
#: What stands at the top of a tree.
TREE_KEYS: Final = (
    "mode",
    "global_budget",
    "max_open_incidents",
    "max_blast_radius",
    "correlated",
    "ineffective_chain",
    "flap_latch",
    "windows",
    "change_freeze",
    "groups",
    "regions",
)
#: Fewer scopes that trip together are no wave.
_FEWEST_TOGETHER: Final = 2


def read_branch_limits(f: Fields, base: BranchPolicy) -> BranchPolicy:
    """The branch with the limits that the file sets; the others stay as they are."""
    return replace(
        base,
        max_event_age_ms=_duration(f, "max_event_age", base.max_event_age_ms),
        min_input_coverage=_share(f, "min_input_coverage", base.min_input_coverage),
        cooldown_ms=f.read("cooldown", Reader.duration_ms, base.cooldown_ms),
        budget=f.read("budget", _budget, base.budget),
        rule_budget=f.read("rule_budget", _budget, base.rule_budget),
        lever_budget=f.read("lever_budget", _budget, base.lever_budget),
        approval=f.read("approval", _approval, base.approval),
        confirm_freeze_ms=_duration(f, "confirm_freeze", base.confirm_freeze_ms),
        max_reasserts=_count(f, "max_reasserts", base.max_reasserts, minimum=0),
        worse_after=f.read("worse_after", _worse_after, base.worse_after),
        changes_within_ms=_duration(f, "changes_within", base.changes_within_ms),
        requires_change=f.read("requires_change", Reader.boolean, default=base.requires_change),
    )


def read_tree_limits(f: Fields, tree: DecisionTree) -> DecisionTree:
    """The tree with the limits that the file sets at its top."""
    modes, freezes = ("act", "observe"), ("exempt", "respect")
    return replace(
        tree,
        mode=f.read("mode", lambda r: r.choice(modes, tree.mode), tree.mode),
        global_budget=f.read("global_budget", _budget, tree.global_budget),
        max_open_incidents=_count(f, "max_open_incidents", tree.max_open_incidents),
        max_blast_radius=_share(f, "max_blast_radius", tree.max_blast_radius),
        correlated=f.read("correlated", _correlated, tree.correlated),
        ineffective_chain=f.read("ineffective_chain", _repeats, tree.ineffective_chain),
        flap_latch=f.read("flap_latch", _repeats, tree.flap_latch),
        windows=f.read("windows", _windows, tree.windows),
        change_freeze=f.read(
            "change_freeze", lambda r: r.choice(freezes, tree.change_freeze), tree.change_freeze
        ),
        groups=f.read("groups", lambda r: _groups(r, tree.branches), tree.groups),
        regions=f.read("regions", lambda r: _distinct(r, Reader.string), tree.regions),
    )


def _duration(f: Fields, key: str, default: int) -> int:
    return f.read(key, lambda r: r.positive_duration_ms(default), default)


def _count(f: Fields, key: str, default: int, *, minimum: int = 1) -> int:
    return f.read(key, lambda r: r.integer(default, minimum=minimum), default)


def _share(f: Fields, key: str, default: float) -> float:
    def read(reader: Reader) -> float:
        value = reader.number(default)
        if 0 <= value <= 1:
            return value
        reader.problem(
            "value/range", f"`{value:g}` is not a share from `0` to `1`", fix="write half as `0.5`"
        )
        return default

    return f.read(key, read, default)


def _budget(reader: Reader) -> Budget:
    f = reader.fields(("acts", "per"), required=("acts", "per"))
    return Budget(acts=_count(f, "acts", 1, minimum=0), per_ms=_duration(f, "per", 1))


def _repeats(reader: Reader) -> Repeats:
    f = reader.fields(("times", "within"), required=("times", "within"))
    return Repeats(times=_count(f, "times", 1), within_ms=_duration(f, "within", 1))


def _correlated(reader: Reader) -> Correlated:
    f = reader.fields(("scopes", "within"), required=("scopes", "within"))
    default = Correlated()
    return Correlated(
        scopes=_count(f, "scopes", default.scopes, minimum=_FEWEST_TOGETHER),
        within_ms=_duration(f, "within", default.within_ms),
    )


def _approval(reader: Reader) -> Approval | None:
    """`none`, or how long a person has and what happens when nobody answers."""
    plain = reader.plain()
    if plain == "none":
        return None
    if not isinstance(plain, dict):
        reader.problem(
            "value/type",
            "expected `none` or a mapping",
            fix="write it like `{within: 15m, otherwise: stand_down}`",
        )
        return None
    f = reader.fields(("within", "otherwise"), required=("within", "otherwise"))
    default = Approval()
    words = ("stand_down", "act")
    return Approval(
        within_ms=_duration(f, "within", default.within_ms),
        otherwise=f.read("otherwise", lambda r: r.choice(words, "stand_down"), default.otherwise),
    )


def _worse_after(reader: Reader) -> WorseAfter:
    f = reader.fields(("factor", "for"))
    default = WorseAfter()

    def factor(at: Reader) -> float:
        value = at.number(default.factor)
        objection = Bounds(least=1).objection(value, f"{value:g}")
        if objection is None:
            return value
        at.problem("value/range", objection.message, fix=objection.fix)
        return default.factor

    return WorseAfter(
        factor=f.read("factor", factor, default.factor), for_ms=_duration(f, "for", default.for_ms)
    )


def _windows(reader: Reader) -> list[Window]:
    found: dict[str, Window] = {}
    for item in reader.items():
        window = _window(item)
        if window.name in found:
            item.problem("tree/window", f"window `{window.name}` stands here twice")
        found[window.name] = window
    return list(found.values())


def _window(reader: Reader) -> Window:
    keys = ("name", "kind", "start", "end", "services", "regions")
    f = reader.fields(keys, required=keys[:4])
    kinds = ("maintenance", "change_freeze")
    window = Window(
        name=f.read("name", Reader.string, ""),
        kind=f.read("kind", lambda r: r.choice(kinds, kinds[0]), kinds[0]),
        start_ms=f.read("start", _moment, 0),
        end_ms=f.read("end", _moment, 0),
        services=f.read("services", Reader.string_list, []),
        regions=f.read("regions", Reader.string_list, []),
    )
    if 0 < window.end_ms <= window.start_ms:
        f.problem("end", "tree/window", f"window `{window.name}` ends before it begins")
    return window


def _moment(reader: Reader) -> int:
    """An RFC 3339 time with its offset, in Unix milliseconds."""
    text = reader.text_of_scalar()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        reader.problem(
            "value/timestamp",
            f"`{text[:40]}` is not a time with its offset",
            fix="write it like `2026-12-24T18:00:00Z` or `2026-12-24T19:00:00+01:00`",
        )
        return 0
    return round(moment.timestamp() * 1_000)


def _groups(reader: Reader, branches: Iterable[str]) -> list[Group]:
    groups: list[Group] = []
    known = tuple(branches)
    for item in reader.items():
        f = item.fields(("name", "services", "branches"), required=("name", "services"))
        group = Group(
            name=f.read("name", Reader.string, ""),
            services=f.read("services", lambda r: _distinct(r, Reader.string), []),
            branches=f.read("branches", lambda r: _distinct(r, lambda i: i.choice(known)), []),
        )
        if len(group.services) < _FEWEST_TOGETHER:
            f.problem("services", "tree/group", f"group `{group.name}` has fewer than two services")
        for other in groups:
            _refuse_overlap(f, group, other)
        groups.append(group)
    return groups


def _refuse_overlap(f: Fields, group: Group, other: Group) -> None:
    """One trigger must not lead to two units."""
    if group.name == other.name:
        f.problem("name", "tree/group", f"group `{group.name}` stands here twice")
    shared = sorted(set(group.services) & set(other.services))
    apart = group.branches and other.branches and not set(group.branches) & set(other.branches)
    if shared and not apart:
        f.problem(
            "services",
            "tree/group",
            f"service `{shared[0]}` is in group `{other.name}` too, for the same branch",
            fix="make it one group, or give each its own `branches`",
        )


def _distinct(reader: Reader, accessor: Callable[[Reader], str]) -> list[str]:
    found: list[str] = []
    for item in reader.items():
        word = accessor(item)
        if word in found:
            item.problem("value/choice", f"`{word}` stands here twice")
        elif word:
            found.append(word)
    return found
