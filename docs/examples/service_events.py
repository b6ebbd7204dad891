"""Native events of a service, to rollbackd's HTTP API or to a Kafka topic. See docs/events.md.

They are sent in the background, in batches, and dropped rather than waited for: a service works
without rollbackd.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

logger = logging.getLogger("service.events")

MOST = 20_000
BATCH = 1_000
EVERY_SECONDS = 0.2


class Events:
    """What one scope has to say; `url` is `http://.../api/v1/events`, or empty for nowhere.

    `kafka://HOST:PORT/TOPIC` needs aiokafka; the key of a record is the scope.
    """

    def __init__(self, url: str, scope: str) -> None:
        self.scope = scope
        self._url = urlsplit(url)
        self._service, _, self._region = scope.partition("/")
        # a full one drops its oldest
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._task: asyncio.Task[None] | None = None

    def say(self, event: str, **fields: object) -> None:
        """Add one event. Never waits, never raises."""
        if self._url.scheme:
            named = {"event": event, "service": self._service, "region": self._region}
            self._waiting.append({**named, "ts": time.time(), **fields})

    async def __aenter__(self) -> Self:
        if self._url.scheme:
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        run = self._to_kafka if self._url.scheme == "kafka" else self._to_http
        while True:
            try:
                await run()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.warning("events wait or are dropped: %s", type(error).__name__)
                await asyncio.sleep(1)

    async def _to_http(self) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                if not (batch := self._batch()):
                    await asyncio.sleep(EVERY_SECONDS)
                    continue
                try:
                    async with session.post(self._url.geturl(), json=batch) as response:
                        if response.status >= 500:
                            response.raise_for_status()
                        if response.status >= 400:
                            logger.error("events were refused: %s", await response.text())
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise

    async def _to_kafka(self) -> None:
        from aiokafka import AIOKafkaProducer  # noqa: PLC0415  # only who uses it needs it

        producer: Any = AIOKafkaProducer(
            bootstrap_servers=self._url.netloc, enable_idempotence=True
        )
        await producer.start()
        try:
            while True:
                for event in self._batch():
                    value = json.dumps(event).encode()
                    await producer.send(self._url.path[1:], value, key=self.scope.encode())
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            await producer.stop()

    def _batch(self) -> list[dict[str, Any]]:
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
