"""JSON, NDJSON and CSV say the same; what cannot be read is named by its place."""

from pathlib import Path

import pytest

from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.reconciliation.formats import (
    ListingError,
    effects_of,
    entries_of,
    read_csv,
    read_file,
    read_json,
    read_lines,
)
from tests.reconciliation.samples import NOW, SCOPE, effect

TIME = "2026-09-21T14:13:20Z"  # NOW
ITEM = f'{{"key": "k1", "effect_id": "e1", "time": "{TIME}"}}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", f"[{ITEM}]"),
        ("a.json", f'{{"effects": [{ITEM}], "next": null}}'),
        ("a.JSON", f'[{{"key": "k1", "effect_id": "e1", "time": {NOW / 1000}}}]'),
        ("a.ndjson", f"{ITEM}\n\n"),
        ("a.jsonl", ITEM),
        ("a.csv", f"effect_id,key,time,more\ne1,k1,{TIME},x\n"),
        ("a.csv", f"\ufeffkey,effect_id,time\r\nk1,e1,{NOW / 1000}\r\n"),
        ("a.csv", f"key,effect_id,time,scope\nk1,e1,{TIME},pay/eu-1\nk2,e2,{TIME},pay/us-1\n"),
        ("a.json", f'[{ITEM}, {{"key": "k2", "effect_id": "e2", "scope": "pay/us-1"}}]'),
    ],
)
def test_every_format_says_the_same(name: str, text: str) -> None:
    """Also with a scope: what is of another one is passed over."""
    assert effects_of(read_file(text.encode(), Path(name)), SCOPE) == [effect()]


def test_without_a_scope_every_item_counts() -> None:
    items = read_json(b'[{"key": "k", "effect_id": 7, "scope": "a/b"}]', where="x")
    assert [e.effect_id for e in effects_of(items, None)] == ["7"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "a.json: not JSON"),
        ("a.json", "7", "a.json: expected a list"),
        ("a.json", '{"effects": 7}', "a.json: expected a list"),
        ("a.json", '{"effects": [], "next": 7}', "a.json: `next` must be a text"),
        ("a.json", '{"effects": [], "next": "p2"}', "a.json: `next` leads nowhere from a file"),
        ("a.json", "[7]", "a.json, item 1: expected an object"),
        ("a.json", f'[{ITEM}, {{"key": "k"}}]', "a.json, item 2: `effect_id` is missing"),
        ("a.json", '[{"key": "", "effect_id": "e"}]', "a.json, item 1: `key` is empty"),
        ("a.json", '[{"key": true, "effect_id": "e"}]', "a.json, item 1: `key` is missing"),
        ("a.json", f'[{{"key": "{"k" * 1025}"}}]', "a.json, item 1: `key` is longer than 1024"),
        ("a.ndjson", f"{ITEM}\n\nnull", "a.ndjson, line 3: expected an object"),
        ("a.ndjson", f"{ITEM}\n{{", "a.ndjson, line 2: not JSON"),
        ("a.ndjson", f'{{"next": "x"}}\n{ITEM}', "a.ndjson, line 2: something follows `next`"),
        ("a.csv", "key,time\n", "a.csv, line 1: the header has no column `effect_id`"),
        ("a.csv", "", "a.csv, line 1: the header has no column `key`"),
        ("a.csv", 'key,effect_id\nk,"e', "a.csv, after line 1: unexpected end of data"),
        ("a.csv", "key,effect_id\nk\n", "a.csv, line 2: `effect_id` is missing"),
        ("a.txt", "", "a.txt: the name ends in none of .json, .ndjson, .jsonl, .csv"),
        *(
            ("a.json", f'[{{"key": "k", "effect_id": "e", "time": {t}}}]', "a.json, item 1: `time`")
            for t in (
                "true",
                '"yesterday"',
                '"2026-01-01T00:00:00"',
                "[]",
                "1e300",
                "1790000000000",
                "-1",
                '"nan"',
            )
        ),
    ],
)
def test_what_cannot_be_read_is_named_by_its_place(name: str, text: str, said: str) -> None:
    with pytest.raises(ListingError) as caught:
        effects_of(read_file(text.encode(), Path(name)), SCOPE)
    assert str(caught.value).startswith(said)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ListingError, match="x: byte 0 is not UTF-8"):
        read_csv(b"\xff", where="x")
    with pytest.raises(ListingError, match="x, line 1: not JSON"):
        read_lines(b"\xff", where="x")


def test_a_ledger_is_read_as_events_or_as_a_guard_writes_it() -> None:
    """`ts` or `time`; `idempotency_key` with times in milliseconds; sealed unless it says so."""
    text = (
        f'{{"key": "a", "effect_id": "e1", "ts": "{TIME}"}}\n'
        '{"key": "b", "status": "unknown"}\n'
        f'{{"idempotency_key": "c", "effect_id": "e3", "status": "pending",'
        f' "started_at_ms": {NOW}, "sealed_at_ms": 0}}\n'
    )
    a, b, c = entries_of(read_lines(text.encode(), where="x"), SCOPE)
    assert (a.key, a.effect_id, a.status, a.first_ms) == ("a", "e1", EffectStatus.SEALED, NOW)
    assert (b.key, b.effect_id, b.status, b.last_ms) == ("b", "", EffectStatus.UNKNOWN, 0)
    assert (c.key, c.status, c.first_ms) == ("c", EffectStatus.PENDING, NOW)
    assert a.scope == Scope("pay", "eu-1")
    with pytest.raises(ListingError, match="x, line 1: `status` must be one of pending, sealed"):
        entries_of(read_lines(b'{"key": "a", "status": "done"}', where="x"), None)
