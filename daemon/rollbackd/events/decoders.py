"""The formats of samples by name, with what a stream of them is remembered by."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from rollbackd.events import otlp, prometheus_json, remote_write, telegraf
from rollbackd.events.cloudevents import SeenEvents
from rollbackd.events.collecting import Collector
from rollbackd.events.compression import MAX_UNPACKED
from rollbackd.events.delta_totals import DeltaTotals
from rollbackd.model.events import Rejected
from rollbackd.settings.formats import FormatSettings

#: Format -> the packages that it takes.
FORMATS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "otlp_json": (),
        "otlp_protobuf": ("google.protobuf",),
        "prometheus_json": (),
        "remote_write": ("google.protobuf", "cramjam"),
        "remote_write_v2": ("google.protobuf", "cramjam"),
        "telegraf": (),
    }
)


def missing_for(format: str) -> str:  # noqa: A002  # the name of the setting
    """What to install before a format can be read; empty when all is there."""
    missing = [name for name in FORMATS.get(format, ()) if not _is_there(name)]
    if not missing:
        return ""
    names = " and ".join(name.rpartition(".")[2] for name in missing)
    return f"`{format}` needs the Python packages {names}; install `rollbackd[formats]`"


class Decoders:
    """Reads one stream: a partition, or all that comes over HTTP.

    Deltas are added up, and events with an id recognised, among what came by this stream.
    """

    def __init__(
        self, settings: FormatSettings | None = None, *, max_unpacked: int = MAX_UNPACKED
    ) -> None:
        self._max_unpacked = max_unpacked
        self._settings = settings or FormatSettings()
        self._deltas = DeltaTotals()
        self.seen = SeenEvents()

    def read(self, format: str, body: bytes, into: Collector, *, now_ms: int) -> str:  # noqa: A002
        """Add a body; what was wrong with the series that were left out, or an empty text.

        Raises Rejected, and then has added nothing.
        """
        match format:
            case "remote_write":
                return remote_write.decode_into(body, into, limit=self._max_unpacked)
            case "remote_write_v2":
                return remote_write.decode_v2_into(body, into, limit=self._max_unpacked)
            case "otlp_json" | "otlp_protobuf":
                decode = otlp.decode_json_into
                if format == "otlp_protobuf":
                    decode = otlp.decode_protobuf_into
                labels = self._settings.otlp_resource_labels
                return decode(
                    body, into, resource_labels=labels, deltas=self._deltas, now_ms=now_ms
                )
            case "telegraf":
                unit = self._settings.telegraf_timestamp_unit
                return telegraf.decode_into(body, into, unit=unit, now_ms=now_ms)
            case "prometheus_json":
                return prometheus_json.decode_into(body, into)
        raise Rejected(f"there is no format `{format}`")


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
