"""What is remembered of changes."""

import asyncio

import pytest
from msgspec.structs import replace

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.app.changes import Changes
from rollbackd.clock import ManualClock
from rollbackd.errors import TemporaryError
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.labels import Scope
from tests.incidents.samples import NOW, opened
from tests.stores.samples import record_of

EU = Scope("rag", "eu")


async def settled() -> None:
    """Whatever can go on has."""
    for _ in range(20):
        await asyncio.sleep(0)


def change(time_ms: int, kind: str = "deploy", scope: Scope = EU) -> ChangeEvent:
    return ChangeEvent(scope=scope, kind=ChangeKind(kind), subject="s", time_ms=time_ms)


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "found"), [(1, 3, [1, 2, 3]), (2, 2, [2]), (4, 9, []), (3, 1, [])]
)
def test_changes_of_a_time_come_oldest_first(
    since_ms: int, until_ms: int, found: list[int]
) -> None:
    changes = Changes()
    changes.note([change(2), change(3)])
    changes.note([change(1), change(2), change(5, scope=Scope("rag", "us"))])
    told = changes.of(EU, since_ms=since_ms, until_ms=until_ms)
    assert [each.time_ms for each in told] == found


def test_the_newest_of_a_scope_are_kept() -> None:
    changes = Changes(most=3)
    changes.note([change(n) for n in (5, 1, 4, 2, 3)])
    assert [c.time_ms for c in changes.of(EU, since_ms=0, until_ms=9)] == [3, 4, 5]


def test_the_newest_of_a_kind_is_found() -> None:
    changes = Changes()
    changes.note([change(1, "flag"), change(2, "index"), change(3, "flag"), change(4)])
    assert changes.newest(EU, ChangeKind.FLAG) == change(3, "flag")
    assert changes.newest(EU, ChangeKind.PROMPT) is None


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_the_newest_of_each_kind_outlives_any_number_of_others(kind: ChangeKind) -> None:
    changes, others = Changes(most=3), [other for other in ChangeKind if other is not kind]
    changes.note([change(1, kind), *(change(n, others[n % 4]) for n in range(2, 200))])
    assert changes.newest(EU, kind) == change(1, kind)
    assert changes.of(EU, since_ms=0, until_ms=1) == [change(1, kind)]
    assert changes.before(61, EU, 60) != []


def test_a_change_without_a_region_is_one_of_every_region() -> None:
    changes, everywhere = Changes(), Scope("rag")
    changes.note([change(2, "index", everywhere), change(1, "index"), change(3, "flag")])
    assert changes.newest(EU, ChangeKind.INDEX) == change(2, "index", everywhere)
    assert [c.time_ms for c in changes.before(9, EU, 9)] == [1, 2, 3]
    changes.note([change(4, "index")])
    assert changes.newest(EU, ChangeKind.INDEX) == change(4, "index")
    assert changes.newest(Scope("rag", "us"), ChangeKind.INDEX) == change(2, "index", everywhere)
    assert changes.of(everywhere, since_ms=0, until_ms=9) == [change(2, "index", everywhere)]
    assert changes.of(Scope("other", "eu"), since_ms=0, until_ms=9) == []


async def test_what_another_replica_was_told_is_read_from_the_store() -> None:
    """And when it flipped back: the incident ended before this replica looked again."""
    store, here = MemoryStore(), Changes()
    await here.look(store, NOW)
    await store.put_changes([change(NOW + 1, "index")])
    await here.look(store, NOW + 2)
    assert here.newest(EU, ChangeKind.INDEX) == change(NOW + 1, "index")
    flipped = replace(opened(), scope=EU, flipped_at_ms=NOW + 4)
    await store.open_incident(flipped, record_of(flipped))
    assert here.flipped_ms(EU) == 0
    await here.look(store, NOW + 5)
    assert here.flipped_ms(EU) == NOW + 4


async def test_other_replicas_are_followed_also_after_the_store_was_away() -> None:
    """A look that fails is followed by the next one."""

    class Away(MemoryStore):
        looks = 0

        async def changes(self) -> list[ChangeEvent]:
            self.looks += 1
            if self.looks == 1:
                raise TemporaryError("the store is away")
            return await super().changes()

    store, here, clock = Away(), Changes(), ManualClock(NOW)
    await store.put_changes([change(NOW, "flag")])
    following = asyncio.create_task(here.follow(store, clock))
    for _ in range(2):
        await settled()
        clock.advance(60_000)
    await settled()
    assert store.looks == 2
    assert here.newest(EU, ChangeKind.FLAG) == change(NOW, "flag")
    following.cancel()


def test_scopes_are_bounded_and_those_that_changed_last_stay() -> None:
    changes = Changes()
    for number in range(2_100):
        changes.note([change(number, scope=Scope("s", str(number)))])
    assert changes.of(Scope("s", "0"), since_ms=0, until_ms=9_999) == []
    assert changes.of(Scope("s", "2099"), since_ms=0, until_ms=9_999) != []
