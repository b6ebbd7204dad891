"""Reading a mapping into a msgspec Struct, field by field, with every problem at its position.

The Struct is the one description of what may be written: names, types, defaults and docs. What is
read, the JSON schema and the reference pages all come from it.
"""

import types
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from rollbackd.documents.bounds import Bounds, Objection
from rollbackd.documents.reader import Reader
from rollbackd.settings.scalars import file_of, path_of

S = TypeVar("S", bound=msgspec.Struct)

#: A duration as `5s`; the value is in milliseconds, above zero.
Duration = Annotated[int, Meta(extra={"read": "duration"})]
#: An `http://` or `https://` URL without credentials, query or fragment.
Url = Annotated[str, Meta(extra={"read": "url"})]
#: A file that is there and can be read.
File = Annotated[Path, Meta(extra={"read": "file"})]
#: A file whose first line is a secret: a token or a password.
SecretFile = Annotated[Path, Meta(extra={"read": "file", "secret": True})]

_SCHEMES: Final = ("http", "https")
_SHOWN: Final = 60
_JSON_TYPES: Final = {
    "duration": {"type": "string", "pattern": r"^([0-9]+(ms|[smhdwy]))+$", "examples": ["5s"]},
    "url": {"type": "string", "format": "uri", "pattern": "^https?://"},
    "file": {"type": "string"},
}


def read_struct(
    reader: Reader, cls: type[S], folder: Path, *, beside: tuple[str, ...] = ()
) -> S | None:
    """The mapping as the Struct, or None when something was wrong with it.

    Relative files are relative to `folder`; keys in `beside` are somebody else's. A
    `__post_init__` that raises ValueError speaks of the mapping as a whole.
    """
    known = msgspec.structs.fields(cls)
    problems = len(reader.document.diagnostics)
    fields = reader.fields(
        [*beside, *(field.encode_name for field in known)],
        required=[field.encode_name for field in known if field.required],
    )
    values: dict[str, object] = {}
    for field in known:
        found = fields.get(field.encode_name)
        if found is not None:
            values[field.name] = _read(found, field.type, folder)
    if len(reader.document.diagnostics) > problems:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        reader.problem("value/range", str(error))
        return None


def schema_of(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of what `read_struct` takes, self-contained."""
    schema, definitions = msgspec.json.schema_components(
        [cls], schema_hook=lambda _: {"type": "string"}
    )
    described: dict[str, Any] = _inlined(schema[0], definitions)
    for field in msgspec.structs.fields(cls):
        known = _JSON_TYPES.get(str(_extra(field.type).get("read")))
        if known is not None:
            inner = described["properties"][field.encode_name]
            inner.pop("anyOf", None)
            inner.update(known)
    described["additionalProperties"] = False
    return described


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in node.items()}
    return [_inlined(item, definitions) for item in node] if isinstance(node, list) else node


def _extra(hint: Any) -> dict[str, Any]:
    """What the annotations of a type say beyond it, also inside `X | None`."""
    if get_origin(hint) is Annotated:
        _, *notes = get_args(hint)
        found: dict[str, Any] = {}
        for note in notes:
            found |= getattr(note, "extra", None) or {}
        return {**_extra(get_args(hint)[0]), **found}
    if get_origin(hint) in {Union, types.UnionType}:
        return {key: value for each in get_args(hint) for key, value in _extra(each).items()}
    return {}


def _read(reader: Reader, hint: Any, folder: Path) -> object:
    way = _extra(hint).get("read")
    if way == "duration":
        return reader.positive_duration_ms()
    if way == "url":
        return _url(reader)
    if way == "file":
        return file_of(reader, folder)
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(bare) in {Union, types.UnionType}:
        inner = [each for each in get_args(bare) if each is not type(None)]
        if len(inner) == 1:
            return _read(reader, inner[0], folder)
    problems = len(reader.document.diagnostics)
    value = _plain(reader, bare, folder)
    if len(reader.document.diagnostics) > problems or isinstance(value, msgspec.Struct):
        return value
    try:
        return msgspec.convert(value, hint) if not isinstance(value, Path) else value
    except msgspec.ValidationError:
        _object(reader, value, hint)
        return value


def _object(reader: Reader, value: object, hint: Any) -> None:
    """Say what is wrong with a value of the right type, by what its annotations ask for."""
    asked = {
        name: wanted
        for note in get_args(hint)[1:]
        for name in ("ge", "gt", "le", "min_length", "max_length", "pattern", "examples")
        if (wanted := getattr(note, name, None)) is not None
    }
    shown = str(reader.plain())[:_SHOWN]
    if isinstance(value, str) and "://" in value and "@" in value:
        _report_credentials(reader)
    elif objection := _out_of_bounds(value, shown, asked):
        reader.problem("value/range", objection.message, fix=objection.fix)
    else:
        form = f": it does not match `{asked['pattern']}`" if "pattern" in asked else ""
        example = f"write it like `{asked['examples'][0]}`" if "examples" in asked else ""
        reader.problem("value/range", f"`{shown}` is not allowed here{form}", fix=example)


def _out_of_bounds(value: object, shown: str, asked: Mapping[str, Any]) -> Objection | None:
    if isinstance(value, int | float):
        bounds = Bounds(asked.get("ge"), asked.get("le"), asked.get("gt"))
        return bounds.objection(value, shown)
    if isinstance(value, str | list):
        lengths = Bounds(asked.get("min_length"), asked.get("max_length"))
        return lengths.objection_to_length(value)
    return None


def _plain(reader: Reader, bare: Any, folder: Path) -> object:  # noqa: PLR0912  # one line a type
    origin, args = get_origin(bare), get_args(bare)
    if origin is Literal:
        return reader.choice([str(word) for word in args])
    if origin is dict:
        if args[1] is str:
            return reader.string_map()
        if _extra(args[1]):
            return {key: _read(item, args[1], folder) for key, item in reader.entries()}
        plain = reader.plain()
        if not isinstance(plain, dict):
            reader.problem("value/type", "expected a mapping")
        return plain
    if origin in {list, tuple}:
        return [_read(item, args[0], folder) for item in reader.items()]
    if isinstance(bare, type):
        if issubclass(bare, msgspec.Struct):
            return read_struct(reader, bare, folder)
        if issubclass(bare, StrEnum):
            return reader.choice([str(word) for word in bare])
        if issubclass(bare, Path):
            return path_of(reader, folder)
        if bare is bool:
            return reader.boolean()
        if bare is int:
            return reader.integer()
        if bare is float:
            return reader.number()
        if bare is str:
            return reader.string()
    return reader.plain()


def _url(reader: Reader) -> str:
    text = reader.string()
    try:
        parts = urlsplit(text)
        credentials, host = parts.username or parts.password, parts.hostname
        _ = parts.port
    except ValueError:
        parts, credentials, host = urlsplit(""), None, None
    if credentials:
        _report_credentials(reader)
    elif parts.scheme not in _SCHEMES or not host or parts.query or parts.fragment:
        reader.problem(
            "config/url",
            f"`{text[:200]}` is not a URL; it must be `http://HOST[:PORT][/PATH]` or `https://...`",
        )
    return text.rstrip("/")


def _report_credentials(reader: Reader) -> None:
    """Without the URL itself."""
    reader.problem(
        "config/secret-in-url",
        "the URL carries credentials, which would end up in logs",
        fix="name a file with `token_file` or `password_file` instead",
    )
