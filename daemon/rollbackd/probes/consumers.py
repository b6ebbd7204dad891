"""A Kafka consumer group whose members hold no partition writes nothing that it read.

Paused members hold theirs. With `idle_ms` it is enough that nothing is committed for so long: that
shows a member which does not obey the pause, as long as something is produced, and so stands beside
the acknowledgements of those that do.
"""

import asyncio
from typing import Any, Final, cast

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code

from rollbackd.connections.kafka import client_options
from rollbackd.errors import PermanentError
from rollbackd.model.incidents import Confirmation, Incident
from rollbackd.settings import KafkaSettings

_NAME: Final = "consumers"
#: States of a classic group: https://cwiki.apache.org/confluence/x/kEVHAg (KIP-848, "Group Epoch").
_EMPTY: Final = "Empty"
_STABLE: Final = "Stable"
_DEAD: Final = "Dead"


class _Params(msgspec.Struct, frozen=True, kw_only=True):
    group: str
    idle_ms: int = 0


class ConsumersProbe:
    """Confirmed when the group has no member, or only members without a partition, or idle ones.

    A group that the broker does not know is not confirmed: its name may be mistyped. Nor is one
    that is about to share its partitions out.
    """

    def __init__(self, kafka: KafkaSettings | None) -> None:
        self._kafka = kafka

    async def ask(self, _incident: Incident, params: dict[str, object]) -> Confirmation:
        """Describe the group once. Raises PermanentError, OSError."""
        if self._kafka is None:
            raise PermanentError("the config names no Kafka to ask: add `kafka:`")
        wanted = msgspec.convert(params, _Params)
        group = wanted.group
        admin: Any = cast("Any", AIOKafkaAdminClient)(**client_options(self._kafka))
        try:
            await admin.start()
            (described,) = await admin.describe_consumer_groups([group])
            commits = wanted.idle_ms > 0 and await _commits(admin, wanted)
        except KafkaError as error:
            raise PermanentError(f"Kafka cannot be asked: {type(error).__name__}") from error
        finally:
            await admin.close()
        code, _, state, _, _, members, *_ = described.groups[0]
        if code:
            raise PermanentError(f"group `{group}`: {cast('Any', for_code)(code).__name__}")
        because = _objection(state)
        if because:
            return Confirmation(probe=_NAME, confirmed=False, detail=f"group `{group}` {because}")
        held = sum(_partitions(member[4]) for member in members)
        if not held:
            detail = f"group `{group}` holds nothing"
        elif wanted.idle_ms and not commits:
            detail = f"group `{group}` committed nothing for {wanted.idle_ms} ms"
        else:
            still = "still commits" if wanted.idle_ms else f"still holds {held} partitions"
            return Confirmation(probe=_NAME, confirmed=False, detail=f"group `{group}` {still}")
        return Confirmation(probe=_NAME, confirmed=True, detail=detail)


async def _commits(admin: Any, wanted: _Params) -> bool:
    """Whether the committed offsets change between two looks."""
    before = await admin.list_consumer_group_offsets(wanted.group)
    await asyncio.sleep(wanted.idle_ms / 1_000)
    return bool(before != await admin.list_consumer_group_offsets(wanted.group))


def _objection(state: str) -> str:
    if state == _DEAD:
        return "is not known to the broker"
    return "" if state in {_EMPTY, _STABLE} else f"is in state {state}"


def _partitions(assignment: bytes) -> int:
    """How many partitions a member was given; its assignment is empty before its first."""
    if not assignment:
        return 0
    decoded: Any = cast("Any", ConsumerProtocolMemberAssignment).decode(assignment)
    return sum(len(partitions) for _topic, partitions in decoded.assignment)
