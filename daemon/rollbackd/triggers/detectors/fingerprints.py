"""A table of the newest keys in a fixed number of bytes, with small values, by fingerprint.

A key is known by its bucket and a tag of 56 bits. A bucket is a ring of 128 slots: a new key takes
the place of the oldest one in its bucket. That is a set-associative cache with first in, first out.

With `n` keys, `k` slots a bucket and room for `n / 0.75` entries:

* A key that was never there is taken for another one with a probability of at most `k / 2**56`
  (`1.8e-15`): over 50 million new keys `8.9e-8`.
* The newest `n` keys are there, but for what chance puts too many of in one bucket. The keys of a
  bucket are Poisson distributed with mean `0.75 k = 96`, so the oldest of the `n` is gone with
  `P[Poisson(96) >= 128] = 1.0e-3`, and of all `n` keys `2.8e-5` are: the mean over their ages.
* `(7 + value) / 0.75` bytes a key.
"""

from hashlib import blake2b
from typing import Final

_TAG: Final = 7
#: Bytes of a digest: eight that choose the bucket, then the tag.
_DIGEST: Final = 8 + _TAG
#: Slots of a bucket. Seven bits of its cursor; the eighth says that it has gone round.
_SLOTS: Final = 128
_ROUND: Final = 128
#: How full a bucket is on average when all keys are there.
_LOAD: Final = 0.75


def digest(prefix: bytes, key: str) -> bytes:
    """What a key is known by; keys with different prefixes are different keys."""
    return blake2b(prefix + key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def fingerprint(text: str, size: int) -> bytes:
    """That many bytes that differ for different texts, but for one pair in `256 ** size`."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


class Fingerprints:
    """Digest -> value, for the newest `keys` digests. Takes its memory with the first one."""

    def __init__(self, keys: int, *, value_bytes: int) -> None:
        self._entry = _TAG + value_bytes
        self._bucket = _SLOTS * self._entry
        self._buckets = max(1, -(-keys // int(_SLOTS * _LOAD)))
        self._slots = bytearray()
        self._cursors = bytearray()
        #: Keys that had to go for newer ones.
        self.evicted = 0

    @property
    def size_bytes(self) -> int:
        """What it takes once the first key has come."""
        return self._buckets * (self._bucket + 1)

    def find(self, told: bytes) -> int | None:
        """Where the value of a digest stands, or None."""
        if not self._slots:
            return None
        begin = int.from_bytes(told[:8], "little") % self._buckets * self._bucket
        end, tag, entry = begin + self._bucket, told[8:], self._entry
        at = self._slots.find(tag, begin, end)
        while at >= 0:
            if (at - begin) % entry == 0:
                return at + _TAG
            at = self._slots.find(tag, at + 1, end)
        return None

    def read(self, place: int) -> bytes:
        """The value at a place that `find` gave."""
        return bytes(self._slots[place : place + self._entry - _TAG])

    def write(self, place: int, value: bytes) -> None:
        """Another value at a place that `find` gave."""
        self._slots[place : place + len(value)] = value

    def insert(self, told: bytes, value: bytes) -> None:
        """Remember a digest that `find` does not know."""
        if not self._slots:
            self._slots = bytearray(self._buckets * self._bucket)
            self._cursors = bytearray(self._buckets)
        bucket = int.from_bytes(told[:8], "little") % self._buckets
        cursor = self._cursors[bucket]
        slot = cursor % _SLOTS
        self.evicted += cursor >= _ROUND
        at = bucket * self._bucket + slot * self._entry
        self._slots[at : at + self._entry] = told[8:] + value
        self._cursors[bucket] = cursor + 1 if slot < _SLOTS - 1 else _ROUND
