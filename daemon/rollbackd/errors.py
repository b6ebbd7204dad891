"""The two errors that cross a seam, and how a secret is held.

RollbackdError
+-- TemporaryError   try again after `delay_ms`
+-- PermanentError   trying again is useless
"""


class RollbackdError(Exception):
    """The root of all errors that this program raises on purpose."""


class TemporaryError(RollbackdError):
    """A failure that may pass; `delay_ms` says when another try makes sense."""

    def __init__(self, message: str, *, delay_ms: int = 1_000) -> None:
        super().__init__(message)
        self.delay_ms = delay_ms


class PermanentError(RollbackdError):
    """A failure that no retry can mend: the request is wrong, refused or out of date."""
