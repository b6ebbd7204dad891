"""One flag in the text of a flagd definition: read it, and write it without touching the rest.

https://flagd.dev/reference/flag-definitions/

The text, JSON or YAML, is edited in place, so that other flags, comments, keys that nobody here
knows, order, indentation and line ends stay as they were.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from rollbackd.errors import PermanentError
from rollbackd.levers.flagd_places import Member, place_in_json, place_in_yaml

ENABLED: Final = "ENABLED"

#: What a kill changes; everything else of a flag is left alone.
_FIELDS: Final = ("state", "defaultVariant", "targeting")


class FlagText:
    """One flag of a definition, with its place in the text.

    Raises PermanentError when the text is no definition or has no such flag.
    """

    def __init__(self, text: str, name: str, *, is_yaml: bool = False) -> None:
        self._text = text
        said, self._members, self._separator = (place_in_yaml if is_yaml else place_in_json)(
            text, name
        )
        #: Every variant by name.
        self.variants: dict[str, object] = _variants(said, name)
        state, targeting = said.get("state", ENABLED), said.get("targeting") or {}
        if state not in {ENABLED, "DISABLED"}:
            raise PermanentError(f"the flag `{name}` has the unknown state {_said(state)}")
        if not isinstance(targeting, dict):
            raise PermanentError(f"the `targeting` of the flag `{name}` is no object")
        #: What flagd evaluates: `{"state", "defaultVariant", "targeting"}`.
        self.value: dict[str, object] = {
            "state": state,
            "defaultVariant": said.get("defaultVariant"),
            "targeting": targeting,
        }

    @property
    def pieces(self) -> dict[str, str]:
        """The text of each changeable field that is there, as it stands in the file."""
        return {
            field: self._text[place.value_at : place.end]
            for field in _FIELDS
            if (place := self._members.get(field)) is not None
        }

    def with_value(self, wanted: Mapping[str, object], pieces: Mapping[str, str]) -> str:
        """The whole text with the flag as wanted; a field that is so already keeps its text.

        `pieces` has the text to use for a field, where there is one.
        """
        text = self._text
        changed = [field for field in _FIELDS if self.value[field] != wanted[field]]
        places = {field: self._members.get(field) for field in changed}
        # from the end to the beginning, so that places ahead of an edit stay right
        for field in sorted(changed, key=lambda field: places[field] or _NOWHERE, reverse=True):
            piece = pieces.get(field, json.dumps(wanted[field], ensure_ascii=False))
            place = places[field]
            if place is None:
                text = self._inserted(text, f"{json.dumps(field)}: {piece}")
                continue
            # an empty value of YAML begins right behind its colon
            space = " " if place.value_at == place.end and piece else ""
            text = text[: place.value_at] + space + piece + text[place.end :]
        return text

    def _inserted(self, text: str, member: str) -> str:
        """The text with one more member, before the first one and indented as that is."""
        first = min(place.key_at for place in self._members.values())
        return text[:first] + member + self._separator + text[first:]


_NOWHERE: Final = Member(-1, -1, -1)


def off_variant(variants: Mapping[str, object], named: str, flag: str) -> str:
    """The variant that means off: the one that is named, else the one that is false or `off`.

    Raises PermanentError, with every variant, where none or more than one could be meant.
    """
    known = ", ".join(f"`{name}`" for name in variants)
    if named:
        if named not in variants:
            raise PermanentError(f"the flag `{flag}` has no variant `{named}`, only {known}")
        return named
    meant = {name for name, value in variants.items() if value is False}
    if len(meant) > 1 and "off" in meant:
        meant = {"off"}
    elif "off" in variants:
        meant.add("off")
    if len(meant) != 1:
        raise PermanentError(
            f"which variant of the flag `{flag}` is off cannot be told from {known}; say it with "
            "`params: {off: NAME}`"
        )
    return meant.pop()


def _variants(said: Mapping[str, Any], name: str) -> dict[str, object]:
    variants = said.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise PermanentError(f"the flag `{name}` has no variants")
    return variants


def _said(value: object) -> str:
    return f"`{json.dumps(value)[:80]}`"
