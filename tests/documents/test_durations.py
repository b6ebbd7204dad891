"""Durations as Prometheus writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.documents.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1ms", 1),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("1y", 31_536_000_000),
        ("1y2w3d4h5m6s7ms", 33_019_506_007),
        ("292y", 292 * 31_536_000_000),
    ],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    """Units in order, largest first, each at most once."""
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "m", "-5m", "5 m", "1.5h", "5m1h", "5m5m", "5M", "5min", "5m\n", "\n5m",
        "٣m", "293y", "9" * 5_000 + "d", "00000000000000000000000000000001s",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With the text in the message, shortened where it is long."""
    with pytest.raises(ValueError, match="duration") as caught:
        parse_duration(text)
    assert text[:40] in str(caught.value)


@given(st.integers(0, 292 * 31_536_000_000))
def test_what_is_printed_reads_back(milliseconds: int) -> None:
    """`parse_duration` is the inverse of `format_duration`."""
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (5_400_000, "1h30m"), (604_800_000, "7d"), (1_500, "1s500ms"), (-90_000, "-1m30s")],
)
def test_durations_are_printed_as_people_write_them(milliseconds: int, text: str) -> None:
    """Days, not weeks; a span that is negative says so."""
    assert format_duration(milliseconds) == text
