"""The flags of the scopes that exist, each made once for its control."""

from collections.abc import Mapping, Sequence

import msgspec

from rollbackd.http.flags import Flag, control_name, flag_of, keys_of
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope


class _Known(msgspec.Struct):
    """What was made for one scope."""

    #: By key, with the control that each was made from; None where a default stands for it.
    flags: dict[str, tuple[Control | None, Flag]] = {}
    #: The names of all controls when `keys` was made.
    names: tuple[str, ...] = ()
    keys: Sequence[str] = ()


class FlagCache:
    """Flags out of a scope's controls; one is made anew when its control is another object.

    It grows with the controls that were written, and not with what callers ask for.
    """

    def __init__(self) -> None:
        self._scopes: dict[Scope, _Known] = {}

    def one(self, controls: Mapping[str, Control], key: str, scope: Scope) -> Flag:
        """The flag of a key."""
        if not controls:
            return flag_of(controls, key, scope)
        return self._flag(self._known(scope), controls, key, scope)

    def all(self, controls: Mapping[str, Control], scope: Scope) -> list[Flag]:
        """Every flag that there is in the scope, by key; one that points at nothing is left out."""
        if not controls:
            flags = [flag_of(controls, key, scope) for key in keys_of(())]
        else:
            known = self._known(scope)
            if known.names != (names := tuple(controls)):
                known.names, known.keys = names, keys_of(names)
            flags = [self._flag(known, controls, key, scope) for key in known.keys]
        return [flag for flag in flags if not flag.rest.is_missing]

    def _known(self, scope: Scope) -> _Known:
        known = self._scopes.get(scope)
        return self._scopes.setdefault(scope, _Known()) if known is None else known

    def _flag(self, known: _Known, controls: Mapping[str, Control], key: str, scope: Scope) -> Flag:
        control = controls.get(control_name(key))
        made = known.flags.get(key)
        if made is not None and made[0] is control:
            return made[1]
        flag = flag_of(controls, key, scope)
        if not flag.rest.is_missing:
            known.flags[key] = control, flag
        return flag
