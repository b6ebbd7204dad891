"""What a lever says about itself, and what it is built from."""

from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError
from rollbackd.model.levers import LeverKind, PlanRequest
from rollbackd.ports import Controls, Lever

P = TypeVar("P", bound=msgspec.Struct)


class LeverType(Protocol):
    """A class of levers as the catalogue lists it.

    The checks, the JSON schema, the reference pages and the contract suite read nothing else.
    """

    kind: ClassVar[LeverKind]
    #: What the decision tree may give with each call, with defaults and descriptions.
    Params: ClassVar[type[msgspec.Struct]]
    #: What the levers file must give; None for a lever on the controls, which needs nothing.
    Settings: ClassVar[type[msgspec.Struct] | None]
    #: Whether a call has to name what is moved.
    named: ClassVar[bool]


class Surroundings(NamedTuple):
    """What every lever may use beside its own target."""

    controls: Controls
    clock: Clock


class LeverDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """One lever of the levers file: its type by the catalogue's name, and its settings."""

    type: str
    settings: Any


class Closing(Protocol):
    """A lever that keeps connections."""

    async def close(self) -> None:
        """Release them. Idempotent."""
        ...


async def close_lever(lever: Lever) -> None:
    """Release the connections of a lever, where it has any."""
    close = getattr(lever, "close", None)
    if close is not None:
        await close()


def params_of(request: PlanRequest, cls: type[P]) -> P:
    """What the decision tree says, over the defaults. Raises PermanentError.

    The tree was checked when it was read; an incident may carry what an older one said.
    """
    try:
        return msgspec.convert(request.params, cls)
    except msgspec.ValidationError as error:
        raise PermanentError(f"`params` of {request.target.key}: {error}") from None
