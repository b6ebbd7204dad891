"""A control in a few words, where a whole line would be too long."""

from rollbackd.model.controls import DEFAULTS, ControlValue, Kind, kind_of


def gist(name: str, value: ControlValue | None) -> str:
    """What a control says; None is one that was never written."""
    kind = kind_of(name)
    value = {**DEFAULTS[kind], **(value or {})}
    match kind:
        case Kind.FLAG:
            return _flag(value)
        case Kind.ALIAS:
            return str(value["index"])
        case Kind.POINTER:
            return str(value["target"])
        case Kind.PINS:
            return f"{len(value)} pins"
        case Kind.DEGRADE:
            return f"level {value['level']}"
        case Kind.WRITES:
            return f"blocked ({value['scope']})" if value["blocked"] else "open"
        case Kind.CACHE:
            return f"generation {value['generation']}"
        case Kind.CONSUMERS:
            return _consumers(value)
        case Kind.THROTTLE:
            return _throttle(value)


def _flag(value: ControlValue) -> str:
    weight = value["canary_weight"]
    share = f"canary {weight:.0%}" if isinstance(weight, int | float) else "canary ?"
    return f"{share}, switched off" if value["global_off"] else share


def _consumers(value: ControlValue) -> str:
    groups = value["groups"]
    if not value["paused"]:
        return "running"
    named = ", ".join(map(str, groups)) if isinstance(groups, list) else ""
    return f"paused ({named or 'all'})"


def _throttle(value: ControlValue) -> str:
    limit = value["requests_per_second"]
    allowed = "no limit" if limit is None else f"{limit} requests/s"
    return allowed if value["breaker"] == "closed" else f"{allowed}, breaker {value['breaker']}"
