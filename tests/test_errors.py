"""Errors that applications raise travel: through a pool of processes, and as copies."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable, Iterator

import pytest

import rollbackd.guard
from rollbackd import errors
from rollbackd.errors import TemporaryError
from rollbackd.guard import GuardError, Refusal, WriteRefusedError


class OwnRefusalError(GuardError):
    """An application's own, whose constructor asks for something else."""

    def __init__(self, *, tenant: str) -> None:
        super().__init__(f"no writes for {tenant}", retry_after_seconds=9)
        self.tenant = tenant


def every_error() -> Iterator[type[Exception]]:
    """Those that `rollbackd.errors` and the modules of the guard define."""
    names = [m.name for m in pkgutil.iter_modules(rollbackd.guard.__path__, "rollbackd.guard.")]
    for module in (errors, *map(importlib.import_module, names)):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Exception) and found.__module__ == module.__name__:
                yield found


def _pickled(error: Exception) -> Exception:
    found: Exception = pickle.loads(pickle.dumps(error))
    return found


def example(kind: type[Exception]) -> Exception:
    if kind is OwnRefusalError:
        return OwnRefusalError(tenant="t-1")
    if kind is WriteRefusedError:
        return WriteRefusedError(Refusal.SUPERSEDED, retry_after_seconds=7)
    if kind is TemporaryError:
        return TemporaryError("said", delay_ms=7)
    return kind("said", retry_after_seconds=7) if issubclass(kind, GuardError) else kind("said")


@pytest.mark.parametrize("travel", [_pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", [*every_error(), OwnRefusalError])
def test_an_error_arrives_as_it_left(
    kind: type[Exception], travel: Callable[[Exception], Exception]
) -> None:
    """Its kind, its words and all that it knows."""
    error = example(kind)
    error.add_note("seen by the worker")
    there = travel(error)
    assert type(there) is kind
    assert (str(there), there.args) == (str(error), error.args)
    assert vars(there) == vars(error)


def test_the_errors_are_found() -> None:
    """All of them, wherever they are defined."""
    assert {WriteRefusedError, TemporaryError} < set(every_error())
    assert set(every_error()) >= {
        found
        for name in rollbackd.guard.__all__
        if inspect.isclass(found := getattr(rollbackd.guard, name)) and issubclass(found, Exception)
    }
