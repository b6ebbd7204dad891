"""What a target really is: whether two scopes that name it mean one thing."""

from typing import Any

import pytest

from rollbackd.app.backtest.dry_controls import DryControls
from rollbackd.clock import ManualClock
from rollbackd.levers import BUILT_IN, build_levers
from rollbackd.levers.exec import ExecSettings
from rollbackd.levers.http_request import HttpRead, HttpRequestSettings, HttpWrite
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Target

EU = Scope("orders", "eu-1")
US = Scope("orders", "us-1")
MAIL = Scope("mail", "eu-1")


def http_request(read: str, **observe: Any) -> LeverDefinition:
    settings = HttpRequestSettings(
        url="http://jobs.example",
        observe=HttpRead(path=read, value={"paused": "/paused"}, **observe),
        # where a move tells who asked for it, the target is still one
        move=HttpWrite(path="/jobs/{name}", body={"by": "{service}/{region}"}),
        kind="temporary",
        wanted={"paused": True},
    )
    return LeverDefinition(type="http_request", settings=settings)


def exec_(*observe: str) -> LeverDefinition:
    settings = ExecSettings(
        program="/bin/true",
        observe=list(observe),
        move=["move", "{service}"],
        kind="temporary",
        wanted={"paused": True},
    )
    return LeverDefinition(type="exec", settings=settings)


def is_one(definition: LeverDefinition, one: Scope, other: Scope) -> bool:
    lever = build_levers(DryControls(), ManualClock(), {"job": definition})["job"]
    places = {lever.place(Target(lever="job", scope=each, name="nightly")) for each in (one, other)}
    return len(places) == 1


@pytest.mark.parametrize(
    ("definition", "regions", "services"),
    [
        (http_request("/jobs/{name}"), True, True),
        (http_request("/jobs/{service}/{name}"), True, False),
        (http_request("/jobs/{name}", query={"region": "{region}"}), False, True),
        (http_request("/jobs", method="POST", body=[{"of": "{service}-{region}"}]), False, False),
        (exec_("observe", "{name}"), True, True),
        (exec_("observe", "{{service}}"), True, True),
        (exec_("observe", "{service}", "{region}"), False, False),
    ],
)
def test_what_is_read_says_whose_it_is(
    definition: LeverDefinition, *, regions: bool, services: bool
) -> None:
    """A read that puts the service or the region in asks for one of its own."""
    assert is_one(definition, EU, US) is regions
    assert is_one(definition, EU, MAIL) is services


def test_two_names_are_two_things() -> None:
    lever = build_levers(DryControls(), ManualClock(), {"job": exec_("observe")})["job"]
    one = Target(lever="job", scope=EU, name="nightly")
    assert lever.place(one) != lever.place(Target(lever="job", scope=EU, name="weekly"))


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_control_is_its_scopes_own(name: str) -> None:
    lever = build_levers(DryControls(), ManualClock())[name]
    one, other = (Target(lever=name, scope=each, name="x") for each in (EU, MAIL))
    assert lever.place(one) != lever.place(other)
