"""How long and how much one caller may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that are the same everywhere; the size of a body is in the settings."""

    #: From the end of the headers to the last byte of the body.
    body_seconds: float = 20.0
    #: From the end of the headers to the answer.
    answer_seconds: float = 30.0
    #: Between two requests, and for the headers of the first one.
    idle_seconds: float = 75.0
    #: For requests that run while the server stops.
    drain_seconds: float = 5.0
    #: Bodies of all callers together that are held in memory.
    buffered_bytes: int = 64 << 20
    #: A body that an operator sends.
    command_bytes: int = 1 << 20
