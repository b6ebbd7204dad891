"""What is remembered of changes."""

import pytest

from rollbackd.app.changes import Changes
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.labels import Scope

EU = Scope("rag", "eu")


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


def test_scopes_are_bounded_and_those_that_changed_last_stay() -> None:
    changes = Changes()
    for number in range(2_100):
        changes.note([change(number, scope=Scope("s", str(number)))])
    assert changes.of(Scope("s", "0"), since_ms=0, until_ms=9_999) == []
    assert changes.of(Scope("s", "2099"), since_ms=0, until_ms=9_999) != []
