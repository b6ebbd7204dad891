"""What an application imports to obey rollbackd: nothing of the daemon, only redis-py.

    with Guard("rag/eu-1", RedisAddress(url="redis://127.0.0.1:6379/0")) as guard:
        with guard.write() as write:  # 503 with Retry-After while writers are frozen
            guard.once(write, key, charge, find=find_charge)

`Guard` is for threads and `AsyncGuard` for asyncio. docs/guard.md has the rest.
"""

from rollbackd.guard.address import RedisAddress
from rollbackd.guard.admission import Admission, Admittance
from rollbackd.guard.async_guard import AsyncGuard
from rollbackd.guard.breaker import BreakerOpenError, BreakerState, CircuitBreaker
from rollbackd.guard.bucketing import Arm
from rollbackd.guard.consuming import Turn
from rollbackd.guard.effects import Claim, EffectNotMadeError
from rollbackd.guard.errors import (
    EffectBusyError,
    EffectConflictError,
    EffectInDoubtError,
    GuardError,
    GuardUnavailableError,
    Refusal,
    WriteRefusedError,
)
from rollbackd.guard.guard import Guard
from rollbackd.guard.idempotency import Decision, Receipt, Status, idempotency_key
from rollbackd.guard.single_flight import Flight
from rollbackd.guard.view import Token
from rollbackd.guard.writes import Write

__all__ = [
    "Admission",
    "Admittance",
    "Arm",
    "AsyncGuard",
    "BreakerOpenError",
    "BreakerState",
    "CircuitBreaker",
    "Claim",
    "Decision",
    "EffectBusyError",
    "EffectConflictError",
    "EffectInDoubtError",
    "EffectNotMadeError",
    "Flight",
    "Guard",
    "GuardError",
    "GuardUnavailableError",
    "Receipt",
    "RedisAddress",
    "Refusal",
    "Status",
    "Token",
    "Turn",
    "Write",
    "WriteRefusedError",
    "idempotency_key",
]
