"""`confirm:` of a freeze -> FreezeProbe: what has to prove that writers stand still."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rollbackd.documents.reader import Fields, Reader
from rollbackd.model.policy import FreezeProbe

_WRITE: Final = ("probe", "url", "method", "body", "token_file", "refused_with")
_CONSUMERS: Final = ("probe", "group", "idle")
#: One probe has three seconds, the two looks included.
_LONGEST_IDLE_MS: Final = 2_000
_ACKNOWLEDGEMENTS: Final = ("probe", "readers", "control")
#: Fences that guards acknowledge.
_FENCES: Final = ("writes", "consumers")
_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")
#: 423 Locked and 503 Service Unavailable: how a service says that it takes no writes (K20).
_REFUSALS: Final = (423, 503)


class Askable(NamedTuple):
    """Whom the config lets a branch ask."""

    kafka: bool = True
    #: Guards acknowledge where they read the controls: in Redis.
    guards: bool = True
    #: Systems downstream that list their effects.
    listings: bool = True


#: What holds where there is no config.
ANYBODY: Final = Askable()


def read_probes(reader: Reader, askable: Askable) -> list[FreezeProbe]:
    """Every probe of the list; one that is wrong is reported and left out."""
    probes = [_probe(item, askable) for item in reader.items()]
    return [probe for probe in probes if probe is not None]


def _probe(reader: Reader, askable: Askable) -> FreezeProbe | None:
    kinds = {str(key): value for key, value in reader.entries()}
    named = kinds.get("probe")
    if named is None:
        reader.problem("key/missing", "`probe` is missing", fix="add `probe:`")
        return None
    kind = named.choice(("write", "consumers", "acknowledgements"))
    if kind == "write":
        return FreezeProbe(kind=kind, params=_write(reader.fields(_WRITE, required=("url",))))
    if kind == "consumers":
        if not askable.kafka:
            named.problem(
                "tree/probe-kafka",
                "the config names no Kafka whose consumer group could be asked",
                fix="add `kafka:` to the config, or confirm the freeze by a `write` probe",
            )
        f = reader.fields(_CONSUMERS, required=("group",))
        group, idle_ms = f.read("group", _text, ""), f.read("idle", _idle, 0)
        return FreezeProbe(kind=kind, params={"group": group, "idle_ms": idle_ms})
    if kind == "acknowledgements":
        if not askable.guards:
            named.problem(
                "tree/probe-guards",
                "the controls are not in Redis, where guards acknowledge them",
                fix="add `controls: redis` to the config, or confirm the freeze by a `write` probe",
            )
        f = reader.fields(_ACKNOWLEDGEMENTS)
        control = f.read("control", lambda r: r.choice(_FENCES, "writes"), "writes")
        readers = f.read("readers", _readers, 1)
        return FreezeProbe(kind=kind, params={"readers": readers, "control": control})
    return None


def _write(f: Fields) -> dict[str, object]:
    return {
        "url": f.read("url", _url, ""),
        "method": f.read("method", lambda r: r.choice(_METHODS, "POST"), "POST"),
        "body": f.read("body", Reader.string, ""),
        "token_file": f.read("token_file", _text, ""),
        "refused_with": f.read("refused_with", _statuses, list(_REFUSALS)),
    }


def _readers(reader: Reader) -> int:
    """How many have to have read it: never none, which is what a mistyped scope has."""
    return reader.integer(1, minimum=1, maximum=100_000)


def _idle(reader: Reader) -> int:
    """How long nothing may be committed, in milliseconds."""
    value = reader.duration_ms(1)
    if not 0 < value <= _LONGEST_IDLE_MS:
        reader.problem("value/range", "`idle` must be above `0s` and at most `2s`")
    return value


def _text(reader: Reader) -> str:
    text = reader.string()
    if not text:
        reader.problem("value/range", "the text is empty")
    return text


def _url(reader: Reader) -> str:
    """An address without credentials; those belong in a file."""
    text = reader.string()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        reader.problem(
            "tree/probe-url",
            f"`{text.rpartition('@')[2][:80]}` is not an HTTP address",
            fix="write it as `https://host/path`",
        )
        return ""
    if parts.username is not None or parts.password is not None:
        reader.problem(
            "tree/probe-url",
            "the address of a probe carries credentials",
            fix="put the token into a file and name it with `token_file`",
        )
    return text


def _statuses(reader: Reader) -> list[int]:
    """The answers that count as a refusal: never one that says the write was taken."""
    found = [item.integer(503, minimum=400, maximum=599) for item in reader.items()]
    if not found:
        reader.problem("value/range", "at least one status must count as a refusal")
    return found
