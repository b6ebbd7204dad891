"""Where effects are listed and how receipts are kept: frozen settings, or every problem."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import default_settings
from rollbackd.settings.reconciliation import ReconciliationSettings
from tests.settings.test_settings import load

LISTING = "reconciliation:\n  listings:\n    - "


def test_by_default_nothing_is_listed() -> None:
    settings = default_settings().reconciliation
    assert settings == ReconciliationSettings()
    assert settings.listing_of("pay") is None


def test_everything_can_be_said(tmp_path: Path) -> None:
    """The first listing that fits a service is the one; files are beside the config."""
    settings = load(
        tmp_path,
        """
reconciliation:
  lookback: 10m
  settle: 5s
  timeout: 20s
  keep: {age: 7d, keys: 1000}
  listings:
    - name: bank
      services: [orders, "pay-*"]
      http: {url: https://bank.example/payments, token_file: token, ca_file: ca.pem, timeout: 4s}
      max_effects: 5000
    - {name: nightly, services: ["*"], file: exports/effects.ndjson}
""",
    ).reconciliation
    assert (settings.lookback, settings.settle, settings.timeout) == (600_000, 5_000, 20_000)
    assert (settings.keep.age, settings.keep.keys) == (7 * 86_400_000, 1_000)
    names = {s: settings.listing_of(s) for s in ("orders", "pay-eu", "rag")}
    assert [each.name for each in names.values() if each] == ["bank", "bank", "nightly"]
    bank, nightly = settings.listings
    assert bank.http is not None
    assert (bank.http.token_file, bank.max_effects) == (tmp_path / "token", 5_000)
    assert nightly.file == tmp_path / "exports/effects.ndjson"


@pytest.mark.parametrize(
    ("text", "id_", "said"),
    [
        (LISTING + "{name: a, services: [x]}", "value/range", "exactly one of `http` and `file`"),
        (
            LISTING + "{name: a, services: [x], file: a.csv, http: {url: 'https://a'}}",
            "value/range", "exactly one of `http` and `file`",
        ),
        (LISTING + "{name: a, services: [], file: a.csv}", "value/range", "names no service"),
        (LISTING + "{name: a, file: a.csv}", "key/missing", "`services` is missing"),
        (
            LISTING + "{name: a, services: [x], file: a.csv, max_effects: 0}",
            "value/range", "`0` is below the minimum `1`",
        ),
        (LISTING + "{name: a, services: [x], path: a.csv}", "key/unknown", "`path`"),
        (
            LISTING + "{name: a, services: [x], http: {url: 'https://u:p@a'}}",
            "config/secret-in-url", "carries credentials",
        ),
        (
            LISTING + "{name: a, services: [x], http: {url: 'http://a', token_file: token}}",
            "value/range", "in the clear",
        ),
        (
            LISTING + "{name: a, services: [x], http: {url: 'https://a', token_file: none}}",
            "config/no-such-file", "none",
        ),
        (
            LISTING
            + "{name: a, services: [x], file: a.csv}\n    - {name: a, services: [y], file: b}",
            "value/range", "two listings have the name `a`",
        ),
        ("reconciliation: {settle: 1m, timeout: 1m}", "value/range", "must be above `settle`"),
        ("reconciliation: {keep: {keys: 0}}", "value/range", "below the minimum `1`"),
        ("reconciliation: {lookback: 5x}", "value/duration", "5x"),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_at_its_place(tmp_path: Path, text: str, id_: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load(tmp_path, text)
    found = caught.value.diagnostics
    assert [each.id for each in found] == [id_]
    assert said in found[0].message
