"""The pause by a local file: it works while the store is down, and outlives a redeploy.

The file's content is the reason. That it is there is enough: one that is empty, or that cannot be
read, pauses too.
"""

import os
from pathlib import Path
from typing import Final

from rollbackd.ports import Pause

_LONGEST_REASON: Final = 1_000


class PauseFile:
    """Reads the file anew each time, so that it counts from the moment it is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Pause | None:
        """The pause that the file stands for, or None when there is no file."""
        try:
            with self.path.open("rb") as file:
                since_ms = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
                text = file.read(4 * _LONGEST_REASON).decode(errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            because = f"`{self.path}` cannot be read: {error.strerror}"
            return Pause(reason=because, by=self._by, since_ms=0)
        reason = text[:_LONGEST_REASON] or f"`{self.path}` is there"
        return Pause(reason=reason, by=self._by, since_ms=since_ms)

    def write(self, reason: str) -> None:
        """Pause. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        draft.write_text(f"{reason}\n", encoding="utf-8")
        draft.replace(self.path)

    def remove(self) -> bool:
        """End the pause; False when there was none. Raises OSError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def _by(self) -> str:
        return f"file {self.path}"
