"""What no key of a config can say alone: its parts against each other, and against the disk."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

from rollbackd.documents.diagnostics import Position
from rollbackd.documents.reader import Document
from rollbackd.settings.values import Backend, Settings


def check_consistency(document: Document, settings: Settings, keys: Mapping[str, Position]) -> None:
    """Note everything that is wrong between the keys; `keys` is where the top-level ones stand."""

    def at(key: str) -> Position:
        return keys.get(key, Position(document.file, 1, 1))

    if Backend.REDIS in {settings.store, settings.controls} and settings.redis is None:
        user = "store" if settings.store is Backend.REDIS else "controls"
        document.report(
            at(user),
            "config/no-redis",
            f"`{user}` is to be in Redis, and `redis` is missing",
            fix="add `redis: {url: redis://<host>:6379}`",
        )
    if settings.notifications.cloudevents is not None and settings.kafka is None:
        document.report(
            at("notifications"),
            "config/no-kafka",
            "`notifications.cloudevents` is to go to Kafka, and `kafka` is missing",
            fix="add `kafka: {bootstrap_servers: [...], topics: [...]}`",
        )
    if settings.clock.speed <= 0:
        document.report(
            at("clock"),
            "config/clock",
            "`clock.speed` must be above 0",
            fix="use a number above `0`, or leave `clock` out",
        )
    if settings.http.client_certificates and not (
        settings.http.tls and settings.http.tls.client_ca_file
    ):
        document.report(
            at("http"), "config/mtls", "`client_certificates` need `http.tls.client_ca_file`"
        )
    if not _is_loopback(settings.http.host) and not (
        settings.http.authenticated or settings.http.allow_unauthenticated
    ):
        document.report(
            at("http"),
            "config/open-listener",
            f"`http.host: {settings.http.host}` is not loopback, and nobody has to authenticate",
            fix="add `http.tokens` or `http.client_certificates`, or say "
            "`allow_unauthenticated: true`",
        )
    _check_paths(document, at("rules"), settings.rules)
    _check_paths(document, at("decision_tree"), [settings.decision_tree])
    if settings.levers is not None:
        _check_paths(document, at("levers"), [settings.levers])


def _check_paths(document: Document, where: Position, paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.exists():
            document.report(where, "config/no-such-file", f"there is no file or folder `{path}`")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
