"""Tables: folded to the terminal, and where there is none each row on a line of its own."""

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDEST: Final = 10_000


def print_table(table: Table) -> None:
    """Print a table; what is piped can be searched and cut line by line."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    widest = console.options.update(width=_WIDEST)
    whole = Console(highlight=False, width=max(1, console.measure(table, options=widest).maximum))
    with whole.capture() as captured:
        whole.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.print(Text("\n".join(lines)), soft_wrap=True)
