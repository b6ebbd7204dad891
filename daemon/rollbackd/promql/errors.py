"""What the language refuses, and where in the expression."""

from rollbackd.documents.catalogue import DiagnosticId


class PromqlError(ValueError):
    """An expression that cannot be compiled.

    `start` and `end` are character offsets into the expression text; `id` is stable.
    """

    def __init__(
        self, id_: DiagnosticId, message: str, start: int = 0, end: int = 0, fix: str = ""
    ) -> None:
        super().__init__(message)
        self.id = id_
        self.message = message
        self.start = start
        self.end = max(end, start + 1)
        self.fix = fix


class EvaluationError(ValueError):
    """An expression that cannot be evaluated on the data at hand, e.g. many-to-many matching."""
