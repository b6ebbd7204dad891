"""What a user sees, to the letter."""

from pathlib import Path

import pytest

from tests.cli.transcripts import FOLDER, play


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda p: p.stem)
def test_the_command_prints_what_the_transcript_says(path: Path) -> None:
    """`python -m tests.cli.transcripts` writes what is printed now."""
    assert play(path.read_text()) == path.read_text()


def test_there_are_transcripts() -> None:
    """An empty folder would pass."""
    assert len(list(FOLDER.glob("*.txt"))) >= 5
