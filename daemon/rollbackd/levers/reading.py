"""Reading what other systems answer: typed, and with the patience that their readers need."""

from typing import Final, TypeVar

import msgspec

from rollbackd.connections.http import Answer
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.levers import Target

T = TypeVar("T")

_READER_DELAY_MS: Final = 200


def decoded(answer: Answer, cls: type[T], what: str) -> T:
    """The body of an answer as a Struct. Raises PermanentError that says what is odd, and where."""
    try:
        return msgspec.json.decode(answer.body, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PermanentError(f"{what} answered something odd: {error}") from None


def not_seen_yet(target: Target, said: str) -> TemporaryError:
    """What a reader's lag is: it may pass, and is no sign that somebody moved the target."""
    return TemporaryError(
        f"{target} was written, and its reader has not seen it yet: {said}",
        delay_ms=_READER_DELAY_MS,
    )
