"""The errors of this room: a request that is refused with a status code."""

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818  # it is an answer, not a failure of the program
    """A request that gets no further; message and fix are for the caller and hold no secret."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        fix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.fix = fix
        self.headers = dict(headers or {})
