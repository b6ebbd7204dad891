"""Values that more than one part of the config has: paths, files that must be there."""

import os
from pathlib import Path
from typing import Final

from rollbackd.documents.reader import Fields, Reader

_CREDENTIALS: Final = "${credentials:"


def path_of(reader: Reader, folder: Path) -> Path:
    """A path; a relative one is relative to the config file's folder."""
    text = reader.string()
    if text.startswith(_CREDENTIALS) and text.endswith("}"):
        credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
        if not credentials:
            reader.problem("config/credentials", "`$CREDENTIALS_DIRECTORY` is not set")
        return Path(credentials) / text[len(_CREDENTIALS) : -1]
    return folder / Path(text).expanduser()


def file_of(reader: Reader, folder: Path) -> Path:
    """A file that is there and can be read."""
    path = path_of(reader, folder)
    if not path.is_file():
        reader.problem("config/no-such-file", f"there is no file `{path}`")
    elif not os.access(path, os.R_OK):
        reader.problem("config/unreadable", f"cannot read `{path}`")
    return path


def optional_file(fields: Fields, key: str, folder: Path) -> Path | None:
    """As `file_of`, or None where the key is absent."""
    return fields.read(key, lambda r: file_of(r, folder), None)
