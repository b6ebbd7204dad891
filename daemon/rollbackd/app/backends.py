"""Opens the store and the controls that the settings name."""

import ssl
from collections.abc import Callable

import msgspec

from rollbackd.app.lifecycle import Cleanups
from rollbackd.connections.redis import RedisConnection
from rollbackd.connections.sqlite import Database
from rollbackd.controls.redis import RedisControls
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.ports import Controls, ReceiptLedger, Store
from rollbackd.settings import Backend, RedisSettings, Settings
from rollbackd.stores.receipts_redis import RedisReceipts
from rollbackd.stores.receipts_sqlite import SQLiteReceipts
from rollbackd.stores.redis import RedisStore
from rollbackd.stores.sqlite import SQLiteStore

#: Wraps the store that was opened; tests put faults in between.
WrapStore = Callable[[Store], Store]
#: The same for the controls.
WrapControls = Callable[[Controls], Controls]


class Backends(msgspec.Struct, frozen=True, kw_only=True):
    """Where durable state and controls live."""

    store: Store
    #: Beside the store, on the same connection.
    receipts: ReceiptLedger
    controls: Controls
    #: The Redis that applications read the controls from; None where it is SQLite.
    controls_redis: RedisConnection | None = None


async def open_backends(settings: Settings, cleanups: Cleanups) -> Backends:
    """Open what is named, once each. Raises TemporaryError or PermanentError."""
    wanted = {settings.store, settings.controls}
    redis = database = None
    if Backend.REDIS in wanted:
        assert settings.redis is not None
        redis = await open_redis(settings.redis)
        cleanups.push("redis", redis.close)
    if Backend.SQLITE in wanted:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        database = await Database.open(settings.state_dir / "rollbackd.sqlite3")
        cleanups.push("database", database.close)
    wait = settings.redis.wait_replicas if settings.redis else 0
    store: Store
    receipts: ReceiptLedger
    controls: Controls
    if settings.store is Backend.REDIS:
        assert redis is not None
        store = await RedisStore.open(redis, wait_replicas=wait)
        receipts = await RedisReceipts.open(redis, wait_replicas=wait)
    else:
        assert database is not None
        store = await SQLiteStore.open(database)
        receipts = await SQLiteReceipts.open(database)
    if settings.controls is Backend.REDIS:
        assert redis is not None
        controls = await RedisControls.open(redis)
    else:
        assert database is not None
        controls = await SQLiteControls.open(database)
    return Backends(
        store=store,
        receipts=receipts,
        controls=controls,
        controls_redis=redis if settings.controls is Backend.REDIS else None,
    )


async def open_redis(settings: RedisSettings) -> RedisConnection:
    """A connection as the settings say."""
    return await RedisConnection.open(
        settings.url,
        username=settings.username,
        password_file=settings.password_file,
        tls=_tls(settings),
    )


def _tls(settings: RedisSettings) -> ssl.SSLContext | None:
    if not settings.url.startswith("rediss://"):
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
