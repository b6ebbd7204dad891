"""YAML text -> nodes that know where they stand, guarded against hostile documents.

PyYAML's safe loader still expands aliases, keeps the last of two equal keys and reads YAML 1.1
(`no` is false, `12:30` is 750). Here the event stream is checked first, and scalars follow the
YAML 1.2 core schema.
"""

import re
from collections.abc import Iterator

import yaml

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 200_000

#: YAML 1.2.2 core schema, section 10.3.2.
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


#: `"\\ud800"`: it could not be written to any log.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: What YAML counts as the end of a line; `str.splitlines` knows more.
_LINE_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
#: Credentials in a URL, and the value of a key that names a secret: they must not reach a log.
_SECRET = re.compile(
    r"(?<=://)[^/\s]+(?=@)"
    r"|(?:(?<=password:)|(?<=passwd:)|(?<=secret:)|(?<=token:)|(?<=password=))\s*[^\s,}]+",
    re.IGNORECASE,
)
#: What PyYAML says of an unquoted `@.name`, and of an unquoted `$.a[0]` in a flow mapping.
_RESERVED = re.compile("found character '[@`%]' that cannot start any token")
_BRACKET = re.compile(r"expected ',' or '[\]}]', but got '[\[{]'")


class _Loader(yaml.SafeLoader):
    """A loader that resolves no implicit tags: scalars stay text until they are read."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  # PyYAML reads it as a class attribute


def position_of(file: str, node: yaml.Node) -> Position:
    """Where a node starts, and how wide its first line is."""
    start, end = node.start_mark, node.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Position(file, start.line + 1, start.column + 1, max(1, width))


def compose(text: str, *, file: str) -> yaml.Node | None:
    """The root node of one document, or None when it is empty.

    Raises DocumentError with a position for: more than 1 MiB, not YAML, more than one document,
    aliases, tags, duplicate keys, nesting over 32.
    """
    documents = compose_all(text, file=file)
    if len(documents) > 1:
        raise _refuse(
            text, position_of(file, documents[1]), "yaml/documents", "a second document starts here"
        )
    return documents[0] if documents else None


def compose_all(text: str, *, file: str) -> list[yaml.Node]:
    """The root nodes of every document in the text. Raises DocumentError as `compose` does."""
    if len(text.encode()) > MAX_BYTES:
        raise _refuse("", Position(file, 1, 1), "yaml/size", f"the file is over {MAX_BYTES} bytes")
    try:
        _check_events(text, file)
        nodes = [n for n in yaml.compose_all(text, Loader=_Loader) if n is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
        message = " ".join(part for part in (error.problem, error.context) if part)
        raise _refuse(text, where, "yaml/syntax", message or "not YAML", _fix_of(message)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML on `"\UFFFFFFFF"`
        message = str(error).splitlines()[0]
        raise _refuse(text, Position(file, 1, 1), "yaml/syntax", message) from None
    problems = [p for node in nodes for p in _duplicate_keys(node, text, file)]
    if problems:
        raise DocumentError(problems)
    return nodes


def scalar_value(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar by the YAML 1.2 core schema; quoted scalars are text."""
    text: str = node.value
    if node.style in {"'", '"', "|", ">"}:
        return text
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text) and len(text) < 400:
        return int(text)
    if _FLOAT.match(text):
        return float(
            text.replace(".inf", "inf")
            .replace(".Inf", "inf")
            .replace(".INF", "inf")
            .replace(".nan", "nan")
            .replace(".NaN", "nan")
            .replace(".NAN", "nan")
        )
    return text


def plain_value(node: yaml.Node) -> object:
    """A node as dicts, lists and scalars."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain_value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain_value(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return scalar_value(node)


def lines_of(text: str) -> list[str]:
    """The lines as YAML counts them, without their ends."""
    return _LINE_BREAK.split(text)


def source_line(text: str, line: int) -> str:
    """Line `line` (from 1) of the text with what looks like a secret starred out; else empty."""
    lines = lines_of(text)
    if not 0 < line <= len(lines):
        return ""
    return _SECRET.sub(lambda found: "*" * len(found[0]), lines[line - 1])


def _check_events(text: str, file: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        mark = event.start_mark
        where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
        if isinstance(event, yaml.AliasEvent):
            raise _refuse(
                text,
                where,
                "yaml/alias",
                f"alias `*{event.anchor}` is not allowed",
                "write the value out",
            )
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            raise _refuse(text, where, "yaml/tag", f"tag `{tag}` is not allowed", "remove the tag")
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise _refuse(text, where, "yaml/syntax", "half a surrogate pair is no character")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _refuse(text, where, "yaml/depth", f"nested deeper than {MAX_DEPTH}")
        if count > MAX_NODES:
            raise _refuse(text, where, "yaml/size", f"more than {MAX_NODES} nodes")


def _duplicate_keys(node: yaml.Node, text: str, file: str) -> Iterator[Diagnostic]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicate_keys(item, text, file)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, Position] = {}
    for key, value in node.value:
        where = position_of(file, key)
        if not isinstance(key, yaml.ScalarNode):
            yield _diagnostic(text, where, "yaml/key", "a key must be a plain scalar")
        elif key.value in seen:
            first = seen[key.value]
            yield _diagnostic(
                text,
                where,
                "yaml/duplicate-key",
                f"key `{key.value}` stands here a second time; the first is on line {first.line}",
                "keep one of the two",
            )
        else:
            seen[key.value] = where
        yield from _duplicate_keys(value, text, file)


def _diagnostic(
    text: str, where: Position, id_: DiagnosticId, message: str, fix: str = ""
) -> Diagnostic:
    return Diagnostic(id_, Severity.ERROR, message, where, source_line(text, where.line), fix)


def _fix_of(message: str) -> str:
    """For a text, such as a path or a template, that YAML reads as something else."""
    if _RESERVED.match(message):
        return "put the text that begins with it in quotes"
    if _BRACKET.match(message):
        return "inside `{...}` and `[...]`, put a text with a bracket or brace in quotes"
    return ""


def _refuse(
    text: str, where: Position, id_: DiagnosticId, message: str, fix: str = ""
) -> DocumentError:
    return DocumentError([_diagnostic(text, where, id_, message, fix)])
