"""Label matchers and selectors: which series an expression reads."""

import re
import re._constants as sre  # type: ignore[import-not-found, unused-ignore]
import re._parser as sre_parser  # type: ignore[import-not-found, unused-ignore]
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rollbackd.model.labels import METRIC_NAME

#: A pattern longer than this is refused.
MAX_PATTERN = 4_096
#: A longer label value never matches a pattern: it bounds the time of a match.
MAX_SUBJECT = 2_048

_PYTHON_ONLY = re.compile(r"(?<!\\)(?:[*+?}]\+|\[\[|\(\?[>(]|\{,|\[:\^?[a-z]+:\])")


class MatchOp(StrEnum):
    """How a matcher compares."""

    #: Equal.
    EQ = "="
    #: Not equal.
    NE = "!="
    #: The whole value matches the pattern.
    RE = "=~"
    #: The whole value does not match the pattern.
    NRE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; a missing label has the empty value.

    Raises ValueError for a pattern that is refused.
    """

    name: str
    op: MatchOp
    value: str
    _pattern: re.Pattern[str] | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.op in {MatchOp.RE, MatchOp.NRE}:
            object.__setattr__(self, "_pattern", compile_pattern(self.value))

    def matches(self, value: str) -> bool:
        """Whether the label value satisfies the condition."""
        match self.op:
            case MatchOp.EQ:
                return value == self.value
            case MatchOp.NE:
                return value != self.value
            case MatchOp.RE:
                return self._full_match(value)
            case MatchOp.NRE:
                return not self._full_match(value)

    def __str__(self) -> str:
        return f'{self.name}{self.op}"{self.value}"'

    def _full_match(self, value: str) -> bool:
        assert self._pattern is not None
        return len(value) <= MAX_SUBJECT and self._pattern.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Selector:
    """The conditions of one selector; equal selectors share their series."""

    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str:
        """The metric name when a matcher fixes it, else an empty string."""
        for matcher in self.matchers:
            if matcher.name == METRIC_NAME and matcher.op is MatchOp.EQ:
                return matcher.value
        return ""

    @property
    def rarest(self) -> tuple[str, str] | None:
        """A pair that every match has, rather another label than the name; None without one."""
        pairs = [(m.name, m.value) for m in self.matchers if m.op is MatchOp.EQ and m.value]
        return max(pairs, key=lambda pair: pair[0] != METRIC_NAME, default=None)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series satisfies every condition."""
        for matcher in self.matchers:
            value = labels.get(matcher.name, "")
            if matcher.op is MatchOp.EQ:
                if value != matcher.value:
                    return False
            elif not matcher.matches(value):
                return False
        return True

    def __str__(self) -> str:
        rest = [m for m in self.matchers if m.name != METRIC_NAME or m.op is not MatchOp.EQ]
        braces = "{" + ", ".join(str(m) for m in rest) + "}" if rest else ""
        return self.name + braces


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern with the meaning that RE2 gives it. Raises ValueError when Python's would differ.

    Python's engine backtracks, so an unbounded repeat inside an unbounded repeat is refused.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern is over {MAX_PATTERN} characters")
    if odd := _PYTHON_ONLY.search(pattern):
        raise ValueError(f"`{odd.group()}` in a pattern is not supported")
    try:
        with warnings.catch_warnings():
            # Python reads `[[:alpha:]]` and `[a--b]` otherwise than RE2, and only warns of it
            warnings.simplefilter("error", FutureWarning)
            tree = sre_parser.parse(pattern, re.ASCII)
            compiled = re.compile(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise ValueError(f"the pattern `{pattern}` is not supported: {error}") from None
    if _repeats_a_repeat(tree, inside=False):
        raise ValueError(f"the pattern `{pattern}` repeats a repeat and could take forever")
    return compiled


def _repeats_a_repeat(node: Any, *, inside: bool) -> bool:
    """Whether an unbounded repeat holds another one; `node` is a parsed pattern or a part of it."""
    if isinstance(node, sre_parser.SubPattern):
        node = node.data
    if not isinstance(node, list | tuple):
        return False
    # a tuple, not a set: a part of a pattern need not be hashable
    if len(node) == 2 and node[0] in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        _low, high, body = node[1]
        unbounded = high == sre.MAXREPEAT
        return (unbounded and inside) or _repeats_a_repeat(body, inside=inside or unbounded)
    return any(_repeats_a_repeat(part, inside=inside) for part in node)
