"""The store in memory keeps the contract of the durable ones, but for durability."""

import pytest

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.ports import Store
from tests.stores import test_store_contract as contract

_CLAIMS = (
    contract.test_an_alert_is_offered_until_it_is_handled,
    contract.test_a_repeated_alert_is_the_same_entry,
    contract.test_firing_alerts_follow_the_latest_status,
    contract.test_an_alert_that_turns_back_is_offered_again,
    contract.test_concurrent_repeats_are_accepted_once,
    contract.test_a_scope_has_one_open_incident,
    contract.test_opening_again_changes_nothing,
    contract.test_advance_replaces_the_version_before,
    contract.test_advance_refuses_what_was_made_from_another_version,
    contract.test_of_many_steps_from_one_version_one_is_taken,
    contract.test_incidents_come_newest_first,
    contract.test_what_is_not_there_is_none,
    contract.test_the_newest_known_good_set_counts,
    contract.test_changes_are_bounded,
)


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.__name__)
async def test_the_contract_of_stores_holds(claim: object) -> None:
    """The same claims as for SQLite and Redis."""
    store: Store = MemoryStore()
    await claim(store)  # type: ignore[operator]
