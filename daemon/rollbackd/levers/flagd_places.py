"""Where one flag stands in the text of a flagd definition, which is JSON or YAML."""

import json
import re
from typing import Any, Final, NamedTuple

import orjson
import yaml

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.documents.yaml import compose, plain_value
from rollbackd.errors import PermanentError

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")
#: What flagd, which reads YAML 1.1, takes for a boolean where it is not quoted.
_OLD_BOOLEAN: Final = re.compile(r"(?i:y|yes|n|no|on|off)\Z")


class Member(NamedTuple):
    """A member of an object: where its key is, and where its value is up to `end`."""

    key_at: int
    value_at: int
    end: int


class FlagPlace(NamedTuple):
    """One flag: what the definition says of it, its members, and what stands between two."""

    said: dict[str, Any]
    members: dict[str, Member]
    separator: str


def place_in_json(text: str, name: str) -> FlagPlace:
    """The flag's place in a JSON text. Raises PermanentError."""
    try:
        said = _flag_of(orjson.loads(text), name)
        at = _skip(text, 0)
        for key in ("flags", name):
            at = _json_members(text, at)[key].value_at
        members = _json_members(text, at)
    except orjson.JSONDecodeError as error:
        raise PermanentError(f"the flag definition is not JSON: {error}") from None
    except RecursionError:
        raise PermanentError("the flag definition is nested too deep") from None
    return FlagPlace(said, members, "," + text[at + 1 : _skip(text, at + 1)])


def place_in_yaml(text: str, name: str) -> FlagPlace:
    """The flag's place in a YAML text without anchors and tags. Raises PermanentError."""
    try:
        root = compose(text, file="the flag definition")
    except DocumentError as error:
        raise PermanentError(str(error)) from None
    said = _flag_of(None if root is None else plain_value(root), name)
    assert root is not None
    node = _mapping_of(_mapping_of(root, "flags"), name)
    members = {
        key.value: Member(key.start_mark.index, value.start_mark.index, _end_of(value, text))
        for key, value in node.value
    }
    for key, value in node.value:
        if key.value == "variants" and isinstance(value, yaml.MappingNode):
            for variant, _ in value.value:
                _check_quoted(variant, name)
        elif key.value == "defaultVariant":
            _check_quoted(value, name)
    first = min((member.key_at for member in members.values()), default=0)
    indent = first - (text.rfind("\n", 0, first) + 1)
    return FlagPlace(said, members, ", " if node.flow_style else "\n" + " " * indent)


def _flag_of(root: object, name: str) -> dict[str, Any]:
    """What the definition says of the flag."""
    flags = root.get("flags") if isinstance(root, dict) else None
    if not isinstance(flags, dict):
        raise PermanentError("the flag definition has no object `flags`")
    if name not in flags:
        raise PermanentError(f"the flag definition has no flag `{name}`")
    said = flags[name]
    if not isinstance(said, dict):
        raise PermanentError(f"the flag `{name}` is no object")
    return said


def _json_members(text: str, at: int) -> dict[str, Member]:
    """The members of the object that starts at `at`, in a text that is known to be JSON."""
    found: dict[str, Member] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        key_at = at
        key, at = _DECODER.raw_decode(text, at)
        value_at = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value_at)
        if key in found:
            raise PermanentError(f"the flag definition has `{key}` twice in one object")
        found[key] = Member(key_at, value_at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    place = _SPACE.match(text, at)
    assert place is not None
    return place.end()


def _mapping_of(node: yaml.Node, name: str) -> yaml.MappingNode:
    """The mapping at a key that is known to be there."""
    (found,) = (value for key, value in node.value if key.value == name)
    assert isinstance(found, yaml.MappingNode)
    return found


def _end_of(node: yaml.Node, text: str) -> int:
    """Where the last thing inside ends: a block's own end is behind the comments after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end_of(last[1] if isinstance(node, yaml.MappingNode) else last, text)
    end: int = node.end_mark.index
    is_block = isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}
    return len(text[:end].rstrip()) if is_block else end


def _check_quoted(node: yaml.Node, flag: str) -> None:
    if isinstance(node, yaml.ScalarNode) and not node.style and _OLD_BOOLEAN.match(node.value):
        raise PermanentError(
            f"flagd takes the `{node.value}` of the flag `{flag}` for a boolean; put it in quotes"
        )
