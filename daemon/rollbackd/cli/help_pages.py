"""Help pages in the terms of the field: no names of Python types, and wrapped by the terminal."""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

from typer.core import TyperArgument


def wrapped(text: str) -> str:
    """A docstring whose paragraphs have no line breaks of the source."""
    return "\n\n".join(" ".join(each.split()) for each in cleandoc(text).split("\n\n"))


def name_by_metavar(params: Iterable[Any]) -> None:
    """Leave `FILE` of what typer shows as `FILE <list[Path]>`, and nothing of a flag's `<bool>`."""
    for param in params:
        if isinstance(param, TyperArgument):
            # typer has no setting for it; an option shows its metavar instead of the type
            vars(param)["display_type_rich"] = _no_type
        elif param.is_flag:
            param.metavar = ""


def _no_type(ctx: Any) -> None:  # noqa: ARG001  # as typer calls it
    return None
