"""Typed reading of YAML nodes: every problem is noted with its position, none is raised midway."""

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import yaml

from rollbackd.documents.bounds import EXACT, Bounds
from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity, errors_in
from rollbackd.documents.durations import parse_duration
from rollbackd.documents.yaml import plain_value, position_of, scalar_value, source_line

T = TypeVar("T")

#: Words that are less alike than this are no slip of the finger.
_LIKENESS = 0.65
_SHOWN = 40


@dataclass(slots=True)
class Document:
    """One file being read, and the problems found so far."""

    file: str
    text: str
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def report(
        self,
        where: Position,
        id_: DiagnosticId,
        message: str,
        *,
        fix: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem and go on reading."""
        line = source_line(self.text, where.line)
        self.diagnostics.append(Diagnostic(id_, severity, message, where, line, fix))

    def raise_errors(self) -> None:
        """Raise DocumentError with everything found, if any of it is an error."""
        if errors_in(self.diagnostics):
            raise DocumentError(self.diagnostics)


class Reader:
    """A node with typed accessors.

    An accessor that finds the wrong thing reports it on the document and returns the default, so
    that one run shows all problems. Nothing here raises.
    """

    def __init__(self, document: Document, node: yaml.Node, path: str = "") -> None:
        self.document = document
        self.node = node
        self.path = path

    @property
    def position(self) -> Position:
        """Where the node starts."""
        return position_of(self.document.file, self.node)

    def problem(self, id_: DiagnosticId, message: str, *, fix: str = "") -> None:
        """Report an error at this node."""
        self.document.report(self.position, id_, message, fix=fix)

    def plain(self) -> object:
        """The node as dicts, lists and scalars, unchecked."""
        return plain_value(self.node)

    def fields(self, known: Iterable[str], *, required: Iterable[str] = ()) -> "Fields":
        """The entries of a mapping. Unknown keys and missing required keys are reported."""
        return Fields(self, tuple(known), tuple(required))

    def entries(self) -> Iterator[tuple[str, "Reader"]]:
        """The (key, value) pairs of a mapping with free keys."""
        if not isinstance(self.node, yaml.MappingNode):
            self._wrong("a mapping")
            return
        for key, value in self.node.value:
            yield str(key.value), Reader(self.document, value, f"{self.path}.{key.value}")

    def pairs(self) -> Iterator[tuple["Reader", "Reader"]]:
        """As `entries`, for keys that are to be read, too."""
        for place, (name, value) in enumerate(self.entries()):
            key, _ = self.node.value[place]
            yield Reader(self.document, key, f"{self.path}.{name}"), value

    def value_of(self, key: str) -> "Reader | None":
        """The value of one key, whatever else is there; None where it is absent."""
        if not isinstance(self.node, yaml.MappingNode):
            return None
        return next((value for name, value in self.entries() if name == key), None)

    def key_positions(self) -> dict[str, Position]:
        """Where each key of a mapping stands; nothing for what is no mapping."""
        if not isinstance(self.node, yaml.MappingNode):
            return {}
        file = self.document.file
        return {str(key.value): position_of(file, key) for key, _ in self.node.value}

    def items(self) -> Iterator["Reader"]:
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            alone = isinstance(self.node, yaml.ScalarNode) and self.node.value
            self._wrong("a list", fix=f"write `[{alone}]`" if alone else "")
            return
        for index, item in enumerate(self.node.value):
            yield Reader(self.document, item, f"{self.path}[{index}]")

    def string(self, default: str = "") -> str:
        """Text. A number or a boolean without quotes is a mistake worth a word."""
        value = self._scalar()
        if isinstance(value, str):
            return value
        self._wrong("text", fix="put it in quotes" if value is not None else "")
        return default

    def text_of_scalar(self, default: str = "") -> str:
        """The literal text of any scalar, as written (labels: `severity: 1` is "1")."""
        if isinstance(self.node, yaml.ScalarNode):
            return str(self.node.value)
        self._wrong("a scalar")
        return default

    def number(self, default: float = 0.0) -> float:
        """A finite int or float."""
        value = self._scalar()
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._wrong("a number", fix=self._without_quotes())
            return default
        if not abs(value) <= sys.float_info.max:
            self.problem("value/range", f"`{self._shown()}` is not a finite number")
            return default
        return float(value)

    def integer(self, default: int = 0, *, minimum: int | None = None, maximum: int = EXACT) -> int:
        """A whole number from `minimum` to `maximum`."""
        value = self._scalar()
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong("a whole number", fix=self._without_quotes())
            return default
        objection = Bounds(least=minimum, most=maximum).objection(value, self._shown())
        if objection is None:
            return value
        self.problem("value/range", objection.message, fix=objection.fix)
        return default

    def boolean(self, *, default: bool = False) -> bool:
        """`true` or `false`; YAML 1.1's `yes`, `no`, `on`, `off` are refused."""
        value = self._scalar()
        if isinstance(value, bool):
            return value
        self._wrong("`true` or `false`")
        return default

    def duration_ms(self, default: int = 0) -> int:
        """A Prometheus duration (`5m`), in milliseconds."""
        if not isinstance(self.node, yaml.ScalarNode):
            self._wrong("a duration such as `5m`")
            return default
        try:
            return parse_duration(self.node.value)
        except ValueError as error:
            self.problem("value/duration", str(error))
            return default

    def positive_duration_ms(self, default: int = 1) -> int:
        """A Prometheus duration above zero, in milliseconds."""
        value = self.duration_ms(default)
        if value > 0:
            return value
        message = f"the duration `{self._shown()}` is not above `0`"
        self.problem("value/range", message, fix="write one such as `5s`")
        return default

    def choice(self, allowed: Iterable[str], default: str = "") -> str:
        """One of the allowed words."""
        allowed = tuple(allowed)
        value = self.text_of_scalar(default)
        if value in allowed:
            return value
        self.problem(
            "value/choice",
            f"`{value}` is not allowed here; it must be one of {_listed(allowed)}",
            fix=suggestion(value, allowed),
        )
        return default

    def string_map(self) -> dict[str, str]:
        """A mapping of text to text."""
        return {key: value.text_of_scalar() for key, value in self.entries()}

    def string_list(self) -> list[str]:
        """A list of text."""
        return [item.string() for item in self.items()]

    def _scalar(self) -> str | int | float | bool | None:  # 1 and 1.0 differ
        return scalar_value(self.node) if isinstance(self.node, yaml.ScalarNode) else None

    def _shown(self) -> str:
        return str(self.node.value)[:_SHOWN]

    def _without_quotes(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or self.node.style not in {"'", '"'}:
            return ""
        bare = scalar_value(yaml.ScalarNode(self.node.tag, self.node.value))
        is_number = isinstance(bare, int | float) and not isinstance(bare, bool)
        return "remove the quotes" if is_number else ""

    def _wrong(self, expected: str, fix: str = "") -> None:
        if isinstance(self.node, yaml.ScalarNode):
            got = f"`{self.node.value}`" if self.node.value else "nothing"
        else:
            got = "a mapping" if isinstance(self.node, yaml.MappingNode) else "a list"
        self.problem("value/type", f"expected {expected}, got {got}", fix=fix)


class Fields:
    """The known entries of one mapping."""

    def __init__(self, reader: Reader, known: tuple[str, ...], required: tuple[str, ...]) -> None:
        self._reader = reader
        self._values: dict[str, Reader] = {}
        self._keys = reader.key_positions()
        for key, value in reader.entries():
            if key in known:
                self._values[key] = value
            else:
                self._report_unknown(key, known)
        for key in required:
            if key not in self._values:
                reader.problem("key/missing", f"`{key}` is missing", fix=f"add `{key}:`")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Reader | None:
        """The reader of a key, or None when it is absent."""
        return self._values.get(key)

    def problem(self, key: str, id_: DiagnosticId, message: str, *, fix: str = "") -> None:
        """Report an error at a key that is there; for one that is not, at the mapping."""
        where = self._keys.get(key, self._reader.position)
        self._reader.document.report(where, id_, message, fix=fix)

    def read(self, key: str, accessor: Callable[[Reader], T], default: T) -> T:
        """`accessor` applied to the key's value, or the default when it is absent."""
        reader = self._values.get(key)
        return default if reader is None else accessor(reader)

    def _report_unknown(self, key: str, known: tuple[str, ...]) -> None:
        self.problem(
            key,
            "key/unknown",
            f"key `{key}` is not known here; known are {_listed(known)}",
            fix=suggestion(key, known) or f"remove `{key}`",
        )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{w}`" for w in words)


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """The way out for a word that resembles an allowed one; else empty."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=_LIKENESS)
    return f"did you mean `{near[0]}`?" if near else ""
