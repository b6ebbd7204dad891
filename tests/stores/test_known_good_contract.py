"""Known good sets in every store: immutable, bounded, and the newest good one is in force."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.model.events import KnownGood, KnownTarget
from rollbackd.model.known_good import SETS_KEPT, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.ports import Store
from tests.backends import Backend, RedisBackend, SQLiteBackend
from tests.stores.samples import NOW, SCOPE

CANDIDATE, GOOD, RETIRED = SetStatus.CANDIDATE, SetStatus.GOOD, SetStatus.RETIRED


class MemoryBackend:
    """What a backtest stands on; it holds its word as long as it lives."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def store(self) -> Store:
        return self._store


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.services), "memory"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Backend | MemoryBackend:
    match request.param:
        case "sqlite":
            return SQLiteBackend(tmp_path_factory.mktemp("store") / "rollbackd.db")
        case "redis":
            return RedisBackend(request.getfixturevalue("redis_server"))
        case _:
            return MemoryBackend()


@pytest.fixture
async def store(backend: Backend | MemoryBackend) -> AsyncIterator[Store]:
    opened = await backend.store()
    yield opened
    await opened.close()


def a_set(
    at: int,
    prompt: str = "p-1",
    *,
    scope: Scope = SCOPE,
    status: SetStatus = GOOD,
    key: str = "",
) -> KnownGood:
    pins = {"PROMPT_VER": prompt}
    return KnownGood(scope=scope, pins=pins, recorded_at_ms=NOW + at, status=status, key=key)


async def test_a_set_is_kept_whole(store: Store, backend: Backend | MemoryBackend) -> None:
    """Under its id, over a restart."""
    whole = replace(
        a_set(0),
        controls={"alias:docs": {"index": "docs_vA"}, "flag:x": {"canary_weight": 0.0}},
        targets={"kubernetes_service:live": KnownTarget(value={"arm": "blue"}, facts={"ready": 3})},
        baseline={"delta_s": {"p95": 0.41, "count": 1800}},
        window_ms=300_000,
        by="ci",
        note="before 2026.11",
        key="run-1",
    )
    assert await store.put_known_good(whole) == whole
    await store.close()
    reopened = await backend.store()
    found = await reopened.known_good_set(whole.id)
    assert found == whole
    assert found is not None
    assert found.id == whole.id
    assert await reopened.known_good(SCOPE) == whole
    await reopened.close()


async def test_a_set_that_is_put_again_is_left_as_it_is(store: Store) -> None:
    """A partition that is read again brings the event again; what was retired stays retired."""
    put = await store.put_known_good(a_set(0))
    retired = await store.set_known_good_status(put.id, RETIRED, by="ann", now_ms=NOW + 5)
    assert await store.put_known_good(a_set(0)) == retired
    assert await store.known_good(SCOPE) is None
    assert await store.known_good_sets(SCOPE) == [retired]


async def test_the_same_key_gives_the_same_set(store: Store) -> None:
    """Within one scope, also when two ask at the same time."""
    first, second = a_set(0, key="run-7"), a_set(1, "p-2", key="run-7")
    found = await asyncio.gather(store.put_known_good(first), store.put_known_good(second))
    assert found[0] == found[1]
    elsewhere = a_set(2, scope=Scope("other"), key="run-7")
    assert await store.put_known_good(elsewhere) == elsewhere
    assert len(await store.known_good_sets()) == 2


async def test_a_candidate_counts_once_it_is_promoted(store: Store) -> None:
    """From then on, however old it is."""
    good = await store.put_known_good(a_set(1, "p-2"))
    candidate = await store.put_known_good(a_set(0, status=CANDIDATE))
    assert await store.known_good(SCOPE) == good
    promoted = await store.set_known_good_status(candidate.id, GOOD, by="ann", now_ms=NOW + 9)
    assert promoted == replace(candidate, status=GOOD, status_at_ms=NOW + 9, status_by="ann")
    assert promoted is not None
    assert promoted.id == candidate.id
    assert await store.known_good(SCOPE) == promoted
    assert await store.all_known_good() == [promoted]
    assert await store.known_good_sets(SCOPE) == [good, promoted]


@pytest.mark.parametrize("order", [("p-1", "p-2"), ("p-2", "p-1")])
async def test_of_two_at_the_same_time_the_last_one_counts(
    store: Store, order: tuple[str, str]
) -> None:
    """And goes on counting, whatever is put beside it."""
    for prompt in order:
        last = await store.put_known_good(a_set(0, prompt))
    assert await store.known_good(SCOPE) == last
    await store.put_known_good(a_set(1, "p-3", status=CANDIDATE))
    assert await store.known_good(SCOPE) == last
    assert await store.all_known_good() == [last]


async def test_promoting_the_set_in_force_changes_nothing(store: Store) -> None:
    """A repeated call is no news."""
    good = await store.put_known_good(a_set(0))
    assert await store.set_known_good_status(good.id, GOOD, by="ann", now_ms=NOW + 9) == good


async def test_an_earlier_set_can_be_brought_back(store: Store) -> None:
    """By promoting it again, or by retiring what came after it."""
    old, new = await store.put_known_good(a_set(0)), await store.put_known_good(a_set(1, "p-2"))
    assert await store.known_good(SCOPE) == new
    again = await store.set_known_good_status(old.id, GOOD, by="ann", now_ms=NOW + 9)
    assert await store.known_good(SCOPE) == again
    await store.set_known_good_status(old.id, RETIRED, by="ann", now_ms=NOW + 10)
    assert await store.known_good(SCOPE) == new
    await store.set_known_good_status(new.id, RETIRED, by="ann", now_ms=NOW + 11)
    assert await store.known_good(SCOPE) is None
    assert await store.all_known_good() == []
    assert [each.status for each in await store.known_good_sets(SCOPE)] == [RETIRED, RETIRED]


async def test_retiring_again_changes_nothing(store: Store) -> None:
    good = await store.put_known_good(a_set(0))
    first = await store.set_known_good_status(good.id, RETIRED, by="ann", now_ms=NOW + 1)
    assert await store.set_known_good_status(good.id, RETIRED, by="bob", now_ms=NOW + 2) == first


async def test_no_status_is_lost_when_two_give_one(store: Store) -> None:
    """One of both, whole."""
    good = await store.put_known_good(a_set(0, status=CANDIDATE))
    await asyncio.gather(
        store.set_known_good_status(good.id, GOOD, by="ann", now_ms=NOW + 1),
        store.set_known_good_status(good.id, RETIRED, by="bob", now_ms=NOW + 2),
    )
    found = await store.known_good_set(good.id)
    assert found is not None
    assert (found.status, found.status_by) in {(GOOD, "ann"), (RETIRED, "bob")}
    in_force = await store.known_good(SCOPE)
    assert in_force == (found if found.status is GOOD else None)


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.known_good_set("KG-20261123T024455-00000000") is None
    assert await store.set_known_good_status("KG-x", GOOD, by="ann", now_ms=NOW) is None
    assert await store.known_good_sets() == []
    assert await store.known_good_sets(SCOPE) == []


async def test_sets_come_newest_first(store: Store) -> None:
    """Of one scope or of all of them."""
    other = Scope("alpha")
    sets = [a_set(n, f"p-{n}", scope=(SCOPE, other)[n % 2]) for n in range(6)]
    for each in (sets[3], sets[0], sets[5], sets[1], sets[4], sets[2]):
        await store.put_known_good(each)
    assert await store.known_good_sets() == sets[::-1]
    assert await store.known_good_sets(limit=2) == [sets[5], sets[4]]
    assert await store.known_good_sets(other) == [sets[5], sets[3], sets[1]]
    assert await store.known_good_sets(other, limit=1) == [sets[5]]
    assert await store.known_good_sets(limit=0) == []
    assert await store.all_known_good() == [sets[5], sets[4]]


async def test_the_oldest_go_but_never_the_one_in_force(store: Store) -> None:
    """Its key is free again, and an index does not remember it."""
    kept = await store.put_known_good(a_set(0, "in force", key="k-0"))
    gone = await store.put_known_good(a_set(1, "gone", status=CANDIDATE, key="k-1"))
    later = [a_set(2 + n, f"c-{n}", status=CANDIDATE) for n in range(SETS_KEPT - 1)]
    for each in later:
        await store.put_known_good(each)
    assert await store.known_good_sets(SCOPE, limit=1_000) == [*later[::-1], kept]
    assert await store.known_good(SCOPE) == kept
    assert await store.known_good_set(gone.id) is None
    again = a_set(500, "again", status=CANDIDATE, key="k-1")
    assert await store.put_known_good(again) == again
    assert await store.put_known_good(a_set(501, key="k-0")) == kept
