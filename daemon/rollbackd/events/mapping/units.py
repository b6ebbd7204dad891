"""Units that a mapping converts: `ms -> s`, `% -> ratio`, `MiB -> bytes`."""

from typing import Final

#: Family -> unit -> how much of the first unit it is; prefixes as in IEC 80000-13.
_FAMILIES: Final[dict[str, dict[str, float]]] = {
    "time": {
        "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3_600.0, "d": 86_400.0,
    },
    "share": {"ratio": 1.0, "%": 1e-2},
    "size": {
        "bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024.0, "MiB": 1024.0**2,
        "GiB": 1024.0**3,
    },
    "count": {"ones": 1.0, "thousands": 1e3, "millions": 1e6},
}  # fmt: skip

UNITS: Final = tuple(unit for family in _FAMILIES.values() for unit in family)


class UnitError(ValueError):
    """A conversion that cannot be; `unit` is the one that is not known, if that is why."""

    def __init__(self, message: str, unit: str = "") -> None:
        super().__init__(message)
        self.unit = unit


def conversion(text: str) -> tuple[float, float]:
    """`ms -> s` is (0.001, 1): multiply by the one, divide by the other. Raises UnitError."""
    source, arrow, target = (word.strip() for word in text.partition("->"))
    if not arrow or not source or not target:
        raise UnitError(f"`{text}` is not a conversion; write it like `ms -> s`")
    for unit in (source, target):
        if unit not in UNITS:
            raise UnitError(f"`{unit}` is not a known unit; known are {_listed(UNITS)}", unit)
    family = next(found for found in _FAMILIES.values() if source in found)
    if target not in family:
        raise UnitError(f"`{source}` cannot become `{target}`; it can become {_listed(family)}")
    # 300 / 1000 is 0.3, and 300 * 0.001 is not
    many = family[source] / family[target]
    return (1.0, 1 / many) if many < 1 else (many, 1.0)


def _listed(units: tuple[str, ...] | dict[str, float]) -> str:
    return ", ".join(f"`{unit}`" for unit in units)
