"""What a guard refuses with. Each knows the HTTP answer that fits.

GuardError
+-- WriteRefusedError      writers stand still here, or this process may not know whether they do
+-- GuardUnavailableError  Redis is needed for this and cannot be reached
+-- EffectBusyError        another try of the same effect is under way
+-- EffectConflictError    the same key was used for another request
+-- EffectInDoubtError     an earlier try may have had its effect, and nobody could find out
"""

from enum import StrEnum
from typing import Any, ClassVar, Final

#: Marks what is refused because rollbackd has frozen the writers.
REFUSED_HEADER: Final = "X-Rollbackd-Refused"


class GuardError(Exception):
    """The root; `status` and `headers` are the HTTP answer to give."""

    #: 503 with `Retry-After`: clients that honour the standard come back by themselves, while a
    #: 423 makes most of them give up (requirement K20).
    status: ClassVar[int] = 503

    @property
    def counted_as(self) -> int:
        """The status code to count the request by, in events and in metrics."""
        return self.status

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise made anew from its message alone, which fails in the pool of
        # processes that it is handed through when its class asks for more.
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds (RFC 9110, 10.2.3); empty where a repetition is of no use."""
        return {"Retry-After": str(self.retry_after_seconds)} if self.status == 503 else {}


def _restored(kind: type[GuardError], args: tuple[Any, ...], state: dict[str, Any]) -> GuardError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class Refusal(StrEnum):
    """Why a write may not be made."""

    #: The scope's writers are fenced.
    FROZEN = "frozen"
    #: The controls were last read too long ago: they may have changed.
    STALE = "stale"
    #: The `writes` control has changed since this write began.
    SUPERSEDED = "superseded"


class WriteRefusedError(GuardError):
    """The write must not be made, and `reason` says why."""

    def __init__(self, reason: Refusal, *, retry_after_seconds: int) -> None:
        super().__init__(f"the write is refused: {reason}", retry_after_seconds=retry_after_seconds)
        self.reason = reason

    @property
    def counted_as(self) -> int:
        """423 where rollbackd has frozen the writers: its doing, no error of the service."""
        return 503 if self.reason is Refusal.STALE else 423

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After`, and for a freeze `X-Rollbackd-Refused`, by which access logs tell it."""
        told = {} if self.reason is Refusal.STALE else {REFUSED_HEADER: Refusal.FROZEN.value}
        return {**super().headers, **told}


class GuardUnavailableError(GuardError):
    """Redis did not do what was asked, or did not say so; nothing else is known."""


class EffectBusyError(GuardError):
    """Another try holds the effect's lease, or is finding out what became of an earlier one."""


class EffectInDoubtError(GuardError):
    """The effect may have happened. It is not tried again before that is known."""


class EffectConflictError(GuardError):
    """The key stands for another request: the caller has made a mistake."""

    status: ClassVar[int] = 409
