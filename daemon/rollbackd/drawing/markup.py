"""HTML and SVG as strings in which every text is escaped."""

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


#: Attributes whose names Python or SVG spell otherwise.
_SPELLED = {"class_": "class", "for_": "for", "viewBox": "viewBox"}
_VOID = frozenset({"meta", "br"})


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """`<tag attributes>children</tag>`; None leaves an attribute out, `_` in a name is `-`."""
    opened = tag
    for name, value in attributes.items():
        if value is not None:
            spelled = _SPELLED.get(name, name.replace("_", "-"))
            shown = f"{value:.1f}" if isinstance(value, float) else str(value)
            opened += f' {spelled}="{escape(shown)}"'
    return Markup(f"<{opened}>" if tag in _VOID else f"<{opened}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str]) -> Markup:
    """The parts one after the other; what is not markup is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    """A table with a head."""
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    body = (element("tr", *(element("td", cell) for cell in row)) for row in rows)
    inner = element("table", element("thead", head), element("tbody", *body))
    return element("div", inner, class_="wide")
