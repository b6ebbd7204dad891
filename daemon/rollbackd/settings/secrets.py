"""Secrets: read from files, shown to nobody."""

import errno
from pathlib import Path


class Secret:
    """A secret read from a file; it shows itself only to who asks by `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; never log or format what this returns."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_secret(path: Path | None) -> Secret | None:
    """The first line of a secret file, or None. Raises OSError that names only the file."""
    if path is None:
        return None
    lines = _text(path).strip().splitlines()
    if not lines:
        raise OSError(errno.EINVAL, "the secret file is empty", str(path))
    return Secret(lines[0].strip())


def read_tokens(path: Path) -> list[Secret]:
    """Every token of a token file, one a line. Raises OSError that names only the file."""
    return [Secret(line.strip()) for line in _text(path).splitlines() if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # it carries what was read
        raise OSError(errno.EILSEQ, "the secret file is not UTF-8", str(path)) from None
