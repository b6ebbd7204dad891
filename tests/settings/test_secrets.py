"""Secrets are shown to nobody."""

import logging
from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import Secret, load_settings, read_secret, read_tokens

_SECRET = "hunter2"


def test_a_secret_does_not_show_itself() -> None:
    """Not in repr, str, format, a container or a log line."""
    secret = Secret(_SECRET)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{[secret]}",
        f"{secret!r:>20}",
    ]
    record = logging.LogRecord("x", 10, "f", 1, "%s %r", (secret, secret), None)
    assert _SECRET not in " ".join([*shown, record.getMessage()])
    assert secret.reveal() == _SECRET


def test_secrets_are_compared_by_value() -> None:
    """So that settings can be compared when they are read again."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    ("content", "secret"),
    [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("  hunter2 \r\nold\n", "hunter2")],
)
def test_the_first_line_of_a_file_is_the_secret(tmp_path: Path, content: str, secret: str) -> None:
    """Editors end files with a line break, which is not part of it."""
    path = tmp_path / "secret"
    path.write_text(content, newline="")
    found = read_secret(path)
    assert found is not None
    assert found.reveal() == secret


def test_no_file_is_no_secret() -> None:
    """Many settings are optional."""
    assert read_secret(None) is None


@pytest.mark.parametrize("content", [b"", b"\n \n", b"hunter2\xff", b"\xff\xfehunter2"])
def test_a_file_that_holds_none_is_an_error_that_names_only_the_file(
    tmp_path: Path, content: bytes
) -> None:
    """Empty, or not text; the error neither says nor carries what was read."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(OSError, match=str(path)) as caught:
        read_secret(path)
    assert caught.value.__cause__ is None
    assert _SECRET not in str(caught.value)


def test_a_token_file_may_hold_several(tmp_path: Path) -> None:
    """For rotation; empty lines are none."""
    path = tmp_path / "tokens"
    path.write_text("new\n\n old \n")
    assert read_tokens(path) == [Secret("new"), Secret("old")]
    path.write_bytes(b"\xff")
    with pytest.raises(OSError, match="not UTF-8"):
        read_tokens(path)
    with pytest.raises(FileNotFoundError):
        read_tokens(tmp_path / "absent")


@pytest.mark.parametrize(
    "text",
    [
        "redis:\n  url: redis://:hunter2@db/0\n",
        "redis:\n  url: redis://eve:hunter2@db/0\n  usrname: eve\n",
        "redis: {url: 'redis://:hunter2@db/0', bad: 1}\n",
        "redis:\n  url: redis://db/0?password=hunter2\n",
        "redis: {url: redis://db, password: hunter2}\n",
        "redis:\n  url: redis://db\n  password: hunter2\n",
        "redis:\n  url: redis://:hunter2@a\n  url: redis://:hunter2@b\n",
        "redis: {url: redis://:hunter2@a, url: [}\n",
        "http:\n  tokens:\n    - {name: x, token: hunter2, permissions: [read]}\n",
        "kafka:\n  sasl_password: hunter2\n",
    ],
)
def test_a_secret_that_was_written_into_the_file_is_not_repeated(tmp_path: Path, text: str) -> None:
    """The problem is shown with its line, and the secret in it is starred out."""
    path = tmp_path / "rollbackd.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_settings(path)
    assert _SECRET not in str(caught.value)
    assert _SECRET not in repr(caught.value)
