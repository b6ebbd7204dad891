r"""Each effect once, also over a crash between the effect and its seal (requirements K12, K14).

    nothing --claim--> pending --seal--> sealed
                          |  \--abandon--> nothing     the effect surely did not happen
                          \--lease passed, or doubt--> unknown --found--> sealed
                                                          \--not found--> pending

An effect in doubt is looked up downstream before it is tried again, by one process at a time.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rollbackd.guard.errors import (
    EffectBusyError,
    EffectConflictError,
    EffectInDoubtError,
    GuardError,
    GuardUnavailableError,
    Refusal,
    WriteRefusedError,
)
from rollbackd.guard.framing import digest
from rollbackd.guard.idempotency import Decision, Receipt, effect_id_of, read_receipt
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.scripts import CLAIM, SETTLE, Call
from rollbackd.guard.work import Commands, Invoke, Work
from rollbackd.guard.writes import Write

#: How long a sealed receipt is kept: as long as a webhook may be sent again (requirement 3.4).
KEEP_SECONDS: Final = 14 * 86_400

#: Hears of every receipt. It must not wait; what it raises is logged and goes no further.
ReceiptSink = Callable[[Receipt], None]


class EffectNotMadeError(Exception):
    """Raise it from an effect that surely did not happen: its fence is then taken away."""


class _Checks:
    """What the effect has asked of its claim."""

    passed = False
    #: By the first question: nothing was made before it.
    refusal: GuardError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to make one effect now."""

    key: str
    effect_id: str
    #: Hand it to the target with the effect: it grows with each owner.
    fencing_token: int
    write: Write
    _lease_until: float
    _clock: Callable[[], float]
    _checks: _Checks = field(default_factory=_Checks, repr=False, compare=False)

    def check(self) -> None:
        """Call it right before the effect. Raises GuardError when the right has ended.

        Let it through: an effect that ends by the refusal of its first check was not made.
        """
        try:
            self._judge()
        except GuardError as error:
            if not self._checks.passed:
                self._checks.refusal = error
            raise
        self._checks.passed = True

    def is_unmade(self, error: BaseException) -> bool:
        """Whether what the effect has raised says that it surely did not happen."""
        return isinstance(error, EffectNotMadeError) or error is self._checks.refusal

    def _judge(self) -> None:
        self.write.check()
        if self._clock() >= self._lease_until:
            raise EffectInDoubtError(f"the lease of effect `{self.effect_id}` has passed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The fences of one scope."""

    keys: ScopeKeys
    clock: Callable[[], float]
    emit: ReceiptSink
    lease_seconds: float
    keep_seconds: float = KEEP_SECONDS

    def once(
        self,
        write: Write,
        key: str,
        effect: Callable[..., Any],
        *,
        request: str,
        find: Callable[..., Any] | None,
    ) -> Work[Receipt]:
        """See `Guard.once`."""
        attempt = _Attempt(self, write, key, digest("request", request))
        began = self.clock()
        word, fields = yield attempt.claim(take_over=find is not None)
        if word == "duplicate":
            return self._told(read_receipt(key, Decision.DUPLICATE, fields))
        if word == "conflict":
            self.emit(read_receipt(key, Decision.CONFLICT, fields))
            raise EffectConflictError(f"key `{key}` was used for another request")
        if word == "superseded":
            raise WriteRefusedError(Refusal.SUPERSEDED, retry_after_seconds=1)
        if word == "busy":
            raise EffectBusyError(f"effect `{effect_id_of(key)}` is under way")
        if word == "unknown":
            if find is None:
                self.emit(read_receipt(key, Decision.NEW, fields))
                raise _in_doubt(key)
            receipt = yield from self._reconcile(attempt, find)
            if receipt is not None:
                return receipt
            began = self.clock()
            word, fields = yield attempt.settle("retry")
            if word == "superseded":
                raise WriteRefusedError(Refusal.SUPERSEDED, retry_after_seconds=1)
        claim = Claim(
            key=key,
            effect_id=effect_id_of(key),
            fencing_token=int(fields[b"token"]),
            write=write,
            _lease_until=began + self.lease_seconds,
            _clock=self.clock,
        )
        return (yield from self._make(attempt, claim, effect))

    def open(self, limit: int) -> Work[list[Receipt]]:
        """See `Guard.open_effects`."""
        (members,) = yield Commands([("ZRANGE", self.keys.effects, 0, limit - 1)])
        named = [member.decode() for member in members]
        if not named:
            return []
        found = yield Commands([("HGETALL", self.keys.effect(key)) for key in named])
        return [
            read_receipt(key, Decision.NEW, _fields(flat))
            for key, flat in zip(named, found, strict=True)
            if flat
        ]

    def _reconcile(self, attempt: "_Attempt", find: Callable[..., Any]) -> Work[Receipt | None]:
        """The receipt of an effect that is there downstream; None when it is not."""
        try:
            found = yield Invoke(find, (effect_id_of(attempt.key),))
        except BaseException as error:
            yield from self._leave(attempt, "doubt")
            if not isinstance(error, Exception):
                raise
            raise _in_doubt(attempt.key) from error
        if found is None:
            return None
        return (yield from self._seal(attempt, found, reconciled=True))

    def _make(self, attempt: "_Attempt", claim: Claim, effect: Callable[..., Any]) -> Work[Receipt]:
        try:
            claim._judge()  # noqa: SLF001  # it is ours: a check would count as the effect's own
        except GuardError:
            yield from self._leave(attempt, "abandon")
            raise
        try:
            result = yield Invoke(effect, (claim,))
        except BaseException as error:
            # it may have happened all the same, unless the error says that it did not
            yield from self._leave(attempt, "abandon" if claim.is_unmade(error) else "doubt")
            raise
        return (yield from self._seal(attempt, result, reconciled=False))

    def _seal(self, attempt: "_Attempt", result: object, *, reconciled: bool) -> Work[Receipt]:
        text = "" if result is None else str(result)
        try:
            word, fields = yield attempt.settle("seal", result=text)
        except GuardUnavailableError as error:
            # its lease passes by itself, and then it is in doubt
            raise _in_doubt(attempt.key) from error
        if word != "sealed":
            # made, and somebody else has taken it over: two may have been made
            self.emit(read_receipt(attempt.key, Decision.CONFLICT, fields))
            raise EffectInDoubtError(
                f"effect `{effect_id_of(attempt.key)}` was made after its lease had passed"
            )
        decision = Decision.DUPLICATE if reconciled else Decision.NEW
        return self._told(read_receipt(attempt.key, decision, fields, reconciled=reconciled))

    def _told(self, receipt: Receipt) -> Receipt:
        self.emit(receipt)
        return receipt

    def _leave(self, attempt: "_Attempt", verb: str) -> Work[None]:
        """Say why it is left; without Redis its lease passes by itself, and then it is in doubt."""
        try:
            _, fields = yield attempt.settle(verb)
        except GuardUnavailableError:
            return
        self.emit(read_receipt(attempt.key, Decision.NEW, fields))


class _Attempt:
    """One caller's try at one effect, with a name of its own."""

    def __init__(self, effects: Effects, write: Write, key: str, request: str) -> None:
        self.key = key
        self._request = request
        self._owner = secrets.token_hex(16)
        self._effects = effects
        self._write = write
        names = effects.keys
        self._keys = (names.effect(key), names.effects)
        self._control = names.control("writes")

    def claim(self, *, take_over: bool) -> Call[tuple[str, dict[bytes, bytes]]]:
        """Take the fence."""
        return Call(
            CLAIM,
            self._keys,
            (
                *(self._owner, self._request, effect_id_of(self.key)),
                *(_ms(self._effects.lease_seconds), *self._write.token),
                *(self.key, int(take_over), self._control),
            ),
            _reply,
        )

    def settle(self, verb: str, *, result: str = "") -> Call[tuple[str, dict[bytes, bytes]]]:
        """Say what became of it."""
        leased, kept = _ms(self._effects.lease_seconds), _ms(self._effects.keep_seconds)
        return Call(
            SETTLE,
            self._keys,
            (self._owner, verb, self.key, leased, kept, *self._write.token, result, self._control),
            _reply,
        )


def _in_doubt(key: str) -> EffectInDoubtError:
    return EffectInDoubtError(f"effect `{effect_id_of(key)}` may have been made")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _reply(reply: Any) -> tuple[str, dict[bytes, bytes]]:
    word, flat = reply
    return word.decode(), _fields(flat)


def _fields(flat: Any) -> dict[bytes, bytes]:
    # redis-py turns the reply to a plain HGETALL into a dict, and leaves a script's as it is
    return dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
