"""A Kafka consumer group whose members hold no partition writes nothing that it read."""

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


class ConsumersProbe:
    """Confirmed when the group has no member, or only members without a partition.

    A group that the broker does not know is not confirmed: its name may be mistyped. Nor is one
    that is about to share its partitions out.
    """

    def __init__(self, kafka: KafkaSettings | None) -> None:
        self._kafka = kafka

    async def ask(self, _incident: Incident, params: dict[str, object]) -> Confirmation:
        """Describe the group once. Raises PermanentError, OSError."""
        if self._kafka is None:
            raise PermanentError("the config names no Kafka to ask: add `kafka:`")
        group = msgspec.convert(params, _Params).group
        admin: Any = cast("Any", AIOKafkaAdminClient)(**client_options(self._kafka))
        try:
            await admin.start()
            (described,) = await admin.describe_consumer_groups([group])
        except KafkaError as error:
            raise PermanentError(f"Kafka cannot be asked: {type(error).__name__}") from error
        finally:
            await admin.close()
        code, _, state, _, _, members, *_ = described.groups[0]
        if code:
            raise PermanentError(f"group `{group}`: {cast('Any', for_code)(code).__name__}")
        because = _objection(state, members)
        if because:
            return Confirmation(probe=_NAME, confirmed=False, detail=f"group `{group}` {because}")
        return Confirmation(probe=_NAME, confirmed=True, detail=f"group `{group}` holds nothing")


def _objection(state: str, members: list[tuple[Any, ...]]) -> str:
    if state == _EMPTY:
        return ""
    if state == _DEAD:
        return "is not known to the broker"
    if state != _STABLE:
        return f"is in state {state}"
    held = sum(_partitions(member[4]) for member in members)
    return f"still holds {held} partitions" if held else ""


def _partitions(assignment: bytes) -> int:
    """How many partitions a member was given; its assignment is empty before its first."""
    if not assignment:
        return 0
    decoded: Any = cast("Any", ConsumerProtocolMemberAssignment).decode(assignment)
    return sum(len(partitions) for _topic, partitions in decoded.assignment)
