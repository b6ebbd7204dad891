"""What the catalogue says of each type of lever: for people, for pages and as a JSON schema."""

import inspect
from typing import Any, Final

import msgspec

from rollbackd.documents.durations import format_duration
from rollbackd.levers import BUILT_IN, LEVERS
from rollbackd.levers.lever_type import LeverType
from rollbackd.settings.structs import schema_of

_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"


class FieldPage(msgspec.Struct, frozen=True, kw_only=True):
    """One setting or param: `default` is empty where it must be given."""

    name: str
    type: str
    default: str
    description: str


class LeverPage(msgspec.Struct, frozen=True, kw_only=True):
    """One type of lever; `settings` are of the levers file, `params` of the decision tree."""

    type: str
    kind: str
    built_in: bool
    named: bool
    summary: str
    settings: list[FieldPage]
    params: list[FieldPage]


def describe(type_: str) -> LeverPage:
    """One type by the catalogue's name. Raises KeyError."""
    lever = LEVERS[type_]
    return LeverPage(
        type=type_,
        kind=lever.kind,
        built_in=type_ in BUILT_IN,
        named=lever.named,
        summary=_summary(lever),
        settings=_fields(lever.Settings) if lever.Settings is not None else [],
        params=_fields(lever.Params),
    )


def lever_file_schema() -> dict[str, Any]:
    """The JSON schema of `levers.yaml`, for editors and for checks in a pipeline."""
    types = {name: lever.Settings for name, lever in LEVERS.items() if lever.Settings is not None}
    return {
        "$schema": _SCHEMA,
        "title": "rollbackd levers file",
        "type": "object",
        "additionalProperties": False,
        "required": ["levers"],
        "properties": {
            "levers": {
                "type": "object",
                "propertyNames": {
                    "pattern": "^[a-z][a-z0-9_]{0,63}$",
                    "not": {"enum": sorted(BUILT_IN)},
                },
                "additionalProperties": {
                    "oneOf": [_typed(name, settings) for name, settings in sorted(types.items())]
                },
            }
        },
    }


def _typed(name: str, settings: type[msgspec.Struct]) -> dict[str, Any]:
    schema = schema_of(settings)
    schema["properties"] = {"type": {"const": name}, **schema["properties"]}
    schema["required"] = ["type", *schema.get("required", [])]
    return schema


def _fields(cls: type[msgspec.Struct]) -> list[FieldPage]:
    properties = schema_of(cls)["properties"]
    return [
        FieldPage(
            name=field.encode_name,
            type=_type(properties[field.encode_name]),
            default=_default(field, properties[field.encode_name]),
            description=_description(properties[field.encode_name]),
        )
        for field in msgspec.structs.fields(cls)
    ]


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("format") == "uri":
        return "URL"
    if "5s" in schema.get("examples", ()):
        return "duration"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if key in schema
    ]
    names = {"string": "text", "boolean": "`true` or `false`", "object": "mapping"}
    return " ".join([names.get(kind, kind), ", ".join(bounds)]).strip()


def _default(field: Any, schema: dict[str, Any]) -> str:
    if field.required:
        return ""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ("", [], {}):
        return "none"
    if _type(schema) == "duration":
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _description(schema: dict[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    described = [each["description"] for each in schema.get("anyOf", ()) if "description" in each]
    return str(described[0]) if described else ""


def _summary(lever: type[LeverType]) -> str:
    """The paragraph that the class begins with, in one line."""
    text = inspect.getdoc(lever) or ""
    return " ".join(text.split("\n\n")[0].split())
