"""The windows of the incident's own scope."""

from msgspec.structs import replace

from rollbackd.app.windows import LiveWindows
from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Scope, labels_of
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine
from tests.incidents.samples import opened, trigger_of

_RULES = "groups: [{name: g, rules: [{alert: A, expr: 'x > on () group_left () base'}]}]"


def test_other_scopes_are_left_out_and_what_names_none_is_kept() -> None:
    """Of two services and two regions, and a series for all of them."""
    engine = Engine.build([read_rule_file(_RULES, file="r.yaml")])
    places = [
        {"service": "rag", "region": "eu-1"}, {"service": "rag", "region": "us"},
        {"service": "chat", "region": "eu-1"}, {"service": "rag"}, {},
    ]  # fmt: skip
    engine.ingest(
        [Sample(labels_of({METRIC_NAME: "x", **place}), 1.0, 1_000) for place in places], 1_000
    )
    incident = replace(
        opened(), scope=Scope("rag", "eu-1"),
        triggers=[trigger_of(rule="A", expr="x > on () group_left () base")],
    )  # fmt: skip
    windows = LiveWindows(lambda: engine, ScopeLabels())
    found, beyond = windows.read(incident, 2_000)
    assert [window.labels for window in found] == [{}, places[0], {"service": "rag"}]
    assert beyond == 0
