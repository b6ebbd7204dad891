"""Where to begin reading: the arithmetic, without a broker."""

import pytest

from rollbackd.sources.kafka.start import Log, Progress, Start, starting_point


@pytest.mark.parametrize(
    ("log", "progress", "start"),
    [
        pytest.param(Log(0, 90, 50), Progress(), Start(50, 50), id="no refill: the committed"),
        pytest.param(Log(0, 90, 50, 20), Progress(), Start(20, 50), id="refill one window"),
        pytest.param(Log(0, 90, 50, 70), Progress(), Start(50, 50), id="window after committed"),
        pytest.param(Log(0, 90, 50, None), Progress(), Start(50, 50), id="all older than window"),
        pytest.param(Log(0, 90, None, 20), Progress(), Start(0, 0), id="nothing committed"),
        pytest.param(Log(30, 90, 10, 40), Progress(), Start(30, 30), id="committed has expired"),
        pytest.param(Log(0, 5, 50, 2), Progress(), Start(0, 0), id="the topic was made anew"),
        pytest.param(Log(0, 90, 50, 20), Progress(60, 50), Start(60, 60), id="commit was lost"),
        pytest.param(Log(0, 90, 50, 20), Progress(50, 50), Start(50, 50), id="rebuilt, all fed"),
        pytest.param(Log(0, 90, 80, 20), Progress(50, 50), Start(50, 80), id="others went on"),
        pytest.param(Log(0, 90, 80, 70), Progress(50, 50), Start(70, 80), id="others, long ago"),
        pytest.param(Log(0, 90, 80, 20), Progress(30, 50), Start(30, 80), id="refill broke off"),
        pytest.param(Log(0, 90, 10, 5), Progress(60, 50), Start(5, 10), id="offsets were reset"),
        pytest.param(Log(0, 90, None), Progress(60, 50), Start(0, 0), id="the group was deleted"),
        pytest.param(
            Log(0, 90, None), Progress(60, None), Start(60, 60), id="no commit got through"
        ),
        pytest.param(Log(0, 40, None), Progress(60, None), Start(0, 0), id="a shorter log"),
        pytest.param(Log(70, 90, 50), Progress(60, 50), Start(70, 70), id="fed records expired"),
    ],
)
def test_starting_point(log: Log, progress: Progress, start: Start) -> None:
    assert starting_point(log, progress, offset_reset="earliest") == start


def test_latest_begins_at_the_end_with_full_windows() -> None:
    assert starting_point(Log(0, 90, None, 60), Progress(), offset_reset="latest") == Start(60, 90)


def test_latest_is_for_the_first_time_only() -> None:
    assert starting_point(Log(0, 90, 50), Progress(), offset_reset="latest") == Start(50, 50)
