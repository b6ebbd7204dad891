"""How formats of other programs are read, under `formats:` in the config file."""

from typing import Literal

import msgspec


def _resource_labels() -> dict[str, str]:
    return {
        "service.name": "service",
        "cloud.region": "region",
        "service.instance.id": "instance",
    }


class FormatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the formats themselves do not say."""

    #: OpenTelemetry resource attribute -> the label that it becomes; all others are left out.
    otlp_resource_labels: dict[str, str] = msgspec.field(default_factory=_resource_labels)
    #: What Telegraf's `json_timestamp_units` says.
    telegraf_timestamp_unit: Literal["1s", "1ms", "1us", "1ns"] = "1s"
