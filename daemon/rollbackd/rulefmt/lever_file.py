"""`levers.yaml` -> the levers on other systems by name, with every problem at its position.

levers:
  docs_alias:            # the name that the decision tree uses
    type: qdrant_alias
    url: https://qdrant:6333
    token_file: /run/credentials/rollbackd/qdrant
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.settings.structs import read_struct

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")

#: The settings of a type of lever, by the catalogue's name.
SettingsTypes = Mapping[str, type[msgspec.Struct]]
#: A lever of the file: its type and its settings.
Defined = tuple[str, msgspec.Struct]


def read_lever_file(
    text: str, *, file: str, types: SettingsTypes, built_in: Collection[str]
) -> dict[str, Defined]:
    """Read and check a levers file; `built_in` are names that are taken.

    Relative files are relative to the file's folder. Raises DocumentError with every problem.
    """
    document = Document(file, text)
    root = compose(text, file=file)
    found: dict[str, Defined] = {}
    if root is not None:
        levers = Reader(document, root).fields(("levers",), required=("levers",)).get("levers")
        for name, reader in levers.entries() if levers is not None else ():
            defined = _lever(name, reader, types, built_in, Path(file).parent)
            if defined is not None:
                found[name] = defined
        _check_stand_ins(levers, found, built_in)
    document.raise_errors()
    return found


def _lever(
    name: str, reader: Reader, types: SettingsTypes, built_in: Collection[str], folder: Path
) -> Defined | None:
    if not _NAME.match(name):
        reader.problem(
            "levers/name",
            f"`{name[:80]}` is no name for a lever; use a-z, 0-9 and _, at most 64, a letter first",
        )
    if name in built_in:
        reader.problem(
            "levers/name",
            f"`{name}` is a built-in lever, which is there already",
            fix="give this one another name",
        )
    kind = reader.value_of("type")
    if kind is None:
        reader.problem("key/missing", "`type` is missing", fix=f"add `type:`, one of {_all(types)}")
        return None
    type_ = kind.choice(tuple(types))
    if type_ not in types:
        return None
    settings = read_struct(reader, types[type_], folder, beside=("type",))
    return None if settings is None else (type_, settings)


def _check_stand_ins(
    levers: Reader | None, found: Mapping[str, Defined], built_in: Collection[str]
) -> None:
    """A `dry_run` stands in for a lever that is there, and for no other `dry_run`."""
    there = [*built_in, *(name for name, (type_, _) in found.items() if type_ != "dry_run")]
    for name, reader in levers.entries() if levers is not None else ():
        of = reader.value_of("of") if found.get(name, ("",))[0] == "dry_run" else None
        if of is not None:
            of.choice(there)


def _all(words: Collection[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
