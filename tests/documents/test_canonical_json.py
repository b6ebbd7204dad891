"""Canonical JSON against the vectors of RFC 8785."""

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.model.decisions import Reason
from rollbackd.model.labels import Scope

#: Appendix B: IEEE 754 bits and their text.
_NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
    | st.floats(-(2.0**53), 2.0**53),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(("bits", "text"), _NUMBERS.items())
def test_numbers_are_written_as_the_rfc_writes_them(bits: str, text: str) -> None:
    """Appendix B."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number).decode() == text


def test_members_are_sorted_by_utf_16() -> None:
    """Section 3.2.3: the emoji, two surrogates, comes before U+FB33."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    text = canonical_json(dict.fromkeys(names, 0))
    assert list(json.loads(text)) == ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_texts_are_escaped_as_little_as_can_be() -> None:
    """Section 3.2.2.2."""
    text = '\u20ac$\x0f\nA\'B"\\\\"/'
    assert canonical_json(text) == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


def test_values_of_the_model_are_written_without_anything_between() -> None:
    """Structs, enums and tuples, and what JSON cannot say."""
    value = {"b": Scope("rag", "eu"), "a": Reason.PAUSED, "c": (1, 2.0, math.nan, -math.inf)}
    assert canonical_json(value) == (
        b'{"a":"paused","b":{"region":"eu","service":"rag"},"c":[1,2,"nan","-inf"]}'
    )


@given(_JSON)
def test_what_was_written_reads_back_as_the_same(value: object) -> None:
    """And is written the same again."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
