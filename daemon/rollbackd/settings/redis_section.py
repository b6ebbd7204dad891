"""Reading `redis`: where the store and the controls may be."""

from pathlib import Path

from rollbackd.documents.reader import Reader
from rollbackd.settings.scalars import optional_file
from rollbackd.settings.values import RedisSettings


def read_redis(reader: Reader, folder: Path) -> RedisSettings:
    """The `redis` section."""
    f = reader.fields(
        (
            "url", "username", "password_file", "ca_file", "cert_file", "key_file",
            "wait_replicas",
        ),
        required=("url",),
    )  # fmt: skip
    url = f.get("url")
    if url is not None and any(mark in url.text_of_scalar() for mark in ("@", "password=")):
        # The message must not repeat the URL: the part before `@` may hold a password.
        reader.document.report(
            url.position,
            "config/secret-in-url",
            "`redis.url` must not carry credentials",
            fix="use `username:` and `password_file:`",
        )
    return RedisSettings(
        url=f.read("url", Reader.string, ""),
        username=f.read("username", Reader.string, None),
        password_file=optional_file(f, "password_file", folder),
        ca_file=optional_file(f, "ca_file", folder),
        cert_file=optional_file(f, "cert_file", folder),
        key_file=optional_file(f, "key_file", folder),
        wait_replicas=f.read("wait_replicas", lambda r: r.integer(0, minimum=0), 0),
    )
