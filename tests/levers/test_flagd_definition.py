"""Editing one flag in the text of a definition."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.errors import PermanentError
from rollbackd.levers.flagd_definition import FlagText, off_variant

KILLED = {"state": "ENABLED", "defaultVariant": "off", "targeting": {}}

TEXT = """{
\t"$schema": "https://flagd.dev/schema/v0/flags.json",
\t"$comment": "checkout team, see RUN-7",
\t"flags": {
\t\t"banner": {"state":"ENABLED", "variants":{"on":true,"off":false}, "defaultVariant":"on"},
\t\t"canary" : {
\t\t\t"state": "ENABLED",
\t\t\t"x-owner": ["search",   1e2],
\t\t\t"variants": {"on": true, "off": false},
\t\t\t"targeting": { "if": [ {"==": [{"var": "a\\u00e9}"}, "}{"]},
\t\t\t                       "on", "off" ] },
\t\t\t"defaultVariant" :  "on"
\t\t}
\t}
}\r
"""


def test_a_kill_changes_two_values_and_no_other_byte() -> None:
    """Other flags, comments, unknown keys, order, spaces and line ends stay."""
    targeting = TEXT[TEXT.index('{ "if"') : TEXT.index(',\n\t\t\t"defaultVariant')]
    killed = FlagText(TEXT, "canary").with_value(KILLED, {})
    assert killed == TEXT.replace(targeting, "{}").replace(' :  "on"', ' :  "off"')
    assert FlagText(killed, "canary").value == KILLED


def test_the_very_text_comes_back() -> None:
    """With the pieces that were kept."""
    before = FlagText(TEXT, "canary")
    killed = FlagText(before.with_value(KILLED, {}), "canary")
    assert killed.with_value(before.value, before.pieces) == TEXT


@pytest.mark.parametrize("field", ["state", "defaultVariant", "targeting"])
def test_what_was_left_out_is_added_where_it_is_needed(field: str) -> None:
    """And what comes back means what stood there."""
    flag = json.loads(TEXT)["flags"]["canary"]
    del flag[field]
    text = json.dumps({"flags": {"canary": flag}}, indent=4)
    before = FlagText(text, "canary")
    killed = FlagText(before.with_value(KILLED, {}), "canary")
    assert killed.value == KILLED
    assert FlagText(killed.with_value(before.value, before.pieces), "canary").value == before.value


def test_a_disabled_flag_is_enabled_to_say_off() -> None:
    """Disabled, it would have no value at all."""
    text = TEXT.replace('"state": "ENABLED"', '"state": "DISABLED"')
    before = FlagText(text, "canary")
    assert before.value["state"] == "DISABLED"
    killed = FlagText(before.with_value(KILLED, {}), "canary")
    assert killed.value == KILLED
    assert killed.with_value(before.value, before.pieces) == text


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    flags=st.dictionaries(names, st.dictionaries(names, anything), max_size=3),
    name=names,
    variant=names,
    targeting=st.dictionaries(names, anything, max_size=2),
    indent=st.sampled_from([None, 0, 1, "\t"]),
    ascii_only=st.booleans(),
)
def test_any_definition_is_killed_and_put_back(
    flags: dict[str, object],
    name: str,
    variant: str,
    targeting: dict[str, object],
    indent: int | str | None,
    ascii_only: bool,  # noqa: FBT001  # hypothesis names it
) -> None:
    """The other flags stay equal, and the text is the same again in the end."""
    flag = {"variants": {variant: 1, "off": 0}, "defaultVariant": variant, "targeting": targeting}
    definition = {"flags": {**flags, name: flag}}
    text = json.dumps(definition, indent=indent, ensure_ascii=ascii_only)
    before = FlagText(text, name)
    killed = before.with_value(KILLED, {})
    assert json.loads(killed) == {
        "flags": {**flags, name: {**flag, "defaultVariant": "off", "targeting": {}}}
    }
    assert FlagText(killed, name).with_value(before.value, before.pieces) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no object `flags`"),
        ('{"flags": [{"key": "canary"}]}', "no object `flags`"),
        ('{"flags": {}}', "no flag `canary`"),
        ('{"flags": {"canary": true}}', "`canary` is no object"),
        ('{"flags": {"canary": {}}}', "has no variants"),
        ('{"flags": {"canary": {"variants": {}}}}', "has no variants"),
        ('{"flags": {"canary": {"variants": {"a": 1}, "state": "off"}}}', 'unknown state `"off"`'),
        ('{"flags": {"canary": {"variants": {"a": 1}, "targeting": [1]}}}', "is no object"),
        ('{"flags": {"canary": {"variants": {"a": 1}, "state": "ENABLED", "state": "DISABLED"}}}',
         "`state` twice"),
        ("[" * 5_000, "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_definition_is_refused(text: str, said: str) -> None:
    """And the message names what is odd."""
    with pytest.raises(PermanentError, match=said):
        FlagText(text, "canary")


@pytest.mark.parametrize(
    ("variants", "named", "found"),
    [
        ({"on": True, "off": False}, "", "off"),
        ({"yes": True, "no": False}, "", "no"),
        ({"yes": True, "no": False}, "yes", "yes"),
        ({"on": True, "off": False, "control": False}, "", "off"),
        ({"v1": "a", "off": "b"}, "", "off"),
    ],
)
def test_the_off_variant(variants: dict[str, object], named: str, found: str) -> None:
    """Named, the only one that is false, or called `off`."""
    assert off_variant(variants, named, "canary") == found


@pytest.mark.parametrize(
    ("variants", "named"),
    [
        ({"a": 1, "b": 2}, ""),
        ({"no": False, "never": False}, ""),
        ({"off": True, "no": False}, ""),
        ({"on": True, "off": False}, "control"),
        ({"zero": 0, "one": 1}, ""),
    ],
)
def test_an_off_variant_is_never_guessed(variants: dict[str, object], named: str) -> None:
    """Every variant stands in the message."""
    with pytest.raises(PermanentError) as raised:
        off_variant(variants, named, "canary")
    assert all(f"`{name}`" in str(raised.value) for name in variants)


YAML = """\
# checkout team, see RUN-7
$schema: https://flagd.dev/schema/v0/flags.json
flags:
  banner: {state: ENABLED, variants: {'on': true, 'off': false}, defaultVariant: 'on'}   # one line
  canary:
    state: ENABLED   # since May
    variants:
      'on': true
      'off': false
    # who gets it
    targeting:   # JsonLogic
      if:   # half of them
        - {"ends_with": [{"var": "email"}, '@example.com']}
        - 'on'
        - 'off'

    # what the others get
    defaultVariant:   "on"   # for now
  size:
    variants: {s: 1, l: 2}
"""


class TestYaml:
    """The same, with comments, in the other notation that flagd reads."""

    def test_a_kill_changes_two_values_and_no_other_byte(self) -> None:
        """Comments inside the targeting go with it, all others stay."""
        before = FlagText(YAML, "canary", is_yaml=True)
        killed = before.with_value(KILLED, {})
        targeting = YAML[YAML.index("if:") : YAML.index("\n\n    # what")]
        assert killed == YAML.replace(targeting, "{}").replace(':   "on"', ':   "off"')
        assert yaml.safe_load(killed)["flags"]["canary"]["targeting"] == {}
        after = FlagText(killed, "canary", is_yaml=True)
        assert after.value == KILLED
        assert after.with_value(before.value, before.pieces) == YAML

    @pytest.mark.parametrize("default_flow_style", [True, False, None])
    @settings(deadline=None)
    @given(
        flags=st.dictionaries(names, st.dictionaries(names, anything), max_size=2),
        name=names,
        targeting=st.dictionaries(names, anything, max_size=2),
        state=st.sampled_from(["ENABLED", "DISABLED", None]),
    )
    def test_any_definition_is_killed_and_put_back(
        self,
        default_flow_style: bool | None,  # noqa: FBT001  # PyYAML names it
        flags: dict[str, object],
        name: str,
        targeting: dict[str, object],
        state: str | None,
    ) -> None:
        """As PyYAML reads it; it writes and reads YAML 1.1, as flagd does."""
        flag = {"variants": {"on": 1, "off": 0}, "defaultVariant": "on", "targeting": targeting}
        flag |= {} if state is None else {"state": state}
        definition = {"flags": {**flags, name: flag}}
        text = yaml.safe_dump(definition, default_flow_style=default_flow_style)
        before = FlagText(text, name, is_yaml=True)
        killed = before.with_value(KILLED, {})
        flag |= KILLED if state is not None else {"defaultVariant": "off", "targeting": {}}
        assert yaml.safe_load(killed) == {"flags": {**flags, name: flag}}
        assert FlagText(killed, name, is_yaml=True).with_value(before.value, before.pieces) == text

    @pytest.mark.parametrize("flow", [True, False])
    def test_a_default_that_was_left_out_is_added(self, flow: bool) -> None:  # noqa: FBT001
        """In the notation of the flag."""
        flag = {"variants": {"on": True, "off": False}}
        text = yaml.safe_dump({"flags": {"canary": flag}}, default_flow_style=flow)
        killed = FlagText(text, "canary", is_yaml=True).with_value(KILLED, {})
        expected = {"flags": {"canary": {**flag, "defaultVariant": "off"}}}
        assert yaml.safe_load(killed) == expected

    def test_an_empty_default_is_filled(self) -> None:
        """It has no text that could be replaced."""
        text = "flags:\n  c:\n    variants: {'off': false, a: true}\n    defaultVariant:  # none\n"
        killed = FlagText(text, "c", is_yaml=True).with_value(KILLED, {})
        assert killed == text.replace("Variant:", 'Variant: "off"')

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("flags: [", "yaml/syntax"),
            ("flags: {a: &x {}, b: *x}", "yaml/alias"),
            ("", "no object `flags`"),
            ("flags: {canary: {variants: {on: true, off: false}}}", "`on`.* put it in quotes"),
            ("flags: {canary: {variants: {'off': 1}, defaultVariant: off}}", "`off`.* in quotes"),
        ],
    )
    def test_what_is_no_definition_is_refused(self, text: str, said: str) -> None:
        """Also where flagd would read something else than stands there."""
        with pytest.raises(PermanentError, match=said):
            FlagText(text, "canary", is_yaml=True)
