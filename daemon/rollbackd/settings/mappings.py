"""Which mapping files there are: a mapping is called as its file is, without the ending."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rollbackd.documents.diagnostics import Position
from rollbackd.documents.reader import Document, suggestion
from rollbackd.settings.values import Settings


def mapping_files(paths: Iterable[Path], shipped: Path) -> dict[str, Path]:
    """Name -> file; later folders and files take the place of shipped ones of the same name."""
    found: dict[str, Path] = {}
    for path in (shipped, *paths):
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        found |= {file.stem: file for file in files}
    return found


def check_mappings(
    document: Document, settings: Settings, keys: Mapping[str, Position], shipped: Path
) -> None:
    """Note folders and mappings that are named and not there."""
    start = Position(document.file, 1, 1)
    for path in settings.mappings:
        if not path.exists():
            document.report(
                keys.get("mappings", start),
                "config/no-such-file",
                f"there is no file or folder `{path}`",
            )
    names = mapping_files(settings.mappings, shipped)
    for topic in settings.kafka.topics if settings.kafka else ():
        if topic.mapping and topic.mapping not in names:
            known = ", ".join(f"`{name}`" for name in names)
            document.report(
                keys.get("kafka", start),
                "config/no-such-mapping",
                f"topic `{topic.name}` names mapping `{topic.mapping}`, which is not there; there"
                f" are {known}",
                fix=suggestion(topic.mapping, names) or "name its folder in `mappings:`",
            )
