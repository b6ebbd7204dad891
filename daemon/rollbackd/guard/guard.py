"""The guard for threads."""

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rollbackd.guard.address import RedisAddress
from rollbackd.guard.admission import Admission, LocalBuckets, admit
from rollbackd.guard.connection import Connection
from rollbackd.guard.effects import Claim, Effects, ReceiptSink
from rollbackd.guard.errors import GuardUnavailableError
from rollbackd.guard.fenced import set_fields
from rollbackd.guard.idempotency import Receipt
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.local import LocalGuard, steady_clock
from rollbackd.guard.polling import Reader
from rollbackd.guard.scripts import Argument
from rollbackd.guard.single_flight import Flight, get_or_load
from rollbackd.guard.view import Token
from rollbackd.guard.writes import Write

logger = logging.getLogger("rollbackd.guard")

_JOIN_SECONDS = 5.0


class Guard(LocalGuard):
    """Obeys the controls of one scope; a thread of its own keeps them fresh. Safe for threads.

    Make it after a fork, and close it, or use it as a context manager: a reader that vanishes
    keeps a freeze waiting until its lease has passed. `pins` are those that the application runs
    with; `receipts` hears of each effect; `raise_fence` is told each new token of the `writes`
    control before the guard acknowledges it, for a target that keeps the highest itself.
    """

    def __init__(
        self,
        scope: str,
        address: RedisAddress | None = None,
        *,
        pins: Mapping[str, str] | None = None,
        poll_seconds: float = 1.0,
        lease_seconds: float = 5.0,
        effect_lease_seconds: float = 30.0,
        receipts: ReceiptSink | None = None,
        raise_fence: Callable[[Token], None] | None = None,
        clock: Callable[[], float] = steady_clock,
    ) -> None:
        """Read the controls once, and go on without them when Redis cannot be reached.

        `scope` is `service/region`. Raises ValueError for arguments that cannot be meant.
        """
        super().__init__(pins=pins, lease_seconds=lease_seconds, clock=clock, receipts=receipts)
        self._keys = ScopeKeys(scope)
        self._buckets = LocalBuckets(clock)
        self._effects = Effects(
            keys=self._keys, clock=clock, emit=self._emit, lease_seconds=effect_lease_seconds
        )
        self._reader = Reader(
            self._keys,
            self._gate,
            self._turns,
            clock=clock,
            poll_seconds=poll_seconds,
            lease_seconds=lease_seconds,
            raise_fence=raise_fence,
        )
        self._poll_seconds = poll_seconds
        self._connection = Connection(address or RedisAddress())
        self._closing = threading.Event()
        pause = self._poll()
        self._thread = threading.Thread(
            target=self._keep_fresh, args=(pause,), name=f"rollbackd-guard {scope}", daemon=True
        )
        self._thread.start()

    @property
    def reader_id(self) -> str:
        """This process among the readers of the scope: `host:pid:random`."""
        return self._reader.id

    def admit(self, *, tenant: str = "", cost: float = 1.0) -> Admission:
        """Take `cost` tokens from the scope's budget and the tenant's, or say how long to wait.

        Without a limit nobody is asked. While Redis is away each process keeps to the limits by
        itself.
        """
        return self._connection.run(
            admit(self._keys, self._gate.view.throttle, self._buckets, tenant=tenant, cost=cost)
        )

    def once(
        self,
        write: Write,
        key: str,
        effect: Callable[[Claim], object],
        *,
        request: str = "",
        find: Callable[[str], object | None] | None = None,
    ) -> Receipt:
        """Make one effect, unless it was made before; the receipt is then the one of that time.

        `key` comes from `idempotency_key`; `request` is what is asked for, to find a key that is
        used twice. `effect` returns what is to be kept as text. `find` is asked with the
        `effect_id` whether an effect in doubt is there downstream: its result, or None when it
        surely is not.

        Raises EffectBusyError, EffectConflictError, EffectInDoubtError, WriteRefusedError,
        GuardUnavailableError, and what `effect` raises: then the effect is in doubt, unless it is
        EffectNotMadeError.
        """
        return self._connection.run(
            self._effects.once(write, key, effect, request=request, find=find)
        )

    def open_effects(self, limit: int = 100) -> list[Receipt]:
        """Effects that are under way or in doubt, the oldest lease first."""
        return self._connection.run(self._effects.open(limit))

    def set_fields(self, write: Write, key: str, fields: Mapping[str, Argument]) -> None:
        """Set fields of a HASH, if nobody has touched the `writes` control since `write` began.

        The key must hold `{service/region}`. Raises WriteRefusedError, GuardUnavailableError.
        """
        self._connection.run(set_fields(self._keys, write, key, fields))

    def get_or_load(
        self, key: str, load: Callable[[], bytes], flight: Flight | None = None
    ) -> bytes:
        """A cache entry, loaded by one of all who miss it; `key` comes from `cache_key`."""
        return self._connection.run(
            get_or_load(self._keys, key, load, flight or Flight(), self._clock)
        )

    def close(self) -> None:
        """Stop reading, and be no reader any more. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(_JOIN_SECONDS)
        try:
            self._connection.run(self._reader.leave())
        except GuardUnavailableError:
            logger.warning("the reader could not sign off; its lease passes by itself")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _keep_fresh(self, pause: float) -> None:
        hints = self._connection.hints(self._keys.changed)
        while not self._closing.is_set():
            hints.wait(pause, self._closing)
            if not self._closing.is_set():
                pause = self._poll()
        hints.drop()

    def _poll(self) -> float:
        try:
            pause = self._connection.run(self._reader.poll())
        except GuardUnavailableError as error:
            self._report(error)
            return self._poll_seconds
        except Exception:
            # this thread is all that keeps the controls fresh: it never ends by itself
            logger.exception("the controls could not be read")
            return self._poll_seconds
        self._report(None)
        return pause
