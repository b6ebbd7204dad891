"""Each effect once, on both guards: duplicates, conflicts, doubt, and a child that is killed."""

import asyncio
from typing import Any

import pytest

from rollbackd.guard import (
    Claim,
    Decision,
    EffectBusyError,
    EffectConflictError,
    EffectInDoubtError,
    EffectNotMadeError,
    Receipt,
    Status,
    WriteRefusedError,
    idempotency_key,
)
from tests.guard.conftest import Board, OpenGuard, until
from tests.guard.driving import as_flavor

pytestmark = pytest.mark.services

KEY = idempotency_key(source_type="order", source_id="7", action="charge", tenant="t1")


class Downstream:
    """Where effects land."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(self, claim: Claim) -> str:
        self.made.append(claim.effect_id)
        return f"r{len(self.made)}"

    def find(self, effect_id: str) -> str | None:
        return "found" if effect_id in self.made else None


async def test_a_repetition_gets_the_receipt_of_the_first_try(
    open_guard: OpenGuard, flavor: str
) -> None:
    """And another request under the same key is a conflict; every decision gives a receipt."""
    heard: list[Receipt] = []
    guard = await open_guard(receipts=heard.append)
    there = Downstream()
    make = as_flavor(flavor, there.make)
    with guard.local.write() as write:
        first = await guard.do("once", write, KEY, make, request="10 EUR")
        again = await guard.do("once", write, KEY, make, request="10 EUR")
        with pytest.raises(EffectConflictError) as refused:
            await guard.do("once", write, KEY, make, request="20 EUR")
    assert refused.value.status == 409
    assert len(there.made) == 1
    assert (first.decision, first.status, first.result) == (Decision.NEW, Status.SEALED, "r1")
    assert (again.decision, again.result, again.effect_id) == ("duplicate", "r1", first.effect_id)
    assert first.sealed_at_ms >= first.started_at_ms > 0
    assert [receipt.decision for receipt in heard] == ["new", "duplicate", "conflict"]
    assert heard[0].as_json()["status"] == "sealed"
    assert await guard.do("open_effects") == []


async def test_of_many_at_once_one_makes_it(open_guard: OpenGuard, flavor: str) -> None:
    """The others hear that it is under way, or get its receipt."""
    guard = await open_guard()
    there = Downstream()
    with guard.local.write() as write:
        answers = await asyncio.gather(
            *(guard.do("once", write, KEY, as_flavor(flavor, there.make)) for _ in range(30)),
            return_exceptions=True,
        )
    assert len(there.made) == 1
    assert sum(isinstance(each, Receipt) and each.decision == "new" for each in answers) == 1
    assert all(isinstance(each, Receipt | EffectBusyError) for each in answers)


async def test_an_effect_that_surely_failed_may_be_tried_again(
    open_guard: OpenGuard, flavor: str
) -> None:
    """It leaves no fence behind."""
    guard = await open_guard()

    def refuse(claim: Claim) -> str:
        raise EffectNotMadeError(claim.effect_id)

    with guard.local.write() as write:
        with pytest.raises(EffectNotMadeError):
            await guard.do("once", write, KEY, as_flavor(flavor, refuse))
        receipt = await guard.do("once", write, KEY, as_flavor(flavor, lambda _claim: "ok"))
    assert (receipt.decision, receipt.result) == ("new", "ok")


@pytest.mark.parametrize(("checks", "status"), [(1, None), (2, Status.UNKNOWN)])
async def test_an_effect_that_ends_by_its_first_check_was_not_made(
    board: Board, open_guard: OpenGuard, flavor: str, checks: int, status: Status | None
) -> None:
    """It asks right before the effect; one that asks again may have made a part of it."""
    guard = await open_guard(poll_seconds=4.0, lease_seconds=60.0)
    loop = asyncio.get_running_loop()

    async def freeze() -> None:
        await board.freeze()
        await until(lambda: not guard.local.writes_allowed())

    def meet(claim: Claim) -> Any:
        for _ in range(checks - 1):
            claim.check()
        if flavor == "threads":
            asyncio.run_coroutine_threadsafe(freeze(), loop).result(20)
            return claim.check()
        return later(claim)

    async def later(claim: Claim) -> None:
        await freeze()
        claim.check()

    with guard.local.write() as write, pytest.raises(WriteRefusedError):
        await guard.do("once", write, KEY, as_flavor(flavor, meet))
    assert [each.status for each in await guard.do("open_effects")] == ([status] if status else [])


@pytest.mark.parametrize("happened", [True, False])
async def test_an_effect_in_doubt_is_looked_up_before_anything_else(
    open_guard: OpenGuard, flavor: str, *, happened: bool
) -> None:
    """K14: found downstream it is sealed, otherwise made; without a lookup it stays in doubt."""
    guard = await open_guard()
    there = Downstream()

    def break_off(claim: Claim) -> str:
        if happened:
            there.make(claim)
        raise OSError("the connection is gone")

    with guard.local.write() as write:
        with pytest.raises(OSError, match="gone"):
            await guard.do("once", write, KEY, as_flavor(flavor, break_off))
        (doubtful,) = await guard.do("open_effects")
        assert (doubtful.idempotency_key, doubtful.status) == (KEY, Status.UNKNOWN)
        with pytest.raises(EffectInDoubtError):
            await guard.do("once", write, KEY, as_flavor(flavor, there.make))

        def unreachable(effect_id: str) -> None:
            raise OSError(effect_id)

        with pytest.raises(EffectInDoubtError):
            await guard.do(
                "once",
                write,
                KEY,
                as_flavor(flavor, there.make),
                find=as_flavor(flavor, unreachable),
            )
        receipt = await guard.do(
            "once", write, KEY, as_flavor(flavor, there.make), find=as_flavor(flavor, there.find)
        )
    assert len(there.made) == 1
    assert receipt.status is Status.SEALED
    assert receipt.reconciled is happened
    assert receipt.attempts == (1 if happened else 2)
    assert await guard.do("open_effects") == []


async def test_who_comes_back_after_the_lease_does_not_seal_over_the_next(
    open_guard: OpenGuard, flavor: str
) -> None:
    """The late one hears that two may have been made; its own right had ended before."""
    heard: list[Receipt] = []
    guard = await open_guard(effect_lease_seconds=0.5, receipts=heard.append)
    other = await open_guard()
    tokens: list[int] = []
    refused: list[Exception] = []

    async def take_over() -> None:
        while True:
            try:
                with other.local.write() as write:
                    receipt = await other.do(
                        "once", write, KEY, as_flavor(flavor, lambda _claim: "second"), find=nothing
                    )
                tokens.append(receipt.fencing_token)
            except EffectBusyError:
                continue
            return

    nothing = as_flavor(flavor, lambda _effect_id: None)
    loop = asyncio.get_running_loop()

    def late(claim: Claim) -> Any:
        tokens.append(claim.fencing_token)
        if flavor == "threads":
            asyncio.run_coroutine_threadsafe(take_over(), loop).result(20)
            return ended(claim)
        return later(claim)

    async def later(claim: Claim) -> str:
        await take_over()
        return ended(claim)

    def ended(claim: Claim) -> str:
        try:
            claim.check()
        except EffectInDoubtError as error:
            refused.append(error)
        return "first"

    with guard.local.write() as write, pytest.raises(EffectInDoubtError):
        await guard.do("once", write, KEY, as_flavor(flavor, late))
    assert tokens == sorted(set(tokens))
    assert len(refused) == 1
    assert heard[-1].decision is Decision.CONFLICT
    assert heard[-1].result == "second"


async def test_a_frozen_scope_starts_no_effect(
    board: Board, open_guard: OpenGuard, flavor: str
) -> None:
    """Even by a write that does not know of it yet: the claim compares in Redis."""
    guard = await open_guard(poll_seconds=4.0, lease_seconds=60.0)
    there = Downstream()
    with guard.local.write() as write:
        await board.freeze()
        with pytest.raises(WriteRefusedError):
            await guard.do("once", write, KEY, as_flavor(flavor, there.make))
    assert there.made == []
    assert await guard.do("open_effects") == []
    await until(lambda: not guard.local.writes_allowed())


async def test_a_sink_that_fails_does_not_undo_the_effect(
    open_guard: OpenGuard, flavor: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""

    def full(_receipt: Receipt) -> None:
        raise OSError("full")

    guard = await open_guard(receipts=full)
    with guard.local.write() as write:
        receipt = await guard.do("once", write, KEY, as_flavor(flavor, lambda _claim: "ok"))
    assert receipt.status is Status.SEALED
    assert "a receipt was not taken" in caplog.text


async def test_a_cancelled_effect_is_in_doubt(open_guard: OpenGuard, flavor: str) -> None:
    """It may be under way to the target."""
    if flavor == "threads":
        return
    guard = await open_guard()
    begun = asyncio.Event()

    async def forever(_claim: Claim) -> None:
        begun.set()
        await asyncio.Event().wait()

    with guard.local.write() as write:
        task = asyncio.create_task(guard.do("once", write, KEY, forever))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (doubtful,) = await guard.do("open_effects")
    assert doubtful.status is Status.UNKNOWN
